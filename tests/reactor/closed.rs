//! The last callback: `handle_closed`, once for every object, when its channel is gone (R6).

use std::{
    cell::{Cell, RefCell},
    io::{ErrorKind, Write},
    net::{Shutdown, TcpStream, UdpSocket},
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    time::Duration,
};

use asynchat::{
    BoxError, Cause, Channel, ChannelId, ChatChannel, ChatDispatcher, Closed, Dispatcher,
    Exceptional, FilePart, Panicked, Reactor, Registry, Result, State, VisitError,
};
use util::{
    LastHook, Log, Recorder, SCRIPTED, Trace,
    peer::{refusing, reset, settled, tcp_pair, tells_resets, unanswering},
    reactor, run, settle, silence_scripted_panics, turn_until,
};

/// What the objects of a test were told at their ends.
#[derive(Clone, Default)]
struct Ends(Rc<RefCell<Vec<Closed>>>);

impl Ends {
    /// A recorder that writes its end down.
    fn recorder(&self, trace: &Trace) -> Recorder {
        let mut recorder = Recorder::new(trace);
        recorder.on_closed = Some(self.hook());
        recorder
    }

    fn hook(&self) -> LastHook {
        let ends = self.0.clone();
        Box::new(move |registry, why| {
            assert!(registry.channel(why.channel).is_none(), "it is gone");
            ends.borrow_mut().push(why);
        })
    }

    fn causes(&self) -> Vec<Cause> {
        self.0.borrow().iter().map(|why| why.cause).collect()
    }

    fn channels(&self) -> Vec<ChannelId> {
        self.0.borrow().iter().map(|why| why.channel).collect()
    }
}

