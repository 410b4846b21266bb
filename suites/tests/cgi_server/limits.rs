//! Time, output, processes and bodies have limits.

use std::time::{Duration, Instant};

use suites::program::eventually;

use crate::{Server, ask, life::children, rest};

#[test]
fn a_silent_script_is_ended_with_504() {
    let server = Server::start(&["--script-timeout", "0.3"]);
    let reply = server.get("/cgi-bin/sleep.sh");
    assert_eq!(reply.status, 504);
    eventually(|| children(&server).is_empty().then_some(()));
    // Its answer has begun: the client sees that it is not all.
    let reply = ask(
        server.address,
        "GET /cgi-bin/half.sh HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    assert!(
        reply.body.contains("half") && !reply.body.contains("\r\n0\r\n"),
        "{}",
        reply.body
    );
    assert!(
        server
            .end()
            .contains("silent for longer than --script-timeout")
    );
}

#[test]
fn a_script_that_goes_on_and_on_is_ended_too() {
    let server = Server::start(&["--max-script-time", "0.5"]);
    let mut stream = server.connect("GET /cgi-bin/flood.sh HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut all = Vec::new();
    // A reset is an end as well.
    let _ = std::io::Read::read_to_end(&mut stream, &mut all);
    assert!(!all.ends_with(b"\r\n0\r\n\r\n"));
    eventually(|| children(&server).is_empty().then_some(()));
    assert!(server.end().contains("longer than --max-script-time"));
}

#[test]
fn an_answer_has_a_limit() {
    let server = Server::start(&["--max-answer", "1000"]);
    let reply = ask(
        server.address,
        "GET /cgi-bin/large.sh?1000 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    );
    assert!(reply.body.ends_with("\r\n0\r\n\r\n"), "{}", reply.head);
    let mut stream = server
        .connect("GET /cgi-bin/large.sh?1000000 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let mut all = Vec::new();
    let _ = std::io::Read::read_to_end(&mut stream, &mut all);
    assert!(!all.ends_with(b"\r\n0\r\n\r\n"));
    assert!(server.end().contains("--max-answer"));
}

#[test]
fn scripts_at_once_have_a_limit_and_so_have_those_that_wait() {
    let server = Server::start(&[
        "--max-scripts",
        "1",
        "--max-waiting",
        "1",
        "--wait-timeout",
        "20",
    ]);
    let request = "GET /cgi-bin/half.sh HTTP/1.0\r\n\r\n";
    let first = server.connect(request);
    eventually(|| (children(&server).len() == 1).then_some(()));
    let mut second = server.connect("GET /cgi-bin/crlf.sh HTTP/1.0\r\n\r\n");
    let third = eventually(|| {
        let reply = server.get("/cgi-bin/crlf.sh");
        (reply.status == 503).then_some(reply)
    });
    assert_eq!(third.header("Retry-After"), Some("5"));
    assert_eq!(children(&server).len(), 1);
    // The client of the first leaves: the second has its turn.
    drop(first);
    assert_eq!(rest(&mut second).body, "crlf");
}

#[test]
fn nobody_waits_for_ever() {
    let server = Server::start(&["--max-scripts", "1", "--wait-timeout", "0.3"]);
    let _first = server.connect("GET /cgi-bin/half.sh HTTP/1.0\r\n\r\n");
    eventually(|| (children(&server).len() == 1).then_some(()));
    assert_eq!(server.get("/cgi-bin/crlf.sh").status, 503);
    // Nor does the body of one that waits fill anything.
    let begun = Instant::now();
    let reply = server.ask("POST", "/cgi-bin/count.sh", "", &"x".repeat(100));
    assert_eq!(reply.status, 503);
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[test]
fn one_who_waits_and_leaves_gives_up_the_place() {
    let server = Server::start(&["--max-scripts", "1", "--max-waiting", "1"]);
    let mut first = server.connect("GET /cgi-bin/half.sh HTTP/1.0\r\n\r\n");
    // Its answer has begun: all of its channels are there.
    std::io::Read::read_exact(&mut first, &mut [0; 9]).unwrap();
    // What the server has open: the first connection, and its script's pipes.
    let pid = server.program.pid();
    let descriptors = || {
        std::fs::read_dir(format!("/proc/{pid}/fd"))
            .unwrap()
            .count()
    };
    let at_rest = descriptors();
    for _ in 0..3 {
        let waits = server.connect("GET /cgi-bin/crlf.sh HTTP/1.0\r\n\r\n");
        eventually(|| (descriptors() > at_rest).then_some(()));
        drop(waits);
        eventually(|| (descriptors() <= at_rest).then_some(()));
    }
    let mut last = server.connect("GET /cgi-bin/crlf.sh HTTP/1.0\r\n\r\n");
    drop(first);
    assert_eq!(rest(&mut last).body, "crlf");
}

/// The client is given time to read the answer, but its script does not wait for that.
#[test]
fn a_script_whose_input_does_not_come_makes_room() {
    let server = Server::start(&[
        "--max-scripts",
        "1",
        "--request-timeout",
        "0.3",
        "--wait-timeout",
        "10",
    ]);
    let mut slow = server.connect(
        "POST /cgi-bin/whole-input.sh HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc",
    );
    let mut line = [0; 12];
    std::io::Read::read_exact(&mut slow, &mut line).unwrap();
    assert_eq!(&line, b"HTTP/1.1 408");
    assert_eq!(server.get("/cgi-bin/crlf.sh").status, 200);
}

#[test]
fn a_body_has_a_limit() {
    let server = Server::start(&["--max-body", "1000"]);
    for (framing, body) in [
        ("Content-Length: 1001", "x".repeat(1001)),
        (
            "Transfer-Encoding: chunked",
            format!("3e9\r\n{}\r\n0\r\n\r\n", "x".repeat(1001)),
        ),
    ] {
        let reply = ask(
            server.address,
            &format!(
                "POST /cgi-bin/count.sh HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{framing}\r\n\r\n{body}"
            ),
        );
        assert_eq!(reply.status, 413, "{framing}");
    }
    assert_eq!(
        server
            .ask("POST", "/cgi-bin/count.sh", "", &"x".repeat(1000))
            .body,
        "1000\n"
    );
}

#[test]
fn what_scripts_say_on_standard_error_is_printable_and_bounded() {
    let server = Server::start(&[]);
    assert_eq!(server.get("/cgi-bin/errors.sh").status, 200);
    assert_eq!(server.get("/cgi-bin/chatter.sh").body, "done\n");
    let log = server.end();
    for text in [
        "/cgi-bin/errors.sh: first words\n",
        "/cgi-bin/errors.sh: \u{fffd}[31mred\n",
        "/cgi-bin/errors.sh: last\n",
        "99900 more lines",
    ] {
        assert!(log.contains(text), "no {text:?} in {log}");
    }
    assert!(!log.contains('\x1b'), "{log:?}");
    assert_eq!(log.matches("/cgi-bin/chatter.sh: chatter\n").count(), 100);
}
