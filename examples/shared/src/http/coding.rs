//! The consumer that unpacks compressed bodies (RFC 9110, 8.4.1) before it hands them on, and bounds what they become.

use std::{
    cell::RefCell,
    io::{self, Write},
    rc::Rc,
};

use asynchat::{BoxError, Registry, Result};
use brotli_decompressor::DecompressorWriter;
use flate2::{Decompress, FlushDecompress, Status, write::MultiGzDecoder};

use super::consumer::{Consumer, Order, Request};

const ACCEPTED: &str = "gzip, deflate, br";
/// Bytes that a decoder hands on at a time.
const PIECE: usize = 32 * 1024;
/// A body may become this large at any ratio: a page of spaces is small on its way.
const FREE: u64 = 16 * 1024 * 1024;

/// Sends `Accept-Encoding`, and unpacks what comes.
pub struct Decoding<C> {
    feed: Rc<RefCell<Feed<C>>>,
    decoder: Option<Box<dyn Decoder>>,
    max_ratio: u64,
}

impl<C: Consumer + 'static> Decoding<C> {
    /// A body may become `max_ratio` times larger.
    pub fn new(consumer: C, max_ratio: u64) -> Self {
        Self {
            feed: Rc::new(RefCell::new(Feed {
                consumer,
                packed: 0,
                unpacked: 0,
                limit: Limit {
                    max_ratio,
                    max_size: None,
                },
                error: None,
                closed: false,
            })),
            decoder: None,
            max_ratio,
        }
    }

    fn decoder(&self, coding: &str) -> Result<Option<Box<dyn Decoder>>> {
        let unpacked = Unpacked(Rc::clone(&self.feed));
        Ok(Some(match coding {
            "" | "identity" => return Ok(None),
            "gzip" | "x-gzip" => Box::new(MultiGzDecoder::new(unpacked)),
            "deflate" => Box::new(Deflate::new(unpacked)),
            "br" => Box::new(Brotli {
                decoder: DecompressorWriter::new(unpacked, PIECE),
                begun: false,
            }),
            other => {
                return Err(format!("the body's coding {other:?} is none of {ACCEPTED}").into());
            }
        }))
    }

    /// An error of the consumer behind the decoder is its own; everything else is the body's.
    fn of_body(&self, error: &io::Error) -> BoxError {
        match self.feed.borrow_mut().error.take() {
            Some(error) => error,
            None => format!("the compressed body is malformed: {error}").into(),
        }
    }
}

impl<C: Consumer + 'static> Consumer for Decoding<C> {
    fn http_request(&mut self, order: &mut Order) -> Result {
        self.feed.borrow_mut().consumer.http_request(order)?;
        if !order.fields.has("accept-encoding") && !order.has_added("Range") {
            order.add("Accept-Encoding", ACCEPTED.into());
        }
        Ok(())
    }

    fn http_header(&mut self, request: &mut Request<'_, '_>) -> Result {
        let codings: Vec<_> = request
            .head
            .all("content-encoding")
            .map(|value| String::from_utf8_lossy(value).trim().to_ascii_lowercase())
            .collect();
        self.decoder = self.decoder(&codings.join(", "))?;
        if self.decoder.is_some() {
            request.length = None;
        }
        let mut feed = self.feed.borrow_mut();
        (feed.packed, feed.unpacked) = (0, 0);
        feed.limit = Limit {
            max_ratio: self.max_ratio,
            max_size: request.order.max_size,
        };
        feed.consumer.http_header(request)
    }

    fn feed(&mut self, data: &[u8]) -> Result {
        let Some(decoder) = &mut self.decoder else {
            return self.feed.borrow_mut().consumer.feed(data);
        };
        self.feed.borrow_mut().packed += data.len() as u64;
        match decoder.write_all(data) {
            Ok(()) => Ok(()),
            Err(error) => Err(self.of_body(&error)),
        }
    }

    fn close(&mut self, outcome: Result<(), BoxError>) {
        let decoder = self.decoder.take();
        // An answer to HEAD has a coding and no body.
        let is_empty = self.feed.borrow().packed == 0;
        let outcome = match decoder {
            Some(mut decoder) if outcome.is_ok() && !is_empty => {
                let finished = decoder.finish().map_err(|error| self.of_body(&error));
                self.feed.borrow_mut().closed = true;
                finished
            }
            decoder => {
                // Decoders write what they have when they are dropped.
                self.feed.borrow_mut().closed = true;
                drop(decoder);
                outcome
            }
        };
        self.feed.borrow_mut().consumer.close(outcome);
    }

    fn finished(&mut self, registry: &mut Registry) {
        self.feed.borrow_mut().consumer.finished(registry);
    }
}

struct Limit {
    max_ratio: u64,
    max_size: Option<u64>,
}

