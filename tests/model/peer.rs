//! The other end of each connection: a plain non-blocking socket, outside the reactor.

use std::{
    io::{ErrorKind, Read, Write},
    net::Shutdown,
    time::Duration,
};

use socket2::Socket;
use util::toy::{Far, Toy};

use crate::expectation::{Direction, Model, bytes};

/// Fewer bytes than this on their way have arrived before a reset does.
const SURELY_ARRIVED: usize = 8_000;

#[derive(Debug)]
pub struct Peer {
    pub socket: Option<Socket>,
    tcp: bool,
    pub sent: usize,
    pub received: usize,
    pub shut: bool,
    pub saw_eof: bool,
    pub reset: bool,
    /// Nobody takes what it sends any more.
    mute: bool,
    /// It found the connection broken.
    pub dead: bool,
    /// The other side of the channel's filter, and what it has sealed that is not sent.
    pub far: Option<Far>,
    /// Bytes that come before those of the filter.
    clear: usize,
    wire: Vec<u8>,
    /// To shut down as soon as the filter's end is sent.
    pub ends: bool,
    /// The filter has sealed its end.
    ended: bool,
}

impl Peer {
    pub fn new(socket: impl Into<Socket>, tcp: bool) -> Self {
        let socket = socket.into();
        socket.set_nonblocking(true).unwrap();
        if tcp {
            // Or what it sent may still be here when it resets.
            socket.set_tcp_nodelay(true).unwrap();
        }
        Self {
            socket: Some(socket),
            tcp,
            sent: 0,
            received: 0,
            shut: false,
            saw_eof: false,
            reset: false,
            mute: false,
            dead: false,
            far: None,
            clear: 0,
            wire: Vec::new(),
            ends: false,
            ended: false,
        }
    }

    /// The same, if the channel has a filter.
    pub fn behind(mut self, filter: Option<usize>) -> Self {
        self.far = filter.map(|trips| Far::new(Toy::client().round_trips(trips)));
        self
    }

    /// Whether it may be put behind a filter now.
    pub fn can_upgrade(&self) -> bool {
        self.far.is_none() && self.socket.is_some() && !(self.ends || self.mute || self.dead)
    }

    /// The far end of a filter, behind `clear` bytes without it.
    pub fn upgrade(&mut self, trips: usize, clear: usize) {
        self.far = Some(Far::new(Toy::client().round_trips(trips)));
        self.clear = clear;
    }

    fn is_open(&self) -> bool {
        self.far.as_ref().is_none_or(Far::is_open)
    }

    /// Sends what is sealed, as far as the socket takes it. False if nobody takes it any more.
    fn pump(&mut self) -> bool {
        let (Some(far), Some(socket)) = (&mut self.far, &self.socket) else {
            return true;
        };
        self.wire.extend(far.wire());
        while !self.wire.is_empty() {
            match (&*socket).write(&self.wire) {
                Ok(n) => drop(self.wire.drain(..n)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(_) => {
                    self.wire.clear();
                    self.mute = true;
                    return false;
                }
            }
        }
        true
    }

    /// Ends the filter, then the stream, as far as that is possible.
    fn end(&mut self) {
        let over = self.saw_eof || self.mute;
        if !self.ends || self.shut || !(self.is_open() || over) {
            return;
        }
        if let Some(far) = self.far.as_mut().filter(|far| far.is_open())
            && !self.ended
        {
            self.ended = true;
            far.end();
        }
        self.pump();
        if self.wire.is_empty()
            && let Some(socket) = &self.socket
        {
            self.shut = true;
            let _ = socket.shutdown(Shutdown::Write);
        }
    }
}

impl Model {
    pub fn peer_sends(&mut self, link: usize, n: usize) {
        let Some(peer) = self.peer(link) else { return };
        if peer.far.is_some() {
            return self.peer_says(link, n);
        }
        let Some(socket) = peer.socket.as_ref().filter(|_| !peer.shut && !peer.mute) else {
            return;
        };
        match (&*socket).write(&bytes(link, Direction::In, peer.sent, n)) {
            Ok(n) => peer.sent += n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            // What came before can still be read.
            Err(_) => {
                peer.mute = true;
                self.peer_is_refused(link);
            }
        }
    }

