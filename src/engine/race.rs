//! Several addresses of one attempt at the same time: the first that answers is the connection (R4).
//!
//! All sockets are registered under the channel's id, and the slot has none. So an event only says that one of them has
//! news, and each is asked.

use std::{io, mem};

use crate::{
    address::Address,
    id::ChannelId,
    net::{
        connect::{ConnectOptions, Outcome},
        errno::out_of_resources,
        failures::no_address,
        io::Io,
        readiness::{Readiness, SHORT_MEANS_DRAINED},
    },
    state::{
        dispatcher::Dispatcher,
        phase::Phase,
        race::Race,
        registry::{Registry, Task},
        slot::Slot,
    },
    time::later,
};

/// Addresses that are tried in one go because each fails at once.
const TRIES_IN_A_ROW: usize = 64;

impl Registry {
    pub(crate) fn start_race(
        &mut self,
        addresses: Vec<Address>,
        options: &ConnectOptions,
        dispatcher: Box<dyn Dispatcher>,
    ) -> io::Result<ChannelId> {
        let mut attempt = self.plan(addresses, options);
        let now = self.clock.present();
        let first = attempt.race.as_mut().and_then(|race| race.take_due(now));
        let first = first.ok_or_else(no_address)?;
        let dialled = match self.dial(&first, attempt.socket.as_deref()) {
            Err(error) if out_of_resources(&error) => return Err(error),
            dialled => dialled,
        };
        let phase = Phase::Connecting(Box::new(attempt));
        let mut slot = Slot::new(Io::Absent, dispatcher, phase, self.clock.stamp());
        slot.peer = first.inet().into();
        let id = self.insert(slot, false)?;
        self.launch(id, first, dialled);
        self.go_on_with_race(id);
        Ok(id)
    }

    fn launch(&mut self, id: ChannelId, address: Address, dialled: io::Result<Io>) {
        let now = self.clock.present();
        let Some((slot, poll)) = self.slot_and_poll(id) else {
            return;
        };
        let Phase::Connecting(attempt) = &mut slot.phase else {
            return;
        };
        let deadline = later(now, attempt.timeout);
        let Some(race) = &mut attempt.race else {
            return;
        };
        log::debug!(target: "asynchat::channel", "channel {id}: connecting to {address}");
        slot.peer = address.inet().into();
        let begun = dialled.and_then(|mut io| {
            // A full backlog. With other addresses to try there is no need to wait for a place.
            if matches!(io, Io::Absent) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            io.register(poll, id.token())?;
            Ok(io)
        });
        match begun {
            Ok(io) => {
                race.began(io, address, now, deadline);
                if !race.mixed {
                    slot.readiness = Readiness::default();
                }
            }
            Err(error) => race.not_begun(id, address, error, now),
        }
    }

    /// Tries the addresses that are due, and decides when to look again. No callback runs in here.
    pub(crate) fn go_on_with_race(&mut self, id: ChannelId) {
        for _ in 0..TRIES_IN_A_ROW {
            let now = self.clock.present();
            let Some(attempt) = self.attempt(id) else {
                return;
            };
            let options = attempt.socket.clone();
            let Some(address) = attempt.race.as_mut().and_then(|race| race.take_due(now)) else {
                break;
            };
            let dialled = self.dial(&address, options.as_deref());
            self.launch(id, address, dialled);
        }
        let Some(attempt) = self.attempt(id) else {
            return;
        };
        let timer = attempt.timer;
        let Some(race) = &mut attempt.race else {
            return;
        };
        if race.is_lost() {
            let error = mem::take(&mut race.failures).into_error();
            attempt.timer = None;
            // It may be due in this turn, and would find a race without a failure.
            if let Some(timer) = timer {
                self.cancel_timer(timer);
            }
            return self.fail_later(id, error);
        }
        let due = race.due();
        if timer.is_some_and(|timer| self.timers.reschedule(timer, due)) {
            return;
        }
        let timer = self.timers.insert(due, Task::Connect(id));
        if let Some(attempt) = self.attempt(id) {
            attempt.timer = Some(timer);
        }
    }

