//! Clients that send as much as they can and read nothing: lines without end, chunks, trailers, pipelines. What is too
//! much is refused once and then thrown away; what is not read costs no more than what one connection may hold.

use std::{
    io::Write,
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::{
    honest::alone,
    http::{Honest, Site, connect, reset},
    http_siege::{Bounds, Cpu, Work, besiege},
};
use suites::victim::Repeated;

/// Connections of one attack.
const FLOODERS: usize = 20;
/// What each sends before it begins anew.
const ENOUGH: usize = 1 << 20;
/// What each offers at a time. What is thrown away unread costs little, a chunk of one byte as much
/// as a large one: a server that has as much to do as it can makes everybody wait his turn.
const MUCH: usize = 16 * 1024;
const CHUNKS: usize = 256;
/// Between two of these offers. A server that is not optimised has as much to do with half as many chunks.
const PAUSE: Duration = Duration::from_millis(if cfg!(debug_assertions) { 4 } else { 2 });

struct Flooder {
    stream: TcpStream,
    sent: usize,
}

fn begin(to: SocketAddr, start: &[u8], begun: &AtomicUsize) -> Flooder {
    let mut stream = connect(to);
    stream.write_all(start).unwrap();
    stream.set_nonblocking(true).unwrap();
    begun.fetch_add(1, Relaxed);
    Flooder { stream, sent: 0 }
}

/// Sends `start` and then `line` over and over, on many connections, and counts KiB.
fn pour(
    to: SocketAddr,
    work: &Work,
    begun: &Arc<AtomicUsize>,
    start: &'static [u8],
    line: &'static [u8],
    piece: usize,
) -> Repeated {
    let (work, begun) = (work.clone(), begun.clone());
    let block = line.repeat(2 * piece);
    let mut flooders: Vec<Flooder> = (0..FLOODERS).map(|_| begin(to, start, &begun)).collect();
    Repeated::start(PAUSE, move || {
        for flooder in &mut flooders {
            // A piece written in part would shift the lines: what follows begins where that one ended.
            let from = flooder.sent % line.len();
            match flooder.stream.write(&block[from..from + piece]) {
                Ok(n) => {
                    let before = flooder.sent / 1024;
                    flooder.sent += n;
                    work.fetch_add((flooder.sent / 1024 - before) as u64, Relaxed);
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
                // The server has refused it and closed.
                Err(_) => flooder.sent = ENOUGH,
            }
            if flooder.sent >= ENOUGH {
                let new = begin(to, start, &begun);
                reset(std::mem::replace(flooder, new).stream);
            }
        }
    })
}

/// Nobody is told of a flood more than once for each connection.
fn flood(
    name: &str,
    status: Option<u16>,
    memory: u64,
    start: &'static [u8],
    line: &'static [u8],
) -> Site {
    let bounds = Bounds {
        memory,
        cpu: Cpu::Each(Duration::from_micros(if cfg!(debug_assertions) {
            1200
        } else {
            60
        })),
        lines: 0,
    };
    let begun = Arc::new(AtomicUsize::new(0));
    let site = besiege(name, &[], &bounds, |to, work| {
        let piece = if status.is_some() { MUCH } else { CHUNKS };
        pour(to, work, &begun, start, line, piece)
    });
    if let Some(status) = status {
        let told = site.victim.out_lines_with(&format!(" {status} "));
        let begun = begun.load(Relaxed);
        assert!(
            (1..=begun).contains(&told),
            "{name}: {told} lines for {begun} connections"
        );
    }
    site
}

/// A head, or a chunk line, up to its limit; a reader's buffer for each connection would be more.
const LITTLE: u64 = 4 * 1024;

#[test]
fn a_megabyte_without_a_line_end() {
    flood("1 MB without a line end", Some(414), LITTLE, b"GET /", b"x")
        .victim
        .ends_well();
}

#[test]
fn a_header_line_of_a_megabyte() {
    let start = b"GET / HTTP/1.1\r\nHost: a\r\nX: ";
    flood("one header line of 1 MB", Some(431), LITTLE, start, b"x")
        .victim
        .ends_well();
}

#[test]
fn a_megabyte_of_header_lines() {
    let start = b"GET / HTTP/1.1\r\nHost: a\r\n";
    flood(
        "header lines of 1 MB",
        Some(431),
        LITTLE,
        start,
        b"X: y\r\n",
    )
    .victim
    .ends_well();
}

#[test]
fn empty_lines_without_end() {
    flood("empty lines", Some(400), LITTLE, b"\r\n", b"\r\n")
        .victim
        .ends_well();
}

const CHUNKED: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

#[test]
fn trailers_without_end() {
    const START: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n";
    flood(
        "trailers without end",
        Some(400),
        LITTLE,
        START,
        b"X: y\r\n",
    )
    .victim
    .ends_well();
}

#[test]
fn a_chunk_extension_without_end() {
    const START: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;";
    flood(
        "a chunk extension without end",
        Some(400),
        LITTLE,
        START,
        b"x",
    )
    .victim
    .ends_well();
}

#[test]
fn chunks_of_one_byte_without_end() {
    // Within the limit of a body: nobody is refused, and nothing is kept.
    flood("chunks of 1 byte", None, LITTLE, CHUNKED, b"1\r\nx\r\n")
        .victim
        .ends_well();
    flood(
        "chunks of 1 byte with extensions",
        None,
        LITTLE,
        CHUNKED,
        b"1;a=b;c=\"d\"\r\nx\r\n",
    )
    .victim
    .ends_well();
}

#[test]
fn pipelines_of_ten_thousand_requests_that_nobody_reads() {
    let bounds = Bounds {
        // The high mark of what waits for a client, an answer, and what was read and not yet looked at; and the
        // allocator's own. All the answers would be a hundred times as much.
        memory: FLOODERS as u64 * (128 + 48 + 64) + 4096,
        cpu: Cpu::Percent(10),
        lines: 0,
    };
    let requests: &[u8] = b"GET /page HTTP/1.1\r\nHost: a\r\n\r\n";
    let all = requests.repeat(10_000);
    besiege("pipelines of 10,000", &[], &bounds, |to, work| {
        let mut streams: Vec<(TcpStream, usize)> =
            (0..FLOODERS).map(|_| (connect(to), 0)).collect();
        let (work, all) = (work.clone(), all.clone());
        Repeated::start(PAUSE, move || {
            for (stream, sent) in &mut streams {
                stream.set_nonblocking(true).unwrap();
                if let Ok(n) = stream.write(&all[*sent..]) {
                    *sent += n;
                    work.fetch_add(n as u64 / 1024, Relaxed);
                }
            }
        })
    })
    .victim
    .ends_well();
}

/// Offers chunks of one byte, more than the server takes before it has looked at those of the others.
fn chunk_floods(site: &Site, floods: usize) -> Vec<TcpStream> {
    let chunks = b"1\r\nx\r\n".repeat(150_000);
    let flood = |_| {
        let mut stream = site.connect();
        stream.write_all(CHUNKED).unwrap();
        stream.set_nonblocking(true).unwrap();
        // What the system does not take is not needed.
        let _ = stream.write(&chunks);
        stream
    };
    (0..floods).map(flood).collect()
}

#[test]
fn others_have_their_turn_between_the_chunks_of_one_read() {
    let _alone = alone();
    let site = Site::start(&["--quiet"]);
    let mut honest = Honest::new(site.address());
    let mut worst = Duration::ZERO;
    for _ in 0..3 {
        let floods = chunk_floods(&site, FLOODERS);
        let mut exchanges = 0;
        let before = site.victim.cpu();
        // Not time, which others need as well: what the server does before it comes to the honest client.
        while exchanges < 10 {
            honest.ask();
            exchanges += 1;
        }
        worst = worst.max((site.victim.cpu() - before) / exchanges);
        drop(floods);
    }
    // A read has 64 KiB, which are 20,000 parts of chunks: 100 ms of work in all, unoptimised, not 3.
    let most = Duration::from_millis(if cfg!(debug_assertions) { 60 } else { 3 });
    eprintln!("{FLOODERS} floods of chunks: {worst:?} of work for each answer");
    assert!(worst < most, "{worst:?}");
    drop(honest);
    site.victim.ends_well();
}

#[test]
fn as_many_floods_of_chunks_as_there_are_places_lock_nobody_out() {
    let _alone = alone();
    let site = Site::start(&["--max-connections", "20"]);
    let mark = site.victim.mark();
    let floods = chunk_floods(&site, 20);
    // Those who are let in stay, or the next would have his place from them.
    let mut honest = Vec::new();
    for _ in 0..10 {
        let mut newcomer = Honest::new(site.address());
        newcomer.ask();
        honest.push(newcomer);
    }
    honest.iter_mut().for_each(Honest::ask);
    drop((floods, honest));
    let cost = site.ends_well(&mark);
    assert!(cost.memory < LITTLE, "{cost:?}");
    assert_eq!(cost.lines, 0, "{cost:?}");
}
