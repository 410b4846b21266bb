//! A bounded number of threads, and a bounded number of jobs that wait for one.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    panic,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// Sizes of a [`Pool`].
#[derive(Clone, Copy, Debug)]
pub struct PoolOptions {
    pub threads: usize,
    /// Jobs that wait for a thread.
    pub waiting: usize,
    /// Threads that are replaced because their handler takes too long; beyond it the pool has fewer.
    pub overdue: usize,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self {
            threads: 16,
            waiting: 64,
            overdue: 16,
        }
    }
}

/// Runs jobs on threads that are started as they are needed. Cheap to clone. When the last clone is dropped, jobs that wait
/// are dropped, and threads end behind their jobs.
#[derive(Clone)]
pub struct Pool(Arc<Owner>);

struct Owner(Arc<Shared>);

struct Shared {
    options: PoolOptions,
    state: Mutex<State>,
    work: Condvar,
    ended: Condvar,
}

type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct State {
    jobs: VecDeque<(JobId, Job)>,
    last_id: u64,
    /// Threads that take jobs.
    threads: usize,
    idle: usize,
    /// Jobs whose threads are replaced.
    overdue: HashSet<JobId>,
    /// Since when.
    running: HashMap<JobId, Instant>,
    /// To be called once there is room for a job.
    waiting_for_room: Vec<Job>,
    ending: bool,
}

/// A job of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct JobId(u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    Waiting,
    /// For this time.
    Running(Duration),
    Ended,
}

/// As many jobs wait as may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl Pool {
    pub fn new(options: PoolOptions) -> Self {
        let shared = Shared {
            options,
            state: Mutex::default(),
            work: Condvar::new(),
            ended: Condvar::new(),
        };
        Self(Arc::new(Owner(Arc::new(shared))))
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.0.0
    }

    /// Whether one more job finds a place.
    pub fn has_room(&self) -> bool {
        self.shared().has_room(&self.shared().lock())
    }

    /// Has a thread run `job`. A panic of it is a line in the log.
    ///
    /// # Errors
    /// [`Full`].
    pub fn submit(&self, job: impl FnOnce() + Send + 'static) -> Result<JobId, Full> {
        let shared = self.shared();
        let mut state = shared.lock();
        if !shared.has_room(&state) {
            return Err(Full);
        }
        state.last_id += 1;
        let id = JobId(state.last_id);
        state.jobs.push_back((id, Box::new(job)));
        shared.staff(&mut state);
        shared.work.notify_one();
        Ok(id)
    }

    /// Calls `then` once there is room, on any thread.
    pub fn when_room(&self, then: impl FnOnce() + Send + 'static) {
        let shared = self.shared();
        let mut state = shared.lock();
        if shared.has_room(&state) {
            drop(state);
            then();
        } else {
            state.waiting_for_room.push(Box::new(then));
        }
    }

    /// Drops a job that has not begun.
    pub fn cancel(&self, id: JobId) {
        let mut state = self.shared().lock();
        let place = state.jobs.iter().position(|(job, _)| *job == id);
        let job = place.and_then(|place| state.jobs.remove(place));
        let freed = self.shared().room_for(&mut state);
        drop(state);
        drop(job);
        freed.into_iter().for_each(|then| then());
    }

    /// How a job is doing.
    pub fn progress(&self, id: JobId) -> Progress {
        let state = self.shared().lock();
        match state.running.get(&id) {
            Some(since) => Progress::Running(since.elapsed()),
            None if state.jobs.iter().any(|(job, _)| *job == id) => Progress::Waiting,
            None => Progress::Ended,
        }
    }

    /// A running job takes too long: another thread takes the next ones. False if too many are replaced already.
    pub fn replace(&self, id: JobId) -> bool {
        let shared = self.shared();
        let mut state = shared.lock();
        if !state.running.contains_key(&id) {
            return true;
        }
        if state.overdue.len() >= shared.options.overdue || !state.overdue.insert(id) {
            return false;
        }
        state.threads -= 1;
        shared.staff(&mut state);
        true
    }

    /// Takes no more jobs, and waits for those that run, but no longer than `grace`. False if some have not ended.
    pub fn finish(&self, grace: Duration) -> bool {
        let shared = self.shared();
        let dropped = shared.end();
        drop(dropped);
        let state = shared.lock();
        let waited = shared
            .ended
            .wait_timeout_while(state, grace, |state| !state.running.is_empty());
        waited
            .unwrap_or_else(PoisonError::into_inner)
            .0
            .running
            .is_empty()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        drop(self.0.end());
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_room(&self, state: &State) -> bool {
        let free = state.idle + self.options.threads.saturating_sub(state.threads);
        // Those that wait although a thread is free are about to be taken.
        !state.ending && state.jobs.len() < self.options.waiting.saturating_add(free)
    }

    /// Starts threads for jobs that wait, if there may be more.
    fn staff(self: &Arc<Self>, state: &mut State) {
        while state.jobs.len() > state.idle && state.threads < self.options.threads {
            let shared = Arc::clone(self);
            let name = thread::Builder::new().name("handler".into());
            if let Err(error) = name.spawn(move || shared.work()) {
                log::error!("no thread for a handler: {error}");
                return;
            }
            state.threads += 1;
            // Until it takes its first job.
            state.idle += 1;
        }
    }

    /// Who is to be told that there is room.
    fn room_for(&self, state: &mut State) -> Vec<Job> {
        match self.has_room(state) {
            true => std::mem::take(&mut state.waiting_for_room),
            false => Vec::new(),
        }
    }

    /// The life of a thread.
    fn work(self: &Arc<Self>) {
        let mut state = self.lock();
        loop {
            while state.jobs.is_empty() && !state.ending {
                state = self
                    .work
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            state.idle -= 1;
            let Some((id, job)) = state.jobs.pop_front() else {
                state.threads -= 1;
                return;
            };
            state.running.insert(id, Instant::now());
            let freed = self.room_for(&mut state);
            drop(state);
            freed.into_iter().for_each(|then| then());
            // The hook of panics has reported it.
            if panic::catch_unwind(panic::AssertUnwindSafe(job)).is_err() {
                log::error!("a handler panicked");
            }
            state = self.lock();
            state.running.remove(&id);
            self.ended.notify_all();
            if state.overdue.remove(&id) {
                if state.threads >= self.options.threads {
                    return;
                }
                state.threads += 1;
            }
            state.idle += 1;
        }
    }

    /// What waits is given back, to be dropped without the lock.
    fn end(&self) -> (VecDeque<(JobId, Job)>, Vec<Job>) {
        let mut state = self.lock();
        state.ending = true;
        self.work.notify_all();
        let state = &mut *state;
        (
            std::mem::take(&mut state.jobs),
            std::mem::take(&mut state.waiting_for_room),
        )
    }
}
