//! What is no TLS, or the wrong TLS: before, in and after the handshake. It is answered with an alert, or with an end of
//! file, never with a page, and costs nobody else anything.

use std::io::Write;

use rustls::AlertDescription;

use crate::{
    client::{self, End, GET, Hostile, VERSIONS, connect, rest},
    site::{Site, is_nginx},
    thorough,
};

/// The header of a record, and a body of zeros.
fn record(kind: u8, version: u16, length: usize) -> Vec<u8> {
    let length = u16::try_from(length).unwrap();
    let mut bytes = vec![kind];
    bytes.extend(version.to_be_bytes());
    bytes.extend(length.to_be_bytes());
    bytes.resize(5 + usize::from(length), 0);
    bytes
}

/// Bytes that only look random.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    std::iter::repeat_with(next).take(length).collect()
}

fn openings() -> Vec<(&'static str, Vec<u8>)> {
    let plain = b"GET /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n".to_vec();
    let alert = [&[21, 3, 3, 0, 2, 2, 0][..]].concat();
    let warnings = [21, 3, 3, 0, 2, 1, 90].repeat(10_000);
    // A handshake message that says it has 16 MiB, and begins.
    let huge = [
        &[22, 3, 1, 0x40, 0, 1, 0xFF, 0xFF, 0xFF][..],
        &[0; 0x4000 - 4],
    ]
    .concat();
    // Messages that go on over many records.
    let endless = [huge, record(22, 0x0303, 0x4000).repeat(200)].concat();
    // SSL 2: length, ClientHello, version 0.2, lengths of three parts.
    let old = [&[0x80, 46, 1, 0, 2, 0, 21, 0, 0, 0, 16][..], &[7; 37]].concat();
    vec![
        ("plain HTTP", plain),
        ("zeros", vec![0; 100_000]),
        ("noise", noise(1, 100_000)),
        ("a hello of SSL 2", old),
        ("a record of an unknown kind", record(99, 0x0303, 100)),
        ("a record of an unknown version", record(22, 0x9999, 100)),
        ("a record of the largest length", record(22, 0x0301, 0xFFFF)),
        ("a record of 16 KiB + 2049", record(23, 0x0303, 0x4801)),
        ("records of no length", record(22, 0x0301, 0).repeat(20_000)),
        ("a handshake message of 16 MiB", endless),
        ("application data first", record(23, 0x0303, 100)),
        (
            "changes of cipher first",
            [20, 3, 3, 0, 1, 1].repeat(20_000),
        ),
        ("an alert first", alert),
        ("warnings first", warnings),
        ("a heartbeat", [&[24, 3, 3, 0, 3, 1, 0x40, 0][..]].concat()),
    ]
}

#[test]
fn an_opening_that_is_no_client_hello() {
    let Some(site) = Site::start(&[]) else { return };
    let mark = site.victim.mark();
    for (name, bytes) in openings() {
        for _ in 0..if thorough() { 50 } else { 3 } {
            let mut stream = connect(site.address());
            // The server may end it early.
            let _ = stream.write_all(&bytes);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let answer = rest(&mut stream);
            let text = answer.escape_ascii();
            // Apache and nginx explain in clear what went wrong; nobody may serve.
            assert!(!answer.starts_with(b"HTTP/1.1 200"), "{name}: {text}");
            let is_alert = answer.is_empty() || answer[0] == 21;
            assert!(is_alert || is_nginx(), "{name}: {text}");
            assert!(answer.len() <= 4096, "{name}: {} bytes", answer.len());
        }
        site.survives(name, &mark);
    }
    site.victim.ends_well();
}

#[test]
fn noise_of_all_lengths_in_the_place_of_a_hello() {
    let Some(site) = Site::start(&[]) else { return };
    let mark = site.victim.mark();
    for length in 0..if thorough() { 5000 } else { 300 } {
        let mut stream = connect(site.address());
        let mut bytes = noise(length + 1, usize::try_from(length).unwrap());
        // Each other one begins like a handshake.
        if length % 2 == 0 {
            let begin = [22, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3];
            let n = begin.len().min(bytes.len());
            bytes[..n].copy_from_slice(&begin[..n]);
        }
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        rest(&mut stream);
    }
    site.survives("noise of all lengths", &mark);
    site.victim.ends_well();
}

