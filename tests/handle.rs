//! Reaching a reactor from other threads (R21): nothing is lost or reordered, a flood is rationed (R5), and after the
//! reactor is gone there is an answer and no deadlock.
//!
//! A binary of its own: Miri interprets it.
#![cfg_attr(
    not(unix),
    allow(unused_imports, dead_code, reason = "tests of Unix are left out")
)]

use std::{
    cell::RefCell,
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    rc::Rc,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use asynchat::{
    Address, BoxError, Channel, Dispatcher, ErrorSource, Handle, Reactor, Registry, Result,
    Stopped, Stream,
};
use util::{
    DEADLINE, Recorder, Trace, address_of, peer::tcp_pair, reactor, run, serve, settle, turn_until,
};

/// A reactor with a listener, which keeps `run` waiting for ever.
fn waiting() -> Reactor {
    let mut reactor = reactor();
    serve(&mut reactor, |_| Recorder::new(&Trace::new()));
    reactor
}

/// The answer of a reactor that is gone.
fn stopped() -> Stopped {
    let handle = Reactor::new().unwrap().handle();
    handle.call_soon(|_| Ok(())).unwrap_err()
}

/// Runs `f` on a thread of its own and fails if it does not come back: what is tested may hang.
fn within_deadline<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = mpsc::channel();
    thread::spawn(move || {
        let _ = done.send(f());
    });
    result
        .recv_timeout(DEADLINE)
        .expect("it hangs, or it panicked")
}

#[test]
fn a_handle_goes_to_any_thread_and_so_does_an_accepted_stream() {
    fn anywhere<T: Clone + Send + Sync + 'static>() {}
    fn movable<T: Send + 'static>() {}
    anywhere::<Handle>();
    movable::<Stream>();
    movable::<asynchat::Socket>();
}

#[test]
fn posts_from_many_threads_keep_each_threads_order_and_none_is_lost() {
    const THREADS: usize = 8;
    const POSTS: usize = if cfg!(miri) { 100 } else { 10_000 };
    let mut reactor = waiting();
    let next = Arc::new(Mutex::new([0_usize; THREADS]));
    let posters: Vec<_> = (0..THREADS)
        .map(|me| {
            let (handle, next) = (reactor.handle(), next.clone());
            thread::spawn(move || {
                for n in 0..POSTS {
                    let next = next.clone();
                    let posted = handle.call_soon(move |registry| {
                        let mut next = next.lock().unwrap();
                        assert_eq!(next[me], n, "thread {me}");
                        next[me] += 1;
                        if next.iter().all(|&n| n == POSTS) {
                            registry.stop();
                        }
                        Ok(())
                    });
                    posted.unwrap();
                }
            })
        })
        .collect();
    // Nothing but the posts wakes this: a lost one would leave it waiting for ever.
    reactor.call_later(DEADLINE, |registry| {
        registry.stop();
        Ok(())
    });
    run(&mut reactor);
    assert_eq!(*next.lock().unwrap(), [POSTS; THREADS]);
    for poster in posters {
        poster.join().unwrap();
    }
}

#[test]
fn every_single_post_wakes_a_loop_that_waits_without_a_timeout() {
    within_deadline(|| {
        let mut reactor = waiting();
        let (ask, asked) = mpsc::channel::<Handle>();
        let poster = thread::spawn(move || {
            for handle in asked {
                handle.stop();
            }
        });
        // Sometimes the post comes before the poll, mostly during it, sometimes while the last one is being handled.
        for _ in 0..if cfg!(miri) { 20 } else { 2000 } {
            ask.send(reactor.handle()).unwrap();
            reactor.run().unwrap();
        }
        drop(ask);
        poster.join().unwrap();
    });
}

