//! The time programs of `examples/` (RFC 868), started as processes and met with plain blocking sockets, with each
//! other and with Python. Their arithmetic brings its own tests along with the module.
#![allow(clippy::unwrap_used, reason = "the helpers of a test are part of it")]

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant, SystemTime},
};

use shared::{
    gettime::{Transport, ask, ask_any, gettime},
    rfc868,
};
use suites::program;
use util::SLOWNESS;

/// Long enough for a loaded machine; a passing test never waits for it.
const DEADLINE: Duration = Duration::from_secs(20 * SLOWNESS);
/// Nobody listens there, and no test gets the port by chance.
const CLOSED: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);
/// For tests in which the client has to give up.
const SOON: &str = "0.4";

/// One program of `examples/`, killed when dropped.
struct Example {
    child: Child,
    out: Receiver<String>,
    err: Receiver<String>,
}

struct Ended {
    code: Option<i32>,
    out: Vec<String>,
    err: Vec<String>,
}

fn example(name: &str) -> Command {
    let mut command = program::example(name);
    command.env("TZ", "UTC");
    command
}

fn start(command: &mut Command) -> Example {
    program::give_console(command);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let out = lines(child.stdout.take().unwrap());
    let err = lines(child.stderr.take().unwrap());
    Example { child, out, err }
}

fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(from).lines() {
            if line.is_err() || line.is_ok_and(|line| sender.send(line).is_err()) {
                return;
            }
        }
    });
    receiver
}

#[track_caller]
fn next(lines: &Receiver<String>) -> String {
    lines.recv_timeout(DEADLINE).expect("one more line")
}

#[track_caller]
fn line_with(lines: &Receiver<String>, needle: &str) -> String {
    loop {
        let line = next(lines);
        if line.contains(needle) {
            return line;
        }
    }
}

impl Example {
    fn signal(&self, name: &str) {
        assert!(program::signal(self.child.id(), name));
    }

    /// Waits for the end of the process: both its streams end with it.
    #[track_caller]
    fn ended(&mut self) -> Ended {
        let rest = |lines: &Receiver<String>| {
            let end = Instant::now() + DEADLINE;
            let mut rest = Vec::new();
            loop {
                match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                    Ok(line) => rest.push(line),
                    Err(RecvTimeoutError::Disconnected) => return rest,
                    Err(RecvTimeoutError::Timeout) => panic!("still running after {DEADLINE:?}"),
                }
            }
        };
        let (out, err) = (rest(&self.out), rest(&self.err));
        let code = self.child.wait().unwrap().code();
        Ended { code, out, err }
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A `time_server` on a free port.
struct Server {
    example: Example,
    address: SocketAddr,
    protocols: String,
}

#[track_caller]
fn serve_with(args: &[&str], log: &str) -> Server {
    let mut command = example("time_server");
    command
        .args(["--port", "0"])
        .args(args)
        .env("RUST_LOG", log);
    let example = start(&mut command);
    let line = next(&example.out);
    let said = line
        .strip_prefix("listening on ")
        .expect("where it listens");
    let (address, protocols) = said.split_once(' ').unwrap();
    Server {
        address: address.parse().unwrap(),
        protocols: protocols.into(),
        example,
    }
}

#[track_caller]
fn serve(args: &[&str]) -> Server {
    serve_with(args, "")
}

fn tcp(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

fn udp(local: impl Into<IpAddr>, port: u16) -> UdpSocket {
    let socket = UdpSocket::bind((local.into(), port)).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket
}

fn all_of(mut stream: TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    all
}

/// Fails unless `answer` is four bytes that mean now.
#[track_caller]
fn assert_now(answer: &[u8]) {
    let count: [u8; 4] = answer.try_into().expect("four bytes");
    assert_in_time(rfc868::decode(count, SystemTime::now()));
}

#[track_caller]
fn assert_in_time(time: SystemTime) {
    let off = rfc868::seconds_off(SystemTime::now(), time);
    assert!((0..=20).contains(&off), "{off} seconds off");
}

/// Nothing has come, and what is not here by now never will: loopback delivers while `send` runs.
#[track_caller]
fn assert_silent(socket: &UdpSocket) {
    socket.set_nonblocking(true).unwrap();
    let silence = socket.recv_from(&mut [0; 8]).unwrap_err();
    assert_eq!(silence.kind(), io::ErrorKind::WouldBlock);
    socket.set_nonblocking(false).unwrap();
}

/// A blocking server for one connection; gives its port.
fn std_tcp(answer: impl FnOnce(TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || answer(listener.accept().unwrap().0));
    port.to_string()
}

/// A blocking datagram server that hands every question to `answer`; gives its port.
fn std_udp(mut answer: impl FnMut(&UdpSocket, &[u8], SocketAddr) + Send + 'static) -> String {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = socket.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut buf = [0; 64];
        while let Ok((n, from)) = socket.recv_from(&mut buf) {
            answer(&socket, &buf[..n], from);
        }
    });
    port.to_string()
}

