//! STARTTLS by the example `starttls`, whose protocol is the first steps of SMTP: other implementations upgrade, and what
//! is smuggled in ahead of the handshake is never answered.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
};

use rustls::version;
use suites::{
    certificates::{Certificate, text},
    others::{Talk, run, tool},
    victim::Victim,
};

use crate::{
    certificate::CERTIFICATES,
    client::{self, Hostile, connect, rest},
};

fn start() -> Victim {
    let Certificate { cert, key } = &CERTIFICATES.first;
    let tls = ["--tls-cert", text(cert), "--tls-key", text(key)];
    Victim::start("starttls", &[&["serve", "--port", "0"], &tls[..]].concat())
}

/// Reads lines up to the last of a reply: `250 …` and not `250-…`.
fn reply(stream: &mut impl Read) -> String {
    let mut all = String::new();
    loop {
        let begin = all.len();
        while !all[begin..].ends_with('\n') {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            all.push(char::from(byte[0]));
        }
        if all.as_bytes()[begin + 3] == b' ' {
            return all;
        }
    }
}

/// A connection that has said EHLO.
fn greeted(to: SocketAddr) -> TcpStream {
    let mut stream = connect(to);
    assert!(reply(&mut stream).starts_with("220 "));
    stream.write_all(b"EHLO client.example\r\n").unwrap();
    assert!(reply(&mut stream).contains("STARTTLS"));
    stream
}

#[test]
fn openssl_swaks_and_python_upgrade() {
    let victim = start();
    let mark = victim.mark();
    let authority = CERTIFICATES.authority();
    let port = victim.address.port().to_string();
    for version in ["-tls1_2", "-tls1_3"] {
        let Some(mut openssl) = tool("openssl") else {
            break;
        };
        openssl.args(["s_client", "-connect", &victim.address.to_string(), version]);
        openssl.args(["-starttls", "smtp", "-crlf", "-CAfile", &authority]);
        openssl.args(["-verify_return_error", "-verify_hostname", "localhost"]);
        let mut talk = Talk::start(&mut openssl);
        talk.hears("Verify return code: 0");
        talk.say(b"EHLO client.example\n");
        talk.hears("250");
        talk.say(b"quit\n");
        talk.hears("221");
        let said = talk.end();
        assert_eq!(said.code, Some(0), "{said:?}");
    }
    if let Some(mut python) = tool("python3") {
        let program = "import smtplib, ssl, sys\n\
            client = smtplib.SMTP('localhost', int(sys.argv[1]), timeout=20)\n\
            client.ehlo()\n\
            assert client.has_extn('starttls')\n\
            client.starttls(context=ssl.create_default_context(cafile=sys.argv[2]))\n\
            client.ehlo()\n\
            assert not client.has_extn('starttls')\n\
            assert client.noop()[0] == 250\n\
            client.quit()\n\
            print('all is well')\n";
        let said = run(python.args(["-c", program, &port, &authority]), b"");
        assert!(said.all.contains("all is well"), "{said:?}");
    }
    if let Some(mut swaks) = tool("swaks") {
        swaks.args(["--server", "localhost", "--port", &port, "--tls"]);
        swaks.args(["--tls-verify", "--tls-ca-path", &authority]);
        swaks.args(["--quit-after", "EHLO"]);
        let said = run(&mut swaks, b"");
        // swaks cannot do without a module of Perl that Debian only recommends.
        if said.all.contains("TLS not available") {
            suites::skip("swaks has no TLS here");
        } else {
            let is_well = said.code == Some(0) && said.all.contains("TLS started");
            assert!(is_well, "{said:?}");
        }
    }
    if let Some(mut gnutls) = tool("gnutls-cli") {
        gnutls.args(["--x509cafile", &authority, "--port", &port]);
        gnutls.args(["--starttls-proto=smtp", "localhost"]);
        let mut talk = Talk::start(&mut gnutls);
        talk.hears("Simple Client Mode");
        talk.say(b"QUIT\r\n");
        talk.hears("221");
        talk.end();
    }
    victim.is_as_at(&mark);
    victim.ends_well();
}

