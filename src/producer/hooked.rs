//! [`HookedProducer`]: a producer with a callback at its end.

use std::{fmt, io};

use super::{Fused, Produced, Producer};

/// Passes on the bytes of a producer and calls a function once, with their number, at its end.
///
/// The function runs inside the call of [`more`](Producer::more) that first answers [`Done`](Produced::Done): the queue
/// has taken all bytes then, but up to 64 KiB of them have not left. It gets no registry. If the producer fails, or is
/// dropped before its end because the channel closed, the function is **not** called but dropped.
///
/// Use it inside other producers, to count what one of them gives. To learn how much has *left*, also when the channel
/// closes first, and to go on with the registry, push with [`Channel::push_then`](crate::Channel::push_then).
///
/// *Memory*: that of the wrapped producer; the bytes are not copied.
///
/// ```
/// use asynchat::{HookedProducer, Produced, Producer};
/// use std::{cell::Cell, rc::Rc};
///
/// let sent = Rc::new(Cell::new(None));
/// let log = Rc::clone(&sent);
/// let mut page = HookedProducer::new("<p>hello", move |bytes| log.set(Some(bytes)));
/// assert_eq!(page.more()?, Produced::Data("<p>hello".into()));
/// assert_eq!(sent.get(), None);
/// assert_eq!(page.more()?, Produced::Done);
/// assert_eq!(sent.get(), Some(8));
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "a producer does nothing until it is pushed"]
pub struct HookedProducer<P, F> {
    inner: Fused<P>,
    hook: Option<F>,
    bytes: u64,
}

impl<P: Producer, F: FnOnce(u64)> HookedProducer<P, F> {
    /// Calls `hook` with the number of bytes when `producer` is done.
    pub fn new(producer: P, hook: F) -> Self {
        Self {
            inner: Fused::new(producer),
            hook: Some(hook),
            bytes: 0,
        }
    }
}

impl<P: Producer, F: FnOnce(u64)> Producer for HookedProducer<P, F> {
    fn more(&mut self) -> io::Result<Produced> {
        let answer = self.inner.more();
        match &answer {
            Ok(Produced::Data(data)) => self.bytes += data.len() as u64,
            Ok(Produced::Pending) => {}
            Ok(Produced::Done) => {
                if let Some(hook) = self.hook.take() {
                    hook(self.bytes);
                }
            }
            Err(_) => self.hook = None,
        }
        answer
    }
}

impl<P, F> fmt::Debug for HookedProducer<P, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HookedProducer")
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, rc::Rc};

    use super::{
        super::tests::{answers, data, failure, pending, script},
        *,
    };

    #[test]
    fn the_hook_is_called_once_at_the_end_with_all_bytes() {
        let calls = RefCell::new(Vec::new());
        let steps = [data("abc"), pending(), data(""), data("de")];
        let hooked = HookedProducer::new(script(steps), |bytes| calls.borrow_mut().push(bytes));
        assert_eq!(answers(hooked), ["abc", "~", "", "de", "."]);
        assert_eq!(calls.take(), [5]);
    }

    #[test]
    fn the_hook_is_called_for_nothing_too() {
        let calls = RefCell::new(Vec::new());
        answers(HookedProducer::new("", |bytes| {
            calls.borrow_mut().push(bytes);
        }));
        assert_eq!(calls.take(), [0]);
    }

    #[test]
    fn the_hook_is_dropped_uncalled_at_an_error_and_with_the_producer() {
        let guard = Rc::new(());
        let hook = |guard: &Rc<()>| {
            let guard = Rc::clone(guard);
            move |_| panic!("called, {} alive", Rc::strong_count(&guard))
        };
        let mut failing = HookedProducer::new(script([data("a"), failure()]), hook(&guard));
        failing.more().unwrap();
        failing.more().unwrap_err();
        assert_eq!(Rc::strong_count(&guard), 1);
        assert_eq!(failing.more().unwrap(), Produced::Done);

        let mut dropped = HookedProducer::new("a", hook(&guard));
        dropped.more().unwrap();
        drop(dropped);
        assert_eq!(Rc::strong_count(&guard), 1);
    }
}