fn answering(answer: &'static [u8]) -> String {
    std_tcp(move |mut stream| stream.write_all(answer).unwrap())
}

fn client(args: &[&str]) -> Ended {
    start(example("time_client").args(args)).ended()
}

/// Fails unless the client found a server whose clock is this machine's.
#[track_caller]
fn assert_in_step(ended: &Ended) {
    assert_eq!((ended.code, ended.err.as_slice()), (Some(0), [].as_slice()));
    let [time, off] = ended.out.as_slice() else {
        panic!("{:?}", ended.out)
    };
    assert!(time.starts_with("server time is "), "{time}");
    assert!((0..=20).contains(&seconds_off(off)), "{off}");
}

#[track_caller]
fn seconds_off(line: &str) -> i64 {
    line.strip_prefix("local clock is ")
        .and_then(|line| line.strip_suffix(" seconds off"))
        .and_then(|seconds| seconds.parse().ok())
        .unwrap_or_else(|| panic!("{line}"))
}

/// Fails unless the program said nothing but one line on standard error, with `needle` in it.
#[track_caller]
fn assert_failed(ended: &Ended, code: i32, needle: &str) {
    assert_eq!(ended.code, Some(code), "{:?}", ended.err);
    assert!(ended.out.is_empty(), "{:?}", ended.out);
    let [line] = ended.err.as_slice() else {
        panic!("{:?}", ended.err)
    };
    assert!(line.contains(needle), "{line:?} has no {needle:?}");
}

// The server.

#[test]
fn the_server_listens_on_one_loopback_port_with_both_protocols() {
    let server = serve(&[]);
    assert_eq!(server.address.ip(), Ipv4Addr::LOCALHOST);
    assert_eq!(server.protocols, "(tcp, udp)");
    assert_now(&all_of(tcp(server.address)));
    let socket = udp(Ipv4Addr::LOCALHOST, 0);
    socket.send_to(b"", server.address).unwrap();
    let mut buf = [0; 8];
    let (n, from) = socket.recv_from(&mut buf).unwrap();
    assert_eq!(from, server.address);
    assert_now(&buf[..n]);
}

#[test]
fn the_servers_default_address_is_port_8037_on_the_loopback() {
    let mut server = start(&mut example("time_server"));
    // Whether the port is free on this machine or not, the program names it.
    match server.out.recv_timeout(DEADLINE) {
        Ok(line) => assert_eq!(line, "listening on 127.0.0.1:8037 (tcp, udp)"),
        Err(_) => assert_failed(&server.ended(), 1, "cannot listen on 127.0.0.1:8037"),
    }
}

#[test]
fn every_connection_gets_four_bytes_and_an_end_of_file() {
    let server = serve(&[]);
    for _ in 0..50 {
        assert_now(&all_of(tcp(server.address)));
    }
}

