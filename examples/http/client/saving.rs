//! The consumer behind `-o`: saves the body before it hands it on.

use asynchat::{BoxError, Result};
use shared::{
    http::consumer::{Consumer, Order, Request},
    saving::{Sink, Target},
};

pub(crate) struct Saving<C> {
    target: Target,
    /// Opened when there is something to save, so that a failed connection leaves an older file alone.
    sink: Option<Sink>,
    consumer: C,
}

impl<C> Saving<C> {
    pub(crate) fn new(target: Target, consumer: C) -> Self {
        Self {
            target,
            sink: None,
            consumer,
        }
    }
}

impl<C: Consumer> Consumer for Saving<C> {
    fn http_request(&mut self, order: &mut Order) -> Result {
        self.consumer.http_request(order)
    }

    fn http_header(&mut self, request: &mut Request<'_, '_>) -> Result {
        self.consumer.http_header(request)?;
        self.sink = Some(self.target.open()?);
        Ok(())
    }

    fn feed(&mut self, data: &[u8]) -> Result {
        if let Some(sink) = &mut self.sink {
            sink.write_all(data)?;
        }
        self.consumer.feed(data)
    }

    fn close(&mut self, outcome: Result<(), BoxError>) {
        let complete = outcome.is_ok();
        let saved = match self.sink.take() {
            Some(sink) => sink.finish(complete),
            None => Ok(()),
        };
        self.consumer.close(outcome.and(saved));
    }
}
