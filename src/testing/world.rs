//! A reactor whose connections are in memory and whose clock moves only when a test moves it.

use std::time::Duration;

use super::names::Names;
use crate::{
    builder::Builder, net::memory::Net, reactor::Reactor, state::table::find, time::later,
};

/// More turns than any reaction takes. A handler that never comes to rest is reported, not waited for.
const MOST_TURNS: usize = 10_000;

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
        let names = &mut reactor.look_ups.resolver;
        names.get_or_insert_with(|| Box::new(Names::new()));
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
        let until = later(self.reactor.now(), time);
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
            || !registry.farewells.due.is_empty()
            || !registry.yielding.is_empty()
            || !registry.jobs.is_empty()
            || registry.mailbox.has_posts()
            || registry
                .timers
                .next_deadline()
                .is_some_and(|deadline| deadline <= registry.now())
    }

    /// Reports changes to their channels, as the poller would. False if there are none.
    fn announce(&mut self) -> bool {
        let reactor = &mut self.reactor;
        let mut any = false;
        self.net.take_events(|id, bits| {
            if let Some(slot) = find(&mut reactor.slots, id) {
                slot.readiness.absorb(bits);
                reactor.enqueue(id);
                any = true;
            }
        });
        any
    }
}
