//! Answers from outside a callback, back-pressure, other protocols.

use asynchat::{AsyncChat, ChatChannel, CoupleOptions, Dispatcher, Frame, Result};
use shared::http::service::{self, Answer};

use crate::account::{Account, get, serve, statuses, text};

#[test]
fn the_next_request_waits_for_an_answer_from_outside() {
    let (account, mut client) = serve();
    client.feed(get("/later").repeat(2));
    assert_eq!(client.output(), b"");
    for _ in 0..2 {
        let ticket = account.ticket();
        let answered = service::with(
            &mut client.registry(),
            ticket,
            |_: &mut Account, exchange| exchange.answer(Answer::new(404), "no"),
        );
        assert!(answered);
        let answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno";
        assert_eq!(text(&client.output()), answer);
        // The next request is here: it has another ticket.
        let again = service::with(&mut client.registry(), ticket, |_: &mut Account, _| {
            panic!("the exchange is over")
        });
        assert!(!again);
    }
    let ticket = account.ticket();
    client.eof();
    assert!(client.is_closed());
    let late = service::with(&mut client.registry(), ticket, |_: &mut Account, _| Ok(()));
    assert!(!late);
}

#[test]
fn an_error_from_outside_is_one_of_a_callback() {
    for (target, status) in [("/later", "500"), ("/begun", "200")] {
        let (account, mut client) = serve();
        client.feed(get(target));
        service::with(
            &mut client.registry(),
            account.ticket(),
            |_: &mut Account, _| Err("as told".into()),
        );
        assert_eq!(statuses(&client.output()), [status]);
        assert!(client.has_ended());
    }
}

#[test]
fn a_handler_writes_until_the_answer_is_congested_and_again_when_it_has_drained() {
    let (account, mut client) = serve();
    client.set_window(1000);
    client.feed(get("/later"));
    let piece = [b'x'; 10_000];
    let mut written = 0;
    service::with(
        &mut client.registry(),
        account.ticket(),
        |_: &mut Account, exchange| {
            exchange.begin(&Answer::new(200))?;
            while !exchange.is_congested() {
                exchange.write(&piece)?;
                written += piece.len();
            }
            Ok(())
        },
    );
    assert!((128 * 1024..160 * 1024).contains(&written), "{written}");
    assert!(!account.take().contains(&"drained".into()));
    let mut got = 0;
    loop {
        let output = client.output();
        if output.is_empty() {
            break;
        }
        got += output.len();
    }
    assert!(got > written, "{got}");
    assert_eq!(account.take(), ["drained"]);
    service::with(
        &mut client.registry(),
        account.ticket(),
        |_: &mut Account, exchange| exchange.end(),
    );
    assert_eq!(client.output(), b"0\r\n\r\n");
}

/// What serves a connection behind `101`.
struct Lines;

impl AsyncChat for Lines {
    fn found_frame(&mut self, chat: &mut ChatChannel<'_>, line: Frame<'_>) -> Result {
        chat.push(line.to_ascii_uppercase());
        Ok(())
    }
}

#[test]
fn a_connection_may_go_over_to_another_protocol() {
    let (account, mut client) = serve();
    client.feed(format!("{}hello\n", get("/later")));
    service::with(
        &mut client.registry(),
        account.ticket(),
        |_: &mut Account, exchange| {
            let answer = Answer::interim(101).ok_or("no interim answer")?;
            let place = exchange.switch(&answer.with("Upgrade", "lines")?)?;
            let lines = asynchat::ChatDispatcher::collecting(Lines, "\n", 100);
            exchange.chat().replace(lines);
            drop(place);
            Ok(())
        },
    );
    assert_eq!(
        text(&client.output()),
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: lines\r\nConnection: Upgrade\r\n\r\nHELLO"
    );
    client.feed("more\n");
    assert_eq!(client.output(), b"MORE");
}

struct Unserved;
impl Dispatcher for Unserved {}

#[test]
fn a_connection_may_become_a_tunnel() {
    let (account, mut client) = serve();
    client.feed("CONNECT /later HTTP/1.1\r\nHost: b:1\r\n\r\nearly");
    let far = client.registry().connect(([192, 0, 2, 1], 1), Unserved);
    let far = far.expect("in memory");
    let mut server = client.dialled().expect("a connection");
    server.connected();
    let near = client.id();
    service::with(
        &mut client.registry(),
        account.ticket(),
        |_: &mut Account, exchange| {
            let place = exchange.switch(&Answer::new(200))?;
            exchange.registry().call_soon(move |registry| {
                let keep = CoupleOptions::new().on_end(move |_, _| drop(place));
                Ok(registry.couple(near, far, keep)?)
            });
            Ok(())
        },
    );
    assert_eq!(text(&client.output()), "HTTP/1.1 200 OK\r\n\r\n");
    assert_eq!(server.output(), b"early");
    client.feed("GET / HTTP/1.1\r\n");
    assert_eq!(server.output(), b"GET / HTTP/1.1\r\n");
    server.feed("answer");
    server.eof();
    assert_eq!(client.output(), b"answer");
    assert!(client.has_ended());
}

#[test]
fn only_a_complete_request_can_switch() {
    let (account, mut client) = serve();
    client.feed("POST /held HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n");
    service::with(
        &mut client.registry(),
        account.ticket(),
        |_: &mut Account, exchange| {
            let answer = Answer::interim(101).ok_or("no interim answer")?;
            assert!(exchange.switch(&answer).is_err());
            Ok(())
        },
    );
    // And to anything but CONNECT a 200 has a body.
    let (account, mut client) = serve();
    client.feed(get("/later"));
    service::with(
        &mut client.registry(),
        account.ticket(),
        |_: &mut Account, exchange| {
            assert!(exchange.switch(&Answer::new(200)).is_err());
            exchange.answer(Answer::new(200), "")
        },
    );
    assert_eq!(statuses(&client.output()), ["200"]);
}
