//! Every limit: reached it is fine, passed it has its status.

use std::io::{Read, Write};

use suites::{
    lacks,
    program::is_timeout,
    web_server::{DEADLINE, QUIET, Reply, Server, plain, serve},
};

const GET: &str = "GET /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn a_request_line_may_have_8_kib() {
    let server = plain();
    let line = |length: usize| {
        let fill = "x".repeat(length - "GET /? HTTP/1.1".len());
        format!("GET /?{fill} HTTP/1.1\r\nHost: a\r\n\r\n")
    };
    server.ask_both(&line(8192)).expect(200);
    assert!(server.ask_both(&line(8193)).expect(414).closes());
    // Without ever ending the line.
    let mut client = server.connect();
    client.send(&format!("GET /{}", "x".repeat(8188)));
    client.reply_to("").expect(414);
    // Nor the method.
    let mut client = server.connect();
    client.send(&"x".repeat(8193));
    client.reply_to("").expect(501);
}

/// Sends a request up to its first CR, and the rest when that has been read.
fn halve_the_line_end(server: &Server, raw: &str) -> Reply {
    let (first, rest) = raw.split_at(raw.find('\r').unwrap() + 1);
    let mut client = server.connect();
    client.send(first);
    // A line that is too long is answered before it ends.
    let answered = !client.is_quiet();
    client.send(rest);
    let reply = client.reply_to(raw.trim_start());
    if reply.closes() {
        assert_eq!(client.rest(), b"");
    } else {
        assert!(
            !answered && client.is_quiet(),
            "there is more than one answer"
        );
    }
    reply
}

#[test]
fn a_line_end_may_come_in_two_pieces() {
    let server = plain();
    let fill = "x".repeat(8192 - "GET /? HTTP/1.1".len());
    halve_the_line_end(
        &server,
        &format!("GET /?{fill} HTTP/1.1\r\nHost: a\r\n\r\n"),
    )
    .expect(200);
    let fill = format!("x{fill}");
    halve_the_line_end(
        &server,
        &format!("GET /?{fill} HTTP/1.1\r\nHost: a\r\n\r\n"),
    )
    .expect(414);
    // An empty line before the request.
    halve_the_line_end(&server, "\r\nHEAD / HTTP/1.1\r\nHost: a\r\n\r\n").expect(200);
    halve_the_line_end(&server, "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n").expect(400);
}

#[test]
fn headers_may_have_16_kib_together() {
    // Byte by byte they take longer than usual under wine.
    let server = serve(&["--request-timeout", "600"], |_| ());
    let head = |length: usize| {
        let rest = length - "Host: a\r\nX: ".len();
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
            "x".repeat(rest)
        )
    };
    server.ask_both(&head(16_384)).expect(200);
    assert!(server.ask_both(&head(16_385)).expect(431).closes());
    let mut client = server.connect();
    client.send(&format!(
        "GET / HTTP/1.1\r\nHost: a\r\n{}",
        "X: y\r\n".repeat(3000)
    ));
    client.reply_to("").expect(431);
}

#[test]
fn there_may_be_100_headers() {
    let server = plain();
    let head = |n: usize| {
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
            "X: y\r\n".repeat(n - 1)
        )
    };
    server.ask_both(&head(100)).expect(200);
    assert!(server.ask_both(&head(101)).expect(431).closes());
}

#[test]
fn a_body_may_have_max_body_bytes() {
    let server = serve(&["--max-body", "1000"], |_| ());
    let counted = |n: usize| {
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: {n}\r\n\r\n{}",
            "x".repeat(n)
        )
    };
    let chunked = |n: usize| {
        let chunk = format!("64\r\n{}\r\n", "x".repeat(100));
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n",
            chunk.repeat(n / 100)
        )
    };
    assert!(!server.ask_both(&counted(1000)).expect(200).closes());
    assert!(server.ask_both(&counted(1001)).expect(413).closes());
    assert!(!server.ask_both(&chunked(1000)).expect(200).closes());
    assert!(server.ask_both(&chunked(1100)).expect(413).closes());
    let post = counted(1001).replacen("GET", "POST", 1);
    assert!(server.ask_both(&post).expect(405).closes());
}

