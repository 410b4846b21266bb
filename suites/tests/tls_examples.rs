//! `tls_echo` and `starttls` as processes, against openssl, Python, and peers that lie.

#![allow(clippy::unwrap_used, reason = "the helpers of a test are part of it")]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    process::{Command, Stdio},
    sync::Arc,
    thread,
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use suites::{
    certificates::{Authority, text},
    program::{self, DEADLINE, Ended, Program, is_timeout, run},
    web_server::QUIET,
};

/// The files of a certificate and of its key.
struct Files {
    cert: String,
    key: String,
}

fn certificate(authority: &mut Authority) -> Files {
    let issued = authority.issue(&["127.0.0.1", "localhost"]);
    Files {
        cert: text(&issued.cert).into(),
        key: text(&issued.key).into(),
    }
}

fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        suites::missing(program);
    }
    found
}

/// What a program says to input of its own.
#[track_caller]
fn talk(command: &mut Command, input: &[u8]) -> (Option<i32>, Vec<u8>) {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // It may end without having read all.
    let writer = thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    let _ = writer.join().unwrap();
    (output.status.code(), output.stdout)
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

fn client_config(authority: &Authority) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_file(authority.file()).unwrap();
    roots.add(root).unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots);
    Arc::new(config.with_no_client_auth())
}

fn client(authority: &Authority) -> ClientConnection {
    let name = ServerName::try_from("localhost").unwrap();
    ClientConnection::new(client_config(authority), name).unwrap()
}

mod echo {
    use super::*;

    fn serve(certificate: &Files) -> (Program, SocketAddr) {
        // It prints the address as it is given: a port that is free now.
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let args = [&certificate.cert, &certificate.key, &address.to_string()];
        program::serve("tls_echo", &args.map(String::as_str))
    }

    #[test]
    fn what_is_sent_comes_back_in_both_versions() {
        let mut authority = Authority::new();
        let (_server, address) = serve(&certificate(&mut authority));
        let sent: String = (0..100_000).map(|n| format!("{n:07}\n")).collect();
        if has("openssl") {
            for version in ["-tls1_2", "-tls1_3"] {
                let mut openssl = Command::new("openssl")
                    .args(["s_client", "-connect", &address.to_string(), version])
                    .args(["-CAfile", text(&authority.file()), "-verify_return_error"])
                    .args(["-no_ign_eof", "-nocommands"])
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .stderr(Stdio::null())
                    .spawn()
                    .unwrap();
                let mut stdin = openssl.stdin.take().unwrap();
                stdin.write_all(b"hello\n").unwrap();
                let mut lines = BufReader::new(openssl.stdout.take().unwrap()).lines();
                assert!(lines.any(|line| line.unwrap() == "hello"), "{version}");
                drop(stdin);
                assert_eq!(openssl.wait().unwrap().code(), Some(0), "{version}");
            }
        }
        let mut stream = StreamOwned::new(client(&authority), connect(address));
        stream.write_all(sent.as_bytes()).unwrap();
        let mut back = vec![0; sent.len()];
        stream.read_exact(&mut back).unwrap();
        assert!(back == sent.as_bytes());
        stream.conn.send_close_notify();
        stream.flush().unwrap();
        // The server ends its own side, properly.
        assert_eq!(stream.read(&mut back).unwrap(), 0);
    }

    #[test]
    fn what_it_cannot_use_ends_it_with_an_error() {
        for args in [&[][..], &["missing.pem"], &["missing.pem", "missing.key"]] {
            let ended = run("tls_echo", args);
            assert_eq!(ended.code, Some(1), "{args:?}: {}", ended.err);
        }
    }
}

mod starttls {
    use super::*;

    const READY: &str = "220 2.0.0 go ahead\r\n";

    struct Server {
        program: Program,
        address: SocketAddr,
        authority: Authority,
    }

    fn serve() -> Server {
        let mut authority = Authority::new();
        let Files { cert, key } = certificate(&mut authority);
        let args = [
            "serve",
            "--port",
            "0",
            "--tls-cert",
            &cert,
            "--tls-key",
            &key,
        ];
        let (program, address) = program::serve("starttls", &args);
        Server {
            program,
            address,
            authority,
        }
    }

    /// A connection in clear, its greeting read.
    fn greeted(server: &Server) -> BufReader<TcpStream> {
        let mut stream = BufReader::new(connect(server.address));
        assert_eq!(line(&mut stream), "220 localhost ESMTP\r\n");
        stream
    }

