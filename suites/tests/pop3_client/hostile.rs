//! Servers that lie, that stop, and that are in the way.

use suites::{
    maildir::messages,
    program::{Program, eventually},
    scripted,
};

use crate::{command, fails, fetch};

type Table = &'static [(&'static str, Option<&'static str>)];

/// A server that answers a command by the first line of the table that it begins with; `None` breaks the connection.
fn serve(greeting: &'static str, table: Table) -> u16 {
    scripted::serve(greeting, move |line| {
        let answer = table.iter().find(|(begin, _)| line.starts_with(begin));
        answer.and_then(|(_, answer)| answer.map(str::to_owned))
    })
}

const LISTS: [(&str, Option<&str>); 5] = [
    ("CAPA", Some("+OK\r\nPIPELINING\r\n.\r\n")),
    ("USER", Some("+OK\r\n")),
    ("PASS", Some("+OK\r\n")),
    ("LIST", Some("+OK\r\n1 10\r\n2 10\r\n3 10\r\n.\r\n")),
    ("UIDL", Some("+OK\r\n1 a\r\n2 b\r\n3 c\r\n.\r\n")),
];

/// [`LISTS`], and these.
fn table(more: &[(&'static str, Option<&'static str>)]) -> Table {
    [&LISTS, more].concat().leak()
}

#[test]
fn a_message_that_is_cut_is_not_saved_and_nothing_is_deleted() {
    let text = Some("+OK\r\nSubject: x\r\n\r\nwhole\r\n.\r\n");
    // QUIT, which would delete, is no line of the table.
    for (cut, why) in [
        (Some("+OK\r\nhalf"), "nothing moved for 1s"),
        (Some("+OK\r\nhalf\r\n"), "nothing moved for 1s"),
        (Some("+OK\r\nhalf\r\n."), "nothing moved for 1s"),
        (None, "the server "),
    ] {
        let port = serve(
            "+OK\r\n",
            table(&[
                ("RETR 1", text),
                ("RETR 2", cut),
                ("RETR 3", Some("")),
                ("DELE", Some("")),
            ]),
        );
        let folder = tempfile::tempdir().unwrap();
        let args = [
            &["--timeout", "1"],
            &fetch(folder.path(), &["--delete"])[..],
        ]
        .concat();
        fails(port, &args, why);
        assert_eq!(messages(folder.path()), [b"Subject: x\n\nwhole\n"]);
        assert_eq!(
            std::fs::read_dir(folder.path().join("tmp"))
                .unwrap()
                .count(),
            0
        );
        let seen = std::fs::read_to_string(folder.path().join(".pop3-seen")).unwrap();
        assert_eq!(seen.lines().count(), 1, "{seen}");
    }
}

#[test]
fn a_client_that_is_killed_leaves_whole_messages() {
    let whole = Some("+OK\r\nwhole\r\n.\r\n");
    let port = serve(
        "+OK\r\n",
        table(&[
            ("RETR 1", whole),
            ("RETR 2", Some("+OK\r\nhalf\r\n")),
            ("RETR 3", Some("")),
            ("DELE", Some("")),
        ]),
    );
    for signal in ["KILL", "INT"] {
        let folder = tempfile::tempdir().unwrap();
        let program = Program::start(&mut command(port, &fetch(folder.path(), &["--delete"])));
        let _ = eventually(|| std::fs::read_dir(folder.path().join("new")).ok()?.next());
        program.signal(signal);
        let ended = program.ended();
        assert_eq!(messages(folder.path()), [b"whole\n"]);
        if signal == "INT" {
            assert_eq!(
                (ended.code, ended.err.as_str()),
                (Some(1), "pop3_client: interrupted\n")
            );
        }
    }
}

#[test]
fn equal_unique_ids_stand_for_no_message() {
    let whole = Some("+OK\r\nwhole\r\n.\r\n");
    let mut lines = table(&[("RETR", whole), ("QUIT", Some("+OK\r\n"))]).to_vec();
    lines[4].1 = Some("+OK\r\n1 a\r\n2 a\r\n3 c\r\n.\r\n");
    let port = serve("+OK\r\n", lines.leak());
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(
        crate::done(port, &fetch(folder.path(), &[])),
        "3 saved, 0 saved before, 0 deleted\n"
    );
    assert_eq!(
        crate::done(port, &fetch(folder.path(), &[])),
        "2 saved, 1 saved before, 0 deleted\n"
    );
}

#[test]
fn a_server_that_goes_on_for_ever_is_left() {
    let endless = "x\r\n".repeat(100_000).leak();
    let port = serve(
        "+OK\r\n",
        table(&[("RETR", Some(format!("+OK\r\n{endless}").leak()))]),
    );
    let folder = tempfile::tempdir().unwrap();
    let args = [&["--max-message", "1000"], &fetch(folder.path(), &[])[..]].concat();
    fails(
        port,
        &args,
        "RETR 1: the message is larger than 1000 bytes (--max-message)",
    );
    assert!(messages(folder.path()).is_empty());
}

#[test]
fn what_is_said_in_clear_is_not_taken_for_what_is_said_in_tls() {
    for begin in [
        "+OK\r\n",
        "+OK\r\n+OK\r\n.\r\n+OK\r\n",
        "+OK begin\r\n-ERR\r\n",
    ] {
        let lines = vec![
            ("CAPA", Some("+OK\r\nSTLS\r\n.\r\n")),
            ("STLS", Some(begin)),
            ("", Some("+OK\r\n")),
        ];
        let port = serve("+OK <1@x>\r\n", lines.leak());
        fails(
            port,
            &["--timeout", "3", "--starttls", "127.0.0.1", "list"],
            "TLS handshake with 127.0.0.1 failed: ",
        );
    }
}
