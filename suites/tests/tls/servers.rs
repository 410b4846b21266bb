//! `http_client` talks with the servers of other implementations, and with one that means harm.

use std::{
    io::Write,
    net::{SocketAddr, TcpListener},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use suites::{
    certificates::{Certificate, text},
    others::{Said, Server, free_address, python_with_tlslite, run, tool},
    program,
    victim::Victim,
    web_server,
};

use crate::{certificate::CERTIFICATES, client::rest, script, thorough};

/// The limit on what it maps, in KiB: more than it needs, and less than a flood brings.
const MEMORY: &str = "400000";

/// Fetches a page of a server on loopback, within 15 seconds and limits of memory.
#[track_caller]
fn fetch(to: SocketAddr, path: &str) -> Said {
    let url = format!("https://localhost:{}/{path}", to.port());
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -v $0; exec \"$@\"", MEMORY]);
    command
        .arg(program::path("http_client"))
        .env_remove("RUST_LOG");
    command.args([
        "--cacert",
        &CERTIFICATES.authority(),
        "--max-time",
        "15",
        "-o",
        "-",
        &url,
    ]);
    run(&mut command, b"")
}

#[track_caller]
fn fetches_hello(what: &str, to: SocketAddr) {
    let said = fetch(to, "hello.txt");
    let is_hello = said.code == Some(0) && said.all.contains("hello, world");
    assert!(is_hello, "{what}: {said:?}");
}

#[test]
fn openssl_gnutls_nginx_stunnel_and_hitch_serve_it() {
    let Certificate { cert, key } = &CERTIFICATES.first;
    let (cert, key) = (text(cert), text(key));
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().display();
    std::fs::write(folder.path().join("hello.txt"), "hello, world\n").unwrap();
    for version in ["-tls1_2", "-tls1_3"] {
        let Some(mut openssl) = tool("openssl") else {
            break;
        };
        let address = free_address();
        let server = openssl.args(["s_server", "-accept", &address.to_string(), version, "-WWW"]);
        let server = server
            .args(["-cert", cert, "-key", key])
            .current_dir(folder.path());
        let server = Server::start(server, address);
        fetches_hello(&format!("openssl s_server {version}"), server.address);
    }
    for version in ["TLS1.2", "TLS1.3"] {
        let Some(mut gnutls) = tool("gnutls-serv") else {
            break;
        };
        let address = free_address();
        let priority = format!("NORMAL:-VERS-ALL:+VERS-{version}");
        gnutls.args([
            "--http",
            "--port",
            &address.port().to_string(),
            "--priority",
            &priority,
        ]);
        gnutls.args(["--x509certfile", cert, "--x509keyfile", key]);
        let server = Server::start(&mut gnutls, address);
        let said = fetch(server.address, "");
        let is_page = said.code == Some(0) && said.all.contains("GnuTLS");
        assert!(is_page, "gnutls-serv {version}: {said:?}");
    }
    // They end TLS in front of a server that knows nothing of it.
    let behind = web_server::plain();
    let pair = folder.path().join("pair.pem");
    let both = [std::fs::read(cert).unwrap(), std::fs::read(key).unwrap()].concat();
    std::fs::write(&pair, both).unwrap();
    if let Some(mut stunnel) = tool("stunnel") {
        let (address, to) = (free_address(), behind.address);
        let settings = format!(
            "foreground = yes\npid =\n[from]\naccept = {address}\nconnect = {to}\ncert = {cert}\nkey = {key}\n"
        );
        let file = folder.path().join("stunnel.conf");
        std::fs::write(&file, settings).unwrap();
        let server = Server::start(stunnel.arg(&file), address);
        fetches_hello("stunnel", server.address);
    }
    if let Some(mut hitch) = tool("hitch") {
        let (address, to) = (free_address(), behind.address);
        let backend = format!("--backend=[{}]:{}", to.ip(), to.port());
        let frontend = format!("--frontend=[{}]:{}", address.ip(), address.port());
        hitch.args([
            &frontend,
            &backend,
            "--workers=1",
            "--tls-protos=TLSv1.2 TLSv1.3",
        ]);
        if rustix::process::geteuid().is_root() {
            hitch.arg("--user=nobody");
        }
        let server = Server::start(hitch.arg(&pair), address);
        fetches_hello("hitch", server.address);
    }
    if let Some(mut nginx) = tool("nginx") {
        let address = free_address();
        let settings = format!(
            "daemon off; master_process off; pid {place}/pid; error_log /dev/null; events {{}}
             http {{ access_log off; client_body_temp_path {place}/b; proxy_temp_path {place}/p;
               fastcgi_temp_path {place}/f; uwsgi_temp_path {place}/u; scgi_temp_path {place}/s;
               server {{ listen {address} ssl; root {place}; ssl_certificate {cert};
                 ssl_certificate_key {key}; ssl_protocols TLSv1.2 TLSv1.3; }} }}"
        );
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, settings).unwrap();
        let server = nginx.args(["-e", "/dev/null", "-c"]).arg(&file);
        let server = Server::start(server, address);
        fetches_hello("nginx", server.address);
    }
}

