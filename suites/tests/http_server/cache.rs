//! Files that are kept for a moment (`--file-cache`).

use std::{fs, path::Path};

use suites::{
    lacks,
    program::eventually,
    web_server::{Reply, Server, serve},
};

const SMALL: usize = 1_000;
/// Sent from where it is, not read.
const LARGE: usize = 100_000;

/// One version of a file.
fn version(letter: char, len: usize) -> String {
    letter.to_string().repeat(len)
}

fn write(place: &Path, letter: char, len: usize) {
    fs::write(place, version(letter, len)).unwrap();
}

/// What becomes of the file `x` that holds `old`; the letter and the length of what is served then, if anything is.
struct Change {
    name: &'static str,
    make: fn(&Path, usize),
    /// The name no longer is the old file's, while the server may have that one open.
    frees_the_name: bool,
    new: Option<(char, usize)>,
}

const CHANGES: [Change; 6] = [
    Change {
        name: "replaced by a file of the same length",
        make: |place, len| {
            write(&place.with_file_name("y"), 'n', len);
            fs::rename(place.with_file_name("y"), place).unwrap();
        },
        frees_the_name: true,
        new: Some(('n', 0)),
    },
    Change {
        name: "replaced by a longer one",
        make: |place, len| {
            write(&place.with_file_name("y"), 'n', len + 7);
            fs::rename(place.with_file_name("y"), place).unwrap();
        },
        frees_the_name: true,
        new: Some(('n', 7)),
    },
    Change {
        name: "written anew, longer",
        make: |place, len| write(place, 'n', len + 7),
        frees_the_name: false,
        new: Some(('n', 7)),
    },
    Change {
        name: "cut",
        make: |place, len| {
            let file = fs::File::options().write(true).open(place).unwrap();
            file.set_len(len as u64 - 7).unwrap();
        },
        frees_the_name: false,
        new: Some(('o', -7_i64 as usize)),
    },
    Change {
        name: "deleted",
        make: |place, _| fs::remove_file(place).unwrap(),
        frees_the_name: true,
        new: None,
    },
    Change {
        name: "renamed",
        make: |place, _| fs::rename(place, place.with_file_name("z")).unwrap(),
        frees_the_name: false,
        new: None,
    },
];

/// Whether a file that is open leaves its name to another one, and to none: Wine has no POSIX semantics of the two calls.
fn open_files_lose_their_names() -> bool {
    let folder = tempfile::tempdir().unwrap();
    let (x, y) = (folder.path().join("x"), folder.path().join("y"));
    write(&x, 'o', 1);
    write(&y, 'n', 1);
    let _open = fs::File::open(&x).unwrap();
    let _open_too = fs::File::open(&y).unwrap();
    fs::remove_file(&y).unwrap();
    let is_gone = fs::metadata(&y).is_err();
    write(&folder.path().join("z"), 'n', 1);
    is_gone && fs::rename(folder.path().join("z"), x).is_ok()
}

/// Whether this is the file of this letter and length, its header fields included.
fn is_version(reply: &Reply, letter: char, len: usize) -> bool {
    let tag = reply.header("ETag").unwrap();
    reply.status == 200
        && reply.body == version(letter, len).into_bytes()
        && tag.ends_with(&format!("-{len:x}\""))
}

#[test]
fn each_answer_is_one_version_of_a_file_and_the_new_one_comes_soon() {
    let they_lose_names = open_files_lose_their_names();
    if !they_lose_names {
        lacks("a file that is open keeps its name");
    }
    for (options, is_at_once) in [(&["--file-cache", "0"][..], true), (&[], false)] {
        for len in [SMALL, LARGE] {
            for change in CHANGES {
                // A small file is not kept open.
                if change.frees_the_name && len == LARGE && !they_lose_names {
                    continue;
                }
                let Change {
                    name, make, new, ..
                } = change;
                let server = serve(options, |root| write(&root.join("x"), 'o', len));
                let mut old = String::new();
                for _ in 0..2 {
                    let reply = server.get("/x");
                    assert!(is_version(&reply, 'o', len), "{name}");
                    old = reply.header("ETag").unwrap().to_owned();
                }
                make(&server.root.path().join("x"), len);
                eventually(|| {
                    let reply = server.get("/x");
                    let is_new = match new {
                        Some((letter, more)) => is_version(&reply, letter, len.wrapping_add(more)),
                        None => reply.status == 404,
                    };
                    assert!(
                        is_new || (!is_at_once && is_version(&reply, 'o', len)),
                        "{name}, {options:?}, {len}: {}",
                        reply.head
                    );
                    // The tag is the one of what is sent.
                    if reply.status == 200 && !is_new {
                        assert_eq!(reply.header("ETag"), Some(&*old), "{name}");
                    }
                    is_new.then_some(())
                });
            }
        }
    }
}

