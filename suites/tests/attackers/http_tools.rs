//! The tools that people attack and load servers with, where they are installed: `slowhttptest` in its four modes, `wrk`,
//! `h2load`, `curl`. Where one is missing its test says so and passes.

use std::{
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Instant,
};

use crate::{
    honest::{alone, serves_on},
    http::{Honest, Site},
    http_siege::thorough,
};

/// `None`, and a line that says so, where it is not installed.
fn tool(name: &str) -> Option<Command> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths).find(|path| path.join(name).is_file());
    if found.is_none() {
        suites::skip(format_args!("no {name}"));
    }
    let mut command = Command::new(found?.join(name));
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Some(command)
}

/// Seconds one run of a tool may take.
fn seconds() -> u32 {
    if thorough() { 20 } else { 1 }
}

/// A tool at work. It is waited for when dropped, and what it said kept.
struct AtWork {
    child: Option<Child>,
    said: Arc<Mutex<Vec<String>>>,
}

impl Drop for AtWork {
    fn drop(&mut self) {
        let ended = self.child.take().unwrap().wait_with_output().unwrap();
        let said = [ended.stdout, ended.stderr].concat();
        self.said
            .lock()
            .unwrap()
            .push(String::from_utf8_lossy(&said).into_owned());
    }
}

/// Has a tool attack while an honest client asks; gives what it said each time.
fn attack_with(name: &str, site: &Site, mut command: Command) -> Vec<String> {
    let said = Arc::new(Mutex::new(Vec::new()));
    let mut honest = Honest::new(site.address());
    let figures = serves_on(
        name,
        || honest.ask(),
        || AtWork {
            child: Some(command.spawn().unwrap()),
            said: said.clone(),
        },
    );
    assert!(figures.count > 50, "{figures:?}");
    Arc::into_inner(said).unwrap().into_inner().unwrap()
}

#[test]
fn slowhttptest_disturbs_nobody_in_any_mode() {
    // -H slow heads, -B slow bodies, -R many ranges, -X slow readers.
    let modes: [(&str, &[&str]); 4] = [
        ("-H", &["-i", "1", "-x", "24"]),
        ("-B", &["-i", "1", "-s", "8192", "-x", "10"]),
        ("-R", &["-a", "1", "-b", "3000"]),
        (
            "-X",
            &["-w", "1", "-y", "64", "-n", "1", "-z", "32", "-k", "3"],
        ),
    ];
    for (mode, options) in modes {
        let Some(mut command) = tool("slowhttptest") else {
            return;
        };
        let _alone = alone();
        let site = Site::start(&[]);
        let mark = site.victim.mark();
        let path = if mode == "-X" { "big" } else { "hello.txt" };
        let url = format!("http://{}/{path}", site.address());
        let length = seconds().to_string();
        let clients = if mode == "-X" { "100" } else { "300" };
        command.args([mode, "-c", clients, "-r", "300", "-p", "1"]);
        command.args(["-l", &length, "-u", &url]);
        command.args(options);
        for said in attack_with(&format!("slowhttptest {mode}"), &site, command) {
            let said = plain(&said);
            let ended = ["Hit test time limit", "No open connections left"];
            assert!(ended.iter().any(|end| said.contains(end)), "{mode}: {said}");
            // Its own verdict comes every five seconds, the first before it has done anything.
            let verdicts = said.matches("service available:").count();
            let good = said.matches("service available:   YES").count();
            assert_eq!(good, verdicts, "{mode}: {said}");
        }
        let tail = site.victim.log_tail();
        let cost = site.ends_well(&mark);
        eprintln!("slowhttptest {mode}: {cost:?}");
        assert!(cost.memory < 300 * 128, "{mode}: {cost:?}");
        assert!(cost.cpu < cost.wall / 2, "{mode}: {cost:?}");
        assert_eq!(cost.lines, 0, "{mode}: {tail}");
    }
}

/// Without the colours.
fn plain(said: &str) -> String {
    let mut parts = said.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    let behind = |part: &str| {
        part.split_once('m')
            .map_or(String::new(), |(_, rest)| rest.into())
    };
    parts.fold(first, |text, part| text + &behind(part))
}

