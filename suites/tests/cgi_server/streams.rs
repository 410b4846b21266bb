//! Bodies that are larger than what the server keeps: they stream, and one side waits for the other.

use std::io::{Read, Write};

use suites::{program::eventually, web_server};

use crate::{Server, ask, rest};

const MIB: usize = 1024 * 1024;
/// Memory of the server may grow by this for any body, in KiB.
const FLAT: u64 = 8 * 1024;

#[test]
fn an_upload_and_its_echo_stream_through_flat_memory() {
    let server = Server::start(&[]);
    assert_eq!(server.get("/cgi-bin/crlf.sh").status, 200);
    let before = server.program.memory("VmHWM");
    let size = 64 * MIB;
    let mut stream = server.connect(&format!("POST /cgi-bin/mirror.sh HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {size}\r\n\r\n"));
    let mut writer = stream.try_clone().unwrap();
    let writing = std::thread::spawn(move || {
        let piece = [b'x'; 64 * 1024];
        for _ in 0..size / piece.len() {
            writer.write_all(&piece).unwrap();
        }
    });
    let mut came = 0;
    let mut piece = vec![0; 64 * 1024];
    while let n @ 1.. = stream.read(&mut piece).unwrap() {
        came += n;
    }
    writing.join().unwrap();
    assert!((size..size + 1000).contains(&came), "{came}");
    let after = server.program.memory("VmHWM");
    assert!(after < before + FLAT, "{before} KiB, then {after} KiB");
}

#[test]
fn a_client_that_does_not_read_holds_its_script_back() {
    let server = Server::start(&["--idle-timeout", "60"]);
    assert_eq!(server.get("/cgi-bin/crlf.sh").status, 200);
    let before = server.program.memory("VmHWM");
    let size = 64 * MIB;
    let mut stream = server.connect(&format!("GET /cgi-bin/large.sh?{size} HTTP/1.0\r\n\r\n"));
    // Others are served meanwhile.
    for _ in 0..50 {
        assert_eq!(server.get("/cgi-bin/crlf.sh").body, "crlf");
    }
    let held = server.program.memory("VmRSS");
    assert!(held < before + FLAT, "{before} KiB, then {held} KiB");
    let reply = rest(&mut stream);
    assert_eq!(reply.body.len(), size);
}

#[test]
fn a_script_that_does_not_read_holds_its_client_back() {
    let server = Server::start(&["--script-timeout", "2"]);
    let before = server.program.memory("VmHWM");
    let mut stream = server.connect(&format!(
        "POST /cgi-bin/sleep.sh HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
        512 * MIB
    ));
    stream.set_nonblocking(true).unwrap();
    let piece = [b'x'; 64 * 1024];
    let mut sent = 0;
    let mut answer = Vec::new();
    eventually(|| {
        // Behind the answer the server takes the rest, and drops it.
        while answer.is_empty() {
            let mut part = [0; 4096];
            match stream.read(&mut part) {
                Ok(n @ 1..) => answer.extend_from_slice(&part[..n]),
                _ => match stream.write(&piece) {
                    Ok(n) => sent += n,
                    Err(_) => return None,
                },
            }
        }
        Some(())
    });
    assert!(
        answer.starts_with(b"HTTP/1.1 504 "),
        "{}",
        answer.escape_ascii()
    );
    // What the kernel buffers is some MiB.
    assert!(sent < 64 * MIB, "{sent}");
    let after = server.program.memory("VmHWM");
    assert!(after < before + FLAT, "{before} KiB, then {after} KiB");
}

#[test]
fn a_script_need_not_read_its_input() {
    let server = Server::start(&[]);
    let body = "x".repeat(4 * MIB);
    for name in ["deaf", "unread"] {
        for _ in 0..5 {
            let reply = server.ask("POST", &format!("/cgi-bin/{name}.sh"), "", &body);
            assert_eq!((reply.status, reply.body.as_str()), (200, name));
        }
    }
}

#[test]
fn a_body_without_a_length_is_counted_for_the_script() {
    let server = Server::start(&[]);
    let body = "5\r\nhello\r\n7;a=b\r\n, world\r\n0\r\n\r\n";
    let request = |name: &str, body: &str| {
        format!(
            "POST /cgi-bin/{name} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n{body}"
        )
    };
    let reply = ask(server.address, &request("mirror.sh", body));
    assert_eq!(
        (reply.header("Content-Length"), reply.body.as_str()),
        (Some("12"), "hello, world")
    );
    let reply = ask(server.address, &request("mirror.sh", "0\r\n\r\n"));
    assert_eq!(
        (reply.header("Content-Length"), reply.body.as_str()),
        (Some("0"), "")
    );
    let reply = ask(server.address, &request("mirror.sh", "x\r\n"));
    assert_eq!(reply.status, 400);
}

#[test]
fn a_client_that_waits_for_leave_gets_it() {
    let server = Server::start(&[]);
    for framing in ["Content-Length: 5", "Transfer-Encoding: chunked"] {
        let mut stream = server.connect(&format!(
            "POST /cgi-bin/count.sh HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: 100-continue\r\n{framing}\r\n\r\n"
        ));
        let mut leave = [0; 25];
        stream.read_exact(&mut leave).unwrap();
        assert_eq!(&leave, b"HTTP/1.1 100 Continue\r\n\r\n", "{framing}");
        let body = if framing.contains("chunked") {
            "5\r\nhello\r\n0\r\n\r\n"
        } else {
            "hello"
        };
        stream.write_all(body.as_bytes()).unwrap();
        let reply = rest(&mut stream);
        assert!(
            reply.body.contains("\r\n5\n") || reply.body.contains("5\n\r\n"),
            "{framing}: {}",
            reply.body
        );
    }
    let mut stream = web_server::connect(server.address);
    stream.write_all(b"POST /cgi-bin/missing.sh HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n").unwrap();
    assert_eq!(rest(&mut stream).status, 404);
}
