//! The program `dns_lookup`: against dnsmasq, and against servers that lie, cut short or say nothing.

#![allow(clippy::unwrap_used, reason = "the helpers of a test are part of it")]

use std::{
    collections::BTreeSet,
    fs,
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    process::{Child, Command, Stdio},
    time::Duration,
};

use socket2::{Domain, Socket, Type};
use suites::{
    lacks,
    program::{self, DEADLINE, Ended, Program, eventually},
};

/// Asks `server`, with more patience than a passing test needs.
fn start(server: SocketAddr, args: &[&str]) -> Program {
    start_with("30", server, args)
}

fn start_with(timeout: &str, server: SocketAddr, args: &[&str]) -> Program {
    let mut command = program::example("dns_lookup");
    command.args(["--timeout", timeout, "--server", &server.to_string()]);
    Program::start(command.args(args))
}

fn ask(server: SocketAddr, args: &[&str]) -> Ended {
    start(server, args).ended()
}

#[track_caller]
fn expect(ended: &Ended, code: i32, out: &[&str], err: &[&str]) {
    let err: String = err
        .iter()
        .map(|line| format!("dns_lookup: {line}\n"))
        .collect();
    let lines: String = out.iter().map(|line| format!("{line}\n")).collect();
    assert_eq!((ended.out(), ended.err.as_str()), (lines, err.as_str()));
    assert_eq!(ended.code, Some(code));
}

/// dnsmasq with zones of its own, killed when dropped.
struct Dnsmasq {
    child: Child,
    address: SocketAddr,
}

impl Drop for Dnsmasq {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// With the names of `config`; `None` if dnsmasq is not installed.
fn dnsmasq(config: &str) -> Option<Dnsmasq> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config");
    let common =
        "listen-address=127.0.0.1\nbind-interfaces\nno-resolv\nno-hosts\nlocal=/#/\nuser=root\n";
    fs::write(&file, format!("{common}{config}")).unwrap();
    for _ in 0..20 {
        // Free a moment ago.
        let address = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let mut command = Command::new("dnsmasq");
        command
            .arg(format!("--conf-file={}", file.display()))
            .arg(format!("--port={}", address.port()))
            .args(["--keep-in-foreground", "--pid-file="])
            .stderr(Stdio::null());
        let child = match command.spawn() {
            Ok(child) => child,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                suites::missing("dnsmasq");
                return None;
            }
            Err(error) => panic!("{error}"),
        };
        let mut server = Dnsmasq { child, address };
        let is_up = eventually(|| match server.child.try_wait().unwrap() {
            Some(_) => Some(false),
            None => TcpStream::connect(address).ok().map(|_| true),
        });
        if is_up {
            return Some(server);
        }
    }
    panic!("dnsmasq does not start");
}

