//! `shared::imap`: dialogues, of which `C:` is the server's side and `S:` the client's, because the kit is the peer; in one
//! piece and byte by byte.

use std::{cell::RefCell, rc::Rc, time::Duration};

use asynchat::{BoxError, Registry, Result, testing::Harness};
use shared::{
    client::{Connection, Contact, ContactOptions},
    imap::{
        Auth, Client, Command, Event, MAX_DEPTH, MAX_RESPONSE, Session, Settings, Status, User,
        Value, is_set,
    },
};

/// Sends these commands, and keeps an account of what comes.
struct Reader {
    commands: Vec<Command>,
    account: Rc<RefCell<String>>,
    /// IDLE ends with the first event.
    idling: bool,
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
            .drain(..)
            .for_each(|command| session.send(command));
        Ok(())
    }

    fn event(&mut self, session: &mut Session, event: Event<'_>) -> Result {
        if self.idling {
            session.done();
        }
        self.note(&match event {
            Event::Mailbox {
                attributes,
                delimiter,
                name,
            } => {
                format!("{name} {attributes:?} {delimiter:?}\n")
            }
            Event::Found(numbers) => format!("found {numbers:?}\n"),
            Event::Exists(count) => format!("{count} exist\n"),
            Event::Recent(count) => format!("{count} recent\n"),
            Event::Expunged(number) => format!("{number} gone\n"),
            Event::Fetched(number, items) => {
                let items: Vec<_> = items
                    .iter()
                    .map(|(name, value)| format!("{name}={}", shown(value)))
                    .collect();
                format!("fetched {number}: {}\n", items.join(" "))
            }
            Event::Status(status) => format!("{status}\n"),
        });
        Ok(())
    }

    fn body(&mut self, number: u32, section: &str, size: u64) -> Result {
        self.note(&format!("{size} of {number} {section}: "));
        Ok(())
    }

    fn data(&mut self, data: &[u8]) -> Result {
        self.note(&String::from_utf8_lossy(data).replace('\r', "~"));
        Ok(())
    }

    fn idling(&mut self, _: &mut Session) -> Result {
        self.idling = true;
        self.note("idling\n");
        Ok(())
    }

    fn completed(&mut self, _: &mut Session, command: &Command, status: &Status) -> Result {
        self.idling = false;
        self.note(&format!("{command}: {status}\n"));
        Ok(())
    }

    fn finished(&mut self, _: &mut Registry, outcome: Result<(), BoxError>) {
        self.note(&match outcome {
            Ok(()) => "finished".into(),
            Err(error) => format!("failed: {error}"),
        });
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Passed(size) => format!("<{size}>"),
        Value::List(list) => format!("({})", list.iter().map(shown).collect::<Vec<_>>().join(" ")),
        Value::Nil => "NIL".into(),
        value => value.text().expect("a text"),
    }
}

