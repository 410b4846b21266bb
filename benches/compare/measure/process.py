"""Starts servers and loads, each pinned to its own processor, and reads what the kernel says about them. Ends only what
it started itself."""

import errno
import json
import os
import pathlib
import random
import resource
import select
import signal
import socket
import subprocess
import tempfile
import time

START_SECONDS = 60.0  # a server under valgrind takes its time
RUN_SECONDS = 180.0
_running = set()


class Failed(Exception):
    """A run that gave no figure, with the reason in one line."""


class Unsupported(Failed):
    """The server does not have this mode, and says so."""


class Gone(Failed):
    """The server has ended by itself."""


def free_port():
    """A port below those that the kernel gives to connections, of which the load takes thousands."""
    while True:
        port = random.randrange(10_000, 32_768)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise


def raise_descriptor_limit():
    """Gives all children the hard limit of descriptors, and says what it is."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def end_all():
    for process in list(_running):
        process.kill()
        process.wait()
        _running.discard(process)


def _start(command, processors, **pipes):
    process = subprocess.Popen(command, preexec_fn=lambda: os.sched_setaffinity(0, processors), **pipes)
    _running.add(process)
    return process


def _last_line(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200].removeprefix("load: ") if lines else "said nothing"


class _Lines:
    """Lines of a pipe, with a deadline."""

    def __init__(self, pipe):
        self.number = pipe.fileno()
        self.held = b""

    def next(self, seconds):
        """The next line without its end; None at end of file."""
        deadline = time.monotonic() + seconds
        while b"\n" not in self.held:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.number], [], [], left)[0]:
                raise Failed(f"said nothing for {seconds:.0f} s")
            data = os.read(self.number, 65536)
            if not data:
                return None
            self.held += data
        line, self.held = self.held.split(b"\n", 1)
        return line.decode(errors="replace")

    def rest(self):
        while data := os.read(self.number, 65536):
            self.held += data
        return self.held.decode(errors="replace")


class Server:
    """A server process from its readiness to its end. As a context manager it is ended on the way out."""

    def __init__(self, peer, mode, root, processors, wrap=(), extra=(), tls=None):
        self.port = free_port()
        self.folder = tempfile.TemporaryDirectory(prefix="compare-")
        self.peer = peer
        self.status = None
        self.stderr = open(pathlib.Path(self.folder.name) / "stderr", "w+")
        command = [*wrap, *peer.command(mode, self.port, root, pathlib.Path(self.folder.name), tls), *extra]
        self.out = open(pathlib.Path(self.folder.name) / peer.out, "wb") if peer.out else None
        self.process = _start(command, processors, stdin=subprocess.DEVNULL, stdout=self.out or subprocess.PIPE,
                              stderr=self.stderr)
        self.wrapped = bool(wrap) and wrap[0] == "strace"
        try:
            self._wait_until_ready()
        except BaseException:
            self._kill()
            raise

    def _wait_until_ready(self):
        deadline = time.monotonic() + START_SECONDS
        if self.peer.says_ready:
            line = _Lines(self.process.stdout).next(START_SECONDS)
            if line == "ready":
                return
            if line is not None:
                raise Failed(f"printed {line!r} instead of `ready`")
            status = self.process.wait(START_SECONDS)
            said = self.said()
            if status == 2 and "not supported" in said:
                raise Unsupported("mode not supported")
            raise Failed(f"ended with status {status} before it was ready: {_last_line(said)}")
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError as error:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise Failed(f"does not listen: {error}; {_last_line(self.said())}") from error
                time.sleep(0.01)

    def said(self):
        self.stderr.seek(0)
        return self.stderr.read()

    def pid(self):
        """The server's own process, which is a child of the one started under strace."""
        if not self.wrapped:
            return self.process.pid
        for entry in pathlib.Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and int(_stat(entry)[1]) == self.process.pid:
                    return int(entry.name)
            except OSError:
                continue
        raise Failed("the server under strace is gone")

    def settle(self, quiet=0.003, seconds=1.0):
        """Waits until the server sleeps and has used no processor time for a moment: only then is its schedstat exact.
        Gives up quietly after `seconds`, for servers that are woken by a clock."""
        deadline = time.monotonic() + seconds
        before, since = None, time.monotonic()
        while time.monotonic() < deadline:
            now = self.cpu_ns() if all(_stat(task)[0] in "SD" for task in self._tasks()) else None
            if now is None or now != before:
                before, since = now, time.monotonic()
            elif time.monotonic() - since >= quiet:
                return
            time.sleep(0.0003)

    def _tasks(self):
        return list(pathlib.Path(f"/proc/{self.process.pid}/task").iterdir())

    def cpu_ns(self):
        """Processor time of all threads so far, in nanoseconds."""
        try:
            return sum(int((task / "schedstat").read_text().split()[0]) for task in self._tasks())
        except (OSError, ValueError, IndexError) as error:
            raise Failed(f"no schedstat: {error}") from error

    def resident(self):
        """VmRSS in bytes."""
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise Failed("no VmRSS")

    def end(self):
        """SIGTERM, and what the server wrote on stderr. A status that is not among those of its peer is a failure."""
        if self.process.poll() is not None:
            raise Gone(f"the server ended by itself with status {self.process.returncode}: {_last_line(self.said())}")
        os.kill(self.pid(), signal.SIGTERM)
        try:
            self.status = self.process.wait(30)
        except subprocess.TimeoutExpired as error:
            raise Failed("did not end on SIGTERM") from error
        said = self.said()
        if self.status not in self.peer.statuses:
            raise Failed(f"ended with status {self.status} on SIGTERM: {_last_line(said)}")
        return said

    def _kill(self):
        if self.process.poll() is None:
            try:
                child = self.pid()
                os.kill(child, signal.SIGKILL)
            except (Failed, OSError):
                pass
            self.process.kill()
            self.process.wait()
        _running.discard(self.process)
        (self.out or self.process.stdout).close()
        self.stderr.close()
        self.folder.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, _):
        """Where the load failed because the server had gone, the server's last word says more."""
        died = ""
        if isinstance(error, (Failed, OSError)) and self.status is None:
            try:
                died = f"; the server ended with status {self.process.wait(0.2)}: {_last_line(self.said())}"
            except subprocess.TimeoutExpired:
                pass
        self._kill()
        if died and not isinstance(error, Gone):
            raise Failed(f"{error}{died}") from error