#[test]
#[cfg_attr(miri, ignore = "Miri's epoll knows no EPOLLPRI")]
fn a_flood_of_posts_is_rationed_and_does_not_starve_the_channels() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, mut theirs) = tcp_pair();
    reactor.register(ours, Recorder::new(&trace)).unwrap();
    settle(&mut reactor);
    trace.clear();
    let ran = Arc::new(AtomicUsize::new(0));
    let handle = reactor.handle();
    for _ in 0..3000 {
        let ran = ran.clone();
        handle
            .call_soon(move |_| {
                ran.fetch_add(1, Ordering::Relaxed);
                Ok(())
            })
            .unwrap();
    }
    theirs.write_all(b"hello").unwrap();
    reactor.call_later(Duration::ZERO, {
        let trace = trace.clone();
        move |_| {
            trace.add("timer");
            Ok(())
        }
    });
    let turn = reactor.turn(None).unwrap();
    assert_eq!(ran.load(Ordering::Relaxed), 1024);
    assert_eq!(
        trace.lines(),
        ["read:5", "timer"],
        "channels and timers come first"
    );
    assert_eq!(turn.callbacks, 1024 + 2);
    // What is left needs no wake-up.
    reactor.turn(None).unwrap();
    assert_eq!(ran.load(Ordering::Relaxed), 2048);
    reactor.turn(None).unwrap();
    assert_eq!(ran.load(Ordering::Relaxed), 3000);
}

#[test]
fn wake_ups_coalesce() {
    let mut reactor = reactor();
    let handle = reactor.handle();
    for _ in 0..100 {
        handle.call_soon(|_| Ok(())).unwrap();
    }
    let turn = reactor.turn(None).unwrap();
    assert_eq!((turn.events, turn.callbacks), (1, 100));
    let turn = reactor.turn(Some(Duration::ZERO)).unwrap();
    assert_eq!((turn.events, turn.callbacks), (0, 0));
}

#[test]
fn posted_tells_how_many_calls_wait() {
    let mut reactor = reactor();
    let handle = reactor.handle();
    for _ in 0..3000 {
        handle.call_soon(|_| Ok(())).unwrap();
    }
    let mut waiting = vec![handle.posted()];
    while handle.posted() > 0 {
        reactor.turn(None).unwrap();
        waiting.push(handle.posted());
    }
    assert_eq!(waiting, [3000, 1976, 952, 0]);
    handle.call_soon(|_| Ok(())).unwrap();
    drop(reactor);
    assert_eq!(handle.posted(), 0);
}

#[test]
fn stop_does_not_wait_behind_posted_calls() {
    for from_outside in [true, false] {
        let mut reactor = waiting();
        let handle = reactor.handle();
        let ran = Arc::new(AtomicUsize::new(0));
        for n in 0..2500 {
            let (ran, other) = (ran.clone(), handle.clone());
            handle
                .call_soon(move |_| {
                    ran.fetch_add(1, Ordering::Relaxed);
                    if n == 0 && !from_outside {
                        other.stop();
                    }
                    Ok(())
                })
                .unwrap();
        }
        if from_outside {
            handle.stop();
        }
        reactor.run().unwrap();
        // Within the turn that noticed it: the one in progress had looked already.
        let turns = if from_outside { 1 } else { 2 };
        assert_eq!(ran.load(Ordering::Relaxed), turns * 1024);
        assert_eq!(handle.posted(), 2500 - turns * 1024);
        handle
            .call_soon(|registry| {
                registry.stop();
                Ok(())
            })
            .unwrap();
        reactor.run().unwrap();
        assert_eq!(ran.load(Ordering::Relaxed), 2500, "nothing is lost");
    }
}

#[test]
fn what_a_thread_posted_before_it_called_stop_runs_first() {
    let mut reactor = waiting();
    for n in 0..if cfg!(miri) { 20 } else { 2000 } {
        let ran = Arc::new(AtomicUsize::new(0));
        let (handle, count) = (reactor.handle(), ran.clone());
        let poster = thread::spawn(move || {
            handle
                .call_soon(move |_| {
                    count.fetch_add(1, Ordering::Relaxed);
                    Ok(())
                })
                .unwrap();
            handle.stop();
        });
        reactor.run().unwrap();
        assert_eq!(ran.load(Ordering::Relaxed), 1, "round {n}");
        poster.join().unwrap();
    }
}

#[test]
fn a_stop_of_an_idle_reactor_is_not_kept_for_its_next_run() {
    let mut reactor = reactor();
    reactor.handle().stop();
    run(&mut reactor);
    let ran = Rc::new(RefCell::new(false));
    let done = ran.clone();
    reactor.call_later(Duration::from_millis(5), move |_| {
        *done.borrow_mut() = true;
        Ok(())
    });
    run(&mut reactor);
    assert!(*ran.borrow());
}

