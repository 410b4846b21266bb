//! A proxy, a web server behind it, and curl in front.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    thread,
};

use suites::{
    others::{Said, run, tool},
    program::{Program, serve},
    web_server,
};
use tempfile::TempDir;

pub(crate) struct Scene {
    pub(crate) proxy: Program,
    pub(crate) address: SocketAddr,
    pub(crate) origin: web_server::Server,
}

/// Bytes in a recognisable order, so that a gap or a swap shows.
pub(crate) fn pattern(length: u32) -> Vec<u8> {
    (0..length / 4).flat_map(u32::to_be_bytes).collect()
}

impl Scene {
    /// The server has `hello.txt` and `large.bin`, of 3 MB.
    pub(crate) fn new(options: &[&str]) -> Self {
        Self::with_origin(options, &[])
    }

    pub(crate) fn with_origin(options: &[&str], of_origin: &[&str]) -> Self {
        let origin = web_server::serve(of_origin, |root| {
            std::fs::write(root.join("large.bin"), pattern(3_000_000)).unwrap();
        });
        let (proxy, address) = serve("http_proxy", &[&["--port", "0"], options].concat());
        Self {
            proxy,
            address,
            origin,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.origin.address)
    }

    /// curl through the proxy; `None`, and a line that says so, where there is no curl.
    pub(crate) fn curl(&self, arguments: &[&str]) -> Option<Said> {
        curl(&format!("http://{}", self.address), arguments)
    }
}

pub(crate) fn curl(proxy: &str, arguments: &[&str]) -> Option<Said> {
    let mut curl = tool("curl")?;
    curl.env_clear().args(["-sS", "-x", proxy]).args(arguments);
    Some(run(&mut curl, b""))
}

/// A server that takes one upload after another, and answers each with the number of bytes that came behind the head.
pub(crate) struct Sink {
    pub(crate) address: SocketAddr,
    pub(crate) folder: TempDir,
}

impl Sink {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("received");
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut received = Vec::new();
                let mut piece = [0; 65536];
                while !is_complete(&received) {
                    let n = stream.read(&mut piece).unwrap();
                    assert!(n > 0, "{}", received.escape_ascii());
                    received.extend_from_slice(&piece[..n]);
                }
                std::fs::write(&file, &received).unwrap();
                let answer = format!("{}\n", received.len());
                write!(
                    stream,
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{answer}",
                    answer.len()
                )
                .unwrap();
            }
        });
        Self { address, folder }
    }

    pub(crate) fn received(&self) -> Vec<u8> {
        std::fs::read(self.folder.path().join("received")).unwrap()
    }

    /// A file to upload.
    pub(crate) fn source(&self) -> PathBuf {
        let source = self.folder.path().join("source");
        std::fs::write(&source, pattern(3_000_000)).unwrap();
        source
    }
}

/// Whether it is a head and the body that it announces.
fn is_complete(received: &[u8]) -> bool {
    let Some(end) = memchr::memmem::find(received, b"\r\n\r\n") else {
        return false;
    };
    let head = String::from_utf8_lossy(&received[..end]).to_ascii_lowercase();
    match head.split_once("content-length: ") {
        Some((_, rest)) => {
            let length: usize = rest.lines().next().unwrap().parse().unwrap();
            received.len() == end + 4 + length
        }
        None => !head.contains("chunked") || received.ends_with(b"\r\n0\r\n\r\n"),
    }
}
