//! Files, the programs that serve them, and `http_client` that fetches them and is held to account for every byte.

use std::{
    fs,
    net::SocketAddr,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::namespace::children_cpu;
use suites::program::{self, Ended, Program, eventually};

pub const SMALL: &str = "small";
pub const BIG: &str = "big";
/// Fetched at once.
pub const PARTS: usize = 8;

/// Bytes that tell their place.
pub fn pattern(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

/// What is served.
pub struct Site {
    root: TempDir,
}

impl Site {
    /// With a big file of so many bytes.
    pub fn new(big: usize) -> Self {
        let root = TempDir::new().unwrap();
        let site = Self { root };
        site.add(SMALL, &pattern(1, 900));
        site.add(BIG, &pattern(2, big));
        for part in 0..PARTS {
            site.add(&format!("part{part}"), &pattern(3, 10_000 + 7_000 * part));
        }
        site
    }

    fn add(&self, name: &str, content: &[u8]) {
        fs::write(self.root.path().join(name), content).unwrap();
    }

    pub fn content(&self, name: &str) -> Vec<u8> {
        fs::read(self.root.path().join(name)).unwrap()
    }

    fn path(&self) -> &str {
        self.root.path().to_str().unwrap()
    }

    /// `http_server`, which gives up on a silent client after so many seconds.
    pub fn http_server(&self, port: u16, patience: u32) -> Server {
        let (port, patience) = (port.to_string(), patience.to_string());
        let args = ["--quiet", "--root", self.path(), "--port", &port];
        Server::start(
            "http_server",
            &[&args[..], &["--idle-timeout", &patience]].concat(),
        )
    }

    /// `bench_server files`: the files are sent by the system.
    pub fn files_server(&self) -> Server {
        Server::start("bench_server", &["files", "0", self.path()])
    }

    /// Fetches one file and compares it: all of it, and nothing said.
    #[track_caller]
    pub fn whole(&self, address: SocketAddr, name: &str, timeout: u32) -> Duration {
        let fetched = fetch(address, name, timeout);
        let told = (fetched.code, fetched.error.as_str());
        assert_eq!(told, (Some(0), ""), "{name} from {address}");
        assert!(
            fetched.saved == self.content(name),
            "{name} from {address} is not the same"
        );
        fetched.took
    }

    /// Fetches the parts at once.
    #[track_caller]
    pub fn all_parts(&self, address: SocketAddr, timeout: u32) -> Duration {
        let begin = Instant::now();
        let urls: Vec<_> = (0..PARTS)
            .map(|part| format!("http://{address}/part{part}"))
            .collect();
        let ended = Program::start(&mut client(&urls, timeout)).ended();
        assert_eq!(
            (ended.code, ended.err.as_str()),
            (Some(0), ""),
            "{}",
            ended.out()
        );
        for (part, url) in urls.iter().enumerate() {
            let told = format!("{url}: {} bytes in body", 10_000 + 7_000 * part);
            assert!(
                ended.out().lines().any(|line| line == told),
                "{told} in {}",
                ended.out()
            );
        }
        begin.elapsed()
    }

    /// A small file, a big one and several at once.
    #[track_caller]
    pub fn everything(&self, what: &str, address: SocketAddr, timeout: u32) {
        let small = self.whole(address, SMALL, timeout);
        let big = self.whole(address, BIG, timeout);
        let length = self.content(BIG).len();
        let parts = self.all_parts(address, timeout);
        println!(
            "{what}: small {small:.1?}, {length} bytes {big:.1?}, {PARTS} at once {parts:.1?}"
        );
    }
}

pub fn client(urls: &[String], timeout: u32) -> std::process::Command {
    let mut client = program::example("http_client");
    client.args(["--timeout", &timeout.to_string()]).args(urls);
    client
}

/// What came of a download.
#[derive(Debug)]
pub struct Fetched {
    pub code: Option<i32>,
    /// What the client said, without its name and the URL.
    pub error: String,
    pub saved: Vec<u8>,
    pub took: Duration,
}

impl Fetched {
    /// Holds a failed download against what was to come: exit code 1, one line that says `how` and how much is
    /// missing, and saved is exactly what it says.
    #[track_caller]
    pub fn is_cut(&self, how: &str, content: &[u8]) {
        let (got, all) = (self.saved.len(), content.len());
        let told = format!("{how} after {got} of {all} bytes of the body");
        assert!(
            self.error.starts_with(&told),
            "{:?} instead of {told:?}",
            self.error
        );
        assert!(
            content.starts_with(&self.saved) && got < all,
            "{got} bytes saved are not the first ones"
        );
        self.failed(&self.error);
    }

    #[track_caller]
    pub fn failed(&self, error: &str) {
        assert_eq!((self.code, self.error.as_str()), (Some(1), error));
        println!("{error} ({:.1?})", self.took);
    }
}

/// A download under way.
pub struct Download {
    program: Program,
    url: String,
    folder: TempDir,
    begin: Instant,
    cpu: Duration,
}

impl Download {
    pub fn start(address: SocketAddr, name: &str, timeout: u32) -> Self {
        let folder = TempDir::new().unwrap();
        let url = format!("http://{address}/{name}");
        let mut client = client(std::slice::from_ref(&url), timeout);
        // Not by name: the file would be gone if the download fails.
        client.args(["-o", "-"]);
        let saved = fs::File::create(folder.path().join("saved")).unwrap();
        Self {
            begin: Instant::now(),
            cpu: children_cpu(),
            program: Program::start_into(&mut client, saved),
            url,
            folder,
        }
    }

    fn length(&self) -> u64 {
        fs::metadata(self.folder.path().join("saved")).map_or(0, |data| data.len())
    }

    /// Waits until something has been saved.
    #[track_caller]
    pub fn begun(self) -> Self {
        let stat = format!("/proc/{}/stat", self.program.pid());
        let ended = || fs::read_to_string(&stat).unwrap().contains(") Z ");
        eventually(|| (self.length() > 0 || ended()).then_some(()));
        if self.length() == 0 {
            panic!("{:?}", self.ended());
        }
        self
    }

    /// It does nothing but wait.
    #[track_caller]
    pub fn waits(self) -> Self {
        rests(self.program.pid());
        self
    }

    pub fn signal(&self, name: &str) {
        self.program.signal(name);
    }

    #[track_caller]
    pub fn ended(self) -> Fetched {
        let ended = self.program.ended();
        let used = children_cpu() - self.cpu;
        assert!(
            used < Duration::from_secs(1),
            "the client used {used:?} of processor time"
        );
        // Behind what it says of the answer.
        let last = ended.err.lines().last().unwrap_or_default();
        let error = match ended.code {
            Some(0) => "",
            _ => last
                .strip_prefix(&format!("http_client: {}: ", self.url))
                .unwrap_or(&ended.err),
        };
        Fetched {
            code: ended.code,
            error: error.trim_end().to_owned(),
            saved: fs::read(self.folder.path().join("saved")).unwrap_or_default(),
            took: self.begin.elapsed(),
        }
    }
}

/// Waits until the program sleeps, and goes on sleeping for a while. One that spins may not get the processor for that
/// long either, but it is waiting for it.
#[track_caller]
fn rests(pid: u32) {
    let read = |what: &str| fs::read_to_string(format!("/proc/{pid}/{what}")).unwrap();
    let (mut before, mut since) = (String::new(), Instant::now());
    eventually(|| {
        // Nanoseconds on the processor, and times it was put there.
        let runs = read("schedstat");
        let stat = read("stat");
        assert!(!stat.contains(") Z "), "it has ended without a rest");
        if runs != before || stat.contains(") R ") {
            (before, since) = (runs, Instant::now());
        }
        (since.elapsed() > Duration::from_millis(20)).then_some(())
    });
}

pub fn fetch(address: SocketAddr, name: &str, timeout: u32) -> Fetched {
    Download::start(address, name, timeout).ended()
}

/// A server of the examples, and what it had open before anybody came.
pub struct Server {
    pub address: SocketAddr,
    program: Program,
    descriptors: usize,
}

impl Server {
    pub fn start(name: &str, args: &[&str]) -> Self {
        let (program, address) = program::serve(name, args);
        let mut server = Self {
            address,
            descriptors: 0,
            program,
        };
        // It says that it is ready before its loop opens the last of what it needs.
        rests(server.program.pid());
        server.descriptors = server.open();
        server
    }

    fn open(&self) -> usize {
        let folder = format!("/proc/{}/fd", self.program.pid());
        fs::read_dir(folder).unwrap().count()
    }

    /// Somebody is connected.
    #[track_caller]
    pub fn is_busy(&self) {
        eventually(|| (self.open() > self.descriptors).then_some(()));
    }

    pub fn signal(&self, name: &str) {
        self.program.signal(name);
    }

    /// It does nothing, whoever is connected.
    #[track_caller]
    pub fn waits(&self) {
        rests(self.program.pid());
    }

    /// All connections have gone, with all that was open for them, and it does nothing.
    #[track_caller]
    pub fn is_idle(&self) {
        eventually(|| (self.open() == self.descriptors).then_some(()));
        rests(self.program.pid());
    }

    /// That it ever took, in KiB.
    pub fn most_memory(&self) -> u64 {
        self.program.memory("VmHWM")
    }

    /// It is idle, and ends as it should, having said nothing.
    #[track_caller]
    pub fn ends_as_before(self) {
        self.is_idle();
        self.program.signal("TERM");
        let Ended { code, err, .. } = self.program.ended();
        // A proxy says which server it could not reach.
        let other = err
            .lines()
            .find(|line| !line.contains(": connection failed: "));
        assert_eq!((code, other), (Some(0), None));
    }
}
