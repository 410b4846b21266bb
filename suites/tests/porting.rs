//! `docs/porting.md` keeps what it says: every Rust block is compiled, no name of asyncore and asynchat and no idiom is
//! left out, and the program before and the one after answer alike.

#![allow(clippy::unwrap_used, reason = "the helpers of a test are part of it")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use suites::{program, root};

/// The versions that still have the two modules.
const PYTHONS: [&str; 5] = [
    "python3.11",
    "python3",
    "python3.10",
    "python3.9",
    "python3.8",
];

/// Every public name, by the section of the page that has to name it. Private ones and instance attributes are there
/// where programs use them.
const NAMES: [(&str, &[&str]); 8] = [
    (
        "Module asyncore",
        &[
            "loop",
            "poll",
            "poll2",
            "poll3",
            "socket_map",
            "read",
            "write",
            "_exception",
            "readwrite",
            "close_all",
            "compact_traceback",
            "ExitNow",
            "_reraised_exceptions",
            "_DISCONNECTED",
            "_strerror",
            "dispatcher",
            "dispatcher_with_send",
            "file_dispatcher",
            "file_wrapper",
            "errorcode",
        ],
    ),
    (
        "Attributes of dispatcher",
        &[
            "debug",
            "connected",
            "connecting",
            "accepting",
            "closing",
            "addr",
            "ignore_log_types",
            "socket",
            "_fileno",
            "_map",
            "family_and_type",
        ],
    ),
    (
        "Methods of dispatcher",
        &[
            "__init__",
            "__repr__",
            "add_channel",
            "del_channel",
            "create_socket",
            "set_socket",
            "set_reuse_addr",
            "bind",
            "listen",
            "connect",
            "accept",
            "send",
            "recv",
            "close",
            "log",
            "log_info",
            "readable",
            "writable",
            "handle_read_event",
            "handle_write_event",
            "handle_connect_event",
            "handle_expt_event",
            "handle_read",
            "handle_write",
            "handle_connect",
            "handle_accept",
            "handle_accepted",
            "handle_close",
            "handle_expt",
            "handle_error",
        ],
    ),
    (
        "dispatcher_with_send",
        &[
            "__init__",
            "out_buffer",
            "send",
            "initiate_send",
            "handle_write",
            "writable",
        ],
    ),
    (
        "file_wrapper and file_dispatcher",
        &[
            "file_wrapper.__init__",
            "file_wrapper.fd",
            "file_wrapper.recv",
            "file_wrapper.read",
            "file_wrapper.send",
            "file_wrapper.write",
            "file_wrapper.getsockopt",
            "file_wrapper.close",
            "file_wrapper.__del__",
            "file_wrapper.fileno",
            "file_dispatcher.__init__",
            "file_dispatcher.set_file",
        ],
    ),
    (
        "Module asynchat",
        &[
            "async_chat",
            "simple_producer",
            "find_prefix_at_end",
            "fifo",
        ],
    ),
    (
        "async_chat",
        &[
            "__init__",
            "ac_in_buffer_size",
            "ac_out_buffer_size",
            "use_encoding",
            "encoding",
            "ac_in_buffer",
            "incoming",
            "_collect_incoming_data",
            "_get_data",
            "producer_fifo",
            "terminator",
            "collect_incoming_data",
            "found_terminator",
            "set_terminator",
            "get_terminator",
            "handle_read",
            "handle_write",
            "writable",
            "initiate_send",
            "readable",
            "handle_close",
            "push",
            "push_with_producer",
            "close_when_done",
            "discard_buffers",
            "refill_buffer",
            "ac_out_buffer",
        ],
    ),
    (
        "simple_producer, producers and fifo",
        &[
            "simple_producer.__init__",
            "simple_producer.data",
            "simple_producer.buffer_size",
            "more",
            "push",
            "first",
            "pop",
            "is_empty",
            "__len__",
        ],
    ),
];

/// Prints what the two modules define, as `section name`; imported names are no part of them.
const INTROSPECTION: &str = r#"
import errno, inspect, warnings
warnings.simplefilter("ignore")
import asyncore, asynchat
SECTIONS = {
    "dispatcher": ("Methods of dispatcher", "Attributes of dispatcher", ""),
    "dispatcher_with_send": ("dispatcher_with_send",) * 2 + ("",),
    "file_wrapper": ("file_wrapper and file_dispatcher",) * 2 + ("file_wrapper.",),
    "file_dispatcher": ("file_wrapper and file_dispatcher",) * 2 + ("file_dispatcher.",),
    "async_chat": ("async_chat",) * 2 + ("",),
}
IGNORED = {"_DEPRECATION_MSG", "_deprecated", "deque", *dir(errno)}
DUNDER = {"__init__", "__repr__", "__del__"}
for module in (asyncore, asynchat):
    for name, value in vars(module).items():
        if name in IGNORED or name.startswith("__") or inspect.ismodule(value):
            continue
        print("Module %s|%s" % (module.__name__, name))
        if not isinstance(value, type) or name == "ExitNow":
            continue
        for attribute, what in vars(value).items():
            if attribute.startswith("__") and attribute not in DUNDER:
                continue
            if name == "simple_producer":
                label = "more" if attribute == "more" else "simple_producer." + attribute
                print("simple_producer, producers and fifo|%s" % label)
            else:
                methods, attributes, prefix = SECTIONS[name]
                print("%s|%s%s" % (methods if callable(what) else attributes, prefix, attribute))
