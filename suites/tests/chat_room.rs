//! The program `chat_room`, with several members on plain blocking sockets: names, broadcasts, slow readers, members
//! that leave at bad moments.

#![allow(clippy::unwrap_used, reason = "the helpers of a test are part of it")]

use std::{
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use socket2::SockRef;
use suites::program::{DEADLINE, Program, ends_well_when_terminated, is_timeout, serve};

fn room() -> (Program, SocketAddr) {
    serve("chat_room", &["--port", "0"])
}

/// Where nobody is held back.
fn fast_room() -> (Program, SocketAddr) {
    serve("chat_room", &["--port", "0", "--rate", "1000000"])
}

struct Member {
    lines: BufReader<TcpStream>,
}

impl Member {
    /// Connects; not in the room before it has said its name.
    #[track_caller]
    fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut member = Self {
            lines: BufReader::new(stream),
        };
        member.hears("* Your name?");
        member
    }

    #[track_caller]
    fn join(address: SocketAddr, name: &str, others: &str) -> Self {
        let mut member = Self::connect(address);
        member.says(name);
        member.hears(&format!("* In the room: {others}"));
        member
    }

    fn stream(&self) -> &TcpStream {
        self.lines.get_ref()
    }

    #[track_caller]
    fn says(&self, line: &str) {
        self.stream()
            .write_all(format!("{line}\n").as_bytes())
            .unwrap();
    }

    #[track_caller]
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.strip_suffix('\n')
            .unwrap_or_else(|| panic!("cut: {line:?}"))
            .to_owned()
    }

    #[track_caller]
    fn hears(&mut self, expected: &str) {
        assert_eq!(self.line(), expected);
    }

    fn reset(self) {
        SockRef::from(self.stream())
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    }
}

#[test]
fn a_line_is_heard_by_everybody_else() {
    let (server, address) = room();
    let mut ann = Member::join(address, "Ann", "");
    let mut bob = Member::join(address, "Bob", "Ann");
    ann.hears("* Bob joins");
    let mut eve = Member::join(address, "Eve", "Ann, Bob");
    ann.hears("* Eve joins");
    bob.hears("* Eve joins");
    ann.says("hello");
    bob.hears("Ann: hello");
    eve.hears("Ann: hello");
    bob.says("hi Ann");
    // Her own line does not come back to her: this is the next she hears.
    ann.hears("Bob: hi Ann");
    eve.hears("Bob: hi Ann");
    drop(eve);
    ann.hears("* Eve leaves");
    bob.hears("* Eve leaves");
    ends_well_when_terminated(server);
}

#[test]
fn lines_are_found_however_they_are_cut_and_ended() {
    let (_server, address) = room();
    let mut ann = Member::join(address, "Ann", "");
    let bob = Member::connect(address);
    for byte in b"Bob\r\nfirst\nsecond\r\n\n\r\n" {
        bob.stream().write_all(&[*byte]).unwrap();
    }
    bob.says("third\nfourth");
    ann.hears("* Bob joins");
    for word in ["first", "second", "third", "fourth"] {
        ann.hears(&format!("Bob: {word}"));
    }
}

#[test]
fn names_are_checked() {
    let (_server, address) = room();
    let mut ann = Member::join(address, "Ann", "");
    let mut bob = Member::connect(address);
    for name in [
        "",
        "   ",
        "\u{7}",
        "\u{3164}",
        "a.name.of.21.letters.",
        "Ann: hello",
        "* Ann",
        "two words",
        "B\u{1b}[31mob",
        "a\u{a0}b",
    ] {
        bob.says(name);
        bob.hears("* A name has 1 to 20 letters, digits, - _ and dots. Your name?");
    }
    for name in [
        "Ann",
        "ANN",
        " ann ",
        "A\u{200b}nn",
        "\u{202e}Ann",
        "Ann\u{2069}",
        "\u{feff}Ann",
        "Ann\u{3164}",
        "Ann\u{ffa0}",
    ] {
        bob.says(name);
        bob.hears("* That name is taken. Your name?");
    }
    bob.says("Bob");
    bob.hears("* In the room: Ann");
    ann.hears("* Bob joins");
    // A name is free again once its bearer has left.
    drop(ann);
    bob.hears("* Ann leaves");
    let _ann = Member::join(address, "Ann", "Bob");
    bob.hears("* Ann joins");
}

