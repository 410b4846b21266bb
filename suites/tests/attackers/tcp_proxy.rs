//! Attacks on `tcp_proxy`, from both sides: readers that stall, backends that do not answer, refuse or go away, floods of
//! connections, drips, and a great deal of data.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use socket2::SockRef;

use crate::{
    backend::{Honest, Keeping, backend},
    honest::alone,
    resets::{Bounds, connect, longer, narrow, patient, reset, withstands},
};
use suites::victim::{DEADLINE, Repeated, Victim, within};

pub fn proxy_to(to: SocketAddr, args: &[&str]) -> Victim {
    let to = to.to_string();
    let own = ["--listen", "127.0.0.1:0", "--to", &to];
    Victim::start("tcp_proxy", &[&own, args].concat())
}

fn many(usual: usize) -> usize {
    if longer() { 4 * usual } else { usual }
}

#[test]
fn stalled_readers_and_drips_on_either_side_slow_nobody_down() {
    let _alone = alone();
    let victim = proxy_to(backend(), &[]);
    let mut honest = Honest::new(victim.address);
    let address = victim.address;
    let count = many(30);
    // The high watermark and one read of each direction that is stalled.
    let stalled = |directions: u64| 4096 + count as u64 * directions * (64 + 64);
    let attack = |kind: u8, narrowly: bool, writes: bool| {
        let keeping = Keeping::start();
        let clients: Vec<_> = (0..count)
            .map(|_| {
                let mut client = if narrowly {
                    narrow(address)
                } else {
                    connect(address)
                };
                client.write_all(&[kind]).unwrap();
                client.set_nonblocking(true).unwrap();
                client
            })
            .collect();
        let writing = Repeated::start(Duration::from_millis(5), move || {
            for mut client in clients.iter().filter(|_| writes) {
                while client.write(&[b'x'; 16 * 1024]).is_ok() {}
            }
        });
        // What sockets and proxy take before they are full passes like any other data, and costs as much.
        within(DEADLINE, || {
            let mark = victim.mark();
            thread::park_timeout(Duration::from_millis(50));
            victim.since(&mark).cpu < Duration::from_millis(5)
        });
        (writing, keeping)
    };
    let bound = |memory, share| Bounds {
        memory,
        lines: 4 * 6 * count,
        share,
    };
    withstands(
        "clients that do not read",
        &victim,
        bound(stalled(1), 0.15),
        || honest.exchange(),
        || attack(b's', true, false),
    );
    withstands(
        "a backend that does not read",
        &victim,
        bound(stalled(1), 0.15),
        || honest.exchange(),
        || attack(b'k', false, true),
    );
    withstands(
        "nobody reads, both write",
        &victim,
        bound(stalled(2), 0.15),
        || honest.exchange(),
        || attack(b's', true, true),
    );
    withstands(
        "half-open, not a word",
        &victim,
        bound(4096, 0.05),
        || honest.exchange(),
        || {
            let clients: Vec<_> = (0..count).map(|_| connect(address)).collect();
            clients
        },
    );
    withstands(
        "one byte at a time",
        &victim,
        bound(4096, 0.6),
        || honest.exchange(),
        || {
            let clients: Vec<_> = (0..count).map(|_| Honest::new(address).0).collect();
            Repeated::start(Duration::from_millis(10), move || {
                for mut client in &clients {
                    client.write_all(b"x").unwrap();
                    client.read_exact(&mut [0]).unwrap();
                }
            })
        },
    );
    victim.ends_well();
}

