//! `http_server` talks with the clients of other implementations: OpenSSL, GnuTLS, Python's ssl, curl, and nginx and
//! stunnel, which are clients for others.

use std::{
    io::{Read, Write},
    process::Command,
};

use suites::others::{Server, Talk, free_address, run, tool};

use crate::{
    certificate::CERTIFICATES,
    client::{HELLO, connect},
    site::Site,
};

const ONCE: &[u8] = b"GET /hello.txt HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// `openssl s_client` that checks the certificate and the name.
fn s_client(site: &Site, options: &[&str]) -> Option<Command> {
    let mut command = tool("openssl")?;
    command.args(["s_client", "-connect", &site.address().to_string()]);
    command.args(["-CAfile", &CERTIFICATES.authority()]);
    command.args(["-verify_return_error", "-verify_hostname", "localhost"]);
    command.args(["-servername", "localhost"]).args(options);
    Some(command)
}

fn gnutls_cli(site: &Site, options: &[&str]) -> Option<Command> {
    let mut command = tool("gnutls-cli")?;
    command.args(["--x509cafile", &CERTIFICATES.authority()]);
    command.args(["--port", &site.address().port().to_string()]);
    command.args(options).arg("localhost");
    Some(command)
}

fn is_hello(text: &str) -> bool {
    text.contains("HTTP/1.1 200 OK") && text.contains("hello, world")
}

#[test]
fn openssl_with_each_version_suite_and_group() {
    let Some(site) = Site::start(&[]) else { return };
    let mark = site.victim.mark();
    let cases: [&[&str]; 14] = [
        &["-tls1_2"],
        &["-tls1_3"],
        &["-no_tls1_3"],
        &["-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256"],
        &["-tls1_3", "-ciphersuites", "TLS_AES_256_GCM_SHA384"],
        &["-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"],
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"],
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384"],
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"],
        &["-tls1_3", "-groups", "X25519"],
        &["-tls1_3", "-groups", "P-256"],
        &["-tls1_3", "-groups", "P-384"],
        // The first key share is of no use: HelloRetryRequest.
        &["-tls1_3", "-groups", "P-521:P-256"],
        &[
            "-tls1_3",
            "-split_send_frag",
            "512",
            "-max_send_frag",
            "512",
        ],
    ];
    for options in cases {
        let Some(mut command) = s_client(&site, &[options, &["-quiet"]].concat()) else {
            return;
        };
        let said = run(&mut command, ONCE);
        assert!(
            said.code == Some(0) && is_hello(&said.all),
            "{options:?}: {said:?}"
        );
    }
    site.survives("openssl s_client", &mark);
    site.victim.ends_well();
}

#[test]
fn openssl_is_refused_where_it_has_to_be() {
    let Some(site) = Site::start_ours() else {
        return;
    };
    let mark = site.victim.mark();
    let weak = "ALL:@SECLEVEL=0";
    let cases: [(&[&str], &str); 5] = [
        (&["-tls1", "-cipher", weak], "alert"),
        (&["-tls1_1", "-cipher", weak], "alert"),
        (
            &["-tls1_2", "-cipher", "AES128-SHA:@SECLEVEL=0"],
            "handshake failure",
        ),
        (&["-tls1_3", "-groups", "P-521"], "handshake failure"),
        (&["-alpn", "h2"], "no application protocol"),
    ];
    for (options, why) in cases {
        let Some(mut command) = s_client(&site, options) else {
            return;
        };
        let said = run(&mut command, ONCE);
        assert_ne!(said.code, Some(0), "{options:?}: {said:?}");
        assert!(said.all.contains(why), "{options:?}: {said:?}");
        assert!(!said.all.contains("HTTP/1.1"), "{options:?}: {said:?}");
    }
    site.survives("openssl s_client, refused", &mark);
    site.victim.ends_well();
}

#[test]
fn openssl_agrees_on_http_by_alpn() {
    let Some(site) = Site::start_ours() else {
        return;
    };
    let Some(mut command) = s_client(&site, &["-alpn", "h2,http/1.1"]) else {
        return;
    };
    let said = run(&mut command, b"");
    assert!(said.all.contains("ALPN protocol: http/1.1"), "{said:?}");
    site.victim.ends_well();
}