#[test]
fn trailers_and_chunk_lines_have_limits() {
    let server = plain();
    let head = "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let trailers = |n: usize| format!("{head}0\r\n{}\r\n", "X: yyyy\r\n".repeat(n));
    server.ask_both(&trailers(1000)).expect(200);
    server.ask_both(&trailers(1200)).expect(400);
    server
        .ask_both(&format!("{head}0;{}\r\n\r\n", "x".repeat(254)))
        .expect(200);
    server
        .ask_both(&format!("{head}0;{}\r\n\r\n", "x".repeat(255)))
        .expect(400);
}

/// Writes a byte now and then until an answer comes.
fn trickle(server: &Server, start: &str, byte: &str) -> Reply {
    let mut client = server.connect();
    client.send(start);
    let pause = std::time::Duration::from_millis(20);
    client.stream.set_read_timeout(Some(pause)).unwrap();
    let end = std::time::Instant::now() + DEADLINE;
    while client
        .stream
        .peek(&mut [0])
        .is_err_and(|error| is_timeout(&error))
    {
        assert!(
            std::time::Instant::now() < end,
            "no answer to a slow request"
        );
        client.send(byte);
    }
    client.stream.set_read_timeout(Some(DEADLINE)).unwrap();
    client.reply_to("")
}

#[test]
fn a_request_that_arrives_too_slowly_is_408_and_close() {
    let server = serve(&["--request-timeout", "0.4"], |_| ());
    for (start, byte) in [
        ("", "G"),
        ("GET / HTTP/1.1\r\nX: ", "y"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n",
            "x",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n186a0\r\n",
            "x",
        ),
    ] {
        assert!(
            trickle(&server, start, byte).expect(408).closes(),
            "{start:?}"
        );
    }
    for start in [
        "G",
        "GET / HTTP/1.1\r\nHost: a\r\n\r",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
    ] {
        assert!(server.ask(start).expect(408).closes(), "{start:?}");
    }
}

#[test]
fn the_time_of_a_request_begins_with_its_own_first_byte() {
    let server = serve(&["--request-timeout", "0.4"], |_| ());
    let mut client = server.connect();
    // The timer of the first request is still armed when the others begin and end.
    for _ in 0..4 {
        client.ask(GET).expect(200);
        assert!(client.is_quiet());
    }
    client.send("GET ");
    client.reply_to("").expect(408);
    assert_eq!(client.rest(), b"");
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let server = serve(&["--idle-timeout", "0.3"], |_| ());
    assert_eq!(server.connect().rest(), b"");
    let mut client = server.connect();
    client.ask(GET).expect(200);
    assert_eq!(client.rest(), b"");
}

#[test]
fn a_client_that_does_not_take_its_answer_is_closed() {
    let server = serve(&["--idle-timeout", "0.3"], |root| {
        std::fs::File::create(root.join("sparse"))
            .unwrap()
            .set_len(1 << 30)
            .unwrap();
    });
    let mut client = server.connect();
    client.send("GET /sparse HTTP/1.1\r\nHost: a\r\n\r\n");
    let line = server.next_log_line();
    let sent: u64 = line.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(
        line.contains("\"GET /sparse HTTP/1.1\" 200 ") && sent < 1 << 30,
        "{line}"
    );
}

