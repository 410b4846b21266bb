//! Connections that end at every step, and those that turn out to be dead.

use std::{io, time::Duration};

use crate::scene::{Scene, text, verdict};

const GET: &str = "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n";
const EMPTY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

#[test]
fn a_client_that_leaves_takes_its_connection_along() {
    for (request, answer, logged) in [
        ("", "", None),
        ("GET http", "", None),
        (GET, "", Some("- GET http://a/ HTTP/1.1 499 0")),
        (
            GET,
            "HTTP/1.1 200 O",
            Some("- GET http://a/ HTTP/1.1 499 0"),
        ),
        (
            GET,
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
            Some("- GET http://a/ HTTP/1.1 200 3"),
        ),
        (
            "POST http://a/ HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc",
            "",
            Some("- POST http://a/ HTTP/1.1 499 0"),
        ),
    ] {
        let mut scene = Scene::new(&[]);
        let mut client = scene.client();
        client.feed(request);
        let mut server = logged.map(|_| scene.server());
        if let Some(server) = &mut server {
            server.feed(answer);
        }
        client.reset();
        assert!(client.is_closed(), "{request}");
        assert!(
            server.is_none_or(|mut server| server.is_closed()),
            "{request} {answer}"
        );
        assert_eq!(scene.log().first().map(String::as_str), logged);
    }
}

#[test]
fn a_client_that_ends_its_side_still_gets_its_answer() {
    let mut scene = Scene::new(&[]);
    let mut client = scene.client();
    client.feed(GET);
    client.eof();
    let mut server = scene.server();
    server.feed(EMPTY);
    assert!(text(&mut client).starts_with("HTTP/1.1 200 OK"));
    assert!(client.has_ended());
    // But half a body is none.
    let mut client = scene.client();
    client.feed("POST http://a/ HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc");
    let mut server = scene.server();
    client.eof();
    assert!(client.is_closed() && server.is_closed());
}

#[test]
fn a_server_that_does_not_answer_is_502() {
    type End = fn(&mut asynchat::testing::Harness);
    let ends: [End; 2] = [|s| s.eof(), |s| s.reset()];
    for end in ends {
        for begun in ["", "HTTP/1.1 200 OK\r\nX: y\r\n"] {
            let mut scene = Scene::new(&[]);
            let mut client = scene.client();
            client.feed(GET);
            let mut server = scene.server();
            server.feed(begun);
            end(&mut server);
            assert_eq!(verdict(&text(&mut client)), (502, "connection_terminated"));
            assert!(!client.has_ended() && scene.dialled().is_none());
        }
    }
    let mut scene = Scene::new(&[]);
    let mut client = scene.client();
    client.feed(GET);
    scene
        .dialled()
        .unwrap()
        .connect_failed(io::ErrorKind::ConnectionRefused);
    assert_eq!(verdict(&text(&mut client)), (502, "connection_refused"));
}

/// A proxy with one connection to `a` that is kept.
fn with_kept() -> (
    Scene,
    asynchat::testing::Harness,
    asynchat::testing::Harness,
) {
    let mut scene = Scene::new(&[]);
    let mut client = scene.client();
    client.feed(GET);
    let mut server = scene.server();
    server.feed(EMPTY);
    server.output();
    client.output();
    (scene, client, server)
}

#[test]
fn a_request_on_a_kept_connection_that_is_dead_is_sent_once_more() {
    let (mut scene, mut client, mut server) = with_kept();
    client.feed(GET);
    assert!(text(&mut server).starts_with("GET / "));
    server.reset();
    let mut second = scene.server();
    assert!(text(&mut second).starts_with("GET / "));
    second.eof();
    // Once.
    assert!(scene.dialled().is_none());
    assert_eq!(verdict(&text(&mut client)), (502, "connection_terminated"));
}

#[test]
fn a_request_whose_answer_has_begun_is_not_sent_again() {
    let (mut scene, mut client, mut server) = with_kept();
    client.feed(GET);
    server.feed("HTTP/1.1");
    server.reset();
    assert!(scene.dialled().is_none());
    assert_eq!(verdict(&text(&mut client)), (502, "connection_terminated"));
}

#[test]
fn a_request_that_may_not_be_sent_twice_has_a_new_connection() {
    for request in [
        "POST http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "PUT http://a/ HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
    ] {
        let (mut scene, mut client, mut server) = with_kept();
        client.feed(request);
        let mut fresh = scene.server();
        assert_eq!(text(&mut server), "");
        fresh.feed(EMPTY);
        assert!(text(&mut client).starts_with("HTTP/1.1 200"));
    }
}

#[test]
fn a_kept_connection_that_the_server_closes_is_forgotten() {
    let (mut scene, mut client, mut server) = with_kept();
    server.eof();
    assert!(server.is_closed());
    client.feed(GET);
    scene.server().feed(EMPTY);
    assert!(text(&mut client).starts_with("HTTP/1.1 200"));
}

#[test]
fn the_end_waits_for_answers_and_for_nothing_else() {
    let (mut scene, mut client, mut kept) = with_kept();
    let mut busy = scene.client();
    busy.feed("GET http://b/ HTTP/1.1\r\nHost: b\r\n\r\n");
    let mut server = scene.server();
    let proxy = std::rc::Rc::clone(&scene.proxy);
    proxy.end(&mut scene.listener().registry());
    scene.listener().advance(Duration::ZERO);
    assert!(client.is_closed() && kept.is_closed() && !busy.has_ended());
    server.feed(EMPTY);
    assert!(text(&mut busy).contains("Connection: close"));
    assert!(busy.has_ended() && server.is_closed());
}
