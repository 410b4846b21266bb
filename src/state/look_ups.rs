//! Host names that are being looked up, and who waits for the answers.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use crate::{
    names::{answer::Ticket, question::Question},
    resolver::Resolver,
    time::timer::TimerId,
};

/// Numbers are never used twice, so late news reach nobody else.
pub(crate) struct LookUps<W> {
    /// Absent until the first question, if the program sets none.
    pub(crate) resolver: Option<Box<dyn Resolver>>,
    last: u64,
    /// Those without an answer, by their numbers.
    pub(crate) running: HashMap<u64, LookUp<W>>,
    by_question: HashMap<Question, u64>,
    /// Counted by the tickets.
    pub(crate) departures: Arc<AtomicUsize>,
}

pub(crate) struct LookUp<W> {
    pub(crate) question: Question,
    pub(crate) ticket: Arc<Ticket>,
    /// In the order of asking. None if their time is over, or they are gone.
    pub(crate) askers: BTreeMap<u64, Asker<W>>,
    /// What the resolver said when it panicked.
    pub(crate) panic: Option<String>,
}

pub(crate) struct Asker<W> {
    pub(crate) who: W,
    pub(crate) timeout: Duration,
    pub(crate) timer: TimerId,
}

/// One who asks: the number of the look-up, and its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AskerId {
    pub(crate) look_up: u64,
    pub(crate) number: u64,
}

impl<W> LookUps<W> {
    pub(crate) fn new() -> Self {
        Self {
            resolver: None,
            last: 0,
            running: HashMap::new(),
            by_question: HashMap::new(),
            departures: Arc::default(),
        }
    }

    pub(crate) fn next_number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// The look-up of an equal question whose answer is still to come.
    pub(crate) fn join(&mut self, question: &Question) -> Option<u64> {
        let number = *self.by_question.get(question)?;
        let joined = self
            .running
            .get(&number)
            .is_some_and(|look_up| look_up.ticket.join());
        if !joined {
            self.take(number);
        }
        joined.then_some(number)
    }

    pub(crate) fn add(&mut self, number: u64, question: Question, ticket: Arc<Ticket>) {
        self.by_question.insert(question.clone(), number);
        let look_up = LookUp {
            question,
            ticket,
            askers: BTreeMap::new(),
            panic: None,
        };
        self.running.insert(number, look_up);
    }

    /// Ends a look-up.
    pub(crate) fn take(&mut self, number: u64) -> Option<LookUp<W>> {
        let look_up = self.running.remove(&number)?;
        if self.by_question.get(&look_up.question) == Some(&number) {
            self.by_question.remove(&look_up.question);
        }
        Some(look_up)
    }

    /// Takes one who asks out. The look-up goes on, for those who ask the same.
    pub(crate) fn take_asker(&mut self, id: AskerId) -> Option<Asker<W>> {
        let look_up = self.running.get_mut(&id.look_up)?;
        let asker = look_up.askers.remove(&id.number);
        if look_up.askers.is_empty() {
            look_up.ticket.leave();
        }
        asker
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_up_that_is_over_leaves_nothing_behind_and_no_other_in_its_place() {
        let mut look_ups = LookUps::<()>::new();
        let question = Question::new("www.example", 80).unwrap();
        for number in [1, 2] {
            let ticket = Arc::new(Ticket::new(Arc::default(), |_| {}));
            look_ups.add(number, question.clone(), ticket);
        }
        assert!(look_ups.take(1).is_some() && look_ups.take(1).is_none());
        assert_eq!(look_ups.join(&question), Some(2));
        assert!(look_ups.take(2).is_some());
        assert_eq!(look_ups.join(&question), None);
        assert!(look_ups.running.is_empty() && look_ups.by_question.is_empty());
    }
}
