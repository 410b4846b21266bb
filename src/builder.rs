//! Sizes and policies of a reactor, with their defaults.

use std::{io, time::Duration};

use crate::{
    error::{BoxError, ErrorSource},
    reactor::Reactor,
    resolver::Resolver,
    state::{
        policy::{Limits, Policy},
        registry::{ErrorHook, Registry},
    },
};

/// A poll takes no more events than this, and a reader no more bytes at once: both are allocated when the reactor is
/// made.
const MOST_EVENTS: usize = 1 << 20;
const LARGEST_READ_BUFFER: usize = 1 << 30;

/// Makes a [`Reactor`] with other sizes and policies than the defaults.
///
/// | | default | |
/// |---|--:|---|
/// | [`max_channels`](Self::max_channels) | no limit | past it listeners pause |
/// | [`max_outgoing`](Self::max_outgoing) | 64 MiB | length of an outgoing queue |
/// | [`watermarks`](Self::watermarks) | 64 KiB, 256 KiB | where a queue is congested |
/// | [`linger`](Self::linger) | 5 s, 1 MiB | wait of `close_when_done` for the end of file |
/// | [`connect_timeout`](Self::connect_timeout) | 30 s | one attempt to one address |
/// | [`resolve_timeout`](Self::resolve_timeout) | 10 s | one look-up of a host name |
/// | [`handshake_timeout`](Self::handshake_timeout) | 10 s | one handshake of a filter |
/// | [`handshake_budget`](Self::handshake_budget) | 5 | steps of handshakes in one turn |
/// | [`resolver`](Self::resolver) | the system's, on threads | what looks host names up |
/// | [`read_buffer`](Self::read_buffer) | 64 KiB | most bytes of one `recv_with` |
/// | [`write_budget`](Self::write_budget) | 512 KiB | one channel's output in one turn |
/// | [`accept_budget`](Self::accept_budget) | 64 | one listener's connections in one visit |
/// | [`events`](Self::events) | 1,024 | events of one poll, at first |
/// | [`propagate_panics`](Self::propagate_panics) | off | whether a panic leaves the loop |
/// | [`on_error`](Self::on_error) | a log line | errors that belong to no channel |
///
/// ```
/// use std::time::Duration;
///
/// # fn main() -> std::io::Result<()> {
/// let reactor = asynchat::Reactor::builder()
///     .max_channels(10_000)
///     .max_outgoing(1024 * 1024)
///     .watermarks(16 * 1024, 64 * 1024)
///     .connect_timeout(Duration::from_secs(5))
///     .on_error(|_registry, source, error| eprintln!("{source:?}: {error}"))
///     .build()?;
/// # let _ = reactor; Ok(()) }
/// ```
#[must_use = "a builder does nothing until `build`"]
pub struct Builder {
    policy: Policy,
    on_error: Option<ErrorHook>,
    resolver: Option<Box<dyn Resolver>>,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self {
            policy: Policy {
                events: 1024,
                read_buffer: 64 * 1024,
                write_budget: 512 * 1024,
                accept_budget: 64,
                max_channels: usize::MAX,
                limits: Limits {
                    low: 64 * 1024,
                    high: 256 * 1024,
                    max: 64 * 1024 * 1024,
                    linger_time: Duration::from_secs(5),
                    linger_bytes: 1024 * 1024,
                },
                connect_timeout: Duration::from_secs(30),
                resolve_timeout: Duration::from_secs(10),
                handshake_timeout: Duration::from_secs(10),
                handshake_budget: 5,
                propagate_panics: false,
            },
            on_error: None,
            resolver: None,
        }
    }

    /// Sets the number of events taken from the poller at once, at first; it doubles when a poll fills it. Default
    /// 1,024. 0 counts as 1; the most is 1,048,576.
    pub fn events(mut self, events: usize) -> Self {
        self.policy.events = events.max(1);
        self
    }

    /// Sets the size in bytes of the buffer lent by [`Channel::recv_with`](crate::Channel::recv_with). Default 64 KiB.
    /// 0 counts as 1; the most is 1 GiB.
    pub fn read_buffer(mut self, bytes: usize) -> Self {
        self.policy.read_buffer = bytes.max(1);
        self
    }

    /// Sets how many bytes one channel may send in one turn before the others get theirs. Default 512 KiB. 0 counts
    /// as 1.
    ///
    /// Calls count too: a system call as at least 8 KiB, and each answer of a producer as 256 bytes.
    pub fn write_budget(mut self, bytes: usize) -> Self {
        self.policy.write_budget = bytes.max(1);
        self
    }

    /// Sets how many connections one listener may accept in one visit before the others get their turn. Default 64. 0
    /// counts as 1.
    pub fn accept_budget(mut self, connections: usize) -> Self {
        self.policy.accept_budget = connections.max(1);
        self
    }

    /// Sets the number of channels, listeners not counted, at which listeners stop accepting. Default: no limit. 0
    /// counts as 1.
    ///
    /// They continue once a sixteenth of it (at least one channel) is free. New connections wait in the kernel's
    /// backlog meanwhile.
    pub fn max_channels(mut self, channels: usize) -> Self {
        self.policy.max_channels = channels.max(1);
        self
    }

    /// Sets the watermarks of every outgoing queue in bytes. Default 64 KiB and 256 KiB. A `low` above `high` counts as
    /// `high`.
    ///
    /// Above `high` a queue is [congested](crate::Channel::is_congested). When it has fallen to `low`, `handle_drain`
    /// is called.
    pub fn watermarks(mut self, low: usize, high: usize) -> Self {
        self.policy.limits.low = low.min(high);
        self.policy.limits.high = high;
        self
    }

    /// Sets the largest length of an outgoing queue in bytes. A push past it is dropped and reported as
    /// [`OutgoingFull`](crate::OutgoingFull). A producer or file that waits counts as 512 bytes. Default 64 MiB.
    pub fn max_outgoing(mut self, bytes: usize) -> Self {
        self.policy.limits.max = bytes;
        self
    }

    /// Sets how long, and for how many bytes of discarded input, `close_when_done` waits for the peer's end of file
    /// after everything is sent. Default 5 s and 1 MiB.
    pub fn linger(mut self, time: Duration, bytes: usize) -> Self {
        self.policy.limits.linger_time = time;
        self.policy.limits.linger_bytes = bytes;
        self
    }

    /// Sets how long one connection attempt to one address may take. Default 30 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.policy.connect_timeout = timeout;
        self
    }

    /// Sets how long one look-up of a host name may take. Default 10 s.
    ///
    /// It counts from the start of the look-up. Before that a question waits, for a thread of
    /// [`ThreadResolver`](crate::ThreadResolver) for instance, 60 s at most.
    pub fn resolve_timeout(mut self, timeout: Duration) -> Self {
        self.policy.resolve_timeout = timeout;
        self
    }

    /// Sets how long the handshake of a [filter](crate::Channel::upgrade) may take. Default 10 s.
    ///
    /// It counts from the upgrade, or from the moment the connection is made. The idle timeout does not run meanwhile.
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.policy.handshake_timeout = timeout;
        self
    }

    /// Sets the number of steps of handshakes that one turn takes, at least 1. Default 5.
    ///
    /// A step reads once and feeds the filter; with TLS one of them costs as much as 50 echoes. Other handshakes wait for
    /// the next turn, so that channels that are open are served meanwhile.
    pub fn handshake_budget(mut self, steps: usize) -> Self {
        self.policy.handshake_budget = steps.max(1);
        self
    }

    /// Sets what looks host names up; [`Resolver`] has an example. Default: a
    /// [`ThreadResolver`](crate::ThreadResolver), made for the first name.
    pub fn resolver(mut self, resolver: impl Resolver + 'static) -> Self {
        self.resolver = Some(Box::new(resolver));
        self
    }

    /// Lets a callback's panic leave `turn` and `run` instead of passing it to `handle_error`. For tests. Default off.
    ///
    /// The channel, timer or posted call that panicked has ended then. All others are served by the next turn.
    pub fn propagate_panics(mut self, on: bool) -> Self {
        self.policy.propagate_panics = on;
        self
    }

    /// Sets the function that gets the errors and panics of the registry's timers and of calls. Default: a line in
    /// the log.
    pub fn on_error(
        mut self,
        hook: impl FnMut(&mut Registry, ErrorSource, BoxError) + 'static,
    ) -> Self {
        self.on_error = Some(Box::new(hook));
        self
    }

    /// Makes the reactor.
    ///
    /// # Errors
    /// `InvalidInput` if `events` or `read_buffer` is above its most; the message says which. Otherwise if the system
    /// has no descriptor or memory for a poller.
    pub fn build(self) -> io::Result<Reactor> {
        let Policy {
            events,
            read_buffer,
            ..
        } = self.policy;
        for (name, size, most) in [
            ("events", events, MOST_EVENTS),
            ("read_buffer", read_buffer, LARGEST_READ_BUFFER),
        ] {
            if size > most {
                let what = format!("Builder::{name}: {size} is more than {most}");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
            }
        }
        Reactor::with_policy(self.policy, self.on_error, self.resolver)
    }
}

