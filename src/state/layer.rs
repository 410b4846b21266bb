//! A filter at work: what it has sealed for the socket, and what it has failed with.

use std::{
    any::Any,
    fmt,
    io::{self, IoSlice},
    mem,
    panic::AssertUnwindSafe,
};

use crate::{
    error::{BoxError, Panicked, guard},
    filter::{Filter, FilterPhase},
};

/// The most plaintext that a filter is handed at a time, so that a long queue is sealed as it leaves.
const SEALED_AT_A_TIME: usize = 64 * 1024;
/// With this much sealed and unsent no more is sealed.
const WIRE_FULL: usize = 64 * 1024;
/// With this much unsent nothing more is fed: a peer that only asks, and never reads the answers, has no more of them
/// kept. Far above what is sealed at a time, so that two ends that both send never wait for each other.
const WIRE_FLOODED: usize = 1024 * 1024;
/// The most slices handed to a filter.
const SLICES: usize = 64;

/// All of a filter that a socket takes along to another channel. Pure: it makes no system call.
pub(crate) struct Layer {
    /// Asserted, so that a socket can be caught in a panic as if it had none: a filter that panicked is not called again.
    filter: AssertUnwindSafe<Box<dyn Filter>>,
    phase: FilterPhase,
    /// Sealed bytes; those before `sent` have left.
    wire: Vec<u8>,
    sent: usize,
    /// Sealed bytes that have left, in all.
    sent_in_all: u64,
    /// Plaintext in `wire` that has not left; more than that while a part of a record has.
    sealed: usize,
    /// Whether the filter was told that no plaintext follows, or cannot be told any more.
    ended: bool,
    /// The end of the stream is an end of file also without the filter's end.
    pub(crate) tolerant: bool,
    /// Counts the calls with input.
    fed: u64,
    /// What the filter failed with, until it is reported.
    failure: Option<BoxError>,
    /// It failed, and is not called again.
    broken: bool,
    /// That is known. Not yet while a call of it runs, which may panic.
    given_up: bool,
}

impl Layer {
    pub(crate) fn new(filter: Box<dyn Filter>) -> Self {
        Self {
            filter: AssertUnwindSafe(filter),
            phase: FilterPhase::Handshaking,
            wire: Vec::new(),
            sent: 0,
            sent_in_all: 0,
            sealed: 0,
            ended: false,
            tolerant: false,
            fed: 0,
            failure: None,
            broken: false,
            given_up: false,
        }
    }

    pub(crate) fn filter(&self) -> &dyn Any {
        &**self.filter
    }

    pub(crate) fn phase(&self) -> FilterPhase {
        self.phase
    }

    pub(crate) fn fed(&self) -> u64 {
        self.fed
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failure.is_some() || (self.broken && !self.given_up)
    }

    pub(crate) fn take_failure(&mut self) -> Option<BoxError> {
        // A panic has left the loop, and the call of the filter with it.
        let panicked = self.broken && !self.given_up;
        self.given_up |= panicked;
        let failure = self.failure.take();
        failure.or_else(|| panicked.then(|| "the filter panicked".into()))
    }

    /// Whether nothing can be sealed or opened any more.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Nothing more is asked of the filter.
    pub(crate) fn give_up(&mut self) {
        self.broken = true;
        self.given_up = true;
        self.ended = true;
    }

    /// Feeds bytes from the socket. Plaintext goes to `plain`; a failure is kept.
    #[inline]
    pub(crate) fn feed(&mut self, input: &[u8], plain: &mut Vec<u8>, propagate: bool) {
        if self.broken {
            return;
        }
        self.fed += 1;
        // A peer that always leaves something unsent must not keep what it has taken.
        if self.sent >= WIRE_FULL && 2 * self.sent >= self.wire.len() {
            self.wire.drain(..self.sent);
            self.sent = 0;
        }
        let fed = self.ask(propagate, |filter, wire| {
            let outcome = filter.feed(input, plain, wire);
            (outcome, filter.phase())
        });
        match fed {
            Ok((outcome, phase)) => {
                // Also if it failed: the handshake may have been done before.
                self.phase = phase;
                if let Err(error) = outcome {
                    self.fail(error);
                }
            }
            Err(panic) => self.fail(panic.into()),
        }
    }

    /// Calls the filter. After a panic it is not called again, also if the panic leaves the loop.
    fn ask<R>(
        &mut self,
        propagate: bool,
        call: impl FnOnce(&mut dyn Filter, &mut Vec<u8>) -> R,
    ) -> Result<R, Panicked> {
        self.broken = true;
        let before = self.wire.len();
        let (filter, wire) = (&mut **self.filter, &mut self.wire);
        let result = guard(propagate, || call(filter, wire)).map_err(Panicked::new)?;
        self.broken = false;
        if self.wire.len() < before {
            self.drop_wire();
            self.fail("the filter took back what it had appended".into());
        }
        Ok(result)
    }