#[test]
fn backends_that_reset_and_clients_that_come_and_go_slow_nobody_down() {
    let _alone = alone();
    let victim = proxy_to(backend(), &[]);
    let mut honest = Honest::new(victim.address);
    let address = victim.address;
    for (what, kind) in [
        ("a backend that resets at once", b'r'),
        ("a backend that resets in the middle", b'm'),
    ] {
        let bounds = Bounds {
            memory: 4096,
            lines: 0,
            share: 0.9,
        };
        withstands(
            what,
            &victim,
            bounds,
            || honest.exchange(),
            || {
                Repeated::start(Duration::from_millis(1), move || {
                    let mut client = connect(address);
                    client.write_all(&[kind]).unwrap();
                    let _ = client.read_to_end(&mut Vec::new());
                })
            },
        );
    }
    let bounds = Bounds {
        memory: 4096,
        // A connection that is reset before it is accepted has no address any more.
        lines: usize::MAX,
        share: 1.0,
    };
    withstands(
        "clients that come and go",
        &victim,
        bounds,
        || honest.exchange(),
        || {
            Repeated::start(Duration::from_millis(1), move || {
                for n in 0..4 {
                    let mut client = connect(address);
                    if n % 2 == 0 {
                        let _ = client.write_all(b"e");
                    }
                    reset(client);
                }
            })
        },
    );
    victim.ends_well();
}

#[test]
fn connections_past_the_limit_wait_without_a_trace() {
    let _alone = alone();
    let victim = proxy_to(backend(), &["--max-connections", "20"]);
    let mut honest = Honest::new(victim.address);
    let address = victim.address;
    let bounds = Bounds {
        memory: 2048,
        // That it is full and that it is not, with each sixteenth of the places: two for each of those who wait.
        lines: 2 * 6 * 300,
        share: 0.1,
    };
    withstands(
        "more than the limit",
        &victim,
        bounds,
        || honest.exchange(),
        || (0..300).map(|_| connect(address)).collect::<Vec<_>>(),
    );
    Honest::new(address).exchange();
    victim.ends_well();
}

#[test]
fn a_backend_that_never_answers_costs_a_timeout_and_gone_clients_nothing() {
    // A queue that is full: a further connect gets no answer.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    SockRef::from(&silent).listen(0).unwrap();
    let to = silent.local_addr().unwrap();
    let mut filling = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&to, Duration::from_millis(200)) {
        filling.push(stream);
        assert!(filling.len() < 100, "the queue never fills");
    }
    let victim = proxy_to(to, &["--connect-timeout", "4"]);
    let mark = victim.mark();
    let count = many(40);
    // Each with more than the proxy keeps, and in every way of going but one.
    let mut staying = Vec::new();
    for n in 0..count {
        let client = connect(victim.address);
        client.set_nonblocking(true).unwrap();
        while (&client).write(&[b'x'; 65536]).is_ok() {}
        client.set_nonblocking(false).unwrap();
        match n % 4 {
            0 => reset(client),
            1 => drop(client),
            2 => {
                client.shutdown(Shutdown::Write).unwrap();
                staying.push(client);
            }
            _ => staying.push(client),
        }
    }
    let accepted = within(DEADLINE, || {
        victim.log_lines_with("connection from") == count
    });
    assert!(accepted, "{}", victim.log_tail());
    let waiting = victim.since(&mark);
    assert!(waiting.memory < 4096 + count as u64 * 200, "{waiting:?}");
    // Those that were reset are gone long before the timeout.
    let most = mark.descriptors + 2 * (count - count / 4);
    let gone = within(Duration::from_secs(2), || victim.descriptors() <= most);
    assert!(gone, "{} descriptors, {most} at most", victim.descriptors());
    for client in &staying {
        assert!(ends(client), "still open");
    }
    victim.is_as_at(&mark);
    let cost = victim.since(&mark);
    eprintln!("a backend that never answers, {count} clients: {cost:?}");
    // One for each that came, and one for why it ended.
    assert!(cost.lines <= 2 * count, "{cost:?}\n{}", victim.log_tail());
    assert!(cost.cpu < Duration::from_secs(1), "{cost:?}");
    drop((silent, filling));
    victim.ends_well();
}

/// Whether the other side ends it, in whatever way.
pub fn ends(mut stream: &TcpStream) -> bool {
    let mut buffer = [0; 64 * 1024];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() == ErrorKind::ConnectionReset,
        }
    }
}