#[test]
fn every_datagram_is_answered_whatever_its_length() {
    let server = serve(&[]);
    let socket = udp(Ipv4Addr::LOCALHOST, 0);
    for len in [0, 1, 4, 5, 1472, 9000, 60_000] {
        socket.send_to(&vec![b'x'; len], server.address).unwrap();
        let mut buf = [0; 8];
        let n = socket
            .recv(&mut buf)
            .unwrap_or_else(|error| panic!("{len}: {error}"));
        assert_now(&buf[..n]);
    }
}

#[test]
fn each_datagram_is_answered_to_where_it_came_from() {
    let server = serve(&[]);
    let sockets: Vec<_> = (0..100).map(|_| udp(Ipv4Addr::LOCALHOST, 0)).collect();
    for socket in &sockets {
        socket.send_to(b"", server.address).unwrap();
    }
    for socket in &sockets {
        let mut buf = [0; 8];
        let n = socket.recv(&mut buf).unwrap();
        assert_now(&buf[..n]);
        assert_silent(socket);
    }
}

#[test]
fn a_client_that_is_gone_does_not_end_the_datagram_service() {
    let server = serve(&[]);
    for _ in 0..20 {
        // Closed before the answer comes: the system tells the server with an ICMP message.
        udp(Ipv4Addr::LOCALHOST, 0)
            .send_to(b"", server.address)
            .unwrap();
    }
    let socket = udp(Ipv4Addr::LOCALHOST, 0);
    socket.send_to(b"", server.address).unwrap();
    let mut buf = [0; 8];
    let n = socket.recv(&mut buf).unwrap();
    assert_now(&buf[..n]);
}

/// An address of 127.0.0.0/8 for the stranger: only Linux has them all.
#[cfg(target_os = "linux")]
#[test]
fn a_datagram_from_the_servers_own_port_number_is_not_answered() {
    let server = serve_with(&[], "info");
    let stranger = udp(Ipv4Addr::new(127, 0, 0, 2), server.address.port());
    stranger.send_to(b"", server.address).unwrap();
    line_with(&server.example.err, "not answered");
    assert_silent(&stranger);
    let socket = udp(Ipv4Addr::new(127, 0, 0, 2), 0);
    socket.send_to(b"", server.address).unwrap();
    let mut buf = [0; 8];
    let n = socket.recv(&mut buf).unwrap();
    assert_now(&buf[..n]);
}

#[test]
fn a_server_that_does_not_know_the_time_closes_and_keeps_silent() {
    let server = serve_with(&["--no-clock"], "info");
    assert!(all_of(tcp(server.address)).is_empty());
    let socket = udp(Ipv4Addr::LOCALHOST, 0);
    for _ in 0..2 {
        // The second is looked at after the first is done with.
        socket.send_to(b"", server.address).unwrap();
        line_with(&server.example.err, "datagram from");
    }
    assert_silent(&socket);
}

#[test]
fn one_protocol_can_be_left_out() {
    // A port number may be in use by another test's socket of the other protocol: hence more than one try.
    let no_udp = (0..5).any(|_| {
        let server = serve(&["--tcp-only"]);
        assert_eq!(server.protocols, "(tcp)");
        assert_now(&all_of(tcp(server.address)));
        UdpSocket::bind(server.address).is_ok()
    });
    assert!(no_udp);
    let no_tcp = (0..5).any(|_| {
        let server = serve(&["--udp-only"]);
        assert_eq!(server.protocols, "(udp)");
        let port = server.address.port().to_string();
        assert_in_step(&client(&["127.0.0.1", &port, "--udp"]));
        TcpListener::bind(server.address).is_ok()
    });
    assert!(no_tcp);
}

