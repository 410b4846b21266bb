//! Clients that leave, and requests that are refused.

use shared::http::smuggling::{self, CHUNKED};

use crate::account::{get, post, serve, statuses, text};

#[test]
fn what_could_be_smuggled_reaches_no_handler() {
    let next = get("/next");
    for request in smuggling::requests() {
        for bytewise in [false, true] {
            let (account, mut client) = serve();
            let stream = format!("{request}{next}");
            match bytewise {
                true => client.feed_bytewise(&stream),
                false => client.feed(&stream),
            }
            assert_eq!(statuses(&client.output()), ["400"], "{request:?}");
            assert!(client.has_ended(), "{request:?}");
            let account = account.take();
            assert_eq!(account.len(), 1, "{request:?}: {account:?}");
        }
    }
    for chunks in smuggling::CHUNKS {
        for bytewise in [false, true] {
            let (account, mut client) = serve();
            let stream = format!("{CHUNKED}{chunks}{next}");
            match bytewise {
                true => client.feed_bytewise(&stream),
                false => client.feed(&stream),
            }
            assert_eq!(statuses(&client.output()), ["400"], "{chunks:?}");
            let account = account.take();
            let is_answered = account.iter().any(|line| line.starts_with("body "));
            assert!(
                !is_answered && !account.contains(&"GET /next".into()),
                "{account:?}"
            );
        }
    }
}

#[test]
fn other_refusals_have_their_status() {
    let head = |rest: &str| format!("GET / HTTP/1.1\r\nHost: a\r\n{rest}\r\n");
    for (request, status) in [
        (head("Transfer-Encoding: gzip, chunked\r\n"), "501"),
        (head(&"X: y\r\n".repeat(100)), "431"),
        (head(&format!("X: {}\r\n", "y".repeat(16 * 1024))), "431"),
        (format!("GET /{} HTTP/1.1\r\n", "x".repeat(8 * 1024)), "414"),
        ("x".repeat(9 * 1024), "501"),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n".into(), "505"),
        ("\r\n\r\n".repeat(5), "400"),
        (
            "CONNECT a:1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc".into(),
            "400",
        ),
        (
            "CONNECT a:1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(),
            "400",
        ),
    ] {
        let (account, mut client) = serve();
        client.feed(&request);
        assert_eq!(statuses(&client.output()), [status], "{request:.80}");
        assert!(client.has_ended(), "{request:.80}");
        let account = account.take();
        assert_eq!(account.len(), 1, "{account:?}");
        assert!(account[0].len() < 1200, "{account:?}");
    }
}

/// A stream that ends or breaks after each of its bytes.
#[test]
fn a_client_may_leave_at_any_byte() {
    let stream = [post("/", "abc"), get("/stream"), post("/begun", "abc")].concat();
    let complete = [
        post("/", "abc").len(),
        post("/", "abc").len() + get("/stream").len(),
    ];
    for at in 0..stream.len() {
        for resets in [false, true] {
            let (account, mut client) = serve();
            client.feed(&stream[..at]);
            match resets {
                true => client.reset(),
                false => client.eof(),
            }
            assert!(client.is_closed(), "{at}");
            let answers = complete.iter().filter(|&&end| end <= at).count();
            let begun = account.take();
            let gone = begun.iter().filter(|line| line.starts_with("gone: "));
            assert_eq!(gone.count(), 1, "{at}: {begun:?}");
            let answered = begun.iter().filter(|line| line.ends_with(" 200 3"));
            assert_eq!(answered.count(), answers, "{at}: {begun:?}");
        }
    }
}

#[test]
fn a_client_that_ends_its_side_gets_its_answer() {
    let (account, mut client) = serve();
    client.feed(get("/later"));
    client.eof();
    assert!(!client.is_closed());
    assert_eq!(account.take(), ["GET /later", "body ", "client ended"]);
    shared::http::service::with(
        &mut client.registry(),
        account.ticket(),
        |_: &mut crate::account::Account, exchange| exchange.error(404, ""),
    );
    let output = text(&client.output());
    assert!(output.starts_with("HTTP/1.1 404 Not Found\r\n"), "{output}");
    assert!(client.is_closed());
}

#[test]
fn a_reset_ends_an_exchange_that_waits_for_its_handler() {
    for (target, cut) in [("/later", false), ("/begun", true)] {
        let (account, mut client) = serve();
        client.feed(get(target));
        client.reset();
        assert!(client.is_closed());
        let account = account.take();
        assert_eq!(
            account.iter().any(|line| line.ends_with("(cut)")),
            cut,
            "{account:?}"
        );
        assert_eq!(
            account.last().map(String::as_str),
            Some("gone: reset by peer")
        );
    }
}
