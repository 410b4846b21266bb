//! Framing through the public API (R15 to R18): which calls a stream makes, whatever the reads it arrives in.

use std::{
    cell::Cell,
    collections::VecDeque,
    io::{ErrorKind, Write},
    net::Shutdown,
    rc::Rc,
    time::Duration,
};

use asynchat::{
    AsyncChat, BoxError, ChannelId, ChatChannel, ChatDispatcher, Frame, FrameTooLong, Reactor,
    Result, Terminator,
};
use bytes::Bytes;
use proptest::prelude::*;
use util::{
    Trace,
    peer::{LocalStream, pair},
    reactor, settle, turn_until,
};

type Hook = Box<dyn FnMut(&str, &mut ChatChannel<'_>) -> Result>;

/// Writes its calls down in the notation of Python's input table: `c(data)`, `F`.
struct Cuts {
    trace: Trace,
    /// Each `found_terminator` sets the next of these, if one is left.
    next: VecDeque<Terminator>,
    /// Runs after a call was written down.
    then: Hook,
}

impl Cuts {
    fn note(&mut self, chat: &mut ChatChannel<'_>, call: String) -> Result {
        let outcome = (self.then)(&call, chat);
        self.trace.add(call);
        outcome
    }
}

impl AsyncChat for Cuts {
    fn collect_incoming_data(&mut self, chat: &mut ChatChannel<'_>, data: &[u8]) -> Result {
        assert!(!data.is_empty(), "an empty slice was handed out");
        self.note(chat, format!("c({})", data.escape_ascii()))
    }

    fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        if let Some(terminator) = self.next.pop_front() {
            chat.set_terminator(terminator);
        }
        self.note(chat, "F".into())
    }

    fn handle_close(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        self.trace.add("close");
        chat.close_when_done();
        Ok(())
    }

    fn handle_error(&mut self, chat: &mut ChatChannel<'_>, error: BoxError) {
        self.trace.add(match error.downcast::<FrameTooLong>() {
            Ok(too_long) => {
                assert_eq!(too_long.channel, chat.id());
                format!("L{}", too_long.limit)
            }
            Err(error) => {
                chat.close();
                format!("error:{error}")
            }
        });
    }
}

/// A chat and the other end of its connection. What is written there in one go is one read here.
struct Line {
    reactor: Reactor,
    id: ChannelId,
    there: LocalStream,
    trace: Trace,
    sent: u64,
}

impl Line {
    /// The first terminator is in force at the start, each `found_terminator` sets the next.
    fn new(terminators: &[Terminator]) -> Self {
        Self::with(terminators, None, |_, _| Ok(()))
    }

    fn with(
        terminators: &[Terminator],
        max_frame: Option<usize>,
        then: impl FnMut(&str, &mut ChatChannel<'_>) -> Result + 'static,
    ) -> Self {
        let mut reactor = reactor();
        let (here, there) = pair();
        let trace = Trace::new();
        let mut next: VecDeque<_> = terminators.iter().cloned().collect();
        let first = next.pop_front().unwrap_or_default();
        let cuts = Cuts {
            trace: trace.clone(),
            next,
            then: Box::new(then),
        };
        let mut dispatcher = ChatDispatcher::new(cuts, first);
        if let Some(limit) = max_frame {
            dispatcher = dispatcher.max_frame(limit);
        }
        let id = reactor.register(here, dispatcher).unwrap();
        Self {
            reactor,
            id,
            there,
            trace,
            sent: 0,
        }
    }

    fn take(&mut self) -> String {
        let calls = self.trace.joined();
        self.trace.clear();
        calls
    }

    /// The calls that one read of these bytes makes.
    #[track_caller]
    fn read(&mut self, bytes: impl AsRef<[u8]>) -> String {
        self.there.write_all(bytes.as_ref()).unwrap();
        self.sent += bytes.as_ref().len() as u64;
        let sent = self.sent;
        turn_until(&mut self.reactor, |reactor| {
            reactor.stats().bytes_in == sent
        });
        self.take()
    }

    /// The calls made without anything new from the peer.
    fn rest(&mut self) -> String {
        // What was asked for from outside is taken up at the end of a turn, without a callback.
        self.reactor.turn(Some(Duration::ZERO)).unwrap();
        settle(&mut self.reactor);
        self.take()
    }

    /// The calls that the end of file makes.
    #[track_caller]
    fn end(&mut self) -> String {
        self.there.shutdown(Shutdown::Write).unwrap();
        let trace = self.trace.clone();
        turn_until(&mut self.reactor, |_| trace.has("close"));
        self.take()
    }

    fn terminator(&mut self) -> Terminator {
        self.reactor
            .with_chat(self.id, |_: &mut Cuts, chat| chat.terminator())
            .unwrap()
    }

    fn is_open(&mut self) -> bool {
        self.reactor.channel(self.id).is_some()
    }
}

/// One read per row: what goes in, and which calls it makes.
#[track_caller]
fn check(terminators: &[Terminator], reads: &[(&[u8], &str)]) {
    let mut line = Line::new(terminators);
    for (bytes, calls) in reads {
        assert_eq!(line.read(bytes), *calls, "for {}", bytes.escape_ascii());
    }
}

mod input_table {
    //! Measured on Python 3.11.7. A piece of data may be cut in two where one read ends.
    use super::*;

