//! From the output of a script to the answer of an exchange.

use asynchat::Result;

use super::answer::{Answer, BadAnswer, Head, HeaderReader, StatusLineReader};
use crate::http::service::{self, Exchange};

/// The output of one script on its way to the client.
#[derive(Debug)]
pub struct Relay {
    part: Part,
    head_only: bool,
    /// Bytes of a document that may still come.
    allowed: u64,
}

#[derive(Debug)]
enum Part {
    Header(HeaderReader),
    /// Of a script that makes its own header.
    StatusLine(StatusLineReader),
    /// The document, of which this many bytes are missing, if that is known.
    Document(Option<u64>),
    Over,
}

/// What is to happen after a piece of output.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    Go,
    /// The answer is complete. What else the script has to say is not used.
    Complete,
    /// Another path and query are to be answered instead, as to GET; nothing has been sent.
    Local(String),
}

impl Relay {
    /// `makes_header`: the script writes all of the answer, its status line included (`nph-`). A document may have
    /// `max_answer` bytes.
    pub fn new(makes_header: bool, head_only: bool, max_answer: u64) -> Self {
        let part = match makes_header {
            true => Part::StatusLine(StatusLineReader::default()),
            false => Part::Header(HeaderReader::default()),
        };
        Self {
            part,
            head_only,
            allowed: max_answer,
        }
    }

    /// Takes the next piece of output.
    ///
    /// # Errors
    /// The answer is none, or too large. Nothing has been sent of it, or it has to be cut.
    pub fn output(&mut self, exchange: &mut Exchange<'_, '_>, data: &[u8]) -> Result<Next> {
        match &mut self.part {
            Part::Header(reader) => match reader.collect(data)? {
                None => Ok(Next::Go),
                Some((Answer::Local(path), _)) => {
                    self.part = Part::Over;
                    Ok(Next::Local(path))
                }
                Some((Answer::Document(head), taken)) => {
                    self.begin(exchange, &head)?;
                    self.document(exchange, &data[taken..])
                }
            },
            Part::StatusLine(reader) => match reader.collect(data)? {
                None => Ok(Next::Go),
                Some((status, taken)) => {
                    exchange.begin_raw(status)?;
                    self.part = Part::Document(None);
                    self.document(exchange, &taken)
                }
            },
            Part::Document(_) | Part::Over => self.document(exchange, data),
        }
    }

    /// The output has ended.
    ///
    /// # Errors
    /// Some of the answer is missing.
    pub fn end(&mut self, exchange: &mut Exchange<'_, '_>) -> Result {
        match std::mem::replace(&mut self.part, Part::Over) {
            Part::Header(_) => Err(BadAnswer::CutShort.into()),
            Part::StatusLine(_) => Err(BadAnswer::NoStatusLine.into()),
            // Complains if some of the length is missing.
            Part::Document(_) => exchange.end(),
            Part::Over => Ok(()),
        }
    }

    fn begin(&mut self, exchange: &mut Exchange<'_, '_>, head: &Head) -> Result {
        if head.length.is_some_and(|length| length > self.allowed) {
            return Err(BadAnswer::TooLarge(self.allowed).into());
        }
        let has_body = head.has_body() && !self.head_only;
        let mut answer = service::Answer::new(head.status);
        if let Some(reason) = &head.reason {
            answer.set_reason(reason)?;
        }
        for (name, value) in &head.fields {
            answer.add(name, value)?;
        }
        // Without a document and its length, none is on its way.
        let length = if has_body || self.head_only || head.status == 304 {
            head.length
        } else {
            None
        };
        if let Some(length) = length {
            answer = answer.length(length);
        }
        exchange.begin(&answer)?;
        self.part = Part::Document(if has_body { length } else { Some(0) });
        Ok(())
    }

    fn document(&mut self, exchange: &mut Exchange<'_, '_>, data: &[u8]) -> Result<Next> {
        let Part::Document(left) = &mut self.part else {
            return Ok(Next::Go);
        };
        let wanted = left.map_or(data.len(), |left| {
            usize::try_from(left).map_or(data.len(), |left| left.min(data.len()))
        });
        self.allowed = self
            .allowed
            .checked_sub(wanted as u64)
            .ok_or(BadAnswer::OutputLimit)?;
        exchange.write(&data[..wanted])?;
        let Some(left) = left else {
            return Ok(Next::Go);
        };
        *left -= wanted as u64;
        if *left > 0 {
            return Ok(Next::Go);
        }
        self.part = Part::Over;
        exchange.end()?;
        Ok(Next::Complete)
    }
}
