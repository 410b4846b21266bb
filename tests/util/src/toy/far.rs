//! The other side of a [`Toy`], in the hands of a test.

use std::{io::IoSlice, mem};

use asynchat::{Filter, FilterPhase};

use super::{PING, Toy};

/// A peer behind a filter of its own. It makes no system call: a test passes the bytes on.
#[derive(Debug)]
pub struct Far {
    toy: Toy,
    plain: Vec<u8>,
    wire: Vec<u8>,
    failed: Option<String>,
}

impl Far {
    /// Begins; a client has said its first word.
    pub fn new(toy: Toy) -> Self {
        let mut far = Self {
            toy,
            plain: Vec::new(),
            wire: Vec::new(),
            failed: None,
        };
        far.take(&[]);
        far
    }

    pub fn client() -> Self {
        Self::new(Toy::client())
    }

    pub fn server() -> Self {
        Self::new(Toy::server())
    }

    /// Takes what the channel has sent.
    pub fn take(&mut self, wire: &[u8]) {
        if self.failed.is_none() {
            let fed = self.toy.feed(wire, &mut self.plain, &mut self.wire);
            self.failed = fed.err().map(|error| error.to_string());
        }
    }

    /// Seals `plain`, a call of `seal` after the other.
    #[track_caller]
    pub fn say(&mut self, plain: impl AsRef<[u8]>) {
        assert!(self.is_open(), "the handshake is not done");
        let mut rest = plain.as_ref();
        while !rest.is_empty() {
            let sealed = self.toy.seal(&[IoSlice::new(rest)], &mut self.wire);
            rest = &rest[sealed.unwrap()..];
        }
    }

    /// Asks for an answer that the filter itself gives.
    pub fn ping(&mut self) {
        self.toy.record(PING, b"!", &mut self.wire);
    }

    pub fn end(&mut self) {
        self.toy.end(&mut self.wire);
    }

    /// What is to be sent to the channel.
    pub fn wire(&mut self) -> Vec<u8> {
        mem::take(&mut self.wire)
    }

    /// Whether there is something to be sent to the channel.
    pub fn has_wire(&self) -> bool {
        !self.wire.is_empty()
    }

    /// The plaintext since the last call.
    pub fn plain(&mut self) -> Vec<u8> {
        mem::take(&mut self.plain)
    }

    pub fn plain_len(&self) -> usize {
        self.plain.len()
    }

    pub fn is_open(&self) -> bool {
        self.toy.is_open()
    }

    /// Whether the channel has said that no plaintext follows.
    pub fn has_end(&self) -> bool {
        self.toy.phase == FilterPhase::PeerEnded
    }

    /// The alert that came, or why nothing more could be read.
    pub fn failed(&self) -> Option<&str> {
        self.failed.as_deref()
    }

    /// Bytes of a record that has not come to its end.
    pub fn begun(&self) -> usize {
        self.toy.begun.len()
    }
}
