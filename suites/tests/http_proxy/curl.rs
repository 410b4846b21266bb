//! curl through the proxy.

use suites::certificates::{Authority, text};

use crate::scene::{Scene, Sink, curl, pattern};

const STATUS: [&str; 2] = ["-w", "%{http_code} %{size_download}\n"];

#[test]
fn files_arrive_whole() {
    let scene = Scene::new(&[]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("large.bin");
    for version in ["--http1.1", "--http1.0"] {
        let arguments = [version, "-o", text(&file), &scene.url("/large.bin")];
        let Some(said) = scene.curl(&[&arguments[..], &STATUS].concat()) else {
            return;
        };
        assert_eq!(said.all, "200 3000000\n");
        assert_eq!(std::fs::read(&file).unwrap(), pattern(3_000_000));
    }
    let hello = scene.curl(&[&scene.url("/hello.txt")]).unwrap();
    assert_eq!((hello.code, &*hello.all), (Some(0), "hello, world"));
    let head = scene.curl(&["-I", &scene.url("/large.bin")]).unwrap().all;
    assert!(
        head.contains("Content-Length: 3000000\r\n") && head.contains("\r\nVia: 1.1 "),
        "{head}"
    );
    let part = scene
        .curl(&["-r", "0-4", &scene.url("/hello.txt")])
        .unwrap();
    assert_eq!(part.all, "hello");
    let line = scene.proxy.line();
    assert!(
        line.ends_with(&format!(
            "\"GET {} HTTP/1.1\" 200 3000000",
            scene.url("/large.bin")
        )),
        "{line}"
    );
}

#[test]
fn uploads_arrive_whole() {
    let scene = Scene::new(&[]);
    let sink = Sink::new();
    let source = sink.source();
    let url = format!("http://{}/x", sink.address);
    for (arguments, head, body) in [
        (
            &["-T", text(&source)][..],
            "PUT /x HTTP/1.1\r\n",
            pattern(3_000_000),
        ),
        (&["-d", "a=b"], "POST /x HTTP/1.1\r\n", b"a=b".to_vec()),
        (&["-X", "DELETE"], "DELETE /x HTTP/1.1\r\n", vec![]),
    ] {
        let Some(said) = scene.curl(&[arguments, &[&url]].concat()) else {
            return;
        };
        let received = sink.received();
        assert_eq!(said.all, format!("{}\n", received.len()), "{arguments:?}");
        assert!(
            received.starts_with(head.as_bytes()) && received.ends_with(&body),
            "{arguments:?}"
        );
    }
    // In chunks.
    let arguments = [
        "-H",
        "Transfer-Encoding: chunked",
        "-T",
        text(&source),
        &url,
    ];
    let said = scene.curl(&arguments).unwrap();
    let received = sink.received();
    assert_eq!(said.all, format!("{}\n", received.len()));
    let mut rest = &received[memchr::memmem::find(&received, b"\r\n\r\n").unwrap() + 4..];
    let mut body = Vec::new();
    while let Some(end) = memchr::memmem::find(rest, b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        body.extend_from_slice(&rest[end + 2..end + 2 + size]);
        rest = &rest[end + 2 + size + 2..];
    }
    assert_eq!(body, pattern(3_000_000));
}

#[test]
fn https_goes_through_a_tunnel() {
    let mut authority = Authority::new();
    let certificate = authority.issue(&["localhost"]);
    let tls = [
        "--tls-cert",
        text(&certificate.cert),
        "--tls-key",
        text(&certificate.key),
    ];
    let origin = Scene::with_origin(&[], &tls);
    let port = origin.origin.address.port().to_string();
    let (proxy, address) =
        suites::program::serve("http_proxy", &["--port", "0", "--connect-port", &port]);
    let url = format!("https://localhost:{port}/hello.txt");
    let trusted = authority.file();
    let arguments = ["--cacert", text(&trusted), &url];
    let Some(said) = curl(&format!("http://{address}"), &arguments) else {
        return;
    };
    assert_eq!((said.code, &*said.all), (Some(0), "hello, world"));
    let line = proxy.line();
    assert!(
        line.contains(&format!("\"CONNECT localhost:{port} HTTP/1.1\" 200 ")),
        "{line}"
    );
    // Port 443 alone is allowed by default.
    let said = origin.curl(&arguments).unwrap();
    assert!(said.all.contains("403"), "{said:?}");
    // And the way to the proxy itself can be TLS.
    let options = [&["--port", "0"][..], &tls].concat();
    let (_proxy, address) = suites::program::serve("http_proxy", &options);
    let plain = Scene::new(&[]);
    let said = curl(
        &format!("https://localhost:{}", address.port()),
        &["--proxy-cacert", text(&trusted), &plain.url("/hello.txt")],
    );
    assert_eq!(said.unwrap().all, "hello, world");
}

#[test]
fn a_name_and_a_password_are_asked_for() {
    let users = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&users, "ada:open sesame\n").unwrap();
    let scene = Scene::new(&["--auth", text(users.path())]);
    let url = scene.url("/hello.txt");
    let tunnel = ["-p", &url];
    for (arguments, said) in [
        (
            &["--proxy-user", "ada:open sesame", &url][..],
            "hello, world",
        ),
        (
            &[
                "--proxy-user",
                "ada:wrong",
                "-o",
                "/dev/null",
                "-w",
                "%{http_code}",
                &url,
            ],
            "407",
        ),
        (&["-o", "/dev/null", "-w", "%{http_code}", &url], "407"),
    ] {
        let Some(heard) = scene.curl(arguments) else {
            return;
        };
        assert_eq!(heard.all, said, "{arguments:?}");
    }
    let said = scene.curl(&tunnel).unwrap();
    assert!(
        said.code == Some(56) && said.all.contains("407"),
        "{said:?}"
    );
    let line = scene.proxy.line();
    assert!(line.starts_with("127.0.0.1 - ada ["), "{line}");
}

