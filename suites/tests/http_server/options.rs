//! What the command line adds to files and listings: compressed files, pages for what is not there, names and passwords,
//! other origins, proxies.

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use suites::web_server::{SPREADS, Server, command, plain, serve};

/// An `Authorization` line for `ada:open sesame`.
const ADA: &str = "Authorization: Basic YWRhOm9wZW4gc2VzYW1l\r\n";

#[test]
fn a_compressed_file_beside_a_file_is_sent_to_who_takes_it() {
    let fill = |root: &Path| {
        fs::write(root.join("a.html"), "plain").unwrap();
        fs::write(root.join("a.html.br"), "brotli").unwrap();
        fs::write(root.join("a.html.gz"), "gzipped").unwrap();
        fs::write(root.join("old.css"), "new").unwrap();
        fs::write(root.join("old.css.gz"), "of something else").unwrap();
        let old = fs::File::options()
            .write(true)
            .open(root.join("old.css.gz"));
        let before = SystemTime::now() - Duration::from_secs(100);
        old.unwrap().set_modified(before).unwrap();
    };
    let server = serve(&["--precompressed"], fill);
    let get = |target: &str, accepted: &str| {
        let reply = server.get_with(target, &format!("Accept-Encoding: {accepted}\r\n"));
        assert_eq!(reply.header("Vary"), Some("Accept-Encoding"), "{accepted}");
        reply
    };
    for (accepted, coding, body) in [
        ("gzip, deflate, br", Some("br"), "brotli"),
        ("gzip", Some("gzip"), "gzipped"),
        ("br;q=0.1, gzip;q=0.2", Some("gzip"), "gzipped"),
        ("br;q=0", None, "plain"),
        ("", None, "plain"),
    ] {
        let reply = get("/a.html", accepted).expect(200);
        assert_eq!(reply.header("Content-Encoding"), coding, "{accepted}");
        assert_eq!(reply.text(), body, "{accepted}");
        let kind = reply.header("Content-Type");
        assert_eq!(kind, Some("text/html; charset=utf-8"));
    }
    assert_eq!(get("/old.css", "gzip").expect(200).text(), "new");
    // Each form has a tag of its own.
    let tag = get("/a.html", "br").header("ETag").unwrap().to_owned();
    assert_ne!(get("/a.html", "").header("ETag"), Some(&*tag));
    let headers = format!("Accept-Encoding: br\r\nIf-None-Match: {tag}\r\n");
    let unchanged = server.get_with("/a.html", &headers).expect(304);
    assert_eq!(unchanged.header("Vary"), Some("Accept-Encoding"));
    // Of the compressed file, too.
    let part = server.get_with("/a.html", "Accept-Encoding: br\r\nRange: bytes=0-2\r\n");
    assert_eq!(part.expect(206).text(), "bro");

    let reply = serve(&[], fill).get_with("/a.html", "Accept-Encoding: br\r\n");
    assert_eq!((reply.text(), reply.header("Vary")), ("plain", None));
}

#[test]
fn files_may_be_kept_as_long_as_cache_says() {
    let server = serve(&["--cache", "3600"], |_| ());
    let reply = server.get("/hello.txt").expect(200);
    let kept = Some("max-age=3600");
    assert_eq!(reply.header("Cache-Control"), kept);
    let tag = reply.header("ETag").unwrap();
    let unchanged = server.get_with("/hello.txt", &format!("If-None-Match: {tag}\r\n"));
    assert_eq!(unchanged.expect(304).header("Cache-Control"), kept);
    for (target, status) in [("/", 200), ("/absent", 404)] {
        assert_eq!(
            server.get(target).expect(status).header("Cache-Control"),
            None
        );
    }
    let reply = plain().get("/hello.txt").expect(200);
    assert_eq!(reply.header("Cache-Control"), None);
}

fn with_pages(options: &[&str]) -> Server {
    serve(options, |root| {
        fs::create_dir_all(root.join("app/empty")).unwrap();
        fs::write(root.join("app/page.html"), "<p>page</p>").unwrap();
    })
}

