//! The same scripts behind Apache and lighttpd: what each answers.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    process::Command,
};

use suites::{
    others::{self, free_address},
    program, web_server,
};

use crate::{Reply, Server, ask, scripts};

/// Apache with its own process for scripts (`mod_cgid`).
fn apache() -> Option<others::Server> {
    let mut command = others::tool("apache2")?;
    let modules = "/usr/lib/apache2/modules";
    if !fs::exists(format!("{modules}/mod_cgid.so")).unwrap() {
        suites::skip("no mod_cgid of Apache's");
        return None;
    }
    let (folder, address) = (tempfile::tempdir().unwrap(), free_address());
    let (own, site) = (folder.path().display(), scripts::site().display());
    let loaded = [
        "mpm_event",
        "authz_core",
        "authz_host",
        "mime",
        "dir",
        "alias",
        "cgid",
    ];
    let loaded: String = loaded
        .map(|name| format!("LoadModule {name}_module {modules}/mod_{name}.so\n"))
        .concat();
    let config = format!(
        "ServerRoot {own}\nServerName a.example\nPidFile {own}/pid\nDefaultRuntimeDir {own}\nMutex file:{own}\nErrorLog {own}/log\n\
         Listen {address}\nUser nobody\nGroup nogroup\n{loaded}ScriptSock {own}/socket\nTypesConfig /dev/null\nAddType text/plain .txt\n\
         DocumentRoot {site}/www\nDirectoryIndex index.html\n<Directory />\nOptions None\nRequire local\n</Directory>\n\
         <Directory {site}/cgi-bin>\nOptions ExecCGI SymLinksIfOwnerMatch\n</Directory>\nScriptAlias /cgi-bin/ {site}/cgi-bin/\n"
    );
    fs::write(folder.path().join("conf"), config).unwrap();
    let file = folder.path().join("conf");
    command
        .env("APACHE_RUN_DIR", folder.path())
        .arg("-f")
        .arg(file)
        .arg("-DFOREGROUND");
    Some(others::Server::start_in(folder, &mut command, address))
}

fn lighttpd() -> Option<others::Server> {
    let mut command = others::tool("lighttpd")?;
    let (folder, address) = (tempfile::tempdir().unwrap(), free_address());
    let (own, site) = (folder.path().display(), scripts::site().display());
    let config = format!(
        "server.modules = (\"mod_cgi\", \"mod_alias\")\nserver.bind = \"{}\"\nserver.port = {}\nserver.document-root = \"{site}/www\"\n\
         server.upload-dirs = (\"{own}\")\nmimetype.assign = (\".txt\" => \"text/plain\", \".html\" => \"text/html\")\n\
         index-file.names = (\"index.html\")\nalias.url = (\"/cgi-bin/\" => \"{site}/cgi-bin/\")\n\
         $HTTP[\"url\"] =~ \"^/cgi-bin/\" {{ cgi.assign = (\"\" => \"\") }}\ncgi.local-redir = \"enable\"\n",
        address.ip(),
        address.port(),
    );
    fs::write(folder.path().join("conf"), config).unwrap();
    let file = folder.path().join("conf");
    command.arg("-D").arg("-f").arg(file);
    Some(others::Server::start_in(folder, &mut command, address))
}

fn get(address: SocketAddr, target: &str) -> Reply {
    ask_other(
        address,
        &format!("GET {target} HTTP/1.0\r\nHost: a.example\r\n\r\n"),
    )
}

/// A server of others may end a connection without an answer while it starts.
fn ask_other(address: SocketAddr, request: &str) -> Reply {
    program::eventually(|| {
        let mut stream = web_server::connect(address);
        stream.write_all(request.as_bytes()).unwrap();
        let mut all = String::new();
        stream.read_to_string(&mut all).ok()?;
        Reply::of(&all)
    })
}

/// Scripts that all three servers answer with the same status and the same text.
const SAME: &[&str] = &[
    "crlf.sh",
    "status.sh",
    "length.sh",
    "nothing.sh",
    "relative.sh",
    "local.sh",
    "nph-raw.sh",
    "fails.sh",
    "args.sh",
];

/// Scripts that all three answer with this status.
const STATUSES: &[(&str, u16)] = &[
    ("redirect.sh", 302),
    ("local-missing.sh", 404),
    ("missing.sh", 404),
    (".hidden.sh", 404),
    ("..%2fsecret", 404),
    ("no-interpreter", 500),
    ("no-program", 500),
    ("sub/", 403),
    ("", 403),
];

