//! `cargo test --features testing --example unix_rpc`.

use asynchat::testing::{Harness, Listener};

use crate::{
    handler::IDLE,
    server::{Acceptor, GRACE},
    wire::{self, Answer, CLOSE, END, MAX_REQUEST},
};

fn server() -> Listener {
    Listener::new(Acceptor::new(None))
}

fn request(strings: &[&str]) -> Vec<u8> {
    [wire::encode(strings).as_bytes(), END].concat()
}

#[track_caller]
fn answers(client: &mut Harness) -> Vec<Answer> {
    let output = client.output();
    let mut rest = &output[..];
    let mut answers = Vec::new();
    while let Some(end) = rest.windows(END.len()).position(|window| window == END) {
        answers.push(wire::decode_answer(&rest[..end]).unwrap());
        rest = &rest[end + END.len()..];
    }
    assert!(rest.is_empty(), "{}", rest.escape_ascii());
    answers
}

fn ok(values: &[&str]) -> Answer {
    Ok(values.iter().map(ToString::to_string).collect())
}

#[test]
fn requests_are_answered_in_order_however_they_are_cut() {
    let dialogue = [
        request(&["set", "a b", "\0\0<F2B_END_COMMAND>\0\0"]),
        request(&["get", "a b"]),
        request(&["list"]),
        request(&["ping"]),
    ]
    .concat();
    let expected = [
        ok(&[]),
        ok(&["\0\0<F2B_END_COMMAND>\0\0"]),
        ok(&["a b"]),
        ok(&["pong"]),
    ];
    let mut server = server();
    let (mut whole, mut bytewise) = (server.connect(), server.connect());
    whole.feed(&dialogue);
    assert_eq!(answers(&mut whole), expected);
    bytewise.feed_bytewise(&dialogue);
    assert_eq!(answers(&mut bytewise), expected);
}

#[test]
fn what_is_no_request_is_answered_with_an_error_and_the_next_is_served() {
    let mut server = server();
    let mut client = server.connect();
    let long = "x".repeat(MAX_REQUEST + 1);
    for bad in ["", "\0", "(lp0\nS'ping'\np1\na.", "no%20such", "get", &long] {
        client.feed([bad.as_bytes(), END].concat());
        let answer = answers(&mut client);
        assert!(matches!(&answer[..], [Err(_)]), "{bad:.40}: {answer:?}");
        client.feed(request(&["ping"]));
        assert_eq!(answers(&mut client), [ok(&["pong"])]);
    }
}

#[test]
fn the_longest_request_is_taken() {
    let mut server = server();
    let mut client = server.connect();
    let value = "x".repeat(MAX_REQUEST - "echo ".len());
    client.feed(request(&["echo", &value]));
    assert_eq!(answers(&mut client), [ok(&[&value])]);
}

#[test]
fn close_ends_the_connection_behind_the_answers() {
    let mut server = server();
    let mut client = server.connect();
    client.feed(
        [
            &request(&["ping"]),
            CLOSE,
            END,
            &request(&["set", "late", ""]),
        ]
        .concat(),
    );
    assert_eq!(answers(&mut client), [ok(&["pong"])]);
    assert!(client.has_ended() && !client.is_closed());
    client.eof();
    assert!(client.is_closed());
    let mut other = server.connect();
    other.feed(request(&["list"]));
    assert_eq!(answers(&mut other), [ok(&[])]);
}

#[test]
fn a_half_closed_client_gets_its_answers() {
    let mut server = server();
    let mut client = server.connect();
    client.feed([request(&["ping"]), b"half a req".to_vec()].concat());
    client.eof();
    assert_eq!(answers(&mut client), [ok(&["pong"])]);
    assert!(client.is_closed());
}

#[test]
fn who_does_not_read_is_not_served_until_it_reads() {
    let mut server = server();
    let mut client = server.connect();
    let id = client.id();
    client.set_window(0);
    let echo = request(&["echo", &"x".repeat(60_000)]);
    for _ in 0..100 {
        client.feed(&echo);
    }
    let queued = server.registry().channel(id).unwrap().outgoing_len();
    assert!((256 * 1024..400 * 1024).contains(&queued), "{queued}");
    // The others are served meanwhile.
    let mut other = server.connect();
    other.feed(request(&["status"]));
    let [Ok(status)] = &answers(&mut other)[..] else {
        panic!("no status")
    };
    assert_eq!(status[0], "requests: 6");
    client.set_window(usize::MAX);
    let all = answers(&mut client);
    assert_eq!(all.len(), 100);
    assert!(all.iter().all(Result::is_ok));
}

#[test]
fn silent_clients_are_closed_even_those_that_do_not_read_their_last_answers() {
    let mut server = server();
    let (mut silent, mut stuck) = (server.connect(), server.connect());
    stuck.set_window(0);
    stuck.feed([&request(&["ping"]), CLOSE, END].concat());
    server.advance(IDLE / 2);
    assert!(!silent.is_closed() && !stuck.is_closed());
    server.advance(IDLE / 2);
    assert!(silent.is_closed() && stuck.is_closed());
}

#[test]
fn stop_is_answered_and_ends_everything() {
    let mut server = server();
    let (mut one, mut other) = (server.connect(), server.connect());
    other.feed("half a req");
    one.feed(request(&["stop"]));
    assert_eq!(answers(&mut one), [ok(&[])]);
    assert!(one.has_ended() && other.has_ended());
    server.advance(GRACE);
    assert!(one.is_closed() && other.is_closed());
}
