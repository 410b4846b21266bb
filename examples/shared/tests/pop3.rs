//! `shared::pop3`: dialogues, of which `C:` is the server's side and `S:` the client's, because the kit is the peer; in one
//! piece and byte by byte.

use std::{cell::RefCell, rc::Rc, time::Duration};

use asynchat::{BoxError, Registry, Result, testing::Harness};
use shared::{
    client::{Connection, Contact, ContactOptions, MAX_LINE},
    pop3::{
        Answer, Auth, Client, Command, MAX_CAPABILITIES, MAX_MESSAGES, MAX_UID, Session, Settings,
        User,
    },
};

/// Sends these commands, and keeps an account of the answers.
struct Reader {
    commands: Vec<Command>,
    account: Rc<RefCell<String>>,
}

impl Reader {
    fn note(&self, text: &str) {
        self.account.borrow_mut().push_str(text);
    }
}

impl User for Reader {
    fn ready(&mut self, session: &mut Session) -> Result {
        self.note("ready\n");
        self.commands
            .iter()
            .for_each(|&command| session.send(command));
        Ok(())
    }

    fn answer(&mut self, _: &mut Session, command: Command, answer: Answer<'_>) -> Result {
        self.note(&match answer {
            Answer::Stat { messages, bytes } => format!("{messages} in {bytes}\n"),
            Answer::Size(number, size) => format!("{number} of {size}\n"),
            Answer::Uid(number, uid) => format!("{number} is {uid}\n"),
            Answer::Done => format!("{command} done\n"),
            Answer::Refused(why) => format!("{command} refused: {why}\n"),
        });
        Ok(())
    }

    fn data(&mut self, _: Command, data: &[u8]) -> Result {
        self.note(&String::from_utf8_lossy(data).replace('\r', "~"));
        Ok(())
    }

    fn finished(&mut self, _: &mut Registry, outcome: Result<(), BoxError>) {
        self.note(&match outcome {
            Ok(()) => "finished".into(),
            Err(error) => format!("failed: {error}"),
        });
    }
}

fn settings() -> Settings {
    Settings {
        starttls: false,
        auth: Auth::Auto,
        allow_cleartext: false,
        user: "u".into(),
        password: "tanstaaf".into(),
        max_message: 1000,
    }
}

const LOOPBACK: &str = "127.0.0.1";
const ELSEWHERE: &str = "192.0.2.1";

struct Idle;
impl asynchat::Dispatcher for Idle {}

/// What a client tells of a server at `host` that plays its part by `server`.
fn told(
    settings: Settings,
    host: &str,
    commands: &[Command],
    server: impl FnOnce(&mut Harness),
) -> String {
    let account = Rc::default();
    let reader = Reader {
        commands: commands.to_vec(),
        account: Rc::clone(&account),
    };
    let contact = Contact::new(&ContactOptions::default());
    let mut kit = Harness::new(Idle);
    let client = Client::new(settings, reader);
    let started = Connection::start(&mut kit.registry(), &contact, (host, 110), false, client);
    started.expect("a connection");
    let mut peer = kit.dialled().expect("a connection");
    peer.connected();
    server(&mut peer);
    peer.registry().shutdown(Duration::ZERO);
    peer.advance(Duration::ZERO);
    account.take()
}

/// The same in one piece and byte by byte.
#[track_caller]
fn plays(settings: &Settings, host: &str, commands: &[Command], script: &str, expected: &str) {
    let whole = told(settings.clone(), host, commands, |peer| peer.play(script));
    assert_eq!(whole, expected, "{script}");
    let cut = told(settings.clone(), host, commands, |peer| {
        peer.play_bytewise(script);
    });
    assert_eq!(cut, expected, "{script}, byte by byte");
}

const LOGIN: &str = "C: +OK ready
    S: CAPA
    C: -ERR what
    S: USER u
    C: +OK
    S: PASS tanstaaf
    C: +OK
    ";
const PIPELINING: &str = "C: +OK ready
    S: CAPA
    C: +OK
    C: pipelining
    C: .
    S: USER u
    C: +OK
    S: PASS tanstaaf
    C: +OK
    ";