#[test]
fn without_descriptors_clients_wait_in_the_queue_and_all_are_served() {
    // Of one of the two numbers one descriptor is left over when all pairs are open: enough to accept with, and not to
    // connect.
    for places in [20, 21] {
        let victim = proxy_to(backend(), &[]);
        let mut honest = Honest::new(victim.address);
        honest.exchange();
        let mark = victim.mark();
        let most = (mark.descriptors + places) as u64;
        let limit = Rlimit {
            current: Some(most),
            maximum: Some(most),
        };
        let pid = Pid::from_raw(victim.pid().cast_signed());
        prlimit(pid, Resource::Nofile, limit).unwrap();
        let mut clients: Vec<_> = (0..many(100)).map(|_| connect(victim.address)).collect();
        let full = within(DEADLINE, || victim.descriptors() > mark.descriptors + 18);
        assert!(full, "{} descriptors", victim.descriptors());
        for _ in 0..100 {
            honest.exchange();
        }
        // Each is served when its turn comes, and none is turned away.
        for client in &mut clients {
            client.write_all(b"ea").unwrap();
        }
        for (n, mut client) in clients.into_iter().enumerate() {
            let mut answer = [0];
            let answered = client.read_exact(&mut answer);
            let right = answered.is_ok() && answer == *b"a";
            assert!(right, "client {n}: {answered:?}\n{}", victim.log_tail());
        }
        honest.exchange();
        victim.is_as_at(&mark);
        let cost = victim.since(&mark);
        let said = cost.lines + 1 - victim.log_lines_with("connection from");
        eprintln!("no descriptors left: {cost:?}, {said} lines");
        assert!(cost.cpu < Duration::from_secs(1), "{cost:?}");
        assert!(said <= many(100), "{said} lines:\n{}", victim.log_tail());
        victim.ends_well();
    }
}

#[test]
fn a_backend_may_go_away_and_come_back() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap();
    let victim = proxy_to(to, &[]);
    let mark = victim.mark();
    let mut client = connect(victim.address);
    let (server, _) = listener.accept().unwrap();
    // Gone, with its connections and its port.
    reset(server);
    drop(listener);
    assert!(ends(&client));
    for _ in 0..50 {
        client = connect(victim.address);
        let _ = client.write_all(b"anybody?");
        assert!(ends(&client));
    }
    drop(client);
    victim.is_as_at(&mark);
    let cost = victim.since(&mark);
    assert!(cost.lines <= 2 * 51, "{cost:?}");
    let listener = TcpListener::bind(to).unwrap();
    let mut client = connect(victim.address);
    client.write_all(b"back").unwrap();
    let mut server = patient(listener.accept().unwrap().0);
    let mut word = [0; 4];
    server.read_exact(&mut word).unwrap();
    assert_eq!(&word, b"back");
    victim.ends_well();
}

#[test]
fn a_great_deal_of_data_passes_in_flat_memory() {
    let _alone = alone();
    let victim = proxy_to(backend(), &[]);
    let mark = victim.mark();
    let size: usize = if longer() { 2048 << 20 } else { 256 << 20 };
    let mut block = vec![0; 1 << 20];
    for (n, byte) in (0..).zip(&mut block) {
        *byte = (n % 251) as u8;
    }
    let mut client = connect(victim.address);
    client.write_all(b"e").unwrap();
    let started = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..size / block.len() {
                (&client).write_all(&block).unwrap();
            }
            client.shutdown(Shutdown::Write).unwrap();
        });
        let mut received = vec![0; block.len()];
        for _ in 0..size / block.len() {
            (&client).read_exact(&mut received).unwrap();
            assert!(received == block);
        }
        assert_eq!((&client).read(&mut [0]).unwrap(), 0);
    });
    let cost = victim.since(&mark);
    eprintln!(
        "{} MiB there and back in {:?}: {cost:?}",
        size >> 20,
        started.elapsed()
    );
    assert!(cost.memory < 4096, "{cost:?}");
    drop(client);
    victim.is_as_at(&mark);
    victim.ends_well();
}
