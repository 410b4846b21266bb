//! The program `unix_rpc`: its socket's file at start and end, what it answers on the wire, clients that misbehave, and
//! its own client.
// Once is enough: how the poller does is the subject of others.
#![cfg(all(unix, not(mio_unsupported_force_poll_poll)))]
#![allow(clippy::unwrap_used, reason = "the helpers of a test are part of it")]

use std::{
    fs,
    io::{Read, Write},
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        process::CommandExt,
    },
    process::{Command, Stdio},
    thread,
};

use place::{END, Place, asks, is_socket, list};
use suites::program::{self, Program, ends_well_when_terminated, eventually};

mod call;
mod clients;
mod place;

#[test]
fn requests_are_answered_on_the_wire() {
    let place = Place::new();
    let server = place.serve(&[]);
    let mut client = place.connect();
    for (request, answer) in [
        (&b"ping"[..], "ok pong"),
        (b"set a%20b %3CF2B_END_COMMAND%3E%00", "ok"),
        (b"get a%20b", "ok %3CF2B_END_COMMAND%3E%00"),
        (b"echo  x ", "ok  x "),
        (b"list", "ok a%20b"),
        (b"unset a%20b", "ok"),
        (b"get a%20b", "error there%20is%20no%20a%20b"),
    ] {
        let got = asks(&mut client, request);
        assert_eq!(got, answer, "{}", request.escape_ascii());
    }
    let all = [b"ping", END, b"<F2B_CLOSE_COMMAND>", END, b"ping", END].concat();
    client.write_all(&all).unwrap();
    assert_eq!(list(&mut client), "ok pong");
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    drop(client);
    ends_well_when_terminated(server);
}

#[test]
fn what_is_no_request_gets_an_error_and_the_connection_goes_on() {
    let place = Place::new();
    let _server = place.serve(&[]);
    let mut client = place.connect();
    let long = vec![b'x'; 200_000];
    let many = vec![b' '; 5000];
    let pickle = b"\x80\x05\x95\x0c\0\0\0\0\0\0\0]\x94\x8c\x04ping\x94a.";
    for bad in [
        &b""[..],
        b"\0",
        b"<F2B_END_COMMAND>",
        b"\xff\xfe",
        b"ping%",
        b"get",
        b"ping ping",
        pickle,
        &many,
        &long,
    ] {
        let answer = asks(&mut client, bad);
        let begin = &bad[..bad.len().min(20)];
        assert!(answer.starts_with("error "), "{begin:?}: {answer}");
    }
    assert_eq!(asks(&mut client, b"ping"), "ok pong");
}

#[test]
fn the_file_is_for_its_owner_only_whatever_the_umask() {
    let place = Place::new();
    let program = program::path("unix_rpc");
    let mut shell = Command::new("sh");
    let script = "umask 0; exec \"$0\" serve --socket \"$1\"";
    shell.args(["-c", script]).arg(program).arg(place.socket());
    let server = Program::start(&mut shell);
    server.line();
    let file = fs::symlink_metadata(place.socket()).unwrap();
    assert_eq!(file.permissions().mode() & 0o7777, 0o600);
    place.answers(&["ping"], &["pong"]);
}

#[test]
fn the_file_is_gone_when_the_server_has_ended() {
    for end in ["TERM", "INT", "stop"] {
        let place = Place::new();
        let server = place.serve(&[]);
        // Neither who is connected nor who is in the middle of something holds it up for longer than the grace.
        let idle = place.connect();
        let mut halfway = place.connect();
        halfway.write_all(b"half a req").unwrap();
        if end == "stop" {
            place.answers(&["stop"], &[]);
        } else {
            server.signal(end);
        }
        let ended = server.ended();
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{end}");
        assert!(!place.socket().exists());
        assert_eq!((&idle).read(&mut [0]).unwrap(), 0);
        // Nothing else is left either.
        assert_eq!(fs::read_dir(place.directory.path()).unwrap().count(), 0);
    }
}

#[test]
fn a_stale_socket_is_in_the_way_unless_forced() {
    let place = Place::new();
    let server = place.serve(&[]);
    server.signal("KILL");
    assert_eq!(server.ended().code, None);
    let why = "a server that did not end properly has left its socket; --force removes it";
    place.cannot_serve(&[], why);
    assert!(is_socket(&place.socket()));
    let server = place.serve(&["--force"]);
    place.answers(&["ping"], &["pong"]);
    server.signal("TERM");
    let ended = server.ended();
    let said = format!("removing the stale socket {}\n", place.socket().display());
    assert_eq!((ended.code, ended.err.lines().count()), (Some(0), 1));
    assert!(ended.err.ends_with(&said), "{}", ended.err);
    assert!(!place.socket().exists());
}

#[test]
fn a_server_that_lives_keeps_its_socket() {
    let place = Place::new();
    let server = place.serve(&[]);
    place.answers(&["set", "here", "first"], &[]);
    for args in [&[][..], &["--force"]] {
        place.cannot_serve(args, "a server is running there");
        place.answers(&["get", "here"], &["first"]);
    }
    ends_well_when_terminated(server);
}

