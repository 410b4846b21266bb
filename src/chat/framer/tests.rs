use std::{cell::Cell, collections::VecDeque, fmt::Write};

use super::*;

thread_local! {
    pub(super) static COMPARISONS: Cell<u64> = const { Cell::new(0) };
}

/// Called for the bytes that are compared outside of memchr's searches, and may be compared again.
pub(super) fn count_comparisons(bytes: u64) {
    COMPARISONS.set(COMPARISONS.get() + bytes);
}

/// What a chat gets to see.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Call {
    Collect(Vec<u8>),
    Found,
    TooLong,
}

impl Call {
    fn of(event: FrameEvent<'_>) -> Self {
        match event {
            FrameEvent::Data(data) => Self::Collect(data.to_vec()),
            FrameEvent::Terminator => Self::Found,
            FrameEvent::TooLong => Self::TooLong,
        }
    }
}

/// The part of the caller: feeds a framer and notes the calls.
struct Chat {
    framer: Framer,
    calls: Vec<Call>,
    /// Each `found_terminator` sets the next of these, if one is left.
    terminators: VecDeque<Terminator>,
    steps: u64,
}

impl Chat {
    fn new(terminators: impl IntoIterator<Item = Terminator>) -> Self {
        let mut terminators: VecDeque<_> = terminators.into_iter().collect();
        let framer = Framer::new(terminators.pop_front().unwrap_or_default());
        Self {
            framer,
            calls: Vec::new(),
            terminators,
            steps: 0,
        }
    }

    fn with(terminator: impl Into<Terminator>) -> Self {
        Self::new([terminator.into()])
    }

    fn max_frame(mut self, max: usize) -> Self {
        self.framer.set_max_frame(Some(max));
        self
    }

    /// Feeds one read, running `callback` after every call.
    fn feed_with(&mut self, input: &[u8], mut callback: impl FnMut(&mut Framer, &Call)) {
        let mut input = input;
        loop {
            self.steps += 1;
            let call = match self.framer.feed(&mut input) {
                Some(event) => Call::of(event),
                None => {
                    assert!(input.is_empty(), "input is left over");
                    return;
                }
            };
            assert_ne!(
                call,
                Call::Collect(Vec::new()),
                "an empty slice was handed out"
            );
            if call == Call::Found
                && let Some(next) = self.terminators.pop_front()
            {
                self.framer.set_terminator(next);
            }
            callback(&mut self.framer, &call);
            self.calls.push(call);
        }
    }

    fn feed(&mut self, input: impl AsRef<[u8]>) -> &mut Self {
        self.feed_with(input.as_ref(), |_, _| {});
        self
    }

    /// End of file.
    fn finish(&mut self) -> &mut Self {
        loop {
            match self.framer.finish() {
                Some(event) => self.calls.push(Call::of(event)),
                None => return self,
            }
        }
    }

    /// The calls since the last time, in the notation of Python's input table: `c(data)`, `F`.
    fn take(&mut self) -> String {
        let mut text = String::new();
        for call in self.calls.drain(..) {
            match call {
                Call::Collect(data) => write!(text, "c({}) ", data.escape_ascii()).unwrap(),
                Call::Found => text.push_str("F "),
                Call::TooLong => text.push_str("L "),
            }
        }
        text.trim_end().to_owned()
    }

    fn frames(&self) -> Frames {
        let mut frames = Frames::default();
        for call in &self.calls {
            match call {
                Call::Collect(data) => frames.tail.extend_from_slice(data),
                Call::Found => frames.complete.push(std::mem::take(&mut frames.tail)),
                Call::TooLong => panic!("no limit was set"),
            }
        }
        frames
    }
}

/// A stream cut up: the frames, and the data after the last terminator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Frames {
    complete: Vec<Vec<u8>>,
    tail: Vec<u8>,
}

/// One read per line: what goes in, and which calls it makes.
#[track_caller]
fn check(terminators: &[Terminator], reads: &[(&[u8], &str)]) {
    let mut chat = Chat::new(terminators.iter().cloned());
    for (read, calls) in reads {
        assert_eq!(
            chat.feed(read).take(),
            *calls,
            "for {:?}",
            read.escape_ascii().to_string()
        );
    }
}

