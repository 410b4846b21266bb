//! `-o`: a file under its name is complete, and an older one stays until then.

#[cfg(unix)]
use std::os::unix::fs::{PermissionsExt, symlink};
use std::{fs, path::Path, process::Stdio};

use tempfile::TempDir;

use crate::{
    CLOSED, assert_fails, fetch,
    scripted::{Answer, End, serve},
};
use suites::{
    errors::no_such_folder,
    program::{self, Program},
};
use util::peer::tells_resets;

#[test]
fn a_body_is_saved_to_a_file_once_there_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("body");
    let path = path.to_str().unwrap();
    std::fs::write(path, "older and longer").unwrap();
    assert_eq!(fetch(&["-o", path, CLOSED]).code, Some(1));
    assert_eq!(std::fs::read_to_string(path).unwrap(), "older and longer");

    let server = serve(|target| match target {
        "/" => Answer::new("HTTP/1.1 301 Moved\nLocation: /end\n\nnot this"),
        _ => Answer::new("HTTP/1.1 200 OK\nContent-Length: 4\n\nthis"),
    });
    let ended = fetch(&["-o", path, &server.url("/")]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    assert!(ended.out().ends_with("4 bytes in body\n"));
    assert_eq!(std::fs::read_to_string(path).unwrap(), "this");

    let url = server.url("/");
    let nowhere = folder.path().join("missing/body");
    let nowhere = nowhere.to_str().unwrap();
    assert_fails(
        &fetch(&["-o", nowhere, &url]),
        &url,
        &format!("{nowhere}: {}", no_such_folder()),
    );
    if cfg!(unix) {
        let ended = fetch(&["-o", "/dev/full", &url]);
        assert_fails(&ended, &url, "/dev/full: No space left");
    }
}

/// An older file in a folder of its own.
struct Older {
    folder: TempDir,
    path: String,
}

impl Older {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("body").to_str().unwrap().to_owned();
        fs::write(&path, "older and longer").unwrap();
        Self { folder, path }
    }

    /// The older file is as it was, and alone.
    #[track_caller]
    fn is_untouched(&self) {
        assert_eq!(self.files(), ["body"]);
        assert_eq!(fs::read_to_string(&self.path).unwrap(), "older and longer");
    }

    fn files(&self) -> Vec<String> {
        files(self.folder.path())
    }
}

fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_body_that_is_not_complete_leaves_the_older_file_alone() {
    let older = Older::new();
    for (text, end, why) in [
        (
            "HTTP/1.1 200 OK\nContent-Length: 5\n\nhell",
            End::Close,
            "connection closed after 4 of 5 bytes",
        ),
        ("HTTP/1.1 200 OK\n\nhell", End::Reset, "connection reset"),
        (
            "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n1\nx\n0\nno colon\n\n",
            End::Hold,
            "malformed trailer",
        ),
        (
            "HTTP/1.1 200 OK\nContent-Length: 5\n\nhell",
            End::Hold,
            "timed out after 4 of 5 bytes",
        ),
        (
            "HTTP/1.1 200 OK\n\nhello world",
            End::Hold,
            "larger than 10 bytes",
        ),
    ] {
        // Nothing else ends this body, and so it is whole.
        if matches!(end, End::Reset) && !tells_resets() {
            continue;
        }
        let server = serve(move |_| Answer::new(text).end(end));
        let url = server.url("/");
        let bounds = ["--timeout", "1", "--max-size", "10"];
        let args = [&bounds[..], &["-o", &older.path, &url]].concat();
        assert_fails(&fetch(&args), &url, why);
        older.is_untouched();
    }
}

#[test]
fn an_interrupted_download_leaves_the_older_file_alone() {
    let older = Older::new();
    let server =
        serve(|_| Answer::new("HTTP/1.1 200 OK\nContent-Length: 5\n\nhell").end(End::Hold));
    let url = server.url("/");
    // Neither is a timer that has not run out a reason to stay.
    let args = ["--max-time", "3600", "-o", &older.path, &url];
    let client = Program::start(program::example("http_client").args(args));
    assert_eq!(client.line(), "status => HTTP/1.1 200 OK");
    client.signal("TERM");
    assert_fails(&client.ended(), &url, "interrupted");
    older.is_untouched();
}

#[test]
fn a_body_under_way_is_beside_the_file_and_one_that_is_killed_is_not_in_it() {
    let older = Older::new();
    let server =
        serve(|_| Answer::new("HTTP/1.1 200 OK\nContent-Length: 5\n\nhell").end(End::Hold));
    let client = program::example("http_client")
        .args(["-o", &older.path, &server.url("/")])
        .stdout(Stdio::null())
        .spawn()
        .map(KilledAtTheEnd)
        .unwrap();
    let begun = program::eventually(|| {
        let files = older.files();
        let part = files.iter().find(|name| name.ends_with(".part"))?;
        let part = older.folder.path().join(part);
        (fs::read(&part).ok()? == b"hell").then_some(part)
    });
    assert_eq!(fs::read_to_string(&older.path).unwrap(), "older and longer");
    drop(client);
    assert_eq!(fs::read_to_string(&older.path).unwrap(), "older and longer");
    fs::remove_file(begun).unwrap();
    older.is_untouched();
}

struct KilledAtTheEnd(std::process::Child);

impl Drop for KilledAtTheEnd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

// Windows has no modes, and a link needs a privilege there.
#[cfg(unix)]
#[test]
fn a_file_that_is_replaced_keeps_its_permissions_and_the_links_to_it() {
    let older = Older::new();
    let folder = older.folder.path();
    let server = serve(|_| Answer::new("HTTP/1.1 200 OK\nContent-Length: 4\n\nthis"));
    let url = server.url("/");
    fs::set_permissions(&older.path, PermissionsExt::from_mode(0o640)).unwrap();
    fs::create_dir(folder.join("sub")).unwrap();
    symlink("../body", folder.join("sub/link")).unwrap();
    symlink("sub/link", folder.join("link")).unwrap();
    symlink("new", folder.join("dangling")).unwrap();
    for name in ["link", "dangling"] {
        let path = folder.join(name);
        let ended = fetch(&["-o", path.to_str().unwrap(), &url]);
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
        assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&path).unwrap(), "this");
    }
    let mode = |name: &str| {
        fs::metadata(folder.join(name))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode("body"), 0o640);
    // Like a file that any program makes.
    fs::write(folder.join("other"), "").unwrap();
    assert_eq!(mode("new"), mode("other"));
    let names = ["body", "dangling", "link", "new", "other", "sub"];
    assert_eq!(older.files(), names);
    assert_eq!(files(&folder.join("sub")), ["link"]);
}

#[test]
fn what_cannot_be_replaced_is_an_error_before_the_body() {
    let older = Older::new();
    let server = serve(|_| Answer::new("HTTP/1.1 200 OK\nContent-Length: 4\n\nthis"));
    let url = server.url("/");
    let folder = older.folder.path().to_str().unwrap();
    let ended = fetch(&["-o", folder, &url]);
    // On Windows a folder is opened with a right of its own.
    let why = if cfg!(windows) { "" } else { "Is a directory" };
    assert_fails(&ended, &url, &format!("{folder}: {why}"));
    let mut permissions = fs::metadata(&older.path).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&older.path, permissions).unwrap();
    let ended = fetch(&["-o", &older.path, &url]);
    assert_fails(&ended, &url, &format!("{}: permission denied", older.path));
    older.is_untouched();
}
