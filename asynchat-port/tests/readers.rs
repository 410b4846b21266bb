//! What a careful reader finds in real programs: lists made by hand beside this file, in `readers/`.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::collections::BTreeSet;

use asynchat_port::{
    find::{self, Finding, Kind},
    library::Copies,
    limits::Limits,
    load,
};
use common::others::other;

/// A list, its program, the file in it, and the text of the list.
const LISTS: [(&str, &str, &str, &str); 4] = [
    (
        "smtpd",
        "smtpd",
        "smtpd/__init__.py",
        include_str!("readers/smtpd.txt"),
    ),
    (
        "supervisor-http",
        "supervisor",
        "supervisor/http.py",
        include_str!("readers/supervisor-http.txt"),
    ),
    (
        "supervisor-http_server",
        "supervisor",
        "supervisor/medusa/http_server.py",
        include_str!("readers/supervisor-http_server.txt"),
    ),
    (
        "supervisor-http_client",
        "supervisor",
        "supervisor/http_client.py",
        include_str!("readers/supervisor-http_client.txt"),
    ),
];

/// The number of findings for which one false alarm is allowed.
const FALSE_ALARMS: usize = 20;

/// A line, the kind of what is there, and its name.
type Item = (usize, &'static str, String);

/// What has to be found, and what may be.
fn list(text: &str) -> (BTreeSet<Item>, BTreeSet<Item>) {
    let (mut wanted, mut allowed) = (BTreeSet::new(), BTreeSet::new());
    for line in text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
    {
        let (what, lines) = line.split_once(": ").unwrap();
        let words: Vec<_> = what.split(' ').collect();
        let (is_wanted, kind, name) = match words.as_slice() {
            ["maybe", kind, name] => (false, kind, name),
            [kind, name] => (true, kind, name),
            _ => panic!("{line}"),
        };
        let kinds = ["class", "override", "use", "idiom", "difference", "pitfall"];
        let kind = kinds
            .into_iter()
            .find(|known| known == kind)
            .unwrap_or_else(|| panic!("{line}"));
        for number in lines.split_whitespace() {
            let item = (number.parse().unwrap(), kind, (*name).to_owned());
            allowed.insert(item.clone());
            if is_wanted {
                wanted.insert(item);
            }
        }
    }
    (wanted, allowed)
}

fn item(finding: &Finding) -> Item {
    let kind = match finding.kind {
        Kind::Class => "class",
        Kind::Callback | Kind::Override => "override",
        Kind::Name | Kind::Method | Kind::Attribute => "use",
        Kind::Idiom => "idiom",
        Kind::Difference => "difference",
        Kind::Pitfall => "pitfall",
    };
    let last = finding.name.rsplit('.').next().unwrap();
    (finding.position.line, kind, last.to_owned())
}

#[test]
fn each_use_that_a_careful_reader_finds_is_found() {
    // Of a program, as a user would give it to the tool: all its files.
    for program in ["smtpd", "supervisor"] {
        let Some(folder) = other(program) else {
            continue;
        };
        let loaded = load::load(&[folder], &Limits::default(), Copies::default());
        let found = find::find(&loaded);
        let (mut count, mut alarms) = (0, Vec::new());
        for (name, _, file, text) in LISTS.iter().filter(|list| list.1 == program) {
            let mut modules = loaded.program.modules.iter();
            let module = modules.find(|module| module.path.ends_with(file)).unwrap();
            let findings = found
                .findings
                .iter()
                .filter(|finding| finding.module == module.id);
            let items: Vec<_> = findings.map(item).collect();
            let (wanted, allowed) = list(text);
            let all: BTreeSet<_> = items.iter().cloned().collect();
            let missing: Vec<_> = wanted.difference(&all).collect();
            assert!(missing.is_empty(), "{name}: not found: {missing:?}");
            count += items.len();
            let false_ones = items.into_iter().filter(|item| !allowed.contains(item));
            alarms.extend(false_ones.map(|item| (*name, item)));
        }
        println!(
            "{program}: {} of {count} are false: {alarms:?}",
            alarms.len()
        );
        assert!(
            alarms.len() * FALSE_ALARMS <= count,
            "{program}: of {count}: {alarms:?}"
        );
    }
}
