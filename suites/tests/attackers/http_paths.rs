//! Targets that mean to leave the root, and bytes that mean one thing to one reader and another to the next: nothing
//! outside is ever served, and nothing of it is worth a line in the log.

use std::{
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::symlink,
    path::Path,
};

use crate::http::{Answer, answers, connect, rest};
use suites::victim::Victim;

const SECRET: &[u8] = b"nobody is to see this";

/// The root is two directories down; above it lie secrets, in it links that lead there, and elsewhere.
fn fill(top: &Path) -> std::io::Result<()> {
    let root = top.join("a/root");
    std::fs::create_dir_all(root.join("sub/deep"))?;
    for place in ["secret", "a/secret", "a/rootsecret", "a/root/.secret"] {
        std::fs::write(top.join(place), SECRET)?;
    }
    std::fs::write(root.join("hello.txt"), crate::http::HELLO)?;
    std::fs::write(root.join("sub/deep/hello.txt"), crate::http::HELLO)?;
    symlink("../secret", root.join("out"))?;
    symlink(top.join("secret"), root.join("absolute"))?;
    symlink("../../", root.join("outdir"))?;
    symlink("..", root.join("sub/updir"))?;
    symlink("out", root.join("chain"))?;
    symlink("loop2", root.join("loop1"))?;
    symlink("loop1", root.join("loop2"))?;
    symlink("../rootsecret", root.join("nearly"))?;
    symlink(".secret", root.join("hidden"))?;
    symlink("/proc/self/environ", root.join("proc"))?;
    symlink("nowhere", root.join("dangling"))
}

fn serve() -> (Victim, tempfile::TempDir) {
    let top = tempfile::tempdir().unwrap();
    fill(top.path()).unwrap();
    let root = top.path().join("a/root");
    let args = ["--root", root.to_str().unwrap(), "--port", "0"];
    (Victim::start("http_server", &args), top)
}

const DOTS: [&str; 15] = [
    "..",
    "%2e%2e",
    ".%2E",
    "%2e.",
    "%252e%252e",
    "%c0%ae%c0%ae",
    "%e0%80%ae%e0%80%ae",
    "%f0%80%80%ae%f0%80%80%ae",
    "%u002e%u002e",
    "%uff0e%uff0e",
    "\u{ff0e}\u{ff0e}",
    "..%00",
    "%00..",
    "..;",
    ".%20.",
];
const SLASHES: [&str; 12] = [
    "/",
    "//",
    "/./",
    "\\",
    "%2f",
    "%5c",
    "%252f",
    "%255c",
    "%c0%af",
    "%e0%80%af",
    "%c1%9c",
    "/%00/",
];
const STARTS: [&str; 6] = ["/", "//", "/sub/", "/./", "/sub/updir/", "/hello.txt/"];
const GOALS: [&str; 2] = ["secret", "rootsecret"];

/// Every way to write "up" before every goal, up to three times.
fn upwards() -> Vec<String> {
    let mut all = Vec::new();
    for start in STARTS {
        for dots in DOTS {
            for slash in SLASHES {
                for goal in GOALS {
                    for times in 1..4 {
                        let ups = [dots, slash].concat().repeat(times);
                        all.push(format!("{start}{ups}{goal}"));
                    }
                }
            }
        }
    }
    all
}

const LINKS: [&str; 22] = [
    "/out",
    "/absolute",
    "/outdir",
    "/outdir/",
    "/outdir/secret",
    "/outdir/a/secret",
    "/sub/updir/out",
    "/sub/updir/outdir/secret",
    "/sub/updir/../secret",
    "/chain",
    "/loop1",
    "/loop2/",
    "/loop1/x",
    "/nearly",
    "/hidden",
    "/.secret",
    "/%2esecret",
    "/proc",
    "/dangling",
    "/dangling/x",
    "/outdir/etc/passwd",
    "/out%00.txt",
];

const ODD: [&str; 15] = [
    "/..",
    "/../",
    "//secret",
    "/hello.txt/",
    "/hello.txt%00",
    "/hello.txt%00.html",
    "/%00",
    "/hello.txt%20",
    "/hello.txt.",
    "/C:/secret",
    "/file:///etc/passwd",
    "http://a/../secret",
    "http://a/%2e%2e/secret",
    "file:///etc/passwd",
    "/%",
];

/// One answer, on a connection that goes on where it does.
fn ask(stream: &mut Option<TcpStream>, to: &Victim, target: &[u8]) -> Answer {
    let mut open = stream.take().unwrap_or_else(|| connect(to.address));
    open.write_all(&[b"GET ", target, b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat())
        .unwrap();
    let mut got = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let n = open.read(&mut piece).unwrap();
        assert!(n > 0, "an answer cut short to {}", target.escape_ascii());
        got.extend_from_slice(&piece[..n]);
        let Some(end) = memchr::memmem::find(&got, b"\r\n\r\n") else {
            continue;
        };
        let head = std::str::from_utf8(&got[..end]).unwrap();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("Content-Length: "));
        if got.len() == end + 4 + length.unwrap().parse::<usize>().unwrap() {
            break;
        }
    }
    let answer = answers(&got, false).remove(0);
    if !answer.closes {
        *stream = Some(open);
    }
    answer
}

