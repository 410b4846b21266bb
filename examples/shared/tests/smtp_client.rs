//! `shared::smtp::client` against scripted servers: every message gets one answer, and the session one outcome.

use std::{cell::RefCell, collections::VecDeque, rc::Rc, sync::Arc, time::Duration};

use asynchat::{BoxError, Produced, Producer, Registry, Result, testing::Harness};
use asynchat_rustls::TlsAcceptor;
use clap::Parser;
use rustls::{ServerConfig, crypto::ring, pki_types::PrivatePkcs8KeyDer};
use shared::{
    client::{Connection, Contact, ContactOptions, Encryption},
    reply::Reply,
    smtp::client::{self, Address, MAX_LINE, Mail, Mailer, Measure, Session, Settings},
    tls::client::Trust,
};

/// Keeps an account of its calls.
struct Account {
    lines: Rc<RefCell<Vec<String>>>,
    mails: VecDeque<Mail>,
}

impl Mailer for Account {
    fn next(&mut self) -> Option<Mail> {
        self.mails.pop_front()
    }

    fn refused(&mut self, recipient: &Address, reply: &Reply) {
        let line = format!("refused {recipient}: {reply}");
        self.lines.borrow_mut().push(line);
    }

    fn answered(&mut self, answer: Result<Reply, String>) {
        self.lines.borrow_mut().push(match answer {
            Ok(reply) => format!("sent: {reply}"),
            Err(error) => format!("not sent: {error}"),
        });
    }

    fn finished(&mut self, _: &mut Registry, outcome: Result<(), BoxError>) {
        self.lines.borrow_mut().push(match outcome {
            Ok(()) => "finished".into(),
            Err(error) => format!("finished: {error}"),
        });
    }
}

fn address(text: &str) -> Address {
    text.parse().expect("an address")
}

fn mail(to: &[&str], text: &'static str) -> Mail {
    Mail {
        from: Some(address("a@x.example")),
        to: to.iter().map(|to| address(to)).collect(),
        measure: Measure::of(text, MAX_LINE).expect("a text in memory"),
        text: Box::new(text),
    }
}

fn short(to: &[&str]) -> Vec<Mail> {
    vec![mail(to, "S: x\n\n.\n")]
}

fn settings() -> Settings {
    Settings {
        helo: Some("me.example".into()),
        ..Settings::default()
    }
}

fn login() -> Settings {
    Settings {
        login: Some(("u".into(), "p".into())),
        allow_cleartext: true,
        ..settings()
    }
}

fn starttls() -> Settings {
    Settings {
        encryption: Encryption {
            starttls: true,
            ..Encryption::default()
        },
        ..settings()
    }
}

struct Dialogue {
    server: Harness,
    account: Rc<RefCell<Vec<String>>>,
}

impl Dialogue {
    fn new(settings: Settings, mails: Vec<Mail>) -> Self {
        let account = Rc::default();
        let mailer = Account {
            lines: Rc::clone(&account),
            mails: mails.into(),
        };
        let options = ContactOptions::default();
        let contact = Contact::new(&options);
        let session = Session::new(settings, options.timeout, mailer);
        let connection = Connection::dispatcher(session, &contact, "a.example");
        let mut server = Harness::connecting(connection);
        server.connected();
        Self { server, account }
    }

    /// What the mailer was told, at the end.
    fn account(mut self) -> Vec<String> {
        self.server.registry().shutdown(Duration::ZERO);
        self.server.advance(Duration::ZERO);
        self.account.take()
    }
}

const ONE: &[&str] = &["b@x.example"];
const TWO: &[&str] = &["b@x.example", "c@x.example"];
/// A server that offers nothing, up to a message.
const PLAIN: &str = "
    C: 220 ready
    S: EHLO me.example
    C: 250 hello
    S: MAIL FROM:<a@x.example>
    C: 250 ok
    S: RCPT TO:<b@x.example>
    C: 250 ok
    S: DATA
    C: 354 go on
    S: S: x
    S:
    S: ..
    S: .
";