#[test]
fn a_client_that_reads_slowly_and_steadily_is_not_taken_for_one_that_does_not() {
    use std::{
        io::{Read, Write},
        net::TcpStream,
        time::{Duration, Instant},
    };
    if !cfg!(any(target_os = "linux", target_os = "android")) {
        // Its buffers may hold more than the client takes within the timeout.
        return lacks("the server cannot bound what this kernel holds unsent (TCP_NOTSENT_LOWAT)");
    }
    let server = serve(&["--idle-timeout", "1"], |root| {
        std::fs::File::create(root.join("sparse"))
            .unwrap()
            .set_len(1 << 30)
            .unwrap();
    });
    let mut client = TcpStream::connect(server.address).unwrap();
    client
        .write_all(b"GET /sparse HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    let mut block = vec![0; 128 * 1024];
    let begun = Instant::now();
    // Three times the patience, and less than a kernel left to itself would have taken at once.
    while begun.elapsed() < Duration::from_secs(3) {
        client.read_exact(&mut block).unwrap();
        std::thread::sleep(Duration::from_millis(200)); // what makes it slow
    }
    let mut rest = 0;
    client
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    while rest < 8 << 20 {
        let read = client.read(&mut block).expect("it goes on");
        assert!(read > 0, "the server has closed after {rest} more bytes");
        rest += read;
    }
}

#[test]
fn a_full_server_closes_who_has_waited_longest() {
    let server = serve(&["--max-connections", "2"], |_| ());
    let mut first = server.connect();
    first.ask(GET).expect(200);
    let mut second = server.connect();
    // Its answer is here before the first one asks again: so it is the second that waits longest.
    second.ask(GET).expect(200);
    second.send("GET / HTTP/1.1\r\nX: ");
    first.ask(GET).expect(200);
    let mut third = server.connect();
    third.ask(GET).expect(200);
    assert_eq!(second.rest(), b"");
    first.ask(GET).expect(200);
    let mut fourth = server.connect();
    fourth.ask(GET).expect(200);
    assert_eq!(third.rest(), b"");
    first.ask(GET).expect(200);
}

#[test]
fn a_full_server_refuses_while_all_are_being_answered() {
    let server = serve(&["--max-connections", "2"], |root| {
        std::fs::File::create(root.join("sparse"))
            .unwrap()
            .set_len(64 << 20)
            .unwrap();
    });
    let request = "GET /sparse HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut busy = [server.connect(), server.connect()];
    for client in &mut busy {
        client.send(request);
        client.stream.peek(&mut [0]).unwrap();
    }
    // More than are refused in words at a time.
    let mut refused = Vec::new();
    for _ in 0..30 {
        let mut client = server.connect();
        let reply = client.reply_to("").expect(503);
        assert!(reply.closes() && reply.header("Retry-After").is_some());
        refused.push(client);
    }
    for client in &mut busy {
        assert_eq!(client.reply_to(request).body.len(), 64 << 20);
    }
    server.get("/hello.txt").expect(200);
}

#[test]
fn the_least_max_outgoing_is_enough_for_every_answer() {
    let server = serve(&["--quiet", "--max-outgoing", "65536"], |root| {
        std::fs::write(root.join("inline"), vec![b'i'; 32 * 1024]).unwrap();
        std::fs::write(root.join("large"), vec![b'l'; 3_000_000]).unwrap();
        for n in 0..1000 {
            std::fs::write(root.join(format!("file-{n}")), "").unwrap();
        }
    });
    let targets = ["inline", "inline", "large", "", "large"];
    let requests = targets.map(|target| format!("GET /{target} HTTP/1.1\r\nHost: a\r\n\r\n"));
    let mut client = server.connect();
    // Wine takes seconds for a large folder.
    let rounds = if cfg!(windows) { 2 } else { 20 };
    client.send(&requests.concat().repeat(rounds));
    for n in 0..rounds * targets.len() {
        let length = client.reply_to(GET).expect(200).body.len();
        let least = [32 * 1024, 32 * 1024, 3_000_000, 100_000, 3_000_000][n % targets.len()];
        assert!(length >= least, "answer {n}: {length} bytes");
    }
}

#[test]
fn a_large_upload_that_is_refused_gets_the_answer_not_a_reset() {
    let server = plain();
    let block = vec![b'x'; 1 << 20];
    for (head, status) in [
        (
            "PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 67108864\r\n\r\n",
            405,
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 67108864\r\n\r\n",
            413,
        ),
    ] {
        let mut client = server.connect();
        client.send(head);
        for _ in 0..64 {
            client.stream.write_all(&block).unwrap();
        }
        assert!(client.reply_to(head).expect(status).closes());
        assert_eq!(client.rest(), b"");
    }
    // In chunks, where the size shows only after a while.
    let mut client = server.connect();
    let head = "PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.send(head);
    for _ in 0..64 {
        client.send("100000\r\n");
        client.stream.write_all(&block).unwrap();
        client.send("\r\n");
    }
    assert!(client.reply_to(head).expect(413).closes());
}

#[test]
fn the_limits_of_one_connection_do_not_touch_another() {
    let server = serve(&["--request-timeout", "0.4"], |_| ());
    let mut slow = server.connect();
    slow.send("GET");
    let mut fast = server.connect();
    fast.ask(GET).expect(200);
    slow.reply_to("").expect(408);
    fast.stream.set_read_timeout(Some(QUIET)).unwrap();
    let read = fast.stream.read(&mut [0]);
    assert!(read.is_err_and(|error| is_timeout(&error)));
}
