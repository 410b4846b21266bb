//! A `TlsFilter` without a socket: fed with anything, and in a conversation with another one, of which both sides say,
//! cut, flip and end. Whatever arrives is what was sent, as far as it goes; if no bit was flipped it is all.

use std::{
    collections::VecDeque,
    io::IoSlice,
    sync::{Arc, LazyLock},
};

use asynchat::{Filter, FilterPhase};
use asynchat_rustls::{TlsAcceptor, TlsFilter};
use certificates::Authority;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion,
    crypto::ring,
    pki_types::PrivateKeyDer,
    version::{TLS12, TLS13},
};

use super::Input;

/// The first decision chooses the part of the filter, the second the version. The others cut the bytes, of which each is a
/// step if there are two filters.
pub fn fuzz(data: &[u8]) {
    let mut input = Input::new(data);
    let part = input.decisions.pop_front().unwrap_or(0);
    let version = usize::from(input.decisions.pop_front().unwrap_or(0) % 2);
    let ends = &ENDS[version];
    match part % 8 {
        0 => listen(ends.server(), &input.pieces()),
        1 => listen(ends.choosing_server(), &input.pieces()),
        2 => listen(ends.client(), &input.pieces()),
        3 => talk(ends.client(), ends.choosing_server(), input.bytes),
        _ => talk(ends.client(), ends.server(), input.bytes),
    }
}

struct Ends {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

static ENDS: LazyLock<[Ends; 2]> = LazyLock::new(|| [&TLS12, &TLS13].map(Ends::new));

impl Ends {
    fn new(version: &'static SupportedProtocolVersion) -> Self {
        let authority = Authority::new("fuzz");
        let identity = authority.issue(&["localhost"]);
        let mut roots = RootCertStore::empty();
        let root = authority.certificate().into();
        roots.add(root).expect("a root");
        let provider = Arc::new(ring::default_provider());
        let client = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[version])
            .expect("a version")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let key = PrivateKeyDer::Pkcs8(identity.key.into());
        let server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .expect("a version")
            .with_no_client_auth()
            .with_single_cert(vec![identity.certificate.into()], key)
            .expect("a certificate");
        Self {
            client: Arc::new(client),
            server: Arc::new(server),
        }
    }

    fn client(&self) -> End {
        End::new(TlsFilter::client("localhost", self.client.clone()))
    }

    fn server(&self) -> End {
        End::new(TlsAcceptor::new(self.server.clone()).filter())
    }

    fn choosing_server(&self) -> End {
        let config = self.server.clone();
        End::new(TlsAcceptor::choose(move |_| Ok(config.clone())).filter())
    }
}

/// A stranger has no keys, so nothing that he says is plaintext.
fn listen(mut end: End, pieces: &[&[u8]]) {
    for piece in pieces {
        end.feed(piece);
        assert!(end.plain.is_empty());
        assert_eq!(end.filter.phase(), FilterPhase::Handshaking);
        assert!(end.filter.info().is_none());
    }
}

struct End {
    filter: TlsFilter,
    plain: Vec<u8>,
    /// To the other end.
    wire: VecDeque<u8>,
    sealed: Vec<u8>,
    failed: bool,
    ended: bool,
    /// A bit of what it said.
    flipped: bool,
}

impl End {
    fn new(filter: std::io::Result<TlsFilter>) -> Self {
        let mut end = Self {
            filter: filter.expect("a filter"),
            plain: Vec::new(),
            wire: VecDeque::new(),
            sealed: Vec::new(),
            failed: false,
            ended: false,
            flipped: false,
        };
        end.feed(&[]);
        end
    }

    fn feed(&mut self, input: &[u8]) {
        if !self.failed {
            let mut wire = Vec::new();
            self.failed = self.filter.feed(input, &mut self.plain, &mut wire).is_err();
            self.wire.extend(wire);
        }
    }

    fn may_seal(&self) -> bool {
        !self.failed && !self.ended && self.filter.phase() != FilterPhase::Handshaking
    }

    fn seal(&mut self, len: usize) {
        if !self.may_seal() {
            return;
        }
        let from = self.sealed.len();
        let bytes: Vec<_> = (from..from + len).map(|at| (at % 251) as u8).collect();
        let (head, tail) = bytes.split_at(len / 3);
        let mut wire = Vec::new();
        let slices = [IoSlice::new(head), IoSlice::new(tail)];
        let n = self.filter.seal(&slices, &mut wire).expect("it is open");
        assert!(n > 0 || len == 0);
        self.sealed.extend_from_slice(&bytes[..n]);
        self.wire.extend(wire);
    }

    /// Not if a bad record may come: for one behind the own end rustls has an assertion, and the fuzzer knows no caught
    /// panics.
    fn end(&mut self, other: &Self) {
        if self.may_seal() && !other.flipped {
            let mut wire = Vec::new();
            self.filter.end(&mut wire);
            self.wire.extend(wire);
            self.ended = true;
        }
    }

    fn carry(&mut self, len: usize, to: &mut Self) {
        let bytes: Vec<_> = self.wire.drain(..len.min(self.wire.len())).collect();
        to.feed(&bytes);
        assert!(self.sealed.starts_with(&to.plain), "not what was sent");
        assert!(to.failed || to.filter.phase() != FilterPhase::PeerEnded || self.ended);
    }

    /// Flips a bit of what is under way to the other end.
    fn flip(&mut self, at: usize, to: &Self) {
        if !to.ended && !self.wire.is_empty() {
            let at = at * 13 % self.wire.len();
            self.wire[at] ^= 1 << (at % 8);
            self.flipped = true;
        }
    }
}

fn talk(mut client: End, mut server: End, steps: &[u8]) {
    for step in steps {
        let n = usize::from(step >> 3);
        match step & 7 {
            0 => client.carry(n * n * n + 1, &mut server),
            1 => server.carry(n * n * n + 1, &mut client),
            2 => client.seal(n * n * n * n / 8),
            3 => server.seal(n * n * n * n / 8),
            4 => client.end(&server),
            5 => server.end(&client),
            6 => client.flip(n, &server),
            _ => server.flip(n, &client),
        }
    }
    while !client.wire.is_empty() || !server.wire.is_empty() {
        client.carry(usize::MAX, &mut server);
        server.carry(usize::MAX, &mut client);
    }
    if !client.flipped && !server.flipped {
        for (from, to) in [(&client, &server), (&server, &client)] {
            assert!(!to.failed);
            assert!(to.plain == from.sealed, "not all that was sent");
            assert_eq!(
                to.filter.phase(),
                if from.ended {
                    FilterPhase::PeerEnded
                } else {
                    FilterPhase::Open
                }
            );
            assert!(to.filter.info().is_some());
        }
    }
}
