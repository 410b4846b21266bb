//! From the callbacks of the service to a handler on its thread.

use std::{io::ErrorKind, sync::Arc};

use asynchat::{BoxError, Closed, Registry, Result};

use super::{
    HttpRequest, RequestHandler,
    request::{Given, Head},
};
use crate::{
    handlers::{
        Pool, Times,
        pipe::{Look, Pipe},
        pool::JobId,
        watch::Watch,
    },
    http::{
        request::Request,
        service::{self, Answer, Answered, Exchange, Handler},
    },
};

/// Bytes of a body that are here before its handler begins, unless the body is shorter.
const AHEAD: u64 = 32 * 1024;

/// Serves the requests of one connection with a [`RequestHandler`] on the threads of a pool. Without a place in the pool a
/// request is answered with 503.
///
/// A handler begins when the request is complete, or a good piece of its body is here: slow clients wait on the loop, where
/// they cost no thread.
pub struct Threaded<H> {
    handler: Arc<H>,
    pool: Pool,
    times: Times,
    work: Option<Work>,
    /// Of the last request: at most one for each connection.
    watch: Option<Watch>,
    log: fn(&Answered<'_>),
}

/// A request that is being served.
struct Work {
    pipe: Arc<Pipe<Head>>,
    /// Until the handler begins.
    given: Option<Given>,
    came: u64,
    job: Option<JobId>,
}

impl<H: RequestHandler> Threaded<H> {
    pub fn new(handler: &Arc<H>, pool: &Pool, times: Times) -> Self {
        Self {
            handler: Arc::clone(handler),
            pool: pool.clone(),
            times,
            work: None,
            watch: None,
            log: |answered| log::info!("{answered}"),
        }
    }

    /// `log` is called with each answer.
    #[must_use]
    pub fn log_with(mut self, log: fn(&Answered<'_>)) -> Self {
        self.log = log;
        self
    }

    /// Gives the request to a thread, if it has none.
    fn begin(&mut self, exchange: &mut Exchange<'_, '_>) -> Result {
        let Some(work) = &mut self.work else {
            return Ok(());
        };
        let Some(given) = work.given.take() else {
            return Ok(());
        };
        let (handler, pipe) = (Arc::clone(&self.handler), Arc::clone(&work.pipe));
        let job = self.pool.submit(move || {
            let ending = Ending(&pipe);
            let outcome = serve(&*handler, given, &pipe);
            pipe.end(outcome);
            std::mem::forget(ending);
        });
        let Ok(job) = job else {
            self.work = None;
            let answer = Answer::new(503).with("Retry-After", "5")?;
            return exchange.error_with(answer, "The server has too much to do. Try again soon.");
        };
        work.job = Some(job);
        let (limit, ticket) = (self.times.handler, exchange.ticket());
        let give_up = move |registry: &mut Registry| {
            service::with(registry, ticket, |_: &mut Self, _| {
                Err("the handler takes too long".into())
            });
            Ok(())
        };
        let watch = Watch::start(exchange.registry(), &self.pool, job, limit, give_up);
        self.watch = Some(watch);
        Ok(())
    }

    /// Takes what the handler has given.
    fn look(&mut self, exchange: &mut Exchange<'_, '_>) -> Result {
        let Some(work) = &self.work else {
            return Ok(());
        };
        let Look {
            head,
            output,
            outcome,
            ..
        } = work.pipe.look(!exchange.is_congested());
        match head {
            Some(Head::Answer { answer, close }) => {
                if close {
                    exchange.close_after();
                }
                exchange.begin(&answer)?;
            }
            Some(Head::Error { answer, explain }) => exchange.error_with(answer, &explain)?,
            None => {}
        }
        // Behind the page of an error there is nothing to be written.
        if !output.is_empty() && !exchange.has_ended() {
            exchange.write(&output)?;
        }
        let Some(outcome) = outcome else {
            return Ok(());
        };
        self.work = None;
        self.end_watch(exchange.registry());
        outcome?;
        match exchange.has_ended() {
            true => Ok(()),
            false => exchange.end(),
        }
    }

    fn end_watch(&mut self, registry: &mut Registry) {
        if let Some(watch) = self.watch.take() {
            watch.end(registry);
        }
    }

    /// The exchange is over.
    fn drop_work(&mut self) {
        if let Some(Work { pipe, job, .. }) = self.work.take() {
            if let Some(job) = job {
                self.pool.cancel(job);
            }
            pipe.break_off(ErrorKind::ConnectionAborted, "the exchange is over");
        }
    }
}

impl<H: RequestHandler> Handler for Threaded<H> {
    fn request(&mut self, exchange: &mut Exchange<'_, '_>, request: &Request<'_>) -> Result {
        self.drop_work();
        self.end_watch(exchange.registry());
        let Some(given) = Given::new(request, exchange.peer()) else {
            return exchange.error(400, "The target names no host.");
        };
        let ticket = exchange.ticket();
        let handle = exchange.registry().handle();
        let pipe = Pipe::new(move || {
            // The reactor may be gone.
            let _ = handle.call_soon(move |registry| {
                // And so may the exchange be.
                service::with(registry, ticket, Self::look);
                Ok(())
            });
        });
        self.work = Some(Work {
            pipe,
            given: Some(given),
            came: 0,
            job: None,
        });
        Ok(())
    }

    fn body(&mut self, exchange: &mut Exchange<'_, '_>, data: &[u8]) -> Result {
        let Some(work) = &mut self.work else {
            return Ok(());
        };
        work.pipe.give(data);
        work.came += data.len() as u64;
        match work.came >= AHEAD {
            true => self.begin(exchange),
            false => Ok(()),
        }
    }

    fn body_end(&mut self, exchange: &mut Exchange<'_, '_>) -> Result {
        if let Some(work) = &self.work {
            work.pipe.give_end();
        }
        self.begin(exchange)
    }

    fn readable(&self) -> bool {
        let work = self.work.as_ref();
        work.is_some_and(|work| work.pipe.wants_input())
    }

    fn drained(&mut self, exchange: &mut Exchange<'_, '_>) -> Result {
        self.look(exchange)
    }

    fn answered(&mut self, _: &mut Registry, answered: &Answered<'_>) {
        self.drop_work();
        (self.log)(answered);
    }

    fn gone(&mut self, registry: &mut Registry, _: &Closed) {
        self.end_watch(registry);
        self.drop_work();
    }
}

impl<H> Drop for Threaded<H> {
    fn drop(&mut self) {
        if let Some(work) = &self.work {
            work.pipe
                .break_off(ErrorKind::ConnectionAborted, "the server has ended");
        }
    }
}

/// A handler that panics has ended too.
struct Ending<'a>(&'a Arc<Pipe<Head>>);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.end(Err("the handler panicked".into()));
    }
}

fn serve<H: RequestHandler>(
    handler: &H,
    given: Given,
    pipe: &Arc<Pipe<Head>>,
) -> Result<(), BoxError> {
    let mut request = HttpRequest::new(given, pipe);
    handler.handle(&mut request)?;
    Ok(request.flush()?)
}
