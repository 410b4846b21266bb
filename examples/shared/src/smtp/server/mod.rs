//! The server of SMTP (RFC 5321), after CPython's `smtpd`: HELO, EHLO, MAIL with SIZE (RFC 1870), BODY (RFC 6152) and SMTPUTF8
//! (RFC 6531), RCPT, DATA, RSET, NOOP, VRFY, HELP, QUIT, STARTTLS (RFC 3207), PIPELINING (RFC 2920).
//!
//! A [`Handler`] gets each message as it arrives, in pieces, and answers for it when it likes. Only CRLF.CRLF ends a message.
//! One with a bare CR or LF is refused, because other servers may take that for a line end.

mod dialogue;
mod options;
mod parameters;
mod session;
mod status;
mod text;

use asynchat::{Address, ChannelId, Registry, VisitError};

pub use options::{Options, Server};
pub use session::{Session, accept, end};
pub use status::Status;

/// Decides on recipients and takes messages: `process_message` of CPython's `smtpd.SMTPServer`.
pub trait Handler: 'static {
    /// A recipient; `envelope` has those before it. By default everybody is one.
    ///
    /// # Errors
    /// The status that refuses the recipient.
    fn recipient(&self, _envelope: &Envelope, _mailbox: &str) -> Result<(), Status> {
        Ok(())
    }

    /// A message begins.
    ///
    /// # Errors
    /// The status that refuses it, in place of 354.
    fn message(&self, envelope: &Envelope, answer: Answer) -> Result<Box<dyn Message>, Status>;
}

/// A message that arrives. Dropped before its [`end`](Self::end), it was cut off or refused: nobody is told that it was
/// delivered.
pub trait Message: 'static {
    /// A piece of the text, without the dots that were added for its transfer. Lines end with LF, the last one too.
    ///
    /// # Errors
    /// The status that refuses the message. The rest of it is skipped.
    fn data(&mut self, data: &[u8]) -> Result<(), Status>;

    /// Whether more is wanted: if not, the client waits. [`Answer::wake`] has this asked again.
    fn readable(&self) -> bool {
        true
    }

    /// The message is complete. `None` if its [`Answer`] is given later: commands that follow wait for it.
    fn end(self: Box<Self>) -> Option<Status>;
}

/// Who sends a message to whom.
#[derive(Clone, Debug)]
pub struct Envelope {
    pub peer: Address,
    /// The name that the client gives itself.
    pub helo: String,
    /// It said EHLO.
    pub is_extended: bool,
    /// The connection is TLS.
    pub is_secured: bool,
    /// Empty for a message that must not be answered, `<>`.
    pub sender: String,
    pub recipients: Vec<String>,
    /// The parameters of MAIL, in capitals. RCPT has none.
    pub options: Vec<String>,
    /// Addresses and header may be UTF-8.
    pub is_utf8: bool,
}

impl Envelope {
    fn new(peer: Address, is_secured: bool) -> Self {
        Self {
            peer,
            helo: String::new(),
            is_extended: false,
            is_secured,
            sender: String::new(),
            recipients: Vec::new(),
            options: Vec::new(),
            is_utf8: false,
        }
    }

    /// Forgets the message, not the client.
    fn clear(&mut self) {
        self.sender = String::new();
        self.recipients = Vec::new();
        self.options = Vec::new();
        self.is_utf8 = false;
    }
}

/// The way from a message that is handled elsewhere back to its session. It may go to another thread. In a call of the
/// [`Message`] itself it finds no session: there a status is returned.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    channel: ChannelId,
    message: u64,
}

impl Answer {
    /// Answers for the message. Does nothing if the client has gone, or has got its answer.
    pub fn give(self, registry: &mut Registry, status: &Status) {
        self.visit(registry, |session, chat| {
            session.answered(chat, self.message, status);
        });
    }

    /// Has [`Message::readable`] asked again.
    pub fn wake(self, registry: &mut Registry) {
        if let Some(mut channel) = registry.channel(self.channel) {
            channel.touch();
        }
    }

    fn visit(
        self,
        registry: &mut Registry,
        visit: impl FnOnce(&mut Session, &mut asynchat::ChatChannel<'_>),
    ) {
        match registry.with_chat(self.channel, visit) {
            Ok(()) | Err(VisitError::Closed(_)) => {}
            Err(error) => log::error!("no answer for a message: {error}"),
        }
    }
}
