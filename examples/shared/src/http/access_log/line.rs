//! A line of the access log as bytes. A request must not be able to forge one, nor to talk to the terminal.

use std::{
    io::Write,
    net::IpAddr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{Client, HostName, LogFormat};
use crate::http::date::DateText;

/// Bytes of a request line, before they are escaped.
const LOGGED_LINE: usize = 1024;

/// The time as the log writes it, `[06/Nov/1994:08:49:37 +0000] `, made once a second.
#[derive(Debug, Default)]
pub(super) struct Stamp {
    second: Option<Duration>,
    date: DateText,
    text: String,
}

impl Stamp {
    pub(super) fn of(&mut self, time: SystemTime) -> &str {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let second = Duration::from_secs(since.as_secs());
        if self.second != Some(second) {
            self.second = Some(second);
            self.text = format!("[{} +0000] ", self.date.log(time).concat());
        }
        &self.text
    }
}

/// All before the number of bytes.
pub(super) fn start_line(
    out: &mut Vec<u8>,
    client: &Client<'_>,
    stamp: &str,
    request: &[u8],
    status: u16,
) {
    write_host(out, client.host);
    match client.user {
        Some(user) => {
            out.extend_from_slice(b" - ");
            for byte in user.bytes() {
                match byte {
                    b' ' => out.extend_from_slice(b"\\x20"),
                    _ => escape(out, byte),
                }
            }
            out.push(b' ');
        }
        None => out.extend_from_slice(b" - - "),
    }
    out.extend_from_slice(stamp.as_bytes());
    quote(out, request);
    out.push(b' ');
    write_number(out, status);
    out.push(b' ');
}

pub(super) fn write_bytes(out: &mut Vec<u8>, bytes: u64) {
    match bytes {
        0 => out.push(b'-'),
        _ => write_number(out, bytes),
    }
}

pub(super) fn end_line(out: &mut Vec<u8>, client: &Client<'_>, format: LogFormat) {
    if format != LogFormat::Common {
        for value in [client.referer, client.agent] {
            out.push(b' ');
            quote(out, value.unwrap_or(b"-"));
        }
    }
    if format == LogFormat::Tls {
        let _ = match client.protection {
            Some(protection) => write!(out, " {protection}"),
            None => write!(out, " - -"),
        };
    }
    out.push(b'\n');
}

/// Formatting it as others are takes longer than all else of a line.
fn write_host(out: &mut Vec<u8>, HostName(host): HostName) {
    match host {
        Some(IpAddr::V4(ip)) => {
            for (n, octet) in ip.octets().into_iter().enumerate() {
                if n > 0 {
                    out.push(b'.');
                }
                write_number(out, octet);
            }
        }
        host => {
            let _ = write!(out, "{}", HostName(host));
        }
    }
}

fn write_number(out: &mut Vec<u8>, number: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// The start of what a client has sent.
fn quote(out: &mut Vec<u8>, text: &[u8]) {
    let (text, is_cut) = match text.get(..LOGGED_LINE) {
        Some(start) => (start, text.len() > start.len()),
        None => (text, false),
    };
    out.push(b'"');
    // Nearly always, and found with many bytes an instruction.
    let is_plain = text.iter().fold(true, |all, &byte| all & is_plain(byte));
    if is_plain {
        out.extend_from_slice(text);
    } else {
        for &byte in text {
            escape(out, byte);
        }
    }
    if is_cut {
        // Nothing else looks like that: backslashes are doubled.
        out.extend_from_slice(b"\\...");
    }
    out.push(b'"');
}

fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') & (byte != b'"') & (byte != b'\\')
}

fn escape(out: &mut Vec<u8>, byte: u8) {
    match byte {
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        b' '..=b'~' => out.push(byte),
        _ => {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(client: &Client<'_>, request: &[u8], status: u16) -> String {
        let mut out = Vec::new();
        let mut stamp = Stamp::default();
        start_line(&mut out, client, stamp.of(UNIX_EPOCH), request, status);
        String::from_utf8(out).expect("ASCII")
    }

    fn end(client: &Client<'_>, format: LogFormat) -> String {
        let mut out = Vec::new();
        end_line(&mut out, client, format);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn a_client_cannot_forge_a_line_of_the_log() {
        let client = Client {
            user: Some("a b\"\u{e9}"),
            referer: Some(b"\"\n\x1b"),
            agent: None,
            ..Client::of_peer("::1".parse().ok())
        };
        let line = start(&client, b"GET /\"\n\x1b[2J\\\xff HTTP/1.1", 400);
        let expected = concat!(
            r#"::1 - a\x20b\"\xc3\xa9 [01/Jan/1970:00:00:00 +0000] "#,
            r#""GET /\"\x0a\x1b[2J\\\xff HTTP/1.1" 400 "#
        );
        assert_eq!(line, expected);
        let nobody = start(&Client::default(), b"x", 200);
        assert_eq!(nobody, "- - - [01/Jan/1970:00:00:00 +0000] \"x\" 200 ");
        assert_eq!(end(&client, LogFormat::Common), "\n");
        let line = end(&client, LogFormat::Combined);
        assert_eq!(line, " \"\\\"\\x0a\\x1b\" \"-\"\n");
    }

    #[test]
    fn what_is_long_is_cut_before_it_is_escaped() {
        let long = vec![0xff; LOGGED_LINE + 1];
        let whole = "\\xff".repeat(LOGGED_LINE);
        let nobody = Client::default();
        let line = start(&nobody, &long[1..], 414);
        assert!(line.ends_with(&format!("\"{whole}\" 414 ")), "{line}");
        let line = start(&nobody, &long, 414);
        assert!(line.ends_with(&format!("\"{whole}\\...\" 414 ")), "{line}");
        let client = Client {
            agent: Some(&long),
            ..nobody
        };
        let line = end(&client, LogFormat::Combined);
        assert_eq!(line, format!(" \"-\" \"{whole}\\...\"\n"));
    }
}
