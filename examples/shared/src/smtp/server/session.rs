//! A session on its channel: lines go to the dialogue, texts to the message, and the handler's answer back.

use std::{
    fmt,
    io::Write,
    rc::Rc,
    time::{Duration, Instant},
};

use asynchat::{
    Address, AsyncChat, BoxError, Channel, ChatChannel, ChatDispatcher, Closed, Dispatcher, Frame,
    FrameTooLong, Panicked, Registry, Result, Stream, VisitError,
};
use asynchat_rustls::ChannelTls;

use super::{
    Answer, Message, Status,
    dialogue::{Dialogue, Step},
    options::{MAX_COMMANDS_A_TURN, MAX_LINE, Seat, Server},
    text::{Bare, Text},
};
use crate::text::printable;

const LINE_END: &str = "\r\n";
const TEXT_END: &str = "\r\n.\r\n";

/// A connection with a client.
pub struct Session {
    server: Rc<Server>,
    dialogue: Dialogue,
    /// The line begun.
    line: Vec<u8>,
    phase: Phase,
    /// Messages so far.
    messages: u64,
    commands: u32,
    errors: usize,
    ends_at: Instant,
    seat: Option<Seat>,
}

#[derive(Debug)]
enum Phase {
    Commands,
    /// A line that is too long is skipped, up to its end.
    LongLine,
    Text(Box<Incoming>),
    /// The handler has the message.
    Waiting,
}

/// A message that arrives.
struct Incoming {
    text: Text,
    /// The message, until it is refused.
    message: Result<Box<dyn Message>, Status>,
    /// Bytes skipped since.
    skipped: u64,
}

/// Registers a session for an accepted stream. Past [`Options::max_sessions`](super::Options::max_sessions) the client is
/// told to come back.
///
/// # Errors
/// The reactor has no room.
pub fn accept(
    server: &Rc<Server>,
    registry: &mut Registry,
    stream: Stream,
    peer: Address,
) -> Result {
    if server.sessions.get() >= server.options.max_sessions {
        log::info!("{peer}: too many connections");
        registry.register(stream, Refusal(Rc::clone(server)))?;
        return Ok(());
    }
    log::info!("{peer}: connected");
    let ends_at = registry.now() + server.options.session;
    let seat = Some(Seat::take(server));
    let session = Session::new(server, peer, false, ends_at, seat);
    registry.register(stream, session.dispatcher())?;
    Ok(())
}

/// Ends a server: its listeners are closed, and so are sessions that send no message. A message that is being sent gets its
/// answer. The reactor stops with the last session.
pub fn end(server: &Server, registry: &mut Registry) {
    server.is_ending.set(true);
    for id in registry.ids() {
        let ended = registry.with_chat(id, |session: &mut Session, chat| session.end(chat));
        if matches!(ended, Err(VisitError::WrongType(_)))
            && let Some(mut other) = registry.channel(id)
        {
            other.close();
        }
    }
    stop_if_done(server, registry);
}

fn stop_if_done(server: &Server, registry: &mut Registry) {
    if server.is_ending.get() && server.sessions.get() == 0 {
        registry.stop();
    }
}

impl Session {
    fn new(
        server: &Rc<Server>,
        peer: Address,
        is_secured: bool,
        ends_at: Instant,
        seat: Option<Seat>,
    ) -> Self {
        Self {
            server: Rc::clone(server),
            dialogue: Dialogue::new(peer, is_secured),
            line: Vec::new(),
            phase: Phase::Commands,
            messages: 0,
            commands: 0,
            errors: 0,
            ends_at,
            seat,
        }
    }

    fn dispatcher(self) -> ChatDispatcher<Self> {
        ChatDispatcher::new(self, LINE_END).max_frame(MAX_LINE)
    }

    fn begin(&self, chat: &mut ChatChannel<'_>) {
        chat.set_idle_timeout(Some(self.server.options.idle));
        let left = self
            .ends_at
            .saturating_duration_since(chat.registry().now());
        chat.call_later(left, |session: &mut Self, chat| {
            session.say_goodbye(chat, "421 Error: session too long");
            Ok(())
        });
    }

