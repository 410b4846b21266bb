//! Redirects: every status and every kind of `Location`, and those that lead nowhere.

use suites::errors::refused;

use crate::{
    CLOSED, assert_fails, fetch,
    scripted::{Answer, End, serve},
};

#[test]
fn every_kind_of_redirect_is_followed() {
    let server = serve(|target| match target {
        "/a/end?x" => Answer::new("HTTP/1.1 200 OK\nContent-Length: 3\n\nend"),
        _ => {
            // The body never ends: whoever reads it to the end waits for ever.
            // "/a/301/where": the status and, percent-encoded, the location.
            let (status, location) = target[3..].split_once('/').unwrap();
            let location = location.replace("%2F", "/").replace("%3F", "?");
            let fields = format!("Location: {location}\nContent-Length: 99");
            Answer::new(&format!("HTTP/1.1 {status} Moved\n{fields}\n\nelsewhere")).end(End::Hold)
        }
    });
    let absolute = server.url("%2Fa%2Fend%3Fx").replace("//", "%2F%2F");
    let with_authority = absolute.trim_start_matches("http:").to_owned();
    for status in [301, 302, 303, 307, 308] {
        for location in ["%2Fa%2Fend%3Fx", "..%2Fend%3Fx", &absolute, &with_authority] {
            let start = format!("/a/{status}/{location}");
            let ended = fetch(&["--timeout", "3600", &server.url(&start)]);
            let expected = format!(
                "redirecting to {} ...\nstatus => HTTP/1.1 200 OK\nContent-Length = 3\n3 bytes in body\n",
                server.url("/a/end?x")
            );
            assert_eq!(ended.out(), expected, "{start}: {}", ended.err);
            assert_eq!(ended.code, Some(0));
            assert_eq!(server.targets(), [start.as_str(), "/a/end?x"]);
        }
    }
}

#[test]
fn a_redirected_head_stays_a_head() {
    let server = serve(|target| match target {
        "/" => Answer::new("HTTP/1.1 303 See Other\nLocation: /end\n\n"),
        _ => Answer::new("HTTP/1.1 200 OK\n\n"),
    });
    assert_eq!(fetch(&["-I", &server.url("/")]).code, Some(0));
    let methods: Vec<_> = server
        .requests
        .try_iter()
        .map(|request| request[..5].to_owned())
        .collect();
    assert_eq!(methods, ["HEAD ", "HEAD "]);
}

#[test]
fn what_is_not_a_redirect_is_not_followed() {
    for head in [
        "201 Created\nLocation: /x",
        "300 Choices\nLocation: /x",
        "304 Same\nLocation: /x",
        "302 Found",
    ] {
        let server =
            serve(move |_| Answer::new(&format!("HTTP/1.1 {head}\nContent-Length: 0\n\n")));
        let ended = fetch(&[&server.url("/")]);
        assert!(
            ended
                .out()
                .starts_with(&format!("status => HTTP/1.1 {}", &head[..3])),
            "{}",
            ended.out()
        );
        assert_eq!((ended.code, server.targets().len()), (Some(0), 1));
    }
}

#[test]
fn redirects_that_lead_nowhere_are_errors() {
    let server = serve(|target| {
        let location = match target {
            "/self" => "/self#again".to_owned(),
            "/ping" => "/pong".to_owned(),
            "/pong" => "/ping".to_owned(),
            "/tls" => "https://127.0.0.1:1/".to_owned(),
            "/file" => "file:///etc/passwd".to_owned(),
            "/tel" => "tel:123".to_owned(),
            "/mail" => "mailto:1".to_owned(),
            "/closed" => CLOSED.to_owned(),
            "/nowhere" => "http:///".to_owned(),
            count => format!("/{}", count[1..].parse::<u32>().unwrap() + 1),
        };
        Answer::new(&format!("HTTP/1.1 302 Found\nLocation: {location}\n\n"))
    });
    let refused = format!("connection failed: {}", refused());
    for (target, why, requests) in [
        ("/self", "loop", 2),
        ("/ping", "loop", 3),
        ("/tls", &refused, 1),
        ("/file", "only supports http and https, not file", 1),
        (
            "/tel",
            "redirected to tel:123: only supports http and https, not tel",
            1,
        ),
        ("/mail", "only supports http and https, not mailto", 1),
        ("/closed", &refused, 1),
        ("/nowhere", "redirected to http:///: empty host", 1),
        ("/1", "more than 10 redirects", 11),
    ] {
        let url = server.url(target);
        assert_fails(&fetch(&[&url]), &url, why);
        assert_eq!(server.targets().len(), requests, "{target}");
    }
    let url = server.url("/1");
    assert_fails(
        &fetch(&["--max-redirects", "0", &url]),
        &url,
        "more than 0 redirects",
    );
    assert_eq!(server.targets(), ["/1"]);
}
