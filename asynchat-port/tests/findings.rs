//! What is found in the small programs of `asynchat-port/tests/programs`: of each, exactly the lines, kinds and names of
//! its `.expected`.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::{fs, path::Path};

use asynchat_port::find::{self, Entry, Finding};
use common::load;

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs")
}

/// A name for what has one, the first words of the guide's entry for the rest.
fn described(finding: &Finding) -> String {
    let name = match finding.entry {
        Entry::Row(..) | Entry::Idiom(_) => finding.name.as_str(),
        Entry::Difference(_) | Entry::Pitfall(_) => finding.entry.key(),
    };
    format!("{} {} {name}", finding.position.line, finding.kind.name())
}

fn findings(path: &str, text: &str) -> Vec<Finding> {
    let loaded = load(&[(path, text)]);
    assert!(loaded.is_whole(), "{path}");
    find::find(&loaded).findings
}

#[test]
fn exactly_the_expected_is_found() {
    let mut wrong = Vec::new();
    let mut programs = 0;
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "py") {
            continue;
        }
        programs += 1;
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let found: Vec<_> = findings(&name, &fs::read_to_string(&path).unwrap())
            .iter()
            .map(described)
            .collect();
        let expected = fs::read_to_string(path.with_extension("expected")).unwrap_or_default();
        let expected: Vec<_> = expected.lines().map(str::to_owned).collect();
        let only = |one: &[String], other: &[String], mark: &str| -> Vec<String> {
            let mut left = other.to_vec();
            let lines =
                one.iter()
                    .filter(|line| match left.iter().position(|other| other == *line) {
                        Some(at) => {
                            left.swap_remove(at);
                            false
                        }
                        None => true,
                    });
            lines.map(|line| format!("{name}: {mark} {line}")).collect()
        };
        wrong.extend(only(&expected, &found, "not found:"));
        wrong.extend(only(&found, &expected, "found besides:"));
    }
    assert!(programs >= 10, "only {programs} programs");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
