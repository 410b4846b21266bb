//! The queue against a model, driven by a socket that takes what it likes and producers that do what they like.

use std::{
    cell::RefCell,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    rc::Rc,
};

use proptest::{collection::vec, prelude::*};

use super::*;

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
    producers: usize,
    dropped: Vec<usize>,
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

    fn first_producer(&self) -> Option<usize> {
        let is_producer = |item: &Item| matches!(item, Item::Producer { .. });
        self.items.iter().position(is_producer)
    }

    /// The first item that something has to be done about before what is behind it can be sent.
    fn first_stop(&self) -> Option<usize> {
        let stops = |item: &Item| !matches!(item, Item::Bytes(_));
        self.items.iter().position(stops)
    }

    /// Bytes that come before what the first producer has yet to give, or all if there is none.
    fn ready(&self) -> Vec<u8> {
        let end = self.first_stop().map_or(self.items.len(), |at| at + 1);
        let bytes = self.items[..end].iter().flat_map(Item::bytes);
        bytes.copied().collect()
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
        match answer {
            Answer::Data(len) => {
                let data = model.make(len);
                *model.items[at].bytes_mut() = data.clone();
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
                self.queue.push(bytes.into(), &mut self.spare);
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
            model.budget = budget;
        }
        let mut taken = taken.iter().copied();
        let queue = &mut self.queue;
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            queue.flush(budget, &mut self.spare, |slices| {
                write(&model, slices, taken.next().unwrap_or(then))
            })
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
        assert_eq!(self.queue.has_producer(), model.first_producer().is_some());
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
    assert!((1..=SLICES).contains(&slices.len()));
    assert!(slices.iter().all(|slice| !slice.is_empty()));
    let offered: Vec<u8> = slices
        .iter()
        .flat_map(|slice| slice.iter().copied())
        .collect();
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
            let fruitless = |answer: &&Answer| matches!(answer, Answer::Empty | Answer::Done);
            let row = model.asked.iter().rev().take_while(fruitless);
            let empty = row.filter(|answer| **answer == Answer::Empty).count();
            assert!(
                model.accepted >= model.budget || empty >= EMPTY_ANSWERS,
                "paused after {} of {} bytes and {empty} answers without any",
                model.accepted,
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

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(cases)
    }
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn bytes_arrive_once_and_in_order_whatever_the_socket_and_the_producers_do(
        ops in vec(op(), 0..60),
    ) {
        let mut rig = Rig::new();
        for op in &ops {
            rig.apply(op);
        }
        rig.drain();
    }

    #[test]
    fn what_is_handed_back_unsent_is_what_is_left_in_order(ops in vec(op(), 0..40)) {
        let mut rig = Rig::new();
        for op in &ops {
            rig.apply(op);
        }
        let dropped = rig.model.borrow().dropped.len();
        let unsent = std::mem::take(&mut rig.queue).into_unsent();
        let mut model = rig.model.borrow_mut();
        prop_assert_eq!(model.dropped.len(), dropped, "a producer was dropped");
        // Bytes in a row may come in one piece or in several; producers are marked by their place.
        let mut expected: Vec<Option<u8>> = Vec::new();
        for item in model.items.drain(..) {
            expected.extend(item.bytes().iter().copied().map(Some));
            if matches!(item, Item::Producer { .. }) {
                expected.push(None);
            }
        }
        let mut given = Vec::new();
        for piece in &unsent {
            match piece {
                Unsent::Bytes(bytes) => {
                    prop_assert!(!bytes.is_empty());
                    given.extend(bytes.iter().copied().map(Some));
                }
                Unsent::Producer(_) => given.push(None),
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
        let (written, flushed) = rig.queue.flush(1 << 20, &mut rig.spare, |slices| {
            writes.push(slices.iter().map(|slice| slice.len()).collect::<Vec<_>>());
            Ok(slices.iter().map(|slice| slice.len()).sum())
        });
        prop_assert!(matches!(flushed, Flushed::Empty));
        prop_assert_eq!(written, total);
        prop_assert_eq!(writes, vec![vec![total]]);
    }
}

/// The slices of each write, when the socket takes everything.
fn writes(queue: &mut Outgoing) -> Vec<Vec<usize>> {
    let mut writes = Vec::new();
    let (_, flushed) = queue.flush(usize::MAX, &mut Spare::default(), |slices| {
        writes.push(slices.iter().map(|slice| slice.len()).collect::<Vec<_>>());
        Ok(slices.iter().map(|slice| slice.len()).sum())
    });
    assert!(matches!(flushed, Flushed::Empty), "{flushed:?}");
    writes
}

fn push(queue: &mut Outgoing, len: usize) {
    queue.push(vec![b'x'; len].into(), &mut Spare::default());
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
    assert_eq!(writes(&mut queue), [vec![7, 500], vec![9]]);
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
        queue.push(bytes.clone(), &mut Spare::default());
        queue.flush(1, &mut Spare::default(), |slices| {
            assert_eq!(slices[0].as_ptr() == bytes.as_ptr(), shared, "{len} bytes");
            Ok(len)
        });
    }
}

#[test]
fn buffers_are_used_again_by_other_queues() {
    let mut spare = Spare::default();
    let mut first = Outgoing::default();
    first.copy(b"some bytes", &mut spare);
    let mut address = std::ptr::null();
    first.flush(1 << 20, &mut spare, |slices| {
        address = slices[0].as_ptr();
        Ok(slices[0].len())
    });
    first.clear(&mut spare);
    let mut second = Outgoing::default();
    second.copy(b"other bytes", &mut spare);
    second.flush(1 << 20, &mut spare, |slices| {
        assert_eq!(slices[0].as_ptr(), address);
        Ok(slices[0].len())
    });
    second.clear(&mut spare);
    // Clearing keeps it too.
    let mut third = Outgoing::default();
    third.copy(b"never sent", &mut spare);
    assert!(spare.0.is_empty());
    third.clear(&mut spare);
    assert_eq!(spare.0.len(), 1);
    assert!(spare.0[0].is_empty());
}

#[test]
fn a_producer_whose_piece_is_sent_has_let_go_of_it_when_it_is_asked_again() {
    /// Can reuse its memory only if nobody else holds it.
    struct Reusing(Option<Bytes>, usize);
    impl Producer for Reusing {
        fn more(&mut self) -> io::Result<Produced> {
            if let Some(last) = self.0.take() {
                assert!(last.is_unique(), "the queue still holds the last piece");
            }
            self.1 += 1;
            if self.1 > 3 {
                return Ok(Produced::Done);
            }
            let piece = Bytes::from(vec![b'x'; 100]);
            self.0 = Some(piece.clone());
            Ok(Produced::Data(piece))
        }
    }
    let mut queue = Outgoing::default();
    queue.push_producer(Box::new(Reusing(None, 0)));
    assert_eq!(writes(&mut queue), [[100], [100], [100]]);
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
    let (written, flushed) = queue.flush(1, &mut spare, |_| panic!("nothing to write"));
    assert_eq!(written, 0);
    assert!(matches!(flushed, Flushed::Paused));
    assert_eq!(asked.get(), EMPTY_ANSWERS);
}