#[test]
fn openssl_resumes_a_session() {
    let Some(site) = Site::start(&[]) else { return };
    let folder = tempfile::tempdir().unwrap();
    for version in ["-tls1_2", "-tls1_3"] {
        let file = folder.path().join(version);
        let file = file.to_str().unwrap();
        for (option, expected) in [("-sess_out", "New, "), ("-sess_in", "Reused, ")] {
            let Some(mut command) = s_client(&site, &[version, option, file]) else {
                return;
            };
            let mut talk = Talk::start(&mut command);
            talk.say(ONCE);
            // Tickets of TLS 1.3 come with the answer.
            talk.hears("hello, world");
            let said = talk.end();
            assert!(said.all.contains(expected), "{version} {option}: {said:?}");
        }
        // What claims to be early data is refused, and the handshake goes on without.
        if version == "-tls1_3" {
            let early = folder.path().join("early");
            std::fs::write(&early, "GET /early HTTP/1.1\r\n\r\n").unwrap();
            let options = [
                version,
                "-sess_in",
                file,
                "-early_data",
                early.to_str().unwrap(),
            ];
            let mut talk = Talk::start(&mut s_client(&site, &options).unwrap());
            talk.say(ONCE);
            talk.hears("hello, world");
            let said = talk.end();
            let never = !said.all.contains("Early data was accepted");
            assert!(never && !said.all.contains(" 404 "), "{said:?}");
        }
    }
    site.victim.ends_well();
}

#[test]
fn openssl_updates_keys_and_is_answered() {
    let Some(site) = Site::start(&[]) else { return };
    let Some(mut command) = s_client(&site, &["-tls1_3"]) else {
        return;
    };
    let mut talk = Talk::start(&mut command);
    talk.hears("Verify return code: 0");
    // `k` updates its own key, `K` asks for the server's too. It takes a command only at the start of a read.
    for _ in 0..10 {
        for letter in ["k", "K"] {
            let before = talk.all().matches("KEYUPDATE").count();
            talk.say(format!("{letter}\n").as_bytes());
            let told = || talk.all().matches("KEYUPDATE").count() > before;
            assert!(suites::victim::within(suites::victim::DEADLINE, told));
        }
    }
    talk.say(ONCE);
    talk.hears("hello, world");
    let said = talk.end();
    assert!(is_hello(&said.all), "{said:?}");
    site.victim.ends_well();
}

#[test]
fn openssl_is_not_given_a_renegotiation() {
    let Some(site) = Site::start(&[]) else { return };
    let mark = site.victim.mark();
    let Some(mut command) = s_client(&site, &["-tls1_2"]) else {
        return;
    };
    let mut talk = Talk::start(&mut command);
    talk.hears("Verify return code: 0");
    talk.say(b"R\n");
    talk.hears("RENEGOTIATING");
    let said = talk.end();
    let refused = said.all.contains("alert") || said.all.contains("no renegotiation");
    assert!(refused, "{said:?}");
    site.survives("a renegotiation by s_client", &mark);
    site.victim.ends_well();
}

#[test]
fn gnutls_with_each_version_resumption_and_new_keys() {
    let Some(site) = Site::start(&[]) else { return };
    let mark = site.victim.mark();
    let cases: [&[&str]; 6] = [
        &["--priority", "NORMAL:-VERS-ALL:+VERS-TLS1.2"],
        &["--priority", "NORMAL:-VERS-ALL:+VERS-TLS1.3"],
        &[
            "--priority",
            "NORMAL:-VERS-ALL:+VERS-TLS1.3:-GROUP-ALL:+GROUP-SECP384R1",
        ],
        &["--alpn", "http/1.1"],
        &["--resume", "--priority", "NORMAL:-VERS-ALL:+VERS-TLS1.2"],
        &[
            "--resume",
            "--waitresumption",
            "--priority",
            "NORMAL:-VERS-ALL:+VERS-TLS1.3",
        ],
    ];
    for options in cases {
        let Some(mut command) = gnutls_cli(&site, options) else {
            return;
        };
        let mut talk = Talk::start(&mut command);
        talk.hears("Simple Client Mode");
        if options[0] == "--resume" {
            talk.hears("This is a resumed session");
        }
        talk.say(ONCE);
        talk.hears("hello, world");
        let said = talk.end();
        assert!(
            said.code == Some(0) && is_hello(&said.all),
            "{options:?}: {said:?}"
        );
    }
    site.survives("gnutls-cli", &mark);
    site.victim.ends_well();
}

