//! What a connection does when it is ready, per mode.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::sync::LazyLock;

use calloop::PostAction;

use crate::wire::Wire;

const SCRATCH_SIZE: usize = 64 * 1024;
const LONGEST_LINE: usize = 64 * 1024;
const BLOCK_SIZE: usize = 512 * 1024;

static BLOCK: LazyLock<Vec<u8>> =
    LazyLock::new(|| (0..BLOCK_SIZE).map(|j| (j % 251) as u8).collect());

/// Buffers that all connections use in turn.
pub(crate) struct Scratch {
    read: Vec<u8>,
    answers: Vec<u8>,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        Self {
            read: vec![0; SCRATCH_SIZE],
            answers: Vec::new(),
        }
    }
}

/// One connection's part of a mode.
pub(crate) trait Serve: Default + 'static {
    /// Does one read's worth of work; events are level-triggered, so more comes back.
    fn ready(&mut self, wire: &Wire, scratch: &mut Scratch) -> io::Result<PostAction>;
}

#[derive(Default)]
pub(crate) struct Echo;

impl Serve for Echo {
    fn ready(&mut self, wire: &Wire, scratch: &mut Scratch) -> io::Result<PostAction> {
        if !wire.flush()? {
            return Ok(PostAction::Continue);
        }
        match wire.read(&mut scratch.read)? {
            None => {}
            Some(0) => return Ok(PostAction::Remove),
            Some(got) => wire.write_or_hold(&scratch.read[..got])?,
        }
        Ok(PostAction::Continue)
    }
}

#[derive(Default)]
pub(crate) struct Sink;

impl Serve for Sink {
    fn ready(&mut self, wire: &Wire, scratch: &mut Scratch) -> io::Result<PostAction> {
        match wire.read(&mut scratch.read)? {
            Some(0) => Ok(PostAction::Remove),
            _ => Ok(PostAction::Continue),
        }
    }
}

#[derive(Default)]
pub(crate) struct Lines {
    /// The start of a line whose end has not come.
    partial: Vec<u8>,
}

impl Serve for Lines {
    fn ready(&mut self, wire: &Wire, scratch: &mut Scratch) -> io::Result<PostAction> {
        if !wire.flush()? {
            return Ok(PostAction::Continue);
        }
        let Some(got) = wire.read(&mut scratch.read)? else {
            return Ok(PostAction::Continue);
        };
        if got == 0 {
            return Ok(PostAction::Remove);
        }
        let answers = &mut scratch.answers;
        answers.clear();
        each_line(&mut self.partial, &scratch.read[..got], |line| {
            answers.extend_from_slice(line);
            answers.extend_from_slice(b"\r\n");
        })?;
        if !answers.is_empty() {
            wire.write_or_hold(answers)?;
        }
        Ok(PostAction::Continue)
    }
}

/// Gives each line of `partial` and `read` without its CRLF; what is left over becomes `partial`.
fn each_line(partial: &mut Vec<u8>, read: &[u8], mut give: impl FnMut(&[u8])) -> io::Result<()> {
    let mut rest = read;
    if !partial.is_empty() {
        let seen = partial.len();
        let Some(end) = end_across(partial, read) else {
            partial.extend_from_slice(read);
            return match partial.len() > LONGEST_LINE {
                true => Err(ErrorKind::InvalidData.into()),
                false => Ok(()),
            };
        };
        partial.extend_from_slice(&read[..end]);
        give(&partial[..seen + end - 2]);
        *partial = Vec::new();
        rest = &read[end..];
    }
    while let Some(end) = line_end(rest) {
        give(&rest[..end - 2]);
        rest = &rest[end..];
    }
    partial.extend_from_slice(rest);
    Ok(())
}

/// Just behind the first CRLF of `partial` and `read` together, counted in `read`; `partial` holds
/// none.
fn end_across(partial: &[u8], read: &[u8]) -> Option<usize> {
    match partial.last() == Some(&b'\r') && read.first() == Some(&b'\n') {
        true => Some(1),
        false => line_end(read),
    }
}

/// Just behind the first CRLF.
fn line_end(bytes: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'\n', bytes)
        .find(|&at| at > 0 && bytes[at - 1] == b'\r')
        .map(|at| at + 1)
}

#[derive(Default)]
pub(crate) struct Source {
    partial: Vec<u8>,
    wanted: VecDeque<usize>,
    /// Where the present answer stands.
    given: usize,
}

impl Source {
    /// Writes until the socket is full or nothing is wanted; whether nothing is.
    fn give(&mut self, wire: &Wire) -> io::Result<bool> {
        while let Some(&wanted) = self.wanted.front() {
            while self.given < wanted {
                let at = self.given % BLOCK_SIZE;
                let size = (wanted - self.given).min(BLOCK_SIZE - at);
                let sent = wire.write(&BLOCK[at..at + size])?;
                self.given += sent;
                if sent < size {
                    return Ok(false);
                }
            }
            self.wanted.pop_front();
            self.given = 0;
        }
        Ok(true)
    }
}

impl Serve for Source {
    fn ready(&mut self, wire: &Wire, scratch: &mut Scratch) -> io::Result<PostAction> {
        if !self.give(wire)? {
            return Ok(PostAction::Continue);
        }
        let Some(got) = wire.read(&mut scratch.read)? else {
            return Ok(PostAction::Continue);
        };
        if got == 0 {
            return Ok(PostAction::Remove);
        }
        let mut good = true;
        let wanted = &mut self.wanted;
        each_line(&mut self.partial, &scratch.read[..got], |line| {
            let count = line.strip_prefix(b"GIVE ");
            match count.and_then(|count| std::str::from_utf8(count).ok()?.parse().ok()) {
                Some(count) => wanted.push_back(count),
                None => good = false,
            }
        })?;
        if !good {
            return Err(ErrorKind::InvalidData.into());
        }
        self.give(wire)?;
        Ok(PostAction::Continue)
    }
}
