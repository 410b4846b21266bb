//! Many messages: none is lost, also if the server is killed.

use std::{
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use suites::{
    others::{run, unpacked},
    program::{ends_well_when_terminated, eventually, serve},
};

use crate::{client::Client, delivering, maildir::Maildir};

#[test]
fn postfix_smtp_source_loses_none_of_2000_messages_over_20_sessions() {
    let Some(postfix) = unpacked("postfix") else {
        return;
    };
    let setup = delivering(&[]);
    let config = tempfile::tempdir().unwrap();
    let main = "compatibility_level = 3.6\nmyhostname = peer.x.example\nshlib_directory = no\n\
                mail_owner = nobody\nsetgid_group = nogroup\n";
    std::fs::write(config.path().join("main.cf"), main).unwrap();
    let mut source: Command = postfix.command("usr/sbin/smtp-source");
    source
        .env("LD_LIBRARY_PATH", postfix.path("usr/lib/postfix"))
        .env("MAIL_CONFIG", config.path())
        .args([
            "-d",
            "-s",
            "20",
            "-m",
            "2000",
            "-l",
            "1000",
            "-f",
            "a@x.example",
        ])
        .args(["-t", "b@x.example", &setup.address.to_string()]);
    let said = run(&mut source, b"");
    assert_eq!((said.code, said.all.as_str()), (Some(0), ""));
    assert_eq!(
        (setup.maildir.count("new"), setup.maildir.count("tmp")),
        (2000, 0)
    );
    ends_well_when_terminated(setup.program);
}

/// Sends messages with a name each, until the connection breaks. Small and large ones: some are in pieces.
fn send_until_it_breaks(mut client: Client, next: &AtomicUsize, acknowledged: &Mutex<Vec<String>>) {
    loop {
        let n = next.fetch_add(1, Ordering::SeqCst);
        let length = if n.is_multiple_of(10) { 100_000 } else { 1000 };
        let name = format!("message {n}.");
        let text = format!(
            "Subject: {name}\r\n\r\n{}\r\nend of {name}",
            "x".repeat(length)
        );
        match client.send(&text) {
            Ok(reply) => {
                assert_eq!(reply, "250 OK");
                acknowledged.lock().unwrap().push(name);
            }
            Err(_) => return,
        }
    }
}

#[test]
fn every_message_that_was_acknowledged_before_a_sigkill_is_there_whole() {
    let maildir = Maildir::new();
    let folder = maildir.path().to_str().unwrap().to_owned();
    let args = ["--port", "0", "--maildir", &folder];
    let acknowledged = Mutex::new(Vec::new());
    let next = AtomicUsize::new(0);
    let count = || acknowledged.lock().unwrap().len();
    for _ in 0..3 {
        let (program, address) = serve("smtpd", &args);
        let clients: Vec<_> = (0..8).map(|_| Client::connect(address)).collect();
        let enough = count() + 50;
        thread::scope(|scope| {
            for client in clients {
                scope.spawn(|| send_until_it_breaks(client, &next, &acknowledged));
            }
            eventually(|| (count() >= enough).then_some(()));
            program.signal("KILL");
        });
    }
    let messages = maildir.messages();
    let acknowledged = acknowledged.into_inner().unwrap();
    for name in &acknowledged {
        let begin = format!("Subject: {name}\n\n");
        let whole = messages.iter().filter(|text| text.contains(&begin));
        let whole: Vec<_> = whole.collect();
        let length = if whole.len() == 1 { whole[0].len() } else { 0 };
        assert!(length > 1000, "{name}: {} files", whole.len());
    }
    // Those that were not acknowledged are whole too, or not there.
    for message in &messages {
        let subject = message.split("Subject: ").nth(1).unwrap();
        let name = subject.split('\n').next().unwrap();
        assert!(message.ends_with(&format!("\nend of {name}\n")), "{name}");
    }
    assert!(acknowledged.len() <= messages.len());
}