#[test]
fn no_target_leaves_the_root_however_it_is_written() {
    let (victim, _top) = serve();
    let mark = victim.mark();
    let mut stream = None;
    let mut served = Vec::new();
    let mut count = 0;
    let upwards = upwards();
    let all = upwards.iter().map(String::as_str).chain(LINKS).chain(ODD);
    for target in all {
        let answer = ask(&mut stream, &victim, target.as_bytes());
        count += 1;
        let shown = memchr::memmem::find(&answer.body, SECRET).is_some()
            || memchr::memmem::find(&answer.body, b"root:").is_some();
        assert!(!shown, "{target} is served: {answer:?}");
        if answer.status == 200 {
            served.push(target);
        }
        let expected = matches!(answer.status, 200 | 301 | 400 | 403 | 404);
        assert!(expected, "{target}: {}", answer.status);
    }
    assert_eq!(served, [] as [&str; 0]);
    // What is meant well is served.
    for target in [
        "/hello.txt",
        "/%68ello.txt",
        "/sub/updir/hello.txt",
        "/sub/deep/hello.txt",
        "/sub//deep/hello.txt",
        "/sub/./deep/hello.txt",
        "/absent/../hello.txt",
        "//",
        "/./",
        "/.",
    ] {
        assert_eq!(
            ask(&mut stream, &victim, target.as_bytes()).status,
            200,
            "{target}"
        );
    }
    drop(stream);
    let cost = victim.since(&mark);
    eprintln!("{count} targets: {cost:?}");
    assert_eq!(cost.lines, 0, "{}", victim.log_tail());
    assert!(cost.memory < 2 * 1024, "{cost:?}");
    assert!(
        cost.cpu < std::time::Duration::from_millis(count),
        "{cost:?}"
    );
    victim.is_as_at(&mark);
    victim.ends_well();
}

/// What comes of raw bytes, when nothing else follows.
fn raw(victim: &Victim, bytes: &[u8]) -> Vec<Answer> {
    let mut stream = connect(victim.address);
    stream.write_all(bytes).unwrap();
    let _ = stream.shutdown(std::net::Shutdown::Write);
    answers(&rest(&mut stream), false)
}

#[test]
fn a_control_byte_anywhere_in_a_head_is_refused() {
    let (victim, _top) = serve();
    let mark = victim.mark();
    let request = b"GET /hello.txt?q HTTP/1.1\r\nHost: a\r\nX-Y: value\r\n\r\n";
    for control in [b"\0", b"\x01", b"\x08", b"\x0b", b"\x1b", b"\x7f"] {
        // Before each byte. A NUL before the last line end is one line more that does not end.
        for at in 0..request.len() {
            let spoilt = [&request[..at], control, &request[at..]].concat();
            let answers = raw(&victim, &spoilt);
            let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
            let spoilt = spoilt.escape_ascii();
            assert!(
                matches!(statuses[..], [] | [400 | 505])
                    && answers.iter().all(|answer| answer.closes),
                "{spoilt}: {statuses:?}"
            );
            // Only where the end of the head is spoilt, so that none comes, is there no answer.
            assert!(!statuses.is_empty() || at > request.len() - 4, "{spoilt}");
        }
    }
    assert_eq!(victim.since(&mark).lines, 0, "{}", victim.log_tail());
    victim.is_as_at(&mark);
    victim.ends_well();
}

#[test]
fn overlong_and_broken_utf_8_is_never_taken_for_what_it_imitates() {
    let (victim, _top) = serve();
    let mark = victim.mark();
    // Overlong slashes, dots, spaces, line ends; halves of characters; surrogates; bytes that UTF-8 does not have.
    let broken: [&[u8]; 12] = [
        b"\xc0\xaf",
        b"\xe0\x80\xaf",
        b"\xf0\x80\x80\xaf",
        b"\xc0\xae",
        b"\xc0\xa0",
        b"\xc0\x8d\xc0\x8a",
        b"\xc0\x80",
        b"\xc3",
        b"\xe2\x82",
        b"\xed\xa0\x80",
        b"\xfe\xff",
        b"\xff",
    ];
    for bytes in broken {
        for (before, after) in [
            (&b"GET "[..], &b"hello.txt HTTP/1.1\r\nHost: a\r\n\r\n"[..]),
            (b"GET /hello.txt", b" HTTP/1.1\r\nHost: a\r\n\r\n"),
            (b"GET /hello.txt", b"HTTP/1.1\r\nHost: a\r\n\r\n"),
            (b"G", b"ET /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n"),
            (b"GET /hello.txt HTTP/1.1\r\nHost: a\r\nX", b": y\r\n\r\n"),
            (b"GET /hello.txt HTTP/1.1\r\nHost: a", b"\r\n\r\n"),
            (b"GET /hello.txt HTTP/1.1", b"\r\nHost: a\r\n\r\n"),
        ] {
            let request = [before, bytes, after].concat();
            let statuses: Vec<u16> = raw(&victim, &request).iter().map(|a| a.status).collect();
            let is_refused = matches!(statuses[..], [400 | 404 | 505]);
            assert!(is_refused, "{}: {statuses:?}", request.escape_ascii());
        }
        // A value may have any byte from 0x80 (obs-text), and it means nothing.
        let value = [
            b"GET /hello.txt HTTP/1.1\r\nHost: a\r\nX: ",
            bytes,
            b"\r\n\r\n",
        ]
        .concat();
        assert_eq!(raw(&victim, &value)[0].status, 200);
    }
    assert_eq!(victim.since(&mark).lines, 0, "{}", victim.log_tail());
    victim.is_as_at(&mark);
    victim.ends_well();
}
