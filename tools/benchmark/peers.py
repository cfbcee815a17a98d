"""The peers: what is measured, in the order of the tables. The first is the limit, to which ratios refer."""

import os
import shutil
import tempfile
import time
from contextlib import ExitStack

from processes import BenchError, Process

DIRECTORY = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(DIRECTORY))


def program(name):
    return os.path.join(ROOT, "bazel-bin", name)


LOAD = program("tools/benchmark/load")
PLAIN_SERVER = program("tools/benchmark/plain_server")


class Peer:
    """A server, and the client of the workload "connect": the same program in another mode."""

    def __init__(self, key, title, command, client_command=None, lane=None, on_request=False):
        self.key = key
        self.title = title
        self.lane = lane  # of oche; None: a peer without a daemon
        self.on_request = on_request  # only when --peers names it
        self._command = command
        self._client_command = client_command

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
        "oche-plain-direct",
        "oche.h, plain lane",
        [program("tools/benchmark/direct_server")],
        lane="plain",
        on_request=True,
    ),
]


def available(peer):
    """Why a peer cannot take part, or None."""
    if peer.key == "node" and not shutil.which("node"):
        return "node is not installed"
    return None


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
            socket = os.path.join(self._scratch, "oched.sock")
            if peer.lane:
                self.daemon = self._start_daemon(socket, workload.cpus())
            command = peer.command(workload) + list(extra)
            started = self._stack.enter_context(
                Process(peer.title, command, self._scratch, env=peer.env(socket), cpus=workload.cpus())
            )
            if workload.is_client:
                self.client = started
            else:
                self.server = started
                self.port = started.expect("ready")["port"]
        except BaseException:
            self._stack.close()
            raise

    def _start_daemon(self, socket, cpus):
        command = [program("daemon/oched"), "--foreground", "--socket", socket, "--log-level", "warning"]
        daemon = self._stack.enter_context(Process("oched", command, self._scratch, cpus=cpus))
        deadline = time.monotonic() + 5
        while not os.path.exists(socket):
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


def select_peers(keys):
    """The peers with these keys, or all; and why the others are left out, by key."""
    known = {peer.key: peer for peer in PEERS}
    for key in keys or []:
        if key not in known:
            raise BenchError(f"there is no peer '{key}'; there are {', '.join(known)}")
    wanted = [peer for peer in PEERS if peer is PEERS[0] or (peer.key in keys if keys else not peer.on_request)]
    missing = {peer.key: available(peer) for peer in wanted if available(peer)}
    return [peer for peer in wanted if peer.key not in missing], missing
