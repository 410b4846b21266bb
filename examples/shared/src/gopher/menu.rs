//! Menus (RFC 1436, 3.9): items, each a line.

use asynchat::Result;

use super::GopherUrl;
use crate::text::printable;

/// Items of a menu: more are refused.
pub const MAX_ITEMS: usize = 100_000;
/// Bytes of an item.
const MAX_LINE: usize = 8 * 1024;

/// An item, fit for a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The type.
    pub kind: char,
    pub name: String,
    /// Where it leads, if that is a document of Gopher's.
    pub url: Option<GopherUrl>,
}

impl Item {
    /// Servers send lines that are no items, for messages: they are taken for text.
    fn parse(line: &[u8]) -> Self {
        let text = |bytes: &[u8]| printable(&String::from_utf8_lossy(bytes));
        let mut fields = line.split(|&byte| byte == b'\t');
        let first = fields.next().unwrap_or_default();
        let (Some(selector), Some(host)) = (fields.next(), fields.next()) else {
            return Self {
                kind: 'i',
                name: text(line),
                url: None,
            };
        };
        let (kind, name) = match first.split_first() {
            Some((&kind, name)) if kind.is_ascii_graphic() => (char::from(kind), text(name)),
            _ => ('i', text(first)),
        };
        let port = fields.next().and_then(|port| str::from_utf8(port).ok());
        let port = port.map_or(Some(70), |port| port.trim().parse().ok());
        let host = str::from_utf8(host).ok();
        let url = match (host, port) {
            (Some(host), Some(port)) if port > 0 => {
                GopherUrl::of_item(kind, selector, host.trim(), port).ok()
            }
            _ => None,
        };
        Self { kind, name, url }
    }
}

/// Takes a menu in pieces, and gives its items.
#[derive(Debug, Default)]
pub struct Menu {
    /// The item begun.
    line: Vec<u8>,
    items: usize,
}

impl Menu {
    /// # Errors
    /// Those of `give`; an item or the menu is too long.
    pub fn piece(&mut self, data: &[u8], mut give: impl FnMut(Item) -> Result) -> Result {
        for part in data.split_inclusive(|&byte| byte == b'\n') {
            if part.len() > MAX_LINE - self.line.len() {
                return Err(format!("the menu has an item of more than {MAX_LINE} bytes").into());
            }
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                self.item(&mut give)?;
            }
        }
        Ok(())
    }

    /// The end: the last item may have no line end.
    ///
    /// # Errors
    /// Those of `give`.
    pub fn finish(&mut self, mut give: impl FnMut(Item) -> Result) -> Result {
        match self.line.is_empty() {
            true => Ok(()),
            false => self.item(&mut give),
        }
    }

    fn item(&mut self, give: &mut impl FnMut(Item) -> Result) -> Result {
        let line = std::mem::take(&mut self.line);
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        self.items += 1;
        if self.items > MAX_ITEMS {
            return Err(format!("the menu has more than {MAX_ITEMS} items").into());
        }
        give(Item::parse(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(menu: &[u8], size: usize) -> Result<Vec<Item>> {
        let mut items = Vec::new();
        let mut reader = Menu::default();
        let mut give = |item| {
            items.push(item);
            Ok(())
        };
        for piece in menu.chunks(size) {
            reader.piece(piece, &mut give)?;
        }
        reader.finish(&mut give)?;
        Ok(items)
    }

    #[test]
    fn items_lead_to_documents() {
        let menu = b"0About\t/a b\ta.example\t70\r\n1Sub\t\ta.example\t7070\t+\niinfo \x1b[2J\tx\ty\t0\r\nError: none\r\n\
            8Telnet\t\tb.example\t23\r\n0bad port\t/x\ta.example\t99999\r\n0bad\tx\rDATA\ta.example\t70\r\n0bad host\tx\tu@a.example\t70\r\n\r\n9last\t/z\t::1\t70";
        let shown = |item: &Item| {
            let url = item.url.as_ref().map(ToString::to_string);
            format!("{} {} {}", item.kind, item.name, url.unwrap_or_default())
        };
        for size in 1..menu.len() {
            let items = items(menu, size).expect("a menu");
            let shown: Vec<_> = items.iter().map(shown).collect();
            assert_eq!(
                shown,
                [
                    "0 About gopher://a.example/0/a%20b",
                    "1 Sub gopher://a.example:7070/1",
                    "i info \u{fffd}[2J ",
                    "i Error: none ",
                    "8 Telnet ",
                    "0 bad port ",
                    "0 bad ",
                    "0 bad host ",
                    "i  ",
                    "9 last gopher://[::1]/9/z",
                ],
                "{size}"
            );
        }
    }

    #[test]
    fn menus_have_an_end() {
        let error = items(&b"x".repeat(9000), 100).expect_err("a limit");
        assert_eq!(
            error.to_string(),
            "the menu has an item of more than 8192 bytes"
        );
        let error = items(&b"\n".repeat(MAX_ITEMS + 1), 1000).expect_err("a limit");
        assert_eq!(error.to_string(), "the menu has more than 100000 items");
    }
}
