//! The program itself: its help, exit codes, access log and end.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Command, Stdio},
};

use suites::web_server::{DEADLINE, Server, command, plain, serve};

const GET: &str = "GET /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n";

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = command().args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn the_help_names_every_option() {
    let (code, out, _) = run(&["--help"]);
    assert_eq!(code, Some(0));
    for option in [
        "--root",
        "--bind",
        "--port",
        "--threads",
        "--spread",
        "--index",
        "--hidden",
        "--follow-symlinks",
        "--no-listing",
        "--precompressed",
        "--spa",
        "--not-found",
        "--cache",
        "--cors",
        "--auth",
        "--trusted-proxy",
        "--proxy-protocol-from",
        "--log-format",
        "--tls-cert",
        "--tls-key",
        "--tls-port",
        "--status",
        "--quiet",
        "--max-connections",
        "--idle-timeout",
        "--request-timeout",
        "--max-body",
        "--max-outgoing",
    ] {
        assert!(out.contains(option), "{option}");
    }
}

#[test]
fn wrong_usage_is_2_and_what_fails_is_1_with_one_line() {
    for arguments in [
        &["--nonsense"][..],
        &["--port", "x"],
        &["--port"],
        &["--idle-timeout", "0"],
        &["--idle-timeout", "nan"],
        &["--max-connections", "0"],
        &["--max-outgoing", "65535"],
        &["--index", "a/b"],
        &["--spa", "../a"],
        &["--not-found", ""],
        &["--spa", "a", "--not-found", "b"],
        &["--cache", "-1"],
        &["--trusted-proxy", "proxy"],
        &["--proxy-protocol-from", "10.0.0.0/33"],
        &["--log-format", "json"],
        &["one", "two"],
        &["one", "--root", "two"],
    ] {
        let (code, _, err) = run(arguments);
        assert_eq!(
            (code, err.lines().count()),
            (Some(2), 1),
            "{arguments:?}: {err}"
        );
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (code, _, err) = run(&["--port", &port]);
    assert_eq!((code, err.lines().count()), (Some(1), 1), "{err}");
    assert!(
        err.contains(&format!("cannot listen on 127.0.0.1:{port}")),
        "{err}"
    );
    for root in ["/nonexistent/directory", "/etc/hostname"] {
        for arguments in [&["--port", "0", "--root", root][..], &["--port", "0", root]] {
            let (code, _, err) = run(arguments);
            assert_eq!((code, err.lines().count()), (Some(1), 1), "{err}");
            assert!(err.contains(root), "{err}");
        }
    }
}

#[test]
fn the_first_line_names_the_root_and_the_url() {
    let mut child = command()
        .args(["--port", "0"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = [0; 32];
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut line)
        .unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(
        line.starts_with(b"serving . on http://127.0.0.1:"),
        "{}",
        line.escape_ascii()
    );
}

#[test]
fn the_access_log_has_the_common_format() {
    let server = serve(&[], |root| {
        std::fs::write(root.join("large"), vec![0; 100_000]).unwrap();
    });
    let mut client = server.connect();
    for (request, end) in [
        (GET, "\"GET /hello.txt HTTP/1.1\" 200 12"),
        (
            "HEAD /hello.txt HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            "\"HEAD /hello.txt HTTP/1.0\" 200 -",
        ),
        (
            "GET /large HTTP/1.1\r\nHost: a\r\n\r\n",
            "\"GET /large HTTP/1.1\" 200 100000",
        ),
        (
            "GET /hello.txt HTTP/1.1\r\nHost: a\r\nIf-None-Match: *\r\n\r\n",
            "\"GET /hello.txt HTTP/1.1\" 304 -",
        ),
        (
            "GET /\"\x1b HTTP/1.1\r\nHost: a\r\n\r\n",
            "\"GET /\\\"\\x1b HTTP/1.1\" 400 ",
        ),
    ] {
        let status = client.ask(request).status;
        let line = server.next_log_line();
        let (start, rest) = line.split_once(']').unwrap();
        assert!(rest.trim_start().starts_with(end), "{line} ({status})");
        let date = start.strip_prefix("127.0.0.1 - - [").unwrap();
        let (day, zone) = date.split_once(' ').unwrap();
        assert_eq!(
            (day.len(), zone),
            ("20/Nov/2026:14:00:00".len(), "+0000"),
            "{line}"
        );
    }
}

// On Windows a listener for IPv6 takes no IPv4.
#[cfg(unix)]
#[test]
fn a_client_with_ipv4_on_a_listener_for_both_is_logged_with_its_ipv4_address() {
    let server = serve(&["--bind", "::"], |_| ());
    let mut client = server.connect_to(([127, 0, 0, 1], server.address.port()).into());
    client.ask(GET).expect(200);
    let line = server.next_log_line();
    assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
}

#[test]
fn the_directory_may_stand_alone_on_the_command_line() {
    let server = serve(&[], |_| ());
    let root = server.root.path().to_str().unwrap();
    let (other, address) = suites::program::serve("http_server", &["--port", "0", root]);
    let mut client = server.connect_to(address);
    assert_eq!(client.ask(GET).expect(200).text(), "hello, world");
    suites::program::ends_well_when_terminated(other);
}

#[test]
fn a_download_broken_off_is_logged_with_what_was_sent() {
    let server = serve(&[], |root| {
        std::fs::File::create(root.join("sparse"))
            .unwrap()
            .set_len(1 << 30)
            .unwrap();
    });
    for close in ["", "Connection: close\r\n"] {
        for read in [1000, 50 << 20] {
            let mut client = server.connect();
            client.send(&format!("GET /sparse HTTP/1.1\r\nHost: a\r\n{close}\r\n"));
            client.stream.read_exact(&mut vec![0; read]).unwrap();
            drop(client);
            let line = server.next_log_line();
            let bytes: usize = line.rsplit(' ').next().unwrap().parse().unwrap();
            // The head was read too, and what both kernels hold was sent in vain.
            assert!((read - 1000..read + (16 << 20)).contains(&bytes), "{line}");
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_large_file_takes_few_system_calls() {
    let calls = |server: &Server| -> u64 {
        let io = std::fs::read_to_string(format!("/proc/{}/io", server.child.id())).unwrap();
        let figure = |name| io.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        let [reads, writes] =
            ["syscr: ", "syscw: "].map(|name| figure(name).parse::<u64>().unwrap());
        reads + writes
    };
    let (server, mut client) = sending();
    // A client that the system lets wait makes less room at a time, and so more calls: the calmest of three downloads.
    let mut fewest = u64::MAX;
    for _ in 0..3 {
        let before = calls(&server);
        client.reply_to(GET).expect(200);
        fewest = fewest.min(calls(&server) - before);
        eprintln!("{fewest} calls");
        // Read and written in blocks of 64 KiB it would be 8,192.
        if fewest < 7_500 {
            return;
        }
    }
    panic!("{fewest} calls");
}

#[test]
fn an_answer_whose_file_shrinks_is_cut_short_and_nothing_follows_it() {
    let server = serve(&[], |root| {
        std::fs::File::create(root.join("sparse"))
            .unwrap()
            .set_len(256 << 20)
            .unwrap();
    });
    let mut client = server.connect();
    client.send(&format!("GET /sparse HTTP/1.1\r\nHost: a\r\n\r\n{GET}"));
    client.stream.peek(&mut [0]).unwrap();
    let path = server.root.path().join("sparse");
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_len(1 << 20).unwrap();
    let received = client.rest();
    assert!(received.len() < 256 << 20);
    assert_eq!(
        memchr::memmem::find_iter(&received, b"HTTP/1.1 ").count(),
        1
    );
    server.get("/hello.txt").expect(200);
}

#[test]
fn quiet_means_no_log() {
    let mut server = serve(&["--quiet"], |_| ());
    server.get("/hello.txt").expect(200);
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    assert!(
        server.out.recv_timeout(DEADLINE).is_err(),
        "a line after the first"
    );
}

/// A server that is sending a large file to a client that has read the start of it.
fn sending() -> (Server, suites::web_server::Client) {
    let server = serve(&[], |root| {
        std::fs::File::create(root.join("sparse"))
            .unwrap()
            .set_len(256 << 20)
            .unwrap();
    });
    let mut client = server.connect();
    client.send("GET /sparse HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    client.stream.peek(&mut [0]).unwrap();
    (server, client)
}

fn wait_until_refused(server: &Server) {
    let end = std::time::Instant::now() + DEADLINE;
    while TcpStream::connect(server.address).is_ok() {
        assert!(
            std::time::Instant::now() < end,
            "connections are still accepted"
        );
    }
}

#[test]
fn a_signal_ends_the_server_when_what_is_being_sent_is_sent() {
    for name in ["INT", "TERM"] {
        let (mut server, mut client) = sending();
        let mut idle = server.connect();
        idle.ask(GET).expect(200);
        server.signal(name);
        assert_eq!(idle.rest(), b"", "an idle connection is closed at once");
        wait_until_refused(&server);
        assert!(
            server.child.try_wait().unwrap().is_none(),
            "it does not wait for the download"
        );
        let reply = client.reply_to(GET).expect(200);
        assert_eq!(reply.body.len(), 256 << 20);
        drop(client);
        assert_eq!(server.wait(), Some(0));
        let log: Vec<_> = server.out.iter().collect();
        assert!(
            log.iter().any(|line| line.ends_with(" 200 268435456")),
            "{log:?}"
        );
    }
}

#[test]
fn a_client_that_does_not_close_does_not_hold_up_the_end() {
    let mut server = plain();
    let mut client = server.connect();
    let request = "GET /hello.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    client.ask(request).expect(200);
    assert_eq!(client.stream.read(&mut [0]).unwrap(), 0);
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    drop(client);
}

/// A server whose standard output nobody reads, with more in its log than any buffer takes.
fn unread() -> (std::process::Child, impl BufRead, usize) {
    const REQUESTS: usize = 4000;
    let mut child = command()
        .args(["--port", "0"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    out.read_line(&mut first).unwrap();
    let address = first.trim_end().trim_end_matches('/');
    let address = address.rsplit_once("http://").unwrap().1;
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let target = "x".repeat(1000);
    let request = format!("HEAD /{target} HTTP/1.1\r\nHost: a\r\n\r\n");
    for _ in 0..REQUESTS / 100 {
        stream.write_all(request.repeat(100).as_bytes()).unwrap();
        let mut seen = Vec::new();
        let mut piece = [0; 65536];
        while memchr::memmem::find_iter(&seen, b"\r\n\r\n").count() < 100 {
            let n = stream.read(&mut piece).unwrap();
            assert!(n > 0, "the server has closed");
            seen.extend_from_slice(&piece[..n]);
        }
    }
    (child, out, REQUESTS)
}

#[test]
fn a_log_nobody_reads_does_not_stop_the_server_and_tells_what_it_lost() {
    let (mut child, mut out, requests) = unread();
    let mut lines = 0;
    let mut line = String::new();
    let dropped: usize = loop {
        line.clear();
        assert!(out.read_line(&mut line).unwrap() > 0, "no line is missed");
        match line.trim_end().strip_suffix(" lines dropped") {
            Some(number) => break number.parse().unwrap(),
            None => lines += 1,
        }
    };
    assert_eq!(lines + dropped, requests);
    assert!(lines > 900, "only {lines} lines had a place");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_third_signal_ends_a_server_whose_log_nobody_reads_at_once() {
    let (mut child, out, _) = unread();
    let end = std::time::Instant::now() + DEADLINE;
    let status = loop {
        // It may be gone.
        suites::program::signal(child.id(), "TERM");
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(std::time::Instant::now() < end, "it goes on");
    };
    assert_eq!(status.code(), Some(130));
    drop(out);
}

#[test]
fn a_second_signal_ends_the_server_at_once() {
    let (mut server, client) = sending();
    server.signal("TERM");
    wait_until_refused(&server);
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    drop(client);
    let line = server.next_log_line();
    let bytes: u64 = line.rsplit(' ').next().unwrap().parse().unwrap();
    assert!((1..256 << 20).contains(&bytes), "{line}");
}

#[test]
fn curl_agrees() {
    if Command::new("curl").arg("--version").output().is_err() {
        eprintln!("SKIPPED: there is no curl");
        return;
    }
    let server = plain();
    std::fs::File::create(server.root.path().join("64m"))
        .unwrap()
        .set_len(64 << 20)
        .unwrap();
    let deadline = DEADLINE.as_secs().to_string();
    let curl = |arguments: &[&str]| {
        let output = Command::new("curl")
            .args(["-sS", "--max-time", &deadline])
            .args(arguments)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    };
    let url = |path: &str| format!("http://{}{path}", server.address);
    assert_eq!(curl(&[&url("/hello.txt")]), "hello, world");
    assert_eq!(curl(&["-r", "0-4", &url("/hello.txt")]), "hello");
    assert_eq!(
        curl(&["--http1.0", &url("/hello.txt"), &url("/hello.txt")]),
        "hello, worldhello, world"
    );
    let code = "%{http_code} %{num_connects}";
    assert_eq!(
        curl(&["-o", "/dev/null", "-L", "-w", code, &url("/")]),
        "200 1"
    );
    let upload = server.root.path().join("64m");
    let upload = upload.to_str().unwrap();
    let put = |extra: &[&str]| {
        curl(
            &[
                &["-o", "/dev/null", "-w", "%{http_code}", "-T", upload][..],
                extra,
                &[&url("/x")],
            ]
            .concat(),
        )
    };
    assert_eq!(put(&[]), "405");
    // Without waiting for leave, as a client that knows nothing of it.
    assert_eq!(put(&["-H", "Expect:"]), "405");
    assert_eq!(
        put(&["-H", "Transfer-Encoding: chunked", "-H", "Expect:"]),
        "413"
    );
}
