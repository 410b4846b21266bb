//! The queue against a model, driven by a socket that takes what it likes and producers that do what they like.

use std::{
    cell::RefCell,
    fs::File,
    io::{self, IoSlice, Read, Seek, SeekFrom, Write},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    rc::Rc,
};

use proptest::{collection::vec, prelude::*};

use super::{flushing::*, *};
use crate::producer::Produced;
use util::properties::config;

/// What a producer answers when it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Data(usize),
    Empty,
    Pending,
    Done,
    Fail,
    Panic,
}

/// What the socket says to a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    All,
    UpTo(usize),
    Nothing,
    WouldBlock,
    Interrupted,
    Broken,
}

#[derive(Clone, Debug)]
enum Op {
    Push(usize),
    Copy(usize),
    /// Gives these answers, then says `Done`.
    Producer(Vec<Answer>),
    /// When the answers are used up the socket would block.
    Flush(usize, Vec<Taken>),
    Unpark,
    Clear,
}

enum Item {
    Bytes(Vec<u8>),
    Producer {
        id: usize,
        current: Vec<u8>,
    },
    /// A producer that failed, with no bytes.
    Failed(Vec<u8>),
}

/// What should be queued, and what the last flush saw.
#[derive(Default)]
struct Model {
    items: Vec<Item>,
    /// Numbers the bytes, so that one lost, doubled or moved shows.
    stamp: u32,
    parked: bool,
    asked: Vec<Answer>,
    taken: Vec<Taken>,
    accepted: usize,
    budget: usize,
    /// What the calls of the flush count for, in bytes of its budget.
    cost: usize,
    producers: usize,
    dropped: Vec<usize>,
}

/// A function that writes is a socket of a system that cannot send files.
impl<F: FnMut(&[IoSlice<'_>]) -> io::Result<usize>> Sink for F {
    fn write(&mut self, slices: &[IoSlice<'_>], _: bool) -> io::Result<usize> {
        self(slices)
    }

    fn send_file(&mut self, _: &File, _: u64, _: usize) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl Outgoing {
    /// Flushes with a budget of its own. Returns the number of bytes taken with the reason for stopping.
    fn flush_all(
        &mut self,
        mut budget: usize,
        spare: &mut Spare,
        sink: &mut impl Sink,
    ) -> (usize, Flushed) {
        let mut counting = Counted(sink, 0);
        let flushed = self.flush(&mut budget, true, spare, &mut counting);
        (counting.1, flushed)
    }
}

/// Counts the bytes that a sink takes.
struct Counted<'a, S>(&'a mut S, usize);

impl<S: Sink> Sink for Counted<'_, S> {
    fn write(&mut self, slices: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
        self.0.write(slices, more).inspect(|n| self.1 += n)
    }

    fn send_file(&mut self, file: &File, offset: u64, len: usize) -> io::Result<usize> {
        self.0.send_file(file, offset, len).inspect(|n| self.1 += n)
    }
}

/// Says of a closure what it is.
fn socket<F: FnMut(&[IoSlice<'_>]) -> io::Result<usize>>(write: F) -> F {
    write
}

type Shared = Rc<RefCell<Model>>;

impl Model {
    fn make(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len + 4);
        while bytes.len() < len {
            self.stamp += 1;
            bytes.extend_from_slice(&self.stamp.to_le_bytes());
        }
        bytes.truncate(len);
        bytes
    }

    fn len(&self) -> usize {
        self.items.iter().map(|item| item.bytes().len()).sum()
    }

    /// The first item that something has to be done about before what is behind it can be sent.
    fn first_stop(&self) -> Option<usize> {
        let stops = |item: &Item| !matches!(item, Item::Bytes(_));
        self.items.iter().position(stops)
    }

    /// Bytes that come before what the first producer has yet to give, or all if there is none.
    fn ready(&self) -> Vec<u8> {
        let end = self.first_stop().map_or(self.items.len(), |at| at + 1);
        let bytes: Vec<&[u8]> = self.items[..end].iter().map(|i| &**i.bytes()).collect();
        bytes.concat()
    }

    fn accept(&mut self, mut n: usize) {
        self.accepted += n;
        for item in &mut self.items {
            let bytes = item.bytes_mut();
            let part = n.min(bytes.len());
            bytes.drain(..part);
            n -= part;
        }
        assert_eq!(n, 0, "more was taken than there is");
        self.items
            .retain(|item| !matches!(item, Item::Bytes(bytes) if bytes.is_empty()));
    }

    fn remove_producer(&mut self, id: usize) {
        self.items
            .retain(|item| !matches!(item, Item::Producer { id: other, .. } if *other == id));
    }
}

impl Item {
    fn bytes(&self) -> &Vec<u8> {
        match self {
            Self::Bytes(bytes) | Self::Producer { current: bytes, .. } | Self::Failed(bytes) => {
                bytes
            }
        }
    }

    fn is_producer(&self) -> bool {
        matches!(self, Self::Producer { .. })
    }

    fn bytes_mut(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Bytes(bytes) | Self::Producer { current: bytes, .. } | Self::Failed(bytes) => {
                bytes
            }
        }
    }
}

struct Scripted {
    id: usize,
    answers: std::vec::IntoIter<Answer>,
    model: Shared,
}

impl Producer for Scripted {
    fn more(&mut self) -> io::Result<Produced> {
        let model = &mut *self.model.borrow_mut();
        assert!(!model.parked, "asked before it was unparked");
        assert!(!model.dropped.contains(&self.id), "asked after its end");
        let at = model.first_stop().unwrap();
        let Item::Producer { id, current } = &model.items[at] else {
            unreachable!();
        };
        assert_eq!(*id, self.id, "asked while another one is before it");
        assert!(current.is_empty(), "asked while its last piece is unsent");
        let ahead: usize = model.items[..at].iter().map(|i| i.bytes().len()).sum();
        assert!(ahead <= NEARLY_SENT, "asked {ahead} bytes too early");
        let answer = self.answers.next().unwrap_or(Answer::Done);
        model.asked.push(answer);
        model.cost += ANSWER_COST;
        match answer {
            Answer::Data(len) => {
                let data = model.make(len);
                if len <= GATHERED_MAX {
                    model.items.insert(at, Item::Bytes(data.clone()));
                } else {
                    *model.items[at].bytes_mut() = data.clone();
                }
                Ok(Produced::Data(data.into()))
            }
            Answer::Empty => Ok(Produced::Data(Bytes::new())),
            Answer::Pending => {
                model.parked = true;
                Ok(Produced::Pending)
            }
            Answer::Done => {
                model.remove_producer(self.id);
                Ok(Produced::Done)
            }
            Answer::Fail => {
                model.items[at] = Item::Failed(Vec::new());
                Err(io::Error::other("scripted"))
            }
            Answer::Panic => {
                model.items[at] = Item::Failed(Vec::new());
                // Without the message on the terminal.
                resume_unwind(Box::new("scripted"))
            }
        }
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.model.borrow_mut().dropped.push(self.id);
    }
}

