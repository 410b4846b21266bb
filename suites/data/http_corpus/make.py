#!/usr/bin/env python3
"""Writes desync_guardian.txt and gunicorn.txt from the packages they come from; see README.md.

    python3 make.py http_desync_guardian-0.1.3 gunicorn-27.0.1

Each argument is an unpacked package. Needs PyYAML.
"""

import pathlib
import re
import sys

import yaml

HERE = pathlib.Path(__file__).parent
LINE = re.compile(rb"^[^\r\n:]+ HTTP/1\.1$")


def escaped(data):
    """One line of text for each line of the request; what is no printable ASCII is escaped."""
    out = []
    for byte in data:
        char = {13: "\\r", 10: "\\n\n", 9: "\\t", 92: "\\\\"}.get(byte)
        out.append(char or (chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}"))
    text = re.sub(r"(x{100})(?=x)", r"\1\n", "".join(out))
    # A space at the end of a line would not be seen.
    text = re.sub(r" $", r"\\x20", text, flags=re.M)
    return text if text.endswith("\n") else text + "\n"


def with_host(data):
    """Gives each head a Host that has none, without which every HTTP/1.1 server has to refuse it."""
    lines = data.split(b"\r\n")
    at = 0
    while at < len(lines):
        if LINE.match(lines[at]):
            end = at + 1
            while end < len(lines) and lines[end]:
                end += 1
            if not any(b"host" in line.lower() for line in lines[at + 1 : end]):
                lines.insert(at + 1, b"Host: a")
        at += 1
    return b"\r\n".join(lines)


def guardian(package):
    """These have no body: one is added of the length or coding that they name."""
    for path in sorted((package / "tests").glob("*.yaml")):
        for case in yaml.safe_load(path.read_text()):
            headers = [(str(h["name"]), str(h["value"])) for h in case["headers"] or []]
            line = f"{case['method']} {case['uri']} {case['version']}"
            head = "".join(f"{name}: {value}\r\n" for name, value in headers)
            if not any("host" in name.lower() for name, _ in headers):
                head = "Host: a\r\n" + head
            body = ""
            lengths = [v.strip() for n, v in headers if n.strip().lower() == "content-length"]
            if "chunked" in head.lower():
                body = "0\r\n\r\n"
            elif lengths and lengths[0].isascii() and lengths[0].isdigit() and int(lengths[0]) <= 1000:
                body = "x" * int(lengths[0])
            wanted = case["expected"]
            verdict = f"{wanted['tier'].lower()} {wanted['reason']}"
            yield f"{path.stem}: {case['name']}", verdict, f"{line}\r\n{head}\r\n{body}".encode()


def gunicorn(package):
    """Those that want a setting of their own, or are only long, are left out."""
    for path in sorted((package / "tests/requests").glob("*/*.http")):
        said = path.with_suffix(".py").read_text()
        data = path.read_bytes().replace(b"\n", b"").replace(b"\\r", b"\r").replace(b"\\n", b"\n")
        data = data.replace(b"\\t", b"\t").replace(b"\\0", b"\0")
        data = re.sub(rb"\\x([0-9A-Fa-f]{2})", lambda m: bytes([int(m[1], 16)]), data)
        if "cfg" in said or len(data) > 4000:
            continue
        if path.parent.name == "invalid":
            verdict = "invalid " + re.search(r"^request = (\w+)", said, re.M)[1]
        else:
            names = {"uri": lambda _: None}
            exec(said, names)  # noqa: S102: the package's own description of the request
            requests = names["request"]
            verdict = f"valid {len(requests) if isinstance(requests, list) else 1}"
        yield path.name, verdict, with_host(data)


def write(name, cases):
    with open(HERE / name, "w", encoding="ascii") as out:
        out.write("# Written by make.py; format, source and licence: README.md\n")
        for title, verdict, data in cases:
            title = title.encode("ascii", "backslashreplace").decode().replace("\n", " ")
            out.write(f"\n@@ {verdict} | {title}\n{escaped(data)}")


write("desync_guardian.txt", guardian(pathlib.Path(sys.argv[1])))
write("gunicorn.txt", gunicorn(pathlib.Path(sys.argv[2])))
