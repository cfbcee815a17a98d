"""Prints the table of tools/coverage from what `llvm-cov export -summary-only` says. Fails below the mark."""

import json
import sys

MARK = 90.0  # per cent of the lines
PARTS = ("client/", "common/", "daemon/", "proto/")
COMPILED_IN = "/proc/self/cwd/"  # says Bazel


def covered(summaries, kind):
    total = sum(summary[kind]["count"] for summary in summaries)
    return sum(summary[kind]["covered"] for summary in summaries), total


def per_cent(part, total):
    return 100.0 * part / total if total else 100.0


def cell(summaries, kind):
    part, total = covered(summaries, kind)
    return f"{part:6} of {total:5} {per_cent(part, total):6.1f} %"


def row(name, summaries):
    print(f"{name:28} {cell(summaries, 'lines')} {cell(summaries, 'branches')}")


def main():
    files = {}
    for entry in json.load(sys.stdin)["data"][0]["files"]:
        name = entry["filename"].removeprefix(COMPILED_IN)
        if name.startswith(PARTS):
            files[name] = entry["summary"]
    print(f"{'':28} {'lines':>24} {'branches':>24}")
    for name in sorted(files):
        row(name, [files[name]])
    for part in PARTS:
        row(part, [summary for name, summary in files.items() if name.startswith(part)])
    row("all", files.values())
    lines = per_cent(*covered(files.values(), "lines"))
    if lines < MARK:
        sys.exit(f"coverage: {lines:.1f} % of the lines are less than {MARK:.0f} %")


main()
