//! Peers that do not speak TLS, or speak it to do harm.

use std::sync::Arc;

use asynchat::{Filter, FilterPhase};
use asynchat_rustls::{TlsAcceptor, TlsFilter, rustls::Error};

use proptest::{collection::vec, prelude::*};

use crate::pair::{
    AUTHORITY, End, Pair, VERSIONS, client_builder, client_config, identity,
    server_asking_for_certificates, server_config,
};

/// The ends that a stranger can talk to: servers, one of which has still to choose, and a client.
fn strangers_ends() -> Vec<End> {
    let config = Arc::new(server_config(&VERSIONS));
    let choosing = config.clone();
    vec![
        End::new(TlsAcceptor::new(config).filter().unwrap()),
        End::new(
            TlsAcceptor::choose(move |_| Ok(choosing.clone()))
                .filter()
                .unwrap(),
        ),
        End::new(TlsFilter::client("localhost", client_config(&VERSIONS).into()).unwrap()),
    ]
}

#[test]
fn other_protocols_are_answered_with_an_alert() {
    let table: [&[u8]; 6] = [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"EHLO localhost\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        &[0; 100],
        &[255; 100],
        // The hello of SSL 2.
        &[0x80, 0x2e, 1, 3, 1, 0, 21, 0, 0, 0, 16, 0, 0, 0x39],
    ];
    for garbage in table {
        for mut end in strangers_ends() {
            end.take_wire();
            end.feed(garbage);
            assert!(end.error.is_some(), "{}", garbage.escape_ascii());
            assert_eq!(
                end.wire[..6],
                [21, 3, 3, 0, 2, 2],
                "{}",
                garbage.escape_ascii()
            );
            assert_eq!(end.phase(), FilterPhase::Handshaking);
        }
    }
}

#[test]
fn record_that_is_too_long_is_refused_by_its_header() {
    for mut end in strangers_ends() {
        end.take_wire();
        end.feed(&[22, 3, 1, 0xff, 0xff]);
        assert!(matches!(end.rustls_error(), Error::InvalidMessage(_)));
        assert_eq!(end.wire[0], 21);
    }
    for version in VERSIONS {
        let mut pair = Pair::open(version);
        pair.server.feed(&[23, 3, 3, 0x48, 1]);
        assert!(pair.server.error.is_some());
        assert!(!pair.server.wire.is_empty());
    }
}

#[test]
fn cut_record_waits_for_its_rest_and_gives_nothing() {
    for version in VERSIONS {
        let mut pair = Pair::open(version);
        pair.client.seal(b"secret");
        let wire = pair.client.take_wire();
        let (most, last) = wire.split_at(wire.len() - 1);
        pair.server.feed(most);
        assert!(pair.server.plain.is_empty() && pair.server.error.is_none());
        assert_eq!(pair.server.phase(), FilterPhase::Open);
        pair.server.feed(last);
        assert_eq!(pair.server.plain, b"secret");
    }
}

