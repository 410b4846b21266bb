//! Between a handler on its thread and the loop: bytes both ways, no more than a bound of either.
//!
//! The handler waits on a condition; the loop never waits: it is woken ([`Pipe::new`]) if the handler has begun, has written,
//! has made room, or has ended, and stops reading or taking while there is no room.

use std::{
    io::{self, BufRead, ErrorKind, Read, Write},
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use asynchat::BoxError;

/// Bytes of either direction that wait.
pub const CAPACITY: usize = 64 * 1024;
/// What is written leaves in blocks of this size.
const BLOCK: usize = 8 * 1024;

/// Both directions. `H` comes before the first byte that is written: the head of an answer.
pub struct Pipe<H> {
    state: Mutex<State<H>>,
    changed: Condvar,
    wake: Box<dyn Fn() + Send + Sync>,
}

struct State<H> {
    input: Vec<u8>,
    input_ended: bool,
    head: Option<H>,
    output: Vec<u8>,
    /// The loop has been woken and has not looked yet.
    is_woken: bool,
    has_begun: bool,
    /// The handler waits for the client.
    waits: bool,
    outcome: Option<Result<(), BoxError>>,
    broken: Option<(ErrorKind, String)>,
}

impl<H: Send> Pipe<H> {
    /// `wake` is called on the handler's thread and has the loop call [`look`](Self::look) soon.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        let state = State {
            input: Vec::new(),
            input_ended: false,
            head: None,
            output: Vec::new(),
            is_woken: false,
            has_begun: false,
            waits: false,
            outcome: None,
            broken: None,
        };
        Arc::new(Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            wake: Box::new(wake),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State<H>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the loop, unless it is awake.
    fn wake(&self, mut state: MutexGuard<'_, State<H>>) {
        let is_needed = !mem::replace(&mut state.is_woken, true);
        drop(state);
        if is_needed {
            (self.wake)();
        }
    }

    fn wait<'s>(&self, mut state: MutexGuard<'s, State<H>>) -> MutexGuard<'s, State<H>> {
        state.waits = true;
        let mut state = self
            .changed
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner);
        state.waits = false;
        state
    }
}

/// What the loop has found.
pub struct Look<H> {
    /// The handler has begun.
    pub has_begun: bool,
    pub head: Option<H>,
    /// What it has written and has to be sent now.
    pub output: Vec<u8>,
    /// It has ended, and there is nothing behind `output`.
    pub outcome: Option<Result<(), BoxError>>,
}

/// # The side of the loop
impl<H: Send> Pipe<H> {
    /// Gives the handler bytes that have come. They are few more than [`CAPACITY`] if [`wants_input`](Self::wants_input) is heeded.
    pub fn give(&self, data: &[u8]) {
        let mut state = self.lock();
        if state.broken.is_none() && state.outcome.is_none() {
            state.input.extend_from_slice(data);
            self.changed.notify_all();
        }
    }

    /// No more will come.
    pub fn give_end(&self) {
        self.lock().input_ended = true;
        self.changed.notify_all();
    }

    /// Whether there is room for input; once there is again, the loop is woken.
    pub fn wants_input(&self) -> bool {
        self.lock().input.len() < CAPACITY
    }

    /// Whether the handler waits for the client to send or to take something.
    pub fn waits(&self) -> bool {
        self.lock().waits
    }

    /// What is new; `takes_output` if there is room for what was written.
    pub fn look(&self, takes_output: bool) -> Look<H> {
        let mut state = self.lock();
        state.is_woken = false;
        let output = match takes_output {
            true => mem::take(&mut state.output),
            false => Vec::new(),
        };
        if !output.is_empty() {
            self.changed.notify_all();
        }
        Look {
            has_begun: state.has_begun,
            head: state.head.take(),
            output,
            outcome: match state.output.is_empty() {
                true => state.outcome.take(),
                false => None,
            },
        }
    }