#[test]
fn a_port_in_use_is_one_line_and_exit_code_1() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for name in ["time_server", "select_loop"] {
        let ended = start(example(name).args(["--port", &port])).ended();
        assert_failed(&ended, 1, &format!("cannot listen on 127.0.0.1:{port}"));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_thousand_clients_later_the_server_holds_no_descriptor_more() {
    let server = serve(&[]);
    let open = || {
        let fds = format!("/proc/{}/fd", server.example.child.id());
        std::fs::read_dir(fds).unwrap().count()
    };
    assert_now(&all_of(tcp(server.address)));
    let before = open();
    for _ in 0..10 {
        let streams: Vec<_> = (0..100).map(|_| tcp(server.address)).collect();
        for stream in streams {
            assert_now(&all_of(stream));
        }
    }
    // The end of file is seen a moment before the server's `close` has returned.
    let end = Instant::now() + DEADLINE;
    while open() > before {
        assert!(
            Instant::now() < end,
            "{} descriptors, {before} before",
            open()
        );
        thread::yield_now();
    }
}

#[test]
fn a_signal_ends_a_server_with_exit_code_0() {
    for name in ["time_server", "select_loop"] {
        for signal in ["TERM", "INT"] {
            let mut server = start(example(name).args(["--port", "0"]));
            line_with(&server.out, "listening on ");
            server.signal(signal);
            let ended = server.ended();
            assert_eq!(
                (ended.code, ended.err),
                (Some(0), vec![]),
                "{name} {signal}"
            );
        }
    }
}

#[test]
fn the_log_says_who_asks_only_if_it_is_asked_for() {
    let server = serve_with(&[], "info");
    let stream = tcp(server.address);
    let peer = stream.local_addr().unwrap();
    line_with(&server.example.err, &format!("connection from {peer}"));

    let mut server = serve(&[]);
    assert_now(&all_of(tcp(server.address)));
    server.example.signal("TERM");
    let ended = server.example.ended();
    assert_eq!((ended.err, ended.out), (vec![], vec![]));
}

// The client.

#[test]
fn client_and_server_understand_each_other() {
    let server = serve(&[]);
    let port = server.address.port().to_string();
    assert_in_step(&client(&["127.0.0.1", &port]));
    assert_in_step(&client(&["127.0.0.1", &port, "--udp"]));
}

#[test]
fn a_name_does_as_well_as_an_address() {
    let server = serve(&[]);
    let port = server.address.port().to_string();
    assert_in_step(&client(&["localhost", &port]));
    assert_in_step(&client(&["--udp", "localhost", &port]));
}

#[test]
fn every_address_of_a_name_is_tried() {
    let server = serve(&[]);
    for transport in [Transport::Tcp, Transport::Udp] {
        let addresses = [CLOSED, CLOSED, server.address];
        let reading = ask_any(&addresses, transport, DEADLINE).unwrap();
        assert_in_time(reading.server);
        let error = ask_any(&[CLOSED, CLOSED], transport, DEADLINE).unwrap_err();
        assert!(error.to_string().contains("refused"), "{error}");
    }
}

#[test]
fn an_address_that_keeps_silent_leaves_time_for_the_next() {
    let server = serve(&[]);
    let silent = udp(Ipv4Addr::LOCALHOST, 0);
    let addresses = [silent.local_addr().unwrap(), server.address];
    let reading = ask_any(&addresses, Transport::Udp, Duration::from_secs(1)).unwrap();
    assert_in_time(reading.server);
    assert_eq!(silent.recv(&mut [0; 8]).unwrap(), 0, "it was asked first");
    let addresses = [silent.local_addr().unwrap(); 2];
    let error = ask_any(&addresses, Transport::Udp, Duration::from_millis(300)).unwrap_err();
    assert_eq!(error.to_string(), "no complete answer within 150ms");
}

#[test]
fn both_programs_speak_ipv6() {
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        eprintln!("no IPv6 on this machine");
        return;
    }
    let server = serve(&["--bind", "::1"]);
    assert!(server.address.is_ipv6());
    let port = server.address.port().to_string();
    assert_in_step(&client(&["::1", &port]));
    assert_in_step(&client(&["::1", &port, "--udp"]));
}

