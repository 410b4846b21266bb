//! The program `sharing`, with players on plain blocking sockets: nobody is dropped for what others send (R14), and
//! what is posted from thread to thread does not pile up (R21).
// Once is enough: how the poller does is the subject of others.
#![cfg(not(mio_unsupported_force_poll_poll))]
#![allow(clippy::unwrap_used, reason = "the helpers of a test are part of it")]

#[cfg(unix)]
use std::thread::{self, JoinHandle};
use std::{
    io::{BufRead, BufReader, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use suites::program::{DEADLINE, Program, ends_well_when_terminated, serve};

fn sharing(way: &str) -> (Program, SocketAddr) {
    serve("sharing", &[way, "127.0.0.1:0"])
}

struct Player {
    name: String,
    lines: BufReader<TcpStream>,
}

impl Player {
    #[track_caller]
    fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            name: stream.local_addr().unwrap().to_string(),
            lines: BufReader::new(stream),
        }
    }

    /// One who is there, and has `points`.
    #[track_caller]
    fn join(address: SocketAddr, points: i64) -> Self {
        let mut player = Self::connect(address);
        player.says(&points.to_string());
        let told = player.told(points);
        player.waits_for(&told);
        player
    }

    fn says(&self, line: &str) {
        let mut stream = self.lines.get_ref();
        stream.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    fn told(&self, points: i64) -> String {
        format!("{} has {points}", self.name)
    }

    #[track_caller]
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.strip_suffix('\n')
            .unwrap_or_else(|| panic!("dropped, after {line:?}"))
            .to_owned()
    }

    /// Reads whatever the others have, up to a line.
    #[track_caller]
    fn waits_for(&mut self, expected: &str) {
        while self.line() != expected {}
    }
}

/// Sends as much as is taken, and reads all there is, until it is stopped or dropped. Not on Windows, where a write that waits
/// is not woken when another thread shuts the socket down.
#[cfg(unix)]
struct Flooder {
    stream: TcpStream,
    threads: [JoinHandle<()>; 2],
}

#[cfg(unix)]
impl Flooder {
    fn start(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        let (mut sends, mut reads) = (stream.try_clone().unwrap(), stream.try_clone().unwrap());
        let writer = thread::spawn(move || {
            let much = b"1\n".repeat(32 * 1024);
            while sends.write_all(&much).is_ok() {}
        });
        let reader = thread::spawn(move || {
            let mut buffer = [0; 64 * 1024];
            while matches!(std::io::Read::read(&mut reads, &mut buffer), Ok(1..)) {}
        });
        Self {
            stream,
            threads: [writer, reader],
        }
    }

    fn stop(self) {
        // The server may have been first.
        let _ = self.stream.shutdown(Shutdown::Both);
        for thread in self.threads {
            thread.join().unwrap();
        }
    }
}

#[test]
fn everybody_reads_a_score_in_every_way_of_sharing() {
    for way in ["ids", "with", "shared", "messages"] {
        let (server, address) = sharing(way);
        let mut ann = Player::join(address, 5);
        let mut bob = Player::join(address, 1);
        ann.says("7");
        let told = ann.told(12);
        ann.waits_for(&told);
        bob.waits_for(&told);
        bob.says("quit");
        assert_eq!(bob.lines.read_line(&mut String::new()).unwrap(), 0, "{way}");
        ends_well_when_terminated(server);
    }
}

#[test]
fn alone_a_player_reads_its_own_score_only() {
    let (server, address) = sharing("alone");
    let ann = Player::connect(address);
    let mut bob = Player::connect(address);
    ann.says("5");
    bob.says("7\nx");
    assert_eq!(
        [bob.line(), bob.line()],
        ["7".to_owned(), "x is not a number".to_owned()]
    );
    ends_well_when_terminated(server);
}

#[cfg(unix)]
#[test]
fn who_reads_is_not_dropped_for_what_several_others_send() {
    for way in ["ids", "with", "shared", "messages"] {
        let (server, address) = sharing(way);
        let mut honest = [1, 2, 3].map(|points| Player::join(address, points));
        let flooders: Vec<_> = (0..5).map(|_| Flooder::start(address)).collect();
        // All of them have said what they may in two windows.
        let mut full = 0;
        while full < flooders.len() {
            full += usize::from(honest[0].line().ends_with(" has 40"));
        }
        honest[1].says("100");
        let told = honest[1].told(102);
        for player in &mut honest {
            player.waits_for(&told);
        }
        for flooder in flooders {
            flooder.stop();
        }
        ends_well_when_terminated(server);
    }
}

#[test]
fn a_burst_is_taken_in_a_few_lines_at_a_time_and_none_is_lost() {
    let (_server, address) = sharing("shared");
    let mut reader = Player::join(address, 1);
    let sender = Player::connect(address);
    sender.says(&["1"; 50].join("\n"));
    // The end of file does not overtake what waits.
    sender.lines.get_ref().shutdown(Shutdown::Write).unwrap();
    let begun = Instant::now();
    for score in 1..=50 {
        assert_eq!(reader.line(), sender.told(score));
    }
    // 20 in a window of 2 s, and the third one is begun.
    assert!(begun.elapsed() > Duration::from_secs(2));
}

#[cfg(unix)]
#[test]
fn who_is_held_back_holds_up_nobody_who_comes() {
    let (_server, address) = sharing("messages");
    let flooders: Vec<_> = (0..3).map(|_| Flooder::start(address)).collect();
    for points in 1..=20 {
        Player::join(address, points);
    }
    for flooder in flooders {
        flooder.stop();
    }
}

/// Five seconds of as much as can be sent: without a bound that is far more than what is allowed to stay.
#[cfg(target_os = "linux")]
#[test]
fn what_players_send_without_a_pause_does_not_pile_up_between_threads() {
    let (server, address) = sharing("messages");
    let mut ann = Player::join(address, 1);
    let before = server.memory("VmHWM");
    let flooders: Vec<_> = (0..3).map(|_| Flooder::start(address)).collect();
    let end = Instant::now() + Duration::from_secs(5);
    while Instant::now() < end {
        ann.line();
    }
    let grown = server.memory("VmHWM").saturating_sub(before);
    assert!(grown < 16 * 1024, "{grown} KiB");
    let begun = Instant::now();
    ends_well_when_terminated(server);
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
    for flooder in flooders {
        flooder.stop();
    }
}
