//! Clients that misbehave, and the others beside them.

use std::{
    io::{ErrorKind, Read, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use crate::place::{END, Place, asks, list};
use suites::program::{DEADLINE, ends_well_when_terminated, eventually};

#[test]
#[cfg(target_os = "linux")]
fn an_endless_request_costs_no_memory() {
    let place = Place::new();
    let server = place.serve(&[]);
    let mut client = place.connect();
    assert_eq!(asks(&mut client, b"ping"), "ok pong");
    let before = server.memory("VmHWM");
    let block = [b'x'; 65536];
    for _ in 0..1000 {
        client.write_all(&block).unwrap();
    }
    let answer = asks(&mut client, b"");
    assert_eq!(
        answer,
        "error a%20request%20has%20at%20most%2065536%20bytes"
    );
    let after = server.memory("VmHWM");
    // What an emulator translates counts too; the request has 64 MiB.
    let bound = if util::SLOW { 16 } else { 2 } * 1024;
    assert!(
        after < before + bound,
        "{before} KiB before, {after} KiB after"
    );
}

#[test]
#[cfg(target_os = "linux")]
fn clients_that_do_not_read_cost_bounded_memory_and_hold_up_nobody() {
    let place = Place::new();
    let server = place.serve(&[]);
    let mut other = place.connect();
    assert_eq!(asks(&mut other, b"ping"), "ok pong");
    let before = server.memory("VmHWM");
    let request = [b"echo ", &[b'x'; 60_000][..], END].concat();
    let stuck: Vec<_> = (0..8)
        .map(|_| {
            let client = place.connect();
            // Until the server has stopped reading: nothing can be written for a while.
            let patience = Duration::from_millis(500);
            client.set_write_timeout(Some(patience)).unwrap();
            let mut sent = 0;
            let error = loop {
                match (&client).write_all(&request) {
                    Ok(()) => sent += request.len(),
                    Err(error) => break error,
                }
                assert!(sent < 64 << 20, "the server goes on reading");
            };
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            assert_eq!(asks(&mut other, b"ping"), "ok pong");
            client
        })
        .collect();
    let after = server.memory("VmHWM");
    assert!(
        after < before + 8 * 1024,
        "{before} KiB before, {after} KiB after"
    );
    drop(stuck);
    ends_well_when_terminated(server);
}

#[test]
fn who_reads_late_gets_every_answer() {
    const REQUESTS: usize = 200;
    let place = Place::new();
    let _server = place.serve(&[]);
    let mut client = place.connect();
    let sender = client.try_clone().unwrap();
    let value = "x".repeat(50_000);
    let request = [format!("echo {value}").as_bytes(), END].concat();
    thread::scope(|scope| {
        let sent = scope.spawn(|| {
            for _ in 0..REQUESTS {
                (&sender).write_all(&request).unwrap();
            }
        });
        // What is sent does not fit: the sender waits for this side to read.
        thread::yield_now();
        for _ in 0..REQUESTS {
            let mut answer = vec![0; "ok ".len() + value.len() + END.len()];
            client.read_exact(&mut answer).unwrap();
            assert!(answer.starts_with(b"ok xx") && answer.ends_with(END));
        }
        sent.join().unwrap();
    });
}

#[test]
fn clients_that_vanish_harm_nobody() {
    let place = Place::new();
    let server = place.serve(&[]);
    let mut other = place.connect();
    for round in 0..100 {
        let client = place.connect();
        let end: [&[u8]; 4] = [b"", b"half a req", b"echo x\0\0<F2B_END_C", &[]];
        (&client).write_all(end[round % 4]).unwrap();
        if round % 4 == 3 {
            // Answers that nobody will read.
            for _ in 0..10 {
                (&client).write_all(&[b"list", END].concat()).unwrap();
            }
        }
        if round % 2 == 0 {
            client.shutdown(Shutdown::Both).unwrap();
        }
        drop(client);
        assert_eq!(asks(&mut other, b"ping"), "ok pong");
    }
    ends_well_when_terminated(server);
}

#[test]
fn more_clients_than_are_served_at_a_time_wait() {
    let place = Place::new();
    let _server = place.serve(&[]);
    let mut served: Vec<UnixStream> = (0..64)
        .map(|_| {
            let mut client = place.connect();
            assert_eq!(asks(&mut client, b"ping"), "ok pong");
            client
        })
        .collect();
    let mut waiting = place.connect();
    waiting.write_all(&[b"ping", END].concat()).unwrap();
    waiting
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    assert_eq!(
        waiting.read(&mut [0]).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
    served.truncate(32);
    waiting.set_read_timeout(Some(DEADLINE)).unwrap();
    assert_eq!(list(&mut waiting), "ok pong");
    assert_eq!(asks(&mut served[0], b"ping"), "ok pong");
}

/// The other side of the wire in another language, with all values at once.
#[test]
fn a_client_in_python_is_understood() {
    const CLIENT: &str = r#"
import socket, sys
from urllib.parse import quote, unquote
END = b"\0\0<F2B_END_COMMAND>\0\0"
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
def call(*strings):
    s.sendall(" ".join(quote(x, safe="-_.:/").replace("~", "%7E") for x in strings).encode() + END)
    got = b""
    while not got.endswith(END):
        got += s.recv(512)
    return [unquote(x) for x in got[:-len(END)].decode().split(" ")]
value = "".join(map(chr, range(0x100))) + "\u20ac\U0001f40d~" + END.decode()
assert call("set", "all of it", value) == ["ok"]
assert call("get", "all of it") == ["ok", value]
assert call("list") == ["ok", "all of it"]
assert call("nonsense")[0] == "error"
s.sendall(b"<F2B_CLOSE_COMMAND>" + END)
assert s.recv(1) == b""
print("understood")
"#;
    let place = Place::new();
    let _server = place.serve(&[]);
    let mut python = Command::new("python3");
    python.args(["-c", CLIENT]).arg(place.socket());
    let Ok(output) = python.stderr(Stdio::inherit()).output() else {
        suites::skip(format_args!("no python3"));
        return;
    };
    assert_eq!(String::from_utf8_lossy(&output.stdout), "understood\n");
}

#[test]
fn full_is_full_for_all_connections_together() {
    let place = Place::new();
    let _server = place.serve(&[]);
    let value = vec![b'x'; 60_000];
    let mut stored = 0;
    eventually(|| {
        let mut client = place.connect();
        let name = format!("name-{stored}");
        let request = [b"set ", name.as_bytes(), b" ", &value].concat();
        let answer = asks(&mut client, &request);
        stored += usize::from(answer == "ok");
        answer.starts_with("error there%20is%20room").then_some(())
    });
    assert_eq!(stored, 4);
    place.answers(&["unset", "name-0"], &[]);
    place.answers(&["set", "short", "x"], &[]);
}
