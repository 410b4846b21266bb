//! The program `quote_server`: its pages, its form and its errors with clients of others, as a browser of 1999 and as an
//! attacker would ask, and beside BaseHTTPServer of CPython.
#![allow(clippy::unwrap_used, reason = "the helpers of a test are part of it")]

mod cpython;

use std::{io::Write, net::SocketAddr, time::Duration};

use shared::http::smuggling::{self, CHUNKED};
use suites::{
    certificates::{Authority, text},
    errors::no_such_folder,
    others::{run, tool},
    program::{self, Program, ends_well_when_terminated, serve},
    web_server::{Client, Reply, connect},
};

fn start(args: &[&str]) -> (Program, SocketAddr) {
    serve("quote_server", &[&["--port", "0"], args].concat())
}

fn ask(address: SocketAddr, raw: &str) -> Reply {
    let mut client = Client::new(connect(address));
    client.send(raw);
    client.reply_to(raw)
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

fn post(form: &str) -> String {
    let length = form.len();
    format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {length}\r\n\r\n{form}"
    )
}

#[test]
fn a_file_of_quotes_is_served_and_a_form_adds_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("quotes");
    std::fs::write(&file, "<one> & only\n%\n").unwrap();
    let (program, address) = start(&["--quotes", file.to_str().unwrap(), "--max-quotes", "2"]);
    let page = ask(address, &get("/")).expect(200);
    assert!(page.text().contains("&lt;one&gt; &amp; only"), "{page:?}");
    assert!(
        page.header("Server")
            .unwrap()
            .starts_with("asynchat-quotes/")
    );
    let plain = ask(address, &get("/quote.txt")).expect(200);
    assert_eq!(plain.text(), "<one> & only\n");
    // Of HEAD the same, without the page.
    let head = ask(address, &get("/quote.txt").replace("GET", "HEAD")).expect(200);
    assert_eq!(head.header("Content-Length"), Some("13"));
    // Each in one piece and byte by byte.
    for (form, status) in [
        ("quote=", 400),
        ("other=x", 400),
        ("", 400),
        (&*format!("quote={}", "x".repeat(1001)), 413),
        (&format!("quote={}", "x".repeat(20_000)), 413),
        ("a=b&quote=second+%3Cb%3E%0D%0A%C3%A4", 303),
        ("quote=third", 403),
    ] {
        let mut client = Client::new(connect(address));
        for piece in post(form)
            .as_bytes()
            .chunks(if form.len() > 100 { 4096 } else { 1 })
        {
            if client.stream.write_all(piece).is_err() {
                break;
            }
        }
        client.reply_to("").expect(status);
    }
    program::eventually(|| {
        let quote = ask(address, &get("/quote.txt"));
        (quote.text() == "second <b>\n\u{e4}\n").then_some(())
    });
    let multipart =
        post("quote=x").replace("application/x-www-form-urlencoded", "multipart/form-data");
    ask(address, &multipart).expect(415);
    ends_well_when_terminated(program);
}

#[test]
fn errors_have_the_page_of_the_template() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("page");
    std::fs::write(&file, "{code}|{message}|{explain}").unwrap();
    let (_program, address) = start(&["--read-only", "--error-page", file.to_str().unwrap()]);
    for (request, status, page) in [
        (get("/no"), 404, "404|Not Found|File not found"),
        (
            get("/").replace("GET", "BREW"),
            501,
            "501|Unsupported method (&#x27;BREW&#x27;)|Server does not support this operation",
        ),
        (
            post("quote=x"),
            405,
            "405|Method Not Allowed|This server takes no quotes",
        ),
        (
            "GET / HTTP/1.1\r\n\r\n".into(),
            400,
            "400|Bad Request|The Host header is missing",
        ),
        (
            get("/").replace("HTTP/1.1", "HTTP/3.0"),
            505,
            "505|HTTP Version Not Supported|This server speaks HTTP/1.0 and HTTP/1.1",
        ),
    ] {
        let reply = ask(address, &request).expect(status);
        assert_eq!(reply.text(), page, "{request}");
    }
    let refused = ask(address, &post("quote=x")).expect(405);
    assert_eq!(refused.header("Allow"), Some("GET, HEAD"));
}

