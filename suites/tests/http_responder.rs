//! The program `http_responder`, asked with plain blocking sockets and with curl.

#![allow(clippy::unwrap_used, reason = "the helpers of a test are part of it")]

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    process::Command,
};

use suites::program::{DEADLINE, Program, ends_well_when_terminated, serve};

const HEADER: &str = "HTTP/1.0 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n";

fn responder() -> (Program, SocketAddr) {
    serve("http_responder", &["--port", "0"])
}

/// What comes back for `request`, sent in pieces of `slice` bytes.
#[track_caller]
fn answer(address: SocketAddr, request: &[u8], slice: usize) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_nodelay(true).unwrap();
    for piece in request.chunks(slice) {
        stream.write_all(piece).unwrap();
    }
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

fn page(text: &str) -> String {
    format!("{HEADER}<html><body><pre>\r\n{text}</pre></body></html>\r\n")
}

#[test]
fn the_page_holds_the_request() {
    let (server, address) = responder();
    let request = "GET /path?query HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n";
    let shown = "GET /path?query HTTP/1.1\r\nHost: localhost\r\nAccept: */*";
    for slice in [1, 3, 1000] {
        assert_eq!(
            answer(address, request.as_bytes(), slice),
            page(shown),
            "{slice}"
        );
    }
    ends_well_when_terminated(server);
}

#[test]
fn a_request_without_a_header_is_answered_too() {
    let (_server, address) = responder();
    for slice in [1, 1000] {
        let text = answer(address, b"GET / HTTP/1.0\r\n\r\n", slice);
        assert_eq!(text, page("GET / HTTP/1.0\r\n\r\n"), "{slice}");
    }
}

#[test]
fn what_the_request_says_is_not_taken_for_html() {
    let (_server, address) = responder();
    let text = answer(
        address,
        b"GET /<script>\"&amp; HTTP/1.0\r\nX: \xff</pre>\r\n\r\n",
        1000,
    );
    let shown = "GET /&lt;script&gt;&quot;&amp;amp; HTTP/1.0\r\nX: \u{fffd}&lt;/pre&gt;";
    assert_eq!(text, page(shown));
}

#[test]
fn an_answer_to_head_has_no_body() {
    let (_server, address) = responder();
    assert_eq!(answer(address, b"HEAD / HTTP/1.0\r\n\r\n", 1000), HEADER);
}

#[test]
fn what_is_no_request_line_is_refused() {
    let (_server, address) = responder();
    for request in ["\r\n", "GET /\r\n", "one two three four\r\nHost: x\r\n\r\n"] {
        let text = answer(address, request.as_bytes(), 1000);
        assert!(
            text.starts_with("HTTP/1.0 400 Bad Request\r\n"),
            "{request:?}: {text}"
        );
    }
}

#[test]
fn a_request_that_never_ends_is_refused_and_the_refusal_arrives() {
    let (server, address) = responder();
    let line = format!("GET /{}", "x".repeat(500_000));
    let field = format!("GET / HTTP/1.0\r\nX: {}", "x".repeat(500_000));
    let fields = format!("GET / HTTP/1.0\r\n{}", "X: y\r\n".repeat(100_000));
    for request in [line, field, fields] {
        let text = answer(address, request.as_bytes(), usize::MAX);
        assert!(
            text.starts_with("HTTP/1.0 431 Request Header Fields Too Large\r\n"),
            "{text}"
        );
    }
    assert!(answer(address, b"GET / HTTP/1.0\r\n\r\n", 1000).starts_with(HEADER));
    ends_well_when_terminated(server);
}

#[test]
fn a_request_cut_short_and_a_silent_client_are_closed_without_an_answer() {
    let (_server, address) = serve("http_responder", &["--port", "0", "--timeout", "0.3"]);
    assert_eq!(answer(address, b"GET / HTTP/1.0\r\nHost:", 1000), "");
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\nHost: x").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert_eq!(text, "");
}

#[test]
fn curl_is_content_with_it() {
    let (_server, address) = responder();
    let url = format!("http://{address}/?a=<b>");
    let Ok(curl) = Command::new("curl")
        .args(["-sS", "-d", "ignored", &url])
        .output()
    else {
        suites::missing("curl");
        return;
    };
    let text = String::from_utf8(curl.stdout).unwrap();
    assert!(
        curl.status.success(),
        "{}",
        String::from_utf8_lossy(&curl.stderr)
    );
    assert!(text.contains("POST /?a=&lt;b&gt; HTTP/1.1\r\n"), "{text}");
}
