"""What the figures were taken on."""

import datetime
import os
import platform
import re

from .programs import COMPARE, REPOSITORY, output_of

CRATES = (
    (REPOSITORY / "Cargo.lock", ("mio", "bytes", "memchr", "slab", "socket2", "rustls", "ring")),
    (COMPARE / "Cargo.lock", ("mio", "tokio", "tokio-util", "hyper", "hyper-util", "calloop", "rustls", "ring", "tokio-rustls",
                              "monoio", "io-uring", "libuwebsockets-sys")),
)


def processor():
    with open("/proc/cpuinfo") as text:
        found = re.search(r"^model name\s*: (.*)$", text.read(), re.M)
    return found[1] if found else platform.machine()


def crates():
    found = {}
    for lock, names in CRATES:
        text = lock.read_text() if lock.exists() else ""
        for name, version in re.findall(r'^name = "([^"]+)"\nversion = "([^"]+)"', text, re.M):
            if name in names and version not in found.setdefault(name, []):
                found[name].append(version)
    return [f"{name} {' and '.join(versions)}" for name, versions in found.items()]


def first_line(*command):
    text = output_of(*command)
    return text.splitlines()[0] if text else "missing"


def nginx(program):
    """Its version, and that of the OpenSSL it runs with."""
    text = output_of(*program, "-V") or ""
    version = re.search(r"nginx version: (.*)", text)
    openssl = re.search(r"running with (OpenSSL \S+)", text) or re.search(r"built with (OpenSSL \S+)", text)
    return ", ".join(found[1] for found in (version, openssl) if found) or "unknown"


def lighttpd(program):
    return (output_of(*program, "-v") or "unknown").split(" ")[0]


def facts(peers):
    """Name and value, in the order in which they are told."""
    revision = output_of("git", "-C", str(REPOSITORY), "describe", "--always", "--dirty") or "unknown"
    pairs = {
        "Date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "Revision": revision,
        "Kernel": f"{platform.system()} {platform.release()}",
        "Processor": f"{processor()}, {os.cpu_count()} CPUs",
        "Rust": first_line("rustc", "--version"),
        "C": first_line("cc", "--version"),
        "Crates": ", ".join(crates()) or "no Cargo.lock",
    }
    if "libevent" in peers:
        pairs["libevent"] = first_line("pkg-config", "--modversion", "libevent")
    if "libuv" in peers:
        pairs["libuv"] = first_line("pkg-config", "--modversion", "libuv")
    if "nginx" in peers:
        pairs["nginx"] = nginx(peers["nginx"].program)
    if "lighttpd" in peers:
        pairs["lighttpd"] = lighttpd(peers["lighttpd"].program)
    for name in ("asyncore", "asyncio"):
        if name in peers:
            pairs[f"CPython ({name})"] = first_line(peers[name].program[0], "--version").removeprefix("Python ")
    pairs["valgrind"] = first_line("valgrind", "--version").removeprefix("valgrind-")
    pairs["strace"] = first_line("strace", "-V").removeprefix("strace -- version ")
    return pairs
