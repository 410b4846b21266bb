//! A time for jobs of a pool.

use std::{cell::Cell, rc::Rc, time::Duration};

use asynchat::{Registry, Result, TimerId};

use super::pool::{JobId, Pool, Progress};

/// Has the thread of a job replaced that runs for too long.
pub(crate) struct Watch {
    timer: Rc<Cell<Option<TimerId>>>,
}

impl Watch {
    /// After `limit` of running the thread is replaced, and `then` is called.
    pub(crate) fn start(
        registry: &mut Registry,
        pool: &Pool,
        job: JobId,
        limit: Duration,
        then: impl FnOnce(&mut Registry) -> Result + 'static,
    ) -> Self {
        let timer = Rc::default();
        look_later(registry, &timer, pool.clone(), job, (limit, limit), then);
        Self { timer }
    }

    /// The job has ended.
    pub(crate) fn end(self, registry: &mut Registry) {
        if let Some(timer) = self.timer.take() {
            registry.cancel(timer);
        }
    }
}

fn look_later(
    registry: &mut Registry,
    timer: &Rc<Cell<Option<TimerId>>>,
    pool: Pool,
    job: JobId,
    (left, limit): (Duration, Duration),
    then: impl FnOnce(&mut Registry) -> Result + 'static,
) {
    let place = Rc::clone(timer);
    let id = registry.call_later(left, move |registry| {
        place.set(None);
        let left = match pool.progress(job) {
            Progress::Ended => return Ok(()),
            Progress::Waiting => limit,
            Progress::Running(time) => limit.saturating_sub(time),
        };
        if !left.is_zero() {
            look_later(registry, &place, pool, job, (left, limit), then);
            return Ok(());
        }
        log::error!("a handler takes longer than {limit:?}");
        if !pool.replace(job) {
            log::error!("too many handlers take too long: their threads are not replaced");
        }
        then(registry)
    });
    timer.set(Some(id));
}
