//! News posted and read again, on one server: it takes a second to start.

use std::{net::SocketAddr, path::Path};

use crate::{assert_fails, inn, news, said};

/// Posts twelve articles, and gives the names of their files.
fn post(server: SocketAddr, folder: &Path) {
    let files: Vec<_> = (1..=12)
        .map(|n| {
            let (author, subject) = match n {
                2 => ("b@x.example", "Re: article 1"),
                3 => ("=?utf-8?q?J=C3=B6rg?= <j@x.example>", "=?utf-8?b?w6Q=?="),
                _ => ("a@x.example", &*format!("article {n}")),
            };
            let text = match n {
                2 => ".\n..two\n.one\nlast".into(),
                3 => format!("\u{e4} 8 bit \u{1b}[2J\n{}\n", "x".repeat(900)),
                _ => format!("body {n}\n"),
            };
            let file = folder.join(format!("{n}"));
            let header = format!(
                "From: {author}\nNewsgroups: local.test\nSubject: {subject}\nMessage-ID: <{n}@x.example>\nDate: Thu, 01 Jan \
                 2026 00:00:{n:02} +0000\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\
                 Content-Transfer-Encoding: 8bit\n\n"
            );
            std::fs::write(&file, header + &text).unwrap();
            file.to_str().unwrap().to_owned()
        })
        .collect();
    let mut args = vec!["post"];
    args.extend(files.iter().map(String::as_str));
    let expected: String = files
        .iter()
        .map(|file| format!("{file}: posted\n"))
        .collect();
    assert_eq!(said(server, &args), expected);
}

#[test]
fn articles_are_posted_listed_counted_and_read() {
    let Some(inn) = inn::start() else { return };
    let server = inn.address;
    let folder = tempfile::tempdir().unwrap();
    post(server, folder.path());
    assert_eq!(
        said(server, &["group", "local.test"]),
        "count => 12\nrange => 1 12\n"
    );
    let list = said(server, &["list", "local.t*"]);
    assert_eq!(list, "local.test 0000000012 0000000001 y\n");
    assert_eq!(said(server, &["list"]).lines().count(), 6);

    let over = said(server, &["over", "local.test"]);
    assert_eq!(over.lines().count(), 12);
    let third = over.lines().nth(2).unwrap();
    assert!(
        third.starts_with("3 Thu, 01 Jan 2026 00:00:03 +0000"),
        "{third}"
    );
    assert!(
        third.ends_with("J\u{f6}rg <j@x.example>  \u{e4}"),
        "{third}"
    );
    let over = said(server, &["over", "local.test", "2-4", "--author", "A@X"]);
    assert_eq!(over.lines().count(), 1, "{over}");
    assert_eq!(said(server, &["over", "local.empty"]), "");
    assert_eq!(said(server, &["over", "local.test", "100-"]), "");

    let stats = said(server, &["stats", "local.test", "--subject", "ARTICLE 1"]);
    let (head, tail) = stats.split_once("range => 1 12\n").unwrap();
    assert_eq!(head, "count => 12\n");
    let lines: Vec<_> = tail.lines().collect();
    // Articles 1, 2, which is about it, and 10 to 12.
    assert_eq!(lines.len(), 7, "{stats}");
    assert_eq!(lines[5..], ["authors => 3", "subjects => 11"]);
    assert_eq!(
        said(server, &["stats", "local.empty"]),
        "count => 0\nrange => 1 0\nauthors => 0\nsubjects => 0\n"
    );

    let shown = said(server, &["article", "-g", "local.test", "2", "3"]);
    assert!(shown.contains("Subject: Re: article 1\n"), "{shown}");
    assert!(shown.contains("\n\n.\n..two\n.one\nlast\n"), "{shown}");
    assert!(shown.contains("From: J\u{f6}rg <j@x.example>\n"), "{shown}");
    assert!(shown.contains("\u{e4} 8 bit \u{fffd}[2J\n"), "{shown}");
    assert!(!shown.contains("Path:"), "{shown}");
    let raw = said(server, &["article", "--raw", "<2@x.example>"]);
    assert!(
        raw.contains("\r\nPath: ") || raw.starts_with("Path: "),
        "{raw}"
    );
    assert!(
        raw.ends_with("\r\n\r\n.\r\n..two\r\n.one\r\nlast\r\n"),
        "{raw}"
    );
    let head = said(server, &["head", "<2@x.example>"]);
    assert!(head.contains("\r\nSubject: Re: article 1\r\n"), "{head}");
    assert!(!head.contains("..two"), "{head}");
    let body = said(server, &["body", "<2@x.example>"]);
    assert_eq!(body, ".\r\n..two\r\n.one\r\nlast\r\n");
    let file = folder.path().join("saved");
    let file_name = file.to_str().unwrap();
    said(server, &["article", "-o", file_name, "<2@x.example>"]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), raw);

    // What is refused leaves the older file alone, and the articles behind it are still read.
    assert_fails(
        server,
        &["article", "-o", file_name, "<none@x.example>"],
        "<none@x.example>: the server says 430 ",
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), raw);
    let ended = news(server, &["body", "-g", "local.test", "99", "1"]);
    assert_eq!(ended.code, Some(1));
    assert!(
        ended
            .err
            .starts_with("nntp_client: 99: the server says 423 "),
        "{}",
        ended.err
    );
    assert_eq!(ended.out(), "body 1\r\n");
    assert_fails(
        server,
        &["--max-size", "10", "article", "<1@x.example>"],
        "<1@x.example>: the article has more than 10 bytes",
    );

    assert_fails(
        server,
        &["group", "local.none"],
        "local.none: the server says 411 ",
    );
    assert_fails(
        server,
        &["over", "local.none"],
        "local.none: the server says 411 ",
    );
    let twice = folder.path().join("1");
    let twice = twice.to_str().unwrap();
    assert_fails(
        server,
        &["post", twice],
        &format!("{twice}: the server says 441 "),
    );

    assert_fails(
        server,
        &["group", "local.secret"],
        "local.secret: the server says 480 ",
    );
    let secret = said(server, &["--user", "u", "group", "local.secret"]);
    assert_eq!(secret, "count => 0\nrange => 1 0\n");
    assert_fails(
        server,
        &["--user", "x", "group", "local.test"],
        "the login: the server says 481 ",
    );
    assert_fails(
        server,
        &["--starttls", "group", "local.test"],
        "STARTTLS: the server says ",
    );
}
