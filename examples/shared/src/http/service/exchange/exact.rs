//! A producer that gives as many bytes as were announced, or fails.

use std::{cell::Cell, io, rc::Rc};

use asynchat::{Produced, Producer};

/// Counts the bytes of a producer, and checks them against a length.
pub(super) struct Exact<P> {
    inner: P,
    length: Option<u64>,
    given: Rc<Cell<u64>>,
}

impl<P: Producer> Exact<P> {
    pub(super) fn new(inner: P, length: Option<u64>, given: Rc<Cell<u64>>) -> Self {
        Self {
            inner,
            length,
            given,
        }
    }
}

impl<P: Producer> Producer for Exact<P> {
    fn more(&mut self) -> io::Result<Produced> {
        let answer = self.inner.more()?;
        let given = match &answer {
            Produced::Data(data) => self.given.get() + data.len() as u64,
            _ => self.given.get(),
        };
        self.given.set(given);
        match (self.length, &answer) {
            (Some(length), _) if given > length => Err(io::Error::other(format!(
                "the body is longer than the {length} bytes announced"
            ))),
            (Some(length), Produced::Done) if given < length => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("the body has {given} of the {length} bytes announced"),
            )),
            _ => Ok(answer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(length: Option<u64>, text: &'static str) -> (Result<(), String>, u64) {
        let given = Rc::new(Cell::new(0));
        let mut producer = Exact::new(text, length, Rc::clone(&given));
        let outcome = loop {
            match producer.more() {
                Ok(Produced::Done) => break Ok(()),
                Ok(_) => {}
                Err(error) => break Err(error.to_string()),
            }
        };
        (outcome, given.get())
    }

    #[test]
    fn a_body_has_the_length_that_was_announced() {
        assert_eq!(run(None, "abc"), (Ok(()), 3));
        assert_eq!(run(Some(3), "abc"), (Ok(()), 3));
        let short = "the body has 3 of the 4 bytes announced";
        assert_eq!(run(Some(4), "abc"), (Err(short.into()), 3));
        let long = "the body is longer than the 2 bytes announced";
        assert_eq!(run(Some(2), "abc").0, Err(long.into()));
    }
}
