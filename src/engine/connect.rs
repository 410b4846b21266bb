//! Connection attempts: one address after the other, each with a timeout, one outcome (R4).

use std::io;

use crate::{
    address::Address,
    id::ChannelId,
    net::{
        connect::{ConnectOptions, connect},
        errno::out_of_resources,
        io::Io,
        readiness::Readiness,
    },
    state::{
        dispatcher::{Dispatcher, Exceptional},
        phase::{Attempt, Phase},
        registry::{Registry, Task},
        slot::Slot,
    },
    time::later,
};

impl Registry {
    pub(crate) fn start_connect(
        &mut self,
        addresses: Vec<Address>,
        options: &ConnectOptions,
        dispatcher: Box<dyn Dispatcher>,
    ) -> io::Result<ChannelId> {
        let Some(first) = addresses.first() else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "no address to connect to",
            ));
        };
        let (io, failure) = match self.dial(first) {
            Ok(io) => (io, None),
            Err(error) if out_of_resources(&error) => return Err(error),
            Err(error) => (Io::Absent, Some(error)),
        };
        let peer_addr = first.inet();
        let attempt = Attempt {
            addresses: addresses.into(),
            timeout: options.timeout.unwrap_or(self.policy.connect_timeout),
            nodelay: options.nodelay,
            timer: None,
            failure,
        };
        let present = !matches!(io, Io::Absent);
        let mut slot = Slot::new(
            io,
            dispatcher,
            Phase::Connecting(Box::new(attempt)),
            self.clock.stamp(),
        );
        slot.peer = peer_addr.into();
        let id = self.insert(slot, present)?;
        if present {
            self.arm_connect_timer(id);
        } else {
            self.enqueue(id);
        }
        Ok(id)
    }

    fn dial(&self, address: &Address) -> io::Result<Io> {
        #[cfg(feature = "testing")]
        if let Some(net) = &self.net {
            return Ok(Io::MemoryStream(net.dial(address)));
        }
        connect(address)
    }

    fn attempt(&mut self, id: ChannelId) -> Option<&mut Attempt> {
        match &mut self.slot_mut(id)?.phase {
            Phase::Connecting(attempt) => Some(attempt),
            _ => None,
        }
    }

    fn arm_connect_timer(&mut self, id: ChannelId) {
        let Some(timeout) = self.attempt(id).map(|attempt| attempt.timeout) else {
            return;
        };
        // Not the turn's time: a name lookup may have taken long before this.
        let deadline = later(self.clock.present(), timeout);
        let timer = self.timers.insert(deadline, Task::Connect(id));
        if let Some(attempt) = self.attempt(id) {
            attempt.timer = Some(timer);
        }
    }

    pub(crate) fn connect_timed_out(&mut self, id: ChannelId) {
        if let Some(attempt) = self.attempt(id) {
            attempt.timer = None;
            attempt.failure = Some(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("no answer within {:?}", attempt.timeout),
            ));
            self.enqueue(id);
        }
    }

    /// Learns how the attempt went: a greeting is next, or another address, or the end. The socket is asked for its error first and for its peer
    /// second, because a second look at a failed one finds no error and an end of file.
    pub(crate) fn finish_connect(&mut self, id: ChannelId) {
        let Some((slot, poll)) = self.slot_and_poll(id) else {
            return;
        };
        let Phase::Connecting(attempt) = &mut slot.phase else {
            return;
        };
        let failure = match attempt.failure.take() {
            Some(error) => error,
            None => match (slot.io.take_error(), slot.io.peer_addr()) {
                (Ok(Some(error)) | Err(error), _) => error,
                (Ok(None), Ok(_)) => {
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
                    return;
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

    fn attempt_failed(&mut self, id: ChannelId, mut failure: io::Error) {
        loop {
            let Some(attempt) = self.attempt(id) else {
                return;
            };
            let timer = attempt.timer.take();
            let tried = attempt.addresses.pop_front();
            let next = attempt.addresses.front().cloned();
            if let Some(timer) = timer {
                self.cancel_timer(timer);
            }
            if let Some(tried) = tried {
                log::debug!(target: "asynchat::channel", "channel {id}: connecting to {tried}: {failure}");
            }
            let Some(next) = next else { break };
            match self
                .dial(&next)
                .and_then(|io| self.swap_socket(id, io, &next))
            {
                Ok(()) => return self.arm_connect_timer(id),
                Err(error) => failure = error,
            }
        }
        self.call(id, |d, channel| {
            d.handle_expt(channel, Exceptional::ConnectFailed(failure))
        });
        self.close(id, "not connected");
    }

    /// Goes on with another socket under the same id; a stale event of the old one only makes it be asked early.
    fn swap_socket(&mut self, id: ChannelId, mut io: Io, peer: &Address) -> io::Result<()> {
        let Some((slot, poll)) = self.slot_and_poll(id) else {
            return Ok(());
        };
        if slot.flags.note_deregistered()
            && let Err(error) = slot.io.deregister(poll)
        {
            log::debug!(target: "asynchat::reactor", "channel {id}: deregistering: {error}");
        }
        io.register(poll, id.token())?;
        slot.io = io;
        slot.flags.note_registered();
        slot.readiness = Readiness::default();
        slot.peer = peer.inet().into();
        Ok(())
    }
}