    fn command(&mut self, chat: &mut ChatChannel<'_>, line: &[u8]) -> Result {
        self.commands = self.commands.wrapping_add(1);
        if chat.is_congested() {
            // A client that does not read is not read from.
            chat.pause_reading(Duration::MAX);
        } else if self.commands.is_multiple_of(MAX_COMMANDS_A_TURN) {
            chat.pause_reading(Duration::ZERO);
        }
        let server = Rc::clone(&self.server);
        match self.dialogue.command(&server, line) {
            Step::Say(text) => say(chat, &text),
            Step::Refuse(text) => self.refuse(chat, &text),
            Step::Message => self.begin_message(chat),
            Step::StartTls => self.start_tls(chat)?,
            Step::Quit => self.say_goodbye(chat, "221 Bye"),
        }
        Ok(())
    }

    fn refuse(&mut self, chat: &mut ChatChannel<'_>, text: &str) {
        self.errors += 1;
        if self.errors < self.server.options.max_errors {
            say(chat, text);
        } else {
            log::info!("{}: too many errors", self.peer());
            self.say_goodbye(chat, "421 Error: too many errors");
        }
    }

    fn say_goodbye(&mut self, chat: &mut ChatChannel<'_>, text: &str) {
        // An unfinished message is dropped, and an answer comes too late.
        self.phase = Phase::Commands;
        self.messages += 1;
        say(chat, text);
        chat.close_when_done();
    }

    /// Nothing that was said in clear is kept (RFC 3207, 4.2): the session is a new one.
    fn start_tls(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        let Some(acceptor) = &self.server.options.tls else {
            return Err("there is no certificate".into());
        };
        say(chat, "220 Ready to start TLS");
        let (peer, seat) = (self.peer().clone(), self.seat.take());
        let fresh = Self::new(&self.server, peer, true, self.ends_at, seat);
        chat.replace(fresh.dispatcher());
        Ok(chat.start_tls(acceptor)?)
    }

    fn begin_message(&mut self, chat: &mut ChatChannel<'_>) {
        self.messages += 1;
        let answer = Answer {
            channel: chat.id(),
            message: self.messages,
        };
        let begun = self.server.handler.message(&self.dialogue.envelope, answer);
        match begun {
            Err(status) => {
                self.dialogue.clear();
                self.give_status(chat, &status);
            }
            Ok(message) => {
                self.phase = Phase::Text(Box::new(Incoming {
                    text: Text::default(),
                    message: Ok(message),
                    skipped: 0,
                }));
                say(chat, "354 End data with <CR><LF>.<CR><LF>");
                chat.set_max_frame(None);
                chat.set_terminator(TEXT_END);
                // The CRLF of the command is the first one of the end if the text is empty (RFC 5321, 4.1.1.4).
                chat.unread(LINE_END);
            }
        }
    }

    fn end_message(&mut self, chat: &mut ChatChannel<'_>) {
        chat.set_terminator(LINE_END);
        chat.set_max_frame(Some(MAX_LINE));
        let Phase::Text(mut incoming) = std::mem::replace(&mut self.phase, Phase::Waiting) else {
            return;
        };
        let mut scratch = self.server.scratch.borrow_mut();
        incoming.finish(&self.server, &mut scratch);
        drop(scratch);
        match incoming.message {
            Ok(message) => {
                if let Some(status) = message.end() {
                    self.answered(chat, self.messages, &status);
                }
            }
            Err(status) => self.answered(chat, self.messages, &status),
        }
    }

    /// The handler, or the session itself, has decided on the message.
    pub(super) fn answered(&mut self, chat: &mut ChatChannel<'_>, message: u64, status: &Status) {
        if message != self.messages || !matches!(self.phase, Phase::Waiting) {
            return;
        }
        self.phase = Phase::Commands;
        let envelope = &self.dialogue.envelope;
        log::info!(
            "{}: message from <{}> to {} recipients: {status}",
            envelope.peer,
            printable(&envelope.sender),
            envelope.recipients.len()
        );
        self.dialogue.clear();
        self.give_status(chat, status);
        if self.server.is_ending.get() {
            self.say_goodbye(chat, "421 Service shutting down");
        }
    }

    fn give_status(&mut self, chat: &mut ChatChannel<'_>, status: &Status) {
        match status.code() {
            421 => self.say_goodbye(chat, &status.to_string()),
            _ => say(chat, &status.to_string()),
        }
    }

    fn end(&mut self, chat: &mut ChatChannel<'_>) {
        if !matches!(self.phase, Phase::Text(_) | Phase::Waiting) {
            self.say_goodbye(chat, "421 Service shutting down");
        }
    }

    fn peer(&self) -> &Address {
        &self.dialogue.envelope.peer
    }
}

