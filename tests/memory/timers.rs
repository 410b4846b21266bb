//! What the timers of a channel keep: nothing, once they have run or were cancelled.

use std::time::Duration;

use asynchat::{Channel, Dispatcher, Reactor, Result};
use util::{heap::live, peer::pair};

struct Idle;
impl Dispatcher for Idle {}

const HOUR: Duration = Duration::from_secs(3600);
const MANY: usize = 1_000;

fn nothing(_: &mut Idle, _: &mut Channel<'_>) -> Result {
    Ok(())
}

/// Arms many timers on a channel, and ends them.
type Round = fn(&mut Reactor, asynchat::ChannelId);

const ROUNDS: [(&str, Round); 3] = [
    ("cancelled", |reactor, id| {
        let mut channel = reactor.channel(id).unwrap();
        let timers: Vec<_> = (0..MANY)
            .map(|_| channel.call_later(HOUR, nothing))
            .collect();
        for timer in timers {
            assert!(reactor.cancel(timer));
        }
    }),
    ("run", |reactor, id| {
        let mut channel = reactor.channel(id).unwrap();
        for _ in 0..MANY {
            channel.call_later(Duration::ZERO, nothing);
        }
        while reactor.stats().timers > 0 {
            reactor.turn(Some(Duration::ZERO)).unwrap();
        }
    }),
    ("replaced", |reactor, id| {
        let mut channel = reactor.channel(id).unwrap();
        for _ in 0..MANY {
            channel.call_every(HOUR, nothing);
        }
        channel.replace(Idle);
        reactor.turn(Some(Duration::ZERO)).unwrap();
    }),
];

#[test]
fn timers_that_are_over_keep_nothing() {
    for (name, round) in ROUNDS {
        let mut reactor = Reactor::new().unwrap();
        let (ours, _theirs) = pair();
        let id = reactor.register(ours, Idle).unwrap();
        reactor.turn(Some(Duration::ZERO)).unwrap();
        // The first ones make room in the reactor's own tables.
        for _ in 0..3 {
            round(&mut reactor, id);
        }
        let before = live();
        for _ in 0..3 {
            round(&mut reactor, id);
        }
        assert_eq!(live(), before, "{name}");
        assert_eq!(reactor.stats().timers, 0, "{name}");
    }
}

#[test]
fn a_channel_takes_its_timers_along() {
    let mut reactor = Reactor::new().unwrap();
    let mut round = || {
        let (ours, theirs) = pair();
        let id = reactor.register(ours, Idle).unwrap();
        let mut channel = reactor.channel(id).unwrap();
        for _ in 0..MANY {
            channel.call_later(HOUR, nothing);
        }
        channel.close();
        drop(theirs);
        reactor.turn(Some(Duration::ZERO)).unwrap();
    };
    (0..3).for_each(|_| round());
    let before = live();
    (0..3).for_each(|_| round());
    assert_eq!(live(), before);
}
