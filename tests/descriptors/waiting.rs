//! Peers that leave while they are not read (R2, R3): all are known at once, and none leaves a descriptor behind.

use std::{cell::Cell, io::Write, rc::Rc, time::Duration};

use asynchat::{Channel, Dispatcher, Exceptional, Result};
use util::{
    peer::{pair, tcp_pair},
    process::open_descriptors,
    reactor, settle,
};

use crate::{alone, load::most_descriptors};

const CLIENTS: usize = 1000;

/// A server of jobs: each client waits for one, and is not read meanwhile.
#[test]
fn a_thousand_clients_that_wait_and_leave_are_known_at_once() {
    struct Client {
        left: Rc<Cell<usize>>,
        waits: bool,
    }
    impl Dispatcher for Client {
        fn readable(&self) -> bool {
            !self.waits
        }
        fn writable(&self) -> bool {
            false
        }
        fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
            self.waits = channel.recv(&mut [0; 64])? > 0;
            Ok(())
        }
        fn handle_expt(&mut self, channel: &mut Channel<'_>, what: Exceptional) -> Result {
            if let Exceptional::ReadClosed = what {
                self.left.set(self.left.get() + 1);
                channel.close();
            }
            Ok(())
        }
    }
    let _alone = alone();
    most_descriptors();
    let mut reactor = reactor();
    let left = Rc::new(Cell::new(0));
    let mut waiting = Vec::new();
    let before = open_descriptors();
    for n in 0..CLIENTS / 2 {
        let client = || Client {
            left: left.clone(),
            waits: false,
        };
        let (ours, mut theirs) = pair();
        theirs.write_all(b"reserve\r\n").unwrap();
        reactor.register(ours, client()).unwrap();
        waiting.push(Box::new(theirs) as Box<dyn Write>);
        let (ours, mut theirs) = tcp_pair();
        theirs.write_all(b"reserve\r\n").unwrap();
        // Some have sent another command.
        if n % 2 == 0 {
            theirs.write_all(b"quit\r\n").unwrap();
        }
        reactor.register(ours, client()).unwrap();
        waiting.push(Box::new(theirs));
    }
    settle(&mut reactor);
    assert_eq!(reactor.stats().channels, CLIENTS);
    drop(waiting);
    let (mut events, mut turns) = (0, 0);
    while left.get() < CLIENTS {
        let turn = reactor.turn(Some(Duration::from_secs(2))).unwrap();
        assert!(turn.events > 0 || turn.callbacks > 0, "nothing more comes");
        events += turn.events;
        turns += 1;
    }
    assert!(turns <= 3, "{turns} turns, {events} events");
    assert_eq!(reactor.stats().channels, 0);
    assert_eq!(open_descriptors(), before);
}
