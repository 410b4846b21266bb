//! TLS from the start, by stunnel in front of smtp-sink.

use suites::{
    certificates::{Authority, text},
    others::{Server, free_address, run, tool},
    program::example,
};

use crate::{ASCII, sink::sink};

#[test]
fn a_message_goes_over_tls_from_the_start() {
    let Some(sink) = sink(&["-d", "mail"]) else {
        return;
    };
    let Some(mut stunnel) = tool("stunnel") else {
        return;
    };
    let mut authority = Authority::new();
    let certificate = authority.issue(&["localhost"]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("stunnel.conf");
    let address = free_address();
    let configuration = format!(
        "foreground = yes\npid =\n[smtp]\naccept = {address}\nconnect = {}\ncert = {}\nkey = {}\n",
        sink.address,
        text(&certificate.cert),
        text(&certificate.key)
    );
    std::fs::write(&file, configuration).unwrap();
    let stunnel = Server::start(stunnel.arg(&file), address);
    let send = |host: &str, options: &[&str]| {
        let mut client = example("smtp_client");
        client
            .args([host, "--port", &stunnel.address.port().to_string()])
            .args(["--from", "a@x.example", "--to", "b@x.example"])
            .args(options);
        run(&mut client, ASCII.as_bytes())
    };
    let file = authority.file();
    let trust = ["--tls", "--cacert", text(&file)];
    let said = send("localhost", &trust);
    assert_eq!(said.code, Some(0), "{}", said.all);
    for (host, options, why) in [
        // Another name than the certificate's; an authority that is not known; a port that speaks TLS only.
        (
            "127.0.0.1",
            &trust[..],
            "TLS handshake with 127.0.0.1 failed: ",
        ),
        (
            "localhost",
            &["--tls"],
            "TLS handshake with localhost failed: ",
        ),
        (
            "localhost",
            &["--timeout", "0.5"],
            "nothing moved for 500ms",
        ),
    ] {
        let said = send(host, options);
        assert_eq!(said.code, Some(1), "{}", said.all);
        assert!(said.all.contains(why), "{}", said.all);
    }
}
