//! Answers in every framing, malformed in every way, cut short at every place.

use std::process::Command;

use util::peer::tells_resets;

use crate::{
    assert_fails, body_of, fetch,
    scripted::{Answer, End, serve},
};

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
            "HTTP/1.1 200 OK\nContent-Length:\n 5\n\nhello and more",
            "hello",
            End::Hold,
        ),
        (
            "HTTP/1.1 200 OK\nContent-Length \t: 5\n\nhello and more",
            "hello",
            End::Hold,
        ),
        (
            "HTTP/1.1 200 OK\nTransfer-Encoding :\n\tchunked\n\n5\nhello\n0\n\n",
            "hello",
            End::Hold,
        ),
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

/// What is not by the book and taken all the same. The body is always `hi`.
const TAKEN: [(&str, &str); 10] = [
    (
        "HTTP/1.1 200 OK\r\nX: one\r\n  two\r\n\tthree\r\nContent-Length: 2\r\n\r\nhi more",
        "X = one two three\nContent-Length = 2",
    ),
    (
        "HTTP/1.1 200 OK\r\nX: y\r\n \r\nContent-Length: 2\r\n\r\nhi more",
        "X = y\nContent-Length = 2",
    ),
    (
        "HTTP/1.1 200 OK\r\nX : y\r\nZ\t: z\r\nContent-Length: 2\r\n\r\nhi more",
        "X = y\nZ = z\nContent-Length = 2",
    ),
    (
        "HTTP/1.1 600 X\r\nContent-Length: 2\r\n\r\nhi more",
        "Content-Length = 2",
    ),
    (
        "HTTP/1.1 999 X\r\nContent-Length: 2\r\n\r\nhi more",
        "Content-Length = 2",
    ),
    (
        "HTTP/1.1 200 OK\nContent-Length: 2\n\nhi more",
        "Content-Length = 2",
    ),
    (
        "HTTP/1.1 200 OK\nX: y\r\nContent-Length: 2\n\r\nhi more",
        "X = y\nContent-Length = 2",
    ),
    (
        "HTTP/1.1 200 OK\nX: one\n two\nContent-Length: 2\r\n\nhi more",
        "X = one two\nContent-Length = 2",
    ),
    ("HTTP/1.1 200 OK\nX: y\n\nhi", "X = y"),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX : y\r\n z\n\r\n",
        "Transfer-Encoding = chunked",
    ),
];

#[test]
fn what_is_not_by_the_book_is_taken_as_curl_takes_it() {
    let curl = Command::new("curl").arg("--version").output().is_ok();
    if !curl {
        suites::missing("curl to compare with");
    }
    for (text, fields) in TAKEN {
        for slice in [1, usize::MAX] {
            let server = serve(move |_| Answer::raw(text).slice(slice));
            let url = server.url("/");
            assert_eq!(body_of(&url), "hi", "{text:?}");
            let shown = fetch(&[&url]).out();
            let shown: Vec<_> = shown.lines().skip(1).collect();
            assert_eq!(
                shown.join("\n"),
                format!("{fields}\n2 bytes in body"),
                "{text:?}"
            );
            if curl && slice > 1 {
                let output = Command::new("curl").args(["-sS", &url]).output().unwrap();
                assert!(output.status.success(), "{text:?}: {output:?}");
                assert_eq!(output.stdout, b"hi", "{text:?}");
            }
        }
    }
}

#[test]
fn every_minor_version_is_http_1() {
    for version in ["1.0", "1.2", "1.9"] {
        let server = serve(move |_| {
            let head = format!("HTTP/{version} 200 OK\nTransfer-Encoding: chunked");
            Answer::new(&format!("{head}\n\n2\nhi\n0\n\n")).end(End::Hold)
        });
        let ended = fetch(&[&server.url("/")]);
        let status = format!("status => HTTP/{version} 200 OK\n");
        assert!(ended.out().starts_with(&status), "{}", ended.out());
        assert!(
            ended.out().ends_with("\n2 bytes in body\n"),
            "{}",
            ended.err
        );
    }
}

#[test]
fn the_lines_of_chunks_end_in_crlf_and_the_first_that_does_not_is_the_last() {
    for chunks in ["2\nhi", "2\r\nhi\n", "2\r\nhi\r\n0\n"] {
        let server = serve(move |_| {
            let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
            Answer::raw(&format!("{head}{chunks}")).end(End::Hold)
        });
        let url = server.url("/");
        let why = "malformed chunk: a line ends in LF alone";
        assert_fails(&fetch(&[&url]), &url, why);
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
        (ok(" X: y"), "malformed header: it begins with white space"),
        (
            "HTTP/1.10 200 OK\n\n".into(),
            "malformed header: the status line",
        ),
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
            chunked("1\nx\n0\nno colon\n\n"),
            "malformed trailer: a field's name",
        ),
        (
            chunked("1\nx\n0\nA: \u{1}\n\n"),
            "malformed trailer: a field's value",
        ),
        (
            chunked("0\n A: b\n\n"),
            "malformed trailer: it begins with white space",
        ),
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
            "connection closed after 4 of 5 bytes of the body",
        ),
        (
            &format!("{chunked}5\nhell"),
            End::Close,
            "connection closed before the end of the body, after 4 bytes",
        ),
        (
            &format!("{chunked}5\nhello\n"),
            End::Close,
            "connection closed before the end of the body, after 5 bytes",
        ),
        (
            &format!("{chunked}5\nhello\n0\n"),
            End::Close,
            "connection closed before the end of the body, after 5 bytes",
        ),
        (
            &format!("{chunked}5\nhello\n0\nX: y\n"),
            End::Close,
            "connection closed before the end of the body, after 5 bytes",
        ),
        ("", End::Reset, "connection reset without an answer"),
        ("HTTP/1.1 200 OK\n\nhell", End::Reset, "connection reset"),
    ] {
        if why.starts_with("connection reset") && !tells_resets() {
            continue;
        }
        let text = text.to_owned();
        let server = serve(move |_| Answer::new(&text).end(end));
        let url = server.url("/");
        assert_fails(&fetch(&[&url]), &url, why);
    }
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
        &fetch(&["--timeout", "2", &url]),
        &url,
        "timed out without an answer: the server was silent for 2s",
    );
    let server =
        serve(|_| Answer::new("HTTP/1.1 200 OK\nContent-Length: 5\n\nhell").end(End::Hold));
    let url = server.url("/");
    assert_fails(
        &fetch(&["--timeout", "2", &url]),
        &url,
        "timed out after 4 of 5 bytes of the body: the server was silent for 2s",
    );
}