/// The letters of `/x`, with a time that does not end in this test.
fn kept_long(len: usize) -> Server {
    serve(&["--file-cache", "3600"], |root| {
        write(&root.join("x"), 'o', len);
        for n in 0..128 {
            write(&root.join(n.to_string()), 'n', SMALL);
        }
    })
}

#[test]
fn a_file_that_is_kept_answers_ranges_and_conditions_too() {
    let server = kept_long(SMALL);
    let first = server.get("/x").expect(200);
    let tag = first.header("ETag").unwrap();
    fs::remove_file(server.root.path().join("x")).unwrap();
    let again = server.get("/x").expect(200);
    assert_eq!(again.body, first.body);
    let fields = |reply: &Reply| {
        reply
            .head
            .split("\r\n")
            .skip(3)
            .collect::<Vec<_>>()
            .join("\n")
    };
    assert_eq!(fields(&again), fields(&first));
    let reply = server.get_with("/x", &format!("If-None-Match: {tag}\r\n"));
    reply.expect(304);
    let reply = server.get_with("/x", "Range: bytes=0-9\r\n").expect(206);
    assert_eq!(
        (reply.text(), reply.header("Content-Range")),
        ("oooooooooo", Some("bytes 0-9/1000"))
    );
    let reply = server
        .get_with("/x", "Range: bytes=0-0,5-6\r\n")
        .expect(206);
    assert!(reply.text().contains("bytes 5-6/1000\r\n\r\noo\r\n"));
    server.get_with("/x", "Range: bytes=1000-\r\n").expect(416);
    // By another path it is looked up, and is not there.
    server.get("/./x").expect(404);
}

#[test]
fn the_least_recently_used_file_makes_room() {
    let server = kept_long(SMALL);
    server.get("/x").expect(200);
    fs::remove_file(server.root.path().join("x")).unwrap();
    for n in 0..127 {
        server.get(&format!("/{n}")).expect(200);
    }
    server.get("/x").expect(200);
    fs::remove_file(server.root.path().join("0")).unwrap();
    server.get("/127").expect(200);
    server.get("/x").expect(200);
    server.get("/0").expect(404);
}

#[test]
fn the_copy_that_is_kept_is_the_one_that_the_client_takes() {
    let server = serve(&["--precompressed", "--file-cache", "3600"], |root| {
        fs::write(root.join("x"), "plain").unwrap();
        fs::write(root.join("x.gz"), "gzip").unwrap();
        fs::write(root.join("x.br"), "br").unwrap();
    });
    for _ in 0..2 {
        for (accepted, text) in [
            ("", "plain"),
            ("gzip", "gzip"),
            ("br, gzip", "br"),
            ("br;q=0.1, gzip", "gzip"),
            ("identity", "plain"),
        ] {
            let reply = server.get_with("/x", &format!("Accept-Encoding: {accepted}\r\n"));
            assert_eq!(reply.expect(200).text(), text, "{accepted}");
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_file_that_nobody_asks_for_any_more_is_closed() {
    let server = suites::web_server::plain();
    let place = server.root.path().join("large");
    write(&place, 'o', LARGE);
    server.get("/large").expect(200);
    let is_open = || {
        let descriptors = fs::read_dir(format!("/proc/{}/fd", server.child.id())).unwrap();
        let mut open = descriptors
            .flatten()
            .map(|entry| fs::read_link(entry.path()));
        open.any(|open| open.is_ok_and(|open| open.ends_with("large")))
    };
    eventually(|| (!is_open()).then_some(()));
}

#[test]
fn the_time_is_a_number_of_seconds_and_may_be_none() {
    for time in ["0", "0.0", "0.25", "60"] {
        serve(&["--file-cache", time], |_| {}).get("/").expect(200);
    }
    for time in ["-1", "never", "", "1e30", "NaN"] {
        let time = format!("--file-cache={time}");
        let ended = suites::program::run("http_server", &["--port", "0", &time]);
        assert_eq!(ended.code, Some(2), "{time}: {}", ended.err);
        assert!(ended.err.contains("--file-cache"), "{}", ended.err);
    }
}
