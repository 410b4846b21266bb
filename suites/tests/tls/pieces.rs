//! The same conversation in other pieces: one byte a segment, records cut anywhere, a ClientHello that drips, several
//! records in one segment. An honest server notices nothing of it.

use std::{
    io::Write,
    net::{SocketAddr, TcpStream},
    sync::Arc,
    thread,
    time::Duration,
};

use rustls::{ClientConfig, version};

use crate::{
    client::{self, GET, Hostile, VERSIONS},
    site::Site,
    thorough,
};

/// Sends what is ready by `write`, up to the answer and the end of the connection.
#[track_caller]
fn converse(
    to: SocketAddr,
    config: &Arc<ClientConfig>,
    mut write: impl FnMut(&mut TcpStream, &[u8]),
) {
    let mut client = Hostile::new(to, config);
    while client.tls.is_handshaking() {
        let flight = client.flight();
        write(&mut client.stream, &flight);
        if client.tls.is_handshaking() {
            client.take().unwrap();
        }
    }
    let request = client.seal(GET);
    write(&mut client.stream, &request);
    client.is_answered();
    client.tls.send_close_notify();
    let goodbye = client.flight();
    write(&mut client.stream, &goodbye);
    let end = client.end();
    assert!(end.is_clean(), "{end:?}");
}

#[test]
fn one_byte_a_segment() {
    let Some(site) = Site::start(&[]) else { return };
    let mark = site.victim.mark();
    for (name, version) in VERSIONS {
        let config = client::config(&[version]);
        let rounds = if thorough() { 50 } else { 5 };
        for _ in 0..rounds {
            converse(site.address(), &config, |stream, flight| {
                for byte in flight {
                    stream.write_all(&[*byte]).unwrap();
                }
            });
        }
        site.survives(&format!("one byte a segment, TLS {name}"), &mark);
    }
    site.victim.ends_well();
}

#[test]
fn flights_that_are_cut_anywhere() {
    let Some(site) = Site::start(&[]) else { return };
    let mark = site.victim.mark();
    let step = if thorough() { 1 } else { 7 };
    for (name, version) in VERSIONS {
        let config = client::config(&[version]);
        for at in (1..300).step_by(step) {
            converse(site.address(), &config, |stream, flight| {
                let (head, tail) = flight.split_at(at.min(flight.len()));
                stream.write_all(head).unwrap();
                // Lets the server run, so that most of the pieces are read apart.
                thread::yield_now();
                stream.write_all(tail).unwrap();
            });
        }
        site.survives(&format!("flights cut anywhere, TLS {name}"), &mark);
    }
    site.victim.ends_well();
}

#[test]
fn a_request_in_the_segment_of_the_last_flight_of_the_handshake() {
    let Some(site) = Site::start(&[]) else { return };
    for (_, version) in VERSIONS {
        let config = client::config(&[version]);
        let mut client = Hostile::new(site.address(), &config);
        // In TLS 1.2 the server has the last word: there the request waits in the client until then.
        client.tls.writer().write_all(GET).unwrap();
        while client.tls.is_handshaking() {
            let flight = client.flight();
            client.stream.write_all(&flight).unwrap();
            client.take().unwrap();
        }
        let last = client.flight();
        client.stream.write_all(&last).unwrap();
        client.is_answered();
    }
    site.victim.ends_well();
}

/// Records are short, so handshake messages go over many of them.
#[test]
fn many_small_records() {
    let Some(site) = Site::start(&[]) else { return };
    let mark = site.victim.mark();
    for (name, version) in VERSIONS {
        let mut config = (*client::config(&[version])).clone();
        // The smallest that rustls sends: 32 bytes with 5 of them the header.
        config.max_fragment_size = Some(32);
        let config = Arc::new(config);
        converse(site.address(), &config, |stream, flight| {
            stream.write_all(flight).unwrap();
        });
        site.survives(&format!("records of 27 bytes, TLS {name}"), &mark);
    }
    site.victim.ends_well();
}

#[test]
fn records_one_byte_of_plaintext_each() {
    let Some(site) = Site::start(&[]) else { return };
    let mark = site.victim.mark();
    for (name, version) in VERSIONS {
        let config = client::config(&[version]);
        let mut client = Hostile::shaken(site.address(), &config);
        for _ in 0..20 {
            let records: Vec<u8> = GET.iter().flat_map(|byte| client.seal(&[*byte])).collect();
            client.stream.write_all(&records).unwrap();
            client.is_answered();
        }
        drop(client);
        site.survives(&format!("1 byte a record, TLS {name}"), &mark);
    }
    site.victim.ends_well();
}

#[test]
fn a_client_hello_that_drips_holds_a_place_and_no_more() {
    let Some(site) = Site::start(&[]) else { return };
    let config = client::config(&[&version::TLS13]);
    let many = if thorough() { 900 } else { 200 };
    site.survives_twice("ClientHello that drips", |_| {
        let mut clients: Vec<(Hostile, Vec<u8>)> = (0..many)
            .map(|_| {
                let mut client = Hostile::new(site.address(), &config);
                let hello = client.flight();
                (client, hello)
            })
            .collect();
        let before = site.victim.cpu();
        for at in 0..20 {
            for (client, hello) in &mut clients {
                client.stream.write_all(&hello[at..=at]).unwrap();
            }
            site.serves();
        }
        let each = (site.victim.cpu() - before) / (many * 20);
        eprintln!("a drip: {each:?} of the server's time a byte, 20 honest handshakes with it");
        assert!(each < Duration::from_micros(500), "{each:?}");
    });
    site.victim.ends_well();
}
