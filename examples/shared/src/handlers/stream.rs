//! Blocking handlers behind connections.

use std::{
    io::{ErrorKind, Write},
    sync::Arc,
    time::Duration,
};

use asynchat::{
    Address, Channel, ChannelId, Closed, Dispatcher, Exceptional, Registry, Result, State, Stream,
    VisitError,
};

use super::{
    BlockingHandler, BlockingRequest, Times,
    pipe::Pipe,
    pool::{JobId, Pool},
};

/// A listening socket whose connections are served by a handler on the threads of a pool. Without a place in the pool no
/// connection is accepted: clients wait in the backlog of the system.
pub struct StreamServer {
    pool: Pool,
    handler: Arc<dyn BlockingHandler>,
    times: Times,
}

impl StreamServer {
    pub fn new(pool: &Pool, handler: Arc<dyn BlockingHandler>, times: Times) -> Self {
        Self {
            pool: pool.clone(),
            handler,
            times,
        }
    }

    /// Accepts nothing until the pool has room.
    fn wait_for_room(&self, channel: &mut Channel<'_>) {
        if self.pool.has_room() {
            return;
        }
        channel.pause_reading(Duration::MAX);
        let (handle, id) = (channel.registry().handle(), channel.id());
        self.pool.when_room(move || {
            // The reactor may be gone.
            let _ = handle.call_soon(move |registry| {
                if let Some(mut channel) = registry.channel(id) {
                    channel.resume_reading();
                }
                Ok(())
            });
        });
    }
}

impl Dispatcher for StreamServer {
    fn handle_accepted(
        &mut self,
        channel: &mut Channel<'_>,
        stream: Stream,
        peer: Address,
    ) -> Result {
        log::info!("connection from {peer}");
        let registry = channel.registry();
        let session = Session {
            pool: self.pool.clone(),
            handler: Arc::clone(&self.handler),
            times: self.times,
            peer,
            work: None,
            has_begun: false,
            has_ended: false,
        };
        let id = registry.register(stream, session)?;
        registry.try_with(id, |session: &mut Session, channel| {
            session.begin(channel);
            Ok(())
        })?;
        self.wait_for_room(channel);
        Ok(())
    }
}

/// One connection.
struct Session {
    pool: Pool,
    handler: Arc<dyn BlockingHandler>,
    times: Times,
    peer: Address,
    /// `None` until the pool has room.
    work: Option<(Arc<Pipe<()>>, JobId)>,
    has_begun: bool,
    has_ended: bool,
}

impl Session {
    /// Gives the pool the job, or waits for room: several listeners may have accepted in one turn.
    fn begin(&mut self, channel: &mut Channel<'_>) {
        let (handle, id) = (channel.registry().handle(), channel.id());
        let call = move |f: fn(&mut Self, &mut Channel<'_>)| {
            // The reactor may be gone.
            let _ = handle.call_soon(move |registry| {
                match registry.with(id, |session: &mut Self, channel| f(session, channel)) {
                    // Gone meanwhile.
                    Ok(()) | Err(VisitError::Closed(_)) => Ok(()),
                    Err(error) => Err(error.into()),
                }
            });
        };
        let wake = call.clone();
        let pipe = Pipe::new(move || wake(Self::look));
        let (handler, peer) = (Arc::clone(&self.handler), self.peer.clone());
        let job = Arc::clone(&pipe);
        let job = self.pool.submit(move || {
            let guard = EndOnPanic(&job);
            let outcome = serve(&*handler, &job, &peer);
            job.end(outcome);
            std::mem::forget(guard);
        });
        match job {
            Ok(job) => self.work = Some((pipe, job)),
            Err(_) => self.pool.when_room(move || call(Self::begin)),
        }
    }

    /// Takes what the handler has written.
    fn look(&mut self, channel: &mut Channel<'_>) {
        let Some((pipe, job)) = &self.work else {
            return;
        };
        let look = pipe.look(!channel.is_congested());
        if look.has_begun && !self.has_begun {
            self.has_begun = true;
            let (job, limit) = (*job, self.times.handler);
            channel.call_later(limit, move |session: &mut Self, channel| {
                session.give_up(channel, job, limit);
                Ok(())
            });
        }
        if !look.output.is_empty() {
            channel.push(look.output);
        }
        match look.outcome {
            Some(Ok(())) => {
                self.has_ended = true;
                channel.close_when_done();
            }
            Some(Err(error)) => {
                self.has_ended = true;
                log::warn!("{}: {error}", channel.describe());
                channel.close_when_done();
            }
            // There may be room for input again.
            None => channel.touch(),
        }
    }