/// Elsewhere a full backlog refuses, which cannot be told from a dead server.
#[test]
#[cfg(target_os = "linux")]
fn a_server_that_hangs_keeps_its_socket_too() {
    use socket2::{Domain, SockAddr, Socket, Type};

    let place = Place::new();
    let server = place.serve(&[]);
    server.signal("STOP");
    // A thread that still runs would make room in the backlog again.
    eventually(|| {
        let tasks = fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
        let mut states = tasks.map(|task| fs::read_to_string(task.unwrap().path().join("status")));
        let stopped = |status: std::io::Result<String>| status.unwrap().contains("State:\tT");
        states.all(stopped).then_some(())
    });
    let address = SockAddr::unix(place.socket()).unwrap();
    let mut waiting = Vec::new();
    let full = (0..2000).find_map(|_| {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        let error = socket.connect(&address).err();
        waiting.push(socket);
        error
    });
    assert_eq!(full.unwrap().kind(), std::io::ErrorKind::WouldBlock);
    place.cannot_serve(&["--force"], "a server is running there");
    // A client waits for a place in the backlog as it waits for an answer.
    let ended = Program::start(&mut place.command("call", &["--timeout", "0.2", "ping"])).ended();
    assert_eq!(
        (ended.code, ended.err.as_str()),
        (Some(1), "unix_rpc: no answer within 200ms\n")
    );
    drop(waiting);
    server.signal("CONT");
    // The backlog is full until the server has run for a moment.
    eventually(|| (place.call(&["ping"]).code == Some(0)).then_some(()));
}

/// `serve >/dev/full`, for one.
#[test]
#[cfg(target_os = "linux")]
fn the_file_is_gone_when_the_server_fails_behind_its_start() {
    let place = Place::new();
    let mut command = place.command("serve", &[]);
    let full = fs::OpenOptions::new().write(true).open("/dev/full");
    command.stdout(full.unwrap());
    let output = command.stderr(Stdio::piped()).output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(
        err.starts_with("unix_rpc: No space left on device"),
        "{err}"
    );
    assert!(!place.socket().exists());
}

/// Where the test is run by root, whom no mode stops, somebody else starts the server.
#[test]
fn a_directory_that_cannot_be_locked_is_named_as_the_reason() {
    let place = Place::new();
    let directory = place.directory.path();
    fs::set_permissions(directory, fs::Permissions::from_mode(0o733)).unwrap();
    let mut command = place.command("serve", &[]);
    if fs::metadata(directory).unwrap().uid() == 0 {
        command.uid(65534).gid(65534);
    } else {
        fs::set_permissions(directory, fs::Permissions::from_mode(0o333)).unwrap();
    }
    let started = command.stderr(Stdio::piped()).output();
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).unwrap();
    let output = match started {
        Ok(output) => output,
        Err(error) => {
            suites::skip(format_args!("nobody may not run the program: {error}"));
            return;
        }
    };
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{err}");
    let why = "the directory has to be readable, to be locked: Permission denied";
    assert!(err.contains(why), "{err}");
    assert!(!place.socket().exists());
}

#[test]
fn what_is_no_socket_is_not_touched() {
    let place = Place::new();
    for args in [&[][..], &["--force"]] {
        fs::write(place.socket(), "precious").unwrap();
        place.cannot_serve(args, "what is there is no socket");
        assert_eq!(fs::read_to_string(place.socket()).unwrap(), "precious");
    }
    // Nor what a symbolic link leads to.
    let elsewhere = Place::new();
    elsewhere.leave_a_stale_socket();
    fs::remove_file(place.socket()).unwrap();
    std::os::unix::fs::symlink(elsewhere.socket(), place.socket()).unwrap();
    place.cannot_serve(&["--force"], "what is there is no socket");
    assert!(is_socket(&elsewhere.socket()));
}

#[test]
fn of_many_that_are_forced_at_once_one_serves() {
    let place = Place::new();
    for _ in 0..5 {
        place.leave_a_stale_socket();
        let starting: Vec<Program> = (0..6)
            .map(|_| Program::start(&mut place.command("serve", &["--force"])))
            .collect();
        // Whoever loses ends; the one that answers to `stop` is the one that has won.
        eventually(|| (place.call(&["ping"]).code == Some(0)).then_some(()));
        let others: Vec<_> = thread::scope(|scope| {
            let ends: Vec<_> = starting
                .into_iter()
                .map(|program| scope.spawn(|| program.ended().code))
                .collect();
            eventually(|| {
                let ended = ends.iter().filter(|end| end.is_finished()).count();
                assert!(ended < 6, "nobody serves");
                (ended == 5).then_some(())
            });
            place.answers(&["ping"], &["pong"]);
            place.answers(&["stop"], &[]);
            ends.into_iter().map(|end| end.join().unwrap()).collect()
        });
        let mut codes: Vec<_> = others.into_iter().flatten().collect();
        codes.sort_unstable();
        assert_eq!(codes, [0, 1, 1, 1, 1, 1]);
        assert!(!place.socket().exists());
    }
}

#[test]
fn another_s_file_is_not_removed_at_the_end() {
    let place = Place::new();
    let first = place.serve(&[]);
    fs::remove_file(place.socket()).unwrap();
    let second = place.serve(&[]);
    ends_well_when_terminated(first);
    place.answers(&["ping"], &["pong"]);
    ends_well_when_terminated(second);
    assert!(!place.socket().exists());
}