impl Reactor {
    /// Makes a reactor with the defaults of [`Builder`].
    ///
    /// # Errors
    /// If the system has no descriptor or memory for a poller.
    pub fn new() -> io::Result<Self> {
        Self::builder().build()
    }

    /// A [`Builder`], for sizes and policies other than the defaults.
    pub fn builder() -> Builder {
        Builder::new()
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_beyond_any_memory_are_invalid_and_named_and_all_others_are_taken() {
        let most = usize::MAX;
        let refused = [
            ("events", Builder::new().events(most)),
            ("events", Builder::new().events(MOST_EVENTS + 1)),
            ("read_buffer", Builder::new().read_buffer(most)),
            (
                "read_buffer",
                Builder::new().read_buffer(LARGEST_READ_BUFFER + 1),
            ),
        ];
        for (name, builder) in refused {
            let error = builder.build().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            assert!(error.to_string().contains(name), "{error}");
        }
        let unbounded = Builder::new()
            .write_budget(most)
            .accept_budget(most)
            .max_channels(most)
            .max_outgoing(most)
            .watermarks(most, most)
            .linger(Duration::MAX, most)
            .connect_timeout(Duration::MAX)
            .resolve_timeout(Duration::MAX)
            .handshake_timeout(Duration::MAX)
            .handshake_budget(most);
        unbounded.build().unwrap();
    }
}
