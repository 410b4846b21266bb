//! All commands: how many may run, what they say, and how they end.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    fmt::Display,
    io,
    os::{fd::OwnedFd, unix::process::ExitStatusExt},
    process::ExitStatus,
    rc::Rc,
    time::Duration,
};

use asynchat::{Channel, ChannelId, Closed, Dispatcher, Registry, Result, TimerId};
use rustix::process::Signal;
use shared::text::is_unprintable;

use crate::job::Job;

#[derive(Clone, Copy)]
pub(crate) enum Stream {
    Out,
    Err,
}

pub(crate) struct Crew {
    limit: usize,
    grace: Duration,
    jobs: RefCell<BTreeMap<u64, Rc<Job>>>,
    started: Cell<u64>,
    failed: Cell<u64>,
    input: Cell<Option<ChannelId>>,
    sinks: RefCell<Vec<SinkState>>,
    /// No more commands are started.
    ending: Cell<bool>,
    /// Kills what is left.
    grace_timer: Cell<Option<TimerId>>,
    nobody_reads: Cell<bool>,
}

struct SinkState {
    channel: ChannelId,
    is_terminal: bool,
    congested: bool,
}

impl Crew {
    pub(crate) fn new(limit: usize, grace: Duration) -> Self {
        Self {
            limit,
            grace,
            jobs: RefCell::default(),
            started: Cell::new(0),
            failed: Cell::new(0),
            input: Cell::new(None),
            sinks: RefCell::default(),
            ending: Cell::new(false),
            grace_timer: Cell::new(None),
            nobody_reads: Cell::new(false),
        }
    }

    pub(crate) fn reads_from(&self, input: ChannelId) {
        self.input.set(Some(input));
    }

    pub(crate) fn has_room(&self) -> bool {
        !self.ending.get() && self.jobs.borrow().len() < self.limit
    }

    pub(crate) fn start(self: &Rc<Self>, registry: &mut Registry, command: &[u8]) {
        let number = self.started.get() + 1;
        self.started.set(number);
        match Job::start(registry, self, number, command) {
            Ok(job) => {
                self.jobs.borrow_mut().insert(number, job);
            }
            Err(error) => self.fail(registry, number, &error),
        }
    }

    /// A command that cannot be read.
    pub(crate) fn refuse(&self, registry: &mut Registry, why: &dyn Display) {
        let number = self.started.get() + 1;
        self.started.set(number);
        self.fail(registry, number, why);
    }

    fn fail(&self, registry: &mut Registry, number: u64, why: &dyn Display) {
        self.failed.set(self.failed.get() + 1);
        self.show(
            registry,
            Stream::Err,
            number,
            format!("failed: {why}").as_bytes(),
        );
    }

    pub(crate) fn job_ended(&self, registry: &mut Registry, job: &Job) {
        let Some(_job) = self.jobs.borrow_mut().remove(&job.number) else {
            return; // it failed to start
        };
        match job.reap() {
            Ok(status) if status.success() => {}
            Ok(status) => self.fail(registry, job.number, &told(status)),
            Err(error) => self.fail(registry, job.number, &error),
        }
        self.settle(registry);
    }

    pub(crate) fn input_ended(&self, registry: &mut Registry) {
        self.input.set(None);
        self.settle(registry);
    }

    /// Asks for the next command, or ends the output behind the last.
    fn settle(&self, registry: &mut Registry) {
        if let Some(mut input) = self.input.get().and_then(|id| registry.channel(id)) {
            return input.touch();
        }
        if !self.jobs.borrow().is_empty() {
            return;
        }
        if let Some(timer) = self.grace_timer.take() {
            registry.cancel(timer);
        }
        for sink in &*self.sinks.borrow() {
            if let Some(mut channel) = registry.channel(sink.channel) {
                channel.close_when_done();
            }
        }
    }