/// The login has an RFC 1939 digest, and its password in clear only where nobody reads along.
#[test]
fn logins() {
    use Auth::{Apop, Auto, User};
    let apop = "C: +OK POP3 server ready <1896.697170952@dbc.mtview.ca.us>
        S: CAPA
        C: -ERR
        S: APOP u c4c9334bac560ecc979e58001b3e22fb
        C: +OK
        S closes";
    let refused = "failed: the password would pass in clear: --tls or --starttls encrypts it, --allow-cleartext sends it \
                   as it is";
    let clear = LOGIN.to_owned() + "S closes";
    let stop = "C: +OK ready
        S: CAPA
        C: -ERR
        S closes";
    let bad_timestamp = "C: +OK <1896.6\u{f6}7@dbc>
        S: CAPA
        C: -ERR
        S closes";
    let user_with_timestamp = clear.replace("ready", "<1@x>");
    let starttls = Settings {
        starttls: true,
        ..settings()
    };
    let allowed = Settings {
        allow_cleartext: true,
        ..settings()
    };
    let by = |auth| Settings { auth, ..settings() };
    for (settings, host, script, expected) in [
        (by(Auto), LOOPBACK, apop, "ready\n"),
        (by(Auto), ELSEWHERE, apop, "ready\n"),
        (by(Apop), ELSEWHERE, apop, "ready\n"),
        (by(Auto), LOOPBACK, &clear, "ready\n"),
        (by(User), LOOPBACK, &user_with_timestamp, "ready\n"),
        (by(Auto), ELSEWHERE, stop, refused),
        (by(Auto), ELSEWHERE, bad_timestamp, refused),
        (
            by(User),
            ELSEWHERE,
            &stop.replace("ready", "<1@x>"),
            refused,
        ),
        (allowed, ELSEWHERE, &clear, "ready\n"),
        (
            by(Apop),
            LOOPBACK,
            stop,
            "failed: the server offers no APOP: no timestamp in its greeting",
        ),
        (
            starttls,
            LOOPBACK,
            stop,
            "failed: the server offers no STLS (--starttls)",
        ),
        (
            by(Auto),
            LOOPBACK,
            "C: -ERR [SYS/TEMP] come back later\nS closes",
            "failed: greeting: the server says -ERR [SYS/TEMP] come back later",
        ),
        (
            by(Auto),
            LOOPBACK,
            &clear.replace(
                "PASS tanstaaf\n    C: +OK",
                "PASS tanstaaf\n    C: -ERR [AUTH] wrong\x1b[2J",
            ),
            "failed: login: the server says -ERR [AUTH] wrong\u{fffd}[2J",
        ),
        (
            Settings {
                password: "a\r\nDELE 1".into(),
                ..settings()
            },
            LOOPBACK,
            stop,
            "failed: user name or password: no control characters are possible",
        ),
    ] {
        let expected = match expected {
            "ready\n" => "ready\nfailed: interrupted",
            failed => failed,
        };
        let script = script.replace(
            "S closes",
            if expected.starts_with("ready") {
                ""
            } else {
                "S closes"
            },
        );
        plays(&settings, host, &[], &script, expected);
    }
}