    fn line(stream: &mut impl BufRead) -> String {
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        line
    }

    fn send(stream: &mut BufReader<TcpStream>, text: &str) {
        stream.get_mut().write_all(text.as_bytes()).unwrap();
    }

    fn rest(mut stream: impl Read) -> Vec<u8> {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        rest
    }

    #[test]
    fn openssl_and_pythons_smtplib_turn_to_tls() {
        let server = serve();
        let port = server.address.port().to_string();
        let file = server.authority.file();
        let file = text(&file);
        if has("openssl") {
            let mut openssl = Command::new("openssl");
            openssl
                .args([
                    "s_client",
                    "-starttls",
                    "smtp",
                    "-crlf",
                    "-quiet",
                    "-nocommands",
                ])
                .args(["-connect", &format!("127.0.0.1:{port}")])
                .args(["-CAfile", file, "-verify_return_error"]);
            let (_, out) = talk(&mut openssl, b"NOOP\nQUIT\n");
            let out = String::from_utf8(out).unwrap();
            assert!(
                out.ends_with("250 2.0.0 ok\r\n221 2.0.0 bye, stranger\r\n"),
                "{out}"
            );
        }
        if has("python3") {
            const SCRIPT: &str = "
import smtplib, ssl, sys
smtp = smtplib.SMTP('localhost', int(sys.argv[1]), timeout=20)
assert smtp.ehlo('before')[0] == 250
assert smtp.has_extn('starttls')
assert smtp.starttls(context=ssl.create_default_context(cafile=sys.argv[2]))[0] == 220
assert smtp.docmd('STARTTLS')[0] == 503
assert smtp.ehlo('after')[0] == 250
assert not smtp.has_extn('starttls')
assert smtp.noop()[0] == 250
assert smtp.mail('a@b')[0] == 502
print(smtp.quit()[1].decode())
";
            let mut python = Command::new("python3");
            let (code, out) = talk(python.args(["-c", SCRIPT, &port, file]), b"");
            assert_eq!(
                (code, out.as_slice()),
                (Some(0), &b"2.0.0 bye, after\n"[..])
            );
        }
        program::ends_well_when_terminated(server.program);
    }

    /// CVE-2011-0411 and all those after it.
    #[test]
    fn what_stands_behind_starttls_in_clear_is_never_answered() {
        let server = serve();
        for injected in [
            "NOOP\r\n",
            "N",
            "NOOP",
            "\r\n",
            "QUIT\r\nQUIT\r\n",
            &"NOOP\r\n".repeat(10_000),
        ] {
            let mut stream = greeted(&server);
            send(&mut stream, &format!("STARTTLS\r\n{injected}"));
            assert_eq!(line(&mut stream), READY);
            let mut tls = client(&server.authority);
            // With too few bytes for a record's head the server waits for the others: a handshake behind them fails.
            let mut hello = Vec::new();
            tls.write_tls(&mut hello).unwrap();
            let _ = stream.get_mut().write_all(&hello);
            let _ = stream.get_mut().shutdown(Shutdown::Write);
            let answer = rest(&mut stream);
            // An alert of level fatal, and nothing else.
            assert_eq!(
                answer.len(),
                7,
                "{injected:.9}: {:?}",
                answer.escape_ascii().to_string()
            );
            assert_eq!(answer[..6], [21, 3, 3, 0, 2, 2], "{injected:.9}");
        }
        program::ends_well_when_terminated(server.program);
    }

    #[test]
    fn a_client_hello_right_behind_starttls_is_answered() {
        let server = serve();
        let mut stream = greeted(&server);
        let mut tls = client(&server.authority);
        let mut first = b"EHLO before\r\nSTARTTLS\r\n".to_vec();
        tls.write_tls(&mut first).unwrap();
        stream.get_mut().write_all(&first).unwrap();
        for expected in ["250-localhost\r\n", "250 STARTTLS\r\n", READY] {
            assert_eq!(line(&mut stream), expected);
        }
        // `stream` may have read a part of the ServerHello.
        let mut ahead = stream.buffer();
        while !ahead.is_empty() {
            tls.read_tls(&mut ahead).unwrap();
            tls.process_new_packets().unwrap();
        }
        let mut secured = BufReader::new(StreamOwned::new(tls, stream.into_inner()));
        // What was said in clear is forgotten.
        secured.get_mut().write_all(b"QUIT\r\n").unwrap();
        let bye = rest(&mut secured);
        assert_eq!(bye, b"221 2.0.0 bye, stranger\r\n");
    }

