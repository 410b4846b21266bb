//! The other end of each connection: a plain non-blocking socket, outside the reactor.

use std::{
    io::{ErrorKind, Read, Write},
    net::Shutdown,
    time::Duration,
};

use socket2::Socket;

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
        }
    }
}

impl Model {
    pub fn peer_sends(&mut self, link: usize, n: usize) {
        let Some(peer) = self.peer(link) else { return };
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
                self.peer_read(link, &buf[..n]);
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
            && let Some(socket) = &peer.socket
            && !peer.shut
        {
            peer.shut = true;
            let _ = socket.shutdown(Shutdown::Write);
        }
    }

    pub fn peer_closes(&mut self, link: usize, reset: bool) {
        let Some(l) = self.links.get_mut(link) else {
            return;
        };
        let delivered = l.delivered;
        let sends = !l.shut && !l.closing;
        let Some(peer) = &mut l.peer else { return };
        let Some(socket) = peer.socket.take() else {
            return;
        };
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
                link.peer = Some(Peer::new(theirs, true));
                link.waiting = None;
            }
        }
    }

    /// All peers, and detached sockets, read what there is.
    pub fn everybody_reads(&mut self) {
        for link in 0..self.links.len() {
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
