//! A whole Postfix, which takes mail for `x.example` into a Maildir. It has to be started by root.

use std::{fmt::Write, os::unix::fs::chown, path::Path};

use suites::{
    others::{self, Server, Unpacked, free_address, unpacked},
    program::eventually,
};

use crate::{MESSAGE, open_folder, open_to_all, send};

/// Daemons of Postfix and how each is started, as in its `master.cf`.
const SERVICES: &str = "\
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
";

/// Accounts that every system has stand in for Postfix's own: mail, staff and games.
const MAIL: u32 = 8;
const STAFF: u32 = 50;
const GAMES: u32 = 5;

fn start() -> Option<Server> {
    let postfix = unpacked("postfix")?;
    if !others::is_root() {
        suites::skip("Postfix needs root");
        return None;
    }
    let folder = open_folder();
    let address = free_address();
    configure(&postfix, folder.path(), address.port());
    let mut master = postfix.command("usr/lib/postfix/sbin/master");
    master
        .env("LD_LIBRARY_PATH", postfix.path("usr/lib/postfix"))
        .args(["-d", "-c"])
        .arg(folder.path().join("etc"));
    Some(Server::start_in(folder, &mut master, address))
}

fn configure(postfix: &Unpacked, folder: &Path, port: u16) {
    let place = folder.display();
    let make = |name: &str, owner: Option<u32>, group: Option<u32>| {
        let path = folder.join(name);
        std::fs::create_dir_all(&path).unwrap();
        open_to_all(&path);
        chown(path, owner, group).unwrap();
    };
    for name in ["etc", "spool", "spool/pid"] {
        make(name, None, None);
    }
    for name in
        "active bounce corrupt defer deferred flush hold incoming private saved trace".split(' ')
    {
        make(&format!("spool/{name}"), Some(MAIL), None);
    }
    for name in ["spool/public", "spool/maildrop"] {
        make(name, Some(MAIL), Some(STAFF));
    }
    make("data", Some(MAIL), None);
    make("mail", Some(GAMES), None);
    let programs = postfix.path("usr/lib/postfix");
    let programs = programs.display();
    let mut main = format!(
        "compatibility_level = 3.6
queue_directory = {place}/spool
data_directory = {place}/data
daemon_directory = {programs}/sbin
shlib_directory = no
meta_directory = {place}/etc
import_environment = MAIL_CONFIG LANG=C LD_LIBRARY_PATH={programs}
mail_owner = mail
setgid_group = staff
maillog_file = {place}/maillog
maillog_file_prefixes = {place}
virtual_mailbox_base = {place}/mail
virtual_uid_maps = static:{GAMES}
"
    );
    main.push_str(
        "inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = peer.x.example
mydestination =
alias_maps =
local_recipient_maps =
virtual_mailbox_domains = x.example
virtual_mailbox_maps = static:all/
virtual_gid_maps = static:65534
virtual_minimum_uid = 1
virtual_mailbox_limit = 0
default_transport = error:no mail leaves this machine
relay_transport = error:no mail leaves this machine
smtpd_relay_restrictions = reject_unauth_destination
smtpd_peername_lookup = no
message_size_limit = 100000
",
    );
    let mut services = String::new();
    writeln!(services, "127.0.0.1:{port} inet n - n - - smtpd").unwrap();
    services.push_str(SERVICES);
    std::fs::write(folder.join("etc/main.cf"), main).unwrap();
    std::fs::write(folder.join("etc/master.cf"), services).unwrap();
}

/// Waits for this many mails.
#[track_caller]
fn delivered(server: &Server, count: usize) -> Vec<String> {
    let new = server.folder().join("mail/all/new");
    eventually(|| {
        let files = std::fs::read_dir(&new).ok()?;
        let paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        (paths.len() == count).then(|| {
            let texts = paths.iter().map(std::fs::read_to_string);
            texts.map(Result::unwrap).collect()
        })
    })
}

#[test]
fn postfix_delivers_what_it_takes_and_its_refusals_are_shown() {
    let Some(server) = start() else { return };
    // Pipelined, 8-bit, and one recipient of another domain.
    let to = [
        "--to",
        "b@x.example",
        "--to",
        "c@else.example",
        "--to",
        "d@x.example",
    ];
    let said = send(server.address, &to, MESSAGE);
    assert_eq!(said.code, Some(1), "{}", said.all);
    for line in [
        "standard input: sent to 2 of 3: 250 2.0.0 Ok: queued as ",
        "smtp_client: standard input: c@else.example: the server says 554 5.7.1 <c@else.example>: Relay access denied\n",
    ] {
        assert!(said.all.contains(line), "{}", said.all);
    }
    for mail in delivered(&server, 2) {
        assert!(
            mail.ends_with("\n\n.\n..two\n.one\nbl\u{e5}\nlast\n"),
            "{mail}"
        );
    }
    // SMTPUTF8, with a header that is made.
    let args = [
        "--to",
        "j\u{f6}rg@x.example",
        "--subject",
        "Gr\u{fc}\u{df}e",
        "--header",
        "X-A: b",
    ];
    let said = send(server.address, &args, ".\nhello");
    assert_eq!(said.code, Some(0), "{}", said.all);
    let mails = delivered(&server, 3);
    let mail = mails.iter().find(|mail| mail.contains("UTF8SMTP")).unwrap();
    for part in [
        "\nFrom: <a@x.example>\n",
        "\nTo: <j\u{f6}rg@x.example>\n",
        "\nSubject: =?utf-8?",
        "\nX-A: b\n",
        "\nDate: ",
        "@x.example>\n",
        "\n\n.\nhello\n",
    ] {
        assert!(mail.contains(part), "{part:?} in {mail}");
    }
    // Its SIZE is known before the message is sent.
    let long = format!("A: b\n\n{}", "x\n".repeat(50_000));
    let said = send(server.address, &["--to", "b@x.example"], &long);
    assert_eq!(
        (said.code, said.all.as_str()),
        (
            Some(1),
            "smtp_client: standard input: the message has 150008 bytes, and the server takes 100000 (SIZE)\n"
        )
    );
    // Two hundred recipients, more than are asked for at a time.
    let names: Vec<_> = (0..200).map(|n| format!("--to=r{n}@x.example")).collect();
    let to: Vec<_> = names.iter().map(String::as_str).collect();
    let said = send(server.address, &to, MESSAGE);
    assert_eq!(said.code, Some(0), "{}", said.all);
    assert!(
        said.all.contains(": sent to 200 of 200: 250 "),
        "{}",
        said.all
    );
    delivered(&server, 203);
}
