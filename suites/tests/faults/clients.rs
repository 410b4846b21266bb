//! Clients that know what they are to get, and say whether they got it.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream, UdpSocket},
    sync::{
        Barrier, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use Outcome::{Cut, Wrong};
use util::toy::Far;

/// How many work at a time.
pub const CLIENTS: usize = 4;

/// Far longer than anything that is only late; whoever waits so long hangs.
pub const PATIENCE: Duration = Duration::from_secs(6);

#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything came, and the end where the client waits for one.
    Whole,
    /// The connection ended early, and at once; what came until then was right.
    Cut(String),
    /// A wrong byte, an answer too many, or none and no end either.
    Wrong(String),
}

#[derive(Debug)]
pub struct Report {
    /// The client's own; 0 where it never had one.
    pub port: u16,
    pub outcome: Outcome,
    /// Datagrams that had to be asked for again.
    pub again: usize,
}

type Step<T = ()> = Result<T, Outcome>;

/// What the clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    Echo,
    Chat,
    Http,
    /// The same, and parts of a file, which are read.
    HttpParts,
    TimeTcp,
    TimeUdp,
    Filtered,
}

/// Has all of them work at once. With `to_the_end` each waits for the server to end its connection too.
pub fn work(work: Work, server: SocketAddr, seed: u64, to_the_end: bool) -> Vec<Report> {
    let room = Room {
        joined: Barrier::new(CLIENTS),
        done: Barrier::new(CLIENTS),
        present: Mutex::default(),
    };
    let room = &room;
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|i| {
                scope.spawn(move || {
                    if work == Work::TimeUdp {
                        return time_udp(server);
                    }
                    if work == Work::Filtered {
                        let seed = seed + i as u64;
                        return on_stream(server, |stream| filtered(stream, seed, to_the_end));
                    }
                    if work == Work::Chat {
                        return chat(server, room, i, to_the_end);
                    }
                    on_stream(server, |stream| {
                        match work {
                            Work::Echo => echo(stream, seed + i as u64)?,
                            Work::Http => http(stream)?,
                            Work::HttpParts => http_parts(stream)?,
                            _ => time_tcp(stream)?,
                        }
                        end(stream, to_the_end)
                    })
                })
            })
            .collect();
        let mut reports: Vec<_> = clients.into_iter().map(|c| c.join().unwrap()).collect();
        if work == Work::Chat {
            compare(room, &mut reports);
        }
        reports
    })
}

fn on_stream(server: SocketAddr, f: impl FnOnce(&TcpStream) -> Step) -> Report {
    let stream = match TcpStream::connect_timeout(&server, PATIENCE) {
        Ok(stream) => stream,
        Err(error) => {
            return Report {
                port: 0,
                outcome: Cut(format!("connect: {error}")),
                again: 0,
            };
        }
    };
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    let port = stream.local_addr().unwrap().port();
    let outcome = f(&stream).err().unwrap_or(Outcome::Whole);
    Report {
        port,
        outcome,
        again: 0,
    }
}

/// What an error says: that the connection ended, or that nothing comes.
fn outcome(error: &io::Error, at: &str) -> Outcome {
    match error.kind() {
        ErrorKind::UnexpectedEof
        | ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::NotConnected => Cut(format!("{at}: {error}")),
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Wrong(format!("{at}: hangs")),
        _ => Wrong(format!("{at}: {error}")),
    }
}

fn send(mut stream: &TcpStream, data: &[u8], at: &str) -> Step {
    stream.write_all(data).map_err(|error| outcome(&error, at))
}

/// Reads what is to come, and looks at each piece, so that a cut one is known to have been right so far.
fn expect(mut stream: impl Read, wanted: &[u8], at: &str) -> Step {
    let mut got = 0;
    let mut piece = vec![0; 64 * 1024];
    while got < wanted.len() {
        let most = piece.len().min(wanted.len() - got);
        match stream.read(&mut piece[..most]) {
            Ok(0) => return Err(Cut(format!("{at}: end after {got} of {}", wanted.len()))),
            Ok(n) if piece[..n] == wanted[got..got + n] => got += n,
            Ok(n) => return Err(Wrong(format!("{at}: wrong bytes in {got}..{}", got + n))),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(outcome(&error, &format!("{at}, after {got}"))),
        }
    }
    Ok(())
}

