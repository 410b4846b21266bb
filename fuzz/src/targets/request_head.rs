//! Streams of requests through the reader of `http_server`, in a chat over a socket pair: the same requests however the
//! stream is cut, and each head and body judged as a strict reader of RFC 9112 would.

use std::{
    cell::RefCell, io::Write, net::Shutdown, ops::ControlFlow, os::unix::net::UnixStream, rc::Rc,
};

use asynchat::{AsyncChat, ChatChannel, ChatDispatcher, Reactor, Result};
use shared::http::{
    body::CHUNK_LINE,
    reader::{EMPTY_REQUESTS, Found, HEAD_END, REQUEST_LINE, Reader},
    request::{MAX_HEADERS, Request},
};

use super::{Input, settle, turn_until};

/// The longest body that is read here.
const BODY: u64 = 1000;

thread_local! {
    static REACTOR: RefCell<Reactor> = RefCell::new(
        Reactor::builder().propagate_panics(true).build().expect("a reactor")
    );
}

/// The decisions say where the stream is cut.
pub fn fuzz(data: &[u8]) {
    let mut input = Input::new(data);
    let pieces = input.pieces();
    let stream = input.bytes;
    REACTOR.with_borrow_mut(|reactor| {
        let whole = read(reactor, &[stream]);
        let cut = read(reactor, &pieces);
        let shown = stream.escape_ascii();
        assert_eq!(whole, cut, "{shown}");
        // Longer ones meet the limits of a line and of a head.
        if stream.len() < REQUEST_LINE {
            let seen: Vec<_> = whole.into_iter().map(|request| request.answer).collect();
            assert_eq!(seen, expected(stream), "{shown}");
        }
    });
}

fn end_of_head(stream: &[u8]) -> Option<usize> {
    let at = stream.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    Some(at + 4)
}

/// What was read, up to the end of the stream or to what ends the connection.
fn read(reactor: &mut Reactor, pieces: &[&[u8]]) -> Vec<Seen> {
    let (here, mut there) = UnixStream::pair().expect("a pair of sockets");
    let seen = Rc::default();
    let watcher = Watcher {
        reader: Reader::new(BODY, accepts),
        continued: false,
        seen: Rc::clone(&seen),
    };
    let chat = ChatDispatcher::new(watcher, HEAD_END);
    let id = reactor.register(here, chat).expect("a connection");
    for piece in pieces {
        // Fails once enough was seen.
        if there.write_all(piece).is_err() {
            break;
        }
        settle(reactor);
    }
    let _ = there.shutdown(Shutdown::Write);
    turn_until(reactor, "for the end", |reactor| {
        reactor.channel(id).is_none()
    });
    assert_eq!(reactor.stats().errors, 0, "a callback failed");
    seen.take()
}

fn accepts(method: &str) -> bool {
    matches!(method, "GET" | "HEAD")
}

/// One request as it was read.
#[derive(Debug, PartialEq)]
struct Seen {
    /// All of it that is to be had: its line and headers, or why it was refused.
    what: String,
    answer: Answer,
}

struct Watcher {
    reader: Reader,
    continued: bool,
    seen: Rc<RefCell<Vec<Seen>>>,
}

impl Watcher {
    fn note(&self, what: String, line: &[u8], closes: bool) {
        self.seen.borrow_mut().push(Seen {
            what,
            answer: Answer {
                to_head: line.starts_with(b"HEAD "),
                continued: self.continued,
                closes,
            },
        });
    }
}

impl AsyncChat for Watcher {
    fn collect_incoming_data(&mut self, chat: &mut ChatChannel<'_>, data: &[u8]) -> Result {
        if let Err(refusal) = self.reader.collect(data) {
            self.note(format!("{refusal:?}"), self.reader.line(), true);
            self.reader.end();
            chat.close();
        }
        Ok(())
    }

    fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        let mut reader = std::mem::replace(&mut self.reader, Reader::new(0, accepts));
        reader.found(|line, found| {
            match found {
                Found::Nothing => {}
                Found::Body {
                    terminator,
                    awaited,
                    ..
                } => {
                    self.continued = awaited;
                    chat.set_terminator(terminator);
                }
                Found::BodyPart(terminator) => chat.set_terminator(terminator),
                Found::Request(request) => {
                    let target = request.target;
                    assert_eq!(
                        request.origin_form().is_some(),
                        has_host_if_absolute(target)
                    );
                    let closes = !request.keeps_alive();
                    self.note(format!("{request:?}"), line, closes);
                    self.continued = false;
                    chat.set_terminator(HEAD_END);
                    if closes {
                        chat.close();
                        return ControlFlow::Break(());
                    }
                }
                Found::Refused(refusal) => {
                    self.note(format!("{refusal:?}"), line, true);
                    chat.close();
                }
            }
            ControlFlow::Continue(())
        });
        self.reader = reader;
        Ok(())
    }
}

/// What is sent for one request.
#[derive(Debug, PartialEq)]
struct Answer {
    /// The request line says HEAD.
    to_head: bool,
    /// The client waited for a word before the body.
    continued: bool,
    /// It is the last one.
    closes: bool,
}

/// The answers that a strict reader of RFC 9112 gives to the stream.
fn expected(mut stream: &[u8]) -> Vec<Answer> {
    let mut answers = Vec::new();
    let mut empty = 0;
    loop {
        let Some(end) = end_of_head(stream) else {
            answers.extend(refused_early(stream));
            break;
        };
        let mut head = &stream[..end];
        stream = &stream[end..];
        if head.len() == 4 {
            empty += 1;
            if empty > EMPTY_REQUESTS {
                answers.push(Answer {
                    to_head: false,
                    continued: false,
                    closes: true,
                });
                break;
            }
            continue;
        }
        empty = 0;
        while let Some(rest) = head.strip_prefix(b"\r\n") {
            head = rest;
        }
        let to_head = head.starts_with(b"HEAD ");
        let mut answer = Answer {
            to_head,
            continued: false,
            closes: true,
        };
        let judged = judge(head);
        check_parsed(head, judged.as_ref());
        let framing = judged.as_ref().and_then(Judged::framing);
        let (Some(judged), Some(framing)) = (judged, framing) else {
            answers.push(answer);
            break;
        };
        let waits = framing != Length::Known(0);
        let unwanted = !matches!(judged.method, "GET" | "HEAD");
        let expects = judged.minor > 0
            && judged
                .values("expect")
                .next()
                .is_some_and(|value| value.eq_ignore_ascii_case("100-continue"));
        let too_large = matches!(framing, Length::Known(length) if length > BODY);
        if waits && (too_large || expects && unwanted) {
            answers.push(answer);
            break;
        }
        answer.continued = waits && expects;
        match after_body(stream, framing) {
            Outcome::Complete(rest) => stream = rest,
            Outcome::Refused => {
                answers.push(answer);
                break;
            }
            Outcome::CutShort => break,
        }
        answer.closes = !judged.keeps_alive();
        let last = answer.closes;
        answers.push(answer);
        if last {
            break;
        }
    }
    answers
}

/// The answer to a head that is not complete and cannot become one.
fn refused_early(mut head: &[u8]) -> Option<Answer> {
    while let Some(rest) = head.strip_prefix(b"\r\n") {
        head = rest;
    }
    if matches!(head, [] | [b'\r']) {
        return None;
    }
    let mut lines = Vec::new();
    let mut rest = head;
    while let Some(end) = rest.windows(2).position(|bytes| bytes == b"\r\n") {
        lines.push(&rest[..end]);
        rest = &rest[end + 2..];
    }
    // Its line end may be on its way.
    let begun = rest.strip_suffix(b"\r").unwrap_or(rest);
    let is_line = match lines.split_first() {
        Some((line, _)) => is_request_line(line),
        None if begun.len() < rest.len() => is_request_line(begun),
        None => begins_request_line(begun),
    };
    lines.push(begun);
    let is_clean = !lines
        .concat()
        .iter()
        .any(|byte| matches!(byte, b'\r' | b'\n'));
    let refused = Answer {
        to_head: head.starts_with(b"HEAD "),
        continued: false,
        closes: true,
    };
    (!is_line || !is_clean).then_some(refused)
}