#[test]
fn a_message_goes_through_one_command_at_a_time_or_several() {
    let plain = format!("{PLAIN}\nC: 250 queued\nS: QUIT\nS ends\nC: 221 bye");
    let pipelined = "
        C: 220-ready
        C: 220 steady
        S: EHLO me.example
        C: 250-hello
        C: 250-SIZE 1000
        C: 250 PIPELINING
        S: MAIL FROM:<a@x.example> SIZE=11
        S: RCPT TO:<b@x.example>
        S: RCPT TO:<c@x.example>
        C: 250 ok
        C: 250 ok
        C: 251 elsewhere
        S: DATA
        C: 354 go on
        S: S: x
        S:
        S: ..
        S: .
        C: 250-2.0.0 queued
        C: 250 2.0.0 as 17
        S: QUIT
        S ends
        C ends";
    let helo = format!(
        "C: 220 ready\nS: EHLO me.example\nC: 502 what\nS: HELO me.example\n{}\nC: 250 queued\nS: QUIT\nS ends",
        PLAIN.split_once("S: EHLO me.example\n").expect("EHLO").1
    );
    for (script, to, sent) in [
        (&*plain, ONE, "sent: 250 queued"),
        (pipelined, TWO, "sent: 250 2.0.0 queued / 2.0.0 as 17"),
        (&*helo, ONE, "sent: 250 queued"),
    ] {
        for play in [Harness::play, Harness::play_bytewise] {
            let mut dialogue = Dialogue::new(settings(), short(to));
            play(&mut dialogue.server, script);
            assert_eq!(dialogue.account(), [sent, "finished"], "{script}");
        }
    }
}

#[test]
fn some_recipients_are_refused_and_the_rest_gets_the_message() {
    for pipelining in [true, false] {
        let script = match pipelining {
            true => {
                "C: 220 ready
                S: EHLO me.example
                C: 250-hello
                C: 250 PIPELINING
                S: MAIL FROM:<a@x.example>
                S: RCPT TO:<b@x.example>
                S: RCPT TO:<c@x.example>
                S: RCPT TO:<d@x.example>
                C: 250 ok
                C: 550 5.1.1 no such user
                C: 250 ok
                C: 450-later
                C: 450 much later
                S: DATA"
            }
            false => {
                "C: 220 ready
                S: EHLO me.example
                C: 250 hello
                S: MAIL FROM:<a@x.example>
                C: 250 ok
                S: RCPT TO:<b@x.example>
                C: 550 5.1.1 no such user
                S: RCPT TO:<c@x.example>
                C: 250 ok
                S: RCPT TO:<d@x.example>
                C: 450-later
                C: 450 much later
                S: DATA"
            }
        };
        let to = ["b@x.example", "c@x.example", "d@x.example"];
        let mut dialogue = Dialogue::new(settings(), short(&to));
        dialogue.server.play(script);
        dialogue
            .server
            .play("C: 354 go\nS: S: x\nS:\nS: ..\nS: .\nC: 250 queued\nS: QUIT");
        assert_eq!(
            dialogue.account(),
            [
                "refused b@x.example: 550 5.1.1 no such user",
                "refused d@x.example: 450 later / much later",
                "sent: 250 queued",
                "finished",
            ]
        );
    }
}

#[test]
fn a_message_that_is_refused_leaves_the_session_to_the_next_one() {
    let hello = "C: 220 ready\nS: EHLO me.example\nC: 250-hello\nC: 250 PIPELINING\nS: MAIL FROM:<a@x.example>\nS: RCPT TO:<b@x.example>\n";
    let next = "S: RSET\nC: 250 ok\nS: MAIL FROM:<a@x.example>\nS: RCPT TO:<c@x.example>\nC: 250 ok\nC: 250 ok\nS: DATA\nC: 354 go\nS: A: b\nS: .\nC: 250 queued\nS: QUIT";
    for (refusal, told) in [
        // The reply to RCPT is a consequence of that to MAIL.
        (
            "C: 550 not you\nC: 503 who",
            &["not sent: the sender: the server says 550 not you"][..],
        ),
        (
            "C: 250 ok\nC: 550 no",
            &[
                "refused b@x.example: 550 no",
                "not sent: the server takes it for no recipient",
            ],
        ),
        (
            "C: 250 ok\nC: 250 ok\nS: DATA\nC: 451 not now",
            &["not sent: the message: the server says 451 not now"],
        ),
        (
            "C: 250 ok\nC: 250 ok\nS: DATA\nC: 250 what",
            &["not sent: the message: the server says 250 what"],
        ),
        (
            "C: 250 ok\nC: 250 ok\nS: DATA\nC: 354 go\nS: S: x\nS:\nS: ..\nS: .\nC: 554 spam",
            &["not sent: the message: the server says 554 spam"],
        ),
    ] {
        let mails = vec![mail(ONE, "S: x\n\n.\n"), mail(&["c@x.example"], "A: b")];
        let mut dialogue = Dialogue::new(settings(), mails);
        dialogue.server.play(&format!("{hello}{refusal}\n{next}"));
        let expected = [told, &["sent: 250 queued", "finished"]].concat();
        assert_eq!(dialogue.account(), expected, "{refusal}");
    }
}