#[test]
fn a_path_that_names_nothing_gets_the_page_of_a_single_page_application() {
    let server = with_pages(&["--spa", "app/page.html", "--no-listing"]);
    for target in ["/users/7", "/absent.js?x", "/app/empty/"] {
        let page = server.get(target).expect(200);
        assert_eq!(page.text(), "<p>page</p>", "{target}");
        let kind = page.header("Content-Type");
        assert_eq!(kind, Some("text/html; charset=utf-8"));
    }
    assert_eq!(server.get("/hello.txt").expect(200).text(), "hello, world");
    server.get("/../x").expect(403);
    server.get("/%zz").expect(400);
    // Without the file it is as if nothing had been said.
    fs::remove_file(server.root.path().join("app/page.html")).unwrap();
    let page = server.get("/users/7").expect(404);
    assert!(page.text().contains("404 Not Found"));
}

#[test]
fn a_path_that_names_nothing_gets_a_page_of_ones_own_with_404() {
    let server = with_pages(&["--not-found", "app/page.html", "--cache", "9"]);
    let page = server
        .get_with("/absent", "Range: bytes=0-0\r\n")
        .expect(404);
    assert_eq!(page.text(), "<p>page</p>");
    assert_eq!(
        page.header("Content-Type"),
        Some("text/html; charset=utf-8")
    );
    // It must not be taken for the file that is not there.
    assert_eq!(
        (page.header("ETag"), page.header("Cache-Control")),
        (None, None)
    );
    let mut client = server.connect();
    let head = client.ask("HEAD /absent HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(head.expect(404).header("Content-Length"), Some("11"));
    assert_eq!(client.rest(), b"");
    assert_eq!(server.get("/hello.txt").expect(200).text(), "hello, world");
}

#[test]
fn without_listings_a_directory_is_its_index_or_nothing() {
    let server = serve(&["--no-listing"], |root| {
        fs::create_dir(root.join("with")).unwrap();
        fs::write(root.join("with/index.html"), "index").unwrap();
    });
    server.get("/").expect(404);
    assert_eq!(server.get("/with/").expect(200).text(), "index");
    server.get("/hello.txt").expect(200);
}

fn guarded(options: &[&str]) -> (Server, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("users");
    fs::write(&file, "# people\nbob:x\nada:open sesame\n").unwrap();
    let options = [&["--auth", file.to_str().unwrap()], options].concat();
    (serve(&options, |_| ()), directory)
}

#[test]
fn with_auth_a_name_and_its_password_are_asked_for() {
    let (server, _directory) = guarded(&["--status"]);
    for target in ["/hello.txt", "/", "/absent", "/-/status"] {
        for headers in [
            "",
            "Authorization: Basic YWRhOm9wZW4gc2VzYW1F\r\n",
            "Authorization: Basic Ym9iOm9wZW4gc2VzYW1l\r\n",
            "Authorization: Basic !\r\n",
            "Authorization: Bearer YWRhOm9wZW4gc2VzYW1l\r\n",
        ] {
            let refused = server.get_with(target, headers).expect(401);
            let challenge = refused.header("WWW-Authenticate").unwrap();
            assert!(challenge.starts_with("Basic realm="), "{challenge}");
            assert!(!refused.closes());
        }
    }
    server.ask("PUT /x HTTP/1.1\r\nHost: a\r\n\r\n").expect(401);
    let reply = server.get_with("/hello.txt", ADA).expect(200);
    assert_eq!(reply.text(), "hello, world");
    server.get_with("/-/status", ADA).expect(200);
    // The log names who came in.
    let lines: Vec<_> = (0..23).map(|_| server.next_log_line()).collect();
    let (refused, admitted) = lines.split_at(21);
    assert!(
        refused
            .iter()
            .all(|line| line.starts_with("127.0.0.1 - - [")),
        "{refused:?}"
    );
    assert!(
        admitted
            .iter()
            .all(|line| line.starts_with("127.0.0.1 - ada [")),
        "{admitted:?}"
    );
}

#[test]
fn a_file_of_names_that_cannot_be_used_is_an_error_that_does_not_show_them() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("users");
    for content in [None, Some(""), Some("ada:x\nsecret\n")] {
        if let Some(content) = content {
            fs::write(&file, content).unwrap();
        }
        let output = command()
            .arg("--auth")
            .arg(&file)
            .args(["--port", "0"])
            .output()
            .unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            (output.status.code(), error.lines().count()),
            (Some(1), 1),
            "{error}"
        );
        assert!(
            error.contains(file.to_str().unwrap()) && !error.contains("secret"),
            "{error}"
        );
    }
}

