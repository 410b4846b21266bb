//! Servers that do not do as they should.

use crate::scene::{Scene, feed, text, verdict};

const GET: &str = "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n";
const EMPTY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

#[test]
fn what_is_no_answer_is_502() {
    let long = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(70_000));
    let crowd = format!("HTTP/1.1 200 OK\r\nConnection: {}\r\n\r\n", "x,".repeat(40));
    let interim = "HTTP/1.1 103 X\r\n\r\n".repeat(17);
    for answer in [
        "SSH-2.0-x\r\n",
        "\r\n\r\n",
        "HTTP/1.1 99 X\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b\r\n\r\n",
        "HTTP/1.1 200 O\0K\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\n X: y\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 304 OK\r\nContent-Length: 3x\r\n\r\n",
        "HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n",
        &long,
        &crowd,
        &interim,
    ] {
        for bytewise in [false, true] {
            let mut scene = Scene::new(&[]);
            let mut client = scene.client();
            client.feed(GET);
            let mut server = scene.server();
            feed(&mut server, answer, bytewise);
            let said = text(&mut client);
            let said = said.rfind("HTTP/1.1 5").map_or("", |at| &said[at..]);
            assert_eq!(verdict(said), (502, "http_protocol_error"), "{answer:.80?}");
            assert!(server.is_closed() && !client.has_ended(), "{answer:.80?}");
        }
    }
}

/// The client sees that something is missing: a length that is not reached, or no last chunk.
#[test]
fn an_answer_that_breaks_off_breaks_off() {
    type Break = fn(&mut asynchat::testing::Harness);
    let breaks: [Break; 3] = [|s| s.eof(), |s| s.reset(), |s| s.feed("1;\nx\r\n\r\n")];
    for (begun, at_client) in [
        ("Content-Length: 9\r\n\r\nabc", "\r\n\r\nabc"),
        (
            "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
            "\r\n\r\n3\r\nabc\r\n",
        ),
    ] {
        for (number, break_off) in breaks.iter().enumerate() {
            if number == 2 && begun.starts_with("Content") {
                continue;
            }
            let mut scene = Scene::new(&[]);
            let mut client = scene.client();
            client.feed([GET, GET].concat());
            let mut server = scene.server();
            server.feed(format!("HTTP/1.1 200 OK\r\n{begun}"));
            break_off(&mut server);
            assert!(client.is_closed() && server.is_closed(), "{begun} {number}");
            assert!(text(&mut client).ends_with(at_client), "{begun} {number}");
            assert!(scene.dialled().is_none());
            assert_eq!(scene.log(), ["- GET http://a/ HTTP/1.1 200 3"]);
        }
    }
}

/// Bytes behind an answer would be the next one's, perhaps another client's.
#[test]
fn what_comes_behind_an_answer_ends_the_connection() {
    for (request, answer) in [
        (GET, format!("{EMPTY}{EMPTY}")),
        (GET, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab".into()),
        (
            "HEAD http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na".into(),
        ),
        (GET, "HTTP/1.1 304 X\r\n\r\na".into()),
    ] {
        for bytewise in [false, true] {
            let mut scene = Scene::new(&[]);
            let mut client = scene.client();
            client.feed(request);
            let mut server = scene.server();
            feed(&mut server, &answer, bytewise);
            assert!(server.is_closed(), "{answer:?}");
            assert_eq!(text(&mut client).matches("HTTP/1.1").count(), 1);
            client.feed(GET);
            let mut next = scene.server();
            next.feed(EMPTY);
            assert!(text(&mut client).starts_with("HTTP/1.1 200 OK"));
        }
    }
}

#[test]
fn a_server_that_says_nothing_is_504() {
    let mut scene = Scene::new(&["--answer-timeout", "5"]);
    let mut client = scene.client();
    client.feed(GET);
    let mut server = scene.server();
    scene.advance(4);
    assert_eq!(text(&mut client), "");
    scene.advance(1);
    assert_eq!(
        verdict(&text(&mut client)),
        (504, "connection_read_timeout")
    );
    assert!(server.is_closed() && !client.has_ended());
    // In the middle of an answer there is no other any more.
    client.feed(GET);
    let mut server = scene.server();
    server.feed("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc");
    scene.advance(5);
    assert!(text(&mut client).ends_with("abc"));
    assert!(server.is_closed() && client.is_closed());
}
