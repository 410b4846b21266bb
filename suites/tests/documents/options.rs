//! `examples/README.md` names programs, options and ports that are there.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    markdown::{Kind, Page},
    nothing_wrong, repository,
};
use suites::program::run;

/// Kept so small that they have no `--help`, as the page says.
pub const WITHOUT_HELP: [&str; 3] = ["echo", "tls_echo", "porting"];

/// Programs of the page's table with the default port, if they have one.
pub fn table() -> Vec<(String, Option<u16>)> {
    let prose = Page::read("examples/README.md").prose();
    let rows = prose.lines().filter_map(|line| line.strip_prefix("| [`"));
    let programs = rows.filter(|row| row.contains("](#")).map(|row| {
        let name = row.split('`').next().unwrap().to_owned();
        let port = row.split('|').nth(1).unwrap().trim().parse().ok();
        (name, port)
    });
    programs.collect()
}

/// The examples that the manifest names, with the file each begins with.
pub fn examples() -> BTreeMap<String, String> {
    let manifest = repository::text("Cargo.toml");
    let entries = manifest.split("[[example]]\n").skip(1);
    let value = |entry: &str, key: &str| {
        let mut lines = entry.lines();
        let line = lines.find_map(|line| line.strip_prefix(key)).unwrap();
        line.trim_matches([' ', '=', '"']).to_owned()
    };
    entries
        .map(|entry| (value(entry, "name"), value(entry, "path")))
        .collect()
}

#[test]
fn every_example_is_in_the_table_and_has_a_section() {
    if repository::pages().is_none() {
        return;
    }
    let listed: BTreeSet<_> = table().into_iter().map(|(name, _)| name).collect();
    assert_eq!(listed, examples().into_keys().collect());
    let anchors = Page::read("examples/README.md").anchors();
    let without = listed.iter().filter(|name| !anchors.contains(name));
    nothing_wrong(
        without
            .map(|name| format!("{name} has no section"))
            .collect(),
    );
}

#[test]
fn every_option_that_a_section_names_is_in_the_help_of_its_program() {
    if repository::pages().is_none() {
        return;
    }
    let page = Page::read("examples/README.md");
    let mut wrong = Vec::new();
    for (name, port) in table() {
        if WITHOUT_HELP.contains(&name.as_str()) {
            continue;
        }
        let help = help(&name);
        let told = options_told(&section(&page, &name));
        let had = options_of_help(&help);
        wrong.extend(
            told.difference(&had)
                .map(|option| format!("{name} has no {option}")),
        );
        if let Some(port) = port
            && !help.lines().any(|line| is_default(line, port))
        {
            wrong.push(format!("{name}: {port} is not the port by default"));
        }
    }
    nothing_wrong(wrong);
}

/// `[default: 80]` or `[default: 127.0.0.1:80]`.
fn is_default(line: &str, port: u16) -> bool {
    let told = line.split("[default: ").nth(1);
    told.and_then(|told| {
        told.split(|c: char| !c.is_ascii_digit() && !".:".contains(c))
            .next()
    })
    .and_then(|told| told.rsplit(':').next()?.parse().ok())
        == Some(port)
}

/// The prose below a program's heading.
fn section(page: &Page, name: &str) -> String {
    let prose = page.prose();
    let begin = format!("\n## {name}\n");
    let (_, rest) = prose
        .split_once(&begin)
        .unwrap_or_else(|| panic!("no section {name}"));
    rest.split("\n## ").next().unwrap().to_owned()
}

/// The spans that are an option, perhaps with its value.
fn options_told(section: &str) -> BTreeSet<String> {
    let spans = section.split('`').skip(1).step_by(2);
    let options = spans.filter(|span| span.starts_with('-') && *span != "-");
    options
        .map(|span| span.split_whitespace().next().unwrap().to_owned())
        .collect()
}

/// At the beginning of lines, in any section. Further in, it is the text of another option.
fn options_of_help(help: &str) -> BTreeSet<String> {
    let first = help.lines().filter(|line| {
        let text = line.trim_start();
        text.starts_with('-') && (1..8).contains(&(line.len() - text.len()))
    });
    let options = first.flat_map(|line| {
        let names = line
            .trim_start()
            .split(", ")
            .filter(|name| name.starts_with('-'));
        names.map(|name| name.split(' ').next().unwrap().to_owned())
    });
    let of_all = ["-h", "--help", "-V", "--version"];
    options
        .filter(|option| !of_all.contains(&option.as_str()))
        .collect()
}

/// The commands of a program that has some.
fn commands_of_help(help: &str) -> Vec<&str> {
    let lines = help.lines().skip_while(|line| *line != "Commands:");
    let lines = lines.skip(1).take_while(|line| !line.is_empty());
    lines
        .filter_map(|line| line.split_whitespace().next())
        .collect()
}

/// Whether the help of a program has the options of a command.
pub fn are_known(name: &str, words: &[String]) -> Result<(), String> {
    let known = options_of_help(&help(name));
    let args = words.iter().skip_while(|word| *word != "--").skip(1);
    let mut options = args.filter(|word| word.starts_with('-'));
    let unknown = options.find(|option| !known.contains(*option));
    unknown.map_or(Ok(()), |option| Err(format!("{name} has no {option}")))
}

/// The help of a program and of all its commands.
fn help(name: &str) -> String {
    let help = run(name, &["--help"]);
    assert_eq!(help.code, Some(0), "{name} --help: {}", help.err);
    let mut help = help.out();
    let of_commands: String = commands_of_help(&help)
        .iter()
        .map(|command| run(name, &[command, "--help"]).out())
        .collect();
    help += &of_commands;
    help
}

#[test]
fn options_are_read_off_a_section_and_a_help() {
    let page = Page::parse(
        "a.md",
        "x `--no`\n\n## a\n`--b\nC`, `-d` (`-`: e).\n\n## f\n",
    );
    assert!(page.parts.iter().all(|part| part.kind == Kind::Prose));
    let expected = BTreeSet::from(["--b", "-d"].map(str::to_owned));
    assert_eq!(options_told(&section(&page, "a")), expected);
    let help = "Usage: a --no\n\nOptions:\n      --b <C>  c\n               --no d\n  -h, --help  f\n\nMore:\n  \
                -d         e\n\n--no\n";
    assert_eq!(options_of_help(help), expected);
}
