//! The work grows with the size of a program, and not with its square: what is allocated is counted, for a program of a
//! shape and for one twice as long.

use asynchat_port::{find, json, report};
use util::heap::{self, Counting};

mod common;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Repetitions in the smaller program.
const SIZE: usize = 400;

/// Tables grow in steps, so twice the size may need a little more than twice the allocations.
const GROWTH: usize = 250;

const HEAD: &str = "import asynchat, asyncore, threading, time\n";
const CHAT: &str = "class A(asynchat.async_chat):\n def found_terminator(self):\n";

/// Name, text before, repeated text, text behind. `%` stands for the number.
const SHAPES: &[(&str, &str, &str, &str)] = &[
    ("attributes of attributes", "x = a", ".b", "\n"),
    (
        "calls inside each other",
        "class A(asynchat.async_chat):\n def found_terminator(self):\n  ",
        "self.push(",
        "\n",
    ),
    ("brackets inside each other", "x = ", "(", "\n"),
    ("lists inside each other", "x = ", "[", "\n"),
    (
        "closes behind pushes",
        CHAT,
        "  self.push(1)\n  self.close()\n",
        "",
    ),
    (
        "branches",
        CHAT,
        "  if x:\n   self.push(1)\n   self.close()\n",
        "",
    ),
    (
        "one line",
        "class A(asynchat.async_chat):\n def found_terminator(self):\n  ",
        "self.push(1);",
        "\n",
    ),
    (
        "blocking calls",
        CHAT,
        "  self.push(1)\n  time.sleep(1)\n",
        "",
    ),
    (
        "functions that call the next",
        "class A(asynchat.async_chat):\n",
        " def f%(self):\n  self.f%()\n  time.sleep(1)\n",
        "",
    ),
    ("names of names", "", "a = a.b\n", "class A(a.x): pass\n"),
    ("imports of all", "", "from m% import *\n", "x.y()\n"),
    (
        "modules under one name",
        "",
        "import x% as asyncore\n",
        "asyncore.loop()\n",
    ),
    (
        "attributes",
        "class A(asynchat.async_chat):\n def f(self):\n",
        "  self.a% = []\n",
        "",
    ),
    (
        "targets of an assignment",
        "class A(asynchat.async_chat):\n def f(self):\n  ",
        "self.a = ",
        "1\n",
    ),
    ("classes", "", "class A%(asyncore.dispatcher): pass\n", ""),
    ("loops", "", "asyncore.loop()\n", ""),
    (
        "threads",
        CHAT,
        "  threading.Thread(target=self.found_terminator)\n",
        "",
    ),
    ("backquotes", "", "x = `a.b`\n", ""),
    (
        "lambdas",
        CHAT,
        "  self.later(lambda channel=self: channel.push(time.sleep(1)))\n",
        "",
    ),
    (
        "lambdas inside each other",
        "class A(asynchat.async_chat):\n def found_terminator(self):\n  ",
        "lambda a%: self.push(",
        "\n",
    ),
    ("calls of super()", CHAT, "  super().push(1)\n", ""),
    (
        "mixins",
        "",
        "class M%:\n def f(self): super().f()\nclass A%(M%, asyncore.dispatcher): pass\n",
        "",
    ),
    (
        "names as text",
        CHAT,
        "  getattr(self, 'push')(1)\n  getattr(self, 'f%')\n",
        "",
    ),
    (
        "functions inside functions",
        CHAT,
        "  def f%(): time.sleep(1)\n  threading.Thread(target=f%)\n",
        "",
    ),
    ("faults", "", "x = = 1\n", ""),
    ("exec", "", "exec f(x) in y\n", ""),
];

fn text(shape: &(&str, &str, &str, &str), size: usize) -> String {
    let (_, before, repeated, behind) = shape;
    let repeated: String = (0..size)
        .map(|number| repeated.replace('%', &number.to_string()))
        .collect();
    format!("{HEAD}{before}{repeated}{behind}")
}

/// Allocations, and bytes of all of them.
fn cost(text: &str) -> (usize, usize) {
    let (allocations, total) = (heap::allocations(), heap::total());
    let loaded = common::load(&[("a.py", text)]);
    let found = find::find(&loaded);
    let mut out = std::io::sink();
    report::write(&mut out, &loaded, &found)
        .and_then(|()| json::write(&mut out, &loaded, &found))
        .unwrap_or(());
    (heap::allocations() - allocations, heap::total() - total)
}

#[test]
fn a_program_twice_as_long_costs_twice_as_much() {
    let mut wrong = Vec::new();
    for shape in SHAPES {
        let (small, large) = (cost(&text(shape, SIZE)), cost(&text(shape, 2 * SIZE)));
        for (what, small, large) in [
            ("allocations", small.0, large.0),
            ("bytes", small.1, large.1),
        ] {
            if large * 100 > small * GROWTH {
                wrong.push(format!(
                    "{}: {small} {what}, twice as long {large}",
                    shape.0
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
