//! Clients that do nothing, or as little as they can: slow heads and bodies, readers that do not read, half-open
//! connections. They hold places, and that is all they hold.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

use crate::{
    http::{connect, narrow},
    http_siege::{Bounds, Cpu, besiege, thorough},
};
use suites::victim::{DEADLINE, Repeated, within};

/// Connections of one attack.
fn many() -> usize {
    if thorough() { 900 } else { 300 }
}

/// Begins a request on each connection and goes on by a byte, each connection five times a second.
fn drip(to: SocketAddr, start: &'static [u8], bytes: &'static [u8]) -> Repeated {
    let mut streams: Vec<TcpStream> = (0..many()).map(|_| connect(to)).collect();
    for stream in &mut streams {
        stream.write_all(start).unwrap();
    }
    let mut tick = 0;
    Repeated::start(Duration::from_millis(20), move || {
        let byte = bytes[tick / 10 % bytes.len()];
        for stream in streams.iter_mut().skip(tick % 10).step_by(10) {
            stream.write_all(&[byte]).unwrap();
        }
        tick += 1;
    })
}

const SLOW: Bounds = Bounds {
    memory: 8 * 1024,
    cpu: Cpu::Percent(40),
    lines: 0,
};

#[test]
fn slow_heads() {
    let start = b"GET / HTTP/1.1\r\nHost: a\r\nX: ";
    besiege("slow heads", &[], &SLOW, |to, _| drip(to, start, b"x"))
        .victim
        .ends_well();
}

#[test]
fn slow_bodies() {
    let counted = b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n";
    besiege("slow bodies", &[], &SLOW, |to, _| drip(to, counted, b"x"))
        .victim
        .ends_well();
    let chunked = b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    besiege("slow chunks of 1", &[], &SLOW, |to, _| {
        drip(to, chunked, b"1\r\nx\r\n")
    })
    .victim
    .ends_well();
}

#[test]
fn slow_clients_get_one_408_and_one_line_each() {
    let site = crate::http::Site::start(&["--request-timeout", "0.5"]);
    let mark = site.victim.mark();
    let streams: Vec<TcpStream> = (0..many())
        .map(|_| {
            let mut stream = connect(site.address());
            stream.write_all(b"GET / HTTP/1.1\r\nX: ").unwrap();
            stream
        })
        .collect();
    let told = || site.victim.out_lines_with(" 408 ");
    assert!(within(DEADLINE, || told() >= streams.len()), "{}", told());
    for mut stream in streams {
        let answers = crate::http::answers(&crate::http::rest(&mut stream), false);
        assert_eq!(answers.len(), 1);
        assert_eq!(answers[0].status, 408);
    }
    assert_eq!(told(), many());
    let cost = site.ends_well(&mark);
    assert_eq!(cost.lines, 0, "{cost:?}");
}

const READERS: usize = 60;

/// Asks on connections with the smallest window there is, and never reads.
fn ask_and_stall(to: SocketAddr, requests: &[u8]) -> Vec<TcpStream> {
    (0..READERS)
        .map(|_| {
            let mut stream = narrow(to);
            let mut sent = 0;
            while sent < requests.len() {
                stream.set_nonblocking(true).unwrap();
                match stream.write(&requests[sent..]) {
                    Ok(n) => sent += n,
                    Err(_) => break,
                }
            }
            assert!(sent > 0);
            stream
        })
        .collect()
}

/// What one stalled reader may hold: the high mark of what waits for a client, one answer past it, and a block that is
/// read from a file; what the allocator makes of these comes on top.
const STALLED: Bounds = Bounds {
    memory: READERS as u64 * 256,
    cpu: Cpu::Percent(10),
    lines: 0,
};

#[test]
fn readers_of_a_large_file_with_a_shut_window() {
    let big = b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n";
    besiege("shut windows, 1 GiB", &[], &STALLED, |to, _| {
        ask_and_stall(to, big)
    })
    .victim
    .ends_well();
}

#[test]
fn readers_of_many_small_answers_with_a_shut_window() {
    let page = b"GET /page HTTP/1.1\r\nHost: a\r\n\r\n".repeat(500);
    besiege("shut windows, 500 small", &[], &STALLED, |to, _| {
        ask_and_stall(to, &page)
    })
    .victim
    .ends_well();
}

#[test]
fn a_shut_window_is_closed_after_the_idle_timeout_though_the_client_keeps_its_side() {
    let site = crate::http::Site::start(&["--idle-timeout", "0.7"]);
    let mark = site.victim.mark();
    let kept = ask_and_stall(site.address(), b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
    let lines = || site.victim.out_lines_with("\"GET /big HTTP/1.1\" 200 ");
    assert!(within(DEADLINE, || lines() >= kept.len()), "{}", lines());
    site.victim.is_as_at(&mark);
    let cost = site.ends_well(&mark);
    assert_eq!(cost.lines, 0, "{cost:?}");
    drop(kept);
}

#[test]
fn connections_that_say_nothing() {
    let nothing = Bounds {
        memory: 6 * 1024,
        cpu: Cpu::Percent(5),
        lines: 0,
    };
    besiege("silent connections", &[], &nothing, |to, _| {
        (0..many()).map(|_| connect(to)).collect::<Vec<_>>()
    })
    .victim
    .ends_well();
}

#[test]
fn connections_that_end_in_the_middle_of_a_request() {
    let ended = Bounds {
        memory: 4 * 1024,
        cpu: Cpu::Each(Duration::from_millis(2)),
        lines: 0,
    };
    let starts: [&[u8]; 5] = [
        b"",
        b"GET / HT",
        b"GET / HTTP/1.1\r\nHost: a\r\n\r",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab",
        b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    ];
    besiege("half a request, then the end", &[], &ended, |to, work| {
        let work = work.clone();
        let mut kept = std::collections::VecDeque::new();
        Repeated::start(Duration::from_millis(5), move || {
            for start in starts {
                let mut stream = connect(to);
                stream.write_all(start).unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
                kept.push_back(stream);
                work.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
            while kept.len() > 100 {
                kept.pop_front();
            }
        })
    })
    .victim
    .ends_well();
}

#[test]
fn as_many_slow_readers_as_there_are_places_lock_nobody_out() {
    let site = crate::http::Site::start(&["--max-connections", "5", "--idle-timeout", "6"]);
    let big = b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut readers: Vec<TcpStream> = (0..5).map(|_| narrow(site.address())).collect();
    for reader in &mut readers {
        reader.write_all(big).unwrap();
        reader.peek(&mut [0]).unwrap();
    }
    // They take a little now and then, so that none of them is idle.
    let reading = Repeated::start(Duration::from_millis(20), move || {
        for reader in &mut readers {
            reader.set_nonblocking(true).unwrap();
            let _ = reader.read(&mut [0; 500]);
        }
    });
    let closed = || site.victim.out_lines_with("\"GET /big HTTP/1.1\" 200 ");
    let is_served = || {
        let mut stream = connect(site.address());
        stream.write_all(crate::http::GET).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let answers = crate::http::answers(&crate::http::rest(&mut stream), false);
        answers.first().is_some_and(|answer| answer.status == 200)
    };
    // At first they are being answered, and a client that comes is told to try again.
    assert!(within(DEADLINE, is_served));
    // The log has a thread of its own.
    assert!(within(DEADLINE, || closed() > 0));
    assert!(closed() < 5, "{} readers were closed", closed());
    drop(reading);
    site.victim.ends_well();
}
