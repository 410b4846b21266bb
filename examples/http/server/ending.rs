//! The end: no new connections, the answers under way are sent, and nobody who has his may hold it up.

use asynchat::{ChannelId, Registry, VisitError};

use crate::{limits, request::channel::HttpChannel};

/// A client that has its last answer and does not close its side would hold up the end; it gets a moment.
pub(crate) fn end(registry: &mut Registry) {
    registry.shutdown(limits::SHUTDOWN_GRACE);
    let mut lingered = Vec::new();
    registry.call_every(limits::SHUTDOWN_LINGER, move |registry| {
        for &id in &lingered {
            if let Some(mut channel) = registry.channel(id) {
                channel.close();
            }
        }
        lingered = ids(registry);
        lingered.retain(|&id| is_sent(registry, id));
        Ok(())
    });
}

fn ids(registry: &Registry) -> Vec<ChannelId> {
    registry.channels().map(|channel| channel.id).collect()
}

/// Whether all is sent on a connection that is closing: its object is gone then, and only the socket is left.
fn is_sent(registry: &mut Registry, id: ChannelId) -> bool {
    registry.with_chat(id, |_: &mut HttpChannel, _| ()) == Err(VisitError::Closed(id))
}
