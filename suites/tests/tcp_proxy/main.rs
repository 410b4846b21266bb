//! The program `tcp_proxy` between plain blocking sockets: both directions, half-close, resets, back-pressure with a
//! stalled reader, and ends that cannot be reached. With TLS on either side and on both.
#![allow(clippy::unwrap_used, reason = "the helpers of a test are part of it")]

mod tls;

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::mpsc::channel,
    thread,
    time::Duration,
};

use socket2::SockRef;
use suites::program::{self, DEADLINE, Program, eventually, is_timeout, serve};

/// A proxy to a listener of the test's own.
struct Setup {
    program: Program,
    address: SocketAddr,
    upstream: TcpListener,
    /// Its sockets before the first connection: the listener, and the ends by which signals reach it.
    at_rest: usize,
}

#[track_caller]
fn proxy_with(args: &[&str]) -> Setup {
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = upstream.local_addr().unwrap().to_string();
    let own = ["--listen", "127.0.0.1:0", "--to", to.as_str()];
    let (program, address) = serve("tcp_proxy", &[&own, args].concat());
    Setup {
        at_rest: open_sockets(&program),
        program,
        address,
        upstream,
    }
}

fn proxy() -> Setup {
    proxy_with(&[])
}

fn connect(address: SocketAddr) -> TcpStream {
    patient(TcpStream::connect(address).unwrap())
}

fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

impl Setup {
    /// A client, and the server's end of its connection.
    fn pair(&self) -> (TcpStream, TcpStream) {
        let client = connect(self.address);
        (client, patient(self.upstream.accept().unwrap().0))
    }
}

#[track_caller]
fn read(stream: &mut TcpStream, expected: &str) {
    let mut buffer = vec![0; expected.len()];
    stream.read_exact(&mut buffer).unwrap();
    assert_eq!(String::from_utf8(buffer).unwrap(), expected);
}

#[track_caller]
fn read_to_end(mut stream: &TcpStream) -> Vec<u8> {
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    received
}

fn reset(stream: TcpStream) {
    SockRef::from(&stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(stream);
}

/// Waits until the other side's connection has ended, in whatever way.
#[track_caller]
fn assert_ends(mut stream: &TcpStream) {
    let mut buffer = [0; 65536];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return,
            Err(error) => panic!("still open: {error}"),
        }
    }
}

/// Bytes in a recognisable order, so that a gap or a swap shows.
fn pattern(length: usize) -> Vec<u8> {
    (0..length as u32 / 4).flat_map(u32::to_be_bytes).collect()
}

#[test]
fn bytes_pass_in_both_directions_and_connections_do_not_mix() {
    let setup = proxy();
    let (mut a, mut server_of_a) = setup.pair();
    let (mut b, mut server_of_b) = setup.pair();
    a.write_all(b"from a").unwrap();
    b.write_all(b"from b").unwrap();
    read(&mut server_of_b, "from b");
    read(&mut server_of_a, "from a");
    server_of_a.write_all(b"to a").unwrap();
    server_of_b.write_all(b"to b").unwrap();
    read(&mut a, "to a");
    read(&mut b, "to b");
}

#[test]
fn large_transfers_arrive_whole_in_both_directions_at_once() {
    let setup = proxy();
    let (client, server) = setup.pair();
    let data = pattern(20_000_000);
    thread::scope(|scope| {
        for (mut from, to) in [(&client, &server), (&server, &client)] {
            let data = &data;
            scope.spawn(move || {
                from.write_all(data).unwrap();
                from.shutdown(Shutdown::Write).unwrap();
            });
            scope.spawn(move || assert!(read_to_end(to) == *data));
        }
    });
}

#[test]
fn a_half_close_is_passed_on_behind_the_data_and_the_answer_still_comes_back() {
    let setup = proxy();
    for client_first in [true, false] {
        let (client, server) = setup.pair();
        let (mut first, mut second) = if client_first {
            (&client, &server)
        } else {
            (&server, &client)
        };
        first.write_all(b"question").unwrap();
        first.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_to_end(second), b"question");
        let answer = pattern(3_000_000);
        second.write_all(&answer).unwrap();
        second.shutdown(Shutdown::Write).unwrap();
        assert!(read_to_end(first) == answer);
    }
}

