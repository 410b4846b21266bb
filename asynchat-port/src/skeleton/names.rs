//! Rust names for Python names.

use std::{
    collections::{HashMap, HashSet},
    rc::Rc,
};

use unicode_normalization::UnicodeNormalization;

/// Characters of a name that are kept; the limit of rustc's own symbols is far above it.
const LONGEST: usize = 100;

/// Words that cannot be names. Of edition 2024; reserved ones too.
const KEYWORDS: [&str; 53] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate",
    "do", "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl",
    "in", "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref",
    "return", "self", "Self", "static", "struct", "super", "trait", "true", "try", "type",
    "typeof", "union", "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];

/// Keywords that not even `r#` makes a name.
const NO_NAMES: [&str; 4] = ["self", "Self", "super", "crate"];

/// Types and traits that the skeleton itself has, imports or finds in the prelude.
pub(super) const RESERVED: [&str; 43] = [
    "Address",
    "AsyncChat",
    "BoxError",
    "Box",
    "Channel",
    "ChannelId",
    "ChatChannel",
    "ChatDispatcher",
    "Clone",
    "Closed",
    "ConnectOptions",
    "Copy",
    "Debug",
    "Default",
    "Dispatcher",
    "Drop",
    "Err",
    "Exceptional",
    "Fn",
    "FnMut",
    "FnOnce",
    "HashMap",
    "HashSet",
    "None",
    "Ok",
    "Option",
    "Produced",
    "Producer",
    "Reactor",
    "Registry",
    "Result",
    "Self",
    "Send",
    "Socket",
    "Some",
    "Stream",
    "String",
    "Sync",
    "Terminator",
    "ToString",
    "UdpSocket",
    "Vec",
    "Into",
];

/// A name of a field, variable, function or module.
pub(super) fn value(python: &str) -> String {
    let name = identifier(python);
    let is_reserved = RESERVED.contains(&name.as_str()) || NO_NAMES.contains(&name.as_str());
    if is_reserved || name.bytes().all(|byte| byte == b'_') {
        format!("{name}_0")
    } else if KEYWORDS.contains(&name.as_str()) {
        format!("r#{name}")
    } else {
        name
    }
}

/// A name of a constant.
pub(super) fn constant(python: &str) -> String {
    value(&python.to_uppercase())
}

/// A name of a type: `http_channel` is `HttpChannel`, `SMTPChannel` itself, and `vec` is `PyVec`.
pub(super) fn type_(python: &str) -> String {
    let name = identifier(python);
    let mut camel = String::new();
    for word in name.split('_') {
        let mut letters = word.chars();
        camel.extend(letters.next().into_iter().flat_map(char::to_uppercase));
        camel.extend(letters);
    }
    if camel.is_empty() || camel.starts_with(|first: char| first.is_ascii_digit()) {
        camel.insert(0, 'T');
    }
    if RESERVED.contains(&camel.as_str()) {
        camel.insert_str(0, "Py");
    }
    value(&camel)
}

/// Python compares names in the form NFKC (PEP 3131), so that two spellings of one name are one here too.
fn identifier(python: &str) -> String {
    let kept = |letter: char| unicode_ident::is_xid_continue(letter);
    let mut name: String = python
        .nfkc()
        .take(LONGEST)
        .map(|letter| if kept(letter) { letter } else { '_' })
        .collect();
    let first = name.chars().next();
    if !first.is_some_and(|first| first == '_' || unicode_ident::is_xid_start(first)) {
        name.insert(0, '_');
    }
    // What is replaced may leave letters beside each other that compose.
    name.nfc().collect()
}

/// The names of one scope, each given once.
#[derive(Default, Debug)]
pub(super) struct Taken {
    names: HashSet<String>,
    /// Names that others have too.
    shared: Option<Rc<HashSet<String>>>,
    /// The last number behind a name that was taken.
    numbers: HashMap<String, usize>,
}

impl Taken {
    pub(super) fn new<'a>(reserved: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            names: reserved.into_iter().map(str::to_owned).collect(),
            ..Self::default()
        }
    }

    pub(super) fn beside(mut self, shared: Rc<HashSet<String>>) -> Self {
        self.shared = Some(shared);
        self
    }

    fn insert(&mut self, name: &str) -> bool {
        let is_shared = self
            .shared
            .as_ref()
            .is_some_and(|shared| shared.contains(name));
        !is_shared && self.names.insert(name.to_owned())
    }

    /// The name itself, or with a number behind it if it is taken.
    pub(super) fn take(&mut self, wanted: &str) -> String {
        let plain = wanted.strip_prefix("r#").unwrap_or(wanted);
        if self.insert(plain) {
            return wanted.to_owned();
        }
        let mut number = self.numbers.get(plain).copied().unwrap_or(1);
        loop {
            number += 1;
            let name = format!("{plain}_{number}");
            if self.insert(&name) {
                self.numbers.insert(plain.to_owned(), number);
                return name;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn python_names_become_rust_names() {
        for (python, expected) in [
            ("data", "data"),
            ("type", "r#type"),
            ("gen", "r#gen"),
            ("self", "self_0"),
            ("_", "__0"),
            ("__", "___0"),
            ("__line", "__line"),
            ("größe", "größe"),
            ("gro\u{308}ße", "größe"),
            ("\u{1d41c}lass", "class"),
            ("\u{fb01}le", "file"),
            ("a b", "a_b"),
            ("9lives", "_9lives"),
            ("", "__0"),
            ("Channel", "Channel_0"),
        ] {
            assert_eq!(value(python), expected, "{python:?}");
        }
        for (python, expected) in [
            ("http_channel", "HttpChannel"),
            ("SMTPChannel", "SMTPChannel"),
            ("_Private", "Private"),
            ("__", "T"),
            ("_9", "T9"),
            ("self", "PySelf"),
            ("vec_", "PyVec"),
            ("none", "PyNone"),
            ("élan", "Élan"),
        ] {
            assert_eq!(type_(python), expected, "{python:?}");
        }
    }

    #[test]
    fn a_taken_name_gets_a_number() {
        let mut taken = Taken::new(["new"]);
        let names: Vec<_> = ["new", "r#type", "type", "type", "new_2", "new"]
            .iter()
            .map(|name| taken.take(name))
            .collect();
        assert_eq!(
            names,
            ["new_2", "r#type", "type_2", "type_3", "new_2_2", "new_3"]
        );
    }
}
