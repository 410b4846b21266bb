//! Bodies on their way. The reactor tells when one has left; how far it has come until then is read off the counter of its
//! connection, now and then.

use std::{
    cell::Cell,
    collections::HashMap,
    rc::{Rc, Weak},
    time::{Duration, Instant},
};

use asynchat::{ChannelId, Registry};

use crate::{limits::Limits, server::Server};

/// A body, from the moment it is queued.
pub(crate) struct Download {
    /// Bytes of the connection that come before it.
    start: u64,
    /// As seen when it was last looked at.
    sent: Cell<u64>,
    /// When it was seen to have grown, or was over.
    progress: Cell<Instant>,
    has_left: Cell<bool>,
}

impl Download {
    pub(crate) fn new(start: u64, now: Instant) -> Rc<Self> {
        Rc::new(Self {
            start,
            sent: Cell::new(0),
            progress: Cell::new(now),
            has_left: Cell::new(false),
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
        let sent = bytes_out.saturating_sub(self.start);
        if !self.has_left.get() && sent > self.sent.replace(sent) {
            self.progress.set(now);
        }
    }

    pub(crate) fn leave(&self, now: Instant) {
        self.has_left.set(true);
        self.progress.set(now);
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
    fn look(&mut self, registry: &Registry) {
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
