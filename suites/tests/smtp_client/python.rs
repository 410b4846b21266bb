//! CPython's smtpd, which the seeds' programs talked with, and its successor aiosmtpd, which has STARTTLS and AUTH.

use std::process::Command;

use suites::{
    certificates::{Authority, text},
    others::{Server, free_address, python_with, run},
    program::example,
};

use crate::{MESSAGE, send};

const SMTPD: &str = r#"
import warnings; warnings.simplefilter("ignore")
import asyncore, smtpd, sys
class Server(smtpd.SMTPServer):
    def process_message(self, peer, mailfrom, rcpttos, data, **kw):
        print(mailfrom, rcpttos, kw["mail_options"], data, flush=True)
        if b"spam" in data: return "554 5.7.1 spam"
Server(("127.0.0.1", int(sys.argv[1])), None, data_size_limit=1000, enable_SMTPUTF8=True)
asyncore.loop()
"#;

const AIOSMTPD: &str = r#"
import asyncio, ssl, sys
from aiosmtpd.smtp import SMTP, AuthResult
class Handler:
    async def handle_DATA(self, server, session, envelope):
        print(server.session.ssl is not None, session.authenticated, envelope.rcpt_tos, envelope.original_content, flush=True)
        return "250 2.0.0 taken"
port, cert, key, mechanisms = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:]
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH); context.load_cert_chain(cert, key)
def ok(server, session, envelope, mechanism, data):
    return AuthResult(success=(data.login, data.password) == (b"u", b"p"), handled=False)
def make():
    exclude = [m for m in ("PLAIN", "LOGIN") if m not in mechanisms]
    return SMTP(Handler(), enable_SMTPUTF8=True, authenticator=ok, auth_required=True, auth_exclude_mechanism=exclude, tls_context=context, require_starttls=True)
async def main():
    await (await asyncio.get_running_loop().create_server(make, "127.0.0.1", port)).serve_forever()
asyncio.run(main())
"#;

fn start(python: &mut Command, script: &str, args: &[&str]) -> Server {
    let address = free_address();
    python
        .args(["-W", "ignore", "-c", script, &address.port().to_string()])
        .args(args);
    Server::start(python, address)
}

#[test]
fn cpythons_smtpd_takes_a_message() {
    let Some(mut python) = python_with("smtpd") else {
        return;
    };
    let server = start(&mut python, SMTPD, &[]);
    let to = ["--to", "b@x.example", "--to", "j\u{f6}rg@x.example"];
    let said = send(server.address, &to, MESSAGE);
    assert_eq!(
        (said.code, said.all.as_str()),
        (Some(0), "standard input: sent to 2 of 2: 250 OK\n")
    );
    let log = server.log();
    for part in [
        "a@x.example ['b@x.example', 'j\u{f6}rg@x.example']",
        "'BODY=8BITMIME'",
        "'SMTPUTF8'",
        "b'Subject: dots\\n\\n.\\n..two\\n.one\\nbl\\xc3\\xa5\\nlast'",
    ] {
        assert!(log.contains(part), "{part} in {log}");
    }
    let said = send(server.address, &["--to", "b@x.example"], "A: spam\n");
    assert_eq!(
        (said.code, said.all.as_str()),
        (
            Some(1),
            "smtp_client: standard input: the message: the server says 554 5.7.1 spam\n"
        )
    );
}

#[test]
fn aiosmtpd_takes_a_message_over_starttls_from_a_user_it_knows() {
    let mut authority = Authority::new();
    let certificate = authority.issue(&["localhost"]);
    let cacert = authority.file();
    let files = [text(&certificate.cert), text(&certificate.key)];
    for mechanism in ["PLAIN", "LOGIN"] {
        let Some(mut python) = python_with("aiosmtpd") else {
            return;
        };
        let server = start(&mut python, AIOSMTPD, &[files[0], files[1], mechanism]);
        let send = |password: &str, args: &[&str]| {
            let mut client = example("smtp_client");
            client
                .args(["localhost", "--port", &server.address.port().to_string()])
                .args(["--from", "a@x.example", "--to", "b@x.example"])
                .args(args)
                .env("ASYNCHAT_PASSWORD", password);
            run(&mut client, MESSAGE.as_bytes())
        };
        let cacert = ["--starttls", "--cacert", text(&cacert)];
        let login = [&cacert[..], &["--user", "u"]].concat();
        let said = send("p", &login);
        assert_eq!(
            (said.code, said.all.as_str()),
            (Some(0), "standard input: sent to 1 of 1: 250 2.0.0 taken\n"),
            "{mechanism}"
        );
        assert!(
            server.log().contains("True True ['b@x.example']"),
            "{}",
            server.log()
        );
        for (password, args, why) in [
            (
                "x",
                &login[..],
                "smtp_client: the login: the server says 535 5.7.8 ",
            ),
            (
                "p",
                &cacert,
                "smtp_client: standard input: the sender: the server says 530 5.7.0 ",
            ),
            (
                "p",
                &["--starttls"],
                "smtp_client: TLS handshake with localhost failed: ",
            ),
            (
                "p",
                &[],
                "smtp_client: standard input: the sender: the server says 530 ",
            ),
        ] {
            let said = send(password, args);
            assert_eq!(said.code, Some(1), "{}", said.all);
            assert!(said.all.starts_with(why), "{mechanism}: {}", said.all);
        }
    }
}
