//! `--threads`: who gets which connection, the end of all, and what is one for all threads.

use std::{
    io::Read,
    net::TcpListener,
    process::{Command, Output, Stdio},
    time::Instant,
};

use suites::{
    program::within,
    web_server::{Client, DEADLINE, SPREADS, Server, command, plain, serve},
};

const GET: &str = "GET /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n";
const STATUS: &str = "GET /-/status HTTP/1.1\r\nHost: a\r\n\r\n";
const LARGE: &str = "GET /sparse HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
/// More than sockets hold.
const SIZE: usize = 32 << 20;

fn three(spread: &str, options: &[&str]) -> Server {
    let options = [&["--threads", "3", "--spread", spread][..], options].concat();
    serve(&options, |root| {
        std::fs::File::create(root.join("sparse"))
            .unwrap()
            .set_len(SIZE as u64)
            .unwrap();
    })
}

/// A client that has been answered, so that a thread has it.
fn served(server: &Server) -> Client {
    let mut client = server.connect();
    client.ask(GET).expect(200);
    client
}

/// What comes of a server that is not to start.
fn ended(command: &mut Command) -> Output {
    let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    let ends = within(DEADLINE, || child.try_wait().unwrap().is_some());
    if !ends {
        let _ = child.kill();
    }
    let output = child.wait_with_output().unwrap();
    assert!(ends, "it goes on: {output:?}");
    output
}

/// Connections each thread has had, as the status page knows them; `asks` is one of them.
fn threads(asks: &mut Client) -> Vec<u64> {
    let page = asks.ask(STATUS).expect(200);
    let table = page.text().split_once("<h2>Threads</h2>").unwrap().1;
    let table = table.split_once("</table>").unwrap().0;
    let rows = table.lines().filter(|line| line.starts_with("<tr><td>"));
    let rows = rows.filter(|row| !row.contains("<td>main</td>"));
    rows.map(|row| {
        let cell = row.split("<td class=\"n\">").nth(2).unwrap();
        cell.split_once('<').unwrap().0.parse().unwrap()
    })
    .collect()
}

/// The same, once there are so many in all.
fn connections(asks: &mut Client, total: u64) -> Vec<u64> {
    let end = Instant::now() + DEADLINE;
    loop {
        let each = threads(asks);
        if each.iter().sum::<u64>() == total {
            return each;
        }
        assert!(Instant::now() < end, "{each:?} are not {total}");
    }
}

/// Connections of which every thread has at least one, and one that asks for the status.
fn everywhere(server: &Server) -> (Client, Vec<Client>) {
    let mut asks = served(server);
    let mut clients = Vec::new();
    loop {
        clients.extend((0..12).map(|_| served(server)));
        let each = connections(&mut asks, clients.len() as u64 + 1);
        assert_eq!(each.len(), 3);
        if !each.contains(&0) {
            return (asks, clients);
        }
        // The kernel throws dice; that one of three has nothing after so many throws is one run in 10^18.
        assert!(clients.len() < 108, "{each:?}");
    }
}

#[test]
fn the_kernel_gives_every_thread_connections() {
    if cfg!(windows) {
        let output = ended(command().args(["--port", "0", "--threads", "3", "--spread", "kernel"]));
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            (output.status.code(), err.lines().count()),
            (Some(1), 1),
            "{err}"
        );
        assert!(err.contains("SO_REUSEPORT"), "{err}");
        return;
    }
    let server = three("kernel", &["--status", "--quiet"]);
    everywhere(&server);
}

#[test]
fn one_thread_that_accepts_gives_all_others_the_same_number() {
    let server = three("accept", &["--status", "--quiet"]);
    let mut asks = served(&server);
    let clients: Vec<_> = (0..29).map(|_| served(&server)).collect();
    assert_eq!(connections(&mut asks, 30), [10, 10, 10]);
    drop(clients);
}

#[test]
fn the_status_page_adds_the_threads_up() {
    for &spread in SPREADS {
        let server = three(spread, &["--status", "--quiet"]);
        let mut asks = served(&server);
        let mut asked = 1;
        for _ in 0..8 {
            let mut client = served(&server);
            client.ask(GET).expect(200);
            asked += 2;
        }
        let end = Instant::now() + DEADLINE;
        loop {
            let page = asks.ask(STATUS).expect(200);
            // Of other threads a page shows what was a second ago.
            let tile = |label: &str| -> u64 {
                let line = page.text().lines().find(|line| line.contains(label));
                let number = line.unwrap().strip_prefix("<div><b>").unwrap();
                number.split_once('<').unwrap().0.parse().unwrap()
            };
            let (requests, accepted) = (tile("</b>requests<"), tile("</b>accepted<"));
            if (requests, accepted) == (asked, 9) {
                break;
            }
            assert!(
                Instant::now() < end,
                "{spread}: {requests} requests of {asked}, {accepted} accepted"
            );
            asked += 1;
        }
    }
}