#[test]
fn two_messages_need_no_reset_between_them() {
    let mails = vec![mail(ONE, "A: 1"), mail(ONE, "A: 2")];
    let mut dialogue = Dialogue::new(settings(), mails);
    let rest = "MAIL FROM:<a@x.example>\nC: 250 ok\nS: RCPT TO:<b@x.example>\nC: 250 ok\nS: DATA\nC: 354 go";
    dialogue.server.play(&format!(
        "C: 220 ready\nS: EHLO me.example\nC: 250 hello\nS: {rest}\nS: A: 1\nS: .\nC: 250 one\nS: {rest}\nS: A: 2\nS: .\nC: 250 two\nS: QUIT"
    ));
    assert_eq!(
        dialogue.account(),
        ["sent: 250 one", "sent: 250 two", "finished"]
    );
}

#[test]
fn a_message_that_the_server_cannot_take_is_not_sent() {
    let international = |from: &str, to: &[&str]| Mail {
        from: Some(address(from)),
        ..mail(to, "A: b\n")
    };
    let long: &'static str = Box::leak(format!("A: b\n\n{}\n", "x".repeat(999)).into_boxed_str());
    for (mail, offers, told) in [
        (
            mail(ONE, "S: x\n\n\u{e4}\n"),
            "PIPELINING",
            "not sent: the message has 8-bit text, and the server takes none (no 8BITMIME): encode it",
        ),
        (
            mail(ONE, "S: \u{e4}\n"),
            "8BITMIME",
            "not sent: an address or the message's header is not in ASCII, and the server takes no other (no SMTPUTF8): encode it",
        ),
        (
            international("a@x.example", &["j\u{f6}rg@x.example"]),
            "8BITMIME",
            "not sent: an address or the message's header is not in ASCII, and the server takes no other (no SMTPUTF8): encode it",
        ),
        (
            mail(ONE, "S: x\n\n1\n"),
            "SIZE 10",
            "not sent: the message has 11 bytes, and the server takes 10 (SIZE)",
        ),
        (
            mail(ONE, "S: x\n\n\0\n"),
            "SIZE",
            "not sent: line 3 of the message has a NUL: encode it",
        ),
        (
            mail(ONE, long),
            "SIZE",
            "not sent: line 3 of the message has 999 bytes, and --max-line allows fewer: encode it, or raise the limit if the server takes such lines",
        ),
        (
            mail(&[], "A: b"),
            "SIZE",
            "not sent: the message has no recipient",
        ),
    ] {
        let mut dialogue = Dialogue::new(settings(), vec![mail]);
        dialogue.server.play(&format!(
            "C: 220 ready\nS: EHLO me.example\nC: 250-hello\nC: 250 {offers}\nS: QUIT\nS ends"
        ));
        assert_eq!(dialogue.account(), [told, "finished"]);
    }
    for (mail, command) in [
        (
            mail(ONE, "S: x\n\n\u{e4}\n"),
            "MAIL FROM:<a@x.example> SIZE=12 BODY=8BITMIME",
        ),
        (
            mail(ONE, "S: \u{e4}\n"),
            "MAIL FROM:<a@x.example> SIZE=7 BODY=8BITMIME SMTPUTF8",
        ),
        (
            international("j\u{f6}rg@x.example", ONE),
            "MAIL FROM:<j\u{f6}rg@x.example> SIZE=6 SMTPUTF8",
        ),
        (
            Mail {
                from: None,
                ..mail(ONE, "A: b")
            },
            "MAIL FROM:<> SIZE=6",
        ),
    ] {
        let mut dialogue = Dialogue::new(settings(), vec![mail]);
        dialogue.server.play(&format!(
            "C: 220 ready\nS: EHLO me.example\nC: 250-hello\nC: 250-SIZE 0\nC: 250-8BITMIME\nC: 250 SMTPUTF8\nS: {command}"
        ));
    }
}