#[test]
fn what_a_posted_call_posts_waits_for_the_next_turn() {
    let mut reactor = reactor();
    let handle = reactor.handle();
    let ran = Arc::new(AtomicUsize::new(0));
    let count = ran.clone();
    reactor
        .handle()
        .call_soon(move |_| {
            handle.call_soon(move |_| {
                count.store(2, Ordering::Relaxed);
                Ok(())
            })?;
            Ok(())
        })
        .unwrap();
    assert_eq!(reactor.turn(None).unwrap().callbacks, 1);
    assert_eq!(ran.load(Ordering::Relaxed), 0);
    assert_eq!(reactor.turn(None).unwrap().callbacks, 1);
    assert_eq!(ran.load(Ordering::Relaxed), 2);
}

#[test]
fn run_does_the_posts_it_finds_but_does_not_wait_for_more() {
    let mut reactor = reactor();
    let ran = Arc::new(AtomicUsize::new(0));
    let handle = reactor.handle();
    for _ in 0..2000 {
        let ran = ran.clone();
        handle
            .call_soon(move |_| {
                ran.fetch_add(1, Ordering::Relaxed);
                Ok(())
            })
            .unwrap();
    }
    run(&mut reactor);
    assert_eq!(ran.load(Ordering::Relaxed), 2000);
    run(&mut reactor);
}

#[test]
fn a_hold_keeps_run_waiting_for_what_another_thread_posts() {
    let mut reactor = reactor();
    let handle = reactor.handle();
    let hold = handle.hold();
    assert!(!reactor.is_idle());
    let poster = thread::spawn(move || {
        for _ in 0..3 {
            // Not before the loop sleeps, or nearly so.
            thread::yield_now();
            handle
                .call_soon(|registry| {
                    registry.call_later(Duration::ZERO, |_| Ok(()));
                    Ok(())
                })
                .unwrap();
        }
        drop(hold);
    });
    run(&mut reactor);
    poster.join().unwrap();
    assert!(reactor.is_idle());
    assert_eq!(reactor.stats().timers, 0, "every post was done");
}

#[test]
fn the_last_hold_to_go_wakes_a_loop_that_sleeps_and_a_post_before_it_is_done() {
    for _ in 0..if cfg!(miri) { 3 } else { 200 } {
        let mut reactor = reactor();
        let handle = reactor.handle();
        let holds = [handle.hold(), handle.hold()];
        let done = Arc::new(AtomicUsize::new(0));
        let threads = holds.map(|hold| {
            let (handle, done) = (handle.clone(), done.clone());
            thread::spawn(move || {
                let count = move |_: &mut Registry| {
                    done.fetch_add(1, Ordering::Relaxed);
                    Ok(())
                };
                handle.call_soon(count).unwrap();
                drop(hold);
            })
        });
        run(&mut reactor);
        assert_eq!(done.load(Ordering::Relaxed), 2);
        for thread in threads {
            thread.join().unwrap();
        }
    }
}

#[test]
fn stop_and_shutdown_end_run_although_it_is_held() {
    let mut reactor = reactor();
    let hold = reactor.handle().hold();
    reactor.stop();
    run(&mut reactor);
    reactor.shutdown(DEADLINE);
    run(&mut reactor);
    drop(hold);
    // And a hold may outlive its reactor.
    let hold = reactor.handle().hold();
    drop(reactor);
    drop(hold);
}

#[test]
#[cfg_attr(miri, ignore = "Miri's epoll knows no EPOLLPRI")]
fn a_posted_call_may_do_whatever_a_callback_may() {
    let mut reactor = reactor();
    let (listener, address) = serve(&mut reactor, |_| Recorder::new(&Trace::new()));
    let handle = reactor.handle();
    let client = thread::spawn(move || {
        handle
            .call_soon(move |registry| {
                assert!(registry.channel(listener).is_some());
                registry.connect(address, Greets)?;
                registry.call_later(Duration::ZERO, |_| Ok(()));
                Ok(())
            })
            .unwrap();
    });
    struct Greets;
    impl Dispatcher for Greets {
        fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
            channel.push("hello");
            Ok(())
        }
    }
    turn_until(&mut reactor, |reactor| {
        reactor.channels().any(|info| info.bytes_in == 5)
    });
    client.join().unwrap();
}

