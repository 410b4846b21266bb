//! The HTTP client of `shared::http` in memory: what it sends, and what its consumers are told, whatever the server does.

use std::{cell::RefCell, rc::Rc};

use asynchat::{BoxError, Dispatcher, Result, testing::Harness};
use shared::http::{
    async_http::AsyncHttp,
    consumer::{Agent, Consumer, Order, Request},
    url::Url,
};

mod answers;
mod coding;
mod credentials;
mod proxies;
mod uploads;

struct Idle;
impl Dispatcher for Idle {}

/// Writes down what it is told.
#[derive(Clone, Default)]
pub(crate) struct Notes(Rc<RefCell<Vec<String>>>);

impl Notes {
    fn write(&self, note: impl Into<String>) {
        self.0.borrow_mut().push(note.into());
    }

    #[track_caller]
    pub(crate) fn are(&self, expected: &[&str]) {
        assert_eq!(*self.0.borrow(), expected);
    }

    #[track_caller]
    pub(crate) fn contain(&self, text: &str) {
        let notes = self.0.borrow();
        assert!(notes.iter().any(|note| note.contains(text)), "{notes:?}");
    }
}

impl Consumer for Notes {
    fn http_header(&mut self, request: &mut Request<'_, '_>) -> Result {
        self.write(request.head.status.to_string());
        Ok(())
    }

    fn feed(&mut self, data: &[u8]) -> Result {
        let mut notes = self.0.borrow_mut();
        match notes.last_mut() {
            Some(last) if last.starts_with('"') => {
                last.pop();
            }
            _ => notes.push("\"".into()),
        }
        let text = format!("{}\"", data.escape_ascii());
        notes.last_mut().expect("one").push_str(&text);
        Ok(())
    }

    fn close(&mut self, outcome: Result<(), BoxError>) {
        self.write(match outcome {
            Ok(()) => "end".into(),
            Err(error) => format!("{error}"),
        });
    }
}

/// A client in memory.
pub(crate) struct Client(Harness);

impl Client {
    pub(crate) fn new() -> Self {
        Self(Harness::new(Idle))
    }

    pub(crate) fn start(&mut self, order: Order, consumer: impl Consumer + 'static) {
        AsyncHttp::start(&mut self.0.registry(), order, consumer);
    }

    /// The server of the next connection, and the request that it gets at once.
    #[track_caller]
    pub(crate) fn server(&mut self) -> (Harness, String) {
        let mut server = self.0.dialled().expect("a connection");
        server.connected();
        let request = text(&mut server);
        (server, request)
    }

    #[track_caller]
    pub(crate) fn is_done(&mut self) {
        assert!(self.0.dialled().is_none(), "another connection");
        // The one of `Idle`.
        assert_eq!(self.0.registry().stats().channels, 1);
    }
}

pub(crate) fn text(server: &mut Harness) -> String {
    String::from_utf8(server.output()).expect("text")
}

pub(crate) fn order_with(url: &str, agent: Agent) -> Order {
    Order::get(Url::parse(url.as_bytes()).expect("a URL"), &Rc::new(agent))
}

pub(crate) fn order(url: &str) -> Order {
    order_with(url, Agent::default())
}
