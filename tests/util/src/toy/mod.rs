//! A filter without cryptography, for tests of filters: records, a handshake, an end, alerts, and faults on demand.
//!
//! A record is its type, a number that counts the records of its direction, its length in two bytes, and its content,
//! changed by its number. So a record that is lost, doubled or out of order is an error of the side that reads it.

mod far;

use std::{
    error::Error,
    fmt,
    io::IoSlice,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use asynchat::{Filter, FilterPhase, Result};

pub use far::Far;

use crate::SCRIPTED;

/// Bytes before the content of a record.
pub const HEAD: usize = 4;
/// The most content of a record, as TLS has it.
pub const MOST: usize = 16 * 1024;
/// What one call of `seal` takes at most.
const BITE: usize = 4 * MOST;

/// A flight of the handshake.
pub const HELLO: u8 = b'H';
/// Plaintext.
pub const DATA: u8 = b'D';
/// No plaintext follows.
pub const END: u8 = b'E';
/// The sender gives up; the content says why.
pub const ALERT: u8 = b'A';
/// Asks for a [`PONG`], as a change of keys does.
pub const PING: u8 = b'P';
pub const PONG: u8 = b'Q';

/// A method of the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Feed,
    Seal,
    End,
    Phase,
    Drop,
}

impl Call {
    pub const ALL: [Self; 5] = [Self::Feed, Self::Seal, Self::End, Self::Phase, Self::Drop];
}

/// Every error of a [`Toy`].
#[derive(Debug, PartialEq, Eq)]
pub struct Failed(pub String);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Failed {}

/// What a [`Toy`] has seen.
#[derive(Debug, Default)]
pub struct Seen {
    calls: [usize; 5],
    /// Calls of `feed` with input.
    pub steps: usize,
    /// Content of each record of data that was sealed.
    pub sealed: Vec<usize>,
    /// The longest input of `feed`.
    pub longest: usize,
    panicked: bool,
    /// Promises to the filter that were broken.
    pub broken: Vec<String>,
}

impl Seen {
    pub fn calls(&self, call: Call) -> usize {
        self.calls[call as usize]
    }
}

/// Looks at a [`Toy`] from outside.
#[derive(Clone, Debug, Default)]
pub struct Watch(Arc<Mutex<Seen>>);

impl Watch {
    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn calls(&self, call: Call) -> usize {
        self.seen().calls(call)
    }

    /// Bytes of plaintext that were sealed.
    pub fn sealed(&self) -> usize {
        self.seen().sealed.iter().sum()
    }

    /// Fails if a promise to the filter was broken.
    #[track_caller]
    pub fn check(&self) {
        let broken = self.seen().broken.join(", ");
        assert!(broken.is_empty(), "{broken}");
    }

    /// Like [`check`](Self::check), and the filter is gone.
    #[track_caller]
    pub fn check_gone(&self) {
        self.check();
        assert_eq!(self.calls(Call::Drop), 1, "drops of the filter");
    }
}

/// The filter.
#[derive(Debug)]
pub struct Toy {
    speaks_first: bool,
    round_trips: usize,
    flight: usize,
    bite: usize,
    fails: Option<(Call, usize)>,
    panics: Option<(Call, usize)>,
    watch: Watch,
    phase: FilterPhase,
    /// Flights received.
    heard: usize,
    /// The start of a record.
    begun: Vec<u8>,
    sent: u8,
    received: u8,
    started: bool,
    ended: bool,
    /// Of its two directions, those that failed.
    unfed: bool,
    unsealed: bool,
}

impl Toy {
    /// The side that speaks first.
    pub fn client() -> Self {
        Self {
            speaks_first: true,
            round_trips: 1,
            flight: 3,
            bite: BITE,
            fails: None,
            panics: None,
            watch: Watch::default(),
            phase: FilterPhase::Handshaking,
            heard: 0,
            begun: Vec::new(),
            sent: 0,
            received: 0,
            started: false,
            ended: false,
            unfed: false,
            unsealed: false,
        }
    }

