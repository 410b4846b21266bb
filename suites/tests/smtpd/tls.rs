//! STARTTLS as the program offers it.

use std::fs;

use suites::{
    certificates::{Authority, text},
    lacks,
    others::{run, tool},
    program::eventually,
    tls::{self, VERSIONS},
};

use crate::{client::Client, delivering};

#[test]
fn mail_over_tls_is_taken_from_swaks_and_python_and_only_over_tls_if_that_is_required() {
    let mut authority = Authority::new();
    let certificate = authority.issue(&["localhost"]);
    let ca = text(&authority.file()).to_owned();
    let files = [
        "--tls-cert",
        text(&certificate.cert),
        "--tls-key",
        text(&certificate.key),
    ];
    let setup = delivering(&[&files[..], &["--require-tls"]].concat());
    Client::connect(setup.address)
        .expect("MAIL FROM:<a@x>", "530 Must issue a STARTTLS command first");
    let port = setup.address.port().to_string();
    let mut expected = 0;
    if let Some(mut swaks) = tool("swaks") {
        swaks.args([
            "--server",
            "localhost",
            "--port",
            &port,
            "--tls",
            "--from",
            "a@x",
        ]);
        swaks.args(["--to", "b@x", "--tls-verify", "--tls-ca-path", &ca]);
        let said = run(&mut swaks, b"");
        // swaks cannot do without a module of Perl that Debian only recommends.
        if said.all.contains("TLS not available") {
            suites::skip("swaks has no TLS here");
        } else {
            assert_eq!(said.code, Some(0), "{}", said.all);
            expected += 1;
        }
    }
    if let Some(mut python) = tool("python3") {
        let script = "import smtplib, ssl, sys\n\
                      s = smtplib.SMTP('localhost', int(sys.argv[1]))\n\
                      s.starttls(context=ssl.create_default_context(cafile=sys.argv[2]))\n\
                      s.sendmail('a@x', ['b@x'], 'Subject: x\\n\\ntext')\n\
                      s.quit()\n";
        let said = run(python.args(["-c", script, &port, &ca]), b"");
        assert_eq!((said.code, said.all.as_str()), (Some(0), ""));
        expected += 1;
    }
    let messages = setup.maildir.messages();
    assert_eq!(messages.len(), expected);
    for message in messages {
        assert!(message.contains(" with ESMTPS id "), "{message}");
    }
}

#[test]
fn sighup_has_new_sessions_get_the_new_certificate() {
    if cfg!(windows) {
        return lacks("Windows has no SIGHUP");
    }
    let mut authority = Authority::new();
    let (first, second) = (
        authority.issue(&["localhost"]),
        authority.issue(&["localhost"]),
    );
    let setup = delivering(&[
        "--tls-cert",
        text(&first.cert),
        "--tls-key",
        text(&first.key),
    ]);
    let config = tls::trusting(&authority.file(), &VERSIONS);
    let certificate = || {
        let mut client = Client::connect(setup.address);
        client.expect("EHLO x", "250 HELP");
        client.expect("STARTTLS", "220 Ready to start TLS");
        let stream = tls::client(client.stream, &config);
        let mut client = Client { stream };
        client.expect("EHLO x", "250 HELP");
        client.expect("QUIT", "221 Bye");
        client.stream.conn.peer_certificates().unwrap()[0].to_vec()
    };
    let before = certificate();
    fs::copy(&second.cert, &first.cert).unwrap();
    fs::copy(&second.key, &first.key).unwrap();
    assert_eq!(certificate(), before);
    setup.program.signal("HUP");
    eventually(|| (certificate() != before).then_some(()));
}
