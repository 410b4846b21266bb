//! The signals that a reactor listens for. It knows neither reactors nor what their closures do.
//!
//! A signal handler may hardly do anything: signal-hook's sets the signal's flag, then writes a byte to the socket pair
//! that wakes the poller. The flag and not the byte says that a signal came. So a burst is one call, and a forked child
//! that shares the socket pair causes an empty wake-up and no call.

use std::{
    collections::VecDeque,
    fmt,
    io::{self, ErrorKind, Read},
    os::unix::net::UnixStream,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use mio::{Interest, Token};
use signal_hook::{
    SigId,
    consts::FORBIDDEN,
    flag,
    low_level::{pipe, unregister},
};

/// Reads of the socket pair in one turn. One empties it, unless signals come faster than they are read.
const READS: usize = 16;

/// Names one closure of [`Registry::on_signal`](crate::Registry::on_signal). An id is not reused.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// use asynchat::signal::SIGUSR1;
///
/// let mut reactor = asynchat::Reactor::new()?;
/// let id = reactor.on_signal(SIGUSR1, |_| Ok(()))?;
/// assert!(reactor.off_signal(id));
/// assert!(!reactor.off_signal(id), "it is gone");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SignalId(u64);

impl fmt::Display for SignalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "signal closure {}", self.0)
    }
}

impl fmt::Debug for SignalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One socket pair for all signals of a reactor.
pub(crate) struct Signals<F> {
    reader: mio::net::UnixStream,
    /// The original of those that the handlers own.
    writer: UnixStream,
    watched: Vec<Watched<F>>,
    /// Closures to run in this turn.
    due: VecDeque<SignalId>,
    next: u64,
    /// The socket pair may have bytes.
    woken: bool,
}

/// One signal.
struct Watched<F> {
    signal: i32,
    raised: Arc<AtomicBool>,
    /// The handler's, which end with it.
    actions: Vec<SigId>,
    /// A closure is out while it runs.
    closures: Vec<(SignalId, Option<F>)>,
}

impl<F> Watched<F> {
    /// Its signal raises the flag, and wakes nobody yet.
    fn new(signal: i32) -> io::Result<Self> {
        // signal-hook panics.
        if FORBIDDEN.contains(&signal) {
            let what = format!("signal {signal} cannot be handled");
            return Err(io::Error::new(ErrorKind::InvalidInput, what));
        }
        let raised = Arc::default();
        let raise = flag::register(signal, Arc::clone(&raised))?;
        Ok(Self {
            signal,
            raised,
            actions: vec![raise],
            closures: Vec::new(),
        })
    }
}

impl<F> Drop for Watched<F> {
    fn drop(&mut self) {
        for &action in &self.actions {
            unregister(action);
        }
    }
}

impl<F> Signals<F> {
    /// `first`: the number of the first id.
    pub(crate) fn new(poll: &mio::Registry, token: Token, first: u64) -> io::Result<Self> {
        let (reader, writer) = UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        let mut reader = mio::net::UnixStream::from_std(reader);
        poll.register(&mut reader, token, Interest::READABLE)?;
        Ok(Self {
            reader,
            writer,
            watched: Vec::new(),
            due: VecDeque::new(),
            next: first,
            woken: false,
        })
    }

    pub(crate) fn add(&mut self, signal: i32, f: F) -> io::Result<SignalId> {
        let id = SignalId(self.next);
        self.watch(signal)?.closures.push((id, Some(f)));
        self.next += 1;
        Ok(id)
    }

    fn watch(&mut self, signal: i32) -> io::Result<&mut Watched<F>> {
        if let Some(at) = self.watched.iter().position(|it| it.signal == signal) {
            return Ok(&mut self.watched[at]);
        }
        let writer = self.writer.try_clone()?;
        // In this order: who is woken has to find the flag.
        let mut watched = Watched::new(signal)?;
        watched.actions.push(pipe::register(signal, writer)?);
        Ok(self.keep(watched))
    }

    fn keep(&mut self, watched: Watched<F>) -> &mut Watched<F> {
        // A signal that came between the two actions has raised the flag and written no byte.
        self.woken |= watched.raised.load(Ordering::Acquire);
        let at = self.watched.len();
        self.watched.push(watched);
        &mut self.watched[at]
    }

    /// Takes a closure out; the inner `None` is one that runs. The last one of a signal ends its watch.
    pub(crate) fn remove(&mut self, id: SignalId) -> Option<Option<F>> {
        for (at, watched) in self.watched.iter_mut().enumerate() {
            if let Some(index) = watched.closures.iter().position(|&(other, _)| other == id) {
                let (_, f) = watched.closures.remove(index);
                if watched.closures.is_empty() {
                    self.watched.remove(at);
                }
                return Some(f);
            }
        }
        None
    }

    /// The poller has told that the socket pair has bytes.
    pub(crate) fn wake(&mut self) {
        self.woken = true;
    }

    /// Whether the loop must not sleep.
    pub(crate) fn is_due(&self) -> bool {
        self.woken || !self.due.is_empty()
    }

    /// Notes whose signals have come since the last call.
    pub(crate) fn collect(&mut self) {
        if !std::mem::take(&mut self.woken) {
            return;
        }
        // Before the flags: a signal that comes later writes another byte.
        self.woken = !self.drain();
        for watched in &self.watched {
            if watched.raised.swap(false, Ordering::AcqRel) {
                self.due.extend(watched.closures.iter().map(|&(id, _)| id));
            }
        }
    }

    /// False if bytes may be left.
    fn drain(&mut self) -> bool {
        let mut bytes = [0; 1024];
        for _ in 0..READS {
            match self.reader.read(&mut bytes) {
                Ok(1..) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Another error or an end of file will not go away, and must not be a spin.
                Ok(0) | Err(_) => return true,
            }
        }
        false
    }

    /// The next closure to run, to be put back.
    pub(crate) fn take(&mut self) -> Option<(SignalId, F)> {
        while let Some(id) = self.due.pop_front() {
            if let Some(f) = self.place(id).and_then(Option::take) {
                return Some((id, f));
            }
        }
        None
    }

    /// Gives the closure to the caller if it was removed while it ran.
    pub(crate) fn put_back(&mut self, id: SignalId, f: F) -> Option<F> {
        match self.place(id) {
            Some(place) => {
                *place = Some(f);
                None
            }
            None => Some(f),
        }
    }

    fn place(&mut self, id: SignalId) -> Option<&mut Option<F>> {
        let mut all = self.watched.iter_mut().flat_map(|it| &mut it.closures);
        all.find(|(other, _)| *other == id).map(|(_, f)| f)
    }

    /// All closures, to be dropped one by one.
    pub(crate) fn into_closures(mut self) -> impl Iterator<Item = F> {
        let watched = std::mem::take(&mut self.watched);
        watched
            .into_iter()
            .flat_map(|mut it| std::mem::take(&mut it.closures))
            .filter_map(|(_, f)| f)
    }
}

#[cfg(test)]
mod tests {
    use signal_hook::{consts::SIGUSR1, low_level::raise};

    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no poller and no signals")]
    fn a_signal_between_the_flag_and_the_byte_is_not_lost() {
        let poll = mio::Poll::new().unwrap();
        let mut signals = Signals::new(poll.registry(), Token(0), 0).unwrap();
        let watched = Watched::new(SIGUSR1).unwrap();
        raise(SIGUSR1).unwrap();
        let id = SignalId(0);
        signals.keep(watched).closures.push((id, Some(())));
        assert!(signals.is_due());
        signals.collect();
        assert!(matches!(signals.take(), Some((due, ())) if due == id));
        assert!(!signals.is_due());
    }
}
