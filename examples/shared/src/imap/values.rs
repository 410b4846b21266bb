//! What responses are made of: atoms, strings, and lists of them (RFC 3501, 4).

use asynchat::Result;

use super::{MAX_DEPTH, MAX_VALUES};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Nil,
    /// A name, flag or number: what stands without quotes.
    Atom(String),
    /// A quoted string or a literal.
    Text(Vec<u8>),
    /// A literal of this size that was passed on.
    Passed(u64),
    List(Vec<Value>),
}

impl Value {
    /// An atom or a string, as text.
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Atom(atom) => Some(atom.clone()),
            Self::Text(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        }
    }

    pub fn number<N: std::str::FromStr>(&self) -> Option<N> {
        match self {
            Self::Atom(atom) => number(atom),
            _ => None,
        }
    }
}

/// Digits alone: no sign.
pub(super) fn number<N: std::str::FromStr>(digits: &str) -> Option<N> {
    let are_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    are_digits.then(|| digits.parse().ok())?
}

/// A response between its line ends: text, and the literals that lines of it ended in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Without the size of the literal that follows.
    Text(Vec<u8>),
    Literal(Vec<u8>),
    Passed(u64),
}

/// The values of a response. `parts` begins with a text.
pub(super) fn parse(parts: &[Part]) -> Result<Vec<Value>> {
    let mut values = Values::default();
    for part in parts {
        match part {
            Part::Text(text) => values.text(text)?,
            Part::Literal(bytes) => values.add(Value::Text(bytes.clone()))?,
            Part::Passed(size) => values.add(Value::Passed(*size))?,
        }
    }
    match values.lists.is_empty() {
        true => Ok(values.current),
        false => Err("a list has no end".into()),
    }
}

#[derive(Default)]
struct Values {
    count: usize,
    current: Vec<Value>,
    /// Those around it.
    lists: Vec<Vec<Value>>,
}

impl Values {
    fn add(&mut self, value: Value) -> Result {
        self.count += 1;
        if self.count > MAX_VALUES {
            return Err(format!("more than {MAX_VALUES} values").into());
        }
        self.current.push(value);
        Ok(())
    }

    fn text(&mut self, mut text: &[u8]) -> Result {
        while let Some((&first, rest)) = text.split_first() {
            text = match first {
                b' ' => rest,
                b'(' if self.lists.len() == MAX_DEPTH => {
                    return Err(format!("more than {MAX_DEPTH} lists within lists").into());
                }
                b'(' => {
                    self.lists.push(std::mem::take(&mut self.current));
                    rest
                }
                b')' => {
                    let around = self.lists.pop().ok_or("a list ends that has not begun")?;
                    let list = std::mem::replace(&mut self.current, around);
                    self.add(Value::List(list))?;
                    rest
                }
                b'"' => {
                    let (string, rest) = quoted(rest).ok_or("a quoted string has no end")?;
                    self.add(Value::Text(string))?;
                    rest
                }
                _ => {
                    let (atom, rest) = text.split_at(atom_len(text));
                    self.add(match atom.eq_ignore_ascii_case(b"NIL") {
                        true => Value::Nil,
                        false => Value::Atom(String::from_utf8_lossy(atom).into_owned()),
                    })?;
                    rest
                }
            };
        }
        Ok(())
    }
}

/// The string behind a quote, and what comes behind its end.
fn quoted(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut string = Vec::new();
    let mut bytes = text.iter().enumerate();
    while let Some((at, &byte)) = bytes.next() {
        match byte {
            b'"' => return Some((string, &text[at + 1..])),
            b'\\' => string.push(*bytes.next()?.1),
            byte => string.push(byte),
        }
    }
    None
}

/// A body has a section, which may have spaces: `BODY[HEADER.FIELDS (FROM)]<0>`.
fn atom_len(text: &[u8]) -> usize {
    let begins = |name: &[u8]| {
        let begin = text.get(..name.len());
        begin.is_some_and(|begin| begin.eq_ignore_ascii_case(name))
    };
    let section = match begins(b"BODY[") || begins(b"BINARY[") {
        true => memchr::memchr(b']', text).unwrap_or(text.len()),
        false => 0,
    };
    let rest = text[section..].iter();
    let end = rest.clone().position(|byte| b" ()\"".contains(byte));
    (section + end.unwrap_or(rest.len())).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(values: &[Value]) -> String {
        let one = |value: &Value| match value {
            Value::Nil => "nil".into(),
            Value::Atom(atom) => atom.clone(),
            Value::Text(text) => format!("{:?}", String::from_utf8_lossy(text)),
            Value::Passed(size) => format!("<{size}>"),
            Value::List(list) => format!("({})", shown(list)),
        };
        values.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn values_are_read() {
        for (text, expected) in [
            ("", ""),
            ("a  b", "a b"),
            ("NIL nil NILS", "nil nil NILS"),
            (r#"("a \"\\ b" "")"#, r#"("a \"\\ b" "")"#),
            ("(a(b)())c", "(a (b) ()) c"),
            (
                "BODY[HEADER.FIELDS (FROM \"x\")]<0> 5",
                "BODY[HEADER.FIELDS (FROM \"x\")]<0> 5",
            ),
            ("a]b [c d]", "a]b [c d]"),
            ("BODY[TEXT a", "BODY[TEXT a"),
            ("(\\X[2J) $Label[1]", "(\\X[2J) $Label[1]"),
            ("\\Seen $x \u{e9}", "\\Seen $x \u{e9}"),
        ] {
            let values = parse(&[Part::Text(text.into())]).expect("values");
            assert_eq!(shown(&values), expected);
        }
        let parts = [
            Part::Text(b"x (a ".into()),
            Part::Literal(b"(\")".into()),
            Part::Text(b" b ".into()),
            Part::Passed(7),
            Part::Text(b")".into()),
        ];
        assert_eq!(
            shown(&parse(&parts).expect("values")),
            "x (a \"(\\\")\" b <7>)"
        );
    }

    #[test]
    fn what_is_malformed_or_too_much_is_an_error() {
        let deep = "(".repeat(MAX_DEPTH + 1);
        let many = "1 ".repeat(MAX_VALUES + 1);
        let lists = "()".repeat(MAX_VALUES + 1);
        for text in [
            "(", ")", "(()", "())", "\"a", "\"a\\", "\"a\\\"", &deep, &many, &lists,
        ] {
            assert!(parse(&[Part::Text(text.into())]).is_err(), "{text:.9}");
        }
    }

    /// Whatever the bytes are, in pieces of every size.
    #[test]
    fn no_bytes_panic() {
        let alphabet = b"( )\"\\[]a{}<>&*\xff\0";
        for n in 0..alphabet.len().pow(4) {
            let text: Vec<_> = (0..4)
                .map(|digit| alphabet[n / alphabet.len().pow(digit) % alphabet.len()])
                .collect();
            // It may be an error.
            let _ = parse(&[Part::Text(text)]);
        }
    }
}
