//! Clients that flood, that do not read, and that hold on: the server stays small and answers others.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use suites::{
    program::DEADLINE,
    victim::{Victim, within},
};

use crate::{client::Client, maildir::Maildir};

/// KiB that an attack may cost.
const MEMORY: u64 = 16 * 1024;

fn victim(maildir: &Maildir, args: &[&str]) -> Victim {
    let folder = maildir.path().to_str().unwrap();
    let own = ["--port", "0", "--maildir", folder, "--max-per-peer", "1000"];
    Victim::start("smtpd", &[&own, args].concat())
}

/// An honest client is served.
#[track_caller]
fn serves(to: SocketAddr) {
    let mut client = Client::connect(to);
    assert_eq!(client.send("honest").unwrap(), "250 OK");
    client.expect("QUIT", "221 Bye");
}

/// Writes until the server ends the connection or takes nothing any more, and gives what was written.
fn flood(stream: &mut TcpStream, block: &[u8], most: usize) -> usize {
    stream
        .set_write_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    let mut written = 0;
    while written < most {
        match stream.write(block) {
            Ok(n) => written += n,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    written
}

#[test]
fn a_message_without_an_end_is_cut() {
    let maildir = Maildir::new();
    let victim = victim(&maildir, &["--size", "1000000"]);
    serves(victim.address);
    let mark = victim.mark();
    let line = [b"x".repeat(998), b"\r\n".to_vec()].concat().repeat(60);
    for block in [line, vec![b'x'; 65_536], b"\r\n".repeat(30_000)] {
        let mut client = Client::connect(victim.address);
        client.begin().unwrap();
        let written = flood(&mut client.stream, &block, 100_000_000);
        assert!(written < 50_000_000, "{written} bytes were taken");
    }
    let cost = victim.since(&mark);
    assert!(cost.memory < MEMORY, "{cost:?}");
    serves(victim.address);
    victim.is_as_at(&mark);
    assert_eq!(maildir.count("tmp"), 0);
    victim.ends_well();
}

#[test]
fn a_line_without_an_end_costs_no_memory() {
    let maildir = Maildir::new();
    let victim = victim(&maildir, &["--session-timeout", "2"]);
    let mark = victim.mark();
    let mut client = Client::connect(victim.address);
    flood(&mut client.stream, &[b'x'; 65_536], 200_000_000);
    assert_eq!(client.reply().unwrap(), "500 Error: line too long");
    serves(victim.address);
    assert!(victim.since(&mark).memory < MEMORY);
    // However busy it is, the session has an end.
    let ended = within(Duration::from_secs(30), || {
        let _ = client.stream.write(&[b'x'; 65_536]);
        victim.descriptors() <= mark.descriptors
    });
    assert!(ended);
    victim.ends_well();
}

#[test]
fn clients_that_do_not_read_wait() {
    let maildir = Maildir::new();
    let victim = victim(&maildir, &[]);
    serves(victim.address);
    let mark = victim.mark();
    let mut clients: Vec<_> = (0..20).map(|_| Client::connect(victim.address)).collect();
    let help = b"HELP\r\n".repeat(10_000);
    for client in &mut clients {
        let written = flood(&mut client.stream, &help, 50_000_000);
        assert!(written < 50_000_000, "{written} bytes were taken");
    }
    serves(victim.address);
    let cost = victim.since(&mark);
    assert!(cost.memory < MEMORY, "{cost:?}");
    // Nobody is served, so nothing spins.
    let mark = victim.mark();
    assert!(within(DEADLINE, || victim.sleeps()));
    drop(clients);
    assert!(victim.since(&mark).memory < MEMORY);
    serves(victim.address);
    victim.ends_well();
}

#[test]
fn large_messages_of_many_clients_at_once_are_held_in_pieces() {
    let maildir = Maildir::new();
    let victim = victim(&maildir, &[]);
    serves(victim.address);
    let mark = victim.mark();
    let text = "0123456789abcdef\r\n".repeat(60_000);
    std::thread::scope(|scope| {
        for _ in 0..30 {
            let (text, to) = (&text, victim.address);
            scope.spawn(move || {
                let mut client = Client::connect(to);
                assert_eq!(client.send(text).unwrap(), "250 OK");
            });
        }
    });
    let cost = victim.since(&mark);
    assert!(cost.memory < MEMORY, "{cost:?}");
    assert_eq!(maildir.count("new"), 31);
    let length = text.len() - text.len() / 18 + 1;
    let whole = maildir.messages();
    let whole = whole.iter().filter(|message| message.len() > length);
    assert_eq!(whole.count(), 30);
    victim.ends_well();
}

#[test]
fn connections_past_the_limit_are_told_and_silent_ones_end() {
    let maildir = Maildir::new();
    let victim = victim(
        &maildir,
        &["--max-connections", "20", "--idle-timeout", "1"],
    );
    let mark = victim.mark();
    let mut silent: Vec<_> = (0..20).map(|_| Client::connect(victim.address)).collect();
    let mut refused = Client::silent(victim.address);
    let reply = refused.reply().unwrap();
    assert!(reply.ends_with(" Error: too many connections"), "{reply}");
    for client in &mut silent {
        assert_eq!(client.reply().unwrap(), "421 Error: timeout exceeded");
    }
    drop((silent, refused));
    serves(victim.address);
    victim.is_as_at(&mark);
    victim.ends_well();
}

#[test]
fn garbage_is_answered_and_then_cut() {
    let maildir = Maildir::new();
    let victim = victim(&maildir, &[]);
    let mark = victim.mark();
    let mut noise = Vec::new();
    let mut state = 1_u32;
    for _ in 0..200_000 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        noise.push((state >> 24) as u8);
    }
    for begin in [
        "",
        "EHLO x\r\n",
        "\x16\x03\x01\x02\0\x01",
        "GET / HTTP/1.1\r\n\r\n",
    ] {
        let mut client = Client::connect(victim.address);
        let lines = b"\xff\0\x1b[2J\r\n".repeat(100);
        let _ = client.stream.write_all(begin.as_bytes());
        let _ = client.stream.write_all(&noise);
        let _ = client.stream.write_all(&lines);
        let mut said = Vec::new();
        let _ = client.stream.read_to_end(&mut said);
        assert!(said.is_ascii() && !said.contains(&0x1b), "{said:?}");
    }
    serves(victim.address);
    assert!(victim.since(&mark).memory < MEMORY);
    assert_eq!(maildir.count("new"), 1);
    victim.ends_well();
}
