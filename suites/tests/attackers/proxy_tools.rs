//! Tools that others wrote, through `tcp_proxy` and in `chat_room`: nc, socat, curl, wrk, h2load, slowhttptest.

use std::process::{Command, Output, Stdio};

use crate::{
    backend::{Honest, backend},
    honest::alone,
    members::Member,
    resets::{Bounds, connect, withstands},
    tcp_proxy::proxy_to,
};
use suites::victim::Victim;

/// The tool, unless it is not installed.
fn tool(name: &str) -> Option<Command> {
    let found = Command::new(name)
        .arg("--help")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if found.is_err() {
        suites::skip(format_args!("{name} is not installed"));
        return None;
    }
    Some(Command::new(name))
}

/// Runs it to its end, with a file as its input.
fn run(command: &mut Command, input: &[u8]) -> Output {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), input).unwrap();
    let input = std::fs::File::open(file.path()).unwrap();
    let output = command.stdin(input).output().unwrap();
    assert!(output.stdout.len() < 1 << 24, "{command:?}");
    output
}

#[test]
fn tools_get_their_answers_through_the_proxy() {
    let victim = proxy_to(backend(), &[]);
    let mark = victim.mark();
    let address = victim.address;
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    let url = format!("http://{address}/");
    let text = [b"e".to_vec(), b"hello\n".repeat(20_000)].concat();
    if let Some(mut nc) = tool("nc") {
        let output = run(nc.args(["-N", "-w", "20", &host, &port]), &text);
        assert!(output.stdout == text[1..], "{:?}", output.status);
    }
    if let Some(mut socat) = tool("socat") {
        let to = format!("TCP:{address}");
        let output = run(socat.args(["-t", "20", "-", &to]), &text);
        assert!(output.stdout == text[1..], "{:?}", output.status);
    }
    if let Some(mut curl) = tool("curl") {
        let twice = ["-sS", "--max-time", "20", &url, &url];
        let output = run(curl.args(twice), b"");
        assert_eq!(output.stdout, b"ok\nok\n");
    }
    if let Some(mut wrk) = tool("wrk") {
        let output = run(wrk.args(["-t", "1", "-c", "50", "-d", "1", &url]), b"");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("Requests/sec"), "{said}");
        assert!(!said.contains("Socket errors"), "{said}");
    }
    if let Some(mut h2load) = tool("h2load") {
        let args = ["--h1", "-n", "2000", "-c", "20", "-m", "1", &url];
        let output = run(h2load.args(args), b"");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("2000 succeeded"), "{said}");
    }
    victim.is_as_at(&mark);
    let cost = victim.since(&mark);
    eprintln!("tools through the proxy: {cost:?}");
    assert!(cost.memory < 16 * 1024, "{cost:?}");
    victim.ends_well();
}

#[test]
fn slow_clients_of_a_tool_slow_nobody_down() {
    let _alone = alone();
    if tool("slowhttptest").is_none() {
        return;
    }
    let victim = proxy_to(backend(), &[]);
    let mut honest = Honest::new(victim.address);
    let url = format!("http://{}/", victim.address);
    for (what, how) in [("slowhttptest -H", "-H"), ("slowhttptest -X", "-X")] {
        let bounds = Bounds {
            memory: 16 * 1024,
            lines: 1200,
            share: 0.5,
        };
        withstands(
            what,
            &victim,
            bounds,
            || honest.exchange(),
            || {
                Killed::start(&[
                    how, "-c", "200", "-r", "200", "-i", "1", "-l", "60", "-u", &url,
                ])
            },
        );
    }
    victim.ends_well();
}

/// The tool as an attacker; killed when dropped.
struct Killed(std::process::Child);

impl Killed {
    fn start(args: &[&str]) -> Self {
        let mut command = Command::new("slowhttptest");
        command.args(args).stdin(Stdio::null());
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Self(child.unwrap())
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_terminal_with_nc_is_a_member() {
    let Some(mut nc) = tool("nc") else { return };
    let victim = Victim::start("chat_room", &["--port", "0"]);
    let mut ann = Member::join(connect(victim.address), "Ann");
    let (host, port) = (
        victim.address.ip().to_string(),
        victim.address.port().to_string(),
    );
    let output = run(nc.args(["-N", "-w", "20", &host, &port]), b"nc\nhello\n");
    assert_eq!(output.stdout, b"* Your name?\n* In the room: Ann\n");
    for line in ["* nc joins", "nc: hello", "* nc leaves"] {
        assert_eq!(ann.line(), line);
    }
    victim.ends_well();
}