mod input_table {
    //! Measured on Python 3.11.7; a piece of data may be cut in two where one read ends.
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
        check(
            &["\r\n".into()],
            &[(b"\r", ""), (b"\r", r"c(\r)"), (b"\n", "F")],
        );
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
        let dot = "\r\n.\r\n".into();
        check(&[dot], &[(b"x\r\n.\r", "c(x)"), (b"\n", "F")]);
        let dot = "\r\n.\r\n".into();
        check(
            &[dot],
            &[(b"x\r\n.\r", "c(x)"), (b"y\r\n.\r\n", r"c(\r\n.\r) c(y) F")],
        );
    }

    #[test]
    fn empty_frames_collect_nothing() {
        check(
            &["\n".into()],
            &[(b"\n\n", "F F"), (b"a\n\nb\n", "c(a) F F c(b) F")],
        );
    }

    #[test]
    fn a_count_is_used_up_and_becomes_none() {
        let mut chat = Chat::with(5);
        assert_eq!(chat.feed("ab").take(), "c(ab)");
        assert_eq!(chat.framer.terminator(), Terminator::Count(3));
        assert_eq!(chat.feed("cdefgh").take(), "c(cde) F c(fgh)");
        assert_eq!(chat.framer.terminator(), Terminator::None);
        check(&[Terminator::Count(1)], &[(b"abc", "c(a) F c(bc)")]);
    }

    #[test]
    fn without_a_terminator_everything_is_collected() {
        check(
            &[Terminator::None],
            &[(b"abc", "c(abc)"), (b"", ""), (b"\r\n", r"c(\r\n)")],
        );
        check(&["".into()], &[(b"abc", "c(abc)")]);
        check(&[Terminator::Bytes(Bytes::new())], &[(b"abc", "c(abc)")]);
    }

    /// Python never calls `found_terminator` here.
    #[test]
    fn a_count_of_zero_fires_at_once_and_without_input() {
        check(&[Terminator::Count(0)], &[(b"", "F"), (b"abc", "c(abc)")]);
        check(&[Terminator::Count(0)], &[(b"abc", "F c(abc)")]);
        check(
            &["\n".into(), 0.into(), "\n".into()],
            &[(b"a\n", "c(a) F F"), (b"b\n", "c(b) F")],
        );
    }

    /// Python loses the `\r`.
    #[test]
    fn the_tail_at_end_of_file_is_data() {
        let mut chat = Chat::with("\r\n");
        assert_eq!(chat.feed("abc\r").take(), "c(abc)");
        assert_eq!(chat.finish().take(), r"c(\r)");
        assert_eq!(
            Chat::with("\r\n").feed("abc\r\n").finish().take(),
            "c(abc) F"
        );
        assert_eq!(Chat::with("\r\n").finish().take(), "");
        assert_eq!(Chat::with(5).feed("abc").finish().take(), "c(abc)");
    }

    #[test]
    fn lines_and_counts_alternate() {
        let terminators = ["\n".into(), 3.into(), "\n".into(), 3.into()];
        check(
            &terminators,
            &[(b"h\nabcq\nxyz", "c(h) F c(abc) F c(q) F c(xyz) F")],
        );
    }

    /// In Python calls go on after `close()`: nothing stops its loop. Here the caller does.
    #[test]
    fn a_caller_that_takes_no_more_steps_gets_no_more_calls() {
        let mut framer = Framer::new("\n");
        let mut input = &b"a\nb\n"[..];
        assert_eq!(framer.step(&mut input), Step::Data(b"a"));
        assert_eq!(framer.step(&mut input), Step::Terminator);
        assert_eq!(input, b"b\n");
    }

    #[test]
    fn discarding_forgets_the_frame_begun() {
        let mut chat = Chat::with("\r\n").max_frame(4);
        chat.feed("abcd\r").take();
        chat.framer.discard();
        assert_eq!(chat.feed("\nxy\r\n").take(), r"c(\nxy) F");

        chat.feed("xy\r").take();
        chat.framer.set_terminator("!");
        chat.framer.discard();
        assert_eq!(chat.feed("").take(), "");

        // The caller drops the rest of the input, here the terminator that was found already.
        let mut framer = Framer::new("\r\n");
        assert_eq!(framer.step(&mut &b"a\r\n"[..]), Step::Data(b"a"));
        framer.discard();
        assert_eq!(framer.step(&mut &b"b\r\n"[..]), Step::Data(b"b"));
    }

    /// `find_prefix_at_end` is not a function here: it is what a read leaves held.
    #[test]
    fn a_prefix_at_the_end_is_held() {
        let held = |needle: &'static str, read| Chat::with(needle).feed(read).framer.held().len();
        assert_eq!(held("\r\n", "qwerty\r"), 1);
        assert_eq!(held("\r\n", "qwertydkjf"), 0);
        assert_eq!(held("\r\n", "qwerty\r\n"), 0);
        assert_eq!(held("aab", "aaa"), 2);
        assert_eq!(held("abab!", "ab-aba"), 3);
        assert_eq!(held("abab!", "abab-abab"), 4);
        assert_eq!(held("\r\n\r\n", "GET /\r\n\r"), 3);
        assert_eq!(held("aa", "bba"), 1);
    }
}