"#;

fn page() -> String {
    fs::read_to_string(root().join("docs/porting.md")).unwrap()
}

/// The fenced blocks: what stands behind the fence, the text, and the line it begins in.
fn blocks(page: &str) -> Vec<(&str, String, usize)> {
    let mut blocks: Vec<(&str, String, usize)> = Vec::new();
    let mut open = false;
    for (number, line) in page.lines().enumerate() {
        match line.strip_prefix("```") {
            Some(info) if !open => {
                blocks.push((info, String::new(), number + 1));
                open = true;
            }
            Some(_) => open = false,
            None if open => {
                let (_, text, _) = blocks.last_mut().unwrap();
                text.push_str(line);
                text.push('\n');
            }
            None => {}
        }
    }
    assert!(!open, "a block is not closed");
    blocks
}

fn without_indent(lines: &[String]) -> String {
    let indent = lines
        .iter()
        .filter(|line| !line.is_empty())
        .map(|line| line.len() - line.trim_start().len())
        .min()
        .unwrap_or(0);
    let mut text = String::new();
    for line in lines {
        text.push_str(line.get(indent..).unwrap_or(""));
        text.push('\n');
    }
    text
}

/// What stands between `// region NAME` and `// end` in the files of the example; several pieces of a name with an
/// empty line between them.
fn regions() -> BTreeMap<String, String> {
    let mut regions = BTreeMap::<String, String>::new();
    let mut files: Vec<PathBuf> = fs::read_dir(root().join("examples/porting"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    for file in files {
        let mut open: Option<(String, Vec<String>)> = None;
        for line in fs::read_to_string(&file).unwrap().lines() {
            if let Some(name) = line.trim().strip_prefix("// region ") {
                assert!(open.is_none(), "{}: regions overlap", file.display());
                open = Some((name.into(), Vec::new()));
            } else if line.trim() == "// end" {
                let (name, lines) = open.take().unwrap();
                let text = regions.entry(name).or_default();
                if !text.is_empty() {
                    text.push('\n');
                }
                text.push_str(&without_indent(&lines));
            } else if let Some((_, lines)) = &mut open {
                lines.push(line.into());
            }
        }
        assert!(open.is_none(), "{}: a region has no end", file.display());
    }
    regions
}

/// The part of the page below a heading, up to the next one.
fn section<'p>(page: &'p str, heading: &str) -> &'p str {
    let (_, rest) = page
        .split_once(&format!("\n### {heading}\n"))
        .unwrap_or_else(|| panic!("no heading {heading:?}"));
    rest.split_once("\n## ")
        .map_or(rest, |(part, _)| part)
        .split("\n### ")
        .next()
        .unwrap()
}

/// The names in code in the first column of a section's tables, without what is in parentheses.
fn named(section: &str) -> BTreeSet<String> {
    section
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" | ").next())
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .map(|code| code.split('(').next().unwrap().to_owned())
        .collect()
}

fn list() -> BTreeSet<(String, String)> {
    NAMES
        .iter()
        .flat_map(|(section, names)| names.iter().map(|&name| ((*section).into(), name.into())))
        .collect()
}

/// A Python that still has asyncore.
fn python() -> Option<&'static str> {
    PYTHONS.into_iter().find(|python| {
        Command::new(python)
            .args(["-W", "ignore", "-c", "import asyncore, asynchat"])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    })
}

