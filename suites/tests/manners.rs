//! Every program answers `--help`, and wrong arguments, in the same way: exit code 0 and the help on standard output;
//! exit code 2 and one line on standard error.

use suites::program::run;

const TO: [&str; 2] = ["--to", "127.0.0.1:1"];

const SMTP_TO: &str = "--to=b@x.example";

/// The programs that take arguments, and calls of each that are wrong.
const PROGRAMS: &[(&str, &[&[&str]])] = &[
    (
        "bench_server",
        &[
            &[],
            &["echo"],
            &["gopher", "0"],
            &["echo", "port"],
            &["echo", "65536"],
            &["files", "0", ".", "one too many"],
            &["echo", "0", "--no-such-option"],
        ],
    ),
    ("cgi_form", &[&["x"], &["--no-such-option"]]),
    (
        "cgi_server",
        &[
            &["--port", "70000"],
            &["--max-scripts", "0"],
            &["--max-connections", "0"],
            &["--cgi-path", ""],
            &["--cgi-path", "/"],
            &["--script-timeout", "0"],
            &["--pass-env", "HTTP_PROXY"],
            &["--pass-env", "A=B"],
            &["--tls-cert", "x"],
            &["x", "y"],
        ],
    ),
    (
        "chat_room",
        &[
            &["--port", "70000"],
            &["--bind", "x"],
            &["--max-members", "-1"],
            &["--max-members", "0"],
            &["--max-outgoing", "16383"],
            &["--rate", "0"],
            &["x"],
        ],
    ),
    (
        "chat_server",
        &[
            &["--port", "70000"],
            &["--bind", "x"],
            &["--monitor-port", "-1"],
            &["--max-users", "0"],
            &["--max-outgoing", "0"],
            &["--password-file"],
            &["x"],
        ],
    ),
    (
        "dns_lookup",
        &[
            &[],
            &["a..b"],
            &["--type", "ANY", "x"],
            &["--server", "localhost", "x"],
            &["--server", "127.0.0.1:0", "x"],
            &["--timeout", "0", "x"],
            &["--tries", "0", "x"],
        ],
    ),
    (
        "gopher_client",
        &[
            &[],
            &["http://localhost/"],
            &["gopher://localhost/8/x"],
            &["gopher://localhost/0/x%0d%0ay"],
            &["gopher://localhost/7/find"],
            &["gopher://localhost/0/x", "--search", "y"],
            &["gopher://localhost/7/find", "--search", "a\tb"],
            &["gopher://localhost/", "--max-size", "-1"],
            &["gopher://localhost/", "gopher://localhost/"],
        ],
    ),
    (
        "fetch",
        &[
            &[],
            &["-o", "x", "data:,a", "data:,b"],
            &["data:,a", "data:,b"],
            &["-o", "x", "-O", "data:,a"],
            &["--open", "-o", "-", "data:,a"],
            &["--timeout", "0", "data:,a"],
            &["--no-such-option", "data:,a"],
        ],
    ),
    (
        "ftp_client",
        &[
            &[],
            &["localhost"],
            &["localhost", "dance"],
            &["localhost", "get"],
            &["localhost", "get", "-o", "x", "a", "b"],
            &["localhost", "get", "-c", "-t", "a"],
            &["localhost", "get", "-c", "-o", "-", "a"],
            &["localhost", "put", "-t", "-b", "a"],
            &["localhost", "list", "--names", "--facts"],
            &["--mode", "lazy", "localhost", "list"],
            &["--active-ports", "50000", "localhost", "list"],
            &[
                "--mode",
                "active",
                "--active-ports",
                "20-21",
                "localhost",
                "list",
            ],
            &["--tls", "--starttls", "localhost", "list"],
            &["--port", "65536", "localhost", "list"],
            &["--account", "x", "localhost", "list"],
        ],
    ),
    (
        "http_client",
        &[
            &[],
            &["--no-such-option", "http://x/"],
            &["-o", "x", "http://x/", "http://y/"],
            &["-I", "-o", "x", "http://x/"],
            &["-X", "GET /", "http://x/"],
            &["-X", "CONNECT", "http://x/"],
            &["-H", "X: y\r\nZ: a", "http://x/"],
            &["-H", "Content-Length: 1", "http://x/"],
            &["-d", "a", "-T", "b", "http://x/"],
            &["-F", "a", "http://x/"],
            &["-C", "-", "http://x/"],
            &["-C", "5", "-o", "x", "http://x/"],
            &["-C", "-", "-o", "-", "http://x/"],
            &["--depth", "1", "http://x/"],
            &["--spider", "-o", "x", "http://x/"],
            &["--basic", "http://x/"],
            &["--timeout", "0", "http://x/"],
            &["--max-redirects", "many", "http://x/"],
        ],
    ),
    (
        "http_proxy",
        &[
            &["--port", "65536"],
            &["--allow", "10.0.0.0/33"],
            &["--connect-port", "https"],
            &["--strip-request", "a b"],
            &["--via", ""],
            &["--max-connections", "0"],
            &["--idle-timeout", "0"],
            &["x"],
        ],
    ),
    (
        "http_responder",
        &[
            &["--port", "x"],
            &["--bind", "x"],
            &["--timeout", "0"],
            &["x"],
        ],
    ),
    (
        "http_server",
        &[
            &["--port", "65536"],
            &["--threads", "0"],
            &["--threads", "2", "--max-connections", "1"],
            &["--spread", "evenly"],
            &["--index", "a/b"],
            &["--max-outgoing", "65535"],
            &["--idle-timeout", "0"],
            &["x", "y"],
        ],
    ),
    (
        "nntp_client",
        &[
            &[],
            &["localhost"],
            &["localhost", "sing"],
            &["localhost", "group"],
            &["localhost", "group", "a b"],
            &["localhost", "over", "a", "9-x"],
            &["localhost", "article", "1"],
            &["localhost", "article", "-g", "a", "-o", "x", "1", "2"],
            &["localhost", "article", "<a b>"],
            &["localhost", "post", "-", "-"],
            &["localhost", "--tls", "--starttls", "list"],
        ],
    ),
    (
        "imap_client",
        &[
            &[],
            &["x"],
            &["x", "list"],
            &["--user", "u", "x", "sing"],
            &["--user", "u", "x", "select"],
            &["--user", "u", "x", "search", "INBOX"],
            &["--user", "u", "x", "fetch", "INBOX"],
            &["--user", "u", "x", "fetch", "INBOX", "0"],
            &["--user", "u", "x", "fetch", "INBOX", "1 BODY[]"],
            &[
                "--user",
                "u",
                "x",
                "fetch",
                "INBOX",
                "1",
                "--raw",
                "--maildir",
                "x",
            ],
            &["--user", "u", "x", "idle", "INBOX", "--for", "0"],
            &["--user", "u", "--tls", "--starttls", "x", "list"],
        ],
    ),
    (
        "pop3_client",
        &[
            &[],
            &["x"],
            &["x", "list"],
            &["--user", "u", "x", "sing"],
            &["--user", "u", "x", "show"],
            &["--user", "u", "x", "show", "0"],
            &["--user", "u", "x", "fetch"],
            &["--user", "u", "--tls", "--starttls", "x", "list"],
            &["--user", "u", "--port", "65536", "x", "list"],
            &["--user", "u", "--auth", "none", "x", "list"],
        ],
    ),
    (
        "quote_server",
        &[
            &["--port", "65536"],
            &["--threads", "0"],
            &["--max-connections", "0"],
            &["--max-quotes", "-1"],
            &["--idle-timeout", "0"],
            &["--tls-key", "x"],
            &["--quotes"],
            &["x"],
        ],
    ),
    (
        "run_many",
        &[
            &["--jobs", "0"],
            &["--jobs", "1001"],
            &["--grace", "0"],
            &["x"],
        ],
    ),
    ("select_loop", &[&["--port", "-1"], &["--bind", "::1"]]),
    (
        "sharing",
        &[&[], &["none"], &["ids", "x"], &["ids", "--no"]],
    ),
    (
        "smtp_client",
        &[
            &[],
            &["localhost"],
            &["localhost", "--from", "a@x.example"],
            &["localhost", "--from", "a b@x.example", SMTP_TO],
            &["localhost", "--from", "", SMTP_TO, "--subject", "x"],
            &["localhost", "--from", "", SMTP_TO, "-", "-"],
            &["localhost", "--from", "", SMTP_TO, "--tls", "--starttls"],
            &["localhost", "--from", "", SMTP_TO, "--header", "x"],
            &["localhost", "--from", "", SMTP_TO, "--port", "65536"],
            &["localhost", "--from", "", SMTP_TO, "--answer-timeout", "0"],
        ],
    ),
    (
        "smtpd",
        &[
            &["--port", "65536"],
            &["--bind", "localhost"],
            &["--hostname", "a b"],
            &["--hostname", ""],
            &["--size", "0"],
            &["--max-recipients", "0"],
            &["--max-errors", "many"],
            &["--idle-timeout", "0"],
            &["--require-tls"],
            &["--tls-cert", "x"],
            &["--proxy-protocol-from", "here"],
            &["x"],
        ],
    ),
    (
        "tcp_proxy",
        &[
            &[],
            &["--listen", "127.0.0.1:0"],
            &TO,
            &["--listen", "here", TO[0], TO[1]],
            &["--listen", "127.0.0.1:0", "--to", "no-port"],
            &["--listen", "127.0.0.1:0", "--to", ":80"],
            &["--listen", "127.0.0.1:0", "--to", "localhost:0"],
            &["--listen", "127.0.0.1:0", "--to", "http://localhost:80"],
            &["--no-such-option"],
            &["--idle-timeout", "-1"],
            &[
                "--listen",
                "127.0.0.1:0",
                TO[0],
                TO[1],
                "--max-connections",
                "0",
            ],
        ],
    ),
    (
        "telnet_client",
        &[
            &[],
            &["localhost", "telnet"],
            &["localhost", "65536"],
            &["localhost", "23", "24"],
            &["localhost", "--expect"],
            &["localhost", "--timeout", "0"],
            &["localhost", "--interactive"],
            &["localhost", "--password-file", "x"],
        ],
    ),
    (
        "time_client",
        &[
            &[],
            &["localhost", "time"],
            &["localhost", "0"],
            &["localhost", "65536"],
            &["localhost", "37", "38"],
            &["localhost", "--tcp"],
            &["localhost", "--timeout"],
            &["localhost", "--timeout", "0"],
            &["localhost", "--timeout", "-1"],
            &["localhost", "--timeout", "NaN"],
        ],
    ),
    (
        "time_handlers",
        &[
            &["--port", "65536"],
            &["--bind", "localhost"],
            &["--threads", "0"],
            &["--unix"],
            &["8038"],
        ],
    ),
    (
        "time_server",
        &[
            &["--tcp-only", "--udp-only"],
            &["--port", "65536"],
            &["--bind", "localhost"],
            &["8037"],
        ],
    ),
    (
        "unix_rpc",
        &[
            &[],
            &["sing"],
            &["--force", "call"],
            &["serve", "twice"],
            &["serve", "--timeout", "1"],
            &["call", "--timeout", "0"],
            &["call", "--force"],
            &["serve", "--socket"],
        ],
    ),
];

