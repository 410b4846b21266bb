//! From the greeting to the answer to LOGOUT.

use std::{collections::VecDeque, io::Write, mem};

use asynchat::{BoxError, Registry, Result};
use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    Auth, Command, Event, Settings, Status, StatusKind, User,
    assembly::{Assembly, Ended},
    command::Line,
    response::{Response, is_section},
    running::{Idle, Request, Running},
    values::Value,
};
use crate::client::{Connection, Protocol, Talk};

/// The session as its [`User`] sees it: commands that wait.
#[derive(Debug, Default)]
pub struct Session {
    waiting: VecDeque<Command>,
    done: bool,
}

impl Session {
    /// Queues a command. One is under way at a time, because the answers to some change the meaning of others.
    pub fn send(&mut self, command: Command) {
        self.waiting.push_back(command);
    }

    /// Ends IDLE, if that is under way.
    pub fn done(&mut self) {
        self.done = true;
    }
}

/// The protocol of a [`Connection`], for a [`User`].
pub struct Client<U> {
    user: U,
    settings: Settings,
    step: Step,
    session: Session,
    tags: u32,
    running: Option<Running>,
    /// `None`: to be asked for.
    capabilities: Option<Vec<String>>,
    bye: Option<Status>,
    assembly: Assembly,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Greeting,
    LoggingIn,
    Handshake,
    LoggedIn,
    Ready,
}

impl<U: User> Client<U> {
    pub fn new(settings: Settings, user: U) -> Self {
        Self {
            user,
            settings,
            step: Step::Greeting,
            session: Session::default(),
            tags: 0,
            running: None,
            capabilities: None,
            bye: None,
            assembly: Assembly::default(),
        }
    }

    fn has(&self, capability: &str) -> bool {
        let mut capabilities = self.capabilities.iter().flatten();
        capabilities.any(|known| known == capability)
    }

    fn send(&mut self, talk: &mut Talk<'_, '_>, request: Request, line: Line) -> Result {
        self.tags += 1;
        let tag = format!("a{}", self.tags);
        let capabilities = self.capabilities.as_deref().unwrap_or_default();
        let running = Running::send(talk, tag, request, line, capabilities)?;
        self.running = Some(running);
        Ok(())
    }

    fn send_word(&mut self, talk: &mut Talk<'_, '_>, request: Request, word: &str) -> Result {
        let mut line = Line::default();
        line.word(word);
        self.send(talk, request, line)
    }

    /// `+`
    fn go_on(&mut self, talk: &mut Talk<'_, '_>) -> Result {
        const UNASKED: &str = "the server asks for more where nothing follows (+)";
        let capabilities = self.capabilities.as_deref().unwrap_or_default();
        let running = self.running.as_mut().ok_or(UNASKED)?;
        if running.go_on(talk, capabilities)? {
            return Ok(());
        }
        match &mut running.request {
            Request::Authenticate(response @ Some(_)) => {
                let response = response.take().unwrap_or_default();
                Ok(write!(talk, "{response}\r\n")?)
            }
            Request::Idle(limit, idle @ Idle::Sent) => {
                *idle = Idle::Taken(talk.timeout());
                talk.set_timeout(limit.saturating_add(talk.timeout()));
                let tag = running.tag.clone();
                talk.call_later(*limit, move |connection: &mut Connection<Self>, chat| {
                    connection.with(chat, |client, talk| client.end_idle(talk, Some(&tag)))
                });
                self.user.idling(&mut self.session)?;
                self.pump(talk)
            }
            _ => Err(UNASKED.into()),
        }
    }

    /// Of the IDLE with this tag, or of any.
    fn end_idle(&mut self, talk: &mut Talk<'_, '_>, tag: Option<&str>) -> Result {
        if let Some(running) = &mut self.running
            && tag.is_none_or(|tag| tag == running.tag)
            && let Request::Idle(_, idle) = &mut running.request
            && let Idle::Taken(patience) = *idle
        {
            *idle = Idle::Done;
            talk.set_timeout(patience);
            write!(talk, "DONE\r\n")?;
        }
        Ok(())
    }

    /// Sends what the user has queued.
    fn pump(&mut self, talk: &mut Talk<'_, '_>) -> Result {
        if mem::take(&mut self.session.done) {
            self.end_idle(talk, None)?;
        }
        if self.running.is_some() || self.step != Step::Ready {
            return Ok(());
        }
        match self.session.waiting.pop_front() {
            None => Ok(()),
            Some(Command::Idle(_)) if !self.has("IDLE") => Err("the server offers no IDLE".into()),
            Some(command) => {
                let line = command.line();
                let request = match command {
                    Command::Idle(limit) => Request::Idle(limit, Idle::Sent),
                    command => Request::Command(command),
                };
                self.send(talk, request, line)
            }
        }
    }

