//! Conversations: terminators, frames, and what a chat may do with its channel meanwhile.
#![cfg(unix)]

mod callbacks;
mod differential;
mod errors;
mod framing;
mod limits;
mod lookups;
mod middle_of_a_read;
mod talk;
mod terminators;
mod timers;
mod whole_frames;
