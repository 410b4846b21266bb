//! Requests that go nowhere.

use std::path::Path;

use shared::http::{auth::Users, forward_proxy::Blocklist, smuggling};

use crate::scene::{Scene, feed, text, verdict};

/// What a client gets for this request, and whether it may go on. No server hears of it.
#[track_caller]
fn refused(scene: &mut Scene, request: &str, bytewise: bool) -> (u16, String, bool) {
    let mut client = scene.client();
    feed(&mut client, request, bytewise);
    assert!(scene.dialled().is_none(), "{request}");
    let answer = text(&mut client);
    let (status, error) = verdict(&answer);
    (status, error.to_owned(), client.has_ended())
}

#[test]
fn each_refusal_says_why() {
    let get = |url: &str| format!("GET {url} HTTP/1.1\r\nHost: a\r\n\r\n");
    for (request, status, error, ends) in [
        (get("/"), 400, "http_request_error", true),
        (get("*"), 400, "http_request_error", true),
        (get("https://a/"), 400, "http_request_error", true),
        (get("http://u:p@a/"), 400, "http_request_error", true),
        (get("http://far/"), 403, "destination_ip_prohibited", false),
        (
            get("http://192.0.2.9/"),
            403,
            "destination_ip_prohibited",
            false,
        ),
        (
            get("http://169.254.169.254/"),
            403,
            "destination_ip_prohibited",
            false,
        ),
        (
            get("http://0.0.0.0/"),
            403,
            "destination_ip_prohibited",
            false,
        ),
        (
            get("http://[::ffff:192.0.2.9]/"),
            403,
            "destination_ip_prohibited",
            false,
        ),
        (get("http://nowhere/"), 502, "dns_error", false),
        (get("http://a..b/"), 502, "dns_error", false),
        (
            "GET http://a/ HTTP/1.1\r\nHost: a\r\nVia: 1.0 x, 1.1 p\r\n\r\n".into(),
            502,
            "proxy_loop_detected",
            false,
        ),
        (
            "CONNECT a:443 HTTP/1.1\r\nHost: a\r\nVia: 1.1 p\r\n\r\n".into(),
            502,
            "proxy_loop_detected",
            false,
        ),
        (
            "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            403,
            "http_request_denied",
            false,
        ),
        (
            "CONNECT far:443 HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            403,
            "destination_ip_prohibited",
            false,
        ),
        (
            "CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            400,
            "http_request_error",
            true,
        ),
        (
            "CONNECT http://a:443/ HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            400,
            "http_request_error",
            true,
        ),
        (
            "CONNECT a:443 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc".into(),
            400,
            "http_request_error",
            true,
        ),
        (
            "TRACE http://a/ HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc".into(),
            400,
            "http_request_error",
            true,
        ),
        (
            "TRACE http://a/ HTTP/1.1\r\nHost: a\r\nMax-Forwards: x\r\n\r\n".into(),
            400,
            "http_request_error",
            true,
        ),
        (
            format!(
                "GET http://a/ HTTP/1.1\r\nHost: a\r\nConnection: {}\r\n\r\n",
                "x,".repeat(40)
            ),
            400,
            "http_request_error",
            true,
        ),
        (
            format!("GET http://a/{} HTTP/1.1\r\n", "x".repeat(9000)),
            414,
            "http_request_error",
            true,
        ),
        (
            format!("GET http://a/ HTTP/1.1\r\nX: {}\r\n", "x".repeat(20000)),
            431,
            "http_request_error",
            true,
        ),
        (
            format!(
                "GET http://a/ HTTP/1.1\r\nHost: a\r\n{}\r\n",
                "X: y\r\n".repeat(100)
            ),
            431,
            "http_request_error",
            true,
        ),
        (
            "POST http://a/ HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n".into(),
            413,
            "http_request_error",
            true,
        ),
    ] {
        for bytewise in [false, true] {
            let mut scene = Scene::new(&["--max-body", "99"]);
            let refused = refused(&mut scene, &request, bytewise);
            assert_eq!(refused, (status, error.into(), ends), "{request:.80}");
            assert_eq!(scene.log().len(), 1, "{request:.80}");
        }
    }
}