#[test]
fn data_comes_in_the_largest_pieces() {
    // A run of `a`s in which every byte begins a near miss.
    check(
        &["aaab".into()],
        &[(b"aaaaaaaa", "c(aaaaa)"), (b"aaaa", "c(aaa) c(a)")],
    );
    check(&["aaab".into()], &[(b"aa", ""), (b"c", "c(aa) c(c)")]);
    check(
        &["\r\n".into()],
        &[(b"a\rb\rc\n\rd\r\r\n", r"c(a\rb\rc\n\rd\r) F")],
    );
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
    fn in_collect_applies_to_a_terminator_found_already() {
        let mut chat = Chat::with("\r\n");
        chat.feed_with(b"ab\r\ncd!", |framer, call| {
            if *call == Call::Collect(b"ab".to_vec()) {
                framer.set_terminator("!");
            }
        });
        assert_eq!(chat.take(), r"c(ab) c(\r\ncd) F");
    }

    #[test]
    fn in_collect_applies_to_a_prefix_at_the_end() {
        let mut chat = Chat::with("\r\n");
        chat.feed_with(b"ab\r", |framer, _| {
            framer.set_terminator(Terminator::Count(1));
        });
        assert_eq!(chat.framer.terminator(), Terminator::Count(1));
        assert_eq!(chat.take(), r"c(ab) c(\r)");
    }

    #[test]
    fn in_collect_replaces_a_count_that_is_complete() {
        let mut chat = Chat::with(2);
        chat.feed_with(b"abcd!", |framer, _| framer.set_terminator("!"));
        assert_eq!(chat.take(), "c(ab) c(cd) F");
    }

    fn held_then_set(
        old: &'static str,
        read: &'static str,
        new: impl Into<Terminator>,
        then: &'static str,
    ) -> String {
        let mut chat = Chat::with(old);
        chat.feed(read).take();
        chat.framer.set_terminator(new);
        let at_once = chat.feed("").take();
        let later = chat.feed(then).finish().take();
        format!("{at_once} | {later}")
    }

    #[test]
    fn between_reads_examines_held_bytes_again() {
        assert_eq!(held_then_set("\r\n", "ab\r", "\r", "cd\r"), "F | c(cd) F");
        assert_eq!(held_then_set("\r\n", "ab\r", "\rc", "cd"), " | F c(d)");
        assert_eq!(held_then_set("\r\n", "ab\r", "\n", "\n"), r"c(\r) | F");
        assert_eq!(held_then_set("\r\n", "ab\r", 1, "c"), r"c(\r) F | c(c)");
        assert_eq!(
            held_then_set("\r\n", "ab\r", 3, "cde"),
            r"c(\r) | c(cd) F c(e)"
        );
        assert_eq!(held_then_set("\r\n", "ab\r", 0, "c"), r"F c(\r) | c(c)");
        assert_eq!(
            held_then_set("\r\n", "ab\r", Terminator::None, "c"),
            r"c(\r) | c(c)"
        );
        assert_eq!(held_then_set("\r\n", "ab\r", "\r\n", "\n"), " | F");
        assert_eq!(
            held_then_set("\r\n.\r\n", "\r\n.\r", "\r\n", "\n."),
            r"F c(.) | F c(.)"
        );
        assert_eq!(held_then_set("aaab", "aaa", "aac", "c"), "c(a) | F");
        assert_eq!(
            held_then_set("aaab", "aaa", "aaaac", "ab"),
            " | c(aaa) c(ab)"
        );
    }

    #[test]
    fn back_and_forth_between_reads_changes_nothing() {
        let mut chat = Chat::with("aaab");
        chat.feed("aaa");
        for terminator in [
            "\r\n".into(),
            Terminator::Count(3),
            Terminator::None,
            "aaab".into(),
        ] {
            chat.framer.set_terminator(terminator);
        }
        assert_eq!(chat.feed("b").take(), "F");
    }

    #[test]
    fn while_held_bytes_are_examined_again() {
        let mut chat = Chat::new(["aabaac".into(), 1.into(), "ba".into()]);
        chat.feed("aabaa").take();
        chat.framer.set_terminator("a");
        // `a` fires, one byte is counted off, `ba` fires, the last `a` may begin another `ba`.
        assert_eq!(chat.feed("").take(), "F c(a) F F c(a)");
    }

    #[test]
    fn between_reads_may_make_a_step_due_without_input() {
        let mut chat = Chat::with("\r\n");
        chat.feed("ab\r");
        assert!(!chat.framer.is_due());
        chat.framer.set_terminator("\rx");
        assert!(chat.framer.is_due());
        assert_eq!(chat.framer.held(), "\r");
        chat.feed("");
        assert!(!chat.framer.is_due());
        assert_eq!(chat.framer.held(), "\r");
        chat.framer.set_terminator(Terminator::Count(1));
        chat.feed("");
        assert!(!chat.framer.is_due());
        assert_eq!(chat.framer.held(), "");
        chat.framer.set_terminator(Terminator::Count(0));
        assert!(chat.framer.is_due());
    }

    #[test]
    fn held_bytes_are_examined_again_at_end_of_file() {
        let mut chat = Chat::with("\r\n.\r\n");
        chat.feed("ab\r\n.\r").take();
        chat.framer.set_terminator("\n");
        assert_eq!(chat.finish().take(), r"c(\r) F c(.\r)");

        let mut chat = Chat::with("\r\n");
        chat.feed("ab\r").take();
        chat.framer.set_terminator("\rx");
        assert_eq!(chat.finish().take(), r"c(\r)");
        chat.framer.set_terminator(Terminator::Count(0));
        assert_eq!(chat.finish().take(), "F");
    }

    #[test]
    fn setting_the_same_again_keeps_what_is_held() {
        let mut chat = Chat::with("\r\n.\r\n");
        chat.feed("x\r\n").take();
        chat.framer
            .set_terminator(Terminator::from(b"\r\n.\r\n".to_vec()));
        assert!(!chat.framer.has_replay());
        assert_eq!(chat.feed(".\r\n").take(), "F");
    }

    #[test]
    fn a_long_needle_is_prepared_once() {
        let prepared = |framer: &Framer| -> Option<*const LongNeedle> {
            framer
                .aside
                .as_ref()?
                .spare
                .as_deref()
                .map(std::ptr::from_ref)
        };
        let mut framer = Framer::new("\r\n\r\n");
        framer.set_terminator(Terminator::Count(5));
        let first = prepared(&framer);
        assert!(first.is_some());
        for other in [
            Terminator::Count(5),
            "\r\n".into(),
            Terminator::None,
            "\r\n.\r\n".into(),
        ] {
            framer.set_terminator(Terminator::from(b"\r\n\r\n".to_vec()));
            framer.set_terminator(other);
            assert_eq!(prepared(&framer), first);
        }
        for other in ["\r\n\r\n".into(), "\n".into(), Terminator::Count(5)] {
            framer.set_terminator(other);
        }
        assert_eq!(prepared(&framer), first);
    }
}

