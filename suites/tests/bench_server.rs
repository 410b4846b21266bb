//! The program `bench_server`, every mode from outside: what it answers, that a reader who stalls is waited for and
//! costs bounded memory (R12–R14), and that steady work allocates nothing.

#![allow(clippy::unwrap_used, reason = "the helpers of a test are part of it")]

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, SystemTime},
};

use socket2::{Domain, SockRef, Socket, Type};
use suites::program::{self, DEADLINE, Program, ends_well_when_terminated, eventually, is_timeout};
use tempfile::TempDir;

const MODES: [&str; 7] = ["echo", "lines", "sink", "source", "time", "http", "files"];

const MIB: usize = 1024 * 1024;

/// What a server may take while a reader stalls, in KiB: far more than it needs, far less than what is on the way.
const STALL_COSTS: u64 = 4 * 1024;

fn serve(mode: &str, args: &[&str]) -> (Program, SocketAddr) {
    program::serve("bench_server", &[&[mode, "0"], args].concat())
}

fn connect(address: SocketAddr) -> TcpStream {
    patient(TcpStream::connect(address).unwrap())
}

/// Connects with a small window, so that little is on the way outside the server.
fn connect_narrow(address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    socket.set_send_buffer_size(16 * 1024).unwrap();
    socket.connect(&address.into()).unwrap();
    patient(socket.into())
}

fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

#[track_caller]
fn read(mut stream: &TcpStream, length: usize) -> Vec<u8> {
    let mut received = vec![0; length];
    stream.read_exact(&mut received).unwrap();
    received
}

#[track_caller]
fn read_to_end(mut stream: &TcpStream) -> Vec<u8> {
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    received
}

/// Sends and expects.
#[track_caller]
fn exchange(mut stream: &TcpStream, request: impl AsRef<[u8]>, answer: impl AsRef<[u8]>) {
    stream.write_all(request.as_ref()).unwrap();
    let received = read(stream, answer.as_ref().len());
    assert_eq!(
        String::from_utf8_lossy(&received),
        String::from_utf8_lossy(answer.as_ref())
    );
}

