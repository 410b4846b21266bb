//! A reactor whose connections are in memory and whose clock stands still until it is told to go on.

use std::{cell::RefCell, collections::VecDeque, rc::Rc, time::Duration};

use super::wire::{Backlog, End, Pipe, Shared, documentation};
use crate::{Address, Builder, Reactor, socket::Io, table::find};

/// More turns than any reaction takes: a handler that is never content is told so, not waited for.
const MOST_TURNS: usize = 10_000;

/// What a reactor under test connects to and listens on, instead of the system.
#[derive(Clone, Debug, Default)]
pub(crate) struct Net(Rc<RefCell<Lines>>);

#[derive(Debug, Default)]
struct Lines {
    pipes: Vec<Shared<Pipe>>,
    listeners: Vec<Shared<Backlog>>,
    /// Connection attempts nobody has asked for yet.
    dialled: VecDeque<Shared<Pipe>>,
    /// The last port given away, here or to a peer.
    port: u16,
}

impl Lines {
    fn next_port(&mut self) -> u16 {
        self.port = self.port.checked_add(1).unwrap_or(1).max(49_152);
        self.port
    }

    fn add(&mut self, local: Address, peer: Address, connecting: bool) -> Shared<Pipe> {
        self.pipes.retain(|pipe| !pipe.lock().closed);
        let pipe = Shared::new(Pipe::new(local, peer, connecting));
        self.pipes.push(pipe.clone());
        pipe
    }
}

impl Net {
    pub(crate) fn dial(&self, to: &Address) -> Io {
        let mut lines = self.0.borrow_mut();
        let local = documentation(1, lines.next_port());
        let pipe = lines.add(local.into(), to.clone(), true);
        lines.dialled.push_back(pipe.clone());
        Io::Testing(End::Stream(pipe))
    }

    pub(crate) fn listen(&self, on: &Address) -> Io {
        let mut lines = self.0.borrow_mut();
        let local = match on.inet() {
            Some(mut inet) if inet.port() == 0 => {
                inet.set_port(lines.next_port());
                inet.into()
            }
            _ => on.clone(),
        };
        let backlog = Shared::new(Backlog::new(local));
        lines.listeners.retain(|listener| !listener.lock().closed);
        lines.listeners.push(backlog.clone());
        Io::Testing(End::Listener(backlog))
    }

    /// A connection from a new peer, waiting on the listener at `to` or, without one, for whoever takes it.
    pub(crate) fn arrive(&self, to: Option<&Address>) -> Option<Shared<Pipe>> {
        let mut lines = self.0.borrow_mut();
        let peer = documentation(2, lines.next_port());
        let Some(to) = to else {
            return Some(lines.add(documentation(1, 7).into(), peer.into(), false));
        };
        let listener = lines
            .listeners
            .iter()
            .find(|listener| {
                let listener = listener.lock();
                listener.local() == to && !listener.closed
            })?
            .clone();
        let pipe = lines.add(to.clone(), peer.into(), false);
        listener.lock().add(pipe.clone());
        Some(pipe)
    }

    pub(crate) fn dialled(&self) -> Option<Shared<Pipe>> {
        self.0.borrow_mut().dialled.pop_front()
    }
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) reactor: Reactor,
    pub(crate) net: Net,
}

impl World {
    pub(crate) fn new(builder: Builder) -> Self {
        let mut reactor = builder.build().expect("no poller for the test's reactor");
        let net = Net::default();
        reactor.net = Some(net.clone());
        reactor.clock.stop();
        Self { reactor, net }
    }

    /// Turns until nothing is left to do at this time.
    pub(crate) fn settle(&mut self) {
        for _ in 0..MOST_TURNS {
            if !self.announce() && !self.has_work() {
                return;
            }
            self.turn();
        }
        panic!(
            "the reactor does not come to rest within {MOST_TURNS} turns: a handler that always wants to write, or a \
             timer that arms itself without delay?"
        );
    }

    /// Lets time pass, from one timer to the next, so that each runs at its own time.
    pub(crate) fn advance(&mut self, time: Duration) {
        self.settle();
        let until = self.reactor.now() + time;
        while let Some(deadline) = self.reactor.timers.next_deadline()
            && deadline <= until
        {
            self.reactor.clock.set(deadline);
            self.settle();
        }
        self.reactor.clock.set(until);
    }

    fn turn(&mut self) {
        let turned = self.reactor.turn(Some(Duration::ZERO));
        turned.expect("the poller of the test's reactor failed");
    }

    fn has_work(&self) -> bool {
        let registry = &*self.reactor;
        !registry.ready.is_empty()
            || !registry.touched.is_empty()
            || !registry.jobs.is_empty()
            || registry.handle.has_posted()
            || registry
                .timers
                .next_deadline()
                .is_some_and(|deadline| deadline <= registry.now())
    }

    /// Tells the channels what changed, as the poller would. False if nothing did.
    fn announce(&mut self) -> bool {
        let lines = self.net.0.borrow();
        let listeners = lines.listeners.iter().map(|it| it.lock().take_event());
        let pipes = lines.pipes.iter().map(|it| it.lock().take_event());
        let mut any = false;
        for (id, bits) in listeners.chain(pipes).flatten() {
            if let Some(slot) = find(&mut self.reactor.slots, id) {
                slot.readiness.absorb(bits);
                self.reactor.enqueue(id);
                any = true;
            }
        }
        any
    }
}
