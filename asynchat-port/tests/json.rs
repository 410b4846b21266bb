//! The report as JSON: all that the text says, for other programs.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use asynchat_port::{find, json};
use serde_json::{Value, json};

const TEXT: &str = "\
import asynchat, time
class Session(asynchat.async_chat):
    def __init__(self, sock):
        self.line = b''
    def found_terminator(self):
        self.push(1)
        self.close()
        time.sleep(1)
x = = 1
";

fn report() -> Value {
    let loaded = common::load(&[
        ("a.py", TEXT),
        (
            "b.py",
            "import asyncore\nclass Session(asyncore.dispatcher): handle_read = None\n",
        ),
        ("lib/wasyncore.py", "class dispatcher: pass\n"),
    ]);
    let mut out = Vec::new();
    json::write(&mut out, &loaded, &find::find(&loaded)).unwrap();
    serde_json::from_slice(&out).unwrap()
}

#[test]
fn files_classes_and_the_summary_are_there() {
    let report = report();
    assert_eq!(report["version"], 1);
    assert_eq!(report["files"][0]["path"], "a.py");
    assert_eq!(
        report["files"][0]["errors"],
        json!(["9:5: no Python: x = = 1"])
    );
    assert_eq!(report["files"][2]["copy_of"], "asyncore");
    let class = json!({
        "name": "Session", "file": "a.py", "line": 2, "column": 1, "bases": ["asynchat.async_chat"], "root": "async_chat",
        "methods": ["__init__", "found_terminator"],
        "attributes": [{"name": "line", "line": 4, "value": {"kind": "bytes"}}],
    });
    assert_eq!(report["classes"][0], class);
    assert_eq!(report["summary"]["classes"], 2);
    assert_eq!(report["summary"]["faulty_files"], 1);
    assert_eq!(report["unread"], json!([]));
}

#[test]
fn classes_of_one_name_are_told_apart_in_the_order() {
    let place = |file| json!({"name": "Session", "file": file, "line": 2, "column": 1});
    assert_eq!(report()["order"], json!([place("a.py"), place("b.py")]));
}

#[test]
fn a_finding_has_its_place_its_entry_and_the_reason() {
    let report = report();
    let findings = report["findings"].as_array().unwrap();
    let find = |line: u64, kind: &str| {
        findings
            .iter()
            .find(|one| one["line"] == line && one["kind"] == kind)
            .unwrap()
    };
    let push = find(6, "method");
    assert_eq!(
        (&push["file"], &push["column"], &push["name"]),
        (&json!("a.py"), &json!(14), &json!("push"))
    );
    assert_eq!(push["anchor"], "async_chat");
    assert!(
        push["advice"]
            .as_str()
            .unwrap()
            .starts_with("`chat.push(data)`")
    );
    let difference = findings
        .iter()
        .find(|one| one["name"] == "push, then close")
        .unwrap();
    assert!(
        difference["python"]
            .as_str()
            .unwrap()
            .starts_with("every `push` sends at once")
    );
    assert!(
        difference["here"]
            .as_str()
            .unwrap()
            .starts_with("one visit's pushes")
    );
    assert_eq!(find(8, "pitfall")["because"], "in Session.found_terminator");
}