fn settings() -> Settings {
    Settings {
        starttls: false,
        auth: Auth::Auto,
        allow_cleartext: false,
        user: "u".into(),
        password: "secret".into(),
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
        idling: false,
    };
    let contact = Contact::new(&ContactOptions::default());
    let mut kit = Harness::new(Idle);
    let client = Client::new(settings, reader);
    let started = Connection::start(&mut kit.registry(), &contact, (host, 143), false, client);
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

const LOGIN: &str = "C: * OK [CAPABILITY IMAP4rev1 IDLE] ready
    S: a1 LOGIN \"u\" \"secret\"
    C: a1 OK [CAPABILITY IMAP4rev1 IDLE] done
    ";

#[test]
fn logins() {
    let interrupted = "ready\nfailed: interrupted";
    let clear = "failed: the password would pass in clear: --tls or --starttls encrypts it, --allow-cleartext sends it as it \
                 is";
    let by = |auth| Settings { auth, ..settings() };
    let named = |user: &str, password: &str| Settings {
        user: user.into(),
        password: password.into(),
        ..settings()
    };
    for (settings, host, script, expected) in [
        (settings(), LOOPBACK, LOGIN, interrupted),
        (
            settings(),
            LOOPBACK,
            "C: * OK ready
            S: a1 CAPABILITY
            C: * CAPABILITY IMAP4rev1 AUTH=PLAIN
            C: a1 OK
            S: a2 AUTHENTICATE PLAIN
            C: +
            S: AHUAc2VjcmV0
            C: a2 OK
            S: a3 CAPABILITY
            C: * CAPABILITY IMAP4rev1
            C: a3 OK",
            interrupted,
        ),
        (
            settings(),
            LOOPBACK,
            "C: * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] ready
            S: a1 AUTHENTICATE PLAIN AHUAc2VjcmV0
            C: a1 NO [AUTHENTICATIONFAILED] wrong \x1b[2J
            S closes",
            "failed: login: the server says NO [AUTHENTICATIONFAILED] wrong \u{fffd}[2J",
        ),
        (
            named("Jörg \"x\\", "pässword"),
            LOOPBACK,
            "C: * OK [CAPABILITY IMAP4rev1] ready
            S: a1 LOGIN {9}
            C: + go on
            S: Jörg \"x\\ {9}
            C: +
            S: pässword
            C: a1 OK [CAPABILITY IMAP4rev1] done",
            interrupted,
        ),
        (
            named("a\"b\\c", "ä"),
            LOOPBACK,
            "C: * OK [CAPABILITY IMAP4rev1 LITERAL+] ready
            S: a1 LOGIN \"a\\\"b\\\\c\" {2+}
            S: ä
            C: a1 OK [CAPABILITY IMAP4rev1] done",
            interrupted,
        ),
        (
            by(Auth::Login),
            LOOPBACK,
            &LOGIN.replace("IDLE", "AUTH=PLAIN"),
            interrupted,
        ),
        (
            by(Auth::Login),
            LOOPBACK,
            "C: * OK [CAPABILITY IMAP4rev1 LOGINDISABLED] ready\nS closes",
            "failed: the server takes no password here: LOGINDISABLED",
        ),
        (
            settings(),
            ELSEWHERE,
            "C: * OK [CAPABILITY IMAP4rev1] ready\nS closes",
            clear,
        ),
        (
            Settings {
                allow_cleartext: true,
                ..settings()
            },
            ELSEWHERE,
            LOGIN,
            interrupted,
        ),
        (
            named("u", "a\r\na2 LOGOUT"),
            LOOPBACK,
            "C: * OK [CAPABILITY IMAP4rev1] ready\nS closes",
            "failed: user name or password: no control characters are possible",
        ),
        (
            settings(),
            ELSEWHERE,
            "C: * PREAUTH [CAPABILITY IMAP4rev1] welcome",
            interrupted,
        ),
        (
            settings(),
            LOOPBACK,
            "C: * BYE too busy\nS closes",
            "failed: greeting: the server says BYE too busy",
        ),
        (
            settings(),
            LOOPBACK,
            "C: +OK ready\nS closes",
            "failed: the server sent \"+OK ready\": no response of IMAP",
        ),
        (
            settings(),
            LOOPBACK,
            "C: a1 OK\nS closes",
            "failed: the server does not greet",
        ),
        (
            settings(),
            LOOPBACK,
            "C: * CAPABILITY X\nS closes",
            "failed: the server does not greet",
        ),
    ] {
        plays(&settings, host, &[], script, expected);
    }
}

#[test]
fn nothing_that_was_said_before_starttls_counts() {
    let starttls = Settings {
        starttls: true,
        ..settings()
    };
    for (script, expected) in [
        (
            "C: * PREAUTH [CAPABILITY IMAP4rev1 STARTTLS] welcome\nS closes",
            "failed: the server begins with PREAUTH, after which there is no STARTTLS (--starttls)",
        ),
        (
            "C: * OK [CAPABILITY IMAP4rev1] ready\nS closes",
            "failed: the server offers no STARTTLS (--starttls)",
        ),
        (
            "C: * OK [CAPABILITY IMAP4rev1 STARTTLS] ready\nS: a1 STARTTLS\nC: a1 BAD no\nS closes",
            "failed: STARTTLS: the server says BAD no",
        ),
        (
            "C: * OK [CAPABILITY IMAP4rev1 STARTTLS] ready\nS: a1 STARTTLS\nC: * 5 EXISTS\nC: * OK [ALERT] evil\nC: a2 OK\nS \
             closes",
            "failed: the server answers what was not asked: \"a2\"",
        ),
    ] {
        plays(&starttls, LOOPBACK, &[], script, expected);
    }
    let told = told(starttls, LOOPBACK, &[], |peer| {
        peer.play("C: * OK [CAPABILITY IMAP4rev1 STARTTLS] ready\nS: a1 STARTTLS");
        peer.feed("a1 OK begin\r\n* CAPABILITY IMAP4rev1\r\na2 OK\r\na3 OK\r\n");
        let hello = peer.output();
        assert!(
            hello.is_empty() || matches!(hello[..2], [0x15 | 0x16, 3]),
            "{hello:?}"
        );
    });
    assert!(
        told.starts_with("failed: TLS handshake with 127.0.0.1 failed: "),
        "{told}"
    );
}

#[test]
fn commands_are_sent_and_answered() {
    let box_ = |name: &str| Command::Examine {
        mailbox: name.into(),
    };
    let search = |keys: &[&str]| Command::Search {
        keys: keys.iter().copied().map(String::from).collect(),
        by_uid: false,
    };
    let fetch = |items: &str| Command::Fetch {
        set: "1:*".into(),
        items: items.into(),
        by_uid: true,
    };
    for (command, script, expected) in [
        (
            Command::List {
                pattern: "Entw*".into(),
            },
            "S: a2 LIST \"\" \"Entw*\"
            C: * LIST (\\HasNoChildren \\Drafts) \"/\" \"Entw&APw-rfe\"
            C: * list () NIL {7}
            C: a\"b\\c)d
            C: * LSUB () NIL x
            C: a2 OK",
            "Entwürfe [\"\\\\HasNoChildren\", \"\\\\Drafts\"] Some(\"/\")\na\"b\\c)d [] None\nLIST: OK \n",
        ),
        (
            box_("Entwürfe \"x\"\r\n"),
            "S: a2 EXAMINE \"Entw&APw-rfe \\\"x\\\"&AA0ACg-\"
            C: * 23 EXISTS
            C: * 1 recent
            C: * FLAGS (\\Answered \\Seen)
            C: * OK [UNSEEN 2] Message 2 {5}
            C: * OK [UIDVALIDITY 3857529045] UIDs valid
            C: a2 OK [READ-ONLY] done",
            "23 exist\n1 recent\nOK [UNSEEN 2] Message 2 {5}\nOK [UIDVALIDITY 3857529045] UIDs valid\nEXAMINE Entwürfe \
             \"x\"\r\n: OK [READ-ONLY] done\n",
        ),
        (
            box_("x"),
            "S: a2 EXAMINE \"x\"\nC: a2 NO [NONEXISTENT] no",
            "EXAMINE x: NO [NONEXISTENT] no\n",
        ),
        (
            search(&[
                "OR",
                "SINCE",
                "1-Feb-1994",
                "(",
                "NOT",
                "SUBJECT",
                "a \"b",
                ")",
                "1:*",
            ]),
            "S: a2 SEARCH OR SINCE 1-Feb-1994 ( NOT SUBJECT \"a \\\"b\" ) 1:*
            C: * SEARCH 2 84 882
            C: * SEARCH
            C: * SEARCH 3 (MODSEQ 917162500)
            C: a2 OK",
            "found [2, 84, 882]\nfound []\nfound [3]\nSEARCH: OK \n",
        ),
        (
            search(&["TEXT", "ä"]),
            "S: a2 SEARCH CHARSET UTF-8 TEXT {2}
            C: + go
            S: ä
            C: a2 BAD [BADCHARSET (US-ASCII)] no",
            "SEARCH: BAD [BADCHARSET (US-ASCII)] no\n",
        ),
        (
            search(&["x\r\na3 LOGOUT"]),
            "S: a2 SEARCH {12}
            C: a2 BAD no",
            "SEARCH: BAD no\n",
        ),
        (
            fetch("(UID BODY.PEEK[])"),
            "S: a2 UID FETCH 1:* (UID BODY.PEEK[])
            C: * 1 FETCH (UID 7 BODY[] {13}
            C: From: {1}
            C:
            C: )
            C: * 2 FETCH (BODY[] {0}
            C:  UID 8)
            C: * 3 FETCH (BODY[HEADER.FIELDS (FROM)]<0> {3}
            C: a b FLAGS (\\Seen))
            C: * 4 FETCH (BODY[] \"short\" UID 9)
            C: * 5 FETCH (BODY[] NIL UID 10)
            C: * 6 FETCH (ENVELOPE ({3}
            C: a)b NIL (\"x\" \"BODY[]\")) RFC822.SIZE 5)
            C: * 4 EXPUNGE
            C: * VANISHED 1
            C: a2 OK",
            "13 of 1 BODY[]: From: {1}~\n~\nfetched 1: UID=7 BODY[]=<13>\n\
             0 of 2 BODY[]: fetched 2: BODY[]=<0> UID=8\n\
             3 of 3 BODY[HEADER.FIELDS (FROM)]<0>: a bfetched 3: BODY[HEADER.FIELDS (FROM)]<0>=<3> FLAGS=(\\Seen)\n\
             5 of 4 BODY[]: shortfetched 4: BODY[]=short UID=9\n\
             fetched 5: BODY[]=NIL UID=10\n\
             fetched 6: ENVELOPE=(a)b NIL (x BODY[])) RFC822.SIZE=5\n\
             4 gone\nFETCH 1:*: OK \n",
        ),
        (
            Command::Idle(Duration::from_secs(600)),
            "S: a2 IDLE
            C: * OK [ALERT] disk
            C: + idling
            wait 500s
            C: * 4 EXISTS
            S: DONE
            C: * 5 EXISTS
            C: a2 OK",
            "OK [ALERT] disk\nidling\n4 exist\n5 exist\nIDLE: OK \n",
        ),
        (
            Command::Idle(Duration::from_secs(600)),
            "S: a2 IDLE
            C: + idling
            wait 601s
            S: DONE
            C: a2 OK",
            "idling\nIDLE: OK \n",
        ),
    ] {
        plays(
            &settings(),
            LOOPBACK,
            &[command, Command::Logout],
            &format!("{LOGIN}{script}\nS: a3 LOGOUT\nC: * BYE bye\nC: a3 OK\nS ends"),
            &format!("ready\n{expected}finished"),
        );
    }
}

#[test]
fn a_server_that_leaves_after_bye_has_answered_logout() {
    for (end, expected) in [
        ("C: * BYE\nC ends\nS closes", "ready\nfinished"),
        (
            "C ends\nS closes",
            "ready\nfailed: the server closed the connection",
        ),
        (
            "C: a2 NO\nS closes",
            "ready\nfailed: LOGOUT: the server says NO ",
        ),
    ] {
        let script = format!("{LOGIN}S: a2 LOGOUT\n{end}");
        plays(&settings(), LOOPBACK, &[Command::Logout], &script, expected);
    }
}

/// A server that lies, or goes on for ever, is an error that says why.
#[test]
fn what_no_server_should_do_is_an_error() {
    let fetch = || Command::Fetch {
        set: "1".into(),
        items: "BODY[]".into(),
        by_uid: false,
    };
    let deep = format!("C: * 1 FETCH {}\nS closes", "(".repeat(MAX_DEPTH + 1));
    let huge = format!("C: * OK {}\nS closes", "x".repeat(MAX_RESPONSE));
    let gathered = format!(
        "C: * LIST () NIL {{{0}}}\nC: {1}\nC: {{{0}}}\nS closes",
        MAX_RESPONSE / 2,
        "x".repeat(MAX_RESPONSE / 2 - 2)
    );
    for (script, expected) in [
        (
            "C: * 1 FETCH (BODY[] {1001}\nS closes",
            "message 1: its 1001 bytes are more than 1000 (--max-message)",
        ),
        (
            "C: * 1 FETCH (BODY[] {18446744073709551615}\nS closes",
            "message 1: its 18446744073709551615 bytes are more than",
        ),
        (
            "C: * 1 FETCH (BODY[] {18446744073709551616}\nS closes",
            "the server sent \"* 1 FETCH (BODY[] {1844674407370955161",
        ),
        (
            "C: * 1 FETCH (X {4194305}\nS closes",
            "the server sent a response of more than 4194304 bytes",
        ),
        (
            "C: * 1 FETCH (BODY[] {5}\nC: a\nC ends\nS closes",
            "the server closed the connection",
        ),
        (
            "C: * 1 FETCH (BODY[] {5}\nwait 31s\nS closes",
            "nothing moved for 30s",
        ),
        (
            "C: * 1 FETCH (BODY[] {5}\nC: abcdefgh)\nS closes",
            "the server sent \"* 1 FETCH (BODY[] \": no response of IMAP",
        ),
        (
            "C: * 1 FETCH (UID)\nS closes",
            "the server sent \"* 1 FETCH (UID)\": no response of IMAP",
        ),
        (
            "C: * 1 FETCH (UID 1\nS closes",
            "the server sent \"* 1 FETCH (UID 1\": a list has no end",
        ),
        (
            "C: * 1 FETCH UID 1\nS closes",
            "the server sent \"* 1 FETCH UID 1\": no response of IMAP",
        ),
        (
            "C: * SEARCH 1 -2\nS closes",
            "the server sent \"* SEARCH 1 -2\": no response of IMAP",
        ),
        (
            "C: * LIST x\nS closes",
            "the server sent \"* LIST x\": no response of IMAP",
        ),
        (
            "C: + go\nS closes",
            "the server asks for more where nothing follows (+)",
        ),
        (
            "C: a1 OK again\nS closes",
            "the server answers what was not asked: \"a1\"",
        ),
        (
            "C: * BYE [UNAVAILABLE] maintenance\nS closes",
            "the session is over: the server says BYE [UNAVAILABLE] maintenance",
        ),
        (
            "C: garbage\x07\nS closes",
            "the server sent \"garbage\u{fffd}\": no response of IMAP",
        ),
        ("C:\nS closes", "the server sent \"\": no response of IMAP"),
        ("C resets", "the server broke the connection"),
        ("wait 31s\nS closes", "nothing moved for 30s"),
        (&deep, "the server sent \"* 1 FETCH ((((("),
        (
            &huge,
            "the server sent a response of more than 4194304 bytes",
        ),
        (
            &gathered,
            "the server sent a response of more than 4194304 bytes",
        ),
    ] {
        let script = format!("{LOGIN}S: a2 FETCH 1 BODY[]\n{script}");
        let told = told(settings(), LOOPBACK, &[fetch()], |peer| peer.play(&script));
        let expected = format!("failed: {expected}");
        assert!(told.contains(&expected), "{script:.200}: {told:.400}");
    }
}

#[test]
fn idle_is_begun_and_ended_once() {
    for (end, expected) in [
        (
            "C: a2 OK\nS closes",
            "failed: IDLE is over: the server says OK ",
        ),
        (
            "C: a2 NO no\nS closes",
            "failed: IDLE is over: the server says NO no",
        ),
        (
            "C: +\nS closes",
            "failed: the server asks for more where nothing follows (+)",
        ),
        (
            "C: * 1 EXISTS\nS: DONE\nC: +\nS closes",
            "1 exist\nfailed: the server asks for more where nothing follows (+)",
        ),
        (
            "wait 601s\nS: DONE\nwait 31s\nS closes",
            "failed: nothing moved for 30s",
        ),
    ] {
        let script = format!("{LOGIN}S: a2 IDLE\nC: +\n{end}");
        let idle = [Command::Idle(Duration::from_secs(600))];
        let expected = format!("ready\nidling\n{expected}");
        plays(&settings(), LOOPBACK, &idle, &script, &expected);
    }
    for (status, expected) in [
        ("OK", "failed: IDLE is over: the server says OK "),
        ("NO no", "IDLE: NO no\nfailed: interrupted"),
    ] {
        let script = format!("{LOGIN}S: a2 IDLE\nC: a2 {status}");
        let idle = [Command::Idle(Duration::from_secs(600))];
        plays(
            &settings(),
            LOOPBACK,
            &idle,
            &script,
            &format!("ready\n{expected}"),
        );
    }
    let script = LOGIN.replace(" IDLE", "") + "S closes";
    let idle = [Command::Idle(Duration::from_secs(600))];
    plays(
        &settings(),
        LOOPBACK,
        &idle,
        &script,
        "ready\nfailed: the server offers no IDLE",
    );
}

#[test]
fn a_set_has_numbers_and_ranges() {
    for (text, expected) in [
        ("1", true),
        ("*", true),
        ("1:3,5,7:*", true),
        ("4294967295", true),
        ("", false),
        ("0", false),
        ("1,", false),
        ("1:2:3", false),
        ("+1", false),
        ("-1", false),
        ("4294967296", false),
        ("1 BODY[]", false),
        ("1\r\na3 LOGOUT", false),
    ] {
        assert_eq!(is_set(text), expected, "{text}");
    }
}
