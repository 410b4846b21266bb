//! `http`, and what `files` shares with it: requests in pipelined windows, and answers whose head is the same each time but for
//! the date.
//!
//! The first answer is read by its meaning, so that servers may order and spell their header fields as they like; every later
//! one must be the same bytes.

use std::ops::Range;

use crate::{
    args::Options,
    date,
    engine::Exchange,
    failure::{Failure, compare},
};

const HELLO: &[u8] = b"Hello, world!";
const END: &[u8] = b"\r\n\r\n";
const LONGEST_HEAD: usize = 8 * 1024;

/// How many bytes of short answers are compared at once.
const LONGEST_RUN: usize = 64 * 1024;

pub(crate) fn exchange(options: &Options) -> Http {
    Http::new(options, HELLO.to_vec(), Some("text/plain"))
}

pub(crate) struct Http {
    requests: Vec<u8>,
    request: usize,
    body: Vec<u8>,
    /// What the head must say.
    content_type: Option<&'static str>,
    strict: bool,
    window: usize,
    head: Option<Head>,
    /// Whole answers one after the other as they must come while the date stays; empty if one alone is long.
    run: Vec<u8>,
}

/// The head of the first answer, with the newest date.
struct Head {
    bytes: Vec<u8>,
    date: Range<usize>,
    /// Whether the date was checked against the clock within the last second.
    fresh: bool,
}

pub(crate) struct Place {
    count: usize,
    /// Answers outstanding.
    left: usize,
    /// A head that has come in part.
    head: Vec<u8>,
    /// How much of the body has come, once the head has.
    body: Option<usize>,
}

impl Http {
    pub(crate) fn new(
        options: &Options,
        body: Vec<u8>,
        content_type: Option<&'static str>,
    ) -> Self {
        let request = format!("GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n", options.path);
        Self {
            requests: request.as_bytes().repeat(options.window),
            request: request.len(),
            body,
            content_type,
            strict: options.strict,
            window: options.window,
            head: None,
            run: Vec::new(),
        }
    }

    /// Takes a head, or the first part of it: returns how many bytes of `got`, and whether it is complete.
    fn take_head(&mut self, partial: &mut Vec<u8>, got: &[u8]) -> Result<(usize, bool), Failure> {
        let Some(head) = &mut self.head else {
            let before = partial.len();
            partial.extend_from_slice(got);
            let Some(end) = partial.windows(END.len()).position(|at| at == END) else {
                if partial.len() > LONGEST_HEAD {
                    return Err(Failure::Answer("the head does not end".into()));
                }
                return Ok((got.len(), false));
            };
            partial.truncate(end + END.len());
            let used = partial.len() - before;
            self.head = Some(self.learn(partial)?);
            self.lay_out_run();
            partial.clear();
            return Ok((used, true));
        };
        let length = head.bytes.len();
        if partial.is_empty() && got.len() >= length {
            if head.check(&got[..length])? {
                self.lay_out_run();
            }
            return Ok((length, true));
        }
        let used = got.len().min(length - partial.len());
        partial.extend_from_slice(&got[..used]);
        if partial.len() < length {
            return Ok((used, false));
        }
        if head.check(partial)? {
            self.lay_out_run();
        }
        partial.clear();
        Ok((used, true))
    }

    /// Takes as many whole answers as have come, if they are what must come: returns how many bytes.
    #[inline]
    fn take_run(&self, place: &mut Place, got: &[u8]) -> usize {
        let Some(head) = &self.head else {
            return 0;
        };
        let length = head.bytes.len() + self.body.len();
        if !head.fresh || place.body.is_some() || !place.head.is_empty() || got.len() < length {
            return 0;
        }
        let answers = (got.len() / length).min(place.left);
        let used = (answers * length).min(self.run.len());
        if got[..used] != self.run[..used] {
            return 0;
        }
        place.left -= used / length;
        used
    }

    fn lay_out_run(&mut self) {
        let Some(head) = &self.head else {
            return;
        };
        self.run.clear();
        let length = head.bytes.len() + self.body.len();
        for _ in 0..self.window.min(LONGEST_RUN / length) {
            self.run.extend_from_slice(&head.bytes);
            self.run.extend_from_slice(&self.body);
        }
    }

