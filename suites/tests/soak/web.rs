//! Traffic of browsers, good ones and bad ones.

use std::{io::BufRead, time::Duration};

use socket2::{SockAddr, Socket};

use crate::{
    fleet::LISTED,
    samples::Status,
    wire::{
        Step, at, connect, connect_narrow, ensure, expect, expect_any_end, expect_end,
        expect_slowly, half_close, line, reader, reset, send,
    },
};

pub fn request(path: &str) -> Vec<u8> {
    format!("GET /{path} HTTP/1.1\r\nHost: localhost\r\n\r\n").into()
}

fn last_request(path: &str) -> Vec<u8> {
    format!("GET /{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").into()
}

/// The head of an answer: its status, and the length of what follows.
pub fn head(from: &mut impl BufRead) -> Step<(u16, Option<usize>)> {
    let first = line(from)?;
    let status = first
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| format!("no status line: {first:?}"))?;
    let mut length = None;
    loop {
        let line = line(from)?.to_ascii_lowercase();
        if line.is_empty() {
            return Ok((status, length));
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok();
        }
    }
}

/// An answer that is this file.
pub fn expect_file(from: &mut impl BufRead, content: &[u8]) -> Step {
    expect_head(from, 200, content.len())?;
    expect(from, content)
}

fn expect_head(from: &mut impl BufRead, status: u16, length: usize) -> Step {
    let head = head(from)?;
    ensure(head == (status, Some(length)), || {
        format!("an answer with {head:?}")
    })
}

