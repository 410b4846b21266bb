//! Programs of others: found in PATH, or skipped with a line; run with a deadline; started as servers.

#[cfg(target_os = "linux")]
use std::mem;
#[cfg(not(target_os = "linux"))]
use std::net::TcpListener;
use std::{
    env::consts::EXE_SUFFIX,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};
#[cfg(unix)]
use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
};

#[cfg(unix)]
use rustix::process::{Pid, Signal, kill_process_group};
#[cfg(target_os = "linux")]
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

use crate::program::{self, DEADLINE, within};

/// `None`, and a line that says so, where it is not installed.
pub fn tool(name: &str) -> Option<Command> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    // A user's PATH may lack the folders of the servers.
    let folders =
        std::env::split_paths(&paths).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    let found = folders
        .map(|folder| folder.join(format!("{name}{EXE_SUFFIX}")))
        .find(|file| file.is_file());
    if found.is_none() {
        crate::missing(name);
    }
    Some(Command::new(found?))
}

/// Python with the package tlslite-ng, which `.ci/setup` puts into the target directory.
pub fn python_with_tlslite() -> Option<Command> {
    python_with("tlslite")
}

/// Python with a module that `.ci/setup` puts into the target directory. `None`, and a line that says so, where it is not.
pub fn python_with(module: &str) -> Option<Command> {
    let mut python = tool("python3")?;
    python
        .env("PYTHONPATH", packages())
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let mut probe = Command::new(python.get_program());
    probe
        .env("PYTHONPATH", packages())
        .args(["-W", "ignore", "-c", &format!("import {module}")]);
    let probe = probe.stderr(Stdio::null()).status();
    if !probe.is_ok_and(|status| status.success()) {
        crate::missing(format_args!("{module} for python3"));
        return None;
    }
    Some(python)
}

/// Where `.ci/setup` installs packages of Python: `TARGET/python`.
fn packages() -> PathBuf {
    beside_target("python").unwrap_or_default()
}

/// A folder of the target directory that `.ci/setup` fills.
fn beside_target(name: &str) -> Option<PathBuf> {
    let test = std::env::current_exe().unwrap();
    let mut folders = test.ancestors().map(|above| above.join(name));
    folders.find(|folder| folder.is_dir())
}

/// A package of Debian's that `.ci/setup` has unpacked to `TARGET/peers/NAME`, because servers of one protocol exclude each
/// other as installed packages. `None`, and a line that says so, where it is not.
pub fn unpacked(package: &str) -> Option<Unpacked> {
    let root = beside_target("peers").map(|peers| peers.join(package));
    // Wine shows the programs of the system below it, and starts them as processes that nobody can wait for.
    let root = root.filter(|root| !cfg!(windows) && root.is_dir());
    if root.is_none() {
        crate::missing(package);
    }
    root.map(Unpacked)
}

/// Whether the tests run as root. Windows has none.
pub fn is_root() -> bool {
    #[cfg(unix)]
    let root = rustix::process::geteuid().is_root();
    #[cfg(not(unix))]
    let root = false;
    root
}

/// Sets who may read and write, for servers that run as another user. Nothing on Windows.
pub fn set_mode(path: &Path, mode: u32) {
    #[cfg(unix)]
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    #[cfg(not(unix))]
    let _ = (path, mode);
}

/// Its top folder stands for `/`.
pub struct Unpacked(PathBuf);

impl Unpacked {
    pub fn path(&self, inside: &str) -> PathBuf {
        self.0.join(inside)
    }

    pub fn command(&self, inside: &str) -> Command {
        Command::new(self.path(inside))
    }
}

/// What a program said on both its streams, in the order in which it came, and its exit code; `None`: it was ended after
/// the deadline, or by a signal.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub all: String,
}

/// Runs a program with this input, and then the end of it.
#[track_caller]
pub fn run(command: &mut Command, input: &[u8]) -> Said {
    run_within(DEADLINE, command, input)
}

/// The same with another deadline.
#[track_caller]
pub fn run_within(deadline: Duration, command: &mut Command, input: &[u8]) -> Said {
    let mut talk = Talk::start(command);
    talk.say(input);
    talk.end_within(deadline)
}

/// What an example program shows on a terminal, if there is a Python to open one with.
pub fn on_a_terminal(program: &str, args: &[&str]) -> Option<String> {
    let script = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)";
    let output = tool("python3")?
        .args(["-c", script])
        .arg(program::path(program))
        .args(args)
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A program that a test talks with.
pub struct Talk {
    child: Child,
    stdin: Option<ChildStdin>,
    said: Arc<Mutex<Vec<u8>>>,
    readers: Vec<thread::JoinHandle<()>>,
    what: String,
}

