//! `shared::client`: whatever happens to a connection, its protocol gets one outcome, and last.

use std::{
    cell::RefCell,
    io::{self, Write},
    rc::Rc,
    time::Duration,
};

use asynchat::{BoxError, Registry, Result, Terminator, testing::Harness};
use shared::client::{Connection, Contact, ContactOptions, MAX_LINE, Protocol, Talk};

/// Keeps an account of its calls, and does as lines say.
#[derive(Default)]
struct Account(Rc<RefCell<Vec<String>>>);

impl Account {
    fn write(&self, line: impl Into<String>) {
        self.0.borrow_mut().push(line.into());
    }
}

impl Protocol for Account {
    fn connected(&mut self, talk: &mut Talk<'_, '_>) -> Result {
        self.write("connected");
        Ok(write!(talk, "hello\r\n")?)
    }

    fn line(&mut self, talk: &mut Talk<'_, '_>, line: &[u8]) -> Result {
        let line = String::from_utf8_lossy(line);
        self.write(format!("line {line:.20}"));
        match &*line {
            "data" => talk.read_data(3),
            "stream" => talk.read_data(Terminator::None),
            "done" => talk.succeed(),
            "fail" => talk.fail("as told"),
            "give up" => {
                talk.push("bye\r\n");
                talk.give_up("as told");
            }
            "patience" => talk.set_timeout(Duration::from_secs(600)),
            "error" => return Err("it went \x1b[2J wrong".into()),
            "broken pipe" => return Err(io::Error::from(io::ErrorKind::BrokenPipe).into()),
            "would block" => return Err(io::Error::from(io::ErrorKind::WouldBlock).into()),
            "panic" => panic!("as told"),
            _ => {}
        }
        Ok(())
    }

    fn data(&mut self, _: &mut Talk<'_, '_>, data: &[u8]) -> Result {
        self.write(format!("data {}", String::from_utf8_lossy(data)));
        Ok(())
    }

    fn data_end(&mut self, talk: &mut Talk<'_, '_>) -> Result {
        self.write("data_end");
        talk.read_lines();
        Ok(())
    }

    fn finished(&mut self, _: &mut Registry, outcome: Result<(), BoxError>) {
        self.write(match outcome {
            Ok(()) => "finished".into(),
            Err(error) => format!("finished: {error}"),
        });
    }
}

/// What a client is told of a server that does this.
fn told(options: &ContactOptions, server: impl FnOnce(&mut Harness)) -> Vec<String> {
    let account = Rc::default();
    let protocol = Account(Rc::clone(&account));
    let contact = Contact::new(options);
    let mut harness = Harness::connecting(Connection::dispatcher(protocol, &contact, "a.example"));
    server(&mut harness);
    harness.registry().shutdown(Duration::ZERO);
    harness.advance(Duration::ZERO);
    account.take()
}

