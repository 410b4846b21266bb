//! Messages on their way to a store, whose calls may wait: threads write them, and the loop goes on.

use std::{
    collections::VecDeque,
    io, mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use asynchat::Handle;
use shared::smtp::server::{Answer, Envelope, Handler, Message, Status};

/// Bytes of a message that wait for a thread. With more its client is not read from; one read comes on top.
const WAITING: usize = 32 * 1024;
/// Messages that a thread takes at a time: they are committed together.
const BATCH: usize = 16;

/// Where messages go. Its calls come from several threads, those for a message one after the other.
pub(crate) trait Store: Send + Sync + 'static {
    type Draft: Send;

    fn begin(&self, envelope: &Envelope) -> io::Result<Self::Draft>;

    /// A piece of the text.
    fn write(&self, draft: &mut Self::Draft, data: &[u8]) -> io::Result<()>;

    /// The message is complete. Without this call the draft was none.
    fn finish(&self, draft: Self::Draft) -> io::Result<()>;

    /// Messages that were finished are about to be answered for.
    fn commit(&self) -> io::Result<()>;
}

/// The threads of a store.
pub(crate) struct Pool<S: Store>(Arc<Shared<S>>);

struct Shared<S: Store> {
    store: S,
    handle: Handle,
    /// Messages with something to do.
    queue: Mutex<VecDeque<Arc<Mail<S::Draft>>>>,
    filled: Condvar,
}

struct Mail<D> {
    envelope: Envelope,
    answer: Answer,
    state: Mutex<State<D>>,
}

struct State<D> {
    waiting: Vec<u8>,
    /// In the queue, or with a thread.
    is_queued: bool,
    end: Option<End>,
    /// With the thread that writes, while there is one.
    draft: Option<D>,
    failure: Option<Status>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Complete,
    Dropped,
}

impl<S: Store> Pool<S> {
    /// Starts the threads. They end with the process.
    ///
    /// # Errors
    /// The system has no thread.
    pub(crate) fn start(store: S, threads: usize, handle: Handle) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            store,
            handle,
            queue: Mutex::default(),
            filled: Condvar::new(),
        });
        for number in 0..threads {
            let shared = Arc::clone(&shared);
            thread::Builder::new()
                .name(format!("store {number}"))
                .spawn(move || shared.work())?;
        }
        Ok(Self(shared))
    }
}

impl<S: Store> Handler for Pool<S> {
    fn message(&self, envelope: &Envelope, answer: Answer) -> Result<Box<dyn Message>, Status> {
        let state = State {
            waiting: Vec::new(),
            is_queued: false,
            end: None,
            draft: None,
            failure: None,
        };
        Ok(Box::new(Arriving {
            shared: Arc::clone(&self.0),
            mail: Arc::new(Mail {
                envelope: envelope.clone(),
                answer,
                state: Mutex::new(state),
            }),
        }))
    }
}

type Outcome = Result<(), Status>;

/// A message, as the loop sees it.
struct Arriving<S: Store> {
    shared: Arc<Shared<S>>,
    mail: Arc<Mail<S::Draft>>,
}

impl<S: Store> Arriving<S> {
    fn end(&self, end: End) {
        let mut state = lock(&self.mail.state);
        if state.end.is_none() {
            state.end = Some(end);
            self.shared.enqueue(&self.mail, state);
        }
    }
}

impl<S: Store> Message for Arriving<S> {
    fn data(&mut self, data: &[u8]) -> Result<(), Status> {
        let mut state = lock(&self.mail.state);
        if let Some(status) = &state.failure {
            return Err(status.clone());
        }
        state.waiting.extend_from_slice(data);
        if state.waiting.len() >= WAITING {
            self.shared.enqueue(&self.mail, state);
        }
        Ok(())
    }

    fn readable(&self) -> bool {
        lock(&self.mail.state).waiting.len() < WAITING
    }

    fn end(self: Box<Self>) -> Option<Status> {
        Self::end(&self, End::Complete);
        None
    }
}

impl<S: Store> Drop for Arriving<S> {
    fn drop(&mut self) {
        Self::end(self, End::Dropped);
    }
}

impl<S: Store> Shared<S> {
    fn enqueue(&self, mail: &Arc<Mail<S::Draft>>, mut state: MutexGuard<'_, State<S::Draft>>) {
        if !mem::replace(&mut state.is_queued, true) {
            drop(state);
            lock(&self.queue).push_back(Arc::clone(mail));
            self.filled.notify_one();
        }
    }

