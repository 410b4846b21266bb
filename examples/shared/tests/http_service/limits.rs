//! Time, rates, numbers.

use std::time::Duration;

use asynchat::testing::{Harness, Listener};
use shared::http::service::{Limits, Options, Service};

use crate::account::{Account, get, limits, post, serve, serve_with, statuses};

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Feeds a byte each second until the connection ends; gives the seconds that took.
fn drip(client: &mut Harness, byte: &str) -> u64 {
    for second in 1..200 {
        client.advance(seconds(1));
        if client.has_ended() {
            return second;
        }
        client.feed(byte);
    }
    panic!("a slow client is served for ever");
}

#[test]
fn requests_that_take_too_long_are_408() {
    for (start, byte, after) in [
        // A head has a time in total.
        ("G", "x", 20),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: ", "y", 20),
        // A body has a rate: 10 bytes in 20 seconds are enough, 9 are not.
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n",
            "",
            20,
        ),
        // The time of a body begins with it.
        (
            "POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 15\r\n\r\n",
            "",
            20,
        ),
    ] {
        let (_, mut client) = serve();
        client.feed(start);
        let early = statuses(&client.output());
        assert_eq!(drip(&mut client, byte), after, "{start}");
        let end = statuses(&client.output());
        match early.is_empty() {
            true => assert_eq!(end, ["408"], "{start}"),
            false => assert_eq!(end, [""; 0], "{start}"),
        }
    }
    // A byte each second is enough for the body.
    let (_, mut client) = serve();
    client.feed("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n");
    for _ in 0..100 {
        client.advance(seconds(1));
        client.feed("x");
    }
    assert_eq!(statuses(&client.output()), ["200"]);
    // Eight in each 20 seconds are not.
    let (_, mut client) = serve();
    client.feed("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n");
    for _ in 0..8 {
        client.advance(seconds(2));
        client.feed("x");
    }
    client.advance(seconds(4));
    assert_eq!(statuses(&client.output()), ["408"]);
}

#[test]
fn silence_is_for_the_handler_to_end_not_for_the_client() {
    // Between requests.
    let (account, mut client) = serve();
    client.feed(get("/early"));
    client.output();
    client.advance(seconds(29));
    assert!(!client.is_closed());
    client.advance(seconds(1));
    assert!(client.is_closed());
    assert_eq!(account.take().last().unwrap(), "gone: idle for too long");
    // While the handler thinks; 503 after a while.
    let (account, mut client) = serve();
    client.feed(format!("{}{}", get("/later"), get("/next")));
    client.advance(seconds(59));
    assert!(!client.has_ended());
    client.advance(seconds(1));
    assert_eq!(statuses(&client.output()), ["503"]);
    assert!(client.has_ended());
    assert!(!account.take().contains(&"GET /next".into()));
    // An answer that has begun may take its time.
    let (_, mut client) = serve();
    client.feed(get("/begun"));
    client.output();
    client.advance(seconds(3600));
    assert!(!client.has_ended());
    // And so may a handler that does not take the body.
    let (_, mut client) = serve();
    client.feed(post("/held", &"x".repeat(50)));
    client.advance(seconds(3600));
    assert!(!client.has_ended());
}

#[test]
fn a_client_that_takes_nothing_is_gone_after_the_idle_time() {
    for target in ["/file", "/begun"] {
        let (account, mut client) = serve();
        client.set_window(0);
        client.feed(get(target));
        client.advance(seconds(29));
        assert!(!client.is_closed(), "{target}");
        client.advance(seconds(1));
        assert!(client.is_closed(), "{target}");
        let account = account.take();
        assert!(
            account.iter().any(|line| line.ends_with("(cut)")),
            "{account:?}"
        );
    }
}

#[test]
fn requests_of_a_connection_have_a_number() {
    let (account, mut client) = serve_with(Limits {
        requests: 2,
        ..limits()
    });
    client.feed(get("/early").repeat(3));
    let output = client.output();
    assert_eq!(statuses(&output), ["200", "200"]);
    let output = String::from_utf8_lossy(&output);
    assert_eq!(output.matches("Connection: close").count(), 1);
    assert!(client.has_ended());
    assert_eq!(account.take().len(), 4);
}

fn listen(connections: usize) -> (Service, Account, Listener) {
    let service = Service::new(Options {
        limits: Limits {
            connections,
            ..limits()
        },
        ..Options::default()
    });
    let account = Account::default();
    let handler = account.clone();
    let listener = service.listener(None, move |_, _| handler.clone());
    (service, account, Listener::new(listener))
}

#[test]
fn a_client_that_waits_makes_room_and_one_in_an_exchange_does_not() {
    let (service, _, mut server) = listen(2);
    let mut busy = server.connect();
    busy.feed(get("/later"));
    let mut idle = server.connect();
    assert_eq!(service.open(), 2);
    let mut third = server.connect();
    assert!(idle.is_closed() && !busy.is_closed());
    third.feed(get("/later"));
    assert_eq!(service.open(), 2);
    let mut fourth = server.connect();
    assert_eq!(statuses(&fourth.output()), ["503"]);
    assert!(fourth.has_ended() && !busy.is_closed() && !third.is_closed());
    drop((busy, third));
}

#[test]
fn a_service_ends_behind_the_exchanges_under_way() {
    let (service, account, mut server) = listen(10);
    let mut idle = server.connect();
    let mut busy = server.connect();
    busy.feed(get("/later"));
    service.shut_down::<Account>(&mut busy.registry(), seconds(10));
    busy.advance(seconds(1));
    assert!(idle.has_ended());
    idle.eof();
    shared::http::service::with(
        &mut busy.registry(),
        account.ticket(),
        |_: &mut Account, exchange| exchange.error(404, ""),
    );
    let output = busy.output();
    assert_eq!(statuses(&output), ["404"]);
    assert!(String::from_utf8_lossy(&output).contains("Connection: close"));
    busy.eof();
    busy.advance(seconds(1));
    assert_eq!(service.open(), 0);
    // One that is never answered has the grace.
    let (service, _, mut server) = listen(10);
    let mut busy = server.connect();
    busy.feed(get("/later"));
    service.shut_down::<Account>(&mut busy.registry(), seconds(10));
    busy.advance(seconds(9));
    assert!(!busy.has_ended());
    busy.advance(seconds(2));
    assert!(busy.is_closed());
}

#[test]
fn a_crowd_that_says_nothing_keeps_nobody_out() {
    let (service, _, mut server) = listen(4);
    let silent: Vec<_> = (0..100).map(|_| server.connect()).collect();
    let mut client = server.connect();
    client.feed(get("/early"));
    assert_eq!(statuses(&client.output()), ["200"]);
    assert!(service.open() <= 4, "{}", service.open());
    drop(silent);
    // Those that have their last answer and linger go first.
    let (service, _, mut server) = listen(2);
    let mut busy = server.connect();
    busy.feed(get("/later"));
    let mut lingering = server.connect();
    lingering.feed(get("/early-close"));
    assert!(lingering.has_ended() && service.open() == 2);
    let mut client = server.connect();
    client.feed(get("/early"));
    assert_eq!(statuses(&client.output()), ["200"]);
    assert!(lingering.is_closed() && !busy.is_closed());
    assert_eq!(service.open(), 2);
}
