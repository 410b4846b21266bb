//! TLS to clients, to the target, and both.

use std::{
    fs,
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    process::Command,
    sync::Arc,
    thread,
};

use rustls::{
    ClientConfig,
    pki_types::{CertificateDer, pem::PemObject},
};
use suites::{
    certificates::{Authority, Certificate, text},
    lacks, missing,
    program::{self, Program, eventually, serve},
    tls::{self, VERSIONS},
    web_server,
};
use util::peer::tells_resets;

use super::{assert_ends, connect, patient, pattern, reset};

/// Which side speaks TLS: clients, the target.
type Sides = [bool; 2];

const SIDES: [Sides; 3] = [[true, false], [false, true], [true, true]];

struct Setup {
    program: Program,
    address: SocketAddr,
    upstream: TcpListener,
    authority: Authority,
    pair: Certificate,
    sides: Sides,
}

fn proxy(sides: Sides) -> Setup {
    proxy_with(sides, &[])
}

fn proxy_with(sides: Sides, args: &[&str]) -> Setup {
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = format!("localhost:{}", upstream.local_addr().unwrap().port());
    let mut authority = Authority::new();
    let pair = authority.issue(&["localhost"]);
    let file = authority.file();
    let mut all = vec!["--listen", "127.0.0.1:0", "--to", to.as_str()];
    if sides[0] {
        all.extend(["--tls-cert", text(&pair.cert), "--tls-key", text(&pair.key)]);
    }
    if sides[1] {
        all.extend(["--to-tls", "--cacert", text(&file)]);
    }
    all.extend(args);
    let (program, address) = serve("tcp_proxy", &all);
    Setup {
        program,
        address,
        upstream,
        authority,
        pair,
        sides,
    }
}

/// An end of a proxied connection.
enum Peer {
    Plain(TcpStream),
    Client(Box<tls::Client>),
    Server(Box<tls::Server>),
}

impl Peer {
    fn io(&mut self) -> &mut dyn Stream {
        match self {
            Self::Plain(stream) => stream,
            Self::Client(stream) => &mut **stream,
            Self::Server(stream) => &mut **stream,
        }
    }

    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Client(stream) => &stream.sock,
            Self::Server(stream) => &stream.sock,
        }
    }

    fn into_socket(self) -> TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Client(stream) => stream.sock,
            Self::Server(stream) => stream.sock,
        }
    }

    fn is_tls(&self) -> bool {
        !matches!(self, Self::Plain(_))
    }

    /// Ends the output, as TLS has it.
    fn end(&mut self) {
        match self {
            Self::Plain(_) => {}
            Self::Client(stream) => stream.conn.send_close_notify(),
            Self::Server(stream) => stream.conn.send_close_notify(),
        }
        self.io().flush().unwrap();
        self.cut();
    }

    /// Ends the output, and not as TLS has it.
    fn cut(&mut self) {
        self.socket().shutdown(Shutdown::Write).unwrap();
    }

    /// All up to the end, which is an error without a close_notify.
    fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut received = Vec::new();
        self.io().read_to_end(&mut received)?;
        Ok(received)
    }

    #[track_caller]
    fn reads(&mut self, expected: &[u8]) {
        let mut buffer = vec![0; expected.len()];
        self.io().read_exact(&mut buffer).unwrap();
        assert!(buffer == expected);
    }
}

trait Stream: Read + Write {}
impl<S: Read + Write> Stream for S {}

impl Setup {
    fn config(&self) -> Arc<ClientConfig> {
        tls::trusting(&self.authority.file(), &VERSIONS)
    }

    fn client(&self) -> Peer {
        let stream = connect(self.address);
        match self.sides[0] {
            true => Peer::Client(Box::new(tls::client(stream, &self.config()))),
            false => Peer::Plain(stream),
        }
    }

    fn server(&self) -> Peer {
        let stream = patient(self.upstream.accept().unwrap().0);
        match self.sides[1] {
            true => Peer::Server(Box::new(tls::server(stream, &self.pair))),
            false => Peer::Plain(stream),
        }
    }

    /// A client and the target's end of its connection, behind their handshakes.
    fn pair(&self) -> [Peer; 2] {
        let mut pair = [self.client(), self.server()];
        for peer in &mut pair {
            match peer {
                Peer::Plain(_) => {}
                Peer::Client(stream) => drop(stream.conn.complete_io(&mut stream.sock).unwrap()),
                Peer::Server(stream) => drop(stream.conn.complete_io(&mut stream.sock).unwrap()),
            }
        }
        pair
    }
}

/// Once with the client as the first, once with the target.
fn in_both_orders(setup: &Setup, mut test: impl FnMut(Peer, Peer)) {
    for swapped in [false, true] {
        let [client, server] = setup.pair();
        match swapped {
            false => test(client, server),
            true => test(server, client),
        }
    }
}

