//! What a channel's users do to its outgoing queue: push, ask how full it is, bound it (R12–R14).

use std::{io, time::Duration};

use bytes::Bytes;

use crate::{
    address::Address,
    outgoing::{Outgoing, file_part::FilePart},
    producer::Producer,
    state::{channel::Channel, policy::Limits},
};

impl Channel<'_> {
    /// Writes straight to the socket; may take less than all.
    ///
    /// # Errors
    /// `WouldBlock` when the socket is full, and while bytes wait in the outgoing queue, so that nothing overtakes
    /// them. For a broken connection see [`recv`](Self::recv).
    #[inline]
    pub fn send(&mut self, data: &[u8]) -> io::Result<usize> {
        let id = self.id;
        self.registry
            .write(id, |slot, poll| slot.write(data, poll, id))
    }

    /// Sends one datagram.
    ///
    /// A Unix datagram socket is writable all the time, whatever its peers take: keep what one of them refused, answer
    /// `writable` with false, and try again after a while (`call_later`).
    ///
    /// # Errors
    /// `WouldBlock` when the system's queue, or that of the Unix peer, is full; what the system says about the address.
    pub fn send_to(&mut self, data: &[u8], to: impl Into<Address>) -> io::Result<usize> {
        let to = to.into();
        let id = self.id;
        self.registry
            .write(id, |slot, poll| slot.send_to(data, &to, poll, id))
    }

    /// Queues bytes. Never blocks, keeps order; everything one visit queued leaves together (R12).
    ///
    /// Small pushes are copied into one buffer, large `Bytes` are sent without a copy. Dropped, with a debug line,
    /// after `close_when_done`, `shutdown_write` or close; refused past `max_outgoing`, which `handle_error` learns
    /// as [`OutgoingFull`](crate::OutgoingFull). To queue a borrowed slice use [`io::Write`], which copies.
    pub fn push(&mut self, data: impl Into<Bytes>) {
        let data = data.into();
        if !data.is_empty() {
            self.registry.push(self.id, data.len(), 0, |queue, spare| {
                queue.push(data, spare);
            });
        }
    }

    /// Queues a source of bytes, asked for more only as fast as the peer takes them (R13).
    ///
    /// What a producer has not given yet counts for no watermark and no limit: whoever queues producers at the peer's
    /// request bounds their number.
    pub fn push_with_producer(&mut self, producer: impl Producer + 'static) {
        self.registry.push(self.id, 0, 0, |queue, _| {
            queue.push_producer(Box::new(producer));
        });
    }

    /// Queues a stretch of a file, in order with everything else.
    ///
    /// A part of up to 16 KiB leaves in one piece with what is pushed before and after it. A larger one is sent by the
    /// system from where it is (`sendfile` on Linux and Android, for sockets), elsewhere it is read in blocks of
    /// 64 KiB; on the way to a slow peer it takes no memory to speak of. Allocates nothing in steady state, unlike a
    /// [`ReaderProducer`](crate::ReaderProducer), which is for bytes that are to be changed on their way.
    ///
    /// What is not read yet counts for the watermarks, but not for [`outgoing_len`](Self::outgoing_len) and
    /// `max_outgoing`. A waiting file keeps its descriptor open: whoever queues files at the peer's request stops
    /// while [`is_congested`](Self::is_congested). Reading waits for the disk, and the whole reactor with it. What the
    /// file holds when it is read is sent, not what it held when it was pushed; bytes on their way to the peer may
    /// still change with it.
    ///
    /// A file that turns out shorter than promised, or cannot be read, is an error for `handle_error` once everything
    /// before it is sent: like a producer that fails, it leaves the peer waiting for bytes that will never come, and
    /// the default closes. Dropped, with a debug line, where [`push`](Self::push) is.
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

    /// Bytes in the outgoing queue, not counting what producers still hold.
    pub fn outgoing_len(&self) -> usize {
        self.registry.outgoing_len(self.id)
    }

    /// Whether the queue rose above the high watermark and has not fallen to the low one since (R14).
    pub fn is_congested(&self) -> bool {
        self.slot().is_ok_and(|slot| slot.flags.is_congested())
    }

    /// Sets this channel's watermarks in bytes; `low` is cut to `high`. Default: [`Builder::watermarks`].
    ///
    /// [`Builder::watermarks`]: crate::Builder::watermarks
    pub fn set_watermarks(&mut self, low: usize, high: usize) {
        self.set_limits(|limits| {
            limits.low = low.min(high);
            limits.high = high;
        });
    }

    /// Sets this channel's bound of the outgoing queue in bytes. Default: [`Builder::max_outgoing`].
    ///
    /// [`Builder::max_outgoing`]: crate::Builder::max_outgoing
    pub fn set_max_outgoing(&mut self, bytes: usize) {
        self.set_limits(|limits| limits.max = bytes);
    }

    /// Sets how long, and for how many bytes of discarded input, this channel's `close_when_done` waits for the peer's
    /// end of file (R10). Default: [`Builder::linger`](crate::Builder::linger).
    pub fn set_linger(&mut self, time: Duration, bytes: usize) {
        self.set_limits(|limits| {
            limits.linger_time = time;
            limits.linger_bytes = bytes;
        });
    }

    fn set_limits(&mut self, change: impl FnOnce(&mut Limits)) {
        self.registry.change_limits(self.id, change);
    }

    pub(crate) fn discard_output(&mut self) {
        if let Some(queue) = self.registry.take_queue(self.id) {
            self.registry.progress += 1;
            self.registry.touch_later(self.id);
            self.registry.discard_queue(queue);
        }
    }
}

/// Copies into the outgoing queue's buffer, so `write!(channel, "250 {text}\r\n")` allocates nothing in steady
/// state. Takes everything; like [`Channel::push`] it drops what cannot be sent any more.
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

    /// Does nothing: the queue is flushed once per visit.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