#[test]
fn what_a_client_sends_and_ends_before_the_other_side_is_connected_is_not_lost() {
    let setup = proxy();
    let mut client = connect(setup.address);
    client.write_all(b"early").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut server = patient(setup.upstream.accept().unwrap().0);
    assert_eq!(read_to_end(&server), b"early");
    server.write_all(b"late").unwrap();
    drop(server);
    assert_eq!(read_to_end(&client), b"late");
}

#[test]
fn a_reset_closes_the_other_side_after_what_came_before_it() {
    let setup = proxy();
    for client_first in [true, false] {
        let (client, server) = setup.pair();
        let (mut broken, mut other) = if client_first {
            (client, server)
        } else {
            (server, client)
        };
        broken.write_all(b"last words").unwrap();
        read(&mut other, "last words");
        reset(broken);
        assert_ends(&other);
    }
}

#[test]
fn a_reset_closes_a_stalled_reader_at_once() {
    let setup = proxy_with(&["--idle-timeout", "3600"]);
    for client_first in [true, false] {
        let (client, server) = setup.pair();
        let (mut broken, stalled) = if client_first {
            (client, server)
        } else {
            (server, client)
        };
        broken
            .set_write_timeout(Some(Duration::from_millis(300)))
            .unwrap();
        let block = [0; 65536];
        while broken.write_all(&block).is_ok() {}
        // The other has read nothing: the proxy's queue for it is full.
        reset(broken);
        assert_eq!(sockets_of(&setup, 0), 0);
        assert_ends(&stalled);
    }
}

#[test]
fn a_reset_after_a_half_close_closes_the_other_side_too() {
    let setup = proxy();
    for client_first in [true, false] {
        let (client, server) = setup.pair();
        let (broken, other) = if client_first {
            (client, server)
        } else {
            (server, client)
        };
        broken.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_to_end(&other), b"");
        reset(broken);
        // The other one does nothing.
        assert_eq!(sockets_of(&setup, 0), 0);
        let block = [0; 65536];
        eventually(|| (&other).write_all(&block).err());
    }
}

#[test]
fn a_reader_that_stalls_and_then_breaks_frees_its_writer() {
    let setup = proxy();
    let (client, mut server) = setup.pair();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&server), b"");
    server
        .set_write_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    let block = [0; 65536];
    while server.write_all(&block).is_ok() {}
    // The proxy does not read from the server now: its own queue for the client is full.
    reset(client);
    assert_eq!(sockets_of(&setup, 0), 0);
}

/// Waits until the proxy has this number of sockets for connections. Windows does not say.
#[track_caller]
fn sockets_of(setup: &Setup, expected: usize) -> usize {
    if cfg!(windows) {
        return expected;
    }
    eventually(|| {
        let open = open_sockets(&setup.program).saturating_sub(setup.at_rest);
        Some(open).filter(|&open| open == expected)
    })
}

fn open_sockets(program: &Program) -> usize {
    if cfg!(windows) {
        return 0;
    }
    let folder = format!("/proc/{}/fd", program.pid());
    let entries = std::fs::read_dir(&folder).unwrap().filter_map(Result::ok);
    let targets = entries.filter_map(|entry| std::fs::read_link(entry.path()).ok());
    targets
        .filter(|target| target.to_string_lossy().starts_with("socket:"))
        .count()
}

#[cfg(unix)]
#[test]
fn nothing_stays_open_when_both_sides_have_ended() {
    let setup = proxy();
    assert_eq!(sockets_of(&setup, 0), 0);
    let pairs: Vec<_> = (0..20).map(|_| setup.pair()).collect();
    assert_eq!(sockets_of(&setup, 40), 40);
    drop(pairs);
    assert_eq!(sockets_of(&setup, 0), 0);
}

