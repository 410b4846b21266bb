//! A chat against the stream as a whole (R15 to R18): whatever the reads, and whatever its callbacks change, each call is
//! the one that the bytes not handed out so far and the terminator in force call for.

use std::{
    cell::RefCell, collections::VecDeque, io::Write, net::Shutdown, os::unix::net::UnixStream,
    rc::Rc,
};

use asynchat::{
    AsyncChat, BoxError, ChannelId, ChatChannel, ChatDispatcher, Frame, FrameTooLong, Reactor,
    Result, Terminator,
};

use super::{Input, settle, turn_until};

thread_local! {
    static REACTOR: RefCell<Reactor> = RefCell::new(
        Reactor::builder().propagate_panics(true).build().expect("a reactor")
    );
}

/// The length chooses the way the chat gets its frames, the first decision the first terminator, the second `max_frame`; then
/// come the lengths of the writes, terminated by a 0, and then what the callbacks do.
pub fn fuzz(data: &[u8]) {
    let mut input = Input::new(data);
    let first = input.decisions.pop_front().unwrap_or(0);
    let way = [Way::Pieces, Way::WholeFrames, Way::Collecting][data.len() % 3];
    let first = terminator(first);
    let max = max_frame(input.decisions.pop_front().unwrap_or(0));
    let writes = input.pieces();
    REACTOR.with_borrow_mut(|reactor| run(reactor, first, way, max, &writes, input.decisions));
}

/// How a chat gets its frames.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// In pieces, all of them.
    Pieces,
    /// Those that lie whole in a read in one call.
    WholeFrames,
    /// All in one call.
    Collecting,
}

fn terminator(choice: u8) -> Terminator {
    match choice % 16 {
        0 => "\r\n".into(),
        1 => "\n".into(),
        2 => "\r\n\r\n".into(),
        3 => "aab".into(),
        4 => "abab".into(),
        5 => "aa".into(),
        6 => "aaaaaaaab".into(),
        7 => "\r\n--frontier".into(),
        8 => Terminator::None,
        9 => "".into(),
        10 => 0.into(),
        11 => 1.into(),
        12 => 2.into(),
        13 => 7.into(),
        14 => 40.into(),
        _ => u64::MAX.into(),
    }
}

fn max_frame(choice: u8) -> Option<usize> {
    match choice {
        0..128 => None,
        128.. => Some(usize::from(choice - 128)),
    }
}

fn run(
    reactor: &mut Reactor,
    first: Terminator,
    way: Way,
    max: Option<usize>,
    writes: &[&[u8]],
    decisions: VecDeque<u8>,
) {
    let (here, mut there) = UnixStream::pair().expect("a pair of sockets");
    let model = Rc::new(RefCell::new(Model {
        stream: Vec::new(),
        at: 0,
        read_before: reactor.stats().bytes_in,
        returned: 0,
        terminator: first.clone(),
        way,
        frame_len: 0,
        max,
        skipping: false,
        must_end: false,
        paused: false,
        closed: false,
        ended: false,
        decisions,
    }));
    let checked = Checked(Rc::clone(&model));
    let id = if way == Way::Pieces {
        reactor.register(here, limited(ChatDispatcher::new(checked, first), max))
    } else if way == Way::WholeFrames {
        let chat = ChatDispatcher::new(Whole(checked), first);
        reactor.register(here, limited(chat, max))
    } else {
        let max = max.unwrap_or(usize::MAX);
        reactor.register(here, ChatDispatcher::collecting(Whole(checked), first, max))
    };
    let id = id.expect("a channel");
    for write in writes {
        model.borrow_mut().stream.extend_from_slice(write);
        there.write_all(write).expect("room in the socket");
        settle(reactor);
        while model.borrow_mut().acts_from_outside() {
            in_chat(reactor, id, way, |channel| {
                let mut model = model.borrow_mut();
                let read = model.read(channel.registry().stats().bytes_in);
                // What is collected of a frame is not handed out, so the model cannot tell where in the stream the
                // framer is.
                if way != Way::Collecting || model.at == read {
                    // Its error is nobody's business but the caller's.
                    let _ = model.act(channel);
                }
            });
            settle(reactor);
        }
        let model = model.borrow();
        if !model.paused {
            model.check_nothing_is_kept_back(model.read(reactor.stats().bytes_in));
        }
    }
    model.borrow_mut().ended = true;
    there.shutdown(Shutdown::Write).expect("an open socket");
    turn_until(reactor, "for the end", |reactor| {
        if model.borrow().closed {
            return true;
        }
        if std::mem::take(&mut model.borrow_mut().paused) {
            in_chat(reactor, id, way, |chat| chat.touch());
        }
        false
    });
    settle(reactor);
    assert!(reactor.channel(id).is_none(), "the channel is left over");
}

fn limited<C: AsyncChat>(chat: ChatDispatcher<C>, max: Option<usize>) -> ChatDispatcher<C> {
    match max {
        Some(max) => chat.max_frame(max),
        None => chat,
    }
}