    /// Seals some of `plain`. 0 if it failed; the failure is kept.
    pub(crate) fn seal(&mut self, plain: &[IoSlice<'_>], propagate: bool) -> usize {
        let len = plain.iter().map(|slice| slice.len()).sum();
        if len <= SEALED_AT_A_TIME {
            return self.seal_all(plain, len, propagate);
        }
        let mut few = [IoSlice::new(&[]); SLICES];
        let (few, len) = shortened(plain, &mut few);
        self.seal_all(few, len, propagate)
    }

    #[inline]
    fn seal_all(&mut self, plain: &[IoSlice<'_>], len: usize, propagate: bool) -> usize {
        if self.broken {
            return 0;
        }
        let failure = match self.ask(propagate, |filter, wire| filter.seal(plain, wire)) {
            Ok(Ok(n)) if (1..=len).contains(&n) => {
                self.sealed += n;
                return n;
            }
            Ok(Ok(n)) => format!("the filter sealed {n} bytes of {len}").into(),
            Ok(Err(error)) => error,
            Err(panic) => panic.into(),
        };
        self.fail(failure);
        0
    }

    /// Seals the end, once. What was sealed before has to be all that will be.
    pub(crate) fn end(&mut self, propagate: bool) {
        if mem::replace(&mut self.ended, true) || self.broken {
            return;
        }
        if let Err(panic) = self.ask(propagate, Filter::end) {
            self.fail(panic.into());
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    fn fail(&mut self, error: BoxError) {
        self.give_up();
        self.failure = Some(error);
    }

    pub(crate) fn has_wire(&self) -> bool {
        self.sent < self.wire.len()
    }

    /// Whether it works, and nothing of its own is to be sent.
    pub(crate) fn is_calm(&self) -> bool {
        !self.broken && self.wire.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.unsent() >= WIRE_FULL
    }

    /// Whether reading has to wait for the peer to take what is there for it.
    pub(crate) fn is_flooded(&self) -> bool {
        self.unsent() >= WIRE_FLOODED
    }

    fn unsent(&self) -> usize {
        self.wire.len() - self.sent
    }

    pub(crate) fn sent_in_all(&self) -> u64 {
        self.sent_in_all
    }

    /// [`sent_in_all`](Self::sent_in_all) once all that is sealed now has left.
    pub(crate) fn end_of_wire(&self) -> u64 {
        self.sent_in_all + self.unsent() as u64
    }

    /// Plaintext that is sealed and has not left, or not all of it.
    pub(crate) fn sealed(&self) -> usize {
        self.sealed
    }

    /// Sends what is sealed. `WouldBlock` if not all of it went.
    #[inline]
    pub(crate) fn send(
        &mut self,
        mut write: impl FnMut(&[u8]) -> io::Result<usize>,
    ) -> io::Result<()> {
        while self.has_wire() {
            match write(&self.wire[self.sent..]) {
                Ok(0) => return Err(io::ErrorKind::WouldBlock.into()),
                Ok(n) => {
                    self.sent += n;
                    self.sent_in_all += n as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.sealed = self.sealed.min(self.unsent());
                    return Err(error);
                }
            }
        }
        self.drop_wire();
        Ok(())
    }

    pub(crate) fn drop_wire(&mut self) {
        self.wire.clear();
        self.sent = 0;
        self.sealed = 0;
    }

    /// Needs a buffer to seal into.
    pub(crate) fn wants_buffer(&self) -> bool {
        self.wire.capacity() == 0
    }

    pub(crate) fn lend_buffer(&mut self, buffer: Vec<u8>) {
        self.wire = buffer;
    }

    /// Its buffer, if nothing is in it.
    pub(crate) fn return_buffer(&mut self) -> Option<Vec<u8>> {
        (self.wire.is_empty() && self.wire.capacity() > 0).then(|| mem::take(&mut self.wire))
    }
}

/// As much as is sealed at a time, with the number of bytes.
fn shortened<'a>(
    slices: &'a [IoSlice<'a>],
    few: &'a mut [IoSlice<'a>; SLICES],
) -> (&'a [IoSlice<'a>], usize) {
    let mut left = SEALED_AT_A_TIME;
    let mut used = 0;
    for (place, slice) in few.iter_mut().zip(slices) {
        let len = slice.len().min(left);
        *place = IoSlice::new(&slice[..len]);
        used += 1;
        left -= len;
        if left == 0 {
            break;
        }
    }
    (&few[..used], SEALED_AT_A_TIME - left)
}

impl fmt::Debug for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layer")
            .field("phase", &self.phase)
            .field("wire", &self.unsent())
            .finish_non_exhaustive()
    }
}
