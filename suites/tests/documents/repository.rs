//! The files of the repository, as far as git would see them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{markdown::Page, root};

/// Paths below the root of all files that are tracked or might be, with one of these endings; `None`, with a line that
/// says so, where this is not the repository.
pub fn files(endings: &[&str]) -> Option<Vec<String>> {
    if !root().join(".ci/run").exists() {
        suites::skip(format_args!("this is not the whole repository"));
        return None;
    }
    let mut files = listed().unwrap_or_else(|| {
        let mut found = Vec::new();
        walk(root(), &mut found);
        found
    });
    files.retain(|file| endings.iter().any(|ending| file.ends_with(ending)));
    files.retain(|file| root().join(file).is_file());
    files.sort();
    Some(files)
}

/// Every page in Markdown.
pub fn pages() -> Option<Vec<Page>> {
    let files = files(&[".md"])?;
    assert!(files.len() > 5, "only {files:?}");
    Some(files.iter().map(|file| Page::read(file)).collect())
}

pub fn text(file: &str) -> String {
    let path = root().join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn listed() -> Option<Vec<String>> {
    let mut git = Command::new("git");
    git.args(["ls-files", "-z", "-co", "--exclude-standard"])
        .current_dir(root());
    let output = git.output().ok().filter(|output| output.status.success())?;
    let names = String::from_utf8(output.stdout).unwrap();
    Some(names.split_terminator('\0').map(str::to_owned).collect())
}

fn walk(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy();
        if path.is_dir() && name != "target" && name != ".git" {
            walk(&path, found);
        } else if path.is_file() {
            let below = path.strip_prefix(root()).unwrap();
            found.push(below.to_str().unwrap().to_owned());
        }
    }
}