fn close_at(when: &str) -> impl FnMut(&mut Channel<'_>) -> Result + 'static {
    let when_done = when == "when done";
    move |channel| {
        if when_done {
            channel.close_when_done();
        } else {
            channel.close();
        }
        Ok(())
    }
}

// ---- the causes

/// Ends a channel with an object of `recorder`'s kind; gives the peer, if it is to live on.
type Way = fn(&mut Reactor, &Ends, &Trace) -> Option<TcpStream>;

fn serve_it(reactor: &mut Reactor, recorder: Recorder) -> (ChannelId, TcpStream) {
    settled(reactor, recorder)
}

fn failing(
    reactor: &mut Reactor,
    ends: &Ends,
    trace: &Trace,
    handle_read: fn(&mut Channel<'_>) -> Result,
    handle_error: fn(&mut Channel<'_>) -> Result,
) -> Option<TcpStream> {
    let mut recorder = ends.recorder(trace);
    recorder.on_read = Some(Box::new(handle_read));
    recorder.on_error = Some(Box::new(handle_error));
    let (_, mut peer) = serve_it(reactor, recorder);
    peer.write_all(b"x").unwrap();
    Some(peer)
}

const MS: Duration = Duration::from_millis(1);

#[test]
fn every_end_has_its_cause() {
    silence_scripted_panics();
    let table: &[(&str, Cause, Way)] = &[
        (
            "end of file, default",
            Cause::EndOfFile,
            |r, ends, trace| {
                let (_, peer) = serve_it(r, ends.recorder(trace));
                drop(peer);
                None
            },
        ),
        ("end of file, close", Cause::EndOfFile, |r, ends, trace| {
            let mut recorder = ends.recorder(trace);
            recorder.on_close = Some(Box::new(close_at("now")));
            let (_, peer) = serve_it(r, recorder);
            peer.shutdown(Shutdown::Write).unwrap();
            Some(peer)
        }),
        ("end of file, later", Cause::EndOfFile, |r, ends, trace| {
            let mut recorder = ends.recorder(trace);
            recorder.on_close = Some(Box::new(|_| Ok(())));
            let (id, peer) = serve_it(r, recorder);
            peer.shutdown(Shutdown::Write).unwrap();
            turn_until(r, |_| trace.has("close"));
            r.channel(id).unwrap().close();
            Some(peer)
        }),
        ("reset", Cause::Reset, |r, ends, trace| {
            let (_, peer) = serve_it(r, ends.recorder(trace));
            reset(peer);
            None
        }),
        (
            "reset after an end of file",
            Cause::Reset,
            |r, ends, trace| {
                let mut recorder = ends.recorder(trace);
                recorder.on_close = Some(Box::new(|_| Ok(())));
                let (_, peer) = serve_it(r, recorder);
                peer.shutdown(Shutdown::Write).unwrap();
                turn_until(r, |_| trace.has("close"));
                reset(peer);
                None
            },
        ),
        ("reset, paused", Cause::Reset, |r, ends, trace| {
            let mut recorder = ends.recorder(trace);
            recorder.readable = false;
            let (_, peer) = serve_it(r, recorder);
            reset(peer);
            None
        }),
        (
            "an error that means reset",
            Cause::Reset,
            |r, ends, trace| {
                let broken =
                    |_: &mut Channel<'_>| Err(std::io::Error::from(ErrorKind::BrokenPipe).into());
                failing(r, ends, trace, broken, |_| Ok(()))
            },
        ),
        ("error", Cause::Error, |r, ends, trace| {
            failing(
                r,
                ends,
                trace,
                |_| Err("no".into()),
                |channel| {
                    channel.close();
                    Ok(())
                },
            )
        }),
        ("error, gracefully", Cause::Error, |r, ends, trace| {
            let peer = failing(
                r,
                ends,
                trace,
                |_| Err("no".into()),
                |channel| {
                    channel.close_when_done();
                    Ok(())
                },
            );
            turn_until(r, |_| trace.has("error:no"));
            drop(peer);
            None
        }),
        ("panic", Cause::Panic, |r, ends, trace| {
            failing(
                r,
                ends,
                trace,
                |_| panic!("{SCRIPTED}"),
                |channel| {
                    channel.close();
                    Ok(())
                },
            )
        }),
        ("handle_error panics", Cause::Panic, |r, ends, trace| {
            failing(
                r,
                ends,
                trace,
                |_| Err("no".into()),
                |_| panic!("{SCRIPTED}"),
            )
        }),
        (
            "outgoing queue full",
            Cause::OutgoingFull,
            |r, ends, trace| {
                let push = |channel: &mut Channel<'_>| {
                    channel.set_max_outgoing(1);
                    channel.push("two");
                    Ok(())
                };
                failing(r, ends, trace, push, |channel| {
                    channel.close();
                    Ok(())
                })
            },
        ),
        ("idle", Cause::IdleTimeout, |r, ends, trace| {
            let (id, peer) = serve_it(r, ends.recorder(trace));
            r.channel(id).unwrap().set_idle_timeout(Some(MS));
            Some(peer)
        }),
        ("idle, gracefully", Cause::IdleTimeout, |r, ends, trace| {
            let mut recorder = ends.recorder(trace);
            recorder.on_timeout = Some(Box::new(close_at("when done")));
            let (id, peer) = serve_it(r, recorder);
            r.channel(id).unwrap().set_idle_timeout(Some(MS));
            turn_until(r, |_| trace.has("timeout"));
            drop(peer);
            None
        }),
        (
            "an error of handle_timeout",
            Cause::Error,
            |r, ends, trace| {
                let mut recorder = ends.recorder(trace);
                recorder.on_timeout = Some(Box::new(|_| Err("no".into())));
                let (id, peer) = serve_it(r, recorder);
                r.channel(id).unwrap().set_idle_timeout(Some(MS));
                Some(peer)
            },
        ),
        (
            "idle while closing",
            Cause::IdleTimeout,
            |r, ends, trace| {
                let (id, peer) = serve_it(r, ends.recorder(trace));
                let mut channel = r.channel(id).unwrap();
                channel.push(vec![0; 32 << 20]);
                channel.set_idle_timeout(Some(20 * MS));
                channel.close_when_done();
                Some(peer)
            },
        ),
        ("not connected", Cause::ConnectFailed, |r, ends, trace| {
            let (_socket, address) = refusing();
            r.connect(address, ends.recorder(trace)).unwrap();
            None
        }),
        (
            "not connected, close",
            Cause::ConnectFailed,
            |r, ends, trace| {
                let (_socket, address) = refusing();
                let mut recorder = ends.recorder(trace);
                recorder.on_expt = Some(Box::new(close_at("now")));
                r.connect(address, recorder).unwrap();
                None
            },
        ),
        (
            "not connected, passed on",
            Cause::ConnectFailed,
            |r, ends, trace| {
                let (_socket, address) = refusing();
                let mut recorder = ends.recorder(trace);
                recorder.on_expt = Some(Box::new(|_| Err("nobody there".into())));
                r.connect(address, recorder).unwrap();
                None
            },
        ),
        ("closed while connecting", Cause::Close, |r, ends, trace| {
            let (_listener, address, _waiting) = unanswering();
            let id = r.connect(address, ends.recorder(trace)).unwrap();
            r.channel(id).unwrap().close();
            None
        }),
        ("close from outside", Cause::Close, |r, ends, trace| {
            let (id, peer) = serve_it(r, ends.recorder(trace));
            r.channel(id).unwrap().close();
            Some(peer)
        }),
        ("close from inside", Cause::Close, |r, ends, trace| {
            let mut recorder = ends.recorder(trace);
            recorder.on_read = Some(Box::new(close_at("now")));
            let (_, mut peer) = serve_it(r, recorder);
            peer.write_all(b"x").unwrap();
            Some(peer)
        }),
        (
            "close in another's handle_timeout",
            Cause::Close,
            |r, ends, trace| {
                let (id, peer) = serve_it(r, ends.recorder(trace));
                let mut other = Recorder::new(trace);
                other.on_timeout = Some(Box::new(move |channel| {
                    channel.registry().channel(id).unwrap().close();
                    channel.detach();
                    Ok(())
                }));
                let (other, _other_peer) = serve_it(r, other);
                r.channel(other).unwrap().set_idle_timeout(Some(MS));
                turn_until(r, |_| trace.has("timeout"));
                Some(peer)
            },
        ),
        (
            "close cuts close_when_done short",
            Cause::Close,
            |r, ends, trace| {
                let (id, peer) = serve_it(r, ends.recorder(trace));
                let mut channel = r.channel(id).unwrap();
                channel.push(vec![0; 32 << 20]);
                channel.close_when_done();
                channel.close();
                Some(peer)
            },
        ),
        ("done", Cause::Done, |r, ends, trace| {
            let (id, peer) = serve_it(r, ends.recorder(trace));
            r.channel(id).unwrap().close_when_done();
            settle(r);
            assert_eq!(ends.causes(), [], "the peer has not ended");
            assert_eq!(
                r.with(id, |_: &mut Recorder, _| ()),
                Err(VisitError::Closed(id))
            );
            drop(peer);
            None
        }),
        ("a listener is done", Cause::Done, |r, ends, trace| {
            let any = ([127, 0, 0, 1], 0);
            let id = r.listen(any, ends.recorder(trace)).unwrap();
            r.channel(id).unwrap().close_when_done();
            None
        }),
        ("a datagram socket", Cause::Close, |r, ends, trace| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            let id = r.register(socket, ends.recorder(trace)).unwrap();
            r.channel(id).unwrap().close();
            None
        }),
        ("no end of file", Cause::LingerLimit, |r, ends, trace| {
            let (id, peer) = serve_it(r, ends.recorder(trace));
            let mut channel = r.channel(id).unwrap();
            channel.set_linger(MS, 1000);
            channel.close_when_done();
            Some(peer)
        }),
        ("input without end", Cause::LingerLimit, |r, ends, trace| {
            let (id, mut peer) = serve_it(r, ends.recorder(trace));
            let mut channel = r.channel(id).unwrap();
            channel.set_linger(Duration::from_secs(60), 1000);
            channel.close_when_done();
            peer.write_all(&[0; 5000]).unwrap();
            Some(peer)
        }),
        ("reset while lingering", Cause::Reset, |r, ends, trace| {
            let (id, peer) = serve_it(r, ends.recorder(trace));
            r.channel(id).unwrap().close_when_done();
            settle(r);
            reset(peer);
            None
        }),
        ("shutdown", Cause::Shutdown, |r, ends, trace| {
            let (_, peer) = serve_it(r, ends.recorder(trace));
            r.shutdown(Duration::from_secs(60));
            drop(peer);
            None
        }),
        (
            "a listener at shutdown",
            Cause::Shutdown,
            |r, ends, trace| {
                let any = ([127, 0, 0, 1], 0);
                r.listen(any, ends.recorder(trace)).unwrap();
                r.shutdown(Duration::ZERO);
                None
            },
        ),
        (
            "connecting at shutdown",
            Cause::Shutdown,
            |r, ends, trace| {
                let (_listener, address, _waiting) = unanswering();
                r.connect(address, ends.recorder(trace)).unwrap();
                r.shutdown(Duration::from_secs(60));
                None
            },
        ),
        ("the grace is over", Cause::Shutdown, |r, ends, trace| {
            let (_, peer) = serve_it(r, ends.recorder(trace));
            r.shutdown(MS);
            Some(peer)
        }),
        ("done before shutdown", Cause::Done, |r, ends, trace| {
            let (id, peer) = serve_it(r, ends.recorder(trace));
            r.channel(id).unwrap().close_when_done();
            r.shutdown(Duration::from_secs(60));
            drop(peer);
            None
        }),
        ("close_all", Cause::CloseAll, |r, ends, trace| {
            let (_, peer) = serve_it(r, ends.recorder(trace));
            r.close_all();
            Some(peer)
        }),
    ];
    for &(name, cause, end) in table {
        if cause == Cause::Reset && !tells_resets() {
            continue;
        }
        let mut reactor = Reactor::new().unwrap();
        let (ends, trace) = (Ends::default(), Trace::new());
        let _peer = end(&mut reactor, &ends, &trace);
        let told = || ends.causes().len();
        turn_until(&mut reactor, |_| told() > 0);
        settle(&mut reactor);
        assert_eq!(ends.causes(), [cause], "{name}: {:?}", ends.0.borrow());
        drop(reactor);
        assert_eq!(told(), 1, "{name}");
    }
}

/// `handle_accepted` fails after its stream was registered.
#[test]
fn a_stream_whose_acceptance_failed_is_told_so() {
    struct Failing(Ends, Trace);
    impl Dispatcher for Failing {
        fn handle_accepted(
            &mut self,
            channel: &mut Channel<'_>,
            stream: asynchat::Stream,
            _: asynchat::Address,
        ) -> Result {
            let recorder = self.0.recorder(&self.1);
            channel.registry().register(stream, recorder)?;
            Err("not today".into())
        }
    }
    let mut reactor = Reactor::new().unwrap();
    let (ends, trace) = (Ends::default(), Trace::new());
    let any = ([127, 0, 0, 1], 0);
    let id = reactor
        .listen(any, Failing(ends.clone(), trace.clone()))
        .unwrap();
    let _peer = TcpStream::connect(util::address_of(&mut reactor, id)).unwrap();
    turn_until(&mut reactor, |_| !ends.causes().is_empty());
    assert_eq!(ends.causes(), [Cause::AcceptFailed]);
    assert!(trace.lines().is_empty(), "{:?}", trace.lines());
}

/// An object with nothing but its last callback: all else is the default.
struct Plain {
    ends: Ends,
    fails: bool,
}

impl Dispatcher for Plain {
    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        channel.recv(&mut [0; 16])?;
        if self.fails {
            return Err("bad request".into());
        }
        Ok(())
    }

    fn handle_closed(&mut self, registry: &mut Registry, why: Closed) {
        self.ends.hook()(registry, why);
    }
}

