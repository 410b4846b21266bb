//! Ends: clean ones, truncated ones and resets, in each stage; and how the channel itself ends.

use std::{cell::RefCell, io::Write, rc::Rc, time::Duration};

use asynchat::{Cause, State};
use util::{
    Trace,
    peer::pair,
    settle,
    toy::{Call, Far, Toy},
    turn_until,
};

use super::{Kind, Line, SECOND, builder, words};

/// How the peer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The filter's end, and the end of file.
    Clean,
    /// The filter's end; the connection stays.
    StaysOpen,
    /// The filter's end, bytes that are no record, and the end of file.
    ThenGarbage,
    /// The end of file alone.
    Cut,
    /// The end of file in the middle of a record.
    CutInRecord,
    Reset,
    /// A reset behind the filter's end.
    ThenReset,
}

impl End {
    const ALL: [Self; 7] = [
        Self::Clean,
        Self::StaysOpen,
        Self::ThenGarbage,
        Self::Cut,
        Self::CutInRecord,
        Self::Reset,
        Self::ThenReset,
    ];

    fn happens(self, line: &mut Line) {
        match self {
            Self::Clean | Self::StaysOpen | Self::ThenGarbage | Self::ThenReset => {
                line.far.end();
            }
            Self::CutInRecord => line.far.say("cut off"),
            Self::Cut | Self::Reset => {}
        }
        let mut wire = line.far.wire();
        match self {
            Self::CutInRecord => wire.truncate(wire.len() - 1),
            Self::ThenGarbage => wire.extend(b"DDDDDDDDDDDDDDDD, and no records"),
            _ => {}
        }
        line.peer.feed(wire);
        match self {
            Self::StaysOpen => {}
            Self::Reset | Self::ThenReset => line.peer.reset(),
            _ => line.peer.eof(),
        }
    }

    fn is_truncated(self) -> bool {
        matches!(self, Self::Cut | Self::CutInRecord)
    }
}

#[test]
fn an_end_is_clean_or_truncated_and_comes_behind_what_was_received() {
    for end in End::ALL {
        for read_size in [0, 2] {
            let case = format!("{end:?}, reads of {read_size}");
            let flags = Rc::new(RefCell::new(Vec::new()));
            let seen = flags.clone();
            let mut line = Line::open(|it| {
                it.read_size = read_size;
                it.on_close = Some(Box::new(move |channel| {
                    seen.borrow_mut()
                        .push((channel.is_truncated(), channel.is_reset()));
                    channel.close_when_done();
                    Ok(())
                }));
            });
            line.say("hello");
            end.happens(&mut line);
            if end != End::Reset {
                assert_eq!(line.received(), b"hello", "{case}");
            }
            assert_eq!(
                *flags.borrow(),
                [(end.is_truncated(), end == End::Reset)],
                "{case}"
            );
            line.take();
            if !matches!(end, End::Reset | End::ThenReset) {
                // The channel sends its own end in any case.
                assert!(line.far.has_end() && line.peer.has_ended(), "{case}");
                assert_eq!(line.watch.calls(Call::End), 1, "{case}");
            }
            line.peer.eof();
            let cause = match end {
                End::Reset => Cause::Reset,
                _ if end.is_truncated() => Cause::Truncated,
                _ => Cause::EndOfFile,
            };
            assert_eq!(line.peer.closed(), Some(cause), "{case}");
            assert!(!line.news().contains("error"), "{case}");
            line.watch.check_gone();
        }
    }
}

#[test]
fn a_truncation_that_is_tolerated_is_an_end_of_file() {
    for end in [End::Cut, End::CutInRecord, End::Clean] {
        for early in [true, false] {
            let mut line = if early {
                Line::open(|it| {
                    it.on_connect = Some(Box::new(|channel| {
                        channel.tolerate_truncation();
                        Ok(())
                    }));
                })
            } else {
                let mut line = Line::open(|_| ());
                line.on(|channel| channel.tolerate_truncation());
                line
            };
            line.say("hello");
            end.happens(&mut line);
            let news = line.news();
            assert!(
                news.starts_with("read:5 eof close"),
                "{end:?}, {early}: {news}"
            );
            assert_eq!(
                line.peer.closed(),
                Some(Cause::EndOfFile),
                "{end:?}, {early}"
            );
        }
    }
}

#[test]
fn a_truncation_can_be_tolerated_from_the_upgrade_on() {
    let mut line = Line::upgraded(Toy::server(), Toy::client(), |_| ());
    line.on(|channel| channel.tolerate_truncation());
    line.exchange();
    line.peer.eof();
    assert_eq!(line.news(), "secured eof close closed:EndOfFile");
}