    /// Before the login: asks what the server offers, and turns to TLS.
    fn prepare(&mut self, talk: &mut Talk<'_, '_>) -> Result {
        if self.capabilities.is_none() {
            return self.send_word(talk, Request::Capability, "CAPABILITY");
        }
        if !self.settings.starttls || talk.is_secure() {
            return self.log_in(talk);
        }
        match self.has("STARTTLS") {
            true => self.send_word(talk, Request::StartTls, "STARTTLS"),
            false => Err("the server offers no STARTTLS (--starttls)".into()),
        }
    }

    fn log_in(&mut self, talk: &mut Talk<'_, '_>) -> Result {
        let Settings { user, password, .. } = &self.settings;
        if user.contains(char::is_control) || password.contains(char::is_control) {
            return Err("user name or password: no control characters are possible".into());
        }
        if !self.settings.allow_cleartext && !talk.is_confidential() {
            return Err(
                "the password would pass in clear: --tls or --starttls encrypts it, --allow-cleartext sends it as it is"
                    .into(),
            );
        }
        let plain = match self.settings.auth {
            Auth::Auto => self.has("AUTH=PLAIN"),
            Auth::Plain => true,
            Auth::Login => false,
        };
        let mut line = Line::default();
        if plain {
            let response = STANDARD.encode(format!("\0{user}\0{password}"));
            line.word("AUTHENTICATE PLAIN");
            // RFC 4959
            let later = match self.has("SASL-IR") {
                true => {
                    line.word(&response);
                    None
                }
                false => Some(response),
            };
            return self.send(talk, Request::Authenticate(later), line);
        }
        if self.has("LOGINDISABLED") {
            return Err("the server takes no password here: LOGINDISABLED".into());
        }
        line.word("LOGIN").string(user).string(password);
        self.send(talk, Request::LogIn, line)
    }

    fn ready(&mut self, talk: &mut Talk<'_, '_>) -> Result {
        self.step = Step::Ready;
        self.user.ready(&mut self.session)?;
        self.pump(talk)
    }

    fn greeting(&mut self, talk: &mut Talk<'_, '_>, status: &Status) -> Result {
        self.step = Step::LoggingIn;
        self.capabilities = status.capabilities();
        match status.kind {
            StatusKind::Ok => self.prepare(talk),
            // A server in the way could skip STARTTLS by it.
            StatusKind::Preauth if self.settings.starttls => Err(
                "the server begins with PREAUTH, after which there is no STARTTLS (--starttls)"
                    .into(),
            ),
            StatusKind::Preauth => self.logged_in(talk),
            _ => Err(status.refusal("greeting")),
        }
    }

    /// What a server offers changes with the login.
    fn logged_in(&mut self, talk: &mut Talk<'_, '_>) -> Result {
        self.step = Step::LoggedIn;
        match self.capabilities {
            None => self.send_word(talk, Request::Capability, "CAPABILITY"),
            Some(_) => self.ready(talk),
        }
    }

    fn completed(&mut self, talk: &mut Talk<'_, '_>, request: Request, status: &Status) -> Result {
        let is_ok = status.kind == StatusKind::Ok;
        match request {
            Request::Command(Command::Logout) if is_ok => {
                talk.succeed();
                Ok(())
            }
            Request::Command(Command::Logout) => Err(status.refusal("LOGOUT")),
            Request::Command(command) => self.tell(talk, &command, status),
            // The next one would end at once, too.
            Request::Idle(_, Idle::Taken(_)) => Err(status.refusal("IDLE is over")),
            Request::Idle(_, Idle::Sent) if is_ok => Err(status.refusal("IDLE is over")),
            Request::Idle(limit, _) => self.tell(talk, &Command::Idle(limit), status),
            Request::Capability if !is_ok => Err(status.refusal("CAPABILITY")),
            Request::StartTls if !is_ok => Err(status.refusal("STARTTLS")),
            Request::LogIn | Request::Authenticate(_) if !is_ok => Err(status.refusal("login")),
            Request::Capability => {
                self.capabilities.get_or_insert_default();
                match self.step {
                    Step::LoggedIn => self.ready(talk),
                    _ => self.prepare(talk),
                }
            }
            Request::StartTls => {
                self.step = Step::Handshake;
                talk.start_tls()
            }
            Request::LogIn | Request::Authenticate(_) => {
                self.capabilities = status.capabilities();
                self.logged_in(talk)
            }
        }
    }

    fn tell(&mut self, talk: &mut Talk<'_, '_>, command: &Command, status: &Status) -> Result {
        self.user.completed(&mut self.session, command, status)?;
        self.pump(talk)
    }