    /// Starts nothing more, and has what runs end.
    pub(crate) fn end(self: &Rc<Self>, registry: &mut Registry) {
        if self.ending.replace(true) {
            return;
        }
        self.signal_all(Signal::TERM);
        let crew = self.clone();
        let timer = registry.call_later(self.grace, move |_| {
            crew.signal_all(Signal::KILL);
            Ok(())
        });
        self.grace_timer.set(Some(timer));
        let input = self.input.take();
        if let Some(mut input) = input.and_then(|id| registry.channel(id)) {
            input.close();
        }
        self.settle(registry);
    }

    /// Kills what a second signal has left.
    pub(crate) fn kill(&self) {
        let left = self.jobs.take();
        self.failed.set(self.failed.get() + left.len() as u64);
    }

    pub(crate) fn note_unread(&self) {
        self.nobody_reads.set(true);
    }

    fn signal_all(&self, signal: Signal) {
        for job in self.jobs.borrow().values() {
            job.signal(signal);
        }
    }

    /// Whether a stream takes more.
    pub(crate) fn takes(&self, stream: Stream) -> bool {
        let sinks = self.sinks.borrow();
        !sinks
            .get(stream as usize)
            .is_some_and(|sink| sink.congested)
    }

    /// Shows one line of a command.
    pub(crate) fn show(&self, registry: &mut Registry, stream: Stream, number: u64, line: &[u8]) {
        let mut sinks = self.sinks.borrow_mut();
        let Some(sink) = sinks.get_mut(stream as usize) else {
            return;
        };
        let Some(mut channel) = registry.channel(sink.channel) else {
            return; // nobody reads it
        };
        let mut text = format!("{number}: ").into_bytes();
        if sink.is_terminal {
            text.extend_from_slice(printable(line).as_bytes());
        } else {
            text.extend_from_slice(line);
        }
        text.push(b'\n');
        channel.push(text);
        sink.congested = channel.is_congested();
    }

    fn drained(&self, registry: &mut Registry, sink: ChannelId) {
        for state in &mut *self.sinks.borrow_mut() {
            state.congested &= state.channel != sink;
        }
        for job in self.jobs.borrow().values() {
            job.touch(registry);
        }
    }

    pub(crate) fn outcome(&self) -> Result {
        if self.nobody_reads.get() {
            return Err("nobody reads the output".into());
        }
        match (self.failed.get(), self.started.get()) {
            (0, _) => Ok(()),
            (failed, all) => Err(format!("{failed} of {all} commands failed").into()),
        }
    }
}

fn told(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("ended by signal {signal}"),
        (None, None) => status.to_string(),
    }
}

/// Without what a terminal would obey.
fn printable(line: &[u8]) -> String {
    let mut text = String::new();
    for c in String::from_utf8_lossy(line).chars() {
        if c != '\t' && is_unprintable(c) {
            text.extend(c.escape_default());
        } else {
            text.push(c);
        }
    }
    text
}

/// The pipe to a standard stream.
pub(crate) struct Sink {
    crew: Rc<Crew>,
}

impl Sink {
    pub(crate) fn open(
        registry: &mut Registry,
        crew: &Rc<Crew>,
        pipe: OwnedFd,
        is_terminal: bool,
    ) -> io::Result<()> {
        let crew = crew.clone();
        let channel = registry.register(pipe, Self { crew: crew.clone() })?;
        crew.sinks.borrow_mut().push(SinkState {
            channel,
            is_terminal,
            congested: false,
        });
        Ok(())
    }
}

impl Dispatcher for Sink {
    fn writable(&self) -> bool {
        false
    }

    fn handle_drain(&mut self, channel: &mut Channel<'_>) -> Result {
        let id = channel.id();
        self.crew.drained(channel.registry(), id);
        Ok(())
    }

    fn handle_closed(&mut self, registry: &mut Registry, why: Closed) {
        if why.cause == asynchat::Cause::Reset {
            self.crew.note_unread();
            self.crew.end(registry);
        }
        // What waited for this sink waits for nothing.
        self.crew.drained(registry, why.channel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_no_control_characters_but_tabs() {
        assert_eq!(
            printable(b"a\tb\x1b[31m\xe4\r"),
            "a\tb\\u{1b}[31m\u{fffd}\\r"
        );
    }
}