#[test]
fn logins_send_what_the_mechanism_has_and_no_more() {
    let hello = "C: 220 ready\nS: EHLO me.example\nC: 250-hello\n";
    let plain = "C: 250 AUTH LOGIN PLAIN\nS: AUTH PLAIN AHUAcA==\n";
    let login_command = "C: 250 AUTH=LOGIN\nS: AUTH LOGIN\n";
    let mail = "S: MAIL FROM:<a@x.example>";
    for (script, told) in [
        (format!("{plain}C: 235 welcome\n{mail}"), "interrupted"),
        (
            format!("{plain}C: 334 \nS: AHUAcA==\nC: 235 welcome\n{mail}"),
            "interrupted",
        ),
        (
            format!(
                "{login_command}C: 334 VXNlcm5hbWU6\nS: dQ==\nC: 334 UGFzc3dvcmQ6\nS: cA==\nC: 235 welcome\n{mail}"
            ),
            "interrupted",
        ),
        (
            format!("{plain}C: 535 no\nS: QUIT\nS ends"),
            "the login: the server says 535 no",
        ),
        (
            format!("{plain}C: 334 \nS: AHUAcA==\nC: 334 more\nS closes"),
            "the server asks for more than a name and a password",
        ),
        (
            format!("{login_command}C: 334 a\nS: dQ==\nC: 334 b\nS: cA==\nC: 334 c\nS closes"),
            "the server asks for more than a name and a password",
        ),
        (
            "C: 250 AUTH CRAM-MD5 X\x1b\nS: QUIT\nS ends".into(),
            "the server offers neither AUTH PLAIN nor AUTH LOGIN, but CRAM-MD5 X\u{fffd}",
        ),
        (
            "C: 250 SIZE\nS: QUIT\nS ends".into(),
            "the server offers no AUTH",
        ),
    ] {
        let mut dialogue = Dialogue::new(login(), short(ONE));
        dialogue.server.play(&format!("{hello}{script}"));
        assert_eq!(
            dialogue.account(),
            [format!("finished: {told}")],
            "{script}"
        );
    }
}

#[test]
fn a_password_passes_in_clear_only_if_that_is_allowed() {
    let refused = "finished: the password would pass in clear: --tls or --starttls encrypts it, --allow-cleartext sends it as it is";
    for (host, allow_cleartext, passes) in [
        ("192.0.2.1", false, false),
        ("192.0.2.1", true, true),
        ("127.0.0.1", false, true),
    ] {
        let account = Rc::default();
        let mailer = Account {
            lines: Rc::clone(&account),
            mails: short(ONE).into(),
        };
        let settings = Settings {
            allow_cleartext,
            ..login()
        };
        let mut harness = Harness::new(Idle);
        let contact = Contact::new(&ContactOptions::default());
        client::connect(
            &mut harness.registry(),
            &contact,
            (host, 25),
            settings,
            mailer,
        )
        .expect("a connection");
        let mut server = harness.dialled().expect("a connection");
        server.connected();
        let next = match passes {
            true => "S: AUTH PLAIN AHUAcA==",
            false => "S: QUIT\nS ends\nC ends",
        };
        server.play(&format!(
            "C: 220 ready\nS: EHLO me.example\nC: 250-hello\nC: 250 AUTH PLAIN\n{next}"
        ));
        let told: &[&str] = if passes { &[] } else { &[refused] };
        assert_eq!(account.take(), told, "{host}");
    }
}

struct Idle;
impl asynchat::Dispatcher for Idle {}

#[test]
fn without_starttls_nothing_is_sent_in_clear() {
    let hello = "C: 220 ready\nS: EHLO me.example\n";
    for (script, told) in [
        (
            "C: 250 hello\nS: QUIT\nS ends",
            "the server offers no STARTTLS",
        ),
        (
            "C: 502 what\nS: HELO me.example\nC: 250 hello\nS: QUIT\nS ends",
            "the server offers no STARTTLS",
        ),
        (
            "C: 250-hello\nC: 250 STARTTLS\nS: STARTTLS\nC: 454 not now\nS: QUIT\nS ends",
            "STARTTLS: the server says 454 not now",
        ),
    ] {
        let mut dialogue = Dialogue::new(starttls(), short(ONE));
        dialogue.server.play(&format!("{hello}{script}"));
        assert_eq!(
            dialogue.account(),
            [format!("finished: {told}")],
            "{script}"
        );
    }
}