#[test]
fn the_error_is_there_unless_an_override_took_it() {
    let _log = Log::start();
    let ends = Ends::default();
    let mut reactor = Reactor::new().unwrap();
    let plain = |fails| Plain {
        ends: ends.clone(),
        fails,
    };
    // The defaults of `handle_error` and `handle_expt`.
    let (_, mut peer) = settled(&mut reactor, plain(true));
    peer.write_all(b"x").unwrap();
    turn_until(&mut reactor, |_| ends.causes().len() == 1);
    let (_socket, address) = refusing();
    reactor.connect(address, plain(false)).unwrap();
    turn_until(&mut reactor, |_| ends.causes().len() == 2);
    // An override that calls the default, and one that does not.
    for calls_default in [true, false] {
        struct Overrides(Plain, bool);
        impl Dispatcher for Overrides {
            fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
                self.0.handle_read(channel)
            }
            fn handle_error(&mut self, channel: &mut Channel<'_>, error: BoxError) {
                if self.1 {
                    channel.default_error(error);
                } else {
                    channel.close();
                }
            }
            fn handle_expt(&mut self, _: &mut Channel<'_>, what: Exceptional) -> Result {
                match what {
                    Exceptional::ConnectFailed(error) => Err(error.into()),
                    _ => Ok(()),
                }
            }
            fn handle_closed(&mut self, registry: &mut Registry, why: Closed) {
                self.0.handle_closed(registry, why);
            }
        }
        let (_, mut peer) = settled(&mut reactor, Overrides(plain(true), calls_default));
        peer.write_all(b"x").unwrap();
        let told = ends.causes().len();
        turn_until(&mut reactor, |_| ends.causes().len() > told);
        let (_socket, address) = refusing();
        let object = Overrides(plain(true), calls_default);
        reactor.connect(address, object).unwrap();
        turn_until(&mut reactor, |_| ends.causes().len() > told + 1);
    }
    let ends = ends.0.borrow();
    let told: Vec<_> = ends
        .iter()
        .map(|why| (why.cause, why.error.as_ref().map(ToString::to_string)))
        .collect();
    let bad = Some("bad request".to_string());
    let refused = told[1].1.clone();
    assert!(refused.as_ref().unwrap().contains("refused"), "{refused:?}");
    assert_eq!(
        told,
        [
            (Cause::Error, bad.clone()),
            (Cause::ConnectFailed, refused.clone()),
            (Cause::Error, bad),
            (Cause::ConnectFailed, refused),
            (Cause::Error, None),
            (Cause::ConnectFailed, None),
        ]
    );
}

