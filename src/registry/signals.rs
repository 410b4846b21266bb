//! Closures for signals of the process.

use std::io;

use crate::{
    error::Result,
    id::SIGNALS,
    signals::{SignalId, Signals},
    state::registry::Registry,
};

/// # Signals
///
/// With the feature `signals`, on Unix. [`signal`](crate::signal) has the numbers.
///
/// ```
/// use asynchat::{Reactor, signal::{SIGHUP, SIGINT, SIGTERM}};
/// use std::{cell::Cell, rc::Rc, time::Duration};
///
/// # fn main() -> asynchat::Result {
/// let mut reactor = Reactor::new()?;
/// // Need not be `Send`.
/// let generation = Rc::new(Cell::new(0));
/// let reloaded = generation.clone();
/// reactor.on_signal(SIGHUP, move |_registry| {
///     reloaded.set(reloaded.get() + 1); // read the configuration again
///     Ok(())
/// })?;
/// for signal in [SIGINT, SIGTERM] {
///     reactor.on_signal(signal, |registry| {
///         registry.shutdown(Duration::from_secs(10));
///         Ok(())
///     })?;
/// }
/// # reactor.call_later(Duration::from_secs(30), |_| Err("no signal".into()));
/// # signal_hook::low_level::raise(SIGHUP)?;
/// # signal_hook::low_level::raise(SIGTERM)?;
/// reactor.run()?;
/// assert_eq!(generation.get(), 1);
/// # Ok(())
/// # }
/// ```
#[cfg_attr(docsrs, doc(cfg(feature = "signals")))]
impl Registry {
    /// Runs `f` on the loop's thread whenever the process gets `signal`.
    ///
    /// From the first such call on, by any reactor, the signal does not have its usual effect on the process, not even
    /// when nobody listens for it any more.
    ///
    /// - `f` runs after the timers of a turn and before its [calls](Registry#calls), once for all the signals of one
    ///   number that came since.
    /// - Every closure for the signal runs, of this reactor in the order of the calls, and of every other reactor.
    /// - It does not keep `run` from returning, and ends with [`off_signal`](Self::off_signal) or with the reactor.
    /// - An error or panic of `f` goes to [`Builder::on_error`](crate::Builder::on_error), and `f` stays.
    ///
    /// A reactor with signals has three descriptors more, and one for each further signal. No thread is started.
    ///
    /// # Errors
    /// `InvalidInput` for SIGKILL, SIGSTOP, SIGILL, SIGFPE, SIGSEGV, and for what is no signal. Otherwise if the system
    /// has no descriptor or memory left.
    pub fn on_signal(
        &mut self,
        signal: i32,
        f: impl FnMut(&mut Registry) -> Result + 'static,
    ) -> io::Result<SignalId> {
        let signals = match &mut self.signals {
            Some(signals) => signals,
            none => {
                let signals = Signals::new(self.poll.registry(), SIGNALS, self.serial)?;
                none.insert(Box::new(signals))
            }
        };
        signals.add(signal, Box::new(f))
    }

    /// Ends one closure of [`on_signal`](Self::on_signal), from inside too. False if it has ended before. O(n) in the
    /// number of closures.
    pub fn off_signal(&mut self, id: SignalId) -> bool {
        let removed = self.signals.as_mut().and_then(|signals| signals.remove(id));
        match removed {
            Some(f) => {
                self.discard(f);
                true
            }
            None => false,
        }
    }
}