    fn work(&self) {
        let mut batch = Vec::new();
        let mut answers = Vec::new();
        loop {
            let mut queue = lock(&self.queue);
            while queue.is_empty() {
                let woken = self.filled.wait(queue);
                queue = woken.unwrap_or_else(PoisonError::into_inner);
            }
            let count = queue.len().min(BATCH);
            batch.extend(queue.drain(..count));
            drop(queue);
            for mail in batch.drain(..) {
                if let Some(outcome) = self.advance(&mail) {
                    answers.push((mail.answer, outcome));
                }
            }
            self.give(mem::take(&mut answers));
        }
    }

    /// Writes what waits of a message. The outcome comes with its end.
    fn advance(&self, mail: &Arc<Mail<S::Draft>>) -> Option<Outcome> {
        let mut state = lock(&mail.state);
        let waiting = mem::take(&mut state.waiting);
        let (draft, end, failure) = (state.draft.take(), state.end, state.failure.clone());
        drop(state);
        if end == Some(End::Dropped) {
            return None;
        }
        if waiting.len() >= WAITING {
            let answer = mail.answer;
            self.post(move |registry| answer.wake(registry));
        }
        let written = match failure {
            // What follows a piece that is lost is no message.
            Some(status) => Err(status),
            None => self.write(&mail.envelope, draft, &waiting),
        };
        if end == Some(End::Complete) {
            return Some(written.and_then(|draft| self.store.finish(draft).map_err(failed)));
        }
        let mut state = lock(&mail.state);
        match written {
            Ok(draft) => state.draft = Some(draft),
            Err(status) => state.failure = Some(status),
        }
        state.is_queued = false;
        if state.end.is_some() || state.waiting.len() >= WAITING {
            self.enqueue(mail, state);
        }
        None
    }

    fn write(
        &self,
        envelope: &Envelope,
        draft: Option<S::Draft>,
        data: &[u8],
    ) -> Result<S::Draft, Status> {
        let mut draft = match draft {
            Some(draft) => draft,
            None => self.store.begin(envelope).map_err(failed)?,
        };
        self.store.write(&mut draft, data).map_err(failed)?;
        Ok(draft)
    }

    fn give(&self, mut outcomes: Vec<(Answer, Outcome)>) {
        if outcomes.is_empty() {
            return;
        }
        if outcomes.iter().any(|(_, outcome)| outcome.is_ok())
            && let Err(status) = self.store.commit().map_err(failed)
        {
            for (_, outcome) in &mut outcomes {
                *outcome = Err(status.clone());
            }
        }
        self.post(move |registry| {
            for (answer, outcome) in &outcomes {
                let status = outcome.as_ref().err().unwrap_or(&Status::OK);
                answer.give(registry, status);
            }
        });
    }

    fn post(&self, call: impl FnOnce(&mut asynchat::Registry) + Send + 'static) {
        // Nobody waits for an answer of a server that has ended.
        let _ = self.handle.call_soon(|registry| {
            call(registry);
            Ok(())
        });
    }
}

#[allow(clippy::needless_pass_by_value, reason = "what map_err calls")]
fn failed(error: io::Error) -> Status {
    log::error!("a message is not stored: {error}");
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Status::new(452, "Error: insufficient storage")
        }
        _ => Status::new(451, "Error: the message could not be stored"),
    }
}

