//! The dialogue: which command comes next, and what the reply to each means.

use std::io::Write;

use asynchat::{BoxError, Part as Outgoing, Registry, Result};

use super::{MAX_LINES, Reader, Request, Settings, request::Answer};
use crate::{
    client::{Connection, Protocol, Talk},
    dots::Unstuffing,
    reply::{Replies, Reply},
    stuffing,
};

/// What the server's next reply is the answer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    Greeting,
    StartTls,
    ModeReader,
    User,
    Password,
    Request,
    /// The article that was posted.
    Posted,
    /// Nothing: a text is read, or a handshake made.
    Nothing,
}

/// The protocol of a connection to a news server.
pub struct Session<R> {
    settings: Settings,
    reader: R,
    awaited: Awaited,
    password: Option<String>,
    request: Option<Request>,
    /// OVER is not known: the server is older than RFC 3977.
    old: bool,
    /// How the text comes that is being read.
    text: Option<Answer>,
    dots: Unstuffing,
    /// Lines or bytes of the text so far.
    taken: u64,
    /// All of an article has left.
    posted: bool,
}

impl<R: Reader> Session<R> {
    pub fn new(settings: Settings, reader: R) -> Self {
        Self {
            settings,
            reader,
            awaited: Awaited::Greeting,
            password: None,
            request: None,
            old: false,
            text: None,
            dots: Unstuffing::default(),
            taken: 0,
            posted: false,
        }
    }

    fn send(&mut self, talk: &mut Talk<'_, '_>, command: &str, awaited: Awaited) -> Result {
        self.awaited = awaited;
        Ok(write!(talk, "{command}\r\n")?)
    }

    fn give_up(talk: &mut Talk<'_, '_>, error: String) -> Result {
        talk.push("QUIT\r\n");
        talk.give_up(error);
        Ok(())
    }

    fn reply(&mut self, talk: &mut Talk<'_, '_>, reply: &Reply) -> Result {
        // The server ends the session, with this code in answer to any command (RFC 3977, 3.2.1).
        if reply.code == 400 {
            self.posted = false;
            return Err(reply.refusal("the session").into());
        }
        match (self.awaited, reply.code) {
            (Awaited::Greeting, 200 | 201) => self.greeted(talk),
            (Awaited::StartTls, 382) => {
                self.awaited = Awaited::Nothing;
                talk.start_tls()
            }
            // A server without modes refuses. One that answers 502 closes the connection (RFC 3977, 5.3).
            (Awaited::ModeReader, 200 | 201 | 480 | 500 | 501) => self.log_in(talk),
            (Awaited::User, 281) | (Awaited::Password, 281) => self.next_request(talk),
            (Awaited::User, 381) => {
                let password = self.password.take().unwrap_or_default();
                self.send(
                    talk,
                    &format!("AUTHINFO PASS {password}"),
                    Awaited::Password,
                )
            }
            (Awaited::Request, _) => self.answered(talk, reply),
            (Awaited::Posted, _) if !self.posted => {
                Err(reply.refusal("before the article was complete").into())
            }
            (Awaited::Posted, 240) => self.over(talk, None),
            (Awaited::Posted, _) => self.over(talk, Some(reply)),
            (Awaited::Nothing, _) => Err(reply.refusal("without being asked").into()),
            (step, _) => {
                let step = match step {
                    Awaited::Greeting => "the connection",
                    Awaited::StartTls => "STARTTLS",
                    Awaited::ModeReader => "MODE READER",
                    _ => "the login",
                };
                Self::give_up(talk, reply.refusal(step))
            }
        }
    }

    fn greeted(&mut self, talk: &mut Talk<'_, '_>) -> Result {
        match self.settings.encryption.starttls && !talk.is_secure() {
            true => self.send(talk, "STARTTLS", Awaited::StartTls),
            false => self.send(talk, "MODE READER", Awaited::ModeReader),
        }
    }

    fn log_in(&mut self, talk: &mut Talk<'_, '_>) -> Result {
        let Some((user, password)) = self.settings.login.take() else {
            return self.next_request(talk);
        };
        if !talk.is_confidential() && !self.settings.allow_cleartext {
            let error = "the password would pass in clear: --tls or --starttls encrypts it, --allow-cleartext sends it as it is";
            return Self::give_up(talk, error.into());
        }
        self.password = Some(password);
        self.send(talk, &format!("AUTHINFO USER {user}"), Awaited::User)
    }

