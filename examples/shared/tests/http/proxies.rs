//! Requests through a proxy.

use shared::http::{
    challenge::Credentials,
    consumer::Agent,
    proxy::{Proxies, Proxy},
};

use crate::{Client, Notes, order_with, text};

fn through(credentials: Option<Credentials>) -> Agent {
    let mut proxy = Proxy::parse("192.0.2.9:3128").expect("a proxy");
    proxy.credentials = credentials;
    Agent {
        proxies: Proxies::all(proxy, Some("direct.example")),
        ..Agent::default()
    }
}

fn me() -> Option<Credentials> {
    Some(Credentials::new("me".into(), "secret".into(), false))
}

const BASIC: &str =
    "HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=\"p\"\r\nContent-Length: 9\r\n\r\n";
const NO: &str = "connection closed without a tunnel of the proxy";

#[test]
fn a_plain_request_is_forwarded() {
    let told = Notes::default();
    let mut client = Client::new();
    client.start(
        order_with("http://a.example/b", through(None)),
        told.clone(),
    );
    let (mut proxy, request) = client.server();
    assert_eq!(proxy.address().to_string(), "192.0.2.9:3128");
    assert!(
        request.starts_with("GET http://a.example/b HTTP/1.1\r\nHost: a.example\r\n"),
        "{request}"
    );
    proxy.feed("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    told.are(&["200", "end"]);
    client.is_done();
}

#[test]
fn credentials_for_the_proxy_are_sent_when_it_asks_and_once() {
    for (url, first) in [
        ("http://a.example/", "GET http://a.example/ HTTP/1.1\r\n"),
        ("https://a.example/", "CONNECT a.example:443 HTTP/1.1\r\n"),
    ] {
        let told = Notes::default();
        let mut client = Client::new();
        client.start(order_with(url, through(me())), told.clone());
        let (mut proxy, request) = client.server();
        assert!(
            request.starts_with(first) && !request.contains("Proxy-Auth"),
            "{request}"
        );
        proxy.feed(BASIC);
        let (mut proxy, request) = client.server();
        let field = "\r\nProxy-Authorization: Basic bWU6c2VjcmV0\r\n";
        assert!(
            request.starts_with(first) && request.contains(field),
            "{request}"
        );
        proxy.feed(BASIC);
        proxy.feed("try again");
        match url.starts_with("https") {
            true => told.are(&["the proxy refused the tunnel with status 407 Who"]),
            false => told.are(&["407", "\"try again\"", "end"]),
        }
        client.is_done();
    }
}

#[test]
fn a_tunnel_is_opened_before_anything_for_the_server_is_said() {
    for (answer, expected) in [
        (
            "HTTP/1.1 502 Bad Gateway\r\n\r\n<html>",
            "the proxy refused the tunnel with status 502 Bad Gateway",
        ),
        (
            "HTTP/1.1 302 Found\r\nLocation: http://evil.example/\r\n\r\n",
            "the proxy refused the tunnel with status 302 Found",
        ),
        (
            "HTTP/1.1 407 Who\r\n\r\n",
            "the proxy refused the tunnel with status 407 Who",
        ),
        ("SSH-2.0\r\n", "the proxy does not speak HTTP/1"),
        ("HTTP/1.1 20", NO),
        ("", NO),
    ] {
        let told = Notes::default();
        let mut client = Client::new();
        client.start(
            order_with("https://a.example/", through(me())),
            told.clone(),
        );
        let (mut proxy, request) = client.server();
        assert_eq!(request.lines().count(), 4, "{request}");
        proxy.feed_bytewise(answer);
        proxy.eof();
        told.are(&[expected]);
        client.is_done();
    }
}

#[test]
fn behind_the_tunnels_header_comes_tls_and_nothing_else() {
    let told = Notes::default();
    let mut client = Client::new();
    client.start(
        order_with("https://a.example/", through(None)),
        told.clone(),
    );
    let (mut proxy, _) = client.server();
    proxy.feed("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    let hello = proxy.output();
    assert_eq!(hello.first(), Some(&22), "a handshake of TLS");
    proxy.feed("HTTP/1.1 200 OK\r\n\r\nhello");
    told.are(&["TLS handshake with a.example failed: the server does not speak TLS on this port"]);
    assert!(!String::from_utf8_lossy(&proxy.output()).contains("GET"));
    proxy.eof();
    client.is_done();
}

#[test]
fn a_host_of_the_list_is_connected_to_directly() {
    let mut client = Client::new();
    let mut agent = through(None);
    agent.proxies = Proxies::all(
        Proxy::parse("192.0.2.9:1").expect("a proxy"),
        Some("192.0.2.1"),
    );
    client.start(order_with("http://192.0.2.1/", agent), Notes::default());
    let (mut server, request) = client.server();
    assert_eq!(server.address().to_string(), "192.0.2.1:80");
    assert!(request.starts_with("GET / HTTP/1.1\r\n"), "{request}");
    assert_eq!(text(&mut server), "");
}
