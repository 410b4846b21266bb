//! A page's commands, run one after the other as a reader would: a server stays until another one needs its port.

use std::{
    collections::BTreeMap,
    env,
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener},
    path::Path,
    process::{self, ChildStdout, Stdio},
    sync::mpsc::channel,
    thread,
};

use crate::{
    likeness::{is_exactly, is_like},
    options, root,
    shell::Command,
};
use suites::program::{self, DEADLINE, Ended, Program, example};

/// Examples that end by themselves; all others serve.
const CLIENTS: [&str; 3] = ["fetch", "http_client", "time_client"];
/// Set where the ports are nobody else's.
const OWN_NETWORK: &str = "ASYNCHAT_DOCUMENTS_OWN_NETWORK";
/// Brings the loopback up and becomes the test.
const ENTER: &str = "ip link set lo up && exec \"$0\" \"$@\"";

/// Runs the calling test once more, in a network namespace; false where there is none to be had, or where this is it.
pub fn again_in_a_network_of_its_own(test: &str) -> bool {
    if env::var_os(OWN_NETWORK).is_some() {
        return false;
    }
    let inside = |args: &[&str]| {
        let mut unshare = process::Command::new("unshare");
        unshare.args(["--map-root-user", "--net", "sh", "-c", ENTER]);
        unshare.args(args).env(OWN_NETWORK, "1");
        unshare.envs([program::built()]);
        unshare
    };
    let probe = inside(&["true"]).stderr(Stdio::null()).status();
    if !probe.is_ok_and(|status| status.success()) {
        eprintln!("no network namespace: the host's ports are used");
        return false;
    }
    let program = env::current_exe().unwrap();
    let args = [program.to_str().unwrap(), "--exact", test, "--nocapture"];
    let output = inside(&args).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    eprintln!("{text}");
    assert!(output.status.success(), "it failed in the namespace");
    assert!(text.contains("1 passed"), "{test} is not the test's name");
    true
}

struct Server {
    name: String,
    program: Program,
    command: Command,
    /// Lines of its log that the page shows below later commands.
    log: Vec<String>,
}

impl Server {
    fn is_logging(&self) -> bool {
        let mut variables = self.command.variables.iter();
        variables.any(|(name, _)| name == "RUST_LOG")
    }
}

pub fn play(commands: &[Command]) {
    // For sockets and certificates; gone when the last server is.
    let scratch = tempfile::tempdir().unwrap();
    let scratch = scratch.path();
    let mut servers: BTreeMap<Place, Server> = BTreeMap::new();
    for command in commands {
        eprintln!("{}: $ {}", command.at, command.text);
        match command.name().as_str() {
            "cargo run" => {
                let name = command.values("--example").next();
                let name = name.unwrap_or_else(|| panic!("{}: which example?", command.at));
                let args = arguments(command);
                if CLIENTS.contains(&name) || args.first().is_some_and(|way| way == "call") {
                    let ended = start(name, command, scratch).ended();
                    assert_eq!(
                        (ended.code, ended.err.as_str()),
                        (Some(0), ""),
                        "{}",
                        command.at
                    );
                    agrees(command, &ended.out().lines().collect::<Vec<_>>());
                    continue;
                }
                let place =
                    place(name, &args).unwrap_or_else(|| panic!("{}: on which port?", command.at));
                if let Some(server) = servers.remove(&place) {
                    stop(server);
                }
                if let Place::Port(port) = place
                    && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_err()
                {
                    suites::skip(format_args!(
                        "the rest of the page, because port {port} is in use"
                    ));
                    break;
                }
                let program = start(name, command, scratch);
                let first = program.line();
                let mut lines = vec![first];
                lines.extend((1..command.printed().len()).map(|_| program.line()));
                agrees(
                    command,
                    &lines.iter().map(String::as_str).collect::<Vec<_>>(),
                );
                let server = Server {
                    name: name.to_owned(),
                    program,
                    command: command.clone(),
                    log: Vec::new(),
                };
                servers.insert(place, server);
            }
            "openssl" if !is_there("openssl") => break,
            "openssl" => openssl(command, scratch),
            "curl" => curl(command, scratch),
            "nc" => netcat(command),
            "printf" => pipe(command),
            other => panic!("{}: nobody runs {other}", command.at),
        }
        // The log shows up in the reader's terminal, whatever runs there.
        match servers.values_mut().rfind(|server| server.is_logging()) {
            Some(server) => server.log.extend(command.log()),
            None => assert_eq!(command.log(), [""; 0], "{}: nobody logs", command.at),
        }
    }
    servers.into_values().for_each(stop);
}

/// What follows `--`, for the program.
fn arguments(command: &Command) -> Vec<String> {
    let words = command.words.iter().skip_while(|word| *word != "--");
    words.skip(1).cloned().collect()
}

fn start(name: &str, command: &Command, scratch: &Path) -> Program {
    let mut program = example(name);
    let args = arguments(command);
    // It leaves its socket where it is started; the others read what the repository has, or certificates.
    let is_scratch = name == "unix_rpc" || args.iter().any(|arg| arg.ends_with(".pem"));
    let folder = if is_scratch { scratch } else { root() };
    program.args(args).current_dir(folder);
    program.envs(command.variables.iter().cloned());
    Program::start(&mut program)
}

/// Where only one server can be.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Port(u16),
    /// In the folder that is there for it.
    SocketFile,
}

