//! Chats over filters: an upgrade in the middle of what was read, and frames that are cut.

use std::time::Duration;

use asynchat::{
    AsyncChat, BoxError, Channel, ChatChannel, ChatDispatcher, Frame, HandshakeFailed, Result,
    Terminator, Truncated, testing::Harness,
};
use util::{
    Trace,
    toy::{Call, DATA, Far, Toy},
};

use super::{Line, SECOND, words};

/// How a chat gets its frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Pieces,
    WholeFrames,
    Collecting,
}

impl Way {
    const ALL: [Self; 3] = [Self::Pieces, Self::WholeFrames, Self::Collecting];
}

/// Upgrades at the word STARTTLS, writes down all other frames and answers them.
struct Chat {
    way: Way,
    begun: Vec<u8>,
    toy: Option<Toy>,
    tolerant: bool,
    trace: Trace,
    on_frame: Option<fn(&mut ChatChannel<'_>)>,
}

impl Chat {
    fn frame(&mut self, chat: &mut ChatChannel<'_>, frame: &[u8]) -> Result {
        if frame == b"STARTTLS" {
            chat.push("220 ready\r\n");
            chat.upgrade(self.toy.take().ok_or("again")?)?;
            return Ok(());
        }
        self.trace.add(format!("frame:{}", frame.escape_ascii()));
        chat.push([b"250 ", frame, b"\r\n"].concat());
        if let Some(act) = self.on_frame {
            act(chat);
        }
        Ok(())
    }
}

impl AsyncChat for Chat {
    fn handle_connect(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        self.trace.add("connect");
        if self.tolerant {
            chat.tolerate_truncation();
        }
        Ok(())
    }
    fn handle_secured(&mut self, _: &mut ChatChannel<'_>) -> Result {
        // RFC 3207: what was said before is forgotten.
        self.begun.clear();
        self.trace.add("secured");
        Ok(())
    }
    fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, data: &[u8]) -> Result {
        self.begun.extend_from_slice(data);
        Ok(())
    }
    fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        let frame = std::mem::take(&mut self.begun);
        self.frame(chat, &frame)
    }
    fn found_frame(&mut self, chat: &mut ChatChannel<'_>, frame: Frame<'_>) -> Result {
        if self.way == Way::Pieces {
            let data = frame.to_vec();
            self.begun.extend(data);
            return self.found_terminator(chat);
        }
        self.frame(chat, &frame)
    }
    fn handle_drain(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        chat.resume_reading();
        Ok(())
    }
    fn handle_close(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        if !self.begun.is_empty() {
            self.trace
                .add(format!("rest:{}", self.begun.escape_ascii()));
        }
        self.trace.add(if chat.is_truncated() {
            "truncated"
        } else {
            "close"
        });
        chat.close_when_done();
        Ok(())
    }
    fn handle_error(&mut self, chat: &mut ChatChannel<'_>, error: BoxError) {
        if let Some(cut) = error.downcast_ref::<Truncated>() {
            assert_eq!(cut.channel, chat.id());
            self.trace.add(format!("cut:{}", cut.len));
        } else if error.is::<HandshakeFailed>() {
            self.trace.add("failed");
        } else {
            self.trace.add(format!("error:{error}"));
        }
        chat.close_when_done();
    }
}

fn dispatcher(way: Way, chat: Chat, terminator: impl Into<Terminator>) -> ChatDispatcher<Chat> {
    match way {
        Way::Collecting => ChatDispatcher::collecting(chat, terminator, 10_000),
        _ => ChatDispatcher::new(chat, terminator),
    }
}

fn chat(way: Way, toy: Toy, trace: &Trace) -> Chat {
    Chat {
        way,
        begun: Vec::new(),
        toy: Some(toy),
        tolerant: false,
        trace: trace.clone(),
        on_frame: None,
    }
}

fn lines(way: Way, toy: Toy) -> (Harness, Trace) {
    let trace = Trace::new();
    let peer = Harness::new(dispatcher(way, chat(way, toy, &trace), "\r\n"));
    (peer, trace)
}

const READY: &[u8] = b"220 ready\r\n";