#[test]
fn the_time_comes_out_as_ctime_writes_it() {
    let time = |answer: &'static [u8]| {
        let ended = client(&["127.0.0.1", &answering(answer)]);
        assert_eq!(ended.code, Some(0), "{:?}", ended.err);
        ended.out[0].clone()
    };
    let may_1983 = &[0x9c, 0xbc, 0x44, 0x80];
    assert_eq!(time(may_1983), "server time is Sun May  1 00:00:00 1983");
    let october_1999 = &[0xbb, 0xa9, 0xee, 0xfc];
    assert_eq!(
        time(october_1999),
        "server time is Sat Oct  9 16:42:36 1999"
    );
}

#[test]
fn the_clients_time_is_local_time() {
    let port = answering(&[0, 0, 0, 5]);
    let ended = start(
        example("time_client")
            .env("TZ", "JST-9")
            .args(["127.0.0.1", &port]),
    )
    .ended();
    assert_eq!(ended.out[0], "server time is Thu Feb  7 15:28:21 2036");
}

#[test]
fn the_client_knows_both_sides_of_february_2036() {
    let time = |answer: &'static [u8]| client(&["127.0.0.1", &answering(answer)]).out[0].clone();
    assert_eq!(time(&[0xff; 4]), "server time is Thu Feb  7 06:28:15 2036");
    assert_eq!(time(&[0; 4]), "server time is Thu Feb  7 06:28:16 2036");
    assert_eq!(
        time(&[0, 0, 0, 5]),
        "server time is Thu Feb  7 06:28:21 2036"
    );
}

#[test]
fn the_difference_is_local_minus_server() {
    for ahead in [-1000_i64, 1000] {
        let port = std_tcp(move |mut stream| {
            let shift = Duration::from_secs(ahead.unsigned_abs());
            let now = SystemTime::now();
            let time = if ahead > 0 { now + shift } else { now - shift };
            stream.write_all(&rfc868::encode(time).unwrap()).unwrap();
        });
        let ended = client(&["127.0.0.1", &port]);
        let off = seconds_off(&ended.out[1]);
        assert!((0..=20).contains(&(off + ahead)), "{ahead}: {off}");
    }
}

#[test]
fn an_answer_in_four_pieces_is_an_answer() {
    let port = std_tcp(|mut stream| {
        stream.set_nodelay(true).unwrap();
        for byte in rfc868::encode(SystemTime::now()).unwrap() {
            stream.write_all(&[byte]).unwrap();
            thread::yield_now();
        }
    });
    assert_in_step(&client(&["127.0.0.1", &port]));
}

#[test]
fn the_client_closes_first_as_the_protocol_has_it() {
    let port = std_tcp(|mut stream| {
        let now = rfc868::encode(SystemTime::now()).unwrap();
        stream.write_all(&now).unwrap();
        // Ends only with the client's end of file.
        assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0);
    });
    assert_in_step(&client(&["127.0.0.1", &port]));
}

#[test]
fn a_server_that_never_closes_has_answered_all_the_same() {
    // With the longer limit the client gives up waiting for the end of file, with the shorter one for everything.
    for limit in ["20", "0.9"] {
        let (release, held) = channel::<()>();
        let port = std_tcp(move |mut stream| {
            let now = rfc868::encode(SystemTime::now()).unwrap();
            stream.write_all(&now).unwrap();
            let _ = held.recv();
        });
        assert_in_step(&client(&["127.0.0.1", &port, "--timeout", limit]));
        drop(release);
    }
}

