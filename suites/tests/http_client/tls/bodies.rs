//! Bodies and their ends, of which the end of file alone is none.

use rustls::version::{TLS12, TLS13};
use util::peer::tells_resets;

use super::Trusted;
use crate::{
    assert_fails,
    scripted::{Answer, End, serve},
};

#[test]
fn every_framing_arrives_over_both_versions_in_records_of_any_size() {
    for version in [&TLS12, &TLS13] {
        let trusted = Trusted::with(&[version], |target| {
            let (framing, slice) = target[1..].split_once('/').unwrap();
            let text = match framing {
                "length" => "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
                "chunked" => "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\nhe\n3\nllo\n0\n\n",
                _ => "HTTP/1.0 200 OK\n\nhello",
            };
            Answer::new(text)
                .slice(slice.parse().unwrap())
                .end(End::Notify)
        });
        for target in ["length", "chunked", "close"] {
            for slice in [1, 7, 100_000] {
                let url = trusted.server.url(&format!("/{target}/{slice}"));
                let ended = trusted.fetch(&["-o", "-", &url]);
                assert_eq!(ended.code, Some(0), "{url}: {}", ended.err);
                assert_eq!(ended.out(), "hello", "{url}");
                assert!(trusted.is_ended_properly(), "{url}");
            }
        }
    }
}

#[test]
fn a_large_body_arrives_unharmed() {
    let body: String = (0..500_000).map(|n| format!("{n:07}\n")).collect();
    let expected = body.clone();
    let trusted = Trusted::serve(move |_| {
        Answer::raw(&format!("HTTP/1.0 200 OK\r\n\r\n{body}")).end(End::Notify)
    });
    let ended = trusted.fetch(&["-o", "-", &trusted.server.url("/")]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.out() == expected);
}

/// RFC 9112, 9.8.
#[test]
fn a_body_that_is_known_to_be_whole_needs_no_end_of_tls() {
    for text in [
        "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
        "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5\nhello\n0\n\n",
        "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        "HTTP/1.1 204 No Content\n\n",
    ] {
        let trusted = Trusted::serve(|_| Answer::new(text).end(End::Close));
        let url = trusted.server.url("/");
        let ended = trusted.fetch(&[&url]);
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{text:?}");
    }
}

#[test]
fn an_end_of_file_without_that_of_tls_ends_no_body() {
    const CHUNKED: &str = "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n";
    for (text, why) in [
        ("", "connection cut without an answer"),
        ("HTTP/1.1 200 OK\nServ", "connection cut within the header"),
        (
            "HTTP/1.1 200 OK\nX: y\n",
            "connection cut within the header",
        ),
        (
            "HTTP/1.0 200 OK\n\nhello",
            "connection cut before the end of the body, after 5 bytes",
        ),
        (
            "HTTP/1.0 200 OK\n\n",
            "connection cut before the end of the body, after 0 bytes",
        ),
        (
            "HTTP/1.1 200 OK\nContent-Length: 5\n\nhell",
            "connection cut after 4 of 5 bytes of the body",
        ),
        (
            &format!("{CHUNKED}5\nhell"),
            "connection cut before the end of the body, after 4 bytes",
        ),
        (
            &format!("{CHUNKED}5\nhello\n0\n"),
            "connection cut before the end of the body, after 5 bytes",
        ),
    ] {
        let answer = text.to_owned();
        let trusted = Trusted::serve(move |_| Answer::new(&answer).end(End::Close));
        let url = trusted.server.url("/");
        let why = format!("{why}: TLS was not ended (close_notify)");
        assert_fails(&trusted.fetch(&[&url]), &url, &why);

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("body");
        std::fs::write(&path, "old").unwrap();
        assert_fails(
            &trusted.fetch(&["-o", path.to_str().unwrap(), &url]),
            &url,
            &why,
        );
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old", "{text:?}");
    }
    // With close_notify it is what it is without TLS.
    let cut = "HTTP/1.1 200 OK\nContent-Length: 5\n\nhell";
    let trusted = Trusted::serve(|_| Answer::new(cut).end(End::Notify));
    let url = trusted.server.url("/");
    let why = "connection closed after 4 of 5 bytes of the body";
    assert_fails(&trusted.fetch(&[&url]), &url, why);
}

#[test]
fn a_stream_that_breaks_is_told_with_the_place_and_the_reason() {
    let head = "HTTP/1.1 200 OK\nContent-Length: 5\n\nhell";
    for (end, why) in [
        (
            End::Reset,
            "connection reset after 4 of 5 bytes of the body",
        ),
        (
            End::Garbage,
            "connection broken after 4 of 5 bytes of the body: TLS: received corrupt message",
        ),
    ] {
        if matches!(end, End::Reset) && !tells_resets() {
            continue;
        }
        // The reset may destroy what was sent before it.
        let trusted = Trusted::serve(move |_| Answer::new(head).end(end));
        let url = trusted.server.url("/");
        let ended = trusted.fetch(&[&url]);
        match end {
            End::Reset => assert_fails(&ended, &url, "connection reset "),
            _ => assert_fails(&ended, &url, why),
        }
    }
}

#[test]
fn several_urls_are_fetched_at_once_over_tls_and_without() {
    let trusted = Trusted::serve(|_| Answer::new("HTTP/1.1 200 OK\nContent-Length: 1\n\nx"));
    let plain = serve(|_| Answer::new("HTTP/1.1 200 OK\nContent-Length: 1\n\nx"));
    let mut urls: Vec<_> = (0..20)
        .map(|n| trusted.server.url(&format!("/{n}")))
        .collect();
    urls.extend((0..20).map(|n| plain.url(&format!("/{n}"))));
    let urls: Vec<_> = urls.iter().map(String::as_str).collect();
    let ended = trusted.fetch(&urls);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    assert_eq!(ended.out().matches(": 1 bytes in body\n").count(), 40);
}
