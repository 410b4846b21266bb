//! AUTH TLS, data in TLS, and TLS from the start.

use std::{
    fs,
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    net::TcpListener,
    thread,
};

use suites::{
    certificates::{Authority, Certificate, text},
    program::{Program, example},
    tls,
};

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

/// Serves one file, and gives what the client made of the end of the data.
fn serve(listener: &TcpListener, certificate: &Certificate) -> Option<Result<usize, ErrorKind>> {
    let mut control = BufReader::new(tls::server(listener.accept().unwrap().0, certificate));
    let arrivals = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let arrival = arrivals.local_addr().unwrap().port();
    let mut answer = "220 ready".to_owned();
    let mut end = None;
    loop {
        control
            .get_mut()
            .write_all(format!("{answer}\r\n").as_bytes())
            .unwrap();
        let mut line = String::new();
        if !control.read_line(&mut line).is_ok_and(|n| n > 0) {
            return end;
        }
        answer = match line.split_whitespace().next().unwrap_or_default() {
            "USER" => "230 in".into(),
            "SIZE" => "550 no".into(),
            "EPSV" => format!("229 here (|||{arrival}|)"),
            "RETR" => {
                control.get_mut().write_all(b"150 now\r\n").unwrap();
                let mut data = tls::server(arrivals.accept().unwrap().0, certificate);
                data.write_all(b"whole").unwrap();
                data.conn.send_close_notify();
                data.flush().unwrap();
                end = Some(data.read(&mut [0]).map_err(|error| error.kind()));
                "226 done".into()
            }
            _ => "200 fine".into(),
        };
    }
}

/// Each end of a connection sends close_notify (RFC 8446, 6.1).
#[test]
fn the_end_of_the_data_is_answered() {
    let mut authority = Authority::new();
    let certificate = certificate(&mut authority);
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let server = thread::spawn(move || serve(&listener, &certificate));
    let trust = authority.file();
    let mut client = example("ftp_client");
    client.args(["--tls", "--cacert", text(&trust), "--port", &port]);
    client.args(["localhost", "get", "-o", "-", "f"]);
    let ended = Program::start(&mut client).ended();
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    assert_eq!(ended.out(), "whole");
    assert_eq!(server.join().unwrap(), Some(Ok(0)));
}