/// Sends, ends, and reads what comes until the other side ends too.
#[track_caller]
fn converse(mut stream: &TcpStream, request: impl AsRef<[u8]>) -> Vec<u8> {
    stream.write_all(request.as_ref()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    read_to_end(stream)
}

/// Waits until the other side has ended the connection, in whatever way; gives what came before.
#[track_caller]
fn read_to_any_end(mut stream: &TcpStream) -> Vec<u8> {
    let mut received = Vec::new();
    match stream.read_to_end(&mut received) {
        Ok(_) => received,
        Err(error) if error.kind() == ErrorKind::ConnectionReset => received,
        Err(error) => panic!("still open: {error}"),
    }
}

fn reset(stream: TcpStream) {
    SockRef::from(&stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(stream);
}

/// Bytes in a recognisable order, so that a gap or a swap shows.
fn pattern(length: usize) -> Vec<u8> {
    (0..length as u32 / 4).flat_map(u32::to_be_bytes).collect()
}

/// On Windows a write that has timed out leaves its socket in an indeterminate state (MSDN, `SO_SNDTIMEO`).
fn lacks_stalled_writes() -> bool {
    if cfg!(windows) {
        suites::lacks("a write that times out leaves an indeterminate socket on Windows");
    }
    cfg!(windows)
}

/// Sends `data` as far as it goes while nobody reads; gives how far that is.
#[track_caller]
fn write_until_stalled(mut stream: &TcpStream, data: &[u8]) -> usize {
    // A standstill, and not only a busy machine.
    let patience = Duration::from_secs(1);
    stream.set_write_timeout(Some(patience)).unwrap();
    let mut written = 0;
    let stalled = loop {
        assert!(written < data.len(), "nothing holds the writer back");
        match stream.write(&data[written..]) {
            Ok(n) => written += n,
            Err(error) => break error,
        }
    };
    assert!(is_timeout(&stalled), "{stalled}");
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    written
}

/// Sends all of `data` and does not read before nothing more can be sent; then reads the `length` bytes of the answer.
/// Gives how much went out before, and what came.
#[track_caller]
fn stall_then_read(stream: &TcpStream, data: &[u8], length: usize) -> (usize, Vec<u8>) {
    let written = write_until_stalled(stream, data);
    thread::scope(|scope| {
        let mut stream = stream;
        scope.spawn(move || stream.write_all(&data[written..]).unwrap());
        (written, read(stream, length))
    })
}

#[test]
fn each_mode_says_ready_and_nothing_else_and_ends_well_when_terminated() {
    for mode in MODES {
        // Free a moment ago; `SO_REUSEADDR` makes up for what lingers there.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
        let port = port.unwrap().port().to_string();
        let program = Program::start(program::example("bench_server").args([mode, port.as_str()]));
        assert_eq!(program.line(), "ready", "{mode}");
        drop(connect(format!("127.0.0.1:{port}").parse().unwrap()));
        program.signal("TERM");
        let ended = program.ended();
        assert_eq!((ended.code, ended.out().as_str()), (Some(0), "ready\n"));
        assert_eq!(ended.err, "", "{mode}");
    }
}

#[test]
fn a_port_in_use_and_a_root_that_is_none_are_said_in_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for args in [&["echo", port.as_str()][..], &["files", "0", "/dev/null"]] {
        let ended = program::run("bench_server", args);
        assert_eq!(ended.code, Some(1), "{args:?}");
        assert!(
            ended.err.starts_with("bench_server: cannot serve"),
            "{}",
            ended.err
        );
        assert_eq!(ended.err.lines().count(), 1, "{}", ended.err);
    }
}

/// More connections than the soft limit allowed: it was raised.
#[test]
fn the_soft_limit_of_descriptors_is_raised() {
    let script = "ulimit -S -n 32 && exec \"$0\" echo 0";
    let program = Program::start(
        Command::new("sh")
            .args(["-c", script])
            .arg(program::path("bench_server")),
    );
    let line = program.line();
    let address = line.rsplit(' ').next().unwrap().parse().unwrap();
    let connections: Vec<_> = (0..100).map(|_| connect(address)).collect();
    for connection in &connections {
        exchange(connection, "here", "here");
    }
    ends_well_when_terminated(program);
}

#[test]
fn echo_gives_every_byte_back_until_the_end_of_file() {
    let (program, address) = serve("echo", &[]);
    let (a, b) = (connect(address), connect(address));
    exchange(&a, "from a", "from a");
    exchange(&b, [0, 255, 13, 10], [0, 255, 13, 10]);
    exchange(&a, "again", "again");
    assert_eq!(converse(&a, "the end"), b"the end");
    assert_eq!(converse(&b, ""), b"");
    ends_well_when_terminated(program);
}

#[test]
fn echo_stops_reading_while_a_reader_stalls_and_loses_none_of_24_mib() {
    if lacks_stalled_writes() {
        return;
    }
    let (program, address) = serve("echo", &[]);
    let client = connect_narrow(address);
    let data = pattern(24 * MIB);
    let before = program.memory("VmHWM");
    let (written, received) = stall_then_read(&client, &data, data.len());
    let after = program.memory("VmHWM");
    assert!(received == data);
    assert!(
        after < before + STALL_COSTS,
        "{before} {after}, {written} written"
    );
    assert_eq!(converse(&client, "still here"), b"still here");
}

#[test]
fn echo_outlives_peers_that_vanish() {
    let (program, address) = serve("echo", &[]);
    for _ in 0..20 {
        let mut client = connect_narrow(address);
        client.write_all(&[1; 100_000]).unwrap_or(());
        reset(client);
    }
    exchange(&connect(address), "others", "others");
    ends_well_when_terminated(program);
}

#[test]
fn a_line_comes_back_when_it_is_complete() {
    let (_program, address) = serve("lines", &[]);
    let client = connect(address);
    for line in ["a\r\n", "\r\n", "\r\n\r\n\r\n", "one\r\ntwo\r\nthree\r\n"] {
        exchange(&client, line, line);
    }
    for data in [
        "\r\r\n",
        "\n\r\n",
        "a\rb\nc\n\rd\r\r\n",
        "\n\n\r\r\n",
        "\0\r\n",
    ] {
        exchange(&client, data, data);
    }
}

#[test]
fn the_end_of_a_line_may_come_apart_and_nothing_is_said_before_it() {
    let (_program, address) = serve("lines", &[]);
    let (mut client, clock) = (connect(address), connect(address));
    for pieces in [
        &["abc\r", "\n"][..],
        &["\r", "\n"],
        &["a", "b\r", "\n"],
        &["a\r", "b\r", "\r", "\n"],
        &["\r", "x\n\r", "\n"],
    ] {
        let (last, first) = pieces.split_last().unwrap();
        for piece in first {
            client.write_all(piece.as_bytes()).unwrap();
            // Its piece came later: the server has read the one before.
            exchange(&clock, "tick\r\n", "tick\r\n");
            client.set_nonblocking(true).unwrap();
            let early = client.read(&mut [0]).unwrap_err();
            assert_eq!(early.kind(), ErrorKind::WouldBlock, "{pieces:?}");
            client.set_nonblocking(false).unwrap();
        }
        exchange(&client, last, pieces.concat());
    }
}

#[test]
fn a_line_that_is_not_ended_is_no_line() {
    let (_program, address) = serve("lines", &[]);
    for rest in ["rest", "rest\r", "\r", "rest\n"] {
        let client = connect(address);
        assert_eq!(converse(&client, format!("line\r\n{rest}")), b"line\r\n");
    }
}

#[test]
fn a_line_of_16000_bytes_comes_back_and_a_longer_one_ends_its_connection_only() {
    let (program, address) = serve("lines", &[]);
    let (mut client, other) = (connect(address), connect(address));
    for length in [15_999, 16_000] {
        let line = [&vec![b'x'; length][..], b"\r\n"].concat();
        exchange(&client, &line, &line);
        exchange(&client, &line, &line);
    }
    client.write_all(&vec![b'x'; 16_001]).unwrap();
    assert_eq!(read_to_any_end(&client), b"");
    exchange(&other, "others\r\n", "others\r\n");
    ends_well_when_terminated(program);
}

#[test]
fn lines_wait_for_a_reader_who_stalls() {
    if lacks_stalled_writes() {
        return;
    }
    let (program, address) = serve("lines", &[]);
    let client = connect_narrow(address);
    let lines: Vec<u8> = (0..)
        .flat_map(|n: u32| format!("this is line {n}\r\n").into_bytes())
        .take(24 * MIB)
        .chain(*b"\r\n")
        .collect();
    let before = program.memory("VmHWM");
    let (written, received) = stall_then_read(&client, &lines, lines.len());
    let after = program.memory("VmHWM");
    assert!(received == lines);
    assert!(
        after < before + STALL_COSTS,
        "{before} {after}, {written} written"
    );
}

#[test]
fn the_sink_takes_everything_and_answers_with_an_end_of_file() {
    let (program, address) = serve("sink", &[]);
    for length in [0, 1, 10_000_000] {
        assert_eq!(
            converse(&connect(address), vec![7; length]),
            b"",
            "{length}"
        );
    }
    let mut vanishing = connect(address);
    vanishing.write_all(&[7; 100_000]).unwrap();
    reset(vanishing);
    assert_eq!(converse(&connect(address), "x"), b"");
    ends_well_when_terminated(program);
}

/// What a source gives for one request.
fn given(length: usize) -> Vec<u8> {
    let block: Vec<u8> = (0..512 * 1024).map(|at| (at % 251) as u8).collect();
    block.into_iter().cycle().take(length).collect()
}

#[test]
fn a_source_gives_what_is_asked_for_in_order_be_requests_pipelined_or_cut() {
    let (_program, address) = serve("source", &[]);
    let lengths = [
        0, 1, 10, 2048, 2049, 0, 524_287, 524_288, 524_289, 3, 3_000_000, 7,
    ];
    let requests: String = lengths.iter().map(|n| format!("GIVE {n}\r\n")).collect();
    let expected: Vec<u8> = lengths.iter().flat_map(|&n| given(n)).collect();
    assert!(converse(&connect(address), &requests) == expected);

    let mut cut = connect(address);
    thread::scope(|scope| {
        scope.spawn(|| assert!(read(&cut, expected.len()) == expected));
        for piece in requests.as_bytes().chunks(3) {
            (&cut).write_all(piece).unwrap();
        }
    });
    cut.write_all(b"GIVE 5\r\nGIVE").unwrap();
    assert_eq!(read(&cut, 5), given(5));
    assert_eq!(converse(&cut, " 2\r\n"), given(2));
}

#[test]
fn a_source_needs_no_memory_for_a_reader_who_stalls() {
    let (program, address) = serve("source", &[]);
    let mut client = connect_narrow(address);
    let before = program.memory("VmHWM");
    for length in [1_000_000_000, 524_288, 9000] {
        let count = 100_000_000_usize.div_ceil(length);
        let requests = format!("GIVE {length}\r\n").repeat(count);
        thread::scope(|scope| {
            let mut writer = &client;
            scope.spawn(move || writer.write_all(requests.as_bytes()).unwrap());
            // Answered while the first one waits.
            let other = connect(address);
            exchange(&other, "GIVE 3\r\n", given(3));
            let block = given(length.min(MIB / 2));
            let mut received = vec![0; block.len()];
            for _ in 0..count {
                let mut left = length.min(100_000_000);
                while left > 0 {
                    let part = left.min(block.len());
                    (&client).read_exact(&mut received[..part]).unwrap();
                    assert!(received[..part] == block[..part]);
                    left -= part;
                }
            }
        });
        if length == 1_000_000_000 {
            // Nine tenths of it are still to come: the peer vanishes.
            reset(std::mem::replace(&mut client, connect_narrow(address)));
        }
    }
    let after = program.memory("VmHWM");
    assert!(after < before + STALL_COSTS, "{before} {after}");
    drop(client);
    ends_well_when_terminated(program);
}

#[test]
fn a_source_takes_no_more_requests_than_it_can_answer() {
    if lacks_stalled_writes() {
        return;
    }
    let (program, address) = serve("source", &[]);
    let client = connect_narrow(address);
    let requests = "GIVE 1000000\r\n".repeat(8 * MIB / 14);
    let before = program.memory("VmHWM");
    let written = write_until_stalled(&client, requests.as_bytes());
    let after = program.memory("VmHWM");
    assert!(read(&client, 2_000_000) == given(1_000_000).repeat(2));
    assert!(
        after < before + STALL_COSTS,
        "{before} {after}, {written} written"
    );
}

#[test]
fn what_is_no_request_ends_its_connection_only() {
    let (program, address) = serve("source", &[]);
    for wrong in [
        "GIVE\r\n",
        "GIVE x\r\n",
        "TAKE 5\r\n",
        "GIVE +5\r\n",
        "\r\n",
    ] {
        let mut client = connect(address);
        client.write_all(wrong.as_bytes()).unwrap();
        assert_eq!(read_to_any_end(&client), b"", "{wrong:?}");
    }
    let mut endless = connect(address);
    endless.write_all(&[b'9'; 1000]).unwrap();
    assert_eq!(read_to_any_end(&endless), b"");
    exchange(&connect(address), "GIVE 5\r\n", given(5));
    ends_well_when_terminated(program);
}

#[test]
fn the_time_is_four_bytes_and_the_end() {
    let (program, address) = serve("time", &[]);
    for _ in 0..100 {
        let answer: [u8; 4] = read_to_end(&connect(address)).try_into().unwrap();
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = (unix.unwrap().as_secs() + 2_208_988_800) as u32;
        assert!(now.wrapping_sub(u32::from_be_bytes(answer)) < 60);
    }
    for _ in 0..20 {
        reset(connect(address));
    }
    assert_eq!(read_to_end(&connect(address)).len(), 4);
    ends_well_when_terminated(program);
}

const ANY_DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

/// An answer of the server with its date, which is about now, replaced by that of the RFC.
#[track_caller]
fn undated(answer: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(answer).into_owned();
    let mut from = 0;
    while let Some(at) = text[from..].find("\r\nDate: ") {
        let date = from + at + 8..from + at + 8 + ANY_DATE.len();
        let time = httpdate::parse_http_date(&text[date.clone()]).unwrap();
        let age = SystemTime::now().duration_since(time).unwrap();
        assert!(age < Duration::from_secs(60), "{age:?}");
        from = date.end;
        text.replace_range(date, ANY_DATE);
    }
    text
}

fn hello(connection: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nDate: {ANY_DATE}\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n{connection}\r\nHello, world!"
    )
}

