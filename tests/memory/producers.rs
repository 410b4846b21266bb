//! What the stock producers allocate in the steady state: nothing.

use std::collections::VecDeque;
use std::{io, iter};

use asynchat::{
    ChunkedProducer, CoalescingProducer, EscapingProducer, LinesProducer, Produced, Producer,
    ReaderProducer, from_fn,
};
use bytes::Bytes;

/// How often 1,000 calls of `more` allocate, after a warm-up of ten, when the queue still holds the
/// last `held` pieces as it asks.
fn allocations(mut producer: impl Producer, held: usize) -> usize {
    let mut queue = VecDeque::with_capacity(held + 1);
    let mut ask = |calls: usize| {
        for _ in 0..calls {
            match producer.more() {
                Ok(Produced::Data(data)) => queue.push_back(data),
                other => panic!("no data but {other:?}"),
            }
            if queue.len() > held {
                queue.pop_front();
            }
        }
    };
    ask(10);
    let before = util::heap::allocations();
    ask(1_000);
    util::heap::allocations() - before
}

fn endless(piece: &[u8]) -> impl Producer + use<> {
    let piece = Bytes::copy_from_slice(piece);
    from_fn(move || Ok(Produced::Data(piece.clone())))
}

#[test]
fn a_reader_allocates_nothing_per_block() {
    for held in [0, 1] {
        assert_eq!(allocations(ReaderProducer::new(io::repeat(b'x')), held), 0);
        let limited = ReaderProducer::new(io::repeat(b'x')).exactly(1 << 40);
        assert_eq!(allocations(limited, held), 0);
    }
}

#[test]
fn what_is_sent_is_used_again_by_all_that_copy() {
    let lines = LinesProducer::new(iter::repeat("a line of a listing"));
    assert_eq!(allocations(lines, 0), 0);
    assert_eq!(
        allocations(CoalescingProducer::new(endless(b"0123456789")), 0),
        0
    );
    assert_eq!(
        allocations(ChunkedProducer::new(endless(b"0123456789")), 0),
        0
    );
    assert_eq!(
        allocations(ChunkedProducer::new(endless(&[b'x'; 65_536])), 0),
        0
    );
    let mail = b"a line of a mail\r\n.a line with a dot\r\n".repeat(1_000);
    assert_eq!(allocations(EscapingProducer::new(endless(&mail)), 0), 0);
}

#[test]
fn a_whole_stack_of_producers_allocates_nothing_per_block() {
    let file = ReaderProducer::new(io::repeat(b'x'));
    let stack = ChunkedProducer::new(CoalescingProducer::new(EscapingProducer::new(file)));
    assert_eq!(allocations(stack, 0), 0);
}