    /// The handler takes too long.
    fn give_up(&mut self, channel: &mut Channel<'_>, job: JobId, limit: Duration) {
        if self.has_ended {
            return;
        }
        log::error!(
            "{}: the handler takes longer than {limit:?}",
            channel.describe()
        );
        if !self.pool.replace(job) {
            log::error!("too many handlers take too long: their threads are not replaced");
        }
        if let Some((pipe, _)) = &self.work {
            pipe.break_off(
                ErrorKind::TimedOut,
                format!("the handler takes longer than {limit:?}"),
            );
        }
        channel.close();
    }
}

/// A handler that panics has ended too.
struct EndOnPanic<'a>(&'a Arc<Pipe<()>>);

impl Drop for EndOnPanic<'_> {
    fn drop(&mut self) {
        self.0.end(Err("the handler panicked".into()));
    }
}

fn serve(handler: &dyn BlockingHandler, pipe: &Arc<Pipe<()>>, peer: &Address) -> Result {
    pipe.begin();
    let (mut rfile, mut wfile) = pipe.files();
    let outcome = handler.handle(&mut BlockingRequest {
        rfile: &mut rfile,
        wfile: &mut wfile,
        client_address: peer,
    });
    // What it has written leaves, also if it has failed.
    let flushed = wfile.flush();
    outcome?;
    Ok(flushed?)
}

impl Dispatcher for Session {
    fn readable(&self) -> bool {
        let pipe = self.work.as_ref();
        pipe.is_some_and(|(pipe, _)| pipe.wants_input())
    }

    fn writable(&self) -> bool {
        false
    }

    fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
        channel.set_idle_timeout(Some(self.times.idle));
        Ok(())
    }

    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        if let Some((pipe, _)) = &self.work {
            channel.recv_with(|_, data| pipe.give(data))?;
        }
        Ok(())
    }

    fn handle_drain(&mut self, channel: &mut Channel<'_>) -> Result {
        self.look(channel);
        Ok(())
    }

    /// The client may wait for the answer.
    fn handle_close(&mut self, channel: &mut Channel<'_>) -> Result {
        if let Some((pipe, _)) = &self.work {
            match channel.is_reset() {
                true => pipe.break_off(ErrorKind::ConnectionReset, "reset by the client"),
                false => pipe.give_end(),
            }
        }
        Ok(())
    }

    fn handle_expt(&mut self, _: &mut Channel<'_>, _: Exceptional) -> Result {
        Ok(())
    }

    /// A handler that computes has a time of its own.
    fn handle_timeout(&mut self, channel: &mut Channel<'_>) -> Result {
        let waits = self.work.as_ref().is_some_and(|(pipe, _)| pipe.waits());
        if waits || channel.outgoing_len() > 0 {
            log::info!("{}: the client is silent", channel.describe());
            if let Some((pipe, _)) = &self.work {
                let idle = self.times.idle;
                pipe.break_off(
                    ErrorKind::TimedOut,
                    format!("the client is silent for {idle:?}"),
                );
            }
            channel.close();
        }
        Ok(())
    }

    fn handle_closed(&mut self, _: &mut Registry, why: Closed) {
        if let Some((pipe, _)) = &self.work {
            pipe.break_off(ErrorKind::ConnectionAborted, why.to_string());
        }
    }
}

/// Also if the reactor is dropped with its channels.
impl Drop for Session {
    fn drop(&mut self) {
        if let Some((pipe, job)) = &self.work {
            self.pool.cancel(*job);
            pipe.break_off(ErrorKind::ConnectionAborted, "the server has ended");
        }
    }
}

/// Ends the reactor gracefully: listeners and connections whose handler has not begun close now, the others when their
/// handlers have ended, or after `grace`.
pub fn shut_down(registry: &mut Registry, grace: Duration) {
    for id in registry.ids() {
        let is_busy = is_busy(registry, id);
        if let Some(mut channel) = registry.channel(id)
            && !is_busy
        {
            match channel.state() {
                State::Listening => channel.close(),
                _ => channel.close_when_done(),
            }
        }
    }
    wait_for_handlers(registry, registry.now() + grace);
}

fn wait_for_handlers(registry: &mut Registry, until: std::time::Instant) {
    const LOOK: Duration = Duration::from_millis(50);
    let ids = registry.ids();
    if registry.now() >= until || !ids.into_iter().any(|id| is_busy(registry, id)) {
        registry.shutdown(LAST_GRACE);
        return;
    }
    registry.call_later(LOOK, move |registry| {
        wait_for_handlers(registry, until);
        Ok(())
    });
}

/// The time that is left for bytes on their way when the grace is over.
const LAST_GRACE: Duration = Duration::from_millis(500);

fn is_busy(registry: &mut Registry, id: ChannelId) -> bool {
    let busy = registry.with(id, |session: &mut Session, _| {
        session.has_begun && !session.has_ended
    });
    busy == Ok(true)
}
