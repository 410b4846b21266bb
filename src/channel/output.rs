//! The outgoing queue as the users of a channel see it: filling it, its length, its limits (R12–R14).

use std::{io, time::Duration};

use crate::{
    address::Address,
    error::Result,
    outgoing::{
        Outgoing, WAITING_WEIGHT,
        file_part::FilePart,
        into_bytes::IntoBytes,
        part::{Part, Sent},
    },
    producer::Producer,
    state::{
        channel::Channel, policy::Limits, registry::Registry, slot::queue::note_cut_off,
        table::find,
    },
};

/// # Sending
///
/// Each stream has an outgoing queue of bytes, producers and files, sent in order as fast as the peer takes them.
/// Pushes never block. The reactor sends what a callback queued when the callback has returned, in as few writes as
/// possible.
///
/// ```
/// use asynchat::{Channel, Dispatcher, LinesProducer, Result};
/// use std::io::Write;
///
/// struct Page;
/// impl Dispatcher for Page {
///     fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
///         write!(channel, "{} lines\r\n", 3)?; // copied into the queue's buffer
///         channel.push("one\r\n"); // anything that converts into `Bytes`
///         channel.push_with_producer(LinesProducer::new(["two", "three"])); // asked when it is needed
///         channel.close_when_done();
///         Ok(())
///     }
/// }
/// # #[cfg(feature = "testing")] {
/// let mut peer = asynchat::testing::Harness::new(Page);
/// assert_eq!(peer.output(), b"3 lines\r\none\r\ntwo\r\nthree\r\n");
/// assert!(peer.has_ended());
/// # }
/// ```
impl Channel<'_> {
    /// Writes to the socket now, without the queue. Returns the number of bytes taken, which may be less than all.
    ///
    /// For a handler with its own buffer, as in asyncore, and for connected datagram sockets. [`push`](Self::push)
    /// takes all.
    ///
    /// ```
    /// use asynchat::{Channel, Dispatcher, Result};
    ///
    /// struct Sender(Vec<u8>);
    /// impl Dispatcher for Sender {
    ///     fn writable(&self) -> bool {
    ///         !self.0.is_empty()
    ///     }
    ///     fn handle_write(&mut self, channel: &mut Channel<'_>) -> Result {
    ///         let taken = channel.send(&self.0)?;
    ///         self.0.drain(..taken);
    ///         Ok(())
    ///     }
    /// }
    /// # #[cfg(feature = "testing")] {
    /// let mut peer = asynchat::testing::Harness::new(Sender(b"hello".to_vec()));
    /// assert_eq!(peer.output(), b"hello");
    /// # }
    /// ```
    ///
    /// # Errors
    /// `WouldBlock` if the socket is full, and while the outgoing queue is not empty, so that nothing overtakes it. For
    /// a broken connection see [`recv`](Self::recv).
    #[inline]
    pub fn send(&mut self, data: &[u8]) -> io::Result<usize> {
        self.registry.send(self.id, data)
    }

    /// Sends one datagram. [`recv_from`](Self::recv_from) has an example.
    ///
    /// A Unix datagram socket is always writable, also if its peer's queue is full. Keep a datagram that was refused,
    /// return false from `writable`, and try again later with [`call_later`](crate::Registry::call_later).
    ///
    /// # Errors
    /// `WouldBlock` if the system's queue, or that of the Unix peer, is full, otherwise the error of `sendto`.
    pub fn send_to(&mut self, data: &[u8], to: impl Into<Address>) -> io::Result<usize> {
        let to = to.into();
        let id = self.id;
        self.registry
            .write(id, |slot, poll, _| slot.send_to(data, &to, poll, id))
    }

    /// Queues bytes, in order with everything else. Never blocks. The [section](#sending) has an example.
    ///
    /// Bytes up to 2 KiB are copied into one buffer; longer ones are sent without a copy. To queue a borrowed slice use
    /// [`io::Write`], which copies.
    ///
    /// The bytes are dropped, with a debug line, after `close_when_done`, `shutdown_write` or `close`. If they exceed
    /// [`max_outgoing`](crate::Builder::max_outgoing), they are dropped and `handle_error` gets
    /// [`OutgoingFull`](crate::OutgoingFull).
    pub fn push(&mut self, data: impl IntoBytes) {
        let mut data = data.into_bytes();
        if !data.is_empty() {
            self.registry.push(self.id, data.len(), 0, |queue, spare| {
                queue.push(&mut data, spare);
            });
        }
    }

    /// Queues a source of bytes that is asked for more only as fast as the peer takes them.
    ///
    /// Bytes that a producer has not given yet count for no watermark and no limit; the producer itself counts as 512
    /// bytes. If peers can request producers, stop while [`is_congested`](Self::is_congested). One that does not fit
    /// under `max_outgoing` is dropped, as the bytes of a [`push`](Self::push) are.
    pub fn push_with_producer(&mut self, producer: impl Producer + 'static) {
        self.registry.push(self.id, WAITING_WEIGHT, 0, |queue, _| {
            queue.push_producer(Box::new(producer));
        });
    }

    /// Queues a part, and calls `then` once: when all of the part has left, or when the rest of it will not.
    ///
    /// *Left* means handed to the system; the peer may not have it yet. [`Sent`] says how many bytes of the part left, and
    /// whether these are all. They are not all if the part
    /// - is dropped with the queue: the channel closes, is reset or detached, or discards its output;
    /// - fails as a producer or a file;
    /// - was not queued, for the reasons in [`push`](Self::push).
    ///
    /// `then` never runs inside a callback. It runs after the flush with which the part left, before `handle_drain` and
    /// before a `close_when_done` ends the channel; otherwise at the end of the turn. So the object is back in its
    /// channel, and [`Registry::with`](crate::Registry::with) lends it. The closures of one channel run in the order of their
    /// parts, an empty one included. A reactor that is dropped only drops the closures.
    ///
    /// An error or panic of `then` goes to the channel's `handle_error`, or, once the channel has closed, to
    /// [`Builder::on_error`](crate::Builder::on_error).
    ///
    /// Costs O(1), and one allocation for the closure; small parts still leave together. For watermarks and
    /// `max_outgoing` the closure counts as 128 bytes.
    ///
    /// ```
    /// use asynchat::{Channel, Dispatcher, FilePart, Result};
    ///
    /// struct Download(Option<FilePart>);
    /// impl Dispatcher for Download {
    ///     fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
    ///         let Some(file) = self.0.take() else { return Ok(()) };
    ///         channel.push_then(file, |registry, sent| {
    ///             println!("channel {}: {} bytes, complete: {}", sent.channel, sent.bytes, sent.complete);
    ///             if let Some(mut channel) = registry.channel(sent.channel) {
    ///                 channel.push("that was all\r\n");
    ///                 channel.close_when_done();
    ///             }
    ///             Ok(())
    ///         });
    ///         Ok(())
    ///     }
    /// }
    /// # #[cfg(feature = "testing")] {
    /// # let mut file = tempfile::tempfile().unwrap();
    /// # std::io::Write::write_all(&mut file, b"content\r\n").unwrap();
    /// let file = FilePart::new(file, ..).expect("a regular file");
    /// let mut peer = asynchat::testing::Harness::new(Download(Some(file)));
    /// assert_eq!(peer.output(), b"content\r\nthat was all\r\n");
    /// assert!(peer.has_ended());
    /// # }
    /// ```
    pub fn push_then(
        &mut self,
        part: impl Into<Part>,
        then: impl FnOnce(&mut Registry, Sent) -> Result + 'static,
    ) {
        let mut part = part.into();
        self.registry.push_then(self.id, &mut part, Box::new(then));
    }

    /// Queues a part of a file, in order with everything else.
    ///
    /// A part of up to 16 KiB is read and leaves together with what is pushed before and after it. A larger one is sent
    /// by the system without being read (`sendfile` on Linux and Android, for sockets). Elsewhere it is read in blocks
    /// of 64 KiB. Neither allocates in steady state. For bytes that have to be changed on their way there is
    /// [`ReaderProducer`](crate::ReaderProducer).
    ///
    /// - Bytes not read yet count for the watermarks, but not for [`outgoing_len`](Self::outgoing_len). For
    ///   `max_outgoing` a waiting file counts as 512 bytes.
    /// - A queued file keeps its descriptor open. If peers can request files, stop while
    ///   [`is_congested`](Self::is_congested).
    /// - Reading waits for the disk, and the whole reactor waits with it.
    /// - The file's content at the time of sending is sent, not that at the time of the push.
    /// - If the file turns out shorter than the part or cannot be read, `handle_error` gets the error once everything
    ///   before it is sent. The default closes the channel, because the peer would wait for the missing bytes.
    /// - A part is dropped, with a debug line, in the same states as a [`push`](Self::push).
    ///
    /// ```
    /// # use std::{fs::File, io::Write};
    /// # use asynchat::*;
    /// fn answer(channel: &mut Channel<'_>, path: &std::path::Path) -> Result {
    ///     let body = FilePart::new(File::open(path)?, ..)?;
    ///     write!(channel, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len())?;
    ///     channel.push_file(body);
    ///     Ok(())
    /// }
    /// ```
    pub fn push_file(&mut self, part: FilePart) {
        if !part.is_empty() {
            let (bytes, in_file) = Outgoing::weigh(&part);
            self.registry.push(self.id, bytes, in_file, |queue, spare| {
                queue.push_file(part, spare);
            });
        }
    }
}

