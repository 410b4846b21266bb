//! The server's robots.txt, before any page (RFC 9309, 2.3).

use std::rc::Rc;

use asynchat::{BoxError, Registry, Result};
use shared::http::{
    USER_AGENT,
    async_http::AsyncHttp,
    consumer::{Consumer, Request},
    redirecting::{RedirectingConsumer, Redirects},
    robots::{MAX_FILE, Robots},
};

use super::{Shared, go_on};

/// As many as the RFC asks for.
const REDIRECTS: usize = 5;

struct RobotsFile {
    crawl: Shared,
    status: u16,
    body: Vec<u8>,
    is_long: bool,
    may_go_on: bool,
}

/// Fetches robots.txt, and then begins with the pages.
pub(super) fn ask(registry: &mut Registry, crawl: &Shared) {
    let file = RobotsFile {
        crawl: Rc::clone(crawl),
        status: 0,
        body: Vec::new(),
        is_long: false,
        may_go_on: false,
    };
    let file = RedirectingConsumer::new(file, Redirects::up_to(REDIRECTS), |_| Ok(()));
    let (order, consumer) = {
        let crawl = crawl.borrow();
        let url = crawl.order.url.join(b"/robots.txt");
        let order = crawl.order_for(url.unwrap_or_else(|_| crawl.order.url.clone()));
        (order, crawl.stack(file))
    };
    AsyncHttp::start(registry, order, consumer);
}

impl Consumer for RobotsFile {
    fn http_header(&mut self, request: &mut Request<'_, '_>) -> Result {
        self.status = request.head.status;
        Ok(())
    }

    fn feed(&mut self, data: &[u8]) -> Result {
        let room = MAX_FILE - self.body.len();
        self.body.extend_from_slice(&data[..data.len().min(room)]);
        self.is_long = data.len() > room;
        match self.is_long {
            true => Err("the rest of robots.txt is not read".into()),
            false => Ok(()),
        }
    }

    fn close(&mut self, outcome: Result<(), BoxError>) {
        let mut crawl = self.crawl.borrow_mut();
        let why = match (self.status, outcome) {
            (_, Err(error)) if !self.is_long => error.to_string(),
            (500.., _) => format!("status {}", self.status),
            (status, _) => {
                // A server without the file has no rules.
                if let 200..300 = status {
                    crawl.robots = Robots::parse(&self.body, USER_AGENT);
                }
                self.may_go_on = true;
                return;
            }
        };
        let url = crawl.order.url.clone();
        crawl.fail(&format!(
            "{url}: robots.txt cannot be read, so nothing may be fetched: {why}"
        ));
    }

    fn finished(&mut self, registry: &mut Registry) {
        if self.may_go_on {
            go_on(registry, &self.crawl);
        }
    }
}