#[test]
fn a_question_that_got_lost_is_asked_again() {
    let mut asked = 0;
    let port = std_udp(move |socket, question, from| {
        assert!(question.is_empty());
        asked += 1;
        if asked == 2 {
            let now = rfc868::encode(SystemTime::now()).unwrap();
            socket.send_to(&now, from).unwrap();
        }
    });
    assert_in_step(&client(&["127.0.0.1", &port, "--udp"]));
}

#[test]
fn an_answer_from_somebody_else_is_not_heard() {
    let stranger = udp(Ipv4Addr::LOCALHOST, 0);
    let port = std_udp(move |socket, _, from| {
        stranger.send_to(&[0; 4], from).unwrap();
        let now = rfc868::encode(SystemTime::now()).unwrap();
        socket.send_to(&now, from).unwrap();
    });
    assert_in_step(&client(&["127.0.0.1", &port, "--udp"]));
}

#[test]
fn a_refused_question_is_exit_code_1_long_before_the_timeout() {
    let start = Instant::now();
    for transport in ["TCP", "UDP"] {
        let mut args = vec!["127.0.0.1", "1", "--timeout", "3600"];
        args.extend((transport == "UDP").then_some("--udp"));
        let ended = client(&args);
        assert_failed(&ended, 1, &format!("127.0.0.1 port 1 over {transport}: "));
        assert!(ended.err[0].contains("refused"), "{:?}", ended.err);
    }
    assert!(start.elapsed() < DEADLINE);
}

#[test]
fn no_answer_in_time_is_exit_code_1() {
    let port = std_tcp(|mut stream| drop(stream.read(&mut [0; 8])));
    let ended = client(&["127.0.0.1", &port, "--timeout", SOON]);
    assert_failed(&ended, 1, "no complete answer within 400ms");

    let port = std_tcp(|mut stream| {
        stream.write_all(&[1, 2, 3]).unwrap();
        drop(stream.read(&mut [0; 8]));
    });
    let ended = client(&["127.0.0.1", &port, "--timeout", SOON]);
    assert_failed(&ended, 1, "no complete answer within 400ms");

    let port = std_udp(|_, _, _| {});
    let ended = client(&["127.0.0.1", &port, "--timeout", SOON, "--udp"]);
    assert_failed(&ended, 1, "no complete answer within 400ms");
}

#[test]
fn a_short_answer_is_exit_code_1() {
    let ended = client(&["127.0.0.1", &answering(&[1, 2])]);
    assert_failed(&ended, 1, "only 2 of 4 bytes came");
    let ended = client(&["127.0.0.1", &answering(&[])]);
    assert_failed(&ended, 1, "may not know the time");
    let port = std_udp(|socket, _, from| drop(socket.send_to(&[1, 2, 3], from)));
    assert_failed(
        &client(&["127.0.0.1", &port, "--udp"]),
        1,
        "only 3 of 4 bytes came",
    );
}

#[test]
fn more_than_four_bytes_are_garbage_and_exit_code_1() {
    let ended = client(&["127.0.0.1", &answering(b"220 mail.example\r\n")]);
    assert_failed(&ended, 1, "no time server");
    let port = std_tcp(|mut stream| {
        stream.write_all(b"220 ").unwrap();
        // The client has taken the four bytes once it has closed its own end.
        assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0);
        stream.write_all(b"m").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
    });
    assert_failed(&client(&["127.0.0.1", &port]), 1, "no time server");
    let port = std_udp(|socket, _, from| drop(socket.send_to(b"garbage", from)));
    assert_failed(&client(&["127.0.0.1", &port, "--udp"]), 1, "no time server");
}

#[test]
fn a_server_without_a_clock_is_exit_code_1() {
    let server = serve(&["--no-clock"]);
    let port = server.address.port().to_string();
    assert_failed(&client(&["127.0.0.1", &port]), 1, "may not know the time");
    let ended = client(&["127.0.0.1", &port, "--udp", "--timeout", SOON]);
    assert_failed(&ended, 1, "no complete answer");
}

