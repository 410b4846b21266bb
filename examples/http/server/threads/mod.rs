//! `--threads`: a worker on each of several threads, and on the main thread the front, a reactor that minds them. The
//! front takes the signals, accepts the connections if the kernel does not spread them, and ends with the workers.

use std::{
    cell::{Cell, RefCell},
    net::TcpListener,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use asynchat::{Address, Channel, Dispatcher, Handle, Reactor, Registry, Result, Stream};
use asynchat_rustls::TlsAcceptor;
use clap::ValueEnum;
use shared::signals;

use self::worker::Plan;
use crate::{
    ending,
    entrance::Entrance,
    limits,
    server::Server,
    status::board::{Board, Counts},
};

pub(crate) mod worker;

/// Who gives the connections to the threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Spread {
    // Not documentation, or each would have a line of its own in the help.
    // Each thread has a listener, and the kernel chooses among them.
    Kernel,
    // The front accepts, and the threads have their turns.
    Accept,
}

impl Default for Spread {
    /// Elsewhere than on Linux one of several listeners may get all there is.
    fn default() -> Self {
        match cfg!(any(target_os = "linux", target_os = "android")) {
            true => Self::Kernel,
            false => Self::Accept,
        }
    }
}

thread_local! {
    /// What is posted to a thread is `Send`, which a server is not: it is found where it lives.
    static SERVER: RefCell<Option<Rc<Server>>> = const { RefCell::new(None) };
}

/// Serves until all workers have ended, or one has failed.
pub(crate) fn run(
    plan: &Plan,
    spread: Spread,
    announce: impl FnOnce(&[Entrance]) -> Result,
) -> Result {
    let mut front = Reactor::new()?;
    let mut crew = Crew::new(front.handle());
    let serve = || {
        let entrances = match spread {
            Spread::Kernel => crew.listen(plan)?,
            Spread::Accept => {
                for thread in 0..plan.threads {
                    crew.add(plan, thread, Vec::new())?;
                }
                open_front_doors(&mut front, plan, &crew.handles)?
            }
        };
        // It may have no channel, and is there to take the signal.
        let _hold = front.handle().hold();
        keep_board(&mut front, plan);
        let handles = crew.handles.clone();
        signals::end_on_signal(&mut front, move |front| end(front, &handles))?;
        plan.reload_on_hangup(&mut front)?;
        announce(&entrances)?;
        Ok(front.run()?)
    };
    let outcome = serve();
    drop(front);
    // Where a worker has failed its own error says more.
    crew.finish().and(outcome)
}

fn keep_board(front: &mut Reactor, plan: &Plan) {
    let Some(board) = plan.board.clone() else {
        return;
    };
    let place = plan.threads;
    front.call_every(Duration::from_secs(1), move |front| {
        board.publish(place, front, Counts::default());
        Ok(())
    });
}

/// Places on the board: one for each worker, and one for the front if there is one.
pub(crate) fn board(threads: usize) -> Board {
    Board::new(if threads == 1 { 1 } else { threads + 1 })
}

/// Ends all workers gracefully. What has been handed over to one comes before that.
fn end(front: &mut Registry, workers: &[Handle]) {
    front.close_all();
    for worker in workers {
        // Refused where it has ended already.
        let _ = worker.call_soon(|registry| {
            ending::end(registry);
            Ok(())
        });
    }
}

/// The workers, as the main thread knows them.
struct Crew {
    front: Handle,
    running: Arc<AtomicUsize>,
    handles: Vec<Handle>,
    threads: Vec<JoinHandle<Result>>,
}

impl Crew {
    fn new(front: Handle) -> Self {
        Self {
            front,
            running: Arc::default(),
            handles: Vec::new(),
            threads: Vec::new(),
        }
    }

    /// Makes all workers listen on the same addresses.
    fn listen(&mut self, plan: &Plan) -> Result<Vec<Entrance>> {
        for &Entrance { address, .. } in &plan.entrances {
            if address.port() != 0 {
                // Who shares the port too is found only by a listener that does not share it.
                TcpListener::bind(address)
                    .map_err(|error| format!("cannot listen on {address}: {error}"))?;
            }
        }
        let mut entrances = plan.entrances.clone();
        for thread in 0..plan.threads {
            entrances = self.add(plan, thread, entrances)?;
        }
        Ok(entrances)
    }