    /// The side that answers.
    pub fn server() -> Self {
        let mut toy = Self::client();
        toy.speaks_first = false;
        toy
    }

    /// Flights that each side sends. 0: the filter is open from the start. Default 1.
    pub fn round_trips(mut self, n: usize) -> Self {
        self.round_trips = n;
        if n == 0 {
            self.phase = FilterPhase::Open;
        }
        self
    }

    /// Bytes of a flight, which need not fit in one record.
    pub fn flight(mut self, bytes: usize) -> Self {
        self.flight = bytes;
        self
    }

    /// The most plaintext that one call of `seal` takes.
    pub fn bite(mut self, bytes: usize) -> Self {
        self.bite = bytes;
        self
    }

    /// The `nth` call of `feed` or `seal` fails, counted from 1. A call of `feed` takes its input before.
    pub fn fails(mut self, call: Call, nth: usize) -> Self {
        self.fails = Some((call, nth));
        self
    }

    /// The `nth` call panics, counted from 1.
    pub fn panics(mut self, call: Call, nth: usize) -> Self {
        crate::silence_scripted_panics();
        self.panics = Some((call, nth));
        self
    }

    /// Whether the handshake is done. Not a call of the filter's.
    pub fn is_open(&self) -> bool {
        self.phase != FilterPhase::Handshaking
    }

    pub fn watch(&self) -> Watch {
        self.watch.clone()
    }

    /// Counts a call, and panics if it shall. True if it is to fail.
    fn begin(&self, call: Call) -> bool {
        let mut seen = self.watch.seen();
        seen.calls[call as usize] += 1;
        let nth = Some((call, seen.calls(call)));
        if seen.panicked && call != Call::Drop {
            seen.broken.push(format!("{call:?} after a panic"));
        }
        let panics = self.panics == nth && !thread::panicking();
        seen.panicked |= panics;
        drop(seen);
        assert!(!panics, "{SCRIPTED}: {call:?} of the filter");
        self.fails == nth
    }

    fn expect(&self, holds: bool, what: &str) {
        if !holds {
            self.watch.seen().broken.push(what.into());
        }
    }

    fn record(&mut self, kind: u8, content: &[u8], wire: &mut Vec<u8>) {
        let len = u16::try_from(content.len()).unwrap().to_be_bytes();
        wire.extend([kind, self.sent, len[0], len[1]]);
        let from = wire.len();
        wire.extend(content);
        mask(&mut wire[from..], self.sent);
        self.sent = self.sent.wrapping_add(1);
    }

    fn flight_to(&mut self, wire: &mut Vec<u8>) {
        let flight = vec![7; self.flight];
        // Its last record is one that is not full.
        let mut pieces = flight.chunks(MOST).peekable();
        while let Some(piece) = pieces.next() {
            self.record(HELLO, piece, wire);
            if pieces.peek().is_none() && piece.len() == MOST {
                self.record(HELLO, &[], wire);
            }
        }
        if flight.is_empty() {
            self.record(HELLO, &[], wire);
        }
    }

    /// Takes one record.
    fn open(
        &mut self,
        kind: u8,
        content: &[u8],
        plain: &mut Vec<u8>,
        wire: &mut Vec<u8>,
    ) -> Result {
        match kind {
            ALERT => {
                self.unsealed = true;
                let why = String::from_utf8_lossy(content);
                Err(Failed(format!("alert: {why}")).into())
            }
            HELLO if self.phase == FilterPhase::Handshaking => {
                if content.len() == MOST {
                    return Ok(());
                }
                self.heard += 1;
                let open = self.heard == self.round_trips;
                if !self.speaks_first || !open {
                    self.flight_to(wire);
                }
                if open {
                    self.phase = FilterPhase::Open;
                }
                Ok(())
            }
            DATA if self.phase == FilterPhase::Open => {
                plain.extend(content);
                Ok(())
            }
            PING if self.phase == FilterPhase::Open => {
                self.record(PONG, content, wire);
                Ok(())
            }
            PONG if self.phase == FilterPhase::Open => Ok(()),
            END if self.phase == FilterPhase::Open => {
                self.phase = FilterPhase::PeerEnded;
                Ok(())
            }
            _ => Err(Failed(format!("unexpected record {:?}", char::from(kind))).into()),
        }
    }