#[test]
fn each_end_is_one_outcome() {
    type Server = fn(&mut Harness);
    let cases: [(&str, Server, &[&str]); 18] = [
        (
            "no connection",
            |h| h.connect_failed(std::io::ErrorKind::ConnectionRefused),
            &["finished: connection failed: connection refused"],
        ),
        (
            "lines",
            |h| {
                h.connected();
                h.feed("a\r\nb\ndone\nc\n");
                h.eof();
            },
            &["connected", "line a", "line b", "line done", "finished"],
        ),
        (
            "data",
            |h| {
                h.connected();
                h.feed("data\r\nabcdone\r\n");
            },
            &[
                "connected",
                "line data",
                "data abc",
                "data_end",
                "line done",
                "finished",
            ],
        ),
        (
            "end of file",
            |h| {
                h.connected();
                h.feed("a\r\n");
                h.eof();
            },
            &[
                "connected",
                "line a",
                "finished: the server closed the connection",
            ],
        ),
        (
            "end of file in a line",
            |h| {
                h.connected();
                h.feed("a");
                h.eof();
            },
            &["connected", "finished: the server closed the connection"],
        ),
        (
            "reset",
            |h| {
                h.connected();
                h.reset();
            },
            &["connected", "finished: the server broke the connection"],
        ),
        (
            "a standard output that is closed",
            |h| {
                h.connected();
                h.feed("broken pipe\r\n");
            },
            &["connected", "line broken pipe", "finished: broken pipe"],
        ),
        (
            "a standard output that is full",
            |h| {
                h.connected();
                h.feed("would block\r\n");
            },
            &[
                "connected",
                "line would block",
                "finished: operation would block",
            ],
        ),
        (
            "silence",
            |h| {
                h.connected();
                h.advance(Duration::from_secs(31));
            },
            &["connected", "finished: nothing moved for 30s"],
        ),
        (
            "a long line",
            |h| {
                h.connected();
                h.feed(vec![b'x'; MAX_LINE + 1]);
            },
            &[
                "connected",
                "finished: the server sent a line of more than 65536 bytes",
            ],
        ),
        (
            "a long line in pieces",
            |h| {
                h.connected();
                for _ in 0..9 {
                    h.feed(vec![b'x'; MAX_LINE / 8]);
                }
            },
            &[
                "connected",
                "finished: the server sent a line of more than 65536 bytes",
            ],
        ),
        (
            "the protocol fails",
            |h| {
                h.connected();
                h.feed("fail\r\ndone\r\n");
            },
            &["connected", "line fail", "finished: as told"],
        ),
        (
            "the protocol gives up",
            |h| {
                h.connected();
                h.feed("give up\r\ndone\r\n");
                assert_eq!(h.output(), b"hello\r\nbye\r\n");
                assert!(h.has_ended());
            },
            &["connected", "line give up", "finished: as told"],
        ),
        (
            "more patience",
            |h| {
                h.connected();
                h.feed("patience\r\n");
                h.advance(Duration::from_secs(599));
                assert!(!h.has_ended());
                h.advance(Duration::from_secs(2));
            },
            &[
                "connected",
                "line patience",
                "finished: nothing moved for 600s",
            ],
        ),
        (
            "an error",
            |h| {
                h.connected();
                h.feed("error\r\ndone\r\n");
            },
            &[
                "connected",
                "line error",
                "finished: it went \u{fffd}[2J wrong",
            ],
        ),
        (
            "a signal",
            |h| h.connected(),
            &["connected", "finished: interrupted"],
        ),
        (
            "done before the signal",
            |h| {
                h.connected();
                h.feed("done\r\n");
            },
            &["connected", "line done", "finished"],
        ),
        (
            "a stream",
            |h| {
                h.connected();
                h.feed("stream\nab");
                h.feed("c");
                h.eof();
            },
            &[
                "connected",
                "line stream",
                "data ab",
                "data c",
                "finished: the server closed the connection",
            ],
        ),
    ];
    for (name, server, expected) in cases {
        assert_eq!(told(&ContactOptions::default(), server), expected, "{name}");
    }
}

#[test]
fn lines_are_the_same_however_they_are_cut() {
    let whole = told(&ContactOptions::default(), |h| {
        h.connected();
        h.feed("ab\r\n\r\ncd\ndata\nxyzdone\r\n");
    });
    let cut = told(&ContactOptions::default(), |h| {
        h.connected();
        h.feed_bytewise("ab\r\n\r\ncd\ndata\nxyzdone\r\n");
    });
    let joined = |lines: Vec<String>| lines.concat().replace("data ", "");
    assert_eq!(joined(whole), joined(cut));
}

#[test]
fn the_whole_has_a_limit() {
    let options = ContactOptions {
        max_time: Some(Duration::from_secs(10)),
        ..ContactOptions::default()
    };
    let account = Rc::default();
    let mut harness = Harness::new(Idle);
    let contact = Contact::new(&options);
    let protocol = Account(Rc::clone(&account));
    let started = Connection::start(
        &mut harness.registry(),
        &contact,
        ("127.0.0.1", 9),
        false,
        protocol,
    );
    started.expect("a connection");
    let mut server = harness.dialled().expect("a connection");
    server.connected();
    for _ in 0..20 {
        server.feed("a\r\n");
        harness.advance(Duration::from_secs(1));
    }
    let last = account.borrow().last().cloned();
    assert_eq!(
        last.as_deref(),
        Some("finished: the whole takes longer than 10s")
    );
}

#[test]
fn a_password_may_pass_on_this_machine_in_clear() {
    for (host, expected) in [
        ("127.0.0.1", true),
        ("127.8.9.1", true),
        ("::1", true),
        ("::ffff:127.0.0.1", true),
        ("192.0.2.1", false),
        ("::ffff:192.0.2.1", false),
    ] {
        let mut harness = Harness::new(Idle);
        let account = Account::default();
        let contact = Contact::new(&ContactOptions::default());
        let to = (host, 9);
        let started = Connection::start(&mut harness.registry(), &contact, to, false, account);
        let mut server = harness.dialled().expect("a connection");
        server.connected();
        let id = started.expect("a connection");
        let confidential =
            server
                .registry()
                .with_chat(id, |connection: &mut Connection<Account>, chat| {
                    connection.with(chat, |_, talk| talk.is_confidential())
                });
        assert_eq!(confidential.ok(), Some(expected), "{host}");
    }
}

struct Idle;
impl asynchat::Dispatcher for Idle {}
