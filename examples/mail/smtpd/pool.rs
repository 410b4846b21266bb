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

/// Where messages go. Its calls come from several threads, those for a message one after the other.
pub(crate) trait Store: Send + Sync + 'static {
    type Draft: Send;

    fn begin(&self, envelope: &Envelope) -> io::Result<Self::Draft>;

    /// A piece of the text.
    fn write(&self, draft: &mut Self::Draft, data: &[u8]) -> io::Result<()>;

    /// The message is complete, and is about to be answered for. Without this call the draft was none.
    fn finish(&self, draft: Self::Draft) -> io::Result<()>;
}

/// The threads of a store.
pub(crate) struct Pool<S: Store>(Arc<Shared<S>>);

struct Shared<S: Store> {
    store: S,
    /// There are no threads: the calls of the store do not wait.
    is_inline: bool,
    max_queue: usize,
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
    /// Starts the threads, which end with the process. Without any the loop calls the store. With `max_queue` messages that
    /// wait for a thread no other is taken: where the store hangs, messages outlive their sessions.
    ///
    /// # Errors
    /// The system has no thread.
    pub(crate) fn start(
        store: S,
        threads: usize,
        max_queue: usize,
        handle: Handle,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            store,
            is_inline: threads == 0,
            max_queue,
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
        if lock(&self.0.queue).len() >= self.0.max_queue {
            return Err(Status::new(
                451,
                "Error: too many messages wait to be stored",
            ));
        }
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

/// A message, as the loop sees it.
struct Arriving<S: Store> {
    shared: Arc<Shared<S>>,
    mail: Arc<Mail<S::Draft>>,
}

impl<S: Store> Arriving<S> {
    fn end(&self, end: End) -> Option<Status> {
        let mut state = lock(&self.mail.state);
        if state.end.is_some() {
            return None;
        }
        state.end = Some(end);
        if end == End::Dropped && state.draft.is_none() {
            // The thread that has the draft, if there is one, looks here afterwards.
            return None;
        }
        self.shared.advance_or_enqueue(&self.mail, state)
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
            self.shared.advance_or_enqueue(&self.mail, state);
        }
        Ok(())
    }

    fn readable(&self) -> bool {
        lock(&self.mail.state).waiting.len() < WAITING
    }

    fn end(self: Box<Self>) -> Option<Status> {
        Self::end(&self, End::Complete)
    }
}

impl<S: Store> Drop for Arriving<S> {
    fn drop(&mut self) {
        Self::end(self, End::Dropped);
    }
}

impl<S: Store> Shared<S> {
    fn advance_or_enqueue(
        &self,
        mail: &Arc<Mail<S::Draft>>,
        state: MutexGuard<'_, State<S::Draft>>,
    ) -> Option<Status> {
        if self.is_inline {
            drop(state);
            return self.advance(mail);
        }
        self.enqueue(mail, state);
        None
    }

    fn enqueue(&self, mail: &Arc<Mail<S::Draft>>, mut state: MutexGuard<'_, State<S::Draft>>) {
        if !mem::replace(&mut state.is_queued, true) {
            drop(state);
            lock(&self.queue).push_back(Arc::clone(mail));
            self.filled.notify_one();
        }
    }

    fn work(&self) {
        loop {
            let mut queue = lock(&self.queue);
            let mail = loop {
                match queue.pop_front() {
                    Some(mail) => break mail,
                    None => {
                        let woken = self.filled.wait(queue);
                        queue = woken.unwrap_or_else(PoisonError::into_inner);
                    }
                }
            };
            drop(queue);
            if let Some(status) = self.advance(&mail) {
                let answer = mail.answer;
                self.post(move |registry| answer.give(registry, &status));
            }
        }
    }