mod max_frame {
    use super::*;

    #[test]
    fn a_frame_of_exactly_the_limit_passes() {
        assert_eq!(
            Chat::with("\n").max_frame(3).feed("abc\nd\n").take(),
            "c(abc) F c(d) F"
        );
        assert_eq!(Chat::with("\n").max_frame(0).feed("\n\n").take(), "F F");
    }

    #[test]
    fn a_longer_one_is_reported_once_and_its_terminator_still_comes() {
        assert_eq!(
            Chat::with("\n").max_frame(3).feed("abcd\ne\n").take(),
            "L F c(e) F"
        );
        let mut chat = Chat::with("\r\n").max_frame(3);
        assert_eq!(chat.feed("ab").take(), "c(ab)");
        assert_eq!(chat.feed("cd").take(), "L");
        assert_eq!(chat.feed("ef\r").take(), "");
        assert_eq!(chat.feed("gh\r").take(), "");
        assert_eq!(chat.feed("\nxyz\r\n").take(), "F c(xyz) F");
        assert_eq!(
            Chat::new([5.into(), "\n".into()])
                .max_frame(3)
                .feed("abcdefg\n")
                .take(),
            "L F c(fg) F"
        );
    }

    #[test]
    fn the_terminator_does_not_count_but_held_data_does() {
        let mut chat = Chat::with("\r\n").max_frame(3);
        assert_eq!(chat.feed("abc\r").feed("\n").take(), "c(abc) F");
        assert_eq!(chat.feed("abc\r").feed("d").take(), "c(abc) L");
        let mut chat = Chat::with("\r\n").max_frame(3);
        assert_eq!(chat.feed("abc\r").finish().take(), "c(abc) L");
    }

