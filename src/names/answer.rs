//! The answer to a question, given from any thread, once.

use std::{
    fmt, io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering},
    },
};

/// Where a [`Resolver`](crate::Resolver) puts the answer to one question: from any thread, once, at any time.
///
/// An answer that is dropped ungiven is the error "the resolver gave no answer". An answer that comes after its
/// deadline, or after the reactor is gone, is dropped.
#[must_use = "dropped without `give` it is an error for those who ask"]
pub struct Answer {
    ticket: Arc<Ticket>,
    given: bool,
}

impl Answer {
    pub(crate) fn new(ticket: Arc<Ticket>) -> Self {
        Self {
            ticket,
            given: false,
        }
    }

    /// Gives the addresses, in the order in which they are to be tried, or the reason why there are none. An empty list is
    /// the error `NotFound`. Addresses past the first 256 are left out, with a warning in the log. Never calls back from
    /// inside.
    pub fn give(mut self, addresses: io::Result<Vec<SocketAddr>>) {
        self.given = true;
        (self.ticket.tell)(News::Answered(addresses));
    }

    /// Says that the look-up has to wait, so its [deadline](crate::Builder::resolve_timeout) does not count until
    /// [`begin`](Self::begin). To be called before [`Resolver::resolve`](crate::Resolver::resolve) returns. A question
    /// waits 60 s at most.
    pub fn defer(&self) {
        self.ticket.deferred.store(true, Ordering::Release);
    }

    /// Says that the look-up begins now. Does nothing if it was not [deferred](Self::defer).
    pub fn begin(&self) {
        if self.ticket.deferred.swap(false, Ordering::AcqRel) {
            (self.ticket.tell)(News::Begun);
        }
    }

    /// Changes whenever a question of this reactor loses the last who waited for its answer.
    pub(crate) fn departures(&self) -> usize {
        self.ticket.departures.load(Ordering::Acquire)
    }

    /// Whether somebody waits for the answer. Once false, it stays false: the look-up need not be made.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        let given_up = self.ticket.interest.compare_exchange(
            UNWANTED,
            GIVEN_UP,
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        given_up == Err(WANTED)
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if !self.given {
            (self.ticket.tell)(News::Dropped);
        }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").finish_non_exhaustive()
    }
}

/// What a resolver has to say about a question.
pub(crate) enum News {
    Begun,
    Answered(io::Result<Vec<SocketAddr>>),
    /// The answer was dropped ungiven.
    Dropped,
}

/// A look-up as both threads know it.
pub(crate) struct Ticket {
    tell: Box<dyn Fn(News) + Send + Sync>,
    deferred: AtomicBool,
    interest: AtomicU8,
    /// How often a question of the reactor became unwanted.
    departures: Arc<AtomicUsize>,
}

const WANTED: u8 = 0;
/// Nobody waits, but another may ask the same while the resolver works.
const UNWANTED: u8 = 1;
/// The resolver has seen that nobody waits: no answer will come.
const GIVEN_UP: u8 = 2;

impl Ticket {
    pub(crate) fn new(
        departures: Arc<AtomicUsize>,
        tell: impl Fn(News) + Send + Sync + 'static,
    ) -> Self {
        Self {
            tell: Box::new(tell),
            deferred: AtomicBool::new(false),
            interest: AtomicU8::new(WANTED),
            departures,
        }
    }

    pub(crate) fn is_deferred(&self) -> bool {
        self.deferred.load(Ordering::Acquire)
    }

    pub(crate) fn leave(&self) {
        let left =
            self.interest
                .compare_exchange(WANTED, UNWANTED, Ordering::AcqRel, Ordering::Acquire);
        if left.is_ok() {
            self.departures.fetch_add(1, Ordering::Release);
        }
    }

    /// False if the resolver has given the question up.
    pub(crate) fn join(&self) -> bool {
        self.interest
            .compare_exchange(UNWANTED, WANTED, Ordering::AcqRel, Ordering::Acquire)
            != Err(GIVEN_UP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_that_is_given_up_cannot_be_joined() {
        let ticket = Arc::new(Ticket::new(Arc::default(), |_| {}));
        let answer = Answer::new(Arc::clone(&ticket));
        assert!(answer.is_wanted() && ticket.join());
        ticket.leave();
        assert!(ticket.join());
        assert!(answer.is_wanted());
        ticket.leave();
        assert!(!answer.is_wanted() && !answer.is_wanted());
        assert!(!ticket.join());
    }
}
