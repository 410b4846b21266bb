//! The scripts that run, and the requests that wait until theirs may.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    io,
    process::Stdio,
    rc::Rc,
    time::{Duration, Instant},
};

use asynchat::Registry;
use shared::http::service::{self, Ticket};

use crate::{
    handler::{CgiHandler, Order},
    limits::{ERROR_RATE, Limits},
    script::{
        Script,
        launch::{Launcher, NotStarted},
    },
};

pub(crate) struct Pool {
    pub(crate) limits: Limits,
    launcher: Launcher,
    pub(crate) complaints: Complaints,
    running: Cell<usize>,
    /// The first waits longest.
    waiting: RefCell<VecDeque<Ticket>>,
}

/// Whether a script may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    Now,
    Later,
    Never,
}

impl Pool {
    pub(crate) fn new(limits: Limits, launcher: Launcher) -> Self {
        Self {
            limits,
            launcher,
            complaints: Complaints::default(),
            running: Cell::new(0),
            waiting: RefCell::default(),
        }
    }

    pub(crate) fn room(&self) -> Room {
        if self.running.get() < usize::from(self.limits.scripts) {
            Room::Now
        } else if self.waiting.borrow().len() < self.limits.waiting {
            Room::Later
        } else {
            Room::Never
        }
    }

    pub(crate) fn wait(&self, ticket: Ticket) {
        self.waiting.borrow_mut().push_back(ticket);
    }

    pub(crate) fn leave(&self, ticket: Ticket) {
        self.waiting.borrow_mut().retain(|other| *other != ticket);
    }

    /// Starts a script, for which there is room.
    pub(crate) fn start(
        self: &Rc<Self>,
        registry: &mut Registry,
        ticket: Ticket,
        order: &Order,
        input: Stdio,
    ) -> Result<Rc<Script>, NotStarted> {
        let child = self
            .launcher
            .launch(&order.place, &order.variables, input)?;
        self.running.set(self.running.get() + 1);
        let name = shared::text::printable(&String::from_utf8_lossy(&order.place.name));
        let watched = Script::watch(registry, self, name, ticket, child);
        watched.map_err(|error: io::Error| NotStarted {
            status: 503,
            why: format!("it cannot be watched: {error}"),
        })
    }

    pub(crate) fn note_ended(&self) {
        self.running.set(self.running.get() - 1);
    }

    /// A script has ended: others may begin.
    pub(crate) fn freed(&self, registry: &mut Registry) {
        self.note_ended();
        while self.room() == Room::Now {
            let next = self.waiting.borrow_mut().pop_front();
            let Some(ticket) = next else { break };
            service::with(registry, ticket, CgiHandler::begin);
        }
    }
}

/// How many lines of all scripts' standard errors are logged.
#[derive(Default)]
pub(crate) struct Complaints {
    second: Cell<Option<Instant>>,
    lines: Cell<u32>,
}

impl Complaints {
    /// Whether one more line may be logged.
    pub(crate) fn allow(&self) -> bool {
        let now = Instant::now();
        let is_new = self
            .second
            .get()
            .is_none_or(|since| now - since >= Duration::from_secs(1));
        if is_new {
            let dropped = self.lines.get().saturating_sub(ERROR_RATE);
            if dropped > 0 {
                log::warn!(
                    "{dropped} lines of scripts' standard errors are not logged: more than {ERROR_RATE} a second"
                );
            }
            self.second.set(Some(now));
            self.lines.set(0);
        }
        self.lines.set(self.lines.get() + 1);
        self.lines.get() <= ERROR_RATE
    }
}
