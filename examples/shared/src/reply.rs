//! Replies of three digits and a text: SMTP (RFC 5321, 4.2), FTP (RFC 959, 4.2), NNTP (RFC 3977, 3.2).

use std::fmt;

use asynchat::Result;

use crate::text::printable;

/// Lines of a reply: more are refused.
const MAX_LINES: usize = 1000;
/// Bytes of a reply.
const MAX_BYTES: usize = 256 * 1024;
/// Characters of a reply that an error shows.
const MAX_SHOWN: usize = 500;

/// A whole reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// 100 to 599.
    pub code: u16,
    /// The text of each line, without the code. Bytes that are no UTF-8 have been replaced.
    pub lines: Vec<String>,
}

impl Reply {
    /// The first digit: 1 preliminary, 2 done, 3 more is wanted, 4 refused for now, 5 refused.
    pub fn class(&self) -> u16 {
        self.code / 100
    }

    /// Of the last line.
    pub fn text(&self) -> &str {
        self.lines.last().map_or("", String::as_str)
    }

    /// This reply as an error: what was refused, and what the server said.
    pub fn refusal(&self, of: &str) -> String {
        format!("{of}: the server says {self}")
    }
}

/// In one line, fit for a terminal, and cut off behind 500 characters.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.lines.join(" / ");
        let shown = match text.char_indices().nth(MAX_SHOWN) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        };
        write!(f, "{} {}", self.code, printable(&shown).trim())
    }
}

/// Puts replies together from lines. A reply of several lines begins with the code and a hyphen, and ends with the same
/// code and a space; lines between them may have any form in FTP.
#[derive(Debug, Default)]
pub struct Replies {
    begun: Option<Reply>,
    bytes: usize,
}

impl Replies {
    /// Takes a line, and gives the reply that it completes.
    ///
    /// # Errors
    /// The line is none of a reply; the reply has more than 1,000 lines or 256 KiB.
    pub fn line(&mut self, line: &[u8]) -> Result<Option<Reply>> {
        let Some(begun) = &mut self.begun else {
            let (code, more, text) = split(line).ok_or_else(|| not_a_reply(line))?;
            let reply = Reply {
                code,
                lines: vec![text],
            };
            if !more {
                return Ok(Some(reply));
            }
            self.bytes = line.len();
            self.begun = Some(reply);
            return Ok(None);
        };
        self.bytes += line.len();
        if begun.lines.len() == MAX_LINES || self.bytes > MAX_BYTES {
            return Err(format!(
                "the server sent a reply of more than {MAX_LINES} lines or {MAX_BYTES} bytes"
            )
            .into());
        }
        match split(line) {
            Some((code, more, text)) if code == begun.code => {
                begun.lines.push(text);
                Ok(if more { None } else { self.begun.take() })
            }
            _ => {
                begun.lines.push(String::from_utf8_lossy(line).into_owned());
                Ok(None)
            }
        }
    }

    /// Whether the first line of a reply has come, and not its last.
    pub fn is_begun(&self) -> bool {
        self.begun.is_some()
    }
}

/// Code, whether more lines follow, and text. A code alone is a line without text.
fn split(line: &[u8]) -> Option<(u16, bool, String)> {
    let (digits, rest) = line.split_at_checked(3)?;
    if !matches!(digits[0], b'1'..=b'5') || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let code = digits
        .iter()
        .fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    let (more, text) = match rest {
        [] => (false, rest),
        [b' ', text @ ..] => (false, text),
        [b'-', text @ ..] => (true, text),
        _ => return None,
    };
    Some((code, more, String::from_utf8_lossy(text).into_owned()))
}

fn not_a_reply(line: &[u8]) -> String {
    let shown: String = String::from_utf8_lossy(line).chars().take(60).collect();
    format!("the server sent no reply but {:?}", printable(&shown))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_end_where_their_first_line_says() {
        for (text, shown) in [
            ("220 ready", &["220 ready"][..]),
            ("250", &["250 "]),
            ("250-a\n250-b\n250 c\n354 go", &["250 a / b / c", "354 go"]),
            (
                "211-Features\n 211 no\n MDTM\nfree text\n211 End",
                &["211 Features /  211 no /  MDTM / free text / End"],
            ),
            ("220-a\n221 b\n220 c", &["220 a / 221 b / c"]),
            ("220 \x1b[2J", &["220 \u{fffd}[2J"]),
        ] {
            let mut replies = Replies::default();
            let found: Vec<_> = text
                .lines()
                .filter_map(|line| replies.line(line.as_bytes()).expect("a reply"))
                .map(|reply| reply.to_string())
                .collect();
            assert_eq!(
                found.iter().map(|reply| reply.trim()).collect::<Vec<_>>(),
                shown.iter().map(|s| s.trim()).collect::<Vec<_>>()
            );
            assert!(!replies.is_begun());
        }
    }

    #[test]
    fn a_long_reply_is_shown_in_part() {
        let line = format!("550 {}", "\u{e4}".repeat(501));
        let reply = Replies::default().line(line.as_bytes());
        let reply = reply.expect("a reply").expect("the whole of it");
        let shown = reply.to_string();
        assert_eq!(shown, format!("550 {}…", "\u{e4}".repeat(500)));
    }

    #[test]
    fn a_line_that_is_no_reply_is_shown() {
        for line in [
            "", "hello", "20 x", "2x0 a", "620 a", "220x", "+OK", "\x1b[2J",
        ] {
            let error = Replies::default()
                .line(line.as_bytes())
                .expect_err("no reply");
            assert!(
                error
                    .to_string()
                    .starts_with("the server sent no reply but"),
                "{error}"
            );
            assert!(!error.to_string().contains('\x1b'));
        }
    }

    #[test]
    fn a_reply_without_an_end_is_cut_off() {
        let mut replies = Replies::default();
        let error = (0..2000).find_map(|_| replies.line(b"220-x").err());
        assert!(error.expect("a limit").to_string().contains("1000 lines"));
        let mut replies = Replies::default();
        let long = [b"220-".as_slice(), &[b'x'; 60_000]].concat();
        let error = (0..9).find_map(|_| replies.line(&long).err());
        assert!(error.expect("a limit").to_string().contains("262144 bytes"));
    }
}