    #[test]
    fn crlf_across_two_reads() {
        check(
            &["\r\n".into()],
            &[(b"ab\r", "c(ab)"), (b"\ncd\r\n", "F c(cd) F")],
        );
    }

    #[test]
    fn a_held_cr_turns_out_to_be_data() {
        check(
            &["\r\n".into()],
            &[(b"ab\r", "c(ab)"), (b"cd\r\n", r"c(\r) c(cd) F")],
        );
        check(&["\r\n".into()], &[(b"\r", ""), (b"x", r"c(\r) c(x)")]);
    }

    #[test]
    fn the_longest_prefix_is_held() {
        check(
            &["aab".into()],
            &[(b"a", ""), (b"a", ""), (b"a", "c(a)"), (b"b", "F")],
        );
    }

    #[test]
    fn the_dot_line_of_smtp() {
        check(
            &["\r\n.\r\n".into()],
            &[(b"x\r\n.\r", "c(x)"), (b"\n", "F")],
        );
        check(
            &["\r\n.\r\n".into()],
            &[(b"x\r\n.\r", "c(x)"), (b"y\r\n.\r\n", r"c(\r\n.\r) c(y) F")],
        );
    }

    #[test]
    fn an_empty_frame_is_a_bare_found_terminator() {
        check(&["\n".into()], &[(b"\n\n", "F F")]);
    }

    #[test]
    fn a_count_is_used_up_and_becomes_none() {
        let mut line = Line::new(&[5.into()]);
        assert_eq!(line.read("ab"), "c(ab)");
        assert_eq!(line.terminator(), Terminator::Count(3));
        assert_eq!(line.read("cdefgh"), "c(cde) F c(fgh)");
        assert_eq!(line.terminator(), Terminator::None);
        // `True` is a 1 in Python.
        check(&[1.into()], &[(b"abc", "c(a) F c(bc)")]);
    }

    #[test]
    fn without_a_terminator_everything_is_collected() {
        for none in [
            Terminator::None,
            "".into(),
            Terminator::Bytes(Bytes::new()),
            None::<u64>.into(),
        ] {
            check(&[none], &[(b"abc", "c(abc)"), (b"\r\n", r"c(\r\n)")]);
        }
    }

    /// Python never calls `found_terminator` here.
    #[test]
    fn a_count_of_zero_fires_at_once() {
        let mut line = Line::new(&[0.into()]);
        assert_eq!(line.rest(), "F");
        assert_eq!(line.read("abc"), "c(abc)");
        check(&[0.into()], &[(b"abc", "F c(abc)")]);
        check(
            &["\n".into(), 0.into(), "\n".into()],
            &[(b"a\n", "c(a) F F"), (b"b\n", "c(b) F")],
        );
    }

    /// Python loses the `\r`.
    #[test]
    fn the_tail_before_the_end_of_file_is_delivered_before_handle_close() {
        let mut line = Line::new(&["\r\n".into()]);
        assert_eq!(line.read("abc\r"), "c(abc)");
        assert_eq!(line.end(), r"c(\r) close");

        let mut line = Line::new(&["\r\n.\r\n".into()]);
        assert_eq!(line.read("\r\n.\r"), "");
        assert_eq!(line.end(), r"c(\r\n.\r) close");

        let mut line = Line::new(&["\r\n".into()]);
        assert_eq!(line.read("abc\r\n"), "c(abc) F");
        assert_eq!(line.end(), "close");
    }