    fn next_request(&mut self, talk: &mut Talk<'_, '_>) -> Result {
        let Some(request) = self.reader.next() else {
            talk.push("QUIT\r\n");
            talk.succeed();
            return Ok(());
        };
        let command = request.command();
        self.request = Some(request);
        match self.old && command.starts_with("OVER ") {
            true => self.send(talk, &format!("X{command}"), Awaited::Request),
            false => self.send(talk, &command, Awaited::Request),
        }
    }

    fn answered(&mut self, talk: &mut Talk<'_, '_>, reply: &Reply) -> Result {
        let Some(request) = &self.request else {
            return Ok(());
        };
        let (accepted, answer) = request.answer();
        if reply.code != accepted {
            if let Request::Over(range) = request
                && matches!(reply.code, 500..=503)
                && !self.old
            {
                self.old = true;
                return self.send(talk, &format!("XOVER {range}"), Awaited::Request);
            }
            return self.over(talk, Some(reply));
        }
        self.reader.accepted(reply)?;
        self.taken = 0;
        match answer {
            Answer::Nothing => return self.over(talk, None),
            Answer::Lines => {}
            Answer::Article => talk.read_data("\n"),
            Answer::Wanted => return self.post(talk),
        }
        self.awaited = Awaited::Nothing;
        self.text = Some(answer);
        Ok(())
    }

    fn post(&mut self, talk: &mut Talk<'_, '_>) -> Result {
        let Some(Request::Post(text)) = self.request.take() else {
            return Ok(());
        };
        self.awaited = Awaited::Posted;
        self.posted = false;
        let text = Outgoing::producer(stuffing::dot_ended(text));
        talk.push_then(text, |registry, sent| {
            let (id, complete) = (sent.channel, sent.complete);
            if !complete {
                return Ok(());
            }
            Ok(
                registry.with_chat(id, |connection: &mut Connection<Self>, chat| {
                    connection.with(chat, |session, _| session.posted = true);
                })?,
            )
        });
        Ok(())
    }

    fn over(&mut self, talk: &mut Talk<'_, '_>, refusal: Option<&Reply>) -> Result {
        self.request = None;
        self.posted = false;
        self.reader.done(refusal)?;
        self.next_request(talk)
    }

    /// A line of a list or an overview: it is short, so it comes whole.
    fn text_line(&mut self, talk: &mut Talk<'_, '_>, line: &[u8]) -> Result {
        let line = match line {
            b"." => {
                self.text = None;
                return self.over(talk, None);
            }
            [b'.', rest @ ..] => rest,
            line => line,
        };
        self.taken += 1;
        if self.taken > MAX_LINES {
            return Err(
                format!("the server sent more than {MAX_LINES} lines: ask for a part").into(),
            );
        }
        self.reader.line(line)
    }

    fn give(&mut self, data: &[u8]) -> Result {
        self.taken += data.len() as u64;
        let limit = self.settings.max_article;
        if self.taken > limit {
            return Err(format!(
                "the article has more than {limit} bytes, and --max-size allows no more"
            )
            .into());
        }
        self.reader.data(data)
    }
}

impl<R: Reader> Protocol for Session<R> {
    /// What was said in clear is forgotten (RFC 4642, 2.2.2). No greeting comes.
    fn secured(&mut self, talk: &mut Talk<'_, '_>) -> Result {
        self.send(talk, "MODE READER", Awaited::ModeReader)
    }

    fn line(&mut self, talk: &mut Talk<'_, '_>, line: &[u8]) -> Result {
        if self.text.is_some() {
            return self.text_line(talk, line);
        }
        // Replies have one line (RFC 3977, 3.2), so that one alone is a whole one.
        match Replies::default().line(line)? {
            Some(reply) => self.reply(talk, &reply),
            None => Err("the server sent a reply of several lines".into()),
        }
    }

    fn data(&mut self, _: &mut Talk<'_, '_>, data: &[u8]) -> Result {
        let mut dots = std::mem::take(&mut self.dots);
        let given = dots.piece(data, |text| self.give(text));
        self.dots = dots;
        given
    }

    fn data_end(&mut self, talk: &mut Talk<'_, '_>) -> Result {
        if !self.dots.line_end() {
            return self.give(b"\n");
        }
        talk.read_lines();
        self.text = None;
        self.over(talk, None)
    }

    fn finished(&mut self, registry: &mut Registry, outcome: Result<(), BoxError>) {
        let outcome = outcome.map_err(|error| match self.posted {
            true => format!("{error}; the server may have taken the article").into(),
            false => error,
        });
        self.reader.finished(registry, outcome);
    }
}
