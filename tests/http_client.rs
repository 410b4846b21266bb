//! The program `http_client` against a server that gives every kind of answer, right, wrong and cut short, whole and
//! byte by byte; against Python's server; and its request object with consumers of the test's own.
#![cfg(unix)]
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "the helpers of a test are part of it; modules of the example are used in part"
)]

use std::{
    cell::RefCell,
    io::Write,
    net::TcpListener,
    process::{Command, Stdio},
    rc::Rc,
    sync::{Arc, Barrier},
    time::Duration,
};

use asynchat::{BoxError, Reactor, Result};

use async_http::AsyncHttp;
use consumer::{Consumer, Order, Request};
use program::{Ended, Program, run};
use scripted::{Answer, End, serve};
use url::Url;

#[path = "../examples/http_client/async_http.rs"]
mod async_http;
#[path = "../examples/http_client/consumer.rs"]
mod consumer;
#[path = "http_client/program.rs"]
mod program;
#[path = "../examples/http_client/progress.rs"]
mod progress;
#[path = "../examples/http_common/response.rs"]
mod response;
#[path = "http_client/scripted.rs"]
mod scripted;
#[path = "../examples/http_common/url.rs"]
mod url;

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
fn every_framing_of_a_body_is_understood_whole_and_byte_by_byte() {
    const CHUNKED: &str = "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n";
    let cases = [
        (
            "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
            "hello",
            End::Hold,
        ),
        (
            "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello and more",
            "hello",
            End::Hold,
        ),
        ("HTTP/1.1 200 OK\nContent-Length: 0\n\n", "", End::Hold),
        (
            "HTTP/1.0 200 OK\n\nuntil\n\nclose",
            "until\r\n\r\nclose",
            End::Close,
        ),
        ("HTTP/1.1 200 OK\n\n", "", End::Close),
        (
            &format!("{CHUNKED}5\nhello\n6;ext=1\n world\n0\n\n"),
            "hello world",
            End::Hold,
        ),
        (&format!("{CHUNKED}0\n\n"), "", End::Hold),
        (
            &format!("{CHUNKED}A\n0\n\n0\n\n\n0\nTrailer: x\nMore: y\n\n"),
            "0\r\n\r\n0\r\n\r\n",
            End::Hold,
        ),
        (
            &format!(
                "HTTP/1.1 100 Continue\n\nHTTP/1.1 103 Early Hints\nLink: x\n\n{CHUNKED}1\nx\n0\n\n"
            ),
            "x",
            End::Hold,
        ),
        (
            "HTTP/1.1 204 No Content\nContent-Length: 9\n\n",
            "",
            End::Hold,
        ),
        (
            "HTTP/1.1 304 Not Modified\nContent-Length: 9\n\n",
            "",
            End::Hold,
        ),
    ];
    for (text, body, end) in cases {
        let text = text.to_owned();
        let server = serve(move |target| {
            let slice = target.trim_start_matches('/').parse().unwrap();
            Answer::new(&text).slice(slice).end(end)
        });
        for slice in ["/1", "/2", "/7", "/100000"] {
            let url = server.url(slice);
            assert_eq!(
                body_of(&url),
                body,
                "{url} {}",
                server.requests.recv().unwrap()
            );
        }
    }
}

#[test]
fn a_large_body_arrives_unharmed_in_every_framing() {
    let body: String = (0..300_000).map(|n| format!("{n:07}\n")).collect();
    let expected = body.clone();
    let server = serve(move |target| {
        let mut answer = Answer::new("HTTP/1.1 200 OK\n");
        let mut add = |text: &str| answer.bytes.extend_from_slice(text.as_bytes());
        match target {
            "/length" => add(&format!("Content-Length: {}\r\n\r\n{body}", body.len())),
            "/close" => add(&format!("\r\n{body}")),
            _ => {
                add("Transfer-Encoding: chunked\r\n\r\n");
                for chunk in body.as_bytes().chunks(12_345) {
                    let chunk = std::str::from_utf8(chunk).unwrap();
                    add(&format!("{:x}\r\n{chunk}\r\n", chunk.len()));
                }
                add("0\r\n\r\n");
            }
        }
        answer
    });
    for target in ["/length", "/close", "/chunked"] {
        assert!(body_of(&server.url(target)) == expected, "{target}");
    }
}

