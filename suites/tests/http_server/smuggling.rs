//! Requests that another server on the way might understand differently get 400 and the end of the connection.

use std::io::Write;

use shared::http::smuggling::{self, CHUNKED};
use suites::web_server::plain;

#[test]
fn what_could_be_smuggled_is_400_and_close() {
    let server = plain();
    let next = "GET /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n";
    for request in smuggling::requests() {
        let reply = server.ask_both(&request);
        assert_eq!(reply.status, 400, "{request:?}");
        assert!(reply.closes(), "{request:?}");
        // And nothing behind it is taken for a request.
        let mut client = server.connect();
        client.send(&[&request, next].concat());
        client.reply_to(&request).expect(400);
        assert_eq!(client.rest(), b"", "{request:?}");
    }
}

#[test]
fn malformed_chunks_are_400_and_close() {
    let server = plain();
    for chunks in smuggling::CHUNKS {
        let reply = server.ask_both(&format!("{CHUNKED}{chunks}"));
        assert_eq!(reply.status, 400, "{chunks:?}");
        assert!(reply.closes(), "{chunks:?}");
    }
}

#[test]
fn other_codings_are_501_and_other_versions_505() {
    let server = plain();
    let reply = server.ask_both(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    );
    assert!(reply.expect(501).closes());
    for version in ["HTTP/2.0", "HTTP/0.9"] {
        let reply = server.ask_both(&format!("GET / {version}\r\nHost: a\r\n\r\n"));
        assert!(reply.expect(505).closes());
    }
}

#[test]
fn a_later_minor_version_is_served_as_1_1() {
    let server = plain();
    let reply = server.ask_both("GET /hello.txt HTTP/1.2\r\nHost: a\r\n\r\n");
    assert!(!reply.expect(200).closes());
    server
        .ask_both("GET /hello.txt HTTP/1.9\r\n\r\n")
        .expect(400);
}

#[test]
fn good_chunk_extensions_are_overlooked() {
    let server = plain();
    let head = "GET /hello.txt HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for extensions in [";a", ";a=b;c", ";a=\"b;\\\"c\"", " ; a = b"] {
        let chunks = format!("5{extensions}\r\nhello\r\n0{extensions}\r\n\r\n");
        let reply = server.ask_both(&format!("{head}{chunks}"));
        assert!(!reply.expect(200).closes(), "{extensions}");
    }
}

/// The start of what another protocol's client sends, or one with other line ends, and then waits for an answer.
#[test]
fn what_cannot_become_a_request_is_400_at_once() {
    let server = plain();
    let hello = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    for start in [
        &hello[..],
        &hello[..1],
        b"\x80\x2e\x01",
        b"\0",
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"GET / HTTP/1.1\r\nHost: a\n\n",
        b"GET / HTTP/1.1\r\nHost: a\rX: y",
        b"GET /a b",
        b"GET / HTTP/01",
        b"\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\n",
    ] {
        let mut client = server.connect();
        client.stream.write_all(start).unwrap();
        // The client neither ends its request nor its side: a server that waited for either would time out.
        let reply = client.reply_to("").expect(400);
        assert!(reply.closes(), "{}", start.escape_ascii());
        assert_eq!(client.rest(), b"");
    }
}
