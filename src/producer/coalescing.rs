//! [`CoalescingProducer`]: many small pieces joined into few large ones. Medusa's globbing producer.

use std::{fmt, io};

use bytes::BytesMut;

use super::{BLOCK, Fused, LARGEST_BLOCK, Produced, Producer};

/// Joins the small pieces of a producer into larger ones of up to 64 KiB.
///
/// Pieces are joined as long as they fit. The bytes collected are given at once when the wrapped producer is
/// [`Pending`](Produced::Pending), gives an empty piece, fails or is done: nothing waits for bytes that may never come,
/// and an error follows the bytes before it. A piece that fills the limit alone is passed on uncopied.
///
/// *Memory*: one block of the limit's size, allocated for the first piece collected and reused when the queue has
/// dropped its bytes.
///
/// ```
/// use asynchat::{ChainProducer, CoalescingProducer, Produced, Producer};
///
/// let row = ChainProducer::new().with("<tr>").with("<td>").with("<td>");
/// let mut row = CoalescingProducer::new(row).with_limit(10);
/// assert_eq!(row.more()?, Produced::Data("<tr><td>".into()));
/// assert_eq!(row.more()?, Produced::Data("<td>".into()));
/// assert_eq!(row.more()?, Produced::Done);
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "a producer does nothing until it is pushed"]
pub struct CoalescingProducer<P> {
    inner: Fused<P>,
    limit: usize,
    block: BytesMut,
    /// The answer that followed the block and did not fit into it: data or an error.
    held: Option<io::Result<Produced>>,
}

impl<P: Producer> CoalescingProducer<P> {
    /// Joins the pieces of `producer` into pieces of up to 64 KiB.
    pub fn new(producer: P) -> Self {
        Self {
            inner: Fused::new(producer),
            limit: BLOCK,
            block: BytesMut::new(),
            held: None,
        }
    }

    /// Sets the limit in bytes. 0 counts as 1; with both every piece is passed on as it is. More than 16 MiB counts as
    /// 16 MiB.
    pub fn with_limit(mut self, bytes: usize) -> Self {
        self.limit = bytes.clamp(1, LARGEST_BLOCK);
        self
    }

    fn collect(&mut self, piece: &[u8]) {
        if self.block.capacity() - self.block.len() < piece.len() {
            self.block.reserve(self.limit - self.block.len());
        }
        self.block.extend_from_slice(piece);
    }
}

impl<P: Producer> Producer for CoalescingProducer<P> {
    fn more(&mut self) -> io::Result<Produced> {
        while self.block.len() < self.limit {
            let room = self.limit - self.block.len();
            match self.held.take().unwrap_or_else(|| self.inner.more()) {
                Ok(Produced::Data(piece))
                    if (1..self.limit).contains(&piece.len()) && piece.len() <= room =>
                {
                    self.collect(&piece);
                }
                answer if self.block.is_empty() => return answer,
                // Not held: the producer says so again, or has something by then.
                Ok(Produced::Pending | Produced::Done) => break,
                answer => {
                    self.held = Some(answer);
                    break;
                }
            }
        }
        Ok(Produced::Data(self.block.split().freeze()))
    }
}

impl<P> fmt::Debug for CoalescingProducer<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CoalescingProducer")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::{
        super::{
            from_fn,
            tests::{answers, collect, data, failure, pending, script},
        },
        *,
    };
    use util::properties::config;

    fn coalescing(limit: usize, steps: Vec<io::Result<Produced>>) -> Vec<String> {
        answers(CoalescingProducer::new(script(steps)).with_limit(limit))
    }

    #[test]
    fn pieces_are_joined_as_long_as_they_fit() {
        let pieces = ["ab", "cd", "ef", "ghij", "k", "l"].map(data).into();
        assert_eq!(coalescing(5, pieces), ["abcd", "ef", "ghijk", "l", "."]);
    }

    #[test]
    fn a_limit_beyond_any_memory_counts_as_the_largest_block() {
        let steps = vec![data("a"), data("b")];
        assert_eq!(coalescing(usize::MAX, steps), ["ab", "."]);
    }

    #[test]
    fn what_is_collected_does_not_wait_for_a_pending_producer() {
        let steps = vec![
            data("a"),
            data("b"),
            pending(),
            pending(),
            data("c"),
            pending(),
        ];
        assert_eq!(
            coalescing(9, steps),
            ["ab", "~", "c", "."],
            "a pending is never held back"
        );
    }

    #[test]
    fn an_error_comes_after_the_bytes_before_it() {
        assert_eq!(
            coalescing(9, vec![data("a"), data("b"), failure()]),
            ["ab", "|broken"]
        );
        assert_eq!(coalescing(9, vec![failure()]), ["|broken"]);
    }

    #[test]
    fn an_empty_piece_is_passed_on_and_ends_nothing() {
        let steps = vec![data(""), data("a"), data(""), data("b")];
        assert_eq!(coalescing(9, steps), ["", "a", "", "b", "."]);
        let mut endless = CoalescingProducer::new(from_fn(|| data("")));
        assert_eq!(endless.more().unwrap(), data("").unwrap());
    }

    #[test]
    fn a_large_piece_is_passed_on_uncopied_and_in_order() {
        let large = Bytes::from(b"abcd".to_vec());
        let steps = [data("x"), Ok(Produced::Data(large.clone())), data("y")];
        let mut producer = CoalescingProducer::new(script(steps)).with_limit(4);
        assert_eq!(producer.more().unwrap(), data("x").unwrap());
        let Produced::Data(given) = producer.more().unwrap() else {
            panic!("no data")
        };
        assert_eq!(given.as_ptr(), large.as_ptr());
        assert_eq!(answers(producer), ["y", "."]);
    }

    #[test]
    fn a_block_the_queue_has_dropped_is_filled_again() {
        let mut producer = CoalescingProducer::new(from_fn(|| data("0123456789")));
        if cfg!(miri) {
            producer = producer.with_limit(1_005);
        }
        let mut block = || match producer.more().unwrap() {
            Produced::Data(block) => (block.as_ptr(), block.len()),
            other => panic!("no data but {other:?}"),
        };
        let first = block();
        assert_eq!(first.1, if cfg!(miri) { 1_000 } else { 65_530 });
        assert_eq!([block(), block(), block()], [first; 3]);
    }

    proptest! {
        #![proptest_config(config(256, 8))]

        #[test]
        fn no_byte_is_lost_added_or_moved(
            pieces in proptest::collection::vec(proptest::collection::vec(b'a'..=b'z', 0..10), 0..20),
            limit in 0_usize..12,
        ) {
            let steps = pieces.iter().map(|piece| Ok(Produced::Data(piece.clone().into())));
            let coalescing = CoalescingProducer::new(script(steps)).with_limit(limit);
            prop_assert_eq!(collect(coalescing).unwrap(), pieces.concat());
        }
    }
}