#[test]
#[cfg_attr(miri, ignore = "Miri's epoll knows no EPOLLPRI")]
fn streams_accepted_here_are_served_by_a_reactor_on_another_thread() {
    struct Echo;
    impl Dispatcher for Echo {
        fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
            channel.recv_with(|channel, data| channel.push(data.to_vec()))?;
            Ok(())
        }
    }
    /// Accepts, and gives everything away.
    struct HandsOver(Handle);
    impl Dispatcher for HandsOver {
        fn handle_accepted(&mut self, _: &mut Channel<'_>, stream: Stream, _: Address) -> Result {
            self.0.call_soon(move |registry| {
                registry.register(stream, Echo)?;
                Ok(())
            })?;
            Ok(())
        }
    }
    let (tell, told) = mpsc::channel();
    let worker = thread::spawn(move || {
        let mut reactor = waiting();
        tell.send(reactor.handle()).unwrap();
        run(&mut reactor);
        reactor.stats()
    });
    let theirs = told.recv().unwrap();
    let mut reactor = reactor();
    let id = reactor
        .listen(([127, 0, 0, 1], 0), HandsOver(theirs.clone()))
        .unwrap();
    let address = address_of(&mut reactor, id);
    for _ in 0..10 {
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(b"over there").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(
            util::peer::read_to_end(&mut reactor, &mut client),
            b"over there"
        );
    }
    assert_eq!(reactor.stats().channels, 1, "the listener only");
    theirs.stop();
    assert_eq!(worker.join().unwrap().bytes_out, 100);
}

// ---- stop and shutdown

#[test]
fn stop_from_another_thread_ends_run_and_closes_nothing() {
    within_deadline(|| {
        let mut reactor = waiting();
        let handle = reactor.handle();
        let stopper = thread::spawn(move || handle.stop());
        run(&mut reactor);
        stopper.join().unwrap();
        assert_eq!(reactor.stats().channels, 1);
    });
}

#[test]
#[cfg_attr(miri, ignore = "Miri's epoll knows no EPOLLPRI")]
fn shutdown_from_another_thread_sends_what_is_queued_and_ends_run() {
    within_deadline(|| {
        let mut reactor = reactor();
        let reply = vec![b'r'; 2_000_000];
        let to_send = reply.clone();
        let (tell, connected) = mpsc::channel();
        let (_, address) = serve(&mut reactor, move |_| {
            let mut recorder = Recorder::new(&Trace::new());
            let (to_send, tell) = (to_send.clone(), tell.clone());
            recorder.on_connect = Some(Box::new(move |channel| {
                channel.push(to_send.clone());
                tell.send(()).unwrap();
                Ok(())
            }));
            recorder
        });
        let handle = reactor.handle();
        let client = thread::spawn(move || {
            let mut client = TcpStream::connect(address).unwrap();
            connected.recv().unwrap();
            handle.shutdown(DEADLINE);
            let mut got = Vec::new();
            client.read_to_end(&mut got).unwrap();
            got
        });
        run(&mut reactor);
        assert!(client.join().unwrap() == reply);
        assert!(reactor.is_idle());
    });
}

#[cfg(unix)]
#[test]
#[cfg_attr(miri, ignore = "Miri knows no signals")]
fn a_thread_that_waits_for_signals_can_shut_the_reactor_down() {
    use signal_hook::{consts::SIGUSR1, iterator::Signals, low_level::raise};

    let mut signals = Signals::new([SIGUSR1]).unwrap();
    let mut reactor = waiting();
    let handle = reactor.handle();
    let waiter = thread::spawn(move || {
        let signal = signals.forever().next();
        handle.shutdown(Duration::ZERO);
        signal
    });
    raise(SIGUSR1).unwrap();
    run(&mut reactor);
    assert_eq!(waiter.join().unwrap(), Some(SIGUSR1));
    assert_eq!(reactor.stats().channels, 0);
}

// ---- after the reactor

