//! How many connections each peer of a listener has open.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::address::Address;

/// The connections of a listener, by peer. Shared with each of them, because streams go to reactors of other threads.
#[derive(Clone, Debug, Default)]
struct Open(Arc<Mutex<HashMap<IpAddr, usize>>>);

impl Open {
    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bound of a listener on the connections of each peer.
#[derive(Debug)]
pub(crate) struct Peers {
    pub(crate) limit: usize,
    open: Open,
}

/// The peer has as many connections as it may.
#[derive(Debug)]
pub(crate) struct Full;

impl Peers {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            open: Open::default(),
        }
    }

    /// Counts a connection of this peer until its place is dropped. A Unix peer has no address to count by.
    pub(crate) fn admit(&self, peer: &Address) -> Result<Option<Box<Place>>, Full> {
        let Some(peer) = peer.inet().map(|peer| of_one_peer(peer.ip())) else {
            return Ok(None);
        };
        let mut open = self.open.lock();
        let count = open.get(&peer).copied().unwrap_or(0);
        if count >= self.limit {
            return Err(Full);
        }
        open.insert(peer, count + 1);
        let open = self.open.clone();
        Ok(Some(Box::new(Place { open, peer })))
    }
}

/// A connection that counts. It goes where the socket goes.
#[derive(Debug)]
pub(crate) struct Place {
    open: Open,
    peer: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.open.lock().entry(self.peer) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// An IPv4 address, also one that is mapped into IPv6, as it is. Of an IPv6 address the /64: any host may choose the rest.
fn of_one_peer(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(peer) => Ipv6Addr::from_bits(peer.to_bits() & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ip: &str) -> Address {
        (ip.parse::<IpAddr>().unwrap(), 7).into()
    }

    #[test]
    fn a_peer_is_an_ipv4_address_or_an_ipv6_network_of_64_bits() {
        let peers = Peers::new(1);
        let _all = [
            peers.admit(&at("192.0.2.1")).unwrap(),
            peers.admit(&at("192.0.2.2")).unwrap(),
            peers.admit(&at("2001:db8::1")).unwrap(),
            peers.admit(&at("2001:db8:0:1::1")).unwrap(),
        ];
        for same in [
            "192.0.2.1",
            "::ffff:192.0.2.1",
            "2001:db8::ffff:0:0:2",
            "2001:db8:0:1::2",
        ] {
            assert!(peers.admit(&at(same)).is_err(), "{same}");
        }
        let unix = peers.admit(&Address::Unnamed);
        assert!(unix.unwrap().is_none());
    }

    #[test]
    fn a_place_that_is_dropped_is_free_and_leaves_nothing_behind() {
        let peers = Peers::new(2);
        let first = peers.admit(&at("192.0.2.1")).unwrap();
        let second = peers.admit(&at("192.0.2.1")).unwrap();
        assert!(peers.admit(&at("192.0.2.1")).is_err());
        // In a thread of its own, as a stream that was handed over.
        std::thread::spawn(move || drop(first)).join().unwrap();
        let third = peers.admit(&at("192.0.2.1")).unwrap();
        drop((second, third));
        assert!(peers.open.lock().is_empty());
    }
}