/// How the client has to take it.
#[derive(Clone, Copy)]
enum Fate {
    Whole,
    Error,
    /// The libraries differ.
    Either,
}
use Fate::{Either, Error, Whole};

const ATTACKS: [(&str, [Fate; 2]); 24] = [
    ("good", [Whole, Whole]),
    ("counted_and_cut", [Whole, Whole]),
    ("chunked_and_cut", [Whole, Whole]),
    ("to_the_end", [Whole, Whole]),
    ("to_the_end_and_cut", [Error, Error]),
    ("half_and_cut", [Error, Error]),
    ("half_and_end", [Error, Error]),
    ("half_a_record", [Error, Error]),
    ("one_byte_records", [Whole, Whole]),
    ("fatal_alert", [Error, Error]),
    ("warnings", [Error, Error]),
    ("empty_records", [Either, Either]),
    ("oversized", [Error, Error]),
    ("flipped", [Error, Error]),
    ("in_clear", [Error, Error]),
    ("change_of_cipher", [Error, Error]),
    ("garbage_behind", [Whole, Whole]),
    ("data_behind_the_end", [Error, Error]),
    ("hello_requests", [Either, Error]),
    ("certificate_request", [Error, Error]),
    ("tickets", [Error, Whole]),
    ("endless_message", [Error, Error]),
    ("key_updates", [Error, Either]),
    ("few_key_updates", [Error, Whole]),
];

#[test]
fn answers_that_mean_harm() {
    let Certificate { cert, key } = &CERTIFICATES.first;
    for (n, version) in ["2", "3"].into_iter().enumerate() {
        let Some(mut python) = python_with_tlslite() else {
            return;
        };
        python.arg(script("hostile_server.py"));
        python.args(["--many", if thorough() { "10000" } else { "300" }]);
        let server = Victim::run(python.args([version, text(cert), text(key)]));
        for (attack, fates) in ATTACKS {
            let said = fetch(server.address, attack);
            let is_whole = said.code == Some(0) && said.all.contains("hello, world");
            let right = match fates[n] {
                Whole => is_whole,
                Error => said.code == Some(1),
                Either => is_whole || said.code == Some(1),
            };
            assert!(right, "TLS 1.{version}, {attack}: {said:?}");
        }
    }
}

/// Servers that are none: the client ends with an error, and does not wait for ever.
#[test]
fn handshakes_that_come_to_nothing() {
    let page = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n".to_vec();
    let cases: [(&str, Vec<u8>); 5] = [
        ("an end at once", Vec::new()),
        ("plain HTTP", page),
        ("zeros", vec![0; 10_000]),
        ("an alert", vec![21, 3, 3, 0, 2, 2, 40]),
        ("half a record", vec![22, 3, 3, 0x40, 0, 2, 0, 0x3F]),
    ];
    for (what, answer) in cases {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(&answer).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            rest(&mut stream);
        });
        let began = Instant::now();
        let said = fetch(address, "");
        assert_eq!(said.code, Some(1), "{what}: {said:?}");
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "{what}: {said:?}"
        );
        assert!(!said.all.contains("panicked"), "{what}: {said:?}");
        server.join().unwrap();
    }
}