    /// Python goes on delivering.
    #[test]
    fn nothing_is_delivered_after_close() {
        let mut line = Line::with(&["\n".into()], None, |call, chat| {
            if call == "F" {
                chat.close();
            }
            Ok(())
        });
        assert_eq!(line.read("a\nb\nc\n"), "c(a) F");
        assert_eq!(line.rest(), "");
        assert!(!line.is_open());
    }

    #[test]
    fn lines_and_counts_alternate() {
        let terminators = ["\n".into(), 3.into(), "\n".into(), 3.into()];
        check(
            &terminators,
            &[(b"h\nabcq\nxyz", "c(h) F c(abc) F c(q) F c(xyz) F")],
        );
    }

    #[test]
    fn an_error_in_found_terminator_stops_delivery() {
        let mut line = Line::with(&["\n".into()], None, |call, _| match call {
            "F" => Err("no".into()),
            _ => Ok(()),
        });
        assert_eq!(line.read("a\nb\n"), "c(a) F error:no");
        assert_eq!(line.rest(), "");
        assert!(!line.is_open());
    }

    #[test]
    fn input_discarded_in_found_terminator_is_not_delivered() {
        let mut line = Line::with(&["\n".into()], None, |call, chat| {
            if call == "F" {
                chat.discard_input();
            }
            Ok(())
        });
        assert_eq!(line.read("a\nb\nc"), "c(a) F");
        assert_eq!(line.read("d\n"), "c(d) F");
    }

    /// `find_prefix_at_end` is not a function here: it is what a read leaves held.
    #[test]
    fn a_prefix_at_the_end_of_a_read_is_held() {
        check(&["\r\n".into()], &[(b"qwerty\r", "c(qwerty)")]);
        check(&["\r\n".into()], &[(b"qwertydkjf", "c(qwertydkjf)")]);
        check(
            &["abab!".into()],
            &[(b"ab-aba", "c(ab-)"), (b"bab!", "c(ab) F")],
        );
    }
}

mod changing_the_terminator {
    use super::*;

    #[test]
    fn in_found_terminator_applies_to_what_was_read_already() {
        check(
            &["\n".into(), 2.into(), "!".into()],
            &[(b"a\nb\nc!d", r"c(a) F c(b\n) F c(c) F c(d)")],
        );
    }

    /// Here Python removes the terminator it had found.
    #[test]
    fn in_collect_incoming_data_applies_to_a_terminator_that_follows() {
        let mut line = Line::with(&["\r\n".into()], None, |call, chat| {
            if call == "c(ab)" {
                chat.set_terminator("!");
            }
            Ok(())
        });
        assert_eq!(line.read("ab\r\ncd!"), r"c(ab) c(\r\ncd) F");
    }

    #[test]
    fn in_collect_incoming_data_applies_to_a_count_that_is_complete() {
        let mut line = Line::with(&[2.into()], None, |_, chat| {
            chat.set_terminator("!");
            Ok(())
        });
        assert_eq!(line.read("abcd!"), "c(ab) c(cd) F");
    }

    #[test]
    fn in_collect_incoming_data_for_the_tail_is_obeyed_before_handle_close() {
        let mut line = Line::with(&["\r\n".into()], None, |call, chat| {
            if call == r"c(\r)" {
                chat.set_terminator(0);
            }
            Ok(())
        });
        assert_eq!(line.read("ab\r"), "c(ab)");
        assert_eq!(line.end(), r"c(\r) F close");
    }

    #[test]
    fn between_reads_examines_the_held_bytes_again() {
        let held_then_set = |new: Terminator, then: &str| {
            let mut line = Line::new(&["\r\n".into()]);
            assert_eq!(line.read("ab\r"), "c(ab)");
            line.reactor
                .with_chat(line.id, |_: &mut Cuts, chat| chat.set_terminator(new))
                .unwrap();
            let at_once = line.rest();
            let later = line.read(then);
            format!("{at_once} | {later}")
        };
        assert_eq!(held_then_set("\r".into(), "cd\r"), "F | c(cd) F");
        assert_eq!(held_then_set("\rc".into(), "cd"), " | F c(d)");
        assert_eq!(held_then_set("\n".into(), "\n"), r"c(\r) | F");
        assert_eq!(held_then_set(1.into(), "c"), r"c(\r) F | c(c)");
        assert_eq!(held_then_set(3.into(), "cde"), r"c(\r) | c(cd) F c(e)");
        assert_eq!(held_then_set(0.into(), "c"), r"F c(\r) | c(c)");
        assert_eq!(held_then_set(Terminator::None, "c"), r"c(\r) | c(c)");
        assert_eq!(held_then_set("\r\n".into(), "\n"), " | F");
    }