#[test]
fn an_unknown_name_is_exit_code_1() {
    for transport in [&["no such host"][..], &["no such host", "--udp"]] {
        let why = "\"no such host\" is no host name: it has the character ' '";
        assert_failed(&client(transport), 1, why);
    }
}

#[test]
fn the_clients_default_port_is_37() {
    let ended = client(&["127.0.0.1", "--timeout", SOON]);
    if ended.code != Some(0) {
        assert_failed(&ended, 1, "127.0.0.1 port 37");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_answer_that_cannot_be_printed_is_exit_code_1() {
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let mut client = example("time_client");
    client
        .args(["127.0.0.1", &answering(&[0; 4])])
        .stderr(Stdio::piped())
        .stdout(full);
    let output = client.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("time_client: "));
}

// The loop written by hand.

#[test]
fn the_loop_written_by_hand_waits_aloud_and_serves() {
    let mut server = start(example("select_loop").args(["--port", "0"]));
    let line = next(&server.out);
    let address: SocketAddr = line.strip_prefix("listening on ").unwrap().parse().unwrap();
    assert_eq!(next(&server.out), "still waiting");

    let stream = tcp(address);
    let peer = stream.local_addr().unwrap();
    assert_now(&all_of(stream));
    line_with(&server.out, &format!("connection from {peer}"));
    assert_eq!(next(&server.out), "still waiting");
    assert_in_step(&client(&["127.0.0.1", &address.port().to_string()]));

    server.signal("TERM");
    assert_eq!(server.ended().code, Some(0));
}

#[test]
fn only_a_whole_idle_second_counts_as_waiting() {
    let start_time = Instant::now();
    let server = start(example("select_loop").args(["--port", "0"]));
    let line = next(&server.out);
    let address = line.strip_prefix("listening on ").unwrap().parse().unwrap();
    for _ in 0..20 {
        // The client's own end of file is one more event, after the last callback.
        assert_now(&all_of(tcp(address)));
    }
    let mut waited = 0;
    while waited < 2 {
        waited += u64::from(next(&server.out) == "still waiting");
        let elapsed = start_time.elapsed();
        assert!(
            elapsed.as_secs() >= waited,
            "{waited} idle seconds in {elapsed:?}"
        );
    }
}

// The module.

#[test]
fn the_client_is_a_module_too() {
    let server = serve(&[]);
    let port = server.address.port();
    assert_in_time(gettime("127.0.0.1", port).unwrap());
    for transport in [Transport::Tcp, Transport::Udp] {
        let reading = ask("localhost", port, transport, DEADLINE).unwrap();
        assert_in_time(reading.server);
        assert_in_time(reading.local);
    }
    let error = gettime("127.0.0.1", 1).unwrap_err().to_string();
    assert!(
        error.starts_with("no time from 127.0.0.1 port 1 over TCP: "),
        "{error}"
    );
}

// Python.

const PYTHON: &str = r#"
import socket, struct, sys, time
port = int(sys.argv[1])

def check(data):
    assert len(data) == 4, data
    here = int(time.time()) + 2208988800 & 0xffffffff
    assert 0 <= here - struct.unpack("!I", data)[0] <= 20, data

with socket.create_connection(("127.0.0.1", port), 20) as s:
    check(s.recv(4, socket.MSG_WAITALL))
    assert s.recv(1) == b""
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.settimeout(20)
    s.sendto(b"", ("127.0.0.1", port))
    data, server = s.recvfrom(16)
    assert server == ("127.0.0.1", port), server
    check(data)
print("in step")
"#;

#[test]
fn a_python_client_reads_the_time() {
    if Command::new("python3").arg("--version").output().is_err() {
        eprintln!("no python3 on this machine");
        return;
    }
    let server = serve(&[]);
    let port = server.address.port().to_string();
    let ended = start(Command::new("python3").args(["-c", PYTHON, &port])).ended();
    assert_eq!(ended.out, ["in step"], "{:?}", ended.err);
}
