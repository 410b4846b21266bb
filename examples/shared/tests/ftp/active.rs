//! Data connections that the server makes.

use shared::ftp::{Mode, Options};

use crate::play::{HOST, LOGIN, play_with, wish};

fn options(mode: Mode) -> Options {
    Options {
        mode,
        ..Options::default()
    }
}

#[test]
fn the_server_connects_to_the_address_it_is_told() {
    for (mode, ask) in [
        (Mode::Active, "C EPRT |1|192.0.2.1|…\n"),
        (Mode::Port, "C PORT 192,0,2,1,…\n"),
        (
            Mode::Active,
            "C EPRT |1|192.0.2.1|…\nS 500 what?\nC PORT 192,0,2,1,…\n",
        ),
    ] {
        for (verb, transfer, told) in [
            (
                "RETR",
                "C RETR f\nS 150 \nD abc\nD ends\nS 226 \n",
                "\"abc\" whole",
            ),
            ("RETR", "C RETR f\nD abc\nD ends\nS 226 \n", "\"abc\" whole"),
            ("RETR", "C RETR f\nS 226 \nD abc\nD ends\n", "\"abc\" whole"),
            (
                "STOR",
                "C STOR f\nD sees \nS 150 \nD sees one\\ntwo\\n\nD ends\nS 226 \n",
                "sent",
            ),
        ] {
            // The connection may come before the command.
            let script = format!(
                "{LOGIN}C TYPE I\nS 200 \n{ask}D arrives\nS 200 \n{transfer}C QUIT\nS 221 \n"
            );
            let found = play_with(&options(mode), HOST, &script, &[wish(verb)], false);
            assert_eq!(found, [told, "finished: done"], "{mode:?} {transfer}");
        }
    }
}

#[test]
fn a_refusal_needs_no_connection() {
    let script =
        format!("{LOGIN}C TYPE I\nS 200 \nC EPRT …\nS 200 \nC RETR f\nS 550 no\nC QUIT\nS 221 \n");
    let told = play_with(
        &options(Mode::Active),
        HOST,
        &script,
        &[wish("RETR")],
        false,
    );
    assert_eq!(
        told,
        ["\"\" RETR f: the server says 550 no", "finished: done"]
    );
}

#[test]
fn a_stranger_is_refused() {
    // The peers of the kit come from 192.0.2.2, and the server is another.
    let script = format!(
        "{LOGIN}C TYPE I\nS 200 \nC EPRT …\nD arrives\nD is closed\nS 200 \nC RETR f\nS 150 \nwait\n"
    );
    let told = play_with(
        &options(Mode::Active),
        "192.0.2.9",
        &script,
        &[wish("RETR")],
        false,
    );
    assert_eq!(
        told,
        [
            "\"\" nothing moved for 30s",
            "finished: nothing moved for 30s"
        ]
    );
}

#[test]
fn ports_are_not_those_of_servers() {
    use shared::ftp::Ports;
    for (text, fine) in [
        ("1024-1024", true),
        ("50000", true),
        ("50000-65535", true),
        ("1023-50000", false),
        ("0", false),
        ("5-4", false),
        ("2000-1999", false),
        ("x", false),
        ("1024-65536", false),
        ("", false),
    ] {
        assert_eq!(text.parse::<Ports>().is_ok(), fine, "{text}");
    }
}
