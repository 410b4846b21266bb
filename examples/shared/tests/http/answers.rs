//! Answers, whole and byte by byte, cut and wrong.

use std::time::Duration;

use asynchat::testing::Harness;

use crate::{Client, Notes, order};

const URL: &str = "http://192.0.2.1/";

#[test]
fn each_answer_is_one_outcome_whole_and_byte_by_byte() {
    let long = format!("HTTP/1.1 200 OK\r\nA: {}", "x".repeat(64 * 1024));
    let cases: &[(&str, &[&str])] = &[
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab",
            &["200", "\"ab\"", "end"],
        ),
        (
            "HTTP/1.1 100 C\r\n\r\nHTTP/1.1 204 N\r\n\r\n",
            &["204", "end"],
        ),
        ("HTTP/1.0 200 OK\r\n\r\nab", &["200", "\"ab\"", "end"]),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n",
            &["200", "\"ab\"", "end"],
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
            &[
                "200",
                "\"ab\"",
                "connection closed after 2 of 3 bytes of the body",
            ],
        ),
        (
            "HTTP/1.1 206 P\r\nContent-Range: bytes 0-1/9\r\nContent-Length: 2\r\n\r\nab",
            &["the server sent a part of the body (206) without being asked to"],
        ),
        ("", &["connection closed without an answer"]),
        (
            "HTTP/1.1 200 OK\r\n",
            &["connection closed within the header"],
        ),
        ("SSH-2.0-x\r\n", &["the server does not speak HTTP/1"]),
        (&long, &["header longer than 65536 bytes"]),
    ];
    for (answer, notes) in cases {
        let feeds: [fn(&mut Harness, &str); 2] = [
            |server, answer| server.feed(answer),
            |server, answer| server.feed_bytewise(answer),
        ];
        for feed in feeds {
            let told = Notes::default();
            let mut client = Client::new();
            client.start(order(URL), told.clone());
            let (mut server, _) = client.server();
            feed(&mut server, answer);
            server.eof();
            told.are(notes);
            client.is_done();
        }
    }
}

#[test]
fn a_server_that_breaks_off_or_is_silent_is_an_error() {
    let told = Notes::default();
    let mut client = Client::new();
    client.start(order(URL), told.clone());
    client.server().0.reset();
    client.start(order(URL), told.clone());
    client.server().0.advance(Duration::from_secs(30));
    told.are(&[
        "connection reset without an answer",
        "timed out without an answer: the server was silent for 30s",
    ]);
    client.is_done();
}
