//! What clients get of what scripts answer, and of files beside them.

use std::io::{Read, Write};

use crate::{Server, ask};

#[test]
fn a_script_answers_as_its_header_says() {
    let server = Server::start(&[]);
    for (name, status, line, body) in [
        ("crlf.sh", 200, "X-Own: 1", "crlf"),
        ("status.sh", 404, "HTTP/1.1 404 Nope", "nope"),
        ("length.sh", 200, "Content-Length: 5", "hello"),
        ("long.sh", 200, "Content-Length: 5", "hello"),
        ("nothing.sh", 204, "HTTP/1.1 204 No Content", ""),
        ("redirect.sh", 302, "Location: http://b.example/x", ""),
        ("relative.sh", 303, "Location: /hello.txt", ""),
        (
            "local.sh",
            200,
            "Content-Type: text/plain; charset=utf-8",
            "hello, world",
        ),
        ("nph-raw.sh", 299, "HTTP/1.1 299 Raw", "raw"),
        ("fails.sh", 200, "Content-Type: text/plain", "hello"),
    ] {
        let reply = server.get(&format!("/cgi-bin/{name}"));
        assert_eq!(
            (reply.status, reply.body.as_str()),
            (status, body),
            "{name}: {}",
            reply.head
        );
        assert!(
            reply.head.lines().any(|seen| seen == line),
            "{name}: {}",
            reply.head
        );
    }
    let raw = server.get("/cgi-bin/nph-raw.sh");
    assert_eq!(raw.head, "HTTP/1.1 299 Raw\r\nX-Raw: 1");
}

#[test]
fn what_is_no_answer_of_a_script_is_an_error() {
    let server = Server::start(&[]);
    for (name, status, logged) in [
        (
            "interim.sh",
            502,
            "the header has the Status \"100 Continue\"",
        ),
        (
            "switch.sh",
            502,
            "the header has the Status \"101 Switching Protocols\"",
        ),
        ("junk-status.sh", 502, "the header has the Status \"OK\""),
        ("no-header.sh", 502, "the header has the line \"hello\""),
        ("no-fields.sh", 502, "no Content-Type, Location or Status"),
        ("empty.sh", 502, "the output ended before the empty line"),
        (
            "cut-header.sh",
            502,
            "the output ended before the empty line",
        ),
        (
            "control.sh",
            502,
            "the header has the line \"X: a\\rSet-Cookie: b\"",
        ),
        ("chunked.sh", 502, "the header has a Transfer-Encoding"),
        (
            "long-header.sh",
            502,
            "the header has more than 32768 bytes",
        ),
        ("local-out.sh", 403, ""),
        ("local-missing.sh", 404, ""),
        ("loop.sh", 502, "more than 10 redirects"),
        ("nph-bad.sh", 502, "not with a status line of HTTP"),
        ("plain.sh", 403, "it is not executable"),
        ("no-interpreter", 500, "its interpreter is missing"),
        ("no-program", 500, "no-program: it "),
        ("link.sh", 403, ""),
        ("missing.sh", 404, ""),
        ("sub", 403, ""),
        ("", 403, ""),
        ("env.sh/a%2Fb", 404, ""),
        ("..%2fsecret", 404, ""),
        ("../../secret", 403, ""),
        ("%zz", 400, ""),
    ] {
        let reply = server.get(&format!("/cgi-bin/{name}"));
        assert_eq!(reply.status, status, "{name}: {}", reply.head);
        assert!(!reply.head.contains("Set-Cookie"), "{name}: {}", reply.head);
        assert!(!reply.body.contains("secret"), "{name}: {}", reply.body);
        // The log is for those who write scripts; clients learn nothing of it.
        assert!(
            logged.is_empty() || !reply.body.contains(logged),
            "{name}: {}",
            reply.body
        );
    }
    let log = server.end();
    for logged in [
        "100 Continue",
        "its interpreter is missing",
        "X: a\\rSet-Cookie: b",
        "more than 10 redirects",
        "no-program: it ",
    ] {
        assert!(log.contains(logged), "no {logged:?} in {log}");
    }
}

#[test]
fn a_length_that_is_too_long_ends_the_connection() {
    let server = Server::start(&[]);
    let reply = ask(
        server.address,
        "GET /cgi-bin/short.sh HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    assert_eq!(
        (reply.header("Content-Length"), reply.body.as_str()),
        (Some("10"), "hello")
    );
}

