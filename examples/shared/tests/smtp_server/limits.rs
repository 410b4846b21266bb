//! Limits: each has a reply, and none costs memory or time without bound.

use std::time::Duration;

use shared::smtp::server::Options;

use crate::{ENVELOPE, options, recorder::Recorder, said, serve, serve_with};

#[test]
fn a_line_that_is_too_long_is_refused_once_and_the_next_is_a_command() {
    for length in [549, 1000, 100_000] {
        for size in [1, 700, usize::MAX] {
            let mut setup = serve(options());
            let mut client = setup.client();
            let line = format!("{}\r\nNOOP\r\n", "x".repeat(length));
            if size == 1 && length > 1000 {
                continue;
            }
            for piece in line.as_bytes().chunks(size) {
                client.feed(piece);
            }
            let replies = said(&mut client);
            assert_eq!(
                replies,
                ["500 Error: line too long", "250 OK"],
                "{length}, {size}"
            );
        }
    }
}

#[test]
fn each_command_has_its_limit() {
    let long = |length: usize| "a".repeat(length);
    for (line, fits) in [
        (format!("NOOP {}", long(512 - 5)), true),
        (format!("NOOP {}", long(513 - 5)), false),
        (format!("RCPT TO:<{}@x>", long(512 - 12)), true),
        (format!("RCPT TO:<{}@x>", long(513 - 12)), false),
        (format!("MAIL FROM:<{}@x>", long(538 - 14)), true),
        (format!("MAIL FROM:<{}@x>", long(539 - 14)), false),
    ] {
        let mut setup = serve(options());
        let mut client = setup.client();
        client.feed("EHLO x\r\n");
        said(&mut client);
        client.feed(format!("{line}\r\n"));
        let replies = said(&mut client);
        assert_eq!(
            replies == ["500 Error: line too long"],
            !fits,
            "{line:.20} {replies:?}"
        );
    }
}

#[test]
fn the_error_too_many_ends_the_session() {
    let limited = Options {
        max_errors: 3,
        ..options()
    };
    let mut client = serve(limited).client();
    client.feed("X\r\nNOOP\r\nX\r\nNOOP\r\nX\r\nNOOP\r\n");
    let error = "500 Error: command \"X\" not recognized";
    let last = "421 Error: too many errors";
    assert_eq!(said(&mut client), [error, "250 OK", error, "250 OK", last]);
    assert!(client.has_ended());
}

#[test]
fn recipients_past_the_limit_are_for_another_message() {
    let limited = Options {
        max_recipients: 2,
        max_errors: 3,
        ..options()
    };
    let mut setup = serve(limited);
    let mut client = setup.client();
    client.feed("EHLO x\r\nMAIL FROM:<a@x>\r\n");
    said(&mut client);
    client.feed("RCPT TO:<b@x>\r\n".repeat(9));
    let mut replies = said(&mut client);
    replies.dedup();
    assert_eq!(replies, ["250 OK", "452 Error: too many recipients"]);
    client.feed("DATA\r\n.\r\n");
    assert_eq!(setup.mails.borrow()[0].envelope.recipients.len(), 2);
}

#[test]
fn a_message_that_is_too_large_is_skipped_and_a_flood_is_cut() {
    let limited = Options {
        max_size: 100,
        ..options()
    };
    for (sent, last) in [(99, 1), (100, 1), (200, 1), (400, 0)] {
        let recorder = Recorder::default();
        let open = std::rc::Rc::clone(&recorder.open);
        let mut setup = serve_with(limited.clone(), recorder);
        let mut client = setup.client();
        client.feed(ENVELOPE);
        said(&mut client);
        for _ in 0..sent / 10 {
            client.feed("12345678\r\n");
        }
        assert_eq!(open.get(), usize::from(sent <= 100), "{sent}");
        client.feed(".\r\nNOOP\r\n");
        let mut replies = said(&mut client);
        if sent <= 100 {
            assert_eq!(replies, ["250 OK", "250 OK"], "{sent}");
        } else {
            assert_eq!(replies.remove(0), "552 Error: Too much mail data", "{sent}");
            assert_eq!(replies.len(), last, "{sent}");
            assert_eq!(client.has_ended(), last == 0, "{sent}");
        }
    }
}

