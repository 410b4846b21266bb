//! Plaintext through two filters.

use std::{
    io::{IoSlice, Read, Write},
    sync::Arc,
};

use asynchat::{Filter, FilterPhase};
use asynchat_rustls::rustls::{
    CipherSuiteCommon, ClientConfig, Error, ServerConfig, SupportedCipherSuite, Tls12CipherSuite,
    Tls13CipherSuite, crypto::CryptoProvider, version::TLS13,
};
use util::files::content;

use crate::pair::{End, Pair, VERSIONS, identity_of_localhost, provider, roots, with_raw_client};

/// Type, version and length (RFC 8446 §5.1).
const HEADER: usize = 5;
const LONGEST_RECORD: usize = 16 * 1024;

/// The lengths of the records in `wire`, without their headers.
fn records(mut wire: &[u8]) -> Vec<usize> {
    let mut lengths = Vec::new();
    while let [_, _, _, high, low, rest @ ..] = wire {
        let len = usize::from(u16::from_be_bytes([*high, *low]));
        lengths.push(len);
        wire = &rest[len..];
    }
    assert!(wire.is_empty());
    lengths
}

#[test]
fn bytes_arrive_as_they_were_sent_in_both_directions_however_they_are_cut() {
    for version in VERSIONS {
        let mut pair = Pair::open(version);
        for (salt, len) in [
            1, 2, 255, 16_383, 16_384, 16_385, 65_535, 65_536, 65_537, 300_000,
        ]
        .into_iter()
        .enumerate()
        {
            let salt = u32::try_from(salt).unwrap();
            for piece in [7, 4096, 16_384, usize::MAX] {
                let (question, answer) = (content(2 * salt, len), content(2 * salt + 1, len));
                pair.client.seal(&question);
                pair.server.seal(&answer);
                pair.settle_by(piece);
                assert!(
                    pair.server.take_plain() == question,
                    "{len} bytes by {piece}"
                );
                assert!(pair.client.take_plain() == answer, "{len} bytes by {piece}");
            }
        }
    }
}

#[test]
fn all_plaintext_of_all_records_is_given_at_once() {
    for version in VERSIONS {
        let mut pair = Pair::open(version);
        let sent = content(0, 1 << 20);
        // Records of every length up to 1,000, then full ones.
        let (small, large) = sent.split_at(500_500);
        let mut small = small;
        for n in 1..=1000 {
            let (head, tail) = small.split_at(n);
            pair.client.seal(head);
            small = tail;
        }
        pair.client.seal(large);
        let wire = pair.client.take_wire();
        pair.server.feed(&wire);
        assert!(pair.server.plain == sent);
    }
}

#[test]
fn small_slices_share_a_record() {
    for version in VERSIONS {
        let mut pair = Pair::open(version);
        let slices: Vec<_> = (0..64).map(|_| IoSlice::new(b"0123456789")).collect();
        let End { filter, wire, .. } = &mut pair.client;
        assert_eq!(filter.seal(&slices, wire).unwrap(), 640);
        assert_eq!(records(wire).len(), 1);
        pair.settle();
        assert_eq!(pair.server.plain, b"0123456789".repeat(64));
    }
}

#[test]
fn long_plaintext_is_sealed_in_full_records_up_to_64_kib_a_call() {
    for version in VERSIONS {
        let mut pair = Pair::open(version);
        let long = vec![7; 1 << 20];
        let End { filter, wire, .. } = &mut pair.client;
        let n = filter.seal(&[IoSlice::new(&long)], wire).unwrap();
        assert_eq!(n, 4 * LONGEST_RECORD);
        let lengths = records(wire);
        assert_eq!(lengths.len(), 4);
        assert!(lengths.iter().all(|&len| len > LONGEST_RECORD));
        // What a program that sizes its buffers can count on.
        assert!(wire.len() <= n + 4 * (HEADER + 32));
    }
}

