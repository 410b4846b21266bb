//! Conversations: terminators, frames, and what a chat may do with its channel meanwhile.
#![cfg(unix)]

mod conversation;
mod framing;