    #[test]
    fn discarding_after_it_begins_a_new_frame() {
        let mut framer = Framer::new("\n");
        framer.set_max_frame(Some(3));
        assert_eq!(framer.step(&mut &b"abcd"[..]), Step::TooLong);
        framer.discard();
        let mut chat = Chat {
            framer,
            ..Chat::with("")
        };
        assert_eq!(chat.feed("efg\n").take(), "c(efg) F");
    }

    /// The data is used up, even if a callback sets the same again: the caller's loop comes to an end.
    #[test]
    fn it_always_makes_progress() {
        let mut chat = Chat::with("\n").max_frame(3);
        chat.feed_with(b"abcd\nefgh\nijklm", |framer, call| {
            if *call == Call::TooLong {
                framer.discard();
            }
        });
        assert_eq!(chat.take(), "L F L F L");
    }

    #[test]
    fn a_limit_set_in_mid_frame_counts_what_was_collected() {
        let mut chat = Chat::with("\n");
        assert_eq!(chat.framer.limit(), None);
        chat.feed("abcde").take();
        chat.framer.set_max_frame(Some(6));
        assert_eq!(chat.framer.limit(), Some(6));
        assert_eq!(
            chat.feed("f").feed("g\nabcdef\n").take(),
            "c(f) L F c(abcdef) F"
        );
        chat.framer.set_max_frame(None);
        assert_eq!(chat.feed("abcdefg\n").take(), "c(abcdefg) F");
    }

    #[test]
    fn lifting_the_limit_does_not_bring_back_half_a_frame() {
        let mut chat = Chat::with("\n").max_frame(3);
        chat.feed_with(b"abcd", |framer, _| framer.set_max_frame(None));
        assert_eq!(chat.feed("ef\nghijkl\n").take(), "L F c(ghijkl) F");
    }

    #[test]
    fn without_a_terminator_there_is_no_limit() {
        assert_eq!(
            Chat::with(Terminator::None)
                .max_frame(3)
                .feed("abcd")
                .feed("ef")
                .take(),
            "c(abcd) c(ef)"
        );

        // What came in between belongs to no frame.
        let mut chat = Chat::with("\n").max_frame(3);
        chat.feed("ab").take();
        chat.framer.set_terminator(Terminator::None);
        chat.feed("cdefg").take();
        chat.framer.set_terminator("\n");
        assert_eq!(chat.feed("xyz\n").take(), "c(xyz) F");
    }
}

mod by_hand {
    use super::*;

    #[test]
    fn the_terminator_may_be_changed_while_a_piece_is_held() {
        let mut framer = Framer::new("\r\n");
        let mut input = &b"ab\r\ncd!"[..];
        let Some(FrameEvent::Data(ab)) = framer.feed(&mut input) else {
            panic!("no data")
        };
        assert!(framer.is_whole_frame(&ab));
        framer.set_terminator("!");
        assert!(!framer.is_whole_frame(&ab));
        let Some(FrameEvent::Data(cd)) = framer.feed(&mut input) else {
            panic!("no data")
        };
        assert_eq!((&*ab, &*cd), (&b"ab"[..], &b"\r\ncd"[..]));
        assert_eq!(framer.feed(&mut input), Some(FrameEvent::Terminator));
        assert_eq!(framer.feed(&mut input), None);
    }

    #[test]
    fn a_piece_of_the_input_is_not_copied() {
        let mut framer = Framer::new("\n");
        let input = *b"ab\n";
        let Some(FrameEvent::Data(data)) = framer.feed(&mut &input[..]) else {
            panic!("no data")
        };
        assert_eq!(data.as_ptr(), input.as_ptr());
        assert_eq!(format!("{data:?}"), "b\"ab\"");
    }

    #[test]
    fn what_is_held_is_there_for_another_reader() {
        let mut framer = Framer::new("\r\n.\r\n").max_frame(4);
        assert!(framer.feed(&mut &b"ab\r\n"[..]).is_some());
        assert_eq!(framer.feed(&mut &b""[..]), None);
        assert_eq!(framer.take_held(), "");
        let mut input = &b"\r\n."[..];
        assert_eq!(framer.feed(&mut input), None);
        assert_eq!(framer.take_held(), "\r\n.");
        assert_eq!(framer.take_held(), "");
        assert_eq!(framer.finish(), None);
    }
}

mod cost {
    use super::*;

    #[test]
    fn an_idle_framer_is_small() {
        assert!(size_of::<Framer>() <= 56, "{}", size_of::<Framer>());
        assert!(size_of::<Step<'_>>() <= 40, "{}", size_of::<Step<'_>>());
    }