impl Incoming {
    fn take(&mut self, server: &Server, piece: &[u8]) {
        if self.message.is_err() {
            self.skipped += piece.len() as u64;
            return;
        }
        let mut scratch = server.scratch.borrow_mut();
        scratch.clear();
        self.text.decode(piece, &mut scratch);
        self.hand_over(server, &scratch);
    }

    fn finish(&mut self, server: &Server, scratch: &mut Vec<u8>) {
        scratch.clear();
        self.text.finish(scratch);
        self.hand_over(server, scratch);
    }

    fn hand_over(&mut self, server: &Server, data: &[u8]) {
        let Ok(message) = &mut self.message else {
            return;
        };
        let refusal = match self.text.bare() {
            Some(Bare::Lf) => Some("bare <LF>"),
            Some(Bare::Cr) => Some("bare <CR>"),
            None => None,
        };
        if let Some(bare) = refusal {
            let text = format!("Error: {bare} in the message; lines end with <CR><LF>");
            self.message = Err(Status::new(550, text));
        } else if self.text.size() > server.options.max_size {
            self.message = Err(Status::new(552, "Error: Too much mail data"));
        } else if !data.is_empty()
            && let Err(status) = message.data(data)
        {
            self.message = Err(status);
        }
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming")
            .field("text", &self.text)
            .field("refused", &self.message.as_ref().err())
            .finish()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("dialogue", &self.dialogue)
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}

impl AsyncChat for Session {
    fn handle_connect(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        self.begin(chat);
        Ok(write!(
            chat,
            "220 {} asynchat SMTP server\r\n",
            self.server.options.hostname
        )?)
    }

    fn handle_secured(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        self.begin(chat);
        Ok(())
    }

    fn found_frame(&mut self, chat: &mut ChatChannel<'_>, frame: Frame<'_>) -> Result {
        if matches!(self.phase, Phase::Commands) && self.line.is_empty() {
            return self.command(chat, &frame);
        }
        if !frame.is_empty() {
            self.collect_incoming_data(chat, &frame)?;
        }
        self.found_terminator(chat)
    }

    fn collect_incoming_data(&mut self, chat: &mut ChatChannel<'_>, data: &[u8]) -> Result {
        match &mut self.phase {
            Phase::Text(incoming) => {
                incoming.take(&self.server, data);
                if incoming.skipped > self.server.options.max_size {
                    self.say_goodbye(chat, "552 Error: Too much mail data");
                }
            }
            Phase::Commands => self.line.extend_from_slice(data),
            Phase::LongLine | Phase::Waiting => {}
        }
        Ok(())
    }

    fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        match self.phase {
            Phase::Text(_) => self.end_message(chat),
            Phase::LongLine => self.phase = Phase::Commands,
            Phase::Commands | Phase::Waiting => {
                let line = std::mem::take(&mut self.line);
                self.command(chat, &line)?;
            }
        }
        Ok(())
    }

    fn readable(&self) -> bool {
        match &self.phase {
            Phase::Text(incoming) => match &incoming.message {
                Ok(message) => message.readable(),
                Err(_) => true,
            },
            Phase::Waiting => false,
            Phase::Commands | Phase::LongLine => true,
        }
    }

    fn handle_drain(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        chat.resume_reading();
        Ok(())
    }

    fn handle_timeout(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        self.say_goodbye(chat, "421 Error: timeout exceeded");
        Ok(())
    }

    fn handle_error(&mut self, chat: &mut ChatChannel<'_>, error: BoxError) {
        if error.is::<FrameTooLong>() {
            self.line.clear();
            self.phase = Phase::LongLine;
            self.refuse(chat, "500 Error: line too long");
            return;
        }
        let text = printable(&error.to_string());
        match error.is::<Panicked>() {
            true => log::error!("{}: {text}", self.peer()),
            // The client's doing: TLS that is malformed, or cut.
            false => log::info!("{}: {text}", self.peer()),
        }
        chat.close();
    }

    fn handle_closed(&mut self, registry: &mut Registry, why: Closed) {
        log::info!("{}: {}", self.peer(), printable(&why.to_string()));
        self.seat = None;
        stop_if_done(&self.server, registry);
    }
}

fn say(chat: &mut ChatChannel<'_>, text: &str) {
    // Into memory: the reactor sends it.
    let _ = write!(chat, "{text}\r\n");
}

/// One client too many.
struct Refusal(Rc<Server>);

impl Dispatcher for Refusal {
    fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
        let hostname = &self.0.options.hostname;
        write!(channel, "421 {hostname} Error: too many connections\r\n")?;
        channel.close_when_done();
        Ok(())
    }
}
