//! The program `fetch`: each scheme, each place that it saves to, and what it says of failures.
#![allow(clippy::unwrap_used, reason = "the helpers of a test are part of it")]

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    path::Path,
    process::Command,
    thread,
};

use suites::{
    certificates::{Authority, text},
    errors::{no_such_folder, refused},
    others::{Server, free_address, python_with},
    program::{self, Ended, NULL, Program, example, run},
};

#[track_caller]
fn fetch(args: &[&str]) -> Ended {
    run("fetch", args)
}

#[track_caller]
fn fetch_in(folder: &Path, args: &[&str]) -> Ended {
    Program::start(example("fetch").args(args).current_dir(folder)).ended()
}

/// A server that gives each connection the same answer; without one it holds it.
fn serve(answer: Option<&'static str>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut held = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            match answer {
                Some(answer) => drop(stream.write_all(answer.as_bytes())),
                None => held.push(stream),
            }
        }
    });
    address
}

#[test]
fn data_and_files_go_to_standard_output() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a b.txt");
    let content = "x".repeat(1_000_000);
    fs::write(&path, &content).unwrap();
    let file = file_url(&folder.path().join("a%20b.txt"));
    for (url, out) in [
        ("data:,hello%20world", "hello world"),
        (
            "data:text/html;charset=utf-8;base64,PGI+aGk8L2I+",
            "<b>hi</b>",
        ),
        ("data:,", ""),
        (&file, &content),
    ] {
        let ended = fetch(&[url]);
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{url}");
        assert!(ended.out() == out, "{url}");
    }
}

#[test]
fn a_file_has_its_time_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large");
    // No disk has that much.
    fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
    let url = file_url(&path);
    let ended = fetch(&["--max-time", "0.2", "-o", NULL, &url]);
    assert!(
        ended.code == Some(1) && ended.err.contains("took longer than 200ms"),
        "{}",
        ended.err
    );
}

#[test]
fn what_cannot_be_fetched_is_named_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    // Windows has none. A folder is no regular file either.
    if cfg!(unix) {
        let made = Command::new("mkfifo").arg(&fifo).status();
        assert!(made.unwrap().success());
    } else {
        fs::create_dir(&fifo).unwrap();
    }
    let fifo = file_url(&fifo);
    for (url, shown, why) in [
        ("x", "x", "no scheme: there are http, https, ftp"),
        ("mailto:x", "mailto:x", "mailto: no such scheme here"),
        ("data:x", "data:x", "missing comma"),
        ("data:;base64,%%%", "data:;base64,%%%", "not expected"),
        (
            "file:///no/such/file",
            "file:///no/such/file",
            &no_such_folder(),
        ),
        ("file:///", "file:///", "/: not a regular file"),
        ("file://other/x", "file://other/x", "of this machine"),
        (&fifo, &fifo, "not a regular file"),
        ("http://127.0.0.1:1/", "http://127.0.0.1:1/", &refused()),
        (
            "ftp://me:secret@127.0.0.1:1/x",
            "ftp://…@127.0.0.1:1/x",
            &refused(),
        ),
        (
            "ftp://h/a%0D%0AQUIT",
            "ftp://h/a%0D%0AQUIT",
            "a CR, LF or NUL",
        ),
        (
            "http://me:secret@127.0.0.1/",
            "http://…@127.0.0.1/",
            "not supported",
        ),
    ] {
        if cfg!(windows) && ["file:///no/such/file", "file:///"].contains(&url) {
            suites::lacks(format_args!("{url}: on Windows a path has a drive"));
            continue;
        }
        let ended = fetch(&[url]);
        let begin = format!("fetch: {shown}: ");
        assert!(
            ended.err.starts_with(&begin) && ended.err.contains(why),
            "{url}: {}",
            ended.err
        );
        assert_eq!((ended.code, ended.out()), (Some(1), String::new()), "{url}");
        assert!(!ended.err.contains("secret"), "{}", ended.err);
    }
}

