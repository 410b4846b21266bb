//! Puts responses together: lines, and the literals that some of them end in.

use std::mem;

use asynchat::Result;

use super::{
    MAX_RESPONSE,
    response::{Beginning, Response, body_of, literal},
    values::Part,
};

/// The response that has begun.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    parts: Vec<Part>,
    /// Of its first line, which is not read again for each literal.
    begun: Option<Beginning>,
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
        let begun = *self.begun.get_or_insert_with(|| Beginning::of(&line));
        if begun.may_have_literals
            && let Some((text, size)) = literal(&line)
        {
            let body = begun.fetched.and_then(|number| body_of(number, text));
            self.parts.push(Part::Text(text.to_vec()));
            return Ok(Ended::Line(size, body));
        }
        self.parts.push(Part::Text(line));
        self.kept = 0;
        self.begun = None;
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Its first line is long, and each further one is a few bytes: to read the first one again for each takes minutes.
    #[test]
    fn a_response_of_many_literals_ends_at_its_limit() {
        for begin in ["* ", "* 1 FETCH (X"] {
            let mut assembly = Assembly::default();
            let mut line = format!("{begin}{} {{0}}", "A".repeat(MAX_RESPONSE / 2)).into_bytes();
            let error = loop {
                if let Err(error) = assembly.push(&line) {
                    break error;
                }
                let ended = assembly.line_end().expect("a line");
                assert!(matches!(ended, Ended::Line(0, None)), "{ended:?}");
                assembly.begin_literal(0).expect("nothing");
                assembly.end_literal();
                line = b"{0}".to_vec();
            };
            assert!(error.to_string().contains("more than 4194304 bytes"));
        }
    }
}
