//! A request as its handler sees it.

use std::{
    io::{self, BufRead, Write},
    sync::Arc,
};

use asynchat::{Address, Result};

use super::super::{
    decimal,
    request::Request,
    service::{Answer, BadHeader},
};
use crate::handlers::pipe::{Pipe, Rfile, Wfile};

/// What comes before the body of an answer.
pub(super) enum Head {
    Answer {
        answer: Answer,
        close: bool,
    },
    /// The page of an error is the loop's to make.
    Error {
        answer: Answer,
        explain: String,
    },
}

/// The head of a request, which outlives the bytes that it came in.
pub(super) struct Given {
    pub(super) command: String,
    pub(super) path: String,
    pub(super) minor: u8,
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) client_address: Option<Address>,
}

impl Given {
    /// `None` if the target names no host where it should.
    pub(super) fn new(request: &Request<'_>, client_address: Option<&Address>) -> Option<Self> {
        let headers = request.headers.iter();
        Some(Self {
            command: request.method.into(),
            path: request.origin_form()?.into_owned(),
            minor: request.minor,
            headers: headers
                .map(|header| (header.name.to_owned(), header.value.trim_ascii().to_vec()))
                .collect(),
            client_address: client_address.cloned(),
        })
    }
}

/// The argument of a [`RequestHandler`](super::RequestHandler).
pub struct HttpRequest {
    given: Given,
    pipe: Arc<Pipe<Head>>,
    rfile: Rfile<Head>,
    wfile: Wfile<Head>,
    /// Begun with `send_response`, given away with `end_headers`.
    answer: Option<Answer>,
    close: bool,
    has_answered: bool,
}

impl HttpRequest {
    pub(super) fn new(given: Given, pipe: &Arc<Pipe<Head>>) -> Self {
        let (rfile, wfile) = pipe.files();
        Self {
            given,
            pipe: Arc::clone(pipe),
            rfile,
            wfile,
            answer: None,
            close: false,
            has_answered: false,
        }
    }

    /// The method: `GET`.
    pub fn command(&self) -> &str {
        &self.given.command
    }

    /// The path as the client wrote it, with its query. A scheme and a host before it are left out: each request may name
    /// them (RFC 9112, 3.2.2).
    pub fn path(&self) -> &str {
        &self.given.path
    }

    pub fn request_version(&self) -> &'static str {
        match self.given.minor {
            0 => "HTTP/1.0",
            _ => "HTTP/1.1",
        }
    }

    /// The value of the first header of that name.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let mut headers = self.given.headers.iter();
        let found = headers.find(|(given, _)| given.eq_ignore_ascii_case(name));
        found.map(|(_, value)| &**value)
    }

    pub fn headers(&self) -> &[(String, Vec<u8>)] {
        &self.given.headers
    }

    pub fn client_address(&self) -> Option<&Address> {
        self.given.client_address.as_ref()
    }

    /// The body of the request, to its end. Reading waits for it.
    pub fn rfile(&mut self) -> &mut impl BufRead {
        &mut self.rfile
    }

    /// The body of the answer, behind [`end_headers`](Self::end_headers). Writing waits while too much is on its way.
    pub fn wfile(&mut self) -> &mut impl Write {
        &mut self.wfile
    }

    /// Begins an answer with the words of the table behind the code. `Server` and `Date` are added.
    pub fn send_response(&mut self, code: u16) {
        self.answer = Some(Answer::new(code));
    }

    /// The same with other words.
    ///
    /// # Errors
    /// [`BadHeader::Value`] for a line end or another control character.
    pub fn send_response_with(&mut self, code: u16, message: &str) -> Result<(), BadHeader> {
        let mut answer = Answer::new(code);
        answer.set_reason(message)?;
        self.answer = Some(answer);
        Ok(())
    }

    /// Adds a header. Without `Content-Length` the body ends with `handle`.
    ///
    /// # Errors
    /// [`BadHeader`] for what would break out of its line, and for headers that are the service's to write: of those
    /// `Content-Length` with a number and `Connection: close` are accepted.
    pub fn send_header(&mut self, name: &str, value: &str) -> Result<(), BadHeader> {
        let Some(answer) = &mut self.answer else {
            return Err(BadHeader::Managed);
        };
        if name.eq_ignore_ascii_case("content-length") {
            let length = decimal(value.as_bytes()).ok_or(BadHeader::Value)?;
            *answer = std::mem::replace(answer, Answer::new(500)).length(length);
            return Ok(());
        }
        if name.eq_ignore_ascii_case("connection") && value.eq_ignore_ascii_case("close") {
            self.close = true;
            return Ok(());
        }
        answer.add(name, value)
    }

    /// Ends the head. It leaves with the first bytes of what is written into [`wfile`](Self::wfile), or if that is flushed.
    ///
    /// # Errors
    /// If no answer has begun, or if one was sent before.
    pub fn end_headers(&mut self) -> Result {
        let answer = self.answer.take().ok_or("no answer has begun")?;
        let close = self.close;
        self.pass_on(Head::Answer { answer, close })
    }

    /// Answers with the page of an error; `explain` is a sentence about it, or empty for the one of the table.
    ///
    /// # Errors
    /// If an answer was sent before.
    pub fn send_error(&mut self, code: u16, explain: &str) -> Result {
        self.send_error_with(Answer::new(code), explain)
    }

    /// The same with headers, or with other words behind the code.
    ///
    /// # Errors
    /// Those of [`send_error`](Self::send_error).
    pub fn send_error_with(&mut self, answer: Answer, explain: &str) -> Result {
        let explain = explain.to_owned();
        self.pass_on(Head::Error { answer, explain })
    }

    /// The answer to a method that is not there.
    ///
    /// # Errors
    /// Those of [`send_error`](Self::send_error).
    pub fn send_unsupported(&mut self) -> Result {
        let mut answer = Answer::new(501);
        // A token, so it has no place in which to hide anything.
        answer.set_reason(&format!("Unsupported method ('{}')", self.command()))?;
        self.send_error_with(answer, "")
    }

    fn pass_on(&mut self, head: Head) -> Result {
        if std::mem::replace(&mut self.has_answered, true) {
            return Err("an answer was sent already".into());
        }
        self.pipe.set_head(head);
        Ok(())
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.wfile.flush()
    }
}
