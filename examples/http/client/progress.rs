//! The consumer that draws a progress bar on a terminal while the one in it works.

use std::rc::Rc;

use asynchat::{BoxError, Result};
use shared::{
    http::{
        consumer::{Consumer, Order, Request},
        upload::Watch,
    },
    progress::Bar,
};

pub(crate) struct Progress<C> {
    bar: Bar,
    upload: Option<Rc<Bar>>,
    /// Otherwise only what is sent has a bar.
    is_saved: bool,
    consumer: C,
}

impl<C> Progress<C> {
    pub(crate) fn new(consumer: C, is_saved: bool) -> Self {
        Self {
            bar: Bar::hidden(),
            upload: None,
            is_saved,
            consumer,
        }
    }

    fn end_upload(&mut self) {
        if let Some(bar) = self.upload.take() {
            bar.end();
        }
    }
}

impl<C: Consumer> Consumer for Progress<C> {
    fn http_request(&mut self, order: &mut Order) -> Result {
        if let Some(body) = &order.body {
            let bar = Rc::new(Bar::new(Some(body.len())));
            self.upload = Some(Rc::clone(&bar));
            order.watch = Some(Watch::new(move |bytes| bar.inc(bytes)));
        }
        self.consumer.http_request(order)
    }

    fn http_header(&mut self, request: &mut Request<'_, '_>) -> Result {
        self.end_upload();
        if self.is_saved {
            self.bar = Bar::new(request.length);
        }
        self.consumer.http_header(request)
    }

    fn feed(&mut self, data: &[u8]) -> Result {
        self.bar.inc(data.len() as u64);
        self.consumer.feed(data)
    }

    fn close(&mut self, outcome: Result<(), BoxError>) {
        self.end_upload();
        self.bar.end();
        self.consumer.close(outcome);
    }
}
