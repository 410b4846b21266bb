//! The program `http_client` against a server that gives every kind of answer, right, wrong and cut short, whole and
//! byte by byte; against other servers; and its request object with consumers of the test's own.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    missing_debug_implementations,
    unreachable_pub,
    reason = "the helpers of a test are part of it"
)]

use std::{
    process::{Command, Stdio},
    sync::{Arc, Barrier},
};

use scripted::{Answer, End, serve};
use suites::program::{self, Ended, Program, run};

mod answers;
mod consumers;
mod peers;
mod redirects;
mod scripted;

/// A port that nobody serves.
const CLOSED: &str = "http://127.0.0.1:1/";

#[track_caller]
fn fetch(args: &[&str]) -> Ended {
    run("http_client", args)
}

/// Checks that the program failed with one line, about that URL.
#[track_caller]
fn assert_fails(ended: &Ended, url: &str, why: &str) {
    assert_eq!(ended.code, Some(1), "{url}: {} {}", ended.out(), ended.err);
    assert_eq!(ended.err.lines().count(), 1, "{url}: {}", ended.err);
    let begin = format!("http_client: {url}: ");
    let rest = ended.err.strip_prefix(&begin);
    let rest = rest.unwrap_or_else(|| panic!("{} is not about {url}", ended.err));
    assert!(rest.contains(why), "{url}: {rest} is not {why}");
}

/// The answer's body as the client saves it.
#[track_caller]
fn body_of(url: &str) -> String {
    let ended = fetch(&["-o", "-", url]);
    assert_eq!(ended.code, Some(0), "{url}: {}", ended.err);
    let report = format!("\n{} bytes in body\n", ended.out.len());
    assert!(ended.err.ends_with(&report), "{url}: {}", ended.err);
    ended.out()
}

#[test]
fn status_header_and_size_of_the_body_are_shown() {
    let server = serve(|_| {
        Answer::new("HTTP/1.1 404 Not Found\nServer: test\nX-Empty:\nContent-Length: 5\n\nhello")
    });
    let ended = fetch(&[&server.url("/a?b#c")]);
    assert_eq!(
        ended.out(),
        "status => HTTP/1.1 404 Not Found\nServer = test\nX-Empty = \nContent-Length = 5\n5 bytes in body\n"
    );
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    let request = server.requests.recv().unwrap();
    assert!(request.starts_with("GET /a?b HTTP/1.1\r\n"), "{request}");
    let host = format!("\r\nHost: {}\r\n", server.address);
    for field in [
        &host,
        "\r\nAccept-Encoding: identity\r\n",
        "\r\nConnection: close\r\n",
    ] {
        assert_eq!(request.matches(field).count(), 1, "{field:?} in {request}");
    }
}

#[test]
fn only_the_header_is_asked_for_with_a_capital_i() {
    let server = serve(|_| Answer::new("HTTP/1.1 200 OK\nContent-Length: 5\n\n").end(End::Hold));
    let ended = fetch(&["-I", &server.url("/")]);
    assert_eq!(
        ended.out(),
        "status => HTTP/1.1 200 OK\nContent-Length = 5\n0 bytes in body\n"
    );
    assert_eq!(ended.code, Some(0));
    assert!(
        server
            .requests
            .recv()
            .unwrap()
            .starts_with("HEAD / HTTP/1.1\r\n")
    );
}

#[test]
fn a_connection_that_fails_is_told_with_the_reason() {
    assert_fails(
        &fetch(&[CLOSED]),
        CLOSED,
        "connection failed: Connection refused",
    );
    let unknown = "http://no-such-host.invalid/";
    assert_fails(&fetch(&[unknown]), unknown, "connection failed: ");
}

#[test]
fn a_connection_without_a_descriptor_is_told_with_the_reason() {
    let server = serve(|_| Answer::new("HTTP/1.1 200 OK\nContent-Length: 5\n\nhello"));
    let urls: Vec<_> = (0..20).map(|n| server.url(&format!("/{n}"))).collect();
    // The program needs some for itself; that it gets so far, and how many are left, is not the point.
    let mut client = Command::new("sh");
    client
        .args(["-c", "ulimit -n 16 && exec \"$0\" \"$@\""])
        .arg(program::path("http_client"))
        .args(&urls)
        .env_remove("RUST_LOG");
    let ended = Program::start(&mut client).ended();
    assert_eq!(ended.code, Some(1), "{} {}", ended.out(), ended.err);
    let mut failed = 0;
    for url in &urls {
        let done = format!("{url}: 5 bytes in body\n");
        let why = format!("http_client: {url}: connection failed: Too many open files");
        let told = ended.err.lines().filter(|line| line.starts_with(&why));
        let told = told.count();
        assert_eq!(
            told + ended.out().matches(&done).count(),
            1,
            "{url}: {}",
            ended.err
        );
        failed += told;
    }
    assert!(failed > 0, "there were enough descriptors");
    assert_eq!(ended.err.lines().count(), failed, "{}", ended.err);
}