/// Replies that are sent in clear behind the one to STARTTLS are not taken for the server's.
#[test]
fn what_is_injected_before_the_handshake_ends_the_session() {
    let insecure = ContactOptions {
        trust: Trusting::parse_from(["x", "--insecure"]).trust,
        ..ContactOptions::default()
    };
    let account = Rc::default();
    let mailer = Account {
        lines: Rc::clone(&account),
        mails: short(ONE).into(),
    };
    let session = Session::new(starttls(), insecure.timeout, mailer);
    let connection = Connection::dispatcher(session, &Contact::new(&insecure), "a.example");
    let mut server = Harness::connecting(connection);
    server.connected();
    server.play("C: 220 ready\nS: EHLO me.example\nC: 250-hello\nC: 250 STARTTLS\nS: STARTTLS");
    server.feed("220 go\r\n250-injected\r\n250 AUTH PLAIN\r\n");
    let sent = server.output();
    assert!(
        !sent
            .windows(4)
            .any(|word| word == b"EHLO" || word == b"MAIL")
    );
    // For the alert to arrive.
    server.advance(Duration::from_secs(31));
    let told = account.take();
    assert_eq!(told.len(), 1);
    assert!(
        told[0].starts_with("finished: TLS handshake with a.example failed"),
        "{told:?}"
    );
}

/// A server's end of TLS.
fn acceptor() -> TlsAcceptor {
    let identity = certificates::Authority::new("an authority for tests").issue(&["a.example"]);
    let key = PrivatePkcs8KeyDer::from(identity.key);
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![identity.certificate.into()], key.into());
    TlsAcceptor::new(Arc::new(config.expect("a certificate")))
}

/// Somebody on the way could have said it (RFC 3207, 4.2).
#[test]
fn what_was_offered_in_clear_is_forgotten() {
    let insecure = ContactOptions {
        trust: Trusting::parse_from(["x", "--insecure"]).trust,
        ..ContactOptions::default()
    };
    let account = Rc::default();
    let mailer = Account {
        lines: Rc::clone(&account),
        mails: short(ONE).into(),
    };
    let settings = Settings {
        encryption: starttls().encryption,
        ..login()
    };
    let session = Session::new(settings, insecure.timeout, mailer);
    let connection = Connection::dispatcher(session, &Contact::new(&insecure), "a.example");
    let mut server = Harness::connecting(connection);
    server.connected();
    server.play(
        "C: 220 ready
         S: EHLO me.example
         C: 250-hello
         C: 250-AUTH PLAIN
         C: 250 STARTTLS
         S: STARTTLS",
    );
    server.feed("220 go\r\n");
    server.upgrade(acceptor().filter().expect("a filter"));
    server.play(
        "S: EHLO me.example
         C: 502 what
         S: HELO me.example
         C: 250 hello
         S: QUIT
         S ends
         C ends",
    );
    assert_eq!(account.take(), ["finished: the server offers no AUTH"]);
}

#[derive(Parser)]
struct Trusting {
    #[command(flatten)]
    trust: Trust,
}

