//! One script under way: its process, and the channels that end with it.

pub(crate) mod launch;

mod errors;
mod input;
mod output;
mod watch;

use std::{
    cell::{Cell, RefCell},
    io,
    os::fd::OwnedFd,
    process::Child,
    rc::Rc,
    time::Duration,
};

use asynchat::{Channel, ChannelId, Registry, TimerId};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use shared::{
    exit,
    http::service::{self, Ticket},
};

use crate::{handler::CgiHandler, limits::INPUT_MARKS, pool::Pool};

/// Not reaped before its output and its process have ended, so that its number, and that of its process group, are not
/// another's.
pub(crate) struct Script {
    /// For the log.
    pub(crate) name: String,
    pool: Rc<Pool>,
    child: RefCell<Child>,
    /// The exchange that its output answers; `None` when nobody wants it any more.
    ticket: Cell<Option<Ticket>>,
    input: Cell<Option<ChannelId>>,
    output: Cell<Option<ChannelId>>,
    errors: Cell<Option<ChannelId>>,
    /// Channels that have not ended, of output and exit.
    parts: Cell<u8>,
    /// The client takes no more at present.
    is_held: Cell<bool>,
    /// Ends it if it has not ended by then.
    timer: Cell<Option<TimerId>>,
    /// The signal that it was sent last.
    sent: Cell<Option<Signal>>,
    reaped: Cell<bool>,
}

impl Script {
    /// Makes channels of a child.
    pub(crate) fn watch(
        registry: &mut Registry,
        pool: &Rc<Pool>,
        name: String,
        ticket: Ticket,
        child: Child,
    ) -> io::Result<Rc<Self>> {
        let script = Rc::new(Self {
            name,
            pool: Rc::clone(pool),
            child: RefCell::new(child),
            ticket: Cell::new(Some(ticket)),
            input: Cell::default(),
            output: Cell::default(),
            errors: Cell::default(),
            parts: Cell::new(0),
            is_held: Cell::new(false),
            timer: Cell::default(),
            sent: Cell::default(),
            reaped: Cell::new(false),
        });
        if let Err(error) = script.register(registry) {
            script.ticket.set(None);
            script.signal(Signal::KILL);
            if script.is_over() {
                // No channel will tell of its end.
                pool.note_ended();
            }
            return Err(error);
        }
        script.arm(registry, pool.limits.script_time, |script, registry| {
            script.overrun(registry, "it takes longer than --max-script-time");
        });
        Ok(script)
    }

    fn register(self: &Rc<Self>, registry: &mut Registry) -> io::Result<()> {
        let (exit, pipes) = {
            let mut child = self.child.borrow_mut();
            let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
            (exit::watch(&child)?, pipes)
        };
        registry.register(exit, watch::Exit::new(self))?;
        self.part_begins();
        let (stdin, stdout, stderr) = pipes;
        if let Some(pipe) = stdout {
            let id = registry.register(OwnedFd::from(pipe), output::Output::new(self))?;
            self.part_begins();
            self.output.set(Some(id));
            if let Some(mut channel) = registry.channel(id) {
                channel.set_idle_timeout(Some(self.pool.limits.output_time));
            }
        }
        if let Some(pipe) = stderr {
            let id = registry.register(OwnedFd::from(pipe), errors::Errors::new(self))?;
            self.errors.set(Some(id));
        }
        if let Some(pipe) = stdin {
            let id = registry.register(OwnedFd::from(pipe), input::Input::new(self))?;
            self.input.set(Some(id));
            if let Some(mut channel) = registry.channel(id) {
                channel.set_watermarks(INPUT_MARKS.0, INPUT_MARKS.1);
            }
        }
        Ok(())
    }
}

/// What the handler has it do.
impl Script {
    /// Gives it more of the request's body. True if it has enough for now.
    pub(crate) fn give(&self, registry: &mut Registry, data: &[u8]) -> bool {
        match channel(registry, &self.input) {
            Some(mut channel) => {
                channel.push(data.to_vec());
                channel.is_congested()
            }
            // It has closed its input: the rest is of no use to it.
            None => false,
        }
    }

    pub(crate) fn end_input(&self, registry: &mut Registry) {
        if let Some(mut channel) = channel(registry, &self.input) {
            channel.close_when_done();
        }
    }

    /// Holds its output back, or has it go on.
    pub(crate) fn hold(&self, registry: &mut Registry, held: bool) {
        if self.is_held.replace(held) != held
            && let Some(mut channel) = channel(registry, &self.output)
        {
            channel.touch();
        }
    }