    /// Writes what waits of a message. The status comes with its end.
    fn advance(&self, mail: &Arc<Mail<S::Draft>>) -> Option<Status> {
        let mut state = lock(&mail.state);
        let waiting = mem::take(&mut state.waiting);
        let (draft, end, failure) = (state.draft.take(), state.end, state.failure.clone());
        drop(state);
        if end == Some(End::Dropped) {
            return None;
        }
        if waiting.len() >= WAITING && !self.is_inline {
            let answer = mail.answer;
            self.post(move |registry| answer.wake(registry));
        }
        let written = match failure {
            // What follows a piece that is lost is no message.
            Some(status) => Err(status),
            None => self.write(&mail.envelope, draft, &waiting),
        };
        if end == Some(End::Complete) {
            let finished = written.and_then(|draft| self.store.finish(draft).map_err(failed));
            return Some(finished.err().unwrap_or(Status::OK));
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
            if data.len() >= WAITING {
                self.stage("large write")?;
            }
            draft.0.extend_from_slice(data);
            Ok(())
        }

        fn finish(&self, mut draft: Text) -> io::Result<()> {
            self.stage("finish")?;
            lock(&self.finished).push(mem::take(&mut draft.0));
            Ok(())
        }
    }

    struct Setup {
        listener: Listener,
        shared: Arc<Shared<Memory>>,
    }

    fn serve(store: Memory) -> Setup {
        serve_with(store, 3)
    }

    fn serve_with(store: Memory, threads: usize) -> Setup {
        let mut started = None;
        let builder = Reactor::builder().propagate_panics(true);
        let listener = Listener::with_handle(builder, |handle| {
            let pool = Pool::start(store, threads, 2, handle).expect("threads");
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
        for threads in [0, 3] {
            arrives_whole(&mut serve_with(Memory::default(), threads));
        }
    }

    fn arrives_whole(setup: &mut Setup) {
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
        for fails_at in ["begin", "write", "finish"] {
            for (lines, threads) in [(1, 3), (1_000, 3), (100_000, 3), (1, 0), (100_000, 0)] {
                let store = Memory {
                    fails_at,
                    ..Memory::default()
                };
                let mut setup = serve_with(store, threads);
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
                assert_eq!(finished, 0);
                client.feed("NOOP\r\n");
                assert_eq!(reply(&mut client), "250 OK");
            }
        }
    }

    /// The end has come when the first piece fails, so that no further piece is refused.
    #[test]
    fn the_rest_of_a_message_is_no_message() {
        let store = Memory {
            fails_at: "large write",
            ..Memory::default()
        };
        let gate = Arc::clone(&store.gate);
        let mut setup = serve(store);
        let closed = lock(&gate);
        let mut client = setup.client();
        client.feed("0123456789\r\n".repeat(4_000));
        eventually(|| setup.drafts() == 1);
        client.feed("rest\r\n.\r\n");
        client.output();
        drop(closed);
        assert_eq!(reply(&mut client), "452 Error: insufficient storage");
        assert_eq!(lock(&setup.shared.store.finished).len(), 0);
    }

    #[test]
    fn a_store_that_hangs_is_not_given_more_and_more() {
        let store = Memory::default();
        let gate = Arc::clone(&store.gate);
        let mut setup = serve_with(store, 1);
        let closed = lock(&gate);
        for _ in 0..3 {
            setup.client().feed("text\r\n.\r\n");
            // The first one is with the thread.
            eventually(|| lock(&setup.shared.queue).len() < 2 || setup.drafts() == 1);
        }
        let mut client = setup.listener.connect();
        client.feed("EHLO x\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\n");
        client.output();
        client.feed("DATA\r\n");
        let refused = "451 Error: too many messages wait to be stored";
        assert_eq!(reply(&mut client), refused);
        drop(closed);
        eventually(|| lock(&setup.shared.queue).is_empty());
        client.feed("MAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\ntext\r\n.\r\n");
        let mut said = String::new();
        eventually(|| {
            said += &String::from_utf8_lossy(&client.output());
            said.ends_with("\r\n250 OK\r\n") && said.contains("354 ")
        });
    }

    #[test]
    fn a_message_that_is_cut_leaves_nothing() {
        let mut setup = serve(Memory::default());
        for (lines, drafts) in [(0, 0), (1, 0), (100_000, 1)] {
            let mut client = setup.client();
            client.feed("0123456789\r\n".repeat(lines));
            eventually(|| setup.drafts() == drafts);
            client.reset();
            assert!(client.is_closed());
            eventually(|| setup.drafts() == 0);
        }
        assert_eq!(lock(&setup.shared.store.finished).len(), 0);
    }
}