/// A name may lead to an address that is allowed and to others (DNS rebinding): only the first are connected to.
#[test]
fn addresses_are_judged_not_names() {
    let mut scene = Scene::new(&[]);
    let mut client = scene.client();
    client.feed("GET http://two/ HTTP/1.1\r\nHost: two\r\n\r\n");
    let mut server = scene.server();
    assert_eq!(server.address().to_string(), "127.0.0.2:80");
    server.feed("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert!(scene.dialled().is_none());
    let mut scene = Scene::new(&[
        "--allow",
        "192.0.2.0/24",
        "--allow-port",
        "81",
        "--connect-port",
        "22",
    ]);
    for (request, answer) in [
        (
            "GET http://a:81/ HTTP/1.1\r\nHost: a\r\n\r\n",
            (403, "destination_ip_prohibited"),
        ),
        (
            "GET http://far/ HTTP/1.1\r\nHost: a\r\n\r\n",
            (403, "http_request_denied"),
        ),
        (
            "CONNECT far:443 HTTP/1.1\r\nHost: a\r\n\r\n",
            (403, "http_request_denied"),
        ),
    ] {
        let (status, error, _) = refused(&mut scene, request, false);
        assert_eq!((status, &*error), answer, "{request}");
    }
    for request in [
        "GET http://far:81/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "CONNECT far:22 HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let mut client = scene.client();
        client.feed(request);
        assert_eq!(
            scene.server().address().to_string().split(':').next(),
            Some("192.0.2.9")
        );
    }
}

#[test]
fn the_proxy_does_not_connect_to_itself() {
    let mut scene = Scene::new(&["--allow", "0.0.0.0/0", "--connect-port", "7"]);
    let id = scene.listener().id();
    let own = scene
        .listener()
        .registry()
        .channel(id)
        .unwrap()
        .local_addr()
        .unwrap();
    for request in [
        format!("GET http://{own}/ HTTP/1.1\r\nHost: a\r\n\r\n"),
        format!("CONNECT {own} HTTP/1.1\r\nHost: a\r\n\r\n"),
    ] {
        let (status, error, _) = refused(&mut scene, &request, false);
        assert_eq!((status, &*error), (502, "proxy_loop_detected"), "{request}");
    }
}

#[test]
fn a_name_and_a_password_are_asked_for_and_kept() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, "ada:secret\n").unwrap();
    let users = || Users::read(file.path()).ok();
    let get = |field: &str| format!("GET http://a/ HTTP/1.1\r\nHost: a\r\n{field}\r\n");
    let mut scene = Scene::with(&[], Blocklist::default(), users());
    for field in [
        "",
        "Authorization: Basic YWRhOnNlY3JldA==\r\n",
        "Proxy-Authorization: Basic YWRhOndyb25n\r\n",
        "Proxy-Authorization: Bearer YWRhOnNlY3JldA==\r\n",
    ] {
        let mut client = scene.client();
        client.feed(get(field));
        let answer = text(&mut client);
        assert!(answer.starts_with("HTTP/1.1 407 "), "{field}");
        assert!(
            answer.contains("\r\nProxy-Authenticate: Basic realm="),
            "{field}"
        );
        assert!(scene.dialled().is_none() && !client.has_ended());
        // With the right one the connection goes on.
        client.feed(get(
            "Proxy-Authorization: Basic YWRhOnNlY3JldA==\r\nAuthorization: Basic kept\r\n",
        ));
        let mut server = scene.server();
        let request = text(&mut server);
        assert!(
            !request.contains("YWRh") && request.contains("Authorization: Basic kept"),
            "{request}"
        );
        server.eof();
    }
    let log = scene.log();
    assert_eq!(log[0], "- GET http://a/ HTTP/1.1 407 43");
    assert!(
        log[1].starts_with("ada GET http://a/ HTTP/1.1 502 "),
        "{log:?}"
    );
}

#[test]
fn what_is_on_the_blocklist_is_denied() {
    let list = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&list, "b\n*/banner/*\n").unwrap();
    let read = |path: &Path| Blocklist::read(path).unwrap();
    let mut scene = Scene::with(&[], read(list.path()), None);
    for request in [
        "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://x.b/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://a/banner/1 HTTP/1.1\r\nHost: a\r\n\r\n",
        "CONNECT b:443 HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let (status, error, ends) = refused(&mut scene, request, false);
        assert_eq!(
            (status, &*error, ends),
            (403, "http_request_denied", false),
            "{request}"
        );
    }
    let mut client = scene.client();
    client.feed("GET http://a/banners HTTP/1.1\r\nHost: a\r\n\r\n");
    scene.server();
}

#[test]
fn trace_and_options_end_here_when_they_shall_go_no_further() {
    let mut scene = Scene::new(&[]);
    let mut client = scene.client();
    client.feed("TRACE http://a/ HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\nCookie: x\r\nAuthorization: x\r\nX: y\r\n\r\n");
    let answer = text(&mut client);
    assert!(
        answer.contains("\r\nContent-Type: message/http\r\n"),
        "{answer}"
    );
    assert!(
        answer.ends_with(
            "\r\n\r\nTRACE http://a/ HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\nX: y\r\n\r\n"
        ),
        "{answer}"
    );
    client.feed("OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n");
    assert_eq!(
        text(&mut client),
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    );
    assert!(scene.dialled().is_none() && !client.has_ended());
}

#[test]
fn what_could_be_smuggled_is_refused_and_goes_nowhere() {
    let next = "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n";
    let requests = smuggling::requests().into_iter().map(|request| {
        let request = request.replacen("POST / ", "POST http://a/ ", 1);
        (request.replacen("GET / ", "GET http://a/ ", 1), 400)
    });
    let coded = format!(
        "{}\r\n",
        smuggling::CHUNKED
            .trim_end()
            .replace("chunked", "gzip, chunked")
    );
    for (request, expected) in requests.chain([(coded + "\r\n", 501)]) {
        for bytewise in [false, true] {
            let mut scene = Scene::new(&[]);
            let (status, _, ends) = refused(&mut scene, &[&request, next].concat(), bytewise);
            assert_eq!((status, ends), (expected, true), "{request:?}");
        }
    }
}

/// The head was good, so the server has it already; it never has the end of the body.
#[test]
fn malformed_chunks_are_400_and_the_end_of_both_connections() {
    for chunks in smuggling::CHUNKS {
        for bytewise in [false, true] {
            let mut scene = Scene::new(&[]);
            let mut client = scene.client();
            client.feed(smuggling::CHUNKED.replace("POST /", "POST http://a/"));
            let mut server = scene.server();
            feed(&mut client, chunks, bytewise);
            assert_eq!(
                verdict(&text(&mut client)),
                (400, "http_request_error"),
                "{chunks:?}"
            );
            assert!(client.has_ended() && server.is_closed(), "{chunks:?}");
            let sent = text(&mut server);
            assert!(!sent.contains("\r\n0\r\n\r\n"), "{sent}");
        }
    }
}