const CLOSE: &str = "Connection: close\r\n";

#[test]
fn every_request_is_greeted_byte_for_byte_and_the_connection_stays() {
    let (program, address) = serve("http", &[]);
    let mut client = connect(address);
    let (answer, length) = (hello(""), hello("").len());
    for request in [
        "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /any/path?at=all HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
    ] {
        client.write_all(request.as_bytes()).unwrap();
        assert_eq!(undated(&read(&client, length)), answer);
    }
    let pipelined = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(100);
    client.write_all(pipelined.as_bytes()).unwrap();
    assert_eq!(undated(&read(&client, 100 * length)), answer.repeat(100));
    for byte in "GET / HTTP/1.1\r\nConnection: x\r\n\r\n".bytes() {
        client.write_all(&[byte]).unwrap();
    }
    assert_eq!(undated(&read(&client, length)), answer);
    drop(client);
    ends_well_when_terminated(program);
}

#[test]
fn a_request_to_close_is_the_last_one() {
    let (_program, address) = serve("http", &[]);
    for last in [
        "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nconnection:Close\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 37\r\n\r\nGET / HTTP/1.1\r\nNo: request, body\r\n\r\n",
    ] {
        let mut client = connect(address);
        let first = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        client
            .write_all([first, last, first].concat().as_bytes())
            .unwrap();
        // Without an end from this side: it is the server who closes.
        assert_eq!(undated(&read_to_end(&client)), hello("") + &hello(CLOSE));
    }
}

