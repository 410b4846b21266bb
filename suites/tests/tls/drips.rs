//! Bytes without end that bring nothing on: they keep no handshake, and no idle connection, past its deadline.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use rustls::version;
use suites::victim::{DEADLINE, within};

use crate::{
    client::{self, Hostile},
    site::Site,
};

/// Far more than the second of the server's timeouts, far less than what the drips could last.
const LATEST: Duration = Duration::from_secs(10);

/// Sends piece after piece, ten a second, until the server has ended the connection.
#[track_caller]
fn drips_until_closed(
    what: &str,
    client: &mut Hostile,
    mut piece: impl FnMut(&mut Hostile) -> Vec<u8>,
) {
    let began = Instant::now();
    client.stream.set_nonblocking(true).unwrap();
    loop {
        let bytes = piece(client);
        let sent = client.stream.write_all(&bytes);
        // A pause, or the end: all that may still come to read is an alert.
        let ended = within(Duration::from_millis(100), || client.take().is_err());
        if sent.is_err() || ended {
            break;
        }
        assert!(began.elapsed() < LATEST, "{what} keeps a connection");
    }
    eprintln!("{what}: the end after {:?}", began.elapsed());
}

#[test]
fn a_hello_that_drips_ends_at_the_deadline_of_handshakes() {
    let Some(site) = Site::start(&["--request-timeout", "1"]) else {
        return;
    };
    let mark = site.victim.mark();
    let config = client::config(&[&version::TLS13]);
    let mut client = Hostile::new(site.address(), &config);
    let mut hello = client.flight().into_iter();
    drips_until_closed("a ClientHello", &mut client, |_| {
        hello.next().into_iter().collect()
    });
    drop(client);
    site.survives("a ClientHello that drips past its deadline", &mark);
    site.victim.ends_well();
}

#[test]
fn what_is_no_plaintext_keeps_no_idle_connection() {
    let options = ["--idle-timeout", "1", "--request-timeout", "1"];
    let Some(site) = Site::start(&options) else {
        return;
    };
    let mark = site.victim.mark();
    let config = client::config(&[&version::TLS13]);
    let mut client = Hostile::shaken(site.address(), &config);
    let mut record = [&[23, 3, 3, 0x40, 0][..], &[7; 1000]].concat().into_iter();
    drips_until_closed("a record", &mut client, |_| {
        record.next().into_iter().collect()
    });
    let mut client = Hostile::shaken(site.address(), &config);
    drips_until_closed("key updates", &mut client, |client| {
        client.tls.refresh_traffic_keys().unwrap();
        client.flight()
    });
    assert!(within(DEADLINE, || site.victim.descriptors() <= mark.descriptors));
    drop(client);
    site.survives("drips that are no plaintext", &mark);
    site.victim.ends_well();
}