/// Method, target and `HTTP/` with a digit, a dot and a digit. The target's encoding is looked at later.
fn is_request_line(line: &[u8]) -> bool {
    let words: Vec<_> = line.split(|&byte| byte == b' ').collect();
    matches!(words[..], [_, _, version] if version.len() == 8) && begins_request_line(line)
}

fn begins_request_line(line: &[u8]) -> bool {
    let words: Vec<_> = line.split(|&byte| byte == b' ').collect();
    let all_but_last_are_there = words.iter().rev().skip(1).all(|word| !word.is_empty());
    let is_version = |word: &[u8]| {
        let digits_are_one = |byte: &u8| if byte.is_ascii_digit() { b'1' } else { *byte };
        let word: Vec<_> = word.iter().map(digits_are_one).collect();
        b"HTTP/1.1".starts_with(&word)
    };
    all_but_last_are_there
        && words.len() <= 3
        && words[0].iter().all(|&byte| is_token(byte))
        && words
            .get(1)
            .is_none_or(|target| !target.iter().any(u8::is_ascii_control))
        && words.get(2).is_none_or(|version| is_version(version))
}

/// The parser has to agree with [`judge`].
fn check_parsed(head: &[u8], judged: Option<&Judged<'_>>) {
    Request::parse(head, |request| match (request, judged) {
        (Ok(request), Some(judged)) => {
            assert_eq!(request.method, judged.method);
            assert_eq!(request.target, judged.target);
            assert_eq!(request.minor, judged.minor);
            let fields: Vec<_> = request
                .headers
                .iter()
                .map(|header| (header.name, header.value.trim_ascii()))
                .collect();
            assert_eq!(fields, judged.fields);
        }
        (Err(_), None) => {}
        (Ok(request), None) => panic!("accepted: {request:?}"),
        (Err(error), Some(judged)) => panic!("refused with {error:?}: {judged:?}"),
    });
}

/// A head, read without any leniency.
#[derive(Debug)]
struct Judged<'a> {
    method: &'a str,
    target: &'a str,
    minor: u8,
    fields: Vec<(&'a str, &'a [u8])>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Length {
    Known(u64),
    Chunked,
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn judge(head: &[u8]) -> Option<Judged<'_>> {
    let head = head.strip_suffix(b"\r\n\r\n")?;
    let mut lines = Vec::new();
    let mut rest = head;
    while let Some(end) = rest.windows(2).position(|bytes| bytes == b"\r\n") {
        lines.push(&rest[..end]);
        rest = &rest[end + 2..];
    }
    lines.push(rest);
    if lines
        .iter()
        .any(|line| line.contains(&b'\r') || line.contains(&b'\n'))
    {
        return None;
    }
    let (line, lines) = lines.split_first()?;
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    // RFC 9110, 2.5: a later minor version is read as the last one that is known.
    let minor = match version.strip_prefix("HTTP/1.")?.as_bytes() {
        [b'0'] => 0,
        [minor] if minor.is_ascii_digit() => 1,
        _ => return None,
    };
    let good = words.next().is_none()
        && !method.is_empty()
        && method.bytes().all(is_token)
        && !target.is_empty()
        && !target.bytes().any(|byte| byte.is_ascii_control());
    if !good || lines.len() > MAX_HEADERS {
        return None;
    }
    let mut fields = Vec::new();
    for line in lines {
        let colon = line.iter().position(|&byte| byte == b':')?;
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        if name.is_empty() || !name.iter().all(|&byte| is_token(byte)) {
            return None;
        }
        if value
            .iter()
            .any(|&byte| byte != b'\t' && byte.is_ascii_control())
        {
            return None;
        }
        fields.push((std::str::from_utf8(name).ok()?, value.trim_ascii()));
    }
    Some(Judged {
        method,
        target,
        minor,
        fields,
    })
}

