//! Producers: bytes that are made only when the outgoing queue is about to need them (R13).
//!
//! This file has the trait, plain bytes as producers and [`from_fn`]; each stock producer has its own. A producer sees
//! neither socket nor channel, so nothing here can re-enter the reactor. All of them are fused: after
//! [`Produced::Done`] or an error they only answer `Done`.

mod chain;
mod chunked;
mod coalescing;
mod escaping;
mod hooked;
mod lines;
mod reader;
mod simple;

use std::{fmt, io, mem};

use bytes::Bytes;

pub use self::{
    chain::ChainProducer, chunked::ChunkedProducer, coalescing::CoalescingProducer,
    escaping::EscapingProducer, hooked::HookedProducer, lines::LinesProducer,
    reader::ReaderProducer, simple::SimpleProducer,
};

/// The largest piece of a stock producer, unless set otherwise.
const BLOCK: usize = 64 * 1024;
/// The largest block that can be set: a larger one only makes the others wait.
const LARGEST_BLOCK: usize = 16 * 1024 * 1024;

/// A source of outgoing bytes. It is asked for more only when its last piece is nearly sent.
///
/// So memory stays flat: a file of 10 GB is sent through one or two blocks of 64 KiB, at the peer's pace. Pieces of up
/// to 8 KiB are copied into one buffer, of up to 64 KiB, and leave together.
///
/// A producer around another one is a call within a call, and its drop is a drop within a drop: do not nest thousands of
/// them. A [`ChainProducer`] in a [`ChainProducer`] is no nesting.
///
/// [`Channel::push_with_producer`](crate::Channel::push_with_producer) takes these:
///
/// - [`Bytes`], `Vec<u8>`, `String`, `&'static str` and `&'static [u8]`, which give all their bytes at once and without
///   a copy;
/// - `Box<dyn Producer>`, for lists of different ones;
/// - a closure wrapped by [`from_fn`];
/// - the stock producers [`SimpleProducer`], [`ReaderProducer`] and [`LinesProducer`], and around others
///   [`ChainProducer`], [`ChunkedProducer`], [`HookedProducer`], [`EscapingProducer`] and [`CoalescingProducer`];
/// - types of your own:
///
/// ```
/// use asynchat::{Produced, Producer};
/// use std::io;
///
/// struct Countdown(u32);
///
/// impl Producer for Countdown {
///     fn more(&mut self) -> io::Result<Produced> {
///         if self.0 == 0 {
///             return Ok(Produced::Done);
///         }
///         self.0 -= 1;
///         Ok(Produced::Data(format!("{}...\r\n", self.0 + 1).into()))
///     }
/// }
///
/// let mut countdown = Countdown(2);
/// assert_eq!(countdown.more()?, Produced::Data("2...\r\n".into()));
/// assert_eq!(countdown.more()?, Produced::Data("1...\r\n".into()));
/// assert_eq!(countdown.more()?, Produced::Done);
/// # Ok::<(), io::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    note = "for a file there is `push_file`, for an `io::Read` `ReaderProducer`, for a closure `from_fn`, and for `b\"…\"` the text `\"…\"`"
)]
pub trait Producer {
    /// Gives the next piece.
    ///
    /// The reactor calls it and waits: a producer that has no bytes yet answers [`Produced::Pending`].
    ///
    /// # Errors
    /// An error ends the producer: `handle_error` of the channel gets it, and `more` is not called again.
    fn more(&mut self) -> io::Result<Produced>;
}

/// The answer of a [`Producer`].
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Produced {
    /// The next bytes. An empty piece is allowed and means "ask again".
    Data(Bytes),
    /// Nothing yet. The queue waits, with everything behind this producer, until
    /// [`Channel::touch`](crate::Channel::touch) makes the reactor ask again.
    Pending,
    /// The end. The producer is dropped.
    Done,
}

impl<P: Producer + ?Sized> Producer for Box<P> {
    fn more(&mut self) -> io::Result<Produced> {
        (**self).more()
    }
}

macro_rules! give_all_at_once {
    ($($bytes:ty: $into_bytes:expr;)*) => {$(
        impl Producer for $bytes {
            fn more(&mut self) -> io::Result<Produced> {
                if self.is_empty() {
                    return Ok(Produced::Done);
                }
                Ok(Produced::Data($into_bytes(mem::take(self))))
            }
        }
    )*};
}

give_all_at_once! {
    Bytes: Bytes::from;
    Vec<u8>: Bytes::from;
    String: Bytes::from;
    &'static str: Bytes::from;
    &'static [u8]: Bytes::from_static;
}

/// Makes a producer of a closure.
///
/// As with [`std::iter::from_fn`], the closure needs this wrapper: `impl Producer for F: FnMut` would conflict with
/// `impl Producer for Bytes`. The closure is dropped when it answers `Done` or fails.
///
/// ```
/// use asynchat::{Produced, Producer, from_fn};
///
/// let mut left = 2;
/// let mut beeps = from_fn(move || {
///     if left == 0 {
///         return Ok(Produced::Done);
///     }
///     left -= 1;
///     Ok(Produced::Data("beep\r\n".into()))
/// });
/// assert_eq!(beeps.more()?, Produced::Data("beep\r\n".into()));
/// assert_eq!(beeps.more()?, Produced::Data("beep\r\n".into()));
/// assert_eq!(beeps.more()?, Produced::Done);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn from_fn<F>(f: F) -> FromFn<F>
where
    F: FnMut() -> io::Result<Produced>,
{
    FromFn(Fused::new(Closure(f)))
}

/// The producer made by [`from_fn`].
#[must_use = "a producer does nothing until it is pushed"]
pub struct FromFn<F>(Fused<Closure<F>>);

impl<F: FnMut() -> io::Result<Produced>> Producer for FromFn<F> {
    fn more(&mut self) -> io::Result<Produced> {
        self.0.more()
    }
}

impl<F> fmt::Debug for FromFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FromFn").finish_non_exhaustive()
    }
}

struct Closure<F>(F);

impl<F: FnMut() -> io::Result<Produced>> Producer for Closure<F> {
    fn more(&mut self) -> io::Result<Produced> {
        (self.0)()
    }
}

/// Drops a producer at its end and answers `Done` from then on: the one place that fuses them.
struct Fused<P>(Option<P>);

impl<P: Producer> Fused<P> {
    fn new(producer: P) -> Self {
        Self(Some(producer))
    }

    fn more(&mut self) -> io::Result<Produced> {
        let Some(producer) = &mut self.0 else {
            return Ok(Produced::Done);
        };
        let answer = producer.more();
        if matches!(answer, Ok(Produced::Done) | Err(_)) {
            self.0 = None;
        }
        answer
    }
}

#[cfg(test)]
mod tests;
