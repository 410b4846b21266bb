//! The channel as a protocol sees it.

use std::{
    ops::{Deref, DerefMut},
    time::Duration,
};

use asynchat::{BoxError, ChatChannel, Result, Terminator};
use asynchat_rustls::ChannelTls;

use super::contact::Contact;

/// The end of a line. A server may do without the CR before it.
pub(super) const LINE_END: &str = "\n";

/// Of the connection, beside the protocol.
pub(super) struct State {
    pub(super) contact: Contact,
    pub(super) host: String,
    /// Pieces go to the protocol, not lines.
    pub(super) streaming: bool,
    pub(super) outcome: Option<Result<(), BoxError>>,
}

/// The channel of a [`Protocol`](super::Protocol), by `Deref`.
pub struct Talk<'a, 'r> {
    pub(super) chat: &'a mut ChatChannel<'r>,
    pub(super) state: &'a mut State,
}

impl Talk<'_, '_> {
    /// Input comes in lines, from the next byte on.
    pub fn read_lines(&mut self) {
        self.state.streaming = false;
        self.chat.set_terminator(LINE_END);
    }

    /// Input comes in pieces of any size, until this terminator.
    pub fn read_data(&mut self, until: impl Into<Terminator>) {
        self.state.streaming = true;
        self.chat.set_terminator(until);
    }

    /// Turns the connection to TLS. Commands wait until [`Protocol::secured`](super::Protocol::secured).
    ///
    /// # Errors
    /// A `--cacert` that cannot be read, a host that cannot be in a certificate.
    pub fn start_tls(&mut self) -> Result {
        let config = self.state.contact.tls()?;
        Ok(self.chat.start_tls_client(&self.state.host, config)?)
    }

    /// How long nothing may move.
    pub fn timeout(&self) -> Duration {
        self.state.contact.timeout
    }

    /// How long nothing may move from now on.
    pub fn set_timeout(&mut self, silence: Duration) {
        self.state.contact.timeout = silence;
        self.chat.set_idle_timeout(Some(silence));
    }

    /// Whether nobody on the way can read along.
    pub fn is_secure(&self) -> bool {
        self.chat.tls().is_some()
    }

    /// Whether a password may pass: the connection is secure, or does not leave this machine.
    pub fn is_confidential(&self) -> bool {
        self.is_secure()
            || match self.chat.peer_addr() {
                Ok(peer) => peer
                    .inet()
                    .is_none_or(|peer| peer.ip().to_canonical().is_loopback()),
                Err(_) => false,
            }
    }

    /// The name or address that was connected to.
    pub fn host(&self) -> &str {
        &self.state.host
    }

    /// Limits of time, and whom to trust: for further connections to the server.
    pub fn contact(&self) -> &Contact {
        &self.state.contact
    }

    /// The work is done: sends what is queued, and closes. Nothing more is read.
    pub fn succeed(&mut self) {
        self.state.outcome.get_or_insert(Ok(()));
        self.chat.close_when_done();
    }

    /// Sends what is queued, as a QUIT, and closes, with this outcome. Nothing more is read.
    pub fn give_up(&mut self, error: impl Into<BoxError>) {
        self.state.outcome.get_or_insert(Err(error.into()));
        self.chat.close_when_done();
    }

    /// Ends the connection at once, with this outcome.
    pub fn fail(&mut self, error: impl Into<BoxError>) {
        self.state.outcome.get_or_insert(Err(error.into()));
        self.chat.close();
    }
}

impl<'r> Deref for Talk<'_, 'r> {
    type Target = ChatChannel<'r>;

    fn deref(&self) -> &ChatChannel<'r> {
        self.chat
    }
}

impl<'r> DerefMut for Talk<'_, 'r> {
    fn deref_mut(&mut self) -> &mut ChatChannel<'r> {
        self.chat
    }
}
