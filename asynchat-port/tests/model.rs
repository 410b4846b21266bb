//! Classes, their roots, methods and attributes, over files.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use asynchat_port::{
    library::Root,
    load::Loaded,
    model::{Class, Value},
};
use common::load;

fn class<'a>(loaded: &'a Loaded, name: &str) -> &'a Class {
    let mut classes = loaded.program.classes.iter();
    classes.find(|class| class.qualified == name).unwrap()
}

/// Each class of a program of one file with its root.
#[track_caller]
fn roots(files: &[(&str, &str)], expected: &[(&str, Option<Root>)]) {
    let loaded = load(files);
    for module in &loaded.program.modules {
        assert_eq!(module.tree.faults(), [], "{}", module.path);
    }
    for (name, root) in expected {
        assert_eq!(class(&loaded, name).root, *root, "{name}");
    }
}

#[test]
fn a_class_descends_by_each_kind_of_import() {
    let chat = Some(Root::AsyncChat);
    for import in [
        "import asynchat\nclass A(asynchat.async_chat): pass",
        "import asyncore, asynchat as a\nclass A(a.async_chat): pass",
        "from asynchat import async_chat\nclass A(async_chat): pass",
        "from asynchat import async_chat as Base\nclass A(Base): pass",
        "from asynchat import *\nclass A(async_chat): pass",
        "import asynchat\nBase = asynchat.async_chat\nclass A(Base): pass",
        "import asynchat\nclass A(object, metaclass=M): pass\nclass A(Mixin, asynchat.async_chat): pass\nA2 = A",
        "try:\n    import asynchat\nexcept ImportError:\n    from compat import asynchat\nclass A(asynchat.async_chat): pass",
        "from supervisor.medusa import asynchat_25 as asynchat\nclass A(asynchat.async_chat): pass",
        "from .compat import asynchat\nclass A(asynchat.async_chat): pass",
        "from . import pyasynchat\nclass A(pyasynchat.async_chat): pass",
        "import compat.asynchat\nclass A(compat.asynchat.async_chat): pass",
        "import smtpd\nclass A(smtpd.SMTPChannel): pass",
        "from pyftpdlib.handlers import FTPHandler\nclass A(FTPHandler): pass",
        "if 1:\n    import asynchat\n    class A(asynchat.async_chat):\n        pass",
        "import asynchat\nclass async_chat(asynchat.async_chat): pass\nclass A(async_chat): pass",
        "def f():\n    import asynchat\n    class A(asynchat.async_chat): pass",
        "import importlib\nasynchat = importlib.import_module('asynchat')\nclass A(asynchat.async_chat): pass",
        "from test import support\nchat = support.import_deprecated('asynchat')\nclass A(chat.async_chat): pass",
    ] {
        let loaded = load(&[("a.py", import)]);
        let last = loaded
            .program
            .classes
            .iter()
            .rfind(|class| class.name == "A")
            .unwrap();
        assert_eq!(last.root, chat, "{import}");
    }
}

#[test]
fn a_class_of_another_module_with_the_same_name_descends_from_nothing() {
    for text in [
        "class dispatcher: pass\nclass A(dispatcher): pass",
        "from events import dispatcher\nclass A(dispatcher): pass",
        "import events\nclass A(events.dispatcher): pass",
        "from other.asyncore import pool\nclass A(pool.dispatcher): pass",
        "class A(A): pass",
        "class A(B): pass\nclass B(A): pass",
        "A = B\nB = A\nclass A(A.x): pass",
        "asyncore = load('asyncore')\nclass A(asyncore.dispatcher): pass",
    ] {
        roots(&[("a.py", text)], &[("A", None)]);
    }
}