/// # Limits of the outgoing queue
///
/// A queue above its high watermark is congested until it has fallen to the low one; then `handle_drain` is called. A
/// handler that answers a fast peer stops reading meanwhile:
///
/// ```
/// use asynchat::{Channel, Dispatcher, Result};
/// use std::io::Write;
///
/// struct Echo {
///     congested: bool,
/// }
/// impl Dispatcher for Echo {
///     fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
///         channel.set_watermarks(1024, 4096);
///         channel.set_max_outgoing(1024 * 1024);
///         Ok(())
///     }
///     fn readable(&self) -> bool {
///         !self.congested
///     }
///     fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
///         channel.recv_with(Write::write_all)??;
///         self.congested = channel.is_congested();
///         Ok(())
///     }
///     fn handle_drain(&mut self, _: &mut Channel<'_>) -> Result {
///         self.congested = false;
///         Ok(())
///     }
/// }
/// # #[cfg(feature = "testing")] {
/// let mut peer = asynchat::testing::Harness::new(Echo { congested: false });
/// peer.set_window(0); // the peer stops reading
/// peer.feed([0; 5000]);
/// peer.feed("stays in the kernel");
/// let id = peer.id();
/// assert_eq!(peer.registry().channel(id).expect("open").outgoing_len(), 5000);
///
/// peer.set_window(usize::MAX);
/// assert_eq!(peer.output().len(), 5000 + 19);
/// # }
/// ```
impl Channel<'_> {
    /// Bytes in the outgoing queue, without those that producers and files still hold.
    pub fn outgoing_len(&self) -> usize {
        self.registry.outgoing_len(self.id)
    }

    /// Whether the queue has exceeded the high watermark and has not fallen to the low one since.
    pub fn is_congested(&self) -> bool {
        self.slot().is_ok_and(|slot| slot.flags.is_congested())
    }

    /// Sets this channel's watermarks in bytes. A `low` above `high` counts as `high`. Default:
    /// [`Builder::watermarks`].
    ///
    /// They hold for what is queued already: past the new `high` the channel is congested, and at the new `low`
    /// `handle_drain` is due.
    ///
    /// [`Builder::watermarks`]: crate::Builder::watermarks
    pub fn set_watermarks(&mut self, low: usize, high: usize) {
        self.set_limits(|limits| {
            limits.low = low.min(high);
            limits.high = high;
        });
    }

    /// Sets the largest length of this channel's outgoing queue in bytes. Default: [`Builder::max_outgoing`].
    ///
    /// [`Builder::max_outgoing`]: crate::Builder::max_outgoing
    pub fn set_max_outgoing(&mut self, bytes: usize) {
        self.set_limits(|limits| limits.max = bytes);
    }

    /// Sets how long, and for how many bytes of discarded input, this channel's `close_when_done` waits for the peer's
    /// end of file. Default: [`Builder::linger`](crate::Builder::linger).
    pub fn set_linger(&mut self, time: Duration, bytes: usize) {
        self.set_limits(|limits| {
            limits.linger_time = time;
            limits.linger_bytes = bytes;
        });
    }

    fn set_limits(&mut self, change: impl FnOnce(&mut Limits)) {
        self.registry.change_limits(self.id, change);
    }

    /// What a filter has sealed leaves all the same: without it nothing after it could be opened.
    pub(crate) fn discard_output(&mut self) {
        let registry = &mut *self.registry;
        let mut queues = [registry.take_before(self.id), registry.take_queue(self.id)];
        if queues.iter().all(Option::is_none) {
            return;
        }
        registry.progress += 1;
        registry.touch_later(self.id);
        let Registry {
            slots, departures, ..
        } = registry;
        if let Some(slot) = find(slots, self.id) {
            let queues = queues.each_mut().map(Option::as_deref_mut);
            note_cut_off(departures, slot, queues, false);
        }
        for queue in queues.into_iter().flatten() {
            registry.discard_queue(queue);
        }
    }
}

/// Copies into the outgoing queue's buffer: `write!(channel, "250 {text}\r\n")` allocates nothing in steady state.
/// Never fails and takes everything. Bytes that [`Channel::push`] would drop are dropped here too.
impl io::Write for Channel<'_> {
    #[inline]
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if !self.registry.cork.copy(self.id, data) && !data.is_empty() {
            self.registry.push(self.id, data.len(), 0, |queue, spare| {
                queue.copy(data, spare);
            });
        }
        Ok(data.len())
    }

    #[inline]
    fn write_all(&mut self, data: &[u8]) -> io::Result<()> {
        self.write(data).map(|_| ())
    }

    /// Does nothing: the reactor sends the queue when the callback has returned.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
