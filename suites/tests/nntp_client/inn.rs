//! INN: innd takes connections and hands readers to nnrpd. It runs as the user news, so root has to start it.

use std::{
    collections::BTreeMap,
    os::unix::{
        fs::{PermissionsExt, chown},
        process::CommandExt,
    },
    path::Path,
    process::Command,
};

use suites::others::{Server, Unpacked, free_address, unpacked};

/// The user and the group on Debian.
const NEWS: u32 = 9;

/// Files that have to be there, and what is in them.
const FILES: &[(&str, &str)] = &[
    (
        "etc/storage.conf",
        "method tradspool {\n newsgroups: *\n class: 0\n}\n",
    ),
    ("etc/newsfeeds", "ME:*::\n"),
    ("etc/incoming.conf", "streaming: true\nmax-connections: 8\n"),
    ("etc/expire.ctl", "/remember/:10\n*:A:never:never:never\n"),
    ("etc/control.ctl", "all:*:*:drop\n"),
    ("etc/localgroups", ""),
    ("etc/subscriptions", ""),
    ("etc/distributions", ""),
    ("etc/moderators", ""),
    ("etc/inn-secrets.conf", ""),
    ("logs/news", ""),
    ("db/history", ""),
    (
        "db/active",
        "control 0000000000 0000000001 n\ncontrol.cancel 0000000000 0000000001 n\njunk 0000000000 0000000001 n\n\
         local.empty 0000000000 0000000001 y\nlocal.secret 0000000000 0000000001 y\nlocal.test 0000000000 0000000001 y\n\
         local.read 0000000000 0000000001 n\n",
    ),
    ("db/newsgroups", "local.test\tTests\n"),
    ("db/active.times", "local.test 1767225600 root\n"),
];

/// Knows the user `u` with the password `p`.
const AUTHENTICATOR: &str = r#"#!/bin/sh
while IFS= read -r line; do
    line=$(printf %s "$line" | tr -d '\r')
    case $line in
        ClientAuthname:*) user=${line#*: } ;;
        ClientPassword:*) password=${line#*: } ;;
        .) break ;;
    esac
done
[ "$user:$password" = u:p ] && printf 'User:u\r\n'
"#;

fn readers(etc: &str) -> String {
    format!(
        "auth all {{\n hosts: \"*\"\n auth: \"{etc}/authenticator\"\n default: \"anybody\"\n}}\n\
         access all {{\n users: \"*\"\n newsgroups: \"*,!local.secret\"\n access: RPNA\n}}\n\
         access user {{\n users: \"u\"\n newsgroups: \"*\"\n access: RPNA\n}}\n"
    )
}

/// The settings of the package, with ours in place of some: each name may come once.
fn settings(inn: &Unpacked, place: &str, port: u16) -> String {
    let text = std::fs::read_to_string(inn.path("etc/news/inn.conf")).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let mut settings: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().into(), value.trim().into()))
        .collect();
    let programs = inn.path("usr/lib/news");
    let programs = programs.display();
    for setting in [
        "mta: \"/bin/true %s\"",
        "pathhost: peer.x.example",
        "domain: x.example",
        "bindaddress: 127.0.0.1",
        "bindaddress6: \"::1\"",
        "artcutoff: 0",
        &format!("port: {port}"),
        &format!("nnrpdpostport: {port}"),
        "initialtimeout: 10",
        "pgpverify: false",
        "doinnwatch: false",
        &format!("pathnews: {programs}"),
        &format!("pathbin: {programs}/bin"),
        &format!("pathcontrol: {programs}/bin/control"),
        &format!("pathetc: {place}/etc"),
        &format!("pathfilter: {place}/etc/filter"),
        &format!("pathdb: {place}/db"),
        &format!("pathlog: {place}/logs"),
        &format!("pathrun: {place}/run"),
        &format!("pathhttp: {place}/http"),
        &format!("pathtmp: {place}/spool/incoming/tmp"),
        &format!("pathspool: {place}/spool"),
        &format!("patharticles: {place}/spool/articles"),
        &format!("patharchive: {place}/spool/archive"),
        &format!("pathincoming: {place}/spool/incoming"),
        &format!("pathoutgoing: {place}/spool/outgoing"),
        &format!("pathoverview: {place}/spool/overview"),
    ] {
        let (name, value) = setting.split_once(": ").unwrap();
        settings.insert(name.into(), value.into());
    }
    // Limits of a user of the system; not for tests.
    for name in ["rlimitnofile", "innwatch", "backoffauth"] {
        settings.remove(name);
    }
    let lines = settings
        .iter()
        .map(|(name, value)| format!("{name}: {value}\n"));
    lines.collect()
}

/// `None`, and a line that says why, where it cannot run.
pub fn start() -> Option<Server> {
    let inn = unpacked("inn2")?;
    if !rustix::process::geteuid().is_root() {
        suites::skip("INN needs root");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    std::fs::set_permissions(place, PermissionsExt::from_mode(0o755)).unwrap();
    let address = free_address();
    for name in [
        "etc/filter",
        "db",
        "logs",
        "run",
        "http",
        "spool/articles",
        "spool/incoming/tmp",
        "spool/incoming/bad",
        "spool/outgoing",
        "spool/overview",
        "spool/archive",
    ] {
        std::fs::create_dir_all(place.join(name)).unwrap();
    }
    for (name, text) in FILES {
        std::fs::write(place.join(name), text).unwrap();
    }
    let etc = place.join("etc");
    std::fs::write(
        etc.join("inn.conf"),
        settings(&inn, place.to_str().unwrap(), address.port()),
    )
    .unwrap();
    std::fs::write(etc.join("readers.conf"), readers(etc.to_str().unwrap())).unwrap();
    let authenticator = etc.join("authenticator");
    std::fs::write(&authenticator, AUTHENTICATOR).unwrap();
    std::fs::set_permissions(&authenticator, PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::set_permissions(
        etc.join("inn-secrets.conf"),
        PermissionsExt::from_mode(0o640),
    )
    .unwrap();
    give_to_news(place);
    let command = |name: &str| {
        let mut command = inn.command(&format!("usr/lib/news/bin/{name}"));
        let libraries = [
            inn.path("usr/lib/news"),
            inn.path("usr/lib/x86_64-linux-gnu"),
        ];
        command
            .env("LD_LIBRARY_PATH", std::env::join_paths(libraries).unwrap())
            .env("INNCONF", etc.join("inn.conf"))
            .env("HOME", place)
            .current_dir(place.join("db"))
            .uid(NEWS)
            .gid(NEWS);
        command
    };
    let history = command("makedbz")
        .args(["-i", "-o", "-s", "10000"])
        .output()
        .unwrap();
    if !history.status.success() {
        suites::skip(format_args!(
            "INN does not run here: {}",
            String::from_utf8_lossy(&history.stderr)
        ));
        return None;
    }
    let mut innd: Command = command("innd");
    innd.args(["-f", "-P", &address.port().to_string()]);
    Some(Server::start_in(folder, &mut innd, address))
}

fn give_to_news(path: &Path) {
    chown(path, Some(NEWS), Some(NEWS)).unwrap();
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            give_to_news(&entry.unwrap().path());
        }
    }
}
