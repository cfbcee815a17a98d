"""The results as text."""


def quantity(value, unit=""):
    """A number with at most four digits: 301 k, 1.85 G."""
    for scale, prefix in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= scale:
            return f"{_digits(value / scale)}{prefix}{unit}"
    return f"{_digits(value)} {unit}".rstrip()


def _digits(value):
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _table(header, rows):
    """Text in columns; the first to the left, the others to the right."""
    lines = [header] + rows
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    out = []
    for line in lines:
        cells = [line[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(line[1:], widths[1:])]
        out.append("  " + "  ".join(cells).rstrip())
    return "\n".join(out)


def workload_text(workload, titles):
    """One workload."""
    stream = workload["is_stream"]
    header = ["", "median", "min", "max", "ratio"]
    if not stream:
        header += ["p50 µs", "p99 µs", "max µs", "stalls"]
    header += ["CPU: program", "daemon", "switches"]
    rows = []
    for key, result in workload["results"].items():
        row = [titles[key]] + [quantity(result[name]) for name in ("median", "min", "max")]
        row.append(f"{result['ratio']:.2f}")
        if not stream:
            row += [_digits(result[name]) for name in ("p50_us", "p99_us", "max_us")]
            row.append(str(result["stalls"]))
        cpu = {role: value / 1000 if stream else value for role, value in result["cpu_us"].items()}
        row.append(_digits(cpu["program"]))
        row.append(_digits(cpu["daemon"]) if "daemon" in cpu else "-")
        row.append(quantity(sum(result["switches"].values())))
        rows.append(row)
    direction = ", less is better" if workload["less_is_better"] else ""
    unit = "ms" if stream else "µs"
    cost = f"CPU in {unit} and context switches: for a {workload['operation']}"
    return f"{workload['title']} ({workload['unit']}{direction}; {cost})\n{_table(header, rows)}\n"


def idle_text(idle, titles):
    """Memory and wake-ups of idle connections."""
    rows = []
    for key, result in idle.items():
        daemon = "daemon" in result["bytes"]
        rows.append(
            [
                titles[key],
                f"{result['bytes']['program']:.0f}",
                f"{result['bytes']['daemon']:.0f}" if daemon else "-",
                f"{result['switches']['program']} in {result['seconds']:g} s",
                f"{result['switches']['daemon']} in {result['seconds']:g} s" if daemon else "-",
            ]
        )
    count = next(iter(idle.values()))["connections"]
    header = ["", "bytes: program", "daemon", "woken: program", "daemon"]
    return f"{count:,} idle connections, each with a pending read\n{_table(header, rows)}\n"


def system_calls_text(workload, calls, titles):
    """System calls per request."""
    rows = []
    for key, result in calls.items():
        if "error" in result:
            rows.append([titles[key], "not counted", str(result["error"])])
            continue
        found = result["calls"]
        rows.append([titles[key], f"{found['program']:.2f}", f"{found['daemon']:.2f}" if "daemon" in found else "-"])
    tool = next(iter(calls.values()))["tool"]
    note = ", which slows it down much: batches are others than without" if tool == "strace" else ""
    return f"{workload.title} (counted by {tool}{note})\n{_table(['', 'program', 'daemon'], rows)}\n"


def goals_text(goals):
    """Goals and what was reached."""
    rows = [[goal["text"], _digits(goal["value"]), goal["bound"], "ok" if goal["met"] else "MISSED"] for goal in goals]
    return f"goals\n{_table(['', 'measured', 'goal', ''], rows)}\n"