def _stat(entry):
    """State and parent out of a /proc entry's stat."""
    return (entry / "stat").read_text().rsplit(")", 1)[1].split()[:2]


class Load:
    """The load generator, standing still at its warm mark until `measure`."""

    def __init__(self, program, arguments, port, processors):
        self.process = _start([str(program), arguments[0], str(port), *map(str, arguments[1:])], processors,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.out, self.err = _Lines(self.process.stdout), _Lines(self.process.stderr)
        try:
            said = ""
            while (line := self.err.next(RUN_SECONDS)) != "warm":
                if line is None:
                    raise Failed(f"load: {_last_line(said)}")
                said += f"{line}\n"
        except BaseException:
            self._kill()
            raise

    def measure(self):
        """Lets it go and gives its figures. Its connections stay open."""
        try:
            self.process.stdin.write(b"go\n")
            self.process.stdin.flush()
        except OSError as error:
            raise Failed(f"load: {_last_line(self.err.rest())}") from error
        line = self.out.next(RUN_SECONDS)
        if line is None:
            raise Failed(f"load: {_last_line(self.err.rest())}")
        return json.loads(line)

    def end(self):
        self.process.stdin.close()
        try:
            status = self.process.wait(30)
        except subprocess.TimeoutExpired as error:
            raise Failed("load: did not end") from error
        if status:
            raise Failed(f"load: {_last_line(self.err.rest())}")

    def _kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        _running.discard(self.process)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            try:
                pipe.close()
            except OSError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._kill()