    pub(crate) fn race_timer_fired(&mut self, id: ChannelId) {
        let now = self.clock.get();
        if let Some((slot, poll)) = self.slot_and_poll(id)
            && let Phase::Connecting(attempt) = &mut slot.phase
            && let Some(race) = &mut attempt.race
        {
            while let Some(io) = race.take_expired(id, now, attempt.timeout) {
                retire(id, io, poll);
            }
        }
        self.go_on_with_race(id);
    }

    /// An event has come: asks every socket how its attempt stands.
    pub(crate) fn look_at_race(&mut self, id: ChannelId) {
        let now = self.clock.present();
        let Some((slot, poll)) = self.slot_and_poll(id) else {
            return;
        };
        let Phase::Connecting(attempt) = &mut slot.phase else {
            return;
        };
        let Some(race) = &mut attempt.race else {
            return;
        };
        let mut index = 0;
        while let Some(attempt) = race.flying.get_mut(index) {
            let failure = match attempt.io.outcome() {
                Outcome::NoPeer(error) if error.kind() == io::ErrorKind::NotConnected => {
                    attempt.io.rearm(poll, id.token());
                    index += 1;
                    continue;
                }
                Outcome::NoPeer(error) | Outcome::Failed(error) => error,
                outcome @ (Outcome::Connected | Outcome::Reset) => {
                    let known = if race.mixed {
                        announce_again(&mut attempt.io, poll, id)
                    } else {
                        Ok(())
                    };
                    match known {
                        Ok(()) => return self.win(id, index, matches!(outcome, Outcome::Reset)),
                        Err(error) => error,
                    }
                }
            };
            retire(id, race.failed(id, index, failure, now), poll);
        }
        slot.readiness.write_blocked();
        self.go_on_with_race(id);
    }

    /// The channel goes on with the socket of this attempt, as if there had been no other.
    fn win(&mut self, id: ChannelId, index: usize, reset: bool) {
        let Some((slot, poll)) = self.slot_and_poll(id) else {
            return;
        };
        let Phase::Connecting(attempt) = &mut slot.phase else {
            return;
        };
        let Some(mut race) = attempt.race.take() else {
            return;
        };
        let winner = race.flying.remove(index);
        slot.io = winner.io;
        slot.flags.note_registered();
        slot.peer = winner.address.inet().into();
        if race.mixed {
            slot.readiness = Readiness::WRITABLE;
        }
        if reset {
            slot.flags.note_reset();
            slot.readiness.read_again();
        }
        let others = race.flying.len();
        end_race(id, *race, poll);
        log::debug!(
            target: "asynchat::channel",
            "channel {id}: connected to {}, {others} other attempts given up", winner.address
        );
        self.connected(id);
    }
}

/// Closes the sockets of a race.
pub(crate) fn end_race(id: ChannelId, race: Race, poll: &mio::Registry) {
    for attempt in race.flying {
        retire(id, attempt.io, poll);
    }
}

/// Closes a socket that the poller watches and nobody else has.
fn retire(id: ChannelId, mut io: Io, poll: &mio::Registry) {
    if !SHORT_MEANS_DRAINED {
        deregister(&mut io, poll, id);
    }
}

/// An error is only told: mio's poll(2) has forgotten a connection that is broken, and then has none to take out.
fn deregister(io: &mut Io, poll: &mio::Registry, id: ChannelId) {
    if let Err(error) = io.deregister(poll) {
        log::debug!(target: "asynchat::reactor", "channel {id}: deregistering: {error}");
    }
}

/// The channel's readiness was of several sockets. A new registration reports what this one has.
fn announce_again(io: &mut Io, poll: &mio::Registry, id: ChannelId) -> io::Result<()> {
    deregister(io, poll, id);
    io.register(poll, id.token())
}
