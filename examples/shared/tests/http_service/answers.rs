//! Forms of answers, and handlers that break their word.

use crate::account::{get, serve, text};

#[test]
fn each_form_of_an_answer_ends_where_its_client_sees_it() {
    for (target, answer, keeps) in [
        (
            "/not-modified",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
            true,
        ),
        ("/no-content", "HTTP/1.1 204 No Content\r\n\r\n", true),
        (
            "/producer",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nproduced\r\n0\r\n\r\n",
            true,
        ),
        (
            "/exact",
            "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nproduced",
            true,
        ),
        // Fewer bytes than announced, more, none: the client sees a cut.
        (
            "/short",
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nproduced",
            false,
        ),
        (
            "/long",
            "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n",
            false,
        ),
        (
            "/broken",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            false,
        ),
        (
            "/too-much",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
            false,
        ),
        (
            "/too-little",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na",
            false,
        ),
        (
            "/begun-abort",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n",
            false,
        ),
        (
            "/hints",
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            true,
        ),
    ] {
        let (account, mut client) = serve();
        client.feed(get(target));
        assert_eq!(text(&client.output()), answer, "{target}");
        assert_eq!(client.is_closed(), !keeps, "{target}");
        let account = account.take();
        let is_cut = account.iter().any(|line| line.ends_with("(cut)"));
        assert_eq!(is_cut, !keeps, "{target}: {account:?}");
        if keeps {
            client.feed(get("/early"));
            let next = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly";
            assert_eq!(text(&client.output()), next, "{target}");
        }
    }
}

#[test]
fn head_gets_the_head_alone() {
    for target in [
        "/stream",
        "/producer",
        "/exact",
        "/file",
        "/early",
        "/begun-abort",
        "/short",
    ] {
        let (_, mut client) = serve();
        client.feed(format!("HEAD {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let output = text(&client.output());
        assert!(output.ends_with("\r\n\r\n"), "{target}: {output}");
        assert!(
            output.starts_with("HTTP/1.1 200 OK\r\n"),
            "{target}: {output}"
        );
        assert!(!output.contains("Transfer-Encoding"), "{target}: {output}");
    }
}

#[test]
fn a_failure_before_the_answer_is_an_answer_and_one_in_it_a_cut() {
    let later = |target: &str, body: &str| {
        let length = body.len();
        format!(
            "POST {target} HTTP/1.1\r\nHost: a\r\nWhen: later\r\nContent-Length: {length}\r\n\r\n{body}"
        )
    };
    for (request, status) in [
        (get("/error"), 500),
        (get("/panic"), 500),
        (get("/abort"), 502),
        (later("/error", "now"), 500),
        (later("/panic", "now"), 500),
        (later("/error", "body_end"), 500),
        (later("/panic", "body_end"), 500),
        (later("/abort", "body_end"), 502),
    ] {
        let (account, mut client) = serve();
        client.feed(format!("{request}{}", get("/next")));
        let output = text(&client.output());
        let start = format!("HTTP/1.1 {status} ");
        assert!(output.starts_with(&start), "{request}: {output}");
        assert_eq!(output.matches("HTTP/1.1").count(), 1, "{output}");
        client.eof();
        assert!(client.is_closed(), "{request}");
        let account = account.take();
        let answered = account.iter().filter(|line| line.starts_with('"'));
        assert_eq!(answered.count(), 1, "{account:?}");
    }
    let (_, mut client) = serve();
    client.feed(get("/twice"));
    let output = text(&client.output());
    assert_eq!(output, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert!(client.is_closed());
}