/// What the channel has sent is the answer in clear, and then what the far side understands.
#[track_caller]
fn take_ready(peer: &mut Harness, far: &mut Far) {
    let sent = peer.output();
    let sealed = sent.strip_prefix(READY).expect("not the answer in clear");
    if !sealed.is_empty() {
        far.take(sealed);
    }
}

#[test]
fn a_command_behind_starttls_is_never_answered() {
    for way in Way::ALL {
        for injected in [
            "NOOP\r\n",
            "NO",
            "NOOP\r",
            "\r\n",
            "\r",
            "NOOP\r\nNOOP\r\nNO",
        ] {
            for near_speaks in [false, true] {
                for bytewise in [false, true] {
                    let case = format!("{way:?}, {injected:?}, bytewise {bytewise}");
                    let toy = if near_speaks {
                        Toy::client()
                    } else {
                        Toy::server()
                    };
                    let (mut peer, trace) = lines(way, toy);
                    let all = format!("STARTTLS\r\n{injected}");
                    if bytewise {
                        peer.feed_bytewise(all);
                    } else {
                        peer.feed(all);
                    }
                    let mut far = Far::new(if near_speaks {
                        Toy::server()
                    } else {
                        Toy::client()
                    });
                    peer.feed(far.wire());
                    take_ready(&mut peer, &mut far);
                    peer.eof();
                    assert!(peer.is_closed(), "{case}");
                    assert_eq!(words(&trace), "connect failed", "{case}");
                }
            }
        }
    }
}

#[test]
fn the_handshake_behind_starttls_in_one_segment_works() {
    for way in Way::ALL {
        for cut in 0..=7 {
            let (mut peer, trace) = lines(way, Toy::server());
            let mut far = Far::client();
            let hello = far.wire();
            peer.feed([b"NOOP\r\nSTARTTLS\r\n", &hello[..cut]].concat());
            peer.feed_bytewise(&hello[cut..]);
            let sent = peer.output();
            let sealed = sent
                .strip_prefix(b"250 NOOP\r\n220 ready\r\n")
                .expect("in clear");
            far.take(sealed);
            assert!(far.is_open(), "{way:?}, cut at {cut}");
            far.say("HELO x\r\nNOOP\r\nQU");
            far.say("IT\r");
            far.say("\n");
            peer.feed(far.wire());
            far.take(&peer.output());
            assert_eq!(
                far.plain(),
                b"250 HELO x\r\n250 NOOP\r\n250 QUIT\r\n",
                "{way:?}"
            );
            assert_eq!(
                words(&trace),
                "connect frame:NOOP secured frame:HELO x frame:NOOP frame:QUIT"
            );
        }
    }
}

#[test]
fn half_a_frame_and_half_a_terminator_from_before_are_no_part_of_the_first_frame() {
    for way in Way::ALL {
        for before in ["", "half", "half\r", "\r"] {
            // Another callback upgrades the chat, in the middle of what it receives.
            let trace = Trace::new();
            let object = chat(way, Toy::server(), &trace);
            let mut peer = Harness::new(dispatcher(way, object, "\r\n"));
            peer.feed(before);
            let id = peer.id();
            Line::channel(&mut peer, |channel| channel.upgrade(Toy::server()).unwrap());
            assert!(peer.registry().channel(id).is_some());
            peer.upgrade(Toy::client());
            peer.feed("\nNOOP\r\n");
            assert_eq!(
                words(&trace),
                r"connect secured frame:\nNOOP",
                "{way:?}, {before:?}"
            );
        }
    }
}

