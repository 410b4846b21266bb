//! From the greeting to the answer to QUIT.

use std::{io::Write, mem};

use asynchat::{BoxError, Registry, Result};

use super::{
    Answer, Auth, Command, MAX_MESSAGES, MAX_UID, Settings, User,
    apop::{digest, timestamp},
    capabilities::Capabilities,
    session::Session,
};
use crate::{
    client::{Protocol, Talk},
    dots::Unstuffing,
    text::printable,
};

/// Characters of what the server says that are shown.
const SHOWN: usize = 300;

/// The protocol of a [`Connection`](crate::client::Connection), for a [`User`].
pub struct Client<U> {
    user: U,
    settings: Settings,
    step: Step,
    timestamp: Option<String>,
    session: Session,
    /// Lines of the listing that is being received.
    listed: usize,
    /// Bytes of the message that is being received.
    received: u64,
    dots: Unstuffing,
}

/// What the next line is.
#[derive(Debug)]
enum Step {
    Greeting,
    CapaStatus,
    Capa(Capabilities),
    Stls,
    Handshake,
    UserStatus,
    PassStatus,
    ApopStatus,
    /// The status line of the oldest command.
    Status,
    /// A line of its listing, or of its message.
    Body,
}

impl<U: User> Client<U> {
    pub fn new(settings: Settings, user: U) -> Self {
        Self {
            user,
            settings,
            step: Step::Greeting,
            timestamp: None,
            session: Session::default(),
            listed: 0,
            received: 0,
            dots: Unstuffing::default(),
        }
    }

    fn ask_capabilities(&mut self, talk: &mut Talk<'_, '_>) -> Result {
        self.step = Step::CapaStatus;
        Ok(write!(talk, "CAPA\r\n")?)
    }

    fn take_capabilities(&mut self, talk: &mut Talk<'_, '_>, found: &Capabilities) -> Result {
        self.session.pipelining = found.pipelining;
        if !self.settings.starttls || talk.is_secure() {
            return self.log_in(talk);
        }
        if !found.stls {
            return Err("the server offers no STLS (--starttls)".into());
        }
        self.step = Step::Stls;
        Ok(write!(talk, "STLS\r\n")?)
    }

    fn log_in(&mut self, talk: &mut Talk<'_, '_>) -> Result {
        let Settings {
            auth,
            user,
            password,
            ..
        } = &self.settings;
        if user.contains(char::is_control) || password.contains(char::is_control) {
            return Err("user name or password: no control characters are possible".into());
        }
        let apop = match auth {
            Auth::Auto if talk.is_secure() => None,
            Auth::Auto => self.timestamp.as_deref(),
            Auth::User => None,
            Auth::Apop => match &self.timestamp {
                Some(timestamp) => Some(&**timestamp),
                None => {
                    return Err("the server offers no APOP: no timestamp in its greeting".into());
                }
            },
        };
        if let Some(timestamp) = apop {
            let digest = digest(timestamp, password);
            write!(talk, "APOP {user} {digest}\r\n")?;
            self.step = Step::ApopStatus;
            return Ok(());
        }
        if !self.settings.allow_cleartext && !talk.is_confidential() {
            return Err(
                "the password would pass in clear: --tls or --starttls encrypts it, --allow-cleartext sends it as it is"
                    .into(),
            );
        }
        write!(talk, "USER {user}\r\n")?;
        self.step = Step::UserStatus;
        Ok(())
    }

    fn ready(&mut self, talk: &mut Talk<'_, '_>) -> Result {
        self.step = Step::Status;
        self.user.ready(&mut self.session)?;
        self.session.pump(talk)
    }

    fn tell(&mut self, command: Command, answer: Answer<'_>) -> Result {
        self.user.answer(&mut self.session, command, answer)
    }

    /// The oldest command is done, or was refused.
    fn answered(
        &mut self,
        talk: &mut Talk<'_, '_>,
        command: Command,
        answer: Answer<'_>,
    ) -> Result {
        self.step = Step::Status;
        self.session.answered();
        self.tell(command, answer)?;
        self.session.pump(talk)
    }

    fn status(&mut self, talk: &mut Talk<'_, '_>, line: &[u8]) -> Result {
        let Some(command) = self.session.oldest() else {
            return Err(format!("the server sent {:?} unasked", said(line)).into());
        };
        let text = match Status::of(line)? {
            Status::Ok(text) => text,
            Status::Err if command == Command::Quit => return Err(refusal("QUIT", line)),
            Status::Err => {
                return self.answered(talk, command, Answer::Refused(&said(line)));
            }
        };
        match command {
            Command::Stat => {
                let (messages, bytes) = numbers(&text).ok_or_else(|| unreadable(command, line))?;
                self.tell(command, Answer::Stat { messages, bytes })?;
                self.answered(talk, command, Answer::Done)
            }
            Command::List | Command::Uidl => {
                self.listed = 0;
                self.step = Step::Body;
                Ok(())
            }
            Command::Retr(_) | Command::Top(..) => {
                self.received = 0;
                self.step = Step::Body;
                talk.read_data("\n");
                Ok(())
            }
            Command::Dele(_) => self.answered(talk, command, Answer::Done),
            Command::Quit => {
                self.session.answered();
                self.tell(command, Answer::Done)?;
                talk.succeed();
                Ok(())
            }
        }
    }

