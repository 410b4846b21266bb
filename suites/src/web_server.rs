//! `http_server` as a process, and a client that writes and reads bytes.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::Duration,
};

use tempfile::TempDir;
use util::SLOWNESS;

use crate::program;

/// Long enough for a loaded machine; a passing test never waits for it.
pub const DEADLINE: Duration = Duration::from_secs(20 * SLOWNESS);
/// How long "nothing comes" is waited for.
pub const QUIET: Duration = Duration::from_millis(300);

/// What `--spread` can be here: sockets of Windows do not share a port.
pub const SPREADS: &[&str] = if cfg!(windows) {
    &["accept"]
} else {
    &["kernel", "accept"]
};

/// `http_server` with a directory of its own, killed when dropped.
pub struct Server {
    pub child: Child,
    /// Of the first URL that it announces.
    pub address: SocketAddr,
    /// Of the last: another with `--tls-port`.
    pub last_address: SocketAddr,
    pub out: Receiver<String>,
    pub root: TempDir,
}

pub fn command() -> Command {
    let mut command = program::example("http_server");
    command.stdin(Stdio::null());
    program::give_console(&mut command);
    command
}

/// Starts a server for a directory with `hello.txt` ("hello, world") and what `fill` puts there.
pub fn serve(options: &[&str], fill: impl FnOnce(&Path)) -> Server {
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("hello.txt"), "hello, world").unwrap();
    fill(root.path());
    let mut child = command()
        .arg("--root")
        .arg(root.path())
        .args(["--port", "0"])
        .args(options)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let out = lines(child.stdout.take().unwrap());
    let first = out.recv_timeout(DEADLINE).unwrap();
    let hosts = first.split("://").skip(1);
    let addresses = hosts.map(|rest| rest.split('/').next().unwrap().parse().unwrap());
    let addresses: Vec<SocketAddr> = addresses.collect();
    Server {
        child,
        address: addresses[0],
        last_address: *addresses.last().unwrap(),
        out,
        root,
    }
}

pub fn plain() -> Server {
    serve(&[], |_| ())
}

fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(from).lines() {
            if line.is_err() || line.is_ok_and(|line| sender.send(line).is_err()) {
                return;
            }
        }
    });
    receiver
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    pub fn connect(&self) -> Client {
        self.connect_to(self.address)
    }

    /// A client of another server, or by another address.
    pub fn connect_to(&self, address: SocketAddr) -> Client {
        Client::new(connect(address))
    }

    /// One request on a connection of its own.
    pub fn ask(&self, raw: &str) -> Reply {
        let mut client = self.connect();
        client.send(raw);
        client.reply_to(raw)
    }

    /// Sends `raw` in one piece and byte by byte, checks that both give the same, and gives it.
    #[track_caller]
    pub fn ask_both(&self, raw: &str) -> Reply {
        let whole = self.ask(raw);
        let mut client = self.connect();
        for byte in raw.as_bytes() {
            // An early refusal ends the connection while bytes are still being written.
            if client.stream.write_all(&[*byte]).is_err() {
                break;
            }
        }
        let pieces = client.reply_to(raw);
        let start: String = raw.chars().take(300).collect();
        assert_eq!(whole.status, pieces.status, "{start:?}");
        assert!(whole.body == pieces.body, "{start:?}");
        whole
    }

    pub fn get(&self, target: &str) -> Reply {
        self.ask(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"))
    }

    /// A request with more header lines.
    pub fn get_with(&self, target: &str, headers: &str) -> Reply {
        self.ask(&format!(
            "GET {target} HTTP/1.1\r\nHost: a\r\n{headers}\r\n"
        ))
    }

    #[track_caller]
    pub fn next_log_line(&self) -> String {
        match self.out.recv_timeout(DEADLINE) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => panic!("no line came"),
            Err(RecvTimeoutError::Disconnected) => panic!("the server has ended"),
        }
    }

    pub fn signal(&self, name: &str) {
        assert!(program::signal(self.child.id(), name), "{name} is not sent");
    }

    /// Waits for the end; gives the exit code, `None` if it did not come in time.
    pub fn wait(&mut self) -> Option<i32> {
        let mut status = None;
        program::within(DEADLINE, || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status?.code()
    }

    /// Descriptors the process has open.
    #[cfg(target_os = "linux")]
    pub fn descriptors(&self) -> usize {
        let fds = std::fs::read_dir(format!("/proc/{}/fd", self.child.id()));
        fds.unwrap().count()
    }

    /// The most memory the process has had, in KiB. Linux counts for each thread apart and adds up now and then, so a later
    /// figure may be a little smaller.
    #[cfg(target_os = "linux")]
    pub fn most_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmHWM:"))
            .unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

pub struct Client<S = TcpStream> {
    pub stream: S,
    buffer: Vec<u8>,
}

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self
            .head
            .lines()
            .skip(1)
            .map(|line| line.split_once(':').unwrap());
        let found = lines.find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(
            self.status,
            status,
            "{}\n{:?}",
            self.head,
            String::from_utf8_lossy(&self.body)
        );
        self
    }

    pub fn closes(&self) -> bool {
        self.header("Connection") == Some("close")
    }
}