    #[test]
    fn to_the_same_again_keeps_what_is_held() {
        let mut line = Line::new(&["\r\n.\r\n".into()]);
        assert_eq!(line.read("x\r\n"), "c(x)");
        line.reactor
            .with_chat(line.id, |_: &mut Cuts, chat| {
                chat.set_terminator(b"\r\n.\r\n".to_vec());
            })
            .unwrap();
        assert_eq!(line.rest(), "");
        assert_eq!(line.read(".\r\n"), "F");
    }
}

mod max_frame {
    use super::*;

    fn line(terminators: &[Terminator], max: usize) -> Line {
        Line::with(terminators, Some(max), |_, _| Ok(()))
    }

    /// Like [`Line::read`], when an error interrupts the delivery: the rest comes in later turns.
    fn read_all(line: &mut Line, bytes: &str) -> String {
        let at_once = line.read(bytes);
        format!("{at_once} {}", line.rest()).trim().to_owned()
    }

    #[test]
    fn a_frame_of_exactly_the_limit_passes() {
        assert_eq!(
            read_all(&mut line(&["\n".into()], 3), "abc\nd\n"),
            "c(abc) F c(d) F"
        );
        assert_eq!(read_all(&mut line(&["\n".into()], 0), "\n\n"), "F F");
    }

    #[test]
    fn a_longer_frame_is_one_error_and_its_terminator_still_comes() {
        assert_eq!(
            read_all(&mut line(&["\n".into()], 3), "abcd\ne\n"),
            "L3 F c(e) F"
        );
        let mut line = line(&["\r\n".into()], 3);
        assert_eq!(line.read("ab"), "c(ab)");
        assert_eq!(read_all(&mut line, "cd"), "L3");
        assert_eq!(read_all(&mut line, "ef\r"), "");
        assert_eq!(read_all(&mut line, "gh\r"), "");
        assert_eq!(read_all(&mut line, "\nxyz\r\n"), "F c(xyz) F");
    }

    #[test]
    fn a_count_past_the_limit_is_too_long_and_no_terminator_is_never_too_long() {
        assert_eq!(
            read_all(&mut line(&[5.into(), "\n".into()], 3), "abcdefg\n"),
            "L3 F c(fg) F"
        );
        assert_eq!(
            read_all(&mut line(&[Terminator::None], 3), "abcdefgh"),
            "c(abcdefgh)"
        );
    }

    #[test]
    fn what_is_held_counts_once_it_is_data() {
        let mut line = line(&["\r\n".into()], 3);
        assert_eq!(line.read("abc\r"), "c(abc)");
        assert_eq!(read_all(&mut line, "\n"), "F");
        assert_eq!(line.read("abc\r"), "c(abc)");
        assert_eq!(read_all(&mut line, "d\r\n"), "L3 F");
    }

    #[test]
    fn a_tail_that_makes_the_last_frame_too_long_is_an_error_too() {
        let mut line = line(&["\r\n".into()], 3);
        assert_eq!(line.read("abc\r"), "c(abc)");
        assert_eq!(line.end(), "L3 close");
    }

    #[test]
    fn the_limit_can_be_set_from_a_callback() {
        let mut line = Line::with(&["\n".into()], Some(2), |call, chat| {
            if call == "F" {
                chat.set_max_frame(None);
            }
            Ok(())
        });
        assert_eq!(
            read_all(&mut line, "ab\nabcdefgh\n"),
            "c(ab) F c(abcdefgh) F"
        );
        let mut line = Line::with(&["\n".into()], None, |call, chat| {
            if call == "F" {
                chat.set_max_frame(Some(2));
            }
            Ok(())
        });
        assert_eq!(read_all(&mut line, "abcd\nabc\n"), "c(abcd) F L2 F");
    }
}

/// A stream cut up: the frames, and the data after the last terminator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Frames {
    complete: Vec<Vec<u8>>,
    tail: Vec<u8>,
}

