//! One page of a crawl.

use std::rc::Rc;

use asynchat::{BoxError, Registry, Result};
use shared::http::{
    consumer::{Consumer, Request},
    links::links,
    response::Head,
};

use super::{Found, Shared, go_on};

/// Bytes of a page that are searched for links.
const MAX_PAGE: usize = 2 * 1024 * 1024;

pub(super) struct Page {
    crawl: Shared,
    found: Found,
    status: Option<u16>,
    body: Vec<u8>,
    /// The rest is not searched.
    is_long: bool,
}

impl Page {
    pub(super) fn new(crawl: Shared, found: Found) -> Self {
        Self {
            crawl,
            found,
            status: None,
            body: Vec::new(),
            is_long: false,
        }
    }

    fn has_links(&self, head: &Head) -> bool {
        let media_type = head.get("content-type").unwrap_or_default();
        let media_type = media_type.split(|&byte| byte == b';').next();
        let media_type = media_type.unwrap_or_default().trim_ascii();
        (200..300).contains(&head.status)
            && [&b"text/html"[..], b"application/xhtml+xml"]
                .iter()
                .any(|html| media_type.eq_ignore_ascii_case(html))
    }

    /// Where the answer leads, if it is a redirect.
    fn follow(&self, head: &Head) {
        let Found { url, depth, .. } = &self.found;
        if let (300..400, Some(location)) = (head.status, head.get("location"))
            && let Ok(next) = url.join(location)
        {
            self.crawl.borrow_mut().find(next, *depth, Some(url));
        }
    }

    fn conclude(&mut self, outcome: Result<(), BoxError>) {
        let mut crawl = self.crawl.borrow_mut();
        let Found { url, depth, from } = &self.found;
        crawl.running -= 1;
        crawl.counts.pages += 1;
        let why = match (self.status, outcome) {
            (_, Err(error)) if !self.is_long => Some(error.to_string()),
            (Some(status @ 400..), _) => Some(format!("status {status}")),
            _ => None,
        };
        if let Some(why) = why {
            crawl.counts.failed += 1;
            let from = match from {
                Some(page) => format!(" (linked by {page})"),
                None => String::new(),
            };
            crawl.fail(&format!("{url}: {why}{from}"));
        }
        for link in links(&self.body, url) {
            crawl.find(link, depth + 1, Some(url));
        }
        self.body = Vec::new();
    }
}

impl Consumer for Page {
    fn http_header(&mut self, request: &mut Request<'_, '_>) -> Result {
        let head = request.head;
        self.status = Some(head.status);
        let url = &self.found.url;
        let line = format!("{} {url}", head.status);
        self.crawl.borrow_mut().show(&line)?;
        self.follow(head);
        let is_last = self.found.depth >= self.crawl.borrow().options.depth;
        if is_last || !self.has_links(head) {
            self.conclude(Ok(()));
            request.close();
            go_on(request.registry(), &Rc::clone(&self.crawl));
        }
        Ok(())
    }

    fn feed(&mut self, data: &[u8]) -> Result {
        let room = MAX_PAGE - self.body.len();
        self.body.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() > room {
            self.is_long = true;
            return Err("the rest of the page is not searched".into());
        }
        Ok(())
    }

    fn close(&mut self, outcome: Result<(), BoxError>) {
        self.conclude(outcome);
    }

    fn finished(&mut self, registry: &mut Registry) {
        go_on(registry, &Rc::clone(&self.crawl));
    }
}
