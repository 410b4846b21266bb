//! CONNECT.

use std::io;

use crate::scene::{Scene, feed, text, verdict};

const CONNECT: &str = "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n";
const ESTABLISHED: &str = "HTTP/1.1 200 Connection established\r\n\r\n";

#[test]
fn bytes_pass_both_ways_and_ends_one_after_the_other() {
    for bytewise in [false, true] {
        let mut scene = Scene::new(&[]);
        let mut client = scene.client();
        // A client that does not wait for the answer.
        feed(&mut client, [CONNECT, "hello\r\n\r\n"].concat(), bytewise);
        assert_eq!(text(&mut client), "");
        let mut server = scene.server();
        assert_eq!(text(&mut client), ESTABLISHED);
        assert_eq!(text(&mut server), "hello\r\n\r\n");
        server.feed("HTTP/1.1 400 not for the proxy\r\n\r\n");
        assert_eq!(text(&mut client), "HTTP/1.1 400 not for the proxy\r\n\r\n");
        client.eof();
        assert!(server.has_ended() && !client.has_ended());
        server.feed("rest");
        server.eof();
        assert_eq!(text(&mut client), "rest");
        assert!(client.is_closed() && server.is_closed());
        assert_eq!(scene.log(), ["- CONNECT a:443 HTTP/1.1 200 38"]);
    }
}

#[test]
fn a_reset_is_passed_on() {
    for by_client in [false, true] {
        let mut scene = Scene::new(&[]);
        let mut client = scene.client();
        client.feed(CONNECT);
        let mut server = scene.server();
        match by_client {
            true => client.reset(),
            false => server.reset(),
        }
        assert!(client.is_closed() && server.is_closed());
        assert!(client.was_aborted() || server.was_aborted());
    }
}

#[test]
fn a_tunnel_that_cannot_be_made_has_an_answer() {
    for (request, error, answer) in [
        (
            CONNECT,
            io::ErrorKind::ConnectionRefused,
            (502, "connection_refused"),
        ),
        (
            CONNECT,
            io::ErrorKind::HostUnreachable,
            (502, "destination_ip_unroutable"),
        ),
        (
            CONNECT,
            io::ErrorKind::TimedOut,
            (504, "connection_timeout"),
        ),
    ] {
        let mut scene = Scene::new(&[]);
        let mut client = scene.client();
        client.feed(request);
        scene.dialled().unwrap().connect_failed(error);
        assert_eq!(verdict(&text(&mut client)), answer);
        assert!(!client.has_ended());
    }
}

#[test]
fn a_client_that_leaves_before_the_tunnel_is_made_takes_it_along() {
    let mut scene = Scene::new(&[]);
    let mut client = scene.client();
    client.feed(CONNECT);
    let mut server = scene.dialled().unwrap();
    client.reset();
    assert!(server.is_closed());
    assert_eq!(scene.log(), ["- CONNECT a:443 HTTP/1.1 499 0"]);
}
