"""Builds the programs and says which servers are missing, and why."""

import os
import pathlib
import shutil
import subprocess
from dataclasses import dataclass, field

COMPARE = pathlib.Path(__file__).resolve().parent.parent
REPOSITORY = COMPARE.parent.parent
RUST_BINS = {"raw_mio": "raw_mio", "dyn_mio": "dyn_mio", "tokio": "tokio_server", "hyper": "hyper_server",
             "calloop": "calloop_server"}
C_PEERS = {"epoll": (None, None), "libevent": ("libevent", "event2/event.h"), "libuv": ("libuv", "uv.h")}
PLAIN_LIBRARIES = {"libevent": ["-levent"], "libuv": ["-luv"]}


@dataclass
class Peer:
    """How one server is started."""

    name: str
    program: list
    says_ready: bool = True
    unsupported: set = field(default_factory=set)  # modes it has said it does not have

    def command(self, mode, port, root, _folder, tls=None):
        """`tls` is a certificate and its key, where the server is to speak TLS."""
        secured = ["--tls-cert", str(tls[0]), "--tls-key", str(tls[1])] if tls else []
        return [*self.program, mode, str(port), str(root), *secured]


class Nginx(Peer):
    """nginx on a configuration of its own for each run, in the modes that are HTTP."""

    def command(self, mode, port, root, folder, tls=None):
        text = (COMPARE / "nginx.conf").read_text()
        secured = (COMPARE / "nginx-tls.conf").read_text() if tls else ""
        certificate, key = tls or ("", "")
        for mark, value in (("@TLS@", secured), ("@SSL@", " ssl" if tls else ""), ("@CERT@", certificate), ("@KEY@", key),
                            ("@PORT@", port), ("@ROOT@", root), ("@DIR@", folder)):
            text = text.replace(mark, str(value))
        (folder / "nginx.conf").write_text(text)
        return [*self.program, "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")]


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
        self._nginx()
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
        if "asynchat" not in self.wanted:
            return
        built = not self.building or self._run(["cargo", "build", "--release", "--example", "bench_server"], REPOSITORY)
        program = self.target / "release" / "examples" / "bench_server"
        self._add("asynchat", [program] if built and program.exists() else None)

    def _rust(self):
        bins = ["load", *(program for name, program in RUST_BINS.items() if name in self.wanted)]
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
                self._add(name, path and [path])

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

    @staticmethod
    def _has_header(header):
        return subprocess.run(["cc", "-E", "-x", "c", "-o", os.devnull, "-"], input=f"#include <{header}>\n", text=True,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0

    def _nginx(self):
        if "nginx" not in self.wanted:
            return
        program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
        if not program:
            self._add("nginx", None, "there is no nginx")
        elif not (COMPARE / "nginx.conf").exists():
            self._add("nginx", None, "there is no benches/compare/nginx.conf")
        else:
            everything = {"echo", "lines", "sink", "source", "time"}
            self.peers["nginx"] = Nginx("nginx", [program], says_ready=False, unsupported=everything)

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
