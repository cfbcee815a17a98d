"""System calls of an echo of 64 bytes at 50 connections, in a run of their own.

perf counts them without being in the way. Without it strace does, which stops the process at each call: then the
batches are others, and the numbers tell less.
"""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

from peers import LOAD, Deployment
from processes import Process

EVENT = "raw_syscalls:sys_enter"
ATTACH = 0.5  # seconds until a tracer surely counts


def _perf_works():
    if not shutil.which("perf"):
        return False
    run = subprocess.run(["perf", "stat", "-e", EVENT, "true"], capture_output=True, check=False)
    return run.returncode == 0 and b"not supported" not in run.stderr


def choose_tool():
    """perf, strace or None."""
    if _perf_works():
        return "perf"
    return "strace" if shutil.which("strace") else None


def _command(tool, pid, output):
    if tool == "perf":
        return ["perf", "stat", "-x", ";", "-e", EVENT, "-o", output, "-p", str(pid)]
    return ["strace", "-q", "-c", "-f", "-o", output, "-p", str(pid)]


def _count(tool, output):
    """The number of calls in the tracer's output; None if there is none."""
    with open(output, encoding="utf-8") as file:
        text = file.read()
    pattern = r"^(\d+);[^;]*;raw_syscalls" if tool == "perf" else r"^100\.00 +\S+ +(?:\S+ +)?(\d+) +(?:\d+ +)?total$"
    found = re.search(pattern, text, re.MULTILINE)
    return int(found.group(1)) if found else None


def _measure_peer(peer, workload, tool, options, scratch):
    with Deployment(peer, workload) as deployment:
        tracers = {}
        try:
            for role, process in deployment.processes().items():
                output = os.path.join(scratch, f"{peer.key}.{role}")
                tracers[role] = (output, Process(tool, _command(tool, process.pid, output), scratch))
            time.sleep(ATTACH)
            command = [LOAD, "--port", str(deployment.port)] + workload.load
            command += ["--warm-up", "0", "--duration", str(options.duration_ms)]
            with Process("load", command, scratch) as load:
                operations = load.expect("end", options.duration_ms / 1000)["operations"]
                load.wait()
        finally:
            for _, tracer in tracers.values():
                tracer.stop(signal.SIGINT)
        counts = {}
        for role, (output, tracer) in tracers.items():
            count = _count(tool, output) if os.path.exists(output) else None
            if count is None:
                return {"tool": tool, "error": tracer.errors().splitlines()[-1:] or "no output"}
            counts[role] = count / max(operations, 1)
        return {"tool": tool, "calls": counts}


def measure(workload, peers, options):
    """System calls per request, by peer and role."""
    tool = choose_tool()
    if not tool:
        return {}
    with tempfile.TemporaryDirectory(prefix="oche-bench-") as scratch:
        return {peer.key: _measure_peer(peer, workload, tool, options, scratch) for peer in peers}
