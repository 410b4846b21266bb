//! Bodies of requests: sent whole, held back until the server wants them, given up when it does not.

use std::{cell::Cell, io::Write, rc::Rc, time::Duration};

use asynchat::testing::Harness;
use shared::http::{
    consumer::{Method, Order},
    upload::{Upload, Watch},
};

use crate::{Client, Notes, order, text};

const URL: &str = "http://192.0.2.1/";

fn put(pieces: &[&str], fields: &[&str]) -> Order {
    let mut body = Upload::new(None);
    for piece in pieces {
        body.push((*piece).to_owned());
    }
    let fields = fields.iter().map(|line| line.parse());
    Order {
        method: Method::PUT,
        body: Some(body),
        fields: fields.collect::<Result<_, _>>().expect("fields"),
        ..order(URL)
    }
}

fn announced() -> Order {
    put(&["body"], &["Expect: 100-continue"])
}

fn client(order: Order) -> (Client, Notes, Harness, String) {
    let told = Notes::default();
    let mut client = Client::new();
    client.start(order, told.clone());
    let (server, request) = client.server();
    (client, told, server, request)
}

#[test]
fn bytes_and_files_are_one_body() {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(b"from a file").expect("a file");
    let mut body = Upload::new(Some("text/plain".into()));
    body.push("before ");
    body.push_file(file.path()).expect("a file");
    body.push(" behind");
    let order = Order {
        body: Some(body),
        ..put(&[], &[])
    };
    let (mut client, told, mut server, request) = client(order);
    assert!(request.contains("\r\nContent-Length: 25\r\n"), "{request}");
    assert!(
        request.ends_with("\r\n\r\nbefore from a file behind"),
        "{request}"
    );
    server.feed("HTTP/1.1 201 C\r\nContent-Length: 0\r\n\r\n");
    told.are(&["201", "end"]);
    client.is_done();
}

#[test]
fn a_watched_file_is_told_as_it_goes_and_is_the_same() {
    let content: Vec<u8> = (0..1_000_000).map(|n| (n % 251) as u8).collect();
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(&content).expect("a file");
    let mut body = Upload::default();
    body.push_file(file.path()).expect("a file");
    let told = Rc::new(Cell::new(0));
    let told_too = Rc::clone(&told);
    let order = Order {
        body: Some(body),
        watch: Some(Watch::new(move |bytes| {
            told_too.set(told_too.get() + bytes);
        })),
        ..put(&[], &[])
    };
    let mut client = Client::new();
    client.start(order, Notes::default());
    let mut server = client.0.dialled().expect("a connection");
    server.set_window(100_000);
    server.connected();
    assert!(told.get() < 500_000, "{} are on their way", told.get());
    server.set_window(usize::MAX);
    assert!(server.output().ends_with(&content));
    assert_eq!(told.get(), 1_000_000);
}

#[test]
fn what_is_no_file_is_refused_with_its_name() {
    let folder = tempfile::tempdir().expect("a folder");
    for (path, why) in [
        (folder.path().to_owned(), "not a regular file"),
        (folder.path().join("none"), "os error 2"),
    ] {
        let error = Upload::default().push_file(&path).expect_err("no file");
        assert!(error.starts_with(&path.display().to_string()), "{error}");
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn an_announced_body_waits_for_consent() {
    let (mut client, told, mut server, request) = client(announced());
    assert!(
        request.ends_with("\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"),
        "{request}"
    );
    server.feed("HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(text(&mut server), "body");
    server.feed("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(text(&mut server), "");
    told.are(&["200", "end"]);
    client.is_done();
}

#[test]
fn a_server_that_does_not_know_expect_gets_the_body_after_a_second() {
    let (_, told, mut server, _) = client(announced());
    server.advance(Duration::from_millis(999));
    assert_eq!(text(&mut server), "");
    server.advance(Duration::from_millis(1));
    assert_eq!(text(&mut server), "body");
    // Late consent is no second body.
    server.feed("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(text(&mut server), "");
    told.are(&["200", "end"]);
}

#[test]
fn a_final_answer_in_place_of_consent_keeps_the_body_here() {
    let (mut client, told, mut server, _) = client(announced());
    server.feed("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nno");
    server.advance(Duration::from_secs(2));
    assert_eq!(text(&mut server), "");
    server.feed("!");
    told.are(&["413", "\"no!\"", "end"]);
    client.is_done();
}

#[test]
fn a_refused_expectation_is_not_repeated() {
    let (mut client, told, mut server, _) = client(announced());
    server.feed("HTTP/1.1 417 Expectation Failed\r\n\r\n");
    let (mut server, request) = client.server();
    assert!(
        !request.contains("Expect") && request.ends_with("\r\n\r\nbody"),
        "{request}"
    );
    server.feed("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n");
    told.are(&["417", "end"]);
    client.is_done();
}

#[test]
fn an_early_refusal_stops_the_body_and_is_read() {
    let large = "x".repeat(100_000);
    let (mut client, told, mut server, _) = client(put(&[&large], &["Expect:"]));
    server.set_window(0);
    server.feed("HTTP/1.1 507 Full\r\nContent-Length: 4\r\n\r\nfu");
    server.set_window(usize::MAX);
    assert!(text(&mut server).len() < large.len());
    server.feed("ll");
    told.are(&["507", "\"full\"", "end"]);
    client.is_done();
}

#[test]
fn success_before_the_body_has_left_is_no_success() {
    let large = "x".repeat(10_000_000);
    let told = Notes::default();
    let mut client = Client::new();
    client.start(put(&[&large], &["Expect:"]), told.clone());
    let mut server = client.0.dialled().expect("a connection");
    server.set_window(1000);
    server.connected();
    server.feed("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let early = "the server answered before it had the whole body of the request";
    told.are(&["200", early]);
    client.is_done();
}

#[test]
fn a_file_that_shrinks_is_an_error() {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(b"0123456789").expect("a file");
    let mut body = Upload::default();
    body.push_file(file.path()).expect("a file");
    file.as_file().set_len(5).expect("a file");
    let order = Order {
        body: Some(body),
        ..put(&[], &[])
    };
    let told = Notes::default();
    let mut client = Client::new();
    client.start(order, told.clone());
    let (server, _) = client.server();
    drop(server);
    let notes = told.0.borrow().clone();
    assert!(
        notes.len() == 1 && notes[0].contains("in a file of 5 bytes"),
        "{notes:?}"
    );
}
