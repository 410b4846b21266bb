//! The loop: edge-triggered, registered once for both directions, connections in a slab.

use std::io::{self, ErrorKind};
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use crate::net;

const LISTENER: Token = Token(usize::MAX);

/// Reads or writes a connection may do before the others get their turn.
pub(crate) const BUDGET: usize = 16;

/// What the loop does with a connection after a visit.
pub(crate) enum Verdict {
    /// The next event will tell.
    Wait,
    /// The budget is used up and there may be more: no event will come for it.
    Again,
    Close,
}

/// What an event said of a connection.
#[derive(Clone, Copy)]
pub(crate) struct Ready {
    pub(crate) read: bool,
    /// The end of the stream (or an error) stands behind the data, and brings no event of its own.
    pub(crate) closed: bool,
}

pub(crate) trait Mode {
    type Conn;
    fn accepted(&mut self, stream: TcpStream) -> Self::Conn;
    fn stream(conn: &mut Self::Conn) -> &mut TcpStream;
    /// An error closes the connection, as [`Verdict::Close`] does.
    fn visit(&mut self, conn: &mut Self::Conn, ready: Ready) -> io::Result<Verdict>;
    /// Called once per poll, before the events of it.
    #[inline(always)]
    fn tick(&mut self) {}
}

struct Slot<C> {
    conn: C,
    queued: bool,
}

struct Server<M: Mode> {
    poll: Poll,
    listener: TcpListener,
    mode: M,
    slots: Slab<Slot<M::Conn>>,
    again: Vec<usize>,
    /// No descriptor was left at the last accept: no further event tells of those who wait.
    accept_later: bool,
}

pub(crate) fn serve<M: Mode>(port: u16, mode: M) -> io::Result<()> {
    let mut listener = net::listen(port)?;
    let poll = Poll::new()?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut server = Server {
        poll,
        listener,
        mode,
        slots: Slab::new(),
        again: Vec::new(),
        accept_later: false,
    };
    net::say_ready()?;
    let mut events = Events::with_capacity(1024);
    loop {
        server.turn(&mut events)?;
    }
}

impl<M: Mode> Server<M> {
    fn turn(&mut self, events: &mut Events) -> io::Result<()> {
        let timeout = if !self.again.is_empty() {
            Some(Duration::ZERO)
        } else if self.accept_later {
            Some(Duration::from_millis(50))
        } else {
            None
        };
        match self.poll.poll(events, timeout) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            Err(_) => return Ok(()),
            Ok(()) => {}
        }
        self.mode.tick();
        let held_over = self.again.len();
        for event in &*events {
            let token = event.token();
            if token == LISTENER {
                self.accept();
                continue;
            }
            let ready = Ready {
                read: event.is_readable(),
                closed: event.is_read_closed() || event.is_error(),
            };
            self.visit(token.0, ready);
        }
        if held_over > 0 {
            self.visit_held_over(held_over);
        }
        if self.accept_later {
            self.accept();
        }
        Ok(())
    }

    #[cold]
    fn visit_held_over(&mut self, count: usize) {
        for index in 0..count {
            let key = self.again[index];
            if let Some(slot) = self.slots.get_mut(key) {
                slot.queued = false;
            }
            let ready = Ready {
                read: true,
                closed: false,
            };
            self.visit(key, ready);
        }
        self.again.drain(..count);
    }

    #[inline(always)]
    fn visit(&mut self, key: usize, ready: Ready) {
        let Some(slot) = self.slots.get_mut(key) else {
            return;
        };
        match self.mode.visit(&mut slot.conn, ready) {
            Ok(Verdict::Wait) => {}
            Ok(Verdict::Again) => {
                if !slot.queued {
                    slot.queued = true;
                    self.again.push(key);
                }
            }
            // Closing the only descriptor of a socket takes it out of the epoll set.
            Ok(Verdict::Close) | Err(_) => drop(self.slots.remove(key)),
        }
    }

    #[cold]
    fn accept(&mut self) {
        self.accept_later = false;
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    let entry = self.slots.vacant_entry();
                    let token = Token(entry.key());
                    let mut conn = self.mode.accepted(stream);
                    let both = Interest::READABLE | Interest::WRITABLE;
                    let stream = M::stream(&mut conn);
                    if self.poll.registry().register(stream, token, both).is_ok() {
                        entry.insert(Slot {
                            conn,
                            queued: false,
                        });
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if is_of_one_peer(&error) => {}
                Err(_) => {
                    self.accept_later = true;
                    return;
                }
            }
        }
    }
}

/// Whether a failed accept concerns one connection, with others behind it.
pub(crate) fn is_of_one_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Interrupted
            | ErrorKind::ConnectionAborted
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkDown
            | ErrorKind::NetworkUnreachable
            | ErrorKind::PermissionDenied
    )
}
