#!/usr/bin/env python3
"""Draws SVG bar charts of a comparison.

    benches/compare/chart.py RESULTS.json OUT_DIR

One chart per scenario, and where they were measured instructions.svg, memory.svg and overview.svg: four scenarios
relative to the C server on epoll. The scale is logarithmic where values span more than 20 times. The charts bring
their own background in both colour schemes, so that they read on light and dark pages alike.
"""

import html
import json
import math
import pathlib
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from measure.catalogue import BULK_TOLD_AS_RATE, MEMORY, OUR_OWN, OURS, SCENARIOS, SERVERS  # noqa: E402

WIDTH, NAMES, ROOM = 720, 178, 96  # of the chart, of the names on the left, of the number after the longest bar
TOP, ROW, BAR, GROUP = 62, 26, 17, 12
SPAN = 20  # a wider range than this is drawn on a logarithmic scale
OVERVIEW = (OURS, "raw_mio", "tokio", "hyper", "nginx", "asyncore")
OVERVIEW_SCENARIOS = ("echo-64", "lines-pipelined", "http", "files-1m")

STYLE = """
  .page { fill: #ffffff; stroke: #d0d7de } .title { fill: #1f2328; font-weight: 600; font-size: 15px }
  .name, .value { fill: #1f2328; font-size: 13px } .ours { font-weight: 700 } .note { fill: #59636e; font-size: 11.5px }
  .grid { stroke: #d8dee4; stroke-width: 1 } .bar { fill: #8c96a3 } .bar.ours { fill: #d9480f }
  .missing { fill: #59636e; font-size: 12px; font-style: italic }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117; stroke: #30363d } .title { fill: #f0f6fc } .name, .value { fill: #e6edf3 }
    .note, .missing { fill: #9198a1 } .grid { stroke: #30363d } .bar { fill: #6e7781 } .bar.ours { fill: #ff7b39 }
  }
"""


def told(value):
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value >= 0.001 else f"{value:.1e}"


class Scale:
    """From a value to a length in pixels. A logarithmic one starts at the power of ten below the least value."""

    def __init__(self, values, width):
        positive = [value for value in values if value > 0]
        self.width, self.most = width, max(positive, default=1.0)
        least = min(positive, default=1.0)
        self.logarithmic = self.most / least > SPAN
        # Half a decade at least, so that the shortest bar can be seen.
        self.origin = 10 ** math.floor(math.log10(least) - 0.3) if self.logarithmic else 0

    def length(self, value):
        if not self.logarithmic:
            return self.width * value / self.most
        if value <= self.origin:
            return 0
        return self.width * math.log10(value / self.origin) / math.log10(self.most / self.origin)

    def ticks(self):
        if self.logarithmic:
            low, high = round(math.log10(self.origin)), math.floor(math.log10(self.most))
            return [10.0**power for power in range(low, high + 1)]
        step = 10 ** math.floor(math.log10(self.most))
        step = next(step * factor for factor in (0.2, 0.5, 1, 2) if self.most / (step * factor) <= 5)
        return [step * count for count in range(int(self.most / step) + 1)]


def text(x, y, of, words, anchor="start"):
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{of}" text-anchor="{anchor}">{html.escape(words)}</text>'


def draw(title, note, groups, scale_note):
    """`groups`: heading (or None) and its bars (server, value). The result is a whole SVG file."""
    values = [value for _, bars in groups for _, value in bars]
    scale = Scale(values, WIDTH - NAMES - ROOM)
    body, y = [], TOP
    for heading, bars in groups:
        if heading:
            y += GROUP
            body.append(text(16, y + 4, "name ours", heading))
            y += 14
        for server, value in bars:
            ours = " ours" if server in OUR_OWN else ""
            length = max(scale.length(value), 1)
            body += [
                text(NAMES - 8, y + 13, f"name{ours}", SERVERS[server].replace("`", ""), "end"),
                f'<rect x="{NAMES}" y="{y}" width="{length:.1f}" height="{BAR}" rx="2" class="bar{ours}"/>',
                text(NAMES + length + 6, y + 13, f"value{ours}", told(value)),
            ]
            y += ROW
    height = y + 44
    grid = []
    for tick in scale.ticks():
        x = NAMES + (scale.length(tick) if tick else 0)
        grid.append(f'<line x1="{x:.1f}" y1="{TOP - 4}" x2="{x:.1f}" y2="{y}" class="grid"/>')
        grid.append(text(x, y + 15, "note", f"{tick:g}", "middle"))
    how = f"{scale_note}, logarithmic scale" if scale.logarithmic else scale_note
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        f'role="img" aria-label="{html.escape(title)}" '
        'font-family="system-ui, -apple-system, \'Segoe UI\', Roboto, Helvetica, Arial, sans-serif">',
        f"<style>{STYLE}</style>",
        f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="6" class="page"/>',
        text(16, 26, "title", title), text(16, 45, "note", how), *grid, *body,
        text(WIDTH - 12, height - 8, "note", note, "end"), "</svg>", ""])


def ranked(pairs, greatest_first=False):
    return sorted(pairs, key=lambda pair: pair[1], reverse=greatest_first)


def column(results, scenario, name):
    figures = results["scenarios"].get(scenario, {}).get("figures", {})
    return [(server, of[name]) for server, of in figures.items() if of.get(name)]


def charts(results):
    """File name to SVG text."""
    facts = results["facts"]
    note = f"{facts['Date'][:10]} · {facts['Kernel']} · {facts['Processor']}"
    drawn = {}
    for name, of in results["scenarios"].items():
        if not SCENARIOS[name].compared:
            continue
        bulk = name in BULK_TOLD_AS_RATE
        bars = column(results, name, "cpu_gb_s" if bulk else "cpu_us")
        if bars:
            what = "GB per second of server CPU, more is better" if bulk else f"µs of server CPU per {of['op']}, less is better"
            drawn[name] = draw(of["title"].replace("`", ""), note, [(None, ranked(bars, bulk))], what)

    groups = [(SCENARIOS[name].title, ranked(column(results, name, "instructions")))
              for name in ("echo-64", "lines-pipelined", "http")]
    groups = [group for group in groups if group[1]]
    if groups:
        drawn["instructions"] = draw("Instructions per operation", note, groups, "user space, callgrind, less is better")

    idle = ranked((server, of["rss"]) for server, of in results[MEMORY].items() if of["rss"] > 0)
    if idle:
        drawn["memory"] = draw("Memory per idle connection", note, [(None, idle)], "resident bytes, less is better")

    groups = []
    for name in OVERVIEW_SCENARIOS:
        found = dict(column(results, name, "cpu_us"))
        if found.get("epoll") and found.get(OURS):
            bars = [(server, found[server] / found["epoll"]) for server in OVERVIEW if server in found]
            groups.append((SCENARIOS[name].title, bars))
    if groups:
        drawn["overview"] = draw("Server CPU per operation, hand-written C on epoll = 1", note, groups, "less is better")
    return drawn


def main():
    if len(sys.argv) != 3 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    try:
        results = json.loads(pathlib.Path(sys.argv[1]).read_text())
    except (OSError, ValueError) as error:
        sys.exit(f"chart.py: {sys.argv[1]}: {error}")
    folder = pathlib.Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    drawn = charts(results)
    for name, svg in drawn.items():
        (folder / f"{name}.svg").write_text(svg)
    print(f"{len(drawn)} charts in {folder}: {', '.join(drawn)}")


if __name__ == "__main__":
    main()
