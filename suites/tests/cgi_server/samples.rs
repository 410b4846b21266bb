//! The scripts that come with the server.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use suites::{others, program};

use crate::{Reply, Server, ask};

/// A folder that lists need escapes for.
fn names() -> tempfile::TempDir {
    let site = tempfile::tempdir().unwrap();
    fs::set_permissions(site.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for folder in ["a b", "a b/<i>", "a b/<i>/down", "x'y\"&z%41"] {
        fs::create_dir(site.path().join(folder)).unwrap();
    }
    for file in [
        "1.txt",
        "$(id)",
        "a b/é",
        "a b/<i>/`id`",
        "a b/<i>/-n",
        ".hidden",
    ] {
        fs::write(site.path().join(file), "").unwrap();
    }
    site
}

fn serve(files: &tempfile::TempDir) -> Server {
    let scripts = suites::root().join("examples/http/cgi_server/scripts");
    let mut command = program::example("cgi_server");
    // root's own Python may be out of the reach of nobody.
    command
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .args(["--port", "0"]);
    if rustix::process::geteuid().is_root() {
        // The checkout may be out of its reach as well.
        command.args(["--user", "root"]);
    }
    let program = program::Program::start(command.arg("--cgi-dir").arg(scripts).arg(files.path()));
    let line = program.line();
    let address = line
        .split(['/', ' '])
        .find_map(|word| word.parse().ok())
        .unwrap();
    Server { program, address }
}

/// The entries of a list, and where those of folders lead.
fn entries(reply: &Reply) -> Vec<String> {
    assert_eq!(reply.status, 200, "{}", reply.head);
    assert!(
        reply.body.contains("<title>file listing</title>"),
        "{}",
        reply.body
    );
    let lines = reply
        .body
        .lines()
        .filter_map(|line| line.strip_prefix("<p>"));
    // Each script links to itself.
    lines
        .map(|line| line.replace("list.py", "list").replace("list.sh", "list"))
        .collect()
}

#[test]
fn the_lists_in_python_and_sh_are_the_same() {
    if others::tool("python3").is_none() {
        return;
    }
    let site = names();
    let server = serve(&site);
    for (query, expected) in [
        (
            "",
            &[
                "$(id)",
                "1.txt",
                "<a href='/cgi-bin/list?a%20b'>a b</a>",
                "<a href='/cgi-bin/list?x%27y%22%26z%2541'>x&#x27;y&quot;&amp;z%41</a>",
            ][..],
        ),
        (
            "a%20b",
            &["<a href='/cgi-bin/list?a%20b/%3Ci%3E'>&lt;i&gt;</a>", "é"],
        ),
        (
            "a%20b/%3Ci%3E",
            &[
                "-n",
                "`id`",
                "<a href='/cgi-bin/list?a%20b/%3Ci%3E/down'>down</a>",
            ],
        ),
        ("x%27y%22%26z%2541", &[]),
        ("missing", &[]),
        ("..", &[]),
        ("../..", &[]),
        ("/etc", &[]),
        ("a%20b/../../..", &[]),
        ("%00", &[]),
        ("$(id)", &[]),
        ("%", &[]),
    ] {
        for script in ["list.py", "list.sh"] {
            let reply = server.get(&format!("/cgi-bin/{script}?{query}"));
            if query == "%00" && script == "list.sh" {
                // awk drops the byte: the top is listed.
                continue;
            }
            assert_eq!(entries(&reply), expected, "{script}?{query}");
        }
    }
    let log = server.end();
    assert_eq!(log, "");
}

/// With the script of forms, which has to be put beside the others.
fn forms() -> (tempfile::TempDir, Server) {
    let site = tempfile::tempdir().unwrap();
    fs::set_permissions(site.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(site.path().join("cgi-bin")).unwrap();
    let script = site.path().join("cgi-bin/form");
    // By a process of its own: a file that this one has written could be open in a child of another test.
    let copied = Command::new("cp")
        .arg(program::path("cgi_form"))
        .arg(&script)
        .status();
    assert!(copied.unwrap().success());
    let folder = site.path().join("cgi-bin");
    let (program, address) = program::serve(
        "cgi_server",
        &["--port", "0", "--cgi-dir", folder.to_str().unwrap(), "."],
    );
    (site, Server { program, address })
}

#[test]
fn a_form_is_shown_and_read_in_both_encodings() {
    let (_site, server) = forms();
    let page = server.get("/cgi-bin/form");
    assert!(
        page.body.contains("enctype=\"multipart/form-data\""),
        "{}",
        page.body
    );
    let reply = server.get("/cgi-bin/form?a=1+2%3C&b=%C3%A9");
    assert!(
        reply
            .body
            .ends_with("<p><b>a</b>: 1 2&lt;\n<p><b>b</b>: é\n"),
        "{}",
        reply.body
    );
    let urlencoded = "Content-Type: application/x-www-form-urlencoded\r\n";
    let reply = server.ask("POST", "/cgi-bin/form?q=0", urlencoded, "a=x%26y&a=z");
    assert!(
        reply
            .body
            .ends_with("<p><b>q</b>: 0\n<p><b>a</b>: x&amp;y\n<p><b>a</b>: z\n"),
        "{}",
        reply.body
    );
    let multipart = "Content-Type: multipart/form-data; boundary=xyz\r\n";
    let body = "--xyz\r\nContent-Disposition: form-data; name=\"t\"\r\n\r\na\r\nb\r\n--xyz\r\nContent-Disposition: form-data; \
                name=\"f\"; filename=\"<b>.bin\"\r\nContent-Type: text/x\r\n\r\n\r\n--xy\r\n--xyz--\r\n";
    let reply = server.ask("POST", "/cgi-bin/form", multipart, body);
    assert!(
        reply
            .body
            .ends_with("<p><b>t</b>: a\r\nb\n<p><b>f</b>: &lt;b&gt;.bin (text/x): 6 bytes\n"),
        "{:?}",
        reply.body
    );
}

#[test]
fn a_form_that_is_none_is_refused() {
    let (_site, server) = forms();
    let urlencoded = "Content-Type: application/x-www-form-urlencoded\r\n";
    let multipart = "Content-Type: multipart/form-data; boundary=xyz\r\n";
    let many = "a&".repeat(101);
    let long = "a".repeat(64 * 1024 + 1);
    for (method, headers, body, status) in [
        ("PUT", urlencoded, "a=b", 405),
        ("POST", "Content-Type: text/plain\r\n", "a=b", 415),
        ("POST", "", "a=b", 415),
        ("POST", "Content-Type: multipart/form-data\r\n", "a=b", 415),
        ("POST", urlencoded, &many, 413),
        ("POST", urlencoded, &long, 413),
        ("POST", multipart, "a=b", 400),
        (
            "POST",
            multipart,
            "--xyz\r\nContent-Disposition: form-data; name=\"t\"\r\n\r\na",
            400,
        ),
        (
            "POST",
            multipart,
            &format!(
                "--xyz\r\nContent-Disposition: form-data; name=\"t\"\r\n\r\n{long}\r\n--xyz--\r\n"
            ),
            413,
        ),
    ] {
        let reply = server.ask(method, "/cgi-bin/form", headers, body);
        assert_eq!(
            reply.status, status,
            "{method} {headers}{body:.60}: {}",
            reply.body
        );
    }
}

#[test]
fn curl_sends_forms_and_files() {
    let Some(mut curl) = others::tool("curl") else {
        return;
    };
    let (site, server) = forms();
    let file = site.path().join("a file.bin");
    fs::write(&file, vec![0; 3_000_000]).unwrap();
    let url = format!("http://{}/cgi-bin/form", server.address);
    curl.args(["-sS", "-F", "text=ä & ö", "-F"])
        .arg(format!("file=@{}", file.display()))
        .arg(&url);
    let said = others::run(&mut curl, b"");
    assert_eq!(said.code, Some(0), "{}", said.all);
    assert!(said.all.contains("<p><b>text</b>: ä &amp; ö\n<p><b>file</b>: a file.bin (application/octet-stream): 3000000 bytes\n"), "{}", said.all);
    // From a pipe, so without a length, and with leave asked for.
    let mut curl = others::tool("curl").unwrap();
    curl.args([
        "-sS",
        "-H",
        "Content-Type: application/x-www-form-urlencoded",
        "-T",
        "-",
        "-X",
        "POST",
    ])
    .arg(&url);
    let said = others::run(&mut curl, b"a=b");
    assert!(said.all.ends_with("<p><b>a</b>: b\n"), "{}", said.all);
}

#[test]
fn a_script_of_forms_says_what_it_is() {
    let ended = program::run("cgi_form", &[]);
    let why = "cgi_form: a script for a web server: see cgi_server --help\n";
    assert_eq!((ended.code, ended.err.as_str()), (Some(1), why));
    let (_site, server) = forms();
    let reply = ask(
        server.address,
        "HEAD /cgi-bin/form HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    );
    assert_eq!((reply.status, reply.body.as_str()), (200, ""));
}
