//! Sessions with servers.

use std::{cell::RefCell, rc::Rc, time::Duration};

use asynchat::{BoxError, Registry, Result, testing::Harness};
use shared::{
    client::{Connection, Contact, ContactOptions},
    telnet::{Line, Session, Terminal, User},
};

type Told = Rc<RefCell<String>>;

/// Keeps an account, and answers a `?` with `yes`.
struct Account(Told);

impl User for Account {
    fn connected(&mut self, _: &mut Line<'_, '_, '_>) -> Result {
        self.0.borrow_mut().push_str("connected ");
        Ok(())
    }

    fn text(&mut self, line: &mut Line<'_, '_, '_>, text: &[u8]) -> Result {
        self.0.borrow_mut().push_str(&String::from_utf8_lossy(text));
        if text.contains(&b'?') {
            line.send(b"yes\xff\n");
        }
        if text.contains(&b'+') {
            line.resize((255, 50));
        }
        Ok(())
    }

    fn echo(&mut self, _: &mut Line<'_, '_, '_>, there: bool) -> Result {
        self.0.borrow_mut().push_str(&format!("[echo {there}]"));
        Ok(())
    }

    fn finished(&mut self, _: &mut Registry, outcome: Result<(), BoxError>) {
        let text = outcome.map_or_else(|error| error.to_string(), |()| "done".into());
        self.0.borrow_mut().push_str(&format!(" finished: {text}"));
    }
}

/// What the user was told of a server that does this.
fn told(binary: bool, server: impl FnOnce(&mut Harness)) -> String {
    let told = Told::default();
    let terminal = Terminal {
        name: "xterm".into(),
        size: (80, 24),
    };
    let session = Session::new(terminal, binary, Account(Rc::clone(&told)));
    let contact = Contact::new(&ContactOptions::default());
    let mut harness = Harness::connecting(Connection::dispatcher(session, &contact, "a.example"));
    server(&mut harness);
    harness.eof();
    told.take()
}

#[test]
fn a_server_is_answered_however_its_words_are_cut() {
    let cases: [(&[u8], &[u8], &str); 9] = [
        (b"hello\r\n", b"", "hello\r\n"),
        (b"a\r\0b\xff\xf9c", b"", "a\rbc"),
        (b"who?", b"yes\xff\xff\r\n", "who?"),
        // WILL ECHO, WILL SUPPRESS-GO-AHEAD, WONT ECHO
        (
            b"\xff\xfb\x01\xff\xfb\x03x\xff\xfc\x01",
            b"\xff\xfd\x01\xff\xfd\x03\xff\xfe\x01",
            "[echo true]x[echo false]",
        ),
        // DO TERMINAL-TYPE, SEND twice
        (
            b"\xff\xfd\x18\xff\xfa\x18\x01\xff\xf0\xff\xfa\x18\x01\xff\xf0",
            b"\xff\xfb\x18\xff\xfa\x18\0XTERM\xff\xf0\xff\xfa\x18\0XTERM\xff\xf0",
            "",
        ),
        // SEND without DO, and other data
        (
            b"\xff\xfa\x18\x01\xff\xf0\xff\xfa\x18\x02\xff\xf0\xff\xfa\x63\xff\xf0",
            b"",
            "",
        ),
        // DO WINDOW-SIZE twice, and another size, with a 255 in it
        (
            b"\xff\xfd\x1f\xff\xfd\x1f++",
            b"\xff\xfb\x1f\xff\xfa\x1f\0\x50\0\x18\xff\xf0\xff\xfa\x1f\0\xff\xff\0\x32\xff\xf0",
            "++",
        ),
        // The first words of a telnetd: WILL AUTHENTICATION, WILL ENCRYPT, DO TERMINAL-TYPE, DO 32, 35, 39, 36
        (
            b"\xff\xfb\x25\xff\xfb\x26\xff\xfd\x18\xff\xfd\x20\xff\xfd\x23\xff\xfd\x27\xff\xfd\x24",
            b"\xff\xfe\x25\xff\xfe\x26\xff\xfb\x18\xff\xfc\x20\xff\xfc\x23\xff\xfc\x27\xff\xfc\x24",
            "",
        ),
        // A size that was not asked for is told to nobody.
        (b"+", b"", "+"),
    ];
    for (said, answer, text) in cases {
        for bytewise in [false, true] {
            let mut output = Vec::new();
            let told = told(false, |harness| {
                harness.connected();
                match bytewise {
                    true => harness.feed_bytewise(said),
                    false => harness.feed(said),
                }
                output = harness.output();
            });
            assert_eq!(output, answer, "{said:?}");
            assert_eq!(told, format!("connected {text} finished: done"), "{said:?}");
        }
    }
}

#[test]
fn binary_is_asked_for_and_keeps_every_byte() {
    let mut outputs = Vec::new();
    let told = told(true, |harness| {
        harness.connected();
        outputs.push(harness.output());
        harness.feed(b"a\r\0?");
        outputs.push(harness.output());
        harness.feed(b"\xff\xfd\0\xff\xfb\0a\r\0?");
        outputs.push(harness.output());
    });
    let asked: [&[u8]; 3] = [
        b"\xff\xfb\0\xff\xfd\0",
        b"yes\xff\xff\r\n",
        b"yes\xff\xff\n",
    ];
    assert_eq!(outputs, asked);
    assert_eq!(told, "connected a\r?a\r\0? finished: done");
}

#[test]
fn each_end_is_one_outcome() {
    type Server = fn(&mut Harness);
    let cases: [(Server, &str); 6] = [
        (
            |harness| harness.connect_failed(std::io::ErrorKind::ConnectionRefused),
            " finished: connection failed: connection refused",
        ),
        (
            |harness| {
                harness.connected();
                harness.feed("a");
            },
            "connected a finished: done",
        ),
        (
            |harness| {
                harness.connected();
                harness.feed(b"\xff\xfb");
            },
            "connected  finished: done",
        ),
        (
            |harness| {
                harness.connected();
                harness.feed("a");
                harness.reset();
            },
            "connected a finished: the server broke the connection",
        ),
        (
            |harness| {
                harness.connected();
                harness.advance(Duration::from_secs(31));
            },
            "connected  finished: nothing moved for 30s",
        ),
        (
            |harness| {
                harness.connected();
                harness.feed([&b"\xff\xfa\x18"[..], &[7; 5000]].concat());
            },
            "connected  finished: the server sent a subnegotiation of more than 4096 bytes",
        ),
    ];
    for (server, expected) in cases {
        assert_eq!(told(false, server), expected);
    }
}

#[test]
fn a_server_that_asks_and_does_not_read_waits() {
    let told = told(false, |harness| {
        harness.connected();
        harness.set_window(0);
        for _ in 0..4000 {
            harness.feed(b"\xff\xfb\x25".repeat(100));
        }
        let id = harness.id();
        let queued = harness.registry().channel(id).expect("open").outgoing_len();
        assert!(queued < 1024 * 1024, "{queued} bytes queued");
        harness.set_window(usize::MAX);
        assert_eq!(harness.output().len(), 4000 * 300);
    });
    assert_eq!(told, "connected  finished: done");
}
