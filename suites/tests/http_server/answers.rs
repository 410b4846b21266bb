//! What a good request gets: headers, conditions, ranges.

use std::time::{Duration, SystemTime};

use suites::web_server::{plain, serve};

#[test]
fn a_file_comes_with_all_its_headers_and_head_gives_the_same() {
    let server = plain();
    let get = server
        .ask_both("GET /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect(200);
    assert_eq!(get.text(), "hello, world");
    assert_eq!(
        get.header("Content-Type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(get.header("Content-Length"), Some("12"));
    assert_eq!(get.header("Accept-Ranges"), Some("bytes"));
    assert!(get.header("Server").unwrap().starts_with("asynchat-http/"));
    assert_eq!(get.header("Connection"), None);
    let modified = std::fs::metadata(server.root.path().join("hello.txt"))
        .unwrap()
        .modified()
        .unwrap();
    assert_eq!(
        get.header("Last-Modified"),
        Some(&*httpdate::fmt_http_date(modified))
    );
    let etag = get.header("ETag").unwrap();
    assert!(
        etag.starts_with('"') && etag.ends_with("-c\""),
        "strong, with the length: {etag}"
    );
    let date = httpdate::parse_http_date(get.header("Date").unwrap()).unwrap();
    assert!(SystemTime::now().duration_since(date).unwrap_or_default() < Duration::from_secs(20));

    let head = server
        .ask_both("HEAD /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect(200);
    let undated = |head: &str| {
        head.lines()
            .filter(|l| !l.starts_with("Date"))
            .map(String::from)
            .collect::<Vec<_>>()
    };
    assert_eq!(undated(&head.head), undated(&get.head));
}

#[test]
fn head_sends_no_body_whatever_the_answer() {
    let server = serve(&[], |root| {
        std::fs::create_dir(root.join("dir")).unwrap();
        std::fs::write(root.join("large"), vec![b'x'; 100_000]).unwrap();
    });
    for (target, status) in [("/", 200), ("/dir", 301), ("/large", 200), ("/absent", 404)] {
        let mut client = server.connect();
        let request = format!("HEAD {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let head = client.ask(&request).expect(status);
        assert_eq!(client.rest(), b"", "{target}");
        let get = server.get(target).expect(status);
        assert_eq!(
            head.header("Content-Length"),
            get.header("Content-Length"),
            "{target}"
        );
    }
    let mut client = server.connect();
    client.ask("HEAD / HTTP/1.1\r\n\r\n").expect(400);
    assert_eq!(client.rest(), b"");
}

#[test]
fn conditions_are_weighed() {
    let server = plain();
    let first = server.get("/hello.txt").expect(200);
    let (etag, modified) = (
        first.header("ETag").unwrap(),
        first.header("Last-Modified").unwrap(),
    );
    let before = "Sun, 06 Nov 1994 08:49:37 GMT";
    for (headers, status) in [
        (format!("If-None-Match: {etag}\r\n"), 304),
        (format!("If-None-Match: \"x\", W/{etag}\r\n"), 304),
        ("If-None-Match: \"x\"\r\n".to_string(), 200),
        (format!("If-Modified-Since: {modified}\r\n"), 304),
        (format!("If-Modified-Since: {before}\r\n"), 200),
        (
            format!("If-None-Match: \"x\"\r\nIf-Modified-Since: {modified}\r\n"),
            200,
        ),
        (format!("If-Match: {etag}\r\n"), 200),
        ("If-Match: \"x\"\r\n".to_string(), 412),
        (format!("If-Unmodified-Since: {before}\r\n"), 412),
        (format!("If-Unmodified-Since: {modified}\r\n"), 200),
    ] {
        let reply = server.get_with("/hello.txt", &headers);
        assert_eq!(reply.status, status, "{headers}");
        if status == 304 {
            assert_eq!(reply.header("ETag"), Some(etag));
            assert_eq!(reply.header("Content-Length"), None);
        }
    }
}

#[test]
fn the_connection_goes_on_after_a_304() {
    let server = plain();
    let mut client = server.connect();
    client
        .ask("GET /hello.txt HTTP/1.1\r\nHost: a\r\nIf-None-Match: *\r\n\r\n")
        .expect(304);
    let next = client
        .ask("GET /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect(200);
    assert_eq!(next.text(), "hello, world");
}

#[test]
fn a_changed_file_has_another_tag() {
    let server = plain();
    let old = server.get("/hello.txt").expect(200);
    let path = server.root.path().join("hello.txt");
    std::fs::write(&path, "HELLO, WORLD").unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(100))
        .unwrap();
    let headers = format!("If-None-Match: {}\r\n", old.header("ETag").unwrap());
    let new = server.get_with("/hello.txt", &headers).expect(200);
    assert_eq!(new.text(), "HELLO, WORLD");
}

#[test]
fn a_date_in_the_future_is_not_passed_on() {
    let server = serve(&[], |root| {
        let file = std::fs::File::create(root.join("future")).unwrap();
        file.set_modified(SystemTime::now() + Duration::from_secs(100_000))
            .unwrap();
    });
    let reply = server.get("/future").expect(200);
    let date = |name| httpdate::parse_http_date(reply.header(name).unwrap()).unwrap();
    assert!(date("Last-Modified") <= date("Date"));
}

#[test]
fn single_ranges_are_served() {
    let server = plain();
    for (range, part, body) in [
        ("bytes=0-4", "bytes 0-4/12", "hello"),
        ("bytes=7-", "bytes 7-11/12", "world"),
        ("bytes=-5", "bytes 7-11/12", "world"),
        ("bytes=7-400", "bytes 7-11/12", "world"),
    ] {
        let reply = server
            .get_with("/hello.txt", &format!("Range: {range}\r\n"))
            .expect(206);
        assert_eq!(reply.header("Content-Range"), Some(part));
        assert_eq!(reply.text(), body);
    }
    for range in ["bytes=0-1,3-4", "bytes=4-2", "lines=1-2", "bytes=x"] {
        let reply = server
            .get_with("/hello.txt", &format!("Range: {range}\r\n"))
            .expect(200);
        assert_eq!(reply.text(), "hello, world", "{range}");
    }
    for range in ["bytes=12-", "bytes=-0"] {
        let reply = server
            .get_with("/hello.txt", &format!("Range: {range}\r\n"))
            .expect(416);
        assert_eq!(reply.header("Content-Range"), Some("bytes */12"), "{range}");
    }
}

#[test]
fn a_range_of_a_large_file_is_that_part_of_it() {
    let bytes: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    let server = serve(&[], |root| {
        std::fs::write(root.join("large"), &bytes).unwrap();
    });
    let reply = server
        .get_with("/large", "Range: bytes=100001-900000\r\n")
        .expect(206);
    assert!(reply.body == bytes[100_001..=900_000]);
    assert!(server.get("/large").expect(200).body == bytes);
}

#[test]
fn a_range_counts_only_if_the_file_is_the_same() {
    let server = plain();
    let first = server.get("/hello.txt").expect(200);
    let (etag, modified) = (
        first.header("ETag").unwrap(),
        first.header("Last-Modified").unwrap(),
    );
    for (condition, status) in [
        (etag, 206),
        (modified, 206),
        ("\"x\"", 200),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 200),
    ] {
        let headers = format!("Range: bytes=0-1\r\nIf-Range: {condition}\r\n");
        server.get_with("/hello.txt", &headers).expect(status);
    }
}

#[test]
fn other_methods_are_405_with_allow_and_unknown_ones_501() {
    let server = plain();
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"] {
        let reply = server
            .ask_both(&format!("{method} /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n"))
            .expect(405);
        assert_eq!(reply.header("Allow"), Some("GET, HEAD"));
        assert!(!reply.closes(), "{method}");
    }
    server
        .ask_both("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect(405);
    server
        .ask_both("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect(405);
    server
        .ask_both("BREW /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect(501);
    server
        .ask_both("get /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect(501);
}

#[test]
fn an_error_page_says_what_is_wrong() {
    let server = plain();
    let reply = server.get("/absent").expect(404);
    assert_eq!(
        reply.header("Content-Type"),
        Some("text/html; charset=utf-8")
    );
    assert!(reply.text().contains("404 Not Found"));
    assert!(reply.header("Date").is_some() && reply.header("Server").is_some());
}
