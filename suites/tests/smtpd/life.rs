//! Beginning and end of the server, and what it does without a Maildir.

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
};

use suites::program::{self, ends_well_when_terminated, eventually, serve};

use crate::{client::Client, delivering};

#[test]
fn it_listens_on_the_loopback_or_where_it_is_told() {
    for (args, loopback) in [(&[][..], "127.0.0.1"), (&["--bind", "::1"], "::1")] {
        let (program, address) = serve("smtpd", &[&["--port", "0"], args].concat());
        assert_eq!(address.ip().to_string(), loopback);
        Client::connect(address).expect("QUIT", "221 Bye");
        ends_well_when_terminated(program);
    }
}

#[test]
fn what_it_cannot_have_ends_it_with_a_reason() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let file = file.to_str().unwrap();
    for (args, why) in [
        (
            ["--port", port.as_str()],
            if cfg!(windows) {
                "(os error 10048)"
            } else {
                "in use"
            },
        ),
        (["--maildir", file], file),
    ] {
        let ended = program::run("smtpd", &args);
        assert_eq!(ended.code, Some(1), "{args:?}");
        assert!(ended.err.contains(why), "{args:?}: {}", ended.err);
        assert_eq!(ended.err.lines().count(), 1, "{}", ended.err);
    }
}

#[test]
fn without_a_maildir_messages_are_printed_one_after_the_other() {
    let (program, address) = serve("smtpd", &["--port", "0"]);
    let long = format!("Subject: long\r\n\r\n{}", "0123456789\r\n".repeat(20_000));
    let mut slow = Client::connect(address);
    slow.begin().unwrap();
    slow.stream.write_all(long.as_bytes()).unwrap();
    let mut quick = Client::connect(address);
    assert_eq!(
        quick.send("Subject: short\r\n\r\n.. dot").unwrap(),
        "250 OK"
    );
    assert_eq!(slow.ask(".").unwrap(), "250 OK");
    drop((slow, quick));
    program.signal("TERM");
    let printed = program.ended().out();
    let begin = "---------- MESSAGE FOLLOWS ----------\n";
    let end = "------------ END MESSAGE ------------\n";
    let short = format!("{begin}Subject: short\nX-Peer: 127.0.0.1\n\n. dot\n{end}");
    let long = format!(
        "{begin}Subject: long\nX-Peer: 127.0.0.1\n\n{}{end}",
        "0123456789\n".repeat(20_000)
    );
    let (_, messages) = printed.split_once('\n').unwrap();
    assert!(messages == short + &long, "{} bytes", messages.len());
}

#[test]
fn a_signal_lets_a_message_under_way_through() {
    let setup = delivering(&[]);
    let mut idle = Client::connect(setup.address);
    let mut sending = Client::connect(setup.address);
    sending.begin().unwrap();
    setup.program.signal("TERM");
    assert_eq!(idle.reply().unwrap(), "421 Service shutting down");
    assert_eq!(sending.ask("late\r\n.").unwrap(), "250 OK");
    assert_eq!(sending.reply().unwrap(), "421 Service shutting down");
    drop((idle, sending));
    let ended = setup.program.ended();
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    assert!(setup.maildir.only_message().ends_with("\nlate\n"));
}

#[test]
fn a_second_signal_does_not_wait() {
    let setup = delivering(&[]);
    let mut sending = Client::connect(setup.address);
    sending.begin().unwrap();
    setup.program.signal("INT");
    // The listener is closed: it was heard.
    eventually(|| {
        std::net::TcpStream::connect(setup.address)
            .is_err()
            .then_some(())
    });
    setup.program.signal("INT");
    assert_eq!(setup.program.ended().code, Some(0));
    let mut rest = Vec::new();
    let _ = sending.stream.read_to_end(&mut rest);
    assert_eq!(setup.maildir.count("new"), 0);
}

#[test]
fn a_store_that_fails_is_a_reply_and_a_line_in_the_log() {
    let setup = delivering(&[]);
    let tmp = setup.maildir.path().join("tmp");
    fs::remove_dir(&tmp).unwrap();
    let mut client = Client::connect(setup.address);
    let refused = "451 Error: the message could not be stored";
    assert_eq!(client.send("one").unwrap(), refused);
    assert_eq!(client.send(&"x\r\n".repeat(100_000)).unwrap(), refused);
    fs::create_dir(&tmp).unwrap();
    assert_eq!(client.send("two").unwrap(), "250 OK");
    assert!(setup.maildir.only_message().ends_with("\ntwo\n"));
    drop(client);
    setup.program.signal("TERM");
    let ended = setup.program.ended();
    assert_eq!(ended.code, Some(0));
    assert!(
        ended.err.contains("a message is not stored: "),
        "{}",
        ended.err
    );
    assert!(ended.err.contains(tmp.to_str().unwrap()), "{}", ended.err);
}

#[test]
fn limits_can_be_set() {
    let setup = delivering(&[
        "--size",
        "100",
        "--max-recipients",
        "1",
        "--max-errors",
        "2",
    ]);
    let mut client = Client::connect(setup.address);
    client.expect("EHLO x", "250 HELP");
    client.expect(
        "MAIL FROM:<a@x> SIZE=101",
        "552 Error: message size exceeds fixed maximum message size",
    );
    client.expect("MAIL FROM:<a@x>", "250 OK");
    client.expect("RCPT TO:<b@x>", "250 OK");
    client.expect("RCPT TO:<c@x>", "452 Error: too many recipients");
    client.expect("DATA", "354 End data with <CR><LF>.<CR><LF>");
    client.expect(
        &format!("{}\r\n.", "x".repeat(99)),
        "552 Error: Too much mail data",
    );
    client.expect("NONE", "421 Error: too many errors");
}