impl Judged<'_> {
    fn values(&self, name: &str) -> impl Iterator<Item = String> {
        let values = self
            .fields
            .iter()
            .filter(move |(key, _)| key.eq_ignore_ascii_case(name));
        values.map(|(_, value)| value.iter().copied().map(char::from).collect())
    }

    fn keeps_alive(&self) -> bool {
        let options: Vec<_> = self
            .values("connection")
            .flat_map(|value| {
                value
                    .split(',')
                    .map(|option| option.trim_matches([' ', '\t']).to_ascii_lowercase())
                    .collect::<Vec<_>>()
            })
            .collect();
        let has = |option: &str| options.iter().any(|other| other == option);
        !has("close") && (self.minor > 0 || has("keep-alive"))
    }

    /// `None`: the request must not be trusted.
    fn framing(&self) -> Option<Length> {
        if self
            .fields
            .iter()
            .any(|(name, _)| is_taken_for_framing(name))
        {
            return None;
        }
        let hosts: Vec<_> = self.values("host").collect();
        match hosts.as_slice() {
            [] if self.minor == 0 => {}
            [host] if is_authority(host) => {}
            _ => return None,
        }
        let lengths: Vec<_> = self.values("content-length").collect();
        let codings: Vec<_> = self.values("transfer-encoding").collect();
        match (lengths.as_slice(), codings.as_slice()) {
            ([], []) => Some(Length::Known(0)),
            ([length], []) if length.bytes().all(|byte| byte.is_ascii_digit()) => {
                length.parse().ok().map(Length::Known)
            }
            ([], [coding]) if self.minor == 1 && coding.eq_ignore_ascii_case("chunked") => {
                Some(Length::Chunked)
            }
            _ => None,
        }
    }
}

/// `Content_Length` and its like, which gateways that make variables of names take for the real one.
fn is_taken_for_framing(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let squeezed: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    [
        ("content-length", "contentlength"),
        ("transfer-encoding", "transferencoding"),
    ]
    .iter()
    .any(|&(real, letters)| squeezed == letters && name != real && name.len() >= real.len())
}

/// Absolute form with a host, or not absolute form (RFC 9112, 3.2).
fn has_host_if_absolute(target: &str) -> bool {
    ["http://", "https://"].iter().all(|scheme| {
        let is_absolute = target
            .get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme));
        let rest = target.get(scheme.len()..).unwrap_or_default();
        !is_absolute || !rest.is_empty() && !rest.starts_with(['/', '?', '#'])
    })
}

/// `uri-host [ ":" port ]` (RFC 9110, 7.2), by the characters only. An empty host is allowed.
fn is_authority(host: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._~%!$&'()*+,;=".contains(c);
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let (good, port) = match bracketed {
        Some((name, port)) => {
            let good = name.chars().all(|c| allowed(c) || c == ':' || c == '[');
            (
                good && (port.is_empty() || port.starts_with(':')),
                port.get(1..).unwrap_or(""),
            )
        }
        None => {
            let (name, port) = host.split_once(':').unwrap_or((host, ""));
            (name.chars().all(allowed), port)
        }
    };
    good && port.bytes().all(|byte| byte.is_ascii_digit())
}

enum Outcome<'a> {
    /// What is behind the body.
    Complete(&'a [u8]),
    Refused,
    CutShort,
}

fn after_body(stream: &[u8], framing: Length) -> Outcome<'_> {
    match framing {
        Length::Known(length) => {
            match stream.get(usize::try_from(length).unwrap_or(usize::MAX)..) {
                Some(rest) => Outcome::Complete(rest),
                None => Outcome::CutShort,
            }
        }
        Length::Chunked => after_chunks(stream),
    }
}

