//! What is too much, or takes too long.

use asynchat::testing::Harness;

use crate::scene::{Scene, text, verdict};

const GET: &str = "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n";
const EMPTY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

#[test]
fn a_head_has_a_limited_time_from_its_first_byte() {
    let mut scene = Scene::new(&["--request-timeout", "20"]);
    let mut client = scene.client();
    for _ in 0..19 {
        client.feed("G");
        scene.advance(1);
    }
    assert_eq!(text(&mut client), "");
    client.feed("G");
    scene.advance(1);
    assert_eq!(verdict(&text(&mut client)), (408, "http_request_error"));
    assert!(client.has_ended());
}

#[test]
fn who_says_nothing_is_let_go() {
    let mut scene = Scene::new(&["--idle-timeout", "60"]);
    let mut idle = scene.client();
    let mut uploading = scene.client();
    uploading.feed("POST http://a/ HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc");
    let mut server = scene.server();
    scene.advance(60);
    assert!(idle.is_closed() && text(&mut idle).is_empty());
    assert_eq!(verdict(&text(&mut uploading)), (408, "http_request_error"));
    assert!(uploading.has_ended() && server.is_closed());
}

/// The time that a server takes is not the client's silence, nor the other way round.
#[test]
fn each_side_has_its_own_patience() {
    let mut scene = Scene::new(&["--idle-timeout", "5", "--answer-timeout", "100"]);
    let mut client = scene.client();
    client.feed(GET);
    let mut server = scene.server();
    scene.advance(50);
    server.feed(EMPTY);
    assert!(text(&mut client).starts_with("HTTP/1.1 200"));
    let mut scene = Scene::new(&["--idle-timeout", "100", "--answer-timeout", "5"]);
    let mut client = scene.client();
    client.feed("POST http://a/ HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na");
    let mut server = scene.server();
    scene.advance(50);
    client.feed("b");
    server.feed(EMPTY);
    assert!(text(&mut client).starts_with("HTTP/1.1 200"));
}

#[test]
fn a_client_that_does_not_take_its_answer_is_let_go() {
    let mut scene = Scene::new(&["--idle-timeout", "5", "--answer-timeout", "100"]);
    let mut client = scene.client();
    client.feed(GET);
    client.set_window(0);
    let mut server = scene.server();
    server.feed("HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n");
    for _ in 0..10 {
        server.feed([b'x'; 100_000]);
    }
    scene.advance(5);
    assert!(client.is_closed() && server.is_closed());
}

#[test]
fn connecting_has_a_limit() {
    let mut scene = Scene::new(&["--connect-timeout", "3"]);
    let mut client = scene.client();
    client.feed(GET);
    let mut server = scene.dialled().unwrap();
    scene.advance(3);
    assert!(server.is_closed());
    assert_eq!(verdict(&text(&mut client)), (504, "connection_timeout"));
}

#[test]
fn kept_connections_are_few_and_not_kept_for_long() {
    for (options, kept) in [
        (&["--pool", "1"][..], [true, false]),
        (&["--pool-per-host", "1"], [true, true]),
        (&["--pool", "0"], [false, false]),
        (&["--pool-per-host", "0"], [false, false]),
    ] {
        let mut scene = Scene::new(options);
        let mut clients = [scene.client(), scene.client()];
        let mut servers = Vec::new();
        for (client, host) in clients.iter_mut().zip(["a", "b"]) {
            client.feed(format!("GET http://{host}/ HTTP/1.1\r\nHost: a\r\n\r\n"));
            servers.push(scene.server());
        }
        for server in &mut servers {
            server.feed(EMPTY);
        }
        let are_kept = [0, 1].map(|place: usize| !servers[place].is_closed());
        assert_eq!(are_kept, kept, "{options:?}");
    }
    let mut scene = Scene::new(&["--pool-timeout", "15"]);
    let mut client = scene.client();
    client.feed(GET);
    let mut server = scene.server();
    server.feed(EMPTY);
    scene.advance(14);
    assert!(!server.is_closed());
    scene.advance(1);
    assert!(server.is_closed());
}

#[test]
fn past_the_limit_who_waits_longest_makes_room() {
    let mut scene = Scene::new(&["--max-connections", "2"]);
    let mut first = scene.client();
    scene.advance(1);
    let mut second = scene.client();
    scene.advance(1);
    first.feed(GET);
    let mut server = scene.server();
    // The first has a request under way.
    let mut third = scene.client();
    assert!(!first.is_closed() && second.is_closed() && !third.is_closed());
    // All have one: a tunnel is one until it ends.
    third.feed("CONNECT b:443 HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut far = scene.server();
    let mut fourth = scene.client();
    assert_eq!(verdict(&text(&mut fourth)), (503, ""));
    assert!(fourth.has_ended() && !first.is_closed() && !third.is_closed());
    fourth.eof();
    far.reset();
    let mut fifth = scene.client();
    assert!(!fifth.has_ended());
    server.feed(EMPTY);
    assert!(text(&mut first).starts_with("HTTP/1.1 200"));
}

/// One that drips its body, and one that takes nothing of its answer, do not keep others out.
#[test]
fn past_the_limit_who_stalls_makes_room() {
    let mut scene = Scene::new(&["--max-connections", "2", "--idle-timeout", "600"]);
    let mut dripping = scene.client();
    dripping.feed("POST http://a/ HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\n");
    let mut upstream = scene.server();
    let mut stalled = scene.client();
    stalled.feed(GET);
    stalled.set_window(0);
    let mut server = scene.server();
    server.feed("HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n");
    server.feed([b'x'; 300_000]);
    let mut early = scene.client();
    assert_eq!(verdict(&text(&mut early)), (503, ""));
    early.eof();
    for _ in 0..10 {
        dripping.feed("x");
        scene.advance(1);
    }
    let mut next = [scene.client(), scene.client()];
    assert!(dripping.is_closed() && stalled.is_closed());
    assert!(upstream.is_closed() && server.is_closed());
    assert!(next.iter_mut().all(|client| !client.has_ended()));
}

/// Each has its answer and is given time to read it, but has no claim to its place.
#[test]
fn past_the_limit_one_that_is_closing_makes_room_for_one() {
    let mut scene = Scene::new(&["--max-connections", "3"]);
    let mut closing: Vec<_> = (0..3).map(|_| scene.client()).collect();
    for client in &mut closing {
        client.feed("garbage\r\n\r\n");
        assert!(client.has_ended() && !client.is_closed());
    }
    let mut next = scene.client();
    let closed = closing.iter_mut().map(Harness::is_closed);
    assert_eq!(closed.filter(|&is| is).count(), 1);
    next.feed(GET);
    scene.server().feed(EMPTY);
    assert!(text(&mut next).starts_with("HTTP/1.1 200"));
}

/// Most that end their side of the connection are gone.
#[test]
fn past_the_limit_one_that_has_ended_its_side_makes_room() {
    for request in [GET, "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n"] {
        let mut scene = Scene::new(&["--max-connections", "2", "--connect-timeout", "60"]);
        let mut clients = [scene.client(), scene.client()];
        let mut servers = Vec::new();
        for client in &mut clients {
            client.feed(request);
            servers.push(scene.dialled().unwrap());
        }
        clients[1].eof();
        scene.advance(10);
        let mut next = scene.client();
        assert!(!clients[0].is_closed() && clients[1].is_closed());
        assert!(!servers[0].is_closed() && servers[1].is_closed());
        assert!(!next.has_ended());
    }
}