fn end(stream: &TcpStream, to_the_end: bool) -> Step {
    let ended = stream.shutdown(Shutdown::Write);
    if !to_the_end {
        return Ok(());
    }
    ended.map_err(|error| outcome(&error, "the end"))?;
    expect_end(stream)
}

fn expect_end(mut stream: &TcpStream) -> Step {
    match stream.read(&mut [0; 64]) {
        Ok(0) => Ok(()),
        Ok(n) => Err(Wrong(format!("{n} bytes too many"))),
        Err(error) => Err(outcome(&error, "the end")),
    }
}

fn pattern(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

fn echo(stream: &TcpStream, seed: u64) -> Step {
    for (round, length) in [1, 700, 30_000, 2, 4096].into_iter().enumerate() {
        let at = format!("round {round}");
        let data = pattern(seed + round as u64, length);
        send(stream, &data, &at)?;
        expect(stream, &data, &at)?;
    }
    Ok(())
}

/// The same through a filter, from its handshake to its end.
fn filtered(mut stream: &TcpStream, seed: u64, to_the_end: bool) -> Step {
    let mut far = Far::client();
    let mut wire = vec![0; 64 * 1024];
    for (round, length) in [0, 1, 700, 30_000, 2, 4096].into_iter().enumerate() {
        let at = format!("round {round}");
        let data = pattern(seed + round as u64, length);
        if round > 0 {
            far.say(&data);
        }
        send(stream, &far.wire(), &at)?;
        let mut got = Vec::new();
        while !far.is_open() || got.len() < length {
            match stream.read(&mut wire) {
                Ok(0) => return Err(Cut(format!("{at}: end after {} of {length}", got.len()))),
                Ok(n) => far.take(&wire[..n]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(outcome(&error, &at)),
            }
            got.extend(far.plain());
            match far.failed() {
                Some(why) if why.starts_with("alert: ") => return Err(Cut(why.into())),
                Some(why) => return Err(Wrong(format!("{at}: {why}"))),
                None => {}
            }
        }
        if got != data {
            return Err(Wrong(format!("{at}: {} other bytes", got.len())));
        }
    }
    far.end();
    send(stream, &far.wire(), "the end")?;
    let ended = stream.shutdown(Shutdown::Write);
    if !to_the_end {
        return Ok(());
    }
    ended.map_err(|error| outcome(&error, "the end"))?;
    let mut last = Vec::new();
    let read = stream.read_to_end(&mut last);
    read.map_err(|error| outcome(&error, "the end"))?;
    far.take(&last);
    if far.plain_len() > 0 {
        return Err(Wrong(format!("{} bytes too many", far.plain_len())));
    }
    if !far.has_end() {
        return Err(Cut("the end: none of the filter".into()));
    }
    Ok(())
}

/// What lies in the folder that is served.
pub fn files() -> [(&'static str, Vec<u8>); 2] {
    [("small", pattern(1, 900)), ("big", pattern(2, 180_000))]
}

fn http(stream: &TcpStream) -> Step {
    let mut reader = BufReader::new(stream);
    for (round, file) in [0, 1, 0].into_iter().enumerate() {
        get(stream, &mut reader, file, &format!("request {round}"))?;
    }
    Ok(())
}

fn http_parts(stream: &TcpStream) -> Step {
    http(stream)?;
    let at = "the parts";
    let (name, content) = &files()[1];
    let (first, second) = content.split_at(100_000);
    let ranges = format!("0-{},{}-", first.len() - 1, first.len());
    let request =
        format!("GET /{name} HTTP/1.1\r\nHost: localhost\r\nRange: bytes={ranges}\r\n\r\n");
    let mut reader = BufReader::new(stream);
    let length = ask(stream, &mut reader, &request, 206, at)?;
    let mut body = Vec::new();
    while body.len() < length {
        let most = (length - body.len()) as u64;
        match (&mut reader).take(most).read_to_end(&mut body) {
            Ok(0) => return Err(Cut(format!("{at}: end after {} of {length}", body.len()))),
            Ok(_) => {}
            Err(error) => return Err(outcome(&error, at)),
        }
    }
    let has = |part| memchr::memmem::find(&body, part).is_some();
    match has(first) && has(second) {
        true => Ok(()),
        false => Err(Wrong(format!("{at}: wrong bytes"))),
    }
}

fn get(stream: &TcpStream, reader: &mut impl BufRead, file: usize, at: &str) -> Step {
    let (name, content) = &files()[file];
    let request = format!("GET /{name} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let length = ask(stream, reader, &request, 200, at)?;
    if length != content.len() {
        return Err(Wrong(format!("{at}: a length of {length}")));
    }
    expect(reader, content, at)
}

/// Sends a request and reads the head of its answer; gives the length of the body.
fn ask(
    stream: &TcpStream,
    reader: &mut impl BufRead,
    request: &str,
    status: u16,
    at: &str,
) -> Step<usize> {
    send(stream, request.as_bytes(), at)?;
    let mut length = None;
    for number in 0.. {
        let mut line = String::new();
        match reader.read_line(&mut line) {
            Ok(_) if line.ends_with("\r\n") => {}
            Ok(_) => return Err(Cut(format!("{at}: end in the head"))),
            Err(error) => return Err(outcome(&error, at)),
        }
        // A server may also say that it cannot: its client's own error all the same.
        if number == 0 && !line.starts_with(&format!("HTTP/1.1 {status} ")) {
            return Err(Cut(format!("{at}: {}", line.trim_end())));
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok();
        }
        if line == "\r\n" {
            break;
        }
    }
    length.ok_or_else(|| Wrong(format!("{at}: no length")))
}

/// Asks for a small file twice on one connection, with something done between; its value is kept until the end.
pub fn two_requests<T>(server: SocketAddr, between: impl FnOnce() -> T) -> (Outcome, Outcome) {
    let stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut reader = BufReader::new(&stream);
    let whole = |step: Step| step.err().unwrap_or(Outcome::Whole);
    let first = whole(get(&stream, &mut reader, 0, "the first request"));
    let kept = between();
    let second = whole(get(&stream, &mut reader, 0, "the second request"));
    drop(kept);
    (first, second)
}

/// 2020 to 2036 in seconds since 1900.
fn is_time(time: [u8; 4]) -> bool {
    (3_786_912_000..4_294_967_295).contains(&u32::from_be_bytes(time))
}

fn time_tcp(mut stream: &TcpStream) -> Step {
    let mut time = [0; 4];
    stream
        .read_exact(&mut time)
        .map_err(|error| outcome(&error, "the time"))?;
    if is_time(time) {
        return Ok(());
    }
    Err(Wrong(format!("{time:?} is not the time")))
}

/// Asks four times, one after the other, and again where no answer comes.
pub fn time_udp(server: SocketAddr) -> Report {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    socket.connect(server).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(700)))
        .unwrap();
    let mut again = 0;
    let mut wrong = None;
    'asks: for ask in 0..4 {
        // Each answer is for one question: a late one would pass for that of the next.
        for attempt in 0.. {
            socket.send(b"?").unwrap();
            let mut time = [0; 8];
            match socket.recv(&mut time) {
                Ok(4) if is_time(time[..4].try_into().unwrap()) => break,
                Ok(n) => wrong = Some(format!("ask {ask}: {:?}", &time[..n])),
                // Luck has to run out some time: half of the answers may fail.
                Err(_) if attempt < 12 => again += 1,
                Err(error) => wrong = Some(format!("ask {ask}: {error}")),
            }
            if wrong.is_some() {
                break 'asks;
            }
        }
    }
    Report {
        port,
        outcome: wrong.map_or(Outcome::Whole, Wrong),
        again,
    }
}

/// Those in a chat room wait for each other: nobody speaks before all have joined, nobody leaves before all are done.
struct Room {
    joined: Barrier,
    done: Barrier,
    present: Mutex<BTreeMap<usize, Member>>,
}

#[derive(Default)]
struct Member {
    /// Whom it saw leave before it was done.
    missed: Vec<usize>,
}

const LINES: usize = 5;

fn chat(server: SocketAddr, room: &Room, me: usize, to_the_end: bool) -> Report {
    let (mut at_joined, mut at_done) = (false, false);
    let report = on_stream(server, |stream| {
        let mut reader = BufReader::new(stream);
        if line(&mut reader, "the prompt")? != "* Your name?" {
            return Err(Wrong("no prompt".into()));
        }
        send(stream, format!("m{me}\n").as_bytes(), "the name")?;
        while !line(&mut reader, "joining")?.starts_with("* In the room:") {}
        room.present.lock().unwrap().insert(me, Member::default());
        at_joined = true;
        room.joined.wait();
        let mut others: BTreeMap<usize, usize> = (room.present.lock().unwrap().keys())
            .filter(|&&other| other != me)
            .map(|&other| (other, 0))
            .collect();
        let text = |number: usize| format!("{number} {}", "x".repeat(1 + number * 200));
        for number in 0..LINES {
            send(stream, format!("{}\n", text(number)).as_bytes(), "speaking")?;
        }
        while others.values().any(|&said| said < LINES) {
            let line = line(&mut reader, "listening")?;
            let heard = others
                .iter_mut()
                .find_map(|(other, said)| Some((other, said, told(&line, *other)?)));
            match heard {
                Some((_, said, Told::Said(what))) if *what == text(*said) => *said += 1,
                Some((&other, said, Told::Left)) => {
                    *said = LINES;
                    let mut present = room.present.lock().unwrap();
                    present.get_mut(&me).unwrap().missed.push(other);
                }
                None if line.starts_with("* m") => {}
                _ => return Err(Wrong(format!("heard {line:?}"))),
            }
        }
        at_done = true;
        room.done.wait();
        let _ = stream.shutdown(Shutdown::Write);
        if !to_the_end {
            return Ok(());
        }
        loop {
            let mut line = String::new();
            match reader.read_line(&mut line) {
                Ok(0) => return Ok(()),
                Ok(_) if line.starts_with("* m") => {}
                Ok(_) => return Err(Wrong(format!("at the end {line:?}"))),
                Err(error) => return Err(outcome(&error, "the end")),
            }
        }
    });
    // Nobody waits for somebody who is gone.
    if !at_joined {
        room.joined.wait();
    }
    if !at_done {
        room.done.wait();
    }
    report
}

enum Told<'a> {
    Said(&'a str),
    Left,
}

fn told(line: &str, other: usize) -> Option<Told<'_>> {
    if line.starts_with(&format!("* m{other} leaves")) {
        return Some(Told::Left);
    }
    line.strip_prefix(&format!("m{other}: ")).map(Told::Said)
}