struct Rig {
    queue: Outgoing,
    spare: Spare,
    model: Shared,
}

impl Rig {
    fn new() -> Self {
        Self {
            queue: Outgoing::default(),
            spare: Spare::default(),
            model: Shared::default(),
        }
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Push(len) => {
                let bytes = self.add(*len);
                self.queue.push(&mut bytes.into(), &mut self.spare);
            }
            Op::Copy(len) => {
                let bytes = self.add(*len);
                self.queue.copy(&bytes, &mut self.spare);
            }
            Op::Producer(answers) => {
                let id = self.model.borrow().producers;
                let current = Vec::new();
                let item = Item::Producer { id, current };
                self.model.borrow_mut().items.push(item);
                self.model.borrow_mut().producers += 1;
                self.queue.push_producer(Box::new(Scripted {
                    id,
                    answers: answers.clone().into_iter(),
                    model: Rc::clone(&self.model),
                }));
            }
            Op::Flush(budget, taken) => self.flush(*budget, taken, Taken::WouldBlock),
            Op::Unpark => {
                self.queue.unpark();
                self.model.borrow_mut().parked = false;
            }
            Op::Clear => {
                self.queue.clear(&mut self.spare);
                self.model.borrow_mut().items.clear();
                self.model.borrow_mut().parked = false;
            }
        }
        self.check();
    }

    fn add(&self, len: usize) -> Vec<u8> {
        let mut model = self.model.borrow_mut();
        let bytes = model.make(len);
        if len > 0 {
            model.items.push(Item::Bytes(bytes.clone()));
        }
        bytes
    }

    /// Flushes once; `then` is what the socket says when `taken` is used up.
    fn flush(&mut self, budget: usize, taken: &[Taken], then: Taken) {
        let model = Rc::clone(&self.model);
        {
            let mut model = model.borrow_mut();
            model.asked.clear();
            model.taken.clear();
            model.accepted = 0;
            model.cost = 0;
            model.budget = budget;
        }
        let mut taken = taken.iter().copied();
        let queue = &mut self.queue;
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            queue.flush_all(
                budget,
                &mut self.spare,
                &mut socket(|slices| write(&model, slices, taken.next().unwrap_or(then))),
            )
        }));
        match outcome {
            Ok((written, flushed)) => {
                let mut model = self.model.borrow_mut();
                assert_eq!(written, model.accepted);
                explain(&model, &flushed);
                if matches!(flushed, Flushed::ProducerFailed(_)) {
                    model.items.remove(0);
                }
            }
            Err(panic) => {
                // A failed assertion is no answer of a producer.
                if self.model.borrow().asked.last() != Some(&Answer::Panic) {
                    resume_unwind(panic);
                }
                assert!(self.queue.fail_producer("scripted".into()).is_some());
            }
        }
    }

    /// What holds after every step.
    fn check(&self) {
        let model = self.model.borrow();
        assert_eq!(self.queue.len(), model.len());
        assert_eq!(self.queue.is_empty(), model.items.is_empty());
        let can_flush = match model.items.first() {
            None => false,
            Some(Item::Bytes(_) | Item::Failed(_)) => true,
            Some(Item::Producer { current, .. }) => !current.is_empty() || !model.parked,
        };
        assert_eq!(self.queue.can_flush(), can_flush);
        let producers = model.items.iter().filter(|item| item.is_producer()).count();
        let weight = model.len() + producers * WAITING_WEIGHT;
        assert_eq!(self.queue.weight(), weight);
        let queued = |&id: &usize| {
            let is_it =
                |item: &Item| matches!(item, Item::Producer { id: other, .. } if *other == id);
            model.items.iter().any(is_it)
        };
        let expected: Vec<usize> = (0..model.producers).filter(|id| !queued(id)).collect();
        let mut dropped = model.dropped.clone();
        dropped.sort_unstable();
        assert_eq!(dropped, expected, "producers dropped, each once");
    }

    /// Lets the socket take everything until the queue is empty.
    fn drain(&mut self) {
        for _ in 0..10_000 {
            if self.queue.is_empty() {
                break;
            }
            self.apply(&Op::Unpark);
            self.flush(1 << 20, &[], Taken::All);
            self.check();
        }
        assert!(
            self.queue.is_empty(),
            "the queue is stuck: {:?}",
            self.queue
        );
        assert_eq!(self.queue.len(), 0);
    }
}

