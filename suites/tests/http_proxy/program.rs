//! The program: its errors, its log and its end.

use std::io::{Read, Write};

use suites::{
    certificates::text,
    program::{ends_well_when_terminated, run},
    web_server::connect,
};

use crate::scene::Scene;

#[test]
fn files_that_are_wrong_are_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, "a b c\n").unwrap();
    let path = text(file.path());
    for (options, why) in [
        (
            ["--auth", path],
            format!("cannot read names from {path}: line 1 is not USER:PASS"),
        ),
        (
            ["--blocklist", path],
            format!("cannot read what is blocked from {path}: line 1: more than one entry"),
        ),
    ] {
        let ended = run("http_proxy", &options);
        assert_eq!(
            (ended.code, ended.err),
            (Some(1), format!("http_proxy: {why}\n"))
        );
    }
}

#[test]
fn it_ends_when_the_answers_under_way_are_sent() {
    let scene = Scene::new(&["--quiet"]);
    let url = scene.url("/large.bin");
    let mut idle = connect(scene.address);
    let mut busy = connect(scene.address);
    write!(busy, "GET {url} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    busy.read_exact(&mut [0; 1000]).unwrap();
    scene.proxy.signal("TERM");
    assert_eq!(idle.read(&mut [0]).unwrap(), 0);
    let mut rest = Vec::new();
    busy.read_to_end(&mut rest).unwrap();
    assert!(rest.len() > 3_000_000 - 1000);
    let ended = scene.proxy.ended();
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
}

#[test]
fn an_idle_one_ends_at_once() {
    let scene = Scene::new(&[]);
    let mut client = connect(scene.address);
    write!(
        client,
        "GET {} HTTP/1.1\r\nHost: a\r\n\r\n",
        scene.url("/hello.txt")
    )
    .unwrap();
    client.read_exact(&mut [0; 100]).unwrap();
    ends_well_when_terminated(scene.proxy);
}
