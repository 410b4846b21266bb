//! Handshakes that fail.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    thread,
};

use suites::certificates::Authority;

use super::{WithoutWarning, config, local};
use crate::{
    assert_fails, fetch,
    scripted::{Answer, serve_tls},
};

/// A server without TLS that treats each connection so.
fn raw(treat: impl Fn(TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            treat(stream.unwrap());
        }
    });
    url
}

/// Reads the ClientHello.
fn hello(stream: &mut TcpStream) {
    assert!(stream.read(&mut [0; 2048]).unwrap() > 0);
}

#[test]
fn a_handshake_that_fails_is_told_with_the_reason() {
    let failed = |url: &str, why: &str| {
        let why = format!("TLS handshake with 127.0.0.1 failed: {why}\n");
        assert_fails(&fetch(&["--insecure", url]).without_warning(), url, &why);
    };
    for text in ["HTTP/1.1 400 Bad Request\r\n\r\n", "SSH-2.0-OpenSSH_9\r\n"] {
        let url = raw(move |mut stream| {
            hello(&mut stream);
            let _ = stream.write_all(text.as_bytes());
            let _ = stream.read(&mut [0; 100]);
        });
        failed(&url, "the server does not speak TLS on this port");
    }
    let url = raw(|mut stream| {
        hello(&mut stream);
        let _ = stream.shutdown(Shutdown::Write);
        let _ = stream.read(&mut [0; 100]);
    });
    failed(&url, "the server closed the connection");
    // A reset, because the ClientHello is unread. It may come before the connection is known to be there.
    let url = raw(drop);
    assert_fails(
        &fetch(&["--insecure", &url]).without_warning(),
        &url,
        " failed: ",
    );
    let url = raw(|mut stream| {
        hello(&mut stream);
        // An alert of level fatal: handshake_failure.
        let _ = stream.write_all(&[21, 3, 3, 0, 2, 2, 40]);
        let _ = stream.read(&mut [0; 100]);
    });
    failed(
        &url,
        "no version of TLS or no cipher suite in common: the server's alert HandshakeFailure",
    );
    let mut authority = Authority::new();
    let mut only_h2 = config(&local(&mut authority));
    only_h2.alpn_protocols = vec![b"h2".to_vec()];
    let server = serve_tls(only_h2, |_| Answer::new(""));
    failed(&server.url("/"), "no application protocol in common");
}

#[test]
fn a_handshake_that_is_not_finished_is_given_up() {
    for begun in [&b""[..], &[22, 3, 3, 0, 100, 2, 0]] {
        let url = raw(move |mut stream| {
            thread::spawn(move || {
                let _ = stream.write_all(begun);
                // To its end.
                while stream.read(&mut [0; 100]).is_ok_and(|n| n > 0) {}
            });
        });
        let ended =
            fetch(&["--insecure", "--timeout", "1", "--max-time", "8", &url]).without_warning();
        assert_fails(
            &ended,
            &url,
            "TLS handshake with 127.0.0.1 failed: timed out",
        );
        let ended = fetch(&["--insecure", "--max-time", "1", &url]).without_warning();
        assert_fails(&ended, &url, "the whole transfer took longer than 1s");
    }
}
