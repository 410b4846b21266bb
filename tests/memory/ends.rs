//! What channels leave behind that end together: no more than those that end one by one.

#[cfg(unix)]
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use asynchat::{ChannelId, Dispatcher, Reactor};
use util::process::with_descriptors;

struct Idle;
impl Dispatcher for Idle {}

#[cfg(unix)]
#[test]
fn a_flood_of_ends_gives_its_memory_back() {
    const CHANNELS: usize = 3_500;
    with_descriptors(4096, || {
        let mut reactor = Reactor::new().unwrap();
        let open = |reactor: &mut Reactor| -> Vec<ChannelId> {
            let mut one = || reactor.register(UnixDatagram::unbound().unwrap(), Idle);
            (0..CHANNELS).map(|_| one().unwrap()).collect()
        };
        for id in open(&mut reactor) {
            reactor.channel(id).unwrap().close();
            reactor.turn(Some(Duration::ZERO)).unwrap();
        }
        let before = util::heap::live();
        open(&mut reactor);
        reactor.turn(Some(Duration::ZERO)).unwrap();
        reactor.close_all();
        reactor.turn(Some(Duration::ZERO)).unwrap();
        assert!(reactor.is_idle());
        let kept = util::heap::live() - before;
        assert!(kept <= 96 * 1024, "{kept} bytes");
    });
}
