//! The operator's port, with Python's HMAC on the other side.

use std::{
    fs,
    io::Write,
    net::{SocketAddr, TcpStream},
    process::Command,
    time::Instant,
};

use crate::user::User;
use suites::program::{Program, serve};

const PASSWORD: &str = "correct horse battery staple";

/// A server whose first line is its address, and whose second one the monitor's.
fn monitored(args: &[&str]) -> (Program, SocketAddr, SocketAddr) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("password");
    fs::write(&file, format!("{PASSWORD}\nnot this\n")).unwrap();
    let file = file.to_str().unwrap();
    let mut all = vec![
        "--port",
        "0",
        "--monitor-port",
        "0",
        "--password-file",
        file,
    ];
    all.extend(args);
    let (server, address) = serve("chat_server", &all);
    let line = server.line();
    let monitor = line.strip_prefix("monitor on ").unwrap().parse().unwrap();
    (server, address, monitor)
}

/// The right answer by other means than the server's; `None` where there is no Python.
fn answer(challenge: &str) -> Option<String> {
    let script = "import hashlib, hmac, sys\n\
        print(hmac.new(sys.argv[1].encode(), sys.argv[2].encode(), hashlib.sha256).hexdigest())";
    let Ok(output) = Command::new("python3")
        .args(["-c", script, PASSWORD, challenge])
        .output()
    else {
        suites::missing("python3");
        return None;
    };
    Some(String::from_utf8(output.stdout).unwrap().trim().to_owned())
}

fn stranger(monitor: SocketAddr) -> (User, String) {
    let mut stranger = User::new(TcpStream::connect(monitor).unwrap());
    let challenge = stranger.line();
    (stranger, challenge)
}

fn operator(monitor: SocketAddr) -> Option<User> {
    let (mut operator, challenge) = stranger(monitor);
    operator.says(&answer(&challenge)?);
    operator.hears("Welcome.");
    Some(operator)
}

#[test]
fn the_operator_sees_speaks_kicks_and_ends_the_server() {
    let (server, address, monitor) = monitored(&[]);
    let mut ann = User::enter(address, "ann");
    let mut eve = User::enter(address, "eve");
    ann.hears("*** eve joined");
    let _nameless = User::connect(address);
    eve.says("buy this");
    ann.hears("eve: buy this");
    let Some(mut operator) = operator(monitor) else {
        return;
    };
    operator.says("who");
    let mut list: Vec<_> = (0..3).map(|_| operator.line()).collect();
    // Behind the prompt, which ends without a line.
    list[0] = list[0].replace("> ", "");
    let peer = eve.stream().local_addr().unwrap();
    assert!(list[0].starts_with("ann 127.0.0.1:"), "{list:?}");
    assert!(list[1].starts_with(&format!("eve {peer} ")), "{list:?}");
    assert!(
        list[1].ends_with(" s, 1 lines, 0 bytes waiting"),
        "{list:?}"
    );
    assert!(list[2].starts_with("(no nick) "), "{list:?}");
    operator.says("say keep it friendly");
    ann.hears("*** operator: keep it friendly");
    eve.hears("*** operator: keep it friendly");
    operator.says("kick EVE no trade");
    eve.hears("*** operator: you are kicked. no trade");
    eve.hears_the_end();
    ann.hears("*** eve left (kicked)");
    operator.hears("> > kicked");
    operator.says("kick eve");
    operator.hears("> no such user");
    drop(eve);
    operator.says("stats");
    let stats: Vec<_> = (0..7).map(|_| operator.line()).collect();
    for line in [
        "users: 1",
        "kicked: 1",
        "lines: 1",
        "wrong answers to the monitor: 0",
    ] {
        assert!(stats.iter().any(|got| got == line), "{line}: {stats:?}");
    }
    operator.says("shutdown");
    operator.hears("> ending");
    operator.hears_the_end();
    ann.hears("*** The server ends.");
    ann.hears_the_end();
    let ended = server.ended();
    assert_eq!((ended.code, ended.err.lines().count()), (Some(0), 1));
    assert!(
        ended.err.ends_with(": the operator ends the server\n"),
        "{}",
        ended.err
    );
}