#[test]
fn what_cannot_be_reached_says_why() {
    let scene = Scene::new(&[]);
    let free = suites::others::free_address();
    for (url, status, error) in [
        (format!("http://{free}/"), "502", "connection_refused"),
        (
            "http://192.0.2.1/".to_owned(),
            "403",
            "destination_ip_prohibited",
        ),
        ("http://name.invalid/".to_owned(), "502", "dns_error"),
        (
            format!("http://{}/", scene.address),
            "502",
            "proxy_loop_detected",
        ),
    ] {
        let Some(said) = scene.curl(&["-i", &url]) else {
            return;
        };
        assert!(
            said.all.starts_with(&format!("HTTP/1.1 {status} ")),
            "{url}: {}",
            said.all
        );
        assert!(
            said.all.contains(&format!("; error={error}\r\n")),
            "{url}: {}",
            said.all
        );
    }
}

#[test]
fn proxies_in_a_row_pass_on_and_a_loop_ends() {
    let scene = Scene::new(&["--via", "one"]);
    let (_second, second) = suites::program::serve("http_proxy", &["--port", "0", "--via", "two"]);
    // A request that claims to have been at the second.
    let Some(said) = curl(
        &format!("http://{second}"),
        &["-i", "-H", "Via: 1.1 one", &scene.url("/hello.txt")],
    ) else {
        return;
    };
    assert!(said.all.ends_with("hello, world"), "{}", said.all);
    let said = scene
        .curl(&[
            "-i",
            "-H",
            "Via: 1.0 two, 1.1 one",
            &scene.url("/hello.txt"),
        ])
        .unwrap();
    assert!(
        said.all.contains("error=proxy_loop_detected"),
        "{}",
        said.all
    );
}

#[test]
fn banners_and_cookies_are_filtered() {
    let list = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&list, "# banners\n*/large.*\nads.example\n").unwrap();
    let options = [
        "--blocklist",
        text(list.path()),
        "--strip-request",
        "Cookie",
        "--strip-response",
        "ETag",
    ];
    let scene = Scene::new(&options);
    let sink = Sink::new();
    for url in [scene.url("/large.bin"), "http://www.ads.example/".into()] {
        let Some(said) = scene.curl(&["-w", "%{http_code}", &url]) else {
            return;
        };
        assert!(
            said.all.ends_with("403") && said.all.contains("blocklist"),
            "{url}: {}",
            said.all
        );
    }
    let head = scene.curl(&["-I", &scene.url("/hello.txt")]).unwrap().all;
    assert!(head.contains("200 OK") && !head.contains("ETag"), "{head}");
    scene.curl(&["-b", "secret=1", &format!("http://{}/", sink.address)]);
    let received = sink.received();
    assert!(!received.is_empty() && memchr::memmem::find(&received, b"secret").is_none());
}
