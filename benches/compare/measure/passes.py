"""The measuring: timed rounds, then one slow pass each for instructions, system calls, allocations and memory."""

import re
import statistics
import tempfile
import time
from pathlib import Path

from .catalogue import (FEW_IDLE, FILE_SIZES, MANY_IDLE, NOT_UNDER_VALGRIND, OURS, SCENARIOS, SLOW, SLOW_TO_ACCEPT, SPEAK_TLS,
                        TLS_IDLE, TLS_MEMORY)
from .process import RUN_SECONDS, Failed, Load, Server, Unsupported
from .programs import REPOSITORY, output_of

MEMORY_BEFORE = 100  # idle connections that have paid for everything there is only once
STALL = 30  # seconds without progress that the load puts up with
ACCEPT_STALL = int(RUN_SECONDS) - 5  # where a server has thousands of connections to accept first
SLOW_IDLE = 2_000  # idle connections of the servers in SLOW_TO_ACCEPT
PASS_LOAD_SCALE = 0.25  # of the run lengths for SLOW servers in the slow passes


class Bench:
    """One run of the comparison: what it uses and what it found."""

    def __init__(self, programs, scenarios, servers, processors, say, quick):
        self.programs, self.scenarios, self.servers = programs, scenarios, servers
        self.server_processors, self.load_processors = ({number} for number in processors)
        self.say, self.quick = say, quick
        self.notes = []
        self.runs = {name: [] for name in scenarios}
        self.figures = {name: {} for name in scenarios}
        self.memory = {}
        self.tls_memory = {}
        self.tls = None  # the certificate and its key, once there are any
        self.timers = {}
        self.root = tempfile.TemporaryDirectory(prefix="compare-root-")
        self.secrets = tempfile.TemporaryDirectory(prefix="compare-tls-")

    def close(self):
        self.root.cleanup()
        self.secrets.cleanup()

    def make_files(self):
        for size in FILE_SIZES:
            path = Path(self.root.name) / str(size)
            if output_of(str(self.programs.load), "mkfile", str(path), str(size)) is None:
                raise Failed(f"`load mkfile {path} {size}` failed")

    def make_certificate(self):
        """A certificate for `localhost` on P-256, and its key. Without one there are no scenarios over TLS."""
        certificate, key = (Path(self.secrets.name) / name for name in ("certificate.pem", "key.pem"))
        made = output_of("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                         "-days", "30", "-subj", "/CN=localhost", "-addext", "basicConstraints=critical,CA:FALSE",
                         "-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate))
        if made is None:
            self.note("TLS: there is no openssl that makes a certificate")
            self.scenarios = [name for name in self.scenarios if not SCENARIOS[name].tls]
        else:
            self.tls = certificate, key

    def note(self, text):
        if text not in self.notes:
            self.notes.append(text)
            self.say(f"-- {text}")

    def able(self, scenario):
        """The servers that have the scenario's mode as far as is known."""
        row = SCENARIOS[scenario]
        return [name for name in self.servers if (not row.tls or name in SPEAK_TLS) and (row.slow_ops or name not in SLOW)
                and row.mode_for(name) in self.programs.peers[name].modes]

    def server(self, name, mode, wrap=(), extra=(), tls=False):
        return Server(self.programs.peers[name], mode, self.root.name, self.server_processors, wrap, extra,
                      self.tls if tls else None)

    def server_of(self, scenario, name, wrap=(), extra=()):
        row = SCENARIOS[scenario]
        return self.server(name, row.mode_for(name), wrap, extra, row.tls)

    def trusting(self, tls):
        """What the load needs to know for TLS."""
        return ["--tls", self.tls[0]] if tls else []

    def load(self, scenario, ops, port):
        row = SCENARIOS[scenario]
        stall = ACCEPT_STALL if row.idle == MANY_IDLE else STALL
        arguments = [*row.load, "--ops", ops, "--stall", stall, "--wait-go", *self.trusting(row.tls)]
        return Load(self.programs.load, arguments, port, self.load_processors)

    def attempt(self, name, what, work, mode=None):
        """What `work` gives; None and a note when it fails, None alone when the server lacks the mode."""
        try:
            return work()
        except Unsupported:
            self.programs.peers[name].modes.discard(mode)
        except (Failed, OSError, ValueError, KeyError) as error:
            self.note(f"{name}, {what}: {error}")
        return None

    # Timed rounds

    def timed(self, rounds, seconds):
        """All scenarios, `rounds` interleaved rounds each, fewer where their share of `seconds` runs out."""
        start = time.monotonic()
        for index, scenario in enumerate(self.scenarios):
            share = start + seconds * (index + 1) / len(self.scenarios)
            failed = set()
            for round_ in range(rounds):
                began = time.monotonic()
                for name in self.able(scenario):
                    if name in failed or self.too_slow(scenario, name, round_):
                        continue
                    run = self.attempt(name, scenario, lambda name=name: self.timed_run(scenario, name),
                                       SCENARIOS[scenario].mode_for(name))
                    if run is None:
                        failed.add(name)
                    else:
                        self.runs[scenario].append({"server": name, "round": round_, **run})
                now = time.monotonic()
                self.say(f"{scenario}: round {round_ + 1} of {rounds}, {now - began:.1f} s")
                if round_ + 1 < rounds and now + (now - began) > share:
                    self.note(f"{scenario}: {round_ + 1} of {rounds} rounds, for time ran out")
                    break
            self.sum_up(scenario)

    def too_slow(self, scenario, name, round_):
        """A server that takes a minute to accept thousands of connections does so in one round, and in none of a quick run."""
        return name in SLOW_TO_ACCEPT and SCENARIOS[scenario].idle == MANY_IDLE and (self.quick or round_ > 0)

    def timed_run(self, scenario, name):
        ops = SCENARIOS[scenario].timed_ops(name, self.quick)
        with self.server_of(scenario, name) as server, self.load(scenario, ops, server.port) as load:
            server.settle()
            before = server.cpu_ns()
            said = load.measure()
            server.settle()
            used = server.cpu_ns() - before
            if not SCENARIOS[scenario].idle:
                load.end()
            # Who closes first keeps the port for a minute (TIME_WAIT). With thousands of connections that has to be the
            # server, or the load runs out of ports.
            server.end()
        return {"ops": said["ops"], "seconds": said["seconds"], "bytes": said["bytes"], "cpu_ns": used,
                **{key: said[key] for key in ("p50_us", "p99_us", "p999_us")}}

    def sum_up(self, scenario):
        size = SCENARIOS[scenario].bytes_per_op
        for name in self.servers:
            runs = [run for run in self.runs[scenario] if run["server"] == name]
            if not runs:
                continue
            each = [run["cpu_ns"] / 1000 / run["ops"] for run in runs]
            figures = {
                "runs": len(runs), "cpu_us": statistics.median(each), "cpu_us_least": min(each), "cpu_us_most": max(each),
                "rate": statistics.median(run["ops"] / run["seconds"] for run in runs),
                **{key: statistics.median(run[key] for run in runs) for key in ("p50_us", "p99_us", "p999_us")},
            }
            if size and figures["cpu_us"]:
                figures["cpu_gb_s"] = size / figures["cpu_us"] / 1000
                figures["gb_s"] = size * figures["rate"] / 1e9
            self.figures[scenario].setdefault(name, {}).update(figures)

    # Slow passes

    def per_op(self, what, servers, until, counts):
        """Calls `counts(scenario, name, ops)`, a dictionary of counts, with both run lengths of each scenario. Gives the
        differences per operation to `keep`. Servers first, so that what is missing for want of time is missing last."""
        for name in servers:
            for scenario in self.scenarios:
                row = SCENARIOS[scenario]
                if not row.lengths or name not in self.able(scenario):
                    continue
                if time.monotonic() > until:
                    self.note(f"{what}: not of all servers and scenarios, for time ran out at {name}, {scenario}")
                    return
                scale = PASS_LOAD_SCALE if name in SLOW else 1
                short, long = (max(int(length * scale), 1) for length in row.lengths)

                def difference(scenario=scenario, name=name, short=short, long=long):
                    less, more = counts(scenario, name, short), counts(scenario, name, long)
                    keys = less.keys() | more.keys()
                    return {key: (more.get(key, 0) - less.get(key, 0)) / (long - short) for key in keys}

                found = self.attempt(name, f"{scenario}, {what}", difference, row.mode_for(name))
                if found is not None:
                    self.figures[scenario].setdefault(name, {}).update(self.named(what, found))
            self.say(f"{what}: {name}")

    @staticmethod
    def named(what, found):
        if what != "syscalls":
            return found
        each = {key: count for key, count in sorted(found.items()) if round(count, 3)}
        return {"syscalls": sum(each.values()), "syscalls_by_name": each}

    def run_through(self, scenario, name, ops, wrap=(), extra=()):
        """One whole run; what the server said on stderr. It ends while the load still holds its connections, because
        closing them is no operation."""
        with self.server_of(scenario, name, wrap, extra) as server:
            with self.load(scenario, ops, server.port) as load:
                load.measure()
                server.settle(quiet=0.02)
                return server.end()

    def instructions(self, servers, until):
        def counts(scenario, name, ops):
            with tempfile.TemporaryDirectory(prefix="callgrind-") as folder:
                out = Path(folder) / "out"
                self.run_through(scenario, name, ops, ("valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"))
                found = re.search(r"^(?:summary|totals): (\d+)", out.read_text(), re.M)
            if not found:
                raise Failed("callgrind left no figure")
            return {"instructions": int(found[1])}

        self.per_op("instructions", [name for name in servers if name not in NOT_UNDER_VALGRIND], until, counts)

    def syscalls(self, servers, until):
        def counts(scenario, name, ops):
            with tempfile.TemporaryDirectory(prefix="strace-") as folder:
                out = Path(folder) / "out"
                self.run_through(scenario, name, ops, ("strace", "-c", "-f", "-o", str(out)))
                return strace_counts(out.read_text())

        self.per_op("syscalls", servers, until, counts)

    def allocations(self, until):
        def counts(scenario, name, ops):
            said = self.run_through(scenario, name, ops, extra=("--count-allocations",))
            return {"allocations": count_of("allocations", said), "allocated_bytes": count_of("bytes", said)}

        if OURS in self.servers:
            self.per_op("allocations", [OURS], until, counts)

    # Memory

    def idle_memory(self, until, most):
        """Resident bytes per idle connection of the line servers, and heap bytes of ours."""
        most = min(most, MANY_IDLE)
        for name in self.servers:
            if "lines" not in self.programs.peers[name].modes or (self.quick and name in SLOW_TO_ACCEPT):
                continue
            if time.monotonic() > until:
                self.note(f"memory: not of all servers, for time ran out at {name}")
                return
            conns = min(most, SLOW_IDLE) if name in SLOW_TO_ACCEPT else most
            found = self.attempt(name, "memory", lambda name=name, conns=conns: self.resident(name, "lines", conns), "lines")
            if found is not None:
                self.memory[name] = {"rss": found, "connections": conns}
        self.say("memory")
        if OURS in self.memory:
            heap = self.attempt(OURS, "heap", lambda: (self.live(most) - self.live(MEMORY_BEFORE))
                                / (most - MEMORY_BEFORE))
            if heap is not None:
                self.memory[OURS]["heap"] = heap

    def idle_tls_memory(self):
        """Resident bytes per idle TLS connection of the echo servers."""
        if not self.tls:
            return
        for name in self.servers:
            if name not in SPEAK_TLS or "echo" not in self.programs.peers[name].modes:
                continue
            found = self.attempt(name, TLS_MEMORY, lambda name=name: self.resident(name, "echo", TLS_IDLE, tls=True), "echo")
            if found is not None:
                self.tls_memory[name] = {"rss": found, "connections": TLS_IDLE}
        self.say(TLS_MEMORY)

    def idle(self, conns, port, tls=False):
        # The echo on the last connection says that the server has accepted all of them. With TLS each has had one, so that
        # what a first message allocates is there.
        arguments = ["idle", "--conns", conns, "--ping", "all" if tls else "last", "--stall", ACCEPT_STALL,
                     *self.trusting(tls)]
        return Load(self.programs.load, arguments, port, self.load_processors)

    def resident(self, name, mode, most, tls=False):
        with self.server(name, mode, tls=tls) as server, self.idle(MEMORY_BEFORE, server.port, tls):
            server.settle(quiet=0.05, seconds=5)
            before = server.resident()
            with self.idle(most - MEMORY_BEFORE, server.port, tls):
                server.settle(quiet=0.05, seconds=5)
                after = server.resident()
                server.end()  # first, for the sake of the ports
        return (after - before) / (most - MEMORY_BEFORE)

    def live(self, conns):
        with self.server(OURS, "lines", extra=("--count-allocations",)) as server, self.idle(conns, server.port):
            server.settle(quiet=0.05, seconds=5)
            return count_of("live", server.end())

    # Timers

    def micro_timers(self):
        """The two timer figures of benches/micro.rs, in nanoseconds, if it is there."""
        if not (REPOSITORY / "benches" / "micro.rs").exists():
            self.note("timers: there is no benches/micro.rs")
            return
        said = output_of("cargo", "bench", "--manifest-path", str(REPOSITORY / "Cargo.toml"), "--bench", "micro", "timer")
        self.timers = divan_timers(said or "")
        if len(self.timers) < 2:
            self.note("timers: `cargo bench --bench micro timer` told no figures of re-arm and cancel")


def idle_scenarios_possible(descriptors):
    """Whether the many idle connections fit below the descriptor limit."""
    return descriptors > MANY_IDLE + FEW_IDLE + 100


def strace_counts(text):
    """Calls by name out of the table of `strace -c`."""
    counts = {}
    for line in text.splitlines():
        parts = line.split()
        if len(parts) in (5, 6) and parts[3].isdigit() and parts[-1] != "total":
            counts[parts[-1]] = counts.get(parts[-1], 0) + int(parts[3])
    if not counts:
        raise Failed("strace left no table")
    return counts


def count_of(what, said):
    found = re.search(rf"\b{what}: (\d+)", said)
    if not found:
        raise Failed(f"the server told no `{what}: N`")
    return int(found[1])


def divan_timers(text):
    """Medians of the lines of divan's table that name re-arming and cancelling, in nanoseconds."""
    units = {"ps": 1e-3, "ns": 1.0, "µs": 1e3, "ms": 1e6}
    found = {}
    for line in text.splitlines():
        name = re.match(r"[\s│├╰─]*(\w+)", line)
        columns = line.split("│")
        if not name or len(columns) < 6:
            continue
        median = re.search(r"([\d.]+) (ps|ns|µs|ms)", columns[-4])  # median, mean, samples, iterations
        key = next((key for key in ("re-arm", "cancel") if key.replace("-", "") in name[1].replace("_", "")), None)
        if median and key and key not in found:
            found[key] = float(median[1]) * units[median[2]]
    return found
