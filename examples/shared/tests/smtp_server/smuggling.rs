//! CRLF.CRLF alone ends a message. Other servers end one elsewhere, so a text that looks ended to them is refused, or is text:
//! what follows is never a command.

use crate::{ENVELOPE, options, said, serve};

const LF: &str = "550 Error: bare <LF> in the message; lines end with <CR><LF>";
const CR: &str = "550 Error: bare <CR> in the message; lines end with <CR><LF>";
const OK: &str = "250 OK";

/// Behind a line of text, and what the whole message is answered with.
const NO_ENDS: &[(&str, &str, &str)] = &[
    ("LF.LF", "\n.\n", LF),
    ("LF.CRLF", "\n.\r\n", LF),
    ("LF.CR", "\n.\r", LF),
    ("CRLF.LF", "\r\n.\n", LF),
    ("CRLF.CR", "\r\n.\r", CR),
    ("CR.CR", "\r.\r", CR),
    ("CR.CRLF", "\r.\r\n", CR),
    ("CR.LF", "\r.\n", CR),
    ("LFCR.LFCR", "\n\r.\n\r", LF),
    ("CRCR.CRCR", "\r\r.\r\r", CR),
    ("LFLF.LFLF", "\n\n.\n\n", LF),
    ("CRLF.CRCRLF", "\r\n.\r\r\n", CR),
    ("CRCRLF.CRCRLF", "\r\r\n.\r\r\n", CR),
    ("CRLF.LFCRLF", "\r\n.\n\r\n", LF),
    ("CRLFLF.LF", "\r\n\n.\n", LF),
    ("bare LF", "\n", LF),
    ("bare CR", "\r", CR),
    ("CRLF NUL.CRLF", "\r\n\0.\r\n", OK),
    ("CRLF.NUL CRLF", "\r\n.\0\r\n", OK),
    ("CRLF SP.CRLF", "\r\n .\r\n", OK),
    ("CRLF.SP CRLF", "\r\n. \r\n", OK),
    ("CRLF..CRLF", "\r\n..\r\n", OK),
    ("CRLF.TAB CRLF", "\r\n.\t\r\n", OK),
    ("CRLF NEL.NEL", "\r\n\u{85}.\u{85}", OK),
    ("CRLF VT.VT CRLF", "\r\n\u{b}.\u{b}\r\n", OK),
    ("line separators", "\u{2028}.\u{2028}", OK),
];

const HIDDEN: &str =
    "RSET\r\nMAIL FROM:<evil@x>\r\nRCPT TO:<victim@x>\r\nDATA\r\nhidden\r\n.\r\nQUIT\r\n";

#[test]
fn nothing_but_crlf_dot_crlf_ends_a_message() {
    for (name, input, verdict) in NO_ENDS {
        let text = format!("text{input}{HIDDEN}");
        for size in 1..=text.len() {
            let mut setup = serve(options());
            let mut client = setup.client();
            client.feed(ENVELOPE);
            assert!(said(&mut client).ends_with(&["354 End data with <CR><LF>.<CR><LF>".into()]));
            for piece in text.as_bytes().chunks(size) {
                client.feed(piece);
            }
            assert_eq!(said(&mut client), [*verdict, "221 Bye"], "{name}, {size}");
            let mails = setup.mails.borrow();
            let senders: Vec<_> = mails
                .iter()
                .map(|mail| mail.envelope.sender.as_str())
                .collect();
            let expected = if *verdict == OK { &["a@x"][..] } else { &[] };
            assert_eq!(senders, expected, "{name}, {size}");
        }
    }
}

/// The end is at the second line end of each: behind it there are commands.
#[test]
fn crlf_dot_crlf_ends_a_message_whatever_is_before_it() {
    for (before, verdict, text) in [
        ("", OK, ""),
        ("\r\n", OK, "\n"),
        ("a\r\n", OK, "a\n"),
        ("a\r\n..\r\n", OK, "a\n.\n"),
        (".a\r\n", OK, "a\n"),
        ("a\r\r\n", CR, ""),
        ("a\n\r\n", LF, ""),
        ("\r\r\n", CR, ""),
        ("\n\r\n", LF, ""),
    ] {
        let wire = format!("{before}.\r\nNOOP\r\n");
        for size in 1..=wire.len() {
            let mut setup = serve(options());
            let mut client = setup.client();
            client.feed(ENVELOPE);
            said(&mut client);
            for piece in wire.as_bytes().chunks(size) {
                client.feed(piece);
            }
            assert_eq!(said(&mut client), [verdict, OK], "{before:?}, {size}");
            let mails = setup.mails.borrow();
            let texts: Vec<_> = mails.iter().map(|mail| mail.text.as_str()).collect();
            let expected = if verdict == OK { vec![text] } else { vec![] };
            assert_eq!(texts, expected, "{before:?}, {size}");
        }
    }
}

#[test]
fn a_command_ends_at_crlf_alone() {
    for line in [
        "NOOP\nNOOP",
        "NOOP\rNOOP",
        "NOOP\n",
        "\nNOOP",
        "NOOP\0",
        "MAIL FROM:<a@x>\nRCPT TO:<b@x>",
        "EHLO x\ty",
        "EHLO \u{9b}2J",
    ] {
        let mut setup = serve(options());
        let mut client = setup.client();
        client.feed(format!("{line}\r\n"));
        assert_eq!(said(&mut client), ["500 Error: bad syntax"], "{line:?}");
    }
    let mut setup = serve(options());
    let mut client = setup.client();
    client.feed(b"EHLO \xff\r\n");
    assert_eq!(said(&mut client), ["500 Error: bad syntax"]);
}
