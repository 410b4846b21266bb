//! What a good request gets: headers, conditions, ranges.

use std::time::{Duration, SystemTime};

use suites::web_server::{Reply, plain, serve};

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
    let server = serve(&["--file-cache", "0"], |_| {});
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
    for range in ["bytes=0-,3-4", "bytes=4-2", "lines=1-2", "bytes=x"] {
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

/// Each part's `Content-Range` and bytes, after the boundary that the head names.
fn parts(reply: &Reply) -> Vec<(String, Vec<u8>)> {
    let kind = reply.header("Content-Type").unwrap();
    let boundary = kind
        .strip_prefix("multipart/byteranges; boundary=")
        .unwrap();
    let body = [b"\r\n", &reply.body[..]].concat();
    let mark = format!("\r\n--{boundary}");
    let marks: Vec<_> = memchr::memmem::find_iter(&body, &mark).collect();
    assert_eq!(marks[0], 0);
    let last = *marks.last().unwrap();
    assert_eq!(&body[last + mark.len()..], b"--\r\n");
    let parts = marks.windows(2).map(|pair| {
        let part = &body[pair[0] + mark.len()..pair[1]];
        let end = memchr::memmem::find(part, b"\r\n\r\n").unwrap();
        let head = std::str::from_utf8(&part[..end]).unwrap();
        let range = head
            .lines()
            .find_map(|line| line.strip_prefix("Content-Range: "));
        assert!(head.contains("\r\nContent-Type: "), "{head}");
        (range.unwrap().to_owned(), part[end + 4..].to_vec())
    });
    parts.collect()
}

#[test]
fn several_ranges_are_served_as_parts() {
    let bytes: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    let server = serve(&[], |root| {
        std::fs::write(root.join("large"), &bytes).unwrap();
    });
    let mut client = server.connect();
    let mut get = |target: &str, range: &str| {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nRange: bytes={range}\r\n\r\n");
        client.ask(&request)
    };
    let reply = get("/hello.txt", "7-11, 0-0,-1").expect(206);
    assert_eq!(reply.header("Content-Range"), None);
    let expected = [
        ("bytes 7-11/12", &b"world"[..]),
        ("bytes 0-0/12", b"h"),
        ("bytes 11-11/12", b"d"),
    ];
    let expected = expected.map(|(range, part)| (range.to_owned(), part.to_vec()));
    assert_eq!(parts(&reply), expected);
    // Too large to leave with its head.
    let reply = get("/large", "1000000-,0-99999").expect(206);
    let got = parts(&reply);
    assert_eq!(got[0].0, "bytes 1000000-1199999/1200000");
    assert!(got[0].1 == bytes[1_000_000..] && got[1].1 == bytes[..100_000]);
    // One that is left is no list; too many, and those that overlap, are the whole.
    let reply = get("/hello.txt", "0-4,12-").expect(206);
    assert_eq!(reply.header("Content-Range"), Some("bytes 0-4/12"));
    get("/hello.txt", "12-,13-").expect(416);
    let many: Vec<_> = (0..17).map(|n| format!("{n}-{n}")).collect();
    assert_eq!(
        get("/large", &many.join(",")).expect(200).body.len(),
        bytes.len()
    );
    get("/hello.txt", "0-,0-,0-").expect(200);
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
