//! Scripts end with their answers, their clients and the server, and leave nothing behind.

use std::{fs, time::Duration};

use suites::program::eventually;

use crate::{Server, ask, rest};

/// The processes that the server has started and not reaped.
pub(crate) fn children(server: &Server) -> Vec<u32> {
    let pid = server.program.pid();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    children
        .split_whitespace()
        .map(|child| child.parse().unwrap())
        .collect()
}

/// Processes whose group is led by one of these.
fn group(leader: u32) -> Vec<u32> {
    let all = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let is_in = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // PID (NAME) STATE PPID PGRP; a zombie is none any more.
        let behind = stat.rsplit_once(')').map_or("", |(_, behind)| behind);
        let fields: Vec<_> = behind.split_whitespace().collect();
        fields
            .get(2)
            .is_some_and(|group| *group == leader.to_string())
            && fields[0] != "Z"
    };
    all.filter(is_in).collect()
}

#[track_caller]
fn only_child(server: &Server) -> u32 {
    eventually(|| match children(server).as_slice() {
        [child] => Some(*child),
        _ => None,
    })
}

#[test]
fn a_client_that_leaves_ends_its_script_and_all_that_it_has_started() {
    let server = Server::start(&[]);
    for request in [
        "GET /cgi-bin/sleep.sh HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /cgi-bin/half.sh HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /cgi-bin/sleep.sh HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc",
        "GET /cgi-bin/flood.sh HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let stream = server.connect(request);
        let script = only_child(&server);
        if request.contains("sleep") {
            eventually(|| (group(script).len() == 2).then_some(()));
        }
        drop(stream);
        eventually(|| (children(&server).is_empty() && group(script).is_empty()).then_some(()));
    }
    server.end();
}

#[test]
fn one_that_ignores_the_request_to_end_is_killed() {
    let server = Server::start(&["--grace", "0.2"]);
    let stream = server.connect("GET /cgi-bin/stubborn.sh HTTP/1.1\r\nHost: a\r\n\r\n");
    let script = only_child(&server);
    drop(stream);
    eventually(|| (children(&server).is_empty() && group(script).is_empty()).then_some(()));
}

#[test]
fn a_script_that_stays_behind_its_answer_is_ended_and_holds_nobody_up() {
    let server = Server::start(&["--script-timeout", "0.3"]);
    let request = "GET /cgi-bin/lingers.sh HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    assert_eq!(ask(server.address, request).body, "ok");
    eventually(|| children(&server).is_empty().then_some(()));
}

#[test]
fn what_a_script_leaves_running_on_purpose_holds_nobody_up() {
    let server = Server::start(&["--max-scripts", "1"]);
    let reply = server.get("/cgi-bin/background.sh");
    eventually(|| children(&server).is_empty().then_some(()));
    assert_eq!(server.get("/cgi-bin/crlf.sh").body, "crlf");
    let left = rustix::process::Pid::from_raw(reply.body.trim().parse().unwrap()).unwrap();
    rustix::process::kill_process(left, rustix::process::Signal::KILL).unwrap();
}

#[test]
fn no_process_and_no_descriptor_is_left_of_many_answers() {
    let server = Server::start(&[]);
    let descriptors = || {
        fs::read_dir(format!("/proc/{}/fd", server.program.pid()))
            .unwrap()
            .count()
    };
    let names = [
        "crlf.sh",
        "no-header.sh",
        "no-interpreter",
        "local.sh",
        "short.sh",
        "long.sh",
        "errors.sh",
        "fails.sh",
        "loop.sh",
    ];
    let mut before = None;
    for _ in 0..10 {
        for name in names {
            server.get(&format!("/cgi-bin/{name}"));
        }
        eventually(|| children(&server).is_empty().then_some(()));
        // The listener, the poller and their like, once.
        let at_rest = *before.get_or_insert_with(descriptors);
        eventually(|| (descriptors() <= at_rest).then_some(()));
    }
    server.end();
}

#[test]
fn the_server_waits_for_answers_under_way_and_then_ends_all() {
    let server = Server::start(&[]);
    let mut stream = server.connect("GET /cgi-bin/brief.sh HTTP/1.1\r\nHost: a\r\n\r\n");
    only_child(&server);
    server.program.signal("TERM");
    assert!(rest(&mut stream).body.contains("brief"));
    drop(stream);
    let ended = server.program.ended();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    // A second signal does not wait.
    let server = Server::start(&[]);
    let _stream = server.connect("GET /cgi-bin/stubborn.sh HTTP/1.1\r\nHost: a\r\n\r\n");
    let script = only_child(&server);
    server.program.signal("TERM");
    let refused = || std::net::TcpStream::connect(server.address).is_err();
    eventually(|| refused().then_some(()));
    server.program.signal("TERM");
    let ended = server.program.ended();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    eventually(|| group(script).is_empty().then_some(()));
}

#[test]
fn a_crowd_is_served_by_turns() {
    let server = Server::start(&[
        "--max-scripts",
        "4",
        "--max-waiting",
        "1000",
        "--wait-timeout",
        "60",
    ]);
    let clients: Vec<_> = (0..24)
        .map(|_| server.connect("GET /cgi-bin/brief.sh HTTP/1.0\r\n\r\n"))
        .collect();
    let most = std::cell::Cell::new(0);
    for mut client in clients {
        client
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        most.set(most.get().max(children(&server).len()));
        assert_eq!(rest(&mut client).body, "brief");
    }
    assert!((1..=4).contains(&most.get()), "{}", most.get());
}

#[test]
fn a_lack_of_descriptors_is_503_and_passes() {
    let site = crate::scripts::site();
    let program = suites::program::path("cgi_server");
    let mut command = std::process::Command::new("sh");
    command
        .env_remove("RUST_LOG")
        .args(["-c", "ulimit -n 40 && exec \"$@\"", "sh"])
        .arg(program);
    command
        .args(["--port", "0", "--max-scripts", "20", "--cgi-dir"])
        .arg(site.join("cgi-bin"))
        .arg(site.join("www"));
    let program = suites::program::Program::start(&mut command);
    let line = program.line();
    let address = line
        .split(['/', ' '])
        .find_map(|word| word.parse().ok())
        .unwrap();
    let server = Server { program, address };
    for _ in 0..3 {
        let mut held = Vec::new();
        let refused = eventually(|| {
            let mut stream = server.connect("GET /cgi-bin/half.sh HTTP/1.0\r\n\r\n");
            stream
                .set_read_timeout(Some(Duration::from_secs(1)))
                .unwrap();
            let mut start = [0; 12];
            let read = std::io::Read::read_exact(&mut stream, &mut start);
            held.push(stream);
            // Without a descriptor for the connection it is not even accepted.
            (read.is_err() || start.ends_with(b"503")).then_some(start)
        });
        assert_ne!(&refused, b"HTTP/1.0 200");
        assert!(held.len() < 20);
        drop(held);
        eventually(|| children(&server).is_empty().then_some(()));
        assert_eq!(server.get("/cgi-bin/crlf.sh").body, "crlf");
    }
    let log = server.end();
    assert!(log.contains("(os error 24)"), "{log}");
}

#[test]
fn one_that_leaves_its_process_group_is_ended_too() {
    let Some(_) = suites::others::tool("python3") else {
        return;
    };
    let server = Server::start(&["--script-timeout", "0.5", "--grace", "0.2"]);
    assert_eq!(server.get("/cgi-bin/stray.py").status, 504);
    eventually(|| children(&server).is_empty().then_some(()));
}