#[test]
fn several_kinds_are_saved_at_once_under_their_names() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("a.txt"), "over http").unwrap();
    fs::write(root.path().join("b.txt"), "of a file").unwrap();
    let root_text = text(root.path());
    let (_server, address) = program::serve("http_server", &["--port", "0", "--root", root_text]);
    let folder = tempfile::tempdir().unwrap();
    let (http, file) = (
        format!("http://{address}/a.txt"),
        file_url(&root.path().join("b.txt")),
    );
    let missing = format!("http://{address}/missing");
    let ended = fetch_in(folder.path(), &["-O", &http, &file, &missing, "data:,x"]);
    assert_eq!(ended.code, Some(1));
    for line in [
        format!("fetch: {missing}: the server answered with status 404 Not Found\n"),
        "fetch: data:,x: -O: the URL has no name for a file; -o gives one\n".into(),
    ] {
        assert!(ended.err.contains(&line), "{}", ended.err);
    }
    assert_eq!(
        fs::read_to_string(folder.path().join("a.txt")).unwrap(),
        "over http"
    );
    assert_eq!(
        fs::read_to_string(folder.path().join("b.txt")).unwrap(),
        "of a file"
    );
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
    let twice = fetch_in(folder.path(), &["-O", &http, &http]);
    assert!(
        twice.err.contains("another URL is saved as a.txt"),
        "{}",
        twice.err
    );
}

#[test]
fn an_older_file_stays_until_the_new_one_is_complete() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    fs::write(&path, "old").unwrap();
    let cut = serve(Some("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nnew"));
    let ended = fetch(&["-o", text(&path), &format!("http://{cut}/")]);
    assert!(
        ended.err.contains("connection closed after 3 of 9 bytes"),
        "{}",
        ended.err
    );
    let ended = fetch(&["-o", text(&path), "--max-size", "2", "data:,new"]);
    assert!(ended.err.contains("larger than 2 bytes"), "{}", ended.err);
    assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    assert_eq!(fetch(&["-o", text(&path), "data:,new"]).code, Some(0));
    assert_eq!(fs::read_to_string(&path).unwrap(), "new");
}

#[test]
fn a_server_cannot_lead_to_files_of_this_machine() {
    for location in [
        "HTTP/1.1 302 F\r\nLocation: file:///etc/passwd\r\n\r\n",
        "HTTP/1.1 302 F\r\nLocation: data:,x\r\n\r\n",
        "HTTP/1.1 302 F\r\nLocation: ftp://127.0.0.1/\r\n\r\n",
    ] {
        let ended = fetch(&[&format!("http://{}/", serve(Some(location)))]);
        assert!(
            ended.err.contains("only supports http and https"),
            "{}",
            ended.err
        );
        assert_eq!((ended.code, ended.out()), (Some(1), String::new()));
    }
}

#[test]
fn https_is_verified() {
    let mut authority = Authority::new();
    let certificate = authority.issue(&["127.0.0.1"]);
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("a.txt"), "over TLS").unwrap();
    let files = [text(&certificate.cert), text(&certificate.key)];
    let options = [
        "--port",
        "0",
        "--root",
        text(root.path()),
        "--tls-cert",
        files[0],
        "--tls-key",
        files[1],
    ];
    let (_server, address) = program::serve("http_server", &options);
    let url = format!("https://{address}/a.txt");
    let authority = authority.file();
    assert_eq!(
        fetch(&["--cacert", text(&authority), &url]).out(),
        "over TLS"
    );
    let ended = fetch(&[&url]);
    assert!(
        ended.code == Some(1) && ended.err.contains("issuer is unknown"),
        "{}",
        ended.err
    );
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_is_no_success() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let program = Program::start(example("fetch").args(["--open", "data:,x", &url]));
    // It handles signals before it connects.
    let _held = program::eventually(|| listener.accept().ok());
    program.signal("INT");
    let ended = program.ended();
    let line = format!("fetch: {url}: interrupted\n");
    assert!(
        ended.code == Some(1) && ended.err.contains(&line),
        "{}",
        ended.err
    );
}

