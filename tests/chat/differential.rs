//! Random conversations against the rules by definition (R15 to R17): whatever a chat does between two frames, and however
//! the reads cut the stream, every dispatcher gives the same frames, each once.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    io::{self, Write},
    mem,
    rc::Rc,
    time::Duration,
};

use asynchat::{
    AsyncChat, BoxError, ChatChannel, ChatDispatcher, Closed, Dispatcher, Frame, FrameTooLong,
    Reactor, Registry, Result, Terminator,
};
use proptest::{collection::vec, option, prelude::*};
use util::{SCRIPTED, peer::pair, silence_scripted_panics, turn_until};

/// What a chat does in a callback, with no effect on the frames.
#[derive(Clone, Copy, Debug)]
enum Stop {
    No,
    Pauses,
    PausesAndResumes,
    /// Its `readable` says no until a timer.
    WantsNoMore,
    Fails,
    WouldBlock,
    Panics,
}

/// What it does at the end of a frame.
#[derive(Clone, Debug)]
struct AtEnd {
    terminator: Option<Terminator>,
    unread: Option<String>,
    limit: Option<usize>,
    stop: Stop,
}

/// What became of the stream.
#[derive(Debug, PartialEq)]
enum Event {
    Frame(Vec<u8>),
    TooLong,
    EndOfLong,
    /// Behind the last frame.
    Rest(Vec<u8>),
}

fn stream(longest: usize) -> impl Strategy<Value = String> {
    prop::string::string_regex(&format!("[ab\r\n]{{0,{longest}}}")).unwrap()
}

fn terminator() -> impl Strategy<Value = Terminator> {
    prop_oneof![
        3 => prop::sample::select(vec!["\n", "\r\n", "ab", "aab\n"]).prop_map(Terminator::from),
        2 => (0_u64..7).prop_map(Terminator::Count),
    ]
}

fn stop() -> impl Strategy<Value = Stop> {
    prop_oneof![
        6 => Just(Stop::No),
        1 => Just(Stop::Pauses),
        1 => Just(Stop::PausesAndResumes),
        1 => Just(Stop::WantsNoMore),
        1 => Just(Stop::Fails),
        1 => Just(Stop::WouldBlock),
        1 => Just(Stop::Panics),
    ]
}

fn at_end() -> impl Strategy<Value = AtEnd> {
    (
        option::weighted(0.7, terminator()),
        option::weighted(0.2, stream(8)),
        option::weighted(0.2, 0_usize..7),
        stop(),
    )
        .prop_map(|(terminator, unread, limit, stop)| AtEnd {
            terminator,
            unread,
            limit,
            stop,
        })
}

/// The events by definition.
fn expected(stream: &str, first: &Terminator, mut limit: usize, ends: &[AtEnd]) -> Vec<Event> {
    let mut input = stream.as_bytes().to_vec();
    let mut terminator = first.clone();
    let mut ends = ends.iter();
    let mut events = Vec::new();
    loop {
        let (len, skipped) = match &terminator {
            Terminator::Bytes(needle) => {
                let at = input.windows(needle.len()).position(|part| part == needle);
                (at, needle.len())
            }
            Terminator::Count(count) => {
                let count = usize::try_from(*count).unwrap();
                ((count <= input.len()).then_some(count), 0)
            }
            _ => (None, 0),
        };
        let Some(len) = len else {
            match terminator != Terminator::None && input.len() > limit {
                true => events.push(Event::TooLong),
                false if input.is_empty() => {}
                false => events.push(Event::Rest(input)),
            }
            return events;
        };
        let frame = input.drain(..len).collect();
        input.drain(..skipped);
        if len > limit {
            events.extend([Event::TooLong, Event::EndOfLong]);
        } else {
            events.push(Event::Frame(frame));
        }
        if matches!(terminator, Terminator::Count(_)) {
            terminator = Terminator::None;
        }
        if let Some(end) = ends.next() {
            terminator = end.terminator.clone().unwrap_or(terminator);
            limit = end.limit.unwrap_or(limit);
            input.splice(..0, end.unread.clone().unwrap_or_default().into_bytes());
        }
    }
}

struct Talker {
    events: Rc<RefCell<Vec<Event>>>,
    ends: VecDeque<AtEnd>,
    /// What it does with pieces.
    stops: VecDeque<Stop>,
    part: Vec<u8>,
    is_too_long: bool,
    wants: Rc<Cell<bool>>,
    closed: Rc<Cell<u32>>,
}

impl Talker {
    fn stop(&mut self, chat: &mut ChatChannel<'_>, stop: Stop) -> Result {
        match stop {
            Stop::No => {}
            Stop::Pauses => chat.pause_reading(Duration::ZERO),
            Stop::PausesAndResumes => {
                chat.pause_reading(Duration::MAX);
                chat.resume_reading();
            }
            Stop::WantsNoMore => {
                self.wants.set(false);
                let (id, wants) = (chat.id(), self.wants.clone());
                chat.registry().call_later(Duration::ZERO, move |registry| {
                    wants.set(true);
                    if let Some(mut channel) = registry.channel(id) {
                        channel.touch();
                    }
                    Ok(())
                });
            }
            Stop::Fails => return Err("no".into()),
            Stop::WouldBlock => return Err(io::Error::from(io::ErrorKind::WouldBlock).into()),
            Stop::Panics => panic!("{SCRIPTED}"),
        }
        Ok(())
    }

