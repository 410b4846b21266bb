//! A user, or an operator: lines over a blocking socket.
#![allow(
    unreachable_pub,
    missing_debug_implementations,
    reason = "part of a test"
)]

use std::{
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use socket2::SockRef;

use suites::program::DEADLINE;

pub struct User {
    lines: BufReader<TcpStream>,
}

impl User {
    pub fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            lines: BufReader::new(stream),
        }
    }

    /// Connects, and is asked for a nick.
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Self {
        let mut user = Self::new(TcpStream::connect(address).unwrap());
        user.hears("*** Your nick?");
        user
    }

    #[track_caller]
    pub fn enter(address: SocketAddr, nick: &str) -> Self {
        let mut user = Self::connect(address);
        user.says(nick);
        let hello = user.line();
        assert!(
            hello.starts_with(&format!("*** Hello, {nick}. ")),
            "{hello}"
        );
        user
    }

    pub fn stream(&self) -> &TcpStream {
        self.lines.get_ref()
    }

    #[track_caller]
    pub fn says(&self, line: &str) {
        let line = format!("{line}\n");
        self.stream().write_all(line.as_bytes()).unwrap();
    }

    #[track_caller]
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.strip_suffix("\r\n")
            .unwrap_or_else(|| panic!("cut: {line:?}"))
            .to_owned()
    }

    #[track_caller]
    pub fn hears(&mut self, expected: &str) {
        assert_eq!(self.line(), expected);
    }

    /// Nothing more comes.
    #[track_caller]
    pub fn hears_the_end(&mut self) {
        let mut rest = String::new();
        match self.lines.read_to_string(&mut rest) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
        assert_eq!(rest, "");
    }

    pub fn resets(self) {
        let socket = SockRef::from(self.stream());
        socket.set_linger(Some(Duration::ZERO)).unwrap();
    }
}
