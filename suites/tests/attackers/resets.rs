//! Ends at every moment, of `chat_room` and of `tcp_proxy`: end of file, half-close and reset before, during and after
//! whatever a connection does. And what the attacks on these two have in common.

use std::{
    env,
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::mpsc,
    time::Duration,
};

use socket2::{Domain, SockRef, Socket, Type};

use crate::{
    honest::serves_on,
    members::{Member, SPEAKERS},
};
use suites::victim::{DEADLINE, Victim, within};

/// Whether there is time for more of everything.
pub fn longer() -> bool {
    env::var("ASYNCHAT_ATTACKERS").is_ok_and(|which| which == "all")
}

pub fn connect(address: SocketAddr) -> TcpStream {
    patient(TcpStream::connect(address).unwrap())
}

pub fn patient(stream: TcpStream) -> TcpStream {
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// With the smallest window there is: soon full, if nothing is read.
pub fn narrow(address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(1).unwrap();
    socket.connect(&address.into()).unwrap();
    patient(socket.into())
}

pub fn reset(stream: TcpStream) {
    SockRef::from(&stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(stream);
}

/// What an attack may cost.
#[derive(Clone, Copy)]
pub struct Bounds {
    /// KiB more than before.
    pub memory: u64,
    /// Lines of the log besides that of each connection.
    pub lines: usize,
    /// Of a processor's time, while nobody but the attacker is there, in the calmest of some moments.
    pub share: f64,
}

/// Attacks, and holds what it costs against the bounds; shows the figures.
#[track_caller]
pub fn withstands<A>(
    what: &str,
    victim: &Victim,
    bounds: Bounds,
    mut exchange: impl FnMut(),
    mut attack: impl FnMut() -> A,
) {
    let said = || {
        // Lines come meanwhile: the part is counted before the whole.
        let connections = victim.log_lines_with("connection from");
        victim.log_lines_with("") - connections
    };
    let lines_before = said();
    exchange();
    let mark = victim.mark();
    let figures = serves_on(what, &mut exchange, &mut attack);
    // Each new mark begins a new record.
    let mut memory = victim.since(&mark).memory;
    victim.is_as_at(&mark);
    // Alone with the attacker. What it begins with is not what is measured: after it the program comes to rest.
    let attacked = attack();
    let (_never, window) = mpsc::channel::<()>();
    let mut share = f64::INFINITY;
    for _ in 0..40 {
        let quiet = victim.mark();
        let _ = window.recv_timeout(Duration::from_millis(150));
        memory = memory.max(victim.since(&mark).memory);
        let cost = victim.since(&quiet);
        share = share.min(cost.cpu.as_secs_f64() / cost.wall.as_secs_f64());
        if share <= bounds.share {
            break;
        }
        // As honest members read what they are told.
        for _ in 0..SPEAKERS {
            exchange();
        }
    }
    drop(attacked);
    victim.is_as_at(&mark);
    exchange();
    let lines = said() - lines_before;
    eprintln!(
        "| {what} | {memory} KiB | {:.0} % | {:?} → {:?} | {lines} |",
        share * 100.0,
        figures.undisturbed,
        figures.disturbed,
    );
    assert!(memory <= bounds.memory, "{what}: {memory} KiB more");
    assert!(share <= bounds.share, "{what}: {share} of the processor");
    let tail = victim.log_tail();
    assert!(lines <= bounds.lines, "{what}: {lines} lines\n{tail}");
}

/// How an attacker ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// End of file both ways; a reset where something was left unread.
    Close,
    Half,
    Reset,
}

const ENDS: [End; 3] = [End::Close, End::Half, End::Reset];

impl End {
    /// Gives what has to stay open.
    fn apply(self, stream: TcpStream) -> Option<TcpStream> {
        match self {
            Self::Close => drop(stream),
            Self::Half => {
                stream.shutdown(Shutdown::Write).unwrap();
                return Some(stream);
            }
            Self::Reset => reset(stream),
        }
        None
    }
}

/// Reads until the other side has ended it, in whatever way.
#[track_caller]
fn assert_ends(mut stream: &TcpStream) {
    let mut buffer = [0; 64 * 1024];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return,
            Err(error) => panic!("still open: {error}"),
        }
    }
}

/// Writes until nothing has been taken for a while.
fn fill(mut stream: &TcpStream, block: &[u8]) -> usize {
    let patience = Duration::from_millis(100);
    stream.set_write_timeout(Some(patience)).unwrap();
    let mut sent = 0;
    while let Ok(n) = stream.write(block) {
        sent += n;
    }
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    sent
}

