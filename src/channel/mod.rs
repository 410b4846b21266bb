//! One registered socket, as callbacks and lookups see it.

pub(crate) mod handover;
mod input;
mod output;

use std::{io, time::Duration};

use crate::{
    address::Address,
    engine::describe,
    id::ChannelId,
    net::io::Role,
    state::{
        channel::Channel,
        flags::{Peer, Sending},
        phase::Phase,
        registry::{Registry, Task},
        slot::Slot,
    },
    stats::State,
};

impl<'r> Channel<'r> {
    /// The channel's name.
    pub fn id(&self) -> ChannelId {
        self.id
    }

    /// Everything else in the reactor.
    pub fn registry(&mut self) -> &mut Registry {
        self.registry
    }

    /// The address of this end.
    ///
    /// # Errors
    /// What the system says, or `NotConnected` once closed.
    pub fn local_addr(&self) -> io::Result<Address> {
        self.slot()?.io.local_addr()
    }

    /// The address of the other end; while connecting, the one being tried.
    ///
    /// # Errors
    /// `NotConnected` where there is no peer.
    pub fn peer_addr(&self) -> io::Result<Address> {
        self.slot()?.peer_addr()
    }

    /// What the channel is doing.
    pub fn state(&self) -> State {
        self.slot().map_or(State::Closed, Slot::state)
    }

    /// Whether the peer broke the connection, rather than ending it: what `handle_close` came for.
    pub fn is_reset(&self) -> bool {
        self.slot()
            .is_ok_and(|slot| slot.flags.peer() == Peer::Reset)
    }

    /// Type name, id and addresses, as log lines show them.
    pub fn describe(&self) -> String {
        self.slot().map_or_else(
            |_| format!("<channel {}, closed>", self.id),
            |slot| describe(self.id, slot),
        )
    }

    /// Closes gracefully: sends what is queued, tells the peer, throws its input away until its end of file or the
    /// linger limits ([`Builder::linger`](crate::Builder::linger)), closes (R10).
    ///
    /// From now on nothing is read and pushes are dropped. `handle_close` still comes if the peer resets the
    /// connection before everything is sent.
    pub fn close_when_done(&mut self) {
        let id = self.id;
        let now = self.registry.clock.stamp();
        let Some(slot) = self.registry.uncorked(id) else {
            return;
        };
        if !slot.flags.begin_closing() {
            return;
        }
        // The peer has all of the idle timeout to take what is left.
        slot.active_at = now;
        match slot.io.role() {
            Role::Listener | Role::Datagram => self.close(),
            Role::Stream | Role::Fd => {
                slot.unread = None;
                self.registry.progress += 1;
                self.registry.ownership_changes += 1;
                self.registry.touch_later(id);
            }
        }
    }

    /// Closes at once: what is queued or unread is dropped and no callback of this channel runs any more (R6, R10).
    pub fn close(&mut self) {
        self.registry.close(self.id, "close");
    }

    /// Tells the peer that nothing more comes, once the queue is sent; reading goes on (half-close).
    ///
    /// Streams only. A pipe has no such half: its write end is ended by `close_when_done`.
    pub fn shutdown_write(&mut self) {
        let id = self.id;
        let Some(slot) = self.registry.uncorked(id) else {
            return;
        };
        if slot.io.role() != Role::Stream {
            log::debug!(target: "asynchat::channel", "channel {id}: shutdown_write of what is no stream ignored");
        } else if slot.flags.sending() == Sending::Open {
            slot.flags.end_sending();
            self.registry.progress += 1;
            self.registry.touch_later(self.id);
        }
    }

    /// Calls `handle_timeout` whenever nothing was read or written for `after`; `None` ends it. O(log n); each
    /// read or write costs one store (R20).
    ///
    /// A channel that is already closing ([`close_when_done`](Self::close_when_done)), and whose peer has taken nothing
    /// of what is queued for so long, is closed instead, without a callback.
    pub fn set_idle_timeout(&mut self, after: Option<Duration>) {
        let id = self.id;
        let now = self.registry.clock.stamp();
        let deadline = after.map(|after| self.registry.after(after));
        let Ok(slot) = self.slot_mut() else { return };
        if matches!(slot.phase, Phase::Lingering { .. }) {
            return;
        }
        slot.active_at = now;
        if let Some(timer) = slot.timer.take() {
            self.registry.cancel(timer);
        }
        if let (Some(after), Some(deadline)) = (after, deadline) {
            let timer = self.registry.timers.insert(deadline, Task::Idle(id, after));
            if let Ok(slot) = self.slot_mut() {
                slot.timer = Some(timer);
            }
        }
    }

    /// Asks `readable`, `writable` and a pending producer again (R3, R13).
    pub fn touch(&mut self) {
        if let Ok(slot) = self.slot_mut() {
            slot.flags.switch_on();
            if let Some(queue) = self.registry.queue(self.id) {
                queue.unpark();
            }
            self.registry.progress += 1;
            self.registry.touch_later(self.id);
        }
    }

    /// The descriptor, for socket options the crate has no call for. Not for I/O: readiness would go wrong.
    ///
    /// # Errors
    /// `NotConnected` once closed.
    #[cfg(unix)]
    pub fn as_fd(&self) -> io::Result<std::os::fd::BorrowedFd<'_>> {
        self.slot()?.io.as_fd()
    }

    /// The socket handle, for socket options the crate has no call for. Not for I/O: readiness would go wrong.
    ///
    /// # Errors
    /// `NotConnected` once closed.
    #[cfg(windows)]
    pub fn as_socket(&self) -> io::Result<std::os::windows::io::BorrowedSocket<'_>> {
        self.slot()?.io.as_socket()
    }
}