/// What this server answers otherwise than Apache, lighttpd or both, and why.
const DIFFERENT: &[(&str, u16, &str)] = &[
    (
        "long.sh",
        200,
        "cut at its Content-Length; Apache corrects the length",
    ),
    (
        "short.sh",
        200,
        "the connection is cut; Apache corrects the length",
    ),
    (
        "interim.sh",
        502,
        "a client would wait for another answer; Apache passes 100 on",
    ),
    (
        "switch.sh",
        502,
        "the connection stays HTTP; both pass 101 on",
    ),
    ("junk-status.sh", 502, "Apache: 500"),
    (
        "no-header.sh",
        502,
        "Apache: 500; lighttpd takes the output for a document",
    ),
    (
        "no-fields.sh",
        502,
        "a field is missing (RFC 3875, 6.2); both take the rest for a document",
    ),
    (
        "empty.sh",
        502,
        "the fault is the script's, not the server's: both 500",
    ),
    (
        "cut-header.sh",
        502,
        "Apache: 500; lighttpd takes the header for a document",
    ),
    (
        "control.sh",
        502,
        "a field with a CR; Apache drops the CR, lighttpd passes it on",
    ),
    (
        "chunked.sh",
        502,
        "the length is the server's to mark; both drop the field, Apache not what it means",
    ),
    ("long-header.sh", 502, "Apache: 500"),
    (
        "nph-bad.sh",
        502,
        "no status line; Apache passes it on, lighttpd takes it for any script",
    ),
    (
        "loop.sh",
        502,
        "Apache: 500; lighttpd gives the client the last redirect",
    ),
    (
        "local-out.sh",
        403,
        "Apache: 400; lighttpd stays at the top",
    ),
    (
        "../../secret",
        403,
        "Apache: 400; lighttpd stays at the top",
    ),
    ("plain.sh", 403, "both 500"),
    ("link.sh", 403, "both do as if they could run it"),
    (
        "sub",
        403,
        "both send the client to sub/, which is 403 then",
    ),
    (
        "env.sh/a%2Fb",
        404,
        "to a script it would be a/b: Apache refuses it too",
    ),
    ("%zz", 400, "lighttpd takes it for a name"),
    (
        "args.sh?a+b",
        200,
        "words of a query are no arguments (CVE-2012-1823): Apache passes them",
    ),
];

#[test]
fn each_script_has_the_answer_that_apache_and_lighttpd_give_it_or_one_for_a_reason() {
    let server = Server::start(&[]);
    let peers: Vec<_> = [apache(), lighttpd()].into_iter().flatten().collect();
    let ask_peer = |peer: &others::Server, name: &str| {
        let mut stream = suites::web_server::connect(peer.address);
        write!(
            stream,
            "GET /cgi-bin/{name} HTTP/1.0\r\nHost: a.example\r\n\r\n"
        )
        .unwrap();
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all);
        String::from_utf8_lossy(&all).into_owned()
    };
    for name in SAME {
        let ours = server.get(&format!("/cgi-bin/{name}"));
        for peer in &peers {
            let theirs = get(peer.address, &format!("/cgi-bin/{name}"));
            assert_eq!(
                (ours.status, &ours.body),
                (theirs.status, &theirs.body),
                "{name}: {}",
                theirs.head
            );
            assert_eq!(ours.header("Location"), theirs.header("Location"), "{name}");
        }
    }
    for (name, status) in STATUSES {
        let statuses = peers
            .iter()
            .map(|peer| get(peer.address, &format!("/cgi-bin/{name}")).status);
        let ours = server.get(&format!("/cgi-bin/{name}")).status;
        for seen in statuses.chain([ours]) {
            assert_eq!(seen, *status, "{name}");
        }
    }
    for (name, status, why) in DIFFERENT {
        let ours = server.get(&format!("/cgi-bin/{name}"));
        assert_eq!(ours.status, *status, "{name}: {why}");
        let is_other = |peer: &others::Server| {
            let theirs = ask_peer(peer, name);
            let status_line = format!("{status} ");
            let same_status = theirs
                .get(9..)
                .is_some_and(|rest| rest.starts_with(&status_line));
            let same_length = theirs.contains(&format!(
                "Content-Length: {}\r\n",
                ours.header("Content-Length").unwrap_or_default()
            ));
            !same_status || (*status == 200 && !(same_length && theirs.ends_with(&ours.body)))
        };
        // Or the reason is none any more.
        assert!(
            peers.len() < 2 || peers.iter().any(is_other),
            "{name}: {why}"
        );
    }
}

