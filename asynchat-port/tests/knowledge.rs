//! The knowledge of the tool is that of the porting guide. If the page has changed, `WRITE_KNOWLEDGE=1 cargo test -p
//! asynchat-port --test knowledge` takes the change over.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::{env, fmt::Write, fs, path::Path};

const HEAD: &str = "//! Written from docs/porting.md by tests/knowledge.rs: change the page, not this file.\n\n\
    use super::page::{Difference, Idiom, Pitfall, Row, Section};\n";

fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_tool_knows_what_the_page_says() {
    let page = fs::read_to_string(folder().join("../docs/porting.md")).unwrap();
    let expected = generated(&page);
    let file = folder().join("src/knowledge/porting.rs");
    if env::var_os("WRITE_KNOWLEDGE").is_some() {
        fs::write(&file, &expected).unwrap();
    }
    let known = fs::read_to_string(file).unwrap_or_default();
    let differing = expected
        .lines()
        .zip(known.lines().chain(std::iter::repeat("")))
        .find(|(page, tool)| page != tool);
    assert!(
        known == expected,
        "the page has changed: run this test with WRITE_KNOWLEDGE=1; {differing:?}"
    );
}

/// The parts of the page as Rust.
fn generated(page: &str) -> String {
    let mut out = HEAD.to_owned();
    let page: Vec<_> = page.lines().collect();
    let chapter = |title: &str| {
        let start = page
            .iter()
            .position(|line| *line == format!("## {title}"))
            .unwrap()
            + 1;
        let length = page[start..]
            .iter()
            .position(|line| line.starts_with("## "))
            .unwrap();
        &page[start..start + length]
    };
    out += "\n/// The tables of names.\npub const SECTIONS: &[Section] = &[\n";
    for (title, lines) in sections(chapter("Every name, and what to write instead")) {
        writeln!(
            out,
            "    Section {{\n        title: {title:?},\n        anchor: {:?},\n        rows: &[",
            anchor(title)
        )
        .unwrap();
        for cells in table(lines) {
            writeln!(
                out,
                "            Row {{ python: {:?}, rust: {:?} }},",
                cells[0], cells[1]
            )
            .unwrap();
        }
        out += "        ],\n    },\n";
    }
    out +=
        "];\n\n/// The idioms, in the order of their numbers.\npub const IDIOMS: &[Idiom] = &[\n";
    for (title, lines) in sections(chapter("Idioms")) {
        for (number, python) in idioms(lines) {
            writeln!(
                out,
                "    Idiom {{ number: {number}, anchor: {:?}, python: {python:?} }},",
                anchor(title)
            )
            .unwrap();
        }
    }
    out += "];\n\n/// The table of differences.\npub const DIFFERENCES: &[Difference] = &[\n";
    for cells in table(chapter("What behaves differently")) {
        writeln!(
            out,
            "    Difference {{ python: {:?}, here: {:?}, symptom: {:?} }},",
            cells[0], cells[1], cells[2]
        )
        .unwrap();
    }
    out += "];\n\n/// The pitfalls.\npub const PITFALLS: &[Pitfall] = &[\n";
    for paragraph in paragraphs(chapter("Pitfalls")) {
        if let Some((title, text)) = paragraph
            .strip_prefix("**")
            .and_then(|rest| rest.split_once("**"))
        {
            writeln!(
                out,
                "    Pitfall {{ title: {:?}, text: {:?} }},",
                title.trim_end_matches('.'),
                text.trim()
            )
            .unwrap();
        }
    }
    out + "];\n"
}

fn sections<'a>(chapter: &'a [&'a str]) -> Vec<(&'a str, &'a [&'a str])> {
    let heads = chapter
        .iter()
        .enumerate()
        .filter_map(|(at, line)| Some((at, line.strip_prefix("### ")?)));
    let heads: Vec<_> = heads.collect();
    let ends = heads
        .iter()
        .skip(1)
        .map(|head| head.0)
        .chain([chapter.len()]);
    heads
        .iter()
        .zip(ends)
        .map(|(&(start, title), end)| (title, &chapter[start + 1..end]))
        .collect()
}

/// The cells of the rows, without head and rule. A pipe in code is written `\|`.
fn table(lines: &[&str]) -> Vec<Vec<String>> {
    let rows = lines.iter().filter(|line| line.starts_with('|')).skip(2);
    rows.map(|row| {
        let row = row.trim_matches('|').replace("\\|", "\u{0}");
        row.split('|')
            .map(|cell| without_links(cell.trim()).replace('\u{0}', "|"))
            .collect()
    })
    .collect()
}

fn paragraphs(lines: &[&str]) -> Vec<String> {
    let mut paragraphs = vec![String::new()];
    let mut in_block = false;
    for line in lines {
        if line.starts_with("```") {
            in_block = !in_block;
            paragraphs.push(String::new());
        } else if line.is_empty() || in_block {
            paragraphs.push(String::new());
        } else {
            let last = paragraphs.last_mut().unwrap();
            if !last.is_empty() {
                last.push(' ');
            }
            last.push_str(&without_links(line));
        }
    }
    paragraphs.retain(|paragraph| !paragraph.is_empty());
    paragraphs
}

/// Number and first sentence of each idiom.
fn idioms(lines: &[&str]) -> Vec<(u16, String)> {
    let mut found = Vec::new();
    for paragraph in paragraphs(lines) {
        for part in paragraph.split("**").collect::<Vec<_>>().windows(2) {
            if let Some(number) = part[0]
                .strip_suffix('.')
                .and_then(|number| number.parse().ok())
            {
                found.push((number, first_sentence(part[1].trim())));
            }
        }
    }
    found
}

/// To a point outside of code, or to a word that leads on to the next idiom.
fn first_sentence(text: &str) -> String {
    let mut in_code = false;
    let mut length = text.len();
    for (at, c) in text.char_indices() {
        in_code ^= c == '`';
        if !in_code && c == '.' && text[at + 1..].starts_with(' ') {
            length = at;
            break;
        }
    }
    let text = text[..length].trim_end_matches(['.', ',', ':']);
    text.strip_suffix(", and").unwrap_or(text).to_owned()
}

/// `[text](#anchor)` is its text.
fn without_links(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("](") {
        let Some((start, label)) = before.rsplit_once('[') else {
            break;
        };
        let Some((_, behind)) = after.split_once(')') else {
            break;
        };
        out += start;
        out += label;
        rest = behind;
    }
    out + rest
}

fn anchor(title: &str) -> String {
    let letters = title.to_lowercase();
    letters
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
        .collect::<String>()
        .replace(' ', "-")
}
