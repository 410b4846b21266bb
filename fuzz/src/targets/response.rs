//! Answers of a server as `AsyncHttp` takes them: the same body and outcome however the answer is cut, and no body is
//! called complete that a second reader of the RFC would end elsewhere.

use std::{
    cell::RefCell,
    io::{Read, Write},
    net::{Shutdown, TcpListener},
    rc::Rc,
    time::Duration,
};

use asynchat::{BoxError, Reactor, Result};
use shared::http::{
    async_http::AsyncHttp,
    consumer::{Consumer, Method, Order, Request},
    url::Url,
};

use super::{Input, turn_until};

struct Place {
    reactor: Reactor,
    listener: TcpListener,
    url: Url,
}

thread_local! {
    static PLACE: RefCell<Place> = RefCell::new({
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("an address");
        let url = Url::parse(format!("http://{address}/").as_bytes()).expect("a URL");
        let reactor = Reactor::builder().propagate_panics(true).build().expect("a reactor");
        Place { reactor, listener, url }
    });
}

/// The first decision says whether the request is a HEAD, the others where the answer is cut.
pub fn fuzz(data: &[u8]) {
    let mut input = Input::new(data);
    let head_only = input.decisions.pop_front().unwrap_or(0) % 2 == 1;
    let pieces = input.pieces();
    let answer = input.bytes;
    PLACE.with_borrow_mut(|place| {
        let whole = ask(place, head_only, &[answer]);
        let shown = answer.escape_ascii();
        if pieces.len() > 1 {
            let cut = ask(place, head_only, &pieces);
            assert_eq!(whole, cut, "whole and cut: {shown}");
        }
        let expected = body_of(answer, head_only);
        match &whole.outcome {
            Ok(()) => assert_eq!(Some(&whole.body), expected.as_ref(), "{shown}"),
            Err(error) => assert!(
                !is_plain(answer) || expected.is_none(),
                "refused with {error:?}: {shown}"
            ),
        }
    });
}

#[derive(Debug, PartialEq)]
struct Seen {
    heads: usize,
    body: Vec<u8>,
    outcome: Result<(), String>,
}

struct Watcher {
    seen: Rc<RefCell<Option<Seen>>>,
    heads: usize,
    body: Vec<u8>,
}

impl Consumer for Watcher {
    fn http_header(&mut self, _: &mut Request<'_, '_>) -> Result {
        assert!(self.body.is_empty(), "a header behind the body");
        self.heads += 1;
        assert_eq!(self.heads, 1, "a second header");
        Ok(())
    }

    fn feed(&mut self, data: &[u8]) -> Result {
        assert_eq!(self.heads, 1, "a body without a header");
        assert!(!data.is_empty());
        self.body.extend_from_slice(data);
        Ok(())
    }

    fn close(&mut self, outcome: Result<(), BoxError>) {
        let seen = Seen {
            heads: self.heads,
            body: std::mem::take(&mut self.body),
            outcome: outcome.map_err(|error| error.to_string()),
        };
        assert!(self.seen.replace(Some(seen)).is_none(), "closed twice");
    }
}

fn ask(place: &mut Place, head_only: bool, pieces: &[&[u8]]) -> Seen {
    let Place {
        reactor,
        listener,
        url,
    } = place;
    let seen = Rc::new(RefCell::new(None));
    let watcher = Watcher {
        seen: Rc::clone(&seen),
        heads: 0,
        body: Vec::new(),
    };
    let mut order = Order::get(url.clone(), &Rc::default());
    if head_only {
        order.method = Method::HEAD;
    }
    AsyncHttp::start(reactor, order, watcher);
    let (mut server, _) = listener.accept().expect("a connection");
    server.set_nodelay(true).expect("a socket");
    server.set_nonblocking(true).expect("a socket");
    // A request that is left unread would make a reset of the end.
    let mut request = Vec::new();
    turn_until(reactor, "for the request", |_| {
        let mut buffer = [0; 1024];
        match server.read(&mut buffer) {
            Ok(n) => request.extend_from_slice(&buffer[..n]),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
        }
        request.ends_with(b"\r\n\r\n")
    });
    for piece in pieces {
        // Fails once the client has seen enough.
        if server.write_all(piece).is_err() {
            break;
        }
        reactor.turn(Some(Duration::ZERO)).expect("a turn");
    }
    let _ = server.shutdown(Shutdown::Write);
    turn_until(reactor, "for the outcome", |_| seen.borrow().is_some());
    super::settle(reactor);
    assert_eq!(reactor.stats().channels, 0, "a connection is left over");
    seen.take().expect("an outcome")
}

