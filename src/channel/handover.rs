//! Handing a connection over: to another object, or out of the reactor (R11).

use bytes::Bytes;

use crate::{
    outgoing::Unsent,
    state::{
        channel::Channel,
        dispatcher::{Dispatcher, boxed},
        phase::Phase,
        slot::Slot,
        socket::Socket,
        with_id::made,
    },
    stats::State,
};

/// The parts of a channel that [`Channel::detach`] took out of the reactor.
///
/// It is not `Send`, because a queued [`Producer`](crate::Producer) need not be. Its parts are, except
/// [`Unsent::Producer`](crate::Unsent::Producer), so they can go to another thread one by one:
///
/// ```
/// # use asynchat::*;
/// fn hand_over(detached: Detached, worker: &Handle, make: fn() -> Box<dyn Dispatcher>) -> Result {
///     let (socket, unread) = (detached.socket, detached.unread);
///     let mut unsent = Vec::new();
///     for part in detached.unsent {
///         match part {
///             Unsent::Bytes(bytes) => unsent.push(bytes),
///             other => return Err(format!("{other:?} stays on its thread").into()),
///         }
///     }
///     worker.call_soon(move |registry| {
///         let id = registry.register(socket, make())?;
///         if let Some(mut channel) = registry.channel(id) {
///             channel.unread(unread);
///             unsent.into_iter().for_each(|bytes| channel.push(bytes));
///         }
///         Ok(())
///     })?;
///     Ok(())
/// }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Detached {
    /// The socket, open and no longer watched. It is non-blocking.
    pub socket: Socket,
    /// The outgoing queue, in order.
    pub unsent: Vec<Unsent>,
    /// The bytes given back with [`Channel::unread`] and not read again.
    pub unread: Bytes,
}

/// # Handing over
///
/// ```
/// use asynchat::{Channel, Dispatcher, Result};
///
/// /// The first byte selects the protocol.
/// struct Select;
/// impl Dispatcher for Select {
///     fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
///         let data = channel.recv_with(|_, data| data.to_vec())?;
///         if let Some((b'u', rest)) = data.split_first() {
///             channel.unread(rest.to_vec());
///             channel.replace(Upper);
///         }
///         Ok(())
///     }
/// }
///
/// struct Upper;
/// impl Dispatcher for Upper {
///     fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
///         channel.recv_with(|channel, data| channel.push(data.to_ascii_uppercase()))?;
///         Ok(())
///     }
/// }
/// # #[cfg(feature = "testing")] {
/// let mut peer = asynchat::testing::Harness::new(Select);
/// peer.feed("uhello");
/// assert_eq!(peer.output(), b"HELLO");
/// # }
/// ```
impl Channel<'_> {
    /// Takes the socket, still open, and the unsent queue out of the reactor. No callback of this channel runs after
    /// the current one.
    ///
    /// Returns `None` if the channel is closed. It stays in the reactor, and the answer is `None`, while it is connecting,
    /// while a filter's handshake is on, and once a channel with a filter has sent everything after `close_when_done`.
    ///
    /// A [filter](Channel#filters) goes along with the socket: registered again, here or in another reactor, the socket has
    /// it without another handshake. A [`Socket`] with a filter becomes no bare socket.
    ///
    /// What a chat has read and not handed out goes along only with [`ChatChannel::detach`](crate::ChatChannel::detach),
    /// which [`with_chat`](crate::Registry::with_chat) reaches from outside.
    ///
    /// Of a listener only the socket goes along. Registered again, it has neither
    /// [`max_per_peer`](crate::ListenOptions::max_per_peer) nor
    /// [`proxy_protocol`](crate::ListenOptions::proxy_protocol).
    ///
    /// ```
    /// use asynchat::{Dispatcher, Reactor, Unsent};
    /// use std::{io::{Read, Write}, net::{TcpListener, TcpStream}};
    ///
    /// struct Idle;
    /// impl Dispatcher for Idle {}
    ///
    /// # fn main() -> asynchat::Result {
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let mut client = TcpStream::connect(listener.local_addr()?)?;
    /// let mut reactor = Reactor::new()?;
    /// let id = reactor.register(listener.accept()?.0, Idle)?;
    /// let mut channel = reactor.channel(id).ok_or("closed")?;
    /// channel.push("hello");
    ///
    /// let detached = channel.detach().ok_or("connecting")?;
    /// let mut stream = detached.socket.into_tcp_stream().map_err(|_| "no TCP stream")?;
    /// stream.set_nonblocking(false)?;
    /// for unsent in detached.unsent {
    ///     if let Unsent::Bytes(bytes) = unsent {
    ///         stream.write_all(&bytes)?;
    ///     }
    /// }
    /// drop(stream);
    /// let mut text = String::new();
    /// client.read_to_string(&mut text)?;
    /// assert_eq!(text, "hello");
    /// # Ok(())
    /// # }
    /// ```
    pub fn detach(&mut self) -> Option<Detached> {
        let waits = |slot: &Slot| {
            let state = slot.state();
            matches!(state, State::Resolving | State::Connecting)
                || slot.is_shaking()
                || slot.has_lost_filter()
        };
        if self.slot().is_ok_and(waits) {
            return None;
        }
        let (mut slot, queue, _) = self.registry.remove(self.id, true, |_| "detached")?;
        self.registry.cancel_calls(slot.take_calls());
        // If `handle_accepted` registers it again and then fails, it is still the stream that was given.
        let serial = match self.registry.adopted {
            Some((serial, id)) if id == self.id => serial,
            _ => 0,
        };
        if let Some(dispatcher) = slot.dispatcher.take() {
            self.registry.discard(dispatcher);
        }
        self.registry.resume_listeners();
        let place = slot.take_place();
        let layer = match slot.take_filtered() {
            Some(Phase::Filtered(filtered)) => Some(filtered.layer),
            _ => None,
        };
        let unsent = queue.map_or_else(Vec::new, |queue| queue.into_unsent());
        Some(Detached {
            socket: Socket {
                io: slot.io,
                adopted: false,
                lent: slot.lent.get(),
                serial,
                peer: slot.peer.get(),
                place,
                unread: Bytes::new(),
                layer,
            },
            unsent,
            unread: slot
                .unread
                .map_or_else(Bytes::new, |unread| (*unread).into()),
        })
    }

    /// Puts another object behind this channel. It gets the callbacks from the moment the current one has returned.
    ///
    /// The connection stays as it is: `handle_connect` is not called again. The channel's
    /// [timers](Channel#timers-of-a-channel) end with the object that armed them, and so does a
    /// [pause](Self::pause_reading). Does nothing once the channel is closed or its queue is sent after `close_when_done`.
    ///
    /// What a chat has read and not handed out goes to the new object only with
    /// [`ChatChannel::replace`](crate::ChatChannel::replace).
    pub fn replace(&mut self, d: impl Dispatcher) {
        let mut object = boxed(d);
        made(&mut object, self.id());
        let type_name = (*object).type_name();
        let Ok(slot) = self.slot_mut() else { return };
        if slot.is_lingering() {
            return;
        }
        slot.type_name = type_name;
        slot.flags.note_replaced();
        slot.readiness.renew_end_news();
        let old = slot.dispatcher.replace(object);
        self.registry.drop_pause(self.id);
        self.registry.progress += 1;
        self.registry.ownership_changes += 1;
        self.registry.touch_later(self.id());
        self.registry.end_calls(self.id);
        if let Some(old) = old {
            self.registry.discard(old);
        }
    }
}
