//! By messages: players are served by threads of their own, and what they have to say to the board, or the board to
//! them, is posted. Each piece of data has one thread that looks at it.
//!
//! A post box has no bound, so a program that posts at a stranger's request needs one: of each player one post is out at
//! a time, and the number of players is bounded.

use std::{
    net::TcpListener,
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
};

use asynchat::{
    Address, Channel, ChannelId, ChatChannel, Dispatcher, Handle, Reactor, Result, Stream,
};

use crate::{
    GRACE, PLAYERS,
    board::{Board, Name},
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
    /// A clone for each player. The workers' `max_channels` is no bound: it holds only listeners of their own.
    seats: Arc<()>,
}

impl Front {
    pub(crate) fn new(own: Handle, workers: Vec<Handle>) -> Self {
        Self {
            own,
            workers,
            next: 0,
            board: Board::default(),
            seats: Arc::default(),
        }
    }

    fn add(&mut self, player: &Name, points: i64, post: Post) {
        let line = self.board.add(player, points);
        // It goes back when the last of them has told the line.
        let post = Arc::new(post);
        for worker in &self.workers {
            let (line, post) = (line.clone(), Arc::clone(&post));
            // Refused where it has ended: nobody is there who could be told.
            let _ = worker.call_soon(move |registry| {
                let _post = post;
                tell_all(registry, &line)
            });
        }
    }
}

impl Dispatcher for Front {
    fn handle_accepted(
        &mut self,
        channel: &mut Channel<'_>,
        stream: Stream,
        peer: Address,
    ) -> Result {
        // One of them is the front's own.
        if Arc::strong_count(&self.seats) > PLAYERS {
            log::info!("{peer}: closed, all {PLAYERS} seats are taken");
            return Ok(());
        }
        let scores = Posted {
            handle: self.own.clone(),
            front: channel.id(),
            name: self.board.name(&peer),
            seat: Arc::clone(&self.seats),
            is_out: false,
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
    name: Name,
    seat: Arc<()>,
    /// What was posted is not back.
    is_out: bool,
}

impl Posted {
    fn post(&self, f: impl FnOnce(&mut Front, &Name) + Send + 'static) {
        let (front, name) = (self.front, self.name.clone());
        // The front is the first to end: there is no board any more, and its players are about to end too.
        let _ = self.handle.call_soon(move |registry| {
            let _ = registry.with(front, |front: &mut Front, _| f(front, &name));
            Ok(())
        });
    }
}

impl Scores for Posted {
    fn add(&mut self, chat: &mut ChatChannel<'_>, points: i64) -> Result {
        self.is_out = true;
        let post = Post {
            worker: chat.registry().handle(),
            player: chat.id(),
        };
        self.post(move |front, name| front.add(name, points, post));
        Ok(())
    }

    fn is_busy(&self) -> bool {
        self.is_out
    }
}

impl Drop for Posted {
    fn drop(&mut self) {
        // The seat is free when the name is: else players who come and go could fill the post box.
        let seat = Arc::clone(&self.seat);
        self.post(move |front, name| {
            let _seat = seat;
            front.board.remove(name);
        });
    }
}

/// Goes with what a player has posted, and lets it post again when dropped: all is done, or nobody will do it.
struct Post {
    worker: Handle,
    player: ChannelId,
}

impl Drop for Post {
    fn drop(&mut self) {
        let player = self.player;
        // Refused where the worker has ended, and the player with it.
        let _ = self.worker.call_soon(move |registry| {
            // The player may have left. Otherwise `with_chat` has `readable` asked again.
            let _ = registry.with_chat(player, |player: &mut Player<Posted>, _| {
                player.scores.is_out = false;
            });
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
    signals::end_on_signal(&mut reactor, move |front| {
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
    Ok(outcome?)
}

/// A reactor is made where it runs. Its handle comes out.
fn start_worker() -> Result<(Handle, JoinHandle<Result>)> {
    let (tell, told) = mpsc::channel();
    let thread = thread::spawn(move || {
        let mut reactor = crate::reactor()?;
        // Without a channel `run` would return at once.
        let _hold = reactor.handle().hold();
        tell.send(reactor.handle())?;
        Ok(reactor.run()?)
    });
    Ok((told.recv()?, thread))
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use asynchat::testing::Listener;

    use super::*;

    /// Accepts players of a front in another reactor.
    struct Hall {
        office: Handle,
        front: ChannelId,
    }

    impl Dispatcher for Hall {
        fn handle_accepted(
            &mut self,
            channel: &mut Channel<'_>,
            stream: Stream,
            _: Address,
        ) -> Result {
            let scores = Posted {
                handle: self.office.clone(),
                front: self.front,
                name: Board::default().name(&"ann"),
                seat: Arc::default(),
                is_out: false,
            };
            channel.registry().register(stream, Player::new(scores))?;
            Ok(())
        }
    }

    /// An office with a front, and the hall where its players are.
    fn open() -> (Reactor, ChannelId, Listener) {
        let mut office = Reactor::new().unwrap();
        let handle = office.handle();
        let mut front = None;
        let hall = Listener::with_handle(Reactor::builder(), |worker| {
            let there = Front::new(handle.clone(), vec![worker]);
            let id = office.listen(([127, 0, 0, 1], 0), there).unwrap();
            front = Some(id);
            Hall {
                office: handle,
                front: id,
            }
        });
        (office, front.unwrap(), hall)
    }

    #[test]
    fn a_player_has_one_post_out_at_a_time() {
        let (mut office, front, mut hall) = open();
        let mut ann = hall.connect();
        ann.set_line_end("\n");
        ann.feed("1\n1\n1\n");
        for score in 1..=3 {
            office.turn(Some(GRACE)).unwrap();
            let standings = office.with(front, |front: &mut Front, _| front.board.standings());
            assert_eq!(standings.unwrap(), format!("ann has {score}\n"));
            ann.play(&format!("S: ann has {score}"));
        }
    }

    #[test]
    fn a_post_that_nobody_takes_in_comes_back() {
        let (office, _, mut hall) = open();
        let mut ann = hall.connect();
        ann.set_line_end("\n");
        ann.feed("1\nx\n");
        assert!(ann.output().is_empty());
        drop(office);
        ann.play("S: x is not a number");
    }

    #[test]
    fn a_seat_is_free_again_when_its_player_has_left() {
        let mut front = Listener::with_handle(Reactor::builder(), |handle| {
            Front::new(handle.clone(), vec![handle])
        });
        let mut players: Vec<_> = (0..PLAYERS).map(|_| front.connect()).collect();
        assert!(front.connect().is_closed());
        players[0].reset();
        assert!(players.iter_mut().skip(1).all(|player| !player.is_closed()));
        assert!(!front.connect().is_closed());
        assert!(front.connect().is_closed());
    }
}
