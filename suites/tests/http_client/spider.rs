//! `--spider`: pages of one server, as far as its robots.txt allows.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
    sync::{Arc, OnceLock},
};

use suites::{errors::broken_pipe, program};

use crate::{
    fetch,
    scripted::{Answer, Server, serve},
};

const ROBOTS: &str = "User-agent: *\nDisallow: /private\n";

fn page(links: &[&str]) -> Answer {
    let links: String = links
        .iter()
        .map(|link| format!("<a href={link}>x</a>"))
        .collect();
    Answer::new(&format!(
        "HTTP/1.1 200 OK\nContent-Type: text/html; charset=utf-8\n\n{links}"
    ))
}

fn status(status: u16) -> Answer {
    Answer::new(&format!("HTTP/1.1 {status} X\nContent-Length: 0\n\n"))
}

fn site() -> Server {
    serve(|target| match target {
        "/robots.txt" => Answer::new(&format!("HTTP/1.1 200 OK\n\n{ROBOTS}")),
        "/" => page(&[
            "/a",
            "/a#b",
            "/private/c",
            "/broken",
            "http://127.0.0.2:1/",
            "mailto:x",
            "/moved",
        ]),
        "/a" => page(&["/", "/deep", "/file"]),
        "/deep" => page(&["/deeper"]),
        "/deeper" => page(&["/deepest"]),
        "/file" => Answer::new("HTTP/1.1 200 OK\nContent-Type: text/plain\n\n<a href=/no>"),
        "/moved" => Answer::new("HTTP/1.1 302 F\nLocation: /target\n\n"),
        "/target" => page(&[]),
        _ => status(404),
    })
}

#[test]
fn pages_of_one_server_are_walked_and_broken_links_reported() {
    let server = site();
    let url = server.url("/");
    let ended = fetch(&["--spider", "--depth", "2", &url]);
    let mut targets = server.targets();
    assert_eq!(targets[..2], ["/robots.txt", "/"]);
    targets.sort();
    assert_eq!(
        targets,
        [
            "/",
            "/a",
            "/broken",
            "/deep",
            "/file",
            "/moved",
            "/robots.txt",
            "/target"
        ]
    );
    let broken = server.url("/broken");
    let line = format!("http_client: {broken}: status 404 (linked by {url})\n");
    assert_eq!((ended.code, ended.err.as_str()), (Some(1), line.as_str()));
    let summary = format!(
        "7 pages of {url}, 1 failed, 1 not allowed by robots.txt, 1 links to other servers\n"
    );
    assert!(ended.out().ends_with(&summary), "{}", ended.out());
    assert!(
        ended.out().contains(&format!("404 {broken}\n")),
        "{}",
        ended.out()
    );
}

#[test]
fn the_number_of_pages_is_bounded() {
    let server = serve(|target| match target {
        "/robots.txt" => status(404),
        _ => page(&[
            &format!("{target}0"),
            &format!("{target}1"),
            &format!("{target}2"),
        ]),
    });
    let ended = fetch(&[
        "--spider",
        "--depth",
        "1000",
        "--max-pages",
        "20",
        &server.url("/"),
    ]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert_eq!(server.targets().len(), 21);
    assert!(
        ended.out().contains("left out by --max-pages"),
        "{}",
        ended.out()
    );
}

#[test]
fn a_crawl_ends_when_nobody_reads_it() {
    let links: Vec<_> = (0..100).map(|n| format!("/{n}")).collect();
    let left = Arc::new(OnceLock::new());
    let has_left = Arc::clone(&left);
    let server = serve(move |target| match target {
        "/robots.txt" => status(404),
        "/" => page(&links.iter().map(String::as_str).collect::<Vec<_>>()),
        _ => {
            has_left.wait();
            status(200)
        }
    });
    let mut client = program::example("http_client")
        .args(["--spider", &server.url("/")])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(client.stdout.take().unwrap());
    lines.read_line(&mut String::new()).unwrap();
    drop(lines);
    left.set(()).unwrap();
    let output = client.wait_with_output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(err.contains(&broken_pipe()), "{err}");
    assert_eq!(output.status.code(), Some(1));
    let requests = server.targets().len();
    assert!(requests < 10, "{requests}");
}

#[test]
fn without_rules_everything_is_allowed_and_with_unreadable_ones_nothing() {
    for (robots, pages) in [(404, 1), (403, 1), (200, 1), (500, 0), (503, 0)] {
        let server = serve(move |target| match target {
            "/robots.txt" => status(robots),
            _ => page(&[]),
        });
        let ended = fetch(&["--spider", &server.url("/")]);
        assert_eq!(server.targets().len(), pages + 1, "{robots}");
        let code = if pages == 0 { 1 } else { 0 };
        assert_eq!(ended.code, Some(code), "{robots}: {}", ended.err);
        assert_eq!(
            ended.err.contains("robots.txt cannot be read"),
            pages == 0,
            "{}",
            ended.err
        );
    }
    // A connection that breaks is no permission either.
    let server = serve(|_| Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nUser"));
    let ended = fetch(&["--spider", &server.url("/")]);
    assert!(
        ended.err.contains("robots.txt cannot be read"),
        "{}",
        ended.err
    );
    assert_eq!(server.targets(), ["/robots.txt"]);
}

#[test]
fn rules_that_have_moved_are_followed() {
    let server = serve(|target| match target {
        "/robots.txt" => Answer::new("HTTP/1.1 301 M\nLocation: /rules\n\n"),
        "/rules" => {
            Answer::new("HTTP/1.1 200 OK\n\nUser-agent: asynchat-http-client\nDisallow: /\n")
        }
        _ => page(&[]),
    });
    let url = server.url("/");
    let ended = fetch(&["--spider", &url]);
    assert_eq!(server.targets(), ["/robots.txt", "/rules"]);
    let summary = format!("0 pages of {url}, 0 failed, 1 not allowed by robots.txt\n");
    assert_eq!((ended.out(), ended.code), (summary, Some(0)));
}

#[test]
fn a_page_and_a_robots_txt_without_end_are_cut() {
    let server = serve(|target| {
        let mut text = match target {
            "/robots.txt" => "HTTP/1.1 200 OK\r\n\r\nUser-agent: *\nDisallow: /a\n".to_owned(),
            _ => "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<a href=/a><a href=/b>"
                .to_owned(),
        };
        text.push_str(&" ".repeat(8_000_000));
        text.push_str("<a href=/far>");
        Answer::raw(&text)
    });
    let ended = fetch(&["--spider", "--depth", "1", &server.url("/")]);
    assert_eq!(server.targets(), ["/robots.txt", "/", "/b"]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
}
