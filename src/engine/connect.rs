//! Connection attempts: a time limit, one outcome (R4).

use std::{io, time::Duration};

use crate::{
    address::Address,
    closed::Cause,
    id::ChannelId,
    net::{
        connect::{ConnectOptions, Outcome, SocketOptions, connect, connect_stream},
        errno::out_of_resources,
        failures::no_address,
        io::Io,
    },
    state::{
        dispatcher::{Dispatcher, Exceptional},
        filtered::Filtered,
        phase::{Attempt, Phase},
        race::{Race, log_failure, timed_out},
        registry::{Registry, Task},
        slot::Slot,
        socket::Socket,
    },
    time::later,
};

/// The pause after which a full backlog is tried again, doubling to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

impl Registry {
    pub(crate) fn start_connect(
        &mut self,
        mut addresses: Vec<Address>,
        options: &ConnectOptions,
        dispatcher: Box<dyn Dispatcher>,
    ) -> io::Result<ChannelId> {
        if addresses.len() > 1 {
            return self.start_race(addresses, options, dispatcher);
        }
        let address = addresses.pop().ok_or_else(no_address)?;
        let socket = options.of_socket();
        let dialled = self.dial(&address, socket.as_deref());
        let attempt = self.plan_one(Some(address), options, socket);
        self.insert_attempt(dialled, attempt, false, dispatcher)
    }

    #[inline]
    fn plan_one(
        &self,
        address: Option<Address>,
        options: &ConnectOptions,
        socket: Option<Box<SocketOptions>>,
    ) -> Attempt {
        let timeout = options.timeout.unwrap_or(self.policy.connect_timeout);
        let timeout = options
            .deadline
            .map_or(timeout, |deadline| deadline.min(timeout));
        Attempt {
            nodelay: options.nodelay,
            socket,
            ..Attempt::new(address, timeout, self.clock.present())
        }
    }

    /// An attempt that has not begun: one address, or several that race.
    pub(crate) fn plan(&self, mut addresses: Vec<Address>, options: &ConnectOptions) -> Attempt {
        let socket = options.of_socket();
        if addresses.len() <= 1 {
            return self.plan_one(addresses.pop(), options, socket);
        }
        let race = Race::new(addresses, options, self.clock.present());
        Attempt {
            race: Some(Box::new(race)),
            ..self.plan_one(None, options, socket)
        }
    }

    /// Has a channel that has no socket connect. Every failure, a lack of descriptors too, is told by `handle_expt` in a
    /// later turn.
    pub(crate) fn begin_connecting(
        &mut self,
        id: ChannelId,
        addresses: Vec<Address>,
        options: &ConnectOptions,
    ) {
        let mut attempt = self.plan(addresses, options);
        let races = attempt.race.is_some();
        let Some(slot) = self.slot_mut(id) else {
            return;
        };
        if let Phase::Resolving(resolving) = &mut slot.phase {
            attempt.layer = resolving.layer.take();
        }
        slot.peer = attempt.address.as_ref().and_then(Address::inet).into();
        slot.phase = Phase::Connecting(Box::new(attempt));
        if races {
            return self.go_on_with_race(id);
        }
        match self.dial_for(id) {
            Ok(()) => self.begin_attempt(id),
            Err(error) => self.fail_later(id, error),
        }
    }

    /// The visit of the next turn is told.
    pub(crate) fn fail_later(&mut self, id: ChannelId, error: io::Error) {
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
        let attempt = Attempt::new(Some(address), timeout, self.clock.present());
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
        let peer_addr = attempt.address.as_ref().and_then(Address::inet);
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
    pub(crate) fn dial(
        &self,
        address: &Address,
        options: Option<&SocketOptions>,
    ) -> io::Result<Io> {
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

    pub(crate) fn attempt(&mut self, id: ChannelId) -> Option<&mut Attempt> {
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
        // Not the turn's time: callbacks may have taken long before this.
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
        if attempt.race.is_some() {
            return self.race_timer_fired(id);
        }
        if attempt.deadline > now {
            return self.dial_again(id);
        }
        let error = timed_out(format!("no answer within {:?}", attempt.timeout));
        self.fail_later(id, error);
    }

    /// The backlog was full: there may be a place by now.
    fn dial_again(&mut self, id: ChannelId) {
        if let Some(attempt) = self.attempt(id) {
            attempt.pause = (attempt.pause * 2).min(LONGEST_PAUSE);
        }
        match self.dial_for(id) {
            Ok(()) => self.arm_connect_timer(id),
            Err(error) => self.fail_later(id, error),
        }
    }

    /// Begins to connect a channel that has no socket to its one address.
    fn dial_for(&mut self, id: ChannelId) -> io::Result<()> {
        let Some(attempt) = self.attempt(id) else {
            return Ok(());
        };
        let options = attempt.socket.clone();
        let Some(address) = attempt.address.clone() else {
            return Err(no_address());
        };
        let mut io = self.dial(&address, options.as_deref())?;
        let Some((slot, poll)) = self.slot_and_poll(id) else {
            return Ok(());
        };
        if !matches!(io, Io::Absent) {
            io.register(poll, id.token())?;
            slot.flags.note_registered();
            slot.io = io;
        }
        Ok(())
    }

    /// Learns how the attempt went: a greeting is next, or the end.
    pub(crate) fn finish_connect(&mut self, id: ChannelId) {
        let Some((slot, poll)) = self.slot_and_poll(id) else {
            return;
        };
        let Phase::Connecting(attempt) = &mut slot.phase else {
            return;
        };
        let failure = match attempt.failure.take() {
            Some(error) => error,
            None if matches!(slot.io, Io::Absent) => {
                if attempt.race.is_some() {
                    self.look_at_race(id);
                }
                return;
            }
            None => match slot.io.outcome() {
                Outcome::Connected => return self.connected(id),
                Outcome::Reset => {
                    slot.flags.note_reset();
                    slot.readiness.read_again();
                    return self.connected(id);
                }
                Outcome::Failed(error) => error,
                // Handed in, and not connecting any more.
                Outcome::NoPeer(error)
                    if attempt.address.is_none() && slot.readiness.read_closed() =>
                {
                    // Both directions have ended, so it has no peer any more; what the peer sent is still there.
                    if slot.io.has_ended() {
                        return self.connected(id);
                    }
                    error
                }
                Outcome::NoPeer(error) if error.kind() == io::ErrorKind::NotConnected => {
                    slot.readiness.write_blocked();
                    slot.io.rearm(poll, id.token());
                    return;
                }
                Outcome::NoPeer(error) => error,
            },
        };
        self.attempt_failed(id, failure);
    }

    pub(crate) fn connected(&mut self, id: ChannelId) {
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
        let layer = attempt.layer.take();
        slot.phase = Phase::Greeting;
        if let Some(timer) = timer {
            self.cancel_timer(timer);
        }
        if let Some(layer) = layer {
            self.begin_handshake(id, Box::new(Filtered::new(layer)));
        }
    }

    fn attempt_failed(&mut self, id: ChannelId, failure: io::Error) {
        let Some(attempt) = self.attempt(id) else {
            return;
        };
        let timer = attempt.timer.take();
        if let Some(address) = &attempt.address {
            log_failure(id, address, &failure);
        }
        if let Some(timer) = timer {
            self.cancel_timer(timer);
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
}
