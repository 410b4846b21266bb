//! The cases of CPython 3.11's test_smtpd, by its names: what is said last after each line, and what the handler gets.

use std::net::SocketAddr;

use shared::smtp::server::{Options, Server};

use crate::{IPV4, recorder::Recorder, replies, serve};

type Line = (&'static [u8], &'static str);

/// Any reply but an error.
const FINE: &str = "FINE";
const HELO: Line = (b"HELO example", "250 mx.example");
const EHLO: Line = (b"EHLO example", "250 HELP");
const MAIL: Line = (b"MAIL From:eggs@example", "250 OK");
const RCPT: Line = (b"RCPT To:spam@example", "250 OK");
const DATA: Line = (b"DATA", "354 End data with <CR><LF>.<CR><LF>");
const SYNTAX: &str = "501 Syntax: MAIL FROM: <address>";
const SYNTAX_E: &str = "501 Syntax: MAIL FROM: <address> [SP <mail-parameters>]";
const MAIL_555: &str = "555 MAIL FROM parameters not recognized or not implemented";
const RCPT_555: &str = "555 RCPT TO parameters not recognized or not implemented";
const TOO_LONG: &str = "500 Error: line too long";
const TOO_MUCH: &str = "552 Error: Too much mail data";

struct Case {
    name: &'static str,
    options: Options,
    lines: Vec<(Vec<u8>, &'static str)>,
    /// Sender, recipients and text of what the handler gets.
    mails: Vec<(String, Vec<&'static str>, &'static str)>,
}

fn case(name: &'static str, lines: &[Line]) -> Case {
    let lines = lines.iter().map(|(line, reply)| (line.to_vec(), *reply));
    Case {
        name,
        options: crate::options(),
        lines: lines.collect(),
        mails: Vec::new(),
    }
}

impl Case {
    /// With SMTPUTF8.
    fn utf8(mut self) -> Self {
        self.options.utf8 = true;
        self
    }

    /// As with `decode_data=True`: no 8BITMIME.
    fn decoding(mut self) -> Self {
        self.options.eight_bit = false;
        self
    }

    fn max_size(mut self, size: u64) -> Self {
        self.options.max_size = size;
        self
    }