fn in_chat(reactor: &mut Reactor, id: ChannelId, way: Way, f: impl FnOnce(&mut ChatChannel<'_>)) {
    let done = match way {
        Way::Pieces => reactor.with_chat(id, |_: &mut Checked, chat| f(chat)),
        _ => reactor.with_chat(id, |_: &mut Whole, chat| f(chat)),
    };
    done.expect("an open channel");
}

/// What the chat has to see.
struct Model {
    /// All that was written, and what callbacks gave back where they did.
    stream: Vec<u8>,
    /// So much of it was handed out, or taken off as a terminator.
    at: usize,
    /// The reactor's count before.
    read_before: u64,
    /// Bytes that callbacks gave back.
    returned: usize,
    terminator: Terminator,
    way: Way,
    frame_len: usize,
    max: Option<usize>,
    /// The frame was reported as too long. How much of it is skipped already only the framer knows.
    skipping: bool,
    /// The data handed out last was said to be all of its frame.
    must_end: bool,
    paused: bool,
    closed: bool,
    /// The end of file was sent.
    ended: bool,
    decisions: VecDeque<u8>,
}

impl Model {
    /// So much of the stream was read from the socket.
    fn read(&self, bytes_in: u64) -> usize {
        usize::try_from(bytes_in - self.read_before).expect("small") + self.returned
    }

    fn left(&self) -> &[u8] {
        &self.stream[self.at..]
    }

    fn has_frames(&self) -> bool {
        self.terminator != Terminator::None
    }

    fn collect(&mut self, data: &[u8], whole: bool) {
        assert!(!data.is_empty(), "an empty piece");
        assert!(!self.skipping, "data of a frame that is too long");
        assert!(!self.must_end, "more data of a whole frame");
        assert!(
            self.left().starts_with(data),
            "{} is not what comes next",
            data.escape_ascii()
        );
        match &mut self.terminator {
            Terminator::Count(left) => {
                *left = left.checked_sub(data.len() as u64).expect("too much data");
            }
            Terminator::Bytes(needle) => {
                for at in self.at..self.at + data.len() {
                    assert!(
                        !self.stream[at..].starts_with(needle),
                        "the terminator was handed out as data"
                    );
                }
            }
            _ => {}
        }
        self.must_end = whole && self.frame_len == 0;
        self.at += data.len();
        if self.has_frames() {
            self.frame_len += data.len();
            assert!(
                self.max.is_none_or(|max| self.frame_len <= max),
                "more than max_frame"
            );
        }
    }

    fn found(&mut self) {
        match &self.terminator {
            Terminator::Count(left) => {
                let left = usize::try_from(*left).expect("a count that can be reached");
                assert!(self.skipping || left == 0, "{left} bytes are missing");
                assert!(left <= self.left().len(), "past the end of the stream");
                self.at += left;
                self.terminator = Terminator::None;
            }
            Terminator::Bytes(needle) => {
                let at = self
                    .left()
                    .windows(needle.len())
                    .position(|bytes| bytes == needle)
                    .expect("no terminator follows");
                assert!(self.skipping || at == 0, "the terminator comes later");
                self.at += at + needle.len();
            }
            _ => panic!("a frame ends that has no terminator"),
        }
        self.must_end = false;
        self.skipping = false;
        self.frame_len = 0;
    }

    fn too_long(&mut self, limit: usize) {
        assert!(!self.skipping, "reported twice");
        assert!(!self.must_end, "a frame that was said to be whole");
        assert_eq!(Some(limit), self.max);
        let rest = match &self.terminator {
            Terminator::Count(left) => usize::try_from(*left).unwrap_or(usize::MAX),
            Terminator::Bytes(needle) => self
                .left()
                .windows(needle.len())
                .position(|bytes| bytes == needle)
                .unwrap_or(self.left().len()),
            _ => panic!("a frame without an end cannot be too long"),
        };
        assert!(
            self.frame_len.saturating_add(rest) > limit,
            "the frame is not too long"
        );
        self.skipping = true;
    }

    /// When all input is used up, what is not handed out can only be the beginning of a terminator.
    fn check_nothing_is_kept_back(&self, read: usize) {
        assert!(!self.must_end, "a whole frame that does not end");
        if self.skipping {
            return;
        }
        let left = &self.stream[self.at..read];
        match &self.terminator {
            Terminator::Bytes(needle) if self.way == Way::Collecting => {
                let mut windows = left.windows(needle.len());
                assert!(
                    !windows.any(|bytes| bytes == needle),
                    "kept back: {}",
                    left.escape_ascii()
                );
            }
            Terminator::Count(missing) if self.way == Way::Collecting => {
                assert!((left.len() as u64) < *missing, "kept back: {left:?}");
            }
            Terminator::Bytes(needle) => assert!(
                left.len() < needle.len() && needle.starts_with(left),
                "kept back: {}",
                left.escape_ascii()
            ),
            Terminator::Count(missing) => {
                assert!(left.is_empty() && *missing > 0, "kept back: {left:?}");
            }
            _ => assert!(left.is_empty(), "kept back: {left:?}"),
        }
    }

    fn set_terminator(&mut self, chat: &mut ChatChannel<'_>, terminator: Terminator) {
        chat.set_terminator(terminator.clone());
        if terminator == Terminator::None {
            self.frame_len = 0;
        }
        self.must_end &=
            self.terminator == terminator && matches!(terminator, Terminator::Bytes(_));
        self.terminator = terminator;
    }

    fn discard_input(&mut self, chat: &mut ChatChannel<'_>) {
        chat.discard_input();
        self.at = self.read(chat.registry().stats().bytes_in);
        if self.skipping {
            self.terminator = chat.terminator();
        }
        self.skipping = false;
        self.must_end = false;
        self.frame_len = 0;
    }

    fn unread(&mut self, chat: &mut ChatChannel<'_>, bytes: &'static [u8]) {
        chat.unread(bytes);
        self.stream.splice(self.at..self.at, bytes.iter().copied());
        self.returned += bytes.len();
        self.must_end = false;
    }

    /// Whether the next decision is for the program around the channel.
    fn acts_from_outside(&mut self) -> bool {
        let front = self.decisions.front();
        front.is_some_and(|decision| decision % 16 == 15) && self.decisions.pop_front().is_some()
    }

    /// What a callback, or the program around the channel, does besides.
    fn act(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        let decision = self.decisions.pop_front().unwrap_or(0);
        let choice = decision / 16;
        if self.skipping {
            // Where in the stream the framer is cannot be told, but after a discard it can.
            if decision % 16 == 12 {
                self.discard_input(chat);
            }
            return Ok(());
        }
        assert_eq!(chat.terminator(), self.terminator);
        match decision % 16 {
            8 | 9 => self.set_terminator(chat, terminator(choice)),
            10 => {
                self.max = choice.checked_sub(1).map(|max| usize::from(max) * 3);
                chat.set_max_frame(self.max);
            }
            11 => self.unread(
                chat,
                [&b"\r"[..], b"\n", b"a", b"ab\r\n"][usize::from(choice) % 4],
            ),
            12 => self.discard_input(chat),
            13 => self.paused = true,
            14 => return Err("as decided".into()),
            _ => {}
        }
        Ok(())
    }
}

struct Checked(Rc<RefCell<Model>>);

impl AsyncChat for Checked {
    fn readable(&self) -> bool {
        !self.0.borrow().paused
    }

    fn collect_incoming_data(&mut self, chat: &mut ChatChannel<'_>, data: &[u8]) -> Result {
        let mut model = self.0.borrow_mut();
        model.collect(data, chat.is_whole_frame(data));
        model.act(chat)
    }

    fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        let mut model = self.0.borrow_mut();
        model.found();
        model.act(chat)
    }

    fn handle_close(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        let mut model = self.0.borrow_mut();
        assert!(!model.must_end, "a whole frame that does not end");
        let left = model.left();
        assert!(model.skipping || left.is_empty(), "lost: {left:?}");
        model.closed = true;
        chat.close_when_done();
        Ok(())
    }

    fn handle_error(&mut self, chat: &mut ChatChannel<'_>, error: BoxError) {
        let mut model = self.0.borrow_mut();
        if let Some(too_long) = error.downcast_ref::<FrameTooLong>() {
            model.too_long(too_long.limit);
            if model.decisions.pop_front().is_some_and(|b| b % 4 == 1) {
                model.discard_input(chat);
            }
        }
    }
}

