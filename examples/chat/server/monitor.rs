//! The operator's port, after Medusa's `monitor.py`, whose sessions were a Python prompt inside the server. Here they
//! have a few commands. An operator who connects is sent a challenge and answers it with its HMAC under the password, so
//! that the password itself is never sent. What follows is not encrypted.

use std::{
    hash::{BuildHasher, RandomState},
    rc::Rc,
    time::{Duration, Instant},
};

use asynchat::{Address, Channel, ChannelId, ChatDispatcher, Dispatcher, Registry, Result, Stream};

use crate::{room::MAX_LINE, session::Session};

/// Sessions at a time. The one that has owed its answer for longest makes room for another.
pub(crate) const MAX_SESSIONS: usize = 8;
/// How long the answer to the challenge may take.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// How long a client that gave a wrong answer may keep its own end open.
pub(crate) const PARTING: Duration = Duration::from_secs(1);
/// However many answers are wrong, so often the log tells it.
const WARN_EVERY: Duration = Duration::from_secs(1);
/// How long an operator may be silent.
pub(crate) const SILENT: Duration = Duration::from_secs(30 * 60);

/// The listener's object.
pub(crate) struct Monitor {
    room: ChannelId,
    password: Rc<str>,
    sessions: Vec<ChannelId>,
    pub(crate) wrong_answers: u64,
    warned: Option<Instant>,
    keys: RandomState,
    challenges: u64,
}

impl Monitor {
    pub(crate) fn new(room: ChannelId, password: &str) -> Self {
        Self {
            room,
            password: password.into(),
            sessions: Vec::new(),
            wrong_answers: 0,
            warned: None,
            keys: RandomState::new(),
            challenges: 0,
        }
    }

    /// Never the same twice, and not to be foreseen: a keyed hash of a count, under keys the system drew.
    fn challenge(&mut self) -> String {
        self.challenges += 1;
        let [a, b] = [0, 1].map(|half: u8| self.keys.hash_one((self.challenges, half)));
        format!("{a:016x}{b:016x}")
    }

    /// Counts a wrong answer, and tells of it unless it has just told of another.
    pub(crate) fn count_wrong_answer(&mut self, now: Instant, who: &str) {
        self.wrong_answers += 1;
        if self.warned.is_some_and(|then| now - then < WARN_EVERY) {
            return;
        }
        self.warned = Some(now);
        let all = self.wrong_answers;
        log::warn!("{who}: wrong answer to the challenge; so far: {all}");
    }

    fn make_room(&mut self, registry: &mut Registry) -> bool {
        self.sessions.retain(|&id| registry.channel(id).is_some());
        if self.sessions.len() < MAX_SESSIONS {
            return true;
        }
        // A connection that only waits for its peer's end has no object any more, so it makes room as well.
        let oldest = self.sessions.iter().position(|&id| {
            registry.with_chat(id, |session: &mut Session, _| session.is_in) != Ok(true)
        });
        let Some(oldest) = oldest else { return false };
        if let Some(mut session) = registry.channel(self.sessions.remove(oldest)) {
            session.close();
        }
        true
    }
}

impl Dispatcher for Monitor {
    fn handle_accepted(
        &mut self,
        channel: &mut Channel<'_>,
        stream: Stream,
        peer: Address,
    ) -> Result {
        let monitor = channel.id();
        let registry = channel.registry();
        if !self.make_room(registry) {
            log::info!("{peer} is refused: {MAX_SESSIONS} monitor sessions are open");
            return Ok(());
        }
        log::info!("monitor connection from {peer}");
        let session = Session::new(monitor, self.room, self.password.clone(), self.challenge());
        let chat = ChatDispatcher::collecting(session, "\n", MAX_LINE);
        self.sessions.push(registry.register(stream, chat)?);
        Ok(())
    }
}