    #[test]
    fn commands_in_clear_are_bounded() {
        let server = serve();
        let mut stream = greeted(&server);
        send(&mut stream, "starttls now\r\nfoo\r\n\r\nquit\r\n");
        let answers = rest(&mut stream);
        let expected = "501 5.5.4 no parameters\r\n502 5.5.1 no such command\r\n502 5.5.1 no such command\r\n\
                        221 2.0.0 bye, stranger\r\n";
        assert_eq!(String::from_utf8(answers).unwrap(), expected);
        let mut stream = greeted(&server);
        send(&mut stream, &"x".repeat(600));
        assert_eq!(rest(&mut stream), b"500 5.5.2 line too long\r\n");
        program::ends_well_when_terminated(server.program);
    }

    #[test]
    fn a_client_that_does_not_read_is_not_read_from() {
        let server = serve();
        let stream = greeted(&server).into_inner();
        stream.set_write_timeout(Some(QUIET)).unwrap();
        let commands = "NOOP\r\n".repeat(100_000);
        let mut sent = 0;
        let end = loop {
            match (&stream).write(&commands.as_bytes()[sent % 6..]) {
                Ok(n) => sent += n,
                Err(error) => break error,
            }
            assert!(sent < 100_000_000);
        };
        assert!(is_timeout(&end), "{end}");
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        let writer = stream.try_clone().unwrap();
        let finish = thread::spawn(move || {
            let rest = &b"NOOP\r\n"[sent % 6..];
            (&writer).write_all(&[if sent % 6 > 0 { rest } else { b"" }, b"QUIT\r\n"].concat())
        });
        let answers = rest(stream);
        finish.join().unwrap().unwrap();
        assert!(answers.ends_with(b"221 2.0.0 bye, stranger\r\n"));
        let answered = answers.len() / "250 2.0.0 ok\r\n".len();
        assert!(
            answered.abs_diff(sent / 6) <= 2,
            "{answered} of {sent} bytes"
        );
    }

    #[test]
    fn what_the_server_cannot_use_is_named() {
        let mut authority = Authority::new();
        let Files { cert, key } = certificate(&mut authority);
        let other = certificate(&mut authority);
        let tried = |cert: &str, key: &str| {
            run(
                "starttls",
                &["serve", "--port", "0", "--tls-cert", cert, "--tls-key", key],
            )
        };
        let swapped = format!("there is no certificate in {key}");
        let fits_not = format!("the key in {} is not that of ", other.key);
        for (ended, why) in [
            (
                tried("missing.pem", &key),
                "cannot read the certificate from missing.pem: ",
            ),
            (
                tried(&cert, "missing.key"),
                "cannot read the key from missing.key: ",
            ),
            (tried(&key, &cert), &swapped),
            (tried(&cert, &other.key), &fits_not),
        ] {
            assert_eq!(ended.code, Some(1), "{}", ended.err);
            let err = ended.err.strip_prefix("starttls: ").unwrap();
            assert!(err.starts_with(why), "{err}");
        }
    }

    #[track_caller]
    fn probe(authority: &Authority, address: SocketAddr, args: &[&str]) -> Ended {
        let port = address.port().to_string();
        let file = authority.file();
        let given = ["probe", "localhost", &port, "--cacert", text(&file)];
        run("starttls", &[&given, args].concat())
    }

    #[test]
    fn the_client_turns_to_tls() {
        let server = serve();
        let ended = probe(&server.authority, server.address, &[]);
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
        let shown = "S: 220 localhost ESMTP\nC: EHLO localhost\nS: 250-localhost\nS: 250 STARTTLS\nC: STARTTLS\n\
                     S: 220 2.0.0 go ahead\n-- TLSv1_3, TLS13_AES_256_GCM_SHA384\nC: EHLO localhost\n\
                     S: 250 localhost\nC: QUIT\nS: 221 2.0.0 bye, localhost\n";
        assert_eq!(ended.out(), shown);
        let other = Authority::new();
        let ended = probe(&other, server.address, &[]);
        let why = "starttls: localhost: TLS handshake with localhost failed: the certificate's issuer is unknown\n";
        assert_eq!((ended.code, ended.err.as_str()), (Some(1), why));
        // In clear it has said nothing more.
        assert!(
            ended.out().ends_with("S: 220 2.0.0 go ahead\n"),
            "{}",
            ended.out()
        );
    }

