//! A document on its way: what ends it, and whether it is one.
//!
//! The server's close is the end. Some servers send a line with a dot before it, some not, and none can be trusted to have
//! doubled the dots of a text, so nothing is taken out of the middle (RFC 1436, 3.5 and 3.8).

use asynchat::Result;

use crate::text::printable;

/// Bytes of a line that may be an error: a longer one is the beginning of a document.
const MAX_ERROR: usize = 1024;

/// Takes pieces of any size, and gives them on.
#[derive(Debug)]
pub(super) struct Document {
    /// All so far, as long as it may be no more than an error.
    beginning: Option<Vec<u8>>,
    end: Option<FinalDot>,
}

impl Document {
    pub(super) fn new(is_text: bool) -> Self {
        Self {
            beginning: Some(Vec::new()),
            end: is_text.then(FinalDot::default),
        }
    }

    pub(super) fn piece(&mut self, data: &[u8], give: &mut dyn FnMut(&[u8]) -> Result) -> Result {
        let Some(mut beginning) = self.beginning.take() else {
            return self.give(data, give);
        };
        beginning.extend_from_slice(data);
        if may_be_an_error(&beginning) {
            self.beginning = Some(beginning);
            return Ok(());
        }
        self.give(&beginning, give)
    }

    fn give(&mut self, data: &[u8], give: &mut dyn FnMut(&[u8]) -> Result) -> Result {
        match &mut self.end {
            Some(end) => end.piece(data, give),
            None => give(data),
        }
    }

    /// # Errors
    /// Those of `give`, and the server's, if that was all.
    pub(super) fn finish(&mut self, give: &mut dyn FnMut(&[u8]) -> Result) -> Result {
        if let Some(beginning) = self.beginning.take() {
            if let Some(error) = error_of(&beginning) {
                return Err(format!("the server says: {error}").into());
            }
            self.give(&beginning, give)?;
        }
        match &mut self.end {
            Some(end) => end.finish(give),
            None => Ok(()),
        }
    }
}

/// A menu with one item, of type 3, also where something else was asked for.
fn may_be_an_error(text: &[u8]) -> bool {
    let Some(b'3') = text.first() else {
        return text.is_empty();
    };
    match memchr::memchr(b'\n', text) {
        None => text.len() <= MAX_ERROR,
        Some(end) => matches!(&text[end + 1..], b"" | b"." | b".\r" | b".\r\n" | b".\n"),
    }
}

fn error_of(text: &[u8]) -> Option<String> {
    let line = text.strip_prefix(b"3")?;
    let mut fields = line.split(|&byte| byte == b'\t');
    let error = fields.next()?;
    (fields.count() >= 2).then(|| printable(String::from_utf8_lossy(error).trim()))
}

/// Drops a line with a dot at the end of a text, and nowhere else.
#[derive(Debug)]
struct FinalDot {
    at_line_start: bool,
    /// The beginning of a line that may be the last one: nothing, or a dot and part of a line end.
    held: Vec<u8>,
}

impl Default for FinalDot {
    fn default() -> Self {
        Self {
            at_line_start: true,
            held: Vec::new(),
        }
    }
}

impl FinalDot {
    fn piece(&mut self, data: &[u8], give: &mut dyn FnMut(&[u8]) -> Result) -> Result {
        if data.is_empty() {
            return Ok(());
        }
        let joined;
        let data = match self.held.is_empty() {
            true => data,
            false => {
                joined = [&std::mem::take(&mut self.held), data].concat();
                &joined
            }
        };
        // Where a last line with a dot begins, if there is one.
        let dot = [&b".\r\n"[..], b".\n", b".\r", b"."]
            .iter()
            .find(|end| data.ends_with(end))
            .map(|end| data.len() - end.len());
        let begins_line = |at: usize| match at {
            0 => self.at_line_start,
            at => data[at - 1] == b'\n',
        };
        let given = match dot.filter(|&at| begins_line(at)) {
            Some(at) => {
                let (given, held) = data.split_at(at);
                self.held = held.to_vec();
                given
            }
            None => data,
        };
        match given.last() {
            Some(&last) => {
                self.at_line_start = last == b'\n';
                give(given)
            }
            None => Ok(()),
        }
    }

    fn finish(&mut self, give: &mut dyn FnMut(&[u8]) -> Result) -> Result {
        match self.held.as_slice() {
            [] | b"." | b".\n" | b".\r\n" => Ok(()),
            other => give(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(text: &[u8], is_text: bool, size: usize) -> Result<Vec<u8>, String> {
        let mut document = Document::new(is_text);
        let mut all = Vec::new();
        let mut give = |data: &[u8]| {
            all.extend_from_slice(data);
            Ok(())
        };
        for piece in text.chunks(size) {
            document
                .piece(piece, &mut give)
                .map_err(|e| e.to_string())?;
        }
        document.finish(&mut give).map_err(|e| e.to_string())?;
        Ok(all)
    }

    #[test]
    fn one_last_line_with_a_dot_is_dropped_from_a_text() {
        for (sent, text) in [
            (&b""[..], &b""[..]),
            (b".", b""),
            (b".\r\n", b""),
            (b"a\r\n.\r\n", b"a\r\n"),
            (b"a\n.\n", b"a\n"),
            (b"a\n.", b"a\n"),
            (b"a\r\nb", b"a\r\nb"),
            (b"a.\r\n", b"a.\r\n"),
            (b"a\n.b\n", b"a\n.b\n"),
            (b"a\n..\n.\n", b"a\n..\n"),
            (b".\n.\n", b".\n"),
            (b"a\n.\nb\n.\r\n", b"a\n.\nb\n"),
            (b"a\n.\r", b"a\n.\r"),
            (b"a\n.\rb", b"a\n.\rb"),
            (b"a\n.\r\r\n", b"a\n.\r\r\n"),
            (b"3 is a number\n", b"3 is a number\n"),
            (b"3a\tb\tc\n4\n", b"3a\tb\tc\n4\n"),
        ] {
            for size in 1..=sent.len().max(1) {
                let found = taken(sent, true, size);
                assert_eq!(found.as_deref(), Ok(text), "{sent:?} by {size}");
                let binary = taken(sent, false, size);
                assert_eq!(binary.as_deref(), Ok(sent), "{sent:?} by {size}");
            }
        }
    }

    #[test]
    fn an_error_in_place_of_a_document_is_one() {
        for sent in [
            &b"3no \x1b[2Jsuch file\t\terror.host\t1\r\n"[..],
            b"3no \x1b[2Jsuch file\tx\terror.host\t1\r\n.\r\n",
            b"3no \x1b[2Jsuch file\tx\terror.host\t1",
        ] {
            for size in 1..=sent.len() {
                for is_text in [true, false] {
                    let error = taken(sent, is_text, size).expect_err("an error");
                    assert_eq!(error, "the server says: no \u{fffd}[2Jsuch file");
                }
            }
        }
        let long = [b"3".to_vec(), b"x\t".repeat(1000)].concat();
        assert_eq!(taken(&long, false, 100), Ok(long));
    }
}
