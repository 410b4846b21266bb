//! A handler that does as targets say and keeps an account of its calls, and the two sides of its connection.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use asynchat::{Closed, FilePart, Registry, Result, from_fn, testing::Harness};
use shared::http::{
    header,
    request::Request,
    service::{Answer, Answered, Exchange, Handler, Limits, Options, Service, Ticket},
};

#[derive(Clone, Default)]
pub(crate) struct Account {
    lines: Rc<RefCell<Vec<String>>>,
    pub(crate) ticket: Rc<Cell<Option<Ticket>>>,
    /// The body is not wanted.
    pub(crate) held: Rc<Cell<bool>>,
    target: String,
    body: Vec<u8>,
}

impl Account {
    pub(crate) fn take(&self) -> Vec<String> {
        self.lines.take()
    }

    pub(crate) fn ticket(&self) -> Ticket {
        self.ticket.get().expect("a request")
    }

    fn write(&self, line: impl Into<String>) {
        self.lines.borrow_mut().push(line.into());
    }

    fn act(&mut self, exchange: &mut Exchange<'_, '_>, target: &str) -> Result {
        match target {
            "/early" => exchange.answer(Answer::new(200), "early")?,
            "/early-close" => {
                exchange.close_after();
                exchange.answer(Answer::new(200), "early")?;
            }
            "/stream" => {
                exchange.begin(&Answer::new(200))?;
                exchange.write(b"a")?;
                exchange.write(b"")?;
                exchange.write(b"bc")?;
                exchange.end()?;
            }
            "/begun" => {
                exchange.begin(&Answer::new(200))?;
                exchange.write(b"a")?;
            }
            "/not-modified" => {
                exchange.begin(&Answer::new(304).length(7))?;
                exchange.end()?;
            }
            "/no-content" => exchange.answer(Answer::new(204), "dropped")?,
            "/producer" => {
                exchange.begin(&Answer::new(200))?;
                exchange.end_with("produced")?;
            }
            "/exact" | "/short" | "/long" => {
                let length = match target {
                    "/exact" => 8,
                    "/short" => 9,
                    _ => 7,
                };
                exchange.begin(&Answer::new(200).length(length))?;
                exchange.end_with("produced")?;
            }
            "/broken" => {
                exchange.begin(&Answer::new(200))?;
                exchange.end_with(from_fn(|| Err(std::io::Error::other("as told"))))?;
            }
            "/file" => {
                let mut file = tempfile::tempfile()?;
                std::io::Write::write_all(&mut file, &[b'x'; 100_000])?;
                let part = FilePart::new(file, ..)?;
                exchange.begin(&Answer::new(200).length(part.len()))?;
                exchange.end_with_file(part)?;
            }
            "/too-much" => {
                exchange.begin(&Answer::new(200).length(2))?;
                exchange.write(b"abc")?;
            }
            "/too-little" => {
                exchange.begin(&Answer::new(200).length(2))?;
                exchange.write(b"a")?;
                exchange.end()?;
            }
            "/twice" => {
                exchange.answer(Answer::new(200), "")?;
                exchange.answer(Answer::new(200), "")?;
            }
            "/abort" => exchange.abort(),
            "/begun-abort" => {
                exchange.begin(&Answer::new(200))?;
                exchange.write(b"a")?;
                exchange.abort();
            }
            "/hints" => {
                let hints = Answer::interim(103).ok_or("no interim answer")?;
                exchange.interim(&hints.with("Link", "</a>")?)?;
                exchange.answer(Answer::new(200), "")?;
            }
            "/error" => return Err("as told".into()),
            "/panic" => panic!("as told"),
            "/held" => self.held.set(true),
            _ => {}
        }
        Ok(())
    }
}

impl Handler for Account {
    fn request(&mut self, exchange: &mut Exchange<'_, '_>, request: &Request<'_>) -> Result {
        let framing = match (exchange.has_body(), exchange.body_left()) {
            (false, _) => String::new(),
            (true, Some(left)) => format!(" with {left}"),
            (true, None) => " in chunks".into(),
        };
        self.write(format!("{} {}{framing}", request.method, request.target));
        self.target = request.target.into();
        self.body.clear();
        self.ticket.set(Some(exchange.ticket()));
        // What is to be done in the other callbacks has a header.
        if header(request.headers, "when").is_none() {
            self.act(exchange, request.target)?;
        }
        Ok(())
    }

    fn body(&mut self, exchange: &mut Exchange<'_, '_>, data: &[u8]) -> Result {
        self.body.extend_from_slice(data);
        if self.body.ends_with(b"now") {
            let target = self.target.clone();
            self.act(exchange, &target)?;
        }
        Ok(())
    }

    fn body_end(&mut self, exchange: &mut Exchange<'_, '_>) -> Result {
        self.write(format!("body {}", self.body.escape_ascii()));
        if exchange.has_begun() || self.target == "/later" {
            return Ok(());
        }
        let target = self.target.clone();
        self.act(exchange, &target)?;
        if exchange.has_begun() {
            return Ok(());
        }
        let body = std::mem::take(&mut self.body);
        exchange.answer(Answer::new(200).with("Content-Type", "text/plain")?, body)
    }

    fn readable(&self) -> bool {
        !self.held.get()
    }

    fn drained(&mut self, _: &mut Exchange<'_, '_>) -> Result {
        self.write("drained");
        Ok(())
    }

    fn client_ended(&mut self, _: &mut Exchange<'_, '_>) -> Result {
        self.write("client ended");
        Ok(())
    }

    fn answered(&mut self, _: &mut Registry, answered: &Answered<'_>) {
        self.write(answered.to_string());
    }

    fn gone(&mut self, _: &mut Registry, why: &Closed) {
        self.write(format!("gone: {}", why.cause));
    }
}

pub(crate) fn limits() -> Limits {
    Limits {
        body: 100,
        drain: 20,
        slowest_body: 10,
        ..Limits::default()
    }
}

pub(crate) fn serve_with(limits: Limits) -> (Account, Harness) {
    let account = Account::default();
    let service = Service::new(Options {
        limits,
        ..Options::default()
    });
    // Panics are answered as in production.
    let builder = asynchat::Reactor::builder();
    let harness = Harness::with_builder(builder, service.dispatcher(None, account.clone()));
    (account, harness)
}

pub(crate) fn serve() -> (Account, Harness) {
    serve_with(limits())
}

/// An answer without its date.
pub(crate) fn text(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let lines = text.split_inclusive("\r\n");
    lines.filter(|line| !line.starts_with("Date: ")).collect()
}

/// The status codes of answers.
pub(crate) fn statuses(output: &[u8]) -> Vec<String> {
    let text = text(output);
    let answers = text.split("HTTP/1.1 ").skip(1);
    answers
        .filter_map(|answer| answer.get(..3).map(str::to_owned))
        .collect()
}

pub(crate) fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")
}

pub(crate) fn post(target: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}")
}
