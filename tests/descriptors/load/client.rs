//! The other process: it opens connections, does with them what it is told in lines on its standard input, and answers
//! each line when that is done. It knows every byte it is to get; at the first wrong one it panics.

use std::{
    env,
    io::{self, BufRead, BufReader, ErrorKind, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream},
    os::{fd::AsFd, unix::net::UnixStream},
    process::{Child, Command, Stdio},
    time::Duration,
};

use socket2::{Domain, SockRef, Socket, Type};
use util::{peer::pair, process::this_binary};

const SERVER: &str = "ASYNCHAT_TEST_LOAD_SERVER";
/// The ports of one source address are not enough for all connections and those just closed.
const SOURCES: usize = 64;
/// Far longer than anything that is only late.
const PATIENCE: Duration = Duration::from_secs(60);
/// What each connection of a flood says at once.
const FIRST_WORDS: usize = 100;

/// Does not outlive a test that fails.
pub(super) struct Process(pub(super) Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already, unless the test failed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts it: this binary once more, with the same test. What comes back is the other end of its standard input.
pub(super) fn start(test: &str, server: SocketAddr) -> (Process, UnixStream) {
    let (here, there) = pair();
    let mut words = this_binary().into_iter();
    let child = Command::new(words.next().unwrap())
        .args(words)
        .args(["--exact", "--nocapture", test])
        .env(SERVER, server.to_string())
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(there)))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    (Process(child), here)
}

/// In the other process: does its work to the end and answers true. Elsewhere false.
pub(super) fn works_here() -> bool {
    let Ok(server) = env::var(SERVER) else {
        return false;
    };
    let control = UnixStream::from(io::stdin().as_fd().try_clone_to_owned().unwrap());
    let mut client = Client {
        server: server.parse().unwrap(),
        opened: 0,
        idle: Vec::new(),
        busy: Vec::new(),
        flood: Vec::new(),
    };
    for order in BufReader::new(&control).lines() {
        let order = order.unwrap();
        client.obey(&order);
        let said: usize = client.busy.iter().map(|talk| talk.said).sum();
        writeln!(&control, "{said}").unwrap();
    }
    true
}

/// Every place of every connection looks different, so that a byte lost, doubled or given to another shows.
fn byte(number: usize, at: usize) -> u8 {
    let place = (number * 7919 + at + 1) as u64;
    let mixed = place.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> 56) as u8
}

/// A connection and how far it is.
struct Talk {
    stream: TcpStream,
    number: usize,
    said: usize,
    heard: usize,
}

impl Talk {
    fn say(&mut self, length: usize) {
        let from = self.said;
        let words: Vec<_> = (from..from + length)
            .map(|at| byte(self.number, at))
            .collect();
        self.stream.write_all(&words).unwrap();
        self.said += length;
    }

    /// Waits for what is missing of the answers so far.
    fn hear(&mut self) {
        let mut words = vec![0; self.said - self.heard];
        self.stream
            .read_exact(&mut words)
            .unwrap_or_else(|error| panic!("connection {}: {error}", self.number));
        for (at, &heard) in (self.heard..).zip(&words) {
            assert_eq!(
                heard,
                byte(self.number, at),
                "connection {}, byte {at}",
                self.number
            );
        }
        self.heard = self.said;
    }

    fn reset(self) {
        SockRef::from(&self.stream)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    }
}

struct Client {
    server: SocketAddr,
    opened: usize,
    idle: Vec<Talk>,
    busy: Vec<Talk>,
    flood: Vec<Talk>,
}

impl Client {
    fn open(&mut self) -> Talk {
        let number = self.opened;
        self.opened += 1;
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let source = Ipv4Addr::new(127, 0, 0, 2 + (number % SOURCES) as u8);
        socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
        socket
            .connect(&self.server.into())
            .unwrap_or_else(|error| panic!("connection {number}: {error}"));
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Talk {
            stream,
            number,
            said: 0,
            heard: 0,
        }
    }

    fn obey(&mut self, order: &str) {
        let (what, number) = order.split_once(' ').unwrap_or((order, "0"));
        let number: usize = number.parse().unwrap();
        match what {
            "idle" => {
                for _ in 0..number {
                    let talk = self.open();
                    self.idle.push(talk);
                }
            }
            "busy" => {
                for _ in 0..number {
                    let talk = self.open();
                    self.busy.push(talk);
                }
            }
            "flood" => {
                for _ in 0..number {
                    let mut talk = self.open();
                    talk.say(FIRST_WORDS);
                    self.flood.push(talk);
                }
            }
            "talk" => (0..number).for_each(|round| self.talk(round)),
            "churn" => self.churn(number),
            "silence" => self.idle.iter().for_each(silence),
            "wake" => {
                self.idle.iter_mut().for_each(|talk| talk.say(10));
                self.idle.iter_mut().for_each(Talk::hear);
            }
            // In their order: each makes room for a later one.
            "served" => {
                for mut talk in self.flood.drain(..) {
                    talk.hear();
                }
            }
            "vanish" => self.flood.drain(..).for_each(Talk::reset),
            "leave" => {
                for talk in self.idle.drain(..).chain(self.busy.drain(..)) {
                    if talk.number % 2 == 0 {
                        talk.reset();
                    }
                }
            }
            _ => panic!("no such order: {order}"),
        }
    }

    /// A message of each busy one, and its answer, all at once.
    fn talk(&mut self, round: usize) {
        for (n, talk) in self.busy.iter_mut().enumerate() {
            talk.say(1 + (n * 997 + round * 4999) % 5000);
        }
        self.busy.iter_mut().for_each(Talk::hear);
    }

    /// So many come, and leave in every way, while the busy ones talk.
    fn churn(&mut self, number: usize) {
        let mut strangers: Vec<_> = (0..number).map(|_| self.open()).collect();
        for stranger in &mut strangers {
            if stranger.number % 6 < 4 {
                stranger.say(1 + stranger.number % 3000);
            }
        }
        self.talk(strangers[0].number);
        for mut stranger in strangers {
            match stranger.number % 6 {
                // Its answer, then an end of file.
                0 => stranger.hear(),
                // An end of file, then its answer and one.
                1 => {
                    stranger.stream.shutdown(Shutdown::Write).unwrap();
                    stranger.hear();
                    assert_eq!(stranger.stream.read(&mut [0]).unwrap(), 0);
                }
                // An answer in the kernel that is not read: the system makes a reset of that.
                2 => _ = stranger.stream.peek(&mut [0]).unwrap(),
                3 | 4 => stranger.reset(),
                // Not a word.
                _ => {}
            }
        }
    }
}

fn silence(talk: &Talk) {
    talk.stream.set_nonblocking(true).unwrap();
    let heard = (&talk.stream).read(&mut [0]);
    assert!(
        matches!(&heard, Err(error) if error.kind() == ErrorKind::WouldBlock),
        "connection {} said nothing and got {heard:?}",
        talk.number
    );
    talk.stream.set_nonblocking(false).unwrap();
}
