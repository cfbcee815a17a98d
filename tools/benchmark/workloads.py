"""The workloads, as seen from the servers that are measured: "receive" is a server that receives."""

import os


class Workload:
    """What the server does (mode), and what the load generator does (load)."""

    def __init__(self, key, title, mode, load=(), server=(), measure="rate", unit="requests/s", pinned=False):
        self.key = key
        self.title = title
        self.mode = mode  # of the server; see arguments.h
        self.load = list(load)  # options of the load generator
        self.server = list(server)  # options of the server
        self.measure = measure
        self.unit = unit
        self.pinned = pinned  # all processes on one processor

    @property
    def is_stream(self):
        return self.measure == "throughput"

    @property
    def is_client(self):
        """The measured program is a client, and measures itself."""
        return self.mode == "connect"

    @property
    def less_is_better(self):
        return self.measure == "latency"

    @property
    def operation(self):
        """What processor time is given for."""
        return "GB" if self.is_stream else "connection" if "connections" in self.unit else "request"

    def operations(self, end):
        return end["bytes"] / 1e9 if self.is_stream else end["operations"]

    def value(self, end):
        """The measured value, from the event "end"."""
        if self.measure == "latency":
            return end["p50_us"]
        return (end["bytes"] if self.is_stream else end["operations"]) / end["seconds"]

    def cpus(self):
        return {min(os.sched_getaffinity(0))} if self.pinned else None


def _echo(key, title, connections, size=64, **options):
    load = ["--workload", "echo", "--connections", str(connections), "--size", str(size)]
    return Workload(key, title, "echo", load, **options)


IN_FLIGHT = ["--in-flight", "32"]  # writes; a plain socket holds as much

WORKLOADS = [
    _echo("echo-64-1", "echo of 64 bytes, 1 connection", 1),
    _echo("echo-64-50", "echo of 64 bytes, 50 connections", 50),
    _echo("echo-64-500", "echo of 64 bytes, 500 connections", 500),
    _echo("echo-16k", "echo of 16 KiB, 50 connections", 50, size=16384),
    _echo(
        "echo-pinned",
        "latency of an echo of 64 bytes, all on one processor",
        1,
        measure="latency",
        unit="µs",
        pinned=True,
    ),
    Workload(
        "receive",
        "receive a stream",
        "sink",
        ["--workload", "send"],
        measure="throughput",
        unit="B/s",
    ),
    Workload(
        "send-4k",
        "send a stream in writes of 4 KiB",
        "source",
        ["--workload", "receive"],
        ["--write-size", "4096"] + IN_FLIGHT,
        measure="throughput",
        unit="B/s",
    ),
    Workload(
        "send-64k",
        "send a stream in writes of 64 KiB",
        "source",
        ["--workload", "receive"],
        ["--write-size", "65536"] + IN_FLIGHT,
        measure="throughput",
        unit="B/s",
    ),
    Workload(
        "connect",
        "connect and close, 8 in flight",
        "connect",
        ["--connections", "8"],
        ["--in-flight", "8"],
        unit="connections/s",
    ),
    Workload(
        "accept",
        "accept, read the end, close, 8 in flight",
        "echo",
        ["--workload", "accept", "--connections", "8"],
        unit="connections/s",
    ),
]

# Not in rounds: what idle connections cost (idle.py), and system calls (system_calls.py).
ECHO_SERVER = _echo("idle", "", 1)
SYSTEM_CALLS = _echo("system-calls", "", 50)
SPECIAL = ["idle", "system-calls"]


def keys():
    return [workload.key for workload in WORKLOADS] + SPECIAL