#[test]
fn a_name_may_have_any_letters_and_is_taken_in_every_case() {
    let (_server, address) = room();
    for name in ["Zoë-2_b.c", "Straße", "李", "twenty.letters.long."] {
        let mut bearer = Member::join(address, name, "");
        let mut other = Member::connect(address);
        for same in [name.to_uppercase(), name.to_lowercase()] {
            other.says(&same);
            other.hears("* That name is taken. Your name?");
        }
        drop(other);
        bearer.stream().shutdown(Shutdown::Write).unwrap();
        let mut rest = String::new();
        bearer.lines.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
    }
}

#[test]
fn who_has_not_said_a_name_hears_nothing_and_is_not_heard_of() {
    let (_server, address) = room();
    let mut ann = Member::join(address, "Ann", "");
    let mut stranger = Member::connect(address);
    ann.says("secret");
    drop(Member::connect(address));
    let mut bob = Member::join(address, "Bob", "Ann");
    stranger.says("Eve");
    stranger.hears("* In the room: Ann, Bob");
    ann.hears("* Bob joins");
    ann.hears("* Eve joins");
    bob.hears("* Eve joins");
}

#[test]
fn control_characters_do_not_reach_the_others() {
    let (_server, address) = room();
    let mut ann = Member::join(address, "Ann", "");
    let bob = Member::join(address, "B\u{1b}ob", "Ann");
    ann.hears("* Bob joins");
    bob.stream()
        .write_all(b"\x1b[2Ja\x00\x07\xff\xc2\x9bb\tc\n")
        .unwrap();
    ann.hears("Bob: [2Ja\u{fffd}bc");
}

#[test]
fn invisible_characters_do_not_reach_the_others() {
    let (_server, address) = room();
    let mut ann = Member::join(address, "Ann", "");
    let bob = Member::join(address, "Bob", "Ann");
    ann.hears("* Bob joins");
    for c in [0x61c, 0x2028, 0x2029, 0x3164, 0xfeff]
        .into_iter()
        .chain(0x200b..=0x200f)
        .chain(0x202a..=0x202e)
        .chain(0x2060..=0x2069)
        .filter_map(char::from_u32)
    {
        bob.says(&format!("{c}a{c}b{c}"));
        ann.hears("Bob: ab");
    }
    // Their neighbours are what they are.
    bob.says("\u{2010}\u{2027}\u{202f}\u{205f}x\u{301}");
    ann.hears("Bob: \u{2010}\u{2027}\u{202f}\u{205f}x\u{301}");
}

#[test]
fn too_long_a_line_is_dropped_and_the_next_is_heard() {
    let (_server, address) = room();
    let mut ann = Member::join(address, "Ann", "");
    let mut bob = Member::join(address, "Bob", "Ann");
    ann.hears("* Bob joins");
    bob.says(&"x".repeat(100_000));
    bob.hears("* A line has at most 1024 bytes.");
    bob.says(&"y".repeat(1024));
    bob.says(&"z".repeat(1025));
    bob.hears("* A line has at most 1024 bytes.");
    bob.says("short");
    ann.hears(&format!("Bob: {}", "y".repeat(1024)));
    ann.hears("Bob: short");
}

#[test]
fn an_endless_line_costs_no_memory() {
    let (server, address) = room();
    let mut ann = Member::join(address, "Ann", "");
    let before = server.memory("VmHWM");
    let block = [b'x'; 65536];
    for _ in 0..1000 {
        ann.stream().write_all(&block).unwrap();
    }
    ann.says("");
    ann.hears("* A line has at most 1024 bytes.");
    let after = server.memory("VmHWM");
    assert!(
        after < before + 2048,
        "{before} KiB before, {after} KiB after"
    );
}