#[test]
fn a_wrong_password_ends_the_session() {
    let (_server, address, monitor) = monitored(&[]);
    let mut ann = User::enter(address, "ann");
    let (_, old) = stranger(monitor);
    let mut wrong = vec![
        PASSWORD.to_owned(),
        String::new(),
        "\0".into(),
        "x".repeat(64),
    ];
    // The right answer to another challenge.
    wrong.extend(answer(&old));
    let count = wrong.len();
    for text in wrong {
        let (mut stranger, challenge) = stranger(monitor);
        assert_ne!(challenge, old);
        stranger.says(&format!("{text}\nshutdown"));
        stranger.hears("Wrong.");
        stranger.hears_the_end();
    }
    let (mut endless, _) = stranger(monitor);
    endless.says(&"x".repeat(100_000));
    endless.hears_the_end();
    ann.says("/who");
    ann.hears("*** Here: ann");
    if let Some(mut operator) = operator(monitor) {
        operator.says("stats");
        let stats: Vec<_> = (0..7).map(|_| operator.line()).collect();
        assert_eq!(stats[6], format!("wrong answers to the monitor: {count}"));
    }
}

#[test]
#[cfg(target_os = "linux")]
fn strangers_cannot_keep_the_operator_out() {
    let (server, address, monitor) = monitored(&["--max-users", "5"]);
    let mut ann = User::enter(address, "ann");
    let before = server.memory("VmHWM");
    let strangers: Vec<_> = (0..500)
        .map(|_| TcpStream::connect(monitor).unwrap())
        .collect();
    let Some(operator) = operator(monitor) else {
        return;
    };
    operator.says("say hello");
    ann.hears("*** operator: hello");
    drop(strangers);
    let after = server.memory("VmHWM");
    assert!(
        after < before + 4096,
        "{before} KiB before, {after} KiB after"
    );
}

#[test]
fn wrong_answers_whose_senders_stay_do_not_keep_the_operator_out() {
    let (_server, address, monitor) = monitored(&[]);
    let mut ann = User::enter(address, "ann");
    let mut all = Vec::new();
    for _ in 0..3 {
        for _ in 0..8 {
            let (mut stranger, _) = stranger(monitor);
            stranger.says("wrong");
            stranger.hears("Wrong.");
            all.push(stranger);
        }
        let Some(operator) = operator(monitor) else {
            return;
        };
        operator.says("say hello");
        ann.hears("*** operator: hello");
    }
}

#[test]
fn strangers_cannot_fill_the_log() {
    const ROUNDS: usize = 100;
    let (server, address, monitor) = monitored(&[]);
    let begun = Instant::now();
    for _ in 0..ROUNDS {
        let (mut stranger, _) = stranger(monitor);
        stranger.says("wrong");
        stranger.hears("Wrong.");
    }
    for _ in 0..ROUNDS {
        let (mut endless, _) = stranger(monitor);
        endless.says(&"x".repeat(3_000));
        endless.hears_the_end();
    }
    let lasted = begun.elapsed().as_secs();
    drop(User::enter(address, "ann"));
    server.signal("TERM");
    let ended = server.ended();
    let lines: Vec<_> = ended.err.lines().collect();
    assert!(
        !lines.is_empty() && lines.len() as u64 <= lasted + 1,
        "{}",
        ended.err
    );
    for line in lines {
        assert!(
            line.contains("WARN") && line.contains("wrong answer to the challenge; so far: "),
            "{line}"
        );
    }
}

#[test]
fn a_kicked_user_that_does_not_read_is_gone_for_the_others_at_once() {
    let (_server, address, monitor) = monitored(&[]);
    let mut ann = User::enter(address, "ann");
    let _stuck = User::enter(address, "stuck");
    ann.hears("*** stuck joined");
    let Some(operator) = operator(monitor) else {
        return;
    };
    operator.says("kick stuck");
    ann.hears("*** stuck left (kicked)");
    let _again = User::enter(address, "stuck");
    ann.hears("*** stuck joined");
}

#[test]
fn sessions_that_vanish_harm_nobody() {
    let (server, address, monitor) = monitored(&[]);
    let mut ann = User::enter(address, "ann");
    for round in 0..20 {
        let (stranger, _) = stranger(monitor);
        if round % 2 == 0 {
            stranger.stream().write_all(b"half an answer").unwrap();
        }
        stranger.resets();
    }
    for _ in 0..10 {
        let Some(operator) = operator(monitor) else {
            break;
        };
        operator.says("who\nstats\nwho");
        operator.resets();
    }
    ann.says("/who");
    ann.hears("*** Here: ann");
    crate::ends_well_when_terminated(server);
}