#[test]
fn a_command_behind_starttls_in_its_segment_is_never_answered() {
    let victim = start();
    let mark = victim.mark();
    let segments: [&[u8]; 5] = [
        b"STARTTLS\r\nNOOP\r\n",
        b"STARTTLS\r\nEHLO a\r\nNOOP\r\nQUIT\r\n",
        b"STARTTLS\r\n\r\n",
        b"STARTTLS\r\nN",
        b"NOOP\r\nSTARTTLS\r\nNOOP\r\n",
    ];
    for segment in segments {
        for split in [segment.len(), 10, 11, 5] {
            let mut stream = greeted(victim.address);
            let (head, tail) = segment.split_at(split.min(segment.len()));
            stream.write_all(head).unwrap();
            stream.write_all(tail).unwrap();
            let _ = stream.shutdown(Shutdown::Write);
            let answer = rest(&mut stream);
            let text = answer.escape_ascii();
            // One reply to what stands before, `220`, and then nothing but an alert.
            let at = memchr::memmem::find(&answer, b"220 ").unwrap_or_else(|| panic!("{text}"));
            let end = at + memchr::memchr(b'\n', &answer[at..]).unwrap() + 1;
            let behind = &answer[end..];
            assert!(behind.is_empty() || behind[0] == 21, "{text}");
            let replies = memchr::memmem::find_iter(&answer, b"\r\n").count();
            assert_eq!(
                replies,
                1 + usize::from(segment.starts_with(b"NOOP")),
                "{text}"
            );
        }
    }
    victim.is_as_at(&mark);
    victim.ends_well();
}

#[test]
fn a_client_hello_may_share_the_segment_and_what_was_said_in_clear_is_forgotten() {
    let victim = start();
    let mark = victim.mark();
    let config = client::config(&[&version::TLS12, &version::TLS13]);
    for together in [true, false] {
        let stream = greeted(victim.address);
        let mut client = Hostile::on(stream, &config);
        let mut segment = b"STARTTLS\r\n".to_vec();
        if together {
            segment.extend(client.flight());
        }
        client.stream.write_all(&segment).unwrap();
        assert!(reply(&mut client.stream).starts_with("220 "));
        client.shake();
        let mut tls = rustls::StreamOwned::new(client.tls, client.stream);
        // EHLO has to be said anew.
        tls.write_all(b"STARTTLS\r\n").unwrap();
        let answer = reply(&mut tls);
        assert!(answer.starts_with('5'), "{answer}");
        tls.write_all(b"EHLO client.example\r\n").unwrap();
        let answer = reply(&mut tls);
        assert!(
            answer.starts_with("250") && !answer.contains("STARTTLS"),
            "{answer}"
        );
        // Several commands in one record are one after the other.
        tls.write_all(b"NOOP\r\nNOOP\r\nQUIT\r\n").unwrap();
        for expected in ["250 ", "250 ", "221 "] {
            let answer = reply(&mut tls);
            assert!(answer.starts_with(expected), "{answer}");
        }
    }
    victim.is_as_at(&mark);
    victim.ends_well();
}

#[test]
fn half_a_terminator_from_before_is_no_part_of_what_comes_sealed() {
    let victim = start();
    let config = client::config(&[&version::TLS13]);
    let stream = greeted(victim.address);
    let mut client = Hostile::on(stream, &config);
    client.stream.write_all(b"STARTTLS\r\n").unwrap();
    assert!(reply(&mut client.stream).starts_with("220 "));
    client.shake();
    let mut tls = rustls::StreamOwned::new(client.tls, client.stream);
    for part in ["\n", "NO", "OP\r", "\n"] {
        tls.write_all(part.as_bytes()).unwrap();
        tls.flush().unwrap();
    }
    // The line is "\nNOOP", which is no command, or a whole one: never two replies.
    let first = reply(&mut tls);
    tls.write_all(b"QUIT\r\n").unwrap();
    let second = reply(&mut tls);
    assert!(second.starts_with("221 "), "{first} {second}");
    victim.ends_well();
}
