//! `cgi_server` as a process, with scripts of its own and beside other servers.
#![cfg(target_os = "linux")]

mod answers;
mod environment;
mod life;
mod limits;
mod peers;
mod samples;
mod scripts;
mod streams;

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

use suites::{
    program::{self, Program},
    web_server,
};

/// A running server, with the scripts of [`scripts`].
struct Server {
    program: Program,
    address: SocketAddr,
}

impl Server {
    fn start(options: &[&str]) -> Self {
        let site = scripts::site();
        let (scripts, files) = (site.join("cgi-bin"), site.join("www"));
        let mut args = vec!["--port", "0", "--cgi-dir", scripts.to_str().unwrap()];
        args.extend(options);
        args.push(files.to_str().unwrap());
        let (program, address) = program::serve("cgi_server", &args);
        Self { program, address }
    }

    /// An answer of HTTP/1.0, which ends with the connection.
    #[track_caller]
    fn get(&self, target: &str) -> Reply {
        self.ask("GET", target, "", "")
    }

    #[track_caller]
    fn ask(&self, method: &str, target: &str, headers: &str, body: &str) -> Reply {
        let length = match body.len() {
            0 => String::new(),
            length => format!("Content-Length: {length}\r\n"),
        };
        ask(
            self.address,
            &format!(
                "{method} {target} HTTP/1.0\r\nHost: a.example\r\n{headers}{length}\r\n{body}"
            ),
        )
    }

    fn connect(&self, request: &str) -> TcpStream {
        let mut stream = web_server::connect(self.address);
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }

    /// Ends it; gives what it has logged.
    #[track_caller]
    fn end(self) -> String {
        self.program.signal("TERM");
        let ended = self.program.ended();
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        ended.err
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Reply {
    status: u16,
    head: String,
    body: String,
}

impl Reply {
    fn of(all: &str) -> Option<Self> {
        let (head, body) = all.split_once("\r\n\r\n")?;
        Some(Self {
            status: head[9..12].parse().unwrap(),
            head: head.into(),
            body: body.into(),
        })
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }
}

#[track_caller]
fn ask(address: SocketAddr, request: &str) -> Reply {
    let mut stream = web_server::connect(address);
    stream.write_all(request.as_bytes()).unwrap();
    rest(&mut stream)
}

#[track_caller]
fn rest(stream: &mut TcpStream) -> Reply {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    let all = String::from_utf8_lossy(&all);
    let peer = stream.peer_addr();
    Reply::of(&all).unwrap_or_else(|| panic!("no head in {all:?} of {peer:?}"))
}