impl Talk {
    pub fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = Arc::default();
        let readers = vec![
            collect(child.stdout.take().unwrap(), Arc::clone(&said)),
            collect(child.stderr.take().unwrap(), Arc::clone(&said)),
        ];
        Self {
            stdin: child.stdin.take(),
            child,
            said,
            readers,
            what: format!("{command:?}"),
        }
    }

    pub fn say(&mut self, input: &[u8]) {
        // The program may have ended.
        let _ = self.stdin.as_mut().unwrap().write_all(input);
    }

    pub fn all(&self) -> String {
        String::from_utf8_lossy(&self.said.lock().unwrap()).into_owned()
    }

    /// Waits until it has said this, or has ended without.
    #[track_caller]
    pub fn hears(&self, text: &str) {
        let came = || memchr::memmem::find(&self.said.lock().unwrap(), text.as_bytes()).is_some();
        let ended = || self.readers.iter().all(thread::JoinHandle::is_finished);
        within(DEADLINE, || came() || ended());
        assert!(came(), "{}: no {text:?} in {}", self.what, self.all());
    }

    /// Ends its input, and waits for it.
    pub fn end(self) -> Said {
        self.end_within(DEADLINE)
    }

    fn end_within(mut self, deadline: Duration) -> Said {
        self.stdin = None;
        let mut status = None;
        within(deadline, || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        if status.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        Said {
            code: status.and_then(|status| status.code()),
            all: self.all(),
        }
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(
    mut from: impl Read + Send + 'static,
    into: Arc<Mutex<Vec<u8>>>,
) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut part = [0; 16_384];
        while let Ok(n @ 1..) = from.read(&mut part) {
            into.lock().unwrap().extend_from_slice(&part[..n]);
        }
    })
}

/// A server of others and all that it started, killed when dropped.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
    log: PathBuf,
    /// Its files: configuration, log, and what it keeps.
    folder: TempDir,
}

impl Server {
    /// Starts it and waits until the address takes connections.
    #[track_caller]
    pub fn start(command: &mut Command, address: SocketAddr) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), command, address)
    }

    /// The same, with a folder that the command uses.
    #[track_caller]
    pub fn start_in(folder: TempDir, command: &mut Command, address: SocketAddr) -> Self {
        let log = folder.path().join("output");
        let output = std::fs::File::create(&log).unwrap();
        #[cfg(unix)]
        command.process_group(0);
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        let mut server = Self {
            child,
            address,
            log,
            folder,
        };
        let listens = within(DEADLINE, || {
            let ended = server.child.try_wait().unwrap();
            let said = server.log();
            assert!(ended.is_none(), "{command:?} ends: {ended:?}, {said}");
            is_listened_on(address)
        });
        let said = server.log();
        assert!(listens, "{command:?} does not listen on {address}: {said}");
        server
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What it has written to its standard output and error.
    pub fn log(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Some(group) = Pid::from_raw(self.child.id().cast_signed()) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        #[cfg(not(unix))]
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether a TCP socket of this machine listens on the port, for connections of the address's family. No connection is made: a
/// server that takes one client, or that logs each, would have met one more. Where there is no /proc, one is made.
pub fn is_listened_on(address: SocketAddr) -> bool {
    if !cfg!(target_os = "linux") {
        return TcpStream::connect(address).is_ok();
    }
    // A server that listens on both families has two sockets, one after the other.
    let table = match address {
        SocketAddr::V4(_) => "/proc/net/tcp",
        SocketAddr::V6(_) => "/proc/net/tcp6",
    };
    let port = format!(":{:04X}", address.port());
    let text = std::fs::read_to_string(table).unwrap_or_default();
    // "  0: 0100007F:1F90 00000000:0000 0A": the state 0A is LISTEN.
    text.lines().any(|line| {
        let fields: Vec<_> = line.split_whitespace().take(4).collect();
        matches!(fields.as_slice(), [_, local, _, "0A"] if local.ends_with(&port))
    })
}

/// A port that is free, for programs that cannot choose one themselves.
#[cfg(target_os = "linux")]
pub fn free_address() -> SocketAddr {
    // Bound until this process ends: Linux gives the port to nobody who asks for any port, such as another test's server while
    // this one's starts. A server that asks for this port with SO_REUSEADDR, as servers do, gets it, because nothing listens here.
    let holder = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    holder.set_reuse_address(true).unwrap();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    holder.bind(&any.into()).unwrap();
    let address = holder.local_addr().unwrap();
    mem::forget(holder);
    address.as_socket().unwrap()
}

/// A port that is free now, for programs that cannot choose one themselves.
#[cfg(not(target_os = "linux"))]
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}