#[test]
fn a_failure_of_the_filter_does_not_wait_for_frames_that_wait_for_the_queue() {
    let pause: fn(&mut ChatChannel<'_>) = |chat| {
        if chat.is_congested() {
            chat.pause_reading(Duration::MAX);
        }
    };
    let cases = [(true, true), (true, false), (false, true), (false, false)];
    for (way, (holds, seals)) in Way::ALL
        .into_iter()
        .flat_map(|way| cases.map(|case| (way, case)))
    {
        let trace = Trace::new();
        let mut object = chat(way, Toy::server(), &trace);
        object.on_frame = (!holds).then_some(pause);
        let mut dispatcher = dispatcher(way, object, "\r\n");
        if holds {
            dispatcher = dispatcher.hold_while_congested();
        }
        let mut peer = Harness::new(dispatcher);
        let toy = Toy::server();
        let toy = if seals { toy } else { toy.fails(Call::Seal, 2) };
        Line::channel(&mut peer, |channel| {
            channel.set_watermarks(0, 1);
            channel.upgrade(toy).unwrap();
        });
        let mut far = Far::client();
        peer.feed(far.wire());
        far.take(&peer.output());
        assert!(far.is_open());
        peer.set_window(0);
        far.say("a\r\nb\r\nc\r\nd\r\n");
        let broken = if seals { &[DATA, 99, 0, 0][..] } else { &[] };
        peer.feed([&far.wire(), broken].concat());
        peer.set_window(usize::MAX);
        peer.eof();
        let told = words(&trace);
        let error = if seals { "record 99" } else { "seal fails" };
        let frames = if seals { "frame:a" } else { "frame:a frame:b" };
        let all = format!("connect secured {frames} error:{error}");
        assert!(told.starts_with(&all), "{way:?}, holds {holds}: {told}");
        assert!(peer.is_closed(), "{way:?}, holds {holds}");
    }
}

