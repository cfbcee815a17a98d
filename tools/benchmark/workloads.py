"""The workloads, as seen from the servers that are measured: "receive" is a server that receives."""

import os
import shutil


class Workload:
    """What the server does (mode), and what the load generator does (load)."""

    def __init__(
        self, key, title, mode, load=(), server=(), measure="rate", unit="requests/s", pinned=False, through=None
    ):
        self.key = key
        self.title = title
        self.mode = mode  # of the server; see arguments.h
        self.load = list(load)  # options of the load generator
        self.server = list(server)  # options of the server
        self.measure = measure
        self.unit = unit
        self.pinned = pinned  # all processes on one processor
        self.through = through  # of servers in Dart: what the one over oche uses, see dart_server.dart

    @property
    def is_dart(self):
        return self.through is not None

    @property
    def is_http(self):
        """The load generator is wrk."""
        return self.mode == "http"

    def missing(self):
        """Why it cannot be measured here, or None."""
        return "wrk is not installed" if self.is_http and not shutil.which("wrk") else None

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

CONNECTION, SOCKET = "Connection", "oche"  # see dart_server.dart


def _receive(key, title, through):
    return Workload(key, title, "sink", ["--workload", "send"], measure="throughput", unit="B/s", through=through)


def _send(key, title, through):
    return Workload(key, title, "source", ["--workload", "receive"], measure="throughput", unit="B/s", through=through)


# The same servers in Dart, over dart:io and over oche.
DART_WORKLOADS = [
    _echo(
        "dart-echo-1",
        "latency of an echo of 64 bytes by Connection, 1 connection",
        1,
        measure="latency",
        unit="µs",
        through=CONNECTION,
    ),
    _echo("dart-echo-50", "echo of 64 bytes by Connection, 50 connections", 50, through=CONNECTION),
    _echo("dart-echo-500", "echo of 64 bytes by Connection, 500 connections", 500, through=CONNECTION),
    _echo("dart-echo-socket", "echo of 64 bytes by Socket, 50 connections", 50, through=SOCKET),
    _receive("dart-receive", "receive a stream by Connection", CONNECTION),
    _receive("dart-receive-socket", "receive a stream by Socket", SOCKET),
    _send("dart-send", "send a stream in writes of 64 KiB by Connection", CONNECTION),
    _send("dart-send-socket", "send a stream in writes of 64 KiB by Socket", SOCKET),
    Workload("dart-http", "HttpServer, 50 connections", "http", ["--connections", "50"], through=SOCKET),
]
DART_SMOKE = "dart-echo-50"  # the one that takes part in a quick run of the others

# Not in rounds: what idle connections cost (idle.py), and system calls (system_calls.py).
IDLE = _echo("idle", "memory and wake-ups of idle connections", 1)
SYSTEM_CALLS = [
    _echo("system-calls", "system calls of an echo, 50 connections", 50),
    _echo("dart-system-calls", "system calls of an echo by Connection, 50 connections", 50, through=CONNECTION),
]

ALL = WORKLOADS + DART_WORKLOADS + [IDLE] + SYSTEM_CALLS


def select(keys, dart, smoke):
    """The workloads with these keys; without any, all of C or all of Dart. For a smoke test, one of Dart is enough."""
    if keys:
        return [workload for workload in ALL if workload.key in keys]
    return [workload for workload in ALL if workload.is_dart == dart or (smoke and workload.key == DART_SMOKE)]
