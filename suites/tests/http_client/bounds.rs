//! `--max-time` and `--max-size`, against servers that would go on for ever.

use std::{io::Write, net::TcpListener, thread};

use crate::{
    assert_fails, body_of, fetch,
    scripted::{Answer, End, serve},
};

/// A server that is never silent and never done. Ends with its clients.
fn endless(head: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut piece = head;
            while stream.write_all(piece).is_ok() {
                piece = &[b'x'; 1024];
            }
        }
    });
    url
}

#[test]
fn the_whole_transfer_is_bounded_in_time_whatever_it_is_doing() {
    let over = "the whole transfer took longer than 1s";
    let url = endless(b"HTTP/1.1 200 OK\r\n\r\n");
    let ended = fetch(&["--max-time", "1", &url]);
    assert_fails(&ended, &url, "timed out before the end of the body, after ");
    assert_fails(&ended, &url, over);

    let server = serve(|_| Answer::new("HTTP/1.1 200 OK\nX: ").end(End::Hold));
    let url = server.url("/");
    let ended = fetch(&["--max-time", "1", &url]);
    assert_fails(
        &ended,
        &url,
        &format!("timed out within the header: {over}"),
    );

    let server = serve(|target| {
        let next = target[1..].parse::<u64>().unwrap() + 1;
        Answer::new(&format!("HTTP/1.1 302 Found\nLocation: /{next}\n\n"))
    });
    let url = server.url("/1");
    let ended = fetch(&["--max-redirects", "1000000000", "--max-time", "1", &url]);
    assert_fails(&ended, &url, over);
    assert!(server.targets().len() > 2);
}

#[test]
#[cfg(target_os = "linux")]
fn connecting_counts_as_part_of_the_transfer() {
    use socket2::{Domain, Socket, Type};
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any = "127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap();
    listener.bind(&any.into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    // It takes one connection, and the next is not answered.
    let _first = std::net::TcpStream::connect(address).unwrap();
    let url = format!("http://{address}/");
    let ended = fetch(&["--max-time", "1", &url]);
    let why = "timed out without an answer: the whole transfer took longer than 1s";
    assert_fails(&ended, &url, why);
}

#[test]
fn a_transfer_within_its_time_ends_when_it_is_done() {
    let server = serve(|target| match target {
        "/" => Answer::new("HTTP/1.1 302 Found\nLocation: /end\n\n").end(End::Hold),
        _ => Answer::new("HTTP/1.1 200 OK\nContent-Length: 5\n\nhello").end(End::Hold),
    });
    // Neither request leaves a timer behind that would keep the program.
    for time in ["3600", "1e19"] {
        let ended = fetch(&["--max-time", time, &server.url("/")]);
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    }
}

#[test]
fn a_body_is_bounded_in_every_framing() {
    const CHUNKED: &str = "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n";
    for (text, size) in [
        ("HTTP/1.1 200 OK\nContent-Length: 5\n\nhello".to_owned(), 5),
        ("HTTP/1.1 200 OK\n\nhello".into(), 5),
        (format!("{CHUNKED}2\nhe\n3\nllo\n0\nA: b\n\n"), 5),
        (format!("{CHUNKED}0\n\n"), 0),
    ] {
        let server = serve(move |_| Answer::new(&text));
        let url = server.url("/");
        let just = size.to_string();
        assert_eq!(fetch(&["--max-size", &just, &url]).code, Some(0));
        if size > 0 {
            let ended = fetch(&["--max-size", &(size - 1).to_string(), &url]);
            assert_fails(&ended, &url, &format!("larger than {} bytes", size - 1));
        }
        assert_eq!(body_of(&url).len(), size);
    }
    // Said as soon as it is known.
    for text in [
        "HTTP/1.1 200 OK\nContent-Length: 18446744073709551615\n\n".to_owned(),
        format!("{CHUNKED}1\nx\nffffffffffffffff\n"),
    ] {
        let server = serve(move |_| Answer::new(&text).end(End::Hold));
        let url = server.url("/");
        let ended = fetch(&["--max-size", "1000", &url]);
        assert_fails(&ended, &url, "the body is larger than 1000 bytes");
    }
    let url = endless(b"HTTP/1.1 200 OK\r\n\r\n");
    let ended = fetch(&["--max-size", "1000000", &url]);
    assert_fails(&ended, &url, "the body is larger than 1000000 bytes");
}

#[test]
fn a_body_that_is_not_read_is_not_bounded() {
    let server = serve(|target| match target {
        "/" => Answer::new("HTTP/1.1 302 Found\nLocation: /end\nContent-Length: 99\n\n"),
        _ => Answer::new("HTTP/1.1 200 OK\nContent-Length: 5\n\nhello"),
    });
    let ended = fetch(&["--max-size", "5", &server.url("/")]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let server = serve(|_| Answer::new("HTTP/1.1 200 OK\nContent-Length: 99\n\n"));
    let ended = fetch(&["--max-size", "5", "-I", &server.url("/")]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
}