/// A socket with a timeout is not read on by itself after a signal, say that this process goes on.
fn uninterrupted(mut read: impl FnMut() -> std::io::Result<usize>) -> std::io::Result<usize> {
    loop {
        match read() {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// With time limits.
pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

impl<S: Read + Write> Client<S> {
    pub fn new(stream: S) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    pub fn send(&mut self, raw: &str) {
        self.stream.write_all(raw.as_bytes()).unwrap();
    }

    /// The answer to a request, which says whether it has a body.
    #[track_caller]
    pub fn reply_to(&mut self, request: &str) -> Reply {
        let end = loop {
            if let Some(at) = memchr::memmem::find(&self.buffer, b"\r\n\r\n") {
                break at;
            }
            assert!(
                self.fill(),
                "the connection ends inside a head: {:?}",
                self.buffer.escape_ascii().to_string()
            );
        };
        let rest = self.buffer.split_off(end + 4);
        let head = std::mem::replace(&mut self.buffer, rest);
        let head = String::from_utf8(head[..end].to_vec()).unwrap();
        assert!(head.starts_with("HTTP/1.1 "), "{head}");
        let mut reply = Reply {
            status: head[9..12].parse().unwrap(),
            head,
            body: Vec::new(),
        };
        let bare = request.starts_with("HEAD ") || matches!(reply.status, 100..200 | 304);
        if !bare {
            let length: usize = reply.header("Content-Length").unwrap().parse().unwrap();
            while self.buffer.len() < length {
                assert!(self.fill(), "the connection ends inside a body");
            }
            let rest = self.buffer.split_off(length);
            reply.body = std::mem::replace(&mut self.buffer, rest);
        }
        reply
    }

    /// One request, one answer.
    #[track_caller]
    pub fn ask(&mut self, raw: &str) -> Reply {
        self.send(raw);
        self.reply_to(raw)
    }

    /// Reads once; false at the end of file.
    #[track_caller]
    fn fill(&mut self) -> bool {
        let mut piece = [0; 64 * 1024];
        let n = uninterrupted(|| self.stream.read(&mut piece)).unwrap();
        self.buffer.extend_from_slice(&piece[..n]);
        n > 0
    }

    /// Everything up to the end of file.
    pub fn rest(mut self) -> Vec<u8> {
        self.stream.read_to_end(&mut self.buffer).unwrap();
        self.buffer
    }
}

impl Client {
    /// Whether nothing comes for a while.
    pub fn is_quiet(&mut self) -> bool {
        self.stream.set_read_timeout(Some(QUIET)).unwrap();
        let read = uninterrupted(|| self.stream.peek(&mut [0]));
        self.stream.set_read_timeout(Some(DEADLINE)).unwrap();
        self.buffer.is_empty() && read.is_err_and(|error| program::is_timeout(&error))
    }
}
