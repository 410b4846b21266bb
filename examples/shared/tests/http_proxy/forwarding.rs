//! Requests and answers that are as they should be.

use crate::scene::{Scene, feed, text};

struct Case {
    request: &'static str,
    at_server: &'static str,
    answer: &'static str,
    at_client: &'static str,
    /// Whether the client's connection ends.
    ends: bool,
    logged: &'static str,
}

const CASES: &[Case] = &[
    Case {
        request: "GET http://a/x?y HTTP/1.1\r\nHost: elsewhere\r\nProxy-Connection: keep-alive\r\n\r\n",
        at_server: "GET /x?y HTTP/1.1\r\nHost: a\r\nVia: 1.1 p\r\n\r\n",
        answer: "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nKeep-Alive: 5\r\n\r\nabc",
        at_client: "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nVia: 1.1 p\r\n\r\nabc",
        ends: false,
        logged: "- GET http://a/x?y HTTP/1.1 200 3",
    },
    Case {
        request: "POST http://a:81/ HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody",
        at_server: "POST / HTTP/1.1\r\nHost: a:81\r\nContent-Length: 4\r\nVia: 1.1 p\r\n\r\nbody",
        answer: "HTTP/1.1 201 Made\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0A\r\n0123456789\r\n0\r\nT: u\r\n\r\n",
        at_client: "HTTP/1.1 201 Made\r\nTransfer-Encoding: chunked\r\nVia: 1.1 p\r\n\r\n3\r\nabc\r\na\r\n0123456789\r\n0\r\n\r\n",
        ends: false,
        logged: "- POST http://a:81/ HTTP/1.1 201 13",
    },
    Case {
        request: "PUT http://a/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n004;x\r\nbody\r\n1\r\n!\r\n0\r\nT: u\r\n\r\n",
        at_server: "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nVia: 1.1 p\r\n\r\n4\r\nbody\r\n1\r\n!\r\n0\r\n\r\n",
        answer: "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
        at_client: "HTTP/1.1 204 No Content\r\nVia: 1.1 p\r\n\r\n",
        ends: false,
        logged: "- PUT http://a/ HTTP/1.1 204 0",
    },
    Case {
        request: "HEAD http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        at_server: "HEAD / HTTP/1.1\r\nHost: a\r\nVia: 1.1 p\r\n\r\n",
        answer: "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
        at_client: "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nVia: 1.1 p\r\n\r\n",
        ends: false,
        logged: "- HEAD http://a/ HTTP/1.1 200 0",
    },
    Case {
        request: "GET http://a/ HTTP/1.0\r\n\r\n",
        at_server: "GET / HTTP/1.1\r\nHost: a\r\nVia: 1.0 p\r\n\r\n",
        answer: "HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        at_client: "HTTP/1.1 200 OK\r\nVia: 1.1 p\r\nConnection: close\r\n\r\nabc",
        ends: true,
        logged: "- GET http://a/ HTTP/1.0 200 3",
    },
    Case {
        request: "GET http://a/ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        at_server: "GET / HTTP/1.1\r\nHost: a\r\nVia: 1.0 p\r\n\r\n",
        answer: "HTTP/1.0 200 OK\nContent-Length: 3\nA : b\n c\n\nabc",
        at_client: "HTTP/1.1 200 OK\r\nA: b c\r\nContent-Length: 3\r\nVia: 1.0 p\r\nConnection: keep-alive\r\n\r\nabc",
        ends: false,
        logged: "- GET http://a/ HTTP/1.0 200 3",
    },
    Case {
        request: "GET http://a/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        at_server: "GET / HTTP/1.1\r\nHost: a\r\nVia: 1.1 p\r\n\r\n",
        answer: "HTTP/1.1 100 Continue\r\nA: b\r\n\r\nHTTP/1.1 304 Same\r\nContent-Length: 5\r\n\r\n",
        at_client: "HTTP/1.1 100 Continue\r\nA: b\r\nVia: 1.1 p\r\n\r\n\
                    HTTP/1.1 304 Same\r\nContent-Length: 5\r\nVia: 1.1 p\r\nConnection: close\r\n\r\n",
        ends: true,
        logged: "- GET http://a/ HTTP/1.1 304 0",
    },
    Case {
        request: "OPTIONS http://a HTTP/1.1\r\nHost: a\r\nMax-Forwards: 1\r\nContent-Length: 0\r\n\r\n",
        at_server: "OPTIONS * HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nMax-Forwards: 0\r\nVia: 1.1 p\r\n\r\n",
        answer: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        at_client: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nVia: 1.1 p\r\n\r\n",
        ends: false,
        logged: "- OPTIONS http://a HTTP/1.1 200 0",
    },
];

