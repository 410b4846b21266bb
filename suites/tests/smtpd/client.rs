//! A client that says what a test says.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
};

use suites::program::DEADLINE;

/// Over plain TCP or TLS.
pub(crate) struct Client<S = TcpStream> {
    pub(crate) stream: S,
}

impl Client {
    /// Connected, and greeted.
    #[track_caller]
    pub(crate) fn connect(to: SocketAddr) -> Self {
        let mut client = Self::silent(to);
        assert!(client.reply().unwrap().starts_with("220 "));
        client
    }

    pub(crate) fn silent(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        Self { stream }
    }
}

impl<S: Read + Write> Client<S> {
    /// The next reply, its last line alone, without the line end.
    pub(crate) fn reply(&mut self) -> io::Result<String> {
        loop {
            let mut line = Vec::new();
            while !line.ends_with(b"\r\n") {
                let mut byte = [0];
                self.stream.read_exact(&mut byte)?;
                line.push(byte[0]);
            }
            if line.get(3) == Some(&b' ') {
                return Ok(String::from_utf8(line).unwrap().trim_end().to_owned());
            }
        }
    }

    /// Sends a line and gives its reply.
    pub(crate) fn ask(&mut self, line: &str) -> io::Result<String> {
        self.stream.write_all(format!("{line}\r\n").as_bytes())?;
        self.reply()
    }

    #[track_caller]
    pub(crate) fn expect(&mut self, line: &str, reply: &str) {
        assert_eq!(self.ask(line).unwrap(), reply, "{line}");
    }

    /// As far as DATA.
    pub(crate) fn begin(&mut self) -> io::Result<()> {
        for line in [
            "EHLO client",
            "MAIL FROM:<a@x.example>",
            "RCPT TO:<b@x.example>",
            "DATA",
        ] {
            let reply = self.ask(line)?;
            let wanted = reply.starts_with(['2', '3']) || reply == "503 Duplicate HELO/EHLO";
            if !wanted {
                return Err(io::Error::other(reply));
            }
        }
        Ok(())
    }

    /// Sends a message, and gives what it is answered with.
    pub(crate) fn send(&mut self, text: &str) -> io::Result<String> {
        self.begin()?;
        self.ask(&format!("{text}\r\n."))
    }
}
