//! Postfix's smtp-sink, which takes everything, or fails as its options say.

use suites::others::{self, Server, free_address, unpacked};
use suites::program::{Program, eventually, example};

use crate::{ASCII, MESSAGE, open_folder, open_to_all, send};

/// `None` where it is not installed.
pub fn sink(options: &[&str]) -> Option<Server> {
    let postfix = unpacked("postfix")?;
    let folder = open_folder();
    let etc = folder.path().join("etc");
    std::fs::create_dir(&etc).unwrap();
    std::fs::write(etc.join("main.cf"), "").unwrap();
    open_to_all(&etc);
    let address = free_address();
    let mut command = postfix.command("usr/sbin/smtp-sink");
    command
        .env("LD_LIBRARY_PATH", postfix.path("usr/lib/postfix"))
        .env("MAIL_CONFIG", &etc)
        .current_dir(&folder);
    if others::is_root() {
        command.args(["-u", "nobody"]);
    }
    command.args(options).args([&address.to_string(), "100"]);
    Some(Server::start_in(folder, &mut command, address))
}

/// The messages that it has written (`-d`).
fn taken(server: &Server) -> Vec<String> {
    let files = std::fs::read_dir(server.folder()).unwrap();
    let files = files.map(|file| file.unwrap().path());
    let names = files.filter(|path| path.to_str().unwrap().contains("/mail"));
    names
        .map(|path| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned())
        .collect()
}

#[test]
fn a_message_arrives_as_it_was_whatever_is_offered() {
    // All; no ESMTP; no pipelining; small windows of TCP; slow to answer the whole.
    for options in [&[][..], &["-e"], &["-p"], &["-T", "100"], &["-W", ".:2"]] {
        let all = [&["-d", "mail"], options].concat();
        let Some(server) = sink(&all) else { return };
        let text = match options {
            ["-e"] => ASCII,
            _ => MESSAGE,
        };
        let to = [
            "--to",
            "b@x.example",
            "--to",
            "c@x.example",
            "--timeout",
            "1",
        ];
        let said = send(server.address, &to, text);
        assert_eq!(said.code, Some(0), "{options:?}: {}", said.all);
        assert!(
            said.all
                .starts_with("standard input: sent to 2 of 2: 250 2.0.0 Ok"),
            "{}",
            said.all
        );
        let taken = taken(&server);
        let [mail] = taken.as_slice() else {
            panic!("{options:?}: {taken:?}");
        };
        let text = mail.replace("\r\n", "\n");
        assert!(text.contains("\n\n.\n..two\n.one\n"), "{options:?}: {text}");
        assert!(text.trim_end().ends_with("\nlast"), "{options:?}: {text}");
        for line in [
            "X-Mail-Args: <a@x.example>",
            "X-Rcpt-Args: <b@x.example>",
            "X-Rcpt-Args: <c@x.example>",
        ] {
            assert!(text.contains(line), "{options:?}: {text}");
        }
    }
}

#[test]
fn what_fails_is_named_with_the_words_of_the_server() {
    for (options, lines) in [
        (
            // A hard failure; a soft one; it hangs up; 421.
            ["-f", "EHLO,HELO"],
            &[
                "HELO: the server says 500 5.3.0 Error: command failed",
                "1 message was not sent",
            ][..],
        ),
        (
            ["-f", "MAIL"],
            &["standard input: the sender: the server says 500 5.3.0 Error: command failed"],
        ),
        (
            ["-r", "RCPT"],
            &[
                "standard input: b@x.example: the server says 450 4.3.0 Error: command failed",
                "standard input: c@x.example: the server says 450 4.3.0 Error: command failed",
                "standard input: the server takes it for no recipient",
            ],
        ),
        (
            ["-r", "DATA"],
            &["standard input: the message: the server says 450 4.3.0 Error: command failed"],
        ),
        (
            ["-f", "."],
            &["standard input: the message: the server says 500 5.3.0 Error: command failed"],
        ),
        (
            ["-q", "CONNECT"],
            &["the server closed the connection", "1 message was not sent"],
        ),
        (
            ["-q", "EHLO"],
            &["the server closed the connection", "1 message was not sent"],
        ),
        (
            ["-q", "MAIL"],
            &["standard input: the server closed the connection"],
        ),
        (
            ["-q", "RCPT"],
            &["standard input: the server closed the connection"],
        ),
        (
            ["-q", "DATA"],
            &["standard input: the server closed the connection"],
        ),
        (
            ["-q", "."],
            &[
                "standard input: the server closed the connection; the server may have taken the message",
            ],
        ),
        (
            ["-Q", "RCPT"],
            &["standard input: the session: the server says 421 4.0.0 Server closing connection"],
        ),
        (
            ["-Q", "."],
            &["standard input: the session: the server says 421 4.0.0 Server closing connection"],
        ),
    ] {
        let Some(server) = sink(&options) else { return };
        let to = ["--to", "b@x.example", "--to", "c@x.example"];
        let said = send(server.address, &to, ASCII);
        let expected: String = lines
            .iter()
            .map(|line| format!("smtp_client: {line}\n"))
            .collect();
        assert_eq!((said.code, said.all), (Some(1), expected), "{options:?}");
    }
    // The message is through: what becomes of QUIT is no matter.
    for fault in ["-f", "-r", "-q", "-Q"] {
        let Some(server) = sink(&[fault, "QUIT"]) else {
            return;
        };
        let said = send(server.address, &["--to", "b@x.example"], ASCII);
        assert_eq!(said.code, Some(0), "{fault}: {}", said.all);
    }
}

#[test]
fn a_server_that_thinks_too_long_is_left() {
    let Some(server) = sink(&["-W", ".:5"]) else {
        return;
    };
    let said = send(
        server.address,
        &["--to", "b@x.example", "--answer-timeout", "0.2"],
        ASCII,
    );
    assert_eq!(
        (said.code, said.all.as_str()),
        (
            Some(1),
            "smtp_client: standard input: nothing moved for 200ms; the server may have taken the message\n"
        )
    );
}

/// The most memory that a process has had, in KiB; `None` if it has ended.
fn peak(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[test]
fn a_long_message_needs_no_memory() {
    let Some(server) = sink(&[]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("long");
    let line = format!("{}\n", "x".repeat(77));
    let mut text = String::from("Subject: long\n\n");
    text.push_str(&line.repeat(1_000_000));
    std::fs::write(&file, text).unwrap();
    let mut client = example("smtp_client");
    client
        .arg(server.address.ip().to_string())
        .arg(&file)
        .args(["--port", &server.address.port().to_string()])
        .args(["--from", "a@x.example", "--to", "b@x.example"]);
    let client = Program::start(&mut client);
    let mut most = 0;
    eventually(|| match peak(client.pid()) {
        Some(memory) => {
            most = memory;
            None
        }
        None => Some(()),
    });
    let ended = client.ended();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    // An emulator's own memory counts too; the message has 76 MiB.
    let bound = if util::SLOW { 64 } else { 32 } * 1024;
    assert!((1..bound).contains(&most), "{most} KiB");
}
