//! Servers that are not the test's own.

use std::process::Command;

use crate::{body_of, fetch};
use suites::program::{self, Program};

#[test]
fn pythons_server_is_understood() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    let body = "x".repeat(3_000_000);
    std::fs::write(folder.path().join("sub/index.html"), &body).unwrap();
    let mut python = Command::new("python3");
    python
        .args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1"])
        .current_dir(&folder);
    if Command::new("python3").arg("--version").output().is_err() {
        suites::missing("python3");
        return;
    }
    let python = Program::start(&mut python);
    let line = python.line();
    let port = line
        .split(' ')
        .nth(5)
        .unwrap_or_else(|| panic!("{line}"))
        .to_owned();
    // A folder without its slash: the server redirects. A name with several addresses: it serves one of them.
    let url = format!("http://localhost:{port}/sub");
    let ended = fetch(&["-o", "-", &url]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.err.starts_with("redirecting to "), "{}", ended.err);
    assert!(ended.out() == body);
    let ended = fetch(&["-I", &format!("http://127.0.0.1:{port}/missing")]);
    assert!(
        ended.out().starts_with("status => HTTP/1.0 404 "),
        "{}",
        ended.out()
    );
}

#[test]
fn the_http_server_of_these_examples_is_understood() {
    let folder = tempfile::tempdir().unwrap();
    let body = "y".repeat(3_000_000);
    std::fs::write(folder.path().join("big.txt"), &body).unwrap();
    let root = folder.path().to_str().unwrap();
    let (server, address) = program::serve("http_server", &["--port", "0", "--root", root]);
    assert!(body_of(&format!("http://{address}/big.txt")) == body);
    let ended = fetch(&["-I", &format!("http://{address}/missing")]);
    assert!(ended.out().contains(" 404 "), "{}", ended.out());
    program::ends_well_when_terminated(server);
}
