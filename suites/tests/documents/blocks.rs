//! Blocks of code: rustdoc compiles every Rust one, and the echo server is the example.

use crate::{
    markdown::{Kind, Page},
    nothing_wrong, repository,
};

/// Pages whose blocks tagged `rs`, which rustdoc passes over, are compiled by other means.
const COMPILED_ELSEWHERE: [(&str, &str); 1] = [(
    "docs/porting.md",
    "suites/tests/porting.rs finds each block in examples/porting",
)];
/// Tags that are no Rust; rustdoc takes a block without any for Rust.
const OTHERS: [&str; 7] = ["text", "sh", "python", "toml", "ini", "console", "c"];

#[test]
fn every_rust_block_is_compiled() {
    let Some(pages) = repository::pages() else {
        return;
    };
    // By the folder of each library.
    let libraries = ["", "asynchat-rustls/"]
        .map(|folder| (folder, repository::text(&format!("{folder}src/lib.rs"))));
    let mut wrong = Vec::new();
    let mut compiled = 0;
    for page in &pages {
        let name = &page.name;
        let included = libraries.iter().any(|(folder, lib)| {
            name.strip_prefix(folder)
                .is_some_and(|name| lib.contains(&format!("#[doc = include_str!(\"../{name}\")]")))
        });
        for part in &page.parts {
            let at = format!("{name}:{}", part.line);
            if part.kind == Kind::Indented && included && !is_shell(&part.lines) {
                wrong.push(format!("{at}: rustdoc takes an indented block for Rust"));
            }
            let Kind::Fenced(info) = &part.kind else {
                continue;
            };
            let tags: Vec<&str> = info.split([',', ' ']).collect();
            if tags.contains(&"ignore") {
                wrong.push(format!("{at}: is ignored"));
            }
            match tags[0] {
                "rust" if included => compiled += 1,
                "rust" => wrong.push(format!("{at}: Rust, and no src/lib.rs includes the page")),
                "rs" if COMPILED_ELSEWHERE.iter().any(|(page, _)| page == name) => compiled += 1,
                other if OTHERS.contains(&other) => {}
                other => wrong.push(format!("{at}: nobody compiles a block tagged {other:?}")),
            }
        }
    }
    eprintln!("{compiled} blocks of Rust in {} pages", pages.len());
    assert!(compiled > 40, "only {compiled} blocks found");
    nothing_wrong(wrong);
}

#[test]
fn no_example_in_the_documentation_of_the_source_is_ignored() {
    let Some(files) = repository::files(&[".rs"]) else {
        return;
    };
    let mut wrong = Vec::new();
    for file in files.iter().filter(|file| file.starts_with("src/")) {
        for (number, line) in (1..).zip(repository::text(file).lines()) {
            if line.contains("```") && line.contains("ignore") {
                wrong.push(format!("{file}:{number}: is ignored"));
            }
        }
    }
    nothing_wrong(wrong);
}

#[test]
fn the_echo_server_of_the_readme_is_the_example() {
    if repository::pages().is_none() {
        return;
    }
    let readme = Page::read("README.md");
    let block = readme.parts.iter().find(|part| match &part.kind {
        Kind::Fenced(info) => info.starts_with("rust"),
        _ => false,
    });
    let example = repository::text("examples/echo.rs");
    let code: Vec<_> = example
        .lines()
        .skip_while(|line| line.starts_with("//!") || line.is_empty())
        .collect();
    assert_eq!(block.expect("no block of Rust").lines, code);
}

fn is_shell(lines: &[String]) -> bool {
    lines.iter().any(|line| line.trim_start().starts_with("$ "))
}
