//! The same requests to `quote_server` and to a handler of the same kind on CPython's `http.server`.

use std::{
    io::{Read, Write},
    net::SocketAddr,
};

use suites::{
    others::{Server, free_address, tool},
    web_server::connect,
};

use super::{get, post, start};

/// The status of the first answer, and whether there is a body behind it; the connection is half-closed, as by `nc -N`.
/// CPython answers a version that it cannot read as HTTP/0.9 has it: with the page alone.
fn answer(address: SocketAddr, request: &str) -> (String, bool) {
    let mut stream = connect(address);
    stream.write_all(request.as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    let all = String::from_utf8_lossy(&all);
    let (head, body) = all.split_once("\r\n\r\n").unwrap_or((&all, ""));
    if !head.starts_with("HTTP/") {
        let code = all.split("Error code: ").nth(1).unwrap_or_default();
        return (code.chars().take(3).collect(), true);
    }
    let status = head.split(' ').nth(1).unwrap_or_default();
    (status.to_owned(), !body.is_empty())
}

#[test]
fn plain_requests_get_the_status_that_cpython_gives() {
    let Some(mut python) = tool("python3") else {
        return;
    };
    let theirs = free_address();
    let script = include_str!("server.py");
    let _server = Server::start(
        python.args(["-c", script, &theirs.port().to_string()]),
        theirs,
    );
    let (_program, ours) = start(&[]);
    let close = "Connection: close\r\n\r\n";
    for request in [
        get("/"),
        get("/quote.txt"),
        get("/no"),
        get("/").replace("GET", "HEAD"),
        get("/no").replace("GET", "HEAD"),
        get("/").replace("GET", "BREW"),
        get("/").replace("GET", "PUT"),
        get("/").replace("HTTP/1.1", "HTTP/1.0"),
        get("/").replace("HTTP/1.1", "HTTP/2.0"),
        get("/").replace("HTTP/1.1", "HTTP/x"),
        post("quote=a+b"),
        post("quote="),
        "GET / too many words HTTP/1.1\r\nHost: a\r\n\r\n".into(),
        format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(70_000)),
        get("/").replace("\r\n\r\n", &format!("\r\n{}\r\n", "X: y\r\n".repeat(200))),
    ] {
        let request = match request.contains("HTTP/1.1\r\n") && request.starts_with("GET / ") {
            true => request.replacen("\r\n\r\n", &format!("\r\n{close}"), 1),
            false => request,
        };
        let start: String = request.chars().take(60).collect();
        assert_eq!(
            answer(ours, &request),
            answer(theirs, &request),
            "{start:?}"
        );
    }
}