#[test]
fn no_flipped_bit_of_a_handshake_makes_a_panic_or_an_open_connection_that_differs() {
    for version in VERSIONS {
        let (client, server) = (
            Arc::new(client_config(&[version])),
            Arc::new(server_config(&[version])),
        );
        for place in 0_usize.. {
            let mut pair = Pair::new(client.clone(), server.clone());
            let mut passed = 0;
            while !pair.client.wire.is_empty() || !pair.server.wire.is_empty() {
                let mut carry = |mut flight: Vec<u8>, to: &mut End| {
                    if let Some(byte) = place
                        .checked_sub(passed)
                        .and_then(|at: usize| flight.get_mut(at))
                    {
                        *byte ^= 1 << (place % 8);
                    }
                    passed += flight.len();
                    to.feed(&flight);
                };
                carry(pair.client.take_wire(), &mut pair.server);
                carry(pair.server.take_wire(), &mut pair.client);
            }
            if passed <= place {
                assert_eq!(pair.phases(), [FilterPhase::Open; 2], "nothing was flipped");
                break;
            }
            assert!(pair.client.plain.is_empty() && pair.server.plain.is_empty());
            if pair.client.error.is_none() && pair.phases() == [FilterPhase::Open; 2] {
                // The version in a header does not count (RFC 8446 §5.1). Behind a length that has grown the next record is taken
                // for the rest of that one.
                pair.client.seal(b"question");
                pair.server.seal(b"answer");
                pair.settle();
                let heard = [pair.server.take_plain(), pair.client.take_plain()];
                for (heard, said) in heard.iter().zip([&b"question"[..], b"answer"]) {
                    assert!(heard.is_empty() || heard == said, "{heard:?}");
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(util::properties::config(200, 1))]

    #[test]
    fn no_input_makes_a_panic(
        kind in prop_oneof![20..=24_u8, any::<u8>()],
        len in prop_oneof![0..100_u16, any::<u16>()],
        body in vec(any::<u8>(), 0..2000),
        piece in 1..3000_usize,
    ) {
        let mut bytes = vec![kind, 3, 3];
        bytes.extend(len.to_be_bytes());
        bytes.extend(body);
        for mut end in strangers_ends() {
            bytes.chunks(piece).for_each(|piece| end.feed(piece));
        }
        for version in VERSIONS {
            let mut pair = Pair::open(version);
            bytes.chunks(piece).for_each(|piece| pair.server.feed(piece));
            prop_assert!(pair.server.plain.is_empty());
        }
    }
}

/// Bytes on the heap that `end` takes up more than at `before`.
fn held(before: isize) -> isize {
    util::heap::live() - before
}

const KIB: isize = 1024;

#[test]
fn silent_peer_costs_little_memory() {
    let acceptor = TlsAcceptor::new(server_config(&VERSIONS).into());
    let before = util::heap::live();
    let mut filter = acceptor.filter().unwrap();
    let size = isize::try_from(size_of::<TlsFilter>()).unwrap();
    assert!(size + held(before) < 3 * KIB, "{size} + {}", held(before));
    let (mut plain, mut wire) = (Vec::new(), Vec::new());
    filter.feed(&[22], &mut plain, &mut wire).unwrap();
    assert!(size + held(before) < 7 * KIB, "{size} + {}", held(before));
}

#[test]
fn idle_connection_costs_little_memory() {
    for version in VERSIONS {
        let (client, server) = (
            Arc::new(client_config(&[version])),
            Arc::new(server_config(&[version])),
        );
        // What the configurations keep of their first connection stays.
        Pair::new(client.clone(), server.clone()).settle();
        let before = util::heap::live();
        let mut pair = Pair::new(client, server);
        pair.settle();
        pair.assert_talks();
        let size = isize::try_from(size_of::<TlsFilter>()).unwrap();
        let both = 2 * size + held(before);
        assert!(both < 2 * 7 * KIB, "{version:?}: {both}");
    }
}

#[test]
fn incomplete_record_costs_its_length_until_the_next_one_is_read() {
    for version in VERSIONS {
        let mut pair = Pair::open(version);
        pair.client.seal(&[7; 16 * 1024]);
        let wire = pair.client.take_wire();
        let before = util::heap::live();
        for byte in &wire[..wire.len() - 1] {
            pair.server.feed(&[*byte]);
            assert!(held(before) <= 28 * KIB, "{}", held(before));
        }
        assert!(pair.server.plain.is_empty());
        pair.server.feed(&wire[wire.len() - 1..]);
        assert_eq!(pair.server.take_plain(), [7; 16 * 1024]);
        // The next read gives the memory back.
        pair.client.seal(b"x");
        let wire = pair.client.take_wire();
        pair.server.feed(&wire);
        drop(pair.server.take_plain());
        assert!(held(before) < KIB, "{}", held(before));
    }
}

#[test]
fn largest_handshake_message_bounds_the_memory_of_a_handshake() {
    for (n, mut end) in strangers_ends().into_iter().enumerate() {
        end.take_wire();
        let before = util::heap::live();
        let mut most = 0;
        // A message of 65,535 bytes in records of a byte each.
        let kind = if n == 2 { 2 } else { 1 };
        let message = [kind, 0, 0xff, 0xff]
            .into_iter()
            .chain(std::iter::repeat(0));
        for byte in message.take(70_000) {
            end.feed(&[22, 3, 1, 0, 1, byte]);
            most = most.max(held(before));
            if end.error.is_some() {
                break;
            }
        }
        assert!(end.error.is_some());
        assert!(most < 72 * KIB, "{most}");
    }
}

#[test]
fn longest_chain_of_certificates_bounds_the_memory_of_a_connection() {
    for version in VERSIONS {
        let (mut chain, key) = identity(&AUTHORITY.issue(&["ann.example"]));
        // Of these a verifier has no need, and they may be anything.
        let filler = AUTHORITY.issue(&["filler.example"]).certificate;
        let n = 64_000 / (filler.len() + 8);
        chain.extend((0..n).map(|_| filler.clone().into()));
        let client = client_builder(&[version])
            .with_client_auth_cert(chain, key)
            .unwrap();
        let acceptor = TlsAcceptor::new(server_asking_for_certificates(version).into());
        let mut client = End::new(TlsFilter::client("localhost", client.into()).unwrap());

        let before = util::heap::live();
        let mut server = End::new(acceptor.filter().unwrap());
        let mut most = 0;
        while !client.wire.is_empty() || !server.wire.is_empty() {
            for piece in client.take_wire().chunks(1000) {
                server.feed(piece);
                most = most.max(held(before));
            }
            let flight = server.take_wire();
            client.feed(&flight);
        }
        assert_eq!(server.phase(), FilterPhase::Open);
        let open = held(before);
        drop(server);
        // The sessions to be resumed, which belong to the configuration.
        let stored = held(before);
        assert!(most < 512 * KIB, "{most}");
        assert!(open - stored < 160 * KIB, "{}", open - stored);
    }
}
