//! Each entry of the porting guide is found in one of the programs of `asynchat-port/tests/programs`, or the reason is here.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::{collections::HashSet, fs, path::Path};

use asynchat_port::{find, knowledge};
use common::load;

/// Entries that no place in a program stands for, by the beginning of their first column.
const WITHOUT_PLACE: &[(&str, &str)] = &[(
    "Borrowing",
    "it is met in the Rust of the port, at any call of `registry()`",
)];

#[test]
fn each_entry_of_the_guide_is_found_or_has_a_reason() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs");
    let mut found = HashSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "py") {
            let loaded = load(&[("program.py", &fs::read_to_string(path).unwrap())]);
            let findings = find::find(&loaded).findings;
            found.extend(
                findings
                    .iter()
                    .map(|finding| (finding.entry.anchor(), finding.entry.key())),
            );
        }
    }
    let rows = knowledge::SECTIONS
        .iter()
        .flat_map(|section| section.rows.iter().map(|row| (section.anchor, row.python)));
    let idioms = knowledge::IDIOMS
        .iter()
        .map(|idiom| (idiom.anchor, idiom.python));
    let differences = knowledge::DIFFERENCES
        .iter()
        .map(|one| (knowledge::DIFFERENCES_ANCHOR, one.python));
    let pitfalls = knowledge::PITFALLS
        .iter()
        .map(|one| (knowledge::PITFALLS_ANCHOR, one.title));
    let all: Vec<_> = rows
        .chain(idioms)
        .chain(differences)
        .chain(pitfalls)
        .collect();
    assert!(all.len() > 200, "only {} entries", all.len());

    let has_reason = |key: &str| {
        WITHOUT_PLACE
            .iter()
            .any(|(start, _)| key.starts_with(start))
    };
    let missing: Vec<_> = all
        .iter()
        .filter(|entry| !found.contains(*entry) && !has_reason(entry.1))
        .collect();
    assert!(missing.is_empty(), "no detector finds:\n{missing:#?}");
    for (start, reason) in WITHOUT_PLACE {
        let entry = all.iter().find(|entry| entry.1.starts_with(start));
        assert!(
            entry.is_some_and(|entry| !found.contains(entry)),
            "{start} ({reason}) is found, or is no entry"
        );
    }
}