#[test]
fn every_kind_of_redirect_is_followed() {
    let server = serve(|target| match target {
        "/a/end?x" => Answer::new("HTTP/1.1 200 OK\nContent-Length: 3\n\nend"),
        _ => {
            // "/a/301/where": the status and, percent-encoded, the location.
            let (status, location) = target[3..].split_once('/').unwrap();
            let location = location.replace("%2F", "/").replace("%3F", "?");
            let fields = format!("Location: {location}\nContent-Length: 9");
            Answer::new(&format!("HTTP/1.1 {status} Moved\n{fields}\n\nelsewhere")).end(End::Hold)
        }
    });
    let absolute = server.url("%2Fa%2Fend%3Fx").replace("//", "%2F%2F");
    let with_authority = absolute.trim_start_matches("http:").to_owned();
    for status in [301, 302, 303, 307, 308] {
        for location in ["%2Fa%2Fend%3Fx", "..%2Fend%3Fx", &absolute, &with_authority] {
            let start = format!("/a/{status}/{location}");
            let ended = fetch(&[&server.url(&start)]);
            let expected = format!(
                "redirecting to {} ...\nstatus => HTTP/1.1 200 OK\nContent-Length = 3\n3 bytes in body\n",
                server.url("/a/end?x")
            );
            assert_eq!(ended.out(), expected, "{start}: {}", ended.err);
            assert_eq!(ended.code, Some(0));
            assert_eq!(server.targets(), [start.as_str(), "/a/end?x"]);
        }
    }
}

#[test]
fn a_redirected_head_stays_a_head() {
    let server = serve(|target| match target {
        "/" => Answer::new("HTTP/1.1 303 See Other\nLocation: /end\n\n"),
        _ => Answer::new("HTTP/1.1 200 OK\n\n"),
    });
    assert_eq!(fetch(&["-I", &server.url("/")]).code, Some(0));
    let methods: Vec<_> = server
        .requests
        .try_iter()
        .map(|request| request[..5].to_owned())
        .collect();
    assert_eq!(methods, ["HEAD ", "HEAD "]);
}

#[test]
fn what_is_not_a_redirect_is_not_followed() {
    for head in [
        "201 Created\nLocation: /x",
        "300 Choices\nLocation: /x",
        "304 Same\nLocation: /x",
        "302 Found",
    ] {
        let server =
            serve(move |_| Answer::new(&format!("HTTP/1.1 {head}\nContent-Length: 0\n\n")));
        let ended = fetch(&[&server.url("/")]);
        assert!(
            ended
                .out()
                .starts_with(&format!("status => HTTP/1.1 {}", &head[..3])),
            "{}",
            ended.out()
        );
        assert_eq!((ended.code, server.targets().len()), (Some(0), 1));
    }
}

#[test]
fn redirects_that_lead_nowhere_are_errors() {
    let server = serve(|target| {
        let location = match target {
            "/self" => "/self#again".to_owned(),
            "/ping" => "/pong".to_owned(),
            "/pong" => "/ping".to_owned(),
            "/tls" => "https://127.0.0.1/".to_owned(),
            "/file" => "file:///etc/passwd".to_owned(),
            "/closed" => CLOSED.to_owned(),
            "/nowhere" => "http:///".to_owned(),
            count => format!("/{}", count[1..].parse::<u32>().unwrap() + 1),
        };
        Answer::new(&format!("HTTP/1.1 302 Found\nLocation: {location}\n\n"))
    });
    for (target, why, requests) in [
        ("/self", "loop", 1),
        ("/ping", "loop", 2),
        (
            "/tls",
            "redirected to https://127.0.0.1/: only supports http, not https",
            1,
        ),
        ("/file", "only supports http, not file", 1),
        ("/closed", "connection failed: Connection refused", 1),
        ("/nowhere", "the URL names no host", 1),
        ("/1", "more than 10 redirects", 11),
    ] {
        let url = server.url(target);
        assert_fails(&fetch(&[&url]), &url, why);
        assert_eq!(server.targets().len(), requests, "{target}");
    }
    let url = server.url("/1");
    assert_fails(
        &fetch(&["--max-redirects", "0", &url]),
        &url,
        "more than 0 redirects",
    );
    assert_eq!(server.targets(), ["/1"]);
}