// The browser is a script.
#[cfg(unix)]
#[test]
fn the_result_is_shown_in_the_browser_that_the_environment_names() {
    let folder = tempfile::tempdir().unwrap();
    let browser = folder.path().join("browser");
    let log = folder.path().join("log");
    fs::write(
        &browser,
        format!("#!/bin/sh\nprintf '%s\\n' \"$@\" >>{}\n", log.display()),
    )
    .unwrap();
    suites::others::set_mode(&browser, 0o755);
    let show = |args: &[&str]| {
        let mut command = example("fetch");
        command
            .args(args)
            .env("BROWSER", &browser)
            .env("TMPDIR", folder.path());
        Program::start(&mut command).ended()
    };
    let saved = folder.path().join("it's $(touch here) & saved");
    let saved = text(&saved);
    for args in [
        &["--open", "data:text/html,hi"][..],
        &["--open", "-o", saved, "data:,x"],
    ] {
        let ended = show(args);
        assert_eq!(ended.code, Some(0), "{}", ended.err);
    }
    let shown = program::eventually(|| {
        let text = fs::read_to_string(&log).ok()?;
        (text.lines().count() == 2).then_some(text)
    });
    let mut lines: Vec<_> = shown.lines().map(path_of).collect();
    lines.sort_by_key(|path| path.extension().is_none());
    assert_eq!(lines[0].file_name().unwrap(), "index.html");
    assert_eq!(fs::read_to_string(&lines[0]).unwrap(), "hi");
    assert_eq!(lines[1], Path::new(saved));
    // What the URL calls a program is not given to one.
    let program = folder.path().join("x.jar");
    fs::write(&program, "x").unwrap();
    let ended = show(&["--open", &file_url(&program)]);
    assert!(
        ended.code == Some(1) && ended.err.contains("no page, text or image"),
        "{}",
        ended.err
    );
    // What was not fetched is not shown.
    let ended = show(&["--open", "http://127.0.0.1:1/"]);
    assert!(
        ended.code == Some(1) && !ended.err.contains("shown"),
        "{}",
        ended.err
    );
}

/// As it stands: nothing is escaped.
fn file_url(path: &Path) -> String {
    let path = path.display().to_string();
    match cfg!(windows) {
        true => format!("file:///{}", path.replace('\\', "/")),
        false => format!("file://{path}"),
    }
}

/// The path of a file URL.
#[cfg(unix)]
fn path_of(url: &str) -> std::path::PathBuf {
    let path = url.strip_prefix("file://").unwrap();
    let path = percent_encoding::percent_decode_str(path).decode_utf8();
    path.unwrap().into_owned().into()
}

#[test]
fn gopher_gives_documents_and_the_servers_errors() {
    for (answer, path, out, code) in [
        ("a\r\n.\r\n", "/0/a", "a\r\n", 0),
        ("a\r\n.\r\n", "/9/a", "a\r\n.\r\n", 0),
        ("iHello\t\tx\t70\r\n.\r\n", "", "iHello\t\tx\t70\r\n", 0),
        ("3not here\t\terror.host\t1\r\n.\r\n", "/0/a", "", 1),
        ("x", "/0/a%0d%0ab", "", 1),
    ] {
        let url = format!("gopher://{}{path}", serve(Some(answer)));
        let ended = fetch(&[&url]);
        assert_eq!(
            (ended.out().as_str(), ended.code),
            (out, Some(code)),
            "{url}: {}",
            ended.err
        );
        assert_eq!(
            ended.err.starts_with(&format!("fetch: {url}: ")),
            code == 1,
            "{}",
            ended.err
        );
    }
}

const PYFTPDLIB: &str = "
import sys
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import FTPServer
authorizer = DummyAuthorizer()
authorizer.add_user('me', 'secret', sys.argv[2])
authorizer.add_anonymous(sys.argv[2])
FTPHandler.authorizer = authorizer
FTPServer(('127.0.0.1', int(sys.argv[1])), FTPHandler).serve_forever()
";

#[test]
fn ftp_gives_files_and_listings() {
    let Some(mut python) = python_with("pyftpdlib") else {
        return;
    };
    let root = tempfile::tempdir().unwrap();
    let content = "y".repeat(1_000_000);
    fs::create_dir(root.path().join("sub")).unwrap();
    fs::write(root.path().join("sub/a b.txt"), &content).unwrap();
    let address = free_address();
    python
        .args(["-c", PYFTPDLIB, &address.port().to_string()])
        .arg(root.path());
    let server = Server::start(&mut python, address);
    for url in [
        format!("ftp://{address}/sub/a%20b.txt"),
        format!("ftp://me:secret@{address}/sub/a%20b.txt"),
    ] {
        let ended = fetch(&[&url]);
        assert_eq!(ended.code, Some(0), "{} {}", ended.err, server.log());
        assert!(ended.out() == content, "{url}");
    }
    let ended = fetch(&[&format!("ftp://{address}/sub/")]);
    assert!(
        ended.code == Some(0) && ended.out().contains("a b.txt"),
        "{}",
        ended.err
    );
    for (url, why) in [
        (format!("ftp://{address}/missing"), "550"),
        (format!("ftp://me:wrong@{address}/"), "530"),
    ] {
        let ended = fetch(&[&url]);
        assert!(
            ended.code == Some(1) && ended.err.contains(why),
            "{}",
            ended.err
        );
        assert!(!ended.err.contains("wrong"), "{}", ended.err);
    }
}
