"""Builds the programs and says which servers are missing, and why."""

import json
import os
import pathlib
import shutil
import subprocess
from dataclasses import dataclass, field

COMPARE = pathlib.Path(__file__).resolve().parent.parent
REPOSITORY = COMPARE.parent.parent
RUST_BINS = {"raw_mio": "raw_mio", "dyn_mio": "dyn_mio", "tokio": "tokio_server", "hyper": "hyper_server",
             "calloop": "calloop_server", "monoio": "monoio_server", "monoio_uring": "monoio_server"}
OPTIONS = {"monoio_uring": ["--io-uring"]}
C_PEERS = {"epoll": (None, None), "libevent": ("libevent", "event2/event.h"), "libuv": ("libuv", "uv.h")}
PLAIN_LIBRARIES = {"libevent": ["-levent"], "libuv": ["-luv"]}
# The modes that bench_server has; a peer is asked for each of them.
PROTOCOLS = {"echo", "lines", "sink", "source", "time", "http", "files"}
# Whole web servers, with what they say in the mode `site` beside the port and the root.
WEB_SERVERS = {
    "http_server": ["--quiet"],
    "http_server_log": [],
}


@dataclass
class Peer:
    """How one server is started."""

    name: str
    program: list
    says_ready: bool = True
    modes: set = field(default_factory=lambda: set(PROTOCOLS))  # less those it has said it does not have
    out: str = ""  # the file in its scratch folder that takes its standard output
    statuses: tuple = (0,)  # with which it may end on SIGTERM

    def command(self, mode, port, root, _folder, tls=None):
        """`tls` is a certificate and its key, where the server is to speak TLS."""
        secured = ["--tls-cert", str(tls[0]), "--tls-key", str(tls[1])] if tls else []
        return [*self.program, mode, str(port), str(root), *secured]


class Site(Peer):
    """The web server of the examples."""

    def command(self, _mode, port, root, _folder, _tls=None):
        return [*self.program, "--port", str(port), str(root)]


def fill_in(template, folder, marks):
    """A configuration of its own for each run."""
    text = (COMPARE / template).read_text()
    for mark, value in marks:
        text = text.replace(f"@{mark}@", str(value))
    (folder / template).write_text(text)
    return str(folder / template)


class Nginx(Peer):
    def command(self, mode, port, root, folder, tls=None):
        secured = (COMPARE / "nginx-tls.conf").read_text() if tls else ""
        certificate, key = tls or ("", "")
        cache = "max=128" if mode == "site" else "off"
        configuration = fill_in("nginx.conf", folder, (
            ("TLS", secured), ("SSL", " ssl" if tls else ""), ("CERT", certificate), ("KEY", key), ("CACHE", cache),
            ("PORT", port), ("ROOT", root), ("DIR", folder)))
        return [*self.program, "-e", str(folder / "error.log"), "-c", configuration]


@dataclass
class Lighttpd(Peer):
    statuses: tuple = (0, 1)  # 1 where a connection is open

    def command(self, _mode, port, root, folder, _tls=None):
        configuration = fill_in("lighttpd.conf", folder, (("PORT", port), ("ROOT", root), ("DIR", folder)))
        return [*self.program, "-D", "-f", configuration]


