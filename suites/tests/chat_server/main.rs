//! The program `chat_server`: users on plain sockets, who talk, command, flood, read too slowly and vanish, and the
//! operator on the monitor's port.
// Once is enough: how the poller does is the subject of others.
#![cfg(not(mio_unsupported_force_poll_poll))]
#![allow(clippy::unwrap_used, reason = "the helpers of a test are part of it")]

#[cfg(target_os = "linux")]
use std::io::Read;
use std::{
    io::Write,
    net::{Shutdown, TcpStream},
};

use socket2::{Domain, Socket, Type};
use suites::errors::no_such_file;
#[cfg(target_os = "linux")]
use suites::program::DEADLINE;
use suites::program::{ends_well_when_terminated, run, serve};
use user::User;

mod monitor;
mod user;

#[test]
fn users_talk_and_command() {
    let (server, address) = serve("chat_server", &["--port", "0"]);
    let mut ann = User::enter(address, "ann");
    let mut bob = User::connect(address);
    for nick in [
        "",
        "ANN",
        "a b",
        "*",
        "[ann]",
        "ann:",
        "\u{441}at",
        "a-nick-of-21-letters_",
    ] {
        bob.says(nick);
        let line = bob.line();
        assert!(line.ends_with("Your nick?"), "{nick}: {line}");
    }
    bob.says("Bob_2");
    bob.hears("*** Hello, Bob_2. Others: 1; try /who");
    ann.hears("*** Bob_2 joined");
    ann.says("hello\r");
    ann.says("");
    ann.says("/me waves");
    ann.says("/MSG bob_2 for  your eyes");
    // The nick it has already: nobody is told.
    ann.says("/nick ann");
    ann.says("/nick Eve");
    for line in [
        "ann: hello",
        "* ann waves",
        "[ann] for  your eyes",
        "*** ann is now Eve",
    ] {
        bob.hears(line);
    }
    for line in [
        "* ann waves",
        "*** You are now ann.",
        "*** You are now Eve.",
    ] {
        ann.hears(line);
    }
    bob.says("/who");
    bob.hears("*** Here: Eve Bob_2");
    bob.says("/msg ann hi");
    bob.hears("*** Nobody here is called ann.");
    bob.says("/cmd_quit");
    bob.hears("*** There is no /cmd_quit; try /help");
    bob.says("/help");
    let help: Vec<_> = (0..6).map(|_| bob.line()).collect();
    for name in ["/help", "/me", "/msg", "/nick", "/quit", "/who"] {
        let is_there = help
            .iter()
            .any(|line| line.starts_with(&format!("*** {name}")));
        assert!(is_there, "{name}: {help:?}");
    }
    bob.says("/quit for good\nnot heard");
    bob.hears("*** Goodbye.");
    bob.hears_the_end();
    ann.hears("*** Bob_2 left: for good");
    drop(bob);
    ends_well_when_terminated(server);
}

#[test]
fn whoever_vanishes_has_left() {
    let (server, address) = serve("chat_server", &["--port", "0"]);
    let mut ann = User::enter(address, "ann");
    for round in 0..20 {
        let bob = User::enter(address, "bob");
        ann.hears("*** bob joined");
        match round % 4 {
            0 => bob.resets(),
            1 => drop(bob),
            2 => bob.stream().shutdown(Shutdown::Write).unwrap(),
            _ => {
                bob.stream().write_all(b"half a li").unwrap();
                drop(bob);
            }
        }
        ann.hears("*** bob left");
    }
    // Who never was in is not heard of.
    drop(User::connect(address));
    User::connect(address).resets();
    let mut eve = User::enter(address, "eve");
    ann.hears("*** eve joined");
    eve.says("/who");
    eve.hears("*** Here: ann eve");
    ends_well_when_terminated(server);
}

#[test]
fn bad_bytes_do_not_reach_the_others() {
    let (_server, address) = serve("chat_server", &["--port", "0"]);
    let mut ann = User::enter(address, "ann");
    let mut bob = User::enter(address, "bob");
    ann.hears("*** bob joined");
    let bad = "\0a\x1b[2J\u{7f}\u{9b}\u{202e}b\u{2028}\r*** c\n";
    bob.stream().write_all(bad.as_bytes()).unwrap();
    ann.hears("bob: a[2Jb*** c");
    bob.stream().write_all(b"\xff\xc3(\n").unwrap();
    ann.hears("bob: \u{fffd}\u{fffd}(");
    bob.stream().write_all(b"/me \x1b]0;title\x07\n").unwrap();
    ann.hears("* bob ]0;title");
    bob.hears("* bob ]0;title");
    bob.says(&"x".repeat(1025));
    bob.hears("*** A line has at most 1024 bytes.");
    bob.says(&"y".repeat(1024));
    ann.hears(&format!("bob: {}", "y".repeat(1024)));
}

#[test]
#[cfg(target_os = "linux")]
fn an_endless_line_costs_no_memory() {
    let (server, address) = serve("chat_server", &["--port", "0"]);
    let mut ann = User::enter(address, "ann");
    let before = server.memory("VmHWM");
    let block = [b'x'; 65536];
    for _ in 0..1000 {
        ann.stream().write_all(&block).unwrap();
    }
    ann.says("");
    ann.hears("*** A line has at most 1024 bytes.");
    let after = server.memory("VmHWM");
    assert!(
        after < before + 2048,
        "{before} KiB before, {after} KiB after"
    );
}