fn line(reader: &mut impl BufRead, at: &str) -> Step<String> {
    let mut line = String::new();
    match reader.read_line(&mut line) {
        Ok(_) if line.ends_with('\n') => Ok(line.trim_end().to_owned()),
        Ok(_) => Err(Cut(format!("{at}: end"))),
        Err(error) => Err(outcome(&error, at)),
    }
}

/// Who is said to have left has not been served whole, and the other way round.
fn compare(room: &Room, reports: &mut [Report]) {
    for (&member, Member { missed }) in &*room.present.lock().unwrap() {
        for &other in missed {
            if reports[other].outcome == Outcome::Whole {
                reports[member].outcome = Wrong(format!("was told that m{other} left"));
            }
        }
    }
}

/// Sends through the smallest buffers there are, and does not read before nothing more can be sent.
pub fn through_small_buffers(server: SocketAddr, length: usize) -> Report {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(1).unwrap();
    socket.set_send_buffer_size(1).unwrap();
    socket.connect(&server.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    let port = stream.local_addr().unwrap().port();
    let data = pattern(length as u64, length);
    let sent = AtomicUsize::new(0);
    let outcome = thread::scope(|scope| {
        let sending = scope.spawn(|| {
            for piece in data.chunks(16 * 1024) {
                send(&stream, piece, "sending")?;
                sent.fetch_add(piece.len(), Ordering::Relaxed);
            }
            stream
                .shutdown(Shutdown::Write)
                .map_err(|error| outcome(&error, "sending"))
        });
        let (mut before, mut since) = (0, Instant::now());
        until(|| {
            let now = sent.load(Ordering::Relaxed);
            if now != before {
                (before, since) = (now, Instant::now());
            }
            since.elapsed() > Duration::from_millis(150)
        });
        let read = expect(&stream, &data, "reading").and_then(|()| expect_end(&stream));
        sending.join().unwrap().and(read)
    });
    Report {
        port,
        outcome: outcome.err().unwrap_or(Outcome::Whole),
        again: 0,
    }
}

/// Asks until the answer is yes.
pub fn until(mut done: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + PATIENCE;
    while !done() {
        if Instant::now() > end {
            return false;
        }
        thread::park_timeout(Duration::from_millis(2));
    }
    true
}
