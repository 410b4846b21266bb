//! Coupled connections that end in every way: both descriptors are closed at once, whichever side it was, in whatever
//! state, and the end is told once (R6).

use std::{
    cell::Cell,
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    rc::Rc,
    time::Duration,
};

use asynchat::{ChannelId, CoupleOptions, Dispatcher, Reactor, State};
use util::{
    peer::{refusing, reset, tcp_pair},
    process::open_descriptors,
    reactor, settle, turn_until,
};

use crate::alone;

struct Unserved;
impl Dispatcher for Unserved {}

/// What the pair has come to before its end.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    Fresh,
    Settled,
    /// Neither peer reads, both queues are above the mark, and neither side is read.
    Stalled,
    /// The side that will end the pair has sent its end of file.
    Ended,
    /// The other side has.
    OtherEnded,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Reset,
    /// Both peers go.
    Close,
    /// By the program.
    OwnClose,
    CloseAll,
    /// The reactor is dropped: nobody is told.
    Drop,
}

struct Couple {
    reactor: Reactor,
    ids: [ChannelId; 2],
    peers: [TcpStream; 2],
    told: Rc<Cell<u32>>,
}

fn couple() -> Couple {
    let mut reactor = reactor();
    let (a, client) = tcp_pair();
    let (b, server) = tcp_pair();
    let ids = [a, b].map(|ours| reactor.register(ours, Unserved).unwrap());
    let told = Rc::new(Cell::new(0));
    let count = told.clone();
    let options = CoupleOptions::new().on_end(move |_, _| count.set(count.get() + 1));
    reactor.couple(ids[0], ids[1], options).unwrap();
    Couple {
        reactor,
        ids,
        peers: [client, server],
        told,
    }
}

impl Couple {
    fn come_to(&mut self, stage: Stage, side: usize) {
        if stage == Stage::Fresh {
            return;
        }
        settle(&mut self.reactor);
        match stage {
            Stage::Stalled => {
                for peer in &self.peers {
                    peer.set_nonblocking(true).unwrap();
                }
                // Kernel buffers grow while they are filled.
                let mut full = 0;
                while full < 3 {
                    let mut written = false;
                    for mut peer in &self.peers {
                        written |= peer.write(&[0; 65536]).is_ok();
                    }
                    full = if written { 0 } else { full + 1 };
                    self.reactor.turn(Some(Duration::from_millis(5))).unwrap();
                }
            }
            Stage::Ended => self.peers[side].shutdown(Shutdown::Write).unwrap(),
            Stage::OtherEnded => self.peers[1 - side].shutdown(Shutdown::Write).unwrap(),
            Stage::Fresh | Stage::Settled => {}
        }
        settle(&mut self.reactor);
    }
}

#[test]
fn no_descriptor_stays_behind_a_pair_however_it_ends() {
    let _alone = alone();
    for stage in [
        Stage::Fresh,
        Stage::Settled,
        Stage::Stalled,
        Stage::Ended,
        Stage::OtherEnded,
    ] {
        for end in [
            End::Reset,
            End::Close,
            End::OwnClose,
            End::CloseAll,
            End::Drop,
        ] {
            for side in [0, 1] {
                let case = format!("{stage:?} {end:?} {side}");
                let before = open_descriptors();
                let mut couple = couple();
                couple.come_to(stage, side);
                let Couple {
                    mut reactor,
                    ids,
                    peers,
                    told,
                } = couple;
                let mut peers = peers.map(Some);
                match end {
                    End::Reset => reset(peers[side].take().unwrap()),
                    End::Close => peers = [None, None],
                    End::OwnClose => reactor.channel(ids[side]).unwrap().close(),
                    End::CloseAll => reactor.close_all(),
                    End::Drop => {
                        drop(reactor);
                        drop(peers);
                        assert_eq!((open_descriptors(), told.get()), (before, 0), "{case}");
                        continue;
                    }
                }
                if end == End::OwnClose {
                    // The other is closed gracefully, so it waits for its peer.
                    turn_until(&mut reactor, |reactor| {
                        let other = reactor.channel(ids[1 - side]);
                        other.is_none_or(|other| other.state() == State::Closing)
                    });
                    peers = [None, None];
                }
                turn_until(&mut reactor, |_| told.get() == 1);
                assert_eq!(reactor.stats().channels, 0, "{case}");
                if end == End::Reset {
                    let mut other = peers[1 - side].take().unwrap();
                    other.set_nonblocking(false).unwrap();
                    let seen = loop {
                        match other.read(&mut [0; 65536]) {
                            Ok(0) => break None,
                            Ok(_) => {}
                            Err(error) => break Some(error.kind()),
                        }
                    };
                    // What had come to its end was complete.
                    let expected = (stage != Stage::Ended).then_some(ErrorKind::ConnectionReset);
                    assert_eq!(seen, expected, "{case}");
                }
                drop(peers);
                settle(&mut reactor);
                drop(reactor);
                assert_eq!((open_descriptors(), told.get()), (before, 1), "{case}");
            }
        }
    }
}

#[test]
fn no_descriptor_stays_behind_a_connection_that_was_not_made() {
    let _alone = alone();
    for both in [false, true] {
        let before = open_descriptors();
        let mut reactor = reactor();
        let (refusing, address) = refusing();
        let far = reactor.connect(address, Unserved).unwrap();
        let (near, client) = if both {
            (reactor.connect(address, Unserved).unwrap(), None)
        } else {
            let (ours, client) = tcp_pair();
            (reactor.register(ours, Unserved).unwrap(), Some(client))
        };
        let told = Rc::new(Cell::new(0));
        let count = told.clone();
        let options = CoupleOptions::new().on_end(move |_, _| count.set(count.get() + 1));
        reactor.couple(near, far, options).unwrap();
        turn_until(&mut reactor, |reactor| reactor.channel(far).is_none());
        drop(client);
        turn_until(&mut reactor, |reactor| reactor.stats().channels == 0);
        settle(&mut reactor);
        assert_eq!(told.get(), 1, "{both}");
        drop((reactor, refusing));
        assert_eq!(open_descriptors(), before, "{both}");
    }
}
