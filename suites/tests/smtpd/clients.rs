//! Clients of others deliver the same message.

use std::process::Command;

use suites::others::{run, tool};

use crate::{Setup, delivering};

const HEADER: &str = "From: a@x.example\nTo: b@x.example\nSubject: test\n";
/// Lines with dots, an empty one, a long one, and one beyond ASCII.
const BODY: &str = "\n.\n..\n.one dot\nno dot.\n\n\u{fc}ber\n";

fn message(line_end: &str) -> String {
    format!("{HEADER}{BODY}{}\n", "x".repeat(900)).replace('\n', line_end)
}

/// The script of smtplib: all that it can ask for, and a message.
const SMTPLIB: &str = r#"
import smtplib, sys
text = sys.stdin.buffer.read()
with smtplib.SMTP("127.0.0.1", int(sys.argv[1])) as server:
    code, _ = server.ehlo()
    assert code == 250 and server.has_extn("size") and server.has_extn("8bitmime") and server.has_extn("pipelining"), server.esmtp_features
    assert server.vrfy("b@x.example")[0] == 252
    assert server.noop()[0] == 250 and server.rset()[0] == 250
    assert server.docmd("help")[0] == 250 and server.docmd("expn", "list")[0] == 502
    refused = server.sendmail("a@x.example", ["b@x.example", "<>"], text, ["BODY=8BITMIME"])
    assert list(refused) == ["<>"] and refused["<>"][0] == 501, refused
    assert server.mail("a@x.example", ["SIZE=99999999999"])[0] == 552
"#;

#[track_caller]
fn deliver(client: &mut Command, input: &str, setup: &Setup) {
    let said = run(client, input.as_bytes());
    assert_eq!(said.code, Some(0), "{client:?}: {}", said.all);
    let delivered = setup.maildir.only_message();
    assert!(
        delivered
            .starts_with("Return-Path: <a@x.example>\nDelivered-To: b@x.example\nReceived: from "),
        "{delivered}"
    );
    assert!(
        delivered.contains("\n\tby mx.example with ESMTP id "),
        "{delivered}"
    );
    let body = message("\n");
    // Clients may add lines to the header, and one at the end.
    let body = body[HEADER.len()..].trim_end();
    assert!(
        delivered.trim_end().ends_with(body),
        "{client:?}: {delivered:?}"
    );
    assert!(delivered.contains("\nSubject: test\n"), "{delivered}");
    assert_eq!(setup.maildir.count("tmp"), 0);
}

#[test]
fn smtplib_of_python() {
    let Some(mut python) = tool("python3") else {
        return;
    };
    let setup = delivering(&[]);
    let port = setup.address.port().to_string();
    deliver(
        python.args(["-c", SMTPLIB, &port]),
        &message("\r\n"),
        &setup,
    );
}

#[test]
fn swaks() {
    let Some(mut swaks) = tool("swaks") else {
        return;
    };
    let setup = delivering(&[]);
    swaks.args([
        "--server",
        &setup.address.to_string(),
        "--from",
        "a@x.example",
    ]);
    swaks.args(["--to", "b@x.example", "--data", "-"]);
    deliver(&mut swaks, &message("\n"), &setup);
}

#[test]
fn swaks_with_all_commands_at_once() {
    let Some(mut swaks) = tool("swaks") else {
        return;
    };
    let setup = delivering(&[]);
    swaks.args([
        "--server",
        &setup.address.to_string(),
        "--from",
        "a@x.example",
        "--pipeline",
    ]);
    swaks.args(["--to", "b@x.example", "--data", "-"]);
    deliver(&mut swaks, &message("\n"), &setup);
}

#[test]
fn msmtp() {
    let Some(mut msmtp) = tool("msmtp") else {
        return;
    };
    let setup = delivering(&[]);
    msmtp.args([
        "--host=127.0.0.1",
        &format!("--port={}", setup.address.port()),
    ]);
    msmtp.args([
        "--file=/dev/null",
        "--from=a@x.example",
        "--auth=off",
        "--tls=off",
        "b@x.example",
    ]);
    deliver(&mut msmtp, &message("\n"), &setup);
}

#[test]
fn curl() {
    let Some(mut curl) = tool("curl") else {
        return;
    };
    let setup = delivering(&[]);
    curl.args(["-sS", &format!("smtp://{}/client.example", setup.address)]);
    curl.args([
        "--mail-from",
        "a@x.example",
        "--mail-rcpt",
        "b@x.example",
        "-T",
        "-",
    ]);
    deliver(&mut curl, &message("\r\n"), &setup);
}

/// curl sends lines as they are: LF alone, in this case.
#[test]
fn curl_with_bare_line_feeds_is_refused() {
    let Some(mut curl) = tool("curl") else {
        return;
    };
    let setup = delivering(&[]);
    curl.args(["-sS", "-v", &format!("smtp://{}", setup.address)]);
    curl.args([
        "--mail-from",
        "a@x.example",
        "--mail-rcpt",
        "b@x.example",
        "-T",
        "-",
    ]);
    let said = run(&mut curl, message("\n").as_bytes());
    assert_ne!(said.code, Some(0));
    assert!(
        said.all.contains("550 Error: bare <LF> in the message"),
        "{}",
        said.all
    );
    assert_eq!(setup.maildir.count("new"), 0);
}
