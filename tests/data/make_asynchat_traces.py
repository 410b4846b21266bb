#!/usr/bin/env python3
"""Records how CPython's asynchat cuts streams into frames: writes asynchat_traces.txt next to this file.

Needs a Python that still ships asynchat (3.11 or older). The output is the same on every run.

    python3 tests/data/make_asynchat_traces.py
"""

import pathlib
import random
import sys
import warnings

warnings.simplefilter("ignore", DeprecationWarning)
import asynchat  # noqa: E402

HEADER = """\
# How CPython's asynchat cuts streams. Written by make_asynchat_traces.py; do not edit.
#
# A case is a run of lines, each a keyword and fields separated by blanks:
#   case NAME
#   terms TERM...   the first is set at the start, each found_terminator() sets the next if one is left
#   set TERM        set_terminator(TERM) between two reads
#   read HEX        one handle_read() whose recv() gave these bytes
#   got CALL...     the calls that read made: c:HEX is collect_incoming_data, f is found_terminator
#   left HEX        what asynchat kept in ac_in_buffer at the end of the case (it loses it at end of file)
# TERM is b:HEX, n:COUNT (1 or more) or none.
"""

BOUNDARY = b"\r\n--" + b"=_Part_0123456789_" * 3 + b"--MIME--Part"


class Chat(asynchat.async_chat):
    """A channel without a socket: what recv() returns is put into `incoming_read`."""

    def __init__(self, terms):
        super().__init__(map={})
        self.terms = list(terms)
        self.calls = []
        self.next_terminator()

    def next_terminator(self):
        if self.terms:
            self.set_terminator(self.terms.pop(0))

    def recv(self, _size):
        return self.incoming_read

    def collect_incoming_data(self, data):
        self.calls.append("c:" + data.hex())

    def found_terminator(self):
        self.calls.append("f")
        self.next_terminator()

    def feed(self, data):
        self.incoming_read = data
        self.handle_read()
        calls, self.calls = self.calls, []
        return calls


def spell(term):
    if term is None:
        return "none"
    return "b:" + term.hex() if isinstance(term, bytes) else f"n:{term}"


def record(name, terms, ops):
    """One case; `ops` are reads (bytes) and, as ("set", term), changes between them."""
    lines = [f"case {name}", "terms " + " ".join(map(spell, terms))]
    chat = Chat(terms)
    for op in ops:
        if isinstance(op, tuple):
            chat.set_terminator(op[1])
            lines.append("set " + spell(op[1]))
        else:
            lines.append("read " + op.hex())
            lines.append(" ".join(["got", *chat.feed(op)]))
    lines.append(("left " + chat.ac_in_buffer.hex()).rstrip())
    return lines


TABLE = [
    ("crlf-split", [b"\r\n"], [b"ab\r", b"\ncd\r\n"]),
    ("crlf-cr-was-data", [b"\r\n"], [b"ab\r", b"cd\r\n"]),
    ("crlf-lone-cr", [b"\r\n"], [b"\r", b"x"]),
    ("aab-bytewise", [b"aab"], [b"a", b"a", b"a", b"b"]),
    ("dot-split", [b"\r\n.\r\n"], [b"x\r\n.\r", b"\n"]),
    ("dot-was-data", [b"\r\n.\r\n"], [b"x\r\n.\r", b"y\r\n.\r\n"]),
    ("lf-empty-frames", [b"\n"], [b"\n\n"]),
    ("count-5", [5], [b"ab", b"cdefgh"]),
    ("none", [None], [b"abc"]),
    ("count-1", [1], [b"abc"]),
    ("crlf-left", [b"\r\n"], [b"abc\r"]),
    ("alternating", [b"\n", 3, b"\n", 3], [b"h\nabcq\nxyz"]),
    ("cr-then-count", [b"\r\n"], [b"ab\r", ("set", 3), b"cdef"]),
    ("cr-then-cr", [b"\r\n"], [b"ab\r", ("set", b"\r"), b"cd\re"]),
    ("aa-then-ab", [b"aaa"], [b"aa", ("set", b"ab"), b"bab"]),
    ("qwerty-prefix", [b"\r\n"], [b"qwerty\r"]),
    ("qwertydkjf-no-prefix", [b"\r\n"], [b"qwertydkjf"]),
]


def random_terminator(rng):
    kind = rng.randrange(10)
    if kind == 0:
        return None
    if kind <= 2:
        return rng.randint(1, 12)
    if kind <= 6:
        return bytes(rng.choice(b"ab") for _ in range(rng.randint(1, 6)))
    return rng.choice([b"\n", b"\r\n", b"\r\n\r\n", b"\r\n.\r\n", b"qqq", b"aaaaaaab", BOUNDARY])


def random_stream(rng, terms):
    """Mostly pieces of the terminators, so that near misses and overlaps are common."""
    needles = [t for t in terms if isinstance(t, bytes)] or [b"ab"]
    out = b""
    for _ in range(rng.randint(1, 14)):
        needle = rng.choice(needles)
        kind = rng.randrange(6)
        if kind <= 1:
            out += needle
        elif kind <= 3:
            out += needle[: rng.randint(0, len(needle))]
        elif kind == 4:
            out += needle[rng.randint(0, len(needle)) :]
        else:
            out += bytes(rng.choice(b"abxy\r\n") for _ in range(rng.randint(1, 8)))
    return out or b"ab"


def random_case(rng):
    terms = [random_terminator(rng) for _ in range(rng.choice([1, 1, 2, 3, 6]))]
    later = [random_terminator(rng) for _ in range(rng.choice([0, 0, 0, 1, 2]))]
    stream = random_stream(rng, terms + later)
    longest = rng.choice([1, 2, 5, 20, 200])
    ops = []
    while stream:
        n = rng.randint(1, longest)
        ops.append(stream[:n])
        stream = stream[n:]
    for term in later:
        ops.insert(rng.randrange(len(ops)), ("set", term))
    return terms, ops


def main():
    lines = [HEADER]
    for case in TABLE:
        lines += [*record(*case), ""]
    rng = random.Random(20120312)
    for number in range(200):
        lines += [*record(f"random-{number}", *random_case(rng)), ""]
    path = pathlib.Path(__file__).with_name("asynchat_traces.txt")
    path.write_text("\n".join(lines).rstrip("\n") + "\n", encoding="ascii")
    print(f"{path}: {len(TABLE) + 200} cases, recorded with Python {sys.version.split()[0]}")


if __name__ == "__main__":
    main()
