//! `--threads`: a worker on each of several threads, and on the main thread the front, a reactor that minds them. The
//! front takes the signals, accepts the connections if the kernel does not spread them, and ends with the workers.

use std::{
    cell::RefCell,
    net::{SocketAddr, TcpListener},
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

use clap::ValueEnum;
use shared::signals;

use self::worker::Plan;
use crate::{ending, limits, server::Server, status::board::Board};

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
    wanted: SocketAddr,
    spread: Spread,
    announce: impl FnOnce(SocketAddr) -> Result,
) -> Result {
    let mut front = Reactor::new()?;
    let mut crew = Crew::new(front.handle());
    let serve = || {
        let address = match spread {
            Spread::Kernel => crew.listen(plan, wanted)?,
            Spread::Accept => {
                for thread in 0..plan.threads {
                    crew.add(plan, thread, None)?;
                }
                let door = FrontDoor::new(&crew.handles);
                let proxies = &plan.options.proxy_protocol_from;
                worker::listen(&mut front, wanted, false, proxies, door)?
            }
        };
        // It may have no channel, and is there to take the signal.
        let _hold = front.handle().hold();
        keep_board(&mut front, plan);
        let handles = crew.handles.clone();
        signals::end_on_signal(&mut front, move |front| end(front, &handles))?;
        announce(address)?;
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
        board.publish(place, front, 0, 0);
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

    /// Makes the workers listen on one address.
    fn listen(&mut self, plan: &Plan, wanted: SocketAddr) -> Result<SocketAddr> {
        if wanted.port() != 0 {
            // Who shares the port too is found only by a listener that does not share it.
            TcpListener::bind(wanted)
                .map_err(|error| format!("cannot listen on {wanted}: {error}"))?;
        }
        let mut address = wanted;
        for thread in 0..plan.threads {
            address = self.add(plan, thread, Some(address))?.unwrap_or(address);
        }
        Ok(address)
    }

    /// Starts a worker, and waits until it is ready. Gives the address it listens on, if it is to listen.
    fn add(
        &mut self,
        plan: &Plan,
        thread: usize,
        listen: Option<SocketAddr>,
    ) -> Result<Option<SocketAddr>> {
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
                let outcome = work(&plan, thread, listen, &ready);
                member.has_failed = outcome.is_err();
                outcome
            })?;
        self.threads.push(worker);
        let (handle, address) = readiness.recv()?;
        self.handles.push(handle);
        Ok(address)
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

type Ready = (Handle, Option<SocketAddr>);

fn work(
    plan: &Plan,
    thread: usize,
    listen: Option<SocketAddr>,
    ready: &mpsc::Sender<Ready>,
) -> Result {
    let begin = || -> Result<_> {
        let mut worker = plan.worker(thread)?;
        let address = match listen {
            Some(wanted) => Some(worker.listen(wanted, true)?),
            None => {
                SERVER.set(Some(Rc::clone(&worker.server)));
                None
            }
        };
        Ok((worker, address))
    };
    let begun = begin();
    let (worker, address) =
        begun.map_err(|error| format!("cannot start thread {}: {error}", thread + 1))?;
    let handle = worker.reactor.handle();
    // There is no connection yet.
    let _hold = handle.hold();
    ready.send((handle.clone(), address))?;
    worker.run()
}

/// The listener of the front.
struct FrontDoor {
    workers: Vec<(Handle, Arc<AtomicUsize>)>,
    turn: usize,
}

impl FrontDoor {
    fn new(workers: &[Handle]) -> Self {
        let idle = |handle: &Handle| (handle.clone(), Arc::default());
        Self {
            workers: workers.iter().map(idle).collect(),
            turn: 0,
        }
    }

    /// The worker whose turn it is, or the next that is not held up.
    fn next(&mut self) -> Option<&(Handle, Arc<AtomicUsize>)> {
        let count = self.workers.len();
        let mut turns = (0..count).map(|step| (self.turn + step) % count);
        let chosen =
            turns.find(|&at| self.workers[at].1.load(Ordering::Relaxed) < limits::HANDED_OVER)?;
        self.turn = (chosen + 1) % count;
        self.workers.get(chosen)
    }
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
        let Some((worker, waiting)) = self.next() else {
            log::warn!(
                "{peer}: closed, every thread has {} connections waiting",
                limits::HANDED_OVER
            );
            return Ok(());
        };
        let on_its_way = OnItsWay::new(waiting);
        worker.call_soon(move |registry| {
            drop(on_its_way);
            match SERVER.with_borrow(Clone::clone) {
                Some(server) => server.serve(registry, stream, &peer),
                None => Ok(()),
            }
        })?;
        Ok(())
    }
}
