//! Micro-benchmarks of the parts that everything goes through: framer, timers, outgoing queue, turns of the loop.
//!
//! `cargo bench --bench micro`, or with a part of a name behind it. The first three measure the modules of the library
//! themselves, without a socket; `dispatch` measures what they and the system calls amount to. benches/compare runs
//! whole servers.

// Where the modules below look for them.
use asynchat::BoxError;
use source::{
    file_part::FilePart,
    producer::{Produced, Producer},
};

#[allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "private modules of the library, of which this uses some; cargo sets cfg(test) here"
)]
#[path = "../src"]
mod source {
    pub(crate) mod file_part;
    pub(crate) mod outgoing;
    pub(crate) mod producer;
    pub(crate) mod timer;
    pub(crate) mod chat {
        pub(crate) mod framer;
        pub(crate) mod terminator;
    }
}

// What their unit tests look for.
#[cfg(test)]
#[allow(dead_code, reason = "the unit tests run elsewhere")]
#[path = "../src/properties.rs"]
mod properties;

#[cfg(unix)]
#[path = "micro/dispatch.rs"]
mod dispatch;
#[path = "micro/framer.rs"]
mod framer;
#[path = "micro/outgoing.rs"]
mod outgoing;
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
