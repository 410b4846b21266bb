//! The header of a message (RFC 5322), made of options. `mail-builder` encodes and folds (RFC 2047).

use std::str::FromStr;

use mail_builder::headers::{
    Header as _, address::Address as Mailboxes, date::Date, message_id::generate_message_id_header,
    text::Text,
};
use mail_parser::{Addr, HeaderName, MessageParser};
use shared::{smtp::client::Address, text::is_unprintable};

/// `--header 'Name: value'`.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    name: String,
    value: Value,
}

#[derive(Clone, Debug)]
enum Value {
    Text(String),
    /// Their names alone are encoded (RFC 2047, 5).
    Mailboxes(Mailboxes<'static>),
}

/// Fields that have addresses (RFC 5322, 3.6).
const OF_MAILBOXES: [&str; 6] = ["From", "Sender", "Reply-To", "To", "Cc", "Bcc"];

impl FromStr for Field {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((name, value)) = text.split_once(':') else {
            return Err("not NAME: VALUE".into());
        };
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("a field's name is of ASCII letters, digits and signs".into());
        }
        let value = one_line(value.trim_matches([' ', '\t']))?;
        let is_of_mailboxes = OF_MAILBOXES.iter().any(|of| of.eq_ignore_ascii_case(name));
        let value = match is_of_mailboxes && !value.is_ascii() {
            true => Value::Mailboxes(
                parse_mailboxes(value).ok_or("not addresses: NAME <ADDRESS>, ...")?,
            ),
            false => Value::Text(value.into()),
        };
        Ok(Self {
            name: name.into(),
            value,
        })
    }
}

fn parse_mailboxes(value: &str) -> Option<Mailboxes<'static>> {
    let field = format!("From: {value}\r\n\r\n");
    let parser = MessageParser::new().header_address(HeaderName::From);
    let message = parser.parse_headers(&field)?;
    let mailbox = |one: &Addr<'_>| {
        let name = match one.name.as_deref() {
            // It may have been encoded already, with line breaks in it.
            Some(name) => Some(one_line(name).ok()?.to_owned()),
            None => None,
        };
        let address: Address = one.address.as_deref()?.parse().ok()?;
        Some(Mailboxes::new_address(name, address.as_str().to_owned()))
    };
    let mut list = Vec::new();
    for one in message.from()?.iter() {
        list.push(mailbox(one)?);
    }
    (!list.is_empty()).then(|| Mailboxes::new_list(list))
}

/// A value cannot begin another field, nor the text.
fn one_line(value: &str) -> Result<&str, String> {
    let breaks = |c: char| c != '\t' && c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    match value.contains(breaks) {
        true => Err("a field's value is one line without control characters".into()),
        false => Ok(value),
    }
}

/// What the options say.
#[derive(Debug)]
pub(crate) struct Header<'a> {
    pub(crate) from: Option<&'a Address>,
    pub(crate) to: &'a [Address],
    pub(crate) subject: Option<&'a str>,
    pub(crate) fields: &'a [Field],
}

impl Header<'_> {
    pub(crate) fn check(&self) -> Result<(), String> {
        if let Some(subject) = self.subject {
            one_line(subject).map_err(|_| "--subject: not one line")?;
        }
        if self.from.is_none() && !self.has("From") {
            return Err("a header needs an author: --header 'From: …'".into());
        }
        Ok(())
    }

    fn has(&self, name: &str) -> bool {
        let mut fields = self.fields.iter();
        fields.any(|field| field.name.eq_ignore_ascii_case(name))
    }

    /// The fields and the empty line behind them.
    pub(crate) fn write(&self, text_is_eight_bit: bool) -> Vec<u8> {
        let mut out = Vec::new();
        let mut field = |name: &str, write: &dyn Fn(&mut Vec<u8>, usize)| {
            if !self.has(name) {
                let start = out.len();
                out.extend_from_slice(format!("{name}: ").as_bytes());
                let column = out.len() - start;
                write(&mut out, column);
            }
        };
        field("Date", &|out, column| Date::now().write_header(out, column));
        if let Some(from) = self.from {
            field("From", &|out, _| mailboxes(out, std::slice::from_ref(from)));
        }
        field("To", &|out, _| mailboxes(out, self.to));
        if let Some(subject) = self.subject {
            field("Subject", &|out, column| {
                Text::new(subject).write_header(out, column);
            });
        }
        field("Message-ID", &|out, _| {
            generate_message_id_header(out, self.domain());
            out.extend_from_slice(b"\r\n");
        });
        field("MIME-Version", &|out, _| out.extend_from_slice(b"1.0\r\n"));
        field("Content-Type", &|out, _| {
            out.extend_from_slice(b"text/plain; charset=utf-8\r\n");
        });
        let encoding: &[u8] = match text_is_eight_bit {
            true => b"8bit\r\n",
            false => b"7bit\r\n",
        };
        field("Content-Transfer-Encoding", &|out, _| {
            out.extend_from_slice(encoding);
        });
        for Field { name, value } in self.fields {
            out.extend_from_slice(format!("{name}: ").as_bytes());
            let column = name.len() + 2;
            match value {
                Value::Text(text) => Text::new(text).write_header(&mut out, column),
                Value::Mailboxes(list) => list.write_header(&mut out, column),
            }
        }
        out.extend_from_slice(b"\r\n");
        out
    }

    /// Of the sender, for an identifier that nobody else makes. A name that is not in ASCII would need SMTPUTF8.
    fn domain(&self) -> &str {
        let domain = self.from.and_then(|from| from.as_str().rsplit_once('@'));
        match domain {
            Some((_, domain)) if domain.is_ascii() && !domain.contains(is_unprintable) => domain,
            _ => "localhost",
        }
    }
}

