//! Other clients: curl, openssl and Python.

use std::{fs, process::Command};

use suites::{certificates::text, missing};

use super::{LAST, https, pattern};

#[test]
fn curl_agrees() {
    let setup = https(&[]);
    let file = setup.url("/hello.txt");
    for arguments in [
        &[][..],
        &["-k"],
        &["--tls-max", "1.2"],
        &["--tlsv1.3"],
        &["--http1.0"],
        &["--http1.1"],
        &["--http2"],
        &["--no-alpn"],
    ] {
        let Some(out) = setup.curls(&[arguments, &[&file]].concat()) else {
            return;
        };
        assert_eq!(out, b"hello, world", "{arguments:?}");
    }
    let many = vec![&*file; 50];
    let connects = ["-w", "%{num_connects}"];
    let out = setup.curls(&[&connects[..], &many].concat()).unwrap();
    let expected = format!("hello, world1{}", "hello, world0".repeat(49));
    assert_eq!(String::from_utf8(out).unwrap(), expected);
    for version in ["1.2", "1.3"] {
        let out = setup.curls(&["--tls-max", version, &setup.url("/large")]);
        assert!(out.unwrap() == pattern());
    }
    let range = setup.curls(&["-r", "0-4", &file]).unwrap();
    assert_eq!(range, b"hello");
    let code = "%{http_code} %{num_connects} %{url_effective}";
    let url = setup.url("/directory");
    fs::create_dir(setup.server.root.path().join("directory")).unwrap();
    let moved = setup
        .curls(&["-o", "/dev/null", "-L", "-w", code, &url])
        .unwrap();
    assert_eq!(String::from_utf8(moved).unwrap(), format!("200 1 {url}/"));
    let body = setup.server.root.path().join("large");
    for (extra, expected) in [
        (&[][..], "405"),
        (&["-H", "Expect:"], "405"),
        (
            &["-H", "Transfer-Encoding: chunked", "-H", "Expect:"],
            "413",
        ),
    ] {
        let upload = ["-o", "/dev/null", "-w", "%{http_code}", "-T", text(&body)];
        let out = setup.curls(&[&upload[..], extra, &[&setup.url("/x")]].concat());
        assert_eq!(out.unwrap(), expected.as_bytes(), "{extra:?}");
    }
    // Who does not know the authority is not served, and the server goes on.
    let stranger = setup.curl(&["--cacert", "/dev/null", &file]).unwrap();
    assert!(!stranger.status.success());
    setup.curls(&[&file]).unwrap();
}

#[test]
fn the_application_protocol_is_http_1_or_there_is_no_handshake() {
    let setup = https(&[]);
    for (offered, chosen) in [
        ("h2,http/1.1", "ALPN protocol: http/1.1"),
        ("http/1.0,http/1.1", "ALPN protocol: http/1.1"),
        ("http/1.0", "ALPN protocol: http/1.0"),
        ("h2", "no application protocol"),
        ("imap,xmpp-client", "no application protocol"),
    ] {
        for version in ["-tls1_2", "-tls1_3"] {
            let Some((_, said)) = setup.s_client(&[version, "-alpn", offered]) else {
                return;
            };
            assert!(said.contains(chosen), "{offered}: {said}");
        }
    }
}

#[test]
fn openssl_agrees_on_versions_and_resumes() {
    let setup = https(&["--threads", "2"]);
    let folder = tempfile::tempdir().unwrap();
    let session = folder.path().join("session");
    for (version, name) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let request = folder.path().join("request");
        fs::write(&request, LAST).unwrap();
        for (option, expected) in [("-sess_out", "New, "), ("-sess_in", "Reused, ")] {
            let address = format!("localhost:{}", setup.server.address.port());
            let mut openssl = Command::new("openssl");
            openssl
                .args(["s_client", "-connect", &address, version, "-ign_eof"])
                .args([option, text(&session)])
                .stdin(fs::File::open(&request).unwrap());
            let Ok(output) = openssl.output() else {
                return missing("openssl");
            };
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(
                said.contains(&format!("{expected}{name}")),
                "{version}: {said}"
            );
            assert!(said.contains("hello, world"), "{said}");
        }
    }
    for old in ["-tls1", "-tls1_1"] {
        let (done, said) = setup
            .s_client(&[old, "-cipher", "DEFAULT:@SECLEVEL=0"])
            .unwrap();
        assert!(!done && said.contains("alert "), "{said}");
    }
}

const PYTHON: &str = "
import socket, ssl, sys, urllib.request
port, authority = int(sys.argv[1]), sys.argv[2]
context = ssl.create_default_context(cafile=authority)
with urllib.request.urlopen(f'https://localhost:{port}/hello.txt', context=context) as answer:
    assert answer.read() == b'hello, world'
for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
    context.minimum_version = context.maximum_version = version
    plain = socket.create_connection(('localhost', port))
    stream = context.wrap_socket(plain, server_hostname='localhost')
    for last in (False, True):
        close = b'Connection: close\\r\\n' if last else b''
        stream.sendall(b'GET /hello.txt HTTP/1.1\\r\\nHost: a\\r\\n' + close + b'\\r\\n')
        answer = b''
        while not answer.endswith(b'hello, world'):
            answer += stream.recv(4096)
    # Raises if there is no close_notify.
    stream.suppress_ragged_eofs = False
    assert stream.recv(1) == b''
    stream.unwrap().close()
";

#[test]
fn python_agrees() {
    let setup = https(&[]);
    let port = setup.server.address.port().to_string();
    let mut python = Command::new("python3");
    python.args(["-c", PYTHON, &port, text(&setup.authority.file())]);
    if let Some(output) = setup.other(&mut python) {
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{err}");
    }
}