    #[test]
    fn the_client_warns_if_it_takes_any_certificate() {
        let server = serve();
        let port = server.address.port().to_string();
        let ended = run("starttls", &["probe", "127.0.0.1", &port, "--insecure"]);
        let warning = "starttls: warning: --insecure: no certificate is verified\n";
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), warning));
    }

    /// A server that says the next of `lines` after each line that it gets, the first at once; then `behind` it.
    fn scripted(
        lines: &'static [&'static str],
        behind: impl Fn(TcpStream) + Send + Sync + 'static,
    ) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = BufReader::new(stream.unwrap());
                for (n, text) in lines.iter().enumerate() {
                    if n > 0 {
                        line(&mut stream);
                    }
                    let _ = stream.get_mut().write_all(text.as_bytes());
                }
                behind(stream.into_inner());
            }
        });
        address
    }

    fn hold(mut stream: TcpStream) {
        while stream.read(&mut [0; 100]).is_ok_and(|n| n > 0) {}
    }

    #[test]
    fn a_server_that_does_not_turn_to_tls_is_an_error() {
        let authority = Authority::new();
        for (lines, why) in [
            (
                &["220 hi\r\n", "250-a\r\n250 SIZE\r\n"][..],
                "the server does not offer STARTTLS",
            ),
            (&["554 no\r\n"], "the server refuses: 554"),
            (
                &["220 hi\r\n", "250 STARTTLS\r\n", "454 4.7.0 not now\r\n"],
                "the server refuses: 454",
            ),
            (&["hi\r\n"], "that is no reply of SMTP"),
            (
                &["220 \u{1b}[2J\u{202e}\r\n", "500 \r\n"],
                "the server refuses: 500",
            ),
        ] {
            let ended = probe(&authority, scripted(lines, hold), &[]);
            let line = format!("starttls: localhost: {why}\n");
            assert_eq!((ended.code, &ended.err), (Some(1), &line));
            assert!(
                !ended.out().contains(['\u{1b}', '\u{202e}']),
                "{}",
                ended.out()
            );
        }
        let endless = scripted(&["220 hi\r\n"], |mut stream| {
            while stream.write_all(b"250-more\r\n").is_ok() {}
        });
        let ended = probe(&authority, endless, &[]);
        assert!(
            ended.err.contains("a reply of more than 100 lines"),
            "{}",
            ended.err
        );
        let ended = probe(&authority, scripted(&["220 hi\r\n"], drop), &[]);
        assert!(ended.err.contains("the connection ended"), "{}", ended.err);
        let ended = probe(&authority, scripted(&[], hold), &["--timeout", "1"]);
        assert!(
            ended.err.contains("the server was silent for 1s"),
            "{}",
            ended.err
        );
        let mute = scripted(&["220 hi\r\n", "250 STARTTLS\r\n", "220 go\r\n"], hold);
        let ended = probe(&authority, mute, &["--timeout", "1"]);
        assert!(ended.err.contains("failed: timed out"), "{}", ended.err);
    }

    #[test]
    fn what_stands_behind_the_servers_go_ahead_in_clear_is_never_taken() {
        let mut authority = Authority::new();
        let Files { cert, key } = certificate(&mut authority);
        let chain = CertificateDer::pem_file_iter(cert).unwrap();
        let chain = chain.collect::<Result<_, _>>().unwrap();
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(chain, PrivateKeyDer::from_pem_file(key).unwrap());
        let config = Arc::new(config.unwrap());
        for behind in ["250 injected\r\n", "2", "250-injected"] {
            let lines: [&str; 3] = ["220 hi\r\n", "250 STARTTLS\r\n", "220 go\r\n"];
            let mut lines = lines.map(String::from).to_vec();
            lines[2] += behind;
            let lines: Vec<&'static str> = lines.into_iter().map(|line| &*line.leak()).collect();
            let config = config.clone();
            let address = scripted(lines.leak(), move |stream| {
                // It goes on as a good one.
                let tls = ServerConnection::new(config.clone()).unwrap();
                let mut stream = StreamOwned::new(tls, stream);
                let _ = stream.write_all(b"250 hello\r\n");
                hold(stream.sock);
            });
            let ended = probe(&authority, address, &[]);
            assert_eq!(ended.code, Some(1), "{}", ended.out());
            let why =
                "TLS handshake with localhost failed: the server does not speak TLS on this port";
            assert!(ended.err.contains(why), "{}", ended.err);
            assert!(!ended.out().contains("injected"), "{}", ended.out());
            assert!(ended.out().ends_with("S: 220 go\n"), "{}", ended.out());
        }
    }
}