#[test]
fn classes_descend_through_each_other_across_files() {
    let files = [
        ("pkg/__init__.py", ""),
        (
            "pkg/base.py",
            "import asyncore\nclass Base(asyncore.dispatcher):\n    class Inner(asyncore.dispatcher): pass\n",
        ),
        (
            "pkg/middle.py",
            "from .base import Base\nfrom pkg import base\nclass Middle(Base): pass\nclass Other(base.Base.Inner): pass\n",
        ),
        (
            "main.py",
            "from pkg.middle import *\nimport pkg.middle as m\nclass Leaf(Middle): pass\nclass Leaf2(m.Middle, m.Other): pass\n",
        ),
    ];
    let root = Some(Root::Dispatcher);
    roots(
        &files,
        &[
            ("Base", root),
            ("Base.Inner", root),
            ("Middle", root),
            ("Other", root),
            ("Leaf", root),
            ("Leaf2", root),
        ],
    );
}

#[test]
fn a_copy_in_the_program_is_the_library_under_any_name_and_a_package_of_its_name_is_not() {
    let files = [
        ("lib/__init__.py", ""),
        (
            "lib/wasyncore.py",
            "class dispatcher: pass\nclass file_dispatcher(dispatcher): pass\ndef loop(): pass\n",
        ),
        (
            "lib/use.py",
            "from lib import wasyncore\nclass A(wasyncore.dispatcher): pass\n",
        ),
        (
            "lib/pollchoose.py",
            "class dispatcher: pass\ndef loop(): pass\ndef readwrite(): pass\ndef compact_traceback(): pass\n",
        ),
        (
            "lib/chats.py",
            "class async_chat: pass\ndef find_prefix_at_end(): pass\n",
        ),
        (
            "lib/events.py",
            "class dispatcher: pass\ndef loop(): pass\n",
        ),
        (
            "lib/users.py",
            "import lib.pollchoose as asyncore\nfrom lib import chats, events\nclass D(asyncore.dispatcher): pass\n\
             class E(chats.async_chat): pass\nclass F(events.dispatcher): pass\n",
        ),
        ("net/__init__.py", ""),
        ("net/asyncore/__init__.py", ""),
        (
            "net/asyncore/base.py",
            "import asyncore\nclass B(asyncore.dispatcher): pass\n",
        ),
        (
            "net/asyncore/udp.py",
            "from net.asyncore.base import B\nclass C(B): pass\n",
        ),
    ];
    let root = Some(Root::Dispatcher);
    roots(
        &files,
        &[
            ("A", root),
            ("B", root),
            ("C", root),
            ("D", root),
            ("E", Some(Root::AsyncChat)),
            ("F", None),
            ("dispatcher", None),
        ],
    );
}

#[test]
fn methods_and_attributes_are_found_with_their_first_values() {
    let text = "\
import asynchat
class S(asynchat.async_chat):
    limit = 10
    def __init__(self, sock, server=None):
        self.server = server
        self.line, self.count = b'', 0
        self.a = self.b = []
        self.names = {}
        self.job = None
        self.who = socket.getfqdn()
    def run(this):
        this.job = Job()
        def inner(self): self.nothing = 1
        def other(): this.late = 1.5
    @staticmethod
    def make(self): self.none = 1
";
    let loaded = load(&[("s.py", text)]);
    let found = class(&loaded, "S");
    let found: Vec<_> = found
        .attributes
        .iter()
        .map(|one| (one.name.as_str(), one.guess.clone()))
        .collect();
    let call = |name: &str| Value::Call(name.to_owned());
    let expected = [
        ("limit", Value::Int),
        ("server", Value::Name("server".to_owned())),
        ("line", Value::Bytes),
        ("count", Value::Int),
        ("a", Value::List),
        ("b", Value::List),
        ("names", Value::Dict),
        ("job", call("Job")),
        ("who", call("socket.getfqdn")),
        ("late", Value::Float),
    ];
    assert_eq!(found, expected);
    let run = loaded
        .program
        .method(class(&loaded, "S").id, "run")
        .unwrap();
    assert_eq!(loaded.program[run].receiver(), Some("this"));
}

#[test]
fn a_long_chain_of_classes_has_a_root() {
    let mut text = String::from("import asyncore\nclass C0(asyncore.dispatcher): pass\n");
    for number in 1..5000 {
        text += &format!("class C{number}(C{}): pass\n", number - 1);
    }
    roots(&[("a.py", &text)], &[("C4999", Some(Root::Dispatcher))]);
}
