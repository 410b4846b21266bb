//! What the documents name in passing: files, tests, variables of the environment.

use std::{collections::BTreeSet, path::Path};

use crate::{markdown::Page, nothing_wrong, repository, root, shell::is_script};

const FOLDERS: [&str; 10] = [
    "src/",
    "tests/",
    "suites/",
    "examples/",
    "docs/",
    "benches/",
    "fuzz/",
    ".ci/",
    "asynchat-port/",
    "asynchat-rustls/",
];
/// Named although no file is there.
const NOT_KEPT: [(&str, &str); 3] = [
    ("fuzz/artifacts", "made by the fuzzer"),
    ("fuzz/corpus", "made by the fuzzer"),
    ("tests/requests", "a folder of the collection's origin"),
];

/// A span that is a path from the root, or from the folder of its page, or several: `src/{id,error}.rs`.
fn is_path(span: &str) -> bool {
    FOLDERS.iter().any(|folder| span.starts_with(folder))
        && span
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "/._-{,}".contains(c))
}

/// The paths that a span names.
fn expanded(span: &str) -> Vec<String> {
    let parts = span
        .split_once('{')
        .and_then(|(before, rest)| Some((before, rest.split_once('}')?)));
    match parts {
        None => vec![span.into()],
        Some((before, (names, after))) => names
            .split(',')
            .map(|name| format!("{before}{name}{after}"))
            .collect(),
    }
}

#[test]
fn every_file_that_is_named_exists() {
    let (Some(mut pages), Some(sources)) = (repository::pages(), repository::files(&[".rs"]))
    else {
        return;
    };
    pages.extend(sources.iter().map(|file| Page::of_comments(file)));
    let mut wrong = Vec::new();
    let mut checked = 0;
    for page in &pages {
        let folder = root().join(Path::new(&page.name).parent().unwrap());
        let spans = page.spans();
        for span in spans
            .iter()
            .filter(|span| is_path(span))
            .flat_map(|span| expanded(span))
        {
            checked += 1;
            let kept = !NOT_KEPT.iter().any(|(name, _)| span.starts_with(name));
            if kept && !root().join(&span).exists() && !folder.join(&span).exists() {
                wrong.push(format!("{}: names {span}, which does not exist", page.name));
            }
        }
    }
    eprintln!("{checked} files named");
    assert!(checked > 100, "only {checked} names found");
    nothing_wrong(wrong);
}

#[test]
fn every_test_that_is_named_exists() {
    let (Some(pages), Some(sources)) = (repository::pages(), repository::files(&[".rs"])) else {
        return;
    };
    let sources: String = sources.iter().map(|file| repository::text(file)).collect();
    let mut wrong = Vec::new();
    let mut checked = 0;
    for page in &pages {
        for span in page.spans() {
            // Sentences are long; what is shorter is a method or a field.
            let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            if span.chars().all(lower) && span.matches('_').count() >= 4 && !span.starts_with('_') {
                checked += 1;
                if !sources.contains(&format!("fn {span}(")) {
                    wrong.push(format!("{}: names {span}, which is no function", page.name));
                }
            }
        }
    }
    eprintln!("{checked} tests named");
    assert!(checked > 10, "only {checked} names found");
    nothing_wrong(wrong);
}

/// Names as programs write them.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
}

#[test]
fn every_variable_that_is_named_is_read_by_somebody() {
    let (Some(pages), Some(readers)) = (repository::pages(), repository::files(&[""])) else {
        return;
    };
    let is_code =
        |file: &str| [".rs", ".py"].iter().any(|end| file.ends_with(end)) || is_script(file);
    let readers: String = readers
        .iter()
        .filter(|file| is_code(file) && !file.starts_with("suites/tests/documents/"))
        .map(|file| repository::text(file))
        .collect();
    let mut named = BTreeSet::new();
    for page in &pages {
        let blocks = page
            .parts
            .iter()
            .flat_map(|part| part.lines.iter().cloned());
        for text in blocks {
            let all = words(&text);
            let ours = all.filter(|word| {
                word.starts_with("ASYNCHAT_") || (word.starts_with("FUZZ_") && word.len() > 5)
            });
            named.extend(ours.map(|word| (page.name.clone(), word.to_owned())));
        }
    }
    assert!(named.len() > 3, "only {named:?}");
    let read: BTreeSet<&str> = words(&readers).collect();
    let missing = named
        .iter()
        .filter(|(_, name)| !read.contains(name.as_str()));
    nothing_wrong(
        missing
            .map(|(page, name)| format!("{page}: nobody reads {name}"))
            .collect(),
    );
}