    fn learn(&self, bytes: &[u8]) -> Result<Head, Failure> {
        let wrong = |what: &str| {
            let text = String::from_utf8_lossy(bytes);
            Failure::Answer(format!("{what} in the head {text:?}"))
        };
        if !bytes.starts_with(b"HTTP/1.1 200 ") {
            return Err(wrong("no status 200"));
        }
        let mut date = None;
        let (mut length, mut content_type) = (None, None);
        for (at, name, value) in fields(bytes) {
            match name.to_ascii_lowercase().as_slice() {
                b"date" => date = Some(at..at + value.len()),
                b"content-length" => length = Some(value),
                b"content-type" => content_type = Some(value),
                b"transfer-encoding" => return Err(wrong("a transfer encoding")),
                _ => {}
            }
        }
        let date = date.ok_or_else(|| wrong("no date"))?;
        if date.len() != date::LENGTH || !date::is_now(&bytes[date.clone()]) {
            return Err(wrong("a wrong date"));
        }
        if length != Some(self.body.len().to_string().as_bytes()) {
            return Err(wrong(&format!("no Content-Length {}", self.body.len())));
        }
        if let Some(expected) = self.content_type
            && !content_type.is_some_and(|found| found.starts_with(expected.as_bytes()))
        {
            return Err(wrong(&format!("no Content-Type {expected}")));
        }
        if self.strict {
            let agreed = self.agreed(&bytes[date.clone()]);
            if bytes != agreed {
                let agreed = String::from_utf8_lossy(&agreed);
                return Err(wrong(&format!("not the agreed {agreed:?}")));
            }
        }
        Ok(Head {
            bytes: bytes.to_vec(),
            date,
            fresh: true,
        })
    }

    /// The head that the servers written for the comparison send.
    fn agreed(&self, date: &[u8]) -> Vec<u8> {
        let mut head = b"HTTP/1.1 200 OK\r\nDate: ".to_vec();
        head.extend_from_slice(date);
        if let Some(content_type) = self.content_type {
            head.extend_from_slice(format!("\r\nContent-Type: {content_type}").as_bytes());
        }
        head.extend_from_slice(
            format!("\r\nContent-Length: {}\r\n\r\n", self.body.len()).as_bytes(),
        );
        head
    }
}

impl Head {
    /// Returns whether the date is a new one.
    #[inline]
    fn check(&mut self, got: &[u8]) -> Result<bool, Failure> {
        if self.fresh && got == self.bytes {
            return Ok(false);
        }
        self.check_new_date(got)
    }

    #[cold]
    fn check_new_date(&mut self, got: &[u8]) -> Result<bool, Failure> {
        let date = self.date.clone();
        let what = "an answer's head";
        compare(&got[..date.start], &self.bytes[..date.start], what, 0)?;
        compare(&got[date.end..], &self.bytes[date.end..], what, date.end)?;
        if !date::is_now(&got[date.clone()]) {
            let date = String::from_utf8_lossy(&got[date]);
            return Err(Failure::Answer(format!("the date {date:?} is not now")));
        }
        self.bytes.copy_from_slice(got);
        self.fresh = true;
        Ok(true)
    }
}

/// The header fields: where the value begins, the name, the value.
fn fields(head: &[u8]) -> impl Iterator<Item = (usize, &[u8], &[u8])> {
    let mut start = 0;
    let lines = head
        .split_inclusive(|&byte| byte == b'\n')
        .map(move |line| {
            start += line.len();
            (start - line.len(), line)
        });
    lines.skip(1).filter_map(|(start, line)| {
        let colon = line.iter().position(|&byte| byte == b':')?;
        let value = line[colon + 1..].trim_ascii_start();
        let at = start + line.len() - value.len();
        Some((at, &line[..colon], value.trim_ascii_end()))
    })
}

impl Exchange for Http {
    type Cursor = Place;

    fn cursor(&self, _: usize) -> Place {
        Place {
            count: 0,
            left: 0,
            head: Vec::with_capacity(1024),
            body: None,
        }
    }

    #[inline]
    fn begin(&self, place: &mut Place, count: usize) {
        place.count = count;
        place.left = count;
    }

    #[inline]
    fn request<'a>(&'a self, place: &Place) -> &'a [u8] {
        &self.requests[..place.count * self.request]
    }

    fn answer(&mut self, place: &mut Place, mut got: &[u8]) -> Result<(), Failure> {
        while !got.is_empty() {
            if place.left == 0 {
                return Err(Failure::Surplus { bytes: got.len() });
            }
            let used = self.take_run(place, got);
            if used > 0 {
                got = &got[used..];
                continue;
            }
            let Some(at) = place.body else {
                let (used, complete) = self.take_head(&mut place.head, got)?;
                got = &got[used..];
                if complete {
                    place.body = Some(0);
                    finish_body(place, 0, self.body.len());
                }
                continue;
            };
            let (now, rest) = got.split_at(got.len().min(self.body.len() - at));
            compare(now, &self.body[at..at + now.len()], "an answer's body", at)?;
            finish_body(place, at + now.len(), self.body.len());
            got = rest;
        }
        Ok(())
    }

    #[inline]
    fn answered(&self, place: &Place) -> bool {
        place.left == 0
    }

    fn tick(&mut self) {
        if let Some(head) = &mut self.head {
            head.fresh = false;
        }
    }
}

#[inline]
fn finish_body(place: &mut Place, at: usize, length: usize) {
    if at < length {
        place.body = Some(at);
    } else {
        place.body = None;
        place.left -= 1;
    }
}
