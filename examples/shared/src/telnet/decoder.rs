//! Text and commands, taken apart.

use asynchat::Result;
use memchr::memchr2;

use super::command::{DO, DONT, IAC, SB, SE, WILL, WONT};

/// Bytes of a subnegotiation: more are refused.
pub const MAX_SUBNEGOTIATION: usize = 4096;

/// What the server sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// Text, never empty. Its lines end in CR LF.
    Text(&'a [u8]),
    /// WILL, WONT, DO or DONT, and the option.
    Negotiation(u8, u8),
    /// The option, and its data.
    Subnegotiation(u8, Vec<u8>),
    /// Any other command.
    Command(u8),
}

/// Takes the stream in pieces of any size.
#[derive(Debug, Default)]
pub struct Decoder {
    state: State,
    /// Of the subnegotiation that has begun: the option and its data.
    begun: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    /// Behind a CR of the text.
    Cr,
    Iac,
    Verb(u8),
    Subnegotiation,
    SubnegotiationIac,
}

impl Decoder {
    /// Takes the next event off `data`. `binary`: a CR is a byte as any other.
    ///
    /// # Errors
    /// A subnegotiation has more than [`MAX_SUBNEGOTIATION`] bytes.
    pub fn next<'a>(&mut self, data: &mut &'a [u8], binary: bool) -> Result<Option<Event<'a>>> {
        while let Some((&first, rest)) = data.split_first() {
            match (self.state, first) {
                (State::Cr, 0) if !binary => {
                    // CR NUL is a CR alone.
                    self.state = State::Text;
                    *data = rest;
                }
                (State::Text | State::Cr, IAC) => {
                    self.state = State::Iac;
                    *data = rest;
                }
                (State::Text | State::Cr, _) => return Ok(Some(self.text(data, 0, binary))),
                (State::Iac, IAC) => return Ok(Some(self.text(data, 1, binary))),
                (State::Iac, verb @ (WILL | WONT | DO | DONT)) => {
                    self.state = State::Verb(verb);
                    *data = rest;
                }
                (State::Iac, SB) => {
                    self.state = State::Subnegotiation;
                    self.begun.clear();
                    *data = rest;
                }
                (State::Iac, command) => {
                    self.state = State::Text;
                    *data = rest;
                    return Ok(Some(Event::Command(command)));
                }
                (State::Verb(verb), option) => {
                    self.state = State::Text;
                    *data = rest;
                    return Ok(Some(Event::Negotiation(verb, option)));
                }
                (State::Subnegotiation, IAC) => {
                    self.state = State::SubnegotiationIac;
                    *data = rest;
                }
                (State::Subnegotiation, byte) | (State::SubnegotiationIac, byte @ IAC) => {
                    self.state = State::Subnegotiation;
                    self.add(byte)?;
                    *data = rest;
                }
                (State::SubnegotiationIac, SE) => {
                    self.state = State::Text;
                    *data = rest;
                    if let Some((&option, data)) = self.begun.split_first() {
                        return Ok(Some(Event::Subnegotiation(option, data.to_vec())));
                    }
                }
                (State::SubnegotiationIac, _) => {
                    // It was not ended: this is the command that follows.
                    self.state = State::Iac;
                }
            }
        }
        Ok(None)
    }

    fn add(&mut self, byte: u8) -> Result {
        if self.begun.len() > MAX_SUBNEGOTIATION {
            return Err(format!(
                "the server sent a subnegotiation of more than {MAX_SUBNEGOTIATION} bytes"
            )
            .into());
        }
        self.begun.push(byte);
        Ok(())
    }

    /// Text up to the next IAC or the next byte behind a CR. The first `sure` bytes are text whatever they are.
    fn text<'a>(&mut self, data: &mut &'a [u8], sure: usize, binary: bool) -> Event<'a> {
        let mut end = sure;
        self.state = State::Text;
        while end < data.len() {
            match memchr2(IAC, b'\r', &data[end..]) {
                None => end = data.len(),
                Some(at) if data[end + at] == IAC => {
                    end += at;
                    break;
                }
                Some(at) => {
                    end += at + 1;
                    if !binary && data.get(end).is_none_or(|&next| next == 0) {
                        self.state = State::Cr;
                        break;
                    }
                }
            }
        }
        let (text, rest) = data.split_at(end);
        *data = rest;
        Event::Text(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Joined texts, and the rest as it is shown.
    fn decoded(data: &[u8], size: usize, binary: bool) -> (Vec<u8>, Vec<String>) {
        let (mut decoder, mut text, mut events) = (Decoder::default(), Vec::new(), Vec::new());
        for mut piece in data.chunks(size) {
            while let Some(event) = decoder.next(&mut piece, binary).expect("no limit") {
                match event {
                    Event::Text(part) => {
                        assert!(!part.is_empty());
                        text.extend_from_slice(part);
                    }
                    event => events.push(format!("{event:?}")),
                }
            }
        }
        (text, events)
    }

    #[test]
    fn text_and_commands_are_told_apart_however_they_are_cut() {
        let cases: [(&[u8], &[u8], &[&str]); 14] = [
            (b"hello\r\n", b"hello\r\n", &[]),
            (b"a\r\0b\r\r\0\r\n", b"a\rb\r\r\r\n", &[]),
            (b"\0\r\0\0", b"\0\r\0", &[]),
            (b"a\xff\xffb\xff\xff", b"a\xffb\xff", &[]),
            (b"a\r\xff\xff\0", b"a\r\xff\0", &[]),
            (b"\xff\xfb\x01x", b"x", &["Negotiation(251, 1)"]),
            (b"\xff\xfd\xff", b"", &["Negotiation(253, 255)"]),
            (
                b"a\xff\xf9b\xff\xf0",
                b"ab",
                &["Command(249)", "Command(240)"],
            ),
            (b"a\xff\0b", b"ab", &["Command(0)"]),
            (
                b"\xff\xfa\x18\x01\xff\xf0a",
                b"a",
                &["Subnegotiation(24, [1])"],
            ),
            (
                b"\xff\xfa\x1f\xff\xff\r\0\xff\xf0",
                b"",
                &["Subnegotiation(31, [255, 13, 0])"],
            ),
            (b"\xff\xfa\xff\xf0a", b"a", &[]),
            (
                b"\xff\xfa\x18\x01\xff\xfb\x01a",
                b"a",
                &["Negotiation(251, 1)"],
            ),
            (b"a\xff", b"a", &[]),
        ];
        for (data, text, events) in cases {
            for size in 1..=data.len() {
                let (found, others) = decoded(data, size, false);
                assert_eq!(
                    (&found[..], &others[..]),
                    (
                        text,
                        &events.iter().map(|&e| e.to_owned()).collect::<Vec<_>>()[..]
                    ),
                    "{data:?} by {size}"
                );
            }
        }
        for size in 1..=4 {
            assert_eq!(decoded(b"a\r\0b", size, true).0, b"a\r\0b");
        }
    }

    #[test]
    fn a_subnegotiation_has_a_limit() {
        let mut decoder = Decoder::default();
        let mut data = &[&[IAC, SB, 24][..], &[b'x'; MAX_SUBNEGOTIATION + 1]].concat()[..];
        let error = decoder.next(&mut data, false).expect_err("too much");
        assert!(
            error.to_string().contains("more than 4096 bytes"),
            "{error}"
        );
    }
}