#[test]
fn a_channel_without_a_filter_is_never_truncated() {
    let trace = Trace::new();
    let mut peer = asynchat::testing::Harness::new(super::recorder(&trace));
    Line::channel(&mut peer, |channel| {
        channel.tolerate_truncation();
        assert!(!channel.is_truncated());
        assert!(channel.filter::<Toy>().is_none());
    });
    peer.eof();
    assert_eq!(words(&trace), "connect eof close closed:EndOfFile");
}

#[test]
fn after_its_last_flush_a_channel_ends_and_lingers_and_waits_for_no_end_of_the_filter() {
    for kind in Kind::BOTH {
        for peer_ends in [true, false] {
            let mut line = Line::of(kind, Toy::client(), Toy::server(), |_| ());
            line.exchange();
            line.trace.clear();
            line.on(|channel| {
                channel.push("farewell");
                channel.close_when_done();
            });
            assert_eq!(line.hear(), b"farewell");
            assert!(line.far.has_end() && line.peer.has_ended());
            assert!(!line.peer.is_closed(), "{kind:?}: it lingers");
            // What arrives meanwhile is discarded, whatever it is.
            line.far.say("late");
            line.feed();
            line.peer.feed("no record at all");
            assert_eq!(line.news(), "");
            if peer_ends {
                line.peer.eof();
                assert_eq!(line.news(), "closed:Done", "{kind:?}");
            } else {
                line.peer.advance(5 * SECOND);
                assert_eq!(line.news(), "closed:LingerLimit", "{kind:?}");
            }
            assert!(line.peer.is_closed() && !line.peer.was_aborted());
            line.watch.check_gone();
        }
    }
}

#[test]
fn the_peers_end_does_not_stop_what_is_being_sent() {
    for cut in [false, true] {
        let mut line = Line::open(|it| it.on_close = Some(Box::new(|_| Ok(()))));
        line.peer.set_window(1000);
        line.on(|channel| channel.push(vec![b'x'; 100_000]));
        if !cut {
            line.far.end();
        }
        line.feed();
        line.peer.eof();
        assert_eq!(line.news(), if cut { "eof truncated" } else { "eof close" });
        line.on(|channel| {
            assert_eq!(channel.is_truncated(), cut);
            channel.push("farewell");
            channel.close_when_done();
        });
        let heard = line.hear();
        assert_eq!(heard.len(), 100_008, "cut {cut}");
        assert!(line.far.has_end(), "cut {cut}");
        assert!(line.peer.is_closed(), "cut {cut}");
        line.watch.check_gone();
    }
}

#[test]
fn the_end_of_the_filter_alone_is_noticed_without_an_event_of_the_socket() {
    for together in [true, false] {
        let mut line = Line::open(|_| ());
        line.far.say("hello");
        if !together {
            line.feed();
        }
        line.far.end();
        line.feed();
        assert!(line.news().starts_with("read:5 eof close"));
    }
}

#[test]
fn an_object_that_keeps_its_channel_past_the_end_can_go_on_sending() {
    let mut line = Line::open(|it| it.on_close = Some(Box::new(|_| Ok(()))));
    line.far.end();
    line.feed();
    for n in 0..3 {
        let text = format!("answer {n}");
        let pushed = text.clone();
        line.on(move |channel| channel.push(pushed));
        assert_eq!(line.hear(), text.as_bytes());
    }
    assert_eq!(line.news(), "eof close");
    // The reset after that is one.
    line.peer.reset();
    assert!(
        line.news().starts_with("reset"),
        "a reset behind the end of file"
    );
    assert_eq!(line.peer.closed(), Some(Cause::Reset));
}

#[test]
fn resets_in_each_stage_free_the_filter() {
    type Reach = fn(&mut Line);
    let stages: [(&str, Reach); 5] = [
        ("handshake", |_| ()),
        ("open", Line::exchange),
        ("unsent", |line| {
            line.exchange();
            line.peer.set_window(10);
            line.on(|channel| channel.push(vec![0; 1000]));
        }),
        ("closing", |line| {
            line.exchange();
            line.peer.set_window(10);
            line.on(|channel| {
                channel.push(vec![0; 1000]);
                channel.close_when_done();
            });
        }),
        ("lingering", |line| {
            line.exchange();
            line.on(|channel| channel.close_when_done());
        }),
    ];
    for (name, stage) in stages {
        for kind in Kind::BOTH {
            let mut line = Line::of(kind, Toy::server(), Toy::client(), |_| ());
            stage(&mut line);
            line.peer.reset();
            assert!(line.peer.is_closed(), "{kind:?}, {name}");
            let news = line.news();
            assert_eq!(
                news.matches("closed:").count(),
                1,
                "{kind:?}, {name}: {news}"
            );
            line.watch.check_gone();
        }
    }
}

