//! STARTTLS (RFC 3207): what was said before it is not known behind it.

use std::sync::Arc;

use asynchat::testing::Harness;
use asynchat_rustls::{TlsAcceptor, TlsFilter};
use certificates::Authority;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use shared::smtp::server::Options;

use crate::{HOST, Setup, options, said, serve};

struct Tls {
    setup: Setup,
    client: Arc<ClientConfig>,
}

fn serve_tls(require_tls: bool) -> Tls {
    let authority = Authority::new("authority");
    let identity = authority.issue(&[HOST]);
    let provider = Arc::new(ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from(identity.certificate)],
            PrivateKeyDer::Pkcs8(identity.key.into()),
        )
        .expect("a pair");
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate().into()).expect("a root");
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let options = Options {
        tls: Some(TlsAcceptor::new(Arc::new(server))),
        require_tls,
        ..options()
    };
    Tls {
        setup: serve(options),
        client: Arc::new(client),
    }
}

impl Tls {
    fn filter(&self) -> TlsFilter {
        TlsFilter::client(HOST, Arc::clone(&self.client)).expect("a name")
    }

    /// A client that has said this in clear, and then turns to TLS.
    #[track_caller]
    fn secured(&mut self, before: &str) -> Harness {
        let mut client = self.setup.client();
        client.feed(before);
        said(&mut client);
        client.feed("STARTTLS\r\n");
        assert_eq!(said(&mut client), ["220 Ready to start TLS"]);
        client.upgrade(self.filter());
        client
    }
}

#[test]
fn it_is_offered_in_clear_and_taken_once() {
    let mut tls = serve_tls(false);
    let mut client = tls.setup.client();
    client.feed("EHLO x\r\nHELP STARTTLS\r\nSTARTTLS now\r\n");
    let replies = said(&mut client);
    assert!(replies.contains(&"250-STARTTLS".into()), "{replies:?}");
    assert!(replies.ends_with(&["250 Syntax: STARTTLS".into(), "501 Syntax: STARTTLS".into()]));
    let mut client = tls.secured("EHLO x\r\n");
    client.feed("EHLO x\r\nSTARTTLS\r\n");
    let replies = said(&mut client);
    assert!(!replies.contains(&"250-STARTTLS".into()), "{replies:?}");
    assert_eq!(replies.last().unwrap(), "503 Error: TLS is active");
    let mut plain = serve(options()).client();
    plain.feed("EHLO x\r\nSTARTTLS\r\n");
    let replies = said(&mut plain);
    assert!(!replies.contains(&"250-STARTTLS".into()), "{replies:?}");
    assert_eq!(
        replies.last().unwrap(),
        "500 Error: command \"STARTTLS\" not recognized"
    );
}

#[test]
fn nothing_said_in_clear_is_known_behind_it() {
    for before in [
        "",
        "EHLO evil\r\n",
        "EHLO evil\r\nMAIL FROM:<evil@x>\r\n",
        "EHLO evil\r\nMAIL FROM:<evil@x>\r\nRCPT TO:<evil@x>\r\n",
        "EHLO evil\r\nMAIL FROM:<evil@x>\r\nRCPT TO:<evil@x>\r\nDATA\r\nevil\r\n.\r\n",
    ] {
        let mut tls = serve_tls(false);
        let mut client = tls.secured(before);
        for (line, reply) in [
            ("DATA", "503 Error: send HELO first"),
            ("RCPT TO:<b@x>", "503 Error: send HELO first"),
            ("MAIL FROM:<a@x>", "503 Error: send HELO first"),
            ("EHLO honest", "250 HELP"),
            ("DATA", "503 Error: need RCPT command"),
            ("RCPT TO:<b@x>", "503 Error: need MAIL command"),
            ("MAIL FROM:<a@x>", "250 OK"),
            ("RCPT TO:<b@x>", "250 OK"),
            ("DATA", "354 End data with <CR><LF>.<CR><LF>"),
            ("honest\r\n.", "250 OK"),
        ] {
            client.feed(format!("{line}\r\n"));
            assert_eq!(said(&mut client).last().unwrap(), reply, "{before:?}");
        }
        let mails = tls.setup.mails.borrow();
        let mail = &mails.last().unwrap().envelope;
        assert_eq!(
            (mail.helo.as_str(), mail.sender.as_str()),
            ("honest", "a@x")
        );
        assert_eq!(mail.recipients, ["b@x"]);
        assert!(mail.is_secured);
    }
}

#[test]
fn commands_in_the_segment_of_starttls_are_never_answered() {
    for hidden in [
        "EHLO evil\r\n",
        "NOOP\r\n",
        "MAIL FROM:<evil@x>\r\nRCPT TO:<evil@x>\r\nDATA\r\nevil\r\n.\r\n",
        "N",
    ] {
        for size in [1, 4, usize::MAX] {
            let mut tls = serve_tls(false);
            let mut client = tls.setup.client();
            client.feed("EHLO x\r\n");
            said(&mut client);
            let line = format!("STARTTLS\r\n{hidden}");
            for piece in line.as_bytes().chunks(size) {
                client.feed(piece);
            }
            let output = client.output();
            let clear = output.strip_prefix(b"220 Ready to start TLS\r\n");
            // At most an alert behind it, which is no text.
            let clear = clear.expect("the last words in clear");
            assert!(clear.is_empty() || clear[0] == 21, "{hidden:?}: {clear:?}");
            client.upgrade(tls.filter());
            client.feed("EHLO honest\r\n");
            assert_eq!(client.output(), b"", "{hidden:?}");
            assert!(tls.setup.mails.borrow().is_empty());
        }
    }
}

#[test]
fn a_server_that_requires_tls_takes_no_mail_in_clear() {
    let mut tls = serve_tls(true);
    let mut client = tls.setup.client();
    for line in [
        "HELO x",
        "MAIL FROM:<a@x>",
        "RCPT TO:<b@x>",
        "DATA",
        "RSET",
        "VRFY a",
        "HELP",
        "X",
    ] {
        client.feed(format!("{line}\r\n"));
        let replies = said(&mut client);
        assert_eq!(
            replies,
            ["530 Must issue a STARTTLS command first"],
            "{line}"
        );
    }
    for (line, reply) in [
        ("EHLO x", "250 HELP"),
        ("NOOP", "250 OK"),
        ("QUIT", "221 Bye"),
    ] {
        client.feed(format!("{line}\r\n"));
        assert_eq!(said(&mut client).last().unwrap(), reply);
    }
    let mut client = tls.secured("EHLO x\r\n");
    client.feed("EHLO x\r\nMAIL FROM:<a@x>\r\n");
    assert_eq!(said(&mut client).last().unwrap(), "250 OK");
}

#[test]
fn a_stream_that_is_cut_delivers_nothing() {
    let mut tls = serve_tls(false);
    let mut client = tls.secured("EHLO x\r\n");
    client.feed("EHLO x\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\none\r\n");
    said(&mut client);
    client.truncate();
    assert!(client.is_closed());
    assert!(tls.setup.mails.borrow().is_empty());
}