#[test]
fn what_was_queued_and_did_not_leave_is_counted() {
    const QUEUED: u64 = 32 << 20;
    let mut reactor = Reactor::new().unwrap();
    for by_reset in [false, true] {
        let (ends, trace) = (Ends::default(), Trace::new());
        let (id, peer) = settled(&mut reactor, ends.recorder(&trace));
        let file = tempfile::tempfile().unwrap();
        file.set_len(QUEUED).unwrap();
        let mut channel = reactor.channel(id).unwrap();
        channel.push(vec![0; QUEUED as usize]);
        channel.push_file(FilePart::new(file, ..).unwrap());
        settle(&mut reactor);
        let sent = reactor.channels().find(|info| info.id == id).unwrap();
        assert!(sent.bytes_out > 0);
        if by_reset {
            reset(peer);
        } else {
            reactor.channel(id).unwrap().close();
        }
        turn_until(&mut reactor, |_| !ends.causes().is_empty());
        let unsent = ends.0.borrow()[0].unsent;
        assert_eq!(unsent, 2 * QUEUED - sent.bytes_out, "reset {by_reset}");
    }
}

// ---- when it comes

#[test]
fn it_never_comes_from_inside_close_and_comes_before_the_next_channels_visit() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let mut peers = Vec::new();
    for name in ["one", "two"] {
        let mut recorder = Recorder::named(&trace, name);
        let note = trace.clone();
        recorder.on_read = Some(Box::new(move |channel| {
            if !note.has(&format!("{name}.read:1")) {
                return Ok(());
            }
            note.add(format!("{name}["));
            channel.close();
            assert_eq!(channel.state(), State::Closed);
            note.add(format!("{name}]"));
            Ok(())
        }));
        let note = trace.clone();
        recorder.on_closed = Some(Box::new(move |_, _| note.add(format!("{name}.closed"))));
        peers.push(settled(&mut reactor, recorder).1);
    }
    trace.clear();
    peers
        .iter_mut()
        .for_each(|peer| peer.write_all(b"x").unwrap());
    turn_until(&mut reactor, |_| {
        trace.has("one.closed") && trace.has("two.closed")
    });
    let lines = trace.lines();
    for name in ["one", "two"] {
        let at = lines.iter().position(|line| *line == format!("{name}["));
        let expected = [
            format!("{name}["),
            format!("{name}]"),
            format!("{name}.closed"),
        ];
        let at = at.unwrap();
        assert_eq!(lines[at..at + 3], expected, "{lines:?}");
    }
}

