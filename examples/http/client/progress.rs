//! The consumer that draws a progress bar on a terminal while the one in it works.

use asynchat::{BoxError, Result};
use shared::{
    http::consumer::{Consumer, Order, Request},
    progress::Bar,
};

pub(crate) struct Progress<C> {
    bar: Bar,
    consumer: C,
}

impl<C> Progress<C> {
    pub(crate) fn new(consumer: C) -> Self {
        Self {
            bar: Bar::hidden(),
            consumer,
        }
    }
}

impl<C: Consumer> Consumer for Progress<C> {
    fn http_request(&mut self, order: &mut Order) -> Result {
        self.consumer.http_request(order)
    }

    fn http_header(&mut self, request: &mut Request<'_, '_>) -> Result {
        self.bar = Bar::new(request.length);
        self.consumer.http_header(request)
    }

    fn feed(&mut self, data: &[u8]) -> Result {
        self.bar.inc(data.len() as u64);
        self.consumer.feed(data)
    }

    fn close(&mut self, outcome: Result<(), BoxError>) {
        self.bar.end();
        self.consumer.close(outcome);
    }
}