    fn bare_newlines(len: usize) {
        let mut framer = Framer::new("\n");
        let stream = vec![b'\n'; len];
        let mut input = &stream[..];
        for _ in 0..len {
            assert_eq!(framer.step(&mut input), Step::Terminator);
        }
        assert_eq!(framer.step(&mut input), Step::NeedInput);
    }

    #[test]
    #[cfg_attr(miri, ignore = "counts steps, a million of them")]
    fn a_mebibyte_of_newlines_takes_one_step_each() {
        bare_newlines(1 << 20);
    }

    /// Steps and comparisons for `len` bytes of `a`, with a `b` in the end, under a^k b.
    fn run_of_a(k: usize, len: usize, chunk: usize) -> (u64, u64) {
        let needle = [vec![b'a'; k], vec![b'b']].concat();
        let stream = [vec![b'a'; len], vec![b'b']].concat();
        let mut chat = Chat::with(needle);
        COMPARISONS.set(0);
        for read in stream.chunks(chunk) {
            chat.feed(read);
        }
        assert_eq!(chat.frames().complete, [vec![b'a'; len - k]]);
        (chat.steps, COMPARISONS.get())
    }

    #[test]
    #[cfg_attr(miri, ignore = "counts comparisons, millions of them")]
    fn near_misses_cost_a_constant_per_byte() {
        for k in [1, 2, 3, 20, 69, 1000] {
            for chunk in [1, 2, k, k + 1, 3 * k, 4096] {
                let len = 20_000;
                let (steps, comparisons) = run_of_a(k, len, chunk);
                let reads = len.div_ceil(chunk) as u64;
                assert!(
                    steps <= 4 * reads + 2,
                    "a^{k}b, {chunk} a read: {steps} steps"
                );
                assert!(
                    comparisons <= 6 * len as u64,
                    "a^{k}b, {chunk} a read: {comparisons}"
                );
            }
        }
    }

    #[test]
    fn only_the_ends_of_a_read_are_compared_byte_by_byte() {
        let mut chat = Chat::with("\r\n.\r\n");
        COMPARISONS.set(0);
        for _ in 0..10 {
            chat.feed("\r").feed("x".repeat(4096));
        }
        assert!(
            COMPARISONS.get() <= 10 * 10,
            "{} comparisons",
            COMPARISONS.get()
        );
    }

    #[test]
    fn a_near_miss_in_each_read_costs_a_constant_per_byte() {
        // The worst case for the failure table: the longest match fails as deep as it can.
        let mut chat = Chat::with(format!("{}b", "a".repeat(69)));
        let reads = if cfg!(miri) { 10 } else { 1000 };
        COMPARISONS.set(0);
        for _ in 0..reads {
            chat.feed("a".repeat(69)).feed("c");
        }
        assert!(chat.steps <= 5 * reads, "{} steps", chat.steps);
        assert!(
            COMPARISONS.get() <= 6 * 70 * reads,
            "{} comparisons",
            COMPARISONS.get()
        );
    }
}

mod model {
    //! Properties: for any terminators, stream and reads the frames are those of a
    //! naive reference.

    use std::{collections::VecDeque, mem};

    use proptest::{
        collection::vec,
        option,
        prelude::*,
        sample::{self, Index},
    };

    use super::{Call, Chat, Frames, Terminator, take};
    use util::properties::config;

    /// asynchat's own loop, written for clarity: keeps all it has not handed out, searches it anew.
    struct Naive {
        buffer: Vec<u8>,
        terminator: Terminator,
        next: VecDeque<Terminator>,
        frames: Frames,
    }

    impl Naive {
        fn new(terminators: &[Terminator]) -> Self {
            let mut next: VecDeque<_> = terminators.iter().cloned().collect();
            let terminator = next.pop_front().unwrap_or_default();
            Self {
                buffer: Vec::new(),
                terminator,
                next,
                frames: Frames::default(),
            }
        }

