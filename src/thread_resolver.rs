//! The system's resolver, which blocks, on threads of its own.

use std::{
    collections::VecDeque,
    fmt, io, mem,
    net::{SocketAddr, ToSocketAddrs},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use crate::{
    error::Panicked,
    names::{answer::Answer, question::Question},
    resolver::Resolver,
};

/// All are looked at if there is no place for one more and somebody has left.
const MOST_WAITING: usize = 1 << 16;
/// Windows' numbers for a name that is not known, or has no address.
const WSAHOST_NOT_FOUND: i32 = 11001;
const WSANO_DATA: i32 = 11004;

/// Looks names up with the system's resolver (`getaddrinfo`), as all other programs of the machine do: with `/etc/hosts`,
/// the search domains, and whatever else the system is set up with.
///
/// That blocks, so it has threads of its own, of which each look-up takes one. They start when they are needed and end
/// when they are idle, or with the reactor. A look-up that hangs cannot be cancelled: those who asked get `TimedOut` after
/// their [deadline](crate::Builder::resolve_timeout), and its thread is free when the system returns. There is no
/// substitute for it. While all threads hang, other questions wait for 60 s at most, then fail with `TimedOut`; the loop
/// goes on.
///
/// | | default | |
/// |---|--:|---|
/// | [`max_threads`](Self::max_threads) | 4 | look-ups at the same time |
/// | [`max_waiting`](Self::max_waiting) | 1,024 | questions that wait for a thread |
/// | [`idle_timeout`](Self::idle_timeout) | 10 s | life of a thread without work |
///
/// A name without an address, or that the system cannot look up now, is `NotFound` with the system's message: std does
/// not tell the two apart.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// let resolver = asynchat::ThreadResolver::new().max_threads(16).max_waiting(10_000);
/// let reactor = asynchat::Reactor::builder().resolver(resolver).build()?;
/// # let _ = reactor; Ok(()) }
/// ```
pub struct ThreadResolver {
    shared: Arc<Shared>,
    max_threads: usize,
    max_waiting: usize,
    idle_timeout: Duration,
}

type LookUp = dyn Fn(&Question) -> io::Result<Vec<SocketAddr>> + Send + Sync;

struct Shared {
    look_up: Box<LookUp>,
    crew: Mutex<Crew>,
    work: Condvar,
}

#[derive(Default)]
struct Crew {
    questions: VecDeque<(Question, Answer)>,
    threads: usize,
    /// Threads that are about to take a question out of the queue, or wait for one.
    idle: usize,
    /// The [`Answer::departures`] at which all that wait were looked at.
    looked_at: usize,
    /// The resolver is gone.
    over: bool,
}

impl Crew {
    /// Questions that no thread is about to take.
    fn waiting(&self) -> usize {
        self.questions.len().saturating_sub(self.idle)
    }
}

impl Default for ThreadResolver {
    fn default() -> Self {
        Self::new()
    }
}

impl ThreadResolver {
    /// The system's resolver, with the defaults above. No thread is started yet.
    #[must_use]
    pub fn new() -> Self {
        Self::with(system)
    }

    /// Another look-up that blocks, on threads of the same kind. A panic of it is the error of its question.
    ///
    /// ```
    /// use asynchat::ThreadResolver;
    /// use std::net::ToSocketAddrs;
    ///
    /// // IPv4 only.
    /// let resolver = ThreadResolver::with(|question| {
    ///     let found = (question.host(), question.port()).to_socket_addrs()?;
    ///     Ok(found.filter(|address| address.is_ipv4()).collect())
    /// });
    /// # let _ = resolver;
    /// ```
    #[must_use]
    pub fn with(
        look_up: impl Fn(&Question) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> Self {
        let shared = Shared {
            look_up: Box::new(look_up),
            crew: Mutex::default(),
            work: Condvar::new(),
        };
        Self {
            shared: Arc::new(shared),
            max_threads: 4,
            max_waiting: 1024,
            idle_timeout: Duration::from_secs(10),
        }
    }

    /// Sets how many threads there may be, and so how many look-ups at the same time. Default 4. 0 counts as 1.
    #[must_use]
    pub fn max_threads(mut self, threads: usize) -> Self {
        self.max_threads = threads.max(1);
        self
    }

    /// Sets how many questions may wait for a thread. One more fails at once with `ResourceBusy`. Default 1,024; the most is
    /// 65,536.
    #[must_use]
    pub fn max_waiting(mut self, questions: usize) -> Self {
        self.max_waiting = questions.min(MOST_WAITING);
        self
    }

    /// Sets how long a thread waits for another question before it ends. Default 10 s.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    fn hire(&self, crew: &mut Crew) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let idle_timeout = self.idle_timeout;
        thread::Builder::new()
            .name("asynchat-resolver".into())
            .spawn(move || shared.serve(idle_timeout))?;
        crew.threads += 1;
        crew.idle += 1;
        Ok(())
    }

    /// Hires a thread for a question that finds none idle, or sees to it that there is a place to wait. If neither is to be
    /// had, says why.
    fn make_room(
        &self,
        crew: &mut Crew,
        departures: usize,
        given_up: &mut VecDeque<(Question, Answer)>,
    ) -> Option<io::Error> {
        if crew.threads < self.max_threads {
            match self.hire(crew) {
                Ok(()) => return None,
                Err(error) if crew.threads == 0 => return Some(error),
                // Those that are there will come to it.
                Err(error) => {
                    log::debug!(target: "asynchat::reactor", "a thread for look-ups: {error}");
                }
            }
        }
        // Else each question of a crowd would look at all before it, and find nothing.
        if crew.waiting() >= self.max_waiting && crew.looked_at != departures {
            crew.looked_at = departures;
            let (wanted, unwanted) = mem::take(&mut crew.questions)
                .into_iter()
                .partition(|(_, answer)| answer.is_wanted());
            crew.questions = wanted;
            *given_up = unwanted;
        }
        (crew.waiting() >= self.max_waiting).then(|| full(self.max_waiting))
    }
}

impl Resolver for ThreadResolver {
    fn resolve(&mut self, question: Question, answer: Answer) {
        // Answers are given and dropped after the lock is free.
        let mut given_up = VecDeque::new();
        let mut crew = self.shared.crew();
        if crew.questions.len() >= crew.idle
            && let Some(error) = self.make_room(&mut crew, answer.departures(), &mut given_up)
        {
            drop(crew);
            return answer.give(Err(error));
        }
        if crew.questions.len() >= crew.idle {
            answer.defer();
        }
        crew.questions.push_back((question, answer));
        drop(crew);
        self.shared.work.notify_one();
    }
}

impl Drop for ThreadResolver {
    fn drop(&mut self) {
        let mut crew = self.shared.crew();
        crew.over = true;
        let questions = mem::take(&mut crew.questions);
        drop(crew);
        self.shared.work.notify_all();
        drop(questions);
    }
}

impl fmt::Debug for ThreadResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadResolver")
            .field("max_threads", &self.max_threads)
            .field("max_waiting", &self.max_waiting)
            .field("idle_timeout", &self.idle_timeout)
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn crew(&self) -> MutexGuard<'_, Crew> {
        self.crew.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The life of a thread.
    fn serve(&self, idle_timeout: Duration) {
        let mut crew = self.crew();
        loop {
            let waited = self.work.wait_timeout_while(crew, idle_timeout, |crew| {
                crew.questions.is_empty() && !crew.over
            });
            (crew, _) = waited.unwrap_or_else(PoisonError::into_inner);
            let Some((question, answer)) = crew.questions.pop_front() else {
                break;
            };
            crew.idle -= 1;
            drop(crew);
            self.answer(&question, answer);
            crew = self.crew();
            crew.idle += 1;
        }
        crew.idle -= 1;
        crew.threads -= 1;
    }

    fn answer(&self, question: &Question, answer: Answer) {
        if !answer.is_wanted() {
            return;
        }
        answer.begin();
        let found = catch_unwind(AssertUnwindSafe(|| (self.look_up)(question)));
        answer.give(found.unwrap_or_else(|panic| Err(io::Error::other(Panicked::new(panic)))));
    }
}

fn full(most: usize) -> io::Error {
    let text = format!(
        "{most} look-ups wait for a thread, and max_waiting is {most}: connect to fewer names at the same time, or raise \
         ThreadResolver::max_threads"
    );
    io::Error::new(io::ErrorKind::ResourceBusy, text)
}

fn system(question: &Question) -> io::Result<Vec<SocketAddr>> {
    match (question.host(), question.port()).to_socket_addrs() {
        Ok(found) => Ok(found.collect()),
        // What the resolver says itself, and not a system call under it, has no kind of its own in std.
        Err(error)
            if matches!(
                error.raw_os_error(),
                None | Some(WSAHOST_NOT_FOUND | WSANO_DATA)
            ) =>
        {
            Err(io::Error::new(io::ErrorKind::NotFound, error))
        }
        Err(error) => Err(error),
    }
}
