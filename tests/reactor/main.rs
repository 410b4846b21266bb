//! The reactor over real sockets: which callbacks a dispatcher gets, when, and what the rest of the public API does.
#![cfg(unix)]

mod accept;
mod bombs;
mod callbacks;
mod closed;
mod closing;
mod connect;
mod coupling;
mod endings;
mod errors;
mod fast_paths;
mod files;
mod handover;
mod log_lines;
mod outgoing;
mod readiness;
mod regressions;
mod shutdown;
mod sockets;
mod stage;
mod swapped;
mod timers;
mod try_io;
