//! A connection as a calloop event source: `Generic` with output that may be held up, during which
//! it waits to write and does not read.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};

use calloop::generic::{Generic, NoIoDrop};
use calloop::{EventSource, Interest, Mode, Poll, PostAction, Readiness, Token, TokenFactory};

/// The socket and what it did not take yet.
pub(crate) struct Wire {
    socket: TcpStream,
    held: RefCell<Vec<u8>>,
    full: Cell<bool>,
}

impl Wire {
    /// Reads once; `None` where nothing is there.
    pub(crate) fn read(&self, into: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            match (&self.socket).read(into) {
                Ok(got) => return Ok(Some(got)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes once and says how much was taken. Where that is not all, the next event comes when
    /// there is room.
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let sent = match (&self.socket).write(bytes) {
                Ok(sent) => sent,
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.full.set(sent < bytes.len());
            return Ok(sent);
        }
    }

    /// Writes, and keeps what was not taken for `flush`.
    pub(crate) fn write_or_hold(&self, bytes: &[u8]) -> io::Result<()> {
        let sent = self.write(bytes)?;
        self.held.borrow_mut().extend_from_slice(&bytes[sent..]);
        Ok(())
    }

    /// Writes what is held; whether all of it is gone.
    pub(crate) fn flush(&self) -> io::Result<bool> {
        let mut held = self.held.borrow_mut();
        if held.is_empty() {
            return Ok(true);
        }
        let sent = self.write(&held)?;
        held.drain(..sent);
        if held.is_empty() {
            *held = Vec::new();
        }
        Ok(held.is_empty())
    }
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The event source: reads are waited for, except while the socket is full.
pub(crate) struct Connection {
    generic: Generic<Wire>,
}

impl Connection {
    pub(crate) fn new(socket: TcpStream) -> Self {
        let wire = Wire {
            socket,
            held: RefCell::default(),
            full: Cell::new(false),
        };
        Self {
            generic: Generic::new(wire, Interest::READ, Mode::Level),
        }
    }
}

impl EventSource for Connection {
    type Event = Readiness;
    type Metadata = NoIoDrop<Wire>;
    type Ret = io::Result<PostAction>;
    type Error = io::Error;

    fn process_events<F>(
        &mut self,
        readiness: Readiness,
        token: Token,
        callback: F,
    ) -> io::Result<PostAction>
    where
        F: FnMut(Readiness, &mut NoIoDrop<Wire>) -> io::Result<PostAction>,
    {
        let action = self.generic.process_events(readiness, token, callback)?;
        let full = self.generic.get_ref().full.get();
        if action != PostAction::Continue || full == self.generic.interest.writable {
            return Ok(action);
        }
        self.generic.interest = match full {
            true => Interest::WRITE,
            false => Interest::READ,
        };
        Ok(PostAction::Reregister)
    }

    fn register(&mut self, poll: &mut Poll, factory: &mut TokenFactory) -> calloop::Result<()> {
        self.generic.register(poll, factory)
    }

    fn reregister(&mut self, poll: &mut Poll, factory: &mut TokenFactory) -> calloop::Result<()> {
        self.generic.reregister(poll, factory)
    }

    fn unregister(&mut self, poll: &mut Poll) -> calloop::Result<()> {
        self.generic.unregister(poll)
    }
}