fn after_chunks(mut stream: &[u8]) -> Outcome<'_> {
    let mut left = BODY;
    loop {
        let Some(line) = take_line(&mut stream) else {
            return match stream.len() > CHUNK_LINE || has_bare_end(stream) {
                true => Outcome::Refused,
                false => Outcome::CutShort,
            };
        };
        let Some(size) = chunk_size(line) else {
            return Outcome::Refused;
        };
        if size == 0 {
            break;
        }
        if size > left {
            return Outcome::Refused;
        }
        left -= size;
        let Some(rest) = stream.get(usize::try_from(size).expect("small")..) else {
            return Outcome::CutShort;
        };
        stream = match rest.strip_prefix(b"\r\n") {
            Some(rest) => rest,
            None if rest.is_empty() => return Outcome::CutShort,
            None => return Outcome::Refused,
        };
    }
    while let Some(line) = take_line(&mut stream) {
        if line.is_empty() {
            return Outcome::Complete(stream);
        }
        let name = line.iter().take_while(|&&byte| is_token(byte)).count();
        let control = line
            .iter()
            .any(|&byte| byte != b'\t' && byte.is_ascii_control());
        // RFC 9110, 6.5.1: what frames or routes a message is no trailer.
        let of_a_head = ["content-length", "transfer-encoding", "host"];
        let misplaced = of_a_head
            .iter()
            .any(|field| line[..name].eq_ignore_ascii_case(field.as_bytes()));
        if name == 0 || line.get(name) != Some(&b':') || control || misplaced {
            return Outcome::Refused;
        }
    }
    match has_bare_end(stream) {
        true => Outcome::Refused,
        false => Outcome::CutShort,
    }
}

/// A CR or LF that ends no line, in one that has not ended. A CR at its end may.
fn has_bare_end(line: &[u8]) -> bool {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    line.contains(&b'\r') || line.contains(&b'\n')
}

fn chunk_size(line: &[u8]) -> Option<u64> {
    let end = line.iter().position(|byte| b"; \t".contains(byte));
    let (size, extensions) = line.split_at(end.unwrap_or(line.len()));
    let digits = !size.is_empty() && size.len() <= 15 && size.iter().all(u8::is_ascii_hexdigit);
    if !digits || !are_extensions(extensions) || line.len() > CHUNK_LINE {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(size).ok()?, 16).ok()
}

/// RFC 9112, 7.1.1, as a row of states.
fn are_extensions(text: &[u8]) -> bool {
    #[derive(Clone, Copy)]
    enum At {
        End,
        BlankBefore,
        Sign,
        Name,
        BlankBehindName,
        Equals,
        Value,
        Quoted,
        Escaped,
    }
    let mut at = At::End;
    for &byte in text {
        let blank = matches!(byte, b' ' | b'\t');
        let token = is_token(byte);
        at = match (at, byte) {
            (At::Quoted, b'"') => At::End,
            (At::Quoted, b'\\') => At::Escaped,
            (At::Quoted | At::Escaped, _) if blank || !byte.is_ascii_control() => At::Quoted,
            (At::Equals, b'"') => At::Quoted,
            (At::Equals, _) if blank => At::Equals,
            (At::Equals | At::Value, _) if token => At::Value,
            (At::Sign, _) if blank => At::Sign,
            (At::Sign | At::Name, _) if token => At::Name,
            (At::Name | At::BlankBehindName, b'=') => At::Equals,
            (At::Name | At::BlankBehindName, _) if blank => At::BlankBehindName,
            (At::End | At::BlankBefore | At::Name | At::BlankBehindName | At::Value, b';') => {
                At::Sign
            }
            (At::End | At::BlankBefore | At::Value, _) if blank => At::BlankBefore,
            _ => return false,
        };
    }
    matches!(at, At::End | At::Name | At::Value)
}

fn take_line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = rest.windows(2).position(|bytes| bytes == b"\r\n")?;
    let line = &rest[..end];
    *rest = &rest[end + 2..];
    Some(line)
}
