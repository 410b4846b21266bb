//! The request object in a reactor of the test's own, with consumers of the test's own.

use std::{cell::RefCell, net::TcpListener, rc::Rc};

use asynchat::{BoxError, Reactor, Result};
use shared::http::{
    async_http::AsyncHttp,
    consumer::{Consumer, Order, Request},
    url::Url,
};

use crate::{
    CLOSED,
    scripted::{Answer, End, serve},
};

/// Writes down what it is told; what to do about the header is up to the test.
struct Notes {
    notes: Rc<RefCell<Vec<String>>>,
    on_header: fn(&mut Request<'_, '_>) -> Result,
}

impl Consumer for Notes {
    fn http_header(&mut self, request: &mut Request<'_, '_>) -> Result {
        let note = format!("header {} {:?}", request.head.status, request.length);
        self.notes.borrow_mut().push(note);
        (self.on_header)(request)
    }

    fn feed(&mut self, data: &[u8]) -> Result {
        let text = String::from_utf8_lossy(data).into_owned();
        self.notes.borrow_mut().push(format!("feed {text}"));
        if text == "poison" {
            // Of a socket this would say that the connection is broken.
            return Err(std::io::Error::from(std::io::ErrorKind::BrokenPipe).into());
        }
        Ok(())
    }

    fn close(&mut self, outcome: Result<(), BoxError>) {
        let outcome = outcome.map_err(|error| error.to_string());
        self.notes.borrow_mut().push(format!("close {outcome:?}"));
    }
}

/// Only what a consumer has to have.
struct Bare(Rc<RefCell<Vec<String>>>);

impl Consumer for Bare {
    fn feed(&mut self, data: &[u8]) -> Result {
        self.0
            .borrow_mut()
            .push(String::from_utf8_lossy(data).into_owned());
        Ok(())
    }

    fn close(&mut self, outcome: Result<(), BoxError>) {
        self.0
            .borrow_mut()
            .push(format!("close {}", outcome.is_ok()));
    }
}

fn order(url: &str) -> Order {
    Order::get(Url::parse(url.as_bytes()).unwrap(), &Rc::default())
}

#[track_caller]
fn notes_of(url: &str, on_header: fn(&mut Request<'_, '_>) -> Result) -> Vec<String> {
    let notes = Rc::default();
    let consumer = Notes {
        notes: Rc::clone(&notes),
        on_header,
    };
    let mut reactor = Reactor::builder().propagate_panics(true).build().unwrap();
    AsyncHttp::start(&mut reactor, order(url), consumer);
    reactor.run().unwrap();
    notes.take()
}

#[test]
fn a_consumer_is_told_of_the_header_then_fed_then_closed() {
    let server = serve(|_| Answer::new("HTTP/1.1 200 OK\nContent-Length: 5\n\nhello"));
    let expected = ["header 200 Some(5)", "feed hello", "close Ok(())"];
    assert_eq!(notes_of(&server.url("/"), |_| Ok(())), expected);
    let refused = notes_of(CLOSED, |_| Ok(()));
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(
        refused[0].starts_with("close Err(\"connection failed: "),
        "{refused:?}"
    );
}

#[test]
fn a_consumer_may_close_the_request() {
    let server = serve(|_| Answer::new("HTTP/1.1 200 OK\nContent-Length: 5\n\nhello"));
    let notes = notes_of(&server.url("/"), |request| {
        request.close();
        Ok(())
    });
    assert_eq!(notes, ["header 200 Some(5)"]);
}

#[test]
fn an_error_of_the_consumers_ends_the_request() {
    let server =
        serve(|_| Answer::new("HTTP/1.1 200 OK\nContent-Length: 6\n\npoison").end(End::Hold));
    let fail = |_: &mut Request<'_, '_>| {
        Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset).into())
    };
    let notes = notes_of(&server.url("/"), fail);
    assert_eq!(
        notes,
        ["header 200 Some(6)", "close Err(\"connection reset\")"]
    );
    let notes = notes_of(&server.url("/"), |_| Ok(()));
    let expected = [
        "header 200 Some(6)",
        "feed poison",
        "close Err(\"broken pipe\")",
    ];
    assert_eq!(notes, expected);
}

#[test]
fn a_consumer_needs_no_http_header() {
    let server = serve(|_| Answer::new("HTTP/1.1 200 OK\nContent-Length: 5\n\nhello"));
    let notes = Rc::new(RefCell::new(Vec::new()));
    let mut reactor = Reactor::new().unwrap();
    AsyncHttp::start(&mut reactor, order(&server.url("/")), Bare(notes.clone()));
    reactor.run().unwrap();
    assert_eq!(*notes.borrow(), ["hello", "close true"]);
}

#[test]
fn a_request_dropped_by_its_reactor_is_closed_as_interrupted() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let notes = Rc::new(RefCell::new(Vec::new()));
    let mut reactor = Reactor::new().unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    AsyncHttp::start(&mut reactor, order(&url), Bare(notes.clone()));
    drop(reactor);
    assert_eq!(*notes.borrow(), ["close false"]);
}
