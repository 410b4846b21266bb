//! The consumer behind `-C -`: goes on with a file that is there in part (RFC 9110, 14).
//!
//! What has come stays in the file if the rest does not. Beside it, in `FILE.validator`, is which version of the body it is
//! a part of: a server that has another one by now sends all of it.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{ErrorKind, Read},
    path::{Path, PathBuf},
    time::Duration,
};

use asynchat::{BoxError, Result};
use shared::{
    http::{
        consumer::{Consumer, Method, Order, Request},
        response::Head,
    },
    saving::{Sink, Target},
};

/// Bytes of a validator: the longest that is kept.
const MAX_VALIDATOR: u64 = 1024;

pub(crate) struct Resuming<C> {
    path: PathBuf,
    /// Bytes of the file that are there.
    have: u64,
    /// Whether the rest was asked for.
    asked: bool,
    /// Bytes of the range that are still to come.
    missing: Option<u64>,
    /// Whether the range ends where the body does.
    is_all: bool,
    sink: Option<Sink>,
    consumer: C,
}

/// What an answer is to the file.
enum Answer {
    /// This number of bytes, and whether these are all.
    Rest(u64, bool),
    All,
    /// There is no rest.
    Complete,
}

impl<C> Resuming<C> {
    pub(crate) fn new(path: &Path, consumer: C) -> Self {
        Self {
            path: path.into(),
            have: 0,
            asked: false,
            missing: None,
            is_all: true,
            sink: None,
            consumer,
        }
    }

    fn validator_path(&self) -> PathBuf {
        let mut name = OsString::from(&self.path);
        name.push(".validator");
        name.into()
    }

    fn validator(&self) -> Option<String> {
        let mut text = String::new();
        let file = File::open(self.validator_path()).ok()?;
        file.take(MAX_VALIDATOR).read_to_string(&mut text).ok()?;
        let line = text.lines().next()?;
        (!line.contains(|c: char| c.is_control())).then(|| line.to_owned())
    }

    fn answer(&self, head: &Head, length: Option<u64>) -> Result<Answer> {
        let range = head.get("content-range").map(String::from_utf8_lossy);
        let range = range.as_deref().unwrap_or_default();
        let another = || {
            let have = self.have;
            format!("the server sent another range, {range:?}, than from {have}")
        };
        match head.status {
            206 if self.asked => match content_range(range) {
                Some((first, last, size)) if first == self.have => {
                    let bytes = last - first + 1;
                    match length {
                        Some(length) if length != bytes => Err(another().into()),
                        _ => Ok(Answer::Rest(bytes, size.is_none_or(|size| last + 1 == size))),
                    }
                }
                _ => Err(another().into()),
            },
            416 if self.asked => match range.strip_prefix("bytes */").map(str::parse) {
                Some(Ok(size)) if self.have == size => Ok(Answer::Complete),
                _ => Err(format!(
                    "the file has {} bytes, which are no part of the server's ({range}): remove it to begin anew",
                    self.have
                )
                .into()),
            },
            200 => Ok(Answer::All),
            status => Err(format!("the server answered with status {status}").into()),
        }
    }

    /// Begins to save the body.
    fn open(&mut self, answer: &Answer, head: &Head) -> Result {
        let target = Target::File(self.path.clone());
        self.sink = match answer {
            Answer::Complete => None,
            // Another version: the part stays until this one is complete.
            Answer::All if self.have > 0 => Some(target.open()?),
            _ => {
                if let Answer::All = answer {
                    let named = |error| format!("{}: {error}", self.path.display());
                    File::options()
                        .append(true)
                        .create(true)
                        .open(&self.path)
                        .map_err(named)?;
                    self.keep_validator(head)?;
                }
                Some(target.append()?.0)
            }
        };
        Ok(())
    }

    fn keep_validator(&self, head: &Head) -> Result {
        let path = self.validator_path();
        let kept = match strong_validator(head) {
            Some(validator) => fs::write(&path, format!("{validator}\n")),
            None => match fs::remove_file(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
                other => other,
            },
        };
        kept.map_err(|error| format!("{}: {error}", path.display()).into())
    }
}

/// First, last and size of `bytes FIRST-LAST/SIZE`.
fn content_range(text: &str) -> Option<(u64, u64, Option<u64>)> {
    let number = |text: &str| shared::http::decimal(text.as_bytes());
    let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let size = match size {
        "*" => None,
        size => Some(number(size)?),
    };
    let (first, last) = (number(first)?, number(last)?);
    (first <= last && size.is_none_or(|size| last < size)).then_some((first, last, size))
}

