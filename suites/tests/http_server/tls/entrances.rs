//! What comes to a port that speaks TLS, and to the plain one beside it.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr},
};

use suites::{
    certificates::{Authority, Certificate, text},
    program::{self, Program},
    tls::{self, VERSIONS},
    web_server::{Client, SPREADS, connect},
};

use super::{GET, https};

/// What a client gets to see that does not speak TLS: an alert, and an orderly end.
#[test]
fn what_is_no_tls_gets_an_alert_and_no_line_above_debug() {
    let mut authority = Authority::new();
    let Certificate { cert, key } = authority.issue(&["localhost"]);
    let options = [
        "--port",
        "0",
        "--quiet",
        "--tls-cert",
        text(&cert),
        "--tls-key",
        text(&key),
    ];
    let mut command = program::example("http_server");
    command.args(options).env("RUST_LOG", "debug");
    let program = Program::start(&mut command);
    let address: SocketAddr = {
        let line = program.line();
        let (_, address) = line.split_once("://").unwrap();
        address.trim_end_matches('/').parse().unwrap()
    };
    let record = [&[22, 3, 1, 0, 5][..], &[1, 0, 0, 1, 0]].concat();
    let oversized = [&[22, 3, 1, 0xff, 0xff][..], &[1; 70_000]].concat();
    let noise: Vec<u8> = (0..100_000_u32)
        .map(|n| (n.wrapping_mul(n) >> 7) as u8 | 0x80)
        .collect();
    for garbage in [
        &GET.as_bytes().repeat(1000)[..],
        b"SSH-2.0-OpenSSH_9.2\r\n",
        &record,
        &oversized,
        &noise,
        &[0; 100_000],
    ] {
        let mut client = connect(address);
        // The server may have ended before all is written.
        let _ = client.write_all(garbage);
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        // A fatal alert (RFC 8446, 6).
        assert_eq!(
            (answer.len(), answer[0], answer[5]),
            (7, 21, 2),
            "{answer:?}"
        );
    }
    // And silence, ended by the client: nothing to say.
    for start in [&[][..], &record[..3]] {
        let mut client = connect(address);
        client.write_all(start).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        client.read_to_end(&mut Vec::new()).unwrap();
    }
    let config = tls::trusting(&authority.file(), &VERSIONS);
    let mut client = Client::new(tls::client(connect(address), &config));
    client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect(200);
    drop(client);
    program.signal("TERM");
    let ended = program.ended();
    assert_eq!(ended.code, Some(0));
    let failures = ended.err.matches(": handshake failed: ").count();
    assert!(failures >= 8, "{}", ended.err);
    for line in ended.err.lines() {
        let level = line.split_whitespace().nth(1).unwrap_or_default();
        assert!(["DEBUG", "INFO"].contains(&level), "{line}");
    }
}

#[test]
fn with_a_port_of_its_own_tls_stands_beside_plain_http() {
    for options in [
        &[][..],
        &["--threads", "3", "--spread", "kernel"],
        &["--threads", "3", "--spread", "accept"],
        // The listeners are no connections.
        &["--max-connections", "1"],
    ] {
        if options.contains(&"kernel") && !SPREADS.contains(&"kernel") {
            continue;
        }
        let mut setup = https(&[&["--tls-port", "0"], options].concat());
        assert_ne!(setup.server.address, setup.server.last_address);
        for _ in 0..10 {
            setup.server.get("/hello.txt").expect(200);
            setup.client().ask(GET).expect(200);
        }
        // Each of the other port: 400, and an alert.
        let mut client = setup.server.connect();
        client
            .stream
            .write_all(&[22, 3, 1, 0, 5, 1, 0, 0, 1, 0])
            .unwrap();
        client.reply_to("").expect(400);
        let mut client = connect(setup.server.last_address);
        client.write_all(GET.as_bytes()).unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        assert_eq!(answer.first(), Some(&21));
        setup.server.signal("TERM");
        assert_eq!(setup.server.wait(), Some(0));
    }
}

#[test]
fn behind_a_proxy_that_is_named_the_header_comes_before_the_handshake() {
    for &spread in SPREADS {
        let options = [
            "--proxy-protocol-from",
            "127.0.0.1",
            "--threads",
            "2",
            "--spread",
            spread,
        ];
        let setup = https(&options);
        let header = "PROXY TCP6 2001:db8::7 2001:db8::1 56324 443\r\n";
        // Alone, in pieces, and in one segment with the ClientHello.
        for cut in [0, 10, header.len()] {
            let mut stream = connect(setup.server.address);
            let (start, rest) = header.split_at(cut);
            stream.write_all(start.as_bytes()).unwrap();
            let mut client = tls::client(stream, &setup.config(&VERSIONS));
            let mut hello = rest.as_bytes().to_vec();
            client.conn.write_tls(&mut hello).unwrap();
            client.sock.write_all(&hello).unwrap();
            let mut client = Client::new(client);
            client.ask(GET).expect(200);
            let line = setup.server.next_log_line();
            assert!(line.starts_with("2001:db8::7 - - ["), "{line}");
        }
        // Without it there is no handshake.
        let mut client = setup.client();
        assert!(
            client
                .stream
                .write_all(GET.as_bytes())
                .and_then(|()| client.stream.read(&mut [0]))
                .is_err()
        );
    }
}