#[test]
fn a_flood_of_lines_is_heard_bit_by_bit_and_holds_up_nobody() {
    const FLOOD: usize = 70;
    let (_server, address) = serve("chat_server", &["--port", "0"]);
    let mut ann = User::enter(address, "ann");
    let eve = User::enter(address, "eve");
    ann.hears("*** eve joined");
    let lines: String = (0..FLOOD).map(|n| format!("{n}\n")).collect();
    eve.stream().write_all(lines.as_bytes()).unwrap();
    ann.hears("eve: 0");
    ann.says("/who");
    // The answer comes before the end of the flood, which needs more than a window of 20 lines.
    let mut heard = 1;
    loop {
        let line = ann.line();
        if line == "*** Here: ann eve" {
            break;
        }
        assert_eq!(line, format!("eve: {heard}"));
        heard += 1;
    }
    assert!(heard < FLOOD, "the whole flood came first");
    for n in heard..FLOOD {
        ann.hears(&format!("eve: {n}"));
    }
}

#[test]
fn a_reader_that_is_too_slow_is_dropped_and_the_others_miss_nothing() {
    let (_server, address) = serve("chat_server", &["--port", "0", "--max-outgoing", "20000"]);
    let mut ann = User::enter(address, "ann");
    // With a small window the server's end fills up soon.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(1).unwrap();
    socket.connect(&address.into()).unwrap();
    let slow = User::new(socket.into());
    slow.says("slow");
    ann.hears("*** slow joined");
    let text = "x".repeat(1000);
    let mut left = false;
    for n in 0..1000 {
        let talker = User::enter(address, "talker");
        for line in 0..15 {
            talker.says(&format!("{n}.{line} {text}"));
        }
        talker.says("/quit");
        let said = (0..15).map(|line| format!("talker: {n}.{line} {text}"));
        let mut expected = ["*** talker joined".to_owned()]
            .into_iter()
            .chain(said)
            .chain(["*** talker left".to_owned()]);
        let mut next = expected.next();
        while let Some(wanted) = &next {
            let line = ann.line();
            if line == "*** slow left (reads too slowly)" {
                assert!(!left);
                left = true;
                continue;
            }
            assert_eq!(&line, wanted);
            next = expected.next();
        }
        if left {
            ann.says("/who");
            ann.hears("*** Here: ann");
            return;
        }
    }
    panic!("15 MB fitted into the buffers of sockets");
}

#[test]
#[cfg(target_os = "linux")]
fn strangers_in_crowds_make_room_for_each_other_and_nobody_else() {
    let (server, address) = serve("chat_server", &["--port", "0", "--max-users", "5"]);
    let mut ann = User::enter(address, "ann");
    let before = server.memory("VmHWM");
    let mut strangers: Vec<_> = (0..1000)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    let bob = User::enter(address, "bob");
    ann.hears("*** bob joined");
    // Those who had to go have been told nothing more.
    let mut first = strangers.remove(0);
    first.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut told = String::new();
    let _ = first.read_to_string(&mut told);
    assert_eq!(told.replace("*** Your nick?\r\n", ""), "");
    let after = server.memory("VmHWM");
    assert!(
        after < before + 4096,
        "{before} KiB before, {after} KiB after"
    );
    bob.says("still here");
    ann.hears("bob: still here");
}

#[test]
fn a_full_room_says_so() {
    let (_server, address) = serve("chat_server", &["--port", "0", "--max-users", "2"]);
    let mut ann = User::enter(address, "ann");
    let bob = User::enter(address, "bob");
    ann.hears("*** bob joined");
    for _ in 0..50 {
        let mut refused = User::new(TcpStream::connect(address).unwrap());
        refused.hears("*** The room is full.");
        refused.hears_the_end();
    }
    // Not even their own ends have to be closed for the next to be served.
    bob.says("/quit");
    ann.hears("*** bob left");
    let eve = User::enter(address, "eve");
    ann.hears("*** eve joined");
    eve.says("hi");
    ann.hears("eve: hi");
}

#[test]
fn a_terminated_server_ends_its_connections() {
    for signal in ["TERM", "INT"] {
        let (server, address) = serve("chat_server", &["--port", "0"]);
        let mut ann = User::enter(address, "ann");
        let stranger = TcpStream::connect(address).unwrap();
        server.signal(signal);
        ann.hears_the_end();
        let ended = server.ended();
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
        drop(stranger);
    }
}

#[test]
fn without_a_password_there_is_no_monitor() {
    let (server, _) = serve("chat_server", &["--port", "0", "--monitor-port", "0"]);
    server.signal("TERM");
    assert_eq!(server.ended().out().lines().count(), 1);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("password");
    let name = file.to_str().unwrap();
    for (text, why) in [
        (None, no_such_file().as_str()),
        (Some(""), "no password in its first line"),
        (Some("\nsecret\n"), "no password in its first line"),
    ] {
        if let Some(text) = text {
            std::fs::write(&file, text).unwrap();
        }
        let ended = run("chat_server", &["--port", "0", "--password-file", name]);
        assert_eq!(ended.code, Some(1));
        assert!(ended.err.contains(why), "{}", ended.err);
        assert_eq!(ended.err.lines().count(), 1);
    }
}

#[test]
fn a_port_that_is_taken_is_an_error() {
    let (_server, address) = serve("chat_server", &["--port", "0"]);
    let ended = run("chat_server", &["--port", &address.port().to_string()]);
    assert_eq!(ended.code, Some(1));
    let begin = format!("chat_server: cannot listen on {address}: ");
    assert!(ended.err.starts_with(&begin), "{}", ended.err);
}
