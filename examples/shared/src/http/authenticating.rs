//! The consumer that proves who asks: to the server of one URL, and to no other.

use asynchat::{BoxError, Registry, Result};

use super::{
    challenge::{Asker, Credentials, Tries},
    consumer::{Consumer, Order, Request},
    url::Url,
};

pub struct Authenticating<C> {
    consumer: C,
    credentials: Credentials,
    /// What the credentials are for.
    origin: Url,
    tries: Tries,
}

impl<C> Authenticating<C> {
    /// `origin`: any URL of the server that the credentials are for.
    pub fn new(consumer: C, credentials: Credentials, origin: Url) -> Self {
        Self {
            consumer,
            credentials,
            origin,
            tries: Tries::default(),
        }
    }

    fn is_for(&self, order: &Order) -> bool {
        order.url.is_same_origin(&self.origin) && !order.fields.has(Asker::Server.field())
    }
}

impl<C: Consumer> Consumer for Authenticating<C> {
    fn http_request(&mut self, order: &mut Order) -> Result {
        self.consumer.http_request(order)?;
        if self.is_for(order) {
            let (method, target) = (order.method.as_str(), order.url.target());
            if let Some(proof) = self.credentials.prove(method, target)? {
                order.add(Asker::Server.field(), proof);
            }
        }
        Ok(())
    }

    fn http_header(&mut self, request: &mut Request<'_, '_>) -> Result {
        let order = request.order;
        let proved = order.has_added(Asker::Server.field());
        if request.head.status == Asker::Server.status()
            && self.is_for(order)
            && self.tries.next()
            && self.credentials.take(request.head, Asker::Server, proved)
        {
            request.again(order.clone());
            return Ok(());
        }
        self.consumer.http_header(request)
    }

    fn feed(&mut self, data: &[u8]) -> Result {
        self.consumer.feed(data)
    }

    fn close(&mut self, outcome: Result<(), BoxError>) {
        self.consumer.close(outcome);
    }

    fn finished(&mut self, registry: &mut Registry) {
        self.consumer.finished(registry);
    }
}
