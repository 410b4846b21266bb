//! `hold_while_congested`: input waits for the outgoing queue (R3, R14).

use std::{cell::RefCell, io::Write, rc::Rc, time::Duration};

use asynchat::{
    AsyncChat, BoxError, ChatChannel, ChatDispatcher, Exceptional, Frame, Result, testing::Harness,
};

/// Past [`HIGH`] with one more byte.
const ANSWER: usize = 1000;
const HIGH: usize = 2 * ANSWER;

type Words = Rc<RefCell<Vec<String>>>;

/// Answers each line with [`ANSWER`] bytes, and `?` with an error that `handle_error` answers as long.
struct Answers {
    words: Words,
}

impl Answers {
    fn note(&self, word: impl Into<String>) {
        self.words.borrow_mut().push(word.into());
    }
}

impl AsyncChat for Answers {
    fn handle_connect(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        chat.set_watermarks(0, HIGH);
        Ok(())
    }

    fn found_frame(&mut self, chat: &mut ChatChannel<'_>, line: Frame<'_>) -> Result {
        self.note(String::from_utf8_lossy(line.data()));
        if line.data() == b"?" {
            return Err("what?".into());
        }
        Ok(chat.write_all(&[b'.'; ANSWER])?)
    }

    fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, tail: &[u8]) -> Result {
        self.note(format!("tail {}", String::from_utf8_lossy(tail)));
        Ok(())
    }

    fn handle_drain(&mut self, _: &mut ChatChannel<'_>) -> Result {
        self.note("drain");
        Ok(())
    }

    fn handle_expt(&mut self, _: &mut ChatChannel<'_>, what: Exceptional) -> Result {
        self.note(format!("{what:?}"));
        Ok(())
    }

    fn handle_error(&mut self, chat: &mut ChatChannel<'_>, _: BoxError) {
        chat.push(vec![b'!'; 2 * HIGH]);
    }

    fn handle_close(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        self.note("close");
        chat.close_when_done();
        Ok(())
    }
}

struct Slow {
    peer: Harness,
    words: Words,
}

impl Slow {
    /// A chat whose peer reads nothing.
    fn new() -> Self {
        let words = Words::default();
        let chat = Answers {
            words: Rc::clone(&words),
        };
        let holding = ChatDispatcher::collecting(chat, "\n", 100).hold_while_congested();
        let mut peer = Harness::new(holding);
        peer.set_window(0);
        Self { peer, words }
    }

    fn feed(&mut self, input: &str) -> String {
        self.peer.feed(input);
        self.heard()
    }

    fn reads(&mut self, bytes: usize) -> String {
        self.peer.set_window(bytes);
        self.peer.advance(Duration::ZERO);
        self.heard()
    }

    fn heard(&mut self) -> String {
        self.words.take().join(" ")
    }
}

#[test]
fn frames_wait_from_the_answer_that_congests_the_queue_until_it_has_drained() {
    let mut slow = Slow::new();
    assert_eq!(slow.feed("a\nb\nc\nd\ne\nf\ng\n"), "a b c");
    assert_eq!(slow.feed("h\n"), "", "later input waits too");
    assert_eq!(slow.reads(1), "", "the low mark is not reached");
    assert_eq!(slow.reads(3 * ANSWER), "drain d e f");
    assert_eq!(slow.reads(6 * ANSWER), "drain g h");
    assert_eq!(slow.feed("i\n"), "i");
}

#[test]
fn what_handle_error_pushes_counts() {
    let mut slow = Slow::new();
    assert_eq!(slow.feed("a\n?\nb\nc\n"), "a ?");
    assert_eq!(slow.reads(HIGH), "", "the low mark is not reached");
    assert_eq!(slow.reads(usize::MAX), "drain b c");
}

#[test]
fn what_others_push_counts_from_the_next_read_on() {
    let mut slow = Slow::new();
    let id = slow.peer.id();
    if let Some(mut channel) = slow.peer.registry().channel(id) {
        channel.push(vec![b'x'; 2 * HIGH]);
    }
    assert_eq!(slow.feed("a\nb\n"), "");
    assert_eq!(slow.reads(usize::MAX), "drain a b");
}

#[test]
fn a_high_mark_that_is_lowered_counts() {
    let mut slow = Slow::new();
    assert_eq!(slow.feed("a\n"), "a");
    let id = slow.peer.id();
    if let Some(mut channel) = slow.peer.registry().channel(id) {
        channel.set_watermarks(0, ANSWER / 2);
    }
    assert_eq!(slow.feed("b\n"), "");
    assert_eq!(slow.reads(usize::MAX), "drain b drain");
}

#[test]
fn an_end_of_file_behind_held_input_is_told_and_comes_after_it() {
    let mut slow = Slow::new();
    slow.peer.feed("a\nb\nc\nd\ntail");
    slow.peer.eof();
    assert_eq!(slow.heard(), "a b c ReadClosed");
    assert_eq!(slow.reads(usize::MAX), "drain d tail tail close");
}

#[test]
fn a_queue_that_is_discarded_holds_nothing() {
    let mut slow = Slow::new();
    assert_eq!(slow.feed("a\nb\nc\nd\n"), "a b c");
    let id = slow.peer.id();
    let discarded = slow
        .peer
        .registry()
        .with_chat(id, |_: &mut Answers, chat| chat.discard_output());
    assert!(discarded.is_ok());
    slow.peer.advance(Duration::ZERO);
    assert_eq!(slow.heard(), "drain d");
}

#[test]
fn without_it_a_congested_queue_holds_nothing() {
    let words = Words::default();
    let chat = Answers {
        words: Rc::clone(&words),
    };
    let mut peer = Harness::new(ChatDispatcher::collecting(chat, "\n", 100));
    peer.set_window(0);
    peer.feed("a\nb\nc\nd\ne\n");
    assert_eq!(words.take().join(" "), "a b c d e");
}
