//! Looking host names up: asking the resolver, its answer, and the deadlines of those who ask.

use std::{
    error::Error,
    fmt, io,
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
    time::Duration,
};

use crate::{
    address::Address,
    error::{BoxError, Panicked, Payload, Shown},
    id::ChannelId,
    names::{
        answer::{Answer, News, Ticket},
        question::{Question, Quoted, escaped, literal},
    },
    net::{connect::ConnectOptions, io::Io},
    state::{
        dispatcher::Dispatcher,
        look_ups::{Asker, AskerId, LookUps},
        phase::{Attempt, Phase, Resolving},
        registry::{OnAnswer, Registry, Task, Who},
        slot::Slot,
    },
    thread_resolver::ThreadResolver,
    time::later,
};

/// How long a question may wait for its resolver to begin.
const LONGEST_DEFERRAL: Duration = Duration::from_secs(60);

/// No more addresses of an answer are used: each who asks has a copy.
const MOST_ADDRESSES: usize = 256;

impl Registry {
    /// Connects to a host once its addresses are known. A name that is none is a failed attempt.
    pub(crate) fn start_connect_host(
        &mut self,
        host: &str,
        port: u16,
        options: &ConnectOptions,
        dispatcher: Box<dyn Dispatcher>,
    ) -> io::Result<ChannelId> {
        if let Some(address) = literal(host, port) {
            return self.start_connect(vec![address.into()], options, dispatcher);
        }
        let question = Question::new(host, port);
        let resolving = Resolving {
            layer: None,
            options: options.clone(),
            asker: None,
        };
        let phase = Phase::Resolving(Box::new(resolving));
        let slot = Slot::new(Io::Absent, dispatcher, phase, self.clock.stamp());
        let id = self.insert(slot, false)?;
        match question {
            Ok(question) => {
                let timeout = options.resolve_timeout;
                self.ask_resolver(question, timeout, Who::Channel(id));
            }
            Err(error) => self.cannot_connect(id, error),
        }
        Ok(id)
    }

    pub(crate) fn start_resolve(&mut self, host: &str, port: u16, f: Box<OnAnswer>) {
        let who = Who::Call(f);
        match literal(host, port) {
            Some(address) => self.tell(who, Ok(vec![address])),
            None => match Question::new(host, port) {
                Ok(question) => self.ask_resolver(question, None, who),
                Err(error) => self.tell(who, Err(error)),
            },
        }
    }

    /// Joins an equal question, or asks.
    fn ask_resolver(&mut self, question: Question, timeout: Option<Duration>, who: Who) {
        let timeout = timeout.unwrap_or(self.policy.resolve_timeout);
        let joined = self.look_ups.join(&question);
        let look_up = joined.unwrap_or_else(|| self.look_ups.next_number());
        let number = self.look_ups.next_number();
        let asker = AskerId { look_up, number };
        if let Who::Channel(id) = who {
            log::debug!(target: "asynchat::channel", "channel {id}: looking up {:?}", question.host());
            if let Some(resolving) = self.resolving(id) {
                resolving.asker = Some(asker);
            }
        }
        let panic = match joined {
            Some(_) => None,
            None => self.begin_look_up(look_up, question),
        };
        if let Some(running) = self.look_ups.running.get_mut(&look_up) {
            let allowed = if running.ticket.is_deferred() {
                LONGEST_DEFERRAL
            } else {
                timeout
            };
            let deadline = later(self.clock.present(), allowed);
            let timer = self.timers.insert(deadline, Task::LookUp(asker));
            let asker = Asker {
                who,
                timeout,
                timer,
            };
            running.askers.insert(number, asker);
        }
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }

    /// Asks the resolver. Gives back a panic of it that is to leave the loop.
    fn begin_look_up(&mut self, number: u64, question: Question) -> Option<Payload> {
        let mailbox = Arc::clone(&self.mailbox);
        let departures = Arc::clone(&self.look_ups.departures);
        let ticket = Arc::new(Ticket::new(departures, move |news| {
            // A reactor that is gone has nobody who waits.
            let _ = mailbox.post(Box::new(move |registry| {
                registry.hear(number, news);
                Ok(())
            }));
        }));
        let answer = Answer::new(Arc::clone(&ticket));
        self.look_ups.add(number, question.clone(), ticket);
        let resolver = self
            .look_ups
            .resolver
            .get_or_insert_with(|| Box::new(ThreadResolver::new()));
        let outcome = catch_unwind(AssertUnwindSafe(|| resolver.resolve(question, answer)));
        let panic = outcome.err()?;
        if self.policy.propagate_panics {
            return Some(panic);
        }
        let panic = Panicked::new(panic);
        self.stats.errors += 1;
        log::error!(target: "asynchat::reactor", "the resolver {}", escaped(&panic.to_string()));
        if let Some(look_up) = self.look_ups.running.get_mut(&number) {
            look_up.panic = Some(panic.to_string());
        }
        None
    }

