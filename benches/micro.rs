//! Micro-benchmarks of the parts that everything goes through: framer, timers, outgoing queue, turns of the loop.
//!
//! `cargo bench --bench micro`, or with a part of a name behind it. The first three measure the modules of the library
//! themselves, without a socket; `dispatch` measures what they and the system calls amount to. benches/compare runs
//! whole servers.

// The modules below look for these in the root of their crate. All are private to the library, so they are compiled here
// once more, and cargo sets cfg(test) for them.
mod error {
    pub(crate) use asynchat::BoxError;
}
#[allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "a private module of which this uses some"
)]
#[path = "../src/id.rs"]
mod id;
#[allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "a private module of which this uses some"
)]
#[path = "../src/outgoing/mod.rs"]
mod outgoing;
#[allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "a private module of which this uses some"
)]
#[path = "../src/producer/mod.rs"]
mod producer;
#[allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "private modules of which this uses some"
)]
#[path = "../src"]
mod source {
    pub(crate) mod time {
        pub(crate) mod timer;
    }
    pub(crate) mod chat {
        pub(crate) mod framer;
        pub(crate) mod terminator;
    }
}

#[cfg(unix)]
#[path = "micro/dispatch.rs"]
mod dispatch;
#[path = "micro/framer.rs"]
mod framer;
#[path = "micro/outgoing_queue.rs"]
mod outgoing_queue;
#[path = "micro/random.rs"]
mod random;
#[path = "micro/timer.rs"]
mod timer;

fn main() {
    divan::Divan::default()
        .min_time(std::time::Duration::from_millis(300))
        .config_with_args()
        .main();
}
