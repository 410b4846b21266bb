//! The consumer that follows redirects and hands everything else on to the consumer in it.

use asynchat::{BoxError, Result};
use clap::Args;
use shared::http::{
    async_http::AsyncHttp,
    consumer::{Consumer, Order, Request},
    url::{Url, without_user},
};

use crate::output::Output;

/// Which redirects are followed.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Redirects {
    /// How many redirects to follow
    #[arg(long, value_name = "NUM", default_value_t = 10)]
    max_redirects: usize,
    /// Follow redirects from https to http too
    #[arg(long)]
    allow_downgrade: bool,
}

pub(crate) struct RedirectingConsumer<C> {
    /// `None` once it has moved on to the next request.
    consumer: Option<C>,
    redirects: Redirects,
    /// Where redirects led from, to notice a loop.
    visited: Vec<Url>,
    output: Output,
}

impl<C: Consumer + 'static> RedirectingConsumer<C> {
    pub(crate) fn new(consumer: C, redirects: Redirects, output: Output) -> Self {
        Self {
            consumer: Some(consumer),
            redirects,
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
        // curl follows it. Here it is an error: anybody on the way can change what comes then, and it would look like what
        // was asked for.
        if here.is_https() && !next.is_https() && !self.redirects.allow_downgrade {
            return Err(format!(
                "redirected to {next}: from https to http is followed with --allow-downgrade only"
            )
            .into());
        }
        let max = self.redirects.max_redirects;
        if self.visited.len() == max {
            return Err(format!("redirected to {next}: more than {max} redirects").into());
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
            redirects: self.redirects,
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
