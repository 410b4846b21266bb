//! Descriptors: none is left behind, running out of them ends nothing, and as many connections as a process may have.
//!
//! A binary of its own, in which one test runs at a time: descriptors and their limit belong to the process.
#![cfg(target_os = "linux")]

mod coupled;
mod load;
mod shortage;
mod unix_datagrams;
mod unix_peers;
#[cfg(not(mio_unsupported_force_poll_poll))]
mod waiting;

use std::sync::{Mutex, MutexGuard, PoisonError};

#[global_allocator]
static ALLOCATOR: util::heap::Counting = util::heap::Counting;

fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
