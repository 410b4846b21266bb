//! What is refused before a server hears of it.

use suites::{errors::refused, others::run, program::example};

/// Nobody listens there.
const NOBODY: [&str; 3] = ["127.0.0.1", "--port", "1"];
const BETWEEN: [&str; 4] = ["--from", "a@x.example", "--to", "b@x.example"];

#[test]
fn nothing_that_is_injected_gets_out() {
    for (args, why) in [
        (
            &["--from", "a@x.example> SIZE=1", "--to", "b@x.example"][..],
            "the domain of an address is a name",
        ),
        (
            &["--from", "a@x.example", "--to", "b@x.example\r\nDATA"],
            "an address has no control characters",
        ),
        (
            &[
                "--from",
                "a@x.example",
                "--to",
                "b@x.example",
                "--subject",
                "x\r\nBcc: c@x.example",
            ],
            "--subject: not one line",
        ),
        (
            &[
                "--from",
                "a@x.example",
                "--to",
                "b@x.example",
                "--header",
                "X: y\nBcc: c@x.example",
            ],
            "a field's value is one line without control characters",
        ),
        (
            &[
                "--from",
                "a@x.example",
                "--to",
                "b@x.example",
                "--helo",
                "x\r\nMAIL",
            ],
            "not a name",
        ),
    ] {
        let mut client = example("smtp_client");
        let said = run(client.args(NOBODY).args(args), b"hello");
        assert_eq!(said.code, Some(2), "{args:?}: {}", said.all);
        assert!(said.all.contains(why), "{args:?}: {}", said.all);
    }
}

#[test]
fn what_cannot_be_read_is_not_sent() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty");
    std::fs::write(&empty, "").unwrap();
    let empty = empty.to_str().unwrap();
    let missing = folder.path().join("mis\u{1b}sing");
    let missing = missing.to_str().unwrap();
    // It is no name on Windows.
    let why = if cfg!(windows) { "" } else { "No such file" };
    let absent = format!("mis\u{fffd}sing: {why}");
    for (message, why) in [
        (empty, "it does not begin with a header field"),
        (missing, &absent),
        (folder.path().to_str().unwrap(), "is a directory"),
    ] {
        let mut client = example("smtp_client");
        client.args(NOBODY).args(BETWEEN).arg(message);
        let said = run(&mut client, b"");
        assert_eq!(said.code, Some(1), "{message}: {}", said.all);
        assert!(said.all.contains(why), "{message}: {}", said.all);
        assert!(!said.all.contains("refused"), "{message}: {}", said.all);
    }
    let mut client = example("smtp_client");
    let said = run(client.args(NOBODY).args(BETWEEN), b"A: b");
    assert_eq!(said.code, Some(1));
    let [why, end] = said.all.lines().collect::<Vec<_>>()[..] else {
        panic!("two lines: {}", said.all);
    };
    let refused = format!("smtp_client: connection failed: {}", refused());
    assert!(why.starts_with(&refused), "{why}");
    assert_eq!(end, "smtp_client: 1 message was not sent");
}
