//! Dovecot, with Python's imaplib as a second client.

use suites::{
    certificates::{Authority, text},
    dovecot::Dovecot,
    maildir::messages,
    others::{Server, Talk, free_address, run, tool},
    program::{Program, eventually},
};

use crate::{command, done, fails};

const MESSAGES: [&[u8]; 3] = [
    b"From: a@x.example\nSubject: first\nDate: Thu, 1 Jan 2026 00:00:00 +0000\n\nhello\n",
    b"From: b@x.example\nSubject: braces {5}\n\n* 1 FETCH (BODY[] {3}\n)\na1 OK\n\xe9\xff\n",
    b"From: c@x.example\nSubject: =?utf-8?b?w6k=?=\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\none \x1b[2J\n\
      --b\nContent-Type: application/octet-stream; name=x\nContent-Transfer-Encoding: base64\n\nAAECAw==\n--b--\n",
];

/// Creates a mailbox, prints the bodies that imaplib fetches, and marks a message.
const IMAPLIB: &str = "import imaplib, sys\n\
    client = imaplib.IMAP4('127.0.0.1', int(sys.argv[1]), timeout=20)\n\
    client.login('u', 'p')\n\
    client.create('Entw&APw-rfe')\n\
    client.select('INBOX')\n\
    for n in client.search(None, 'ALL')[1][0].split():\n    \
        sys.stdout.buffer.write(client.fetch(n, '(BODY.PEEK[])')[1][0][1].replace(b'\\r\\n', b'\\n'))\n\
    client.store('2', '+FLAGS', '\\\\Seen')\n\
    client.logout()\n";

fn start() -> Option<(Dovecot, Authority)> {
    let mut authority = Authority::new();
    let dovecot = Dovecot::start(&authority.issue(&["localhost"]))?;
    for (n, message) in MESSAGES.iter().enumerate() {
        dovecot.deliver(&n.to_string(), message);
    }
    Some((dovecot, authority))
}

#[test]
fn mailboxes_are_listed_searched_and_fetched_as_they_are() {
    let Some((dovecot, _)) = start() else { return };
    let Some(mut python) = tool("python3") else {
        return;
    };
    let port = dovecot.imap.port();
    let said = run(python.args(["-c", IMAPLIB, &port.to_string()]), b"");
    assert_eq!(
        said.all,
        String::from_utf8_lossy(&MESSAGES.concat()),
        "{said:?}"
    );
    let host = "127.0.0.1";
    assert_eq!(
        done(port, &[host, "list"]),
        "Entwürfe  (\\HasNoChildren)\nINBOX  (\\HasNoChildren)\n"
    );
    assert_eq!(
        done(port, &[host, "list", "Entwü*"]),
        "Entwürfe  (\\HasNoChildren)\n"
    );
    let selected = done(port, &[host, "select", "INBOX"]);
    assert!(
        selected.contains("3 messages\n") && selected.contains("[UIDVALIDITY "),
        "{selected}"
    );
    assert!(done(port, &[host, "select", "Entwürfe"]).contains("0 messages\n"));
    fails(
        port,
        &[host, "select", "none"],
        "EXAMINE none: the server says NO ",
    );
    assert_eq!(done(port, &[host, "search", "INBOX", "UNSEEN"]), "1\n3\n");
    assert_eq!(
        done(
            port,
            &[host, "search", "INBOX", "--uid", "SUBJECT", "braces {5}"]
        ),
        "2\n"
    );
    assert_eq!(
        done(port, &[host, "search", "INBOX", "SUBJECT", "é"]),
        "3\n"
    );
    assert_eq!(
        done(
            port,
            &[
                host, "search", "INBOX", "NOT", "(", "SEEN", ")", "FROM", "c@x"
            ]
        ),
        "3\n"
    );
    fails(
        port,
        &[host, "search", "INBOX", "NOSUCHKEY"],
        "SEARCH: the server says BAD ",
    );
    assert_eq!(
        done(port, &[host, "fetch", "INBOX", "1,3", "--summary"]),
        "    1         82  Thu, 1 Jan 2026 00:00:00 +0000  a@x.example  first\n    \
         3        234  -  c@x.example  é\n"
    );
    assert_eq!(
        done(port, &[host, "fetch", "INBOX", "--uid", "3"]),
        "--- message 3, unique id 3 ---\nFrom: c@x.example\nSubject: é\n\none \u{fffd}[2J\n\
         [application/octet-stream, \"x\", 4 bytes]\n"
    );
    let raw = imap_raw(port, "2");
    assert_eq!(raw, MESSAGES[1]);
    fails(port, &[host, "fetch", "Entwürfe", "1:*"], "FETCH 1:*: ");
    let folder = tempfile::tempdir().unwrap();
    let saved = done(
        port,
        &[
            host,
            "fetch",
            "INBOX",
            "1:*",
            "--maildir",
            text(folder.path()),
        ],
    );
    assert_eq!(saved, "3 saved\n");
    assert_eq!(messages(folder.path()), MESSAGES);
    assert_eq!(done(port, &[host, "search", "INBOX", "UNSEEN"]), "1\n3\n");
}