    /// What a resolver has to say, by a posted call.
    fn hear(&mut self, number: u64, news: News) {
        let found = match news {
            News::Begun => return self.restart_deadlines(number),
            News::Answered(found) => found,
            News::Dropped => Err(io::Error::other("the resolver gave no answer")),
        };
        let Some(look_up) = self.look_ups.take(number) else {
            // Given up, because nobody waited.
            return self.discard(found);
        };
        let found = match (found, look_up.panic) {
            (Err(_), Some(panic)) => Err(io::Error::other(format!("the resolver {panic}"))),
            (Ok(found), _) if found.is_empty() => Err(io::Error::new(
                io::ErrorKind::NotFound,
                "the name has no address",
            )),
            (found, _) => found,
        };
        let host = look_up.question.host();
        let found = found.map(|mut addresses| {
            if addresses.len() > MOST_ADDRESSES {
                let n = addresses.len();
                log::warn!(target: "asynchat::reactor", "{host:?} has {n} addresses, the first {MOST_ADDRESSES} are used");
                addresses.truncate(MOST_ADDRESSES);
            }
            addresses
        });
        let found = found.map_err(|error| NotResolved::new(host, error));
        for asker in look_up.askers.into_values() {
            self.cancel_timer(asker.timer);
            let found = match &found {
                Ok(addresses) => Ok(addresses.clone()),
                Err(error) => Err(error.to_io()),
            };
            self.tell(asker.who, found);
        }
        self.discard(found);
    }

    /// The look-up has begun: the time before it does not count.
    fn restart_deadlines(&mut self, number: u64) {
        let now = self.clock.present();
        if let Some(look_up) = self.look_ups.running.get(&number) {
            for asker in look_up.askers.values() {
                self.timers
                    .reschedule(asker.timer, later(now, asker.timeout));
            }
        }
    }

    /// The time of one who asks is over. The look-up may go on.
    pub(crate) fn look_up_is_late(&mut self, id: AskerId) {
        let Some(look_up) = self.look_ups.running.get(&id.look_up) else {
            return;
        };
        let question = look_up.question.clone();
        let deferred = look_up.ticket.is_deferred();
        let Some(asker) = self.look_ups.take_asker(id) else {
            return;
        };
        let text = if deferred {
            format!(
                "the resolver has not begun within {LONGEST_DEFERRAL:?}: too many look-ups before this one, or some that hang; \
                 see ThreadResolver::max_threads"
            )
        } else {
            format!(
                "no answer within the resolve_timeout of {:?}",
                asker.timeout
            )
        };
        let error = io::Error::new(io::ErrorKind::TimedOut, text);
        let error = NotResolved::new(question.host(), error);
        self.tell(asker.who, Err(error.to_io()));
    }

    /// Hands an answer on, so that no callback runs from inside this call.
    fn tell(&mut self, who: Who, found: io::Result<Vec<SocketAddr>>) {
        match (who, found) {
            (Who::Call(f), found) => self.jobs.push_back(Box::new(|registry| f(registry, found))),
            (Who::Channel(id), Err(error)) => self.cannot_connect(id, error),
            (Who::Channel(id), Ok(found)) => {
                let Some(resolving) = self.resolving(id) else {
                    return;
                };
                let options = std::mem::take(&mut resolving.options);
                let addresses = found.into_iter().map(Address::from).collect();
                self.begin_connecting(id, addresses, &options);
            }
        }
    }

    /// A channel that waits for addresses gets none: its next visit tells it.
    fn cannot_connect(&mut self, id: ChannelId, error: io::Error) {
        let now = self.clock.present();
        if let Some(slot) = self.slot_mut(id) {
            let layer = match &mut slot.phase {
                Phase::Resolving(resolving) => resolving.layer.take(),
                _ => None,
            };
            let attempt = Attempt {
                failure: Some(error),
                layer,
                ..Attempt::new(None, Duration::ZERO, now)
            };
            slot.phase = Phase::Connecting(Box::new(attempt));
            self.enqueue(id);
        }
    }

    fn resolving(&mut self, id: ChannelId) -> Option<&mut Resolving> {
        match &mut self.slot_mut(id)?.phase {
            Phase::Resolving(resolving) => Some(resolving),
            _ => None,
        }
    }

    /// A channel that waits for addresses is gone.
    pub(crate) fn forget_asker(&mut self, id: AskerId) {
        if let Some(asker) = self.look_ups.take_asker(id) {
            self.cancel_timer(asker.timer);
        }
    }

    /// Drops resolver and closures of a reactor that ends.
    pub(crate) fn drop_look_ups(&mut self) {
        let look_ups = std::mem::replace(&mut self.look_ups, LookUps::new());
        self.discard(look_ups.resolver);
        for look_up in look_ups.running.into_values() {
            for asker in look_up.askers.into_values() {
                self.discard(asker.who);
            }
        }
    }
}

/// Inside an [`io::Error`]: why a name has no addresses. All who asked for it share it.
#[derive(Clone)]
struct NotResolved {
    kind: io::ErrorKind,
    /// Made once, because the resolver's error may have a `Display` that panics.
    text: Arc<str>,
    error: Arc<BoxError>,
}

impl NotResolved {
    fn new(host: &str, error: io::Error) -> Self {
        let kind = error.kind();
        let error = error.into();
        let text = escaped(&Shown(&error).to_string());
        let text = format!("looking up {}: {text}", Quoted(host)).into();
        let error = Arc::new(error);
        Self { kind, text, error }
    }

    fn to_io(&self) -> io::Error {
        io::Error::new(self.kind, self.clone())
    }
}

impl fmt::Debug for NotResolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for NotResolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for NotResolved {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&**self.error)
    }
}
