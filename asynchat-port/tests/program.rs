//! The program itself: arguments, status, output, and files that nobody would write.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::{
    fs,
    io::Read,
    path::Path,
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_asynchat-port"))
}

/// A folder with files.
fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

/// Runs it inside a folder.
fn run(folder: &Path, arguments: &[&str]) -> Output {
    program()
        .current_dir(folder)
        .args(arguments)
        .output()
        .unwrap()
}

#[track_caller]
fn check(output: &Output, status: i32, out: &str, err: &str) {
    let (found_out, found_err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(found_out.contains(out), "{found_out}");
    assert!(found_err.contains(err), "{found_err}");
    assert_eq!(output.status.code(), Some(status), "{found_err}");
}

const LOOP: &[u8] = b"import asyncore\nasyncore.loop()\n";

#[test]
fn the_status_says_whether_all_was_read() {
    let folder = folder(&[
        ("a.py", LOOP),
        ("b.py", b"x = = 1\nimport asyncore\nasyncore.loop()\n"),
    ]);
    let at = folder.path();
    check(
        &run(at, &["a.py"]),
        0,
        "a.py:2:1: name: loop\n  | asyncore.loop()\n  = Rust: `reactor.run()`",
        "",
    );
    check(
        &run(at, &["b.py"]),
        1,
        "b.py:3:1: name: loop",
        "b.py:1:5: error: no Python: x = = 1; the rest of the file is read",
    );
    check(
        &run(at, &["none.py"]),
        1,
        "Files: 1, of which 1 with errors",
        "none.py: error: ",
    );
    check(&run(at, &[]), 2, "", "FILE.py|DIR");
    check(&run(at, &["--none", "a.py"]), 2, "", "--none");
    check(&run(at, &["--help"]), 0, "Status: 0 if all was read", "");
    fs::create_dir(at.join("empty")).unwrap();
    check(
        &run(at, &["empty"]),
        1,
        "",
        "empty: error: no file of Python",
    );
}

#[test]
fn a_folder_is_read_with_all_inside_it() {
    let files: &[(&str, &[u8])] = &[
        ("a.py", LOOP),
        ("pkg/b.pyw", LOOP),
        (
            "pkg/script",
            b"#!/usr/bin/env python\nimport asyncore\nasyncore.loop()\n",
        ),
        ("pkg/shell", b"#!/bin/sh\nasyncore.loop()\n"),
        ("pkg/text.txt", LOOP),
        (".git/c.py", LOOP),
        ("__pycache__/d.py", LOOP),
    ];
    let folder = folder(files);
    let output = run(folder.path(), &["."]);
    check(&output, 0, "Files: 3, of which 0 with errors", "");
    // An argument inside another is read once.
    check(
        &run(folder.path(), &[".", "a.py", "pkg"]),
        0,
        "Files: 3, of which 0 with errors",
        "",
    );
}

#[test]
fn names_of_the_source_do_not_reach_the_terminal_as_they_are() {
    let text = "import asyncore\nasyncore.loop() # \u{1b}[2J\u{202e}\nclass A(asyncore.dispatcher):\n  e\u{301}\u{ad} = 1\n";
    let folder = folder(&[("a.py", text.as_bytes())]);
    let output = run(folder.path(), &["a.py"]);
    check(&output, 1, "| asyncore.loop() # \\u{1b}[2J\\u{202e}", "");
    let all = [output.stdout, output.stderr].concat();
    assert!(!all.contains(&0x1b));
    assert!(!String::from_utf8_lossy(&all).contains(['\u{202e}', '\u{ad}']));
}

#[test]
fn what_is_no_text_of_python_is_refused_with_the_reason() {
    let files: &[(&str, &[u8])] = &[
        ("binary.py", b"\x7fELF\0\0"),
        ("wide.py", b"\xff\xfei\0m\0"),
        ("empty.py", b""),
        ("latin.py", b"x = '\xe9'\n"),
        ("cookie.py", b"# coding: nonsense\nx = '\xe9'\n"),
        ("mac.py", b"import asyncore\rasyncore.loop()\r"),
        (
            "mark.py",
            b"\xef\xbb\xbfimport asyncore\r\nasyncore.loop()\r\n",
        ),
    ];
    let folder = folder(files);
    let at = folder.path();
    check(
        &run(at, &["binary.py"]),
        1,
        "",
        "binary.py: error: is no text: byte 4 is 0",
    );
    check(
        &run(at, &["wide.py"]),
        1,
        "",
        "wide.py: error: is UTF-16, which Python does not read",
    );
    check(&run(at, &["empty.py"]), 0, "Classes: 0", "");
    check(
        &run(at, &["latin.py"]),
        0,
        "",
        "latin.py: warning: is not UTF-8 and names no encoding: read as Latin-1",
    );
    check(
        &run(at, &["cookie.py"]),
        0,
        "",
        "cookie.py: warning: names the unknown encoding nonsense",
    );
    check(&run(at, &["mac.py"]), 0, "mac.py:2:1: name: loop", "");
    check(&run(at, &["mark.py"]), 0, "mark.py:2:1: name: loop", "");
}

#[test]
fn each_limit_names_its_option() {
    let folder = folder(&[("a.py", LOOP), ("b.py", LOOP), ("c/d/e.py", LOOP)]);
    let at = folder.path();
    for (option, value, message) in [
        (
            "--max-file-size",
            "10",
            "a.py: error: has more bytes than --max-file-size",
        ),
        (
            "--max-total-size",
            "40",
            "b.py: error: all files have more bytes than --max-total-size",
        ),
        (
            "--max-nodes",
            "10",
            "b.py: error: all files have more nodes than --max-nodes",
        ),
        (
            "--max-files",
            "2",
            "error: all folders have more files than --max-files",
        ),
        ("--max-depth", "1", "error: is deeper than --max-depth"),
        (
            "--max-steps",
            "0",
            "a.py: error: too far from Python to be parsed within --max-steps for each byte",
        ),
    ] {
        let long = b"x = 1\n".repeat(100_000);
        let files: &[&str] = if option == "--max-steps" {
            &["a.py"]
        } else {
            &["."]
        };
        if option == "--max-steps" {
            fs::write(at.join("a.py"), &long).unwrap();
        }
        check(
            &run(at, &[&[option, value], files].concat()),
            1,
            "",
            message,
        );
    }
}

#[test]
fn files_above_the_default_size_are_refused() {
    let statements = |bytes: usize| b"x=1;".repeat(bytes / 4);
    let folder = folder(&[
        ("small.py", &statements(2 << 20)),
        ("large.py", &statements((2 << 20) + 4)),
    ]);
    let at = folder.path();
    check(
        &run(at, &["small.py"]),
        0,
        "Files: 1, of which 0 with errors",
        "",
    );
    check(
        &run(at, &["large.py"]),
        1,
        "",
        "large.py: error: has more bytes than --max-file-size",
    );
}

#[test]
fn copies_of_the_modules_have_names_or_are_named() {
    let folder = folder(&[(
        "a.py",
        b"from lib import loops\nimport chats\nloops.loop()\nclass A(chats.async_chat): pass\n",
    )]);
    check(&run(folder.path(), &["a.py"]), 0, "Classes: 0", "");
    let named = ["--asyncore", "lib.loops", "--asynchat", "chats", "a.py"];
    check(&run(folder.path(), &named), 0, "a.py:3:1: name: loop", "");
    check(&run(folder.path(), &named), 0, "a.py:4:1: class: A", "");
}

#[cfg(unix)]
#[test]
fn links_in_a_circle_and_files_that_are_none_do_not_hang_it() {
    use std::os::unix::fs::symlink;

    let folder = folder(&[("a.py", LOOP), ("sub/b.py", LOOP)]);
    let at = folder.path();
    symlink("..", at.join("sub/up")).unwrap();
    symlink("itself.py", at.join("itself.py")).unwrap();
    symlink("a.py", at.join("again.py")).unwrap();
    assert!(
        Command::new("mkfifo")
            .arg(at.join("pipe.py"))
            .status()
            .unwrap()
            .success()
    );
    check(
        &run(at, &["."]),
        1,
        "Files: 4, of which 2 with errors",
        "itself.py: error: ",
    );
    check(
        &run(at, &["."]),
        1,
        "",
        "pipe.py: error: is no regular file",
    );
    check(
        &run(at, &["pipe.py"]),
        1,
        "",
        "pipe.py: error: is no regular file",
    );
    check(
        &run(at, &["/dev/null"]),
        1,
        "",
        "/dev/null: error: is no regular file",
    );
}

/// The size of a file that the system makes up is 0, and to read it may block.
#[cfg(target_os = "linux")]
#[test]
fn a_file_without_a_size_is_not_read() {
    let folder = folder(&[]);
    let at = folder.path();
    std::os::unix::fs::symlink("/proc/self/cmdline", at.join("made.py")).unwrap();
    // It has bytes that are 0, which would be an error.
    check(
        &run(at, &["made.py"]),
        0,
        "Files: 1, of which 0 with errors",
        "",
    );
}

#[test]
fn a_reader_that_has_seen_enough_ends_it_quietly() {
    let text = [
        b"import asyncore\n".to_vec(),
        b"asyncore.loop()\n".repeat(20_000),
    ]
    .concat();
    let folder = folder(&[("a.py", &text)]);
    for option in [&["a.py"][..], &["--json", "a.py"]] {
        let mut command = program();
        command
            .current_dir(folder.path())
            .args(option)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut start = [0; 10];
        child.stdout.take().unwrap().read_exact(&mut start).unwrap();
        let output = child.wait_with_output().unwrap();
        check(&output, 0, "", "");
        assert_eq!(output.stderr, b"");
    }
}

#[test]
fn programs_of_any_size_and_depth_are_read() {
    let deep = |open: &str, close: &str| {
        [
            b"x = ".to_vec(),
            open.repeat(100_000).into(),
            b"y".to_vec(),
            close.repeat(100_000).into(),
        ]
        .concat()
    };
    let classes: String = (0..24_000).map(|n| format!("class A{n}(asyncore.dispatcher):\n    def handle_read(self):\n        self.close()\n")).collect();
    let long = format!("import asyncore\n{classes}");
    let files: &[(&str, &[u8])] = &[
        ("brackets.py", &deep("(", ")")),
        ("open.py", &deep("(", "")),
        ("signs.py", &deep("-", "")),
        ("lambdas.py", &deep("lambda: ", "")),
        ("calls.py", &deep("f(", ")")),
        ("attributes.py", &deep("", ".a")),
        ("long.py", long.as_bytes()),
    ];
    let folder = folder(files);
    for (name, _) in files {
        let status = i32::from(*name == "open.py");
        let out = if *name == "long.py" {
            "Classes: 24000; callbacks: 24000"
        } else {
            "Classes: 0"
        };
        check(&run(folder.path(), &[name]), status, out, "");
    }
}
