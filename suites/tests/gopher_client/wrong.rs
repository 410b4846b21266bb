//! Servers that do wrong, and calls that are refused.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    thread,
};

use suites::program::{NULL, Program, example};

use crate::fetch;

/// A server for one connection. Gives its URL up to the selector.
fn serve(answer: impl FnOnce(&mut TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut line = [0; 1024];
        let _ = stream.read(&mut line);
        answer(&mut stream);
    });
    format!("gopher://{address}")
}

#[test]
fn a_menu_without_an_end_is_left_and_control_characters_are_replaced() {
    let url = serve(
        |stream| {
            while stream.write_all(b"i\x1b[2J\tx\tx\t0\r\n").is_ok() {}
        },
    );
    let ended = fetch(&[&url]);
    assert_eq!(ended.code, Some(1));
    assert_eq!(
        ended.err,
        "gopher_client: the menu has more than 100000 items\n"
    );
    let out = ended.out();
    assert!(out.starts_with("      \u{fffd}[2J\n") && !out.contains('\u{1b}'));
    let url = serve(
        |stream| {
            while stream.write_all(b"i x x x x x x x x").is_ok() {}
        },
    );
    let ended = fetch(&[&url]);
    assert_eq!(
        ended.err,
        "gopher_client: the menu has an item of more than 8192 bytes\n"
    );
}

#[test]
fn a_server_that_is_silent_or_slow_or_gone_is_an_error() {
    let url = serve(|stream| {
        let _ = stream.read(&mut [0]);
    });
    let ended = fetch(&["--timeout", "0.3", &url]);
    assert_eq!(
        (ended.code, ended.err.as_str()),
        (Some(1), "gopher_client: nothing moved for 300ms\n")
    );
    let url = serve(|stream| {
        while stream.write_all(b"x").is_ok() {
            thread::yield_now();
        }
    });
    let ended = fetch(&["--max-time", "0.3", "-o", NULL, &url]);
    assert_eq!(
        (ended.code, ended.err.as_str()),
        (
            Some(1),
            "gopher_client: the whole takes longer than 300ms\n"
        )
    );
    let ended = fetch(&["gopher://127.0.0.1:1/"]);
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.err.starts_with("gopher_client: connection failed: "),
        "{}",
        ended.err
    );
}

#[test]
fn an_interrupted_download_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("saved");
    let (begun, has_begun) = std::sync::mpsc::channel();
    let url = serve(move |stream| {
        stream.write_all(&[b'x'; 100_000]).unwrap();
        begun.send(()).unwrap();
        let _ = stream.read(&mut [0]);
    });
    let mut client = example("gopher_client");
    let client = Program::start(client.arg("-o").arg(&file).arg(format!("{url}/9/x")));
    has_begun.recv().unwrap();
    client.signal("INT");
    let ended = client.ended();
    assert_eq!(
        (ended.code, ended.err.as_str()),
        (Some(1), "gopher_client: interrupted\n")
    );
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
}
