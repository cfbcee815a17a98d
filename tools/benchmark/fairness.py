"""tools/fairness: what a hostile client costs a polite one on the same daemon."""

import argparse
import math
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from statistics import median

from peers import LOAD, PEERS, ROOT, Deployment, program
from processes import BenchError, Process
from workloads import ALL

DESCRIPTION = """\
Measures the echo rate of a polite program on a daemon: alone; beside processes that use as much processor as the
hostile client does, and do not touch the daemon; and beside the hostile client. Prints the medians of the rates, and
the medians of the ratios of each round: what the hostile client costs in all, and what of that is the daemon's doing
and not that of the processors that it takes itself. Nothing fails by a number."""

TARGETS = ["//tools/benchmark", "//daemon:oched"]
HOSTILE = program("tools/benchmark/hostile")
SERVER = program("tools/benchmark/oche_server")
MARGIN = 1.0  # seconds that the hostile client starts before and ends after


class Attack:
    """Processes that are hostile together: `start` returns them at work."""

    def __init__(self, key, title, server=None, load=None, flood=None):
        self.key = key
        self.title = title
        self._server = server  # arguments of a server on the daemon, …
        self._load = load  # … and of what loads it
        self._flood = flood

    def start(self, stack, scratch, peer, socket, seconds):
        duration = ["--duration", str(int(seconds * 1000))]
        if self._flood:
            command = [HOSTILE, "--socket", socket] + self._flood + duration
            hostile = stack.enter_context(Process("hostile client", command, scratch))
            hostile.expect("ready")
            return [hostile]
        server = Process("hostile server", [SERVER] + self._server, scratch, env=peer.env(socket))
        stack.enter_context(server)
        port = server.expect("ready")["port"]
        command = [LOAD, "--port", str(port), "--warm-up", "0"] + self._load + duration
        load = stack.enter_context(Process("hostile load", command, scratch))
        load.expect("begin", seconds)
        return [server, load]


ATTACKS = [
    Attack("requests-1", "tiny requests, 1 session", flood=["--flood", "statistics"]),
    Attack("requests-100", "tiny requests, 100 sessions", flood=["--flood", "statistics", "--sessions", "100"]),
    Attack("connects-100", "connects that fail, 100 sessions", flood=["--flood", "connect", "--sessions", "100"]),
    Attack(
        "handles",
        "echo on 3000 connections",
        ["--mode", "echo"],
        ["--workload", "echo", "--connections", "3000"],
    ),
    Attack("bulk", "streams on 16 connections", ["--mode", "sink"], ["--workload", "send", "--connections", "16"]),
    Attack("churn", "accept and close, 64 at once", ["--mode", "echo"], ["--workload", "accept", "--connections", "64"]),
]


def burn(stack, scratch, processors, seconds):
    """Uses so much of the processors."""
    count = max(1, math.ceil(processors))
    share = max(1, min(1000, round(processors / count * 1000)))
    command = [HOSTILE, "--burn", str(share), "--duration", str(int(seconds * 1000))]
    for _ in range(count):
        stack.enter_context(Process("burner", command, scratch)).expect("ready")


def polite_rate(deployment, workload, options, scratch):
    limits = ["--warm-up", "200", "--duration", str(int(options.seconds * 1000))]
    command = [LOAD, "--port", str(deployment.port)] + workload.load + limits
    with Process("polite load", command, scratch) as load:
        load.expect("begin", 1)
        before = deployment.usage()["daemon"].cpu
        end = load.expect("end", options.seconds)
        load.wait()
        daemon = (deployment.usage()["daemon"].cpu - before) / options.seconds
    return workload.value(end), daemon


def run_round(attack, peer, workload, options, scratch):
    """The three rates, and how much processor the hostile client took."""
    length = options.seconds + 2 * MARGIN
    with Deployment(peer, workload) as deployment:
        socket = deployment.socket
        alone, _ = polite_rate(deployment, workload, options, scratch)
        with ExitStack() as stack:
            hostile = attack.start(stack, scratch, peer, socket, length)
            before = [process.usage().cpu for process in hostile]
            began = time.monotonic()
            beside, daemon = polite_rate(deployment, workload, options, scratch)
            seconds = time.monotonic() - began
            used = sum(process.usage().cpu - at for process, at in zip(hostile, before)) / seconds
        with ExitStack() as stack:
            burn(stack, scratch, used, length)
            burnt, _ = polite_rate(deployment, workload, options, scratch)
    return {"alone": alone, "burnt": burnt, "beside": beside, "hostile_cpu": used, "daemon_cpu": daemon}


def report(attack, rounds):
    def middle(value):
        return median(value(found) for found in rounds)

    print(
        f"{attack.title:33} {middle(lambda f: f['alone']) / 1e3:7.1f} {middle(lambda f: f['burnt']) / 1e3:7.1f} "
        f"{middle(lambda f: f['beside']) / 1e3:7.1f}   {middle(lambda f: f['beside'] / f['alone']):5.2f} "
        f"{middle(lambda f: f['beside'] / f['burnt']):7.2f}   {middle(lambda f: f['hostile_cpu']):5.2f} "
        f"{middle(lambda f: f['daemon_cpu']):6.2f}",
        flush=True,
    )


def parse_arguments():
    parser = argparse.ArgumentParser(prog="tools/fairness", description=DESCRIPTION)
    parser.add_argument("--only", metavar="ATTACK", help="of these, separated by commas: see --list")
    parser.add_argument("--lane", choices=["plain", "memory"], default="memory", help="of the polite program")
    parser.add_argument("--echo", default="echo-64-50", help="the polite workload (default echo-64-50; or echo-64-1)")
    parser.add_argument("--rounds", type=int, default=13, help="of which the median is shown (default 13)")
    parser.add_argument("--seconds", type=float, default=1.0, help="of a measurement (default 1)")
    parser.add_argument("--no-build", action="store_true", help="measure what was built before")
    parser.add_argument("--list", action="store_true", help="list the attacks")
    return parser.parse_args()


def main():
    options = parse_arguments()
    attacks = [attack for attack in ATTACKS if not options.only or attack.key in options.only.split(",")]
    if options.list:
        for attack in ATTACKS:
            print(f"{attack.key:15} {attack.title}")
        return
    if not options.no_build:
        subprocess.run(["bazel", "build", "--noshow_progress", "--ui_event_filters=-info"] + TARGETS, cwd=ROOT, check=True)
    peer = next(peer for peer in PEERS if peer.key == f"oche-{options.lane}")
    workload = next(workload for workload in ALL if workload.key == options.echo)
    print(f"{workload.title}, thousands a second; {options.lane} lane, {os.cpu_count()} processors, one worker")
    print(f"{'':33} {'alone':>7} {'beside':>7} {'beside':>7}   {'of':>5} {'of':>7}   {'processors of':>12}")
    print(f"{'hostile client':33} {'':7} {'burner':>7} {'hostile':>7}   {'alone':>5} {'burner':>7}   {'it':>5} daemon")
    with tempfile.TemporaryDirectory(prefix="oche-fairness-") as scratch:
        for attack in attacks:
            rounds = [run_round(attack, peer, workload, options, scratch) for _ in range(options.rounds)]
            report(attack, rounds)


if __name__ == "__main__":
    try:
        main()
    except (BenchError, subprocess.CalledProcessError) as error:
        sys.exit(f"tools/fairness: {error}")