#[test]
fn the_size_that_counts_is_that_of_the_text_with_crlf_and_without_added_dots() {
    let limited = Options {
        max_size: 7,
        ..options()
    };
    for (text, fits) in [
        ("12345\r\n", true),
        ("123456\r\n", false),
        ("..\r\n..\r\n", true),
        ("\r\n\r\n\r\n", true),
        ("\r\n\r\n\r\n\r\n", false),
    ] {
        let mut client = serve(limited.clone()).client();
        client.feed(format!("{ENVELOPE}{text}.\r\n"));
        let replies = said(&mut client);
        assert_eq!(replies.last().unwrap() == "250 OK", fits, "{text:?}");
    }
}

#[test]
fn silence_ends_a_session_in_every_phase() {
    for before in [
        "",
        "NO",
        "EHLO x\r\n",
        ENVELOPE,
        "EHLO x\r\nMAIL FROM:<a@x>\r\n",
    ] {
        let mut client = serve(options()).client();
        client.feed(before);
        said(&mut client);
        client.advance(Duration::from_secs(299));
        assert_eq!(said(&mut client), [""; 0]);
        client.advance(Duration::from_secs(1));
        assert_eq!(
            said(&mut client),
            ["421 Error: timeout exceeded"],
            "{before:?}"
        );
        assert!(client.has_ended());
    }
}

#[test]
fn a_handler_that_does_not_answer_ends_the_session() {
    let recorder = Recorder {
        later: Some(Default::default()),
        ..Recorder::default()
    };
    let mut client = serve_with(options(), recorder).client();
    client.feed(format!("{ENVELOPE}one\r\n.\r\n"));
    said(&mut client);
    client.advance(Duration::from_secs(300));
    assert_eq!(said(&mut client), ["421 Error: timeout exceeded"]);
}

#[test]
fn a_session_has_an_end_however_busy_it_is() {
    let mut client = serve(options()).client();
    for _ in 0..59 {
        client.advance(Duration::from_secs(60));
        client.feed("NOOP\r\n");
        assert_eq!(said(&mut client), ["250 OK"]);
    }
    client.advance(Duration::from_secs(60));
    assert_eq!(said(&mut client), ["421 Error: session too long"]);
    assert!(client.has_ended());
}

#[test]
fn clients_past_the_limit_are_told_and_a_place_that_is_free_is_taken() {
    let limited = Options {
        max_sessions: 2,
        ..options()
    };
    let mut setup = serve(limited);
    let (_first, mut second) = (setup.client(), setup.client());
    for _ in 0..3 {
        let mut third = setup.listener.connect();
        assert_eq!(
            said(&mut third),
            ["421 mx.example Error: too many connections"]
        );
        assert!(third.has_ended());
        third.eof();
    }
    second.reset();
    setup.client();
}

#[test]
fn a_client_that_does_not_read_is_not_read_from() {
    let mut setup = serve(options());
    let mut client = setup.client();
    client.set_window(0);
    for _ in 0..100 {
        client.feed("NOOP\r\n".repeat(1000));
    }
    let id = client.id();
    let queued = setup
        .listener
        .registry()
        .channel(id)
        .map(|channel| channel.outgoing_len());
    assert!(queued.is_some_and(|queued| queued < 8 * 1024), "{queued:?}");
    client.set_window(usize::MAX);
    let mut replies = 0;
    while !client.is_closed() {
        let said = said(&mut client).len();
        replies += said;
        if said == 0 {
            break;
        }
    }
    assert_eq!(replies, 100_000);
}

#[test]
fn a_message_that_wants_no_more_stops_its_client() {
    let recorder = Recorder::default();
    let (full, mails) = (std::rc::Rc::clone(&recorder.is_full), recorder.mails());
    let mut setup = serve_with(options(), recorder);
    let mut client = setup.client();
    client.feed(ENVELOPE);
    said(&mut client);
    full.set(true);
    client.feed("one\r\n");
    client.feed("two\r\n.\r\n");
    assert!(mails.borrow().is_empty());
    full.set(false);
    let id = client.id();
    setup.listener.registry().channel(id).expect("open").touch();
    assert_eq!(said(&mut client), ["250 OK"]);
    assert_eq!(mails.borrow()[0].text, "one\ntwo\n");
}