/// A line each.
fn mailboxes(out: &mut Vec<u8>, addresses: &[Address]) {
    let list: Vec<_> = addresses
        .iter()
        .map(|address| format!("<{address}>"))
        .collect();
    out.extend_from_slice(list.join(",\r\n ").as_bytes());
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(from: &str, subject: &str, fields: &[&str]) -> String {
        let from: Address = from.parse().expect("an address");
        let to = ["b@x.example", "c@x.example"].map(|to| to.parse().expect("an address"));
        let fields: Vec<Field> = fields
            .iter()
            .map(|field| field.parse().expect("a field"))
            .collect();
        let header = Header {
            from: Some(&from),
            to: &to,
            subject: Some(subject),
            fields: &fields,
        };
        header.check().expect("a header");
        String::from_utf8(header.write(true)).expect("UTF-8")
    }

    #[test]
    fn a_header_has_what_a_message_needs() {
        let header = written("a@x.example", "hello", &["X-A: b  c", "date: now"]);
        let lines: Vec<_> = header.split("\r\n").collect();
        assert!(lines[4].starts_with("Message-ID: <") && lines[4].ends_with("@x.example>"));
        let others: Vec<_> = lines.iter().filter(|line| !line.contains("ID:")).collect();
        assert_eq!(
            others,
            [
                &"From: <a@x.example>",
                &"To: <b@x.example>,",
                &" <c@x.example>",
                &"Subject: hello",
                &"MIME-Version: 1.0",
                &"Content-Type: text/plain; charset=utf-8",
                &"Content-Transfer-Encoding: 8bit",
                &"X-A: b  c",
                &"date: now",
                &"",
                &"",
            ]
        );
        let header = written("a@x.example", "h\u{e4}llo", &["X-A: \u{e4}"]);
        assert!(
            header.is_ascii() && header.contains("Subject: =?utf-8?"),
            "{header}"
        );
        let header = written("a@\u{e4}.example", "x", &[]);
        assert!(header.contains("@localhost>\r\n"), "{header}");
    }

    #[test]
    fn of_an_address_the_name_alone_is_encoded() {
        let name = |text: &str| match text.parse() {
            Ok(Field {
                value: Value::Mailboxes(list),
                ..
            }) => {
                let mut out = Vec::new();
                list.write_header(&mut out, 0);
                String::from_utf8(out).expect("UTF-8")
            }
            other => format!("{other:?}"),
        };
        for (field, written) in [
            (
                "From: J\u{f6}rg M <j@x.example>",
                "=?utf-8?Q?J=C3=B6rg_M?= <j@x.example>\r\n",
            ),
            (
                "reply-to: \"\u{c4}, b\" <q@x>, p@x",
                "=?utf-8?B?w4QsIGI=?= <q@x>, <p@x>\r\n",
            ),
            ("To: j@\u{e4}.example", "<j@\u{e4}.example>\r\n"),
        ] {
            assert_eq!(name(field), written);
        }
        for field in [
            "From: J\u{f6}rg M",
            "To: \u{e4} <>",
            "To: \u{e4} =?utf-8?q?=0D=0AX:_y?= <a@x>",
        ] {
            assert!(field.parse::<Field>().is_err(), "{field}");
        }
    }

    #[test]
    fn a_field_cannot_begin_another() {
        for field in [
            "",
            "X",
            ": x",
            "X Y: z",
            "X\r\nY: z",
            "X: y\r\nBcc: z",
            "X: y\nBcc: z",
            "X: y\rBcc: z",
            "X: y\n\ntext",
            "X: \0",
            "X: \u{85}y",
            "X: \u{2028}y",
            "\u{e4}: y",
        ] {
            assert!(field.parse::<Field>().is_err(), "{field:?}");
        }
        let author = ["From: a".parse().expect("a field")];
        let subject = |text| Header {
            from: None,
            to: &[],
            subject: Some(text),
            fields: &author,
        };
        assert!(subject("a\tb").check().is_ok());
        assert!(subject("a\nBcc: b").check().is_err());
        let nobodys = Header {
            fields: &[],
            ..subject("a")
        };
        assert!(nobodys.check().is_err());
    }
}