/// The body, if there is a complete one, by the letter of RFC 9112, 2.2, 5.2, 6.3 and 7.1.
fn body_of(mut rest: &[u8], head_only: bool) -> Option<Vec<u8>> {
    let mut interim = 0;
    let (status, fields) = loop {
        let head = take_lines(&mut rest)?;
        let minor = head.strip_prefix(b"HTTP/1.")?.first()?;
        if !minor.is_ascii_digit() {
            return None;
        }
        // Any minor version is read as 1, and httparse knows no other.
        let (status, fields) = fields_of(&[b"HTTP/1.1", &head[8..]].concat())?;
        match status {
            100 | 102..=199 => {
                interim += 1;
                if interim > 16 {
                    return None;
                }
            }
            // Nobody has asked for a part.
            206 => return None,
            200..=999 => break (status, fields),
            _ => return None,
        }
    };
    if head_only || matches!(status, 204 | 304) {
        return Some(Vec::new());
    }
    let elements = |name: &str| {
        let values = fields.iter().filter(|(key, _)| key == name);
        let elements: Vec<_> = values
            .flat_map(|(_, value)| value.split(|&byte| byte == b','))
            .map(|element| element.trim_ascii().to_ascii_lowercase())
            .collect();
        elements
    };
    let codings = elements("transfer-encoding");
    // RFC 9110, 5.6.1.2: a recipient overlooks empty elements.
    let codings: Vec<_> = codings.iter().filter(|coding| !coding.is_empty()).collect();
    if !codings.is_empty() {
        return if codings.len() == 1 && codings[0] == b"chunked" {
            unchunked(rest)
        } else {
            None
        };
    }
    let lengths = elements("content-length");
    if lengths.is_empty() {
        return Some(rest.to_vec());
    }
    let lengths: Vec<_> = lengths.iter().filter(|length| !length.is_empty()).collect();
    let first = *lengths.first()?;
    if lengths.iter().any(|length| *length != first) || !first.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let length: u64 = std::str::from_utf8(first).ok()?.parse().ok()?;
    let length = usize::try_from(length).ok()?;
    rest.get(..length).map(<[u8]>::to_vec)
}

fn unchunked(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = take_line(&mut rest)?;
        let digits = line
            .iter()
            .take_while(|byte| byte.is_ascii_hexdigit())
            .count();
        let (digits, extension) = line.split_at(digits);
        let extension = extension.trim_ascii_start();
        if !extension.is_empty() && !extension.starts_with(b";") {
            return None;
        }
        let size = u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        if size == 0 {
            break;
        }
        let size = usize::try_from(size).ok()?;
        body.extend_from_slice(rest.get(..size)?);
        rest = rest[size..].strip_prefix(b"\r\n")?;
    }
    let trailer = take_lines(&mut rest)?;
    fields_of(&[b"HTTP/1.1 200\r\n", trailer].concat())?;
    Some(body)
}

/// A line of the chunked coding, which ends in CRLF and nowhere else.
fn take_line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = rest.iter().position(|&byte| byte == b'\n')?;
    let line = &rest[..end];
    *rest = &rest[end + 1..];
    line.strip_suffix(b"\r")
}

/// Lines up to an empty one, which is the last of them. LF alone is a line end too.
fn take_lines<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let mut end = 0;
    loop {
        let line = end;
        end += rest[line..].iter().position(|&byte| byte == b'\n')? + 1;
        if let b"\n" | b"\r\n" = &rest[line..end] {
            let lines = &rest[..end];
            *rest = &rest[end..];
            return Some(lines);
        }
    }
}

type Fields = Vec<(String, Vec<u8>)>;

/// Status and fields, the names in small letters, every fold a space.
fn fields_of(head: &[u8]) -> Option<(u16, Fields)> {
    let mut fields = [httparse::EMPTY_HEADER; 256];
    let mut parsed = httparse::Response::new(&mut fields);
    let outcome = httparse::ParserConfig::default()
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_spaces_after_header_name_in_responses(true)
        .parse_response(&mut parsed, head);
    match outcome {
        Ok(httparse::Status::Complete(used)) if used == head.len() => {}
        _ => return None,
    }
    let unfold = |byte: &u8| if b"\r\n".contains(byte) { b' ' } else { *byte };
    let fields = parsed.headers.iter().map(|field| {
        let value = field.value.iter().map(unfold).collect();
        (field.name.to_ascii_lowercase(), value)
    });
    Some((parsed.code?, fields.collect()))
}

/// Nothing that a strict reader may refuse although a body can be seen in it.
fn is_plain(answer: &[u8]) -> bool {
    answer.starts_with(b"HTTP/1.") && answer.len() < 4096
}
