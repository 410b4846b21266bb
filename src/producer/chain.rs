//! [`ChainProducer`]: several producers in turn.

use std::{collections::VecDeque, fmt, io};

use super::{Produced, Producer};

/// Gives the bytes of several producers, one producer after the other.
///
/// Pushing them one by one sends the same. A chain is for another producer around them all, such as a
/// [`HookedProducer`](crate::HookedProducer) that counts a whole reply. Each producer is dropped at its end. At an
/// error those behind it are dropped unasked.
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
    pub fn push(&mut self, producer: impl Producer + 'static) {
        self.producers.push_back(Box::new(producer));
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

    #[test]
    fn a_list_of_boxes_makes_a_chain() {
        let boxes: Vec<Box<dyn Producer>> = vec![Box::new("a"), Box::new(String::from("b"))];
        let mut chain: ChainProducer = boxes.into_iter().collect();
        chain.extend([Box::new("c") as Box<dyn Producer>]);
        assert_eq!(answers(chain), ["a", "b", "c", "."]);
    }
}
