//! Paths of requests against a fixed tree: what is found is what a model of the tree says, and it never lies outside the
//! root. On Windows the tree has no links, which need a privilege there, and case makes no difference.

#[cfg(unix)]
use std::os::unix::fs::symlink;
use std::{
    fs,
    path::{Path, PathBuf},
};

use shared::http::paths::{Found, Refused, Root, Target};
use tempfile::TempDir;

/// An even first byte: the rest is a path as it stands. An odd one: each further byte is a piece of a path.
pub fn fuzz(data: &[u8]) {
    let Some((&kind, rest)) = data.split_first() else {
        return;
    };
    let path = if kind % 2 == 0 {
        let Ok(path) = std::str::from_utf8(rest) else {
            return;
        };
        path.to_owned()
    } else {
        rest.iter()
            .map(|&byte| PIECES[usize::from(byte) % PIECES.len()])
            .collect()
    };
    TREE.with(|tree| {
        for hidden in [false, true] {
            check(tree, &path, hidden);
            check(tree, &format!("/{path}"), hidden);
        }
    });
}

const PIECES: &[&str] = &[
    "/",
    "/",
    "/",
    ".",
    "..",
    "%2e",
    "%2E%2e",
    "%2f",
    "%2F",
    "%00",
    "%5c",
    "\\",
    "//",
    "/./",
    "/../",
    "~",
    "file",
    "sub",
    "sub/",
    "inner",
    "deep",
    ".hidden",
    ".dir",
    "secret",
    "out",
    "abroad",
    "up",
    "in",
    "into",
    "loop",
    "dangling",
    "hop",
    "to_hidden",
    "to_dot",
    "absolute",
    "outside",
    "root",
    "rootling",
    "%c0%ae",
    "%c0%af",
    "..%2f",
    "..%5c",
    "...",
    "a b",
    "%",
    "%2",
    "%zz",
    "\u{fc}",
    "%C3%BC",
    "%ff",
    "index.html",
    ";x",
    "f%69le",
    "fi",
    "le",
    "..;",
    "C:",
    "nul",
    "NUL.txt",
    "%20",
    "::$DATA",
    ":x",
    "HIDD~1",
    "FILE",
    "?",
    "#",
    "%25%32%65",
    "root_link",
    "deep/inner",
    ".well-known",
    "known",
];

thread_local! {
    static TREE: Tree = Tree::new();
}

/// The directory above the root, with what must not be reached. Of each thread, so that it goes with the thread.
struct Tree {
    top: PathBuf,
    /// Without hidden names, and with them.
    roots: [Root; 2],
    _directory: TempDir,
}

impl Tree {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let top = directory.path().canonicalize().expect("a path");
        build(&top).expect("a tree");
        let root = |hidden| Root::new(&top.join("root"), hidden).expect("a root");
        Self {
            roots: [root(false), root(true)],
            top,
            _directory: directory,
        }
    }
}

fn build(top: &Path) -> std::io::Result<()> {
    for directory in [
        "root/sub/deep",
        "root/.dir",
        "root/.well-known/.dir",
        "rootling",
    ] {
        fs::create_dir_all(top.join(directory))?;
    }
    for file in FILES.iter().copied().chain(UNIX_FILES) {
        fs::write(top.join(file), file)?;
    }
    #[cfg(unix)]
    for (link, target) in LINKS {
        let target = target.replace("TOP", &top.display().to_string());
        symlink(target, top.join("root").join(link))?;
    }
    Ok(())
}

const FILES: &[&str] = &[
    "outside",
    "rootling/file",
    "root/file",
    "root/.hidden",
    "root/sub/inner",
    "root/sub/deep/inner",
    "root/.dir/secret",
    "root/a b",
    "root/\u{fc}",
    "root/sub/index.html",
    "root/.well-known/file",
    "root/.well-known/.dir/secret",
];

/// Names that Windows has not.
#[cfg(unix)]
const UNIX_FILES: [&str; 2] = ["root/...", "root/\\"];
#[cfg(not(unix))]
const UNIX_FILES: [&str; 0] = [];

/// Name below the root, and where it leads; `TOP` is the directory above.
#[cfg(not(unix))]
const LINKS: &[(&str, &str)] = &[];
#[cfg(unix)]
const LINKS: &[(&str, &str)] = &[
    ("out", "../outside"),
    ("abroad", "../rootling"),
    ("up", ".."),
    ("in", "sub/inner"),
    ("into", "sub"),
    ("sub/out", "../../outside"),
    ("sub/up", ".."),
    ("sub/deep/hop", "../../into"),
    ("loop", "loop"),
    ("dangling", "nothing"),
    ("hop", "in"),
    ("to_hidden", ".hidden"),
    ("to_dot", ".dir/secret"),
    ("absolute", "TOP/root/file"),
    ("root_link", "."),
    ("known", ".well-known"),
];