#[test]
fn a_connection_is_kept_for_the_next_request() {
    let server = Server::start(&[]);
    let mut stream = server.connect(
        "GET /cgi-bin/crlf.sh HTTP/1.1\r\nHost: a\r\n\r\nHEAD /cgi-bin/length.sh HTTP/1.1\r\nHost: a\r\n\r\n\
         POST /cgi-bin/mirror.sh HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /hello.txt HTTP/1.1\r\nHost: a\r\n\
         Connection: close\r\n\r\n",
    );
    let mut all = String::new();
    stream.read_to_string(&mut all).unwrap();
    let heads = all.matches("HTTP/1.1 200 OK\r\n").count();
    assert_eq!(heads, 4, "{all}");
    for part in [
        "\r\n\r\n4\r\ncrlf\r\n0\r\n\r\nHTTP/1.1",
        "Content-Length: 5\r\n\r\nHTTP/1.1",
        "\r\n\r\nabcHTTP/1.1",
        "\r\n\r\nhello, world",
    ] {
        assert!(all.contains(part), "no {part:?} in {all}");
    }
}

#[test]
fn files_beside_the_scripts_are_served() {
    let server = Server::start(&[]);
    for (method, target, status, header, body) in [
        (
            "GET",
            "/hello.txt",
            200,
            ("Content-Type", "text/plain; charset=utf-8"),
            "hello, world",
        ),
        ("HEAD", "/hello.txt", 200, ("Content-Length", "12"), ""),
        (
            "GET",
            "/with-index/",
            200,
            ("Content-Type", "text/html; charset=utf-8"),
            "<p>index",
        ),
        ("GET", "/with-index", 301, ("Location", "/with-index/"), ""),
        ("POST", "/hello.txt", 405, ("Allow", "GET, HEAD"), ""),
        ("GET", "/sub/", 403, ("Connection", "close"), ""),
        ("GET", "/missing", 404, ("Connection", "close"), ""),
        ("GET", "/../secret", 403, ("Connection", "close"), ""),
        // The text of a script.
        ("GET", "/script.txt", 403, ("Connection", "close"), ""),
    ] {
        let reply = server.ask(method, target, "", "");
        assert_eq!(reply.status, status, "{method} {target}: {}", reply.head);
        assert_eq!(
            reply.header(header.0),
            Some(header.1),
            "{method} {target}: {}",
            reply.head
        );
        assert!(
            status != 200 || reply.body == body,
            "{method} {target}: {}",
            reply.body
        );
        assert!(
            !reply.body.contains("#!") && !reply.body.contains("secret"),
            "{target}"
        );
    }
    let modified = server.get("/hello.txt");
    let modified = modified.header("Last-Modified").unwrap();
    let reply = server.ask(
        "GET",
        "/hello.txt",
        &format!("If-Modified-Since: {modified}\r\n"),
        "",
    );
    assert_eq!((reply.status, reply.body.as_str()), (304, ""));
}

#[test]
fn scripts_are_below_the_path_that_is_given() {
    let server = Server::start(&["--cgi-path", "/run/here"]);
    assert_eq!(server.get("/run/here/crlf.sh").body, "crlf");
    assert_eq!(server.get("/cgi-bin/crlf.sh").status, 404);
    // Nor is their text to be had where the files are.
    let site = crate::scripts::site().to_str().unwrap();
    let scripts = format!("{site}/cgi-bin");
    let args = [
        "--port",
        "0",
        "--cgi-dir",
        &scripts,
        "--cgi-path",
        "/run/",
        site,
    ];
    let (program, address) = suites::program::serve("cgi_server", &args);
    let server = Server { program, address };
    assert_eq!(server.get("/www/hello.txt").body, "hello, world");
    assert_eq!(server.get("/run/crlf.sh").body, "crlf");
    for path in ["/cgi-bin/crlf.sh", "/www/script.txt", "/./cgi-bin//crlf.sh"] {
        let reply = server.get(path);
        assert!(
            reply.status == 403 && !reply.body.contains("#!"),
            "{path}: {}",
            reply.body
        );
    }
}

#[test]
fn methods_go_to_the_script() {
    let server = Server::start(&[]);
    for method in ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "QUERY"] {
        let reply = server.ask(method, "/cgi-bin/env.sh", "", "");
        assert!(
            reply.body.contains(&format!("REQUEST_METHOD={method}\n")),
            "{method}: {}",
            reply.body
        );
    }
    assert_eq!(server.ask("TRACE", "/cgi-bin/env.sh", "", "").status, 501);
    assert_eq!(server.ask("CONNECT", "a:1", "", "").status, 501);
    assert_eq!(server.ask("OPTIONS", "*", "", "").status, 400);
}

#[test]
fn a_request_that_is_cut_starts_nothing_that_stays() {
    let server = Server::start(&[]);
    for request in [
        "GET /cgi-bin/env.sh HT",
        "POST /cgi-bin/count.sh HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc",
    ] {
        let mut stream = server.connect(request);
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all);
        assert!(!all.ends_with(b"0\r\n\r\n"), "{request}");
    }
    let mut stream = server.connect("\x16\x03\x01");
    stream.write_all(b"\r\n\r\n").unwrap();
    let mut all = String::new();
    stream.read_to_string(&mut all).unwrap();
    assert!(all.starts_with("HTTP/1.1 400 "), "{all}");
    drop(stream);
    server.end();
}