#[test]
fn commands_are_answered_in_their_order() {
    use Command::{Dele, List, Quit, Retr, Stat, Top, Uidl};
    for (commands, script, expected) in [
        (
            &[Stat, List, Uidl, Quit][..],
            "S: STAT
            C: +OK 2 320 and more
            S: LIST
            C: +OK 2 messages
            C: 1 120
            C: 2 200 octets
            C: .
            S: UIDL
            C: +OK
            C: 1 whqtswO00WBw418f9t5JxYwZ
            C: 2 !~
            C: .
            S: QUIT
            C: +OK bye
            S ends",
            "2 in 320\nSTAT done\n1 of 120\n2 of 200\nLIST done\n1 is whqtswO00WBw418f9t5JxYwZ\n2 is !~\nUIDL done\nQUIT done\n\
             finished",
        ),
        (
            &[Retr(1), Top(2, 0), Dele(1), Quit],
            "S: RETR 1
            C: +OK
            C: From: a
            C:
            C: ..
            C: ...two
            C: .one
            C: x
            C: .
            S: TOP 2 0
            C: -ERR no TOP here
            S: DELE 1
            C: +OK
            S: QUIT
            C: +OK
            S ends",
            "From: a~\n~\n.~\n..two~\none~\nx~\nRETR 1 done\nTOP 2 0 refused: -ERR no TOP here\nDELE 1 done\nQUIT done\nfinished",
        ),
        (
            &[List, Uidl, Retr(3), Quit],
            "S: LIST
            C: +OK
            C: .
            S: UIDL
            C: -ERR
            S: RETR 3
            C: +OK
            C: .
            S: QUIT
            C: -ERR [SYS/PERM] some deleted messages not removed
            S closes",
            "LIST done\nUIDL refused: -ERR\nRETR 3 done\nfailed: QUIT: the server says -ERR [SYS/PERM] some deleted messages not \
             removed",
        ),
    ] {
        let script = LOGIN.to_owned() + script;
        plays(
            &settings(),
            LOOPBACK,
            commands,
            &script,
            &format!("ready\n{expected}"),
        );
    }
}

#[test]
fn commands_go_out_together_where_pipelining_is_offered() {
    use Command::{List, Quit, Retr};
    let script = PIPELINING.to_owned()
        + "S: LIST
        S: RETR 1
        S: RETR 2
        S: QUIT
        C: +OK
        C: 1 9
        C: .
        C: +OK
        C: a
        C: .
        C: -ERR gone
        C: +OK
        S ends";
    plays(
        &settings(),
        LOOPBACK,
        &[List, Retr(1), Retr(2), Quit],
        &script,
        "ready\n1 of 9\nLIST done\na~\nRETR 1 done\nRETR 2 refused: -ERR gone\nQUIT done\nfinished",
    );
    let many: Vec<_> = (1..=100).map(Retr).collect();
    told(settings(), LOOPBACK, &many, |peer| {
        peer.play(&(PIPELINING.to_owned() + &"S: RETR …\n".repeat(32)));
        peer.feed("-ERR\r\n-ERR\r\n");
        assert_eq!(peer.output(), b"RETR 33\r\nRETR 34\r\n");
    });
}

