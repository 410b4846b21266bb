//! A message as its reader sees it.

use std::{
    fmt::Write as _,
    io::{self, Write},
};

use mail_parser::{Addr, Address, HeaderName, HeaderValue, decoders::html::html_to_text};

use super::entity::{Entity, parts};
use crate::{screen::Screen, text::printable};

/// Parts of a message: further ones are not looked at.
pub const MAX_PARTS: usize = 500;
/// Parts within parts: deeper ones are listed as one.
pub const MAX_DEPTH: usize = 16;
/// Characters of a header field.
const MAX_FIELD: usize = 1000;
/// Header fields of a message.
const MAX_FIELDS: usize = 20;

/// Shows the fields From, To, Cc, Date and Subject, the parts that are text, and a line for each other part with its type,
/// name and size. Of alternatives one is shown: plain text if there is one. Control characters and invisible ones are
/// replaced wherever `out` goes.
///
/// # Errors
/// Those of `out`.
pub fn show(message: &[u8], out: &mut dyn Write) -> io::Result<()> {
    let mut view = View {
        out: Screen::new(out),
        parts: 0,
    };
    view.message(message, 0)?;
    view.out.flush()
}

/// Date, sender and subject of a header, in one line.
pub fn summary(header: &[u8]) -> String {
    let entity = Entity::parse(header);
    let field = |name| {
        let header = entity.headers().iter().find(|header| header.name == name);
        header.map_or("-".into(), |header| shown(&header.value))
    };
    let [date, from, subject] =
        [HeaderName::Date, HeaderName::From, HeaderName::Subject].map(field);
    format!("{date}  {from}  {subject}")
}

struct View<'o> {
    out: Screen<&'o mut dyn Write>,
    parts: usize,
}

impl View<'_> {
    fn message(&mut self, message: &[u8], depth: usize) -> io::Result<()> {
        let entity = Entity::parse(message);
        let wanted = entity.headers().iter().filter(|header| {
            use HeaderName::{Cc, Date, From, Subject, To};
            matches!(header.name, From | To | Cc | Date | Subject)
        });
        for header in wanted.take(MAX_FIELDS) {
            writeln!(
                self.out,
                "{}: {}",
                header.name.as_str(),
                shown(&header.value)
            )?;
        }
        writeln!(self.out)?;
        self.entity(&entity, depth)
    }

    fn entity(&mut self, entity: &Entity<'_>, depth: usize) -> io::Result<()> {
        self.parts += 1;
        if self.parts > MAX_PARTS {
            return Ok(());
        }
        if self.parts == MAX_PARTS {
            return writeln!(
                self.out,
                "[more than {MAX_PARTS} parts: the rest is not shown]"
            );
        }
        let media_type = entity.media_type();
        if depth < MAX_DEPTH {
            if let Some(boundary) = entity.boundary() {
                let mut parts = parts(entity.body(), boundary).take(MAX_PARTS).peekable();
                return match media_type.as_str() {
                    _ if parts.peek().is_none() => self.list(entity),
                    "multipart/alternative" => self.alternatives(parts, depth),
                    "multipart/digest" => parts.try_for_each(|part| self.digested(part, depth)),
                    _ => parts.try_for_each(|part| self.entity(&Entity::parse(part), depth + 1)),
                };
            }
            if is_message(&media_type) {
                self.list(entity)?;
                return self.message(entity.body(), depth + 1);
            }
        }
        if entity.is_attachment() || !media_type.starts_with("text/") {
            return self.list(entity);
        }
        let text = match media_type.as_str() {
            "text/html" => html_to_text(&entity.text()),
            _ => entity.text(),
        };
        self.out.write_all(text.as_bytes())?;
        // What has begun of a character has no rest in the next part.
        self.out.flush()?;
        match text.ends_with('\n') || text.is_empty() {
            true => Ok(()),
            false => writeln!(self.out),
        }
    }

    /// Its parts are messages unless they say otherwise (RFC 2046, 5.1.5).
    fn digested(&mut self, part: &[u8], depth: usize) -> io::Result<()> {
        let entity = Entity::parse(part);
        match entity.headers().is_empty() {
            true => self.message(entity.body(), depth + 1),
            false => self.entity(&entity, depth + 1),
        }
    }

    fn alternatives<'a>(
        &mut self,
        parts: impl Iterator<Item = &'a [u8]>,
        depth: usize,
    ) -> io::Result<()> {
        let parts: Vec<_> = parts.map(Entity::parse).collect();
        let chosen = parts
            .iter()
            .max_by_key(|part| readable(&part.media_type()))
            .map(std::ptr::from_ref);
        for part in &parts {
            match chosen == Some(std::ptr::from_ref(part)) {
                true => self.entity(part, depth + 1)?,
                false => self.list(part)?,
            }
        }
        Ok(())
    }

    fn list(&mut self, entity: &Entity<'_>) -> io::Result<()> {
        let name = match entity.name() {
            None => String::new(),
            Some(name) => format!(", {:?}", short(name)),
        };
        let media_type = short(&entity.media_type());
        let size = entity.decoded().len();
        writeln!(self.out, "[{media_type}{name}, {size} bytes]")
    }
}

fn is_message(media_type: &str) -> bool {
    matches!(media_type, "message/rfc822" | "message/global")
}

/// How well a terminal shows it.
fn readable(media_type: &str) -> u8 {
    match media_type.split_once('/') {
        Some(("text", "plain")) => 4,
        Some(("multipart", _)) => 3,
        Some(("text", "html")) => 2,
        Some(("text", _)) => 1,
        _ => 0,
    }
}

fn shown(value: &HeaderValue<'_>) -> String {
    match value {
        HeaderValue::Text(text) => short(text),
        HeaderValue::TextList(texts) => short(&texts.join(" ")),
        HeaderValue::Address(Address::List(list)) => addresses(list),
        HeaderValue::Address(Address::Group(groups)) => {
            let mut text = String::new();
            for group in groups.iter().take(MAX_FIELDS) {
                if !text.is_empty() {
                    text.push_str(", ");
                }
                let members = addresses(&group.addresses);
                // Writing into a string cannot fail.
                let _ = match &group.name {
                    Some(name) => write!(text, "{name}: {members};"),
                    None => write!(text, "{members}"),
                };
            }
            short(&text)
        }
        _ => String::new(),
    }
}

fn addresses(list: &[Addr<'_>]) -> String {
    let mut text = String::new();
    for addr in list {
        if text.len() > MAX_FIELD {
            break;
        }
        if !text.is_empty() {
            text.push_str(", ");
        }
        match (&addr.name, &addr.address) {
            (Some(name), Some(address)) => {
                let _ = write!(text, "{name} <{address}>");
            }
            (Some(one), None) | (None, Some(one)) => text.push_str(one),
            (None, None) => {}
        }
    }
    short(&text)
}

/// In one line, and no longer than a field may be.
fn short(text: &str) -> String {
    match text.char_indices().nth(MAX_FIELD) {
        None => printable(text),
        Some((end, _)) => printable(&text[..end]) + "…",
    }
}
