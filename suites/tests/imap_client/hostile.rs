//! Servers that lie, that stop, and that are in the way.

use suites::{
    certificates::text,
    maildir::messages,
    program::{Program, eventually},
    scripted,
};

use crate::{command, done, fails, imap};

const GREETING: &str = "* OK [CAPABILITY IMAP4rev1 IDLE] ready\r\n";

/// A server that takes every command, and answers FETCH and what begins so with this text before.
fn serve(greeting: &'static str, name: &'static str, text: String, ends: bool) -> u16 {
    scripted::serve(greeting, move |line| {
        let (tag, command) = line.split_once(' ')?;
        match (command.starts_with(name), command.split(' ').next()?) {
            (true, _) if ends => Some(format!("{text}{tag} OK done\r\n")),
            (true, _) => Some(text.clone()),
            (false, "LOGOUT") => Some(format!("* BYE\r\n{tag} OK\r\n")),
            (false, "LOGIN") => Some(format!("{tag} OK [CAPABILITY IMAP4rev1 IDLE] in\r\n")),
            (false, _) => Some(format!("{tag} OK\r\n")),
        }
    })
}

#[test]
fn a_message_that_is_cut_is_not_saved() {
    let whole = "* 1 FETCH (BODY[] {5}\r\nwhole)\r\n";
    for (rest, ends, why) in [
        (
            "* 2 FETCH (BODY[] {100}\r\nhalf",
            false,
            "nothing moved for 1s",
        ),
        (
            "* 2 FETCH (BODY[] {4}\r\nhalf",
            false,
            "nothing moved for 1s",
        ),
        (
            "* 2 FETCH (BODY[] {4}\r\nhalf BODY[1] {4}\r\nmore)\r\n",
            true,
            "message 2: the server sent a second body, BODY[1]",
        ),
        (
            "* 2 FETCH (BODY[] {2}\r\nhalf)\r\n",
            true,
            "the server sent ",
        ),
        (
            "* 2 FETCH (BODY[] {99999999999}\r\n",
            false,
            "message 2: its 99999999999 bytes are more than 1073741824 (--max-message)",
        ),
    ] {
        let port = serve(GREETING, "FETCH", format!("{whole}{rest}"), ends);
        let folder = tempfile::tempdir().unwrap();
        let args = [
            "--timeout",
            "1",
            "127.0.0.1",
            "fetch",
            "x",
            "1:*",
            "--maildir",
            text(folder.path()),
        ];
        fails(port, &args, why);
        assert_eq!(messages(folder.path()), [b"whole"], "{rest}");
        assert_eq!(
            std::fs::read_dir(folder.path().join("tmp"))
                .unwrap()
                .count(),
            0
        );
    }
}

#[test]
fn a_client_that_is_killed_leaves_whole_messages() {
    let text_ = "* 1 FETCH (BODY[] {5}\r\nwhole)\r\n* 2 FETCH (BODY[] {9}\r\nhalf".to_owned();
    let port = serve(GREETING, "FETCH", text_, false);
    for signal in ["KILL", "INT"] {
        let folder = tempfile::tempdir().unwrap();
        let args = [
            "127.0.0.1",
            "fetch",
            "x",
            "1:*",
            "--maildir",
            text(folder.path()),
        ];
        let program = Program::start(&mut command(port, &args));
        let _ = eventually(|| std::fs::read_dir(folder.path().join("new")).ok()?.next());
        program.signal(signal);
        let ended = program.ended();
        assert_eq!(messages(folder.path()), [b"whole"]);
        if signal == "INT" {
            assert_eq!(
                (ended.code, ended.err.as_str()),
                (Some(1), "imap_client: interrupted\n")
            );
        }
    }
}

#[test]
fn control_characters_do_not_pass() {
    let evil =
        "* LIST (\\X\x1b[2J) \"/\" {6}\r\na\x1b[2J\n\r\n* OK [ALERT] \x1b]0;x\x07\r\n".to_owned();
    let port = serve(GREETING, "LIST", evil, true);
    let ended = imap(port, &["127.0.0.1", "list"]);
    assert_eq!(ended.out(), "a\u{fffd}[2J\u{fffd}  (\\X\u{fffd}[2J)\n");
    assert!(
        ended
            .err
            .contains("the server says OK [ALERT] \u{fffd}]0;x\u{fffd}"),
        "{}",
        ended.err
    );
    assert!(!ended.err.contains(['\x1b', '\x07']));
}

#[test]
fn what_is_said_in_clear_is_not_taken_for_what_is_said_in_tls() {
    let starttls = ["--timeout", "3", "--starttls", "127.0.0.1", "list"];
    let greeting = "* OK [CAPABILITY IMAP4rev1 STARTTLS] ready\r\n";
    for begin in [
        "a1 OK\r\n",
        "a1 OK\r\n* CAPABILITY IMAP4rev1\r\na2 OK\r\na3 OK [CAPABILITY IMAP4rev1]\r\n",
    ] {
        let port = serve(greeting, "STARTTLS", begin.into(), false);
        fails(port, &starttls, "TLS handshake with 127.0.0.1 failed: ");
    }
    let port = serve(
        "* PREAUTH [CAPABILITY IMAP4rev1 STARTTLS] hello\r\n",
        "X",
        String::new(),
        true,
    );
    fails(
        port,
        &starttls,
        "the server begins with PREAUTH, after which there is no STARTTLS (--starttls)",
    );
    assert_eq!(done(port, &["127.0.0.1", "search", "x", "ALL"]), "");
    let port = serve(GREETING, "X", String::new(), true);
    fails(
        port,
        &starttls,
        "the server offers no STARTTLS (--starttls)",
    );
}

#[test]
fn a_server_that_goes_on_for_ever_is_left() {
    for (text, why) in [
        (
            "* LIST () NIL ".to_owned() + &"(".repeat(1_000_000) + "\r\n",
            "the server sent ",
        ),
        (
            "* LIST () NIL ".to_owned() + &"1 ".repeat(1_000_000) + "\r\n",
            "the server sent ",
        ),
        (
            "* OK ".to_owned() + &"x".repeat(5_000_000),
            "the server sent a response of more than 4194304 bytes",
        ),
        (
            "* SEARCH".to_owned() + &" 1".repeat(3_000_000),
            "the server sent a response of more than 4194304 bytes",
        ),
        (
            "* LIST () NIL {9999999}\r\n".to_owned(),
            "the server sent a response of more than 4194304 bytes",
        ),
        (
            "* 1 EXISTS\r\n".repeat(1000),
            "the whole takes longer than 1s",
        ),
    ] {
        let port = serve(GREETING, "LIST", text, false);
        fails(port, &["--max-time", "1", "127.0.0.1", "list"], why);
    }
}
