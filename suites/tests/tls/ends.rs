//! Connections that end at every stage of TLS, with a FIN, with a reset, with an alert: places and memory come back, and
//! only a close_notify is a clean end.

use std::{
    io::Write,
    net::Shutdown,
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::ClientConfig;

use crate::{
    client::{self, End, GET, Hostile, VERSIONS, reset},
    site::Site,
    thorough,
};

/// How far a client goes before it ends.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
enum Stage {
    Connected,
    HalfAHeader,
    HalfAHello,
    Hello,
    /// With the server's flight read.
    ServerHello,
    HalfOfTheLastFlight,
    Shaken,
    HalfARequest,
    HalfARecord,
    Request,
    Answer,
    InTheMiddleOfADownload,
    CloseNotify,
}

const STAGES: [Stage; 13] = [
    Stage::Connected,
    Stage::HalfAHeader,
    Stage::HalfAHello,
    Stage::Hello,
    Stage::ServerHello,
    Stage::HalfOfTheLastFlight,
    Stage::Shaken,
    Stage::HalfARequest,
    Stage::HalfARecord,
    Stage::Request,
    Stage::Answer,
    Stage::InTheMiddleOfADownload,
    Stage::CloseNotify,
];

fn send(client: &mut Hostile, bytes: &[u8]) {
    client.stream.write_all(bytes).unwrap();
}

fn half(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len() / 2]
}

fn go_to(stage: Stage, site: &Site, config: &Arc<ClientConfig>) -> Hostile {
    let mut client = Hostile::new(site.address(), config);
    if stage >= Stage::Shaken {
        client.shake();
    }
    match stage {
        Stage::Connected | Stage::Shaken => {}
        Stage::HalfAHeader => {
            let hello = client.flight();
            send(&mut client, &hello[..3]);
        }
        Stage::HalfAHello => {
            let hello = client.flight();
            send(&mut client, half(&hello));
        }
        Stage::Hello | Stage::ServerHello | Stage::HalfOfTheLastFlight => {
            let hello = client.flight();
            send(&mut client, &hello);
            while stage > Stage::Hello && !client.tls.wants_write() {
                client.take().unwrap();
            }
            if stage == Stage::HalfOfTheLastFlight {
                let last = client.flight();
                send(&mut client, half(&last));
            }
        }
        Stage::HalfARequest => ask(&mut client, half(GET)),
        Stage::HalfARecord => {
            let request = client.seal(GET);
            send(&mut client, half(&request));
        }
        Stage::Request => ask(&mut client, GET),
        Stage::Answer => {
            ask(&mut client, GET);
            client.is_answered();
        }
        Stage::InTheMiddleOfADownload => {
            ask(&mut client, b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
            for _ in 0..3 {
                client.skip().unwrap();
            }
        }
        Stage::CloseNotify => {
            client.tls.send_close_notify();
            let goodbye = client.flight();
            send(&mut client, &goodbye);
        }
    }
    client
}

fn ask(client: &mut Hostile, request: &[u8]) {
    let sealed = client.seal(request);
    send(client, &sealed);
}

fn rounds() -> usize {
    if thorough() { 100 } else { 8 }
}

#[test]
fn a_fin_at_every_stage() {
    let Some(site) = Site::start(&[]) else { return };
    let mark = site.victim.mark();
    for (name, version) in VERSIONS {
        let config = client::config(&[version]);
        for stage in STAGES {
            for _ in 0..rounds() {
                let mut client = go_to(stage, &site, &config);
                client.stream.shutdown(Shutdown::Write).unwrap();
                if matches!(stage, Stage::InTheMiddleOfADownload) {
                    continue;
                }
                let end = client.end();
                // Before it has keys a server may send an alert in clear, or end.
                let is_orderly = matches!(end, End::Clean | End::Cut | End::Alert(_));
                assert!(is_orderly, "TLS {name}, {stage:?}: {end:?}");
                if matches!(stage, Stage::CloseNotify) {
                    assert!(end.is_clean(), "TLS {name}, {stage:?}: {end:?}");
                }
            }
        }
        site.survives(&format!("FIN at all stages, TLS {name}"), &mark);
    }
    site.victim.ends_well();
}

#[test]
fn a_client_that_has_ended_and_stays_makes_no_work() {
    let Some(site) = Site::start(&[]) else { return };
    let mark = site.victim.mark();
    for (name, version) in VERSIONS {
        let config = client::config(&[version]);
        for stage in STAGES {
            let client = go_to(stage, &site, &config);
            client.stream.shutdown(Shutdown::Write).unwrap();
            site.serves();
            site.is_idle(&format!("TLS {name}, FIN at {stage:?}"));
        }
        site.survives(&format!("FIN, and the client stays, TLS {name}"), &mark);
    }
    site.victim.ends_well();
}

#[test]
fn a_reset_at_every_stage() {
    let Some(site) = Site::start(&[]) else { return };
    let mark = site.victim.mark();
    for (name, version) in VERSIONS {
        let config = client::config(&[version]);
        for stage in STAGES {
            for _ in 0..rounds() {
                reset(go_to(stage, &site, &config).stream);
            }
        }
        site.survives(&format!("resets at all stages, TLS {name}"), &mark);
    }
    site.victim.ends_well();
}

#[test]
fn both_ends_close_and_nobody_reads_on() {
    let Some(site) = Site::start(&[]) else { return };
    let mark = site.victim.mark();
    for (name, version) in VERSIONS {
        let config = client::config(&[version]);
        for stage in STAGES {
            for _ in 0..rounds() {
                // Closed with what the server has sent unread, which is a reset where there is any.
                drop(go_to(stage, &site, &config));
            }
        }
        site.survives(&format!("closed at all stages, TLS {name}"), &mark);
    }
    site.victim.ends_well();
}

#[test]
fn an_end_of_the_answer_by_close_is_a_close_notify() {
    let Some(site) = Site::start(&[]) else { return };
    for (name, version) in VERSIONS {
        let config = client::config(&[version]);
        let mut client = Hostile::shaken(site.address(), &config);
        let request =
            client.seal(b"GET /hello.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        send(&mut client, &request);
        let end = client.end();
        assert!(end.is_clean(), "TLS {name}: {end:?}");
    }
    site.victim.ends_well();
}

#[test]
fn a_signal_ends_the_server_with_handshakes_under_way() {
    let Some(site) = Site::start(&[]) else { return };
    let mut clients = Vec::new();
    for (_, version) in VERSIONS {
        let config = client::config(&[version]);
        let stages = STAGES.into_iter();
        // A download would go on to its end.
        let stages = stages.filter(|stage| *stage != Stage::InTheMiddleOfADownload);
        clients.extend(stages.map(|stage| go_to(stage, &site, &config)));
    }
    let began = Instant::now();
    site.victim.ends_well();
    assert!(
        began.elapsed() < Duration::from_secs(8),
        "{:?}",
        began.elapsed()
    );
    drop(clients);
}