#[test]
fn a_chat_that_ends_behind_its_upgrade_keeps_the_first_flight() {
    // The method of a chat gives back what is read; the reactor does it behind the other.
    let upgrades: [fn(&mut ChatChannel<'_>); 2] = [
        |chat| {
            chat.upgrade(Toy::server()).unwrap();
            chat.push("sealed");
            chat.close_when_done();
        },
        |chat| {
            Channel::upgrade(chat, Toy::server()).unwrap();
            chat.push("sealed");
            chat.close_when_done();
        },
    ];
    for (way, upgrade) in Way::ALL
        .into_iter()
        .flat_map(|way| upgrades.map(|upgrade| (way, upgrade)))
    {
        let mut object = chat(way, Toy::server(), &Trace::new());
        object.on_frame = Some(upgrade);
        let mut peer = Harness::new(dispatcher(way, object, "\r\n"));
        let mut far = Far::client();
        peer.feed([b"UP\r\n", &*far.wire()].concat());
        let sent = peer.output();
        far.take(sent.strip_prefix(b"250 UP\r\n").expect("in clear"));
        assert_eq!(far.plain(), b"sealed", "{way:?}");
        assert!(far.has_end() && peer.has_ended(), "{way:?}");
    }
}

#[test]
fn what_is_sealed_outlives_the_queue_that_is_discarded() {
    let (mut peer, mut far, _) = secured(Way::Pieces, "\r\n", |chat| {
        chat.on_frame = Some(|chat| {
            chat.push(vec![b'x'; 500_000]);
        });
    });
    peer.set_window(10);
    far.say("one\r\n");
    peer.feed(far.wire());
    let id = peer.id();
    peer.registry()
        .with_chat(id, |_: &mut Chat, chat| {
            chat.discard_output();
            chat.push("503 aborted\r\n");
        })
        .unwrap();
    peer.set_window(usize::MAX);
    far.take(&peer.output());
    assert_eq!(far.failed(), None, "a record was cut");
    let plain = far.plain();
    assert!(
        plain.len() < 200_000 && plain.ends_with(b"503 aborted\r\n"),
        "{} bytes",
        plain.len()
    );
}

/// Over a filter that has shaken hands.
fn secured(
    way: Way,
    terminator: impl Into<Terminator>,
    change: impl FnOnce(&mut Chat),
) -> (Harness, Far, Trace) {
    let trace = Trace::new();
    let mut object = chat(way, Toy::server(), &trace);
    change(&mut object);
    let mut peer = Harness::new(dispatcher(way, object, terminator));
    let near = Toy::server().round_trips(0);
    Line::channel(&mut peer, |channel| channel.upgrade(near).unwrap());
    peer.advance(SECOND);
    trace.clear();
    (peer, Far::new(Toy::client().round_trips(0)), trace)
}

#[test]
fn a_frame_that_is_cut_is_an_error_and_never_a_frame() {
    for way in Way::ALL {
        for (text, len) in [("abc", 3), ("abc\r", 4), ("NOOP\r\nabc", 3), ("\r", 1)] {
            let (mut peer, mut far, trace) = secured(way, "\r\n", |_| ());
            far.say(text);
            peer.feed(far.wire());
            peer.eof();
            let expected = if text.starts_with("NOOP") {
                "frame:NOOP "
            } else {
                ""
            };
            assert_eq!(
                words(&trace),
                format!("{expected}cut:{len}"),
                "{way:?}, {text:?}"
            );
            assert!(peer.is_closed(), "{way:?}, {text:?}");
            far.take(&peer.output());
            assert!(far.has_end(), "{way:?}, {text:?}: it sends its own end");
        }
    }
}

#[test]
fn a_count_that_is_cut_is_an_error_too() {
    let (mut peer, mut far, trace) = secured(Way::Pieces, 10, |_| ());
    far.say("abc");
    peer.feed(far.wire());
    peer.eof();
    assert_eq!(words(&trace), "cut:3");
}

#[test]
fn a_cut_between_two_frames_is_told_by_is_truncated_alone() {
    for way in Way::ALL {
        let (mut peer, mut far, trace) = secured(way, "\r\n", |_| ());
        far.say("NOOP\r\n");
        peer.feed(far.wire());
        peer.eof();
        assert_eq!(words(&trace), "frame:NOOP truncated", "{way:?}");
    }
}

#[test]
fn a_clean_end_and_a_tolerated_cut_hand_out_the_rest_as_ever() {
    for way in Way::ALL {
        for tolerant in [false, true] {
            let (mut peer, mut far, trace) = secured(way, "\r\n", |_| ());
            if tolerant {
                Line::channel(&mut peer, |channel| channel.tolerate_truncation());
            }
            far.say("abc\r");
            if !tolerant {
                far.end();
            }
            peer.feed(far.wire());
            peer.eof();
            assert_eq!(
                words(&trace),
                r"rest:abc\r close",
                "{way:?}, tolerant {tolerant}"
            );
        }
    }
}

#[test]
fn a_stream_without_a_terminator_has_no_frame_that_could_be_cut() {
    let (mut peer, mut far, trace) = secured(Way::Pieces, Terminator::None, |_| ());
    far.say("abc");
    peer.feed(far.wire());
    peer.eof();
    assert!(words(&trace).ends_with("truncated"), "{}", words(&trace));
}

#[test]
fn a_cut_waits_for_frames_that_a_pause_holds_back() {
    for way in Way::ALL {
        let (mut peer, mut far, trace) = secured(way, "\r\n", |chat| {
            chat.on_frame = Some(|chat| chat.pause_reading(SECOND));
        });
        far.say("one\r\ntwo\r\nthr");
        peer.feed(far.wire());
        peer.eof();
        assert_eq!(words(&trace), "frame:one", "{way:?}");
        peer.advance(SECOND);
        peer.advance(SECOND);
        assert_eq!(words(&trace), "frame:one frame:two cut:3", "{way:?}");
    }
}

#[test]
fn the_pipeline_of_a_chat_is_the_same_however_records_and_reads_are_cut() {
    for way in Way::ALL {
        for record in [1, 2, 3, 7, 1000] {
            let (mut peer, mut far, trace) = secured(way, "\r\n", |_| ());
            let text = "HELO x\r\nMAIL FROM:<a>\r\n\r\nQUIT\r\n";
            for piece in text.as_bytes().chunks(record) {
                far.say(piece);
            }
            far.end();
            let wire = far.wire();
            for piece in wire.chunks(record * 3 + 1) {
                peer.feed(piece);
            }
            assert_eq!(
                words(&trace),
                "frame:HELO x frame:MAIL FROM:<a> frame: frame:QUIT close",
                "{way:?}, records of {record}"
            );
            far.take(&peer.output());
            assert_eq!(
                far.plain(),
                b"250 HELO x\r\n250 MAIL FROM:<a>\r\n250 \r\n250 QUIT\r\n"
            );
            assert!(far.has_end());
        }
    }
}
