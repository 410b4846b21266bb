//! The program `http_client` against a server that gives every kind of answer, right, wrong and cut short, whole and
//! byte by byte; against other servers; and its request object with consumers of the test's own.
#![allow(
    clippy::unwrap_used,
    missing_debug_implementations,
    unreachable_pub,
    reason = "the helpers of a test are part of it"
)]

use std::{
    process::Stdio,
    sync::{Arc, Barrier},
};

use scripted::{Answer, End, serve};
use suites::{
    errors::{broken_pipe, no_such_folder, refused},
    others::on_a_terminal,
    program::{self, Ended, NULL, Program, run},
};

mod answers;
mod bounds;
mod consumers;
mod peers;
mod redirects;
mod resuming;
mod saving;
mod scripted;
#[cfg(target_os = "linux")]
mod servers;
mod spider;
mod tls;

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
        &format!("connection failed: {}", refused()),
    );
    let unknown = "http://no-such-host.invalid/";
    assert_fails(&fetch(&[unknown]), unknown, "connection failed: ");
}

#[test]
fn a_jar_that_cannot_be_written_hides_no_other_failure() {
    let ended = fetch(&["-c", "/no/such/folder/jar", CLOSED]);
    assert_eq!((ended.code, ended.err.lines().count()), (Some(1), 2));
    for why in [
        "connection failed",
        &format!("/no/such/folder/jar: {}", no_such_folder()),
    ] {
        assert!(ended.err.contains(why), "{}", ended.err);
    }
}

#[test]
fn a_jar_that_is_read_and_written_need_not_be_there_yet() {
    let folder = tempfile::tempdir().unwrap();
    let jar = folder.path().join("jar");
    let jar = jar.to_str().unwrap();
    let server = serve(|_| Answer::new("HTTP/1.1 200 OK\nSet-Cookie: a=b\nContent-Length: 0\n\n"));
    for sent in [false, true] {
        let ended = fetch(&["-b", jar, "-c", jar, &server.url("/")]);
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        let request = server.requests.recv().unwrap();
        assert_eq!(request.contains("\r\nCookie: a=b\r\n"), sent, "{request}");
    }
    let ended = fetch(&["-b", "/no/such/jar", "-c", jar, &server.url("/")]);
    assert_eq!(ended.code, Some(1));
}

