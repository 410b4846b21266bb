//! HTTPS: protocols, other clients, ends, limits, and what is no TLS.

use std::{
    fs,
    io::{Read, Write},
    process::{Command, Output, Stdio},
    sync::Arc,
};

use rustls::{ClientConfig, ProtocolVersion};
use suites::{
    certificates::{Authority, Certificate, text},
    missing, program,
    tls::{self, VERSIONS},
    web_server::{Client, DEADLINE, Server, connect, serve},
};

const GET: &str = "GET /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n";
const LAST: &str = "GET /hello.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
/// More than sockets hold.
const LARGE: usize = 20_000_000;

mod clients;
mod ends;
mod entrances;
mod limits;

struct Setup {
    server: Server,
    authority: Authority,
}

/// With `/large`, `LARGE` bytes that do not repeat soon.
fn https(options: &[&str]) -> Setup {
    let mut authority = Authority::new();
    let Certificate { cert, key } = authority.issue(&["localhost"]);
    let tls = ["--tls-cert", text(&cert), "--tls-key", text(&key)];
    let server = serve(&[&tls, options].concat(), |root| {
        fs::write(root.join("large"), pattern()).unwrap();
    });
    Setup { server, authority }
}

fn pattern() -> Vec<u8> {
    (0..LARGE as u32 / 4).flat_map(u32::to_be_bytes).collect()
}

impl Setup {
    fn config(&self, versions: &[ProtocolVersion]) -> Arc<ClientConfig> {
        tls::trusting(&self.authority.file(), versions)
    }

    fn client(&self) -> Client<tls::Client> {
        self.client_with(&self.config(&VERSIONS))
    }

    fn client_with(&self, config: &Arc<ClientConfig>) -> Client<tls::Client> {
        Client::new(tls::client(connect(self.server.last_address), config))
    }

    fn url(&self, path: &str) -> String {
        format!(
            "https://localhost:{}{path}",
            self.server.last_address.port()
        )
    }

    /// Runs another client. `None` without it.
    fn other(&self, command: &mut Command) -> Option<Output> {
        let name = command.get_program().to_string_lossy().into_owned();
        match command.stdin(Stdio::null()).output() {
            Ok(output) => Some(output),
            Err(_) => {
                missing(name);
                None
            }
        }
    }

    /// Runs curl, which trusts the authority.
    fn curl(&self, arguments: &[&str]) -> Option<Output> {
        let file = self.authority.file();
        let mut curl = Command::new("curl");
        let deadline = DEADLINE.as_secs().to_string();
        curl.args(["-sS", "--max-time", &deadline, "--cacert", text(&file)]);
        self.other(curl.args(arguments))
    }

    /// What curl writes, if it is content.
    #[track_caller]
    fn curls(&self, arguments: &[&str]) -> Option<Vec<u8>> {
        let output = self.curl(arguments)?;
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {err}");
        Some(output.stdout)
    }

    /// Runs `openssl s_client`, and gives all that it has to say.
    fn s_client(&self, arguments: &[&str]) -> Option<(bool, String)> {
        let address = format!("localhost:{}", self.server.last_address.port());
        let mut openssl = Command::new("openssl");
        openssl.args(["s_client", "-connect", &address]);
        let output = self.other(openssl.args(arguments))?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        Some((output.status.success(), text))
    }
}

