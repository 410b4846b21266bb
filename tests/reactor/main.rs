//! The reactor over real sockets: which callbacks a dispatcher gets, when, and what the rest of the public API does.
#![cfg_attr(
    not(unix),
    allow(unused_imports, dead_code, reason = "tests of Unix are left out")
)]

mod accept;
mod bombs;
mod callbacks;
mod calls;
mod channel_timers;
mod closed;
mod closing;
mod connect;
mod connect_options;
mod coupling;
mod departures;
mod endings;
mod errors;
mod fast_paths;
mod files;
mod filters;
mod handover;
mod log_lines;
mod names;
#[cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))]
mod nested;
mod outgoing;
mod pacing;
mod peers;
mod proxy_protocol;
mod racing;
mod readiness;
mod regressions;
mod shutdown;
mod sockets;
mod stage;
mod swapped;
mod timers;
mod try_io;
mod with_id;
