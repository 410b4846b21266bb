//! Requests one after the other.

use crate::account::{get, serve, statuses, text};

#[test]
fn requests_are_answered_in_order_in_one_piece_and_byte_by_byte() {
    let requests = "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\
        GET /stream HTTP/1.1\r\nHost: a\r\n\r\n\
        POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nde\r\n1\r\nf\r\n0\r\nA: b\r\n\r\n\
        HEAD /stream HTTP/1.1\r\nHost: a\r\n\r\n\
        GET /3 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n\
        GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    let answers = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nabc\
        HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n\
        HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\ndef\
        HTTP/1.1 200 OK\r\n\r\n\
        HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n\
        HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc";
    for bytewise in [false, true] {
        let (account, mut client) = serve();
        match bytewise {
            true => client.feed_bytewise(requests),
            false => client.feed(requests),
        }
        assert_eq!(text(&client.output()), answers, "bytewise: {bytewise}");
        assert!(client.has_ended());
        client.eof();
        assert!(client.is_closed());
        let expected = [
            "POST /1 with 3",
            "body abc",
            "\"POST /1 HTTP/1.1\" 200 3",
            "GET /stream",
            "\"GET /stream HTTP/1.1\" 200 3",
            "POST /2 in chunks",
            "body def",
            "\"POST /2 HTTP/1.1\" 200 3",
            "HEAD /stream",
            "\"HEAD /stream HTTP/1.1\" 200 0",
            "GET /3",
            "body ",
            "\"GET /3 HTTP/1.0\" 200 0",
            "GET /stream",
            "\"GET /stream HTTP/1.0\" 200 3",
            "gone: done",
        ];
        assert_eq!(account.take(), expected);
    }
}

#[test]
fn nothing_is_read_behind_the_last_request() {
    for request in [
        "GET /early HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".to_owned(),
        "GET /early HTTP/1.0\r\n\r\n".to_owned(),
        get("/early-close"),
        get("/error"),
        get("/abort"),
        get("/panic"),
    ] {
        let (account, mut client) = serve();
        client.feed(format!("{request}{}", get("/next")));
        let output = text(&client.output());
        assert!(output.contains("Connection: close\r\n"), "{output}");
        assert!(client.has_ended(), "{request}");
        let account = account.take();
        assert!(!account.contains(&"GET /next".into()), "{account:?}");
    }
}

#[test]
fn ten_thousand_requests_of_a_client_that_reads_nothing_cost_as_much_as_a_few() {
    let (account, mut client) = serve();
    client.set_window(0);
    let request = get("/file");
    client.feed(request.repeat(10_000));
    // The answer to the first is on its way.
    assert_eq!(account.take(), ["GET /file"]);
    let id = client.id();
    let queued = client.registry().channel(id).expect("open").outgoing_len();
    assert!(queued < 200_000, "{queued}");

    let (account, mut client) = serve();
    client.set_window(0);
    client.feed(get("/early").repeat(10_000));
    let id = client.id();
    let queued = client.registry().channel(id).expect("open").outgoing_len();
    assert!((100_000..200_000).contains(&queued), "{queued}");
    client.set_window(usize::MAX);
    let mut output = Vec::new();
    loop {
        let more = client.output();
        if more.is_empty() {
            break;
        }
        output.extend(more);
    }
    assert_eq!(statuses(&output).len(), 10_000);
    assert_eq!(account.take().len(), 20_000);
}

#[test]
fn a_stream_of_requests_may_be_cut_anywhere() {
    let requests = [
        "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
        "\r\n",
        &get("/stream"),
        "POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n0\r\n\r\n",
        &get("/file"),
        &get("/exact"),
    ]
    .concat();
    let (_, mut client) = serve();
    client.feed(&requests);
    let whole = text(&client.output());
    for at in 1..requests.len() {
        let (account, mut client) = serve();
        client.feed(&requests[..at]);
        client.feed(&requests[at..]);
        assert_eq!(text(&client.output()), whole, "{at}");
        client.eof();
        assert!(client.is_closed(), "{at}");
        let account = account.take();
        assert_eq!(
            account.last().map(String::as_str),
            Some("gone: end of file")
        );
    }
}