        fn feed(&mut self, input: &[u8]) {
            self.buffer.extend_from_slice(input);
            loop {
                let (data, end) = match &self.terminator {
                    Terminator::None => (self.buffer.len(), None),
                    Terminator::Count(count) if *count <= self.buffer.len() as u64 => {
                        (*count as usize, Some(0))
                    }
                    Terminator::Count(_) => (self.buffer.len(), None),
                    Terminator::Bytes(needle) => match self
                        .buffer
                        .windows(needle.len())
                        .position(|at| at == needle)
                    {
                        Some(at) => (at, Some(needle.len())),
                        None => {
                            let held = |from: &usize| needle.starts_with(&self.buffer[*from..]);
                            (
                                (0..self.buffer.len())
                                    .find(held)
                                    .unwrap_or(self.buffer.len()),
                                None,
                            )
                        }
                    },
                };
                self.frames.tail.extend(self.buffer.drain(..data));
                if let Terminator::Count(count) = &mut self.terminator {
                    *count -= data as u64;
                }
                let Some(end) = end else { return };
                self.buffer.drain(..end);
                self.frames.complete.push(mem::take(&mut self.frames.tail));
                if let Terminator::Count(_) = self.terminator {
                    self.terminator = Terminator::None;
                }
                self.terminator = self.next.pop_front().unwrap_or(self.terminator.clone());
            }
        }

        fn finish(mut self) -> Frames {
            self.frames.tail.append(&mut self.buffer);
            self.frames
        }
    }

    fn needle() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            4 => vec(prop_oneof![Just(b'a'), Just(b'b')], 1..8),
            1 => Just(b"\n".to_vec()),
            2 => Just(b"\r\n".to_vec()),
            2 => Just(b"\r\n.\r\n".to_vec()),
            1 => Just(b"aaaaaaaaaaaab".to_vec()),
            1 => Just([b"\r\n--".as_slice(), &b"=_abab0123".repeat(7)[..66]].concat()),
        ]
    }

    fn terminator() -> impl Strategy<Value = Terminator> {
        prop_oneof![
            8 => needle().prop_map(Terminator::from),
            2 => (0_u64..20).prop_map(Terminator::from),
            1 => Just(Terminator::None),
        ]
    }

    /// A stream of pieces of the given terminators, so that matches and near misses abound.
    fn stream(terminators: Vec<Terminator>) -> impl Strategy<Value = Vec<u8>> {
        let needles: Vec<Vec<u8>> = terminators
            .into_iter()
            .map(|terminator| match terminator {
                Terminator::Bytes(bytes) => bytes.to_vec(),
                _ => b"ab".to_vec(),
            })
            .collect();
        let piece = (sample::select(needles), 0..6, any::<Index>(), b'a'..b'd').prop_map(
            |(mut needle, kind, index, letter)| {
                let at = index.index(needle.len());
                match kind {
                    0 | 1 => {}
                    2 => needle.truncate(at + 1),
                    3 => drop(needle.drain(..at)),
                    4 => needle[at] = letter,
                    _ => needle = vec![letter; at + 1],
                }
                needle
            },
        );
        vec(piece, 0..if cfg!(miri) { 5 } else { 16 }).prop_map(|pieces| pieces.concat())
    }

    /// Terminators to go through, a stream made of them, and the sizes of the reads.
    fn scenario(frames: usize) -> impl Strategy<Value = (Vec<Terminator>, Vec<u8>, Vec<usize>)> {
        vec(terminator(), 1..=frames).prop_flat_map(|terminators| {
            let sizes = prop_oneof![
                Just(vec![1]),
                vec(1_usize..4, 1..8),
                vec(1_usize..100, 1..8),
            ];
            (Just(terminators.clone()), stream(terminators), sizes)
        })
    }

    fn reads<'a>(mut stream: &'a [u8], sizes: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
        sizes.iter().cycle().map_while(move |size| {
            let size = (*size).min(stream.len());
            (size > 0).then(|| take(&mut stream, size))
        })
    }

    proptest! {
        #![proptest_config(config(2000, 3))]

        #[test]
        fn one_terminator_cuts_the_same_frames_whatever_the_reads(
            (terminators, stream, sizes) in scenario(1),
        ) {
            let mut naive = Naive::new(&terminators);
            naive.feed(&stream);
            let mut chat = Chat::new(terminators);
            chat.feed("");
            for read in reads(&stream, &sizes) {
                chat.feed(read);
            }
            prop_assert_eq!(chat.finish().frames(), naive.finish());
        }

        #[test]
        fn terminators_in_turn_cut_the_same_frames_whatever_the_reads(
            (terminators, stream, sizes) in scenario(8),
        ) {
            let mut naive = Naive::new(&terminators);
            naive.feed(&stream);
            let mut chat = Chat::new(terminators);
            chat.feed("");
            for read in reads(&stream, &sizes) {
                chat.feed(read);
            }
            prop_assert_eq!(chat.finish().frames(), naive.finish());
        }

        #[test]
        fn after_every_read_and_every_change_between_reads_the_calls_are_those_of_asynchat(
            (terminators, stream, sizes) in scenario(4),
            changes in vec(option::of(terminator()), 1..8),
        ) {
            let mut naive = Naive::new(&terminators);
            let mut chat = Chat::new(terminators);
            naive.feed(b"");
            chat.feed("");
            for (read, change) in reads(&stream, &sizes).zip(changes.iter().cycle()) {
                if let Some(change) = change {
                    chat.framer.set_terminator(change.clone());
                    naive.terminator = change.clone();
                    chat.feed("");
                    naive.feed(b"");
                    prop_assert_eq!(chat.frames(), naive.frames.clone());
                }
                chat.feed(read);
                naive.feed(read);
                prop_assert_eq!(chat.frames(), naive.frames.clone());
                prop_assert_eq!(chat.framer.terminator(), naive.terminator.clone());
            }
            prop_assert_eq!(chat.finish().frames(), naive.finish());
        }

        #[test]
        fn frames_are_too_long_by_their_length_alone(
            needle in needle(),
            max in 0_usize..40,
            stream in needle().prop_flat_map(|needle| stream(vec![needle.into()])),
            sizes in vec(1_usize..30, 1..8),
        ) {
            let mut naive = Naive::new(&[needle.clone().into()]);
            naive.feed(&stream);
            let expected = naive.finish();
            let mut chat = Chat::with(needle).max_frame(max);
            for read in reads(&stream, &sizes) {
                chat.feed(read);
            }
            chat.finish();

            let mut seen = Vec::new();
            let mut frame = (Vec::new(), false);
            for call in chat.calls {
                match call {
                    Call::Collect(data) => {
                        prop_assert!(!frame.1, "data of a frame that is too long");
                        frame.0.extend(data);
                    }
                    Call::TooLong => {
                        prop_assert!(!frame.1, "reported twice");
                        frame.1 = true;
                    }
                    Call::Found => seen.push(mem::take(&mut frame)),
                }
            }
            seen.push(frame);
            prop_assert_eq!(seen.len(), expected.complete.len() + 1);
            let expected = expected.complete.iter().chain([&expected.tail]);
            for ((data, too_long), whole) in seen.iter().zip(expected) {
                prop_assert_eq!(*too_long, whole.len() > max);
                prop_assert!(data.len() <= max && whole.starts_with(data));
                prop_assert!(*too_long || data == whole);
            }
        }
    }
}

