"""The results as a picture: one panel for each workload, one bar for each peer, whiskers from least to most."""

from xml.sax.saxutils import escape

from report import quantity

COLOURS = {
    "plain": "#9aa0a6",
    "node": "#6a9f58",
    "reference": "#d1a33c",
    "oche-plain": "#7fb2e5",
    "oche-plain-direct": "#b9d6f2",
    "oche-memory": "#1f5fa8",
    "oche-batched": "#163f70",
    "dart-io": "#9aa0a6",
    "oche-dart": "#1f5fa8",
}
OTHER = "#888888"

PANEL_WIDTH, LABEL, VALUE = 560, 150, 120
BAR, GAP, TITLE, MARGIN = 20, 8, 34, 24
COLUMNS = 2


class _Panel:
    def __init__(self, title, bars):
        self.title = title
        self.bars = bars  # (peer's title, colour, value, low, high, text)

    def height(self):
        return TITLE + len(self.bars) * (BAR + GAP) + MARGIN

    def draw(self, left, top):
        out = [f'<text x="{left}" y="{top + 16}" class="title">{escape(self.title)}</text>']
        most = max((bar[4] for bar in self.bars), default=0) or 1
        scale = (PANEL_WIDTH - LABEL - VALUE) / most
        y = top + TITLE
        x = left + LABEL
        for name, colour, value, low, high, text in self.bars:
            middle = y + BAR / 2
            width = max(value * scale, 1)
            out.append(f'<text x="{x - 8}" y="{middle + 4}" class="name">{escape(name)}</text>')
            out.append(f'<rect x="{x}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{colour}"/>')
            if high > low:
                ends = f'x1="{x + low * scale:.1f}" x2="{x + high * scale:.1f}"'
                out.append(f'<line {ends} y1="{middle}" y2="{middle}" class="spread"/>')
            end = x + max(value, high) * scale + 6
            out.append(f'<text x="{end:.1f}" y="{middle + 4}" class="value">{escape(text)}</text>')
            y += BAR + GAP
        return out


def _workload_panel(workload, titles):
    bars = []
    for key, result in workload["results"].items():
        text = f"{quantity(result['median'])} · {result['ratio']:.2f}×"
        bars.append((titles[key], COLOURS.get(key, OTHER), result["median"], result["min"], result["max"], text))
    direction = ", less is better" if workload["less_is_better"] else ""
    return _Panel(f"{workload['title']} ({workload['unit']}{direction})", bars)


def _idle_panel(idle, titles):
    bars = []
    for key, result in idle.items():
        total = max(sum(result["bytes"].values()), 0)
        bars.append((titles[key], COLOURS.get(key, OTHER), total, total, total, f"{total:.0f} bytes"))
    return _Panel("memory of an idle connection, program and daemon (less is better)", bars)


def _calls_panel(calls, titles):
    bars = []
    for key, result in calls.items():
        found = result.get("calls", {})
        total = sum(found.values())
        text = " + ".join(f"{value:.2f}" for value in found.values())
        bars.append((titles[key], COLOURS.get(key, OTHER), total, total, total, text))
    return _Panel("system calls per request, program + daemon (less is better)", bars)


def draw(results):
    """The SVG document."""
    titles = results["peers"]
    panels = [_workload_panel(workload, titles) for workload in results["workloads"]]
    if results["idle"]:
        panels.append(_idle_panel(results["idle"], titles))
    if results["system_calls"]:
        panels.append(_calls_panel(results["system_calls"], titles))

    out = []
    top = 64
    for i in range(0, len(panels), COLUMNS):
        row = panels[i : i + COLUMNS]
        for column, panel in enumerate(row):
            out += panel.draw(MARGIN + column * (PANEL_WIDTH + MARGIN), top)
        top += max(panel.height() for panel in row)
    width = MARGIN + COLUMNS * (PANEL_WIDTH + MARGIN)
    rounds = results["options"]["rounds"]
    subtitle = f"median of {rounds}, line: least to most · {results['machine']['processors']} processors · " + (
        f"Linux {results['machine']['kernel']} · {results['when']}"
    )
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{top}" viewBox="0 0 {width} {top}">',
        "<style>",
        "text { font: 13px sans-serif; fill: #202124 } .head { font-size: 20px; font-weight: bold }",
        ".title { font-weight: bold } .name { text-anchor: end } .value { fill: #3c4043 }",
        ".spread { stroke: #202124; stroke-width: 2 }",
        "</style>",
        f'<rect width="{width}" height="{top}" fill="white"/>',
        f'<text x="{MARGIN}" y="30" class="head">oche and its peers</text>',
        f'<text x="{MARGIN}" y="50">{escape(subtitle)}</text>',
    ]
    return "\n".join(head + out + ["</svg>", ""])