    fn peer_says(&mut self, link: usize, n: usize) {
        let Some(peer) = self.peer(link) else { return };
        peer.pump();
        let says = peer.socket.is_some() && !peer.ends && !peer.mute && peer.wire.is_empty();
        let from = peer.sent;
        let Some(far) = peer.far.as_mut().filter(|far| says && far.is_open()) else {
            return;
        };
        far.say(bytes(link, Direction::In, from, n));
        peer.sent += n;
        if !peer.pump() {
            self.peer_is_refused(link);
        }
    }

    /// Reads up to `n` bytes; true if there was something to read.
    pub fn peer_reads(&mut self, link: usize, n: usize) -> bool {
        let Some(peer) = self.peer(link) else {
            return false;
        };
        let Some(socket) = peer.socket.as_ref().filter(|_| !peer.saw_eof && !peer.dead) else {
            return false;
        };
        let mut buf = vec![0; n];
        match (&*socket).read(&mut buf) {
            Ok(0) => {
                peer.saw_eof = true;
                self.peer_ends(link, false);
                false
            }
            Ok(n) => {
                let Some(far) = &mut peer.far else {
                    self.peer_read(link, &buf[..n]);
                    return true;
                };
                let (clear, sealed) = buf[..n].split_at(n.min(peer.clear));
                peer.clear -= clear.len();
                if !sealed.is_empty() {
                    far.take(sealed);
                }
                let plain = [clear, &far.plain()].concat();
                let failed = far.failed().map(str::to_owned);
                peer.pump();
                if let Some(why) = failed {
                    self.fault(format!("#{link}: at the peer: {why}"));
                }
                self.peer_read(link, &plain);
                true
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            Err(_) => {
                self.peer_ends(link, true);
                if let Some(peer) = self.peer(link) {
                    peer.dead = true;
                }
                false
            }
        }
    }

    pub fn peer_shuts(&mut self, link: usize) {
        if let Some(peer) = self.peer(link)
            && peer.socket.is_some()
        {
            peer.ends = true;
            peer.end();
        }
    }

    pub fn peer_closes(&mut self, link: usize, reset: bool) {
        let Some(l) = self.links.get_mut(link) else {
            return;
        };
        let delivered = l.delivered;
        let sends = !l.shut && !l.closing;
        let shaking = (!l.greeted || l.shaking) && !l.closed;
        let Some(peer) = &mut l.peer else { return };
        if peer.far.is_some() && peer.socket.is_some() {
            // A handshake that fails is the subject of others, and so is a stream that is cut.
            if shaking {
                return;
            }
            if !reset {
                peer.ends = true;
                peer.end();
                if !peer.shut {
                    return;
                }
            }
        }
        let Some(socket) = peer.socket.take() else {
            return;
        };
        l.exact &= peer.wire.is_empty();
        if reset && peer.tcp {
            socket.set_linger(Some(Duration::ZERO)).unwrap();
            // Once both ends have finished there is nothing left to reset.
            peer.reset = sends || !peer.shut;
        }
        l.whole = false;
        l.exact &= peer.sent.saturating_sub(delivered) < SURELY_ARRIVED;
    }

    /// Second addresses accept who came to them.
    pub fn second_tries(&mut self) {
        for link in &mut self.links {
            if let Some(listener) = &link.waiting
                && let Ok((theirs, _)) = listener.accept()
            {
                link.peer = Some(Peer::new(theirs, true).behind(link.spec.filter));
                link.waiting = None;
            }
        }
    }

    /// All peers, and detached sockets, read what there is.
    pub fn everybody_reads(&mut self) {
        for link in 0..self.links.len() {
            if let Some(peer) = self.peer(link) {
                peer.pump();
                peer.end();
            }
            while self.peer_reads(link, 65_536) {}
            while self.detached_reads(link) {}
        }
    }

    fn detached_reads(&mut self, link: usize) -> bool {
        let l = &mut self.links[link];
        let Some(socket) = l.detached.as_ref().filter(|_| !l.closing && !l.is_deaf()) else {
            return false;
        };
        let mut buf = vec![0; 65_536];
        match (&*socket).read(&mut buf) {
            Ok(n @ 1..) => {
                self.read(link, &buf[..n]);
                true
            }
            Ok(_) if l.exact && !l.may_be_reset() && l.delivered != l.peer_sent() => {
                let (delivered, sent) = (l.delivered, l.peer_sent());
                self.fault(format!(
                    "#{link}: detached, and only {delivered} of {sent} bytes were left to read"
                ));
                false
            }
            _ => false,
        }
    }

    fn peer(&mut self, link: usize) -> Option<&mut Peer> {
        self.links.get_mut(link)?.peer.as_mut()
    }
}