#[test]
fn bytes_pass_both_ways_and_a_close_notify_is_passed_on_as_an_end() {
    for sides in SIDES {
        let setup = proxy(sides);
        in_both_orders(&setup, |mut first, mut second| {
            first.io().write_all(b"question").unwrap();
            second.reads(b"question");
            second.io().write_all(b"to be continued").unwrap();
            first.reads(b"to be continued");
            first.io().write_all(b"all there is").unwrap();
            first.end();
            assert_eq!(second.rest().unwrap(), b"all there is", "{sides:?}");
            let answer = pattern(3_000_000);
            let sent = answer.clone();
            let writer = thread::spawn(move || {
                second.io().write_all(&sent).unwrap();
                second.end();
                second
            });
            assert!(first.rest().unwrap() == answer, "{sides:?}");
            drop(writer.join().unwrap());
        });
        program::ends_well_when_terminated(setup.program);
    }
}

/// A close_notify alone, without an end of the stream below.
#[test]
fn an_end_of_tls_needs_no_end_of_the_stream() {
    let setup = proxy([true, false]);
    let [client, mut server] = setup.pair();
    let Peer::Client(mut client) = client else {
        panic!("it speaks TLS");
    };
    client.write_all(b"question").unwrap();
    client.conn.send_close_notify();
    client.flush().unwrap();
    assert_eq!(server.rest().unwrap(), b"question");
    server.io().write_all(b"answer").unwrap();
    server.end();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"answer");
}

/// Somebody on the way may have cut it: the other end must not take a part for the whole.
#[test]
fn a_stream_that_is_cut_is_never_an_end_of_the_other() {
    // A side without TLS is told by a reset.
    if !tells_resets() {
        return;
    }
    for sides in SIDES {
        let setup = proxy(sides);
        for after_the_others_end in [false, true] {
            in_both_orders(&setup, |mut first, mut second| {
                if !first.is_tls() {
                    return;
                }
                if after_the_others_end {
                    second.io().write_all(b"an answer").unwrap();
                    second.end();
                    assert_eq!(first.rest().unwrap(), b"an answer");
                }
                first.io().write_all(b"a part").unwrap();
                second.reads(b"a part");
                first.cut();
                let error = second.rest().expect_err("no end");
                let kinds = [ErrorKind::ConnectionReset, ErrorKind::UnexpectedEof];
                assert!(kinds.contains(&error.kind()), "{sides:?}: {error}");
            });
        }
    }
}

#[test]
fn a_reset_is_never_an_end_of_the_other() {
    if !tells_resets() {
        return;
    }
    for sides in SIDES {
        let setup = proxy(sides);
        in_both_orders(&setup, |mut first, mut second| {
            first.io().write_all(b"last words").unwrap();
            second.reads(b"last words");
            reset(first.into_socket());
            second.rest().expect_err("no end");
        });
    }
}

#[test]
fn what_comes_before_the_handshake_of_the_target_is_not_lost() {
    let setup = proxy([true, true]);
    let mut client = setup.client();
    client.io().write_all(b"early").unwrap();
    client.end();
    let mut server = setup.server();
    assert_eq!(server.rest().unwrap(), b"early");
    server.io().write_all(b"late").unwrap();
    server.end();
    assert_eq!(client.rest().unwrap(), b"late");
}