fn write(model: &Shared, slices: &[IoSlice<'_>], taken: Taken) -> io::Result<usize> {
    let model = &mut *model.borrow_mut();
    model.taken.push(taken);
    assert!(model.accepted < model.budget, "the budget is used up");
    model.cost += CALL_COST;
    assert!((1..=SLICES).contains(&slices.len()));
    assert!(slices.iter().all(|slice| !slice.is_empty()));
    let offered = slices.iter().map(|s| &**s).collect::<Vec<_>>().concat();
    assert!(
        model.ready().starts_with(&offered),
        "offered something else than what comes next"
    );
    let n = match taken {
        Taken::All => offered.len(),
        Taken::UpTo(n) => n.min(offered.len()),
        Taken::Nothing => 0,
        Taken::WouldBlock => return Err(io::ErrorKind::WouldBlock.into()),
        Taken::Interrupted => return Err(io::ErrorKind::Interrupted.into()),
        Taken::Broken => return Err(io::ErrorKind::BrokenPipe.into()),
    };
    model.accept(n);
    model.cost += n.saturating_sub(CALL_COST);
    Ok(n)
}

/// The reason a flush gives is the true one.
fn explain(model: &Model, flushed: &Flushed) {
    let last = model.taken.last();
    match flushed {
        Flushed::Empty => assert!(model.items.is_empty()),
        Flushed::Blocked => assert!(matches!(
            last,
            Some(Taken::Nothing | Taken::UpTo(0) | Taken::WouldBlock)
        )),
        Flushed::Parked => {
            assert!(model.parked);
            assert!(model.ready().is_empty(), "bytes before it could be sent");
        }
        Flushed::Paused => {
            // One after the other may do nothing but say that it is done.
            let idle_calls = |answer: &&Answer| matches!(answer, Answer::Empty | Answer::Done);
            let row = model.asked.iter().rev().take_while(idle_calls);
            let empty = row.filter(|answer| **answer == Answer::Empty).count();
            assert!(
                model.cost >= model.budget || empty >= EMPTY_ANSWERS,
                "paused after {} bytes, a cost of {} of {}, and {empty} answers without any",
                model.accepted,
                model.cost,
                model.budget
            );
        }
        Flushed::Failed(error) => {
            assert_eq!(last, Some(&Taken::Broken));
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        }
        Flushed::ProducerFailed(_) => assert!(
            matches!(model.items[0], Item::Failed(_)),
            "what stands before it is sent first"
        ),
    }
    assert!(
        matches!(flushed, Flushed::Failed(_)) || last != Some(&Taken::Broken),
        "went on after the socket failed"
    );
}

/// Mostly small, sometimes around the sizes where the queue changes its mind.
fn size() -> impl Strategy<Value = usize> {
    prop_oneof![
        4 => 0usize..200,
        2 => COPIED_MAX - 2..COPIED_MAX + 3,
        1 => 10_000usize..30_000,
        1 => NEARLY_SENT - 2..NEARLY_SENT + 3,
    ]
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        8 => (1usize..3000).prop_map(Answer::Data),
        1 => (60_000usize..70_000).prop_map(Answer::Data),
        2 => Just(Answer::Empty),
        2 => Just(Answer::Pending),
        1 => Just(Answer::Done),
        1 => Just(Answer::Fail),
        1 => Just(Answer::Panic),
    ]
}

fn answers() -> impl Strategy<Value = Vec<Answer>> {
    prop_oneof![
        6 => vec(answer(), 0..6),
        1 => (10usize..40).prop_map(|n| vec![Answer::Empty; n]),
    ]
}