    /// Its answer is complete, or is not needed. It ends itself, or is ended.
    pub(crate) fn dismiss(self: &Rc<Self>, registry: &mut Registry) {
        self.forget(registry);
        if !self.is_over() {
            self.arm(registry, self.pool.limits.output_time, Script::terminate);
        }
    }

    /// Nobody waits for its answer any more: it is ended.
    pub(crate) fn end(self: &Rc<Self>, registry: &mut Registry) {
        self.forget(registry);
        self.terminate(registry);
    }

    fn forget(&self, registry: &mut Registry) {
        self.ticket.set(None);
        for pipe in [&self.input, &self.output] {
            if let Some(mut channel) = channel(registry, pipe) {
                channel.close();
            }
        }
    }
}

/// How it ends.
impl Script {
    /// It takes longer than it may.
    fn overrun(self: &Rc<Self>, registry: &mut Registry, why: &'static str) {
        log::warn!("{}: ended, because {why}", self.name);
        self.pass_on(registry, super::handler::CgiHandler::overrun);
        self.end(registry);
    }

    /// Asks the process and all that it has started to end, and ends them if they do not.
    fn terminate(self: &Rc<Self>, registry: &mut Registry) {
        if self.is_over() || self.sent.get().is_some() {
            return;
        }
        self.signal(Signal::TERM);
        self.arm(registry, self.pool.limits.grace, |script, registry| {
            script.signal(Signal::KILL);
            // A process that has left the group may still hold the output: its end is not waited for.
            script.forget(registry);
        });
    }

    pub(crate) fn signal(&self, signal: Signal) {
        if self.reaped.get() {
            return;
        }
        self.sent.set(Some(signal));
        let leader = Pid::from_child(&self.child.borrow());
        if let Err(error) = kill_process_group(leader, signal) {
            log::debug!("{}: {signal:?}: {error}", self.name);
        }
        // It may have gone to another group.
        if let Err(error) = kill_process(leader, signal) {
            log::debug!("{}: {signal:?}: {error}", self.name);
        }
    }

    fn is_over(&self) -> bool {
        self.parts.get() == 0
    }

    fn arm(
        self: &Rc<Self>,
        registry: &mut Registry,
        after: Duration,
        then: fn(&Rc<Self>, &mut Registry),
    ) {
        self.disarm(registry);
        let script = Rc::clone(self);
        let timer = registry.call_later(after, move |registry| {
            script.timer.set(None);
            then(&script, registry);
            Ok(())
        });
        self.timer.set(Some(timer));
    }

    fn disarm(&self, registry: &mut Registry) {
        if let Some(timer) = self.timer.take() {
            registry.cancel(timer);
        }
    }

    fn part_begins(&self) {
        self.parts.set(self.parts.get() + 1);
    }

    fn part_ends(self: &Rc<Self>, registry: &mut Registry) {
        self.parts.set(self.parts.get() - 1);
        if !self.is_over() {
            return;
        }
        self.disarm(registry);
        self.forget(registry);
        errors::take_rest(registry, &self.errors);
        match self.reap() {
            Ok(status) if status.success() || self.sent.get().is_some() => {
                log::debug!("{}: {status}", self.name);
            }
            Ok(status) => log::warn!("{}: {status}", self.name),
            Err(error) => log::error!("{}: {error}", self.name),
        }
        Pool::freed(&self.pool, registry);
    }

    /// The exit was seen, or brought about: this does not wait.
    fn reap(&self) -> io::Result<std::process::ExitStatus> {
        let status = self.child.borrow_mut().wait();
        self.reaped.set(true);
        status
    }

    /// Lends the handler whose exchange it answers. False if there is none any more.
    fn pass_on(
        &self,
        registry: &mut Registry,
        f: impl FnOnce(&mut CgiHandler, &mut service::Exchange<'_, '_>) -> asynchat::Result,
    ) -> bool {
        self.ticket
            .get()
            .is_some_and(|ticket| service::with(registry, ticket, f))
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        if !self.reaped.get() {
            self.signal(Signal::KILL);
            // Brief, for a process that is killed.
            let _ = self.reap();
        }
    }
}

fn channel<'r>(registry: &'r mut Registry, id: &Cell<Option<ChannelId>>) -> Option<Channel<'r>> {
    registry.channel(id.get()?)
}
