//! What two filters agree on.

use std::{io::Write, sync::Arc};

use asynchat::FilterPhase;
use asynchat_rustls::{
    TlsAcceptor, TlsFilter,
    rustls::{
        AlertDescription, CertificateError, CipherSuite, ClientConnection, Connection, Error,
        NamedGroup, ProtocolVersion, ServerConfig, pki_types::ServerName,
        server::ServerSessionMemoryCache,
    },
};

use crate::pair::{
    AUTHORITY, End, Pair, VERSIONS, client_builder, client_config, identity, provider,
    server_asking_for_certificates, server_config,
};

#[test]
fn client_speaks_first_and_no_end_is_open_before_its_handshake() {
    for version in VERSIONS {
        let pair = Pair::new(client_config(&[version]), server_config(&[version]));
        assert!(!pair.client.wire.is_empty());
        assert!(pair.server.wire.is_empty());
        assert_eq!(pair.phases(), [FilterPhase::Handshaking; 2]);
        assert!(pair.client.filter.info().is_none());
    }
}

#[test]
fn handshake_succeeds_however_its_bytes_are_cut() {
    for version in VERSIONS {
        for piece in [1, 2, 3, 5, 7, 100, 4095, 4096, 4097] {
            let mut pair = Pair::new(client_config(&[version]), server_config(&[version]));
            pair.settle_by(piece);
            assert_eq!(
                pair.phases(),
                [FilterPhase::Open; 2],
                "in pieces of {piece}"
            );
            pair.assert_talks();
        }
    }
}

#[test]
fn handshake_succeeds_if_cut_once_at_any_place() {
    for version in VERSIONS {
        let (client, server) = (
            Arc::new(client_config(&[version])),
            Arc::new(server_config(&[version])),
        );
        // More than any flight has.
        for cut in 1..1500 {
            let mut pair = Pair::new(client.clone(), server.clone());
            let mut was_cut = false;
            while !pair.client.wire.is_empty() || !pair.server.wire.is_empty() {
                let flight = pair.client.take_wire();
                let (head, tail) = flight.split_at(cut.min(flight.len()));
                pair.server.feed(head);
                pair.server.feed(tail);
                was_cut |= !tail.is_empty();
                let flight = pair.server.take_wire();
                let (head, tail) = flight.split_at(cut.min(flight.len()));
                pair.client.feed(head);
                pair.client.feed(tail);
                was_cut |= !tail.is_empty();
            }
            assert_eq!(pair.phases(), [FilterPhase::Open; 2], "cut at {cut}");
            if !was_cut {
                break;
            }
        }
    }
}

#[test]
fn data_behind_the_last_handshake_message_arrives_with_it() {
    for version in VERSIONS {
        let mut pair = Pair::new(client_config(&[version]), server_config(&[version]));
        loop {
            let flight = pair.server.take_wire();
            pair.client.feed(&flight);
            if pair.client.phase() == FilterPhase::Open {
                break;
            }
            let flight = pair.client.take_wire();
            pair.server.feed(&flight);
        }
        pair.client.seal(b"hello");
        let flight = pair.client.take_wire();
        pair.server.feed(&flight);
        assert_eq!(pair.server.plain, b"hello", "{version:?}");
    }
}

#[test]
fn both_ends_know_what_was_agreed_on() {
    let suites = [
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        CipherSuite::TLS13_AES_256_GCM_SHA384,
    ];
    for (version, suite) in VERSIONS.into_iter().zip(suites) {
        let mut client = client_config(&[version]);
        client.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let mut server = server_config(&[version]);
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        let mut pair = Pair::new(client, server);
        pair.settle();
        for end in [&pair.client, &pair.server] {
            let info = end.filter.info().unwrap();
            assert_eq!(info.protocol(), version.version);
            assert_eq!(info.suite(), suite);
            assert_eq!(info.key_exchange(), Some(NamedGroup::X25519));
            assert_eq!(info.alpn(), Some(&b"http/1.1"[..]));
            assert!(!info.is_resumed());
        }
        let (client, server) = (
            pair.client.filter.info().unwrap(),
            pair.server.filter.info().unwrap(),
        );
        assert_eq!(
            (client.server_name(), server.server_name()),
            (None, Some("localhost"))
        );
        assert_eq!(client.peer_certificates().map(<[_]>::len), Some(1));
        assert_eq!(server.peer_certificates(), None);
        let text = format!("{server:?}");
        assert!(
            text.contains("http/1.1") && text.contains("localhost"),
            "{text}"
        );
    }
}

