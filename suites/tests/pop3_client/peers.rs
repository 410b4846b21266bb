//! Dovecot, with Python's poplib as a second client.

use suites::{
    certificates::{Authority, text},
    dovecot::Dovecot,
    maildir::messages,
    others::{Server, free_address, run, tool},
};

use crate::{done, fails, fetch};

const MESSAGES: [&[u8]; 4] = [
    b"From: a@x.example\nSubject: first\nDate: Thu, 1 Jan 2026 00:00:00 +0000\n\nhello\n",
    b"From: b@x.example\nSubject: dots\n\n.\n..two\n.one\n\xe9\xff\n",
    b"From: c@x.example\nSubject: =?utf-8?b?w6k=?=\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\none \x1b[2J\n\
      --b\nContent-Type: application/octet-stream; name=x\nContent-Transfer-Encoding: base64\n\nAAECAw==\n--b--\n",
    &long_line(),
];

/// Longer than poplib takes.
const fn long_line() -> [u8; 100_011] {
    let mut message = [b'x'; 100_011];
    let header = b"Subject: l\n\n";
    let mut at = 0;
    while at < header.len() {
        message[at] = header[at];
        at += 1;
    }
    message[100_010] = b'\n';
    message
}

/// Prints the messages that poplib retrieves.
const POPLIB: &str = "import poplib, sys\n\
    poplib._MAXLINE = 1 << 20\n\
    client = poplib.POP3('127.0.0.1', int(sys.argv[1]), timeout=20)\n\
    client.user('u')\n\
    client.pass_('p')\n\
    for n in range(1, client.stat()[0] + 1):\n    \
        sys.stdout.buffer.write(b'\\n'.join(client.retr(n)[1]) + b'\\n')\n\
    client.quit()\n";

fn start() -> Option<(Dovecot, Authority)> {
    let mut authority = Authority::new();
    let dovecot = Dovecot::start(&authority.issue(&["localhost"]))?;
    for (n, message) in MESSAGES.iter().enumerate() {
        dovecot.deliver(&n.to_string(), message);
    }
    Some((dovecot, authority))
}

#[test]
fn messages_are_listed_shown_and_fetched_as_they_are() {
    let Some((dovecot, _)) = start() else { return };
    let port = dovecot.pop3.port();
    assert_eq!(
        done(port, &["127.0.0.1", "list"]),
        "    1         82  Thu, 1 Jan 2026 00:00:00 +0000  a@x.example  first\n    \
         2         56  -  b@x.example  dots\n    \
         3        234  -  c@x.example  é\n    \
         4     100014  -  -  l\n"
    );
    assert_eq!(
        done(port, &["127.0.0.1", "show", "3", "1"]),
        "--- message 3 ---\nFrom: c@x.example\nSubject: é\n\none \u{fffd}[2J\n[application/octet-stream, \"x\", 4 bytes]\n\
         --- message 1 ---\nFrom: a@x.example\nSubject: first\nDate: Thu, 1 Jan 2026 00:00:00 +0000\n\nhello\n"
    );
    let raw = done(port, &["--auth", "user", "127.0.0.1", "show", "--raw", "1"]);
    assert_eq!(raw.replace("\r\n", "\n").as_bytes(), MESSAGES[0]);
    let folder = tempfile::tempdir().unwrap();
    let maildir = folder.path().join("mail");
    assert_eq!(
        done(port, &fetch(&maildir, &[])),
        "4 saved, 0 saved before, 0 deleted\n"
    );
    assert_eq!(messages(&maildir), MESSAGES);
    if let Some(mut python) = tool("python3") {
        let said = run(python.args(["-c", POPLIB, &port.to_string()]), b"");
        assert_eq!(
            said.all,
            String::from_utf8_lossy(&MESSAGES.concat()),
            "{said:?}"
        );
    }
    dovecot.deliver("5", b"Subject: new\n\nx\n");
    assert_eq!(
        done(port, &fetch(&maildir, &[])),
        "1 saved, 4 saved before, 0 deleted\n"
    );
    fails(
        port,
        &["127.0.0.1", "show", "9"],
        "RETR 9: the server says -ERR ",
    );
    fails(
        port,
        &fetch(&maildir, &["9", "1"]),
        "the server refused 1 commands: RETR 9: -ERR ",
    );
    assert_eq!(messages(&maildir).len(), 6);
}

