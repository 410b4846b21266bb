//! All names: which are being asked for, and what came of each.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    fmt::Display,
    io::{self, Write},
    net::SocketAddr,
    rc::Rc,
    time::Duration,
};

use asynchat::{Cause, Closed, Registry, Result};

use crate::{
    datagram::Datagram,
    query::{Query, Told},
    stream::Stream,
};

/// Sockets that are open at once.
const AT_ONCE: usize = 64;

pub(crate) struct Plan {
    pub(crate) server: SocketAddr,
    pub(crate) timeout: Duration,
    pub(crate) tries: u8,
    pub(crate) tcp: bool,
}

pub(crate) struct Lookups {
    pub(crate) plan: Plan,
    waiting: RefCell<VecDeque<Query>>,
    open: Cell<usize>,
    failures: RefCell<Vec<String>>,
}

/// One name, on the socket that asks for it.
#[derive(Clone)]
pub(crate) struct Lookup {
    pub(crate) query: Rc<Query>,
    pub(crate) all: Rc<Lookups>,
}

impl Lookups {
    pub(crate) fn new(plan: Plan, queries: Vec<Query>) -> Rc<Self> {
        Rc::new(Self {
            plan,
            waiting: RefCell::new(queries.into()),
            open: Cell::default(),
            failures: RefCell::default(),
        })
    }

    /// Begins with as many as may be open.
    pub(crate) fn go_on(self: &Rc<Self>, registry: &mut Registry) {
        while self.open.get() < AT_ONCE {
            let Some(query) = self.waiting.borrow_mut().pop_front() else {
                return;
            };
            let lookup = Lookup {
                query: query.into(),
                all: self.clone(),
            };
            self.open.set(self.open.get() + 1);
            let started = match self.plan.tcp {
                true => Stream::start(registry, lookup.clone()),
                false => Datagram::start(registry, lookup.clone()),
            };
            if let Err(error) = started {
                lookup.note(registry, Err(error.to_string()));
            }
        }
    }

    /// Those that are open learn of it in `handle_closed`.
    pub(crate) fn interrupt(&self, registry: &mut Registry) {
        let left = self.waiting.take().len();
        if left > 0 {
            self.fail(format_args!("interrupted: {left} names were not asked for"));
        }
        registry.shutdown(Duration::ZERO);
    }

    fn fail(&self, why: impl Display) {
        self.failures.borrow_mut().push(why.to_string());
    }

    pub(crate) fn outcome(&self) -> Result {
        match self.failures.take().as_slice() {
            [] => Ok(()),
            lines => Err(lines.join("\ndns_lookup: ").into()),
        }
    }
}

impl Lookup {
    /// The last socket of this lookup is gone: the next may be opened.
    pub(crate) fn finish(&self, registry: &mut Registry, outcome: Result<Told, String>) {
        self.note(registry, outcome);
        self.all.go_on(registry);
    }

    fn note(&self, registry: &mut Registry, outcome: Result<Told, String>) {
        self.all.open.set(self.all.open.get() - 1);
        let name = self.query.name();
        let lack = match outcome {
            Ok(told) => {
                if let Err(error) = show(&told.records) {
                    self.all.waiting.take();
                    self.all.fail(format_args!("standard output: {error}"));
                    registry.stop();
                }
                told.lack
            }
            Err(why) => Some(why),
        };
        if let Some(why) = lack {
            self.all.fail(format_args!("{name}: {why}"));
        }
    }
}

/// In one piece.
fn show(lines: &[String]) -> io::Result<()> {
    let mut text = lines.join("\n");
    if !lines.is_empty() {
        text.push('\n');
    }
    io::stdout().write_all(text.as_bytes())
}

/// Why a socket ended that nothing had come of.
pub(crate) fn unfinished(why: &Closed) -> String {
    match why.cause {
        Cause::Shutdown => "interrupted".into(),
        Cause::EndOfFile => "the server closed the connection without an answer".into(),
        _ => why.to_string(),
    }
}