    /// Starts a worker that listens on these, and waits until it is ready. Gives them with their addresses.
    fn add(
        &mut self,
        plan: &Plan,
        thread: usize,
        entrances: Vec<Entrance>,
    ) -> Result<Vec<Entrance>> {
        self.running.fetch_add(1, Ordering::AcqRel);
        let member = Member {
            front: self.front.clone(),
            running: Arc::clone(&self.running),
            has_failed: true,
        };
        let plan = plan.clone();
        let (ready, readiness) = mpsc::channel();
        let worker = thread::Builder::new()
            .name(format!("worker {}", thread + 1))
            .spawn(move || {
                // All of it: alone its flag would be copied.
                let mut member = member;
                let outcome = work(&plan, thread, &entrances, &ready);
                member.has_failed = outcome.is_err();
                outcome
            })?;
        self.threads.push(worker);
        let (handle, entrances) = readiness.recv()?;
        self.handles.push(handle);
        Ok(entrances)
    }

    /// Ends who is still at work, without waiting for answers; gives the first error.
    fn finish(self) -> Result {
        for worker in &self.handles {
            worker.stop();
        }
        let outcomes = self.threads.into_iter().map(|thread| match thread.join() {
            Ok(outcome) => outcome,
            Err(_) => Err("a thread has panicked".into()),
        });
        outcomes.fold(Ok(()), Result::and)
    }
}

/// A worker's thread, from beginning to end.
struct Member {
    front: Handle,
    running: Arc<AtomicUsize>,
    /// As long as it has not ended well.
    has_failed: bool,
}

impl Drop for Member {
    /// Without one of them the others do not go on, and without any the front does not.
    fn drop(&mut self) {
        let is_last = self.running.fetch_sub(1, Ordering::AcqRel) == 1;
        if is_last || self.has_failed {
            self.front.stop();
        }
    }
}

type Ready = (Handle, Vec<Entrance>);

fn work(plan: &Plan, thread: usize, entrances: &[Entrance], ready: &mpsc::Sender<Ready>) -> Result {
    let begin = || -> Result<_> {
        let mut worker = plan.worker(thread)?;
        if entrances.is_empty() {
            SERVER.set(Some(Rc::clone(&worker.server)));
        }
        let entrances = worker.listen(entrances, true)?;
        Ok((worker, entrances))
    };
    let begun = begin();
    let (worker, entrances) =
        begun.map_err(|error| format!("cannot start thread {}: {error}", thread + 1))?;
    let handle = worker.reactor.handle();
    // There is no connection yet.
    let _hold = handle.hold();
    ready.send((handle.clone(), entrances))?;
    worker.run()
}

/// Has the front listen, and gives the entrances with the addresses that came of it.
fn open_front_doors(front: &mut Reactor, plan: &Plan, workers: &[Handle]) -> Result<Vec<Entrance>> {
    let shifts = Rc::new(Shifts::new(workers));
    let bound = plan.entrances.iter().map(|entrance| {
        let door = FrontDoor {
            shifts: Rc::clone(&shifts),
            tls: entrance.tls.clone(),
        };
        let proxies = &plan.options.proxy_protocol_from;
        let address = worker::listen(front, entrance.address, false, proxies, door)?;
        Ok(entrance.at(address))
    });
    bound.collect()
}

/// The workers that have their turns.
struct Shifts {
    workers: Vec<(Handle, Arc<AtomicUsize>)>,
    turn: Cell<usize>,
}

impl Shifts {
    fn new(workers: &[Handle]) -> Self {
        let idle = |handle: &Handle| (handle.clone(), Arc::default());
        Self {
            workers: workers.iter().map(idle).collect(),
            turn: Cell::new(0),
        }
    }

    /// The worker whose turn it is, or the next that is not held up.
    fn next(&self) -> Option<&(Handle, Arc<AtomicUsize>)> {
        let count = self.workers.len();
        let turn = self.turn.get();
        let mut turns = (0..count).map(|step| (turn + step) % count);
        let chosen =
            turns.find(|&at| self.workers[at].1.load(Ordering::Relaxed) < limits::HANDED_OVER)?;
        self.turn.set((chosen + 1) % count);
        self.workers.get(chosen)
    }
}

/// A listener of the front.
struct FrontDoor {
    shifts: Rc<Shifts>,
    tls: Option<TlsAcceptor>,
}

/// A connection that a worker was given and has not begun to serve.
struct OnItsWay(Arc<AtomicUsize>);

impl OnItsWay {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Dispatcher for FrontDoor {
    fn handle_accepted(&mut self, _: &mut Channel<'_>, stream: Stream, peer: Address) -> Result {
        let Some((worker, waiting)) = self.shifts.next() else {
            log::warn!(
                "{peer}: closed, every thread has {} connections waiting",
                limits::HANDED_OVER
            );
            return Ok(());
        };
        let on_its_way = OnItsWay::new(waiting);
        let tls = self.tls.clone();
        worker.call_soon(move |registry| {
            drop(on_its_way);
            match SERVER.with_borrow(Clone::clone) {
                Some(server) => server.serve(registry, stream, &peer, tls.as_ref()),
                None => Ok(()),
            }
        })?;
        Ok(())
    }
}
