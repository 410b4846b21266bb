//! The consumer behind `--fail`: an answer that reports an error is an error.

use asynchat::{BoxError, Result};
use shared::http::consumer::{Consumer, Order, Request};

pub(crate) struct Failing<C>(pub(crate) C);

impl<C: Consumer> Consumer for Failing<C> {
    fn http_request(&mut self, order: &mut Order) -> Result {
        self.0.http_request(order)
    }

    fn http_header(&mut self, request: &mut Request<'_, '_>) -> Result {
        self.0.http_header(request)?;
        match request.head.is_error() {
            true => Err(format!("the server answered with status {}", request.head.status).into()),
            false => Ok(()),
        }
    }

    fn feed(&mut self, data: &[u8]) -> Result {
        self.0.feed(data)
    }

    fn close(&mut self, outcome: Result<(), BoxError>) {
        self.0.close(outcome);
    }
}
