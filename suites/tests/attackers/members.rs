//! Members of a room of `chat_room`, attackers and honest ones.

use std::{
    io::{BufRead, BufReader, ErrorKind, Write},
    net::{SocketAddr, TcpStream},
};

use crate::resets::connect;

/// Those who talk in turn, so that none of them is faster than a member may be.
pub const SPEAKERS: usize = 60;
/// The rate at which they are never held back, however fast an exchange is.
pub const FAST: &str = "100";

pub struct Member {
    pub lines: BufReader<TcpStream>,
}

impl Member {
    pub fn connect(stream: TcpStream) -> Self {
        let mut member = Self {
            lines: BufReader::new(stream),
        };
        assert_eq!(member.line(), "* Your name?");
        member
    }

    pub fn join(stream: TcpStream, name: &str) -> Self {
        let mut member = Self::connect(stream);
        member.says(name);
        let answer = member.line();
        assert!(answer.starts_with("* In the room:"), "{answer}");
        member
    }

    pub fn stream(&self) -> &TcpStream {
        self.lines.get_ref()
    }

    pub fn says(&self, line: &str) {
        self.stream()
            .write_all(format!("{line}\n").as_bytes())
            .unwrap();
    }

    #[track_caller]
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "cut: {line:?}");
        line.pop();
        line
    }

    /// Reads what is there and forgets it; false once the connection has ended.
    pub fn drain(&mut self) -> bool {
        self.stream().set_nonblocking(true).unwrap();
        let there = loop {
            match self.lines.fill_buf().map(<[u8]>::len) {
                Ok(0) => break false,
                Ok(n) => self.lines.consume(n),
                Err(error) => break error.kind() == ErrorKind::WouldBlock,
            }
        };
        self.stream().set_nonblocking(false).unwrap();
        there
    }
}

/// Honest members: one of them speaks, another one has to hear it, with nothing of the honest ones missing.
pub struct Honest {
    speakers: Vec<Member>,
    hearer: Member,
    said: usize,
    padding: String,
    /// What others said that the hearer heard meanwhile.
    pub heard: usize,
}

impl Honest {
    pub fn new(address: SocketAddr, padding: usize) -> Self {
        let hearer = Member::join(connect(address), "hearer");
        let speaker = |n| Member::join(connect(address), &format!("h{n}"));
        Self {
            speakers: (0..SPEAKERS).map(speaker).collect(),
            hearer,
            said: 0,
            padding: "x".repeat(padding),
            heard: 0,
        }
    }

    #[track_caller]
    pub fn exchange(&mut self) {
        let number = self.said % SPEAKERS;
        // All of them read what they are told, a few at a time.
        for n in (number * 5..number * 5 + 5).map(|n| n % SPEAKERS) {
            assert!(self.speakers[n].drain(), "h{n} was thrown out");
        }
        let what = format!("{} {}", self.said, self.padding);
        let what = what.trim_end();
        self.speakers[number].says(what);
        self.said += 1;
        let expected = format!("h{number}: {what}");
        loop {
            let line = self.hearer.line();
            if line == expected {
                return;
            }
            let foreign = line.starts_with("* ") || line.starts_with('x');
            assert!(foreign, "{expected:?} expected, {line:?} heard");
            let unwanted = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}');
            assert!(!line.contains(unwanted) && line.len() < 4096, "{line:?}");
            self.heard += 1;
        }
    }
}