fn imap_raw(port: u16, set: &str) -> Vec<u8> {
    let ended = crate::imap(port, &["127.0.0.1", "fetch", "INBOX", set, "--raw"]);
    let text: Vec<_> = ended
        .out
        .into_iter()
        .filter(|&byte| byte != b'\r')
        .collect();
    text
}

#[test]
fn what_happens_in_a_mailbox_is_shown() {
    let Some((dovecot, _)) = start() else { return };
    let port = dovecot.imap.port();
    let idle = |more: &[&str]| {
        let args = [&["127.0.0.1", "idle", "INBOX"], more].concat();
        let mut client = command(port, &args);
        Talk::start(client.env("RUST_LOG", "imap_client=info"))
    };
    let talk = idle(&["--count", "1"]);
    talk.hears("idling");
    dovecot.deliver("5", b"Subject: new\n\nx\n");
    talk.hears("4 messages\n");
    assert_eq!(talk.end().code, Some(0));
    assert_eq!(
        done(port, &["127.0.0.1", "idle", "INBOX", "--for", "0.2"]),
        ""
    );
    let program = Program::start(&mut command(
        port,
        &["127.0.0.1", "idle", "INBOX", "--for", "20"],
    ));
    eventually(|| dovecot.log().matches("Login: ").count().checked_sub(3));
    program.signal("INT");
    let ended = program.ended();
    assert_eq!(
        (ended.code, ended.err.as_str()),
        (Some(1), "imap_client: interrupted\n")
    );
}

#[test]
fn a_session_is_the_same_with_tls_from_the_start_and_later_and_by_each_login() {
    let Some((dovecot, authority)) = start() else {
        return;
    };
    let authority = authority.file();
    for (port, tls) in [
        (dovecot.imaps.port(), "--tls"),
        (dovecot.imap.port(), "--starttls"),
    ] {
        for auth in ["plain", "login", "auto"] {
            let trust = [
                tls,
                "--auth",
                auth,
                "--cacert",
                text(&authority),
                "localhost",
                "search",
                "INBOX",
                "ALL",
            ];
            assert_eq!(done(port, &trust), "1\n2\n3\n", "{tls} {auth}");
        }
        fails(
            port,
            &[tls, "localhost", "list"],
            "TLS handshake with localhost failed: ",
        );
        let other = ["--cacert", text(&authority), tls, "127.0.0.1", "list"];
        fails(port, &other, "TLS handshake with 127.0.0.1 failed: ");
    }
    let mut client = command(dovecot.imap.port(), &["127.0.0.1", "list"]);
    let ended = Program::start(client.env("ASYNCHAT_PASSWORD", "wrong")).ended();
    assert_eq!(ended.code, Some(1));
    assert_eq!(
        ended.err,
        "imap_client: login: the server says NO [AUTHENTICATIONFAILED] Authentication failed.\n"
    );
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
    socat.arg(format!("TCP4:{},nodelay", dovecot.imap));
    let slicer = Server::start(&mut socat, address);
    let folder = tempfile::tempdir().unwrap();
    let args = [
        "127.0.0.1",
        "fetch",
        "INBOX",
        "1:*",
        "--maildir",
        text(folder.path()),
    ];
    assert_eq!(done(slicer.address.port(), &args), "3 saved\n");
    assert_eq!(messages(folder.path()), MESSAGES);
}
