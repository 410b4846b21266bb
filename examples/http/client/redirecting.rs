//! The consumer that follows redirects and hands everything else on to the consumer in it.

use asynchat::{BoxError, Result};
use shared::http::{
    async_http::AsyncHttp,
    consumer::{Consumer, Order, Request},
    url::{Url, without_user},
};

use crate::output::Output;

pub(crate) struct RedirectingConsumer<C> {
    /// `None` once it has moved on to the next request.
    consumer: Option<C>,
    /// How many redirects may follow.
    max: usize,
    /// Where redirects led from, to notice a loop.
    visited: Vec<Url>,
    output: Output,
}

impl<C: Consumer + 'static> RedirectingConsumer<C> {
    pub(crate) fn new(consumer: C, max: usize, output: Output) -> Self {
        Self {
            consumer: Some(consumer),
            max,
            visited: Vec::new(),
            output,
        }
    }

    /// Where to go on instead.
    fn next_url(&self, here: &Url, location: &[u8]) -> Result<Url> {
        let next = here.join(location).map_err(|error| {
            let location = String::from_utf8_lossy(location);
            format!("redirected to {}: {error}", without_user(&location))
        })?;
        if self.visited.len() == self.max {
            return Err(format!("redirected to {next}: more than {} redirects", self.max).into());
        }
        if next == *here || self.visited.contains(&next) {
            return Err(format!("redirected to {next}: redirects go round in a loop").into());
        }
        Ok(next)
    }
}

impl<C: Consumer + 'static> Consumer for RedirectingConsumer<C> {
    fn http_header(&mut self, request: &mut Request<'_, '_>) -> Result {
        let location = match request.head.status {
            301 | 302 | 303 | 307 | 308 => request.head.get("location"),
            _ => None,
        };
        let Some(location) = location else {
            return match &mut self.consumer {
                Some(consumer) => consumer.http_header(request),
                None => Ok(()),
            };
        };
        let here = &request.order.url;
        let url = self.next_url(here, location)?;
        self.output.line(&format!("redirecting to {url} ..."))?;
        let order = Order {
            url,
            ..request.order.clone()
        };
        let mut visited = std::mem::take(&mut self.visited);
        visited.push(here.clone());
        let next = Self {
            consumer: self.consumer.take(),
            max: self.max,
            visited,
            output: self.output.clone(),
        };
        request.close();
        AsyncHttp::start(request.registry(), order, next);
        Ok(())
    }

    fn feed(&mut self, data: &[u8]) -> Result {
        match &mut self.consumer {
            Some(consumer) => consumer.feed(data),
            None => Ok(()),
        }
    }

    fn close(&mut self, outcome: Result<(), BoxError>) {
        if let Some(consumer) = &mut self.consumer {
            consumer.close(outcome);
        }
    }
}