#[test]
fn each_step_can_end_in_421_a_close_a_reset_or_silence() {
    type End = (fn(&mut Harness), &'static str);
    let ends: [End; 6] = [
        (
            |h| h.feed("421 4.3.2 going down\r\n"),
            "the session: the server says 421 4.3.2 going down",
        ),
        (|h| h.eof(), "the server closed the connection"),
        (|h| h.reset(), "the server broke the connection"),
        (
            |h| h.advance(Duration::from_secs(601)),
            "nothing moved for 30s",
        ),
        (
            |h| h.feed("\x1b[2Jhello\r\n"),
            "the server sent no reply but \"\u{fffd}[2Jhello\"",
        ),
        (
            |h| h.feed(vec![b'2'; 70_000]),
            "the server sent a line of more than 65536 bytes",
        ),
    ];
    let steps: Vec<_> = PLAIN.lines().collect();
    let turns = (0..steps.len()).filter(|&at| {
        let says = |at: usize| {
            steps
                .get(at)
                .is_some_and(|line| line.trim().starts_with("S:"))
        };
        says(at) && !says(at + 1)
    });
    let mut begun = vec![String::new()];
    begun.extend(turns.map(|at| steps[..=at].join("\n")));
    assert_eq!(begun.len(), 6);
    for script in &begun {
        for (end, told) in ends {
            let mut dialogue = Dialogue::new(settings(), short(ONE));
            dialogue.server.play(script);
            end(&mut dialogue.server);
            let mut expected = format!("finished: {told}");
            if script.ends_with("S: .") && !told.contains("421") {
                expected = expected.replace("30s", "600s");
                expected.push_str("; the server may have taken the message");
            }
            assert_eq!(dialogue.account(), [expected], "behind {script}");
        }
    }
}

#[test]
fn servers_that_lie_are_not_believed() {
    let hello = "C: 220 ready\nS: EHLO me.example\n";
    for (script, told) in [
        (
            "C: 250 hello\nS: MAIL FROM:<a@x.example>\nC: 250-ok\nC: 999 ok\nC: x\nC: 250 ok\nS: RCPT TO:<b@x.example>",
            "finished: interrupted",
        ),
        (
            "C: 350 hello\nS: QUIT\nS ends",
            "finished: EHLO: the server says 350 hello",
        ),
        (
            "C: 450 hello\nS: QUIT\nS ends",
            "finished: EHLO: the server says 450 hello",
        ),
    ] {
        let mut dialogue = Dialogue::new(settings(), short(ONE));
        dialogue.server.play(&format!("{hello}{script}"));
        assert_eq!(dialogue.account(), [told], "{script}");
    }
    // The replies to commands that were not sent yet.
    let mut dialogue = Dialogue::new(settings(), short(ONE));
    dialogue
        .server
        .feed("220 a\r\n250 b\r\n250 c\r\n250 d\r\n354 e\r\n250 taken\r\n");
    assert_eq!(
        dialogue.account(),
        ["finished: before the message was complete: the server says 250 taken"]
    );
    let mut dialogue = Dialogue::new(settings(), short(ONE));
    dialogue.server.play("C: 554 go away\nS: QUIT\nS ends");
    assert_eq!(
        dialogue.account(),
        ["finished: the connection: the server says 554 go away"]
    );
}

/// `x` without an end.
struct Endless;

impl Producer for Endless {
    fn more(&mut self) -> std::io::Result<Produced> {
        Ok(Produced::Data("xxxxxxx\n".repeat(8192).into()))
    }
}

#[test]
fn a_reply_in_the_middle_of_a_message_ends_it() {
    for reply in ["552 too much", "250 thanks", "421 late"] {
        let endless = Mail {
            text: Box::new(Endless),
            ..mail(ONE, "A: b")
        };
        let mut dialogue = Dialogue::new(settings(), vec![endless]);
        dialogue.server.set_window(1 << 20);
        let begin = PLAIN.split("S: S: x").next().expect("up to the text");
        let (begin, go) = begin.trim_end().rsplit_once('\n').expect("354");
        dialogue.server.play(begin);
        dialogue.server.feed(format!("{}\r\n", &go.trim()[3..]));
        dialogue.server.feed(format!("{reply}\r\n"));
        assert!(dialogue.server.is_closed());
        let told = dialogue.account();
        let what = match reply.starts_with("421") {
            true => "the session",
            false => "before the message was complete",
        };
        assert_eq!(told, [format!("finished: {what}: the server says {reply}")]);
    }
}

/// A server that offers a window as small as it likes gets no more commands than fit.
#[test]
fn many_recipients_are_asked_for_a_hundred_at_a_time() {
    let names: Vec<_> = (0..1000).map(|n| format!("r{n}@x.example")).collect();
    let to: Vec<_> = names.iter().map(String::as_str).collect();
    let mut dialogue = Dialogue::new(settings(), short(&to));
    dialogue
        .server
        .feed("220 ready\r\n250-hello\r\n250 PIPELINING\r\n");
    let mut asked = 0;
    loop {
        let output = String::from_utf8(dialogue.server.output()).expect("ASCII");
        let commands = output
            .lines()
            .filter(|line| !line.starts_with("EHLO"))
            .count();
        if output.ends_with("DATA\r\n") {
            break;
        }
        assert!((1..=100).contains(&commands), "{commands}");
        asked += commands;
        dialogue.server.feed("250 ok\r\n".repeat(commands));
    }
    assert_eq!(asked, 1001);
}
