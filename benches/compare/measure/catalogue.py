"""What is compared: the servers, the scenarios with their run lengths, and what the library must and would like to reach."""

import statistics
from dataclasses import dataclass

OURS, OUR_SITE = "asynchat", "http_server"  # bench_server, and the web server
BASES = {"raw_mio": "M", "epoll": "E"}  # the servers that ratios are given to

# In the order of a round. Those that come first are also the first to get the slow passes when time is short.
SERVERS = {
    "asynchat": "asynchat",
    "raw_mio": "raw mio (M)",
    "epoll": "C on epoll (E)",
    "dyn_mio": "raw mio behind `dyn`",
    "tokio": "tokio",
    "hyper": "hyper on tokio",
    "calloop": "calloop",
    "libuv": "C on libuv",
    "libevent": "C on libevent",
    "usockets": "C on uSockets",
    "monoio": "monoio on epoll",
    "monoio_uring": "monoio on io_uring",
    "nginx": "nginx",
    "lighttpd": "lighttpd",
    "http_server": "http_server",
    "http_server_log": "http_server, log",
    "asyncio": "CPython asyncio",
    "asyncore": "CPython asyncore",
}
OUR_OWN = {OURS, OUR_SITE, "http_server_log"}
SLOW = {"asyncio", "asyncore"}  # get a fraction of the operations
SPEAK_TLS = {"asynchat", "tokio", "hyper", "nginx"}
NOT_UNDER_VALGRIND = {"monoio_uring"}  # SIGTERM does not end a wait for io_uring there
SLOW_TO_ACCEPT = {"asyncore"}  # accepts one connection for each look at all it has


