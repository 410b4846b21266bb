//! Ends: of clients, of idle connections, of the server.

#[cfg(target_os = "linux")]
use std::io::Read;
use std::{
    io::Write,
    net::{Shutdown, TcpStream},
    time::Instant,
};

#[cfg(target_os = "linux")]
use suites::program;
use suites::{
    tls::{self, VERSIONS},
    web_server::{DEADLINE, connect},
};

use super::{GET, https, pattern};

/// A request has an end of its own, so it needs no close_notify behind it. One that is cut has none either way.
#[test]
fn a_whole_request_is_answered_and_a_cut_one_never_whatever_ends_the_stream() {
    let setup = https(&[]);
    let upload = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel";
    for is_clean in [true, false] {
        for (sent, answers) in [
            (GET.to_owned(), 1),
            (
                [GET, "GET /large HTTP/1.1\r\nHost: a\r\n\r\n", GET].concat(),
                3,
            ),
            (GET[..GET.len() - 2].to_owned(), 0),
            ([GET, &GET[..10]].concat(), 1),
            (upload.to_owned(), 0),
        ] {
            let mut client = setup.client();
            client.send(&sent);
            if is_clean {
                tls::end(&mut client.stream);
            } else {
                client.stream.flush().unwrap();
                client.stream.sock.shutdown(Shutdown::Write).unwrap();
            }
            // Ends with the server's close_notify.
            let received = client.rest();
            let found = memchr::memmem::find_iter(&received, b"HTTP/1.1 200 OK\r\n").count();
            assert_eq!(found, answers, "{sent:?} {is_clean}");
        }
    }
}

#[test]
fn an_idle_connection_is_ended_with_a_close_notify() {
    let setup = https(&["--idle-timeout", "0.5"]);
    let mut client = setup.client();
    client.ask(GET).expect(200);
    assert_eq!(client.rest(), b"");
}

#[test]
fn a_signal_ends_the_server_when_downloads_over_tls_are_complete() {
    for version in VERSIONS {
        let mut setup = https(&[]);
        let config = setup.config(&[version]);
        let mut idle = setup.client_with(&config);
        idle.ask(GET).expect(200);
        let _silent = connect(setup.server.address);
        let mut client = setup.client_with(&config);
        let large = "GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        client.send(large);
        client
            .stream
            .conn
            .complete_io(&mut client.stream.sock)
            .unwrap();
        client.stream.sock.peek(&mut [0]).unwrap();
        setup.server.signal("INT");
        assert_eq!(idle.rest(), b"", "an idle connection has a close_notify");
        let end = Instant::now() + DEADLINE;
        while TcpStream::connect(setup.server.address).is_ok() {
            assert!(Instant::now() < end, "connections are still accepted");
        }
        assert!(setup.server.child.try_wait().unwrap().is_none());
        let reply = client.reply_to(large).expect(200);
        assert!(reply.body == pattern());
        assert_eq!(client.rest(), b"");
        assert_eq!(setup.server.wait(), Some(0));
        let log: Vec<_> = setup.server.out.iter().collect();
        assert!(
            log.iter().any(|line| line.ends_with(" 200 20000000")),
            "{log:?}"
        );
    }
}

/// Ends in every way while much is on its way: the server goes on, and keeps no descriptor.
#[cfg(target_os = "linux")]
#[test]
fn clients_that_vanish_leave_nothing_behind() {
    let setup = https(&["--quiet"]);
    setup.client().ask(GET).expect(200);
    let config = setup.config(&VERSIONS);
    let at_rest = program::eventually(|| {
        let open = setup.server.descriptors();
        (open == setup.server.descriptors()).then_some(open)
    });
    for round in 0..30 {
        let mut client = setup.client_with(&config);
        client.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut start = vec![0; 10_000 * round + 1];
        client.stream.read_exact(&mut start).unwrap();
        match round % 3 {
            0 => {}
            1 => client.stream.sock.shutdown(Shutdown::Both).unwrap(),
            _ => {
                client.stream.conn.send_close_notify();
                client.stream.flush().unwrap();
            }
        }
    }
    program::eventually(|| (setup.server.descriptors() <= at_rest).then_some(()));
    setup.client().ask(GET).expect(200);
}
