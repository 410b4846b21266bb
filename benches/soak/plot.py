#!/usr/bin/env python3
"""Draws the samples of a soak as an SVG: a row for each program, a column for each figure.

    benches/soak/plot.py SAMPLES.csv OUT.svg

The samples are those that `suites/tests/soak` writes to ASYNCHAT_SOAK_CSV. Every little chart begins at zero, and the numbers
beside it are those of the two counts with the traffic at rest, which the two vertical lines mark. The chart brings its
own background in both colour schemes.
"""

import collections
import csv
import datetime
import html
import os
import pathlib
import platform
import statistics
import sys

WIDTH, NAMES, CHART, COLUMN = 980, 178, 96, 200  # of all, of the names, of a little chart, of one with its numbers
TOP, ROW, HEIGHT, POINTS = 84, 32, 22, 50
DRIVER = "(driver)"

STYLE = """
  .page { fill: #ffffff; stroke: #d0d7de } .title { fill: #1f2328; font-weight: 600; font-size: 15px }
  .name { fill: #1f2328; font-size: 12px } .head { fill: #1f2328; font-size: 12px; font-weight: 600 }
  .note, .value { fill: #59636e; font-size: 11px } .base { stroke: #d8dee4 } .count { stroke: #8c96a3; stroke-dasharray: 2 2 }
  .line { fill: none; stroke: #d9480f; stroke-width: 1.3 } .peer { fill: none; stroke: #8c96a3; stroke-width: 1.1 }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117; stroke: #30363d } .title { fill: #f0f6fc } .name, .head { fill: #e6edf3 }
    .note, .value { fill: #9198a1 } .base { stroke: #30363d } .count { stroke: #6e7781 }
    .line { stroke: #ff7b39 } .peer { stroke: #8b949e }
  }
"""

# Heading, unit, column of the samples, the one drawn beside it, how samples of one point become one, scale.
COLUMNS = (
    ("memory", "MiB", "rss_kib", None, max, 1 / 1024),
    ("descriptors", "", "descriptors", None, statistics.mean, 1),
    ("timers", "", "timers", None, statistics.mean, 1),
    ("latency", "µs", "p50_us", "reference_p50_us", statistics.median, 1),
)


def text(x, y, of, words, anchor="start"):
    return f'<text x="{x:g}" y="{y:g}" class="{of}" text-anchor="{anchor}">{html.escape(words)}</text>'


class Program:
    """Everything sampled of one program."""

    def __init__(self):
        self.series = collections.defaultdict(list)  # column: (seconds, value) of the traffic
        self.rests = collections.defaultdict(list)  # column: the last value of each pause

    def take(self, row, pause):
        seconds = float(row["seconds"])
        for _, _, column, beside, _, scale in COLUMNS:
            for name in filter(None, (column, beside)):
                if not row[name]:
                    continue
                value = float(row[name]) * scale
                # What is waited for in the traffic is one thing, and in the pause another.
                if row["phase"] == "traffic" or (row["phase"] == "rest" and name != "p50_us"):
                    self.series[name].append((seconds, value))
                if row["phase"] == "quiet" or (row["phase"] == "rest" and not name.endswith("_us")):
                    while len(self.rests[name]) <= pause:
                        self.rests[name].append(value)
                    self.rests[name][pause] = value


def read(path):
    """Programs in the order of the file, the times of the pauses, and how long it all took."""
    programs, pauses, last, phase = {}, [], 0.0, "traffic"
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            last = float(row["seconds"])
            if phase == "traffic" and row["phase"] != "traffic":
                pauses.append(last)
            phase = row["phase"]
            programs.setdefault(row["program"], Program()).take(row, len(pauses) - 1)
    return programs, pauses, last


def points(series, last, how):
    """One point for each fraction of the time in which there are samples."""
    parts = collections.defaultdict(list)
    for seconds, value in series:
        parts[min(int(POINTS * seconds / last), POINTS - 1)].append(value)
    return [((part + 0.5) / POINTS, how(values)) for part, values in sorted(parts.items())]


def told(value):
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.1f}"


def cell(program, column, x, y, pauses, last):
    _, _, name, beside, how, _ = column
    lines = {of: points(program.series[of], last, how) for of in (name, beside) if of and program.series[of]}
    rests = program.rests[name]
    counted = text(x + CHART + 6, y + 15, "value", f"{told(rests[0])} → {told(rests[-1])}") if rests else ""
    if not lines:
        return [counted or text(x + CHART + 6, y + 15, "note", "not told")]
    most = max(value for line in lines.values() for _, value in line) or 1
    drawn = [counted, f'<path d="M{x:g} {y + HEIGHT:g}h{CHART}" class="base"/>']
    for pause in pauses:
        at = x + CHART * min(pause / last, 1)
        drawn.append(f'<path d="M{at:.1f} {y:g}v{HEIGHT}" class="count"/>')
    for of in (beside, name):
        if of in lines:
            path = " ".join(f"{x + CHART * at:.0f},{y + HEIGHT * (1 - value / most):.1f}" for at, value in lines[of])
            drawn.append(f'<polyline points="{path}" class="{"line" if of == name else "peer"}"/>')
    return drawn


def processor():
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()


def draw(programs, pauses, last, note):
    title = f"{last / 60:.0f} minutes of mixed traffic" if last >= 120 else f"{last:.0f} seconds of mixed traffic"
    how = ("each chart from zero, over the whole run; numbers: at rest, at the first and the second dashed line; "
           "latency: median in traffic, grey: a blocking echo server")
    body, y = [], TOP
    for number, (heading, unit, *_) in enumerate(COLUMNS):
        body.append(text(16 + NAMES + number * COLUMN, TOP - 12, "head", f"{heading} {unit}".strip()))
    for name, program in programs.items():
        body.append(text(16, y + 15, "name", name))
        for number, column in enumerate(COLUMNS):
            body += cell(program, column, 16 + NAMES + number * COLUMN, y, pauses, last)
        y += ROW
    height = y + 28
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        f'role="img" aria-labelledby="soak-title soak-how" '
        'font-family="system-ui, -apple-system, \'Segoe UI\', Roboto, Helvetica, Arial, sans-serif">',
        f'<title id="soak-title">{html.escape(title)}: memory, descriptors, timers and latency of every example server</title>',
        f'<desc id="soak-how">{html.escape(how)}</desc>',
        f"<style>{STYLE}</style>",
        f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="6" class="page"/>',
        text(16, 26, "title", title), text(16, 45, "note", how), *body,
        text(WIDTH - 12, height - 10, "note", note, "end"), "</svg>", ""])


def main():
    if len(sys.argv) != 3 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    try:
        programs, pauses, last = read(sys.argv[1])
        date = datetime.date.fromtimestamp(os.path.getmtime(sys.argv[1]))
    except (OSError, KeyError, ValueError) as error:
        sys.exit(f"plot.py: {sys.argv[1]}: {error}")
    if not programs:
        sys.exit(f"plot.py: {sys.argv[1]}: no samples")
    programs.pop(DRIVER, None)
    note = f"{date} · {platform.system()} {platform.release()} · {os.cpu_count()} × {processor()}"
    out = pathlib.Path(sys.argv[2])
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(draw(programs, pauses, last, note))
    print(f"{out}: {out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
