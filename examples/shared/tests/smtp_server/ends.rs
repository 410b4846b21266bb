//! How messages and sessions end: cut anywhere, answered late, refused by the handler, shut down.

use std::{cell::RefCell, rc::Rc, time::Duration};

use asynchat::testing::Harness;
use shared::smtp::server::{self, Status};

use crate::{
    ENVELOPE, Setup, options,
    recorder::{Recorder, Stage},
    said, serve, serve_with,
};

const TALK: &str = "EHLO client\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\none\r\n.\r\n";

#[test]
fn a_connection_that_is_cut_anywhere_delivers_whole_messages_or_none() {
    for cut in 0..=TALK.len() {
        for reset in [false, true] {
            let recorder = Recorder::default();
            let open = Rc::clone(&recorder.open);
            let mut setup = serve_with(options(), recorder);
            let mut client = setup.client();
            client.feed(&TALK[..cut]);
            match reset {
                true => client.reset(),
                false => client.eof(),
            }
            assert!(client.is_closed(), "{cut}");
            let expected = usize::from(cut == TALK.len());
            assert_eq!(setup.mails.borrow().len(), expected, "{cut}");
            assert_eq!(open.get(), 0, "{cut}");
        }
    }
}

/// A message is answered by the test.
fn late() -> (Setup, Rc<RefCell<Vec<server::Answer>>>) {
    let later = Rc::default();
    let recorder = Recorder {
        later: Some(Rc::clone(&later)),
        ..Recorder::default()
    };
    (serve_with(options(), recorder), later)
}

#[track_caller]
fn answer(client: &mut Harness, later: &Rc<RefCell<Vec<server::Answer>>>, status: &Status) {
    let answer = *later.borrow().last().expect("a message");
    answer.give(&mut client.registry(), status);
}

#[test]
fn commands_behind_a_message_wait_for_its_answer() {
    let (mut setup, later) = late();
    let mut client = setup.client();
    client.feed(format!(
        "{TALK}MAIL FROM:<c@x>\r\nRCPT TO:<d@x>\r\nDATA\r\ntwo\r\n.\r\nQUIT\r\n"
    ));
    assert_eq!(
        said(&mut client).last().unwrap(),
        "354 End data with <CR><LF>.<CR><LF>"
    );
    assert_eq!(setup.mails.borrow().len(), 1);
    answer(&mut client, &later, &Status::new(250, "stored"));
    let go = "354 End data with <CR><LF>.<CR><LF>";
    assert_eq!(said(&mut client), ["250 stored", "250 OK", "250 OK", go]);
    answer(&mut client, &later, &Status::new(451, "later"));
    assert_eq!(said(&mut client), ["451 later", "221 Bye"]);
    let mails = setup.mails.borrow();
    let senders: Vec<_> = mails
        .iter()
        .map(|mail| mail.envelope.sender.as_str())
        .collect();
    assert_eq!(senders, ["a@x", "c@x"]);
}

#[test]
fn an_answer_counts_once_and_for_its_message_alone() {
    let (mut setup, later) = late();
    let mut client = setup.client();
    client.feed(TALK);
    said(&mut client);
    answer(&mut client, &later, &Status::OK);
    answer(&mut client, &later, &Status::OK);
    assert_eq!(said(&mut client), ["250 OK"]);
    let first = later.borrow()[0];
    client.feed("MAIL FROM:<c@x>\r\nRCPT TO:<d@x>\r\nDATA\r\ntwo\r\n.\r\n");
    said(&mut client);
    first.give(&mut client.registry(), &Status::OK);
    assert_eq!(said(&mut client), [""; 0]);
    client.reset();
    answer(&mut client, &later, &Status::OK);
    first.wake(&mut client.registry());
    assert!(client.is_closed());
}

#[test]
fn a_client_that_ends_its_side_still_gets_its_answer() {
    let (mut setup, later) = late();
    let mut client = setup.client();
    client.feed(TALK);
    client.eof();
    said(&mut client);
    assert!(!client.has_ended());
    answer(&mut client, &later, &Status::OK);
    assert_eq!(said(&mut client), ["250 OK"]);
    assert!(client.is_closed());
}

