//! Several requests on one connection: keep-alive, pipelining, bodies.

use std::net::Shutdown;

use suites::web_server::{plain, serve};

const GET: &str = "GET /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn http_1_1_keeps_the_connection_and_says_when_it_closes() {
    let server = plain();
    let mut client = server.connect();
    for _ in 0..3 {
        assert!(!client.ask(GET).expect(200).closes());
    }
    let last = client
        .ask("GET /hello.txt HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n")
        .expect(200);
    assert!(last.closes());
    assert_eq!(client.rest(), b"");
}

#[test]
fn http_1_0_closes_unless_asked_to_keep_alive() {
    let server = plain();
    let mut client = server.connect();
    let kept = client
        .ask("GET /hello.txt HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        .expect(200);
    assert_eq!(kept.header("Connection"), Some("keep-alive"));
    let last = client.ask("GET /hello.txt HTTP/1.0\r\n\r\n").expect(200);
    assert!(last.closes());
    assert_eq!(client.rest(), b"");
}

#[test]
fn host_is_required_in_1_1_once_and_well_formed() {
    let server = plain();
    server
        .ask_both("GET /hello.txt HTTP/1.0\r\n\r\n")
        .expect(200);
    for hosts in [
        "",
        "Host: a\r\nHost: a\r\n",
        "Host: a b\r\n",
        "Host: a/b\r\n",
        "Host: user@a\r\n",
        "Host: a:b\r\n",
        "Host: a:80:80\r\n",
        "Host: a:b:c\r\n",
        "Host: [::1\r\n",
        "Host: [::1]80\r\n",
        "Host: [::1]:80:80\r\n",
    ] {
        let reply = server
            .ask_both(&format!("GET /hello.txt HTTP/1.1\r\n{hosts}\r\n"))
            .expect(400);
        assert!(reply.closes(), "{hosts:?}");
    }
    server
        .ask_both("GET /hello.txt HTTP/1.1\r\nHost:\r\n\r\n")
        .expect(200);
    for host in ["a:80", "a:", "[::1]", "[::1]:80"] {
        let request = format!("GET /hello.txt HTTP/1.1\r\nHost: {host}\r\n\r\n");
        server.ask_both(&request).expect(200);
    }
    for target in ["http:///hello.txt", "http://?/hello.txt"] {
        server.get(target).expect(400);
    }
    let page = server.get("http://b?x=/hello.txt").expect(200);
    assert!(page.text().contains("Index of /<"));
    server
        .ask_both("GET http://b/hello.txt HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect(200);
    server
        .ask_both("GET http://b/hello.txt HTTP/1.1\r\n\r\n")
        .expect(400);
}

#[test]
fn pipelined_requests_are_answered_in_order_however_they_arrive() {
    let large = vec![b'l'; 200_000];
    let server = serve(&[], |root| {
        std::fs::write(root.join("large"), &large).unwrap();
    });
    let requests = [
        GET,
        "GET /large HTTP/1.1\r\nHost: a\r\n\r\n",
        "HEAD /large HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        "GET /absent HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "GET /large HTTP/1.1\r\nHost: a\r\n\r\n",
        GET,
    ];
    let all = requests.concat();
    for size in [1, 7, all.len()] {
        let mut client = server.connect();
        for piece in all.as_bytes().chunks(size) {
            client.send(std::str::from_utf8(piece).unwrap());
        }
        let replies = requests.map(|request| client.reply_to(request));
        assert_eq!(
            replies.each_ref().map(|reply| reply.status),
            [200, 200, 200, 405, 404, 405, 200, 200]
        );
        assert_eq!(replies[7].text(), "hello, world");
        assert!(replies[1].body == large && replies[6].body == large);
    }
}

#[test]
fn what_follows_a_close_is_not_answered() {
    let server = plain();
    let mut client = server.connect();
    let last = "GET /hello.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    client.send(&[last, GET, GET].concat());
    client.reply_to(last).expect(200);
    assert_eq!(client.rest(), b"");
}

#[test]
fn a_client_that_ends_its_side_still_gets_all_answers() {
    let large = vec![b'l'; 2_000_000];
    let server = serve(&[], |root| {
        std::fs::write(root.join("large"), &large).unwrap();
    });
    let mut client = server.connect();
    let request = "GET /large HTTP/1.1\r\nHost: a\r\n\r\n";
    client.send(&[request, GET].concat());
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert!(client.reply_to(request).body == large);
    assert_eq!(client.reply_to(GET).text(), "hello, world");
    assert_eq!(client.rest(), b"");
}

#[test]
fn line_ends_too_many_before_a_request_are_overlooked() {
    let server = plain();
    for extra in ["\r\n", "\r\n\r\n", "\r\n\r\n\r\n"] {
        server.ask_both(&format!("{extra}{GET}")).expect(200);
    }
    let mut client = server.connect();
    client.send(&"\r\n".repeat(100));
    client.reply_to(GET).expect(400);
}

#[test]
fn bodies_are_read_and_thrown_away() {
    let server = plain();
    let body = "GET /absent HTTP/1.1\r\n\r\n".repeat(100);
    let length = body.len();
    for request in [
        format!("GET /hello.txt HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}"),
        format!(
            "GET /hello.txt HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n{length:x};a=b\r\n{body}\r\n0\r\nX: y\r\n\r\n"
        ),
    ] {
        server.ask_both(&request).expect(200);
        let mut client = server.connect();
        client.send(&[&request, GET].concat());
        client.reply_to(&request).expect(200);
        client.reply_to(GET).expect(200);
        assert!(client.is_quiet(), "a body was taken for a request");
    }
}

#[test]
fn a_client_that_expects_100_is_told_to_go_on() {
    let server = plain();
    let mut client = server.connect();
    client.send(
        "GET /hello.txt HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
    );
    let reply = client.reply_to(GET);
    assert_eq!(reply.head, "HTTP/1.1 100 Continue");
    client.send("hello");
    client.reply_to(GET).expect(200);
    client.ask(GET).expect(200);
}

#[test]
fn a_client_that_expects_100_in_vain_is_refused_before_its_body() {
    let server = plain();
    for (method, length, status) in [
        ("PUT", "5", 405),
        ("BREW", "5", 501),
        ("GET", "99999999999", 413),
    ] {
        let mut client = server.connect();
        let request = format!(
            "{method} / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
        );
        let reply = client.ask(&request).expect(status);
        assert!(reply.closes());
        assert_eq!(client.rest(), b"");
    }
}

#[test]
fn http_1_0_is_not_sent_a_100() {
    let server = plain();
    let reply = server
        .ask_both("GET /hello.txt HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx");
    reply.expect(200);
}
