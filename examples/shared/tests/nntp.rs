//! `shared::nntp` against scripted servers: every request is over once, and the session has one outcome.

use std::{cell::RefCell, collections::VecDeque, rc::Rc, time::Duration};

use asynchat::{BoxError, Produced, Producer, Registry, Result, testing::Harness};
use shared::{
    client::{Connection, Contact, ContactOptions, Encryption},
    nntp::{MAX_LINES, Part, Range, Reader, Request, Session, Settings, Which},
    reply::Reply,
};

/// Keeps an account of its calls.
struct Account {
    lines: Rc<RefCell<Vec<String>>>,
    requests: VecDeque<Request>,
    /// An article is one line of the account, however it is cut.
    article: String,
}

impl Account {
    fn write(&self, line: impl Into<String>) {
        self.lines.borrow_mut().push(line.into());
    }
}

impl Reader for Account {
    fn next(&mut self) -> Option<Request> {
        self.requests.pop_front()
    }

    fn accepted(&mut self, reply: &Reply) -> Result {
        self.write(format!("yes: {reply}"));
        Ok(())
    }

    fn line(&mut self, line: &[u8]) -> Result {
        self.write(format!("line {}", String::from_utf8_lossy(line)));
        Ok(())
    }

    fn data(&mut self, data: &[u8]) -> Result {
        self.article += &String::from_utf8_lossy(data);
        Ok(())
    }

    fn done(&mut self, refusal: Option<&Reply>) -> Result {
        let article = std::mem::take(&mut self.article);
        if !article.is_empty() {
            self.write(format!("article {article:?}"));
        }
        self.write(match refusal {
            None => "done".into(),
            Some(reply) => format!("refused: {reply}"),
        });
        Ok(())
    }

    fn finished(&mut self, _: &mut Registry, outcome: Result<(), BoxError>) {
        self.write(match outcome {
            Ok(()) => "finished".into(),
            Err(error) => format!("finished: {error}"),
        });
    }
}

fn article(which: &str) -> Request {
    Request::Article(Part::All, which.parse().expect("an article"))
}

fn over() -> Request {
    Request::Over(Range::ALL)
}

fn group() -> Request {
    Request::Group("local.test".parse().expect("a group"))
}

fn post() -> Request {
    Request::Post(Box::new("From: a\n\n.\nlast"))
}

struct Dialogue {
    server: Harness,
    account: Rc<RefCell<Vec<String>>>,
}

impl Dialogue {
    fn new(settings: Settings, requests: Vec<Request>) -> Self {
        let account = Rc::default();
        let reader = Account {
            lines: Rc::clone(&account),
            requests: requests.into(),
            article: String::new(),
        };
        let contact = Contact::new(&ContactOptions::default());
        let session = Session::new(settings, reader);
        let mut server =
            Harness::connecting(Connection::dispatcher(session, &contact, "a.example"));
        server.connected();
        Self { server, account }
    }

    fn account(mut self) -> Vec<String> {
        self.server.registry().shutdown(Duration::ZERO);
        self.server.advance(Duration::ZERO);
        self.account.take()
    }
}

const HELLO: &str = "C: 200 ready\nS: MODE READER\nC: 200 ready\n";