#[test]
fn every_rust_block_is_a_doctest_or_stands_in_the_example() {
    let page = page();
    let regions = regions();
    let mut shown = BTreeSet::new();
    for (info, text, line) in blocks(&page) {
        let region = regions.iter().find(|(_, code)| **code == text);
        shown.extend(region.map(|(name, _)| name.as_str()));
        match info {
            "rs" => assert!(
                region.is_some(),
                "line {line}: not in examples/porting:\n{text}"
            ),
            // Commands are for the suite of the documents, and what a tool prints for its own tests.
            "rust" | "rust,no_run" | "python" | "sh" | "text" => {}
            other => panic!("line {line}: nobody checks a block of {other:?}"),
        }
    }
    let library = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    assert!(
        library.contains(r#"include_str!("../docs/porting.md")"#),
        "the page's doctests do not run"
    );
    let all: BTreeSet<&str> = regions.keys().map(String::as_str).collect();
    assert_eq!(
        shown, all,
        "the page does not show all regions of the example"
    );
}

#[test]
fn every_name_of_the_two_modules_has_a_row() {
    let page = page();
    let missing: Vec<_> = list()
        .into_iter()
        .filter(|(heading, name)| !named(section(&page, heading)).contains(name))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn the_list_of_names_is_that_of_python() {
    let Some(python) = python() else {
        suites::missing("Python with asyncore");
        return;
    };
    let output = Command::new(python)
        .args(["-c", INTROSPECTION])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let list = list();
    let missing: Vec<&str> = text
        .lines()
        .filter(|line| {
            let (section, name) = line.split_once('|').unwrap();
            !list.contains(&(section.into(), name.into()))
        })
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(text.lines().count() > 80, "Python said too little:\n{text}");
}

#[test]
fn the_idioms_are_numbered_in_reading_order_and_each_is_followed_by_rust() {
    let page = page();
    let idioms = page.split_once("\n## Idioms\n").unwrap().1;
    let idioms = idioms.split_once("\n## ").unwrap().0;
    let mut seen = Vec::new();
    let mut waiting = Vec::new();
    for line in idioms.lines() {
        let bold = line.split("**").skip(1).step_by(2);
        for number in bold.filter_map(|text| text.strip_suffix('.')?.parse::<u32>().ok()) {
            seen.push(number);
            waiting.push(number);
        }
        if line.starts_with("### ") {
            assert_eq!(waiting, [0; 0], "without Rust before {line}");
        }
        if line == "```rs" {
            waiting.clear();
        }
    }
    assert_eq!(waiting, [0; 0], "without Rust");
    let all: Vec<u32> = (1..).take(seen.len()).collect();
    assert_eq!(seen, all, "in reading order");
    assert!(seen.len() >= 65, "only {} idioms", seen.len());
}

/// A program that listens, ended when the test is over.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(command: &mut Command) -> Self {
        let mut child = command
            .arg("0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line.trim().strip_prefix("listening on ").map(Into::into);
        let address = address.unwrap_or_else(|| panic!("it says {line:?}"));
        Self { child, address }
    }

    /// What comes back for `request`, sent in one piece or byte by byte; `half_close` ends our side behind it.
    fn ask(&self, request: &str, bytewise: bool, half_close: bool) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        stream.set_nodelay(true).unwrap();
        let size = if bytewise { 1 } else { request.len() };
        for piece in request.as_bytes().chunks(size) {
            stream.write_all(piece).unwrap();
        }
        if half_close {
            stream.shutdown(Shutdown::Write).unwrap();
        }
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const DIALOGUE: &str =
    "SET tea Earl Grey, héiß\r\nget tea\r\nGET coffee\r\nwhat\r\nset empty\r\nget empty\r\n\r\n";
const ANSWER: &str = "220 notes\r\n250 ok\r\n250 Earl Grey, héiß\r\n404 no such note\r\n500 what?\r\n250 ok\r\n250 \r\n500 what?\r\n";

fn speaks(server: &Server) {
    for bytewise in [false, true] {
        let answer = server.ask(&format!("{DIALOGUE}quit\r\n"), bytewise, false);
        assert_eq!(answer, format!("{ANSWER}221 bye\r\n"));
    }
    let other = server.ask("get tea\r\nquit\r\n", false, false);
    assert_eq!(other, "220 notes\r\n250 Earl Grey, héiß\r\n221 bye\r\n");
}

#[test]
fn the_program_after_answers_as_the_page_says() {
    let server = Server::start(&mut program::example("porting"));
    speaks(&server);
    let answer = server.ask(DIALOGUE, false, true);
    assert_eq!(answer, ANSWER, "to a client that half-closes");
    let mut stream = TcpStream::connect(&server.address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    // Without waiting for it the greeting would be lost with the channel.
    let mut greeting = [0; 11];
    stream.read_exact(&mut greeting).unwrap();
    stream.write_all(&[b'x'; 2000]).unwrap();
    assert_eq!(
        stream.read(&mut greeting).unwrap(),
        0,
        "after a line without end"
    );
}

#[test]
fn the_program_before_answers_the_same() {
    let Some(python) = python() else {
        suites::missing("Python with asyncore");
        return;
    };
    let page = page();
    let (_, program, _) = blocks(&page)
        .into_iter()
        .find(|(info, text, _)| *info == "python" && text.contains("asyncore.loop()"))
        .unwrap();
    let server = Server::start(Command::new(python).args(["-W", "ignore", "-c", &program]));
    speaks(&server);
}