#[test]
fn a_channel_that_another_closes_is_told_at_the_end_of_the_turn() {
    type Closer = fn(&mut Reactor, &Trace, ChannelId) -> Option<TcpStream>;
    let closers: [(&str, Closer); 4] = [
        ("another's callback", |reactor, trace, id| {
            let mut recorder = Recorder::named(trace, "other");
            let note = trace.clone();
            recorder.on_read = Some(Box::new(move |channel| {
                channel.registry().channel(id).unwrap().close();
                note.add("closes");
                Ok(())
            }));
            let (_, mut peer) = settled(reactor, recorder);
            peer.write_all(b"x").unwrap();
            Some(peer)
        }),
        ("with", |reactor, trace, id| {
            let note = trace.clone();
            reactor.call_later(Duration::ZERO, move |registry| {
                registry.with(id, |_: &mut Recorder, channel| channel.close())?;
                note.add("closes");
                Ok(())
            });
            None
        }),
        ("a timer", |reactor, trace, id| {
            let note = trace.clone();
            reactor.call_later(Duration::ZERO, move |registry| {
                registry.channel(id).unwrap().close();
                note.add("closes");
                Ok(())
            });
            None
        }),
        ("a posted call", |reactor, trace, id| {
            reactor
                .handle()
                .call_soon(move |registry| {
                    registry.channel(id).unwrap().close();
                    Ok(())
                })
                .unwrap();
            trace.add("closes");
            None
        }),
    ];
    for (how, close) in closers {
        let mut reactor = reactor();
        let trace = Trace::new();
        let mut recorder = Recorder::named(&trace, "a");
        let note = trace.clone();
        recorder.on_closed = Some(Box::new(move |registry, why| {
            note.add(format!("closed:{}", why.cause));
            let gone = registry.with(why.channel, |_: &mut Recorder, _| ());
            assert_eq!(gone, Err(VisitError::Closed(why.channel)));
        }));
        let (id, _theirs) = settled(&mut reactor, recorder);
        trace.clear();
        let _peer = close(&mut reactor, &trace, id);
        turn_until(&mut reactor, |reactor| reactor.channel(id).is_none());
        let lines = trace.lines();
        let at = lines.iter().position(|line| line == "closes").unwrap();
        assert_eq!(lines[at + 1..], ["closed:close"], "{how}: in the same turn");
    }
}

