//! Connection attempts: one address after the other, each with a timeout, one outcome (R4).

use std::{io, time::Duration};

use crate::{
    address::Address,
    closed::Cause,
    id::ChannelId,
    net::{
        connect::{ConnectOptions, SocketOptions, connect, connect_stream},
        errno::out_of_resources,
        io::Io,
        readiness::Readiness,
        socket::Socket,
    },
    state::{
        dispatcher::{Dispatcher, Exceptional},
        phase::{Attempt, Phase},
        registry::{Registry, Task},
        slot::Slot,
    },
    time::later,
};

/// The pause after which a full backlog is tried again, doubling to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

impl Registry {
    pub(crate) fn start_connect(
        &mut self,
        addresses: Vec<Address>,
        options: &ConnectOptions,
        dispatcher: Box<dyn Dispatcher>,
    ) -> io::Result<ChannelId> {
        let Some(first) = addresses.first() else {
            return Err(no_address());
        };
        let socket = options.of_socket();
        let dialled = self.dial(first, socket.as_deref());
        let timeout = options.timeout.unwrap_or(self.policy.connect_timeout);
        let attempt = Attempt {
            nodelay: options.nodelay,
            socket,
            ..Attempt::new(addresses, timeout, self.clock.present())
        };
        self.insert_attempt(dialled, attempt, false, dispatcher)
    }

    /// Has a channel that has no socket connect. Every failure, a lack of descriptors too, is told by `handle_expt` in a
    /// later turn.
    #[allow(dead_code, reason = "for channels that wait for addresses")]
    pub(crate) fn begin_connecting(
        &mut self,
        id: ChannelId,
        addresses: Vec<Address>,
        options: &ConnectOptions,
    ) {
        let timeout = options.timeout.unwrap_or(self.policy.connect_timeout);
        let mut attempt = Attempt {
            nodelay: options.nodelay,
            socket: options.of_socket(),
            ..Attempt::new(addresses, timeout, self.clock.present())
        };
        let first = attempt.addresses.front().cloned();
        let dialled = match &first {
            Some(first) => self.dial(first, attempt.socket.as_deref()),
            None => Err(no_address()),
        };
        if let Some(slot) = self.slot_mut(id) {
            let (io, address) = match dialled {
                Ok(io) => (io, first),
                Err(error) => {
                    attempt.failure = Some(error);
                    (Io::Absent, None)
                }
            };
            slot.phase = Phase::Connecting(Box::new(attempt));
            let watched = match &address {
                Some(address) => self.swap_socket(id, io, address),
                None => return self.enqueue(id),
            };
            match watched {
                Ok(()) => self.begin_attempt(id),
                Err(error) => self.fail_later(id, error),
            }
        }
    }

    /// The visit of the next turn is told.
    fn fail_later(&mut self, id: ChannelId, error: io::Error) {
        if let Some(attempt) = self.attempt(id) {
            attempt.failure = Some(error);
        }
        self.enqueue(id);
    }

    /// Connects a socket that was made elsewhere.
    pub(crate) fn start_connect_of(
        &mut self,
        socket: Socket,
        address: Address,
        dispatcher: Box<dyn Dispatcher>,
    ) -> io::Result<ChannelId> {
        socket.set_nonblocking()?;
        let io = socket.into_stream()?;
        let dialled = self.dial_with(io, &address);
        let timeout = self.policy.connect_timeout;
        let attempt = Attempt::new(vec![address], timeout, self.clock.present());
        self.insert_attempt(dialled, attempt, true, dispatcher)
    }

    fn insert_attempt(
        &mut self,
        dialled: io::Result<Io>,
        mut attempt: Attempt,
        lent: bool,
        dispatcher: Box<dyn Dispatcher>,
    ) -> io::Result<ChannelId> {
        let io = match dialled {
            Ok(io) => io,
            Err(error) if out_of_resources(&error) => return Err(error),
            Err(error) => {
                attempt.failure = Some(error);
                Io::Absent
            }
        };
        let peer_addr = attempt.addresses.front().and_then(Address::inet);
        let failed = attempt.failure.is_some();
        let present = !matches!(io, Io::Absent);
        let mut slot = Slot::new(
            io,
            dispatcher,
            Phase::Connecting(Box::new(attempt)),
            self.clock.stamp(),
        );
        slot.peer = peer_addr.into();
        slot.lent.set(lent);
        let id = self.insert(slot, present)?;
        if failed {
            self.enqueue(id);
        } else {
            self.begin_attempt(id);
        }
        Ok(id)
    }

