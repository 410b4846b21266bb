//! Much of one thing: silent handshakes, handshakes at once, key updates, readers that do not read.

use std::{
    fmt,
    io::Write,
    net::{SocketAddr, TcpStream},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rustls::{ClientConfig, version};
use socket2::{Domain, Socket, Type};
use suites::victim::{DEADLINE, Repeated, within};

use crate::{
    client::{self, GET, Honest, Hostile, VERSIONS, connect},
    site::Site,
    thorough,
};

/// Round trips of an honest client, a thousand a second at most: one that never pauses would find the server's caches and
/// processor hot, and itself first in line.
fn round_trips(honest: &mut Honest, mut done: impl FnMut() -> bool) -> Waits {
    let mut times = Vec::new();
    while !done() || times.len() < 100 {
        let began = Instant::now();
        honest.ask();
        times.push(began.elapsed());
        within(Duration::from_millis(1), || false);
    }
    times.sort_unstable();
    Waits(times)
}

/// Sorted.
struct Waits(Vec<Duration>);

impl fmt::Display for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |share: usize| self.0[(self.0.len() - 1) * share / 100];
        let (median, p99, worst) = (of(50), of(99), of(100));
        write!(
            f,
            "median {median:?}, p99 {p99:?}, worst {worst:?} of {}",
            self.0.len()
        )
    }
}

fn within_time(time: Duration) -> impl FnMut() -> bool {
    let end = Instant::now() + time;
    move || Instant::now() > end
}

#[test]
fn silent_handshakes_end_at_their_deadline_and_keep_nobody_out() {
    let Some(site) = Site::start(&["--max-connections", "6000", "--request-timeout", "4"]) else {
        return;
    };
    site.survives_twice("2,000 silent handshakes", |mark| {
        // Half of them begin a record.
        let mut silent: Vec<TcpStream> = (0..2000).map(|_| connect(site.address())).collect();
        for stream in silent.iter_mut().step_by(2) {
            stream.write_all(&[22, 3, 1]).unwrap();
        }
        let taken = || site.victim.descriptors() >= mark.descriptors + silent.len();
        assert!(within(DEADLINE, taken), "{}", site.victim.descriptors());
        let held = site.victim.resident().0.saturating_sub(mark.resident);
        let mut honest = site.honest();
        let waits = round_trips(&mut honest, within_time(Duration::from_millis(200)));
        eprintln!("2,000 silent handshakes: {held} KiB; an honest client: {waits}");
        drop(honest);
        // Their clients keep them open: the server has to close them.
        let began = Instant::now();
        site.victim.is_as_at(mark);
        eprintln!("their places were free after {:?}", began.elapsed());
        drop(silent);
    });
    site.victim.ends_well();
}

#[test]
fn more_silent_handshakes_than_places() {
    let Some(site) = Site::start(&["--max-connections", "100"]) else {
        return;
    };
    let mark = site.victim.mark();
    let _silent: Vec<TcpStream> = (0..500).map(|_| connect(site.address())).collect();
    // Who waits longest makes room.
    let served = || site.honest().try_ask().is_ok();
    assert!(within(DEADLINE, served), "nobody makes room");
    drop(_silent);
    site.survives("more silent handshakes than places", &mark);
    site.victim.ends_well();
}

#[test]
fn handshakes_at_once_beside_an_honest_client() {
    let Some(site) = Site::start(&["--max-connections", "6000"]) else {
        return;
    };
    let many = if thorough() { 5000 } else { 500 };
    let config = client::config(&[&version::TLS13]);
    let mut honest = site.honest();
    honest.ask();
    site.survives_twice("handshakes at once", |_| {
        let alone = round_trips(&mut honest, within_time(Duration::from_millis(300)));
        let (to, of_all) = (site.address(), config.clone());
        let shaken = thread::spawn(move || {
            let mut clients: Vec<Hostile> = (0..many).map(|_| Hostile::new(to, &of_all)).collect();
            // All of the server's work is there at once.
            for client in &mut clients {
                let hello = client.flight();
                client.stream.write_all(&hello).unwrap();
            }
            let began = Instant::now();
            let served = clients
                .iter_mut()
                .filter_map(|client| finish(client).then_some(()))
                .count();
            (served, began.elapsed())
        });
        let beside = round_trips(&mut honest, || shaken.is_finished());
        let (served, took) = shaken.join().unwrap();
        eprintln!("{many} handshakes at once: {served} done in {took:?}");
        eprintln!("an honest client alone: {alone}; beside them: {beside}");
        // On a slow machine some may miss their deadline.
        assert!(served > many / 2, "{served} of {many}");
    });
    drop(honest);
    site.victim.ends_well();
}

/// The rest of a handshake and a request, if the server still wants to.
fn finish(client: &mut Hostile) -> bool {
    while client.tls.is_handshaking() {
        let flight = client.flight();
        if client.stream.write_all(&flight).is_err() {
            return false;
        }
        if client.tls.is_handshaking() && client.take().is_err() {
            return false;
        }
    }
    let request = client.seal(GET);
    client.stream.write_all(&request).is_ok() && client.answer().is_ok()
}