    fn listing(&mut self, talk: &mut Talk<'_, '_>, line: &[u8]) -> Result {
        let Some(command) = self.session.oldest() else {
            return Ok(());
        };
        if line == b"." {
            return self.answered(talk, command, Answer::Done);
        }
        self.listed += 1;
        if self.listed > MAX_MESSAGES {
            return Err(format!("the server lists more than {MAX_MESSAGES} messages").into());
        }
        let entry = std::str::from_utf8(line).unwrap_or_default();
        let answer = match command {
            Command::List => numbers(entry).map(|(number, size)| Answer::Size(number, size)),
            _ => uid(entry),
        };
        let answer = answer.ok_or_else(|| unreadable(command, line))?;
        self.tell(command, answer)
    }
}

impl<U: User> Protocol for Client<U> {
    fn secured(&mut self, talk: &mut Talk<'_, '_>) -> Result {
        // RFC 2595, 4: what was said before is forgotten.
        self.timestamp = None;
        self.session = Session::default();
        self.ask_capabilities(talk)
    }

    fn line(&mut self, talk: &mut Talk<'_, '_>, line: &[u8]) -> Result {
        match &mut self.step {
            Step::Greeting => match Status::of(line)? {
                Status::Ok(text) => {
                    self.timestamp = timestamp(&text).map(str::to_owned);
                    self.ask_capabilities(talk)
                }
                Status::Err => Err(refusal("greeting", line)),
            },
            Step::CapaStatus => match Status::of(line)? {
                Status::Ok(_) => {
                    self.step = Step::Capa(Capabilities::default());
                    Ok(())
                }
                // Servers of before RFC 2449 have none.
                Status::Err => self.take_capabilities(talk, &Capabilities::default()),
            },
            Step::Capa(found) => match line {
                b"." => {
                    let found = mem::take(found);
                    self.take_capabilities(talk, &found)
                }
                line => found.line(line),
            },
            Step::Stls => {
                expect_ok("STLS", line)?;
                self.step = Step::Handshake;
                talk.start_tls()
            }
            Step::Handshake => Err("the server goes on in clear after STLS".into()),
            Step::UserStatus => {
                expect_ok("login", line)?;
                write!(talk, "PASS {}\r\n", self.settings.password)?;
                self.step = Step::PassStatus;
                Ok(())
            }
            Step::PassStatus | Step::ApopStatus => {
                expect_ok("login", line)?;
                self.ready(talk)
            }
            Step::Status => self.status(talk, line),
            Step::Body => self.listing(talk, line),
        }
    }

    fn data(&mut self, _: &mut Talk<'_, '_>, data: &[u8]) -> Result {
        let Some(command) = self.session.oldest() else {
            return Ok(());
        };
        self.received += data.len() as u64;
        if self.received > self.settings.max_message {
            let limit = self.settings.max_message;
            return Err(format!(
                "{command}: the message is larger than {limit} bytes (--max-message)"
            )
            .into());
        }
        let user = &mut self.user;
        self.dots.piece(data, |data| user.data(command, data))
    }

    fn data_end(&mut self, talk: &mut Talk<'_, '_>) -> Result {
        let Some(command) = self.session.oldest() else {
            return Ok(());
        };
        if !self.dots.line_end() {
            self.received += 1;
            return self.user.data(command, b"\n");
        }
        talk.read_lines();
        self.answered(talk, command, Answer::Done)
    }

    fn finished(&mut self, registry: &mut Registry, outcome: Result<(), BoxError>) {
        self.user.finished(registry, outcome);
    }
}

enum Status {
    /// The text behind it.
    Ok(String),
    Err,
}

impl Status {
    fn of(line: &[u8]) -> Result<Self> {
        let (word, text) = match line.iter().position(|&byte| byte == b' ') {
            Some(at) => (&line[..at], &line[at + 1..]),
            None => (line, &b""[..]),
        };
        match word {
            b"+OK" => Ok(Self::Ok(String::from_utf8_lossy(text).into_owned())),
            b"-ERR" => Ok(Self::Err),
            _ => Err(format!("the server sent neither +OK nor -ERR but {:?}", said(line)).into()),
        }
    }
}

fn expect_ok(step: &str, line: &[u8]) -> Result {
    match Status::of(line)? {
        Status::Ok(_) => Ok(()),
        Status::Err => Err(refusal(step, line)),
    }
}

fn refusal(step: &str, line: &[u8]) -> BoxError {
    format!("{step}: the server says {}", said(line)).into()
}

fn unreadable(command: Command, line: &[u8]) -> BoxError {
    format!("{command}: the server sent {:?}", said(line)).into()
}

fn said(line: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(line).chars().take(SHOWN).collect();
    printable(&text)
}

/// Two numbers, of which the first fits a message's; more may follow.
fn numbers(text: &str) -> Option<(u32, u64)> {
    let mut words = text.split_ascii_whitespace();
    Some((number(words.next()?)?, number(words.next()?)?))
}

/// A unique id is printable ASCII (RFC 1939, 7).
fn uid(text: &str) -> Option<Answer<'_>> {
    let (first, uid) = text.split_once(' ')?;
    let uid = uid.trim();
    let fits =
        (1..=MAX_UID).contains(&uid.len()) && uid.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then_some(Answer::Uid(number(first)?, uid))
}

/// Digits alone: no sign.
fn number<N: std::str::FromStr>(digits: &str) -> Option<N> {
    let are_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    are_digits.then(|| digits.parse().ok())?
}
