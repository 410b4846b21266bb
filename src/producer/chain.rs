//! [`ChainProducer`]: several producers in turn.

use std::{any::Any, collections::VecDeque, fmt, io, mem};

use super::{Produced, Producer};

/// Gives the bytes of several producers, one producer after the other.
///
/// Pushing them one by one sends the same. A chain is for another producer around them all, such as a
/// [`HookedProducer`](crate::HookedProducer) that counts a whole reply. Each producer is dropped at its end. At an
/// error those behind it are dropped unasked.
///
/// A chain that is added to a chain is taken apart: however deep chains are nested, they are one list. Every other
/// producer around a producer is a call within a call, so a nesting of some ten thousand exhausts the stack.
///
/// *Memory*: that of the producers left.
///
/// ```
/// use asynchat::{ChainProducer, Produced, Producer};
///
/// let mut reply = ChainProducer::new()
///     .with("250-mail.example.org\r\n")
///     .with(Vec::from(b"250 SIZE\r\n"));
/// assert_eq!(reply.more()?, Produced::Data("250-mail.example.org\r\n".into()));
/// assert_eq!(reply.more()?, Produced::Data("250 SIZE\r\n".into()));
/// assert_eq!(reply.more()?, Produced::Done);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Default)]
#[must_use = "a producer does nothing until it is pushed"]
pub struct ChainProducer {
    producers: VecDeque<Box<dyn Producer>>,
}

impl ChainProducer {
    /// An empty chain. A list of boxes is collected into one: `boxes.into_iter().collect()`.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `producer` at the end.
    pub fn push<P: Producer + 'static>(&mut self, producer: P) {
        let mut producer = Some(producer);
        if let Some(Some(chain)) = (&mut producer as &mut dyn Any).downcast_mut::<Option<Self>>() {
            let mut added = mem::take(&mut chain.producers);
            // The shorter list is moved, so that building a chain from either end is linear.
            if self.producers.len() < added.len() {
                while let Some(first) = self.producers.pop_back() {
                    added.push_front(first);
                }
                self.producers = added;
            } else {
                self.producers.append(&mut added);
            }
        } else if let Some(producer) = producer {
            self.producers.push_back(Box::new(producer));
        }
    }

    /// Adds `producer` at the end and returns the chain.
    pub fn with(mut self, producer: impl Producer + 'static) -> Self {
        self.push(producer);
        self
    }
}

impl FromIterator<Box<dyn Producer>> for ChainProducer {
    fn from_iter<I: IntoIterator<Item = Box<dyn Producer>>>(producers: I) -> Self {
        Self {
            producers: producers.into_iter().collect(),
        }
    }
}

impl Extend<Box<dyn Producer>> for ChainProducer {
    fn extend<I: IntoIterator<Item = Box<dyn Producer>>>(&mut self, producers: I) {
        self.producers.extend(producers);
    }
}

impl Producer for ChainProducer {
    fn more(&mut self) -> io::Result<Produced> {
        while let Some(first) = self.producers.front_mut() {
            match first.more() {
                Ok(Produced::Done) => {
                    self.producers.pop_front();
                }
                Err(error) => {
                    self.producers.clear();
                    return Err(error);
                }
                answer => return answer,
            }
        }
        Ok(Produced::Done)
    }
}

impl fmt::Debug for ChainProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChainProducer")
            .field("left", &self.producers.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{answers, data, failure, pending, script},
        *,
    };

    #[test]
    fn producers_come_in_turn_and_empty_ones_do_not_end_the_chain() {
        let chain = ChainProducer::new()
            .with("a")
            .with("")
            .with(script([]))
            .with("b")
            .with("");
        assert_eq!(answers(chain), ["a", "b", "."]);
        assert_eq!(answers(ChainProducer::new()), ["."]);
    }

    #[test]
    fn a_pending_producer_holds_up_those_behind_it() {
        let chain = ChainProducer::new()
            .with(script([pending(), data("a"), pending()]))
            .with("b");
        assert_eq!(answers(chain), ["~", "a", "~", "b", "."]);
    }

    #[test]
    fn empty_data_is_passed_on_and_ends_nothing() {
        let chain = ChainProducer::new()
            .with(script([data(""), data("a")]))
            .with("b");
        assert_eq!(answers(chain), ["", "a", "b", "."]);
    }

    #[test]
    fn an_error_ends_the_whole_chain() {
        let chain = ChainProducer::new()
            .with(script([data("a"), failure()]))
            .with("never");
        assert_eq!(answers(chain), ["a", "|broken"]);
    }

    /// The test's thread has a stack of 2 MiB.
    #[test]
    fn chains_in_chains_are_one_list_whichever_way_they_are_nested() {
        const DEPTH: usize = if cfg!(miri) { 100 } else { 100_000 };
        let nestings: [fn(ChainProducer) -> ChainProducer; 2] = [
            |inner| ChainProducer::new().with(inner).with("x"),
            |inner| ChainProducer::new().with("x").with(inner),
        ];
        for nest in nestings {
            let deep = || (0..DEPTH).fold(ChainProducer::new(), |inner, _| nest(inner));
            drop(deep());
            let mut chain = deep();
            for _ in 0..DEPTH {
                assert_eq!(chain.more().unwrap(), Produced::Data("x".into()));
            }
            assert_eq!(chain.more().unwrap(), Produced::Done);
        }
        let inner = ChainProducer::new().with("b").with("c");
        let chain = ChainProducer::new().with("a").with(inner).with("d");
        assert_eq!(answers(chain), ["a", "b", "c", "d", "."]);
    }

    #[test]
    fn a_list_of_boxes_makes_a_chain() {
        let boxes: Vec<Box<dyn Producer>> = vec![Box::new("a"), Box::new(String::from("b"))];
        let mut chain: ChainProducer = boxes.into_iter().collect();
        chain.extend([Box::new("c") as Box<dyn Producer>]);
        assert_eq!(answers(chain), ["a", "b", "c", "."]);
    }
}