#[test]
fn an_end_of_file_in_the_middle_of_a_handshake_is_its_failure() {
    for kind in Kind::BOTH {
        for bytes in [0, 1, 5] {
            let mut line = Line::of(kind, Toy::server(), Toy::client(), |_| ());
            let wire = line.far.wire();
            line.peer.feed(&wire[..bytes]);
            line.peer.eof();
            let news = line.news();
            let word = if kind == Kind::Implicit {
                "handshake:"
            } else {
                "handshake failed: "
            };
            assert_eq!(news.matches(word).count(), 1, "{kind:?}, {bytes}: {news}");
            assert_eq!(
                line.peer.closed(),
                Some(Cause::HandshakeFailed),
                "{kind:?}, {bytes}"
            );
            line.watch.check_gone();
        }
    }
}

#[test]
fn a_filter_that_never_shakes_hands_may_see_an_end_of_file_at_once() {
    let near = Toy::server().round_trips(0);
    let mut line = Line::with(builder(), near, Toy::client().round_trips(0), |_| ());
    line.peer.eof();
    assert_eq!(line.news(), "connect eof truncated closed:Truncated");
    line.watch.check_gone();
}

#[test]
fn shutdown_lets_an_open_filter_say_its_end() {
    let mut line = Line::open(|_| ());
    line.peer.set_window(10);
    line.on(|channel| channel.push(vec![b'x'; 1000]));
    line.peer.registry().shutdown(60 * SECOND);
    assert!(!line.peer.is_closed());
    assert_eq!(line.hear().len(), 1000);
    assert!(line.far.has_end() && line.peer.has_ended());
    line.peer.eof();
    assert!(line.peer.is_closed());
    line.watch.check_gone();
}

#[test]
fn a_closed_channel_knows_no_filter() {
    let mut line = Line::open(|_| ());
    line.on(|channel| {
        assert!(channel.filter::<Toy>().is_some());
        assert!(channel.filter::<Other>().is_none());
        channel.close();
        assert_eq!(channel.state(), State::Closed);
        assert!(channel.filter::<Toy>().is_none());
        assert!(!channel.is_truncated());
        channel.tolerate_truncation();
    });
    line.peer.advance(Duration::ZERO);
    line.watch.check_gone();
}

struct Other;

impl asynchat::Filter for Other {
    fn feed(&mut self, _: &[u8], _: &mut Vec<u8>, _: &mut Vec<u8>) -> asynchat::Result {
        Ok(())
    }
    fn seal(&mut self, _: &[std::io::IoSlice<'_>], _: &mut Vec<u8>) -> asynchat::Result<usize> {
        Ok(1)
    }
    fn end(&mut self, _: &mut Vec<u8>) {}
    fn phase(&self) -> asynchat::FilterPhase {
        asynchat::FilterPhase::Open
    }
}

#[test]
fn what_arrived_before_a_reset_is_delivered_although_a_write_found_it_first() {
    for turns in 0..3 {
        for kind in Kind::BOTH {
            let mut reactor = builder().read_buffer(1000).build().unwrap();
            let trace = Trace::new();
            let object = super::recorder(&trace);
            let received = object.received.clone();
            let (ours, mut theirs) = pair();
            let id = reactor.register(ours, object).unwrap();
            if kind == Kind::Upgraded {
                settle(&mut reactor);
            }
            let toy = Toy::server().round_trips(0);
            reactor.channel(id).unwrap().upgrade(toy).unwrap();
            let mut far = Far::new(Toy::client().round_trips(0));
            if turns == 0 {
                turn_until(&mut reactor, |_| trace.has(kind.done()));
            }
            far.say(vec![b'x'; 1997]);
            far.end();
            theirs.write_all(&far.wire()).unwrap();
            drop(theirs);
            for _ in 1..turns {
                reactor.turn(Some(Duration::ZERO)).unwrap();
            }
            if let Some(mut channel) = reactor.channel(id) {
                let _ = channel.send(b"x");
            }
            turn_until(&mut reactor, |reactor| reactor.channel(id).is_none());
            let news = words(&trace);
            assert_eq!(
                received.borrow().len(),
                1997,
                "{kind:?}, {turns} turns: {news}"
            );
        }
    }
}