#[test]
fn the_date_goes_with_the_time() {
    let (_program, address) = serve("http", &[]);
    let mut client = connect(address);
    let mut date = || {
        client.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        let answer = read(&client, hello("").len());
        undated(&answer);
        answer[23..52].to_vec()
    };
    let first = date();
    eventually(|| (date() != first).then_some(()));
}

#[test]
fn greetings_wait_for_a_reader_who_stalls() {
    if lacks_stalled_writes() {
        return;
    }
    let (program, address) = serve("http", &[]);
    let client = connect_narrow(address);
    let request = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(110));
    let (count, length) = (16 * MIB / request.len(), hello("").len());
    let before = program.memory("VmHWM");
    let requests = request.repeat(count);
    let (written, answers) = stall_then_read(&client, requests.as_bytes(), count * length);
    let after = program.memory("VmHWM");
    for answer in answers.chunks(length) {
        assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\nDate: "));
        assert!(answer.ends_with(b"\r\n\r\nHello, world!"));
    }
    assert!(
        after < before + STALL_COSTS,
        "{before} {after}, {written} written"
    );
}

/// A server of a directory, which is one level below another one with a file in it.
struct Site {
    folder: TempDir,
    program: Program,
    address: SocketAddr,
}

fn site() -> Site {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("secret"), "secret").unwrap();
    let root = folder.path().join("root");
    fs::create_dir_all(root.join("sub")).unwrap();
    fs::write(root.join("small"), "a small file").unwrap();
    fs::write(root.join("empty"), "").unwrap();
    fs::write(root.join("sub/50% off"), "in a folder").unwrap();
    let (program, address) = serve("files", &[root.to_str().unwrap()]);
    Site {
        folder,
        program,
        address,
    }
}

