"""The peers: what is measured, in the order of the tables. Ratios refer to the first that takes part in a workload."""

import os
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack

import dart
from processes import BenchError, Process

DIRECTORY = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(DIRECTORY))


def program(name):
    return os.path.join(ROOT, "bazel-bin", name)


LOAD = program("tools/benchmark/load")
WRK = [sys.executable, "-B", os.path.join(DIRECTORY, "wrk.py")]
PLAIN_SERVER = program("tools/benchmark/plain_server")


class Peer:
    """A server, and the client of the workload "connect": the same program in another mode."""

    def __init__(self, key, title, command, client_command=None, lane=None, method="epoll", on_request=False,
                 only=None):
        self.key = key
        self.title = title
        self.lane = lane  # of oche; None: a peer without a daemon
        self.method = method  # how its daemon waits
        self.on_request = on_request  # only when --peers names it
        self._only = only  # keys of the workloads that it has something to say about; None: all
        self._command = command
        self._client_command = client_command

    def takes_part(self, workload):
        return not workload.is_dart and (self._only is None or workload.key in self._only)

    def missing(self):
        """Why it cannot take part here, or None."""
        name = self._command[0]
        return None if os.path.isabs(name) or shutil.which(name) else f"{name} is not installed"

    def command(self, workload):
        if workload.is_client and self._client_command:
            return self._client_command + workload.load
        if workload.is_client:
            return self._command + ["--mode", "connect"] + workload.server
        return self._command + ["--mode", workload.mode] + workload.server

    def env(self, socket):
        if not self.lane:
            return {}
        return {
            "OCHE_SOCKET": socket,
            "OCHE_LANE": self.lane,
            "OCHE_DAEMON": "/nonexistent",  # the one that is measured, or none
        }


class DartPeer(Peer):
    """The server in Dart."""

    def __init__(self, key, title, lane=None):
        super().__init__(key, title, dart.COMMAND, lane=lane)

    def takes_part(self, workload):
        return workload.is_dart

    def missing(self):
        return dart.missing()

    def command(self, workload):
        return super().command(workload) + ["--through", workload.through if self.lane else "dart:io"]

    def env(self, socket):
        return {**super().env(socket), "OCHE_LIBRARY": dart.library()}


PEERS = [
    Peer(
        "plain",
        "plain epoll",
        [PLAIN_SERVER],
        client_command=[LOAD, "--workload", "connect"],
    ),
    Peer("node", "Node's net", ["node", os.path.join(DIRECTORY, "node_server.js")]),
    Peer("reference", "in-process reference", [program("tools/benchmark/reference_server")]),
    Peer("oche-plain", "oche, plain lane", [program("tools/benchmark/oche_server")], lane="plain"),
    Peer("oche-memory", "oche, memory lane", [program("tools/benchmark/oche_server")], lane="memory"),
    Peer(
        "oche-io-uring",
        "memory lane, io_uring",
        [program("tools/benchmark/oche_server")],
        lane="memory",
        method="io_uring",
    ),
    Peer(
        "oche-batched",
        "memory lane, batched",
        [program("tools/benchmark/batched_server")],
        lane="memory",
        only=["echo-64-1", "echo-64-50", "echo-64-500", "echo-pinned", "system-calls"],
    ),
    Peer(
        "oche-plain-direct",
        "oche.h, plain lane",
        [program("tools/benchmark/direct_server")],
        lane="plain",
        on_request=True,
    ),
    DartPeer("dart-io", "dart:io"),
    DartPeer("oche-dart", "oche, memory lane", lane="memory"),
]
LIMITS = ["plain", "dart-io"]  # always there


class Deployment:
    """A peer that runs: its server or client, and its daemon if it has one."""

    def __init__(self, peer, workload, extra=()):
        self.peer = peer
        self.daemon = None
        self.server = None
        self.client = None
        self._stack = ExitStack()
        try:
            self._scratch = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="oche-bench-"))
            self.socket = os.path.join(self._scratch, "oched.sock")  # of its daemon
            if peer.lane:
                self.daemon = self._start_daemon(peer.method, workload.cpus())
            command = peer.command(workload) + list(extra)
            started = self._stack.enter_context(
                Process(peer.title, command, self._scratch, env=peer.env(self.socket), cpus=workload.cpus())
            )
            if workload.is_client:
                self.client = started
            else:
                self.server = started
                self.port = started.expect("ready")["port"]
        except BaseException:
            self._stack.close()
            raise

    def _start_daemon(self, method, cpus):
        command = [program("daemon/oched"), "--foreground", "--socket", self.socket, "--method", method]
        command += ["--log-level", "warning"]
        daemon = self._stack.enter_context(Process("oched", command, self._scratch, cpus=cpus))
        deadline = time.monotonic() + 5
        while not os.path.exists(self.socket):
            daemon.check()
            if time.monotonic() > deadline:
                raise daemon.failed("does not listen")
            time.sleep(0.01)
        return daemon

    def processes(self):
        """Those that stay, by role."""
        found = {"program": self.server, "daemon": self.daemon}
        return {role: process for role, process in found.items() if process}

    def usage(self):
        return {role: process.usage() for role, process in self.processes().items()}

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self._stack.close()


def select_peers(keys, workloads):
    """The peers with these keys, or all, that take part in the workloads; and why others cannot, by key."""
    known = [peer.key for peer in PEERS]
    for key in keys:
        if key not in known:
            raise BenchError(f"there is no peer '{key}'; there are {', '.join(known)}")
    wanted = [
        peer
        for peer in PEERS
        if any(peer.takes_part(workload) for workload in workloads)
        and (peer.key in LIMITS or (peer.key in keys if keys else not peer.on_request))
    ]
    missing = {peer.key: peer.missing() for peer in wanted if peer.missing()}
    return [peer for peer in wanted if peer.key not in missing], missing
