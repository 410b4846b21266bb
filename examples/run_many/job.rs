//! One command: its process, and the channels that end with it.

use std::{
    cell::{Cell, RefCell},
    ffi::OsStr,
    io,
    os::{
        fd::OwnedFd,
        unix::{ffi::OsStrExt, process::CommandExt},
    },
    process::{Child, Command, ExitStatus, Stdio},
    rc::Rc,
};

use asynchat::{
    AsyncChat, Channel, ChannelId, ChatChannel, ChatDispatcher, Closed, Dispatcher, Registry,
    Result,
};
use rustix::process::{Pid, Signal, kill_process_group};

use shared::exit;

use crate::crew::{Crew, Stream};

/// Bytes of a line of output that are kept; a longer one is shown in parts.
const LINE: usize = 8 * 1024;

pub(crate) struct Job {
    pub(crate) number: u64,
    child: RefCell<Child>,
    /// Channels that have not ended: both pipes and the exit. Not reaped before, so that its number, and that of its
    /// process group, are not another's.
    channels: Cell<u8>,
    relays: RefCell<Vec<ChannelId>>,
    reaped: Cell<bool>,
}

impl Job {
    pub(crate) fn start(
        registry: &mut Registry,
        crew: &Rc<Crew>,
        number: u64,
        command: &[u8],
    ) -> io::Result<Rc<Self>> {
        let mut child = Command::new("sh")
            .arg("-c")
            .arg(OsStr::from_bytes(command))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Of its own, to be ended with all that it starts.
            .process_group(0)
            .spawn()?;
        let pipes = [
            (child.stdout.take().map(OwnedFd::from), Stream::Out),
            (child.stderr.take().map(OwnedFd::from), Stream::Err),
        ];
        let job = Rc::new(Self {
            number,
            child: RefCell::new(child),
            channels: Cell::new(0),
            relays: RefCell::default(),
            reaped: Cell::new(false),
        });
        let registered = job.register(registry, crew, pipes);
        if registered.is_err() {
            job.signal(Signal::KILL);
        }
        registered.map(|()| job)
    }

    fn register(
        self: &Rc<Self>,
        registry: &mut Registry,
        crew: &Rc<Crew>,
        pipes: [(Option<OwnedFd>, Stream); 2],
    ) -> io::Result<()> {
        let exit = exit::watch(&self.child.borrow())?;
        registry.register(exit, Exit(Part::new(crew, self)))?;
        for (pipe, stream) in pipes {
            let Some(pipe) = pipe else { continue };
            let relay = Relay {
                part: Part::new(crew, self),
                stream,
                line: Vec::new(),
            };
            let id = registry.register(pipe, ChatDispatcher::new(relay, "\n"))?;
            self.relays.borrow_mut().push(id);
        }
        Ok(())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        if !self.reaped.get()
            && let Err(error) = kill_process_group(Pid::from_child(&self.child.borrow()), signal)
        {
            log::debug!("command {}: {signal:?}: {error}", self.number);
        }
    }

    /// Has its output go on, or stop.
    pub(crate) fn touch(&self, registry: &mut Registry) {
        for &relay in &*self.relays.borrow() {
            if let Some(mut channel) = registry.channel(relay) {
                channel.touch();
            }
        }
    }

    /// The exit was seen, so that this does not wait.
    pub(crate) fn reap(&self) -> io::Result<ExitStatus> {
        let status = self.child.borrow_mut().wait();
        self.reaped.set(true);
        status
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if !self.reaped.get() {
            self.signal(Signal::KILL);
            // Brief, for a process that is killed.
            let _ = self.reap();
        }
    }
}

/// One channel of a job.
struct Part {
    crew: Rc<Crew>,
    job: Rc<Job>,
}

impl Part {
    fn new(crew: &Rc<Crew>, job: &Rc<Job>) -> Self {
        job.channels.set(job.channels.get() + 1);
        let (crew, job) = (crew.clone(), job.clone());
        Self { crew, job }
    }

    fn ended(&self, registry: &mut Registry) {
        let left = self.job.channels.get() - 1;
        self.job.channels.set(left);
        if left == 0 {
            self.crew.job_ended(registry, &self.job);
        }
    }
}

/// Readable when the process has exited.
struct Exit(Part);

impl Dispatcher for Exit {
    fn writable(&self) -> bool {
        false
    }

    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        channel.close();
        Ok(())
    }

    fn handle_closed(&mut self, registry: &mut Registry, _: Closed) {
        self.0.ended(registry);
    }
}

/// Passes lines on.
struct Relay {
    part: Part,
    stream: Stream,
    line: Vec<u8>,
}

impl Relay {
    fn pass_on(&mut self, registry: &mut Registry) {
        let Part { crew, job } = &self.part;
        crew.show(registry, self.stream, job.number, &self.line);
        self.line.clear();
    }
}

impl AsyncChat for Relay {
    fn readable(&self) -> bool {
        self.part.crew.takes(self.stream)
    }

    fn collect_incoming_data(&mut self, chat: &mut ChatChannel<'_>, mut data: &[u8]) -> Result {
        while self.line.len() + data.len() > LINE {
            let (now, later) = data.split_at(LINE - self.line.len());
            self.line.extend_from_slice(now);
            self.pass_on(chat.registry());
            data = later;
        }
        self.line.extend_from_slice(data);
        Ok(())
    }

    fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        self.pass_on(chat.registry());
        Ok(())
    }

    fn handle_closed(&mut self, registry: &mut Registry, _: Closed) {
        if !self.line.is_empty() {
            self.pass_on(registry);
        }
        self.part.ended(registry);
    }
}
