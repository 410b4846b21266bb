//! Credentials and cookies: sent when asked for, and to nobody else.

use shared::http::{
    authenticating::Authenticating,
    challenge::Credentials,
    consumer::{Method, Order},
    cookies::{Cookies, Jar},
    redirecting::{RedirectingConsumer, Redirects},
};

use crate::{Client, Notes, order};

const URL: &str = "http://192.0.2.1/secret";
const DIGEST: &str = "WWW-Authenticate: Digest realm=\"r\", qop=\"auth\", nonce=";

fn start(order: Order, basic: bool) -> (Client, Notes) {
    let told = Notes::default();
    let mut client = Client::new();
    let credentials = Credentials::new("me".into(), "secret".into(), basic);
    let consumer = Authenticating::new(told.clone(), credentials, order.url.clone());
    let redirects = Redirects::up_to(10);
    let consumer = RedirectingConsumer::new(consumer, redirects, |_| Ok(()));
    client.start(order, Cookies::new(consumer, Jar::default()));
    (client, told)
}

fn no(challenge: &str) -> String {
    format!("HTTP/1.1 401 No\r\n{challenge}\r\nContent-Length: 0\r\n\r\n")
}

fn proof(request: &str) -> Option<&str> {
    let mut lines = request.lines();
    lines.find_map(|line| line.strip_prefix("Authorization: "))
}

#[test]
fn a_password_waits_for_the_challenge_and_a_wrong_one_is_not_repeated() {
    for challenge in [
        "WWW-Authenticate: Basic realm=\"r\"",
        &format!("{DIGEST}\"1\""),
    ] {
        let (mut client, told) = start(order(URL), false);
        let (mut server, request) = client.server();
        assert_eq!(proof(&request), None);
        server.feed(no(challenge));
        let (mut server, request) = client.server();
        assert!(proof(&request).is_some(), "{request}");
        server.feed(no(challenge));
        told.are(&["401", "end"]);
        client.is_done();
    }
}

#[test]
fn basic_is_sent_unasked_if_the_user_says_so() {
    let (mut client, _) = start(order(URL), true);
    let (_, request) = client.server();
    assert_eq!(proof(&request), Some("Basic bWU6c2VjcmV0"));
}

#[test]
fn a_stale_nonce_is_replaced_but_not_for_ever() {
    let (mut client, told) = start(order(URL), false);
    for n in 0..4 {
        let (mut server, request) = client.server();
        assert_eq!(proof(&request).is_some(), n > 0, "{request}");
        if n > 0 {
            assert!(request.contains(&format!("nonce=\"{n}\"")), "{request}");
        }
        server.feed(no(&format!("{DIGEST}\"{}\", stale=true", n + 1)));
    }
    told.are(&["401", "end"]);
    client.is_done();
}

#[test]
fn another_server_gets_no_password_and_no_cookie() {
    let mut order = order(URL);
    let fields = ["Cookie: a=b", "Host: inner.example", "X-Mine: 1"].map(str::parse);
    order.fields = fields
        .into_iter()
        .collect::<Result<_, _>>()
        .expect("fields");
    let (mut client, told) = start(order, true);
    let (mut server, request) = client.server();
    assert!(
        proof(&request).is_some() && request.contains("\r\nCookie: a=b\r\n"),
        "{request}"
    );
    server.feed("HTTP/1.1 302 F\r\nSet-Cookie: c=d\r\nLocation: http://192.0.2.2/\r\n\r\n");
    let (mut server, request) = client.server();
    assert_eq!(server.address().to_string(), "192.0.2.2:80");
    let leaked = ["Authorization", "Cookie", "inner.example"]
        .iter()
        .any(|name| request.contains(name));
    assert!(!leaked && request.contains("X-Mine: 1"), "{request}");
    // It does not get one by asking either.
    server.feed(no("WWW-Authenticate: Basic realm=\"r\""));
    told.are(&["401", "end"]);
    client.is_done();
}

#[test]
fn cookies_of_a_redirect_are_sent_where_it_leads() {
    let (mut client, _) = start(order(URL), false);
    let (mut server, request) = client.server();
    assert!(!request.contains("Cookie"), "{request}");
    server.feed(
        "HTTP/1.1 303 S\r\nSet-Cookie: a=b; Path=/\r\nSet-Cookie: c=d; Path=/x\r\nLocation: /y\r\n\r\n",
    );
    let (mut server, request) = client.server();
    assert!(request.contains("\r\nCookie: a=b\r\n"), "{request}");
    server.feed("HTTP/1.1 303 S\r\nSet-Cookie: a=; Path=/; Max-Age=0\r\nLocation: /x\r\n\r\n");
    let (_, request) = client.server();
    assert!(request.contains("\r\nCookie: c=d\r\n"), "{request}");
}

#[test]
fn a_redirect_back_is_a_loop_unless_method_or_cookies_have_changed() {
    let post = Order {
        method: Method::POST,
        ..order(URL)
    };
    for (order, answer, requests, end) in [
        (post, "Location: /secret", 2, None),
        (order(URL), "Set-Cookie: a=b\r\nLocation: /secret", 2, None),
        (order(URL), "Location: /secret", 2, Some("loop")),
        (
            order(URL),
            "Set-Cookie: a=b\r\nLocation: /secret",
            3,
            Some("loop"),
        ),
        (order(URL), "Location: /a", 3, Some("loop")),
    ] {
        let (mut client, told) = start(order, false);
        for n in 1..=requests {
            let (mut server, _) = client.server();
            server.feed(match end {
                None if n == requests => "HTTP/1.1 200 O\r\nContent-Length: 0\r\n\r\n".into(),
                _ => format!("HTTP/1.1 303 S\r\n{answer}\r\n\r\n"),
            });
        }
        match end {
            None => told.are(&["200", "end"]),
            Some(why) => told.contain(why),
        }
        client.is_done();
    }
}

#[test]
fn a_header_set_by_a_cookie_is_one_line() {
    let (mut client, _) = start(order(URL), false);
    let (mut server, _) = client.server();
    server.feed("HTTP/1.1 303 S\r\nSet-Cookie: a=b\tc; Path=/\r\nSet-Cookie: d=%0d%0aX:y; Path=/\r\nLocation: /y\r\n\r\n");
    let (_, request) = client.server();
    assert!(request.contains("\r\nCookie: d=%0d%0aX:y\r\n"), "{request}");
}