def output_of(*command):
    """Standard output and error of a command, None when it cannot be run or fails."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


class Programs:
    """Everything that can be started: `peers` by name, `load`, and `missing` with the reasons."""

    def __init__(self, say, wanted, build=True):
        self.say = say
        self.wanted = wanted
        self.peers = {}
        self.missing = {}
        given = os.environ.get("CARGO_TARGET_DIR")
        self.target = pathlib.Path(given).absolute() if given else REPOSITORY / "target" / "compare"
        self.building = build
        self._library()
        self._rust()
        self._c()
        self._usockets()
        self._system("nginx", Nginx, {"http", "files", "site"})
        self._system("lighttpd", Lighttpd, {"site"})
        self._pythons()

    def _run(self, command, folder):
        self.say("$ " + " ".join(map(str, command)))
        done = subprocess.run(command, cwd=folder, env=os.environ | {"CARGO_TARGET_DIR": str(self.target)},
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            self.say("\n".join(done.stdout.splitlines()[-15:]))
        return done.returncode == 0

    def _add(self, name, program, why="it does not build"):
        if program is not None:
            self.peers[name] = Peer(name, [str(part) for part in program])
        else:
            self.missing[name] = why

    def _library(self):
        sites = [name for name in WEB_SERVERS if name in self.wanted]
        examples = [*(["bench_server"] if "asynchat" in self.wanted else []), *(["http_server"] if sites else [])]
        if not examples:
            return
        every = [argument for example in examples for argument in ("--example", example)]
        built = not self.building or self._run(["cargo", "build", "--release", *every], REPOSITORY)

        def program(example):
            path = self.target / "release" / "examples" / example
            return [path] if built and path.exists() else None

        if "asynchat" in self.wanted:
            self._add("asynchat", program("bench_server"))
        for name in sites:
            self._add(name, program("http_server"))
            if name in self.peers:
                command = [*self.peers[name].program, *WEB_SERVERS[name]]
                self.peers[name] = Site(name, command, says_ready=False, modes={"site"}, out="stdout")

    def _rust(self):
        bins = dict.fromkeys(["load", *(program for name, program in RUST_BINS.items() if name in self.wanted)])
        every = [argument for program in bins for argument in ("--bin", program)]
        cargo = ["cargo", "build", "--release"]
        together = not self.building or self._run([*cargo, *every], COMPARE)

        def built(program):
            path = self.target / "release" / program
            one = together or self._run([*cargo, "--bin", program], COMPARE)
            return path if one and path.exists() else None

        self.load = built("load")
        for name, program in RUST_BINS.items():
            if name in self.wanted:
                path = built(program)
                self._add(name, path and [path, *OPTIONS.get(name, ())])

    def _c(self):
        folder = self.target / "c"
        folder.mkdir(parents=True, exist_ok=True)
        for name, (package, header) in C_PEERS.items():
            if name not in self.wanted:
                continue
            program = folder / name
            source = COMPARE / "c" / f"{name}.c"
            if not source.exists():
                self._add(name, None, f"there is no {source.relative_to(REPOSITORY)}")
            elif not shutil.which("cc"):
                self._add(name, None, "there is no cc")
            elif header and not self._has_header(header):
                self._add(name, None, f"not built: no header {header}")
            else:
                flags = (output_of("pkg-config", "--cflags", "--libs", package) or "").split() if package else []
                flags = flags or PLAIN_LIBRARIES.get(name, [])
                built = not self.building or self._run(["cc", "-O2", "-o", str(program), str(source), *flags], COMPARE)
                self._add(name, [program] if built and program.exists() else None)

    def _usockets(self):
        if "usockets" not in self.wanted:
            return
        program = self.target / "c" / "usockets"
        sources = self._usockets_sources()
        if not shutil.which("cc"):
            self._add("usockets", None, "there is no cc")
        elif not sources:
            self._add("usockets", None, "cargo has no sources of libuwebsockets-sys")
        else:
            # The flags of its own Makefile.
            command = ["cc", "-std=gnu11", "-O3", "-flto", "-DLIBUS_NO_SSL", f"-I{sources}", "-o", program, "c/usockets.c",
                       *sorted(sources.glob("*.c")), sources / "eventing" / "epoll_kqueue.c"]
            built = not self.building or self._run(command, COMPARE)
            self._add("usockets", [program] if built and program.exists() else None)

    @staticmethod
    def _usockets_sources():
        """The folder of uSockets within the crate that Cargo.lock names, None where it cannot be had."""
        command = ["cargo", "metadata", "--quiet", "--locked", "--format-version", "1", "--features", "usockets"]
        told = subprocess.run(command, cwd=COMPARE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        packages = json.loads(told.stdout)["packages"] if told.returncode == 0 else []
        manifests = [package["manifest_path"] for package in packages if package["name"] == "libuwebsockets-sys"]
        return pathlib.Path(manifests[0]).parent / "uWebSockets" / "uSockets" / "src" if manifests else None

    @staticmethod
    def _has_header(header):
        return subprocess.run(["cc", "-E", "-x", "c", "-o", os.devnull, "-"], input=f"#include <{header}>\n", text=True,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0

    def _system(self, name, kind, modes):
        """A web server of the system, on its configuration beside this folder."""
        if name not in self.wanted:
            return
        program = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
        if program:
            self.peers[name] = kind(name, [program], says_ready=False, modes=modes)
        else:
            self._add(name, None, f"there is no {name}")

    def _pythons(self):
        """asyncio runs on any CPython 3; both run on the same one where there is one that still has asyncore."""
        old = self._python("import asyncore, asynchat")
        for name, python, why in (
            ("asyncio", old or self._python("import asyncio"), "there is no Python 3"),
            ("asyncore", old, "there is no Python up to 3.11, the last one with asyncore and asynchat"),
        ):
            source = COMPARE / "python" / f"{name}_server.py"
            if name not in self.wanted:
                continue
            if not source.exists():
                self._add(name, None, f"there is no {source.relative_to(REPOSITORY)}")
            else:
                self._add(name, python and [python, "-B", source], why)

    @staticmethod
    def _python(imports):
        for name in ("python3.11", "python3.10", "python3.9", "python3.8", "python3"):
            found = output_of(name, "-W", "ignore", "-c", f"import sys\n{imports}\nprint(sys.executable)")
            if found:
                return found.splitlines()[-1]
        return None
