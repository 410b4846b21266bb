//! The skeleton that the porting guide shows is the one that is written.

use std::{fs, path::Path};

use crate::skeleton;

/// The first block with this tag behind a place in the text.
fn block<'a>(text: &'a str, tag: &str) -> &'a str {
    let (_, rest) = text.split_once(&format!("\n```{tag}\n")).unwrap();
    rest.split_once("```\n").unwrap().0
}

#[test]
fn the_guide_shows_the_skeleton_that_is_written() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/porting.md");
    let Ok(page) = fs::read_to_string(page) else {
        println!("-- skipped: the library is not beside this package");
        return;
    };
    let (_, example) = page.split_once("`asynchat-port --skeleton`").unwrap();
    let text = skeleton(&[("echo.py", block(example, "python"))]);
    let shown = block(example, "rust,no_run");
    assert!(text.ends_with(&format!("\n{shown}")), "written is:\n{text}");
}