#[test]
fn wrong_application_protocol_ends_the_handshake_with_an_alert() {
    for version in VERSIONS {
        let mut client = client_config(&[version]);
        client.alpn_protocols = vec![b"smtp".to_vec()];
        let mut server = server_config(&[version]);
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        let mut pair = Pair::new(client, server);
        let hello = pair.client.take_wire();
        pair.server.feed(&hello);
        assert_eq!(pair.server.rustls_error(), &Error::NoApplicationProtocol);
        pair.settle();
        // RFC 7301 §3.2.
        assert_eq!(
            pair.client.rustls_error(),
            &Error::AlertReceived(AlertDescription::NoApplicationProtocol)
        );
    }
}

#[test]
fn versions_without_one_in_common_end_the_handshake() {
    for (ours, theirs) in [(0, 1), (1, 0)] {
        let mut pair = Pair::new(
            client_config(&[VERSIONS[ours]]),
            server_config(&[VERSIONS[theirs]]),
        );
        pair.settle();
        assert!(matches!(
            pair.server.rustls_error(),
            Error::PeerIncompatible(_)
        ));
        assert!(matches!(
            pair.client.rustls_error(),
            Error::AlertReceived(_)
        ));
    }
}

#[test]
fn name_that_the_certificate_has_not_is_refused() {
    for version in VERSIONS {
        for (name, is_good) in [
            ("localhost", true),
            ("LOCALHOST", true),
            ("127.0.0.1", true),
            ("::1", true),
            ("[::1]", true),
            ("127.0.0.2", false),
            ("::2", false),
            ("example.org", false),
        ] {
            let mut pair = Pair::new(client_config(&[version]), server_config(&[version]));
            let config = Arc::new(client_config(&[version]));
            pair.client = End::new(TlsFilter::client(name, config).unwrap());
            pair.settle();
            if is_good {
                assert_eq!(pair.phases(), [FilterPhase::Open; 2], "{name}");
            } else {
                let Error::InvalidCertificate(error) = pair.client.rustls_error() else {
                    panic!("{name}: {:?}", pair.client.error);
                };
                assert!(
                    matches!(error, CertificateError::NotValidForNameContext { .. }),
                    "{error:?}"
                );
                assert!(matches!(
                    pair.server.rustls_error(),
                    Error::AlertReceived(_)
                ));
            }
        }
    }
}

#[test]
fn text_that_is_no_name_is_refused_before_anything_is_made() {
    let config = Arc::new(client_config(&VERSIONS));
    for name in [
        "",
        ".",
        "a..b",
        "two words",
        "b\u{fc}cher.example",
        "[localhost]",
        "[::1",
        "\x1b[2J",
        "host:443",
    ] {
        let error = TlsFilter::client(name, config.clone()).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        let text = error.to_string();
        assert!(text.contains(&format!("{name:?}")), "{text}");
        assert!(!text.contains(char::is_control), "{text:?}");
    }
    let endless = TlsFilter::client("a".repeat(1_000_000), config).unwrap_err();
    assert!(endless.to_string().len() < 400);
}

#[test]
fn client_shows_its_certificate_if_asked() {
    for version in VERSIONS {
        let server = Arc::new(server_asking_for_certificates(version));
        let (chain, key) = identity(&AUTHORITY.issue(&["ann.example"]));
        let client = client_builder(&[version])
            .with_client_auth_cert(chain.clone(), key)
            .unwrap();
        let mut pair = Pair::new(client, server.clone());
        pair.settle();
        let info = pair.server.filter.info().unwrap();
        assert_eq!(info.peer_certificates(), Some(&*chain));
        pair.assert_talks();

        let mut without = Pair::new(client_config(&[version]), server);
        without.settle();
        assert_eq!(
            without.server.rustls_error(),
            &Error::NoCertificatesPresented
        );
        assert!(matches!(
            without.client.rustls_error(),
            Error::AlertReceived(_)
        ));
    }
}

