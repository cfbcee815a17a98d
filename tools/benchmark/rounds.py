"""Workloads are measured in rounds, each peer once in a round: what drifts on the machine meets all of them."""

import tempfile
import time
from contextlib import ExitStack
from statistics import median

from peers import LOAD, PLAIN_SERVER, WRK, Deployment
from processes import Process, Usage

SETTLE = 0.03  # seconds, for what a run leaves behind


def _limits(options):
    return ["--warm-up", str(options.warm_up_ms), "--duration", str(options.duration_ms)]


def _sample(workload, end, used):
    """What one run gave: the value, and what it cost each process of the peer."""
    operations = max(workload.operations(end), 1e-9)
    return {
        "value": workload.value(end),
        "p50_us": end["p50_us"],
        "p99_us": end["p99_us"],
        "max_us": end["max_us"],
        "stalls": end["stalls"],
        "cpu_us": {role: usage.cpu * 1e6 / operations for role, usage in used.items()},
        "switches": {role: usage.switches / operations for role, usage in used.items()},
    }


def _run_load(workload, deployment, options, scratch):
    command = WRK if workload.is_http else [LOAD]
    command = command + ["--port", str(deployment.port)] + workload.load + _limits(options)
    with Process(f"load on {deployment.peer.title}", command, scratch, cpus=workload.cpus()) as load:
        load.expect("begin", options.warm_up_ms / 1000)
        before = deployment.usage()
        end = load.expect("end", options.duration_ms / 1000)
        after = deployment.usage()
        load.wait()
    return _sample(workload, end, {role: after[role] - before[role] for role in after})


def _run_client(workload, deployment, options):
    """A client measures itself, and is gone then."""
    deployment.client.expect("begin", options.warm_up_ms / 1000)
    before = deployment.usage()
    end = deployment.client.expect("end", options.duration_ms / 1000)
    used = {role: usage - before[role] for role, usage in deployment.usage().items()}
    used["program"] = Usage(end["cpu_seconds"], {"all": end["switches"]})
    return _sample(workload, end, used)


def _measure_servers(workload, peers, options, scratch, samples):
    with ExitStack() as stack:
        deployments = [stack.enter_context(Deployment(peer, workload)) for peer in peers]
        if workload.is_dart:  # the VM compiles what it runs often
            for deployment in deployments:
                _run_load(workload, deployment, options, scratch)
        for _ in range(options.rounds):
            for deployment in deployments:
                samples[deployment.peer.key].append(_run_load(workload, deployment, options, scratch))
                time.sleep(SETTLE)


def _measure_clients(workload, peers, options, scratch, samples):
    acceptor_command = [PLAIN_SERVER, "--mode", "accept"]
    with Process("plain server", acceptor_command, scratch) as acceptor:
        extra = ["--port", str(acceptor.expect("ready")["port"])] + _limits(options)
        for _ in range(options.rounds):
            for peer in peers:
                with Deployment(peer, workload, extra) as deployment:
                    samples[peer.key].append(_run_client(workload, deployment, options))
                time.sleep(SETTLE)


def _summary(samples):
    """The median of everything, and the spread of the value."""
    values = [sample["value"] for sample in samples]
    summary = {"median": median(values), "min": min(values), "max": max(values)}
    for name in ("p50_us", "p99_us", "max_us"):
        summary[name] = median(sample[name] for sample in samples)
    summary["stalls"] = sum(sample["stalls"] for sample in samples)
    for name in ("cpu_us", "switches"):
        summary[name] = {role: median(sample[name][role] for sample in samples) for role in samples[0][name]}
    summary["samples"] = samples
    return summary


def ratio(mine, theirs):
    """Of two results: the median of the ratios of each round, whose measurements had the same conditions."""
    pairs = zip(mine["samples"], theirs["samples"])
    ratios = [one["value"] / other["value"] for one, other in pairs if other["value"]]
    return median(ratios) if ratios else 0.0


def measure(workload, peers, options):
    """The results of a workload, by peer."""
    samples = {peer.key: [] for peer in peers}
    with tempfile.TemporaryDirectory(prefix="oche-bench-") as scratch:
        run = _measure_clients if workload.is_client else _measure_servers
        run(workload, peers, options, scratch, samples)
    results = {key: _summary(found) for key, found in samples.items()}
    for result in results.values():
        result["ratio"] = ratio(result, results[peers[0].key])
    return {
        "key": workload.key,
        "title": workload.title,
        "unit": workload.unit,
        "operation": workload.operation,
        "less_is_better": workload.less_is_better,
        "is_stream": workload.is_stream,
        "results": results,
    }