#[test]
fn key_updates_without_end() {
    let Some(site) = Site::start(&[]) else { return };
    let mark = site.victim.mark();
    let config = client::config(&[&version::TLS13]);
    let mut honest = site.honest();
    for reads in [true, false] {
        let mut client = Hostile::shaken(site.address(), &config);
        let mut updates = Vec::new();
        for _ in 0..10_000 {
            client.tls.refresh_traffic_keys().unwrap();
            updates.extend(client.flight());
        }
        let mut stream = client.stream.try_clone().unwrap();
        let reader = thread::spawn(move || stream.write_all(&updates));
        for _ in 0..50 {
            honest.ask();
        }
        if reads {
            // It answers each, or ends the connection; nothing else.
            let request = {
                let _ = reader.join().unwrap();
                client.seal(GET)
            };
            if client.stream.write_all(&request).is_ok() {
                loop {
                    match client.take() {
                        Ok(0) => {}
                        Ok(_) => break eprintln!("10,000 key updates are answered"),
                        Err(end) => break eprintln!("10,000 key updates end with {end:?}"),
                    }
                }
            }
        } else {
            let memory = site.victim.since(&mark).memory;
            assert!(
                memory < 16 * 1024,
                "{memory} KiB for key updates whose answers nobody reads"
            );
            drop(client);
            let _ = reader.join().unwrap();
        }
    }
    drop(honest);
    site.survives("10,000 key updates", &mark);
    site.victim.ends_well();
}

/// Each request is answered with new keys, and nobody reads the answers.
#[test]
fn key_updates_and_requests_in_turn_unread() {
    let Some(site) = Site::start(&["--idle-timeout", "60"]) else {
        return;
    };
    let config = client::config(&[&version::TLS13]);
    site.survives_twice("key updates and requests, unread", |mark| {
        let mut clients: Vec<Hostile> = (0..10)
            .map(|_| {
                let mut client = Hostile::on(narrow(site.address()), &config);
                client.shake();
                client.stream.set_nonblocking(true).unwrap();
                client
            })
            .collect();
        for client in &mut clients {
            let mut sent = 0;
            let mut bytes = Vec::new();
            for _ in 0..3000 {
                client.tls.refresh_traffic_keys().unwrap();
                bytes.extend(client.seal(GET));
            }
            // As much as the server takes.
            within(Duration::from_millis(50), || {
                sent += client.stream.write(&bytes[sent..]).unwrap_or(0);
                sent == bytes.len()
            });
        }
        site.serves();
        let memory = site.victim.since(mark).memory;
        eprintln!("10 clients with key updates and requests, unread: {memory} KiB");
        assert!(memory < 10 * 512 + 2048, "{memory} KiB");
    });
    site.victim.ends_well();
}

/// A connection whose window is as small as the system has it, and shuts when nothing is read.
fn narrow(to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(1).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket.into()
}

#[test]
fn readers_that_do_not_read() {
    const READERS: u64 = 60;
    let Some(site) = Site::start(&[]) else { return };
    for (name, version) in VERSIONS {
        let config = client::config(&[version]);
        site.survives_twice(&format!("shut windows, TLS {name}"), |mark| {
            let clients: Vec<Hostile> = (0..READERS)
                .map(|_| stalled(site.address(), &config))
                .collect();
            for _ in 0..20 {
                site.serves();
            }
            let before = site.victim.cpu();
            within(Duration::from_millis(400), || false);
            let cpu = site.victim.cpu() - before;
            let memory = site.victim.since(mark).memory;
            eprintln!("{READERS} shut windows, TLS {name}: {memory} KiB, {cpu:?} in 400 ms");
            assert!(cpu < Duration::from_millis(40), "TLS {name}: {cpu:?}");
            assert!(memory < READERS * 384 + 2048, "TLS {name}: {memory} KiB");
            drop(clients);
        });
    }
    site.victim.ends_well();
}

/// A client that asks for much and reads nothing.
fn stalled(to: SocketAddr, config: &Arc<ClientConfig>) -> Hostile {
    let mut client = Hostile::on(narrow(to), config);
    client.shake();
    let request = client.seal(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
    client.stream.write_all(&request).unwrap();
    client
}

#[test]
fn handshakes_that_stop_half_way_over_and_over() {
    let Some(site) = Site::start(&[]) else { return };
    let mark = site.victim.mark();
    let config = client::config(&[&version::TLS13]);
    let mut honest = site.honest();
    let to = site.address();
    let attack = Repeated::start(Duration::from_millis(1), move || {
        let mut client = Hostile::new(to, &config);
        let hello = client.flight();
        client.stream.write_all(&hello).unwrap();
        // The server has paid for its share of the keys once it answers, and then the client is gone.
        client.stream.peek(&mut [0]).unwrap();
    });
    for _ in 0..200 {
        honest.ask();
    }
    drop(attack);
    drop(honest);
    site.survives("half handshakes over and over", &mark);
    site.victim.ends_well();
}
