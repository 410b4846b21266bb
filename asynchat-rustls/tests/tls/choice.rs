//! The configuration by the ClientHello, and its change.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use asynchat::FilterPhase;
use asynchat_rustls::{
    TlsAcceptor,
    rustls::{AlertDescription, Error, ServerConfig},
};

use crate::pair::{AUTHORITY, Pair, VERSIONS, client_config, identity, provider, server_config};

fn config_of(name: &str) -> Arc<ServerConfig> {
    let (chain, key) = identity(&AUTHORITY.issue(&["localhost", name]));
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    Arc::new(config)
}

fn shown(pair: &Pair) -> Vec<u8> {
    let info = pair.client.filter.info().unwrap();
    info.peer_certificates().unwrap()[0].to_vec()
}

#[test]
fn configuration_is_chosen_by_name_and_protocols_however_the_hello_is_cut() {
    for version in VERSIONS {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let calls = Arc::new(AtomicUsize::new(0));
        let config = Arc::new(server_config(&[version]));
        let acceptor = TlsAcceptor::choose({
            let (seen, calls) = (seen.clone(), calls.clone());
            move |hello| {
                calls.fetch_add(1, Ordering::Relaxed);
                let protocols = hello.alpn().into_iter().flatten();
                *seen.lock().unwrap() = protocols.map(<[u8]>::to_vec).collect();
                assert_eq!(hello.server_name(), Some("localhost"));
                Ok(config.clone())
            }
        });
        let mut client = client_config(&[version]);
        client.alpn_protocols = vec![b"smtp".to_vec()];
        let client = Arc::new(client);
        for (n, piece) in [1, 3, 5, 64, usize::MAX].into_iter().enumerate() {
            let mut pair = Pair::with_acceptor(client.clone(), &acceptor);
            pair.settle_by(piece);
            assert_eq!(
                pair.phases(),
                [FilterPhase::Open; 2],
                "in pieces of {piece}"
            );
            assert_eq!(calls.load(Ordering::Relaxed), n + 1, "once a connection");
            assert_eq!(*seen.lock().unwrap(), [b"smtp"]);
            pair.assert_talks();
        }
    }
}

#[test]
fn refused_client_gets_an_alert_that_says_why() {
    let table = [
        ("localhost", None, AlertDescription::UnrecognisedName),
        ("127.0.0.1", None, AlertDescription::HandshakeFailure),
        (
            "localhost",
            Some(Error::NoApplicationProtocol),
            AlertDescription::NoApplicationProtocol,
        ),
    ];
    for (name, error, alert) in table {
        let acceptor = TlsAcceptor::choose(move |_| match &error {
            Some(error) => Err(error.clone().into()),
            None => Err("not for you".into()),
        });
        let mut pair = Pair::with_acceptor(client_config(&VERSIONS), &acceptor);
        pair.client = crate::pair::End::new(
            asynchat_rustls::TlsFilter::client(name, client_config(&VERSIONS).into()).unwrap(),
        );
        let hello = pair.client.take_wire();
        pair.server.feed(&hello);
        assert!(pair.server.error.is_some());
        assert_eq!(pair.server.phase(), FilterPhase::Handshaking);
        assert!(format!("{:?}", pair.server.filter).contains("Handshaking"));
        pair.settle();
        assert_eq!(pair.client.rustls_error(), &Error::AlertReceived(alert));
        // What comes then changes nothing.
        let (mut plain, mut wire) = (Vec::new(), Vec::new());
        let again = asynchat::Filter::feed(&mut pair.server.filter, &hello, &mut plain, &mut wire);
        assert!(again.is_ok() && plain.is_empty() && wire.is_empty());
        let sealed = asynchat::Filter::seal(
            &mut pair.server.filter,
            &[std::io::IoSlice::new(b"secret")],
            &mut wire,
        );
        assert!(sealed.is_err() && wire.is_empty());
    }
}

#[test]
fn chosen_configuration_that_does_not_fit_ends_the_handshake_with_an_alert() {
    let config = Arc::new(server_config(&[VERSIONS[1]]));
    let acceptor = TlsAcceptor::choose(move |_| Ok(config.clone()));
    let mut pair = Pair::with_acceptor(client_config(&[VERSIONS[0]]), &acceptor);
    pair.settle();
    assert!(matches!(
        pair.server.rustls_error(),
        Error::PeerIncompatible(_)
    ));
    assert_eq!(
        pair.client.rustls_error(),
        &Error::AlertReceived(AlertDescription::ProtocolVersion)
    );
}

#[test]
fn new_configuration_is_for_new_connections_and_every_clone() {
    let acceptor = TlsAcceptor::new(config_of("old.example"));
    let clone = acceptor.clone();
    let mut early = Pair::with_acceptor(client_config(&VERSIONS), &acceptor);
    let new = config_of("new.example");
    std::thread::spawn(move || clone.set_config(new))
        .join()
        .unwrap();
    let mut late = Pair::with_acceptor(client_config(&VERSIONS), &acceptor);
    early.settle();
    late.settle();
    assert_ne!(shown(&early), shown(&late));
    early.assert_talks();
    late.assert_talks();

    let by_hello = config_of("hello.example");
    acceptor.set_choice(move |_| Ok(by_hello.clone()));
    let mut last = Pair::with_acceptor(client_config(&VERSIONS), &acceptor);
    last.settle();
    assert_ne!(shown(&last), shown(&late));
    acceptor.set_config(config_of("fixed.example"));
    let mut fixed = Pair::with_acceptor(client_config(&VERSIONS), &acceptor);
    fixed.settle();
    fixed.assert_talks();
}

#[test]
fn acceptor_and_filter_go_to_other_threads() {
    fn both<T: Send + Sync + 'static>() {}
    both::<TlsAcceptor>();
    both::<asynchat_rustls::TlsFilter>();
}
