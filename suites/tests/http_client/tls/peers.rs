//! Servers with TLS that are not the test's own.

use std::{net::TcpListener, path::Path, process::Command};

use suites::{
    certificates::{Authority, Certificate, text},
    program::{Ended, Program, eventually},
};

use crate::{assert_fails, fetch};

/// Whether a program is there, and why there is no test if it is not.
fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        suites::missing(program);
    }
    found
}

fn certificate(authority: &mut Authority) -> Certificate {
    authority.issue(&["127.0.0.1", "localhost"])
}

#[track_caller]
fn fetch_from(authority: &Authority, args: &[&str]) -> Ended {
    fetch(&[&["--cacert", text(&authority.file())], args].concat())
}

/// `openssl s_server` and its port.
fn openssl(certificate: &Certificate, folder: &Path, args: &[&str]) -> (Program, u16) {
    let mut command = Command::new("openssl");
    command
        .args(["s_server", "-accept", "127.0.0.1:0", "-cert"])
        .arg(&certificate.cert)
        .arg("-key")
        .arg(&certificate.key)
        .args(args)
        .current_dir(folder);
    let program = Program::start(&mut command);
    // "ACCEPT 127.0.0.1:43211"
    let line = eventually(|| Some(program.line()).filter(|line| line.starts_with("ACCEPT ")));
    let port = line.rsplit_once(':').unwrap().1.parse().unwrap();
    (program, port)
}

#[test]
fn openssls_server_is_understood_in_each_of_its_ways() {
    if !has("openssl") {
        return;
    }
    let mut authority = Authority::new();
    let certificate = certificate(&mut authority);
    let folder = tempfile::tempdir().unwrap();
    let body = "x".repeat(3_000_000);
    std::fs::write(folder.path().join("big.txt"), &body).unwrap();
    for args in [
        &["-WWW"][..],
        &["-WWW", "-tls1_2"],
        &[
            "-WWW",
            "-tls1_3",
            "-ciphersuites",
            "TLS_CHACHA20_POLY1305_SHA256",
        ],
        &["-WWW", "-num_tickets", "8"],
        &["-WWW", "-no_ticket"],
    ] {
        let (_server, port) = openssl(&certificate, folder.path(), args);
        let url = format!("https://localhost:{port}/big.txt");
        let ended = fetch_from(&authority, &["-o", "-", &url]);
        assert_eq!(ended.code, Some(0), "{args:?}: {}", ended.err);
        assert!(ended.out() == body, "{args:?}");
    }
    let (_server, port) = openssl(&certificate, folder.path(), &["-www"]);
    let url = format!("https://127.0.0.1:{port}/");
    let ended = fetch_from(&authority, &["-o", "-", &url]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.out().contains("TLSv1.3"), "{}", ended.out());
    let (_server, port) = openssl(
        &certificate,
        folder.path(),
        &["-www", "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"],
    );
    let url = format!("https://127.0.0.1:{port}/");
    let why = "failed: no version of TLS or no cipher suite in common: the server's alert ProtocolVersion";
    assert_fails(&fetch_from(&authority, &[&url]), &url, why);
}

/// Answers as the target says: whole or cut, with close_notify or without.
const PYTHON: &str = r#"
import socket, ssl, sys, threading
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
def serve(plain):
    stream = context.wrap_socket(plain, server_side=True)
    request = b""
    while not request.endswith(b"\r\n\r\n"):
        request += stream.recv(4096)
    target = request.split()[1].decode()
    head = {"length": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"}.get(target[1:7], b"HTTP/1.0 200 OK\r\n\r\n")
    stream.sendall(head + (b"hell" if "cut" in target else b"hello"))
    if "notify" in target:
        try:
            stream.unwrap()
        except (ssl.SSLError, OSError) as error:
            print(target, error, flush=True)
    else:
        # FIN alone, without close_notify.
        socket.socket.shutdown(stream, socket.SHUT_WR)
        try:
            while stream.recv(100): pass
            print(target, "ended", flush=True)
        except (ssl.SSLError, OSError) as error:
            print(target, error, flush=True)
    plain.close()
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"#;

#[test]
fn pythons_tls_may_end_the_connection_in_every_way() {
    if !has("python3") {
        return;
    }
    let mut authority = Authority::new();
    let certificate = certificate(&mut authority);
    let mut python = Command::new("python3");
    python.args([
        "-c",
        PYTHON,
        text(&certificate.cert),
        text(&certificate.key),
    ]);
    let python = Program::start(&mut python);
    let port = python.line();
    for (target, why) in [
        ("length", None),
        ("length-notify", None),
        ("close-notify", None),
        (
            "close",
            Some("connection cut before the end of the body, after 5 bytes"),
        ),
        (
            "length-cut",
            Some("connection cut after 4 of 5 bytes of the body"),
        ),
        (
            "length-cut-notify",
            Some("connection closed after 4 of 5 bytes of the body"),
        ),
    ] {
        let url = format!("https://localhost:{port}/{target}");
        let ended = fetch_from(&authority, &[&url]);
        match why {
            None => assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{target}"),
            Some(why) => assert_fails(&ended, &url, why),
        }
    }
    // The client's own end was proper, where the whole body had come.
    assert_eq!(python.line(), "/length ended");
}

#[test]
fn gnutls_server_is_understood() {
    if !has("gnutls-serv") {
        return;
    }
    let mut authority = Authority::new();
    let certificate = certificate(&mut authority);
    for priority in ["NORMAL", "NORMAL:-VERS-ALL:+VERS-TLS1.2"] {
        // It takes no port 0, or does not say which one it got.
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let mut command = Command::new("gnutls-serv");
        command
            .args(["--http", "--quiet", "--priority", priority, "--port"])
            .arg(port.to_string())
            .arg("--x509certfile")
            .arg(&certificate.cert)
            .arg("--x509keyfile")
            .arg(&certificate.key);
        let _server = Program::start(&mut command);
        let url = format!("https://localhost:{port}/");
        let ended = eventually(|| {
            let ended = fetch_from(&authority, &["-o", "-", &url]);
            (!ended.err.contains("Connection refused")).then_some(ended)
        });
        assert_eq!(ended.code, Some(0), "{priority}: {}", ended.err);
        assert!(ended.out().contains("GnuTLS"), "{}", ended.out());
    }
}