#[test]
fn nothing_is_sealed_as_nothing() {
    for version in VERSIONS {
        let mut pair = Pair::open(version);
        let End { filter, wire, .. } = &mut pair.client;
        assert_eq!(filter.seal(&[], wire).unwrap(), 0);
        assert_eq!(
            filter
                .seal(&[IoSlice::new(b""), IoSlice::new(b"")], wire)
                .unwrap(),
            0
        );
        assert!(wire.is_empty());
    }
}

#[test]
fn key_updates_of_the_peer_are_followed_and_answered() {
    let (mut client, mut server) = with_raw_client(&TLS13);
    for round in 0..100_u8 {
        client.refresh_traffic_keys().unwrap();
        client.writer().write_all(&[round]).unwrap();
        server.hear(&mut client);
        assert_eq!(server.take_plain(), [round]);
        // Before the next data, with which the answer goes (RFC 8446 §4.6.3).
        assert!(server.wire.is_empty());
        server.seal(&[round]);
        assert_eq!(records(&server.wire).len(), 2);
        server.tell(&mut client);
        let mut answer = [0];
        client.reader().read_exact(&mut answer).unwrap();
        assert_eq!(answer, [round]);
    }
}

#[test]
fn flood_of_key_updates_ends_the_connection_and_makes_no_flood_of_answers() {
    let (mut client, mut server) = with_raw_client(&TLS13);
    let mut updates = 0;
    while server.error.is_none() {
        client.refresh_traffic_keys().unwrap();
        server.hear(&mut client);
        updates += 1;
        assert!(updates < 100);
        assert!(server.wire.is_empty());
    }
    assert!(matches!(server.rustls_error(), Error::PeerMisbehaved(_)));
}

/// The suite with keys that are good for `records` records.
fn short_lived(suite: SupportedCipherSuite, records: u64) -> SupportedCipherSuite {
    let common = |common: &CipherSuiteCommon| CipherSuiteCommon {
        confidentiality_limit: records,
        ..*common
    };
    match suite {
        SupportedCipherSuite::Tls12(suite) => {
            SupportedCipherSuite::Tls12(Box::leak(Box::new(Tls12CipherSuite {
                common: common(&suite.common),
                ..*suite
            })))
        }
        SupportedCipherSuite::Tls13(suite) => {
            SupportedCipherSuite::Tls13(Box::leak(Box::new(Tls13CipherSuite {
                common: common(&suite.common),
                ..*suite
            })))
        }
    }
}

fn open_with_short_lived_keys(version: usize) -> Pair {
    let mut provider: CryptoProvider = (*provider()).clone();
    for suite in &mut provider.cipher_suites {
        *suite = short_lived(*suite, 20);
    }
    let provider = Arc::new(provider);
    let (chain, key) = identity_of_localhost();
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[VERSIONS[version]])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[VERSIONS[version]])
        .unwrap()
        .with_root_certificates(roots())
        .with_no_client_auth();
    let mut pair = Pair::new(client, server);
    pair.settle();
    assert_eq!(pair.phases(), [FilterPhase::Open; 2]);
    pair
}

#[test]
fn keys_of_tls_1_3_are_renewed_before_they_are_used_up() {
    let mut pair = open_with_short_lived_keys(1);
    for n in 0..200_u8 {
        pair.client.seal(&[n]);
        pair.settle();
        assert_eq!(pair.server.take_plain(), [n]);
        assert!(pair.server.error.is_none(), "{:?}", pair.server.error);
    }
    let long = content(0, 1 << 20);
    pair.server.seal(&long);
    pair.settle();
    assert!(pair.client.plain == long);
}

#[test]
fn keys_of_tls_1_2_that_are_used_up_are_an_error_and_lose_no_byte_silently() {
    let mut pair = open_with_short_lived_keys(0);
    let mut sealed = 0_u8;
    loop {
        let End { filter, wire, .. } = &mut pair.client;
        match filter.seal(&[IoSlice::new(&[sealed])], wire) {
            Ok(n) => assert_eq!(n, 1),
            Err(error) => {
                assert!(error.is::<Error>(), "{error}");
                break;
            }
        }
        sealed += 1;
        assert!(sealed < 100);
    }
    assert!(sealed > 10);
    pair.settle();
    assert_eq!(pair.server.plain, (0..sealed).collect::<Vec<_>>());
}