#[test]
fn a_stalled_reader_costs_bounded_memory_and_loses_nothing() {
    const SIZE: usize = 100_000_000;
    const BLOCK: usize = 1_000_000;
    let setup = proxy();
    let (mut client, mut server) = setup.pair();
    let before = setup.program.memory("VmHWM");
    let (stall, stalled) = channel();
    let writer = thread::spawn(move || {
        client
            .set_write_timeout(Some(Duration::from_millis(500)))
            .unwrap();
        let block = pattern(BLOCK);
        for written in (0..SIZE).step_by(BLOCK) {
            let mut left = &block[..];
            while !left.is_empty() {
                match client.write(left) {
                    Ok(n) => left = &left[n..],
                    Err(error) if is_timeout(&error) => {
                        client.set_write_timeout(Some(DEADLINE)).unwrap();
                        stall.send(written + BLOCK - left.len()).unwrap();
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        }
    });
    // Nobody reads: the writer comes to a standstill with what sockets and proxy can hold.
    let written = stalled.recv_timeout(DEADLINE).expect("a standstill");
    let stalled = setup.program.memory("VmHWM");
    let (mut received, block) = (vec![0; BLOCK], pattern(BLOCK));
    for _ in 0..SIZE / BLOCK {
        server.read_exact(&mut received).unwrap();
        assert!(received == block);
    }
    writer.join().unwrap();
    let after = setup.program.memory("VmHWM");
    eprintln!(
        "stalled after {written} bytes; VmHWM: {before} KiB before, {stalled} KiB then, {after} KiB at the end"
    );
    assert!(
        stalled.max(after) < before + 4 * 1024,
        "{before} {stalled} {after}"
    );
}

#[test]
fn back_pressure_holds_the_server_as_well() {
    let setup = proxy();
    let (client, mut server) = setup.pair();
    server
        .set_write_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    let block = [7; 65536];
    let mut sent = 0;
    loop {
        match server.write(&block) {
            Ok(n) => sent += n,
            Err(error) if is_timeout(&error) => break,
            Err(error) => panic!("{error}"),
        }
        assert!(sent < 100_000_000, "nothing holds the server back");
    }
    server.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&client).len(), sent);
}

#[test]
fn a_client_is_closed_when_the_other_side_cannot_be_reached() {
    let (program, address) = serve(
        "tcp_proxy",
        &["--listen", "127.0.0.1:0", "--to", "127.0.0.1:1"],
    );
    assert_ends(&connect(address));
    // And the next one is served just the same.
    assert_ends(&connect(address));
    program.signal("TERM");
    let ended = program.ended();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
}

#[test]
fn every_address_of_a_name_is_tried() {
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = format!("localhost:{}", upstream.local_addr().unwrap().port());
    let (_program, address) = serve("tcp_proxy", &["--listen", "127.0.0.1:0", "--to", &to]);
    let mut client = connect(address);
    client.write_all(b"hello").unwrap();
    read(&mut upstream.accept().unwrap().0, "hello");
}

#[test]
fn an_idle_connection_is_closed() {
    let setup = proxy_with(&["--idle-timeout", "0.3"]);
    let (client, server) = setup.pair();
    assert_ends(&client);
    assert_ends(&server);
}

#[test]
fn connections_past_the_limit_wait_for_a_free_place() {
    let setup = proxy_with(&["--max-connections", "1"]);
    let first = setup.pair();
    let mut waiting = connect(setup.address);
    waiting.write_all(b"patient").unwrap();
    setup.upstream.set_nonblocking(true).unwrap();
    waiting
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    let nothing = waiting.read(&mut [0]).unwrap_err();
    assert!(is_timeout(&nothing), "{nothing}");
    assert!(setup.upstream.accept().is_err());
    drop(first);
    let (server, _) = eventually(|| setup.upstream.accept().ok());
    server.set_nonblocking(false).unwrap();
    read(&mut patient(server), "patient");
}

#[test]
fn a_terminated_proxy_ends_its_connections_in_order() {
    let setup = proxy();
    let (client, mut server) = setup.pair();
    server.write_all(b"on the way").unwrap();
    let mut client = client;
    read(&mut client, "on the way");
    setup.program.signal("TERM");
    assert_eq!(read_to_end(&client), b"");
    assert_eq!(read_to_end(&server), b"");
    drop((client, server));
    let ended = setup.program.ended();
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
}

#[test]
fn an_address_that_is_taken_is_exit_code_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let ended = program::run("tcp_proxy", &["--listen", &taken, "--to", "127.0.0.1:1"]);
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.err.contains(&format!("cannot listen on {taken}: ")),
        "{}",
        ended.err
    );
}