#[test]
fn neither_detach_nor_replace_nor_the_reactors_drop_is_an_end() {
    let mut reactor = reactor();
    let (ends, trace) = (Ends::default(), Trace::new());
    let (id, _peer) = settled(&mut reactor, ends.recorder(&trace));
    reactor.channel(id).unwrap().detach().unwrap();
    // From inside a callback, as well.
    let mut recorder = ends.recorder(&trace);
    recorder.on_read = Some(Box::new(|channel| {
        channel.detach().unwrap();
        Ok(())
    }));
    let (_, mut peer) = settled(&mut reactor, recorder);
    peer.write_all(b"x").unwrap();
    settle(&mut reactor);
    assert!(reactor.is_idle());

    let (id, mut replaced) = settled(&mut reactor, ends.recorder(&trace));
    reactor.channel(id).unwrap().replace(Recorder::new(&trace));
    reactor.channel(id).unwrap().close();
    // The object that is behind the channel when it ends is told, and not the one whose callback put it there.
    let newer = Ends::default();
    let mut recorder = ends.recorder(&trace);
    let successor = RefCell::new(Some(newer.recorder(&trace)));
    recorder.on_read = Some(Box::new(move |channel| {
        channel.replace(successor.take().unwrap());
        channel.close();
        Ok(())
    }));
    let (_, mut peer) = settled(&mut reactor, recorder);
    peer.write_all(b"x").unwrap();
    settle(&mut reactor);
    assert_eq!(newer.causes(), [Cause::Close]);
    let _ = replaced.write_all(b"x");

    // Open, lingering, and closed with the last callback to come.
    let (_, _open) = settled(&mut reactor, ends.recorder(&trace));
    let (id, _lingering) = settled(&mut reactor, ends.recorder(&trace));
    reactor.channel(id).unwrap().close_when_done();
    settle(&mut reactor);
    let (id, _closed) = settled(&mut reactor, ends.recorder(&trace));
    reactor.channel(id).unwrap().close();
    drop(reactor);
    assert_eq!(ends.causes(), []);
}

#[test]
fn run_goes_on_for_the_last_callbacks_and_what_they_begin() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (_socket, address) = refusing();
    let mut recorder = Recorder::named(&trace, "first");
    let note = trace.clone();
    recorder.on_closed = Some(Box::new(move |registry, _| {
        let mut again = Recorder::named(&note, "again");
        let last = note.clone();
        again.on_closed = Some(Box::new(move |_, why| last.add(why.cause.to_string())));
        registry.connect(address, again).unwrap();
    }));
    let (_, _peer) = settled(&mut reactor, recorder);
    trace.clear();
    reactor.close_all();
    assert!(!reactor.is_idle(), "a callback is to come");
    run(&mut reactor);
    assert_eq!(
        trace.lines(),
        ["again.failed:ConnectionRefused", "not connected"]
    );
    assert!(reactor.is_idle());
}

#[test]
fn shutdown_ends_after_the_last_callback() {
    let mut reactor = reactor();
    let (ends, trace) = (Ends::default(), Trace::new());
    let (_, peer) = settled(&mut reactor, ends.recorder(&trace));
    reactor.call_every(MS, |_| Ok(()));
    reactor.shutdown(Duration::from_millis(20));
    run(&mut reactor);
    assert_eq!(ends.causes(), [Cause::Shutdown]);
    drop(peer);
}

