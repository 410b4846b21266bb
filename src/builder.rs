//! Sizes and policies of a reactor, each with its default.

use std::{io, time::Duration};

use crate::{
    error::{BoxError, ErrorSource},
    reactor::Reactor,
    state::{
        policy::{Limits, Policy},
        registry::{ErrorHook, Registry},
    },
};

/// Makes a [`Reactor`] with other sizes and policies than the defaults.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// let reactor = asynchat::Reactor::builder()
///     .max_channels(10_000)
///     .on_error(|_registry, source, error| eprintln!("{source:?}: {error}"))
///     .build()?;
/// # let _ = reactor; Ok(()) }
/// ```
#[must_use = "a builder does nothing until `build`"]
pub struct Builder {
    policy: Policy,
    on_error: Option<ErrorHook>,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self {
            policy: Policy {
                events: 1024,
                read_buffer: 64 * 1024,
                write_budget: 1024 * 1024,
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
                propagate_panics: false,
            },
            on_error: None,
        }
    }

    /// Events taken from the poller at once, at first. Default 1,024; doubles when a poll fills it. At least 1.
    pub fn events(mut self, events: usize) -> Self {
        self.policy.events = events.max(1);
        self
    }

    /// Size in bytes of the buffer lent by [`Channel::recv_with`](crate::Channel::recv_with). Default 64 KiB. At
    /// least 1.
    pub fn read_buffer(mut self, bytes: usize) -> Self {
        self.policy.read_buffer = bytes.max(1);
        self
    }

    /// Bytes one channel may flush in one visit before the others get their turn. Default 1 MiB. At least 1.
    pub fn write_budget(mut self, bytes: usize) -> Self {
        self.policy.write_budget = bytes.max(1);
        self
    }

    /// Connections one listener may accept in one visit before the others get their turn. Default 64. At least 1.
    pub fn accept_budget(mut self, connections: usize) -> Self {
        self.policy.accept_budget = connections.max(1);
        self
    }

    /// Channels, listeners not counted, past which listeners stop accepting. Default: no limit.
    ///
    /// They go on once a sixteenth of it (at least one channel) is free. New connections wait in the kernel's
    /// backlog meanwhile. At least 1.
    pub fn max_channels(mut self, channels: usize) -> Self {
        self.policy.max_channels = channels.max(1);
        self
    }

    /// Watermarks of every outgoing queue in bytes (R14). Default 64 KiB and 256 KiB. `low` is cut to `high`.
    pub fn watermarks(mut self, low: usize, high: usize) -> Self {
        self.policy.limits.low = low.min(high);
        self.policy.limits.high = high;
        self
    }

    /// Bytes an outgoing queue may hold; past it the channel gets [`OutgoingFull`](crate::OutgoingFull). Default
    /// 64 MiB.
    pub fn max_outgoing(mut self, bytes: usize) -> Self {
        self.policy.limits.max = bytes;
        self
    }

    /// How long, and for how many bytes of discarded input, `close_when_done` waits for the peer's end of file
    /// after everything is sent (R10). Default 5 s and 1 MiB.
    pub fn linger(mut self, time: Duration, bytes: usize) -> Self {
        self.policy.limits.linger_time = time;
        self.policy.limits.linger_bytes = bytes;
        self
    }

    /// How long one connection attempt to one address may take. Default 30 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.policy.connect_timeout = timeout;
        self
    }

    /// Lets a callback's panic leave `turn` and `run` instead of handing it to `handle_error`. For tests. Default
    /// off.
    pub fn propagate_panics(mut self, on: bool) -> Self {
        self.policy.propagate_panics = on;
        self
    }

    /// Called with the errors and panics of timers and posted calls. Default: a line in the log.
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
    /// When the system has no descriptor or memory for a poller.
    pub fn build(self) -> io::Result<Reactor> {
        Reactor::with_policy(self.policy, self.on_error)
    }
}

impl Reactor {
    /// A reactor with the defaults of [`Builder`].
    ///
    /// # Errors
    /// When the system has no descriptor or memory for a poller.
    pub fn new() -> io::Result<Self> {
        Self::builder().build()
    }

    /// Sizes and policies other than the defaults.
    pub fn builder() -> Builder {
        Builder::new()
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").finish_non_exhaustive()
    }
}