#[test]
fn a_signal_ends_all_threads_when_what_is_being_sent_is_sent() {
    for &spread in SPREADS {
        let mut server = three(spread, &["--status"]);
        let (idle, mut clients) = everywhere(&server);
        for client in &mut clients {
            client.send(LARGE);
            client.stream.peek(&mut [0]).unwrap();
        }
        server.signal("TERM");
        assert_eq!(idle.rest(), b"", "an idle connection is closed at once");
        assert!(server.child.try_wait().unwrap().is_none());
        let count = clients.len();
        for mut client in clients {
            assert_eq!(client.reply_to(LARGE).expect(200).body.len(), SIZE);
        }
        assert_eq!(server.wait(), Some(0), "{spread}");
        // One log, with the lines of all threads, to the last.
        let sent = format!(" 200 {SIZE}");
        let log: Vec<_> = server.out.iter().collect();
        let lines = log.iter().filter(|line| line.ends_with(&sent)).count();
        assert_eq!(lines, count, "{spread}: {log:#?}");
    }
}

#[test]
fn a_second_signal_ends_all_threads_at_once() {
    for &spread in SPREADS {
        let mut server = three(spread, &[]);
        let mut clients: Vec<_> = (0..6).map(|_| served(&server)).collect();
        let mut idle = served(&server);
        for client in &mut clients {
            client.send(LARGE);
            client.stream.peek(&mut [0]).unwrap();
        }
        server.signal("TERM");
        // The first signal has been taken, or the second would be it.
        assert_eq!(idle.stream.read(&mut [0]).unwrap(), 0);
        server.signal("TERM");
        assert_eq!(server.wait(), Some(0), "{spread}");
    }
}

#[test]
fn a_port_that_is_taken_is_an_error_also_if_it_could_be_shared() {
    let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
    let alone = plain();
    let sharing = three(SPREADS[0], &["--quiet"]);
    for taken in [
        stranger.local_addr().unwrap(),
        alone.address,
        sharing.address,
    ] {
        for (threads, spread) in [("1", "kernel"), ("3", "kernel"), ("3", "accept")] {
            if threads != "1" && !SPREADS.contains(&spread) {
                continue;
            }
            let port = taken.port().to_string();
            let options = ["--port", &port, "--threads", threads, "--spread", spread];
            let output = ended(command().args(options));
            let err = String::from_utf8(output.stderr).unwrap();
            assert_eq!(
                (output.status.code(), err.lines().count()),
                (Some(1), 1),
                "{err}"
            );
            assert!(
                err.contains(&format!("cannot listen on {taken}: ")),
                "{err}"
            );
        }
    }
}

// There is neither a shell nor a limit of descriptors elsewhere.
#[cfg(unix)]
#[test]
#[cfg_attr(
    mio_unsupported_force_poll_poll,
    ignore = "a reactor takes fewer descriptors there"
)]
fn a_thread_that_cannot_start_ends_all_with_its_error() {
    let server = command();
    let limited = format!(
        "ulimit -n 20 && exec '{}' --port 0 --threads 10",
        server.get_program().to_str().unwrap()
    );
    for &spread in SPREADS {
        let limited = format!("{limited} --spread {spread}");
        let output = ended(Command::new("sh").args(["-c", &limited]));
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            (output.status.code(), output.stdout, err.lines().count()),
            (Some(1), Vec::new(), 1),
            "{err}"
        );
        // Its reactor, or its listener, is the first that finds no descriptor.
        assert!(
            (err.contains("thread") || err.contains("cannot listen on"))
                && err.contains("os error 24"),
            "{err}"
        );
    }
}

#[test]
fn threads_are_one_at_least_and_as_many_as_connections_at_most() {
    for arguments in [
        &["--threads", "0"][..],
        &["--threads", "-1"],
        &["--threads", "x"],
        &["--threads", "3", "--max-connections", "2"],
        &["--threads", "2", "--spread", "evenly"],
    ] {
        let output = ended(command().args(arguments));
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(err.lines().count(), 1, "{arguments:?}: {err}");
    }
}

#[test]
fn the_limit_of_connections_is_one_for_all_threads() {
    let server = three("accept", &["--quiet", "--max-connections", "5"]);
    // Each on its thread: the first and the second thread may have two, the third one.
    let clients: Vec<_> = (0..6).map(|_| served(&server)).collect();
    for (place, mut client) in clients.into_iter().enumerate() {
        let is_quiet = client.is_quiet();
        assert!(is_quiet || client.rest().is_empty());
        assert_eq!(is_quiet, place != 2, "client {place}");
    }
}

#[test]
fn all_threads_serve_until_nobody_asks_any_more() {
    // Nothing to do is no reason to end, neither for a thread nor for the one that minds them.
    for &spread in SPREADS {
        let mut server = three(spread, &["--quiet", "--idle-timeout", "0.2"]);
        for _ in 0..2 {
            let clients: Vec<_> = (0..9).map(|_| served(&server)).collect();
            for client in clients {
                assert_eq!(client.rest(), b"");
            }
        }
        assert!(server.child.try_wait().unwrap().is_none());
        server.signal("INT");
        assert_eq!(server.wait(), Some(0), "{spread}");
    }
}
