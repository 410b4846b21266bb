//! The loop: edge-triggered, registered once for both directions, handlers boxed in a slab.

use std::io::{self, ErrorKind};
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use crate::net;

const LISTENER: Token = Token(usize::MAX);
const READ: usize = 65_536;

/// Reads a connection may do before the others get their turn.
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

/// What all connections share: the bytes read last, and the answer to them.
pub(crate) struct Shared {
    pub(crate) buffer: Box<[u8]>,
    pub(crate) answer: Box<[u8]>,
}

pub(crate) trait Handler {
    /// An error closes the connection, as [`Verdict::Close`] does.
    fn visit(
        &mut self,
        stream: &mut TcpStream,
        shared: &mut Shared,
        ready: Ready,
    ) -> io::Result<Verdict>;
}

struct Slot {
    stream: TcpStream,
    queued: bool,
    handler: Box<dyn Handler>,
}

struct Server<F> {
    poll: Poll,
    listener: TcpListener,
    new_handler: F,
    shared: Shared,
    slots: Slab<Slot>,
    again: Vec<usize>,
    /// No descriptor was left at the last accept: no further event tells of those who wait.
    accept_later: bool,
}

pub(crate) fn serve<F: Fn() -> Box<dyn Handler>>(port: u16, new_handler: F) -> io::Result<()> {
    let mut listener = net::listen(port)?;
    let poll = Poll::new()?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut server = Server {
        poll,
        listener,
        new_handler,
        shared: Shared {
            buffer: vec![0; READ].into(),
            answer: vec![0; 2 * READ].into(),
        },
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

impl<F: Fn() -> Box<dyn Handler>> Server<F> {
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
        let visited = slot
            .handler
            .visit(&mut slot.stream, &mut self.shared, ready);
        match visited {
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
                Ok((mut stream, _)) => {
                    let entry = self.slots.vacant_entry();
                    let token = Token(entry.key());
                    let both = Interest::READABLE | Interest::WRITABLE;
                    let registry = self.poll.registry();
                    if registry.register(&mut stream, token, both).is_ok() {
                        entry.insert(Slot {
                            stream,
                            queued: false,
                            handler: (self.new_handler)(),
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
fn is_of_one_peer(error: &io::Error) -> bool {
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
