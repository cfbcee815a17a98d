"""tools/bench --tls: oche's TLS beside a plain OpenSSL server, by what a second of a processor does."""

import json
import os
import statistics
import subprocess
import tempfile
import time

from peers import ROOT
from processes import BenchError, prepare

TARGETS = ["//tools/benchmark:tls_load", "//tools/benchmark:tls_server", "//tools/demo:echo_server", "//daemon:oched"]

# What the load is told, what it counts, and how the count is shown.
WORKLOADS = [
    ("tls-echo-64", "echo 64 B, 50 connections", ["echo", "50", "64"], 1, "messages"),
    ("tls-echo-256k", "echo 256 KiB, 4 connections", ["echo", "4", str(256 * 1024)], 0.25, "MiB"),
    ("tls-full", "full handshakes (P-256)", ["full"], 1, "handshakes"),
    ("tls-resumed", "resumed handshakes", ["resumed"], 1, "handshakes"),
]
PEERS = ["openssl", "oche"]
TICKS = os.sysconf("SC_CLK_TCK")
LONGER = 2.5  # times what other measurements take: processor time is counted in hundredths of a second


def _path(target):
    return os.path.join(ROOT, "bazel-bin", target)


class _Server:
    """A server with its processes, whose time counts."""

    def __init__(self, scratch, certificate, key, is_oche):
        self._processes = []
        environment = dict(os.environ)
        command = [_path("tools/benchmark/tls_server"), certificate, key]
        if is_oche:
            path = os.path.join(scratch, "oched.sock")
            environment["OCHE_SOCKET"] = path
            self._start([_path("daemon/oched"), "--foreground", "--socket", path], environment)
            _wait_for(path)
            command = [_path("tools/demo/echo_server"), "0", certificate, key]
        server = self._start(command, environment)
        line = server.stdout.readline().decode()
        if not line.startswith("listening "):
            raise BenchError(f"{command[0]} does not serve")
        self.port = line.split()[1]

    def _start(self, command, environment):
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, preexec_fn=prepare()
        )
        self._processes.append(process)
        return process

    def processor_seconds(self):
        ticks = 0
        for process in self._processes:
            with open(f"/proc/{process.pid}/stat", encoding="ascii") as stat:
                fields = stat.read().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / TICKS

    def end(self):
        for process in reversed(self._processes):
            process.terminate()
            process.wait()


def _wait_for(path):
    for _ in range(100):
        if os.path.exists(path):
            return
        time.sleep(0.05)
    raise BenchError("the daemon does not start")


def _measure(server, arguments, duration_ms):
    """What came of it in a second, and in a second of a processor."""
    command = [_path("tools/benchmark/tls_load"), server.port, str(duration_ms), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, preexec_fn=prepare()) as load:
        if not load.stdout.readline():
            raise BenchError("the load failed, see above")
        before = server.processor_seconds()
        line = load.stdout.readline()
        used = server.processor_seconds() - before
    if not line:
        raise BenchError("the load failed, see above")
    done = json.loads(line)
    return done["count"] / (duration_ms / 1000), done["count"] / max(used, 1 / TICKS)


def _certificate(scratch):
    certificate, key = os.path.join(scratch, "certificate.pem"), os.path.join(scratch, "key.pem")
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj"]
        + ["/CN=localhost", "-keyout", key, "-out", certificate],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
    )
    if made.returncode != 0:
        raise BenchError("openssl makes no certificate: " + made.stderr.decode())
    return certificate, key


def run(options):
    """Measures in rounds, one peer after the other, and prints a table. Returns what was measured."""
    results = {key: {peer: [] for peer in PEERS} for key, *_ in WORKLOADS}
    duration_ms = int(options.duration_ms * LONGER)
    with tempfile.TemporaryDirectory() as scratch:
        certificate, key = _certificate(scratch)
        servers = {peer: _Server(scratch, certificate, key, peer == "oche") for peer in PEERS}
        try:
            for _ in range(options.rounds):
                for workload, _, arguments, _, _ in WORKLOADS:
                    for peer in PEERS:
                        results[workload][peer].append(_measure(servers[peer], arguments, duration_ms))
        finally:
            for server in servers.values():
                server.end()
    _print(results, options)
    return results


def _print(results, options):
    print(f"\nTLS 1.3, AES-128-GCM; medians of {options.rounds}, and (least to most)\n")
    print(f"{'':30}{'openssl':>22}{'oche':>22}{'ratio':>8}")
    for key, title, _, scale, unit in WORKLOADS:
        for what, which in ((f"{unit}/s", 0), ("for a processor second", 1)):
            values = {peer: [value[which] * scale for value in results[key][peer]] for peer in PEERS}
            medians = {peer: statistics.median(values[peer]) for peer in PEERS}
            cells = [f"{medians[p]:.0f} ({min(values[p]):.0f} to {max(values[p]):.0f})" for p in PEERS]
            label = title if which == 0 else ""
            print(f"{label:30}{cells[0]:>22}{cells[1]:>22}{medians['oche'] / medians['openssl']:8.2f}  {what}")
