//! The program `gopher_client` against gophernicus and pygopherd, which differ where RFC 1436 leaves room, and servers of
//! the test's own, which do wrong.
#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    missing_debug_implementations,
    reason = "the helpers of a test are part of it"
)]

mod servers;
mod wrong;

use std::{fs, net::SocketAddr};

use suites::{
    certificates::{Authority, text},
    others::{Server, free_address, set_mode, tool},
    program::{Ended, run},
};
use tempfile::TempDir;

#[track_caller]
fn fetch(args: &[&str]) -> Ended {
    run("gopher_client", args)
}

#[track_caller]
fn shown(server: SocketAddr, path: &str) -> String {
    let url = format!("gopher://{server}{path}");
    let ended = fetch(&[&url]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{url}");
    ended.out()
}

/// What a server has: a text with dots, one without a line end, and bytes of all kinds.
const DOTS: &str = "first\n.\n..two\n.one\nlast\n";
const OPEN: &str = "no line end";

fn bytes() -> Vec<u8> {
    (0..300_000u32).map(|n| (n * 7 % 251) as u8).collect()
}

/// To be read by everybody.
fn site() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    set_mode(folder.path(), 0o755);
    let file = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        set_mode(&path, 0o644);
    };
    file("dots.txt", DOTS.as_bytes());
    file("open.txt", OPEN.as_bytes());
    file("a b.txt", b"blank\n");
    file("bytes.bin", &bytes());
    file(
        "gophermap",
        b"iWelcome\tx\tnone\t0\n0A text\t/dots.txt\n9Bytes\t/bytes.bin\n7Search\t/cgi-bin/search\n",
    );
    let scripts = folder.path().join("cgi-bin");
    fs::create_dir(&scripts).unwrap();
    set_mode(&scripts, 0o755);
    file(
        "cgi-bin/search",
        b"#!/bin/sh\necho \"ifound $QUERY_STRING\tx\tnone\t0\"\n",
    );
    set_mode(&scripts.join("search"), 0o755);
    folder
}

#[test]
fn both_servers_are_understood() {
    for start in [servers::gophernicus, servers::pygopherd] {
        let Some(server) = start(site()) else {
            continue;
        };
        let address = server.address;
        let menu = shown(address, "");
        for line in [
            "      Welcome".to_owned(),
            format!("    0 A text  gopher://{address}/0/dots.txt"),
            format!("    9 Bytes  gopher://{address}/9/bytes.bin"),
            format!("    7 Search  gopher://{address}/7/cgi-bin/search"),
        ] {
            assert!(
                menu.lines().any(|shown| shown == line),
                "{line:?} in {menu}"
            );
        }
        assert!(!menu.contains("\n."), "{menu}");
        let text = |path: &str| shown(address, path).replace("\r\n", "\n");
        assert_eq!(text("/0/dots.txt"), DOTS);
        assert_eq!(text("/0/open.txt").trim_end(), OPEN);
        assert_eq!(text("/0/a%20b.txt"), "blank\n");
        let file = server.folder().join("saved");
        let file_name = file.to_str().unwrap();
        let url = format!("gopher://{address}/9/bytes.bin");
        let ended = fetch(&["-o", file_name, &url]);
        assert_eq!(
            (ended.code, ended.out().as_str()),
            (Some(0), ""),
            "{}",
            ended.err
        );
        assert_eq!(fs::read(&file).unwrap(), bytes());
        let ended = fetch(&["--max-size", "1000", "-o", file_name, &url]);
        assert_eq!(
            ended.err,
            "gopher_client: the document is larger than --max-size allows\n"
        );
        assert_eq!(fs::read(&file).unwrap(), bytes());
    }
}

#[test]
fn gophernicus_searches_and_its_errors_are_lines() {
    let Some(server) = servers::gophernicus(site()) else {
        return;
    };
    let address = server.address;
    let url = format!("gopher://{address}/7/cgi-bin/search");
    let ended = fetch(&["--search", "two words", &url]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    assert!(ended.out().contains("found two"), "{}", ended.out());
    assert!(shown(address, "/7/cgi-bin/search%09word").contains("found word"));
    // Not of type 3, so that nobody can tell it from a text.
    let menu = shown(address, "/1/none");
    assert!(
        menu.contains("Error: File or directory not found!"),
        "{menu}"
    );
}

#[test]
fn pygopherds_errors_are_errors_whatever_was_asked_for() {
    let Some(server) = servers::pygopherd(site()) else {
        return;
    };
    for kind in ["0", "1", "9"] {
        let ended = fetch(&[&format!("gopher://{}/{kind}/none", server.address)]);
        assert_eq!(ended.code, Some(1), "{kind}: {}", ended.out());
        assert!(
            ended
                .err
                .starts_with("gopher_client: the server says: '/none' does not exist"),
            "{kind}: {}",
            ended.err
        );
        assert_eq!(ended.out(), "", "{kind}");
    }
}

#[test]
fn documents_come_through_tls() {
    let Some(server) = servers::pygopherd(site()) else {
        return;
    };
    let Some(mut stunnel) = tool("stunnel") else {
        return;
    };
    let mut authority = Authority::new();
    let certificate = authority.issue(&["localhost"]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("stunnel.conf");
    let address = free_address();
    let configuration = format!(
        "foreground = yes\npid =\n[gopher]\naccept = {address}\nconnect = {}\ncert = {}\nkey = {}\n",
        server.address,
        text(&certificate.cert),
        text(&certificate.key)
    );
    fs::write(&file, configuration).unwrap();
    let _stunnel = Server::start(stunnel.arg(&file), address);
    let path = format!("localhost:{}/0/dots.txt", address.port());
    let cacert = authority.file();
    let trust = ["--cacert", text(&cacert)];
    for args in [
        [&trust[..], &[&format!("gophers://{path}")]].concat(),
        [&trust[..], &["--tls", &format!("gopher://{path}")]].concat(),
    ] {
        let ended = fetch(&args);
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{args:?}");
        assert_eq!(ended.out(), DOTS);
    }
    let ended = fetch(&[&format!("gophers://{path}")]);
    assert!(
        ended.err.contains("TLS handshake with localhost failed: "),
        "{}",
        ended.err
    );
}
