//! Memory: no allocation per message, block or file in the steady state, and what an idle connection keeps.
//!
//! Counted on each test's own thread, so the tests do not disturb one another.
#![cfg_attr(
    not(unix),
    allow(unused_imports, dead_code, reason = "tests of Unix are left out")
)]

mod chat;
mod ends;
mod files;
mod filters;
mod posts;
mod producers;
mod timers;

#[global_allocator]
static ALLOCATOR: util::heap::Counting = util::heap::Counting;