/// What the model says: the path below the directory above the root, without links.
#[derive(Debug, PartialEq)]
enum Expected {
    File(String),
    Directory(String),
    Nothing,
}

fn check(tree: &Tree, path: &str, hidden: bool) {
    let root = &tree.roots[usize::from(hidden)];
    let found = Target::parse(path).and_then(|target| root.find(&target));
    assert!(
        !matches!(found, Err(Refused::Failed | Refused::Overloaded)),
        "{path:?}: {found:?}"
    );
    let below = |place: &Path| {
        let real = place.canonicalize().expect("what was found");
        assert!(
            real.starts_with(tree.top.join("root")),
            "{path:?} leads to {real:?}"
        );
        let name = real.strip_prefix(&tree.top).expect("below the root");
        if cfg!(windows) {
            let name = name.to_str().expect("a name that this made");
            return name.replace('\\', "/");
        }
        assert_eq!(real, place, "{path:?}: not the real path");
        name.to_str().expect("a name that this made").to_owned()
    };
    let shown = match &found {
        Ok(Found::File(place, metadata)) => {
            let name = below(place);
            // Each file holds its own name.
            assert_eq!(fs::read_to_string(place).expect("a file"), name);
            assert_eq!(metadata.len(), name.len() as u64);
            Expected::File(name)
        }
        Ok(Found::Directory(place)) => Expected::Directory(below(place)),
        Err(_) => Expected::Nothing,
    };
    assert_eq!(shown, expected(path, hidden), "{path:?}, hidden: {hidden}");
}

/// Walks the tree by name only; knows nothing of file systems.
fn expected(path: &str, hidden: bool) -> Expected {
    let Some(relative) = path.strip_prefix('/') else {
        return Expected::Nothing;
    };
    let mut names = Vec::new();
    let mut slash = false;
    for escaped in relative.split('/') {
        let Some(name) = unescape(escaped) else {
            return Expected::Nothing;
        };
        slash = name.is_empty() || name == "." || name == "..";
        if name == ".." && names.pop().is_none() {
            return Expected::Nothing;
        }
        if !slash {
            names.push(name);
        }
    }
    let mut place = vec!["root".to_owned()];
    let visible = |depth: usize, name: &str| {
        hidden || !name.starts_with('.') || (depth == 0 && name == ".well-known")
    };
    for (depth, name) in names.into_iter().enumerate() {
        if name.contains(['/', '\0']) || !visible(depth, &name) {
            return Expected::Nothing;
        }
        place.push(if cfg!(windows) {
            name.to_lowercase()
        } else {
            name
        });
        let Some(real) = real(&place, 0) else {
            return Expected::Nothing;
        };
        place = real;
        let mut below = place.iter().skip(1).enumerate();
        if place.first().is_none_or(|top| top != "root")
            || !below.all(|(depth, name)| visible(depth, name))
        {
            return Expected::Nothing;
        }
    }
    match kind(&place.join("/")) {
        Some(Kind::Directory) => Expected::Directory(place.join("/")),
        Some(Kind::File) if !slash => Expected::File(place.join("/")),
        _ => Expected::Nothing,
    }
}

enum Kind {
    Directory,
    File,
}

fn kind(place: &str) -> Option<Kind> {
    match place {
        ""
        | "root"
        | "rootling"
        | "root/sub"
        | "root/sub/deep"
        | "root/.dir"
        | "root/.well-known"
        | "root/.well-known/.dir" => Some(Kind::Directory),
        file if FILES.contains(&file) || UNIX_FILES.contains(&file) => Some(Kind::File),
        _ => None,
    }
}

/// Follows the links in a path from the directory above the root. Leaving that gives nothing.
fn real(path: &[String], depth: usize) -> Option<Vec<String>> {
    if depth > 20 {
        return None;
    }
    let mut place: Vec<String> = Vec::new();
    for name in path {
        match name.as_str() {
            "." => {}
            ".." => drop(place.pop()?),
            _ => {
                place.push(name.clone());
                let joined = place.join("/");
                let link = joined
                    .strip_prefix("root/")
                    .and_then(|below| LINKS.iter().find(|(link, _)| *link == below));
                if let Some((_, target)) = link {
                    let absolute = target.strip_prefix("TOP/");
                    place.pop();
                    if absolute.is_some() {
                        place.clear();
                    }
                    place.extend(absolute.unwrap_or(target).split('/').map(str::to_owned));
                    place = real(&place, depth + 1)?;
                }
                kind(&place.join("/"))?;
            }
        }
    }
    Some(place)
}

/// `None` if an escape is malformed. Names of the tree are UTF-8, so a name with a replacement character is none of them.
fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte == b'%' {
            let digit = |at: usize| char::from(*rest.get(at)?).to_digit(16);
            bytes.push(u8::try_from(digit(0)? * 16 + digit(1)?).ok()?);
            rest = &rest[2..];
        } else {
            bytes.push(byte);
        }
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