/// An answer with this status and a text that says something.
fn expect_status(from: &mut impl BufRead, wanted: u16) -> Step<String> {
    let (status, length) = head(from)?;
    let mut body = vec![0; length.unwrap_or(0)];
    std::io::Read::read_exact(from, &mut body).map_err(at("a page"))?;
    ensure(status == wanted, || format!("{status} instead of {wanted}"))?;
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// Requests one after the other on one connection, and the end of file.
pub fn keep_alive(to: &SockAddr, path: &str, content: &[u8], requests: usize) -> Step {
    let socket = connect(to)?;
    let mut answers = reader(&socket);
    for _ in 0..requests {
        send(&socket, &request(path))?;
        expect_file(&mut answers, content)?;
    }
    half_close(&socket)?;
    expect_end(answers)
}

/// One request and its end.
pub fn short(to: &SockAddr, path: &str, content: &[u8]) -> Step {
    let socket = connect(to)?;
    send(&socket, &last_request(path))?;
    let mut answers = reader(&socket);
    expect_file(&mut answers, content)?;
    expect_end(answers)
}

/// Many requests in one piece, and at once the half-close.
pub fn pipelined(to: &SockAddr, path: &str, content: &[u8], requests: usize) -> Step {
    let socket = connect(to)?;
    send(&socket, &request(path).repeat(requests))?;
    half_close(&socket)?;
    let mut answers = reader(&socket);
    for number in 0..requests {
        expect_file(&mut answers, content).map_err(at(&format!("answer {number}")))?;
    }
    expect_end(answers)
}

/// A reader at 1 MB a second for a second, and at full speed from there.
pub fn slow_reader(to: &SockAddr, content: &[u8]) -> Step {
    let socket = connect_narrow(to)?;
    send(&socket, &last_request("large"))?;
    let mut answers = reader(&socket);
    expect_head(&mut answers, 200, content.len())?;
    let (slow, fast) = content.split_at(content.len() / 2);
    expect_slowly(&mut answers, slow, 64 * 1024, Duration::from_millis(60))?;
    expect(&mut answers, fast)?;
    expect_end(answers)
}

/// A download that ends in the middle: by a reset, or by a close with unread bytes, which is one as well.
pub fn aborted(to: &SockAddr, content: &[u8], hard: bool) -> Step {
    let socket = connect(to)?;
    send(&socket, &request("large"))?;
    let mut answers = reader(&socket);
    expect_head(&mut answers, 200, content.len())?;
    expect(&mut answers, &content[..100_000])?;
    if hard { reset(socket) } else { Ok(()) }
}

/// Goes in the middle of a request.
pub fn cut_request(to: &SockAddr, hard: bool) -> Step {
    let socket = connect(to)?;
    send(&socket, b"GET /small HTTP/1.1\r\nHost: loc")?;
    if hard {
        return reset(socket);
    }
    half_close(&socket)?;
    expect_any_end(&socket)
}

/// Connects and goes, with and without a reset.
pub fn wordless(to: &SockAddr, hard: bool) -> Step {
    let socket = connect(to)?;
    if hard { reset(socket) } else { Ok(()) }
}

/// Is served once, says nothing more, and is closed.
pub fn idle(to: &SockAddr, content: &[u8]) -> Step {
    let socket = connect(to)?;
    send(&socket, &request("small"))?;
    let mut answers = reader(&socket);
    expect_file(&mut answers, content)?;
    expect_end(answers)
}

/// Never ends its request.
pub fn slow_request(to: &SockAddr) -> Step {
    let socket = connect(to)?;
    send(&socket, b"GET /small HTTP/1.1\r\nHost: loc")?;
    let mut answers = reader(&socket);
    expect_status(&mut answers, 408)?;
    expect_end(answers)
}

/// A large upload that is refused while it comes, and one that is read to its end.
pub fn uploads(to: &SockAddr) -> Step {
    for (length, sent) in [(64 * 1024 * 1024, 512 * 1024), (100_000, 100_000)] {
        let socket = connect(to)?;
        let head =
            format!("POST /small HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n");
        send(&socket, head.as_bytes())?;
        for _ in 0..sent / 10_000 {
            send(&socket, &[b'x'; 10_000])?;
        }
        expect_status(&mut reader(&socket), 405)?;
    }
    Ok(())
}

/// Everything else that `http_server` answers, on one connection; the last request is none.
pub fn variety(to: &SockAddr, small: &[u8]) -> Step {
    let socket = connect(to)?;
    let mut answers = reader(&socket);
    let ask = |method: &str, path: &str, header: &str| {
        let text = format!("{method} /{path} HTTP/1.1\r\nHost: localhost\r\n{header}\r\n");
        send(&socket, text.as_bytes())
    };
    ask("GET", "missing", "")?;
    expect_status(&mut answers, 404)?;
    ask("GET", "small", "Range: bytes=100-299\r\n")?;
    expect_head(&mut answers, 206, 200)?;
    expect(&mut answers, &small[100..300])?;
    ask("HEAD", "large", "")?;
    expect_head(&mut answers, 200, 2 * 1024 * 1024)?;
    ask(
        "GET",
        "small",
        "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT\r\n",
    )?;
    let (status, _) = head(&mut answers)?;
    // A date to come is no condition.
    ensure(status == 200 || status == 304, || {
        format!("{status} to a condition")
    })?;
    if status == 200 {
        expect(&mut answers, small)?;
    }
    ask("GET", "list/", "")?;
    let page = expect_status(&mut answers, 200)?;
    let entries = page.matches("<a href=\"./entry-").count();
    ensure(entries == LISTED, || {
        format!("{entries} entries of {LISTED}")
    })?;
    send(&socket, b"hello\r\n\r\n")?;
    expect_status(&mut answers, 400)?;
    expect_end(answers)
}

/// `bench_server http`: the same answer to everything.
pub fn hello(to: &SockAddr, requests: usize, pipelined: bool) -> Step {
    let socket = connect(to)?;
    let mut answers = reader(&socket);
    if pipelined {
        send(&socket, &request("").repeat(requests))?;
    }
    for _ in 0..requests {
        if !pipelined {
            send(&socket, &request(""))?;
        }
        expect_file(&mut answers, b"Hello, world!")?;
    }
    half_close(&socket)?;
    expect_end(answers)
}

/// `http_responder`: the page shows the request. What is no request and what is too long has its status.
pub fn responder(to: &SockAddr, round: u64) -> Step {
    let ask = |text: &[u8], wanted: u16, shown: &str| {
        let socket = connect(to)?;
        send(&socket, text)?;
        let mut answers = reader(&socket);
        let (status, _) = head(&mut answers)?;
        let mut page = String::new();
        std::io::Read::read_to_string(&mut answers, &mut page).map_err(at("the page"))?;
        ensure(status == wanted && page.contains(shown), || {
            format!("{status}: {page:?}")
        })
    };
    let path = format!("round-{round}");
    ask(&request(&path), 200, &path)?;
    ask(b"hello\r\n", 400, "not a request line")?;
    ask(&[b'x'; 17_000], 431, "shorter")
}

/// The channels and timers on the status page of a connection that may be used again.
pub fn status(socket: &Socket) -> Step<Status> {
    send(socket, &request("-/status"))?;
    let page = expect_status(&mut reader(socket), 200)?;
    let tile = |label: &str| {
        let end = page.find(&format!("</b>{label}</div>"))?;
        let begin = page[..end].rfind("<b>")? + "<b>".len();
        page[begin..end].parse().ok()
    };
    let tiles = || {
        Some(Status {
            channels: tile("open channels")?,
            timers: tile("timers")?,
            errors: tile("errors")?,
        })
    };
    tiles().ok_or_else(|| "a status page without its tiles".into())
}