#[test]
fn requests_and_answers_pass_however_they_are_cut() {
    for case in CASES {
        for (up, down) in [(false, false), (true, false), (false, true), (true, true)] {
            let mut scene = Scene::new(&[]);
            let mut client = scene.client();
            feed(&mut client, case.request, up);
            let mut server = scene.server();
            assert_eq!(text(&mut server), case.at_server);
            feed(&mut server, case.answer, down);
            assert_eq!(text(&mut client), case.at_client, "{}", case.request);
            assert_eq!(client.has_ended(), case.ends, "{}", case.request);
            assert_eq!(scene.log(), [case.logged]);
        }
    }
}

/// Without a length the end of the connection is the end of the answer, and the client's connection goes on.
#[test]
fn an_answer_without_a_length_ends_with_the_connection() {
    for (version, head, body) in [
        (
            "1.1",
            "Transfer-Encoding: chunked\r\nVia: 1.0 p\r\n\r\n",
            "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        ),
        ("1.0", "Via: 1.0 p\r\nConnection: close\r\n\r\n", "abcde"),
    ] {
        let mut scene = Scene::new(&[]);
        let mut client = scene.client();
        let request =
            format!("GET http://a/ HTTP/{version}\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
        client.feed(request);
        let mut server = scene.server();
        server.feed("HTTP/1.0 200 OK\r\n\r\nabc");
        server.feed("de");
        server.eof();
        assert_eq!(
            text(&mut client),
            format!("HTTP/1.1 200 OK\r\n{head}{body}")
        );
        assert_eq!(client.has_ended(), version == "1.0");
        assert!(server.is_closed());
        assert_eq!(
            scene.log(),
            [format!("- GET http://a/ HTTP/{version} 200 5")]
        );
    }
}

const GET: &str = "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n";
const EMPTY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

#[test]
fn connections_to_servers_are_kept_for_the_next_request_of_anybody() {
    let mut scene = Scene::new(&[]);
    let mut first = scene.client();
    first.feed(GET);
    let mut server = scene.server();
    server.feed(EMPTY);
    first.feed(GET);
    server.feed(EMPTY);
    let mut second = scene.client();
    second.feed(GET);
    assert_eq!(text(&mut server).matches("GET / HTTP/1.1").count(), 3);
    server.feed(EMPTY);
    assert_eq!(text(&mut first).matches("200 OK").count(), 2);
    assert_eq!(text(&mut second).matches("200 OK").count(), 1);
    assert!(scene.dialled().is_none());
    // Another server, and another port of the same one, have connections of their own.
    for url in ["http://b/", "http://a:81/"] {
        first.feed(format!("GET {url} HTTP/1.1\r\nHost: a\r\n\r\n"));
        scene.server().feed(EMPTY);
    }
}

#[test]
fn pipelined_requests_are_answered_in_order_one_at_a_time() {
    let mut scene = Scene::new(&[]);
    let mut client = scene.client();
    client.feed([GET, "GET http://b/ HTTP/1.1\r\nHost: b\r\n\r\n"].concat());
    let mut a = scene.server();
    assert!(scene.dialled().is_none());
    a.feed("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na");
    let mut b = scene.server();
    b.feed("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb");
    let answers = text(&mut client);
    assert!(
        answers.find("\r\n\r\na") < answers.find("\r\n\r\nb"),
        "{answers}"
    );
}

#[test]
fn the_word_to_continue_is_the_servers() {
    let mut scene = Scene::new(&[]);
    let mut client = scene.client();
    client.feed(
        "PUT http://a/ HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n",
    );
    let mut server = scene.server();
    assert!(text(&mut server).contains("Expect: 100-continue\r\n"));
    assert_eq!(text(&mut client), "");
    server.feed("HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(
        text(&mut client),
        "HTTP/1.1 100 Continue\r\nVia: 1.1 p\r\n\r\n"
    );
    client.feed("abc");
    assert_eq!(text(&mut server), "abc");
    server.feed(EMPTY);
    assert!(text(&mut client).starts_with("HTTP/1.1 200") && !client.has_ended());
}

/// What the server does not read would be taken for its next request.
#[test]
fn an_answer_before_the_end_of_the_request_ends_both_connections() {
    let mut scene = Scene::new(&[]);
    let mut client = scene.client();
    client.feed("PUT http://a/ HTTP/1.1\r\nHost: a\r\nContent-Length: 30\r\n\r\nabc");
    let mut server = scene.server();
    server.feed("HTTP/1.1 413 Large\r\nContent-Length: 0\r\n\r\n");
    assert!(text(&mut client).contains("Connection: close\r\n"));
    assert!(client.has_ended() && server.is_closed());
    client.feed([b'x'; 100]);
    client.eof();
    assert!(client.is_closed());
    assert_eq!(scene.log(), ["- PUT http://a/ HTTP/1.1 413 0"]);
}

#[test]
fn fields_are_taken_out_and_put_in_as_options_say() {
    let options = [
        "--strip-request",
        "cookie",
        "--strip-response",
        "set-cookie",
        "--x-forwarded-for",
        "--forwarded",
    ];
    let mut scene = Scene::new(&options);
    let mut client = scene.client();
    client.feed("GET http://a/ HTTP/1.1\r\nHost: a\r\nCookie: secret\r\nProxy-Authorization: Basic x\r\n\r\n");
    let mut server = scene.server();
    let peer = client.address().inet().unwrap().ip();
    let request = text(&mut server);
    assert!(
        request.contains(&format!(
            "X-Forwarded-For: {peer}\r\nForwarded: for={peer}\r\n"
        )),
        "{request}"
    );
    assert!(
        !request.contains("secret") && !request.contains("Basic"),
        "{request}"
    );
    server.feed("HTTP/1.1 200 OK\r\nSet-Cookie: secret\r\nContent-Length: 0\r\n\r\n");
    assert!(!text(&mut client).contains("secret"));
}

#[test]
fn who_does_not_read_holds_the_other_up() {
    let mut scene = Scene::new(&[]);
    let mut client = scene.client();
    client.set_window(0);
    client.feed(GET);
    let mut server = scene.server();
    server.output();
    let size = 100 * 64 * 1024;
    server.feed(format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n"));
    for _ in 0..100 {
        server.feed([b'x'; 64 * 1024]);
    }
    let queued = |scene: &mut Scene, id| {
        scene
            .listener()
            .registry()
            .channel(id)
            .map(|channel| channel.outgoing_len())
    };
    let waiting = queued(&mut scene, client.id()).unwrap();
    assert!((1..=256 * 1024).contains(&waiting), "{waiting}");
    client.set_window(usize::MAX);
    assert!(client.output().len() > size);
    // And the other way.
    client.feed(format!(
        "POST http://b/ HTTP/1.1\r\nHost: b\r\nContent-Length: {size}\r\n\r\n"
    ));
    let mut server = scene.server();
    server.set_window(0);
    for _ in 0..100 {
        client.feed([b'x'; 64 * 1024]);
    }
    let waiting = queued(&mut scene, server.id()).unwrap();
    assert!((1..=256 * 1024).contains(&waiting), "{waiting}");
    server.set_window(usize::MAX);
    assert!(server.output().len() > size);
    server.feed(EMPTY);
    assert!(text(&mut client).starts_with("HTTP/1.1 200"));
}