@dataclass(frozen=True)
class Scenario:
    """One row of the comparison. `load` are the load's arguments but for the number of operations."""

    title: str
    mode: str
    load: tuple
    op: str
    ops: int  # of a timed run
    slow_ops: int  # of a timed run of a server in SLOW; 0: they are left out
    lengths: tuple = None  # the two run lengths whose difference gives instructions, system calls and allocations
    bytes_per_op: int = 0  # not 0: bulk transfer, told in GB/s
    idle: int = 0  # connections the load holds besides
    compared: bool = True  # has a table and a chart of its own
    tls: bool = False
    mode_of: tuple = ()  # pairs of a server and its mode, where that is another one

    def mode_for(self, server):
        return dict(self.mode_of).get(server, self.mode)

    def timed_ops(self, server, quick):
        ops = self.slow_ops if server in SLOW else self.ops
        return max(ops // 10, self.lengths[0] if self.lengths else 1) if quick else ops


def _files(size, conns):
    return ("files", "--conns", str(conns), "--path", str(size), "--size", str(size))


def _lines(conns, size, window):
    return ("lines", "--conns", str(conns), "--size", str(size), "--window", str(window))


def _http(conns):
    return ("http", "--conns", str(conns), "--window", "16")


def _echo(conns, idle=0):
    return ("echo", "--conns", str(conns), "--size", "64") + (("--idle", str(idle)) if idle else ())


FILE_SIZES = (1 << 10, 1 << 16, 1 << 20)
FEW_IDLE, MANY_IDLE = 100, 10_000
TLS_IDLE = 2_000

SCENARIOS = {
    "echo-1": Scenario("Echo, 1 connection, 64 B", "echo", _echo(1), "message", 50_000, 10_000, (1_000, 5_000)),
    "echo-64": Scenario("Echo, 64 connections, 64 B", "echo", _echo(64), "message", 200_000, 40_000, (2_560, 12_800)),
    "echo-1000": Scenario(
        "Echo, 1,000 connections, 64 B", "echo", _echo(1_000), "message", 100_000, 0, (5_000, 25_000)),
    "lines-pipelined": Scenario(
        "Lines of 20 B, 16 connections, pipelined", "lines", _lines(16, 20, 1000),
        "line", 8_000_000, 160_000, (32_000, 160_000)),
    "lines-window4": Scenario(
        "Lines of 20 B, 64 connections, 4 at a time", "lines", _lines(64, 20, 4),
        "line", 600_000, 80_000, (5_120, 25_600)),
    "lines-64": Scenario(
        "Lines of 64 B, 16 connections, 256 at a time", "lines", _lines(16, 64, 256), "line", 5_000_000, 0,
        (32_768, 163_840)),
    "lines-64-window4": Scenario(
        "Lines of 64 B, 64 connections, 4 at a time", "lines", _lines(64, 64, 4), "line", 600_000, 0, (5_120, 25_600)),
    "http": Scenario(
        "HTTP hello, 16 connections, keep-alive, pipelined 16", "http", _http(16),
        "request", 1_000_000, 80_000, (5_120, 25_600)),
    "http-64": Scenario(
        "HTTP hello, 64 connections, keep-alive, pipelined 16", "http", _http(64), "request", 1_000_000, 0,
        (10_240, 51_200)),
    "files-1k": Scenario(
        "Files of 1 KiB, 16 connections", "files", _files(1 << 10, 16), "request", 80_000, 20_000, (640, 3_200)),
    "files-1m": Scenario(
        "Files of 1 MiB, 4 connections", "files", _files(1 << 20, 4), "request", 4_000, 2_000, (40, 200), 1 << 20),
    "site-1k": Scenario(
        "Web servers: 1 KiB, 64 connections", "site", _files(1 << 10, 64), "request", 100_000, 0, (1_280, 6_400)),
    "site-64k": Scenario(
        "Web servers: 64 KiB, 64 connections", "site", _files(1 << 16, 64), "request", 50_000, 0, (640, 3_200)),
    "site-1m": Scenario(
        "Web servers: 1 MiB, 16 connections", "site", _files(1 << 20, 16), "request", 4_000, 0, (80, 400), 1 << 20),
    "source": Scenario(
        "Source: `GIVE` 8 MiB, 4 connections", "source", ("source", "--conns", "4", "--size", str(8 << 20)),
        "request", 800, 400, (8, 40), 8 << 20),
    "sink": Scenario(
        "Sink: 1 MiB writes, 4 connections", "sink", ("sink", "--conns", "4", "--size", str(1 << 20)),
        "write of 1 MiB", 6_000, 3_000, (40, 200), 1 << 20),
    "time": Scenario(
        "Time: connect, 4 bytes, close; 16 at a time", "time", ("time", "--conns", "16"),
        "connection", 20_000, 5_000, (480, 2_400)),
    "idle-100": Scenario(
        f"Echo, 64 busy among {FEW_IDLE} idle", "echo", _echo(64, FEW_IDLE), "message", 200_000, 20_000,
        idle=FEW_IDLE, compared=False),
    "idle-10000": Scenario(
        f"Echo, 64 busy among {MANY_IDLE:,} idle", "echo", _echo(64, MANY_IDLE), "message", 200_000, 4_000,
        idle=MANY_IDLE, compared=False),
    "tls-echo-64": Scenario(
        "Echo over TLS, 64 connections, 64 B", "echo", _echo(64), "message", 200_000, 0, (2_560, 12_800), tls=True),
    "tls-files-1k": Scenario(
        "Files of 1 KiB over HTTPS, 16 connections", "files", _files(1 << 10, 16), "request", 80_000, 0, (640, 3_200),
        tls=True),
    "tls-files-1m": Scenario(
        "Files of 1 MiB over HTTPS, 4 connections", "files", _files(1 << 20, 4), "request", 2_000, 0, (20, 60), 1 << 20,
        tls=True),
    # An echo server has the least to do beside the handshake; nginx has none.
    "tls-handshake": Scenario(
        "TLS handshakes: connect, shake hands, close; 16 at a time", "echo", ("handshake", "--conns", "16"), "handshake",
        10_000, 0, (160, 800), tls=True, mode_of=(("nginx", "http"),)),
}
BULK_TOLD_AS_RATE = {"source", "sink", "tls-files-1m"}
MEMORY, TLS_MEMORY = "memory", "tls-memory"  # not scenarios of the load, but names for --only

# Names for --only that stand for several. `first`: where the library is to be first.
GROUPS = {
    "first": ("echo-1000", "lines-64", "lines-64-window4", "http-64", "files-1k", "files-1m", "site-1k", "site-64k",
              "site-1m"),
    "tls": (*(name for name, row in SCENARIOS.items() if row.tls), TLS_MEMORY),
}


class Results:
    """Reads figures out of the results, None where one is missing."""

    def __init__(self, results):
        self.results = results

    def figure(self, scenario, server, name):
        return self.results["scenarios"].get(scenario, {}).get("figures", {}).get(server, {}).get(name)

    def cpu(self, scenario, server):
        return self.figure(scenario, server, "cpu_us")

    def round_ratios(self, scenario, server, other):
        """The ratio of the processor times in each round that has both."""
        runs = self.results["scenarios"].get(scenario, {}).get("runs", ())
        spent = {(run["server"], run["round"]): run["cpu_ns"] / run["ops"] for run in runs}
        return [used / spent[other, round_] for (name, round_), used in spent.items()
                if name == server and spent.get((other, round_))]

    def ratio(self, scenario, server, other, shown="cpu_us"):
        """The median of those, of rates their inverse: the clock wanders from round to round, and with it a median of times."""
        each = self.round_ratios(scenario, server, other)
        if not each:
            return None
        return 1 / statistics.median(each) if shown == "cpu_gb_s" else statistics.median(each)

    def at_the_same_clock(self, scenario, server, ours, shown="cpu_us"):
        """The figure of another server that has this ratio to ours."""
        value, ratio = self.figure(scenario, ours, shown), self.ratio(scenario, ours, server, shown)
        return value / ratio if value and ratio else None

    def memory(self, server, name):
        return self.results["memory"].get(server, {}).get(name)

    def tls_memory(self, server):
        return self.results["tls_memory"].get(server, {}).get("rss")


@dataclass(frozen=True)
class Goal:
    """One thing the library must reach. `value`, `base`, `must` and `want` read the results. `must` and `want` give upper
    bounds of `value`, lower ones of a goal with `at_least`."""

    what: str
    value: object
    unit: str
    base_name: str
    base: object  # what the ratio is to, or None
    must: object
    must_text: str
    want: object = None
    want_text: str = ""
    at_least: bool = False


def times(factor, base):
    """`factor` times what `base` reads, None while that is unknown."""

    def limit(results):
        value = base(results)
        return None if value is None else factor * value

    return limit


def number(value):
    return lambda _: value


def cpu(scenario, server):
    return lambda results: results.cpu(scenario, server)


def beside(scenario, server, ours=OURS, shown="cpu_us"):
    return lambda results: results.at_the_same_clock(scenario, server, ours, shown)


def figure(scenario, server, name):
    return lambda results: results.figure(scenario, server, name)


def _cpu_goal(what, scenario, base, must, must_text, want_base=None, want=None, want_text="", ours=OURS):
    return Goal(what, cpu(scenario, ours), "µs", base, beside(scenario, base, ours),
                times(must, beside(scenario, base, ours)), must_text,
                times(want, beside(scenario, want_base, ours)) if want else None, want_text)


def _site(what, scenario):
    return _cpu_goal(f"http_server, {what}: µs/request", scenario, "lighttpd", 1.0, "≤ lighttpd", ours=OUR_SITE)


def _instructions(what, scenario, must, want):
    return Goal(what, figure(scenario, OURS, "instructions"), "", "raw_mio", figure(scenario, "raw_mio", "instructions"),
                number(must), f"≤ {must}", number(want), f"≤ {want}")


def _no_allocations(what, scenario):
    # What is left of the difference of two run lengths when a buffer grew once more in the longer one.
    return Goal(what, figure(scenario, OURS, "allocations"), "", "", None, number(0.0005), "0")


def _calls(what, scenario):
    # A hundredth of a call is the end of the run, not a call per operation.
    base = figure(scenario, "raw_mio", "syscalls")
    return Goal(what, figure(scenario, OURS, "syscalls"), "", "raw_mio", base, times(1.01, base), "as M",
                times(0.99, base), "fewer than M")


def _rate(what, scenario, server="epoll", name="E", must=0.95):
    base = beside(scenario, server, shown="cpu_gb_s")
    return Goal(what, figure(scenario, OURS, "cpu_gb_s"), "GB/s", server, base, times(must, base), f"≥ {must} {name}",
                base, f"≥ {name}", at_least=True)


def _time_calls(results):
    calls = results.figure("time", OURS, "syscalls_by_name")
    waits = ("epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll", "select")
    return None if calls is None else sum(count for name, count in calls.items() if name not in waits)


def _idle_ratio(results):
    few, many = (results.cpu(name, OURS) for name in ("idle-100", "idle-10000"))
    return None if few is None or many is None else many / few


GOALS = (
    _cpu_goal("Echo, 1 connection: µs/op", "echo-1", "raw_mio", 1.05, "≤ 1.05 M", "raw_mio", 1.0, "≤ M"),
    _cpu_goal("Echo, 64 connections: µs/op", "echo-64", "raw_mio", 1.05, "≤ 1.05 M", "raw_mio", 1.0, "≤ M"),
    _cpu_goal("Echo, 1,000 connections: µs/op", "echo-1000", "raw_mio", 1.0, "≤ M"),
    _instructions("Echo, 64 connections: instructions/op", "echo-64", 320, 200),
    _calls("Echo, 64 connections: system calls/op", "echo-64"),
    _calls("Echo, 1 connection: system calls/op", "echo-1"),
    _cpu_goal("Lines, pipelined: µs/line", "lines-pipelined", "raw_mio", 1.15, "≤ 1.15 M", "raw_mio", 1.0, "≤ M"),
    _cpu_goal("Lines, pipelined: µs/line", "lines-pipelined", "tokio", 1 / 3, "3 × faster than tokio"),
    _cpu_goal("Lines, pipelined: µs/line", "lines-pipelined", "asyncore", 1 / 170, "170 × faster than asyncore"),
    _instructions("Lines, pipelined: instructions/line", "lines-pipelined", 150, 100),
    _cpu_goal("Lines, window 4: µs/line", "lines-window4", "raw_mio", 1.05, "≤ 1.05 M", "epoll", 1.0, "≤ E"),
    _cpu_goal("Lines of 64 B, window 256: µs/line", "lines-64", "raw_mio", 1.0, "≤ M", "libuv", 1.0, "≤ libuv"),
    _cpu_goal("Lines of 64 B, window 4: µs/line", "lines-64-window4", "raw_mio", 1.0, "≤ M", "epoll", 1.0, "≤ E"),
    _cpu_goal("HTTP, pipelined 16: µs/request", "http", "raw_mio", 1.25, "≤ 1.25 M", "raw_mio", 1.1, "≤ 1.1 M"),
    _cpu_goal("HTTP, 64 connections: µs/request", "http-64", "raw_mio", 1.02, "≤ 1.02 M", "raw_mio", 1.0, "≤ M"),
    _cpu_goal("Files, 1 KiB: µs/request", "files-1k", "raw_mio", 1.1, "≤ 1.1 M", "raw_mio", 1.0, "≤ M"),
    _cpu_goal("Files, 1 MiB: µs/request", "files-1m", "nginx", 1.1, "≤ 1.1 nginx", "nginx", 1.0, "≤ nginx"),
    _site("1 KiB", "site-1k"),
    _site("64 KiB", "site-64k"),
    _site("1 MiB", "site-1m"),
    _cpu_goal("http_server, 1 KiB, access log: µs/request", "site-1k", OUR_SITE, 1.02, "≤ 1.02 without",
              ours="http_server_log"),
    _rate("Source: GB per second of server CPU", "source"),
    _rate("Sink: GB per second of server CPU", "sink"),
    Goal("Time: system calls/connection without waits", _time_calls, "", "", None, number(3.1), "≤ 3.1 (+ poll)"),
    *(_no_allocations(f"{what}: allocations/op", scenario) for what, scenario in (
        ("Echo", "echo-64"), ("Lines, pipelined", "lines-pipelined"), ("Lines, window 4", "lines-window4"),
        ("HTTP", "http"), ("Sink", "sink"), ("Source", "source"))),
    *(Goal(f"{what}: allocations/op", figure(scenario, OURS, "allocations"), "", "", None, None, "",
           number(0.0499), "0.0") for what, scenario in (("Files, 1 KiB", "files-1k"), ("Files, 1 MiB", "files-1m"))),
    Goal("Memory: resident/idle connection", lambda results: results.memory(OURS, "rss"), "B", "raw_mio",
         lambda results: results.memory("raw_mio", "rss"), number(330), "≤ 330 B", number(200), "≤ 200 B"),
    Goal("Memory: heap/idle connection", lambda results: results.memory(OURS, "heap"), "B", "", None,
         number(330), "≤ 330 B", number(200), "≤ 200 B"),
    Goal("64 busy among 10,000 idle : among 100", _idle_ratio, "×", "", None, number(1.05), "≤ 1.05",
         number(1.0049), "1.0"),
    Goal("Timers: re-arm among 100,000", lambda results: results.results["timers"].get("re-arm"), "ns", "", None,
         number(60), "≤ 60 ns", number(30), "≤ 30 ns"),
    Goal("Timers: cancel among 100,000", lambda results: results.results["timers"].get("cancel"), "ns", "", None,
         number(60), "≤ 60 ns", number(30), "≤ 30 ns"),
    _cpu_goal("TLS echo, 64 connections: µs/op", "tls-echo-64", "tokio", 1.0, "≤ tokio-rustls"),
    Goal("TLS echo, 64 connections: instructions/op", figure("tls-echo-64", OURS, "instructions"), "", "tokio",
         figure("tls-echo-64", "tokio", "instructions"), times(1.0, figure("tls-echo-64", "tokio", "instructions")),
         "≤ tokio-rustls"),
    _cpu_goal("HTTPS, 1 KiB: µs/request", "tls-files-1k", "hyper", 1.0, "≤ hyper on tokio-rustls"),
    _cpu_goal("HTTPS, 1 KiB: µs/request", "tls-files-1k", "nginx", 1.0, "≤ nginx"),
    _rate("HTTPS, 1 MiB: GB per second of server CPU", "tls-files-1m", "nginx", "nginx", 0.9),
    _cpu_goal("TLS: µs/full handshake", "tls-handshake", "nginx", 1 / 0.9, "≤ nginx ÷ 0.9", "nginx", 1.0, "≤ nginx"),
    Goal("TLS memory: resident/idle connection", lambda results: results.tls_memory(OURS), "B", "tokio",
         lambda results: results.tls_memory("tokio"), times(1.0, lambda results: results.tls_memory("tokio")),
         "≤ tokio-rustls"),
)