#[test]
fn requests_go_one_after_the_other_however_the_answers_are_cut() {
    let requests = || {
        vec![
            Request::List(Some("local.*".parse().expect("a wildmat"))),
            group(),
            over(),
            article("2"),
            Request::Article(Part::Head, Which::Id("<1@x>".into())),
            Request::Article(Part::Body, Which::Number(9)),
            post(),
        ]
    };
    let script = format!(
        "{HELLO}
        S: LIST ACTIVE local.*
        C: 215 groups follow
        C: local.test 25 1 y
        C: ..dots
        C: .
        S: GROUP local.test
        C: 211 25 1 25 local.test
        S: OVER 1-
        C: 224 overview follows
        C: .
        S: ARTICLE 2
        C: 220 2 <2@x> article
        C: Subject: x
        C:
        C: ..
        C: ...two
        C: 220 not a reply
        C: .
        S: HEAD <1@x>
        C: 221 0 <1@x> head
        C: .
        S: BODY 9
        C: 423 no such number
        S: POST
        C: 340 go
        S: From: a
        S:
        S: ..
        S: last
        S: .
        C: 240 posted
        S: QUIT
        S ends"
    );
    let expected = [
        "yes: 215 groups follow",
        "line local.test 25 1 y",
        "line .dots",
        "done",
        "yes: 211 25 1 25 local.test",
        "done",
        "yes: 224 overview follows",
        "done",
        "yes: 220 2 <2@x> article",
        "article \"Subject: x\\r\\n\\r\\n.\\r\\n..two\\r\\n220 not a reply\\r\\n\"",
        "done",
        "yes: 221 0 <1@x> head",
        "done",
        "refused: 423 no such number",
        "yes: 340 go",
        "done",
        "finished",
    ];
    for play in [Harness::play, Harness::play_bytewise] {
        let mut dialogue = Dialogue::new(Settings::default(), requests());
        play(&mut dialogue.server, &script);
        assert_eq!(dialogue.account(), expected);
    }
}

#[test]
fn older_servers_have_xover() {
    let mut dialogue = Dialogue::new(Settings::default(), vec![over(), over()]);
    dialogue.server.play(
        "C: 201 ready\nS: MODE READER\nC: 500 what\nS: OVER 1-\nC: 500 what\nS: XOVER 1-\nC: 224 x\nC: 1\nC: .\nS: XOVER 1-\nC: 500 what\nS: QUIT",
    );
    assert_eq!(
        dialogue.account(),
        [
            "yes: 224 x",
            "line 1",
            "done",
            "refused: 500 what",
            "finished"
        ]
    );
}

#[test]
fn logins_and_starttls_come_before_requests() {
    let login = Settings {
        login: Some(("u".into(), "p".into())),
        allow_cleartext: true,
        ..Settings::default()
    };
    let careful = Settings {
        allow_cleartext: false,
        ..login.clone()
    };
    let starttls = Settings {
        encryption: Encryption {
            starttls: true,
            ..Encryption::default()
        },
        ..Settings::default()
    };
    for (settings, script, told) in [
        (
            &login,
            "C: 200 a\nS: MODE READER\nC: 480 who\nS: AUTHINFO USER u\nC: 381 password\nS: AUTHINFO PASS p\nC: 281 welcome\nS: GROUP local.test",
            "interrupted",
        ),
        (
            &login,
            "C: 200 a\nS: MODE READER\nC: 201 b\nS: AUTHINFO USER u\nC: 281 welcome\nS: GROUP local.test",
            "interrupted",
        ),
        (
            &login,
            "C: 200 a\nS: MODE READER\nC: 201 b\nS: AUTHINFO USER u\nC: 381 p\nS: AUTHINFO PASS p\nC: 481 no\nS: QUIT\nS ends",
            "the login: the server says 481 no",
        ),
        (
            &login,
            "C: 200 a\nS: MODE READER\nC: 201 b\nS: AUTHINFO USER u\nC: 381 p\nS: AUTHINFO PASS p\nC: 381 again\nS: QUIT\nS ends",
            "the login: the server says 381 again",
        ),
        (
            &careful,
            "C: 200 a\nS: MODE READER\nC: 201 b\nS: QUIT\nS ends",
            "the password would pass in clear: --tls or --starttls encrypts it, --allow-cleartext sends it as it is",
        ),
        (
            &starttls,
            "C: 200 a\nS: STARTTLS\nC: 580 no\nS: QUIT\nS ends",
            "STARTTLS: the server says 580 no",
        ),
        (
            &starttls,
            "C: 502 closed\nS: QUIT\nS ends",
            "the connection: the server says 502 closed",
        ),
        (
            &login,
            "C: 201 a\nS: MODE READER\nC: 502 no readers here\nS: QUIT\nS ends",
            "MODE READER: the server says 502 no readers here",
        ),
    ] {
        let mut dialogue = Dialogue::new(settings.clone(), vec![group()]);
        dialogue.server.play(script);
        assert_eq!(
            dialogue.account(),
            [format!("finished: {told}")],
            "{script}"
        );
    }
}

