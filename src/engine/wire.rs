//! Where a flush ends: the socket of one channel.

use std::{fs::File, io};

use crate::{
    net::{
        io::{Io, Role},
        readiness::Readiness,
    },
    outgoing::Sink,
};

/// The socket of a channel, with the rules for what its answers mean (R1).
pub(crate) struct Wire<'a> {
    io: &'a Io,
    role: Role,
    readiness: &'a mut Readiness,
    written: &'a mut usize,
}

impl<'a> Wire<'a> {
    /// `written` is added to.
    #[inline]
    pub(crate) fn new(io: &'a Io, readiness: &'a mut Readiness, written: &'a mut usize) -> Self {
        Self {
            role: io.role(),
            io,
            readiness,
            written,
        }
    }

    fn check(&self) -> io::Result<()> {
        if self.readiness.can_write() {
            Ok(())
        } else {
            Err(io::ErrorKind::WouldBlock.into())
        }
    }

    fn note_error(&mut self, error: &io::Error) {
        if error.kind() == io::ErrorKind::WouldBlock {
            self.readiness.write_blocked();
        }
    }
}

impl Wire<'_> {
    /// [`write`](Sink::write) of one slice.
    #[inline]
    pub(crate) fn write_one(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.check()?;
        let result = self.io.write(bytes);
        match &result {
            Ok(n) => {
                *self.written += n;
                if *n < bytes.len() && self.role == Role::Stream {
                    self.readiness.after_stream_write(*n, bytes.len());
                }
            }
            Err(error) => self.note_error(error),
        }
        result
    }
}

impl Sink for Wire<'_> {
    fn write(&mut self, slices: &[io::IoSlice<'_>], more: bool) -> io::Result<usize> {
        self.check()?;
        let result = match slices {
            _ if more => self.io.write_before_file(slices),
            [one] => self.io.write(one),
            many => self.io.write_vectored(many),
        };
        match &result {
            Ok(n) => {
                *self.written += n;
                if self.role == Role::Stream {
                    let offered = slices.iter().map(|slice| slice.len()).sum();
                    self.readiness.after_stream_write(*n, offered);
                }
            }
            Err(error) => self.note_error(error),
        }
        result
    }

    /// Unlike a write it may stop short although the socket would take more (the end of the file, a signal), and
    /// only a full socket brings an event: `WouldBlock` alone proves that it is full.
    fn send_file(&mut self, file: &File, offset: u64, len: usize) -> io::Result<usize> {
        self.check()?;
        let result = self.io.send_file(file, offset, len);
        match &result {
            Ok(n) => *self.written += n,
            Err(error) => self.note_error(error),
        }
        result
    }
}