struct Collector(Rc<std::cell::RefCell<Frames>>, VecDeque<Terminator>);

impl AsyncChat for Collector {
    fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, data: &[u8]) -> Result {
        assert!(!data.is_empty(), "an empty slice was handed out");
        self.0.borrow_mut().tail.extend_from_slice(data);
        Ok(())
    }

    fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        let mut frames = self.0.borrow_mut();
        let frame = std::mem::take(&mut frames.tail);
        frames.complete.push(frame);
        if let Some(terminator) = self.1.pop_front() {
            chat.set_terminator(terminator);
        }
        Ok(())
    }
}

/// The same with whole frames.
struct FrameCollector(Collector);

impl AsyncChat for FrameCollector {
    fn found_frame(&mut self, chat: &mut ChatChannel<'_>, frame: Frame<'_>) -> Result {
        let Collector(frames, next) = &mut self.0;
        assert_eq!(
            frames.borrow().tail,
            b"",
            "a frame of which a part came before"
        );
        frames.borrow_mut().complete.push(frame.to_vec());
        if let Some(terminator) = next.pop_front() {
            chat.set_terminator(terminator);
        }
        Ok(())
    }

    fn collect_incoming_data(&mut self, chat: &mut ChatChannel<'_>, data: &[u8]) -> Result {
        self.0.collect_incoming_data(chat, data)
    }

    fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        self.0.found_terminator(chat)
    }
}

/// Sends `pieces`, one read each, then the end of file, and gives what came of it. However a chat gets its frames, they
/// are the same.
fn cut(terminators: &[Terminator], pieces: &[&[u8]]) -> Frames {
    let frames = cut_for(terminators, pieces, |chat, first| {
        ChatDispatcher::new(chat, first)
    });
    let whole = cut_for(terminators, pieces, |chat, first| {
        ChatDispatcher::new(FrameCollector(chat), first)
    });
    assert_eq!(whole, frames);
    let collected = cut_for(terminators, pieces, |chat, first| {
        ChatDispatcher::collecting(FrameCollector(chat), first, 1 << 20)
    });
    assert_eq!(collected, frames);
    let old = cut_for(terminators, pieces, |chat, first| {
        ChatDispatcher::collecting(chat, first, 1 << 20)
    });
    assert_eq!(old, frames);
    frames
}

fn cut_for<C: AsyncChat>(
    terminators: &[Terminator],
    pieces: &[&[u8]],
    dispatcher: impl FnOnce(Collector, Terminator) -> ChatDispatcher<C>,
) -> Frames {
    let mut reactor = reactor();
    let (here, mut there) = pair();
    let frames = Rc::default();
    let mut next: VecDeque<_> = terminators.iter().cloned().collect();
    let first = next.pop_front().unwrap_or_default();
    let collector = Collector(Rc::clone(&frames), next);
    let id = reactor
        .register(here, dispatcher(collector, first))
        .unwrap();
    let mut sent = 0;
    for piece in pieces {
        there.write_all(piece).unwrap();
        sent += piece.len() as u64;
        turn_until(&mut reactor, |reactor| reactor.stats().bytes_in == sent);
    }
    drop(there);
    turn_until(&mut reactor, |reactor| reactor.channel(id).is_none());
    frames.take()
}

#[test]
fn the_frames_do_not_depend_on_where_the_reads_end() {
    let header: &[Terminator] = &["\r\n\r\n".into(), 4.into(), "--end".into()];
    let cases: [(&[Terminator], &[u8], usize); 4] = [
        (&["\r\n".into()], b"ab\r\n\r\ncd\r\r\ne\nf\r", 3),
        (&["qqq".into()], b"hello qqworldqqqIqqqqqnotqq", 2),
        (header, b"GET /\r\n\r\n\r\n\r\n-----end---en", 3),
        (&["aab".into()], b"aaabaabaaaaabaa", 3),
    ];
    for (terminators, input, complete) in cases {
        let whole = cut(terminators, &[input]);
        assert_eq!(whole.complete.len(), complete, "{whole:?}");
        let single: Vec<&[u8]> = input.chunks(1).collect();
        assert_eq!(cut(terminators, &single), whole);
        for at in 1..input.len() {
            let (head, tail) = input.split_at(at);
            assert_eq!(cut(terminators, &[head, tail]), whole, "split at {at}");
        }
    }
}

