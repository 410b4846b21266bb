//! By messages: players are served by threads of their own, and what they have to say to the board, or the board to
//! them, is posted. Each piece of data has one thread that looks at it.

use std::{
    net::TcpListener,
    sync::mpsc,
    thread::{self, JoinHandle},
};

use asynchat::{
    Address, Channel, ChannelId, ChatChannel, Dispatcher, Handle, Reactor, Result, Stream,
};

use crate::{
    GRACE,
    board::Board,
    player::{Player, Scores, tell_all},
    signals,
};

const WORKERS: usize = 2;

/// The listener: it accepts for the workers, and has the board.
pub(crate) struct Front {
    own: Handle,
    workers: Vec<Handle>,
    next: usize,
    board: Board,
}

impl Front {
    pub(crate) fn new(own: Handle, workers: Vec<Handle>) -> Self {
        Self {
            own,
            workers,
            next: 0,
            board: Board::default(),
        }
    }

    fn add(&mut self, player: &str, points: i64) -> Result {
        let line = self.board.add(player, points);
        for worker in &self.workers {
            let line = line.clone();
            worker.call_soon(move |registry| tell_all(registry, &line))?;
        }
        Ok(())
    }
}

impl Dispatcher for Front {
    fn handle_accepted(
        &mut self,
        channel: &mut Channel<'_>,
        stream: Stream,
        peer: Address,
    ) -> Result {
        let scores = Posted {
            handle: self.own.clone(),
            front: channel.id(),
            name: peer.to_string(),
        };
        let standings = self.board.standings();
        self.next = (self.next + 1) % self.workers.len();
        self.workers[self.next].call_soon(move |registry| {
            let id = registry.register(stream, Player::new(scores))?;
            if let Some(mut player) = registry.channel(id) {
                player.push(standings);
            }
            Ok(())
        })?;
        Ok(())
    }
}

/// An id means something in its own reactor only, so it goes with that one's handle.
struct Posted {
    handle: Handle,
    front: ChannelId,
    name: String,
}

impl Posted {
    fn post(&self, f: impl FnOnce(&mut Front, &str) -> Result + Send + 'static) {
        let (front, name) = (self.front, self.name.clone());
        // Refused where the front has ended; its players are about to end too.
        let _ = self.handle.call_soon(move |registry| {
            registry.with(front, |front: &mut Front, _| f(front, &name))?
        });
    }
}

impl Scores for Posted {
    fn add(&mut self, _: &mut ChatChannel<'_>, points: i64) -> Result {
        self.post(move |front, name| front.add(name, points));
        Ok(())
    }
}

impl Drop for Posted {
    fn drop(&mut self) {
        self.post(|front, name| {
            front.board.remove(name);
            Ok(())
        });
    }
}

/// Serves on several threads until a signal comes.
pub(crate) fn run(mut reactor: Reactor, listener: TcpListener) -> Result {
    let mut workers = Vec::new();
    let mut threads = Vec::new();
    for _ in 0..WORKERS {
        let (handle, thread) = start_worker()?;
        workers.push(handle);
        threads.push(thread);
    }
    let front = Front::new(reactor.handle(), workers.clone());
    reactor.register(listener, front)?;
    signals::end_on_signal(reactor.handle(), move |front| {
        front.shutdown(GRACE);
        for worker in &workers {
            worker.shutdown(GRACE);
        }
    })?;
    let outcome = reactor.run();
    // Its workers' last posts are refused from here on.
    drop(reactor);
    for thread in threads {
        thread.join().map_err(|_| "a worker has panicked")??;
    }
    outcome
}

/// A reactor is made where it runs. Its handle comes out.
fn start_worker() -> Result<(Handle, JoinHandle<Result>)> {
    let (tell, told) = mpsc::channel();
    let thread = thread::spawn(move || {
        let mut reactor = crate::reactor()?;
        // Without a channel `run` would return at once.
        let _hold = reactor.handle().hold();
        tell.send(reactor.handle())?;
        reactor.run()
    });
    Ok((told.recv()?, thread))
}
