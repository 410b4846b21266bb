//! What a program asks of the reactor: open sockets, look channels up, arm timers, end the loop.
//!
//! The struct itself is in `state/registry.rs`; `reactor.rs` turns the loop.

mod calls;
mod ending;
mod lookup;
mod names;
mod opening;
#[cfg(all(unix, feature = "signals"))]
mod signals;
mod timers;

pub(crate) mod accept_fn;

use std::sync::Arc;

use crate::{handle::Handle, state::registry::Registry};

/// # Other threads
impl Registry {
    /// A [`Handle`], which posts work to this reactor from any number of other threads.
    pub fn handle(&self) -> Handle {
        Handle::new(Arc::clone(&self.mailbox))
    }
}