/// The same with whole frames.
struct Whole(Checked);

impl AsyncChat for Whole {
    fn found_frame(&mut self, chat: &mut ChatChannel<'_>, frame: Frame<'_>) -> Result {
        let mut model = self.0.0.borrow_mut();
        assert!(!model.skipping, "a frame that is too long");
        assert_eq!(model.frame_len, 0, "part of the frame came before");
        assert!(model.left().starts_with(frame.with_terminator()));
        match &model.terminator {
            Terminator::Bytes(needle) => assert_eq!(frame.terminator(), needle),
            _ => assert_eq!(frame.terminator(), b""),
        }
        if !frame.is_empty() {
            model.collect(&frame, true);
        }
        model.found();
        model.act(chat)
    }

    fn readable(&self) -> bool {
        self.0.readable()
    }

    fn collect_incoming_data(&mut self, chat: &mut ChatChannel<'_>, data: &[u8]) -> Result {
        let model = self.0.0.borrow();
        assert!(
            model.way == Way::WholeFrames || model.ended || !model.has_frames(),
            "a piece of a frame"
        );
        drop(model);
        let outcome = self.0.collect_incoming_data(chat, data);
        let mut model = self.0.0.borrow_mut();
        if model.way == Way::Collecting {
            // The frame that the end of file has cut off is none that could go on.
            model.frame_len = 0;
        }
        outcome
    }

    fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        let model = self.0.0.borrow();
        assert!(model.way == Way::WholeFrames || model.skipping);
        drop(model);
        self.0.found_terminator(chat)
    }

    fn handle_close(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        self.0.handle_close(chat)
    }

    fn handle_error(&mut self, chat: &mut ChatChannel<'_>, error: BoxError) {
        self.0.handle_error(chat, error);
    }
}
