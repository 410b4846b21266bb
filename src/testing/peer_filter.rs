//! The filter of a peer, the other side of [`Channel::upgrade`](crate::Channel::upgrade).

use std::{io::IoSlice, mem};

use crate::filter::{Filter, FilterPhase};

pub(super) struct PeerFilter {
    filter: Box<dyn Filter>,
    /// Nothing passes any more.
    failed: bool,
    /// What the channel has sent.
    plain: Vec<u8>,
    /// What was fed before the handshake was done.
    waiting: Vec<u8>,
    ends: bool,
    /// What is to reach the channel.
    wire: Vec<u8>,
}

impl PeerFilter {
    pub(super) fn new(filter: impl Filter) -> Self {
        let mut this = Self {
            filter: Box::new(filter),
            failed: false,
            plain: Vec::new(),
            waiting: Vec::new(),
            ends: false,
            wire: Vec::new(),
        };
        this.take(&[]);
        this
    }

    /// Takes what the channel has sent.
    pub(super) fn take(&mut self, wire: &[u8]) {
        if !self.failed {
            let fed = self.filter.feed(wire, &mut self.plain, &mut self.wire);
            self.failed |= fed.is_err();
            self.go_on();
        }
    }

    pub(super) fn send(&mut self, plain: &[u8]) {
        self.waiting.extend(plain);
        self.go_on();
    }

    pub(super) fn end(&mut self) {
        self.ends = true;
        self.go_on();
    }

    pub(super) fn is_handshaking(&self) -> bool {
        !self.failed && self.filter.phase() == FilterPhase::Handshaking
    }

    pub(super) fn wire(&mut self) -> Vec<u8> {
        mem::take(&mut self.wire)
    }

    pub(super) fn plain(&mut self) -> Vec<u8> {
        mem::take(&mut self.plain)
    }

    fn go_on(&mut self) {
        if self.is_handshaking() {
            return;
        }
        let waiting = mem::take(&mut self.waiting);
        let mut rest = &waiting[..];
        while !rest.is_empty() && !self.failed {
            let sealed = self.filter.seal(&[IoSlice::new(rest)], &mut self.wire);
            match sealed {
                Ok(n) => rest = &rest[n.clamp(1, rest.len())..],
                Err(_) => self.failed = true,
            }
        }
        if mem::take(&mut self.ends) && !self.failed {
            self.filter.end(&mut self.wire);
        }
    }
}