#[test]
fn a_script_gets_the_variables_that_apache_and_lighttpd_give_it() {
    let server = Server::start(&[]);
    let request = "POST /cgi-bin/env.sh/x%20y/?a=b%20c&d HTTP/1.0\r\nHost: a.example\r\nContent-Type: text/x\r\nX-One: 1\r\n\
                   X-One: 2\r\nProxy: http://192.0.2.1/\r\nContent-Length: 3\r\n\r\nabc";
    let variables = |reply: Reply| -> BTreeMap<String, String> {
        let pairs = reply.body.lines().filter_map(|line| line.split_once('='));
        pairs
            .map(|(name, value)| (name.into(), value.into()))
            .collect()
    };
    let ours = variables(ask(server.address, request));
    let others: Vec<_> = [apache(), lighttpd()]
        .into_iter()
        .flatten()
        .map(|peer| variables(ask_other(peer.address, request)))
        .collect();
    for name in [
        "CONTENT_LENGTH",
        "CONTENT_TYPE",
        "GATEWAY_INTERFACE",
        "HTTP_HOST",
        "HTTP_X_ONE",
        "PATH_INFO",
        "QUERY_STRING",
        "REMOTE_ADDR",
        "REQUEST_METHOD",
        "REQUEST_URI",
        "SCRIPT_FILENAME",
        "SCRIPT_NAME",
        "SERVER_ADDR",
        "SERVER_NAME",
        "SERVER_PROTOCOL",
        // Nobody sets it.
        "HTTP_PROXY",
    ] {
        for theirs in &others {
            assert_eq!(ours.get(name), theirs.get(name), "{name}");
        }
    }
}

/// `git http-backend` is a script of others that streams both ways.
#[test]
fn git_clones_and_pushes_by_a_script() {
    let Some(git) = others::tool("git").map(|git| git.get_program().to_owned()) else {
        return;
    };
    let site = tempfile::tempdir().unwrap();
    let run = |folder: &str, words: &[&str]| {
        let mut command = Command::new(&git);
        command
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_TERMINAL_PROMPT", "0");
        command
            .env("GIT_AUTHOR_NAME", "a")
            .env("GIT_AUTHOR_EMAIL", "a@a.example");
        command
            .env("GIT_COMMITTER_NAME", "a")
            .env("GIT_COMMITTER_EMAIL", "a@a.example");
        let said = others::run(
            command.current_dir(site.path().join(folder)).args(words),
            b"",
        );
        assert_eq!(said.code, Some(0), "{words:?}: {}", said.all);
    };
    for folder in ["repositories", "cgi-bin"] {
        fs::create_dir(site.path().join(folder)).unwrap();
    }
    run("repositories", &["init", "-q", "--bare", "one.git"]);
    run(
        "repositories/one.git",
        &["config", "http.receivepack", "true"],
    );
    let script = site.path().join("cgi-bin/git");
    let text = format!("#!/bin/sh\nexec '{}' http-backend\n", git.display());
    // Written by a process of its own: see `scripts`.
    let written = others::run(Command::new("tee").arg(&script), text.as_bytes());
    assert_eq!(written.code, Some(0));
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = program::example("cgi_server");
    command
        .env("GIT_PROJECT_ROOT", site.path().join("repositories"))
        .env("GIT_HTTP_EXPORT_ALL", "1");
    command.args([
        "--port",
        "0",
        "--pass-env",
        "GIT_PROJECT_ROOT",
        "--pass-env",
        "GIT_HTTP_EXPORT_ALL",
    ]);
    if rustix::process::geteuid().is_root() {
        // The owner of the repository.
        command.args(["--user", "root"]);
    }
    let program = program::Program::start(
        command
            .arg("--cgi-dir")
            .arg(site.path().join("cgi-bin"))
            .arg(site.path()),
    );
    let line = program.line();
    let address: SocketAddr = line
        .split(['/', ' '])
        .find_map(|word| word.parse().ok())
        .unwrap();
    let url = format!("http://{address}/cgi-bin/git/one.git");
    run("", &["clone", "-q", &url, "work"]);
    // Larger than git sends with a length (http.postBuffer), and not to be compressed.
    let mut state = 1_u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 56) as u8
    })
    .take(3_000_000)
    .collect();
    fs::write(site.path().join("work/noise"), &noise).unwrap();
    run("work", &["add", "noise"]);
    run("work", &["commit", "-q", "-m", "noise"]);
    run("work", &["push", "-q", &url, "HEAD:refs/heads/main"]);
    run("", &["clone", "-q", "-b", "main", &url, "again"]);
    assert!(fs::read(site.path().join("again/noise")).unwrap() == noise);
}
