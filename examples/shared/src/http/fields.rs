//! The fields that a user gives for a request: in place of the client's own, beside them, or to leave one out.

use super::response::{is_text, is_token};

/// Fields that say where a message ends and who reads it: those of the client's alone.
const FRAMING: [&str; 8] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// Fields with a secret, which another server than the one meant must not see, and the name that this one is called by.
const OF_ORIGIN: [&str; 4] = ["authorization", "cookie", "host", "proxy-authorization"];
/// Fields of one value.
const MAX_VALUE: usize = 32 * 1024;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    set: Vec<(String, String)>,
    /// In small letters.
    removed: Vec<String>,
}

/// `Name: value` sets a field, `Name;` one that is empty, `Name:` leaves out the client's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    name: String,
    value: Option<String>,
}

impl std::str::FromStr for Edit {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let (name, value) = match line.split_once(':') {
            Some((name, value)) => (name, Some(value.trim_matches([' ', '\t']))),
            None => match line.strip_suffix(';') {
                Some(name) => (name, None),
                None => return Err("a field is 'Name: value', 'Name;' or 'Name:'".into()),
            },
        };
        if !is_token(name.as_bytes()) {
            return Err("the name of a field is a word without spaces".into());
        }
        if FRAMING.iter().any(|other| name.eq_ignore_ascii_case(other)) {
            return Err(format!("{name} is set by the program itself"));
        }
        let text = value.unwrap_or_default();
        if !is_text(text.as_bytes()) {
            return Err(format!("{name}: no control characters in a field"));
        }
        if text.len() > MAX_VALUE {
            return Err(format!("{name}: longer than {MAX_VALUE} bytes"));
        }
        if name.eq_ignore_ascii_case("expect")
            && !text.is_empty()
            && !text.eq_ignore_ascii_case("100-continue")
        {
            return Err("Expect is 100-continue".into());
        }
        let value = match value {
            Some("") => None,
            Some(text) => Some(text.to_owned()),
            None => Some(String::new()),
        };
        Ok(Self {
            name: name.to_owned(),
            value,
        })
    }
}

impl FromIterator<Edit> for Fields {
    fn from_iter<I: IntoIterator<Item = Edit>>(edits: I) -> Self {
        let mut fields = Self::default();
        for edit in edits {
            match edit.value {
                Some(value) => fields.set.push((edit.name, value)),
                None => fields.removed.push(edit.name.to_ascii_lowercase()),
            }
        }
        fields
    }
}

impl Fields {
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.set
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub fn has(&self, name: &str) -> bool {
        self.iter()
            .any(|(other, _)| other.eq_ignore_ascii_case(name))
    }

    pub fn removes(&self, name: &str) -> bool {
        self.removed
            .iter()
            .any(|other| other.eq_ignore_ascii_case(name))
    }

    /// Leaves out those that are for the server meant and for no other.
    pub fn forget_origin(&mut self) {
        self.forget(&OF_ORIGIN);
    }

    /// Leaves out those that describe a body (RFC 9110, 15.4).
    pub fn forget_body(&mut self) {
        self.set.retain(|(name, _)| {
            let name = name.to_ascii_lowercase();
            !name.starts_with("content-") && name != "expect"
        });
    }

    fn forget(&mut self, names: &[&str]) {
        self.set
            .retain(|(name, _)| !names.iter().any(|other| name.eq_ignore_ascii_case(other)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(lines: &[&str]) -> Fields {
        let edits = lines.iter().map(|line| line.parse::<Edit>());
        edits.collect::<Result<_, _>>().expect("fields")
    }

    #[test]
    fn a_line_sets_empties_or_removes() {
        let fields = fields(&["X-A:  b c ", "x-a: d", "X-E;", "Accept:"]);
        let set: Vec<_> = fields.iter().collect();
        assert_eq!(set, [("X-A", "b c"), ("x-a", "d"), ("X-E", "")]);
        assert!(fields.has("x-A") && fields.removes("ACCEPT") && !fields.removes("x-a"));
    }

    #[test]
    fn nothing_but_one_field_comes_of_a_line() {
        for (line, why) in [
            ("X-A", "a field is"),
            ("X A: b", "the name"),
            (": b", "the name"),
            ("X-A: b\r\nX-B: c", "no control characters"),
            ("X-A: b\nc", "no control characters"),
            ("X-A\r\n: b", "the name"),
            ("X-A: \0", "no control characters"),
            ("content-length: 1", "is set by the program"),
            ("Transfer-Encoding: chunked", "is set by the program"),
            ("Connection:", "is set by the program"),
            ("Expect: tea", "Expect is"),
            (&format!("X: {}", "x".repeat(MAX_VALUE + 1)), "longer than"),
        ] {
            let error = line.parse::<Edit>().expect_err(line);
            assert!(error.contains(why), "{line:?}: {error}");
        }
    }

    #[test]
    fn the_servers_and_the_bodys_fields_are_forgotten_and_others_are_not() {
        let mut fields = fields(&[
            "AUTHORIZATION: a",
            "Cookie: b",
            "HOST: h",
            "Content-Type: c",
            "X: d",
        ]);
        fields.forget_origin();
        assert_eq!(fields.iter().count(), 2);
        fields.forget_body();
        assert_eq!(fields.iter().collect::<Vec<_>>(), [("X", "d")]);
    }
}