#[test]
fn a_member_may_end_at_any_moment_and_leaves_once() {
    let victim = Victim::start("chat_room", &["--port", "0"]);
    let address = victim.address;
    let mut ann = Member::join(connect(address), "Ann");
    let mark = victim.mark();
    let mut halves = Vec::new();
    let mut expected = 0;
    for (number, end) in (0..9).flat_map(|n| ENDS.map(|end| (n, end))) {
        halves.extend(end.apply(connect(address)));
        let nameless = Member::connect(connect(address));
        nameless.stream().write_all(b"half a na").unwrap();
        halves.extend(end.apply(nameless.lines.into_inner()));
        // Behind its name nothing, half a line, a line, more lines than are read at once, or too long a line.
        let mut member = Member::connect(connect(address));
        let name = format!("x{number}.{end:?}");
        let rest = match number % 5 {
            0 => String::new(),
            1 => "half a li".into(),
            2 => "hi\n".into(),
            3 => "hi\n".repeat(30),
            _ => "x".repeat(5000),
        };
        let text = format!("{name}\n{rest}");
        member.stream().write_all(text.as_bytes()).unwrap();
        // A reset destroys what was not read, the name too: only who is in the room can leave it.
        assert!(member.line().starts_with("* In the room"));
        halves.extend(end.apply(member.lines.into_inner()));
        expected += 1;
    }
    for half in &halves {
        assert_ends(half);
    }
    drop(halves);
    let (mut joined, mut left) = (Vec::new(), Vec::new());
    while left.len() < expected {
        let line = ann.line();
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["*", name, "joins"] => joined.push(name.to_owned()),
            ["*", name, "leaves"] => left.push(name.to_owned()),
            _ => assert!(line.starts_with('x') && line.ends_with(": hi"), "{line}"),
        }
    }
    joined.sort_unstable();
    left.sort_unstable();
    assert_eq!(joined, left);
    joined.dedup();
    assert_eq!(joined.len(), expected, "somebody joined twice");
    victim.is_as_at(&mark);
    let cost = victim.since(&mark);
    let lines = cost.lines - 3 * expected;
    eprintln!("{expected} members that end at any moment: {cost:?}");
    assert!(lines <= expected, "{lines} lines: {}", victim.log_tail());
    assert_eq!(victim.log_lines_with("panicked"), 0);
    victim.ends_well();
}

#[test]
fn a_member_that_ends_with_a_full_queue_does_not_keep_its_place() {
    let limit = [
        "--port",
        "0",
        "--rate",
        "1000000",
        "--max-outgoing",
        "4000000",
    ];
    let victim = Victim::start("chat_room", &limit);
    let address = victim.address;
    let ann = Member::join(connect(address), "Ann");
    let mark = victim.mark();
    let mut halves = Vec::new();
    for end in ENDS {
        let member = Member::join(narrow(address), &format!("x{end:?}"));
        let line = format!("{}\n", "x".repeat(1000));
        // More than its socket takes, and less than it may be behind.
        for _ in 0..2000 {
            ann.stream().write_all(line.as_bytes()).unwrap();
        }
        let mut bob = Member::join(connect(address), &format!("bob{end:?}"));
        ann.says("that is all");
        while bob.line() != "Ann: that is all" {}
        halves.extend(end.apply(member.lines.into_inner()));
        drop(bob);
    }
    // The half-closed one has ten seconds to read it, and does not.
    victim.is_as_at(&mark);
    drop(halves);
    victim.ends_well();
}

/// A proxy to a listener of the test's own.
fn proxy() -> (Victim, TcpListener) {
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = upstream.local_addr().unwrap().to_string();
    let args = ["--listen", "127.0.0.1:0", "--to", to.as_str()];
    (Victim::start("tcp_proxy", &args), upstream)
}

/// What has happened on a connection before it ends.
#[derive(Clone, Copy, Debug)]
enum State {
    Fresh,
    Spoken,
    /// Both queues full, both sides writing, nobody reading.
    Full,
    /// The one that ends has said before that it sends no more.
    HalfClosed,
    /// The other one has.
    OtherHalfClosed,
}

#[test]
fn either_side_of_a_proxied_connection_may_end_at_any_moment() {
    use State::*;
    let (victim, upstream) = proxy();
    let mark = victim.mark();
    let mut connections = 0;
    for state in [Fresh, Spoken, Full, HalfClosed, OtherHalfClosed] {
        for end in ENDS {
            for client_first in [true, false] {
                connections += 1;
                let client = connect(victim.address);
                let server = patient(upstream.accept().unwrap().0);
                let (mut first, mut second) = if client_first {
                    (client, server)
                } else {
                    (server, client)
                };
                let mut byte = [0];
                match state {
                    Fresh => {}
                    Spoken => {
                        first.write_all(b"a").unwrap();
                        second.read_exact(&mut byte).unwrap();
                    }
                    Full => {
                        fill(&first, &[b'a'; 65536]);
                        fill(&second, &[b'b'; 65536]);
                    }
                    HalfClosed => {
                        first.shutdown(Shutdown::Write).unwrap();
                        assert_eq!(second.read(&mut byte).unwrap(), 0);
                    }
                    OtherHalfClosed => {
                        second.shutdown(Shutdown::Write).unwrap();
                        assert_eq!(first.read(&mut byte).unwrap(), 0);
                    }
                }
                let kept = end.apply(first);
                if kept.is_none() && matches!((state, end), (HalfClosed, _)) {
                    // Nothing tells the other side but its own next bytes.
                    let gone = within(DEADLINE, || second.write_all(&[b'b'; 65536]).is_err());
                    assert!(gone, "{state:?}, {end:?}, client first: {client_first}");
                } else {
                    assert_ends_once_it_may(&second, kept);
                }
                drop(second);
                victim.is_as_at(&mark);
            }
        }
    }
    let lines = victim.since(&mark).lines - connections;
    eprintln!("{connections} proxied connections that end at any moment: {lines} lines");
    assert!(
        lines <= connections,
        "{lines} lines:\n{}",
        victim.log_tail()
    );
    victim.ends_well();
}

/// The end is passed on, behind what was sent before; a half-closed one takes an answer, and then the end.
#[track_caller]
fn assert_ends_once_it_may(second: &TcpStream, kept: Option<TcpStream>) {
    assert_ends(second);
    if let Some(kept) = kept {
        // Which it may have done before.
        let _ = second.shutdown(Shutdown::Write);
        assert_ends(&kept);
    }
}
