//! AUTH TLS, data in TLS, and TLS from the start.

use std::fs;

use suites::certificates::{Authority, Certificate, text};

use crate::servers::{Peer, Secure, blob, here, proftpd, pure_ftpd, vsftpd};

fn certificate(authority: &mut Authority) -> Certificate {
    authority.issue(&["localhost"])
}

#[test]
fn files_pass_in_tls() {
    let mut authority = Authority::new();
    let certificate = certificate(&mut authority);
    let trust = authority.file();
    let explicit = |reuse| Secure::Explicit { reuse };
    let peers = [
        vsftpd(&explicit(true), Some(&certificate)),
        vsftpd(&explicit(false), Some(&certificate)),
        vsftpd(&Secure::Implicit, Some(&certificate)),
        pure_ftpd(&explicit(false), Some(&certificate)),
        proftpd(&explicit(true), Some(&certificate)),
    ];
    for peer in peers.into_iter().flatten() {
        for mode in ["passive", "active"] {
            let here = here();
            let at = here.path();
            let options = ["--cacert", text(&trust), "--mode", mode];
            // Several in one session: each data connection resumes a session of TLS.
            let get = [
                "get",
                "pub/blob",
                "pub/README",
                "pub/blob",
                "pub/README",
                "pub/blob",
            ];
            peer.succeeds(at, &options, &get);
            assert!(
                fs::read(at.join("blob")).unwrap() == blob(),
                "{}",
                peer.name
            );
            let name = format!("pub/{mode}");
            peer.succeeds(at, &options, &["put", "big.bin", "-o", &name]);
            let stored = fs::read(peer.root().join(name)).unwrap();
            assert!(stored == blob(), "{} {mode}: {}", peer.name, peer.log());
            let listing = peer.succeeds(at, &options, &["list", "pub"]);
            assert!(listing.contains("README"), "{listing}");
        }
    }
}

#[track_caller]
fn fails(peer: &Peer, options: &[&str], why: &str) {
    let here = here();
    let ended = peer.client(here.path(), options, &["get", "pub/blob"]);
    assert_eq!(ended.code, Some(1), "{}", ended.out());
    let lines = ended.err.lines().last();
    assert!(lines.unwrap().contains(why), "{} is not {why}", ended.err);
    assert!(!here.path().join("blob").exists());
}

#[test]
fn nothing_is_said_in_clear_where_tls_is_asked_for() {
    let mut authority = Authority::new();
    let certificate = certificate(&mut authority);
    if let Some(peer) = vsftpd(&Secure::No, None) {
        fails(&peer, &["--starttls"], "AUTH TLS: the server says 530 ");
        fails(&peer, &["--tls"], "TLS handshake with localhost failed");
    }
    if let Some(peer) = vsftpd(&Secure::Explicit { reuse: true }, Some(&certificate)) {
        fails(&peer, &[], "the certificate's issuer is unknown");
    }
}