    fn gives(mut self, mails: &[(&str, &[&'static str], &'static str)]) -> Self {
        let mails = mails
            .iter()
            .map(|(sender, recipients, text)| ((*sender).to_owned(), recipients.to_vec(), *text));
        self.mails.extend(mails);
        self
    }

    /// A line that is put together.
    fn line(mut self, line: impl Into<Vec<u8>>, reply: &'static str) -> Self {
        self.lines.push((line.into(), reply));
        self
    }

    fn lines(mut self, lines: &[Line]) -> Self {
        for (line, reply) in lines {
            self.lines.push((line.to_vec(), reply));
        }
        self
    }

    fn run(&self, peer: SocketAddr) {
        for bytewise in [false, true] {
            let mut setup = serve(self.options.clone());
            let mut client = setup.client_from(peer);
            let lines: Vec<_> = self.lines.iter().map(|(line, _)| line.as_slice()).collect();
            let replies = replies(&mut client, &lines, bytewise);
            for ((line, expected), reply) in self.lines.iter().zip(&replies) {
                let fits = match *expected {
                    FINE => reply.starts_with('2'),
                    expected => reply == expected,
                };
                let line = String::from_utf8_lossy(line);
                assert!(fits, "{}: {line:?}: {reply:?}, not {expected:?}", self.name);
            }
            let mails = setup.mails.borrow();
            let got: Vec<_> = mails
                .iter()
                .map(|mail| {
                    let envelope = &mail.envelope;
                    assert_eq!(envelope.peer, peer.into(), "{}", self.name);
                    let recipients = envelope.recipients.iter().map(String::as_str);
                    let text = mail.text.strip_suffix('\n').unwrap_or(&mail.text);
                    (envelope.sender.clone(), recipients.collect(), text)
                })
                .collect();
            assert_eq!(got, self.mails, "{}", self.name);
        }
    }
}

/// SMTPDChannelTest: over IPv4, and in SMTPDChannelIPv6Test over IPv6.
fn channel_cases() -> Vec<Case> {
    let long = |length: usize| "a".repeat(length);
    let fill = 512 - "MAIL from:<@example>".len();
    let one: &[(&str, &[&str], &str)] = &[("eggs@example", &["spam@example"], "data\nmore")];
    vec![
        case("server_accept", &[]),
        case("missing_data", &[(b"", "500 Error: bad syntax")]),
        case("EHLO", &[EHLO]),
        case("EHLO_bad_syntax", &[(b"EHLO", "501 Syntax: EHLO hostname")]),
        case(
            "EHLO_duplicate",
            &[EHLO, (EHLO.0, "503 Duplicate HELO/EHLO")],
        ),
        case(
            "EHLO_HELO_duplicate",
            &[EHLO, (HELO.0, "503 Duplicate HELO/EHLO")],
        ),
        case("HELO", &[HELO]),
        case(
            "HELO_EHLO_duplicate",
            &[HELO, (EHLO.0, "503 Duplicate HELO/EHLO")],
        ),
        case("HELP", &[]).line(
            "HELP",
            "250 Supported commands: EHLO HELO MAIL RCPT DATA RSET NOOP QUIT VRFY",
        ),
        case(
            "HELP_command",
            &[(b"HELP MAIL", "250 Syntax: MAIL FROM: <address>")],
        ),
        case("HELP_command_unknown", &[]).line(
            "HELP SPAM",
            "501 Supported commands: EHLO HELO MAIL RCPT DATA RSET NOOP QUIT VRFY",
        ),
        case("HELO_bad_syntax", &[(b"HELO", "501 Syntax: HELO hostname")]),
        case(
            "HELO_duplicate",
            &[HELO, (HELO.0, "503 Duplicate HELO/EHLO")],
        ),
        case(
            "HELO_parameter_rejected_when_extensions_not_enabled",
            &[HELO, (b"MAIL from:<foo@example.com> SIZE=1234", SYNTAX)],
        ),
        case(
            "MAIL_allows_space_after_colon",
            &[HELO, (b"MAIL from:   <foo@example.com>", "250 OK")],
        ),
        case(
            "extended_MAIL_allows_space_after_colon",
            &[EHLO, (b"MAIL from:   <foo@example.com> size=20", "250 OK")],
        ),
        case("NOOP", &[(b"NOOP", "250 OK")]),
        case("HELO_NOOP", &[HELO, (b"NOOP", "250 OK")]),
        case("NOOP_bad_syntax", &[(b"NOOP hi", "501 Syntax: NOOP")]),
        case("QUIT", &[(b"QUIT", "221 Bye")]),
        case("HELO_QUIT", &[HELO, (b"QUIT", "221 Bye")]),
        case("QUIT_arg_ignored", &[(b"QUIT bye bye", "221 Bye")]),
        case("command_too_long", &[HELO])
            .line(format!("MAIL from: {}@example", long(512)), TOO_LONG),
        case("MAIL_command_limit_extended_with_SIZE", &[EHLO])
            .line(
                format!("MAIL from:<{}@example> SIZE=1234", long(fill)),
                "250 OK",
            )
            .line(
                format!("MAIL from:<{}@example> SIZE=1234", long(fill + 26)),
                TOO_LONG,
            ),
        case(
            "MAIL_command_rejects_SMTPUTF8_by_default",
            &[
                EHLO,
                (
                    b"MAIL from: <naive@example.com> BODY=8BITMIME SMTPUTF8",
                    MAIL_555,
                ),
            ],
        ),
        case(
            "data_longer_than_default_data_size_limit",
            &[HELO, MAIL, RCPT, DATA],
        )
        .max_size(1048)
        .line(format!("{}\r\n.", "A".repeat(1049)), TOO_MUCH),
        case(
            "MAIL_size_parameter",
            &[EHLO, (b"MAIL FROM:<eggs@example> SIZE=512", "250 OK")],
        ),
        case(
            "MAIL_invalid_size_parameter",
            &[EHLO, (b"MAIL FROM:<eggs@example> SIZE=invalid", SYNTAX_E)],
        ),
        case(
            "MAIL_RCPT_unknown_parameters",
            &[
                EHLO,
                (b"MAIL FROM:<eggs@example> ham=green", MAIL_555),
                (b"MAIL FROM:<eggs@example>", "250 OK"),
                (b"RCPT TO:<eggs@example> ham=green", RCPT_555),
            ],
        ),
        case(
            "MAIL_size_parameter_larger_than_default_data_size_limit",
            &[
                EHLO,
                (
                    b"MAIL FROM:<eggs@example> SIZE=2096",
                    "552 Error: message size exceeds fixed maximum message size",
                ),
            ],
        )
        .max_size(1048),
        case(
            "need_MAIL",
            &[HELO, (RCPT.0, "503 Error: need MAIL command")],
        ),
        case(
            "MAIL_syntax_HELO",
            &[HELO, (b"MAIL from eggs@example", SYNTAX)],
        ),
        case(
            "MAIL_syntax_EHLO",
            &[EHLO, (b"MAIL from eggs@example", SYNTAX_E)],
        ),
        case("MAIL_missing_address", &[HELO, (b"MAIL from:", SYNTAX)]),
        case(
            "MAIL_chevrons",
            &[HELO, (b"MAIL from:<eggs@example>", "250 OK")],
        ),
        case("MAIL_empty_chevrons", &[EHLO, (b"MAIL from:<>", "250 OK")]),
        // Of the next four CPython looks at the sender, for which this goes on to a message.
        quoted(
            "MAIL_quoted_localpart",
            b"MAIL from: <\"Fred Blogs\"@example.com>",
        ),
        quoted(
            "MAIL_quoted_localpart_no_angles",
            b"MAIL from: \"Fred Blogs\"@example.com",
        ),
        quoted(
            "MAIL_quoted_localpart_with_size",
            b"MAIL from: <\"Fred Blogs\"@example.com> SIZE=1000",
        ),
        quoted(
            "MAIL_quoted_localpart_with_size_no_angles",
            b"MAIL from: \"Fred Blogs\"@example.com SIZE=1000",
        ),
        case(
            "nested_MAIL",
            &[
                HELO,
                MAIL,
                (b"MAIL from:spam@example", "503 Error: nested MAIL command"),
            ],
        ),
        case(
            "VRFY",
            &[(
                b"VRFY eggs@example",
                "252 Cannot VRFY user, but will accept message and attempt delivery",
            )],
        ),
        case("VRFY_syntax", &[(b"VRFY", "501 Syntax: VRFY <address>")]),
        case(
            "EXPN_not_implemented",
            &[(b"EXPN", "502 EXPN not implemented")],
        ),
        case(
            "no_HELO_MAIL",
            &[(b"MAIL from:<foo@example.com>", "503 Error: send HELO first")],
        ),
        case(
            "need_RCPT",
            &[HELO, MAIL, (b"DATA", "503 Error: need RCPT command")],
        ),
        case(
            "RCPT_syntax_HELO",
            &[
                HELO,
                (b"MAIL From: eggs@example", "250 OK"),
                (b"RCPT to eggs@example", "501 Syntax: RCPT TO: <address>"),
            ],
        ),
        case(
            "RCPT_syntax_EHLO",
            &[
                EHLO,
                (b"MAIL From: eggs@example", "250 OK"),
                (
                    b"RCPT to eggs@example",
                    "501 Syntax: RCPT TO: <address> [SP <mail-parameters>]",
                ),
            ],
        ),
        case(
            "RCPT_lowercase_to_OK",
            &[
                HELO,
                (b"MAIL From: eggs@example", "250 OK"),
                (b"RCPT to: <eggs@example>", "250 OK"),
            ],
        ),
        case(
            "no_HELO_RCPT",
            &[(b"RCPT to eggs@example", "503 Error: send HELO first")],
        ),
        case(
            "data_dialog",
            &[HELO, MAIL, RCPT, DATA, (b"data\r\nmore\r\n.", "250 OK")],
        )
        .gives(one),
        case(
            "DATA_syntax",
            &[HELO, MAIL, RCPT, (b"DATA spam", "501 Syntax: DATA")],
        ),
        case(
            "no_HELO_DATA",
            &[(b"DATA spam", "503 Error: send HELO first")],
        ),
        case(
            "data_transparency_section_4_5_2",
            &[HELO, MAIL, RCPT, DATA, (b"..\r\n.", "250 OK")],
        )
        .gives(&[("eggs@example", &["spam@example"], ".")]),
        case(
            "multiple_RCPT",
            &[
                HELO,
                MAIL,
                RCPT,
                (b"RCPT To:ham@example", "250 OK"),
                DATA,
                (b"data\r\n.", "250 OK"),
            ],
        )
        .gives(&[("eggs@example", &["spam@example", "ham@example"], "data")]),
        case(
            "manual_status",
            &[HELO, MAIL, RCPT, DATA, (b"return status\r\n.", "250 Okish")],
        )
        .gives(&[("eggs@example", &["spam@example"], "return status")]),
        case(
            "RSET",
            &[
                HELO,
                MAIL,
                RCPT,
                (b"RSET", "250 OK"),
                (b"MAIL From:foo@example", "250 OK"),
                (b"RCPT To:eggs@example", "250 OK"),
                DATA,
                (b"data\r\n.", "250 OK"),
            ],
        )
        .gives(&[("foo@example", &["eggs@example"], "data")]),
        case("HELO_RSET", &[HELO, (b"RSET", "250 OK")]),
        case("RSET_syntax", &[(b"RSET hi", "501 Syntax: RSET")]),
        case(
            "unknown_command",
            &[(
                b"UNKNOWN_CMD",
                "500 Error: command \"UNKNOWN_CMD\" not recognized",
            )],
        ),
    ]
}

fn quoted(name: &'static str, mail: &'static [u8]) -> Case {
    case(
        name,
        &[EHLO, (mail, "250 OK"), RCPT, DATA, (b"data\r\n.", "250 OK")],
    )
    .gives(&[("\"Fred Blogs\"@example.com", &["spam@example"], "data")])
}

/// The other classes.
fn other_cases() -> Vec<Case> {
    let utf8_text: &[(&str, &[&str], &str)] = &[(
        "eggs@example",
        &["spam@example"],
        "utf8 enriched text: \u{17c}\u{17a}\u{107}\nand some plain ascii",
    )];
    let ascii_text: &[(&str, &[&str], &str)] =
        &[("eggs@example", &["spam@example"], "plain ascii text")];
    let utf8_line: Line = ("utf8 enriched text: \u{17c}\u{17a}\u{107}".as_bytes(), "");
    let ascii = [
        HELO,
        MAIL,
        RCPT,
        DATA,
        (b"plain ascii text", ""),
        (b".", "250 OK"),
    ];
    let utf8 = [
        HELO,
        MAIL,
        RCPT,
        DATA,
        utf8_line,
        (b"and some plain ascii", ""),
        (b".", "250 OK"),
    ];
    let fill = (512 + 26 + 10) - "mail from:<@example>".len();
    let path = |c: &str, more: usize| format!("MAIL from:<{}@example>", c.repeat(fill + more));
    let limit = |case: Case, c: &str| case.line(path(c, 1), TOO_LONG).line(path(c, 0), "250 OK");
    let next: &[Line] = &[
        (b"rcpt to:<hans@example.com>", "250 OK"),
        DATA,
        (b"test\r\n.", "250 OK"),
    ];
    vec![
        case(
            "RcptOptionParsing.params_rejected",
            &[
                EHLO,
                (b"MAIL from: <foo@example.com> size=20", "250 OK"),
                (b"RCPT to: <foo@example.com> foo=bar", RCPT_555),
            ],
        ),
        case(
            "RcptOptionParsing.nothing_accepted",
            &[
                EHLO,
                (b"MAIL from: <foo@example.com> size=20", "250 OK"),
                (b"RCPT to: <foo@example.com>", "250 OK"),
            ],
        ),
        case(
            "MailOptionParsing.with_decode_data_true",
            &[
                EHLO,
                (b"MAIL from: <foo@example.com> size=20 SMTPUTF8", MAIL_555),
                (
                    b"MAIL from: <foo@example.com> size=20 SMTPUTF8 BODY=8BITMIME",
                    MAIL_555,
                ),
                (
                    b"MAIL from: <foo@example.com> size=20 BODY=UNKNOWN",
                    MAIL_555,
                ),
                (
                    b"MAIL from: <foo@example.com> size=20 body=8bitmime",
                    MAIL_555,
                ),
                (b"MAIL from: <foo@example.com> size=20", "250 OK"),
            ],
        )
        .decoding(),
        case(
            "MailOptionParsing.with_decode_data_false",
            &[
                EHLO,
                (b"MAIL from: <foo@example.com> size=20 SMTPUTF8", MAIL_555),
                (
                    b"MAIL from: <foo@example.com> size=20 SMTPUTF8 BODY=8BITMIME",
                    MAIL_555,
                ),
                (
                    b"MAIL from: <foo@example.com> size=20 SMTPUTF8 BODY=UNKNOWN",
                    "501 Error: BODY can only be one of 7BIT, 8BITMIME",
                ),
                (
                    b"MAIL from: <foo@example.com> size=20 body=8bitmime",
                    "250 OK",
                ),
            ],
        ),
        case(
            "MailOptionParsing.with_enable_smtputf8_true",
            &[
                EHLO,
                (
                    b"MAIL from: <foo@example.com> size=20 body=8bitmime smtputf8",
                    "250 OK",
                ),
            ],
        )
        .utf8(),
        case(
            "WithDataSizeLimit.data_limit_dialog",
            &[HELO, MAIL, RCPT, DATA, (b"data\r\nmore\r\n.", "250 OK")],
        )
        .max_size(32)
        .gives(&[("eggs@example", &["spam@example"], "data\nmore")]),
        case(
            "WithDataSizeLimit.data_limit_dialog_too_much_data",
            &[
                HELO,
                MAIL,
                RCPT,
                DATA,
                (b"This message is longer than 32 bytes\r\n.", TOO_MUCH),
            ],
        )
        .max_size(32),
        case("WithDecodeDataFalse.ascii_data", &ascii).gives(ascii_text),
        case("WithDecodeDataFalse.utf8_data", &utf8).gives(utf8_text),
        case("WithDecodeDataTrue.ascii_data", &ascii)
            .decoding()
            .gives(ascii_text),
        case("WithDecodeDataTrue.utf8_data", &utf8)
            .decoding()
            .gives(utf8_text),
        case(
            "SMTPUTF8.MAIL_command_accepts_SMTPUTF8_when_announced",
            &[EHLO],
        )
        .utf8()
        .line(
            "MAIL from: <na\u{ef}ve@example.com> BODY=8BITMIME SMTPUTF8",
            "250 OK",
        ),
        case(
            "SMTPUTF8.process_smtputf8_message",
            &[
                EHLO,
                (b"MAIL from: <a@example>", FINE),
                (b"rcpt to:<b@example.com>", FINE),
                (b"data", DATA.1),
                (b"c\r\n.", "250 OK"),
                (b"MAIL from: <a@example> BODY=8BITMIME SMTPUTF8", FINE),
                (b"rcpt to:<b@example.com>", FINE),
                (b"data", DATA.1),
                (b"c\r\n.", "250 SMTPUTF8 message okish"),
            ],
        )
        .utf8()
        .gives(&[
            ("a@example", &["b@example.com"], "c"),
            ("a@example", &["b@example.com"], "c"),
        ]),
        case("SMTPUTF8.utf8_data", &[EHLO])
            .utf8()
            .line(
                "MAIL From: na\u{ef}ve@exampl\u{e9} BODY=8BITMIME SMTPUTF8",
                FINE,
            )
            .line("RCPT To:sp\u{e4}m@exampl\u{e9}", FINE)
            .lines(&[DATA, utf8_line, (b".", FINE)])
            .gives(&[(
                "na\u{ef}ve@exampl\u{e9}",
                &["sp\u{e4}m@exampl\u{e9}"],
                "utf8 enriched text: \u{17c}\u{17a}\u{107}",
            )]),
        limit(
            case(
                "SMTPUTF8.MAIL_command_limit_extended_with_SIZE_and_SMTPUTF8",
                &[EHLO],
            )
            .utf8(),
            "a",
        ),
        ["a", "b", "c"].iter().fold(
            case(
                "SMTPUTF8.multiple_emails_with_extended_command_length",
                &[EHLO],
            )
            .utf8(),
            |case, c| {
                let sender = format!("{}@example", c.repeat(fill));
                limit(case, c)
                    .lines(next)
                    .gives(&[(&sender, &["hans@example.com"], "test")])
            },
        ),
    ]
}

/// Tests elsewhere, with what they ask here.
const ELSEWHERE: &[(&str, &str)] = &[
    (
        "SMTPDServer.decode_data_and_enable_SMTPUTF8_raises",
        "options_that_exclude_each_other_are_an_error, below",
    ),
    ("Channel.decode_data_and_enable_SMTPUTF8_raises", "the same"),
    ("IPv6.decode_data_and_enable_SMTPUTF8_raises", "the same"),
    (
        "DebuggingServer.process_message_with_decode_data_true",
        "the program smtpd: print.rs, its unit tests",
    ),
    (
        "DebuggingServer.process_message_with_decode_data_false",
        "the same",
    ),
    (
        "DebuggingServer.process_message_with_enable_SMTPUTF8_true",
        "the same",
    ),
    (
        "DebuggingServer.process_SMTPUTF8_message_with_enable_SMTPUTF8_true",
        "the same",
    ),
    (
        "FamilyDetection.socket_uses_IPv6",
        "the suites: smtpd --bind ::1",
    ),
    (
        "FamilyDetection.socket_uses_IPv4",
        "the suites: smtpd without --bind",
    ),
    (
        "Channel.broken_connect",
        "the suites: a port that is taken is exit code 1",
    ),
    ("IPv6.broken_connect", "the same"),
];

/// Tests that cannot be: why.
const IMPOSSIBLE: &[(&str, &str)] = &[
    (
        "SMTPDServer.process_message_unimplemented",
        "Handler::message has no default: a handler without it does not compile",
    ),
    (
        "Channel.bad_state",
        "the phase is an enum, and a match knows all of them",
    ),
    ("IPv6.bad_state", "the same"),
    ("Channel.attribute_deprecations", "there are no older names"),
    ("IPv6.attribute_deprecations", "the same"),
    (
        "Misc.__all__",
        "`pub` is the list, and the compiler holds it against its use",
    ),
];

#[test]
fn all_153_cases_of_test_smtpd_are_here_or_elsewhere_or_cannot_be() {
    let (channel, other) = (channel_cases(), other_cases());
    let count = 2 * channel.len() + other.len() + ELSEWHERE.len() + IMPOSSIBLE.len();
    assert_eq!(count, 153);
    let v6 = SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 4000));
    for case in &channel {
        case.run(IPV4.into());
        case.run(v6);
    }
    for case in &other {
        case.run(IPV4.into());
    }
}

#[test]
fn options_that_exclude_each_other_are_an_error() {
    for options in [
        Options {
            utf8: true,
            eight_bit: false,
            ..Options::default()
        },
        Options {
            require_tls: true,
            ..Options::default()
        },
    ] {
        assert!(Server::new(options, Recorder::default()).is_err());
    }
}
