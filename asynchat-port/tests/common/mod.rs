//! What the tests share.
#![allow(
    dead_code,
    missing_docs,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "each test uses a part of it"
)]

pub mod others;

use asynchat_port::{
    library::Copies,
    limits::Limits,
    load::{self, Loaded},
    source::Source,
};

/// Files of a program by their paths, `a/b.py` in the package `a`.
pub fn load(files: &[(&str, &str)]) -> Loaded {
    let sources = files.iter().map(|&(path, text)| {
        let name = path.trim_end_matches(".py").replace('/', ".");
        let is_package = name.ends_with("__init__");
        let module = name.trim_end_matches(".__init__").to_owned();
        let (path, text) = (path.to_owned(), text.to_owned());
        Source {
            path,
            module,
            is_package,
            text,
            doubt: None,
        }
    });
    load::load_sources(sources.collect(), &Limits::default(), Copies::default())
}
