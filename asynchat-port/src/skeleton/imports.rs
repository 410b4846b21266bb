//! The `use` lines that a text needs.

use std::collections::HashSet;

/// What the skeleton names of the library.
const LIBRARY: [&str; 19] = [
    "Address",
    "AsyncChat",
    "BoxError",
    "Channel",
    "ChannelId",
    "ChatChannel",
    "ChatDispatcher",
    "Closed",
    "ConnectOptions",
    "Dispatcher",
    "Exceptional",
    "Produced",
    "Producer",
    "Reactor",
    "Registry",
    "Result",
    "Socket",
    "Stream",
    "Terminator",
];
const WIDTH: usize = 100;

/// The lines for the code in `text`, whose margin will be `margin` columns.
pub(super) fn of(text: &str, margin: usize) -> String {
    let words = words(text);
    let has = |name: &&&str| words.contains(**name);
    let mut lines = String::new();
    let collections: Vec<&str> = ["HashMap", "HashSet"].iter().filter(has).copied().collect();
    lines.push_str(&group("std::collections", &collections, margin));
    if text.contains("io::Result") {
        lines.push_str("use std::io;\n");
    }
    if words.contains("UdpSocket") {
        lines.push_str("use std::net::UdpSocket;\n");
    }
    let library: Vec<&str> = LIBRARY.iter().filter(has).copied().collect();
    if !lines.is_empty() && !library.is_empty() {
        lines.push('\n');
    }
    lines.push_str(&group("asynchat", &library, margin));
    lines
}

/// The names that the code uses without a path.
fn words(text: &str) -> HashSet<&str> {
    let mut words = HashSet::new();
    for line in text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
    {
        let escaped = |at: usize| line[..at].ends_with('\\') && !line[..at].ends_with("\\\\");
        let quotes = line
            .match_indices('"')
            .map(|(at, _)| at)
            .filter(|&at| !escaped(at));
        let mut borders: Vec<_> = quotes.collect();
        borders.insert(0, 0);
        borders.push(line.len());
        for code in borders
            .chunks(2)
            .filter_map(|ends| line.get(ends[0]..*ends.get(1)?))
        {
            let mut rest = code;
            while let Some(start) = rest.find(is_letter) {
                let end = rest[start..]
                    .find(|letter| !is_letter(letter))
                    .map_or(rest.len(), |end| start + end);
                if !rest[..start].ends_with("::") {
                    words.insert(&rest[start..end]);
                }
                rest = &rest[end..];
            }
        }
    }
    words
}

fn is_letter(letter: char) -> bool {
    letter == '_' || letter.is_alphanumeric()
}

fn group(path: &str, names: &[&str], margin: usize) -> String {
    let line = match names {
        [] => return String::new(),
        [name] => format!("use {path}::{name};"),
        _ => format!("use {path}::{{{}}};", names.join(", ")),
    };
    if margin + line.len() < WIDTH {
        return format!("{line}\n");
    }
    let mut text = format!("use {path}::{{\n");
    let mut line = String::from("   ");
    for name in names {
        if margin + line.len() + name.len() + 2 > WIDTH {
            text.push_str(&line);
            text.push('\n');
            line = String::from("   ");
        }
        line.push(' ');
        line.push_str(name);
        line.push(',');
    }
    text.push_str(&line);
    text.push_str("\n};\n");
    text
}
