//! `shared::http::service`: each request gets one answer, in order, whatever client and handler do.

use std::{cell::RefCell, rc::Rc, time::Duration};

use asynchat::{Registry, Result, testing::Harness};
use shared::http::{
    request::Request,
    service::{self, Answer, Exchange, Handler, Limits, Options, Service, Ticket},
};

/// Does as the target says, and keeps an account.
#[derive(Clone, Default)]
struct Account {
    lines: Rc<RefCell<Vec<String>>>,
    ticket: Rc<RefCell<Option<Ticket>>>,
    held: Rc<std::cell::Cell<bool>>,
    target: String,
    body: Vec<u8>,
}

impl Account {
    fn write(&self, line: impl Into<String>) {
        self.lines.borrow_mut().push(line.into());
    }
}

impl Handler for Account {
    fn request(&mut self, exchange: &mut Exchange<'_, '_>, request: &Request<'_>) -> Result {
        self.write(format!("{} {}", request.method, request.target));
        self.target = request.target.into();
        self.body.clear();
        *self.ticket.borrow_mut() = Some(exchange.ticket());
        match request.target {
            "/early" => exchange.answer(Answer::new(200), "early")?,
            "/error" => return Err("as told".into()),
            "/held" => self.held.set(true),
            "/stream" => {
                exchange.begin(&Answer::new(200))?;
                exchange.write(b"a")?;
                exchange.write(b"")?;
                exchange.write(b"bc")?;
                exchange.end()?;
            }
            _ => {}
        }
        Ok(())
    }

    fn body(&mut self, _: &mut Exchange<'_, '_>, data: &[u8]) -> Result {
        self.body.extend_from_slice(data);
        Ok(())
    }

    fn body_end(&mut self, exchange: &mut Exchange<'_, '_>) -> Result {
        self.write(format!("body {}", self.body.escape_ascii()));
        match &*self.target {
            "/later" => Ok(()),
            _ => exchange.answer(
                Answer::new(200).with("Content-Type", "text/plain")?,
                std::mem::take(&mut self.body),
            ),
        }
    }

    fn readable(&self) -> bool {
        !self.held.get()
    }

    fn answered(&mut self, answered: &service::Answered<'_>) {
        self.write(answered.to_string());
    }

    fn gone(&mut self, _: &mut Registry, why: &asynchat::Closed) {
        self.write(format!("gone: {}", why.cause));
    }
}

fn limits() -> Limits {
    Limits {
        body: 100,
        drain: 20,
        ..Limits::default()
    }
}

fn serve(limits: Limits) -> (Account, Harness) {
    let account = Account::default();
    let service = Service::new(Options {
        limits,
        ..Options::default()
    });
    let harness = Harness::new(service.dispatcher(None, account.clone()));
    (account, harness)
}

/// An answer without its date.
fn text(output: Vec<u8>) -> String {
    let text = String::from_utf8(output).expect("text");
    let lines = text.split_inclusive("\r\n");
    lines.filter(|line| !line.starts_with("Date: ")).collect()
}

#[test]
fn requests_are_answered_in_order_in_one_piece_and_byte_by_byte() {
    let requests = "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\
        GET /stream HTTP/1.1\r\nHost: a\r\n\r\n\
        POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nde\r\n1\r\nf\r\n0\r\nA: b\r\n\r\n\
        HEAD /stream HTTP/1.1\r\nHost: a\r\n\r\n\
        GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    let answers = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nabc\
        HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n\
        HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\ndef\
        HTTP/1.1 200 OK\r\n\r\n\
        HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc";
    for bytewise in [false, true] {
        let (account, mut client) = serve(limits());
        match bytewise {
            true => client.feed_bytewise(requests),
            false => client.feed(requests),
        }
        assert_eq!(text(client.output()), answers, "bytewise: {bytewise}");
        assert!(client.has_ended());
        client.eof();
        assert!(client.is_closed());
        assert_eq!(
            account.lines.take(),
            [
                "POST /1",
                "body abc",
                "\"POST /1 HTTP/1.1\" 200 3",
                "GET /stream",
                "\"GET /stream HTTP/1.1\" 200 3",
                "POST /2",
                "body def",
                "\"POST /2 HTTP/1.1\" 200 3",
                "HEAD /stream",
                "\"HEAD /stream HTTP/1.1\" 200 0",
                "GET /stream",
                "\"GET /stream HTTP/1.0\" 200 3",
                "gone: done",
            ]
        );
    }
}

#[test]
fn an_answer_may_come_from_outside_and_the_next_request_waits_for_it() {
    let (account, mut client) = serve(limits());
    let later = "GET /later HTTP/1.1\r\nHost: a\r\n\r\n";
    client.feed(format!("{later}{later}"));
    assert_eq!(client.output(), b"");
    for _ in 0..2 {
        let ticket = account.ticket.borrow().expect("a request");
        let answered = service::with(
            &mut client.registry(),
            ticket,
            |_: &mut Account, exchange| exchange.answer(Answer::new(404), "no"),
        );
        assert!(answered);
        let again = service::with(&mut client.registry(), ticket, |_: &mut Account, _| {
            panic!("the exchange is over")
        });
        assert!(!again);
        assert_eq!(
            text(client.output()),
            "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno"
        );
    }
    client.advance(Duration::from_secs(30));
    assert!(client.is_closed());
}