fn place(name: &str, args: &[String]) -> Option<Place> {
    if name == "unix_rpc" {
        return Some(Place::SocketFile);
    }
    port(name, args).map(Place::Port)
}

/// As its arguments say, else as the table of examples/README.md does.
fn port(name: &str, args: &[String]) -> Option<u16> {
    let of = |option: &str| {
        let at = args.iter().position(|arg| arg == option)?;
        args.get(at + 1)
    };
    let told = match (of("--port"), of("--listen")) {
        (None, None) if args.iter().all(|arg| !arg.starts_with('-')) => args
            .iter()
            .find(|arg| arg.rsplit(':').next().unwrap().parse::<u16>().is_ok()),
        (port, listen) => port.or(listen),
    };
    match told {
        Some(address) => address.rsplit(':').next()?.parse().ok(),
        None => {
            options::table()
                .into_iter()
                .find(|(known, _)| known == name)?
                .1
        }
    }
}

/// Ends a server as a reader would, by a signal, and checks that it takes that for an orderly end.
fn stop(server: Server) {
    let (logging, at) = (server.is_logging(), server.command.at);
    server.program.signal("TERM");
    let Ended { code, err, .. } = server.program.ended();
    let mut lines = err.lines();
    for told in &server.log {
        let found = lines.any(|line| is_like(told, line));
        assert!(
            found,
            "{at}: {told:?} is not, or not in this place, in\n{err}"
        );
    }
    // Those that are kept so small leave out how to end by a signal, too.
    if !options::WITHOUT_HELP.contains(&server.name.as_str()) {
        assert_eq!(code, Some(0), "{at}: {err}");
        assert!(logging || err.is_empty(), "{at}: {err}");
    }
}

fn is_there(tool: &str) -> bool {
    let found = process::Command::new("sh")
        .args(["-c", "command -v \"$0\"", tool])
        .stdout(Stdio::null())
        .status();
    let found = found.unwrap().success();
    if !found {
        suites::skip(format_args!("no {tool}"));
    }
    found
}

fn openssl(command: &Command, scratch: &Path) {
    let mut openssl = process::Command::new("openssl");
    let output = openssl.args(command.args()).current_dir(scratch).output();
    let output = output.unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {err}", command.at);
}

fn curl(command: &Command, scratch: &Path) {
    if !is_there("curl") {
        return;
    }
    let mut curl = process::Command::new("curl");
    curl.current_dir(scratch);
    // Not the reader's settings, proxies included, and an end if there is no answer.
    curl.args(["-q", "--noproxy", "*", "-sS", "--fail", "--max-time"]);
    curl.arg(DEADLINE.as_secs().to_string())
        .args(command.args());
    let output = curl.output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {err}", command.at);
    let saved = command.values("-o").next().is_some();
    let empty = output.stdout.is_empty();
    assert_eq!(empty, saved, "{}: the answer's length", command.at);
    agrees(
        command,
        &String::from_utf8_lossy(&output.stdout)
            .lines()
            .collect::<Vec<_>>(),
    );
}

/// What the page sends through a pipe, to the end of the conversation.
fn pipe(command: &Command) {
    if !is_there("nc") {
        return;
    }
    let mut shell = process::Command::new("sh");
    let ended = Program::start(shell.args(["-c", &command.text])).ended();
    assert_eq!(ended.code, Some(0), "{}: {}", command.at, ended.err);
    let (told, out) = (command.printed(), ended.out());
    // What was sent is known, and so is all that comes back.
    let same = told.len() == out.lines().count()
        && told
            .iter()
            .zip(out.lines())
            .all(|(told, is)| is_exactly(told, is));
    assert!(
        told.is_empty() || same,
        "{}: the page says {told:#?}, and it is\n{out}",
        command.at
    );
}

/// Says a line, and waits for something in return: each of the servers greets or answers.
fn netcat(command: &Command) {
    if !is_there("nc") {
        return;
    }
    let mut child = process::Command::new("nc")
        .args(command.args())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"hello\n").unwrap();
    let heard = first_bytes(child.stdout.take().unwrap());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(heard.is_some(), "{}: not a byte came", command.at);
}

fn first_bytes(mut output: ChildStdout) -> Option<Vec<u8>> {
    let (bytes, first) = channel();
    thread::spawn(move || {
        let mut buffer = vec![0; 1024];
        let count = output.read(&mut buffer).unwrap_or(0);
        buffer.truncate(count);
        let _ = bytes.send(buffer);
    });
    let first = first.recv_timeout(DEADLINE).ok()?;
    (!first.is_empty()).then_some(first)
}

/// The lines that the page shows below a command are the first ones of its output.
fn agrees(command: &Command, output: &[&str]) {
    for (index, told) in command.printed().iter().enumerate() {
        let is = output.get(index).copied().unwrap_or("nothing");
        assert!(
            is_like(told, is),
            "{}: the page says {told:?}, and it is {is:?}",
            command.at
        );
    }
}

#[test]
fn the_port_of_a_server_is_that_of_its_arguments_or_of_the_table() {
    let port = |name, args: &str| {
        port(
            name,
            &args
                .split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>(),
        )
    };
    assert_eq!(port("bench_server", "http 8080"), Some(8080));
    assert_eq!(
        port("tcp_proxy", "--to 127.0.0.1:1 --listen 127.0.0.1:2"),
        Some(2)
    );
    assert_eq!(port("http_server", "--port 80 --status"), Some(80));
    assert_eq!(port("echo", "127.0.0.1:9"), Some(9));
    assert_eq!(port("nobody", ""), None);
}
