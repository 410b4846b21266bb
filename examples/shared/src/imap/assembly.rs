//! Puts responses together: lines, and the literals that some of them end in.

use std::mem;

use asynchat::Result;

use super::{
    MAX_RESPONSE,
    response::{Response, body_of, literal, may_have_literals},
    values::Part,
};

/// The response that has begun.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    parts: Vec<Part>,
    /// Bytes that are kept of it.
    kept: usize,
    /// The line or literal that has begun.
    current: Vec<u8>,
    reading: Reading,
}

#[derive(Clone, Copy, Debug, Default)]
enum Reading {
    #[default]
    Line,
    Literal,
    /// The body of a message, of this size.
    Body(u64),
}

/// What a line ends.
#[derive(Debug)]
pub(super) enum Ended {
    Response(Response),
    /// A literal of this size follows: the body of the message with this number, and its section.
    Line(u64, Option<(u32, String)>),
}

impl Assembly {
    pub(super) fn is_line(&self) -> bool {
        matches!(self.reading, Reading::Line)
    }

    pub(super) fn is_body(&self) -> bool {
        matches!(self.reading, Reading::Body(_))
    }

    /// A piece of a line or literal.
    pub(super) fn push(&mut self, data: &[u8]) -> Result {
        self.check(data.len() as u64)?;
        self.kept += data.len();
        self.current.extend_from_slice(data);
        Ok(())
    }

    fn check(&self, more: u64) -> Result {
        match more > (MAX_RESPONSE - self.kept) as u64 {
            true => {
                Err(format!("the server sent a response of more than {MAX_RESPONSE} bytes").into())
            }
            false => Ok(()),
        }
    }

    pub(super) fn line_end(&mut self) -> Result<Ended> {
        let mut line = mem::take(&mut self.current);
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        let begin = match self.parts.first() {
            Some(Part::Text(first)) => first,
            _ => &line,
        };
        if may_have_literals(begin)
            && let Some((text, size)) = literal(&line)
        {
            let body = body_of(&self.parts, text);
            self.parts.push(Part::Text(text.to_vec()));
            return Ok(Ended::Line(size, body));
        }
        self.parts.push(Part::Text(line));
        self.kept = 0;
        let response = Response::parse(mem::take(&mut self.parts))?;
        Ok(Ended::Response(response))
    }

    /// # Errors
    /// It is too large to be kept.
    pub(super) fn begin_literal(&mut self, size: u64) -> Result {
        self.reading = Reading::Literal;
        self.check(size)
    }

    pub(super) fn begin_body(&mut self, size: u64) {
        self.reading = Reading::Body(size);
    }

    pub(super) fn end_literal(&mut self) {
        self.parts.push(match self.reading {
            Reading::Body(size) => Part::Passed(size),
            _ => Part::Literal(mem::take(&mut self.current)),
        });
        self.reading = Reading::Line;
    }
}