#[test]
fn after_the_reactor_is_gone_a_handle_says_so_and_drops_what_it_is_given() {
    let reactor = reactor();
    let handle = reactor.handle();
    let copy = handle.clone();
    drop(reactor);
    let token = Arc::new(());
    let held = token.clone();
    let posted = handle.call_soon(move |_| {
        drop(held);
        unreachable!("nobody runs this");
    });
    assert_eq!(posted, Err(stopped()));
    assert_eq!(Arc::strong_count(&token), 1);
    copy.stop();
    copy.shutdown(DEADLINE);
    assert_eq!(
        thread::spawn(move || copy.call_soon(|_| Ok(())))
            .join()
            .unwrap(),
        Err(stopped())
    );
}

#[test]
fn posted_calls_that_never_ran_are_dropped_with_the_reactor() {
    let mut reactor = reactor();
    let handle = reactor.handle();
    let token = Arc::new(());
    // Of these one turn runs 1,024.
    for _ in 0..2000 {
        let held = token.clone();
        handle
            .call_soon(move |_| {
                drop(held);
                Ok(())
            })
            .unwrap();
    }
    reactor.turn(None).unwrap();
    assert_eq!(Arc::strong_count(&token), 1 + 2000 - 1024);
    let held = token.clone();
    handle
        .call_soon(move |_| {
            drop(held);
            Ok(())
        })
        .unwrap();
    drop(reactor);
    assert_eq!(Arc::strong_count(&token), 1);
}

/// Posts when it is dropped.
struct Posts(Handle, mpsc::Sender<Result<(), Stopped>>);

impl Drop for Posts {
    fn drop(&mut self) {
        let answer = self.0.call_soon(|_| Ok(()));
        let _ = self.1.send(answer);
    }
}

#[test]
fn a_posted_call_whose_drop_posts_does_not_deadlock() {
    within_deadline(|| {
        let (tell, told) = mpsc::channel();
        let mut reactor = reactor();
        let handle = reactor.handle();
        let give = |handle: &Handle| {
            let posts = Posts(handle.clone(), tell.clone());
            handle.call_soon(move |_| {
                drop(posts);
                Ok(())
            })
        };
        // Dropped after it ran: the loop is alive.
        give(&handle).unwrap();
        reactor.turn(None).unwrap();
        assert_eq!(told.recv(), Ok(Ok(())));
        // Dropped with the reactor, then refused.
        give(&handle).unwrap();
        drop(reactor);
        assert_eq!(told.recv(), Ok(Err(stopped())));
        assert_eq!(give(&handle), Err(stopped()));
        assert_eq!(told.recv(), Ok(Err(stopped())));
    });
}

#[test]
fn objects_of_a_reactor_being_dropped_may_use_its_handle() {
    struct Owner(#[allow(dead_code, reason = "it is there to be dropped")] Posts);
    impl Dispatcher for Owner {}
    within_deadline(|| {
        let (tell, told) = mpsc::channel();
        let mut reactor = reactor();
        let posts = || Posts(reactor.handle(), tell.clone());
        let (owner, in_timer) = (Owner(posts()), posts());
        reactor.call_later(DEADLINE, move |_| {
            drop(in_timer);
            Ok(())
        });
        let (ours, _theirs) = tcp_pair();
        reactor.register(ours, owner).unwrap();
        drop(reactor);
        assert_eq!(
            (told.recv(), told.recv()),
            (Ok(Err(stopped())), Ok(Err(stopped())))
        );
    });
}

// ---- errors

#[test]
fn errors_and_panics_of_posted_calls_go_to_the_hook_and_the_others_run() {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let reports = seen.clone();
    let mut reactor = Reactor::builder()
        .on_error(move |_: &mut Registry, source, error: BoxError| {
            assert_eq!(source, ErrorSource::Handle);
            reports.borrow_mut().push(error.to_string());
        })
        .build()
        .unwrap();
    let ran = Arc::new(AtomicUsize::new(0));
    let count = ran.clone();
    let handle = reactor.handle();
    handle.call_soon(|_| Err("failed".into())).unwrap();
    handle.call_soon(|_| panic!("fell over")).unwrap();
    handle
        .call_soon(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            Ok(())
        })
        .unwrap();
    run(&mut reactor);
    assert_eq!(ran.load(Ordering::Relaxed), 1);
    assert_eq!(*seen.borrow(), ["failed", "panicked: fell over"]);
    assert_eq!(reactor.stats().errors, 2);
}