    fn end(&mut self, chat: &mut ChatChannel<'_>, event: Event) -> Result {
        self.events.borrow_mut().push(event);
        let Some(end) = self.ends.pop_front() else {
            return Ok(());
        };
        if let Some(terminator) = end.terminator {
            chat.set_terminator(terminator);
        }
        if let Some(limit) = end.limit {
            chat.set_max_frame(Some(limit));
        }
        if let Some(bytes) = end.unread {
            chat.unread(bytes);
        }
        self.stop(chat, end.stop)
    }
}

impl AsyncChat for Talker {
    fn collect_incoming_data(&mut self, chat: &mut ChatChannel<'_>, data: &[u8]) -> Result {
        assert!(!data.is_empty());
        self.part.extend_from_slice(data);
        let stop = self.stops.pop_front().unwrap_or(Stop::No);
        self.stop(chat, stop)
    }

    fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        let frame = mem::take(&mut self.part);
        let event = match mem::take(&mut self.is_too_long) {
            true => Event::EndOfLong,
            false => Event::Frame(frame),
        };
        self.end(chat, event)
    }

    fn readable(&self) -> bool {
        self.wants.get()
    }

    fn handle_error(&mut self, _: &mut ChatChannel<'_>, error: BoxError) {
        if error.is::<FrameTooLong>() {
            self.part.clear();
            self.is_too_long = true;
            self.events.borrow_mut().push(Event::TooLong);
        }
    }

    fn handle_close(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        if !self.part.is_empty() {
            let rest = mem::take(&mut self.part);
            self.events.borrow_mut().push(Event::Rest(rest));
        }
        chat.close_when_done();
        Ok(())
    }

    fn handle_closed(&mut self, _: &mut Registry, _: Closed) {
        self.closed.set(self.closed.get() + 1);
    }
}

/// The same with whole frames.
struct Framed(Talker);

impl AsyncChat for Framed {
    fn found_frame(&mut self, chat: &mut ChatChannel<'_>, frame: Frame<'_>) -> Result {
        assert!(self.0.part.is_empty(), "a part of it came before");
        self.0.end(chat, Event::Frame(frame.to_vec()))
    }

    fn collect_incoming_data(&mut self, chat: &mut ChatChannel<'_>, data: &[u8]) -> Result {
        self.0.collect_incoming_data(chat, data)
    }

    fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        self.0.found_terminator(chat)
    }

    fn readable(&self) -> bool {
        self.0.readable()
    }

    fn handle_error(&mut self, chat: &mut ChatChannel<'_>, error: BoxError) {
        self.0.handle_error(chat, error);
    }

    fn handle_close(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        self.0.handle_close(chat)
    }

    fn handle_closed(&mut self, registry: &mut Registry, why: Closed) {
        self.0.handle_closed(registry, why);
    }
}

/// Sends a stream in pieces of these lengths, then its end, and gives what came of it.
fn play(dispatcher: impl Dispatcher, closed: &Cell<u32>, stream: &str, pieces: &[usize]) {
    let mut reactor = Reactor::new().unwrap();
    let (here, mut there) = pair();
    reactor.register(here, dispatcher).unwrap();
    let mut rest = stream.as_bytes();
    for len in pieces {
        let piece;
        (piece, rest) = rest.split_at((*len).min(rest.len()));
        there.write_all(piece).unwrap();
        reactor.turn(Some(Duration::ZERO)).unwrap();
    }
    there.write_all(rest).unwrap();
    drop(there);
    turn_until(&mut reactor, |_| closed.get() > 0);
    reactor.turn(Some(Duration::ZERO)).unwrap();
    assert_eq!(closed.get(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn no_frame_is_lost_or_told_twice_whatever_a_chat_does(
        stream in stream(60),
        first in terminator(),
        limit in prop_oneof![1 => 0_usize..9, 1 => Just(1000)],
        pieces in vec(1_usize..12, 0..12),
        ends in vec(at_end(), 0..12),
        stops in vec(stop(), 0..12),
    ) {
        silence_scripted_panics();
        let expected = expected(&stream, &first, limit, &ends);
        for way in 0..4 {
            let (events, closed) = (Rc::default(), Rc::default());
            let talker = Talker {
                events: Rc::clone(&events),
                ends: ends.clone().into(),
                stops: stops.clone().into(),
                part: Vec::new(),
                is_too_long: false,
                wants: Rc::new(Cell::new(true)),
                closed: Rc::clone(&closed),
            };
            let first = first.clone();
            let dispatcher: Box<dyn Dispatcher> = match way {
                0 => Box::new(ChatDispatcher::new(talker, first).max_frame(limit)),
                1 => Box::new(ChatDispatcher::new(Framed(talker), first).max_frame(limit)),
                2 => Box::new(ChatDispatcher::collecting(talker, first, limit)),
                _ => Box::new(ChatDispatcher::collecting(Framed(talker), first, limit)),
            };
            play(dispatcher, &closed, &stream, &pieces);
            prop_assert_eq!(&*events.borrow(), &expected, "way {}", way);
        }
    }
}
