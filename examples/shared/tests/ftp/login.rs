//! The log-in.

use shared::ftp::{Account, Options};

use crate::play::{HOST, play_with, wish};

#[test]
fn a_session_logs_in_as_the_server_asks() {
    let with_account = Options {
        account: Account {
            user: "a".into(),
            password: "b".into(),
            account: Some("c".into()),
        },
        allow_cleartext: true,
        ..Options::default()
    };
    let anonymous = Options::default();
    let cases = [
        (
            "password",
            &anonymous,
            "S 220 ready\nC USER anonymous\nS 331 go on\nC PASS anonymous@\nS 230 in\nC QUIT\nS 221 bye",
            "done",
        ),
        (
            "greeting of several lines, and one before it",
            &anonymous,
            "S 120 soon\nS 220-a\nS 230 b\nS 220 c\nC USER anonymous\nS 230-in\nS x\nS 230 in\nC QUIT\nS 221-good\nS 221 bye",
            "done",
        ),
        (
            "account behind the password",
            &with_account,
            "S 220 \nC USER a\nS 331 \nC PASS b\nS 332 \nC ACCT c\nS 230 \nC QUIT\nS ends",
            "done",
        ),
        (
            "account without a password",
            &with_account,
            "S 220 \nC USER a\nS 332 \nC ACCT c\nS 202 \nC QUIT\nS resets",
            "done",
        ),
        (
            "an account that is not there",
            &anonymous,
            "S 220 \nC USER anonymous\nS 332 which?",
            "login: an account is needed: the server says 332 which?",
        ),
        (
            "a wrong password",
            &anonymous,
            "S 220 \nC USER anonymous\nS 331 \nC PASS anonymous@\nS 530 no\x1b[2J",
            "login: the server says 530 no\u{fffd}[2J",
        ),
        (
            "asked for the name again",
            &anonymous,
            "S 220 \nC USER anonymous\nS 331 \nC PASS anonymous@\nS 331 again",
            "login: the server says 331 again",
        ),
        (
            "full",
            &anonymous,
            "S 421 too many users",
            "greeting: the server says 421 too many users",
        ),
        (
            "not FTP",
            &anonymous,
            "S HTTP/1.1 400 Bad Request",
            "the server sent no reply but \"HTTP/1.1 400 Bad Request\"",
        ),
        (
            "gone",
            &anonymous,
            "S ends",
            "the server closed the control connection",
        ),
        (
            "silent",
            &anonymous,
            "S 220 \nC USER anonymous\nwait",
            "nothing moved for 30s",
        ),
        (
            "no answer to QUIT",
            &anonymous,
            "S 220 \nC USER anonymous\nS 230 \nC QUIT\nwait",
            "done",
        ),
    ];
    for (name, options, script, outcome) in cases {
        for bytewise in [false, true] {
            let told = play_with(options, HOST, script, &[], bytewise);
            assert_eq!(told, [format!("finished: {outcome}")], "{name}");
        }
    }
}

#[test]
fn a_command_gets_its_reply() {
    let script = "S 220 \nC USER anonymous\nS 230 \nC FEAT\nS 211-all:\nS  MDTM\nS  SIZE\nS 211 End\nC NOOP\nS 500 what?\nC NOOP\nS ends";
    let told = play_with(
        &Options::default(),
        HOST,
        script,
        &[wish("FEAT"), wish("NOOP"), wish("NOOP")],
        false,
    );
    assert_eq!(
        told,
        [
            "211 all: /  MDTM /  SIZE / End",
            "500 what?",
            "the server closed the control connection",
            "finished: the server closed the control connection"
        ]
    );
}

#[test]
fn a_name_or_password_is_never_a_second_command() {
    for (user, password, script, why) in [
        (
            "a\r\nDELE b",
            "c",
            "S 220 ",
            "USER: CR cannot be sent in a name",
        ),
        (
            "a",
            "b\nDELE c",
            "S 220 \nC USER a\nS 331 ",
            "PASS: LF cannot be sent in a name",
        ),
    ] {
        let options = Options {
            account: Account {
                user: user.into(),
                password: password.into(),
                account: None,
            },
            allow_cleartext: true,
            ..Options::default()
        };
        let told = play_with(&options, HOST, script, &[], false);
        assert_eq!(told, [format!("finished: {why}")]);
    }
}

#[test]
fn a_password_does_not_pass_in_clear_unless_it_may() {
    let script = "S 220 \nC USER joe\nS 331 ";
    let refused = "finished: the password would pass in clear: --tls or --starttls encrypts it, --allow-cleartext sends it as it is";
    for (host, allowed, script, told) in [
        (HOST, false, script.to_owned(), refused),
        (
            HOST,
            true,
            format!("{script}\nC PASS secret\nS 230 \nC QUIT\nS 221 "),
            "finished: done",
        ),
        (
            "127.0.0.1",
            false,
            format!("{script}\nC PASS secret\nS 230 \nC QUIT\nS 221 "),
            "finished: done",
        ),
        (HOST, false, "S 220 \nC USER joe\nS 332 ".into(), refused),
    ] {
        let options = Options {
            account: Account {
                user: "joe".into(),
                password: "secret".into(),
                account: Some("secret".into()),
            },
            allow_cleartext: allowed,
            ..Options::default()
        };
        assert_eq!(play_with(&options, host, &script, &[], false), [told]);
    }
}
