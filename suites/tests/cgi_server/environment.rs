//! What a script finds: its variables, its descriptors, its user.

use std::collections::BTreeMap;

use suites::program;

use crate::{Server, scripts};

fn variables(
    server: &Server,
    method: &str,
    target: &str,
    headers: &str,
    body: &str,
) -> BTreeMap<String, String> {
    let reply = server.ask(method, target, headers, body);
    assert_eq!(reply.status, 200, "{}", reply.head);
    let pairs = reply.body.lines().filter_map(|line| line.split_once('='));
    pairs
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

#[test]
fn a_script_gets_the_variables_of_the_rfc_and_path_and_no_others() {
    let server = Server::start(&[]);
    let site = scripts::site().canonicalize().unwrap();
    let site = site.to_str().unwrap();
    let mut seen = variables(
        &server,
        "POST",
        "/cgi-bin/env.sh/x%20y/?a=b%20c&d",
        "Content-Type: text/x\r\nX-One: 1\r\nX-One: 2\r\nProxy: http://192.0.2.1/\r\nAuthorization: Basic dTpw\r\nX_Two: 3\r\n\
         Connection: X-Hop\r\nX-Hop: 1\r\n",
        "abc",
    );
    // sh makes these itself.
    for of_shell in ["PWD", "OLDPWD", "SHLVL", "_"] {
        seen.remove(of_shell);
    }
    assert!(seen.remove("REMOTE_PORT").is_some());
    let (path, port, software) = (
        std::env::var("PATH").unwrap(),
        server.address.port().to_string(),
        seen["SERVER_SOFTWARE"].clone(),
    );
    let expected = [
        ("CONTENT_LENGTH", "3"),
        ("CONTENT_TYPE", "text/x"),
        ("DOCUMENT_ROOT", &format!("{site}/www")),
        ("GATEWAY_INTERFACE", "CGI/1.1"),
        ("HTTP_HOST", "a.example"),
        ("HTTP_X_ONE", "1, 2"),
        ("PATH", &path),
        ("PATH_INFO", "/x y/"),
        ("PATH_TRANSLATED", &format!("{site}/www/x y/")),
        ("QUERY_STRING", "a=b%20c&d"),
        ("REMOTE_ADDR", "127.0.0.1"),
        ("REQUEST_METHOD", "POST"),
        ("REQUEST_URI", "/cgi-bin/env.sh/x%20y/?a=b%20c&d"),
        ("SCRIPT_FILENAME", &format!("{site}/cgi-bin/env.sh")),
        ("SCRIPT_NAME", "/cgi-bin/env.sh"),
        ("SERVER_ADDR", "127.0.0.1"),
        ("SERVER_NAME", "a.example"),
        ("SERVER_PORT", &port),
        ("SERVER_PROTOCOL", "HTTP/1.0"),
        ("SERVER_SOFTWARE", &software),
    ];
    let expected: BTreeMap<_, _> = expected
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    assert_eq!(seen, expected);
}

#[test]
fn a_redirect_in_the_server_is_a_get_of_the_new_path() {
    let server = Server::start(&[]);
    let seen = variables(&server, "POST", "/cgi-bin/local-script.sh", "", "abc");
    for (name, value) in [
        ("REQUEST_METHOD", "GET"),
        ("SCRIPT_NAME", "/cgi-bin/env.sh"),
        ("PATH_INFO", "/x y"),
        ("QUERY_STRING", "a=b"),
        ("REQUEST_URI", "/cgi-bin/local-script.sh"),
    ] {
        assert_eq!(seen.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert!(!seen.contains_key("CONTENT_LENGTH"));
}

#[test]
fn what_is_named_is_passed_on() {
    let site = scripts::site();
    let mut command = program::example("cgi_server");
    command
        .env("PASSED", "1")
        .env("NOT_PASSED", "1")
        .env("HTTP_PROXY", "http://192.0.2.1/")
        .env("LD_PRELOAD", "");
    command.args([
        "--port",
        "0",
        "--pass-env",
        "PASSED",
        "--pass-env",
        "ABSENT",
        "--pass-authorization",
        "--cgi-dir",
    ]);
    command.arg(site.join("cgi-bin")).arg(site.join("www"));
    let program = program::Program::start(&mut command);
    let line = program.line();
    let address = line
        .split(['/', ' '])
        .find_map(|word| word.parse().ok())
        .unwrap();
    let server = Server { program, address };
    let seen = variables(
        &server,
        "GET",
        "/cgi-bin/env.sh",
        "Authorization: Basic dTpw\r\nProxy: x\r\n",
        "",
    );
    let get = |name: &str| seen.get(name).map(String::as_str);
    assert_eq!(
        (get("PASSED"), get("HTTP_AUTHORIZATION")),
        (Some("1"), Some("Basic dTpw"))
    );
    for name in ["NOT_PASSED", "HTTP_PROXY", "LD_PRELOAD", "ABSENT"] {
        assert_eq!(get(name), None, "{name}");
    }
}

#[test]
fn a_query_is_never_an_argument() {
    let server = Server::start(&[]);
    let folder = scripts::site().canonicalize().unwrap().join("cgi-bin");
    for query in ["-s", "a+b", "-d+allow_url_include%3d1", "$(id)", ";id"] {
        let reply = server.get(&format!("/cgi-bin/args.sh?{query}"));
        assert_eq!(reply.body, format!("0\n{}\n", folder.display()), "{query}");
    }
}

#[test]
fn a_script_holds_none_of_the_servers_descriptors() {
    let server = Server::start(&[]);
    let _other = server.connect("GET ");
    let before = server.get("/cgi-bin/crlf.sh");
    assert_eq!(before.status, 200);
    let reply = server.get("/cgi-bin/fds.sh");
    for line in reply.body.lines() {
        let is_own = line == "/dev/null" || line.starts_with("pipe:") || line.ends_with("fds.sh");
        assert!(is_own, "{}", reply.body);
    }
}

#[test]
fn scripts_of_root_run_as_nobody() {
    if !rustix::process::geteuid().is_root() {
        return suites::skip("not root: scripts run as the server does");
    }
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
    let ids = passwd
        .lines()
        .find_map(|line| line.strip_prefix("nobody:"))
        .unwrap();
    let mut ids = ids.split(':').skip(1);
    let (uid, gid) = (ids.next().unwrap(), ids.next().unwrap());
    let server = Server::start(&[]);
    assert_eq!(
        server.get("/cgi-bin/id.sh").body,
        format!("{uid}\n{gid}\n{gid}\n")
    );
    let server = Server::start(&["--user", "root"]);
    assert!(server.get("/cgi-bin/id.sh").body.starts_with("0\n0\n"));
    let ended = program::run(
        "cgi_server",
        &["--port", "0", "--user", "no-such-user", "--cgi-dir", "."],
    );
    assert_eq!(
        (ended.code, ended.err.as_str()),
        (
            Some(1),
            "cgi_server: there is no user no-such-user (--user)\n"
        )
    );
}
