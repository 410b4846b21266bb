//! `shared::cgi`: what a client gets of what a script says.

use std::{cell::RefCell, rc::Rc};

use asynchat::{Result, testing::Harness};
use shared::{
    cgi::relay::{Next, Relay},
    http::{
        request::Request,
        service::{Exchange, Handler, Options, Service},
    },
};

/// Takes the body of a request for the output of a script.
struct Script {
    makes_header: bool,
    max_answer: u64,
    relay: Option<Relay>,
    /// What the relay asked for, and what it complained about.
    account: Rc<RefCell<Vec<String>>>,
}

impl Script {
    fn fail(&self, exchange: &mut Exchange<'_, '_>, error: &asynchat::BoxError) {
        self.account.borrow_mut().push(error.to_string());
        exchange.abort();
    }
}

impl Handler for Script {
    fn request(&mut self, _: &mut Exchange<'_, '_>, request: &Request<'_>) -> Result {
        let head_only = request.method == "HEAD";
        self.relay = Some(Relay::new(self.makes_header, head_only, self.max_answer));
        Ok(())
    }

    fn body(&mut self, exchange: &mut Exchange<'_, '_>, data: &[u8]) -> Result {
        let relay = self.relay.as_mut().expect("a request");
        match relay.output(exchange, data) {
            Ok(Next::Go) => {}
            Ok(Next::Complete) => self.account.borrow_mut().push("complete".into()),
            Ok(Next::Local(path)) => {
                self.account.borrow_mut().push(format!("local {path}"));
                exchange.error(200, "elsewhere")?;
            }
            Err(error) => self.fail(exchange, &error),
        }
        Ok(())
    }

    fn body_end(&mut self, exchange: &mut Exchange<'_, '_>) -> Result {
        let relay = self.relay.as_mut().expect("a request");
        if let Err(error) = relay.end(exchange) {
            self.fail(exchange, &error);
        }
        Ok(())
    }
}

/// How a request line and a script's name and output become an answer, whole and byte by byte; without the date.
fn answer(line: &str, script: &str, output: &[u8], max_answer: u64) -> (String, Vec<String>, bool) {
    let outcomes = [false, true].map(|bytewise| {
        let account: Rc<RefCell<Vec<String>>> = Rc::default();
        let handler = Script {
            makes_header: script.starts_with("nph-"),
            max_answer,
            relay: None,
            account: Rc::clone(&account),
        };
        let service = Service::new(Options::default());
        let mut client = Harness::new(service.dispatcher(None, handler));
        client.feed(format!(
            "{line}\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
            output.len()
        ));
        match bytewise {
            true => client.feed_bytewise(output),
            false => client.feed(output),
        }
        let text = String::from_utf8(client.output().to_vec()).expect("text");
        let lines = text.split_inclusive("\r\n");
        let text: String = lines.filter(|line| !line.starts_with("Date: ")).collect();
        let account = account.take();
        (text, account, client.is_closed() || client.has_ended())
    });
    let [(whole, account, ended), (bytewise, its_account, its_ended)] = outcomes;
    assert_eq!(
        unchunked(&whole),
        unchunked(&bytewise),
        "{script} {}",
        output.escape_ascii()
    );
    assert_eq!(
        (&account, ended),
        (&its_account, its_ended),
        "{}",
        output.escape_ascii()
    );
    (whole, account, ended)
}

/// Without the sizes of chunks, which depend on how the output was cut.
fn unchunked(answer: &str) -> String {
    let Some((head, mut rest)) = answer
        .split_once("\r\n\r\n")
        .filter(|(head, _)| head.contains("Transfer-Encoding: chunked"))
    else {
        return answer.to_owned();
    };
    let mut body = String::new();
    while let Some((size, behind)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("a size");
        let Some(chunk) = behind.get(..size) else {
            break;
        };
        body.push_str(chunk);
        rest = &behind[(size + 2).min(behind.len())..];
    }
    format!("{head}\r\n\r\n{body}")
}

const LARGE: u64 = 1 << 40;