#[test]
fn what_could_be_smuggled_is_400_and_close() {
    let (_program, address) = start(&[]);
    // So that the handler reads it.
    let form = "Host: a\r\nContent-Type: application/x-www-form-urlencoded\r\n";
    let head = CHUNKED.replace("Host: a\r\n", form);
    let chunked = smuggling::CHUNKS.map(|chunks| format!("{head}{chunks}"));
    for request in smuggling::requests().into_iter().chain(chunked) {
        let mut client = Client::new(connect(address));
        client.send(&[&*request, &get("/quote.txt")].concat());
        assert!(
            client.reply_to(&request).expect(400).closes(),
            "{request:?}"
        );
        assert_eq!(client.rest(), b"", "{request:?}");
    }
}

#[test]
fn requests_on_one_connection_are_answered_in_order() {
    let (_program, address) = start(&[]);
    let mut client = Client::new(connect(address));
    client.send(
        &[get("/"), get("/no"), get("/quote.txt"), post("quote=")]
            .concat()
            .repeat(50),
    );
    for _ in 0..50 {
        for status in [200, 404, 200, 400] {
            client.reply_to("").expect(status);
        }
    }
}

#[test]
fn a_client_of_each_kind_gets_its_quote() {
    let (_program, address) = start(&[]);
    if let Some(mut curl) = tool("curl") {
        let url = format!("http://{address}/");
        let form = "quote=by curl";
        let said = run(
            curl.args([
                "-sS",
                "-L",
                "-w",
                "%{http_code} %{num_redirects}",
                "-o",
                "-",
            ])
            .args(["-H", "Expect: 100-continue", "--data-urlencode", form, &url]),
            b"",
        );
        assert!(said.all.ends_with("200 1"), "{}", said.all);
    }
    if let Some(mut python) = tool("python3") {
        let script = include_str!("client.py");
        let said = run(python.args(["-c", script, &address.to_string()]), b"");
        assert_eq!((said.code, said.all.as_str()), (Some(0), "done\n"));
    }
}

#[test]
fn tls_is_spoken_where_a_certificate_is_given() {
    let mut authority = Authority::new();
    let certificate = authority.issue(&["localhost", "127.0.0.1"]);
    let options = [
        "--tls-cert",
        text(&certificate.cert),
        "--tls-key",
        text(&certificate.key),
    ];
    let (program, address) = start(&options);
    let Some(mut curl) = tool("curl") else { return };
    let file = authority.file();
    let said = run(
        curl.args([
            "-sS",
            "--cacert",
            text(&file),
            "-w",
            "%{http_code}",
            "-o",
            "/dev/null",
        ])
        .arg(format!("https://{address}/")),
        b"",
    );
    assert_eq!(said.all, "200");
    ends_well_when_terminated(program);
}

#[test]
fn slow_and_silent_clients_are_left_and_others_served() {
    let (_program, address) = start(&[
        "--request-timeout",
        "1",
        "--idle-timeout",
        "1",
        "--max-connections",
        "4",
    ]);
    // A body that the handler waits for.
    let mut slow = Client::new(connect(address));
    slow.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 9\r\n\r\nq");
    slow.reply_to("").expect(408);
    assert_eq!(slow.rest(), b"");
    // Connections that hold their places.
    let _silent: Vec<_> = (0..8).map(|_| connect(address)).collect();
    ask(address, &get("/")).expect(200);
    // Sixteen handlers whose clients are gone.
    for _ in 0..16 {
        let mut gone = connect(address);
        gone.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 9\r\n\r\n")
            .unwrap();
        let reset = socket2::SockRef::from(&gone).set_linger(Some(Duration::ZERO));
        reset.unwrap();
    }
    // Until the handlers have begun to read they count as busy.
    program::eventually(|| (ask(address, &get("/")).status == 200).then_some(()));
}

#[test]
fn files_that_cannot_be_used_are_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty");
    std::fs::write(&empty, "%\n").unwrap();
    let two = folder.path().join("two");
    std::fs::write(&two, "a\n%\nb\n").unwrap();
    for (args, why) in [
        (vec!["--quotes", text(&empty)], "there is no quote in it"),
        (vec!["--quotes", "/no/such/file"], &no_such_folder()),
        (vec!["--error-page", "/no/such/file"], &no_such_folder()),
        (
            vec!["--quotes", text(&two), "--max-quotes", "1"],
            "2 quotes are more than --max-quotes 1",
        ),
    ] {
        let ended = program::run("quote_server", &[&["--port", "0"], &args[..]].concat());
        assert_eq!(ended.code, Some(1), "{args:?}");
        assert!(ended.err.contains(why), "{args:?}: {}", ended.err);
    }
}
