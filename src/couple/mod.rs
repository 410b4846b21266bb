//! Two connections that pass on to each other: what a proxy does once both ends are there.

mod half;
mod pair;

pub(crate) mod options;

use std::io;

use crate::{
    couple::{half::Half, options::CoupleOptions, pair::Pair},
    error::closed,
    id::ChannelId,
    net::io::Role,
    state::{flags::Sending, registry::Registry},
};

/// # Coupling
impl Registry {
    /// Passes on what arrives at one of two channels to the other, in both directions, until both are gone.
    ///
    /// Both get an object of the library's in the place of their own ([`replace`](crate::Channel::replace)), so an own one
    /// can lead a handshake first: SOCKS, `CONNECT`. Bytes given back ([`unread`](crate::Channel::unread)) are passed on
    /// first, and what is queued is sent first. Either channel may still be connecting. A chat is coupled in its own
    /// `found_terminator`, or reads nothing (`readable`, or a pause) from then until it is.
    ///
    /// - *Back-pressure*: while what waits for one side is above the high watermark, the other is not read. A stalled reader
    ///   costs the high watermark and one read.
    /// - *End of file*: the other side is half-closed behind what is queued. After the second one both are closed gracefully.
    ///   Over a [filter](crate::Channel::upgrade) it is the filter's end that counts and is passed on.
    /// - *Reset*, an error, or a stream that [was truncated](crate::Channel::is_truncated): the other side is reset at once,
    ///   paused or not, before or after an end of file, so that a part of something does not pass for the whole. A Unix
    ///   stream, which has no resets, is closed, without its filter's end.
    /// - *Any other end* (no connection, a failed handshake, idle for too long, closed by the program): the other side is
    ///   closed gracefully.
    ///
    /// [`CoupleOptions::on_end`] gets both ends with their errors when both are gone. The log has these errors at debug level.
    ///
    /// ```
    /// use asynchat::{Address, Channel, CoupleOptions, Dispatcher, Result, Stream};
    ///
    /// /// Passes connections on to another address.
    /// struct Proxy;
    /// impl Dispatcher for Proxy {
    ///     fn handle_accepted(&mut self, channel: &mut Channel<'_>, stream: Stream, _: Address) -> Result {
    ///         let registry = channel.registry();
    ///         let near = registry.register(stream, Unserved)?;
    ///         let far = registry.connect(([192, 0, 2, 7], 80), Unserved)?;
    ///         registry.couple(near, far, CoupleOptions::new())?;
    ///         Ok(())
    ///     }
    /// }
    ///
    /// /// Until it is replaced.
    /// struct Unserved;
    /// impl Dispatcher for Unserved {}
    /// # #[cfg(feature = "testing")] {
    /// let mut proxy = asynchat::testing::Listener::new(Proxy);
    /// let mut client = proxy.connect();
    /// let mut server = proxy.dialled().expect("the proxy connects");
    /// client.feed("question");
    /// server.connected();
    /// assert_eq!(server.output(), b"question");
    ///
    /// server.feed("answer");
    /// server.eof();
    /// assert_eq!(client.output(), b"answer");
    /// assert!(client.has_ended() && !client.is_closed());
    /// # }
    /// ```
    ///
    /// # Errors
    /// `NotConnected` if one of them is closed. `InvalidInput` if they are the same, if one is no stream (a listener, a
    /// datagram socket, a pipe), is coupled already, or has ended its output. Then nothing is changed.
    pub fn couple(
        &mut self,
        near: ChannelId,
        far: ChannelId,
        options: CoupleOptions,
    ) -> io::Result<()> {
        if near == far {
            return Err(refused(near, "cannot be coupled with itself"));
        }
        for id in [near, far] {
            self.check_coupling(id)?;
        }
        let (low, high) = (options.low, options.high);
        for id in [near, far] {
            if let Some(mut channel) = self.channel(id) {
                channel.set_watermarks(low, high);
                // The watermarks are the bound: for a queue above them nothing is read.
                channel.set_max_outgoing(usize::MAX);
            }
        }
        let pair = Pair::new([near, far], options);
        let halves = [0, 1].map(|side| Half::new(&pair, side, self.handle()));
        let mut cut = Vec::new();
        for (id, half) in [near, far].into_iter().zip(halves) {
            if let Some(mut channel) = self.channel(id)
                && half.take_over(&mut channel)
            {
                cut.push(id);
            }
        }
        // Not before both have their halves: the end of one is the end of the other.
        for id in cut {
            if let Some(mut channel) = self.channel(id) {
                channel.close();
            }
        }
        Ok(())
    }

    fn check_coupling(&self, id: ChannelId) -> io::Result<()> {
        let slot = self.slot(id).ok_or_else(|| closed(id))?;
        if slot.io.role() != Role::Stream {
            Err(refused(id, "is no stream, which alone can be coupled"))
        } else if self.holds::<Half>(id) {
            Err(refused(id, "is coupled already"))
        } else if slot.flags.is_closing() || slot.flags.sending() != Sending::Open {
            Err(refused(id, "has ended its output, so it cannot be coupled"))
        } else {
            Ok(())
        }
    }
}

fn refused(id: ChannelId, why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("channel {id} {why}"))
}