/// The figure behind a word.
fn figure(said: &str, before: &str) -> u64 {
    let (_, rest) = said
        .split_once(before)
        .unwrap_or_else(|| panic!("no {before} in {said}"));
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

#[test]
fn wrk_has_no_errors_and_others_have_their_turn() {
    let Some(mut command) = tool("wrk") else {
        return;
    };
    let _alone = alone();
    let site = Site::start(&["--quiet"]);
    let mark = site.victim.mark();
    let length = format!("-d{}s", seconds() + 1);
    let url = format!("http://{}/hello.txt", site.address());
    let mut child = command
        .args(["-t1", "-c64", &length, &url])
        .spawn()
        .unwrap();
    let mut honest = Honest::new(site.address());
    let (started, mut count) = (Instant::now(), 0_u32);
    while child.try_wait().unwrap().is_none() {
        honest.ask();
        count += 1;
    }
    let took = started.elapsed();
    drop(honest);
    let said = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    assert!(said.contains("Requests/sec:"), "{said}");
    assert!(
        !said.contains("Socket errors") && !said.contains("Non-2xx"),
        "{said}"
    );
    let rate = said.split_once("Requests/sec:").unwrap().1.trim();
    let rate: f64 = rate.split_whitespace().next().unwrap().parse().unwrap();
    // All are served in turn: one more has about what each of the 64 has, and on a busy machine a quarter of it.
    let others = rate * took.as_secs_f64() / 64.0;
    eprintln!("wrk: {rate} a second, {others:.0} for each of 64, {count} for another");
    assert!(f64::from(count) > others / 4.0, "{count}, {others}");
    let cost = site.ends_well(&mark);
    assert!(cost.memory < 2 * 1024, "{cost:?}");
    assert_eq!(cost.lines, 0, "{cost:?}");
}

#[test]
fn h2load_has_all_its_answers() {
    let Some(mut command) = tool("h2load") else {
        return;
    };
    let _alone = alone();
    let site = Site::start(&["--quiet"]);
    let mark = site.victim.mark();
    let url = format!("http://{}/hello.txt", site.address());
    let requests = if thorough() { "200000" } else { "10000" };
    // -m is the depth of the pipelines.
    command.args(["--h1", "-n", requests, "-c", "50", "-m", "16", &url]);
    let said = String::from_utf8(command.output().unwrap().stdout).unwrap();
    assert!(
        said.contains(&format!(
            "{requests} succeeded, 0 failed, 0 errored, 0 timeout"
        )),
        "{said}"
    );
    assert_eq!(
        figure(&said, "status codes: "),
        requests.parse::<u64>().unwrap(),
        "{said}"
    );
    let cost = site.ends_well(&mark);
    eprintln!("h2load: {cost:?}");
    assert!(cost.memory < 4 * 1024, "{cost:?}");
    assert_eq!(cost.lines, 0, "{cost:?}");
}

#[test]
fn curl_that_is_slow_uploads_or_breaks_off_disturbs_nobody() {
    let upload = tempfile::NamedTempFile::new().unwrap();
    upload.as_file().set_len(900_000).unwrap();
    let file = upload.path().to_str().unwrap();
    let cases: [(&str, &[&str], &str, &[i32]); 4] = [
        // 28: the time was over, and the download broken off.
        (
            "a slow download",
            &["--limit-rate", "20k", "--max-time", "1"],
            "big",
            &[28],
        ),
        (
            "a slow upload",
            &["--limit-rate", "100k", "--max-time", "1", "-T", file],
            "x",
            &[28, 0],
        ),
        ("an upload", &["--max-time", "20", "-T", file], "x", &[0]),
        (
            "an end in the middle",
            &["--max-time", "0.3"],
            "big",
            &[28, 0],
        ),
    ];
    for (name, options, path, codes) in cases {
        let Some(mut command) = tool("curl") else {
            return;
        };
        let _alone = alone();
        let site = Site::start(&[]);
        let mark = site.victim.mark();
        let url = format!("http://{}/{path}", site.address());
        command.args(["-s", "-o", "/dev/null", "-w", "%{http_code} %{exitcode}"]);
        command.args(options).arg(url);
        for said in attack_with(name, &site, command) {
            let said = said.trim();
            let code = said
                .split_whitespace()
                .nth(1)
                .and_then(|code| code.parse::<i32>().ok());
            assert!(
                code.is_some_and(|code| codes.contains(&code)),
                "{name}: {said}"
            );
        }
        let cost = site.ends_well(&mark);
        assert!(cost.memory < 2 * 1024, "{name}: {cost:?}");
        assert_eq!(cost.lines, 0, "{name}: {cost:?}");
    }
}