fn taken() -> impl Strategy<Value = Taken> {
    prop_oneof![
        4 => Just(Taken::All),
        4 => (0usize..300).prop_map(Taken::UpTo),
        3 => (0usize..80_000).prop_map(Taken::UpTo),
        1 => Just(Taken::Nothing),
        1 => Just(Taken::WouldBlock),
        2 => Just(Taken::Interrupted),
        1 => Just(Taken::Broken),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let budget = prop_oneof![Just(1usize), 1usize..5000, Just(1 << 20)];
    prop_oneof![
        6 => size().prop_map(Op::Push),
        6 => size().prop_map(Op::Copy),
        6 => answers().prop_map(Op::Producer),
        12 => (budget, vec(taken(), 0..8)).prop_map(|(budget, taken)| Op::Flush(budget, taken)),
        4 => Just(Op::Unpark),
        1 => Just(Op::Clear),
    ]
}

const OPS: usize = if cfg!(miri) { 10 } else { 60 };

proptest! {
    #![proptest_config(config(400, 2))]

    #[test]
    fn bytes_arrive_once_and_in_order_whatever_the_socket_and_the_producers_do(
        ops in vec(op(), 0..OPS),
    ) {
        let mut rig = Rig::new();
        for op in &ops {
            rig.apply(op);
        }
        rig.drain();
    }

    #[test]
    fn what_is_handed_back_unsent_is_what_is_left_in_order(ops in vec(op(), 0..OPS)) {
        let mut rig = Rig::new();
        for op in &ops {
            rig.apply(op);
        }
        let dropped = rig.model.borrow().dropped.len();
        let unsent = std::mem::take(&mut rig.queue).into_unsent();
        let mut model = rig.model.borrow_mut();
        prop_assert_eq!(model.dropped.len(), dropped, "a producer was dropped");
        // Bytes in a row may come in one piece or in several; all else is marked by its place.
        let mut expected: Vec<Result<u8, &str>> = Vec::new();
        for item in model.items.drain(..) {
            expected.extend(item.bytes().iter().copied().map(Ok));
            match item {
                Item::Bytes(_) => {}
                Item::Producer { .. } => expected.push(Err("producer")),
                Item::Failed(_) => expected.push(Err("failed")),
            }
        }
        let mut given = Vec::new();
        for piece in &unsent {
            match piece {
                Unsent::Bytes(bytes) => {
                    prop_assert!(!bytes.is_empty());
                    given.extend(bytes.iter().copied().map(Ok));
                }
                Unsent::Producer(_) => given.push(Err("producer")),
                Unsent::Failed(_) => given.push(Err("failed")),
                Unsent::File(_) => unreachable!("no file was pushed"),
            }
        }
        prop_assert!(given == expected);
        drop(model);
        drop(unsent);
        prop_assert_eq!(rig.model.borrow().dropped.len(), rig.model.borrow().producers);
    }

    #[test]
    fn small_pieces_in_a_row_leave_as_one_slice(
        sizes in vec((1usize..=COPIED_MAX, any::<bool>()), 1..=BUFFER_MAX / COPIED_MAX),
    ) {
        let mut rig = Rig::new();
        for &(size, copied) in &sizes {
            rig.apply(&if copied { Op::Copy(size) } else { Op::Push(size) });
        }
        let total: usize = sizes.iter().map(|(size, _)| size).sum();
        let mut writes = Vec::new();
        let (written, flushed) = rig.queue.flush_all(1 << 20, &mut rig.spare, &mut socket(|slices| {
            writes.push(slices.iter().map(|slice| slice.len()).collect::<Vec<_>>());
            Ok(slices.iter().map(|slice| slice.len()).sum())
        }));
        prop_assert!(matches!(flushed, Flushed::Empty));
        prop_assert_eq!(written, total);
        prop_assert_eq!(writes, vec![vec![total]]);
    }
}

/// The slices of each write, when the socket takes everything.
fn writes(queue: &mut Outgoing) -> Vec<Vec<usize>> {
    let mut writes = Vec::new();
    let (_, flushed) = queue.flush_all(
        usize::MAX,
        &mut Spare::default(),
        &mut socket(|slices| {
            writes.push(slices.iter().map(|slice| slice.len()).collect::<Vec<_>>());
            Ok(slices.iter().map(|slice| slice.len()).sum())
        }),
    );
    assert!(matches!(flushed, Flushed::Empty), "{flushed:?}");
    writes
}

fn push(queue: &mut Outgoing, len: usize) {
    queue.push(&mut vec![b'x'; len].into(), &mut Spare::default());
}

#[test]
fn a_long_queue_leaves_in_writes_of_sixty_four_slices() {
    let mut queue = Outgoing::default();
    for _ in 0..150 {
        push(&mut queue, COPIED_MAX + 1);
    }
    let slices: Vec<usize> = writes(&mut queue).iter().map(Vec::len).collect();
    assert_eq!(slices, [64, 64, 22]);
}

#[test]
fn small_pieces_between_large_ones_are_one_slice_each() {
    let mut queue = Outgoing::default();
    for _ in 0..3 {
        for _ in 0..10 {
            push(&mut queue, 7);
        }
        push(&mut queue, 5000);
    }
    assert_eq!(writes(&mut queue), [[70, 5000, 70, 5000, 70, 5000]]);
}

#[test]
fn what_a_producer_gave_leaves_with_the_bytes_before_it() {
    let mut queue = Outgoing::default();
    push(&mut queue, 7);
    queue.push_producer(Box::new(Bytes::from(vec![b'y'; 500])));
    push(&mut queue, 9);
    assert_eq!(writes(&mut queue), [[7 + 500, 9]]);
    push(&mut queue, 7);
    queue.push_producer(Box::new(Bytes::from(vec![b'y'; GATHERED_MAX + 1])));
    push(&mut queue, 9);
    assert_eq!(writes(&mut queue), [vec![7, GATHERED_MAX + 1], vec![9]]);
}

#[test]
fn a_buffer_is_not_grown_for_ever() {
    let mut queue = Outgoing::default();
    for _ in 0..200 {
        push(&mut queue, 1000);
    }
    let [write] = &writes(&mut queue)[..] else {
        panic!("more than one write");
    };
    assert!(write.iter().all(|&slice| slice <= BUFFER_MAX), "{write:?}");
    assert_eq!(
        write.len(),
        200_000_usize.div_ceil(BUFFER_MAX / 1000 * 1000)
    );
}

#[test]
fn large_bytes_are_sent_from_where_they_are_and_small_ones_from_a_copy() {
    for (len, shared) in [(COPIED_MAX, false), (COPIED_MAX + 1, true)] {
        let mut queue = Outgoing::default();
        let bytes = Bytes::from(vec![b'x'; len]);
        queue.push(&mut bytes.clone(), &mut Spare::default());
        queue.flush_all(
            1,
            &mut Spare::default(),
            &mut socket(|slices| {
                assert_eq!(slices[0].as_ptr() == bytes.as_ptr(), shared, "{len} bytes");
                Ok(len)
            }),
        );
    }
}

#[test]
fn a_cleared_queue_keeps_its_buffer_and_gives_others_the_rest() {
    let mut spare = Spare::default();
    let mut queue = Outgoing::default();
    queue.copy(b"some bytes", &mut spare);
    let address = queue.copies().as_ptr();
    queue.clear(&mut spare);
    queue.copy(b"other bytes", &mut spare);
    assert_eq!(queue.copies().as_ptr(), address);
    // Large bytes begin a segment of their own, and close the buffer before them.
    queue.push(&mut Bytes::from(vec![b'x'; COPIED_MAX + 1]), &mut spare);
    assert!(spare.0.is_empty());
    queue.clear(&mut spare);
    let mut other = Outgoing::default();
    other.copy(b"bytes of another", &mut spare);
    assert_eq!(other.copies().as_ptr(), address);
}

#[test]
fn a_producer_whose_piece_is_sent_has_let_go_of_it_when_it_is_asked_again() {
    /// Can reuse its memory only if nobody else holds it.
    struct Reusing(usize, Option<Bytes>, usize);
    impl Producer for Reusing {
        fn more(&mut self) -> io::Result<Produced> {
            if let Some(last) = self.1.take() {
                assert!(last.is_unique(), "the queue still holds the last piece");
            }
            self.2 += 1;
            if self.2 > 3 {
                return Ok(Produced::Done);
            }
            let piece = Bytes::from(vec![b'x'; self.0]);
            self.1 = Some(piece.clone());
            Ok(Produced::Data(piece))
        }
    }
    let large = GATHERED_MAX + 1;
    for (len, expected) in [(100, vec![vec![300]]), (large, vec![vec![large]; 3])] {
        let mut queue = Outgoing::default();
        queue.push_producer(Box::new(Reusing(len, None, 0)));
        assert_eq!(writes(&mut queue), expected);
    }
}

#[test]
fn a_producer_of_nothing_but_empty_pieces_does_not_hold_up_the_loop() {
    let asked = Rc::new(std::cell::Cell::new(0));
    struct Nothing(Rc<std::cell::Cell<usize>>);
    impl Producer for Nothing {
        fn more(&mut self) -> io::Result<Produced> {
            self.0.set(self.0.get() + 1);
            Ok(Produced::Data(Bytes::new()))
        }
    }
    let mut queue = Outgoing::default();
    queue.push_producer(Box::new(Nothing(Rc::clone(&asked))));
    let mut spare = Spare::default();
    let (written, flushed) = queue.flush_all(
        1 << 20,
        &mut spare,
        &mut socket(|_| panic!("nothing to write")),
    );
    assert_eq!(written, 0);
    assert!(matches!(flushed, Flushed::Paused));
    assert_eq!(asked.get(), EMPTY_ANSWERS);
}

/// A socket of a system that can send files: says what it is told to, then takes everything.
struct Sending {
    answers: std::vec::IntoIter<Taken>,
    received: Vec<u8>,
    /// The length of each write, and of each `send_file` with its offset.
    calls: Vec<(usize, Option<u64>)>,
    /// What each write was told of what follows it.
    more: Vec<bool>,
    most: usize,
}

impl Sending {
    fn new(answers: Vec<Taken>) -> Self {
        Self {
            answers: answers.into_iter(),
            received: Vec::new(),
            calls: Vec::new(),
            more: Vec::new(),
            most: usize::MAX,
        }
    }

    fn take(&mut self, offered: &[u8]) -> io::Result<usize> {
        let n = match self.answers.next().unwrap_or(Taken::All) {
            Taken::All => offered.len(),
            Taken::UpTo(n) => n.min(offered.len()),
            Taken::Nothing => 0,
            Taken::WouldBlock => return Err(io::ErrorKind::WouldBlock.into()),
            Taken::Interrupted => return Err(io::ErrorKind::Interrupted.into()),
            Taken::Broken => return Err(io::ErrorKind::BrokenPipe.into()),
        };
        self.received.extend_from_slice(&offered[..n]);
        Ok(n)
    }
}

impl Sink for Sending {
    fn write(&mut self, slices: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
        self.more.push(more);
        let offered = slices.iter().map(|s| &**s).collect::<Vec<_>>().concat();
        self.calls.push((offered.len(), None));
        self.take(&offered)
    }

    fn send_file(&mut self, mut file: &File, offset: u64, len: usize) -> io::Result<usize> {
        assert!((1..=self.most).contains(&len), "{len} bytes asked for");
        self.calls.push((len, Some(offset)));
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(offset)).unwrap();
        file.take(len as u64).read_to_end(&mut bytes).unwrap();
        self.take(&bytes)
    }
}

