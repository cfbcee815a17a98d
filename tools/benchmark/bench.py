"""tools/bench: measures oche and its peers on one load. README.md has the how and why."""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import time

import dart
import goals
import idle
import plot
import report
import rounds
import system_calls
import tls
from peers import PEERS, ROOT, DartPeer, select_peers
from processes import BenchError
from workloads import ALL, IDLE, SYSTEM_CALLS, select

DESCRIPTION = """\
Measures oche, a plain epoll server (the limit), Node's net and an in-process reference on the same load, all on
loopback, and prints tables: medians, spread, ratio to the limit, latencies, processor time and context switches for
each operation, memory of idle connections, system calls. With --dart, the same servers in Dart over dart:io and over
oche. With --tls, oche's TLS beside a plain OpenSSL server. Takes a few minutes; --quick takes half of one."""

TARGETS = ["//tools/benchmark", "//daemon:oched"]
RESULTS = "bench-results"


def parse_arguments():
    parser = argparse.ArgumentParser(prog="tools/bench", description=DESCRIPTION)
    parser.add_argument("--dart", action="store_true", help="servers in Dart, over dart:io and over oche")
    parser.add_argument("--tls", action="store_true", help="TLS alone: echo and handshakes, beside OpenSSL's own")
    parser.add_argument("--quick", action="store_true", help="one short round: does everything work?")
    parser.add_argument("--only", metavar="WORKLOAD", action="append", help="of these, separated by commas: see --list")
    parser.add_argument("--peers", metavar="PEER", action="append", help="these and the limits only: see --list")
    parser.add_argument("--rounds", type=int, help="of which the median is shown (default 5, quick 1)")
    parser.add_argument("--seconds", type=float, help="of a measurement (default 0.6, Dart 1, quick 0.25)")
    for kind in ("json", "svg"):
        parser.add_argument(
            f"--{kind}",
            metavar="FILE",
            nargs="?",
            const=os.path.join(ROOT, RESULTS, f"bench.{kind}"),
            help=f"write the results as {kind.upper()} (default file {RESULTS}/bench.{kind})",
        )
    parser.add_argument("--no-build", action="store_true", help="measure what was built before")
    parser.add_argument("--list", action="store_true", help="list workloads and peers")
    options = parser.parse_args()
    options.only = _split(options.only)
    options.peers = _split(options.peers)
    if options.rounds is None:
        options.rounds = 1 if options.quick else 5
    seconds = options.seconds
    if seconds is None:
        seconds = 0.25 if options.quick else 1 if options.dart else 0.6
    if not 1 <= options.rounds <= 100 or not 0.05 <= seconds <= 30:
        parser.error("--rounds is 1 to 100, --seconds is 0.05 to 30")
    options.duration_ms = int(seconds * 1000)
    options.warm_up_ms = 50 if options.quick else 150
    options.idle_connections = 1000 if options.quick else 10000
    options.idle_seconds = 1.0 if options.quick else 10.0
    return options


def _split(values):
    return [part for value in values or [] for part in value.split(",") if part]


def print_list():
    for workload in ALL:
        print(f"{workload.key:19} {workload.title}")
    print()
    for peer in PEERS:
        print(f"{peer.key:19} {peer.title}{' (only on request)' if peer.on_request else ''}")


def build(peers, targets=None):
    command = ["bazel", "build", "--ui_event_filters=-info", "--show_result=0"]
    if not sys.stderr.isatty():
        command.append("--noshow_progress")
    try:
        status = subprocess.run(command + (targets or TARGETS), cwd=ROOT, stdout=sys.stderr, check=False).returncode
    except FileNotFoundError:
        raise BenchError("bazel is missing; run tools/setup") from None
    if status != 0 or (any(isinstance(peer, DartPeer) for peer in peers) and not dart.build()):
        raise BenchError("the build has failed, see above")


def machine():
    model = "unknown"
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return {
        "processors": len(os.sched_getaffinity(0)),
        "model": model,
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "dart": dart.version(),
    }


def say(text):
    print(text, flush=True)


def run(options, workloads, peers):
    """Measures, prints, and returns everything."""
    titles = {peer.key: peer.title for peer in peers}
    results = {
        "format": 1,
        "when": time.strftime("%Y-%m-%d %H:%M"),
        "machine": machine(),
        "options": {
            "rounds": options.rounds,
            "duration_ms": options.duration_ms,
            "warm_up_ms": options.warm_up_ms,
        },
        "peers": titles,
        "workloads": [],
        "idle": {},
        "system_calls": {},
    }
    for workload in workloads:
        taking_part = [peer for peer in peers if peer.takes_part(workload)]
        missing = workload.missing() if taking_part else "its peers are missing, see above"
        if missing:
            say(f"{workload.title}\n  not measured: {missing}\n")
        elif workload is IDLE:
            results["idle"] = idle.measure(taking_part, options)
            say(report.idle_text(results["idle"], titles))
        elif workload in SYSTEM_CALLS:
            found = system_calls.measure(workload, taking_part, options)
            results["system_calls"].update(found)
            no_tool = f"{workload.title}\n  not counted: neither perf nor strace is there\n"
            say(report.system_calls_text(workload, found, titles) if found else no_tool)
        else:
            found = rounds.measure(workload, taking_part, options)
            results["workloads"].append(found)
            say(report.workload_text(found, titles))
    results["goals"] = goals.evaluate(results)
    if results["goals"]:
        say(report.goals_text(results["goals"]))
    return results


def write(path, text):
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    say(f"written: {os.path.relpath(path)}")


def main():
    options = parse_arguments()
    if options.list:
        print_list()
        return
    signal.signal(signal.SIGTERM, lambda *unused: sys.exit(143))  # so that everything is cleaned up
    if options.tls:
        if not options.no_build:
            build([], tls.TARGETS)
        results = tls.run(options)
        if options.json:
            write(options.json, json.dumps({"machine": machine(), "tls": results}, indent=1) + "\n")
        return
    known = [workload.key for workload in ALL]
    for key in options.only:
        if key not in known:
            raise BenchError(f"there is no workload '{key}'; there are {', '.join(known)}")
    workloads = select(options.only, options.dart, smoke=options.quick and not options.peers)
    peers, missing = select_peers(options.peers, workloads)
    if not options.no_build:
        build(peers)
    start = time.monotonic()
    found = machine()
    say(f"{found['processors']} processors, {found['model']}, Linux {found['kernel']}; median of {options.rounds}")
    if any(isinstance(peer, DartPeer) for peer in peers):
        say(found["dart"])
    for key, why in missing.items():
        say(f"without {key}: {why}")
    if not options.quick and os.getloadavg()[0] > 0.5:
        say(f"the machine is busy (load {os.getloadavg()[0]:.1f}): the numbers will be worse than they could be")
    say("")
    results = run(options, workloads, peers)
    if options.json:
        write(options.json, json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    if options.svg:
        write(options.svg, plot.draw(results))
    say(f"took {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    try:
        main()
    except BenchError as error:
        sys.exit(f"tools/bench: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