    fn respond(&mut self, talk: &mut Talk<'_, '_>, response: &Response) -> Result {
        let event = match response {
            Response::Greeting(status) if self.step == Step::Greeting => {
                return self.greeting(talk, status);
            }
            _ if self.step == Step::Greeting => return Err("the server does not greet".into()),
            Response::Continue => return self.go_on(talk),
            Response::Tagged(tag, status) => {
                return match self.running.take() {
                    Some(running) if running.tag == *tag => {
                        self.completed(talk, running.request, status)
                    }
                    _ => Err(format!("the server answers what was not asked: {tag:?}").into()),
                };
            }
            Response::Greeting(status) if status.kind == StatusKind::Bye => {
                let is_asked_for = matches!(
                    &self.running,
                    Some(Running {
                        request: Request::Command(Command::Logout),
                        ..
                    })
                );
                self.bye = Some(status.clone());
                return match is_asked_for {
                    true => Ok(()),
                    false => Err(status.refusal("the session is over")),
                };
            }
            Response::Capabilities(names) => {
                self.capabilities = Some(names.clone());
                return Ok(());
            }
            // Anybody can have said it before the login.
            _ if self.step != Step::Ready => return Ok(()),
            Response::Greeting(status) => Event::Status(status),
            Response::Mailbox {
                attributes,
                delimiter,
                name,
            } => Event::Mailbox {
                attributes,
                delimiter: delimiter.as_deref(),
                name,
            },
            Response::Found(numbers) => Event::Found(numbers),
            Response::Exists(count) => Event::Exists(*count),
            Response::Recent(count) => Event::Recent(*count),
            Response::Expunged(number) => Event::Expunged(*number),
            Response::Fetched(number, items) => {
                for (name, value) in items {
                    // A short body may come as a quoted string.
                    if let Value::Text(text) = value
                        && is_section(name)
                    {
                        self.user.body(*number, name, text.len() as u64)?;
                        self.user.data(text)?;
                    }
                }
                Event::Fetched(*number, items)
            }
            Response::Other => return Ok(()),
        };
        self.user.event(&mut self.session, event)?;
        self.pump(talk)
    }

    fn begin_literal(
        &mut self,
        talk: &mut Talk<'_, '_>,
        size: u64,
        body: Option<(u32, String)>,
    ) -> Result {
        match body.filter(|_| self.step == Step::Ready) {
            None => self.assembly.begin_literal(size)?,
            Some((number, _)) if size > self.settings.max_message => {
                let limit = self.settings.max_message;
                let error = format!(
                    "message {number}: its {size} bytes are more than {limit} (--max-message)"
                );
                return Err(error.into());
            }
            Some((number, section)) => {
                self.user.body(number, &section, size)?;
                self.assembly.begin_body(size);
            }
        }
        match size {
            0 => self.end_literal(talk),
            size => talk.read_data(size),
        }
        Ok(())
    }

    fn end_literal(&mut self, talk: &mut Talk<'_, '_>) {
        self.assembly.end_literal();
        talk.read_data("\n");
    }
}

impl<U: User> Protocol for Client<U> {
    fn connected(&mut self, talk: &mut Talk<'_, '_>) -> Result {
        // A response may be longer than a line of other protocols.
        talk.read_data("\n");
        Ok(())
    }

    fn secured(&mut self, talk: &mut Talk<'_, '_>) -> Result {
        if self.step != Step::Handshake {
            return Ok(());
        }
        // RFC 3501, 6.2.1: what was said before is forgotten.
        self.capabilities = None;
        self.assembly = Assembly::default();
        self.step = Step::LoggingIn;
        self.prepare(talk)
    }

    fn line(&mut self, _: &mut Talk<'_, '_>, _: &[u8]) -> Result {
        Err("a line where data was expected".into())
    }

    fn data(&mut self, _: &mut Talk<'_, '_>, data: &[u8]) -> Result {
        match self.assembly.is_body() {
            true => self.user.data(data),
            false => self.assembly.push(data),
        }
    }

    fn data_end(&mut self, talk: &mut Talk<'_, '_>) -> Result {
        if !self.assembly.is_line() {
            self.end_literal(talk);
            return Ok(());
        }
        match self.assembly.line_end()? {
            Ended::Response(response) => self.respond(talk, &response),
            Ended::Line(size, body) => self.begin_literal(talk, size, body),
        }
    }

    fn end_of_file(&mut self, talk: &mut Talk<'_, '_>) -> Result {
        // Some servers leave before they have answered LOGOUT: their BYE was the end.
        match self.bye {
            Some(_) => {
                talk.succeed();
                Ok(())
            }
            None => Err("the server closed the connection".into()),
        }
    }

    fn finished(&mut self, registry: &mut Registry, outcome: Result<(), BoxError>) {
        self.user.finished(registry, outcome);
    }
}