#[test]
fn session_is_resumed_by_the_same_client_configuration() {
    for version in VERSIONS {
        let mut server = server_config(&[version]);
        server.session_storage = ServerSessionMemoryCache::new(32);
        let (client, server) = (Arc::new(client_config(&[version])), Arc::new(server));
        for is_resumed in [false, true, true] {
            let mut pair = Pair::new(client.clone(), server.clone());
            pair.settle();
            for end in [&pair.client, &pair.server] {
                let info = end.filter.info().unwrap();
                assert_eq!(info.is_resumed(), is_resumed, "{version:?}");
                let has_exchanged = version.version == ProtocolVersion::TLSv1_3 || !is_resumed;
                assert_eq!(info.key_exchange().is_some(), has_exchanged);
            }
            pair.assert_talks();
        }
    }
}

#[test]
fn exported_keying_material_is_the_same_at_both_ends_and_bound_to_label_and_context() {
    for version in VERSIONS {
        let pair = Pair::open(version);
        let export = |end: &End, label: &[u8], context| {
            let info = end.filter.info().unwrap();
            info.export_keying_material([0; 32], label, context)
                .unwrap()
        };
        let ours = export(&pair.client, b"EXPORTER-test", Some(b"context"));
        assert_eq!(
            ours,
            export(&pair.server, b"EXPORTER-test", Some(b"context"))
        );
        assert_ne!(
            ours,
            export(&pair.client, b"EXPORTER-test", Some(b"another"))
        );
        assert_ne!(
            ours,
            export(&pair.client, b"EXPORTER-other", Some(b"context"))
        );
        let other = Pair::open(version);
        assert_ne!(
            ours,
            export(&other.client, b"EXPORTER-test", Some(b"context"))
        );
        let info = pair.client.filter.info().unwrap();
        assert!(
            info.export_keying_material([], b"EXPORTER-test", None)
                .is_err()
        );
    }
}

#[test]
fn early_data_comes_with_the_handshake_and_before_all_else() {
    for is_chosen in [false, true] {
        let mut server = server_config(&VERSIONS);
        server.session_storage = ServerSessionMemoryCache::new(32);
        server.max_early_data_size = 1000;
        let mut client = client_config(&VERSIONS);
        client.enable_early_data = true;
        let (client, server) = (Arc::new(client), Arc::new(server));
        Pair::new(client.clone(), server.clone()).settle();

        let name = ServerName::try_from("localhost").unwrap();
        let mut peer = Connection::from(ClientConnection::new(client, name).unwrap());
        let Connection::Client(client) = &mut peer else {
            unreachable!();
        };
        client.early_data().unwrap().write_all(b"early").unwrap();
        let acceptor = if is_chosen {
            TlsAcceptor::choose(move |_| Ok(server.clone()))
        } else {
            TlsAcceptor::new(server)
        };
        let mut end = End::new(acceptor.filter().unwrap());
        end.hear(&mut peer);
        assert_eq!(end.phase(), FilterPhase::Handshaking);
        assert_eq!(end.plain, b"early");
        end.tell(&mut peer);
        peer.writer().write_all(b" and late").unwrap();
        end.hear(&mut peer);
        assert_eq!(end.phase(), FilterPhase::Open);
        assert_eq!(end.plain, b"early and late");
    }
}

#[test]
fn second_hello_for_another_key_exchange_is_no_resumption() {
    let mut other = (*provider()).clone();
    other
        .kx_groups
        .retain(|group| group.name() == NamedGroup::secp384r1);
    let (chain, key) = identity(&AUTHORITY.issue(&["localhost"]));
    let server = ServerConfig::builder_with_provider(other.into())
        .with_protocol_versions(&[VERSIONS[1]])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let server = Arc::new(server);
    let chosen = server.clone();
    for acceptor in [
        TlsAcceptor::new(server),
        TlsAcceptor::choose(move |_| Ok(chosen.clone())),
    ] {
        for piece in [1, usize::MAX] {
            let mut pair = Pair::with_acceptor(client_config(&[VERSIONS[1]]), &acceptor);
            pair.settle_by(piece);
            for end in [&pair.client, &pair.server] {
                let info = end.filter.info().unwrap();
                assert!(!info.is_resumed());
                assert_eq!(info.key_exchange(), Some(NamedGroup::secp384r1));
            }
            pair.assert_talks();
        }
    }
}