impl Site {
    fn write(&self, name: &str, content: &[u8]) {
        fs::write(self.folder.path().join("root").join(name), content).unwrap();
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

/// The answer that carries this body.
fn file(content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let head = format!("HTTP/1.1 200 OK\r\nDate: {ANY_DATE}\r\nContent-Length: {length}\r\n\r\n");
    [head.as_bytes(), content].concat()
}

#[track_caller]
fn assert_answer(mut client: &TcpStream, request: &str, answer: &[u8]) {
    client.write_all(request.as_bytes()).unwrap();
    let received = read(client, answer.len());
    assert_eq!(
        undated(&received),
        String::from_utf8_lossy(answer),
        "{request}"
    );
}

fn not_found() -> Vec<u8> {
    format!("HTTP/1.1 404 Not Found\r\nDate: {ANY_DATE}\r\nContent-Length: 0\r\n\r\n").into()
}

#[test]
fn files_below_the_root_are_given_over_one_connection() {
    let site = site();
    let client = connect(site.address);
    assert_answer(&client, &get("/small"), &file(b"a small file"));
    assert_answer(&client, &get("/small?query"), &file(b"a small file"));
    assert_answer(&client, &get("/%73mall"), &file(b"a small file"));
    assert_answer(&client, &get("/empty"), &file(b""));
    assert_answer(&client, &get("/sub/50%25%20off"), &file(b"in a folder"));
    let three = [get("/small"), get("/nothing"), get("/small")].concat();
    let answers = [file(b"a small file"), not_found(), file(b"a small file")].concat();
    assert_answer(&client, &three, &answers);
    // Opened for each request.
    site.write("small", b"changed");
    assert_answer(&client, &get("/small"), &file(b"changed"));
    drop(client);
    ends_well_when_terminated(site.program);
}

#[test]
fn files_of_every_length_arrive_whole() {
    let site = site();
    let client = connect(site.address);
    for length in [1, 16_383, 16_384, 16_385, 65_536, 65_537, 300_001] {
        let content: Vec<u8> = (0..length)
            .map(|at: usize| b'a' + (at % 23) as u8)
            .collect();
        site.write("file", &content);
        assert_answer(&client, &get("/file"), &file(&content));
        let twice = [get("/file"), get("/small")].concat();
        assert_answer(
            &client,
            &twice,
            &[file(&content), file(b"a small file")].concat(),
        );
    }
}

#[test]
fn nothing_leads_out_of_the_root() {
    let site = site();
    let client = connect(site.address);
    let absolute = site.folder.path().join("secret");
    for path in [
        "/nothing",
        "/",
        "/sub",
        "/small/x",
        "/../secret",
        "/sub/../../secret",
        "/sub/../small",
        "/%2e%2e/secret",
        "/%2E%2e%2Fsecret",
        "/..%2fsecret",
        "/sub/%2e./%2e./secret",
        "/%00",
        "/small%00",
        "/%ff",
        &format!("/{}", absolute.display()),
        &format!("/%2F{}", absolute.display()),
        &format!("/{}", "x".repeat(5000)),
    ] {
        assert_answer(&client, &get(path), &not_found());
    }
    assert_answer(&client, &get("/small"), &file(b"a small file"));
}

#[test]
fn what_is_no_get_is_refused_and_a_request_to_close_is_the_last_one() {
    let site = site();
    for wrong in [
        "POST /small HTTP/1.1",
        "GET /small",
        "GET small text HTTP/1.1",
    ] {
        let mut client = connect(site.address);
        client
            .write_all(format!("{wrong}\r\n\r\n").as_bytes())
            .unwrap();
        let answer = undated(&read_to_end(&client));
        let expected = "HTTP/1.1 400 Bad Request\r\n";
        assert!(
            answer.starts_with(expected) && answer.contains(CLOSE),
            "{answer}"
        );
    }
    for content in [vec![b'y'; 10], vec![b'y'; 100_000]] {
        site.write("last", &content);
        let mut client = connect(site.address);
        let request = "GET /last HTTP/1.1\r\nConnection: close\r\n\r\n";
        client
            .write_all((request.to_owned() + request).as_bytes())
            .unwrap();
        let answer = undated(&read_to_end(&client));
        let expected = String::from_utf8(file(&content)).unwrap();
        let length = format!("{}\r\n", content.len());
        assert_eq!(
            answer,
            expected.replacen(&length, &(length.clone() + CLOSE), 1)
        );
    }
}

/// How often a process has the file of this name open.
#[cfg(target_os = "linux")]
fn open_files(program: &Program, name: &str) -> usize {
    let entries = fs::read_dir(format!("/proc/{}/fd", program.pid())).unwrap();
    let targets = entries.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
    targets.filter(|target| target.ends_with(name)).count()
}

#[test]
fn eight_pipelined_files_of_1_mib_arrive_whole_at_a_reader_who_stalls() {
    let site = site();
    let content: Vec<u8> = (0..MIB).map(|at| b'a' + (at % 23) as u8).collect();
    site.write("large", &content);
    let before = site.program.memory("VmHWM");
    let mut client = connect_narrow(site.address);
    client
        .write_all(get("/large").repeat(8).as_bytes())
        .unwrap();
    // Meanwhile others are served, and one who gives up in the middle does no harm.
    let mut vanishing = connect_narrow(site.address);
    vanishing
        .write_all(get("/large").repeat(8).as_bytes())
        .unwrap();
    read(&vanishing, 100_000);
    reset(vanishing);
    assert_answer(
        &connect(site.address),
        &get("/small"),
        &file(b"a small file"),
    );
    #[cfg(target_os = "linux")]
    assert!(open_files(&site.program, "large") <= 2);
    let whole = file(&content).repeat(8);
    assert!(undated(&read(&client, whole.len())).into_bytes() == whole);
    let after = site.program.memory("VmHWM");
    assert!(after < before + STALL_COSTS, "{before} {after}");
    assert_eq!(
        undated(&converse(&client, get("/small"))).into_bytes(),
        file(b"a small file")
    );
    ends_well_when_terminated(site.program);
}

/// A server that counts its allocations and writes what it counted to a file.
struct Counted {
    child: Child,
    address: SocketAddr,
    errors: tempfile::NamedTempFile,
    told: usize,
}

impl Counted {
    fn start(mode: &str, root: &str) -> Self {
        let errors = tempfile::NamedTempFile::new().unwrap();
        let mut child = program::example("bench_server")
            .args([mode, "0", root, "--count-allocations"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(errors.path()).unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        let address = line.trim_end().rsplit(' ').next().unwrap().parse().unwrap();
        Self {
            child,
            address,
            errors,
            told: 0,
        }
    }

    /// The three figures, on the signal of this name.
    #[track_caller]
    fn figures(&mut self, signal: &str) -> [i64; 3] {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &pid]).status();
        assert!(sent.unwrap().success());
        self.told += 1;
        let line = eventually(|| {
            let text = fs::read_to_string(self.errors.path()).unwrap();
            let complete = text.ends_with('\n');
            let line = text.lines().nth(self.told - 1).map(str::to_owned);
            line.filter(|_| complete)
        });
        let words: Vec<_> = line.split(' ').collect();
        let [allocations, count, bytes, size, live, used] = words[..] else {
            panic!("{line:?}");
        };
        assert_eq!(
            [allocations, bytes, live],
            ["allocations:", "bytes:", "live:"]
        );
        [count, size, used].map(|number| number.parse().unwrap())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
#[cfg_attr(
    mio_unsupported_force_poll_poll,
    ignore = "with poll(2) every read ends with a `WouldBlock`, which is boxed on its way"
)]
fn steady_work_allocates_nothing() {
    if cfg!(windows) {
        return suites::lacks("Windows has no SIGUSR1, which asks for the figures");
    }
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("small"), "a small file").unwrap();
    let root = folder.path().to_str().unwrap();
    let requests = "GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(16);
    let half = given(524_288);
    for (mode, request, answer) in [
        ("echo", "message".to_owned(), 7),
        (
            "lines",
            "line\r\n\r\nanother line\r\n".repeat(100),
            22 * 100,
        ),
        ("http", requests, 16 * hello("").len()),
        ("source", "GIVE 524288\r\n".into(), half.len()),
        (
            "files",
            get("/small").repeat(2),
            2 * file(b"a small file").len(),
        ),
        ("sink", "x".repeat(100_000), 0),
    ] {
        let mut server = Counted::start(mode, root);
        let mut client = connect(server.address);
        let address = server.address;
        let mut work = |times: usize| {
            for _ in 0..times {
                client.write_all(request.as_bytes()).unwrap();
                read(&client, answer);
            }
            if mode == "sink" {
                // Without answers it is the end of another connection that says how far the server is.
                converse(&connect(address), "");
            }
        };
        work(20);
        let [before, ..] = server.figures("USR1");
        work(200);
        let [after, ..] = server.figures("USR1");
        let other_connection = if mode == "sink" { 20 } else { 0 };
        assert!(
            after - before <= other_connection,
            "{mode}: {before} {after}"
        );
    }
}

#[test]
fn what_is_counted_is_counted_right() {
    if cfg!(windows) {
        return suites::lacks("Windows has no SIGUSR1, which asks for the figures");
    }
    let mut server = Counted::start("lines", ".");
    let [allocations, bytes, live] = server.figures("USR1");
    assert!(allocations > 0 && bytes >= live && live > 0);
    // Held until the lines are complete, which they never are. Afterwards 64 buffers are kept for the next lines.
    let clients: Vec<_> = (0..100).map(|_| connect(server.address)).collect();
    for mut client in &clients {
        client.write_all(&[b'x'; 15_000]).unwrap();
    }
    let [more, more_bytes, more_live] = eventually(|| {
        let figures = server.figures("USR1");
        (figures[2] > live + 1_500_000).then_some(figures)
    });
    assert!(more >= allocations + 100 && more_bytes >= bytes + 1_500_000);
    assert!(more_live < live + 10_000_000);
    drop(clients);
    eventually(|| (server.figures("USR1")[2] < more_live - 400_000).then_some(()));
    let [at_the_end, ..] = server.figures("TERM");
    assert!(at_the_end >= more);
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
}