mod python_traces {
    //! Replays what CPython's asynchat did. The one difference these cases show: what it still
    //! holds at the end is delivered as data, where Python loses it.

    use super::{Call, Chat, Terminator};

    const CASES: usize = if cfg!(miri) { 20 } else { 217 };

    fn bytes(hex: &str) -> Vec<u8> {
        assert_eq!(hex.len() % 2, 0, "{hex}");
        (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect()
    }

    fn terminator(text: &str) -> Terminator {
        match text.split_once(':') {
            Some(("b", hex)) => bytes(hex).into(),
            Some(("n", count)) => Terminator::Count(count.parse().unwrap()),
            None if text == "none" => Terminator::None,
            _ => panic!("terminator {text}"),
        }
    }

    #[test]
    fn asynchat_made_the_same_calls() {
        let mut cases = 0;
        let (mut name, mut chat, mut python) = ("", Chat::with(""), Chat::with(""));
        for line in include_str!("../../../tests/data/asynchat_traces.txt").lines() {
            let (keyword, rest) = line.split_once(' ').unwrap_or((line, ""));
            let fields = rest.split_ascii_whitespace();
            match keyword {
                "" | "#" => {}
                "case" if cfg!(miri) && cases == CASES => break,
                "case" => (name, cases) = (rest, cases + 1),
                "terms" => (chat, python) = (Chat::new(fields.map(terminator)), Chat::with("")),
                "set" => chat.framer.set_terminator(terminator(rest)),
                "read" => drop(chat.feed(bytes(rest))),
                "got" => {
                    python
                        .calls
                        .extend(fields.map(|call| match call.split_once(':') {
                            Some(("c", hex)) => Call::Collect(bytes(hex)),
                            None if call == "f" => Call::Found,
                            _ => panic!("call {call}"),
                        }));
                    assert_eq!(chat.frames(), python.frames(), "after a read in {name}");
                }
                "left" => {
                    python.calls.push(Call::Collect(bytes(rest)));
                    assert_eq!(
                        chat.finish().frames(),
                        python.frames(),
                        "at the end of {name}"
                    );
                }
                _ => panic!("keyword {keyword}"),
            }
        }
        assert_eq!(cases, CASES);
    }
}