#[test]
fn messages_are_deleted_when_they_are_on_the_disk() {
    let Some((dovecot, _)) = start() else { return };
    let port = dovecot.pop3.port();
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(
        done(port, &fetch(folder.path(), &["--delete", "2"])),
        "1 saved, 0 saved before, 1 deleted\n"
    );
    assert_eq!(dovecot.messages().len(), 3);
    assert_eq!(
        done(port, &fetch(folder.path(), &[])),
        "3 saved, 0 saved before, 0 deleted\n"
    );
    assert_eq!(
        done(port, &fetch(folder.path(), &["--delete"])),
        "0 saved, 3 saved before, 3 deleted\n"
    );
    assert_eq!(dovecot.messages().len(), 0);
    assert_eq!(
        messages(folder.path()),
        [MESSAGES[1], MESSAGES[0], MESSAGES[2], MESSAGES[3]]
    );
    let seen = std::fs::read_to_string(folder.path().join(".pop3-seen")).unwrap();
    assert_eq!(seen.lines().count(), 3, "{seen}");
    assert_eq!(
        done(port, &fetch(folder.path(), &[])),
        "0 saved, 0 saved before, 0 deleted\n"
    );
    assert_eq!(
        std::fs::read_to_string(folder.path().join(".pop3-seen")).unwrap(),
        ""
    );
}

#[test]
fn a_session_is_the_same_with_tls_from_the_start_and_later() {
    let Some((dovecot, authority)) = start() else {
        return;
    };
    let authority = authority.file();
    let trust = ["--cacert", text(&authority), "localhost", "show", "1"];
    for (port, tls) in [
        (dovecot.pop3s.port(), "--tls"),
        (dovecot.pop3.port(), "--starttls"),
    ] {
        let shown = done(port, &[&[tls], &trust[..]].concat());
        assert!(shown.ends_with("\nhello\n"), "{shown}");
        fails(
            port,
            &[tls, "localhost", "list"],
            "TLS handshake with localhost failed: ",
        );
        let other = ["--cacert", text(&authority), tls, "127.0.0.1", "list"];
        fails(port, &other, "TLS handshake with 127.0.0.1 failed: ");
    }
    fails(
        dovecot.pop3.port(),
        &["--tls", "localhost", "list"],
        "TLS handshake with localhost failed: ",
    );
    let later = ["--starttls", "--auth", "apop"];
    fails(
        dovecot.pop3.port(),
        &[&later, &trust[..]].concat(),
        "the server offers no APOP: no timestamp in its greeting",
    );
    let log = dovecot.log();
    assert!(log.contains("method=PLAIN"), "{log}");
}

/// A password that is wrong, by either login.
#[test]
fn a_login_that_is_refused_says_why() {
    let Some((dovecot, _)) = start() else { return };
    for auth in ["apop", "user"] {
        let mut command =
            crate::command(dovecot.pop3.port(), &["--auth", auth, "127.0.0.1", "list"]);
        let ended =
            suites::program::Program::start(command.env("ASYNCHAT_PASSWORD", "wrong")).ended();
        assert_eq!(ended.code, Some(1));
        assert_eq!(
            ended.err,
            "pop3_client: login: the server says -ERR [AUTH] Authentication failed.\n"
        );
    }
}

#[test]
fn a_mailbox_is_the_same_a_byte_at_a_time() {
    let Some((dovecot, _)) = start() else { return };
    let Some(mut socat) = tool("socat") else {
        return;
    };
    let address = free_address();
    socat.args(["-b", "1"]);
    socat.arg(format!(
        "TCP4-LISTEN:{},bind=127.0.0.1,fork,reuseaddr,nodelay",
        address.port()
    ));
    socat.arg(format!("TCP4:{},nodelay", dovecot.pop3));
    let slicer = Server::start(&mut socat, address);
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(
        done(slicer.address.port(), &fetch(folder.path(), &[])),
        "4 saved, 0 saved before, 0 deleted\n"
    );
    assert_eq!(messages(folder.path()), MESSAGES);
}