struct Feed<C> {
    consumer: C,
    packed: u64,
    unpacked: u64,
    limit: Limit,
    error: Option<BoxError>,
    closed: bool,
}

impl<C: Consumer> Feed<C> {
    fn take(&mut self, data: &[u8]) -> Result {
        self.unpacked += data.len() as u64;
        let Limit {
            max_ratio,
            max_size,
        } = self.limit;
        if let Some(max) = max_size
            && self.unpacked > max
        {
            return Err(format!("the body is larger than {max} bytes").into());
        }
        if self.unpacked > FREE.max(self.packed.saturating_mul(max_ratio)) {
            return Err(format!(
                "the body unpacks to more than {max_ratio} times its size; --max-ratio allows more"
            )
            .into());
        }
        self.consumer.feed(data)
    }
}

/// The decoder's output.
struct Unpacked<C>(Rc<RefCell<Feed<C>>>);

impl<C: Consumer> Write for Unpacked<C> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        // Decoders that are dropped while an error is on its way find the feed borrowed.
        let Ok(mut feed) = self.0.try_borrow_mut() else {
            return Err(io::ErrorKind::Other.into());
        };
        if feed.closed || feed.error.is_some() {
            return Err(io::ErrorKind::Other.into());
        }
        if !data.is_empty()
            && let Err(error) = feed.take(data)
        {
            feed.error = Some(error);
            return Err(io::ErrorKind::Other.into());
        }
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What takes a packed body in pieces.
trait Decoder: Write {
    /// The end: an error if the body goes on.
    fn finish(&mut self) -> io::Result<()>;
}

impl<W: Write> Decoder for MultiGzDecoder<W> {
    fn finish(&mut self) -> io::Result<()> {
        self.try_finish()
    }
}

/// The coding "br". Windows of more than 16 MiB are no part of it (RFC 7932, 9.1), but of what the crate unpacks.
struct Brotli<W: Write> {
    decoder: DecompressorWriter<W>,
    begun: bool,
}

/// The lowest seven bits of a body with such a window.
const LARGE_WINDOW: u8 = 0b001_0001;

impl<W: Write> Write for Brotli<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if let (false, Some(first)) = (self.begun, data.first()) {
            self.begun = true;
            if first & 0x7f == LARGE_WINDOW {
                return Err(io::Error::other("a window of more than 16 MiB"));
            }
        }
        self.decoder.write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<W: Write> Decoder for Brotli<W> {
    fn finish(&mut self) -> io::Result<()> {
        self.decoder.close()
    }
}

/// The coding "deflate": as the RFC says with the header of zlib, or without it, as some servers send it.
struct Deflate<W> {
    to: W,
    /// `None` before the first two bytes.
    state: Option<Decompress>,
    first: Vec<u8>,
    ended: bool,
}

impl<W: Write> Deflate<W> {
    fn new(to: W) -> Self {
        Self {
            to,
            state: None,
            first: Vec::new(),
            ended: false,
        }
    }

    fn unpack(&mut self, mut data: &[u8]) -> io::Result<()> {
        let Some(state) = &mut self.state else {
            return Ok(());
        };
        let mut piece = [0; PIECE];
        loop {
            if self.ended {
                return match data {
                    [] => Ok(()),
                    _ => Err(io::Error::other("it goes on behind its end")),
                };
            }
            let (taken, made) = (state.total_in(), state.total_out());
            let status = state.decompress(data, &mut piece, FlushDecompress::None);
            let status = status.map_err(io::Error::other)?;
            let taken = (state.total_in() - taken) as usize;
            let made = (state.total_out() - made) as usize;
            data = &data[taken..];
            self.to.write_all(&piece[..made])?;
            self.ended = status == Status::StreamEnd;
            if !self.ended && (taken, made) == (0, 0) {
                return Ok(());
            }
        }
    }
}

/// CMF and FLG (RFC 1950, 2.2).
fn is_zlib(first: &[u8]) -> bool {
    let [cmf, flg] = [first[0], first[1]].map(u16::from);
    cmf & 0x0f == 8 && (cmf << 8 | flg) % 31 == 0
}

impl<W: Write> Write for Deflate<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if self.state.is_some() {
            self.unpack(data)?;
            return Ok(data.len());
        }
        self.first.extend_from_slice(data);
        if self.first.len() >= 2 {
            self.state = Some(Decompress::new(is_zlib(&self.first)));
            let first = std::mem::take(&mut self.first);
            self.unpack(&first)?;
        }
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<W: Write> Decoder for Deflate<W> {
    fn finish(&mut self) -> io::Result<()> {
        match self.ended {
            true => Ok(()),
            false => Err(io::Error::other("it ends too early")),
        }
    }
}