    /// Begins to connect. [`Io::Absent`] if the backlog of a Unix listener is full: no event says when it is not.
    fn dial(&self, address: &Address, options: Option<&SocketOptions>) -> io::Result<Io> {
        #[cfg(feature = "testing")]
        if let Some(net) = &self.net {
            return Ok(Io::MemoryStream(net.dial(address)));
        }
        match connect(address, options) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Io::Absent),
            dialled => dialled,
        }
    }

    /// Begins to connect a socket that was made elsewhere.
    fn dial_with(&self, io: Io, address: &Address) -> io::Result<Io> {
        #[cfg(feature = "testing")]
        if let Some(net) = &self.net {
            return Ok(Io::MemoryStream(net.dial(address)));
        }
        connect_stream(&io, address).map(|()| io)
    }

    fn attempt(&mut self, id: ChannelId) -> Option<&mut Attempt> {
        match &mut self.slot_mut(id)?.phase {
            Phase::Connecting(attempt) => Some(attempt),
            _ => None,
        }
    }

    /// An address is being tried from now on.
    pub(crate) fn begin_attempt(&mut self, id: ChannelId) {
        let Some(timeout) = self.attempt(id).map(|attempt| attempt.timeout) else {
            return;
        };
        // Not the turn's time: a name lookup may have taken long before this.
        let deadline = later(self.clock.present(), timeout);
        if let Some(attempt) = self.attempt(id) {
            attempt.deadline = deadline;
            attempt.pause = FIRST_PAUSE;
        }
        self.arm_connect_timer(id);
    }

    fn arm_connect_timer(&mut self, id: ChannelId) {
        let retry = |pause| later(self.clock.present(), pause);
        let Some(slot) = self.slot(id) else { return };
        let Phase::Connecting(attempt) = &slot.phase else {
            return;
        };
        let due = match slot.io {
            Io::Absent => attempt.deadline.min(retry(attempt.pause)),
            _ => attempt.deadline,
        };
        let timer = self.timers.insert(due, Task::Connect(id));
        if let Some(attempt) = self.attempt(id) {
            attempt.timer = Some(timer);
        }
    }

    pub(crate) fn connect_timer_fired(&mut self, id: ChannelId) {
        let now = self.clock.get();
        let Some(attempt) = self.attempt(id) else {
            return;
        };
        attempt.timer = None;
        if attempt.deadline > now {
            return self.dial_again(id);
        }
        attempt.failure = Some(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("no answer within {:?}", attempt.timeout),
        ));
        self.enqueue(id);
    }

    /// The backlog was full: there may be a place by now.
    fn dial_again(&mut self, id: ChannelId) {
        let Some(attempt) = self.attempt(id) else {
            return;
        };
        attempt.pause = (attempt.pause * 2).min(LONGEST_PAUSE);
        let Some(address) = attempt.addresses.front().cloned() else {
            return;
        };
        let options = attempt.socket.clone();
        match self
            .dial(&address, options.as_deref())
            .and_then(|io| self.swap_socket(id, io, &address))
        {
            Ok(()) => self.arm_connect_timer(id),
            Err(error) => self.fail_later(id, error),
        }
    }

    /// Learns how the attempt went: a greeting is next, or another address, or the end. The socket is asked for its
    /// error first and for its peer second, because a second look at a failed one finds no error and an end of file.
    pub(crate) fn finish_connect(&mut self, id: ChannelId) {
        let Some((slot, poll)) = self.slot_and_poll(id) else {
            return;
        };
        let Phase::Connecting(attempt) = &mut slot.phase else {
            return;
        };
        let failure = match attempt.failure.take() {
            Some(error) => error,
            None if matches!(slot.io, Io::Absent) => return,
            None => match (slot.io.take_error(), slot.io.peer_addr()) {
                // Only a connection that was made can be reset, after the peer has perhaps said why.
                (Ok(Some(error)), _) if is_reset(&error) => {
                    slot.flags.note_reset();
                    slot.readiness.read_again();
                    return self.connected(id);
                }
                (Ok(Some(error)) | Err(error), _) => error,
                (Ok(None), Ok(_)) => return self.connected(id),
                // Handed in, and not connecting any more.
                (Ok(None), Err(error))
                    if attempt.addresses.is_empty() && slot.readiness.read_closed() =>
                {
                    // Both directions have ended, so it has no peer any more; what the peer sent is still there.
                    if slot.io.has_ended() {
                        return self.connected(id);
                    }
                    error
                }
                (Ok(None), Err(error)) if error.kind() == io::ErrorKind::NotConnected => {
                    slot.readiness.write_blocked();
                    slot.io.rearm(poll, id.token());
                    return;
                }
                (Ok(None), Err(error)) => error,
            },
        };
        self.attempt_failed(id, failure);
    }

    fn connected(&mut self, id: ChannelId) {
        let Some(slot) = self.slot_mut(id) else {
            return;
        };
        let Phase::Connecting(attempt) = &mut slot.phase else {
            return;
        };
        let timer = attempt.timer.take();
        if attempt.nodelay
            && let Io::TcpStream(stream) = &slot.io
            && let Err(error) = stream.set_nodelay(true)
        {
            log::debug!(target: "asynchat::channel", "channel {id}: TCP_NODELAY: {error}");
        }
        slot.phase = Phase::Greeting;
        if let Some(timer) = timer {
            self.cancel_timer(timer);
        }
    }

    fn attempt_failed(&mut self, id: ChannelId, mut failure: io::Error) {
        loop {
            let Some(attempt) = self.attempt(id) else {
                return;
            };
            let timer = attempt.timer.take();
            let tried = attempt.addresses.pop_front();
            let next = attempt.addresses.front().cloned();
            let options = attempt.socket.clone();
            if let Some(timer) = timer {
                self.cancel_timer(timer);
            }
            if let Some(tried) = tried {
                log::debug!(target: "asynchat::channel", "channel {id}: connecting to {tried}: {failure}");
            }
            let Some(next) = next else { break };
            self.close_socket(id);
            match self
                .dial(&next, options.as_deref())
                .and_then(|io| self.swap_socket(id, io, &next))
            {
                Ok(()) => return self.begin_attempt(id),
                Err(error) => failure = error,
            }
        }
        self.on_occasion(id, Cause::ConnectFailed, |registry| {
            let mut passed_on = None;
            registry.call(id, |d, channel| {
                passed_on = d
                    .handle_expt(channel, Exceptional::ConnectFailed(failure))
                    .err();
                Ok(())
            });
            // Of any kind: no rule makes something else of it here.
            if let Some(error) = passed_on {
                registry.fail_with(id, error);
            }
            let kept = registry.occasion.error.take();
            registry.close_with(id, Cause::ConnectFailed, kept);
        });
    }

    /// Goes on with another socket under the same id; a stale event of the old one only makes it be asked early.
    fn swap_socket(&mut self, id: ChannelId, mut io: Io, peer: &Address) -> io::Result<()> {
        self.close_socket(id);
        let Some((slot, poll)) = self.slot_and_poll(id) else {
            return Ok(());
        };
        if !matches!(io, Io::Absent) {
            io.register(poll, id.token())?;
            slot.flags.note_registered();
        }
        slot.io = io;
        slot.readiness = Readiness::default();
        slot.peer = peer.inet().into();
        Ok(())
    }

    /// Before the next is made: the source address may be for one socket at a time.
    fn close_socket(&mut self, id: ChannelId) {
        let Some((slot, poll)) = self.slot_and_poll(id) else {
            return;
        };
        if slot.flags.note_deregistered()
            && let Err(error) = slot.io.deregister(poll)
        {
            log::debug!(target: "asynchat::reactor", "channel {id}: deregistering: {error}");
        }
        slot.io = Io::Absent;
    }
}

fn no_address() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "no address to connect to")
}

fn is_reset(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}
