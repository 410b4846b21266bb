//! `shared::gopher` against scripted servers.

use std::{cell::RefCell, rc::Rc, time::Duration};

use asynchat::{BoxError, Dispatcher, Registry, Result, testing::Harness};
use shared::{
    client::{Contact, ContactOptions},
    gopher::{Consumer, GopherUrl, fetch},
};

#[derive(Default)]
struct Account {
    text: String,
    told: Rc<RefCell<Option<String>>>,
}

impl Consumer for Account {
    fn data(&mut self, data: &[u8]) -> Result {
        if data == b"full" {
            return Err("the disk is full".into());
        }
        self.text += &String::from_utf8_lossy(data);
        Ok(())
    }

    fn finished(&mut self, _: &mut Registry, outcome: Result<(), BoxError>) {
        let outcome = outcome.map_or_else(|error| error.to_string(), |()| "done".into());
        *self.told.borrow_mut() = Some(format!("{:?} {outcome}", self.text));
    }
}

struct Idle;
impl Dispatcher for Idle {}

/// What a client of this URL hears of a server that does this.
fn told(url: &str, server: impl FnOnce(&mut Harness)) -> String {
    let url: GopherUrl = url.parse().expect("a URL");
    let account = Account::default();
    let told = Rc::clone(&account.told);
    let mut harness = Harness::new(Idle);
    let contact = Contact::new(&ContactOptions::default());
    fetch(&mut harness.registry(), &contact, &url, account).expect("a connection");
    let mut connection = harness.dialled().expect("a connection");
    server(&mut connection);
    harness.registry().shutdown(Duration::ZERO);
    harness.advance(Duration::ZERO);
    told.take().expect("an outcome")
}

#[test]
fn the_close_is_the_end_and_everything_else_an_error() {
    type Server = fn(&mut Harness);
    let cases: [(&str, Server, &str); 11] = [
        (
            "gopher://127.0.0.1/0/a%20b",
            |h| {
                h.connected();
                assert_eq!(h.output(), b"/a b\r\n");
                h.feed_bytewise("text\r\n.\r\n");
                h.eof();
                assert!(!h.was_aborted());
            },
            "\"text\\r\\n\" done",
        ),
        (
            "gopher://127.0.0.1/9/x",
            |h| {
                h.connected();
                h.feed("text\r\n.\r\n");
                h.eof();
            },
            "\"text\\r\\n.\\r\\n\" done",
        ),
        (
            "gopher://127.0.0.1/7/find%09a%20b",
            |h| {
                h.connected();
                assert_eq!(h.output(), b"/find\ta b\r\n");
                h.eof();
            },
            "\"\" done",
        ),
        (
            "gopher://127.0.0.1",
            |h| {
                h.connected();
                assert_eq!(h.output(), b"\r\n");
                h.feed("3none\t\t\t1\r\n.\r\n");
                h.eof();
            },
            "\"\" the server says: none",
        ),
        (
            "gopher://127.0.0.1",
            |h| h.connect_failed(std::io::ErrorKind::ConnectionRefused),
            "\"\" connection failed: connection refused",
        ),
        (
            "gopher://127.0.0.1/0",
            |h| {
                h.connected();
                h.feed("half");
                h.reset();
            },
            "\"half\" the server broke the connection",
        ),
        (
            "gopher://127.0.0.1/0",
            |h| {
                h.connected();
                h.feed("half");
                h.advance(Duration::from_secs(31));
            },
            "\"half\" nothing moved for 30s",
        ),
        (
            "gopher://127.0.0.1/0",
            |h| {
                h.connected();
                h.feed("half");
            },
            "\"half\" interrupted",
        ),
        (
            "gopher://127.0.0.1/0",
            |h| {
                h.connected();
                h.feed("full");
                assert!(h.is_closed());
            },
            "\"\" the disk is full",
        ),
        (
            "gopher://127.0.0.1/9",
            |h| {
                h.connected();
                h.feed("\x1b[2J");
                h.eof();
            },
            "\"\\u{1b}[2J\" done",
        ),
        (
            "gophers://127.0.0.1/0",
            |h| {
                h.connected();
                h.feed("this is no TLS\r\n");
                h.advance(Duration::from_secs(31));
            },
            "\"\" TLS handshake with 127.0.0.1 failed: the server does not speak TLS on this port",
        ),
    ];
    for (url, server, expected) in cases {
        assert_eq!(told(url, server), expected, "{url}");
    }
}