fn file_of(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn push_file(queue: &mut Outgoing, bytes: &[u8]) {
    let part = FilePart::new(file_of(bytes), ..).unwrap();
    queue.push_file(part, &mut Spare::default());
}

const LARGE: usize = READ_MAX as usize + 1;

#[test]
fn a_file_of_up_to_sixteen_kib_is_read_and_a_larger_one_sent_from_where_it_is() {
    let mut queue = Outgoing::default();
    let mut sink = Sending::new(Vec::new());
    push(&mut queue, 7);
    push_file(&mut queue, &vec![b'f'; LARGE - 1]);
    push_file(&mut queue, &vec![b'f'; LARGE]);
    push_file(&mut queue, b"small");
    push(&mut queue, 9);
    let (written, flushed) = queue.flush_all(usize::MAX, &mut Spare::default(), &mut sink);
    assert!(matches!(flushed, Flushed::Empty));
    assert_eq!(written, 7 + LARGE - 1 + LARGE + 5 + 9);
    let read = (7 + LARGE - 1, None);
    assert_eq!(sink.calls, [read, (LARGE, Some(0)), (5 + 9, None)]);
    assert_eq!(queue.len(), 0);
}

#[test]
fn a_small_file_is_read_at_once_if_nothing_has_to_happen_first() {
    let read = |before: &dyn Fn(&mut Outgoing)| {
        let mut queue = Outgoing::default();
        before(&mut queue);
        let len = queue.len();
        push_file(&mut queue, b"small");
        queue.len() > len
    };
    assert!(read(&|_| {}));
    assert!(read(&|queue| push(queue, NEARLY_SENT - 1)));
    assert!(!read(&|queue| push(queue, NEARLY_SENT)));
    assert!(!read(&|queue| queue.push_producer(Box::new("p"))));
    assert!(!read(&|queue| push_file(queue, &[b'f'; LARGE])));
}

#[test]
fn a_small_file_behind_many_bytes_is_read_when_they_are_nearly_sent() {
    let mut queue = Outgoing::default();
    push(&mut queue, NEARLY_SENT + 1_000);
    push_file(&mut queue, b"small");
    let mut spare = Spare::default();
    let mut sink = Sending::new(vec![Taken::UpTo(1_000), Taken::WouldBlock]);
    queue.flush_all(usize::MAX, &mut spare, &mut sink);
    assert_eq!(queue.len(), NEARLY_SENT);
    let mut sink = Sending::new(vec![Taken::UpTo(1), Taken::WouldBlock]);
    queue.flush_all(usize::MAX, &mut spare, &mut sink);
    assert_eq!(queue.len(), NEARLY_SENT - 1 + 5);
}

#[test]
fn the_block_of_a_file_is_kept_for_others_however_the_file_ends() {
    for cut in [false, true] {
        let mut spare = Spare::default();
        let mut queue = Outgoing::default();
        let file = file_of(&vec![b'f'; 2 * FILE_BLOCK]);
        let twin = file.try_clone().unwrap();
        queue.push_file(FilePart::new(file, ..).unwrap(), &mut spare);
        let answers = vec![Taken::UpTo(1_000), Taken::WouldBlock];
        let mut sink = Refusing(Sending::new(answers), io::ErrorKind::Unsupported, 0);
        queue.flush_all(usize::MAX, &mut spare, &mut sink);
        assert!(spare.0.is_empty());
        if cut {
            twin.set_len(0).unwrap();
            queue.flush_all(usize::MAX, &mut spare, &mut sink);
        } else {
            queue.clear(&mut spare);
        }
        assert_eq!(spare.0.len(), 1);
    }
}

#[test]
fn a_write_is_told_whether_a_file_follows_at_once() {
    let mut queue = Outgoing::default();
    let mut sink = Sending::new(Vec::new());
    for small in [false, true] {
        push(&mut queue, 7);
        push_file(&mut queue, &vec![b'f'; if small { 9 } else { LARGE }]);
    }
    push(&mut queue, 5000);
    queue.push_producer(Box::new(vec![b'p'; GATHERED_MAX + 1]));
    push_file(&mut queue, &[b'f'; LARGE]);
    push(&mut queue, 5000);
    push(&mut queue, 5000);
    push_file(&mut queue, &[b'f'; LARGE]);
    let (_, flushed) = queue.flush_all(usize::MAX, &mut Spare::default(), &mut sink);
    assert!(matches!(flushed, Flushed::Empty));
    let writes: Vec<_> = sink.calls.iter().filter(|call| call.1.is_none()).collect();
    assert_eq!(writes.len(), 3);
    assert_eq!(sink.more, [true, false, true]);

    // One that is read comes with a write of its own.
    push(&mut queue, 7);
    push_file(&mut queue, &[b'f'; LARGE]);
    let mut sink = Refusing(Sending::new(Vec::new()), io::ErrorKind::Unsupported, 0);
    queue.flush_all(usize::MAX, &mut Spare::default(), &mut sink);
    assert_eq!(sink.0.more, [true, false]);
}

#[test]
fn what_is_sent_of_a_file_is_cut_to_the_budget() {
    let mut queue = Outgoing::default();
    push(&mut queue, 10);
    push_file(&mut queue, &vec![b'f'; 10 * LARGE]);
    // The write counts as a whole call, and so does what little the file lets go first.
    let budget = LARGE + 2 * CALL_COST;
    let mut sink = Sending::new(vec![Taken::All, Taken::UpTo(100)]);
    let (written, flushed) = queue.flush_all(budget, &mut Spare::default(), &mut sink);
    assert!(matches!(flushed, Flushed::Paused), "{flushed:?}");
    assert_eq!(written, 10 + 100 + LARGE);
    let first = LARGE + CALL_COST;
    let expected = [(10, None), (first, Some(0)), (LARGE, Some(100))];
    assert_eq!(sink.calls, expected);
    assert!(queue.can_flush() && !queue.is_empty());
}

#[test]
fn the_end_of_a_file_is_not_left_over_for_a_few_bytes_of_budget() {
    for (over, rest) in [(READ_MAX as usize, 0), (LARGE, LARGE)] {
        let mut queue = Outgoing::default();
        push_file(&mut queue, &vec![b'f'; LARGE + over]);
        let mut sink = Sending::new(Vec::new());
        let (written, _) = queue.flush_all(LARGE, &mut Spare::default(), &mut sink);
        assert_eq!(written, LARGE + over - rest);
        assert_eq!(sink.calls.len(), 1);
    }
}

#[test]
fn a_short_answer_is_followed_by_another_call_until_the_socket_would_block() {
    let mut queue = Outgoing::default();
    push_file(&mut queue, &vec![b'f'; 3 * LARGE]);
    let answers = vec![Taken::Interrupted, Taken::UpTo(500), Taken::WouldBlock];
    let mut sink = Sending::new(answers);
    let (written, flushed) = queue.flush_all(usize::MAX, &mut Spare::default(), &mut sink);
    assert!(matches!(flushed, Flushed::Blocked), "{flushed:?}");
    assert_eq!(written, 500);
    let offsets: Vec<_> = sink.calls.iter().map(|call| call.1).collect();
    assert_eq!(offsets, [Some(0), Some(0), Some(500)]);
}

#[test]
fn a_socket_that_breaks_under_a_file_fails_the_flush() {
    let mut queue = Outgoing::default();
    push_file(&mut queue, &vec![b'f'; LARGE]);
    let mut sink = Sending::new(vec![Taken::Broken]);
    let (_, flushed) = queue.flush_all(usize::MAX, &mut Spare::default(), &mut sink);
    let Flushed::Failed(error) = flushed else {
        panic!("{flushed:?}");
    };
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    assert_eq!(sink.calls.len(), 1);
}

/// Sends the first bytes of a file, then refuses.
struct Refusing(Sending, io::ErrorKind, usize);

impl Sink for Refusing {
    fn write(&mut self, slices: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
        self.0.write(slices, more)
    }

    fn send_file(&mut self, file: &File, offset: u64, len: usize) -> io::Result<usize> {
        match std::mem::take(&mut self.2) {
            0 => Err(self.1.into()),
            most => self.0.send_file(file, offset, len.min(most)),
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "fills blocks of 64 KiB byte by byte")]
fn a_file_the_system_does_not_send_is_read_in_blocks_from_where_it_got_to() {
    let bytes: Vec<u8> = (0..3 * FILE_BLOCK as u32 + 5)
        .map(|n| (n / 11) as u8)
        .collect();
    for kind in [
        io::ErrorKind::InvalidInput,
        io::ErrorKind::Unsupported,
        io::ErrorKind::Other,
        io::ErrorKind::PermissionDenied,
    ] {
        for first in [0, 1_000] {
            let mut queue = Outgoing::default();
            push_file(&mut queue, &bytes);
            push(&mut queue, 3);
            let mut sink = Refusing(Sending::new(Vec::new()), kind, first);
            let (_, flushed) = queue.flush_all(usize::MAX, &mut Spare::default(), &mut sink);
            assert!(matches!(flushed, Flushed::Empty), "{flushed:?}");
            let rest = bytes.len() - first - 2 * FILE_BLOCK;
            assert!(sink.0.received == [&bytes[..], b"xxx"].concat());
            let mut writes = sink.0.calls.clone();
            writes.retain(|call| call.1.is_none());
            let last = if first == 0 { FILE_BLOCK } else { rest + 3 };
            let expected = if first == 0 {
                vec![FILE_BLOCK, FILE_BLOCK, last, 5 + 3]
            } else {
                vec![FILE_BLOCK, FILE_BLOCK, last]
            };
            let writes: Vec<_> = writes.iter().map(|call| call.0).collect();
            assert_eq!(writes, expected, "{kind:?}");
        }
    }
}

#[test]
fn a_file_that_ends_early_fails_in_its_place_without_spinning() {
    for (len, by_system) in [(LARGE, true), (LARGE, false), (100, true)] {
        let mut queue = Outgoing::default();
        let file = file_of(&vec![b'f'; len]);
        let twin = file.try_clone().unwrap();
        push(&mut queue, 3);
        let part = FilePart::new(file, ..).unwrap();
        twin.set_len(50).unwrap();
        queue.push_file(part, &mut Spare::default());
        push(&mut queue, 3);
        let sending = Sending::new(Vec::new());
        let kind = io::ErrorKind::Unsupported;
        let mut sink = Refusing(sending, kind, if by_system { usize::MAX } else { 0 });
        let (written, flushed) = queue.flush_all(usize::MAX, &mut Spare::default(), &mut sink);
        assert_eq!(written, 53);
        let Flushed::ProducerFailed(error) = flushed else {
            panic!("{flushed:?}");
        };
        let text = error.to_string();
        let expected = format!("{} bytes from offset 50 are missing", len - 50);
        assert!(text.contains(&expected), "{text}");
        assert!(sink.0.calls.len() <= 4);
        // What is behind it stays, and the place of the file is gone.
        assert_eq!(queue.len(), 3);
    }
}

#[test]
fn what_is_left_of_a_file_is_handed_back_behind_what_was_read_of_it() {
    let bytes: Vec<u8> = (0..2 * FILE_BLOCK as u32).map(|n| (n / 11) as u8).collect();
    let mut queue = Outgoing::default();
    push_file(&mut queue, &bytes);
    push(&mut queue, 3);
    let answers = vec![Taken::UpTo(1_000), Taken::WouldBlock];
    let mut sink = Refusing(Sending::new(answers), io::ErrorKind::Unsupported, 0);
    queue.flush_all(usize::MAX, &mut Spare::default(), &mut sink);
    let mut unsent = queue.into_unsent();
    assert_eq!(unsent.len(), 3);
    let mut rest = Vec::new();
    for piece in &mut unsent {
        match piece {
            Unsent::Bytes(bytes) => rest.extend_from_slice(bytes),
            Unsent::File(part) => assert_eq!(part.read_to_end(&mut rest).unwrap(), FILE_BLOCK),
            other => panic!("not pushed: {other:?}"),
        }
    }
    assert!(rest == [&bytes[1_000..], b"xxx"].concat());
}

#[derive(Clone, Copy, Debug)]
enum Piece {
    Push(usize),
    Copy(usize),
    Producer(usize),
    File(usize),
}

fn piece() -> impl Strategy<Value = Piece> {
    let file = prop_oneof![1usize..3_000, LARGE - 3..LARGE + 2, 100_000usize..300_000];
    prop_oneof![
        (1usize..5_000).prop_map(Piece::Push),
        (1usize..5_000).prop_map(Piece::Copy),
        (1usize..5_000).prop_map(Piece::Producer),
        file.prop_map(Piece::File),
    ]
}

proptest! {
    #![proptest_config(config(200, 1))]

    #[test]
    #[cfg_attr(miri, ignore = "fills blocks of 64 KiB byte by byte")]
    fn files_arrive_whole_and_in_their_place_whatever_the_socket_does(
        pieces in vec(piece(), 1..12),
        answers in vec(taken().prop_filter("tested elsewhere", |t| *t != Taken::Broken), 0..40),
        budget in prop_oneof![1usize..5_000, Just(1 << 20)],
        by_system in any::<bool>(),
    ) {
        let mut queue = Outgoing::default();
        let mut spare = Spare::default();
        let mut expected = Vec::new();
        let mut sink = Sending::new(answers);
        sink.most = budget + READ_MAX as usize;
        let mut sink = Refusing(sink, io::ErrorKind::Unsupported, 0);
        for piece in pieces {
            let (Piece::Push(len) | Piece::Copy(len) | Piece::Producer(len) | Piece::File(len)) = piece;
            let from = expected.len() as u32;
            let bytes: Vec<u8> = (from..from + len as u32).map(|n| (n / 3) as u8 ^ (n >> 8) as u8).collect();
            match piece {
                Piece::Push(_) => queue.push(&mut bytes.clone().into(), &mut spare),
                Piece::Copy(_) => queue.copy(&bytes, &mut spare),
                Piece::Producer(_) => queue.push_producer(Box::new(bytes.clone())),
                Piece::File(_) => push_file(&mut queue, &bytes),
            }
            expected.extend(bytes);
        }
        for _ in 0..100_000 {
            if queue.is_empty() {
                break;
            }
            prop_assert!(queue.can_flush());
            sink.2 = if by_system { usize::MAX } else { 0 };
            let before = sink.0.received.len();
            let (written, flushed) = queue.flush_all(budget, &mut spare, &mut sink);
            prop_assert_eq!(written, sink.0.received.len() - before);
            prop_assert!(
                matches!(flushed, Flushed::Empty | Flushed::Blocked | Flushed::Paused),
                "{:?}", flushed
            );
        }
        prop_assert!(sink.0.received == expected);
        prop_assert_eq!(queue.len(), 0);
    }
}

/// How a part ends that is not bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PartEnd {
    Whole,
    Fails,
    Panics,
}

#[derive(Clone, Copy, Debug)]
enum Made {
    Bytes,
    /// In pieces of this size.
    Producer(usize, PartEnd),
    /// Shorter than announced by this number of bytes.
    File(usize),
}

fn made() -> impl Strategy<Value = Made> {
    let end = prop_oneof![
        4 => Just(PartEnd::Whole),
        1 => Just(PartEnd::Fails),
        1 => Just(PartEnd::Panics),
    ];
    prop_oneof![
        4 => Just(Made::Bytes),
        2 => (prop_oneof![1usize..2_000, Just(20_000)], end).prop_map(|(size, end)| Made::Producer(size, end)),
        2 => prop_oneof![3 => Just(0), 1 => Just(5usize)].prop_map(Made::File),
    ]
}

/// Gives a number of bytes in pieces, and ends as it is told.
struct Pieces(usize, usize, PartEnd);

impl Producer for Pieces {
    fn more(&mut self) -> io::Result<Produced> {
        let n = self.0.min(self.1);
        self.0 -= n;
        match self.2 {
            _ if n > 0 => Ok(Produced::Data(vec![b'p'; n].into())),
            PartEnd::Whole => Ok(Produced::Done),
            PartEnd::Fails => Err(io::Error::other("scripted")),
            PartEnd::Panics => resume_unwind(Box::new("scripted")),
        }
    }
}

proptest! {
    #![proptest_config(config(400, 2))]

    /// Where each part ends is known here from the start, and in the queue only when it has come so far.
    #[test]
    #[cfg_attr(miri, ignore = "fills blocks of 64 KiB byte by byte")]
    fn each_part_is_told_once_and_in_order_when_its_last_byte_has_left(
        parts in vec((made(), prop_oneof![2 => 0usize..3, 4 => size(), 1 => LARGE..2 * LARGE], any::<bool>()), 1..14),
        answers in vec(taken().prop_filter("tested elsewhere", |t| *t != Taken::Broken), 0..40),
        budget in prop_oneof![1usize..5_000, Just(1 << 20)],
        pushed_first in 0usize..14,
        flushes in prop_oneof![0usize..12, Just(100_000)],
        by_system in any::<bool>(),
    ) {
        let mut queue = Outgoing::default();
        let mut spare = Spare::default();
        let mut sink = Refusing(Sending::new(answers), io::ErrorKind::Unsupported, 0);
        // Begin, end, and whether all of it can leave.
        let mut expected: Vec<(usize, usize, bool)> = Vec::new();
        let mut told: Vec<Left> = Vec::new();
        let mut total = 0;
        let mut parts = parts.into_iter();
        let mut behind_failure = false;
        for flush in 0..=flushes {
            let pushes = if flush == 0 { pushed_first } else { 1 };
            for (made, len, hooked) in parts.by_ref().take(pushes) {
                // What an empty part behind a failed one is told has a test of its own.
                let len = if behind_failure { len.max(1) } else { len };
                if hooked {
                    queue.begin_part();
                }
                let complete = match made {
                    Made::Bytes => {
                        queue.push(&mut vec![b'x'; len].into(), &mut spare);
                        true
                    }
                    Made::Producer(size, end) => {
                        queue.push_producer(Box::new(Pieces(len, size, end)));
                        end == PartEnd::Whole
                    }
                    Made::File(missing) => {
                        let file = file_of(&vec![b'f'; len + missing]);
                        let twin = file.try_clone().unwrap();
                        let part = FilePart::new(file, ..).unwrap();
                        twin.set_len(len as u64).unwrap();
                        queue.push_file(part, &mut spare);
                        missing == 0
                    }
                };
                if hooked {
                    queue.end_part();
                    expected.push((total, total + len, complete));
                }
                behind_failure = !complete;
                total += len;
            }
            if flush == flushes || (queue.is_empty() && flush > 20) {
                break;
            }
            sink.2 = if by_system { usize::MAX } else { 0 };
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                queue.flush_all(budget, &mut spare, &mut sink)
            }));
            if outcome.is_err() {
                prop_assert!(queue.fail_producer("scripted".into()).is_some());
            }
            told.extend(std::iter::from_fn(|| queue.next_left()));
            let received = sink.0.received.len();
            let may = expected.iter().take_while(|part| part.1 <= received).count();
            let must = expected.iter().take_while(|part| part.1 < received).count();
            prop_assert!((must..=may).contains(&told.len()), "{} told of {must} to {may}", told.len());
        }
        told.extend(std::iter::from_fn(|| queue.next_left()));
        let in_time = told.len();
        if queue.is_empty() {
            prop_assert_eq!((in_time, queue.weight()), (expected.len(), 0));
        }
        told.extend(std::iter::from_fn(|| queue.next_cut_off()));
        prop_assert_eq!(told.len(), expected.len());
        let received = sink.0.received.len();
        for (number, (left, (begin, end, complete))) in told.iter().zip(expected).enumerate() {
            let left_of_it = Left {
                bytes: (received.clamp(begin, end) - begin) as u64,
                complete: complete && number < in_time,
            };
            prop_assert_eq!(*left, left_of_it, "part {}", number);
        }
        let others = queue.weight() - queue.len();
        prop_assert_eq!(others % WAITING_WEIGHT, 0, "hooks still weigh something");
    }
}

