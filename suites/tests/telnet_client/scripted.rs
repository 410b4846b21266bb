//! Without a terminal.

use suites::{
    others::run,
    program::{Ended, Program, example},
};

use crate::server::serve;

#[track_caller]
fn client(address: std::net::SocketAddr, args: &[&str]) -> Ended {
    let mut client = example("telnet_client");
    let port = address.port().to_string();
    client
        .env("ASYNCHAT_PASSWORD", "trustno1")
        .args(["127.0.0.1", &port]);
    Program::start(client.args(args)).ended()
}

#[test]
fn a_script_waits_and_sends_in_its_order() {
    let address = serve(|mut guest| {
        guest.say(b"\xff\xfd\x18\xff\xfb\x01");
        guest.hears(b"\xff\xfb\x18");
        guest.hears(b"\xff\xfd\x01");
        guest.say("login: ");
        guest.hears("mulder\r\n");
        guest.say("Password: ");
        guest.hears("trustno1\r\n");
        guest.say("$ ");
        guest.hears("ls librarybook\r\nexit\r\n");
        guest.say("README\r\n");
        guest.end();
    });
    let ended = client(
        address,
        &[
            "--user",
            "mulder",
            "--expect",
            "$ ",
            "--send",
            "ls librarybook",
            "--send",
            "exit",
        ],
    );
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    assert!(
        ended.out().starts_with("login: Password: $ README\r\n"),
        "{}",
        ended.out()
    );
}

#[test]
fn a_text_that_does_not_come_is_named() {
    let silent = serve(|mut guest| {
        guest.say("login: ");
    });
    let args = ["--timeout", "1", "--expect", "Pass\x1bword: "];
    let ended = client(silent, &args);
    let why = "telnet_client: waiting for \"Pass\u{fffd}word: \": nothing moved for 1s\n";
    assert_eq!((ended.code, ended.err.as_str()), (Some(1), why));

    // NOP is no text, and no silence.
    for words in [&b"Pass?"[..], b"\xff\xf1"] {
        let chatting = serve(move |mut guest| {
            for _ in 0..1000 {
                guest.say(words);
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        });
        let ended = client(chatting, &args);
        let why = "telnet_client: \"Pass\u{fffd}word: \" did not come within 1s\n";
        assert_eq!((ended.code, ended.err.as_str()), (Some(1), why));
    }

    let ending = serve(|mut guest| {
        guest.say("closed for today");
        guest.end();
    });
    let ended = client(ending, &args);
    let why = "telnet_client: waiting for \"Pass\u{fffd}word: \": the server ended the session\n";
    assert_eq!((ended.code, ended.err.as_str()), (Some(1), why));
    assert_eq!(ended.out(), "closed for today");
}

#[test]
fn standard_input_is_sent_to_its_end() {
    let address = serve(|mut guest| {
        guest.hears("one\r\ntwo\r\n");
        guest.hears(vec![b'x'; 200_000]);
        guest.hears("\r\0");
        guest.say("bye\r\n");
        guest.end();
    });
    let mut client = example("telnet_client");
    client.args(["127.0.0.1", &address.port().to_string()]);
    let mut input = b"one\ntwo\r\n".to_vec();
    input.extend(vec![b'x'; 200_000]);
    input.push(b'\r');
    let said = run(&mut client, &input);
    assert_eq!((said.code, said.all.as_str()), (Some(0), "bye\r\n"));
}

#[test]
fn input_behind_the_end_of_the_session_is_no_error() {
    let address = serve(|mut guest| {
        guest.hears("x");
        guest.end();
    });
    let mut client = example("telnet_client");
    client.args(["127.0.0.1", &address.port().to_string()]);
    let said = run(&mut client, &vec![b'x'; 2_000_000]);
    assert_eq!((said.code, said.all.as_str()), (Some(0), ""));
}

#[test]
fn urgent_data_stays_in_its_place() {
    let address = serve(|mut guest| {
        guest.say("one ");
        guest.hears("go\r\n");
        guest.say_urgently(b"\xff\xf2");
        guest.say("two");
        guest.end();
    });
    let ended = client(address, &["--expect", "one ", "--send", "go"]);
    assert_eq!((ended.code, ended.out().as_str()), (Some(0), "one two"));
}

#[test]
fn a_flood_of_requests_is_stood() {
    let address = serve(|mut guest| {
        for _ in 0..50 {
            guest.say(b"\xff\xfb\x25".repeat(10_000));
        }
        guest.say("done");
        guest.end();
    });
    let mut client = example("telnet_client");
    client.args(["127.0.0.1", &address.port().to_string(), "--expect", "done"]);
    let client = Program::start(&mut client);
    let ended = client.ended();
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
}