// Windows has no limit of descriptors.
#[cfg(unix)]
#[test]
fn a_connection_without_a_descriptor_is_told_with_the_reason() {
    let server = serve(|_| Answer::new("HTTP/1.1 200 OK\nContent-Length: 5\n\nhello"));
    let urls: Vec<_> = (0..20).map(|n| server.url(&format!("/{n}"))).collect();
    // The program needs some for itself; that it gets so far, and how many are left, is not the point.
    let mut client = std::process::Command::new("sh");
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
        let why = format!("http_client: {url}: connection failed: ");
        let told = ended.err.lines().filter(|line| {
            // The words before the number are the C library's.
            line.starts_with(&why) && line.ends_with(" (os error 24)")
        });
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
fn only_http_and_https_urls_are_supported() {
    for (url, why) in [
        ("ftp://127.0.0.1/", "only supports http and https, not ftp"),
        ("127.0.0.1/", "only supports http and https"),
        ("localhost:8000", "no scheme: only supports http and https"),
        ("http://127.0.0.1:99999/", "invalid port number"),
    ] {
        assert_fails(&fetch(&[url]), url, why);
    }
}

#[test]
fn a_password_is_not_shown() {
    for (url, shown, why) in [
        (
            "http://me:secret@127.0.0.1/",
            "http://…@127.0.0.1/",
            "not supported",
        ),
        (
            "https://me:secret@127.0.0.1/",
            "https://…@127.0.0.1/",
            "not supported",
        ),
        (
            "http://me:secret@127.0.0.1:99999/",
            "http://…@127.0.0.1:99999/",
            "invalid port",
        ),
        (
            "http://me:se/cret@127.0.0.1/",
            "http://…@127.0.0.1/",
            "invalid port",
        ),
    ] {
        assert_fails(&fetch(&[url]), shown, why);
        let ended = fetch(&[url, CLOSED]);
        assert!(!ended.err.contains("cret"), "{}", ended.err);
    }
    let server = serve(|_| Answer::new("HTTP/1.1 302 X\nLocation: http://me:secret@a/\n\n"));
    let url = server.url("/");
    let ended = fetch(&[&url]);
    assert_fails(
        &ended,
        &url,
        "redirected to http://…@a/: user names and passwords",
    );
    assert_eq!(ended.out(), "");
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
    let ended = fetch(&[&urls[0], CLOSED, &urls[1], "ftp://x/", &urls[2]]);
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
    let refused = format!("http_client: {CLOSED}: connection failed: {}", refused());
    assert!(ended.err.contains(&refused), "{}", ended.err);
    assert!(
        ended
            .err
            .contains("http_client: ftp://x/: only supports http"),
        "{}",
        ended.err
    );
    assert_eq!(ended.err.lines().count(), 2);
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
    assert!(
        err.contains(&format!("standard output: {}", broken_pipe())),
        "{err}"
    );
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
fn a_header_cannot_write_control_sequences_to_the_terminal_nor_turn_it_round() {
    let server =
        serve(|_| Answer::new("HTTP/1.1 200 \u{9b}31m\u{202e}\nX: a\u{9b}2Jb\u{2066}\u{200f}\n\n"));
    let ended = fetch(&[&server.url("/")]);
    let expected = "status => HTTP/1.1 200 \u{fffd}31m\u{fffd}\nX = a\u{fffd}2Jb\u{fffd}\u{fffd}\n";
    assert_eq!(ended.out(), format!("{expected}0 bytes in body\n"));
    // In a redirect and in an error too.
    let server = serve(|_| Answer::new("HTTP/1.1 302 X\nLocation: tel:\u{202e}1\u{9b}\n\n"));
    let url = server.url("/");
    assert_fails(
        &fetch(&[&url]),
        &url,
        "redirected to tel:\u{fffd}1\u{fffd}: only",
    );
}

#[test]
fn a_body_on_a_terminal_is_text_and_in_a_pipe_as_it_came() {
    const BODY: &str = "a\u{1b}[2J\u{9b}1m\u{202e}b\tc\nä\n";
    let server = serve(|_| Answer::raw(&format!("HTTP/1.1 200 OK\r\n\r\n{BODY}")).slice(1));
    let url = server.url("/");
    assert_eq!(body_of(&url), BODY);
    let Some(shown) = on_a_terminal("http_client", &["-o", "-", &url]) else {
        return;
    };
    let text = "a\u{fffd}[2J\u{fffd}1m\u{fffd}b\tc\r\nä\r\n";
    assert!(shown.contains(text), "{shown:?}");
}

#[test]
fn with_fail_an_error_status_is_an_error_and_the_old_file_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("body");
    let path = path.to_str().unwrap();
    let server = serve(|target| {
        let status = &target[1..];
        Answer::new(&format!("HTTP/1.1 {status} X\nContent-Length: 4\n\nthis"))
    });
    for status in [400, 404, 500, 599, 600, 999] {
        let url = server.url(&format!("/{status}"));
        std::fs::write(path, "old").unwrap();
        let ended = fetch(&["--fail", "-o", path, &url]);
        assert_fails(
            &ended,
            &url,
            &format!("the server answered with status {status}"),
        );
        let line = format!("status => HTTP/1.1 {status} X\n");
        assert!(ended.out().starts_with(&line), "{}", ended.out());
        assert_eq!(std::fs::read_to_string(path).unwrap(), "old");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
        assert_eq!(fetch(&["-f", "-I", &url]).code, Some(1));
        assert_eq!(fetch(&["-f", "-o", "-", &url]).out(), "");
        // Otherwise an answer is an answer.
        assert_eq!(fetch(&["-o", path, &url]).code, Some(0));
        assert_eq!(std::fs::read_to_string(path).unwrap(), "this");
    }
    for status in [200, 204, 304, 399] {
        let url = server.url(&format!("/{status}"));
        assert_eq!(fetch(&["--fail", &url]).code, Some(0), "{status}");
    }
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
    let url = server.url("/");
    let Some(shown) = on_a_terminal("http_client", &["-o", "/dev/null", &url]) else {
        return;
    };
    let bar = format!("[{}] 100 %    2.86 MiB ", "#".repeat(40));
    let (_, behind) = shown
        .split_once(&bar)
        .unwrap_or_else(|| panic!("{shown:?}"));
    assert!(behind.contains("\r\n3000000 bytes in body"), "{shown:?}");
    assert_eq!(fetch(&["-o", NULL, &url]).err, "");
}