#[test]
fn a_lingering_object_gets_its_last_callback_and_no_other() {
    let mut reactor = reactor();
    let (ends, trace) = (Ends::default(), Trace::new());
    let (id, mut peer) = settled(&mut reactor, ends.recorder(&trace));
    trace.clear();
    let mut channel = reactor.channel(id).unwrap();
    channel.set_idle_timeout(Some(20 * MS));
    channel.close_when_done();
    settle(&mut reactor);
    peer.write_all(b"nobody reads this").unwrap();
    let mut channel = reactor.channel(id).unwrap();
    channel.touch();
    channel.push("dropped");
    channel.replace(Recorder::new(&trace));
    channel.set_idle_timeout(Some(MS));
    settle(&mut reactor);
    assert_eq!(ends.causes(), []);
    drop(peer);
    turn_until(&mut reactor, |reactor| reactor.channel(id).is_none());
    assert_eq!(ends.causes(), [Cause::Done]);
    assert_eq!(trace.lines(), [""; 0]);
}

#[test]
fn a_chat_is_told_too() {
    struct Session(Rc<Cell<Option<Cause>>>);
    impl asynchat::AsyncChat for Session {
        fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, _: &[u8]) -> Result {
            Ok(())
        }
        fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
            chat.default_error("enough".into());
            Ok(())
        }
        fn handle_closed(&mut self, _: &mut Registry, why: Closed) {
            assert_eq!(why.error.unwrap().to_string(), "enough");
            self.0.set(Some(why.cause));
        }
    }
    let _log = Log::start();
    for boxed in [false, true] {
        let mut reactor = reactor();
        let told = Rc::new(Cell::new(None));
        let session = Session(told.clone());
        let (ours, mut theirs) = tcp_pair();
        if boxed {
            let session: Box<dyn asynchat::AsyncChat> = Box::new(session);
            let chat: Box<dyn Dispatcher> = Box::new(ChatDispatcher::new(session, "\n"));
            reactor.register(ours, chat).unwrap();
        } else {
            reactor
                .register(ours, ChatDispatcher::new(session, "\n"))
                .unwrap();
        }
        theirs.write_all(b"line\n").unwrap();
        turn_until(&mut reactor, |_| told.get().is_some());
        assert_eq!(told.get(), Some(Cause::Error), "boxed {boxed}");
    }
}

// ---- what it may do

#[test]
fn many_ends_in_one_callback_are_told_in_the_order_of_closing() {
    let mut reactor = reactor();
    let (ends, trace) = (Ends::default(), Trace::new());
    let mut ids = Vec::new();
    for _ in 0..100 {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        ids.push(reactor.register(socket, ends.recorder(&trace)).unwrap());
    }
    let order: Vec<_> = ids.iter().rev().copied().collect();
    let closing = order.clone();
    reactor.call_later(Duration::ZERO, move |registry| {
        for id in closing {
            registry.channel(id).unwrap().close();
        }
        Ok(())
    });
    turn_until(&mut reactor, |_| !ends.causes().is_empty());
    assert_eq!(ends.channels(), order);
}

#[test]
fn one_that_closes_others_and_opens_new_ones_neither_spins_nor_nests() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let depth = Rc::new(Cell::new(0));

    /// At its end it opens the next, and closes it at once.
    fn chain(left: u32, trace: &Trace, depth: &Rc<Cell<u32>>) -> Recorder {
        let mut recorder = Recorder::new(trace);
        let (trace, depth) = (trace.clone(), depth.clone());
        recorder.on_closed = Some(Box::new(move |registry, _| {
            assert_eq!(
                depth.replace(depth.get() + 1),
                0,
                "no callback inside another"
            );
            trace.add("closed");
            if left > 0 {
                let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
                let next = chain(left - 1, &trace, &depth);
                let next = registry.register(socket, next).unwrap();
                registry.channel(next).unwrap().close();
            }
            depth.set(depth.get() - 1);
        }));
        recorder
    }
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let first = reactor.register(socket, chain(9, &trace, &depth)).unwrap();
    reactor.channel(first).unwrap().close();
    for n in 1..=10 {
        assert!(!reactor.is_idle());
        reactor.turn(None).unwrap();
        assert_eq!(trace.count("closed"), n, "one a turn, without a wait");
    }
    assert!(reactor.is_idle());
}