#[test]
fn a_reader_that_is_too_slow_is_dropped_and_the_others_miss_nothing() {
    const LINES: usize = 10_000;
    let (server, address) = fast_room();
    let mut ann = Member::join(address, "Ann", "");
    let mut slow = Member::join(address, "Slow", "Ann");
    ann.hears("* Slow joins");
    let bob = Member::join(address, "Bob", "Ann, Slow");
    ann.hears("* Bob joins");
    slow.hears("* Bob joins");
    let before = server.memory("VmHWM");
    let mut dropped = false;
    let text = "x".repeat(990);
    for begin in (0..LINES).step_by(100) {
        // In step with Ann, so that only Slow is slow.
        let block: String = (begin..begin + 100)
            .map(|n| format!("{n} {text}\n"))
            .collect();
        bob.stream().write_all(block.as_bytes()).unwrap();
        for n in begin..begin + 100 {
            let mut line = ann.line();
            if line == "* Slow leaves: it reads too slowly" {
                assert!(!dropped);
                dropped = true;
                line = ann.line();
            }
            assert_eq!(line, format!("Bob: {n} {text}"));
        }
    }
    assert!(dropped, "10 MB fitted into the buffers of sockets");
    let after = server.memory("VmHWM");
    assert!(
        after < before + 4096,
        "{before} KiB before, {after} KiB after"
    );
    // What was on its way is still there, then its connection ends.
    let mut rest = Vec::new();
    match slow.lines.read_to_end(&mut rest) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
    assert!(rest.len() < LINES * 1000);
}

#[test]
fn a_member_that_leaves_in_the_middle_of_a_broadcast_harms_nobody() {
    let (server, address) = fast_room();
    let mut ann = Member::join(address, "Ann", "");
    let bob = Member::join(address, "Bob", "Ann");
    ann.hears("* Bob joins");
    for round in 0..50 {
        let guests: Vec<_> = (0..4)
            .map(|n| {
                let guest = Member::connect(address);
                guest.says(&format!("guest-{n}"));
                guest
            })
            .collect();
        let mut joined = 0;
        while joined < guests.len() {
            let line = ann.line();
            assert!(line.ends_with(" joins"), "{line}");
            joined += 1;
        }
        // They go while Bob is talking, each in its own way: by reset, at once, by half-close, and mid-line.
        thread::scope(|scope| {
            scope.spawn(|| {
                for n in 0..50 {
                    bob.says(&format!("{round}.{n}"));
                }
            });
            for (n, guest) in guests.into_iter().enumerate() {
                match n {
                    0 => guest.reset(),
                    1 => drop(guest),
                    2 => guest.stream().shutdown(Shutdown::Write).unwrap(),
                    _ => {
                        let _ = guest.stream().write_all(b"half a li");
                    }
                }
            }
        });
        let mut heard = 0;
        let mut left = 0;
        while (heard, left) != (50, 4) {
            let line = ann.line();
            if line == format!("Bob: {round}.{heard}") {
                heard += 1;
            } else {
                assert!(
                    line.starts_with("* guest-") && line.ends_with(" leaves"),
                    "{line}"
                );
                left += 1;
            }
        }
    }
    ends_well_when_terminated(server);
}

#[test]
fn a_full_room_lets_the_next_one_in_when_somebody_leaves() {
    let (_server, address) = serve("chat_room", &["--port", "0", "--max-members", "2"]);
    let mut ann = Member::join(address, "Ann", "");
    let bob = Member::join(address, "Bob", "Ann");
    ann.hears("* Bob joins");
    let waiting = TcpStream::connect(address).unwrap();
    waiting
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    let nothing = (&waiting).read(&mut [0]).unwrap_err();
    assert!(is_timeout(&nothing), "{nothing}");
    drop(bob);
    ann.hears("* Bob leaves");
    waiting.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut lines = BufReader::new(waiting);
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    assert_eq!(line, "* Your name?\n");
}

#[test]
fn a_terminated_room_ends_its_connections() {
    let (server, address) = room();
    let mut ann = Member::join(address, "Ann", "");
    server.signal("INT");
    let mut rest = String::new();
    ann.lines.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "");
    drop(ann);
    let ended = server.ended();
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
}
