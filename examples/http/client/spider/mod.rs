//! `--spider`: follows the links of one server, and reports those that lead nowhere.
//!
//! A [`Crawl`] knows which pages have been found and which are next; [`page`] fetches one, [`robots`] asks first which may
//! be.

use std::{
    cell::RefCell,
    collections::{HashSet, VecDeque},
    rc::Rc,
};

use asynchat::{Registry, Result};
use clap::Args;
use shared::http::{
    async_http::AsyncHttp,
    challenge::Credentials,
    coding::Decoding,
    consumer::{Consumer, Order},
    links::MAX_URL,
    robots::Robots,
    url::Url,
};

use crate::{
    identity::{Session, authenticating},
    output::Output,
    report::Failures,
};

mod page;
mod robots;

/// Requests at the same time.
const AT_ONCE: usize = 4;
/// How much larger than on its way a page may be.
const MAX_RATIO: u64 = 200;

#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Spider")]
pub(crate) struct SpiderOptions {
    /// Follow the links of HTML pages to pages of the same server, as its robots.txt allows, and report those that fail
    #[arg(long, conflicts_with_all = ["target", "body", "method", "head_only"])]
    pub(crate) spider: bool,
    /// How many links in a row to follow
    #[arg(long, value_name = "NUM", default_value_t = 3, requires = "spider")]
    depth: usize,
    /// How many pages to fetch
    #[arg(long, value_name = "NUM", default_value_t = 1000, requires = "spider")]
    max_pages: usize,
}

/// A page that a link leads to.
#[derive(Clone)]
struct Found {
    url: Url,
    depth: usize,
    /// The page with the link.
    from: Option<Url>,
}

#[derive(Default)]
struct Counts {
    pages: usize,
    failed: usize,
    forbidden: usize,
    elsewhere: usize,
    left_out: usize,
}

struct Crawl {
    order: Order,
    session: Rc<Session>,
    credentials: Option<Credentials>,
    options: SpiderOptions,
    output: Output,
    failures: Failures,
    robots: Robots,
    seen: HashSet<Url>,
    waiting: VecDeque<Found>,
    running: usize,
    /// Somebody is at it.
    goes_on: bool,
    /// Nobody sees what is found.
    is_unseen: bool,
    counts: Counts,
}

type Shared = Rc<RefCell<Crawl>>;

/// Begins with the page of this order.
pub(crate) fn start(
    registry: &mut Registry,
    order: Order,
    session: &Rc<Session>,
    options: SpiderOptions,
    (output, failures): (Output, Failures),
) {
    let start = order.url.clone();
    let mut crawl = Crawl {
        order,
        session: Rc::clone(session),
        credentials: session.credentials(),
        options,
        output,
        failures,
        robots: Robots::default(),
        seen: HashSet::new(),
        waiting: VecDeque::new(),
        running: 0,
        goes_on: false,
        is_unseen: false,
        counts: Counts::default(),
    };
    crawl.find(start, 0, None);
    robots::ask(registry, &Rc::new(RefCell::new(crawl)));
}

impl Crawl {
    /// A link leads there.
    fn find(&mut self, url: Url, depth: usize, from: Option<&Url>) {
        let is_here = url.is_same_origin(&self.order.url);
        if self.is_unseen || self.seen.contains(&url) {
            return;
        }
        if !is_here {
            self.counts.elsewhere += 1;
        } else if self.seen.len() >= self.options.max_pages || url.absolute().len() > MAX_URL {
            self.counts.left_out += 1;
        } else {
            self.seen.insert(url.clone());
            self.waiting.push_back(Found {
                url,
                depth,
                from: from.cloned(),
            });
        }
    }

    /// The next page that may be fetched.
    fn next(&mut self) -> Option<Found> {
        if self.running >= AT_ONCE {
            return None;
        }
        while let Some(found) = self.waiting.pop_front() {
            if self.robots.allows(found.url.target()) {
                self.running += 1;
                return Some(found);
            }
            self.counts.forbidden += 1;
        }
        None
    }

    fn order_for(&self, url: Url) -> Order {
        Order {
            url,
            ..self.order.clone()
        }
    }

    /// The consumer with all around it that a request of this server needs.
    fn stack(&self, consumer: impl Consumer + 'static) -> Box<dyn Consumer> {
        let consumer = Box::new(Decoding::new(consumer, MAX_RATIO));
        let consumer = authenticating(consumer, self.credentials.clone(), &self.order.url);
        self.session.with_cookies(consumer)
    }

    fn fail(&mut self, line: &str) {
        self.failures
            .borrow_mut()
            .push(shared::text::printable(line));
    }

    /// An error is the end of the crawl.
    fn show(&mut self, line: &str) -> Result {
        let shown = self.output.line(line);
        if shown.is_err() {
            self.is_unseen = true;
            self.waiting.clear();
        }
        Ok(shown?)
    }

    fn is_done(&self) -> bool {
        self.running == 0 && self.waiting.is_empty()
    }

    fn summary(&self) -> Result {
        let Counts {
            pages,
            failed,
            forbidden,
            elsewhere,
            left_out,
        } = self.counts;
        let mut line = format!("{pages} pages of {}, {failed} failed", self.order.url);
        for (count, what) in [
            (forbidden, "not allowed by robots.txt"),
            (elsewhere, "links to other servers"),
            (left_out, "left out by --max-pages"),
        ] {
            if count > 0 {
                line.push_str(&format!(", {count} {what}"));
            }
        }
        Ok(self.output.line(&line)?)
    }
}

/// Fetches what is waiting, as far as there is room. A request that fails at once comes back here.
fn go_on(registry: &mut Registry, crawl: &Shared) {
    if std::mem::replace(&mut crawl.borrow_mut().goes_on, true) {
        return;
    }
    loop {
        let next = crawl.borrow_mut().next();
        let Some(found) = next else { break };
        let order = crawl.borrow().order_for(found.url.clone());
        let page = page::Page::new(Rc::clone(crawl), found);
        let consumer = crawl.borrow().stack(page);
        AsyncHttp::start(registry, order, consumer);
    }
    let mut crawl = crawl.borrow_mut();
    crawl.goes_on = false;
    // A summary that nobody reads is none of the server's failures.
    if crawl.is_done()
        && let Err(error) = crawl.summary()
    {
        crawl.failures.borrow_mut().push(error.to_string());
    }
}
