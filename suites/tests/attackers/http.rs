//! What the attacks on `http_server` have in common: a server with something to serve, sockets, and an honest client.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    time::Duration,
};

use socket2::{Domain, SockRef, Socket, Type};
use tempfile::TempDir;

use suites::victim::{Cost, DEADLINE, Mark, Victim};

/// What the honest client asks for, and gets.
pub const GET: &[u8] = b"GET /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n";
pub const HELLO: &[u8] = b"hello, world";
/// Bytes of `/big`.
pub const BIG: u64 = 1 << 30;

/// A server, and the directory it serves: `hello.txt`, a large file with holes, and one that is sent whole.
pub struct Site {
    pub victim: Victim,
    pub root: TempDir,
}

impl Site {
    #[track_caller]
    pub fn start(options: &[&str]) -> Self {
        let root = tempfile::tempdir().unwrap();
        fill(root.path());
        let mut args = vec!["--root", root.path().to_str().unwrap(), "--port", "0"];
        args.extend(options);
        let victim = Victim::start("http_server", &args);
        let site = Self { victim, root };
        // What is taken once and for all is taken now, not during the attack.
        for _ in 0..50 {
            site.serves();
        }
        site
    }

    pub fn address(&self) -> SocketAddr {
        self.victim.address
    }

    pub fn connect(&self) -> TcpStream {
        connect(self.address())
    }

    /// A connection of its own is answered.
    #[track_caller]
    pub fn serves(&self) {
        Honest::new(self.address()).ask();
    }

    /// After an attack: all descriptors are back, others are served, and it ends well. Gives what the attack cost.
    #[track_caller]
    pub fn ends_well(self, mark: &Mark) -> Cost {
        let cost = self.victim.since(mark);
        self.victim.is_as_at(mark);
        self.serves();
        self.victim.ends_well();
        cost
    }
}

fn fill(root: &Path) {
    std::fs::write(root.join("hello.txt"), HELLO).unwrap();
    std::fs::write(root.join("page"), vec![b'p'; 20_000]).unwrap();
    let big = std::fs::File::create(root.join("big")).unwrap();
    big.set_len(BIG).unwrap();
}

pub fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// A connection whose window is as small as the system has it, and shuts when nothing is read.
pub fn narrow(to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(1).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.into()
}

/// Ends a connection with a reset.
pub fn reset(stream: TcpStream) {
    SockRef::from(&stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(stream);
}

/// Everything that comes up to the end of file, or to a reset.
pub fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    match stream.read_to_end(&mut all) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("{error} after {} bytes", all.len()),
    }
    all
}

/// A client that keeps its connection and checks its answers.
pub struct Honest {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Honest {
    pub fn new(to: SocketAddr) -> Self {
        Self {
            stream: connect(to),
            buffer: vec![0; 4096],
        }
    }

    #[track_caller]
    pub fn ask(&mut self) {
        self.stream.write_all(GET).unwrap();
        let mut got = 0;
        while !self.buffer[..got].ends_with(HELLO) {
            let n = self.stream.read(&mut self.buffer[got..]).unwrap();
            let so_far = self.buffer[..got].escape_ascii();
            assert!(n > 0, "the connection ends after {so_far}");
            got += n;
        }
        let answer = &self.buffer[..got];
        assert!(
            answer.starts_with(b"HTTP/1.1 200 OK\r\n"),
            "{}",
            answer.escape_ascii()
        );
    }
}

/// One answer of a row, read strictly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub closes: bool,
    pub body: Vec<u8>,
}

/// Takes apart what came on one connection; `head_only` says that the first request was a HEAD.
pub fn answers(mut bytes: &[u8], head_only: bool) -> Vec<Answer> {
    let mut all: Vec<Answer> = Vec::new();
    while !bytes.is_empty() {
        let end = memchr::memmem::find(bytes, b"\r\n\r\n")
            .unwrap_or_else(|| panic!("no head: {}", bytes.escape_ascii()));
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        bytes = &bytes[end + 4..];
        let line = head.strip_prefix("HTTP/1.1 ").unwrap();
        let status = line[..3].parse().unwrap();
        let has = |wanted: &str| head.lines().find_map(|line| line.strip_prefix(wanted));
        let mut body = 0;
        if !(head_only && all.is_empty()) && status >= 200 && status != 304 {
            body = has("Content-Length: ").unwrap().parse().unwrap();
        }
        assert!(bytes.len() >= body, "a body cut short: {head}");
        all.push(Answer {
            status,
            closes: has("Connection: close").is_some(),
            body: bytes[..body].to_vec(),
        });
        bytes = &bytes[body..];
    }
    all
}
