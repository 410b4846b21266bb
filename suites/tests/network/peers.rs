//! Clients of plain sockets for the programs that have none among the examples.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use socket2::SockRef;

use crate::site::pattern;
use suites::program::DEADLINE;

pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, DEADLINE).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// How many bytes a connection takes that nobody reads.
pub fn swallowed() -> usize {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut stream = connect(listener.local_addr().unwrap());
    stream.set_nonblocking(true).unwrap();
    let _unread = listener.accept().unwrap();
    let written = std::iter::from_fn(|| stream.write(&[0; 65536]).ok());
    written.sum()
}

/// Closes with a reset, after which the port is free at once.
#[allow(clippy::needless_pass_by_value, reason = "it is closed here")]
pub fn reset(stream: TcpStream) {
    SockRef::from(&stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
}

/// Sends so many bytes while it reads them back, says that this was all, and waits for the end.
#[track_caller]
pub fn echo(address: SocketAddr, length: usize) {
    let stream = connect(address);
    let data = pattern(length as u64, length);
    let back = thread::scope(|scope| {
        scope.spawn(|| {
            (&stream).write_all(&data).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
        });
        let mut back = Vec::new();
        (&stream).read_to_end(&mut back).unwrap();
        back
    });
    assert!(
        back == data,
        "{} of {length} bytes came back, or others",
        back.len()
    );
}

/// Sends lines of all lengths up to a few hundred bytes at once, and reads them back.
#[track_caller]
pub fn lines(address: SocketAddr) {
    let mut stream = connect(address);
    let sent: String = (0..60)
        .map(|n| format!("{n} {}\r\n", "x".repeat(n * 7)))
        .collect();
    stream.write_all(sent.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut back = String::new();
    stream.read_to_string(&mut back).unwrap();
    assert_eq!(back, sent);
}

/// Each of three members says ten lines, and reads those of the two others in their order.
#[track_caller]
pub fn chat(address: SocketAddr) {
    let mut members: Vec<_> = (0..3)
        .map(|n| Member::join(address, &format!("m{n}")))
        .collect();
    for member in &mut members {
        while !member.present.iter().all(|&present| present) {
            let line = member.line();
            member.note(&line);
        }
    }
    let text = |line: usize| format!("line {line} {}", "y".repeat(1 + line * 20));
    for line in 0..10 {
        for member in &mut members {
            writeln!(member.stream, "{}", text(line)).unwrap();
        }
    }
    for (me, member) in members.iter_mut().enumerate() {
        let mut heard = [0; 3];
        while (0..3).any(|other| other != me && heard[other] < 10) {
            let line = member.line();
            let (who, said) = line.split_once(": ").expect(&line);
            let who: usize = who[1..].parse().unwrap();
            assert_eq!(said, text(heard[who]), "to m{me} from m{who}");
            heard[who] += 1;
        }
    }
}

struct Member {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
    /// Who it knows to be there.
    present: [bool; 3],
}

impl Member {
    fn join(address: SocketAddr, name: &str) -> Self {
        let stream = connect(address);
        let reader = BufReader::new(stream.try_clone().unwrap());
        let mut member = Self {
            stream,
            reader,
            present: [false; 3],
        };
        assert_eq!(member.line(), "* Your name?");
        writeln!(member.stream, "{name}").unwrap();
        let me: usize = name[1..].parse().unwrap();
        member.present[me] = true;
        while member.line_is_not_the_list() {}
        member
    }

    fn line_is_not_the_list(&mut self) -> bool {
        let line = self.line();
        self.note(&line);
        !line.starts_with("* In the room")
    }

    fn note(&mut self, line: &str) {
        for (member, present) in self.present.iter_mut().enumerate() {
            *present |= line.contains(&format!("m{member}"));
        }
    }

    #[track_caller]
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "the end, after {line:?}");
        line.trim_end().to_owned()
    }
}

/// Asks for a file on a connection, and takes as many bytes of the answer as the file has, at its end.
#[track_caller]
pub fn get(mut stream: &TcpStream, name: &str, content: &[u8]) {
    write!(
        stream,
        "GET /{name} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(
        answer.starts_with(b"HTTP/1.1 200 OK\r\n"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    assert!(answer.ends_with(content), "{} bytes came", answer.len());
}