#[test]
fn a_malformed_answer_is_one_clear_line() {
    let chunked = |body: &str| format!("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n{body}");
    let ok = |field: &str| format!("HTTP/1.1 200 OK\n{field}\n\n");
    for (text, why) in [
        ("SSH-2.0-OpenSSH_9\n".to_owned(), "does not speak HTTP/1"),
        ("HTTP/2 200 OK\n\n".into(), "does not speak HTTP/1"),
        ("<html>".into(), "does not speak HTTP/1"),
        (
            "HTTP/1.1 two hundred\n\n".into(),
            "malformed header: the status line",
        ),
        (
            "HTTP/1.1 099 X\n\n".into(),
            "malformed header: no such status",
        ),
        (
            "HTTP/1.1 101 Switching Protocols\n\n".into(),
            "switched protocols",
        ),
        (ok("no colon"), "malformed header: a field's name"),
        (ok("X: \u{1}"), "malformed header: a field's value"),
        (ok("Content-Length: -5"), "malformed Content-Length \"-5\""),
        (
            ok("Content-Length: 5\nContent-Length: 6"),
            "malformed Content-Length \"5, 6\"",
        ),
        (
            ok("Transfer-Encoding: gzip"),
            "Transfer-Encoding \"gzip\" is not supported",
        ),
        (chunked("x\n"), "malformed chunk size \"x\""),
        (chunked("-1\n"), "malformed chunk size \"-1\""),
        (chunked("11111111111111111\n"), "malformed chunk size"),
        (chunked("2\nabc\n0\n\n"), "longer than announced"),
        (
            chunked(&format!("1{}\n", " ".repeat(5000))),
            "a line longer than 4096 bytes",
        ),
        (
            chunked(&format!("0\n{}\n", "T: x\n".repeat(20_000))),
            "trailer longer than 65536 bytes",
        ),
        (
            format!("HTTP/1.1 200 OK\nX: {}", "x".repeat(70_000)),
            "header longer than 65536 bytes",
        ),
        (
            "HTTP/1.1 100 Continue\n\n".repeat(20),
            "more than 16 interim answers",
        ),
    ] {
        let answer = text.clone();
        let server = serve(move |_| Answer::new(&answer).end(End::Hold));
        let url = server.url("/");
        assert_fails(&fetch(&[&url]), &url, why);
        // Small ones byte by byte too: the verdict must not hang on how the answer is cut.
        if text.len() < 1000 {
            let server = serve(move |_| Answer::new(&text).slice(1).end(End::Hold));
            let url = server.url("/");
            assert_fails(&fetch(&[&url]), &url, why);
        }
    }
}