#[test]
fn a_document_is_passed_on_with_the_length_that_is_known() {
    for (line, output, expected, keeps) in [
        (
            "POST / HTTP/1.1",
            "Content-Type: a/b\n\nhello",
            "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            true,
        ),
        (
            "POST / HTTP/1.0",
            "Content-Type: a/b\n\nhello",
            "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nConnection: close\r\n\r\nhello",
            false,
        ),
        (
            "POST / HTTP/1.1",
            "Status: 404 Nope\nContent-Length: 5\nX-Y: z\n\nhello",
            "HTTP/1.1 404 Nope\r\nX-Y: z\r\nContent-Length: 5\r\n\r\nhello",
            true,
        ),
        (
            "POST / HTTP/1.1",
            "Location: http://b/\n\n",
            "HTTP/1.1 302 Found\r\nLocation: http://b/\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            true,
        ),
        (
            "POST / HTTP/1.1",
            "Status: 204\nContent-Length: 5\n\nhello",
            "HTTP/1.1 204 No Content\r\n\r\n",
            true,
        ),
        (
            "POST / HTTP/1.1",
            "Status: 304\n\nhello",
            "HTTP/1.1 304 Not Modified\r\n\r\n",
            true,
        ),
        (
            "HEAD / HTTP/1.1",
            "Content-Type: a/b\nContent-Length: 5\n\nhello",
            "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 5\r\n\r\n",
            true,
        ),
        (
            "HEAD / HTTP/1.1",
            "Content-Type: a/b\n\nhello",
            "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\n\r\n",
            true,
        ),
    ] {
        let (seen, _, ended) = answer(line, "a", output.as_bytes(), LARGE);
        assert_eq!(
            (seen.as_str(), !ended),
            (expected, keeps),
            "{line} {output:?}"
        );
    }
}

#[test]
fn what_is_not_an_answer_is_502_and_none_of_it_is_sent() {
    for output in [
        "",
        "\n",
        "Content-Type: a/b\n",
        "hello\n\n",
        "Content-Type: a/b\nStatus: 100 Continue\n\n",
        "Content-Type: a/b\nX: a\rSet-Cookie: b\n\n",
        "Content-Type: a/b\nTransfer-Encoding: chunked\n\n0\r\n\r\n",
    ] {
        // A request without a body would not end.
        let (seen, account, ended) = answer("POST / HTTP/1.1", "a", output.as_bytes(), LARGE);
        assert!(
            seen.starts_with("HTTP/1.1 502 ") && ended,
            "{output:?}: {seen}"
        );
        assert_eq!(account.len(), 1, "{output:?}: {account:?}");
    }
}

#[test]
fn a_length_that_is_a_lie_cuts_the_document_or_the_connection() {
    let head = "Content-Type: a/b\nContent-Length: 5\n\n";
    let (seen, account, ended) = answer(
        "POST / HTTP/1.1",
        "a",
        format!("{head}helloHTTP/1.1 200 OK").as_bytes(),
        LARGE,
    );
    assert!(seen.ends_with("\r\n\r\nhello") && !ended, "{seen}");
    assert_eq!(account, ["complete"]);
    let (seen, account, ended) = answer(
        "POST / HTTP/1.1",
        "a",
        format!("{head}hell").as_bytes(),
        LARGE,
    );
    assert!(seen.ends_with("\r\n\r\nhell") && ended, "{seen}");
    assert_eq!(account, ["the body is 1 bytes shorter than announced"]);
}

#[test]
fn a_path_alone_is_answered_instead() {
    let (_, account, _) = answer(
        "POST / HTTP/1.1",
        "a",
        b"Location: /b?c=d\n\nignored",
        LARGE,
    );
    assert_eq!(account, ["local /b?c=d"]);
}

#[test]
fn a_document_has_a_limit() {
    let announced = b"Content-Type: a/b\nContent-Length: 11\n\n01234567890";
    let (seen, account, _) = answer("POST / HTTP/1.1", "a", announced, 10);
    assert!(seen.starts_with("HTTP/1.1 502 "), "{seen}");
    assert_eq!(
        account,
        ["the header announces more than 10 bytes (--max-answer)"]
    );
    let whole = b"Content-Type: a/b\n\n0123456789";
    let (seen, account, _) = answer("POST / HTTP/1.1", "a", whole, 10);
    assert!(seen.ends_with("0\r\n\r\n") && account.is_empty(), "{seen}");
    let account = {
        let more = b"Content-Type: a/b\n\n01234567890";
        let account: Rc<RefCell<Vec<String>>> = Rc::default();
        let handler = Script {
            makes_header: false,
            max_answer: 10,
            relay: None,
            account: Rc::clone(&account),
        };
        let mut client = Harness::new(Service::new(Options::default()).dispatcher(None, handler));
        client.feed(format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
            more.len()
        ));
        client.feed_bytewise(more);
        assert!(!client.output().ends_with(b"0\r\n\r\n") && client.is_closed());
        account.take()
    };
    assert_eq!(account, ["the output has more bytes than --max-answer"]);
}

#[test]
fn a_script_that_makes_its_own_header_is_passed_on_as_it_is() {
    let output = "HTTP/1.0 299 Own\r\nX: y\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let (seen, _, ended) = answer("POST / HTTP/1.1", "nph-a", output.as_bytes(), LARGE);
    assert_eq!((seen.as_str(), ended), (output, true));
    for output in [
        "Content-Type: a/b\n\nhello",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "",
        "HTTP/1.1 200",
    ] {
        let (seen, account, _) = answer("POST / HTTP/1.1", "nph-a", output.as_bytes(), LARGE);
        assert!(seen.starts_with("HTTP/1.1 502 "), "{output:?}: {seen}");
        assert_eq!(account.len(), 1, "{output:?}");
    }
}
