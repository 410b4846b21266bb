//! Bodies on their way. The reactor sends what is queued, files with `sendfile`, without asking the program again; so how
//! far a body has come is read off the counter of its connection, now and then.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    io,
    rc::{Rc, Weak},
    time::{Duration, Instant},
};

use asynchat::{ChannelId, Produced, Producer, Registry};

use crate::{access_log::OpenLine, limits::Limits, server::Server};

/// A body, from the moment it is queued. Its line of the access log is written when it has left, or is dropped.
pub(crate) struct Download {
    /// Bytes of the connection that come before it.
    start: u64,
    len: u64,
    /// As seen when it was last looked at.
    sent: Cell<u64>,
    /// When it was seen to have grown, or was over.
    progress: Cell<Instant>,
    has_left: Cell<bool>,
    line: RefCell<Option<OpenLine>>,
}

impl Download {
    pub(crate) fn new(start: u64, len: u64, now: Instant, line: Option<OpenLine>) -> Rc<Self> {
        Rc::new(Self {
            start,
            len,
            sent: Cell::new(0),
            progress: Cell::new(now),
            has_left: Cell::new(false),
            line: RefCell::new(line),
        })
    }

    pub(crate) fn has_left(&self) -> bool {
        self.has_left.get()
    }

    /// When more of it was last seen to have been taken.
    pub(crate) fn progress(&self) -> Instant {
        self.progress.get()
    }

    /// Takes note of the bytes that its connection has sent.
    fn look(&self, bytes_out: u64, now: Instant) {
        let sent = bytes_out.saturating_sub(self.start).min(self.len);
        if !self.has_left.get() && sent > self.sent.replace(sent) {
            self.progress.set(now);
        }
    }

    fn leave(&self) {
        self.has_left.set(true);
        self.sent.set(self.len);
        self.progress.set(Instant::now());
        self.log();
    }

    fn log(&self) {
        if let Some(line) = self.line.take() {
            line.finish(self.sent.get());
        }
    }
}

impl Drop for Download {
    /// Broken off, if it has not left.
    fn drop(&mut self) {
        self.log();
    }
}

/// Stands behind a body in the queue, and is asked when the socket has taken all of that.
pub(crate) struct Departure(pub(crate) Rc<Download>);

impl Producer for Departure {
    fn more(&mut self) -> io::Result<Produced> {
        self.0.leave();
        Ok(Produced::Done)
    }
}

/// The bodies that a reactor is sending, one for each connection at most.
#[derive(Default)]
pub(crate) struct Downloads {
    by_connection: HashMap<ChannelId, Weak<Download>>,
    is_watched: bool,
}

impl Downloads {
    /// Notes how far each body has come. O(connections).
    pub(crate) fn look(&mut self, registry: &Registry) {
        if self.by_connection.is_empty() {
            return;
        }
        let now = registry.now();
        for channel in registry.channels() {
            let body = self.by_connection.get(&channel.id);
            if let Some(body) = body.and_then(Weak::upgrade) {
                body.look(channel.bytes_out, now);
            }
        }
        let is_under_way = |body: &Weak<Download>| {
            let body = body.upgrade();
            body.is_some_and(|body| !body.has_left())
        };
        self.by_connection.retain(|_, body| is_under_way(body));
    }
}

/// How often is looked: often enough to tell a body that is taken slowly from one that is not taken.
fn pause(limits: &Limits) -> Duration {
    (limits.stalled() / 4).min(Duration::from_secs(1))
}

impl Server {
    /// Watches a body until it has left.
    pub(crate) fn watch(
        self: &Rc<Self>,
        registry: &mut Registry,
        id: ChannelId,
        body: &Rc<Download>,
    ) {
        let mut downloads = self.downloads.borrow_mut();
        downloads.by_connection.insert(id, Rc::downgrade(body));
        if !std::mem::replace(&mut downloads.is_watched, true) {
            self.look_later(registry);
        }
    }

    fn look_later(self: &Rc<Self>, registry: &mut Registry) {
        let server = Rc::clone(self);
        registry.call_later(pause(&self.limits), move |registry| {
            let mut downloads = server.downloads.borrow_mut();
            downloads.look(registry);
            downloads.is_watched = !downloads.by_connection.is_empty();
            if downloads.is_watched {
                server.look_later(registry);
            }
            Ok(())
        });
    }
}