/// Elsewhere there are no Unix sockets, and `unix_rpc` reads no argument.
fn here() -> impl Iterator<Item = &'static (&'static str, &'static [&'static [&'static str]])> {
    PROGRAMS
        .iter()
        .filter(|(name, _)| cfg!(unix) || *name != "unix_rpc")
}

#[cfg(not(unix))]
#[test]
fn a_program_for_unix_says_so() {
    for name in ["cgi_server", "run_many", "unix_rpc"] {
        let ended = run(name, &[]);
        assert_eq!((ended.code, ended.out().as_str()), (Some(1), ""), "{name}");
        assert_eq!(ended.err, format!("{name}: needs Unix\n"));
    }
}

#[test]
fn help_is_exit_code_0_and_goes_to_standard_output() {
    for (name, _) in here() {
        for flag in ["--help", "-h"] {
            let help = run(name, &[flag]);
            assert_eq!((help.code, help.err.as_str()), (Some(0), ""), "{name}");
            let text = help.out();
            assert!(text.contains(&format!("Usage: {name}")), "{text}");
            assert!(text.lines().all(|line| line.len() <= 120), "{text}");
        }
    }
}

#[test]
fn a_wrong_call_is_exit_code_2_and_one_line_that_points_to_the_help() {
    for (name, calls) in here() {
        for args in *calls {
            let ended = run(name, args);
            assert_eq!(ended.code, Some(2), "{name} {args:?}: {}", ended.err);
            assert_eq!(ended.out(), "", "{name} {args:?}");
            let (begin, end) = (format!("{name}: "), format!("; see {name} --help\n"));
            let err = ended.err;
            assert!(err.starts_with(&begin), "{name} {args:?}: {err}");
            assert!(err.ends_with(&end), "{name} {args:?}: {err}");
            assert_eq!(err.lines().count(), 1, "{name} {args:?}: {err}");
        }
    }
}