    /// The client is gone: reading and writing fail from now on.
    pub fn break_off(&self, kind: ErrorKind, why: impl Into<String>) {
        let mut state = self.lock();
        state.broken.get_or_insert_with(|| (kind, why.into()));
        state.input = Vec::new();
        state.output = Vec::new();
        self.changed.notify_all();
    }
}

/// # The side of the handler
impl<H: Send> Pipe<H> {
    /// Has the loop know that the handler begins.
    pub fn begin(&self) {
        let mut state = self.lock();
        state.has_begun = true;
        self.wake(state);
    }

    /// Reading and writing, for the handler's thread.
    pub fn files(self: &Arc<Self>) -> (Rfile<H>, Wfile<H>) {
        let rfile = Rfile {
            pipe: Arc::clone(self),
            buffer: Vec::new(),
            at: 0,
        };
        let wfile = Wfile {
            pipe: Arc::clone(self),
            buffer: Vec::new(),
        };
        (rfile, wfile)
    }

    /// Puts the head before what is written; it leaves with the first of it, in one packet.
    pub fn set_head(&self, head: H) {
        self.lock().head = Some(head);
    }

    /// The handler has ended.
    pub fn end(&self, outcome: Result<(), BoxError>) {
        let mut state = self.lock();
        state.outcome = Some(outcome);
        state.input = Vec::new();
        self.wake(state);
    }

    fn check(state: &State<H>) -> io::Result<()> {
        match &state.broken {
            Some((kind, why)) => Err(io::Error::new(*kind, why.clone())),
            None => Ok(()),
        }
    }
}

/// What the client sends.
pub struct Rfile<H> {
    pipe: Arc<Pipe<H>>,
    buffer: Vec<u8>,
    at: usize,
}

impl<H: Send> BufRead for Rfile<H> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at == self.buffer.len() {
            self.buffer.clear();
            self.at = 0;
            let mut state = self.pipe.lock();
            loop {
                Pipe::check(&state)?;
                if !state.input.is_empty() {
                    mem::swap(&mut state.input, &mut self.buffer);
                    // There is room again.
                    if self.buffer.len() >= CAPACITY {
                        self.pipe.wake(state);
                    }
                    break;
                }
                if state.input_ended {
                    break;
                }
                state = self.pipe.wait(state);
            }
        }
        Ok(&self.buffer[self.at..])
    }

    fn consume(&mut self, amount: usize) {
        self.at = (self.at + amount).min(self.buffer.len());
    }
}

impl<H: Send> Read for Rfile<H> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut rest = self.fill_buf()?;
        let count = rest.read(out)?;
        self.consume(count);
        Ok(count)
    }
}

/// What the client gets. Dropped, it drops what was not flushed.
pub struct Wfile<H> {
    pipe: Arc<Pipe<H>>,
    buffer: Vec<u8>,
}

impl<H: Send> Wfile<H> {
    fn pass_on(&mut self) -> io::Result<()> {
        let mut state = self.pipe.lock();
        let mut rest = &self.buffer[..];
        while !rest.is_empty() {
            Pipe::check(&state)?;
            let room = CAPACITY.saturating_sub(state.output.len());
            if room == 0 {
                state = self.pipe.wait(state);
                continue;
            }
            let (now, later) = rest.split_at(rest.len().min(room));
            state.output.extend_from_slice(now);
            rest = later;
            self.pipe.wake(state);
            state = self.pipe.lock();
        }
        Pipe::check(&state)?;
        match state.head.is_some() {
            // Nothing but that.
            true => self.pipe.wake(state),
            false => drop(state),
        }
        self.buffer.clear();
        Ok(())
    }
}

impl<H: Send> Write for Wfile<H> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if self.buffer.len() >= BLOCK {
            self.pass_on()?;
        }
        let taken = &data[..data.len().min(BLOCK)];
        self.buffer.extend_from_slice(taken);
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pass_on()
    }
}