#[test]
fn what_it_pushes_to_a_partner_is_sent() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (partner, mut partner_peer) = settled(&mut reactor, Recorder::new(&trace));
    let mut recorder = Recorder::new(&trace);
    recorder.on_closed = Some(Box::new(move |registry, _| {
        let mut partner = registry.channel(partner).unwrap();
        partner.push("gone");
        partner.close_when_done();
    }));
    let (_, peer) = settled(&mut reactor, recorder);
    reset(peer);
    let heard = util::peer::read_to_end(&mut reactor, &mut partner_peer);
    assert_eq!(heard, b"gone");
}

// ---- panics

#[test]
fn a_panic_in_it_is_a_line_in_the_log_and_the_others_are_told() {
    silence_scripted_panics();
    let log = Log::start();
    let mut reactor = Reactor::new().unwrap();
    let (ends, trace) = (Ends::default(), Trace::new());
    let mut peers = Vec::new();
    for n in 0..3 {
        let mut recorder = ends.recorder(&trace);
        if n == 1 {
            recorder.on_closed = Some(Box::new(|_, _| panic!("{SCRIPTED}: at the end")));
        }
        peers.push(settled(&mut reactor, recorder));
    }
    let errors = reactor.stats().errors;
    reactor.close_all();
    settle(&mut reactor);
    assert_eq!(ends.causes(), [Cause::CloseAll; 2]);
    assert_eq!(reactor.stats().errors, errors + 1);
    let line = format!(
        "ERROR asynchat::channel: channel {}: handle_closed panicked: {SCRIPTED}: at the end",
        peers[1].0
    );
    assert_eq!(log.lines("at the end"), [line]);
}

#[test]
fn a_panic_that_shall_leave_the_loop_takes_no_other_end_with_it() {
    silence_scripted_panics();
    let mut reactor = reactor();
    let (ends, trace) = (Ends::default(), Trace::new());
    let mut peers = Vec::new();
    for n in 0..3 {
        let mut recorder = ends.recorder(&trace);
        if n == 0 {
            recorder.on_closed = Some(Box::new(|_, _| panic!("{SCRIPTED}")));
        }
        peers.push(settled(&mut reactor, recorder));
    }
    reactor.close_all();
    let turn = catch_unwind(AssertUnwindSafe(|| reactor.turn(Some(Duration::ZERO))));
    assert!(turn.is_err());
    assert_eq!(ends.causes(), []);
    run(&mut reactor);
    assert_eq!(ends.causes(), [Cause::CloseAll; 2]);
}

/// The object of a channel that a panic took away has nobody to be told.
#[test]
fn an_object_that_a_panic_took_out_of_the_loop_is_not_told() {
    silence_scripted_panics();
    let mut reactor = reactor();
    let (ends, trace) = (Ends::default(), Trace::new());
    for closes in [true, false] {
        let mut recorder = ends.recorder(&trace);
        let note = trace.clone();
        recorder.on_read = Some(Box::new(move |channel| {
            if !note.has("read:1") {
                return Ok(());
            }
            note.clear();
            if closes {
                channel.close();
            }
            panic!("{SCRIPTED}")
        }));
        let (id, mut peer) = settled(&mut reactor, recorder);
        peer.write_all(b"x").unwrap();
        let until_gone = || turn_until(&mut reactor, |_| false);
        assert!(catch_unwind(AssertUnwindSafe(until_gone)).is_err());
        assert!(reactor.channel(id).is_none());
        run(&mut reactor);
    }
    assert_eq!(ends.causes(), []);
}

#[test]
fn a_panicked_callbacks_end_has_the_panic() {
    silence_scripted_panics();
    let _log = Log::start();
    struct Panics(Ends);
    impl Dispatcher for Panics {
        fn handle_read(&mut self, _: &mut Channel<'_>) -> Result {
            panic!("{SCRIPTED}: reading")
        }
        fn handle_closed(&mut self, registry: &mut Registry, why: Closed) {
            let error = why.error.as_ref().unwrap();
            let panicked: &Panicked = error.downcast_ref().unwrap();
            assert!(panicked.message.ends_with("reading"));
            self.0.hook()(registry, why);
        }
    }
    let mut reactor = Reactor::new().unwrap();
    let ends = Ends::default();
    let (ours, mut theirs) = tcp_pair();
    reactor.register(ours, Panics(ends.clone())).unwrap();
    theirs.write_all(b"x").unwrap();
    turn_until(&mut reactor, |_| !ends.causes().is_empty());
    assert_eq!(ends.causes(), [Cause::Panic]);
}
