//! A proxy in memory, its clients and the servers it connects to.

use std::{cell::RefCell, rc::Rc, time::Duration};

use asynchat::{
    Reactor,
    testing::{Harness, Listener, Names},
};
use clap::Parser;
use shared::http::{
    auth::Users,
    forward_proxy::{Allow, Blocklist, Entrance, Entry, Limits, Proxy, Rewriting, Settings},
};

/// The options of the program that a test changes.
#[derive(Parser)]
struct Options {
    #[command(flatten)]
    allow: Allow,
    #[command(flatten)]
    rewriting: Rewriting,
    #[command(flatten)]
    limits: Limits,
}

pub(crate) struct Scene {
    listener: Listener,
    log: Rc<RefCell<Vec<String>>>,
    pub(crate) proxy: Rc<Proxy>,
}

impl Scene {
    /// Its name in Via is `p`; `a` and `b` are servers that it may connect to, `far` is one that it may not.
    pub(crate) fn new(options: &[&str]) -> Self {
        Self::with(options, Blocklist::default(), None)
    }

    pub(crate) fn with(options: &[&str], blocklist: Blocklist, users: Option<Users>) -> Self {
        let words = ["proxy", "--via", "p"].iter().chain(options);
        let options = Options::parse_from(words);
        let settings = Settings {
            allow: options.allow,
            blocklist,
            rewriting: options.rewriting,
            users,
            limits: options.limits,
        };
        let log = Rc::<RefCell<Vec<String>>>::default();
        let entries = Rc::clone(&log);
        let proxy = Proxy::new(settings, move |entry: &Entry<'_>| {
            let line = String::from_utf8_lossy(entry.line);
            let user = entry.user.unwrap_or("-");
            let text = format!("{user} {line} {} {}", entry.status, entry.bytes);
            entries.borrow_mut().push(text);
        });
        let names = Names::new()
            .found("a", [[127, 0, 0, 2]])
            .found("b", [[127, 0, 0, 3]])
            .found("two", [[192, 0, 2, 9], [127, 0, 0, 2]])
            .found("far", [[192, 0, 2, 9]]);
        let reactor = Reactor::builder().propagate_panics(true).resolver(names);
        let entrance = Entrance::new(&proxy, None);
        Self {
            listener: Listener::with_builder(reactor, entrance),
            log,
            proxy,
        }
    }

    pub(crate) fn client(&mut self) -> Harness {
        self.listener.connect()
    }

    /// The server that the proxy has just connected to.
    #[track_caller]
    pub(crate) fn server(&mut self) -> Harness {
        let mut server = self.listener.dialled().expect("the proxy connects");
        server.connected();
        server
    }

    /// One whose connection is not made yet.
    pub(crate) fn dialled(&mut self) -> Option<Harness> {
        self.listener.dialled()
    }

    pub(crate) fn advance(&mut self, seconds: u64) {
        self.listener.advance(Duration::from_secs(seconds));
    }

    pub(crate) fn listener(&mut self) -> &mut Listener {
        &mut self.listener
    }

    pub(crate) fn log(&self) -> Vec<String> {
        self.log.take()
    }
}

/// Feeds it in one piece or byte by byte.
pub(crate) fn feed(peer: &mut Harness, bytes: impl AsRef<[u8]>, bytewise: bool) {
    match bytewise {
        true => peer.feed_bytewise(bytes),
        false => peer.feed(bytes),
    }
}

#[track_caller]
pub(crate) fn text(peer: &mut Harness) -> String {
    String::from_utf8(peer.output()).expect("UTF-8")
}

/// The status and the error of Proxy-Status, of an answer of the proxy's own.
pub(crate) fn verdict(answer: &str) -> (u16, &str) {
    let status = answer.get(9..12).and_then(|digits| digits.parse().ok());
    let error = answer
        .split_once("; error=")
        .map_or("", |(_, rest)| rest.lines().next().unwrap_or(""));
    (status.unwrap_or(0), error)
}
