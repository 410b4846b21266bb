//! Certificates that are good, and those that are not.

use std::path::Path;

use rcgen::date_time_ymd;
use suites::{
    certificates::{Authority, text},
    program::{self, Program},
};

use super::{Trusted, WARNING, config, local};
use crate::{
    assert_fails, fetch,
    scripted::{Answer, serve_tls},
};

#[test]
fn a_certificate_that_is_not_good_is_an_error_that_says_why() {
    let mut authority = Authority::new();
    let old = authority.issue_with(&["127.0.0.1"], |params| {
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 1, 1);
    });
    let early = authority.issue_with(&["127.0.0.1"], |params| {
        params.not_before = date_time_ymd(4000, 1, 1);
    });
    let other = authority.issue(&["a.example", "*.b.example", "127.0.0.2"]);
    let nameless = authority.issue(&[]);
    let client = authority.issue_with(&["127.0.0.1"], |params| {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    });
    let of_authority = authority.issue_with(&["127.0.0.1"], |params| {
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    });
    let mut other_authority = Authority::new();
    let foreign = local(&mut other_authority);
    let file = authority.file();
    for (certificate, why) in [
        (
            &old,
            "the certificate expired on Tue, 01 Jan 2002 00:00:00 GMT",
        ),
        (
            &early,
            "the certificate is not valid before Sat, 01 Jan 4000 00:00:00 GMT",
        ),
        (
            &other,
            "the certificate is not for 127.0.0.1 but for a.example, *.b.example, 127.0.0.2",
        ),
        (
            &nameless,
            "the certificate is not for 127.0.0.1: it has no names",
        ),
        (&client, "the certificate is not one for servers"),
        (
            &of_authority,
            "the certificate is an authority's (CA:TRUE), not a server's",
        ),
        (&foreign, "the certificate's issuer is unknown"),
    ] {
        let hello = |_: &str| Answer::new("HTTP/1.1 200 OK\nContent-Length: 5\n\nhello");
        let server = serve_tls(config(certificate), hello);
        let url = server.url("/");
        let ended = fetch(&["--cacert", text(&file), &url]);
        let why = format!("TLS handshake with 127.0.0.1 failed: {why}\n");
        assert_fails(&ended, &url, &why);
        assert!(server.requests.try_recv().is_err(), "the request was sent");

        let ended = fetch(&["--insecure", &url, &url]);
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), WARNING));
        assert_eq!(ended.out().matches("5 bytes in body").count(), 2);
    }
}

#[test]
fn the_file_of_certificates_takes_the_place_of_the_systems() {
    let hello = |_: &str| Answer::new("HTTP/1.1 200 OK\nContent-Length: 5\n\nhello");
    let trusted = Trusted::serve(hello);
    let url = trusted.server.url("/");
    let file = trusted.authority.file();
    // rustls-native-certs takes the system's from there, as OpenSSL does.
    let with = |system: &Path, args: &[&str]| {
        let mut client = program::example("http_client");
        client
            .env("SSL_CERT_FILE", system)
            .env_remove("SSL_CERT_DIR")
            .args(args);
        Program::start(&mut client).ended()
    };
    let with_system = |args: &[&str]| with(&file, args);
    let ended = with_system(&[&url]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));

    let ended = with_system(&["--cacert", "missing.pem", &url]);
    assert_fails(&ended, &url, "--cacert missing.pem: ");
    let other = Authority::new();
    let ended = with_system(&["--cacert", text(&other.file()), &url]);
    assert_fails(&ended, &url, "the certificate's issuer is unknown");

    let ended = with(Path::new("/dev/null"), &[&url]);
    assert_fails(&ended, &url, "the system's certificates: ");
    let both = fetch(&["--insecure", "--cacert", text(&file), &url]);
    assert_eq!(both.code, Some(2), "{}", both.err);
}

#[test]
fn a_certificate_of_the_servers_own_is_trusted_if_it_is_given() {
    let mut authority = Authority::new();
    let own = authority.self_signed(&["127.0.0.1"]);
    let server = serve_tls(config(&own), |_| Answer::new("HTTP/1.1 204 No Content\n\n"));
    let url = server.url("/");
    assert_eq!(fetch(&["--cacert", text(&own.cert), &url]).code, Some(0));
}

#[test]
fn a_name_is_looked_up_sent_and_verified() {
    let trusted = Trusted::serve(|_| Answer::new("HTTP/1.1 204 No Content\n\n"));
    let port = trusted.server.address.port();
    // It has several addresses: the server is at one of them.
    let ended = trusted.fetch(&[&format!("https://LOCALHOST:{port}/")]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    let request = trusted.server.requests.recv().unwrap();
    assert!(
        request.contains(&format!("\r\nHost: localhost:{port}\r\n")),
        "{request}"
    );
}

#[test]
fn a_name_in_a_certificate_cannot_write_control_sequences_to_the_terminal() {
    let mut authority = Authority::new();
    let evil = authority.issue_with(&[], |params| {
        let name = "\u{1b}[2Jb.example\r\nX: y".try_into().unwrap();
        params.subject_alt_names = vec![rcgen::SanType::DnsName(name)];
    });
    let server = serve_tls(config(&evil), |_| Answer::new(""));
    let url = server.url("/");
    let ended = fetch(&["--cacert", text(&authority.file()), &url]);
    assert_fails(
        &ended,
        &url,
        "not for 127.0.0.1 but for \u{fffd}[2Jb.example\u{fffd}\u{fffd}X: y",
    );
}
