//! Resets in every state a connection of `http_server` can be in: it is gone, with nothing said and nothing left over.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::atomic::Ordering::Relaxed,
    time::Duration,
};

use crate::{
    http::{GET, HELLO, Site, connect, narrow, reset},
    http_siege::{Bounds, Cpu, besiege},
};
use suites::victim::{DEADLINE, Repeated, within};

fn read_until(stream: &mut TcpStream, end: &[u8]) {
    let mut got = Vec::new();
    while !got.ends_with(end) {
        let mut byte = [0];
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "{}", got.escape_ascii());
        got.push(byte[0]);
    }
}

fn sent(to: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = connect(to);
    stream.write_all(bytes).unwrap();
    stream
}

/// A connection in the state of this name.
type State = (&'static str, fn(SocketAddr) -> TcpStream);

const STATES: [State; 11] = [
    ("before the request", connect),
    ("in the request line", |to| sent(to, b"GET /hel")),
    ("in the head", |to| {
        sent(to, b"GET / HTTP/1.1\r\nHost: a\r\nX")
    }),
    ("in the body", |to| {
        sent(
            to,
            b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nxyz",
        )
    }),
    ("in a chunk", |to| {
        sent(
            to,
            b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nx",
        )
    }),
    ("after 100 Continue", |to| {
        let head =
            b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n";
        let mut stream = sent(to, head);
        read_until(&mut stream, b"HTTP/1.1 100 Continue\r\n\r\n");
        stream
    }),
    ("with the answer unread", |to| sent(to, GET)),
    ("in a large answer", |to| {
        let mut stream = sent(to, b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
        stream.read_exact(&mut [0; 1000]).unwrap();
        stream
    }),
    ("in a large answer, with its window shut", |to| {
        let mut stream = narrow(to);
        stream
            .write_all(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
            .unwrap();
        stream.peek(&mut [0]).unwrap();
        stream
    }),
    ("between two requests", |to| {
        let mut stream = sent(to, GET);
        read_until(&mut stream, HELLO);
        stream
    }),
    ("while what follows a refusal is thrown away", |to| {
        let mut stream = sent(to, b"nonsense\r\n\r\n");
        read_until(&mut stream, b"</html>\n");
        stream.write_all(b"more").unwrap();
        stream
    }),
];

#[test]
fn a_reset_in_any_state_leaves_nothing_behind() {
    for (name, state) in STATES {
        let site = Site::start(&[]);
        let mark = site.victim.mark();
        for _ in 0..100 {
            reset(state(site.address()));
        }
        site.victim.is_as_at(&mark);
        let tail = site.victim.log_tail();
        let cost = site.ends_well(&mark);
        assert!(cost.memory < 2 * 1024, "{name}: {cost:?}");
        assert!(cost.cpu < Duration::from_secs(1), "{name}: {cost:?}");
        assert_eq!(cost.lines, 0, "{name}: {tail}");
    }
}

#[test]
fn resets_in_all_states_at_once() {
    let bounds = Bounds {
        memory: 4 * 1024,
        cpu: Cpu::Each(Duration::from_millis(3)),
        lines: 0,
    };
    let site = besiege("resets in all states", &[], &bounds, |to, work| {
        let work = work.clone();
        Repeated::start(Duration::from_millis(10), move || {
            for (_, state) in STATES {
                reset(state(to));
                work.fetch_add(1, Relaxed);
            }
        })
    });
    // One line for each download that was broken off, with what was sent of it.
    let broken = site.victim.out_lines_with("\"GET /big HTTP/1.1\" 200 ");
    assert!(broken > 0);
    site.victim.ends_well();
}

#[test]
fn a_reset_while_the_server_ends_does_not_hold_it_up() {
    let site = Site::start(&[]);
    let streams: Vec<TcpStream> = STATES.map(|(_, state)| state(site.address())).into();
    let address = site.address();
    let resets = std::thread::spawn(move || {
        // From now on nobody is let in: the end has begun.
        assert!(within(DEADLINE, || TcpStream::connect(address).is_err()));
        streams.into_iter().for_each(reset);
    });
    site.victim.ends_well();
    resets.join().unwrap();
}