#[test]
fn a_body_cut_short_is_an_error() {
    let chunked = "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n";
    for (text, end, why) in [
        ("", End::Close, "connection closed without an answer"),
        (
            "HTTP/1.1 200 OK\nServ",
            End::Close,
            "connection closed within the header",
        ),
        (
            "HTTP/1.1 200 OK\nServer: x\n",
            End::Close,
            "connection closed within the header",
        ),
        (
            "HTTP/1.1 100 Continue\n\n",
            End::Close,
            "connection closed without an answer",
        ),
        (
            "HTTP/1.1 200 OK\nContent-Length: 5\n\nhell",
            End::Close,
            "connection closed too early: 4 of 5 bytes in body",
        ),
        (
            &format!("{chunked}5\nhell"),
            End::Close,
            "connection closed too early: 4 bytes in body so far",
        ),
        (
            &format!("{chunked}5\nhello\n"),
            End::Close,
            "connection closed too early: 5 bytes",
        ),
        (
            &format!("{chunked}5\nhello\n0\n"),
            End::Close,
            "connection closed too early: 5 bytes",
        ),
        (
            &format!("{chunked}5\nhello\n0\nX: y\n"),
            End::Close,
            "connection closed too early: 5 bytes",
        ),
        ("", End::Reset, "connection reset without an answer"),
        ("HTTP/1.1 200 OK\n\nhell", End::Reset, "connection reset"),
    ] {
        let text = text.to_owned();
        let server = serve(move |_| Answer::new(&text).end(end));
        let url = server.url("/");
        assert_fails(&fetch(&[&url]), &url, why);
    }
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
fn only_http_urls_are_supported() {
    for (url, why) in [
        ("https://127.0.0.1/", "only supports http, not https"),
        ("127.0.0.1/", "only supports http"),
        ("http://me:secret@127.0.0.1/", "not supported"),
        ("http://127.0.0.1:99999/", "is no port"),
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
fn a_silent_server_is_given_up() {
    let server = serve(|target| {
        Answer::new(
            target
                .trim_start_matches('/')
                .split('/')
                .next_back()
                .unwrap(),
        )
        .end(End::Hold)
    });
    let url = server.url("/");
    assert_fails(
        &fetch(&["--timeout", "0.3", &url]),
        &url,
        "timed out: nothing came for 300ms without an answer",
    );
    let server =
        serve(|_| Answer::new("HTTP/1.1 200 OK\nContent-Length: 5\n\nhell").end(End::Hold));
    let url = server.url("/");
    assert_fails(
        &fetch(&["--timeout", "0.3", &url]),
        &url,
        "300ms too early: 4 of 5 bytes in body",
    );
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
fn the_manners_are_the_usual_ones() {
    program::has_the_usual_manners(
        "http_client",
        &[
            &[],
            &["--no-such-option", "http://x/"],
            &["-o", "x", "http://x/", "http://y/"],
            &["-I", "-o", "x", "http://x/"],
            &["--timeout", "0", "http://x/"],
            &["--max-redirects", "many", "http://x/"],
        ],
    );
}

#[test]
fn a_terminal_gets_a_progress_bar_and_a_file_does_not() {
    let server = serve(|_| Answer::new("HTTP/1.1 200 OK\nContent-Length: 4\n\nthis"));
    let script = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)";
    let url = server.url("/");
    let Ok(output) = Command::new("python3")
        .args(["-c", script])
        .arg(program::path("http_client"))
        .args(["-o", "/dev/null", &url])
        .stdin(Stdio::null())
        .output()
    else {
        eprintln!("skipped: no python3 to open a terminal with");
        return;
    };
    let shown = String::from_utf8_lossy(&output.stdout);
    let bar = format!(
        "\r[{}] 100 %            1 KiB\r\n4 bytes in body",
        "#".repeat(40)
    );
    assert!(shown.contains(&bar), "{shown:?}");
    assert_eq!(fetch(&["-o", "/dev/null", &url]).err, "");
}

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
        eprintln!("skipped: no python3");
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

/// Writes down what it is told; what to do about the header is up to the test.
struct Notes {
    notes: Rc<RefCell<Vec<String>>>,
    on_header: fn(&mut Request<'_, '_>) -> Result,
}

impl Consumer for Notes {
    fn http_header(&mut self, request: &mut Request<'_, '_>) -> Result {
        let note = format!("header {} {:?}", request.head.status, request.length);
        self.notes.borrow_mut().push(note);
        (self.on_header)(request)
    }

    fn feed(&mut self, data: &[u8]) -> Result {
        let text = String::from_utf8_lossy(data).into_owned();
        self.notes.borrow_mut().push(format!("feed {text}"));
        if text == "poison" {
            Err("poisoned".into())
        } else {
            Ok(())
        }
    }

    fn close(&mut self, outcome: Result<(), BoxError>) {
        let outcome = outcome.map_err(|error| error.to_string());
        self.notes.borrow_mut().push(format!("close {outcome:?}"));
    }
}

/// Only what a consumer has to have.
struct Bare(Rc<RefCell<Vec<String>>>);

impl Consumer for Bare {
    fn feed(&mut self, data: &[u8]) -> Result {
        self.0
            .borrow_mut()
            .push(String::from_utf8_lossy(data).into_owned());
        Ok(())
    }

    fn close(&mut self, outcome: Result<(), BoxError>) {
        self.0
            .borrow_mut()
            .push(format!("close {}", outcome.is_ok()));
    }
}

fn order(url: &str) -> Order {
    Order {
        url: Url::parse(url.as_bytes()).unwrap(),
        head_only: false,
        timeout: Duration::from_secs(30),
    }
}

#[track_caller]
fn notes_of(url: &str, on_header: fn(&mut Request<'_, '_>) -> Result) -> Vec<String> {
    let notes = Rc::default();
    let consumer = Notes {
        notes: Rc::clone(&notes),
        on_header,
    };
    let mut reactor = Reactor::builder().propagate_panics(true).build().unwrap();
    AsyncHttp::start(&mut reactor, order(url), consumer);
    reactor.run().unwrap();
    notes.take()
}

#[test]
fn a_consumer_is_told_of_the_header_then_fed_then_closed() {
    let server = serve(|_| Answer::new("HTTP/1.1 200 OK\nContent-Length: 5\n\nhello"));
    let expected = ["header 200 Some(5)", "feed hello", "close Ok(())"];
    assert_eq!(notes_of(&server.url("/"), |_| Ok(())), expected);
    let refused = notes_of(CLOSED, |_| Ok(()));
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(
        refused[0].starts_with("close Err(\"connection failed: "),
        "{refused:?}"
    );
}

#[test]
fn a_consumer_may_close_the_request() {
    let server = serve(|_| Answer::new("HTTP/1.1 200 OK\nContent-Length: 5\n\nhello"));
    let notes = notes_of(&server.url("/"), |request| {
        request.close();
        Ok(())
    });
    assert_eq!(notes, ["header 200 Some(5)"]);
}

#[test]
fn an_error_of_the_consumers_ends_the_request() {
    let server =
        serve(|_| Answer::new("HTTP/1.1 200 OK\nContent-Length: 6\n\npoison").end(End::Hold));
    // Even one that says of a socket that the connection is broken.
    let notes = notes_of(&server.url("/"), |_| {
        Err(std::io::Error::from(std::io::ErrorKind::BrokenPipe).into())
    });
    assert_eq!(notes, ["header 200 Some(6)", "close Err(\"broken pipe\")"]);
    let notes = notes_of(&server.url("/"), |_| Ok(()));
    assert_eq!(
        notes,
        [
            "header 200 Some(6)",
            "feed poison",
            "close Err(\"poisoned\")"
        ]
    );
}

#[test]
fn a_consumer_needs_no_http_header() {
    let server = serve(|_| Answer::new("HTTP/1.1 200 OK\nContent-Length: 5\n\nhello"));
    let notes = Rc::new(RefCell::new(Vec::new()));
    let mut reactor = Reactor::new().unwrap();
    AsyncHttp::start(&mut reactor, order(&server.url("/")), Bare(notes.clone()));
    reactor.run().unwrap();
    assert_eq!(*notes.borrow(), ["hello", "close true"]);
}

#[test]
fn a_request_dropped_by_its_reactor_is_closed_as_interrupted() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let notes = Rc::new(RefCell::new(Vec::new()));
    let mut reactor = Reactor::new().unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    AsyncHttp::start(&mut reactor, order(&url), Bare(notes.clone()));
    drop(reactor);
    assert_eq!(*notes.borrow(), ["close false"]);
}

#[test]
fn the_http_server_of_these_examples_is_understood() {
    if !program::path("http_server").exists() {
        // Not a silent pass: whoever reads the log sees it.
        let _ = writeln!(std::io::stderr(), "skipped: http_server is not built");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let body = "y".repeat(3_000_000);
    std::fs::write(folder.path().join("big.txt"), &body).unwrap();
    let root = folder.path().to_str().unwrap();
    let (server, address) = program::serve("http_server", &["--port", "0", root]);
    assert!(body_of(&format!("http://{address}/big.txt")) == body);
    let ended = fetch(&["-I", &format!("http://{address}/missing")]);
    assert!(ended.out().contains(" 404 "), "{}", ended.out());
    program::ends_well_when_terminated(server);
}