#[test]
fn the_handler_may_refuse_at_every_stage_and_the_session_goes_on() {
    let go = "354 End data with <CR><LF>.<CR><LF>";
    for (stage, replies) in [
        (Stage::Recipient, &["450 no??250 OK?"][..]),
        (Stage::Begin, &["250 OK", "450 no??250 OK?"]),
        (Stage::Data, &["250 OK", go, "450 no??250 OK?"]),
        (Stage::End, &["250 OK", go, "450 no??250 OK?"]),
    ] {
        let recorder = Recorder {
            refusing: Some((stage, Status::new(450, "no\r\n250 OK\u{1b}"))),
            ..Recorder::default()
        };
        let mut setup = serve_with(options(), recorder);
        let mut client = setup.client();
        client.feed("EHLO client\r\nMAIL FROM:<a@x>\r\n");
        said(&mut client);
        let lines = ["RCPT TO:<b@x>\r\n", "DATA\r\n", "one\r\ntwo\r\n.\r\n"];
        for (line, reply) in lines.iter().zip(replies) {
            client.feed(line);
            assert_eq!(said(&mut client), [*reply]);
        }
        client.feed("RSET\r\n");
        assert_eq!(said(&mut client), ["250 OK"]);
    }
}

#[test]
fn one_recipient_may_be_refused_and_the_others_get_the_message() {
    let mut setup = serve(options());
    let mut client = setup.client();
    client.feed("EHLO client\r\nMAIL FROM:<>\r\n");
    said(&mut client);
    client.feed(
        "RCPT TO:<b@x>\r\nRCPT TO:<nobody@x>\r\nRCPT TO:<>\r\nRCPT TO:<c@x>\r\nDATA\r\n.\r\n",
    );
    let replies = said(&mut client);
    assert_eq!(replies[1], "550 nobody");
    assert!(replies[2].starts_with("501 "), "{replies:?}");
    let mails = setup.mails.borrow();
    assert_eq!(mails[0].envelope.recipients, ["b@x", "c@x"]);
    assert_eq!(
        (mails[0].envelope.sender.as_str(), mails[0].text.as_str()),
        ("", "")
    );
    assert_eq!(mails[0].envelope.helo, "client");
}

#[test]
fn status_421_ends_the_connection() {
    for stage in [Stage::Begin, Stage::Data, Stage::End] {
        let recorder = Recorder {
            refusing: Some((stage, Status::new(421, "gone"))),
            ..Recorder::default()
        };
        let mut client = serve_with(options(), recorder).client();
        client.feed(format!("{TALK}NOOP\r\n"));
        assert_eq!(said(&mut client).last().unwrap(), "421 gone");
        assert!(client.has_ended());
    }
}

#[test]
fn an_end_of_the_server_lets_messages_through_and_ends_the_other_sessions() {
    let bye = "421 Service shutting down";
    let (mut setup, later) = late();
    let mut idle = setup.client();
    let mut begun = setup.client();
    begun.feed("EHLO client\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\n");
    said(&mut begun);
    let mut sending = setup.client();
    sending.feed(ENVELOPE);
    said(&mut sending);
    let mut waiting = setup.client();
    waiting.feed(TALK);
    said(&mut waiting);
    let first = later.borrow()[0];
    server::end(&setup.server, &mut setup.listener.registry());
    for client in [&mut idle, &mut begun] {
        assert_eq!(said(client), [bye]);
        client.eof();
        assert!(client.is_closed());
    }
    sending.feed("one\r\n.\r\nNOOP\r\n");
    assert_eq!(said(&mut sending), [""; 0]);
    answer(&mut sending, &later, &Status::OK);
    assert_eq!(said(&mut sending), ["250 OK", bye]);
    first.give(&mut waiting.registry(), &Status::new(452, "full"));
    assert_eq!(said(&mut waiting), ["452 full", bye]);
    for client in [&mut sending, &mut waiting] {
        client.eof();
        assert!(client.is_closed());
    }
    assert!(setup.listener.registry().is_idle());
}

#[test]
fn the_reactor_stops_with_the_last_session() {
    let (mut setup, _) = late();
    let mut waiting = setup.client();
    waiting.feed(TALK);
    server::end(&setup.server, &mut setup.listener.registry());
    said(&mut waiting);
    assert_eq!(setup.listener.registry().stats().channels, 1);
    waiting.reset();
    setup.listener.advance(Duration::ZERO);
    assert!(setup.listener.registry().is_idle());
}
