"""The results as Markdown."""

from .catalogue import BASES, BULK_TOLD_AS_RATE, GOALS, MANY_IDLE, OUR_OWN, OUR_SITE, OURS, SCENARIOS, SERVERS, Results

MISSING = "-"


def digits(value):
    """A figure with three significant digits, but all digits of whole thousands."""
    if value is None:
        return MISSING
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    for limit, places in ((100, 0), (10, 1), (1, 2), (0.1, 3)):
        if abs(value) >= limit:
            return f"{value:.{places}f}"
    return f"{value:.4f}" if abs(value) >= 0.00005 else "0"


def ratio(value, base):
    return f"{value / base:.2f}" if value is not None and base else MISSING


def calls(value):
    return MISSING if value is None else f"{value:.2f}" if value >= 0.1 else f"{value:.4f}"


def table(head, rows):
    """The first column to the left, the others to the right."""
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def label(name):
    return f"**{SERVERS[name]}**" if name in OUR_OWN else SERVERS[name]


def scenario_table(name, results):
    row, found = SCENARIOS[name], Results(results)
    bulk = name in BULK_TOLD_AS_RATE
    shown = "cpu_gb_s" if bulk else "cpu_us"
    head = ["server", "GB per CPU s" if bulk else f"µs CPU/{row.op}", "least–most µs",
            *(f": {letter}" for letter in BASES.values()), "GB/s" if bulk else f"{row.op}s/s", "p50 µs", "p99.9 µs",
            "instructions", "system calls", "allocations"]
    figures = results["scenarios"][name]["figures"]
    order = sorted((server for server in figures if "cpu_us" in figures[server]), key=lambda server: figures[server]["cpu_us"])
    rows = []
    for server in order + [server for server in SERVERS if server in figures and server not in order]:
        of = figures[server]
        value = of.get(shown)
        spread = f"{digits(of['cpu_us_least'])}–{digits(of['cpu_us_most'])}" if "cpu_us" in of else MISSING
        rows.append([label(server), digits(value), spread,
                     *(ratio(found.ratio(name, server, base, shown), 1) for base in BASES),
                     digits(of.get("gb_s") if bulk else of.get("rate")), digits(of.get("p50_us")), digits(of.get("p999_us")),
                     digits(of.get("instructions")), calls(of.get("syscalls")), digits(of.get("allocations"))])
    return table(head, rows)


def judged(results):
    """One dictionary per goal: what it is, the figure, the ratio, and whether must and want are reached (None: unknown)."""
    found = Results(results)
    rows = []
    for goal in GOALS:
        value = goal.value(found)
        base = goal.base(found) if goal.base else None

        def reached(limit, goal=goal, value=value):
            bound = limit(found) if limit else None
            if value is None or bound is None:
                return None
            return value >= bound if goal.at_least else value <= bound

        rows.append({"what": goal.what, "value": value, "unit": goal.unit, "base": goal.base_name,
                     "ratio": value / base if value is not None and base else None,
                     "must": goal.must_text, "must_reached": reached(goal.must),
                     "want": goal.want_text, "want_reached": reached(goal.want)})
    return rows


def compared_to(row):
    base = BASES.get(row["base"], row["base"])
    if row["ratio"] is None:
        return MISSING
    return f"{1 / row['ratio']:.3g} × faster" if "faster" in row["must"] else f"{row['ratio']:.2f} {base}"


def summary(results):
    words = {True: "yes", False: "**no**", None: MISSING}
    rows = []
    unknown = []
    for row in judged(results):
        if row["value"] is None:
            unknown.append(row["what"])
            continue
        rows.append([
            row["what"], f"{digits(row['value'])} {row['unit']}".strip(), compared_to(row),
            row["must"] or MISSING, words[row["must_reached"]] if row["must"] else "",
            row["want"] or MISSING, ("yes" if row["want_reached"] else "no" if row["want_reached"] is False else MISSING)
            if row["want"] else ""])
    text = table(["goal", OURS, "ratio", "must", "reached", "want", "reached"], rows)
    return text + (f"\n\nNot measured: {'; '.join(dict.fromkeys(unknown))}." if unknown else "")


def best_table(results):
    """Ours beside the best of the others, in each scenario that has both."""
    found = Results(results)
    rows = []
    for name, of in results["scenarios"].items():
        cpu = {server: figures["cpu_us"] for server, figures in of["figures"].items() if "cpu_us" in figures}
        ours = next((server for server in (OURS, OUR_SITE) if server in cpu), None)
        beside = {server: found.ratio(name, ours, server) for server in cpu if server not in OUR_OWN}
        best = max((server for server in beside if beside[server]), key=beside.get, default=None)
        if not best:
            continue
        each = found.round_ratios(name, ours, best)
        rows.append([of["title"], SERVERS[ours], digits(cpu[ours]), SERVERS[best], digits(cpu[best]),
                     ratio(beside[best], 1), f"{min(each):.2f}–{max(each):.2f}", "yes" if beside[best] <= 1 else "**no**"])
    head = ["scenario", "ours", "µs CPU", "best of the others", "its µs CPU", "ratio", "in single rounds", "ours ≤ best"]
    return table(head, rows) if rows else ""


def idle_table(results):
    found = Results(results)
    rows = []
    for server in SERVERS:
        few, many = found.cpu("idle-100", server), found.cpu("idle-10000", server)
        if few or many:
            rows.append([label(server), digits(few), digits(many), ratio(many, few)])
    return table(["server", "µs CPU/message among 100 idle", f"among {MANY_IDLE:,} idle", "ratio"], rows) if rows else ""


def memory_table(results):
    memory = results["memory"]
    rows = [[label(server), digits(of["rss"]), digits(of.get("heap"))]
            for server, of in sorted(memory.items(), key=lambda item: item[1]["rss"])]
    return table(["server", "resident B/connection", "heap B/connection"], rows) if rows else ""


def tls_memory_table(results):
    rows = [[label(server), digits(of["rss"])]
            for server, of in sorted(results["tls_memory"].items(), key=lambda item: item[1]["rss"])]
    return table(["server", "resident B/connection"], rows) if rows else ""


def markdown(results):
    parts = ["# Comparison", table(["", ""], [[name, text] for name, text in results["facts"].items()]).replace("--:", "---"),
             f"Command: `{results['command']}`. Each figure is the median of the runs of one server, "
             "taken in turn with the others; a ratio of times is the median of those within rounds, because the clock "
             "wanders from round to round. Processor time is the server's, user and "
             "system; instructions are those in user space, system calls and allocations per operation."]
    if results["quick"]:
        parts.append("A quick run: short and few rounds, good enough to see that everything works.")
    parts += ["## What it must reach", summary(results),
              "`-` stands for a figure that was not taken. The clock of such a machine wanders by some per cent; "
              "instructions, system calls and allocations decide close calls."]
    best = best_table(results)
    if best:
        parts += ["## Beside the best of the others", best]
    for name, of in results["scenarios"].items():
        if SCENARIOS[name].compared and of["figures"]:
            parts += [f"## {of['title']}", f"`load {' '.join(of['load'])}`", scenario_table(name, results)]
    for title, text in (("64 busy connections among idle ones", idle_table(results)),
                        ("Memory per idle connection", memory_table(results)),
                        ("Memory per idle TLS connection", tls_memory_table(results))):
        if text:
            parts += [f"## {title}", text]
    told = [f"{SERVERS[name]}: {why}" for name, why in results["missing"].items()] + results["notes"]
    if told:
        parts += ["## What is missing", "\n".join(f"- {line}" for line in told)]
    return "\n\n".join(parts) + "\n"
