//! Limits hold over TLS too.

use std::{
    io::{Read, Write},
    time::{Duration, Instant},
};

use suites::web_server::connect;

#[cfg(target_os = "linux")]
use super::LARGE;
use super::{GET, https};

#[test]
fn a_handshake_that_does_not_end_is_ended_and_keeps_nobody_waiting() {
    let setup = https(&["--request-timeout", "0.5", "--idle-timeout", "60"]);
    let began = Instant::now();
    let mut silent: Vec<_> = (0..50)
        .map(|n| {
            let mut stream = connect(setup.server.address);
            stream.write_all(&[22, 3, 1, 1, 0][..n % 6]).unwrap();
            stream
        })
        .collect();
    let mut client = setup.client();
    client.ask(GET).expect(200);
    for stream in &mut silent {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
    }
    // Without the option it would be ten seconds.
    assert!(began.elapsed() < Duration::from_secs(8));
    // After the handshake the time is that of a request.
    client.ask(GET).expect(200);
    client.send("GET /hello.txt HTTP/1.1\r\n");
    client.reply_to(GET).expect(408);
    assert_eq!(client.rest(), b"");
}

#[test]
fn past_the_limit_handshakes_make_room_and_who_finds_none_is_told() {
    let setup = https(&["--max-connections", "2"]);
    let silent: Vec<_> = (0..8).map(|_| connect(setup.server.address)).collect();
    let mut first = setup.client();
    first.ask(GET).expect(200);
    // The oldest were closed for those that came later.
    let mut oldest = &silent[0];
    assert_eq!(oldest.read(&mut [0]).unwrap(), 0);
    drop(silent);
    // Both places taken by downloads that go on.
    let large = "GET /large HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut second = setup.client();
    for client in [&mut first, &mut second] {
        client.send(large);
        client.stream.read_exact(&mut [0; 4096]).unwrap();
    }
    let refused = setup.client().reply_to(GET);
    assert!(refused.expect(503).closes());
}

/// A client that reads nothing has no more in the server than what may wait for it.
#[cfg(target_os = "linux")]
#[test]
fn a_download_that_is_not_read_costs_bounded_memory() {
    let setup = https(&[]);
    setup.client().ask(GET).expect(200);
    let before = setup.server.most_memory();
    let mut stalled: Vec<_> = (0..10).map(|_| setup.client()).collect();
    for client in &mut stalled {
        client.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
        client.stream.sock.peek(&mut [0]).unwrap();
    }
    let mut other = setup.client();
    for _ in 0..100 {
        other.ask(GET).expect(200);
    }
    let grown = setup.server.most_memory().saturating_sub(before);
    eprintln!("{grown} KiB for ten downloads of {LARGE} bytes");
    assert!(grown < 16 * 1024, "{grown} KiB");
}