#[test]
fn each_step_can_end_in_400_a_close_a_reset_or_silence() {
    type End = (fn(&mut Harness), &'static str);
    let ends: [End; 5] = [
        (
            |h| h.feed("400 going down\r\n"),
            "the session: the server says 400 going down",
        ),
        (|h| h.eof(), "the server closed the connection"),
        (|h| h.reset(), "the server broke the connection"),
        (
            |h| h.advance(Duration::from_secs(31)),
            "nothing moved for 30s",
        ),
        (
            |h| h.feed("\x1b[2Jhello\r\n"),
            "the server sent no reply but \"\u{fffd}[2Jhello\"",
        ),
    ];
    let posting = "S: POST\nC: 340 go\nS: From: a\nS:\nS: ..\nS: last\nS: .";
    for (request, script) in [
        (group as fn() -> Request, String::new()),
        (group, "C: 200 a\nS: MODE READER".into()),
        (group, format!("{HELLO}S: GROUP local.test")),
        (post, format!("{HELLO}S: POST")),
        (post, format!("{HELLO}{posting}")),
        (over, format!("{HELLO}S: OVER 1-\nC: 224 x\nC: 1")),
        (
            || article("1"),
            format!("{HELLO}S: ARTICLE 1\nC: 220 x\nC: A: b"),
        ),
    ] {
        for (end, told) in ends {
            let mut dialogue = Dialogue::new(Settings::default(), vec![request()]);
            dialogue.server.play(&script);
            let in_text = script.contains("C: 224") || script.contains("C: 220");
            if in_text && (told.contains("400") || told.contains("hello")) {
                continue;
            }
            end(&mut dialogue.server);
            let posted = script.ends_with("S: .") && !told.contains("400");
            let may = match posted {
                true => "; the server may have taken the article",
                false => "",
            };
            let account = dialogue.account();
            let expected = format!("finished: {told}{may}");
            assert_eq!(account.last(), Some(&expected), "behind {script}");
            assert!(
                !account.contains(&"done".into()),
                "behind {script}: {account:?}"
            );
        }
    }
}

/// `x` without an end.
struct Endless;

impl Producer for Endless {
    fn more(&mut self) -> std::io::Result<Produced> {
        Ok(Produced::Data("xxxxxxx\n".repeat(8192).into()))
    }
}

#[test]
fn servers_that_lie_or_go_on_are_left() {
    let last = |request: Request, settings: Settings, feed: &mut dyn FnMut(&mut Harness)| {
        let mut dialogue = Dialogue::new(settings, vec![request]);
        dialogue.server.set_window(1 << 20);
        dialogue.server.feed("200 a\r\n200 b\r\n");
        feed(&mut dialogue.server);
        assert!(dialogue.server.is_closed());
        dialogue.account().pop().expect("an outcome")
    };
    let small = Settings {
        max_article: 100,
        ..Settings::default()
    };
    let told = last(article("1"), small, &mut |server| {
        server.feed("220 x\r\n");
        server.feed("x".repeat(101));
    });
    assert_eq!(
        told,
        "finished: the article has more than 100 bytes, and --max-size allows no more"
    );
    let told = last(over(), Settings::default(), &mut |server| {
        server.feed("224 x\r\n");
        for _ in 0..=MAX_LINES / 10_000 {
            server.feed("1\r\n".repeat(10_000));
        }
    });
    assert_eq!(
        told,
        format!("finished: the server sent more than {MAX_LINES} lines: ask for a part")
    );
    let told = last(over(), Settings::default(), &mut |server| {
        server.feed("224 x\r\n");
        server.feed("x".repeat(70_000));
    });
    assert_eq!(
        told,
        "finished: the server sent a line of more than 65536 bytes"
    );
    let told = last(group(), Settings::default(), &mut |server| {
        server.feed("211-x\r\n");
    });
    assert_eq!(told, "finished: the server sent a reply of several lines");
    let told = last(
        Request::Post(Box::new(Endless)),
        Settings::default(),
        &mut |server| {
            server.feed("340 go\r\n");
            server.feed("240 taken\r\n");
        },
    );
    assert_eq!(
        told,
        "finished: before the article was complete: the server says 240 taken"
    );
}
