//! Files in the outgoing queue: a block each at most, and nothing in the steady state.

use std::{
    io::{ErrorKind, Read, Write},
    sync::Arc,
    time::{Duration, Instant},
};

use asynchat::FilePart;
use util::{
    DEADLINE, Recorder, Trace,
    files::{content, file, hole, whole},
    peer::{pair, tcp_pair, turns},
    reactor, settle,
};

const SMALL: usize = 1_000;

const LARGE: usize = 300_000;

/// The most of a file that is in memory where the system does not send it.
const BLOCK: usize = if cfg!(any(target_os = "linux", target_os = "android")) {
    0
} else {
    64 * 1024
};

#[test]
fn a_stalled_reader_of_64_mib_costs_no_memory() {
    const LEN: u64 = 64 << 20;
    let mut reactor = reactor();
    let (ours, theirs) = tcp_pair();
    let id = reactor
        .register(ours, Recorder::new(&Trace::new()))
        .unwrap();
    settle(&mut reactor);
    let before = util::heap::live();
    reactor.channel(id).unwrap().push_file(whole(hole(LEN)));
    settle(&mut reactor);
    let sent = reactor.stats().bytes_out;
    assert!(sent > 0 && sent < LEN, "{sent} bytes left");
    let grown = util::heap::live() - before;
    assert!(
        grown < 8 * 1024 + BLOCK.cast_signed(),
        "{grown} bytes for a stalled reader"
    );
    assert_eq!(
        turns(&mut reactor, 100),
        0,
        "callbacks while nothing can be done"
    );
    let start = Instant::now();
    reactor.turn(Some(Duration::from_millis(300))).unwrap();
    assert!(start.elapsed() > Duration::from_millis(200), "it spins");
    let mut channel = reactor.channel(id).unwrap();
    assert!((0..=BLOCK).contains(&channel.outgoing_len()));
    assert!(channel.is_congested(), "what is left in the file counts");
    channel.close_when_done();
    let mut most = 0;
    let mut received = 0_u64;
    let mut buffer = vec![0; 1 << 20];
    let end = Instant::now() + DEADLINE;
    theirs.set_nonblocking(true).unwrap();
    loop {
        assert!(Instant::now() < end, "{received} bytes, then nothing");
        match (&theirs).read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => received += n as u64,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        reactor.turn(Some(Duration::ZERO)).unwrap();
        most = most.max(util::heap::live() - before - buffer.capacity().cast_signed());
    }
    assert_eq!(received, LEN);
    assert!(most < 128 * 1024, "{most} bytes on the way");
}

#[test]
fn files_allocate_nothing_in_steady_state() {
    for len in [1, SMALL, 16 * 1024, LARGE] {
        let bytes = content(9, len);
        let source = Arc::new(file(&bytes));
        let mut reactor = reactor();
        let (ours, mut theirs) = pair();
        theirs.set_nonblocking(true).unwrap();
        let id = reactor
            .register(ours, Recorder::new(&Trace::new()))
            .unwrap();
        // The recorder would write a line about each drain.
        reactor
            .channel(id)
            .unwrap()
            .set_watermarks(4 * LARGE, 4 * LARGE);
        let mut received = vec![0; 2 * len + 100];
        let mut send = || {
            let mut channel = reactor.channel(id).unwrap();
            for _ in 0..2 {
                channel.write_all(b"head\r\n").unwrap();
                channel.push_file(FilePart::shared(Arc::clone(&source), ..).unwrap());
            }
            let mut n = 0;
            let end = Instant::now() + DEADLINE;
            while n < 2 * (len + 6) {
                assert!(Instant::now() < end, "{n} bytes, then nothing");
                reactor.turn(Some(Duration::ZERO)).unwrap();
                match theirs.read(&mut received[n..]) {
                    Ok(more) => n += more,
                    Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
                }
            }
            assert!(received[6..6 + len] == bytes);
        };
        for _ in 0..10 {
            send();
        }
        let before = util::heap::allocations();
        for _ in 0..100 {
            send();
        }
        assert_eq!(util::heap::allocations() - before, 0, "{len} bytes");
    }
}
