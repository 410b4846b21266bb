//! The consumer that follows redirects and hands everything else on to the consumer in it (RFC 9110, 15.4).

use asynchat::{BoxError, Registry, Result};
use clap::Args;

use super::{
    consumer::{Consumer, Method, Order, Request},
    url::{Url, without_user},
};

/// Which redirects are followed.
#[derive(Args, Clone, Copy, Debug)]
pub struct Redirects {
    /// How many redirects to follow
    #[arg(long, value_name = "NUM", default_value_t = 10)]
    max_redirects: usize,
    /// Follow redirects from https to http too
    #[arg(long)]
    allow_downgrade: bool,
}

impl Redirects {
    /// This number, and none to `http`.
    pub fn up_to(max_redirects: usize) -> Self {
        Self {
            max_redirects,
            allow_downgrade: false,
        }
    }
}

/// What an answer may depend on: the same URL may lead elsewhere for another method, or once a cookie is set.
#[derive(PartialEq, Eq)]
struct Made {
    url: Url,
    method: Method,
    cookies: Option<String>,
}

impl Made {
    fn of(order: &Order) -> Self {
        let cookies = order.added.iter().find(|(name, _)| *name == "Cookie");
        Self {
            url: order.url.clone(),
            method: order.method.clone(),
            cookies: cookies.map(|(_, value)| value.clone()),
        }
    }
}

pub struct RedirectingConsumer<C> {
    consumer: C,
    redirects: Redirects,
    /// The requests that redirects answered, to notice a loop.
    made: Vec<Made>,
    /// Is shown where a redirect leads.
    tell: Box<dyn FnMut(&Url) -> Result>,
}

impl<C: Consumer + 'static> RedirectingConsumer<C> {
    pub fn new(
        consumer: C,
        redirects: Redirects,
        tell: impl FnMut(&Url) -> Result + 'static,
    ) -> Self {
        Self {
            consumer,
            redirects,
            made: Vec::new(),
            tell: Box::new(tell),
        }
    }

    /// Where to go on instead.
    fn next_url(&self, made: &Made, location: &[u8]) -> Result<Url> {
        let here = &made.url;
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
        if self.made.len() == max {
            return Err(format!("redirected to {next}: more than {max} redirects").into());
        }
        if self.made.contains(made) {
            return Err(format!("redirected to {next}: redirects go round in a loop").into());
        }
        Ok(next)
    }
}

/// The request that a redirect with this status makes of one.
fn redirected(order: &Order, status: u16, url: Url) -> Order {
    let mut order = order.clone();
    if !order.url.is_same_origin(&url) {
        order.fields.forget_origin();
    }
    let becomes_get = match status {
        // For historical reasons, as all clients do.
        301 | 302 => order.method == Method::POST,
        303 => order.method != Method::HEAD,
        _ => false,
    };
    if becomes_get {
        order.method = Method::GET;
        order.body = None;
        order.fields.forget_body();
    }
    order.url = url;
    order
}

impl<C: Consumer + 'static> Consumer for RedirectingConsumer<C> {
    fn http_request(&mut self, order: &mut Order) -> Result {
        self.consumer.http_request(order)
    }

    fn http_header(&mut self, request: &mut Request<'_, '_>) -> Result {
        let status = request.head.status;
        let location = match status {
            301 | 302 | 303 | 307 | 308 => request.head.get("location"),
            _ => None,
        };
        let Some(location) = location else {
            return self.consumer.http_header(request);
        };
        let made = Made::of(request.order);
        let url = self.next_url(&made, location)?;
        (self.tell)(&url)?;
        self.made.push(made);
        request.again(redirected(request.order, status, url));
        Ok(())
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

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::{super::consumer::Agent, super::upload::Upload, *};

    fn order(method: &str) -> Order {
        let url = Url::parse(b"https://a.example/").expect("a URL");
        let fields = ["Authorization: x", "Host: h", "Content-Type: y", "X: z"].map(str::parse);
        let fields: Result<_, _> = fields.into_iter().collect();
        Order {
            method: method.parse().expect("a method"),
            body: Some(Upload::default()),
            fields: fields.expect("fields"),
            ..Order::get(url, &Rc::new(Agent::default()))
        }
    }

    #[test]
    fn method_and_body_are_kept_or_become_get_as_the_status_says() {
        for (status, from, to) in [
            (301, "POST", "GET"),
            (302, "POST", "GET"),
            (303, "POST", "GET"),
            (307, "POST", "POST"),
            (308, "POST", "POST"),
            (301, "PUT", "PUT"),
            (302, "DELETE", "DELETE"),
            (303, "PUT", "GET"),
            (303, "HEAD", "HEAD"),
            (301, "HEAD", "HEAD"),
            (307, "GET", "GET"),
        ] {
            let url = Url::parse(b"https://a.example/b").expect("a URL");
            let next = redirected(&order(from), status, url);
            assert_eq!(next.method.as_str(), to, "{status} {from}");
            let kept = from == to;
            assert_eq!(next.body.is_some(), kept, "{status} {from}");
            assert_eq!(next.fields.has("content-type"), kept, "{status} {from}");
            assert!(next.fields.has("authorization") && next.fields.has("x"));
        }
    }

    #[test]
    fn secrets_and_the_name_of_a_host_stay_with_their_origin() {
        for (url, same) in [
            ("https://a.example/b", true),
            ("https://a.example:443/b", true),
            ("http://a.example/", false),
            ("https://a.example:444/", false),
            ("https://b.a.example/", false),
            ("https://a.example.evil.example/", false),
        ] {
            let next = Url::parse(url.as_bytes()).expect("a URL");
            let next = redirected(&order("GET"), 302, next);
            assert_eq!(next.fields.has("authorization"), same, "{url}");
            assert_eq!(next.fields.has("host"), same, "{url}");
            assert!(next.fields.has("x"), "{url}");
        }
    }
}
