//! Bodies of requests: wanted, awaited, refused, dropped.

use shared::http::service;

use crate::account::{Account, get, post, serve, statuses, text};

fn expecting(target: &str, length: usize) -> String {
    format!(
        "POST {target} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
    )
}

#[test]
fn a_client_gets_leave_to_send_only_what_is_wanted() {
    // Wanted.
    let (_, mut client) = serve();
    client.feed(expecting("/", 3));
    assert_eq!(client.output(), b"HTTP/1.1 100 Continue\r\n\r\n");
    client.feed("abc");
    assert!(text(&client.output()).ends_with("\r\n\r\nabc"));
    // Answered without it: whether the client sends it now is unknown.
    let (account, mut client) = serve();
    client.feed(expecting("/early", 3));
    let output = text(&client.output());
    assert!(output.contains("Connection: close\r\n"), "{output}");
    client.feed(format!("abc{}", get("/next")));
    assert!(client.has_ended() && client.output().is_empty());
    assert!(!account.take().contains(&"GET /next".into()));
    // Not yet.
    let (account, mut client) = serve();
    client.feed(expecting("/held", 3));
    assert_eq!(client.output(), b"");
    service::with(
        &mut client.registry(),
        account.ticket(),
        |account: &mut Account, exchange| {
            account.held.set(false);
            exchange.want_body();
            exchange.want_body();
            Ok(())
        },
    );
    assert_eq!(client.output(), b"HTTP/1.1 100 Continue\r\n\r\n");
    // Too large, without leave.
    let (account, mut client) = serve();
    client.feed(expecting("/", 101));
    assert_eq!(statuses(&client.output()), ["413"]);
    let account = account.take();
    assert!(
        account[0].starts_with("\"POST / HTTP/1.1\" 413 "),
        "{account:?}"
    );
    // A client of HTTP/1.0 does not know it.
    let (_, mut client) = serve();
    client.feed(expecting("/", 3).replace("HTTP/1.1", "HTTP/1.0"));
    assert_eq!(client.output(), b"");
}

#[test]
fn the_rest_of_a_body_behind_an_answer_is_dropped_within_a_limit() {
    let chunked = |size: usize| {
        let head = "POST /early HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        format!("{head}{size:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(size))
    };
    for (request, closes) in [
        (post("/early", &"x".repeat(20)), false),
        (post("/early", &"x".repeat(21)), true),
        (chunked(20), false),
        (chunked(21), true),
    ] {
        for bytewise in [false, true] {
            let (account, mut client) = serve();
            match bytewise {
                true => client.feed_bytewise(&request),
                false => client.feed(&request),
            }
            client.feed(get("/next"));
            let statuses = statuses(&client.output());
            let expected = if closes { 1 } else { 2 };
            assert_eq!(statuses.len(), expected, "{request}: {statuses:?}");
            assert_eq!(client.has_ended(), closes, "{request}");
            let is_next = account.take().contains(&"GET /next".into());
            assert_eq!(is_next, !closes, "{request}");
        }
    }
}

#[test]
fn a_body_that_is_not_wanted_stays_with_the_client() {
    let (account, mut client) = serve();
    client.feed(post("/held", &"x".repeat(50)));
    client.feed(get("/next"));
    assert_eq!(account.take(), ["POST /held with 50"]);
    service::with(
        &mut client.registry(),
        account.ticket(),
        |account: &mut Account, _| {
            account.held.set(false);
            Ok(())
        },
    );
    assert_eq!(statuses(&client.output()), ["200", "200"]);
    let first = format!("body {}", "x".repeat(50));
    assert_eq!(account.take()[0], first);
}

#[test]
fn bodies_are_at_most_as_long_as_they_may_be() {
    let chunks = |sizes: &[usize]| {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned();
        let chunk = |size: &usize| format!("{size:x}\r\n{}\r\n", "x".repeat(*size));
        head + &sizes.iter().map(chunk).collect::<String>() + "0\r\n\r\n"
    };
    for (request, status) in [
        (post("/", &"x".repeat(100)), "200"),
        (post("/", &"x".repeat(101)), "413"),
        (chunks(&[50, 50]), "200"),
        (chunks(&[50, 51]), "413"),
        (chunks(&[1; 100]), "200"),
        (chunks(&[1; 101]), "413"),
    ] {
        for bytewise in [false, true] {
            let (_, mut client) = serve();
            match bytewise {
                true => client.feed_bytewise(&request),
                false => client.feed(&request),
            }
            assert_eq!(statuses(&client.output()), [status], "{request}");
        }
    }
}