#[test]
fn an_empty_part_behind_one_that_fails_has_not_left() {
    for goes_on in [false, true] {
        let mut queue = Outgoing::default();
        let mut spare = Spare::default();
        for part in 0..4 {
            queue.begin_part();
            match part {
                0 => push(&mut queue, 3),
                1 => queue.push_producer(Box::new(Pieces(2, 2, PartEnd::Fails))),
                2 => {}
                _ => push(&mut queue, 5),
            }
            queue.end_part();
        }
        let mut sink = Sending::new(vec![Taken::UpTo(5)]);
        let (_, flushed) = queue.flush_all(1 << 20, &mut spare, &mut sink);
        assert!(matches!(flushed, Flushed::ProducerFailed(_)));
        let told: Vec<_> = std::iter::from_fn(|| queue.next_left()).collect();
        let told: Vec<_> = told
            .iter()
            .map(|left| (left.bytes, left.complete))
            .collect();
        assert_eq!(told, [(3, true), (2, false), (0, false)]);
        if goes_on {
            assert_eq!(writes(&mut queue), [[5]]);
            assert!(queue.next_left().unwrap().complete);
        } else {
            assert!(!queue.next_cut_off().unwrap().complete);
        }
    }
}

#[test]
fn small_parts_leave_together_and_are_told_one_by_one() {
    let mut queue = Outgoing::default();
    for len in [7, 0, 500] {
        queue.begin_part();
        push(&mut queue, len);
        queue.end_part();
        push(&mut queue, 1);
    }
    assert_eq!(queue.weight(), 510 + 3 * HOOK_WEIGHT);
    let mut spare = Spare::default();
    let mut sink = Sending::new(vec![Taken::UpTo(8), Taken::WouldBlock]);
    queue.flush_all(1 << 20, &mut spare, &mut sink);
    let complete = |bytes| {
        Some(Left {
            bytes,
            complete: true,
        })
    };
    assert_eq!(queue.next_left(), complete(7));
    assert_eq!(queue.next_left(), complete(0));
    assert_eq!(queue.next_left(), None);
    assert_eq!(writes(&mut queue), [[502]]);
    assert_eq!(queue.next_left(), complete(500));
    assert_eq!((queue.next_left(), queue.weight()), (None, 0));
}