/// What names one version of a body: an entity tag that is not weak, or a date of change that is no longer young
/// (RFC 9110, 8.8.2.2).
fn strong_validator(head: &Head) -> Option<String> {
    let field = |name: &str| {
        head.get(name)
            .and_then(|value| std::str::from_utf8(value).ok())
    };
    if let Some(tag) = field("etag") {
        let is_strong = tag.starts_with('"') && tag.len() as u64 <= MAX_VALIDATOR / 2;
        return is_strong.then(|| tag.to_owned());
    }
    let modified = field("last-modified")?;
    let date = |text| httpdate::parse_http_date(text).ok();
    let age = date(field("date")?)?.duration_since(date(modified)?).ok()?;
    (age >= Duration::from_secs(1)).then(|| modified.to_owned())
}

impl<C: Consumer> Consumer for Resuming<C> {
    fn http_request(&mut self, order: &mut Order) -> Result {
        self.consumer.http_request(order)?;
        self.have = match fs::metadata(&self.path) {
            Ok(about) if about.is_file() => about.len(),
            Ok(_) => return Err(format!("{}: not a regular file", self.path.display()).into()),
            Err(error) if error.kind() == ErrorKind::NotFound => 0,
            Err(error) => return Err(format!("{}: {error}", self.path.display()).into()),
        };
        self.asked = self.have > 0 && order.method == Method::GET;
        if self.asked {
            order.add("Range", format!("bytes={}-", self.have));
            if let Some(validator) = self.validator() {
                order.add("If-Range", validator);
            }
        }
        Ok(())
    }

    fn http_header(&mut self, request: &mut Request<'_, '_>) -> Result {
        let answer = self.answer(request.head, request.length)?;
        if let Answer::Rest(bytes, is_all) = answer {
            (self.missing, self.is_all) = (Some(bytes), is_all);
        }
        self.consumer.http_header(request)?;
        self.open(&answer, request.head)
    }

    fn feed(&mut self, data: &[u8]) -> Result {
        if let Some(sink) = &mut self.sink {
            if let Some(missing) = &mut self.missing {
                let left = missing.checked_sub(data.len() as u64);
                *missing = left.ok_or("the server sent more than its range")?;
            }
            sink.write_all(data)?;
            return self.consumer.feed(data);
        }
        Ok(())
    }

    fn close(&mut self, outcome: Result<(), BoxError>) {
        let outcome = match self.missing {
            Some(missing @ 1..) if outcome.is_ok() => {
                Err(format!("connection closed {missing} bytes before the end of the range").into())
            }
            _ if outcome.is_ok() && !self.is_all => {
                Err("the server sent a range that is not all of the rest; -C - goes on".into())
            }
            _ => outcome,
        };
        let complete = outcome.is_ok();
        let saved = match self.sink.take() {
            Some(sink) => sink.finish(complete),
            None => Ok(()),
        };
        if complete && saved.is_ok() {
            // It may never have been there.
            let _ = fs::remove_file(self.validator_path());
        }
        self.consumer.close(outcome.and(saved));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_range_has_a_first_and_a_last_byte() {
        for (text, range) in [
            ("bytes 2-5/6", Some((2, 5, Some(6)))),
            ("bytes 2-5/*", Some((2, 5, None))),
            ("bytes 5-2/6", None),
            ("bytes 2-6/6", None),
            ("bytes */6", None),
            ("bytes -5/6", None),
            ("bytes +2-5/6", None),
            ("items 2-5/6", None),
            ("", None),
        ] {
            assert_eq!(content_range(text), range, "{text}");
        }
    }

    #[test]
    fn only_a_strong_validator_names_a_version() {
        const DATE: &str = "Date: Sun, 06 Nov 1994 08:49:37 GMT";
        for (fields, validator) in [
            ("ETag: \"a\"", Some("\"a\"")),
            ("ETag: W/\"a\"", None),
            (
                "Last-Modified: Sun, 06 Nov 1994 08:49:36 GMT",
                Some("Sun, 06 Nov 1994 08:49:36 GMT"),
            ),
            ("Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT", None),
            ("Last-Modified: today", None),
            ("X: y", None),
        ] {
            let head = Head::parse(format!("HTTP/1.1 200 OK\n{DATE}\n{fields}").as_bytes());
            let found = strong_validator(&head.expect("a header"));
            assert_eq!(found.as_deref(), validator, "{fields}");
        }
    }
}