/// Nothing under these locks panics.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `cargo test --features testing --example smtpd`.
#[cfg(all(test, feature = "testing"))]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::{Duration, Instant},
    };

    use asynchat::{
        Reactor, accept_fn,
        testing::{Harness, Listener},
    };
    use shared::smtp::server::{self, Options, Server};

    use super::*;

    /// Keeps texts, and fails where it is told to.
    #[derive(Default)]
    struct Memory {
        fails_at: &'static str,
        finished: Mutex<Vec<Vec<u8>>>,
        drafts: Arc<AtomicUsize>,
        /// While this is locked writing waits.
        gate: Arc<Mutex<()>>,
    }

    struct Text(Vec<u8>, Arc<AtomicUsize>);

    impl Drop for Text {
        fn drop(&mut self) {
            self.1.fetch_sub(1, Ordering::SeqCst);
        }
    }

    impl Memory {
        fn stage(&self, name: &str) -> io::Result<()> {
            match name == self.fails_at {
                true => Err(io::ErrorKind::StorageFull.into()),
                false => Ok(()),
            }
        }
    }

    impl Store for Memory {
        type Draft = Text;

        fn begin(&self, _: &Envelope) -> io::Result<Text> {
            self.stage("begin")?;
            self.drafts.fetch_add(1, Ordering::SeqCst);
            Ok(Text(Vec::new(), Arc::clone(&self.drafts)))
        }

        fn write(&self, draft: &mut Text, data: &[u8]) -> io::Result<()> {
            drop(lock(&self.gate));
            self.stage("write")?;
            draft.0.extend_from_slice(data);
            Ok(())
        }

        fn finish(&self, mut draft: Text) -> io::Result<()> {
            self.stage("finish")?;
            lock(&self.finished).push(mem::take(&mut draft.0));
            Ok(())
        }

        fn commit(&self) -> io::Result<()> {
            self.stage("commit")
        }
    }

    struct Setup {
        listener: Listener,
        shared: Arc<Shared<Memory>>,
    }

    fn serve(store: Memory) -> Setup {
        let mut started = None;
        let builder = Reactor::builder().propagate_panics(true);
        let listener = Listener::with_handle(builder, |handle| {
            let pool = Pool::start(store, 3, handle).expect("threads");
            started = Some(Arc::clone(&pool.0));
            let server = Server::new(Options::default(), pool).expect("options");
            accept_fn(move |registry, stream, peer| server::accept(&server, registry, stream, peer))
        });
        Setup {
            listener,
            shared: started.expect("a pool"),
        }
    }

    impl Setup {
        fn client(&mut self) -> Harness {
            let mut client = self.listener.connect();
            client.feed("EHLO x\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\n");
            client.output();
            client
        }

        fn drafts(&self) -> usize {
            self.shared.store.drafts.load(Ordering::SeqCst)
        }
    }

    #[track_caller]
    fn eventually(mut done: impl FnMut() -> bool) {
        let end = Instant::now() + Duration::from_secs(30);
        while !done() {
            assert!(Instant::now() < end, "nothing came of it");
            thread::yield_now();
        }
    }

    /// The next reply: threads are at work.
    #[track_caller]
    fn reply(client: &mut Harness) -> String {
        let mut said = String::new();
        eventually(|| {
            said += &String::from_utf8_lossy(&client.output());
            said.ends_with('\n')
        });
        said.trim_end().into()
    }

    #[test]
    fn a_message_of_any_size_arrives_whole_and_in_order() {
        let mut setup = serve(Memory::default());
        let lines = |count: usize| (0..count).map(|n| format!("{n}\n")).collect::<String>();
        let mut client = setup.client();
        for (round, count) in [0, 1, 3_000, 200_000].into_iter().enumerate() {
            if round > 0 {
                client.feed("MAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\n");
                client.output();
            }
            let text = lines(count);
            client.feed(text.replace('\n', "\r\n") + ".\r\n");
            assert_eq!(reply(&mut client), "250 OK", "{count}");
            let finished = lock(&setup.shared.store.finished).pop();
            assert!(finished == Some(text.into_bytes()), "{count}");
        }
    }

    #[test]
    fn a_client_waits_while_its_message_is_written_and_others_do_not() {
        let store = Memory::default();
        let gate = Arc::clone(&store.gate);
        let mut setup = serve(store);
        let closed = lock(&gate);
        let mut client = setup.client();
        let line = format!("{}\r\n", "x".repeat(998));
        client.feed(line.repeat(10_000));
        client.feed(".\r\n");
        let mut other = setup.listener.connect();
        other.feed("NOOP\r\n");
        assert!(reply(&mut other).ends_with("250 OK"));
        // One piece is with a thread, one waits with a read on top; the rest is not read.
        let read: u64 = {
            let registry = setup.listener.registry();
            registry.channels().map(|channel| channel.bytes_in).sum()
        };
        assert!(read < 512 * 1024, "{read} bytes were read");
        drop(closed);
        assert_eq!(reply(&mut client), "250 OK");
        assert_eq!(lock(&setup.shared.store.finished)[0].len(), 999 * 10_000);
    }

    #[test]
    fn a_failure_at_any_stage_is_the_answer_and_leaves_nothing() {
        for fails_at in ["begin", "write", "finish", "commit"] {
            for lines in [1, 1_000, 100_000] {
                let mut setup = serve(Memory {
                    fails_at,
                    ..Memory::default()
                });
                let mut client = setup.client();
                client.feed("0123456789\r\n".repeat(lines));
                client.feed(".\r\n");
                let said = reply(&mut client);
                assert_eq!(
                    said, "452 Error: insufficient storage",
                    "{fails_at} {lines}"
                );
                eventually(|| setup.drafts() == 0);
                let finished = lock(&setup.shared.store.finished).len();
                assert_eq!(finished, usize::from(fails_at == "commit"));
                client.feed("NOOP\r\n");
                assert_eq!(reply(&mut client), "250 OK");
            }
        }
    }

    #[test]
    fn a_message_that_is_cut_leaves_nothing() {
        let mut setup = serve(Memory::default());
        for lines in [0, 1, 100_000] {
            let mut client = setup.client();
            client.feed("0123456789\r\n".repeat(lines));
            client.reset();
            assert!(client.is_closed());
        }
        eventually(|| setup.drafts() == 0);
        assert_eq!(lock(&setup.shared.store.finished).len(), 0);
    }
}
