//! Conversations: terminators, frames, and what a chat may do with its channel meanwhile.
#![cfg_attr(
    not(unix),
    allow(unused_imports, dead_code, reason = "tests of Unix are left out")
)]

mod callbacks;
mod differential;
mod errors;
mod framing;
mod holding;
mod limits;
mod lookups;
mod middle_of_a_read;
mod talk;
mod terminators;
mod timers;
mod whole_frames;