#[test]
fn python_ends_both_ways_and_resumes() {
    const PROGRAM: &str = r#"
import socket, ssl, sys
port, authority = int(sys.argv[1]), sys.argv[2]
for version in ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3:
    context = ssl.create_default_context(cafile=authority)
    context.minimum_version = context.maximum_version = version
    session = None
    for again in range(3):
        stream = socket.create_connection(("127.0.0.1", port), 20)
        stream = context.wrap_socket(stream, server_hostname="localhost", session=session)
        assert stream.session_reused == bool(again), (version, again)
        for _ in range(20):
            stream.sendall(b"GET /hello.txt HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = b""
            while not answer.endswith(b"hello, world"):
                part = stream.recv(4096)
                assert part, answer
                answer += part
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        session = stream.session
        # Sends close_notify, and waits for the server's: an error if a FIN comes without.
        stream.unwrap().close()
print("all is well")
"#;
    let Some(site) = Site::start_ours() else {
        return;
    };
    let mark = site.victim.mark();
    let Some(mut python) = tool("python3") else {
        return;
    };
    let port = site.address().port().to_string();
    let said = run(
        python.args(["-c", PROGRAM, &port, &CERTIFICATES.authority()]),
        b"",
    );
    assert!(said.all.contains("all is well"), "{said:?}");
    site.survives("python3 ssl", &mark);
    site.victim.ends_well();
}

#[test]
fn curl_checks_names_and_keeps_its_connection() {
    let Some(site) = Site::start_ours() else {
        return;
    };
    let url = site.url("/hello.txt");
    let authority = CERTIFICATES.authority();
    let curl = |options: &[&str]| {
        let mut command = tool("curl")?;
        command.args(["-sS", "-v", "--cacert", &authority, "--max-time", "20"]);
        Some(run(command.args(options), b""))
    };
    let Some(said) = curl(&["--tls-max", "1.2", &url, &url, &url]) else {
        return;
    };
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(
        said.all.matches("Re-using existing connection").count(),
        2,
        "{said:?}"
    );
    // An address of the certificate is as good as its name; another name is not.
    let by_address = format!("https://{}/hello.txt", site.address());
    assert_eq!(curl(&[&by_address]).unwrap().code, Some(0));
    let resolve = format!("other.example:{}:127.0.0.1", site.address().port());
    let other = format!("https://other.example:{}/", site.address().port());
    assert_eq!(
        curl(&["--resolve", &resolve, &other]).unwrap().code,
        Some(60)
    );
    let plain = url.replace("https", "http");
    assert_ne!(curl(&[&plain]).unwrap().code, Some(0));
    site.serves();
    site.victim.ends_well();
}

/// Asks by plain HTTP on a connection of its own.
#[track_caller]
fn is_answered(server: &Server) {
    let mut stream = connect(server.address);
    stream.write_all(ONCE).unwrap();
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let text = answer.escape_ascii();
    assert!(
        answer.starts_with(b"HTTP/1.1 200") && answer.ends_with(HELLO),
        "{read:?}: {text}"
    );
}

#[test]
fn stunnel_and_nginx_speak_tls_to_it_for_plain_clients() {
    let Some(site) = Site::start(&[]) else { return };
    let mark = site.victim.mark();
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().display();
    let (to, authority) = (site.address(), CERTIFICATES.authority());
    if let Some(mut stunnel) = tool("stunnel") {
        let address = free_address();
        let text = format!(
            "foreground = yes\npid =\n[to]\nclient = yes\naccept = {address}\nconnect = {to}\nCAfile = {authority}\n\
             verifyChain = yes\ncheckHost = localhost\n"
        );
        let file = folder.path().join("stunnel.conf");
        std::fs::write(&file, text).unwrap();
        let stunnel = Server::start(stunnel.arg(&file), address);
        (0..20).for_each(|_| is_answered(&stunnel));
    }
    if let Some(mut nginx) = tool("nginx") {
        let address = free_address();
        let text = format!(
            "daemon off; master_process off; pid {place}/pid; error_log /dev/null; events {{}}
             http {{ access_log off; client_body_temp_path {place}/b; proxy_temp_path {place}/p;
               fastcgi_temp_path {place}/f; uwsgi_temp_path {place}/u; scgi_temp_path {place}/s;
               server {{ listen {address}; location / {{ proxy_pass https://{to}; proxy_http_version 1.1;
                 proxy_ssl_verify on; proxy_ssl_trusted_certificate {authority}; proxy_ssl_name localhost;
                 proxy_ssl_protocols TLSv1.2 TLSv1.3; }} }} }}"
        );
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, text).unwrap();
        let nginx = Server::start(nginx.args(["-e", "/dev/null", "-c"]).arg(&file), address);
        (0..20).for_each(|_| is_answered(&nginx));
    }
    site.survives("stunnel and nginx as clients", &mark);
    site.victim.ends_well();
}
