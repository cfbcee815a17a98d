"""What connections cost on which nothing happens: memory, and whether anybody wakes up.

A thread that is never scheduled makes no system call, so the context switches of all threads tell, and neither strace
nor privileges are needed.
"""

import tempfile
import time

from peers import LOAD, Deployment
from processes import Process
from workloads import IDLE

HOLD_MS = 60000  # longer than anything here


def _open(deployment, connections, scratch):
    command = [LOAD, "--port", str(deployment.port), "--workload", "idle"]
    command += ["--connections", str(connections), "--duration", str(HOLD_MS)]
    return Process(f"load on {deployment.peer.title}", command, scratch)


def _measure_peer(peer, options, scratch):
    with Deployment(peer, IDLE) as deployment:
        processes = deployment.processes()
        # The first connection pays for what is needed once.
        with _open(deployment, 1, scratch) as first, _open(deployment, options.idle_connections, scratch) as others:
            first.expect("begin")
            before = {role: process.resident() for role, process in processes.items()}
            others.expect("begin")
            time.sleep(0.5)
            after = {role: process.resident() for role, process in processes.items()}

            # Only where there is a daemon is anything promised.
            seconds = options.idle_seconds if peer.lane else 1.0
            begin = deployment.usage()
            time.sleep(seconds)
            used = {role: usage - begin[role] for role, usage in deployment.usage().items()}
        return {
            "connections": options.idle_connections,
            "bytes": {role: (after[role] - before[role]) / options.idle_connections for role in after},
            "seconds": seconds,
            "switches": {role: usage.switches for role, usage in used.items()},
        }


def measure(peers, options):
    """The results, by peer."""
    with tempfile.TemporaryDirectory(prefix="oche-bench-") as scratch:
        return {peer.key: _measure_peer(peer, options, scratch) for peer in peers}