#[test]
fn with_cors_pages_of_other_origins_may_read_and_are_told_so_before() {
    let (server, _directory) = guarded(&["--cors"]);
    let anybody = Some("*");
    let preflight = "OPTIONS /hello.txt HTTP/1.1\r\nHost: a\r\nOrigin: http://b\r\n\
                     Access-Control-Request-Method: GET\r\n\r\n";
    let mut client = server.connect();
    client.send(preflight);
    // It has neither a body nor a length.
    let leave = client.reply_to("HEAD ").expect(204);
    assert_eq!(leave.header("Access-Control-Allow-Origin"), anybody);
    assert_eq!(
        leave.header("Access-Control-Allow-Methods"),
        Some("GET, HEAD")
    );
    assert_eq!(
        leave.header("Access-Control-Allow-Headers"),
        Some("*, Authorization")
    );
    assert_eq!(leave.header("Content-Length"), None);
    let get = format!("GET /hello.txt HTTP/1.1\r\nHost: a\r\nOrigin: http://b\r\n{ADA}\r\n");
    let reply = client.ask(&get).expect(200);
    assert_eq!(reply.header("Access-Control-Allow-Origin"), anybody);
    for (headers, status) in [("", 401), (ADA, 404)] {
        let reply = server.get_with("/absent", headers).expect(status);
        assert_eq!(reply.header("Access-Control-Allow-Origin"), anybody);
    }
    // One that is no such question is refused as ever.
    let plain_options = format!("OPTIONS / HTTP/1.1\r\nHost: a\r\n{ADA}\r\n");
    server.ask(&plain_options).expect(405);

    let server = plain();
    let reply = server
        .get_with("/hello.txt", "Origin: http://b\r\n")
        .expect(200);
    assert_eq!(reply.header("Access-Control-Allow-Origin"), None);
    server.ask(preflight).expect(405);
}

#[test]
fn the_combined_format_has_referer_and_agent_and_the_client_of_a_trusted_proxy() {
    let options = ["--log-format", "combined", "--trusted-proxy", "127.0.0.1"];
    let server = serve(&options, |root| {
        fs::write(root.join("large"), vec![b'x'; 100_000]).unwrap();
    });
    for (target, bytes) in [("/hello.txt", 12), ("/large", 100_000)] {
        for (headers, host, end) in [
            ("", "127.0.0.1", "\"-\" \"-\""),
            (
                "Referer: http://b/\"\r\nUser-Agent: curl/8\r\nX-Forwarded-For: 6.6.6.6, 2001:db8::1\r\n",
                "2001:db8::1",
                "\"http://b/\\\"\" \"curl/8\"",
            ),
        ] {
            server.get_with(target, headers).expect(200);
            let line = server.next_log_line();
            assert!(line.starts_with(&format!("{host} - - [")), "{line}");
            let end = format!("] \"GET {target} HTTP/1.1\" 200 {bytes} {end}");
            assert!(line.ends_with(&end), "{line}");
        }
    }
    // What cannot be read has no headers.
    server.ask("BAD\0\r\n\r\n").expect(400);
    let line = server.next_log_line();
    assert!(
        line.starts_with("127.0.0.1 - - [") && line.ends_with(" \"-\" \"-\""),
        "{line}"
    );

    let server = serve(&["--trusted-proxy", "10.0.0.1"], |_| ());
    server
        .get_with("/hello.txt", "X-Forwarded-For: 6.6.6.6\r\n")
        .expect(200);
    let line = server.next_log_line();
    assert!(
        line.starts_with("127.0.0.1 - - [") && line.ends_with(" 200 12"),
        "{line}"
    );
}

#[test]
fn behind_a_proxy_that_is_named_the_client_is_the_one_of_its_header() {
    for &spread in SPREADS {
        let options = [
            "--proxy-protocol-from",
            "127.0.0.0/8",
            "--threads",
            "2",
            "--spread",
            spread,
        ];
        let server = serve(&options, |_| ());
        let request = "GET /hello.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let proxied = format!("PROXY TCP6 2001:db8::7 2001:db8::1 56324 80\r\n{request}");
        server.ask(&proxied).expect(200);
        let line = server.next_log_line();
        assert!(line.starts_with("2001:db8::7 - - ["), "{line}");
        let mut without = server.connect();
        without.send(request);
        assert_eq!(without.rest(), b"");
    }
    let server = serve(&["--proxy-protocol-from", "10.0.0.0/8"], |_| ());
    assert_eq!(server.connect().rest(), b"");
}
