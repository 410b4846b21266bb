//! Peers that stop in the middle of what they had to say, and keep the connection open: a timeout, never a hang.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::mpsc,
    thread,
    time::Duration,
};

use crate::{
    namespace::inside,
    site::{BIG, Download, Fetched, SMALL, Server, Site},
};
use suites::program;

const CPU: Duration = Duration::from_millis(700);

/// Says that to everybody, and nothing after it, for as long as they stay.
fn silent_after(said: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || {
                let mut stream = stream.unwrap();
                stream.write_all(said).unwrap();
                while let Ok(1..) = stream.read(&mut [0; 4096]) {}
            });
        }
    });
    address
}

const HALVES: [(&[u8], &str, &[u8]); 5] = [
    (b"", "timed out without an answer", b""),
    (
        b"HTTP/1.1 200 OK\r\nContent-Le",
        "timed out within the header",
        b"",
    ),
    (
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfour",
        "timed out after 4 of 10 bytes of the body",
        b"four",
    ),
    (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n",
        "timed out before the end of the body, after 4 bytes",
        b"four",
    ),
    (
        b"HTTP/1.1 200 OK\r\n\r\nfour",
        "timed out before the end of the body, after 4 bytes",
        b"four",
    ),
];

fn gave_up(fetched: &Fetched, how: &str, saved: &[u8]) {
    fetched.failed(&format!("{how}: the server was silent for 1s"));
    assert_eq!(fetched.saved, saved);
    assert!(fetched.took < Duration::from_secs(4), "{:?}", fetched.took);
}

#[test]
fn a_server_that_falls_silent_is_given_up_with_where_it_stood() {
    inside(CPU, |_| {
        thread::scope(|scope| {
            for (said, how, saved) in HALVES {
                scope.spawn(move || {
                    let download = Download::start(silent_after(said), SMALL, 1);
                    gave_up(&download.waits().ended(), how, saved);
                });
            }
        });
        Ok(())
    });
}

#[test]
fn a_server_that_accepts_nobody_any_more_is_given_up() {
    inside(CPU, |_| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        socket2::SockRef::from(&listener).listen(0).unwrap();
        let mut waiting = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
            waiting.push(stream);
            assert!(waiting.len() < 100, "the queue never fills");
        }
        Download::start(address, SMALL, 1)
            .waits()
            .ended()
            .failed("connection failed: no answer within 1s");
        Ok(())
    });
}

#[test]
fn a_time_server_that_says_nothing_is_given_up() {
    inside(CPU, |_| {
        for said in [b"".as_slice(), b"\xee\xee"] {
            let port = silent_after(said).port().to_string();
            let ended = program::run("time_client", &["127.0.0.1", &port, "--timeout", "1"]);
            println!("{}", ended.err.trim_end());
            assert_eq!(
                (ended.code, ended.err.lines().count()),
                (Some(1), 1),
                "{}",
                ended.err
            );
        }
        Ok(())
    });
}

#[test]
fn a_client_that_takes_nothing_any_more_is_closed() {
    inside(CPU, |network| {
        network.small_buffers()?;
        let site = Site::new(1_000_000);
        let server = site.http_server(0, 1);
        let mut silent = TcpStream::connect(server.address).unwrap();
        write!(silent, "GET /{BIG} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        silent.read_exact(&mut [0; 100]).unwrap();
        server.is_busy();
        server.waits();
        site.whole(server.address, SMALL, 5);
        server.ends_as_before();
        Ok(())
    });
}

#[test]
fn a_proxy_gives_up_two_peers_that_are_silent() {
    inside(CPU, |_| {
        let behind = silent_after(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfour");
        let to = behind.to_string();
        let proxy = [
            "--listen",
            "127.0.0.1:0",
            "--to",
            &to,
            "--idle-timeout",
            "1",
        ];
        let proxy = Server::start("tcp_proxy", &proxy);
        let fetched = Download::start(proxy.address, SMALL, 10).waits().ended();
        fetched.is_cut("connection closed", b"four------");
        assert_eq!(fetched.saved, b"four");
        proxy.ends_as_before();
        Ok(())
    });
}

#[test]
fn a_client_that_was_stopped_for_longer_than_its_patience_finds_what_has_come() {
    inside(CPU, |network| {
        let site = Site::new(1_000_000);
        let server = site.http_server(0, 30);
        network.rate("8mbit")?;
        let download = Download::start(server.address, BIG, 1).begun();
        // Stopped while it waits, and not in the middle of its work.
        server.signal("STOP");
        let download = download.waits();
        download.signal("STOP");
        server.signal("CONT");
        // Its buffers fill, and then some time passes.
        let (_alive, nothing) = mpsc::channel::<()>();
        let _ = nothing.recv_timeout(Duration::from_secs(2));
        download.signal("CONT");
        let fetched = download.ended();
        assert_eq!((fetched.code, fetched.error.as_str()), (Some(0), ""));
        assert!(fetched.saved == site.content(BIG));
        server.ends_as_before();
        Ok(())
    });
}