/// The frames by definition: the leftmost terminator ends the frame.
fn naive(needle: &[u8], mut input: &[u8]) -> Frames {
    let mut frames = Frames::default();
    while let Some(at) = input.windows(needle.len()).position(|w| w == needle) {
        frames.complete.push(input[..at].to_vec());
        input = &input[at + needle.len()..];
    }
    frames.tail = input.to_vec();
    frames
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn any_stream_in_any_pieces_is_cut_at_the_leftmost_terminators(
        needle in "[ab]{1,5}",
        input in "[ab]{0,60}",
        ends in prop::collection::vec(0usize..60, 0..8),
    ) {
        let input = input.as_bytes();
        let mut ends: Vec<usize> = ends.into_iter().map(|end| end.min(input.len())).collect();
        ends.push(input.len());
        ends.sort_unstable();
        ends.dedup();
        let mut from = 0;
        let mut pieces = Vec::new();
        for end in ends {
            if end > from {
                pieces.push(&input[from..end]);
                from = end;
            }
        }
        let expected = naive(needle.as_bytes(), input);
        prop_assert_eq!(cut(&[needle.into()], &pieces), expected);
    }
}

#[test]
fn a_frame_is_streamed_and_not_kept_until_it_is_complete() {
    let mut line = Line::new(&["\r\n".into()]);
    for piece in ["one", "two", "three"] {
        assert_eq!(line.read(piece), format!("c({piece})"));
    }
    assert_eq!(line.read("\r\n"), "F");
}

#[derive(Clone, Default)]
struct Counts {
    collected: Rc<Cell<u64>>,
    pieces: Rc<Cell<u64>>,
    found: Rc<Cell<u64>>,
}

fn add(counter: &Cell<u64>, n: usize) {
    counter.set(counter.get() + n as u64);
}

impl AsyncChat for Counts {
    fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, data: &[u8]) -> Result {
        add(&self.pieces, 1);
        add(&self.collected, data.len());
        Ok(())
    }

    fn found_terminator(&mut self, _: &mut ChatChannel<'_>) -> Result {
        add(&self.found, 1);
        Ok(())
    }
}

/// Sends `input` as fast as it is taken and gives what was counted, with the number of reads.
fn count(terminator: &'static str, input: &[u8]) -> (Counts, u64) {
    let mut reactor = reactor();
    let (here, mut there) = pair();
    there.set_nonblocking(true).unwrap();
    let counts = Counts::default();
    let id = reactor
        .register(here, ChatDispatcher::new(counts.clone(), terminator))
        .unwrap();
    let mut left = input;
    turn_until(&mut reactor, |reactor| {
        while !left.is_empty() {
            match there.write(left) {
                Ok(n) => left = &left[n..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
        reactor.stats().bytes_in == input.len() as u64
    });
    // Whatever is not handed out in the visit that read it would need more visits: one connect, then reads only.
    let callbacks = reactor.stats().callbacks;
    settle(&mut reactor);
    assert!(reactor.channel(id).is_some());
    assert!(
        reactor.stats().callbacks - callbacks <= 1,
        "work was left over"
    );
    (counts, callbacks - 1)
}

#[test]
fn a_mebibyte_of_bare_newlines_is_one_call_each_and_no_visit_more_than_it_takes_to_read() {
    const SIZE: usize = 1 << 20;
    let (counts, reads) = count("\n", &[b'\n'; SIZE]);
    assert_eq!(counts.found.get(), SIZE as u64);
    assert_eq!(counts.pieces.get(), 0);
    // At least 16 KiB at a time, and after each read one that finds nothing.
    assert!(reads <= 2 * (SIZE / (16 * 1024)) as u64, "{reads} reads");
}

#[test]
fn near_misses_all_the_way_make_no_more_pieces_than_reads() {
    const SIZE: usize = 1 << 20;
    let (counts, reads) = count("aaab", &[b'a'; SIZE]);
    assert_eq!(counts.found.get(), 0);
    // Three bytes may be the start of a terminator.
    assert_eq!(counts.collected.get(), SIZE as u64 - 3);
    assert!(
        counts.pieces.get() <= 2 * reads,
        "{} pieces in {reads} reads",
        counts.pieces.get()
    );
}