#[test]
fn each_byte_of_the_hello_is_flipped() {
    let Some(site) = Site::start(&[]) else { return };
    let mark = site.victim.mark();
    for (name, version) in VERSIONS {
        let config = client::config(&[version]);
        let length = Hostile::new(site.address(), &config).flight().len();
        for at in (0..length).step_by(if thorough() { 1 } else { 5 }) {
            let mut client = Hostile::new(site.address(), &config);
            let mut hello = client.flight();
            hello[at.min(length - 1)] ^= 0x41;
            let _ = client.stream.write_all(&hello);
            let _ = client.stream.shutdown(std::net::Shutdown::Write);
            rest(&mut client.stream);
        }
        site.survives(&format!("flipped bytes in the hello, TLS {name}"), &mark);
    }
    site.victim.ends_well();
}

/// After a request that is good, in the same segment: the answer may come or not, the alert has to.
#[test]
fn garbage_after_the_handshake() {
    use AlertDescription::{
        BadRecordMac, DecodeError, ProtocolVersion, RecordOverflow, UnexpectedMessage,
    };
    let cases: [(&str, Vec<u8>, &[AlertDescription]); 8] = [
        (
            "noise",
            noise(7, 300),
            &[
                DecodeError,
                ProtocolVersion,
                UnexpectedMessage,
                RecordOverflow,
            ],
        ),
        (
            "zeros",
            vec![0; 300],
            &[DecodeError, UnexpectedMessage, ProtocolVersion],
        ),
        (
            "plain HTTP",
            GET.to_vec(),
            &[
                DecodeError,
                UnexpectedMessage,
                ProtocolVersion,
                RecordOverflow,
            ],
        ),
        (
            "a record that does not decrypt",
            record(23, 0x0303, 200),
            &[BadRecordMac],
        ),
        (
            "the shortest record there is",
            record(23, 0x0303, 1),
            &[BadRecordMac, DecodeError],
        ),
        (
            "an oversized record",
            record(23, 0x0303, 0x4901),
            &[RecordOverflow, DecodeError],
        ),
        (
            "the largest record",
            record(23, 0x0303, 0x4100),
            &[BadRecordMac, RecordOverflow],
        ),
        (
            "a handshake in clear",
            record(22, 0x0303, 100),
            &[BadRecordMac, UnexpectedMessage],
        ),
    ];
    let Some(site) = Site::start(&[]) else { return };
    let mark = site.victim.mark();
    for (version_name, version) in VERSIONS {
        let config = client::config(&[version]);
        for (name, bytes, alerts) in &cases {
            for with_request in [false, true] {
                let mut client = Hostile::shaken(site.address(), &config);
                let mut segment = if with_request {
                    client.seal(GET)
                } else {
                    Vec::new()
                };
                segment.extend(bytes);
                client.stream.write_all(&segment).unwrap();
                let _ = client.stream.shutdown(std::net::Shutdown::Write);
                let end = client.end();
                let what = format!("TLS {version_name}, {name}, with a request: {with_request}");
                let is_right = matches!(end, End::Alert(alert) if alerts.contains(&alert));
                assert!(is_right || is_nginx(), "{what}: {end:?}");
            }
        }
        site.survives(
            &format!("garbage after the handshake, TLS {version_name}"),
            &mark,
        );
    }
    site.victim.ends_well();
}

#[test]
fn what_comes_behind_close_notify_is_ignored() {
    let Some(site) = Site::start(&[]) else { return };
    let mark = site.victim.mark();
    for (name, version) in VERSIONS {
        let config = client::config(&[version]);
        let mut client = Hostile::shaken(site.address(), &config);
        client.tls.send_close_notify();
        let mut segment = client.flight();
        segment.extend(noise(3, 50_000));
        let _ = client.stream.write_all(&segment);
        let _ = client.stream.shutdown(std::net::Shutdown::Write);
        let end = client.end();
        assert!(end.is_clean(), "TLS {name}: {end:?}");
    }
    site.survives("noise behind close_notify", &mark);
    site.victim.ends_well();
}