#[test]
fn only_http_urls_are_supported() {
    for (url, why) in [
        ("https://127.0.0.1/", "only supports http, not https"),
        ("127.0.0.1/", "only supports http"),
        ("localhost:8000", "no scheme: only supports http"),
        ("http://me:secret@127.0.0.1/", "not supported"),
        ("http://127.0.0.1:99999/", "invalid port number"),
    ] {
        assert_fails(&fetch(&[url]), url, why);
    }
}

#[test]
fn several_urls_are_fetched_at_once_and_labelled() {
    let all_here = Arc::new(Barrier::new(3));
    let server = serve(move |target| {
        // Nobody is answered before everybody has asked.
        all_here.wait();
        Answer::new(&format!("HTTP/1.1 200 OK\n\n{target}"))
    });
    let urls = ["/1", "/22", "/333"].map(|target| server.url(target));
    let ended = fetch(&[&urls[0], CLOSED, &urls[1], "https://x/", &urls[2]]);
    for (url, size) in urls.iter().zip(2..) {
        let own: Vec<_> = ended
            .out()
            .lines()
            .filter(|line| line.starts_with(&format!("{url}: ")))
            .map(str::to_owned)
            .collect();
        let expected = [
            format!("{url}: status => HTTP/1.1 200 OK"),
            format!("{url}: {size} bytes in body"),
        ];
        assert_eq!(own, expected);
    }
    assert_eq!((ended.out().lines().count(), ended.code), (6, Some(1)));
    let refused = format!("http_client: {CLOSED}: connection failed: Connection refused");
    assert!(ended.err.contains(&refused), "{}", ended.err);
    assert!(
        ended
            .err
            .contains("http_client: https://x/: only supports http"),
        "{}",
        ended.err
    );
    assert_eq!(ended.err.lines().count(), 2);
}

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
        &format!("{nowhere}: No such file"),
    );
    let ended = fetch(&["-o", "/dev/full", &url]);
    assert_fails(&ended, &url, "/dev/full: No space left");
}

#[test]
fn a_reader_that_goes_away_is_not_taken_for_the_server() {
    let server = serve(|_| Answer::new(&format!("HTTP/1.1 200 OK\n\n{}", "x".repeat(1_000_000))));
    let url = server.url("/");
    let mut client = program::example("http_client")
        .args(["-o", "-", &url])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(client.stdout.take());
    let output = client.wait_with_output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(err.contains("standard output: Broken pipe"), "{err}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
#[cfg(target_os = "linux")]
fn a_body_that_does_not_fit_is_an_error_even_if_it_was_only_buffered() {
    let server = serve(|_| Answer::new("HTTP/1.1 200 OK\n\nno line end"));
    let url = server.url("/");
    let output = program::example("http_client")
        .args(["-o", "-", &url])
        .stdout(std::fs::File::create("/dev/full").unwrap())
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(err.contains("standard output: No space left"), "{err}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_header_cannot_write_control_sequences_to_the_terminal() {
    let server = serve(|_| Answer::new("HTTP/1.1 200 \u{9b}31m\nX: a\u{9b}2Jb\n\n"));
    let ended = fetch(&[&server.url("/")]);
    assert!(
        ended.out().contains("\nX = a\u{fffd}2Jb\n"),
        "{}",
        ended.out()
    );
    assert!(!ended.out().contains('\u{9b}'));
}

#[test]
fn an_interrupted_download_is_not_a_success() {
    let server =
        serve(|_| Answer::new("HTTP/1.1 200 OK\nContent-Length: 5\n\nhell").end(End::Hold));
    let url = server.url("/");
    let client = Program::start(program::example("http_client").arg(&url));
    assert_eq!(client.line(), "status => HTTP/1.1 200 OK");
    client.signal("INT");
    assert_fails(&client.ended(), &url, "interrupted");
}

#[test]
fn a_terminal_gets_a_progress_bar_and_a_file_does_not() {
    let body = "x".repeat(3_000_000);
    let head = format!("HTTP/1.1 200 OK\nContent-Length: {}\n\n", body.len());
    let server = serve(move |_| Answer::new(&format!("{head}{body}")));
    let script = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)";
    let url = server.url("/");
    let Ok(output) = Command::new("python3")
        .args(["-c", script])
        .arg(program::path("http_client"))
        .args(["-o", "/dev/null", &url])
        .stdin(Stdio::null())
        .output()
    else {
        suites::skip(format_args!("no python3 to open a terminal with"));
        return;
    };
    let shown = String::from_utf8_lossy(&output.stdout);
    let bar = format!("[{}] 100 %    2.86 MiB ", "#".repeat(40));
    let (_, behind) = shown
        .split_once(&bar)
        .unwrap_or_else(|| panic!("{shown:?}"));
    assert!(behind.contains("\r\n3000000 bytes in body"), "{shown:?}");
    assert_eq!(fetch(&["-o", "/dev/null", &url]).err, "");
}