#[test]
fn requests_over_both_versions_are_answered_like_plain_ones() {
    let setup = https(&[]);
    let large = pattern();
    for version in VERSIONS {
        let mut client = setup.client_with(&setup.config(&[version]));
        for _ in 0..3 {
            let reply = client.ask(GET).expect(200);
            assert_eq!(reply.text(), "hello, world");
            assert!(!reply.closes());
        }
        assert_eq!(client.stream.conn.protocol_version(), Some(version));
        let whole = client.ask("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(whole.expect(200).body == large);
        // Several at once, a large one among them.
        let part = "GET /large HTTP/1.1\r\nHost: a\r\nRange: bytes=1000-2000000\r\n\r\n";
        client.send(&[GET, part, GET].concat());
        client.reply_to(GET).expect(200);
        assert!(client.reply_to(part).expect(206).body == large[1000..=2_000_000]);
        client.reply_to(GET).expect(200);
        client.ask(LAST).expect(200);
        // A close_notify, or this is an error.
        assert_eq!(client.rest(), b"");
    }
}

#[test]
fn one_byte_at_a_time_is_enough() {
    let setup = https(&[]);
    let mut client = setup.client();
    // The handshake too, on a wire that carries single bytes.
    let mut wire = Vec::new();
    while client.stream.conn.is_handshaking() {
        wire.clear();
        client.stream.conn.write_tls(&mut wire).unwrap();
        for byte in &wire {
            client.stream.sock.write_all(&[*byte]).unwrap();
        }
        if client.stream.conn.wants_read() {
            client
                .stream
                .conn
                .read_tls(&mut client.stream.sock)
                .unwrap();
            client.stream.conn.process_new_packets().unwrap();
        }
    }
    client
        .stream
        .conn
        .writer()
        .write_all(GET.as_bytes())
        .unwrap();
    wire.clear();
    while client.stream.conn.wants_write() {
        client.stream.conn.write_tls(&mut wire).unwrap();
    }
    for byte in &wire {
        client.stream.sock.write_all(&[*byte]).unwrap();
    }
    client.reply_to(GET).expect(200);
}

#[test]
fn a_target_may_name_scheme_and_host_and_a_redirect_names_neither() {
    let setup = https(&[]);
    fs::create_dir(setup.server.root.path().join("directory")).unwrap();
    let mut client = setup.client();
    for scheme in ["https", "http"] {
        let request =
            format!("GET {scheme}://localhost/hello.txt HTTP/1.1\r\nHost: localhost\r\n\r\n");
        client.ask(&request).expect(200);
        let request =
            format!("GET {scheme}://localhost/directory HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let moved = client.ask(&request).expect(301);
        assert_eq!(moved.header("Location"), Some("/directory/"));
    }
}

#[test]
fn a_log_in_the_format_tls_and_the_status_page_say_how_connections_are_protected() {
    let setup = https(&["--tls-port", "0", "--log-format", "tls", "--status"]);
    setup.server.get("/hello.txt").expect(200);
    let line = setup.server.next_log_line();
    assert!(line.ends_with(" 200 12 \"-\" \"-\" - -"), "{line}");
    for (version, name) in [
        (
            ProtocolVersion::TLSv1_2,
            "TLSv1.2 TLS_ECDHE_ECDSA_WITH_AES_",
        ),
        (ProtocolVersion::TLSv1_3, "TLSv1.3 TLS_AES_"),
    ] {
        let mut client = setup.client_with(&setup.config(&[version]));
        for (request, status) in [
            (GET, " 200 12 "),
            ("GET /large HTTP/1.1\r\nHost: a\r\n\r\n", " 200 20000000 "),
            ("GET / HTTP/3\r\n\r\n", " 400 "),
        ] {
            client.ask(request);
            let line = setup.server.next_log_line();
            assert!(line.contains(status), "{line}");
            assert!(line.contains(&format!("\"-\" \"-\" {name}")), "{line}");
        }
    }
    let mut client = connect(setup.server.last_address);
    client.write_all(b"garbage is what this is").unwrap();
    client.read_to_end(&mut Vec::new()).unwrap();
    // Until then the server lingers, and the end of the connection is to come.
    drop(client);
    let mut client = setup.client();
    program::eventually(|| {
        let page = client.ask("GET /-/status HTTP/1.1\r\nHost: a\r\n\r\n");
        let tiles = [
            "<b>2</b>over TLS 1.3",
            "<b>1</b>over TLS 1.2",
            "<b>1</b>failed handshakes",
        ];
        tiles
            .iter()
            .all(|tile| page.text().contains(tile))
            .then_some(())
    });
}