/// A server that lies, or goes on for ever, is an error that says why.
#[test]
fn what_no_server_should_do_is_an_error() {
    use Command::{List, Quit, Retr, Stat, Uidl};
    let long = "x".repeat(MAX_LINE + 1);
    let capabilities = format!(
        "C: +OK\nS: CAPA\nC: +OK\n{}S closes",
        "C: A\n".repeat(MAX_CAPABILITIES + 1)
    );
    let list = format!(
        "S: LIST\nC: +OK\n{}S closes",
        "C: 1 1\n".repeat(MAX_MESSAGES + 1)
    );
    let uid = format!(
        "S: UIDL\nC: +OK\nC: 1 {}\nS closes",
        "x".repeat(MAX_UID + 1)
    );
    let message = format!(
        "S: RETR 1\nC: +OK\n{}S closes",
        "C: 0123456789\n".repeat(84)
    );
    let line = format!("S: RETR 1\nC: +OK\nC: {}\nS closes", "x".repeat(1001));
    let endless = format!("S: LIST\nC: +OK\nC: {long}\nS closes");
    for (commands, script, expected) in [
        (
            &[][..],
            "C: HTTP/1.1 400 Bad\x07 Request\nS closes",
            "failed: the server sent neither +OK nor -ERR but \"HTTP/1.1 400 Bad\u{fffd} Request\"",
        ),
        (
            &[],
            &capabilities,
            "failed: the server has more than 200 capabilities",
        ),
        (
            &[],
            "C: +OK\nS: CAPA\nC: * OK\nS closes",
            "failed: the server sent neither +OK nor -ERR but \"* OK\"",
        ),
        (
            &[],
            "LOGIN C: +OK unasked\nS closes",
            "ready\nfailed: the server sent \"+OK unasked\" unasked",
        ),
        (
            &[Stat],
            "LOGIN S: STAT\nC: +OK many\nS closes",
            "ready\nfailed: STAT: the server sent \"+OK many\"",
        ),
        (
            &[Stat],
            "LOGIN S: STAT\nC: +OK -1 5\nS closes",
            "ready\nfailed: STAT: the server sent \"+OK -1 5\"",
        ),
        (
            &[Stat],
            "LOGIN S: STAT\nC: +OK 4294967296 5\nS closes",
            "ready\nfailed: STAT: the server sent \"+OK 4294967296 5\"",
        ),
        (
            &[List],
            "LOGIN S: LIST\nC: +OK\nC: one 1\nS closes",
            "ready\nfailed: LIST: the server sent \"one 1\"",
        ),
        (
            &[Uidl],
            "LOGIN S: UIDL\nC: +OK\nC: 1 a b\nS closes",
            "ready\nfailed: UIDL: the server sent \"1 a b\"",
        ),
        (
            &[Uidl],
            "LOGIN S: UIDL\nC: +OK\nC: 1\nS closes",
            "ready\nfailed: UIDL: the server sent \"1\"",
        ),
        (
            &[Uidl],
            &format!("LOGIN {uid}"),
            "ready\nfailed: UIDL: the server sent \"1 xxx",
        ),
        (
            &[Retr(1)],
            "LOGIN S: RETR 1\nC: text\nS closes",
            "ready\nfailed: the server sent neither +OK nor -ERR but \"text\"",
        ),
        (
            &[Retr(1)],
            "LOGIN S: RETR 1\nC: +OK\nC ends\nS closes",
            "ready\nfailed: the server closed the connection",
        ),
        (
            &[Retr(1)],
            "LOGIN S: RETR 1\nC: +OK\nC: a\nC resets",
            "ready\na~\nfailed: the server broke the connection",
        ),
        (
            &[Retr(1)],
            "LOGIN S: RETR 1\nwait 31s\nS closes",
            "ready\nfailed: nothing moved for 30s",
        ),
        (
            &[Quit],
            "LOGIN S: QUIT\nC ends\nS closes",
            "ready\nfailed: the server closed the connection",
        ),
        (
            &[],
            "C ends\nS closes",
            "failed: the server closed the connection",
        ),
        (&[], "C resets", "failed: the server broke the connection"),
        (&[], "wait 31s\nS closes", "failed: nothing moved for 30s"),
    ] {
        let script = script.replace("LOGIN ", LOGIN);
        let whole = told(settings(), LOOPBACK, commands, |peer| peer.play(&script));
        assert!(whole.starts_with(expected), "{script}: {whole}");
    }
    // Too long to be shown.
    for (commands, script, expected) in [
        (
            &[List][..],
            &list,
            "failed: the server lists more than 200000 messages",
        ),
        (
            &[List],
            &endless,
            "failed: the server sent a line of more than 65536 bytes",
        ),
        (
            &[Retr(1)],
            &message,
            "failed: RETR 1: the message is larger than 1000 bytes (--max-message)",
        ),
        (
            &[Retr(1)],
            &line,
            "failed: RETR 1: the message is larger than 1000 bytes (--max-message)",
        ),
    ] {
        let script = LOGIN.to_owned() + script;
        let whole = told(settings(), LOOPBACK, commands, |peer| peer.play(&script));
        assert!(
            whole.ends_with(expected),
            "{}",
            whole.lines().last().unwrap_or_default()
        );
    }
}

#[test]
fn words_in_clear_behind_the_answer_to_stls_are_no_tls() {
    let settings = Settings {
        starttls: true,
        ..settings()
    };
    let told = told(settings, LOOPBACK, &[], |peer| {
        peer.play("C: +OK <1@x>\nS: CAPA\nC: +OK\nC: STLS\nC: .\nS: STLS");
        peer.feed("+OK begin\r\n+OK\r\nPIPELINING\r\n.\r\n");
        let hello = peer.output();
        assert!(
            hello.is_empty() || hello.starts_with(&[0x16, 3]) || hello.starts_with(&[0x15, 3]),
            "{hello:?}"
        );
    });
    assert!(
        told.starts_with("failed: TLS handshake with 127.0.0.1 failed: "),
        "{told}"
    );
}
