//! Python's literals, and how Rust writes them.

use crate::syntax::{Node, Tree};

/// Operators inside each other in a constant such as `30 * 60`.
const OPERATORS: usize = 16;

/// A value that the source spells out.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Literal {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
}

impl Literal {
    /// None if the expression is no literal, or one that Rust cannot write.
    pub(super) fn of(tree: &Tree, node: Node) -> Option<Self> {
        Self::within(tree, node, OPERATORS)
    }

    fn within(tree: &Tree, node: Node, operators: usize) -> Option<Self> {
        let node = tree.unwrapped(node);
        match tree.kind(node) {
            "none" => Some(Self::None),
            "true" => Some(Self::Bool(true)),
            "false" => Some(Self::Bool(false)),
            "integer" => integer(tree.text(node)).map(Self::Int),
            "float" => {
                let value: f64 = tree.text(node).replace('_', "").parse().ok()?;
                value.is_finite().then_some(Self::Float(value))
            }
            "unary_operator" if tree.text(node).starts_with('-') => {
                let argument = tree.child(node, "argument")?;
                match Self::within(tree, argument, operators.checked_sub(1)?)? {
                    Self::Int(value) => value.checked_neg().map(Self::Int),
                    Self::Float(value) => Some(Self::Float(-value)),
                    _ => None,
                }
            }
            "binary_operator" => {
                let (left, right) = (tree.child(node, "left")?, tree.child(node, "right")?);
                let between = tree
                    .source()
                    .get(tree.span(left).end..tree.span(right).start)?;
                let side = |node| Self::within(tree, node, operators.checked_sub(1)?);
                match (side(left)?, between.trim(), side(right)?) {
                    (Self::Int(left), "+", Self::Int(right)) => left.checked_add(right),
                    (Self::Int(left), "-", Self::Int(right)) => left.checked_sub(right),
                    (Self::Int(left), "*", Self::Int(right)) => left.checked_mul(right),
                    (Self::Int(left), "<<", Self::Int(right @ 0..32)) => {
                        left.checked_mul(1 << right)
                    }
                    _ => None,
                }
                .map(Self::Int)
            }
            "string" => string(tree, node),
            "concatenated_string" => {
                let mut parts = tree.children(node).map(|part| string(tree, part));
                let first = parts.next()??;
                parts.try_fold(first, |whole, part| match (whole, part?) {
                    (Self::Text(whole), Self::Text(part)) => Some(Self::Text(whole + &part)),
                    (Self::Bytes(whole), Self::Bytes(part)) => {
                        Some(Self::Bytes([whole, part].concat()))
                    }
                    _ => None,
                })
            }
            _ => None,
        }
    }

    /// The bytes that are sent for it. Text that is not ASCII depends on an encoding.
    pub(super) fn sent(&self) -> Option<String> {
        match self {
            Self::Text(text) if text.is_ascii() => Some(quoted(text)),
            Self::Bytes(bytes) => Some(match std::str::from_utf8(bytes) {
                Ok(text) if text.is_ascii() => quoted(text),
                _ => format!("&{}[..]", quoted_bytes(bytes)),
            }),
            _ => None,
        }
    }
}

fn integer(text: &str) -> Option<i64> {
    let text = text
        .trim_end_matches(['l', 'L'])
        .replace('_', "")
        .to_ascii_lowercase();
    let (digits, radix) = match text.as_bytes() {
        [b'0', b'x', ..] => (&text[2..], 16),
        [b'0', b'o', ..] => (&text[2..], 8),
        [b'0', b'b', ..] => (&text[2..], 2),
        [b'0', b'0'..=b'9', ..] if text.bytes().any(|digit| digit != b'0') => (&text[1..], 8),
        _ => (text.as_str(), 10),
    };
    i64::from_str_radix(digits, radix).ok()
}

fn string(tree: &Tree, node: Node) -> Option<Literal> {
    let body = tree.string(node)?;
    let quote = tree.text(tree.children(node).next()?);
    let prefix = quote.trim_end_matches(['"', '\'']).to_ascii_lowercase();
    let (is_raw, is_bytes) = (prefix.contains('r'), prefix.contains('b'));
    if prefix.contains(['f', 't', '`']) || quote.contains('`') || is_bytes && !body.is_ascii() {
        return None;
    }
    let mut text = String::new();
    let mut letters = body.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\r' => {
                letters.next_if_eq(&'\n');
                text.push('\n');
            }
            '\\' if !is_raw => escape(&mut letters, is_bytes, &mut text)?,
            letter => text.push(letter),
        }
    }
    if is_bytes {
        // Each letter is a byte.
        let bytes = text.chars().map(|letter| u8::try_from(letter).ok());
        return bytes.collect::<Option<_>>().map(Literal::Bytes);
    }
    Some(Literal::Text(text))
}

type Letters<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// A letter by its number, of which `first` is read.
fn number(letters: &mut Letters<'_>, first: &str, digits: usize, radix: u32) -> Option<char> {
    let mut spelled = first.to_owned();
    while spelled.len() < digits
        && let Some(digit) = letters.next_if(|letter| letter.is_digit(radix))
    {
        spelled.push(digit);
    }
    u32::from_str_radix(&spelled, radix)
        .ok()
        .and_then(char::from_u32)
}

/// What follows a backslash. None if Rust's text cannot hold it.
fn escape(letters: &mut Letters<'_>, is_bytes: bool, text: &mut String) -> Option<()> {
    let letter = match letters.next()? {
        '\n' => return Some(()),
        '\r' => {
            letters.next_if_eq(&'\n');
            return Some(());
        }
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'a' => '\x07',
        'b' => '\x08',
        'f' => '\x0c',
        'v' => '\x0b',
        letter @ ('\\' | '\'' | '"') => letter,
        'x' => number(letters, "", 2, 16)?,
        digit @ '0'..='7' => number(letters, &digit.to_string(), 3, 8)?,
        'u' if !is_bytes => number(letters, "", 4, 16)?,
        'U' if !is_bytes => number(letters, "", 8, 16)?,
        'N' if !is_bytes => return None,
        other => {
            text.push('\\');
            other
        }
    };
    text.push(letter);
    Some(())
}

/// A literal of Rust for this text.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '\'' => quoted.push(letter),
            letter => quoted.extend(letter.escape_debug()),
        }
    }
    quoted.push('"');
    quoted
}

/// A literal of Rust for these bytes.
pub(super) fn quoted_bytes(bytes: &[u8]) -> String {
    let escaped = bytes.iter().flat_map(|&byte| match byte {
        b'\'' => vec![byte],
        byte => std::ascii::escape_default(byte).collect(),
    });
    let escaped: Vec<u8> = escaped.collect();
    format!("b\"{}\"", String::from_utf8_lossy(&escaped))
}