#[test]
fn dnsmasq_is_asked_for_records_of_every_kind() {
    let config = "host-record=host.test,192.0.2.7,2001:db8::7,300\n\
                  cname=alias.test,middle.test,60\ncname=middle.test,host.test,60\n\
                  txt-record=text.test,\"one, two\",x\nmx-host=host.test,mail.test,10\n\
                  srv-host=_x._tcp.host.test,host.test,80,1,2\n";
    let Some(server) = dnsmasq(config) else {
        return;
    };
    let aliases = [
        "alias.test. 60 IN CNAME middle.test.",
        "middle.test. 60 IN CNAME host.test.",
    ];
    let [a, aaaa] = [
        "host.test. 300 IN A 192.0.2.7",
        "host.test. 300 IN AAAA 2001:db8::7",
    ];
    let host = |words: &[&'static str]| [&aliases[..], words].concat();
    for args in [&["alias.test"][..], &["--tcp", "ALIAS.test."]] {
        let ended = ask(server.address, args);
        let out = ended.out().replace("ALIAS", "alias");
        assert_eq!(out.lines().collect::<Vec<_>>(), host(&[a]));
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    }
    for (args, code, out, err) in [
        (
            &["--type", "AAAA", "alias.test"][..],
            0,
            &host(&[aaaa])[..],
            &[][..],
        ),
        (&["--type", "CNAME", "alias.test"], 0, &aliases[..1], &[]),
        (
            &["--type", "MX", "host.test"],
            0,
            &["host.test. 0 IN MX 10 mail.test."],
            &[],
        ),
        (
            &["--type", "PTR", "192.0.2.7"],
            0,
            &["7.2.0.192.in-addr.arpa. 300 IN PTR host.test."],
            &[],
        ),
        (
            &["--type", "SRV", "_x._tcp.host.test"],
            0,
            &["_x._tcp.host.test. 0 IN SRV 1 2 80 host.test."],
            &[],
        ),
        (
            &["--type", "txt", "text.test"],
            0,
            &[r#"text.test. 0 IN TXT "one, two" "x""#],
            &[],
        ),
        (
            &["--type", "TXT", "host.test"],
            1,
            &[],
            &["host.test: no record of type TXT"],
        ),
        (
            &["--type", "TXT", "alias.test"],
            1,
            &aliases,
            &["alias.test: no record of type TXT"],
        ),
        (
            &["nowhere.test"],
            1,
            &[],
            &["nowhere.test: no such name (NXDOMAIN)"],
        ),
        (
            &["--tcp", "nowhere.test"],
            1,
            &[],
            &["nowhere.test: no such name (NXDOMAIN)"],
        ),
    ] {
        expect(&ask(server.address, args), code, out, err);
    }
}

#[test]
fn what_is_too_long_for_a_datagram_comes_over_tcp() {
    let folder = tempfile::tempdir().unwrap();
    let hosts = folder.path().join("hosts");
    let many = (0..200).map(|n| format!("192.0.2.{n} many.test\n"));
    fs::write(&hosts, many.collect::<String>()).unwrap();
    let long = "x".repeat(250);
    let config = format!(
        "addn-hosts={}\ntxt-record=long.test,{long},{long},{long}\n",
        hosts.display()
    );
    let Some(server) = dnsmasq(&config) else {
        return;
    };
    let ended = ask(server.address, &["many.test"]);
    let lines: BTreeSet<_> = ended.out().lines().map(str::to_owned).collect();
    let all = (0..200).map(|n| format!("many.test. 0 IN A 192.0.2.{n}"));
    assert_eq!(lines, all.collect(), "{}", ended.err);
    let text = format!("long.test. 0 IN TXT \"{long}\" \"{long}\" \"{long}\"");
    expect(
        &ask(server.address, &["--type", "TXT", "long.test"]),
        0,
        &[&text],
        &[],
    );
}

fn bound() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// The next question, and where it came from.
#[track_caller]
fn question(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buf = [0; 512];
    let (n, from) = socket.recv_from(&mut buf).unwrap();
    (buf[..n].to_vec(), from)
}

const NO_ERROR: [u8; 2] = [0x81, 0x80];
const TRUNCATED: [u8; 2] = [0x83, 0x80];

fn reply(question: &[u8], flags: [u8; 2], records: &[&[u8]]) -> Vec<u8> {
    let count = u8::try_from(records.len()).unwrap();
    let header = [&question[..2], &flags, &[0, 1, 0, count, 0, 0, 0, 0]].concat();
    [&header, &question[12..], &records.concat()].concat()
}

/// Of the name that was asked for.
fn record(kind: u8, data: &[u8]) -> Vec<u8> {
    let len = u8::try_from(data.len()).unwrap();
    [&[0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0, len], data].concat()
}

fn address(last: u8) -> Vec<u8> {
    record(1, &[192, 0, 2, last])
}

/// What a forger would send, and what is broken.
fn lies(question: &[u8]) -> Vec<Vec<u8>> {
    let lie = reply(question, NO_ERROR, &[&address(66)]);
    let changed = |at: usize, byte: u8| {
        let mut lie = lie.clone();
        lie[at] = byte;
        lie
    };
    let end = 12 + question[12..].len();
    vec![
        changed(1, !lie[1]),
        changed(13, b'x'),
        changed(end - 3, 28),
        changed(2, 0x01),
        changed(7, 9),
        lie[..lie.len() - 1].to_vec(),
        lie[..11].to_vec(),
        Vec::new(),
        vec![0xff; 4096],
        // A name that points at itself, or back to labels that lead to it again.
        changed(end + 1, u8::try_from(end).unwrap()),
        reply(
            question,
            NO_ERROR,
            &[b"\x01x\xc0\x18\0\x01\0\x01\0\0\0\0\0\0"],
        ),
    ]
}

#[test]
fn lies_are_refused_and_the_truth_is_waited_for() {
    let (server, at) = bound();
    let program = start(at, &["a.test"]);
    let (question, from) = question(&server);
    for lie in lies(&question) {
        server.send_to(&lie, from).unwrap();
    }
    // All is right but the sender.
    let (other, _) = bound();
    let lie = reply(&question, NO_ERROR, &[&address(66)]);
    other.send_to(&lie, from).unwrap();
    let truth = reply(&question, NO_ERROR, &[&address(1)]);
    server.send_to(&truth, from).unwrap();
    expect(&program.ended(), 0, &["a.test. 60 IN A 192.0.2.1"], &[]);
}

#[test]
fn a_question_without_an_answer_is_sent_again_and_then_given_up() {
    let (server, at) = bound();
    let program = start_with("0.2", at, &["--tries", "3", "a.test"]);
    let first = question(&server);
    server.send_to(b"no answer", first.1).unwrap();
    for _ in 1..3 {
        // From the same port with the same id: an answer to an earlier one counts.
        assert_eq!(question(&server), first);
    }
    let why = format!(
        "a.test: no answer from {at}; tries: 3; refused: 1, the last because it is too short"
    );
    expect(&program.ended(), 1, &[], &[&why]);
}

#[test]
fn a_late_answer_counts() {
    let (server, at) = bound();
    let program = start_with("0.5", at, &["--tries", "20", "a.test"]);
    let (first, from) = question(&server);
    question(&server);
    let truth = reply(&first, NO_ERROR, &[&address(1)]);
    server.send_to(&truth, from).unwrap();
    expect(&program.ended(), 0, &["a.test. 60 IN A 192.0.2.1"], &[]);
}

#[test]
fn a_closed_port_is_told_at_once() {
    let (server, at) = bound();
    drop(server);
    let Some(closed) = told_of_a_closed_port(at) else {
        return lacks("this system does not tell a datagram's sender of a closed port");
    };
    let why = format!("a.test: no answer from {at}: {closed}");
    expect(&ask(at, &["a.test"]), 1, &[], &[&why]);
}

/// What a plain socket gets, which is a reset on Windows.
fn told_of_a_closed_port(at: SocketAddr) -> Option<String> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(at).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    socket.send(b"?").unwrap();
    let error = socket.recv(&mut [0]).unwrap_err();
    (!program::is_timeout(&error)).then(|| error.to_string())
}

/// With its number, which is not the same everywhere.
fn refused() -> String {
    let (socket, at) = bound();
    drop(socket);
    TcpStream::connect(at).unwrap_err().to_string()
}

#[test]
fn errors_of_the_server_are_told() {
    let (server, at) = bound();
    for (code, why) in [
        (1, "the server reports FormatError"),
        (2, "the server failed (SERVFAIL)"),
        (3, "no such name (NXDOMAIN)"),
        (5, "the server refuses to answer (REFUSED)"),
        (0, "no record of type A"),
    ] {
        let program = start(at, &["a.test"]);
        let (question, from) = question(&server);
        let answer = reply(&question, [0x81, 0x80 | code], &[]);
        server.send_to(&answer, from).unwrap();
        expect(&program.ended(), 1, &[], &[&format!("a.test: {why}")]);
    }
}

#[test]
fn nothing_in_an_answer_reaches_the_terminal_as_it_is() {
    let (server, at) = bound();
    let program = start(at, &["--type", "CNAME", "a.test"]);
    let (question, from) = question(&server);
    let target = b"\x06\x1b[2J\n\xff\x03x.y\0";
    let answer = reply(&question, NO_ERROR, &[&record(5, target)]);
    server.send_to(&answer, from).unwrap();
    let line = r"a.test. 60 IN CNAME \027[2J\010\255.x\.y.";
    expect(&program.ended(), 0, &[line], &[]);
}

#[test]
fn many_names_are_asked_for_at_once_but_not_all() {
    const NAMES: usize = 300;
    const AT_ONCE: usize = 64;
    let (server, at) = bound();
    let names: Vec<_> = (0..NAMES).map(|n| format!("n{n}.test")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let program = start(at, &names);
    let (mut ids, mut asked) = (BTreeSet::new(), 0);
    while asked < NAMES {
        let batch: Vec<_> = (asked..NAMES)
            .take(AT_ONCE)
            .map(|_| question(&server))
            .collect();
        asked += batch.len();
        // No more comes before one is answered.
        server.set_nonblocking(true).unwrap();
        let more = server
            .recv_from(&mut [0; 512])
            .map_err(|error| error.kind());
        assert_eq!(more, Err(ErrorKind::WouldBlock));
        server.set_nonblocking(false).unwrap();
        let ports: BTreeSet<_> = batch.iter().map(|(_, from)| from.port()).collect();
        assert_eq!(ports.len(), batch.len());
        for (question, from) in batch {
            ids.insert(question[..2].to_vec());
            let answer = reply(&question, NO_ERROR, &[&address(1)]);
            server.send_to(&answer, from).unwrap();
        }
    }
    let ended = program.ended();
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    let told: BTreeSet<_> = ended.out().lines().map(str::to_owned).collect();
    let all = names
        .iter()
        .map(|name| format!("{name}. 60 IN A 192.0.2.1"));
    assert_eq!(told, all.collect());
    assert!(ids.len() > NAMES - 20, "{} ids", ids.len());
}

#[test]
fn a_signal_ends_it_and_says_what_was_not_answered() {
    let (server, at) = bound();
    let names = vec!["a.test"; 66];
    let program = start(at, &names);
    for _ in 0..64 {
        question(&server);
    }
    program.signal("INT");
    let ended = program.ended();
    assert_eq!((ended.code, ended.out().as_str()), (Some(1), ""));
    let left = "dns_lookup: interrupted: 2 names were not asked for\n";
    let open = "dns_lookup: a.test: interrupted\n".repeat(64);
    assert_eq!(ended.err, format!("{left}{open}"));
}

#[test]
fn an_output_that_nobody_reads_ends_it() {
    let (server, at) = bound();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = program::example("dns_lookup");
    command.args(["--timeout", "30", "--server", &at.to_string()]);
    command.args(["a.test", "b.test"]);
    let program = Program::start_into(&mut command, writer);
    let (question, from) = question(&server);
    let answer = reply(&question, NO_ERROR, &[&address(1)]);
    server.send_to(&answer, from).unwrap();
    let ended = program.ended();
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.err.starts_with("dns_lookup: standard output: "),
        "{}",
        ended.err
    );
}

#[test]
fn ipv6_is_spoken_too() {
    let Ok(server) = UdpSocket::bind("[::1]:0") else {
        suites::skip("no IPv6 loopback");
        return;
    };
    server.set_read_timeout(Some(DEADLINE)).unwrap();
    let program = start(server.local_addr().unwrap(), &["a.test"]);
    let (question, from) = question(&server);
    let truth = reply(&question, NO_ERROR, &[&address(1)]);
    server.send_to(&truth, from).unwrap();
    expect(&program.ended(), 0, &["a.test. 60 IN A 192.0.2.1"], &[]);
}

/// A port on which all is told to come over TCP, and the socket for that, which does not listen yet.
fn truncating() -> (UdpSocket, Socket, SocketAddr) {
    loop {
        let tcp = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        tcp.bind(&any.into()).unwrap();
        let at = tcp.local_addr().unwrap().as_socket().unwrap();
        if let Ok(udp) = UdpSocket::bind(at) {
            udp.set_read_timeout(Some(DEADLINE)).unwrap();
            return (udp, tcp, at);
        }
    }
}

#[test]
fn a_truncated_answer_without_a_server_on_tcp_is_an_error() {
    let (udp, _tcp, at) = truncating();
    let program = start(at, &["a.test"]);
    let (question, from) = question(&udp);
    udp.send_to(&reply(&question, TRUNCATED, &[]), from)
        .unwrap();
    let why = format!("a.test: {at} over TCP: {}", refused());
    expect(&program.ended(), 1, &[], &[&why]);
}

#[test]
fn over_tcp_the_answer_is_taken_in_any_pieces_and_an_end_before_it_is_an_error() {
    let (udp, tcp, at) = truncating();
    tcp.listen(16).unwrap();
    let tcp = TcpListener::from(tcp);
    // A program that does not come fails the test: no accept has a deadline by itself.
    tcp.set_nonblocking(true).unwrap();
    let with_length = |message: Vec<u8>| {
        let len = u16::try_from(message.len()).unwrap().to_be_bytes();
        [&len[..], &message].concat()
    };
    let truth = |question: &[u8]| with_length(reply(question, NO_ERROR, &[&address(1)]));
    let (over, ended) = (
        format!("a.test: {at} over TCP: "),
        "the server closed the connection without an answer",
    );
    type Answer<'a> = &'a dyn Fn(&[u8]) -> Vec<u8>;
    let table: [(Answer<'_>, Result<&str, &str>); 8] = [
        (&truth, Ok("a.test. 60 IN A 192.0.2.1")),
        (&|_| Vec::new(), Err(ended)),
        (&|_| vec![0], Err(ended)),
        (&|question| truth(question)[..20].to_vec(), Err(ended)),
        (&|_| vec![0, 0], Err("no answer: it is too short")),
        (
            &|question| with_length(reply(&[0; 24], NO_ERROR, &[&question[..0]])),
            Err("no answer: it has another id"),
        ),
        (
            &|question| with_length(reply(question, TRUNCATED, &[])),
            Err("a truncated answer"),
        ),
        (
            &|question| {
                let mut loops = reply(question, NO_ERROR, &[&address(1)]);
                let end = loops.len() - 16;
                loops[end + 1] = u8::try_from(end).unwrap();
                with_length(loops)
            },
            Err("no answer: it is malformed"),
        ),
    ];
    for (answer, told) in table {
        let program = start(at, &["a.test"]);
        let (question, from) = question(&udp);
        udp.send_to(&reply(&question, TRUNCATED, &[]), from)
            .unwrap();
        let (mut stream, _) = eventually(|| tcp.accept().ok());
        // On some systems it has this from the listener.
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut asked = vec![0; 2 + question.len()];
        stream.read_exact(&mut asked).unwrap();
        assert_eq!(asked, with_length(question.clone()));
        for byte in answer(&question) {
            // It may have seen enough.
            let _ = stream.write_all(&[byte]);
        }
        drop(stream);
        match told {
            Ok(line) => expect(&program.ended(), 0, &[line], &[]),
            Err(why) => expect(&program.ended(), 1, &[], &[&format!("{over}{why}")]),
        }
    }
}

#[test]
fn silence_over_tcp_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let ended = start_with("0.3", at, &["--tcp", "a.test"]).ended();
    let why = format!("a.test: {at} over TCP: no answer in time");
    expect(&ended, 1, &[], &[&why]);
}
