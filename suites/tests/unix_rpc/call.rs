//! The client, with the server and with others in its place.

use std::{
    io::{Read, Write},
    os::unix::net::UnixListener,
    process::Stdio,
    thread,
};

use crate::place::{END, Place};
use suites::{others::on_a_terminal, program::Program};

#[test]
fn values_come_one_a_line_and_an_error_is_an_exit_code() {
    let place = Place::new();
    let _server = place.serve(&[]);
    place.answers(
        &["echo", "a b", "", "--help", "-x", "ü"],
        &["a b", "", "--help", "-x", "ü"],
    );
    place.answers(&["--", "echo", "x"], &["x"]);
    let ended = place.call(&["get", "nothing"]);
    assert_eq!(
        (ended.code, ended.out().as_str(), ended.err.as_str()),
        (Some(1), "", "unix_rpc: there is no nothing\n")
    );
}

#[test]
fn a_value_on_a_terminal_is_text_and_in_a_pipe_as_it_was_set() {
    let place = Place::new();
    let _server = place.serve(&[]);
    let value = "a\x1b]0;title\x07\u{202e}b\tc";
    place.answers(&["set", "x", value], &[]);
    place.answers(&["get", "x"], &[value]);
    let socket = place.socket();
    let socket = socket.to_str().unwrap();
    let Some(shown) = on_a_terminal("unix_rpc", &["call", "--socket", socket, "get", "x"]) else {
        return;
    };
    assert_eq!(shown, "a\u{fffd}]0;title\u{fffd}\u{fffd}b\tc\r\n");
    // What is not there is quoted.
    let ended = place.call(&["get", "a\x1b[2Jb"]);
    assert_eq!(
        (ended.code, ended.err.as_str()),
        (Some(1), "unix_rpc: there is no a\u{fffd}[2Jb\n")
    );
}

#[test]
fn commands_are_read_from_standard_input_up_to_the_first_error() {
    let place = Place::new();
    let _server = place.serve(&[]);
    let mut command = place.command("call", &[]);
    command.stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut client = command.spawn().unwrap();
    let input = b"set a 1\n\n  get   a  \nget b\nset c 3\n";
    client.stdin.take().unwrap().write_all(input).unwrap();
    let output = client.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1\n");
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "unix_rpc: there is no b\n"
    );
    assert_eq!(output.status.code(), Some(1));
    place.answers(&["list"], &["a"]);
}

#[test]
fn no_server_is_an_error() {
    let place = Place::new();
    let failed = format!("unix_rpc: cannot connect to {}: ", place.socket().display());
    let ended = place.call(&["ping"]);
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.err.starts_with(&format!("{failed}No such file")),
        "{}",
        ended.err
    );
    place.leave_a_stale_socket();
    let ended = place.call(&["ping"]);
    assert_eq!(ended.code, Some(1));
    assert!(
        ended
            .err
            .starts_with(&format!("{failed}Connection refused")),
        "{}",
        ended.err
    );
}

/// What the client says to a server that answers a request with these bytes, and ends.
fn meets(answer: &[u8]) -> String {
    let place = Place::new();
    let listener = UnixListener::bind(place.socket()).unwrap();
    let ended = thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = vec![0; b"ping".len() + END.len()];
            stream.read_exact(&mut request).unwrap();
            assert_eq!(request, [b"ping", END].concat());
            // It may have seen enough of it before its end.
            let _ = stream.write_all(answer);
        });
        place.call(&["ping"])
    });
    assert_eq!((ended.code, ended.out().as_str()), (Some(1), ""));
    ended.err
}

#[test]
fn a_server_that_talks_nonsense_is_an_error() {
    let closed = "unix_rpc: the server closed the connection\n";
    assert_eq!(meets(b""), closed);
    assert_eq!(meets(b"ok pong\0\0<F2B_END_COMM"), closed);
    for nonsense in [&b"pong"[..], b"", b"\xff", b"error", b"ok %zz"] {
        let said = meets(&[nonsense, END].concat());
        let expected = ["not an answer", "not a list of strings"];
        assert!(
            expected
                .iter()
                .any(|what| said == format!("unix_rpc: {what}\n")),
            "{said}"
        );
    }
    let said = meets(&vec![b'x'; 5 << 20]);
    assert_eq!(said, "unix_rpc: the answer has more than 4194304 bytes\n");
}

#[test]
fn a_server_that_does_not_answer_is_given_up() {
    let place = Place::new();
    let _silent = UnixListener::bind(place.socket()).unwrap();
    let ended = Program::start(&mut place.command("call", &["--timeout", "0.2", "ping"])).ended();
    assert_eq!(
        (ended.code, ended.err.as_str()),
        (Some(1), "unix_rpc: no answer within 200ms\n")
    );
}

#[test]
fn an_answer_counts_though_the_server_keeps_the_connection_open() {
    let place = Place::new();
    let listener = UnixListener::bind(place.socket()).unwrap();
    let client = Program::start(&mut place.command("call", &["--timeout", "3", "ping"]));
    let (mut stream, _) = listener.accept().unwrap();
    let mut request = vec![0; b"ping".len() + END.len()];
    stream.read_exact(&mut request).unwrap();
    stream.write_all(&[b"ok pong", END].concat()).unwrap();
    let ended = client.ended();
    assert_eq!(
        (ended.code, ended.out().as_str(), ended.err.as_str()),
        (Some(0), "pong\n", "")
    );
    // The farewell has come all the same.
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, [b"<F2B_CLOSE_COMMAND>", END].concat());
}