/// The reader speaks TLS: what it does not read waits as plaintext, but for a few records.
// On Windows a write that has timed out leaves its socket in an indeterminate state (MSDN, `SO_SNDTIMEO`).
#[cfg(unix)]
#[test]
fn a_stalled_reader_costs_bounded_memory_and_loses_nothing() {
    use std::{sync::mpsc::channel, time::Duration};

    use suites::program::{DEADLINE, is_timeout};
    const SIZE: usize = 40_000_000;
    let data = pattern(SIZE);
    for sides in [[true, false], [false, true]] {
        let setup = proxy(sides);
        let [client, server] = setup.pair();
        let (mut reader, writer) = match sides[0] {
            true => (client, server),
            false => (server, client),
        };
        let before = setup.program.memory("VmHWM");
        let (stall, stalled) = channel();
        let mut writer = writer.into_socket();
        let timeout = Duration::from_millis(500);
        writer.set_write_timeout(Some(timeout)).unwrap();
        let sent = data.clone();
        let writing = thread::spawn(move || {
            let mut rest = &sent[..];
            while !rest.is_empty() {
                match writer.write(rest) {
                    Ok(n) => rest = &rest[n..],
                    Err(error) if is_timeout(&error) => {
                        writer.set_write_timeout(Some(DEADLINE)).unwrap();
                        stall.send(()).unwrap();
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            writer.shutdown(Shutdown::Write).unwrap();
            writer
        });
        stalled.recv_timeout(DEADLINE).expect("a standstill");
        assert!(reader.rest().unwrap() == data);
        drop(writing.join().unwrap());
        let grown = setup.program.memory("VmHWM").saturating_sub(before);
        eprintln!("{grown} KiB");
        assert!(grown < 4 * 1024, "{grown} KiB");
    }
}

#[test]
fn a_target_that_proves_to_be_another_gets_nothing_and_the_log_says_why() {
    let mut authority = Authority::new();
    let other = authority.issue(&["other.example"]);
    let mut unknown = Authority::new();
    let stranger = unknown.issue(&["localhost"]);
    let file = authority.file();
    let trust = ["--cacert", text(&file)];
    for (certificate, options, complaint) in [
        (
            &other,
            &["--to-tls"][..],
            Some(
                "no TLS with localhost: the certificate is not for localhost but for other.example",
            ),
        ),
        (&other, &["--to-tls", "other.example"], None),
        (
            &stranger,
            &["--to-tls"],
            Some("no TLS with localhost: the certificate's issuer is unknown"),
        ),
    ] {
        let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = format!("localhost:{}", upstream.local_addr().unwrap().port());
        let own = ["--listen", "127.0.0.1:0", "--to", &to];
        let (program, address) = serve("tcp_proxy", &[&own[..], options, &trust].concat());
        let mut client = connect(address);
        client.write_all(b"secret").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut server = tls::server(patient(upstream.accept().unwrap().0), certificate);
        let mut received = Vec::new();
        let heard = server.read_to_end(&mut received);
        match complaint {
            None => {
                heard.unwrap();
                assert_eq!(received, b"secret");
                server.conn.send_close_notify();
                server.flush().unwrap();
            }
            Some(_) => {
                heard.expect_err("an alert");
                assert_eq!(received, b"");
            }
        }
        assert_ends(&client);
        drop(server);
        program.signal("TERM");
        let ended = program.ended();
        assert_eq!(ended.code, Some(0));
        match complaint {
            None => assert_eq!(ended.err, ""),
            Some(complaint) => {
                assert_eq!(ended.err.lines().count(), 1, "{}", ended.err);
                assert!(ended.err.contains(complaint), "{}", ended.err);
            }
        }
    }
}

#[test]
fn insecure_takes_any_certificate_and_says_so() {
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = upstream.local_addr().unwrap().to_string();
    let own = [
        "--listen",
        "127.0.0.1:0",
        "--to",
        &to,
        "--to-tls",
        "--insecure",
    ];
    let (program, address) = serve("tcp_proxy", &own);
    let mut client = connect(address);
    client.write_all(b"hello").unwrap();
    let mut unknown = Authority::new();
    let certificate = unknown.issue(&["other.example"]);
    let mut server = tls::server(patient(upstream.accept().unwrap().0), &certificate);
    let mut heard = [0; 5];
    server.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"hello");
    drop((client, server));
    program.signal("TERM");
    let ended = program.ended();
    assert!(
        ended.err.contains("no certificate is verified"),
        "{}",
        ended.err
    );
    assert_eq!(
        (ended.code, ended.err.lines().count()),
        (Some(0), 1),
        "{}",
        ended.err
    );
}

#[test]
fn a_handshake_that_fails_or_does_not_end_ends_both_connections() {
    for sides in SIDES {
        let setup = proxy_with(sides, &["--connect-timeout", "0.5"]);
        // No TLS at all, and nothing at all.
        for said in [&b"GET / HTTP/1.0\r\n\r\n"[..], b""] {
            let mut client = connect(setup.address);
            let mut server = patient(setup.upstream.accept().unwrap().0);
            let bad = if sides[0] { &mut client } else { &mut server };
            bad.write_all(said).unwrap();
            assert_ends(&client);
            assert_ends(&server);
        }
        // And the next one is served.
        let [mut client, mut server] = setup.pair();
        client.io().write_all(b"hello").unwrap();
        server.reads(b"hello");
    }
}

/// Anybody can do it, as often as they like: no line, unless lines about connections are asked for.
#[test]
fn a_client_that_breaks_tls_is_a_line_of_the_level_info() {
    let mut authority = Authority::new();
    let pair = authority.issue(&["localhost"]);
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = upstream.local_addr().unwrap().to_string();
    let own = ["--tls-cert", text(&pair.cert), "--tls-key", text(&pair.key)];
    for level in [None, Some("info")] {
        let mut command = program::example("tcp_proxy");
        command
            .args(["--listen", "127.0.0.1:0", "--to", &to])
            .args(own);
        command.envs(level.map(|level| ("RUST_LOG", level)));
        let program = Program::start(&mut command);
        let line = program.line();
        let mut words = line.split([' ', ',']);
        let address = words.find_map(|word| word.parse().ok()).unwrap();
        let config = tls::trusting(&authority.file(), &VERSIONS);
        let mut client = tls::client(connect(address), &config);
        client.conn.complete_io(&mut client.sock).unwrap();
        let server = patient(upstream.accept().unwrap().0);
        // A record that is not sealed.
        client.sock.write_all(&[23, 3, 3, 0, 32]).unwrap();
        client.sock.write_all(&[0; 32]).unwrap();
        assert_ends(&server);
        assert_ends(&client.sock);
        // And one that never speaks TLS.
        let mut scanner = connect(address);
        scanner.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        assert_ends(&upstream.accept().unwrap().0);
        assert_ends(&scanner);
        program.signal("TERM");
        let ended = program.ended();
        assert_eq!(ended.code, Some(0));
        let lines: Vec<_> = ended.err.lines().collect();
        if level.is_none() {
            assert!(lines.is_empty(), "{lines:?}");
        }
        let failures = lines.iter().filter(|line| line.contains(" failed: "));
        assert_eq!(
            failures.count(),
            if level.is_some() { 2 } else { 0 },
            "{lines:?}"
        );
        assert!(
            lines.iter().all(|line| line.contains(" INFO ")),
            "{lines:?}"
        );
    }
}

#[test]
fn a_hangup_gives_new_clients_the_new_certificate() {
    if cfg!(windows) {
        return lacks("Windows has no SIGHUP");
    }
    let mut setup = proxy([true, false]);
    let [mut client, mut server] = setup.pair();
    let new = setup.authority.issue(&["localhost"]);
    fs::copy(&new.cert, &setup.pair.cert).unwrap();
    fs::copy(&new.key, &setup.pair.key).unwrap();
    setup.program.signal("HUP");
    let der = CertificateDer::from_pem_file(&new.cert).unwrap();
    eventually(|| {
        let [Peer::Client(client), _] = setup.pair() else {
            panic!("it speaks TLS");
        };
        (client.conn.peer_certificates().unwrap()[0] == der).then_some(())
    });
    client.io().write_all(b"still there").unwrap();
    server.reads(b"still there");
}

#[test]
fn http_client_and_curl_get_a_file_of_a_plain_server_and_of_one_behind_tls_over_tls() {
    let mut authority = Authority::new();
    let Certificate { cert, key } = authority.issue(&["localhost"]);
    let file = authority.file();
    let own = ["--tls-cert", text(&cert), "--tls-key", text(&key)];
    let large = pattern(5_000_000);
    for secure in [false, true] {
        let server = web_server::serve(if secure { &own } else { &[] }, |root| {
            fs::write(root.join("large"), &large).unwrap();
        });
        let to = format!("localhost:{}", server.address.port());
        let mut args = vec!["--listen", "127.0.0.1:0", "--to", &to];
        args.extend(own);
        if secure {
            args.extend(["--to-tls", "--cacert", text(&file)]);
        }
        let (program, address) = serve("tcp_proxy", &args);
        let url = format!("https://localhost:{}/large", address.port());
        let folder = tempfile::tempdir().unwrap();
        let saved = folder.path().join("saved");
        let to_file = ["--cacert", text(&file), "-o", text(&saved), &url];
        let ended = program::run("http_client", &to_file);
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        assert!(fs::read(&saved).unwrap() == large);
        let deadline = suites::program::DEADLINE.as_secs().to_string();
        let mut curl = Command::new("curl");
        curl.args([
            "-sS",
            "--max-time",
            &deadline,
            "--cacert",
            text(&file),
            &url,
            &url,
        ]);
        let Ok(output) = curl.output() else {
            return missing("curl");
        };
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{err}");
        assert!(output.stdout == [&large[..], &large].concat());
        program::ends_well_when_terminated(program);
    }
}

#[test]
fn wrong_options_are_one_line() {
    let to = ["--listen", "127.0.0.1:0", "--to", "localhost:1"];
    for (args, code) in [
        (&["--insecure"][..], 2),
        (&["--cacert", "x"], 2),
        (&["--to-tls", "a", "--insecure", "--cacert", "x"], 2),
        (&["--tls-cert", "x"], 2),
        (&["--tls-cert", "x", "--tls-key", "y"], 1),
        (&["--to-tls", "--cacert", "/nowhere"], 1),
        (&["--to-tls", "not a name", "--cacert", "/nowhere"], 1),
    ] {
        let ended = program::run("tcp_proxy", &[&to, args].concat());
        let lines = ended.err.lines().count();
        assert_eq!(
            (ended.code, lines),
            (Some(code), 1),
            "{args:?}: {}",
            ended.err
        );
    }
    let file = Authority::new();
    let authority = file.file();
    let args = ["--to-tls", "not a name", "--cacert", text(&authority)];
    let ended = program::run("tcp_proxy", &[&to[..], &args].concat());
    assert!(ended.err.contains("not a name"), "{}", ended.err);
}