    fn open_all(&mut self, input: &[u8], plain: &mut Vec<u8>, wire: &mut Vec<u8>) -> Result {
        let mut begun = std::mem::take(&mut self.begun);
        begun.extend(input);
        let mut rest = &begun[..];
        while self.phase != FilterPhase::PeerEnded && !rest.is_empty() {
            if !b"HDEAPQ".contains(&rest[0]) {
                return Err(Failed("no record".into()).into());
            }
            let Some((&[kind, number, high, low], after)) = rest.split_first_chunk::<HEAD>() else {
                break;
            };
            let len = usize::from(u16::from_be_bytes([high, low]));
            if len > MOST || number != self.received {
                return Err(Failed(format!("record {number} of {len} bytes")).into());
            }
            let Some((content, after)) = after.split_at_checked(len) else {
                break;
            };
            let mut content = content.to_vec();
            mask(&mut content, number);
            self.received = number.wrapping_add(1);
            rest = after;
            self.open(kind, &content, plain, wire)?;
        }
        if self.phase != FilterPhase::PeerEnded {
            self.begun = rest.to_vec();
        }
        Ok(())
    }
}

/// Changes the content of a record, and changes it back.
fn mask(content: &mut [u8], number: u8) {
    let key = 0x5a ^ number;
    let (words, rest) = content.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ u64::from_ne_bytes([key; 8])).to_ne_bytes();
    }
    for byte in rest {
        *byte ^= key;
    }
}

impl Filter for Toy {
    fn feed(&mut self, input: &[u8], plain: &mut Vec<u8>, wire: &mut Vec<u8>) -> Result {
        let fails = self.begin(Call::Feed);
        self.expect(!self.unfed, "feed after its error");
        self.expect(
            input.is_empty() != self.started,
            "empty input first, and only then",
        );
        let mut seen = self.watch.seen();
        seen.steps += usize::from(!input.is_empty());
        seen.longest = seen.longest.max(input.len());
        drop(seen);
        if !self.started {
            self.started = true;
            if self.speaks_first && self.round_trips > 0 {
                self.flight_to(wire);
            }
        }
        let mut result = self.open_all(input, plain, wire);
        if fails && result.is_ok() {
            result = Err(Failed("feed fails".into()).into());
        }
        if let Err(error) = &result {
            self.unfed = true;
            if !error.to_string().starts_with("alert: ") {
                self.record(ALERT, error.to_string().as_bytes(), wire);
            }
        }
        result
    }

    fn seal(&mut self, plain: &[IoSlice<'_>], wire: &mut Vec<u8>) -> Result<usize> {
        let fails = self.begin(Call::Seal);
        self.expect(
            self.phase != FilterPhase::Handshaking,
            "seal in the handshake",
        );
        self.expect(self.started, "seal before feed");
        self.expect(!self.ended, "seal after end");
        self.expect(!self.unsealed, "seal after an error");
        self.expect(plain.iter().any(|part| !part.is_empty()), "seal of nothing");
        if fails {
            self.unsealed = true;
            return Err(Failed("seal fails".into()).into());
        }
        let mut bite = Vec::new();
        for part in plain {
            bite.extend(&part[..part.len().min(self.bite - bite.len())]);
        }
        for content in bite.chunks(MOST) {
            self.record(DATA, content, wire);
            self.watch.seen().sealed.push(content.len());
        }
        Ok(bite.len())
    }

    fn end(&mut self, wire: &mut Vec<u8>) {
        self.begin(Call::End);
        self.expect(!self.ended, "end twice");
        self.ended = true;
        self.record(END, &[], wire);
    }

    fn phase(&self) -> FilterPhase {
        self.begin(Call::Phase);
        self.phase
    }
}

impl Drop for Toy {
    fn drop(&mut self) {
        self.begin(Call::Drop);
    }
}
