"""The figures that oche has to reach. They are shown, and never fail a run: machines differ."""

from statistics import median

from rounds import ratio


class Goal:
    """A figure: `measure` takes the lookup below and returns a number, or None if it was not measured."""

    def __init__(self, text, measure, at_least=None, at_most=None):
        self.text = text
        self.measure = measure
        self.at_least = at_least
        self.at_most = at_most

    def bound(self):
        return f"≥ {self.at_least:g}" if self.at_least is not None else f"≤ {self.at_most:g}"

    def is_met(self, value):
        return value >= self.at_least if self.at_least is not None else value <= self.at_most


class Lookup:
    """Numbers out of the results, None where there are none."""

    def __init__(self, results):
        self._workloads = {workload["key"]: workload["results"] for workload in results["workloads"]}
        self._idle = results["idle"]
        self._calls = results["system_calls"]

    def _result(self, workload, peer):
        return self._workloads.get(workload, {}).get(peer)

    def ratio(self, workload, peer, other="plain"):
        mine, theirs = self._result(workload, peer), self._result(workload, other)
        return ratio(mine, theirs) if mine and theirs else None

    def tail(self, workload, peer):
        """How much slower the slow requests are."""
        result = self._result(workload, peer)
        return median(sample["p99_us"] / sample["p50_us"] for sample in result["samples"]) if result else None

    def calls(self, peer, role):
        return self._calls.get(peer, {}).get("calls", {}).get(role)

    def idle_bytes(self, peer, *roles):
        found = self._idle.get(peer)
        return sum(found["bytes"][role] for role in roles) if found else None

    def idle_switches(self, peer, *roles):
        found = self._idle.get(peer)
        return sum(found["switches"][role] for role in roles) if found else None


def _ratio(text, workload, peer, at_least, other="plain"):
    return Goal(text, lambda look: look.ratio(workload, peer, other), at_least=at_least)


PLAIN, MEMORY, DART, DART_IO = "oche-plain", "oche-memory", "oche-dart", "dart-io"

GOALS = [
    _ratio("plain lane: echo at 50 connections, against plain epoll", "echo-64-50", PLAIN, 0.25),
    Goal("plain lane: echo at 1 connection, p99 against p50", lambda look: look.tail("echo-64-1", PLAIN), at_most=5),
    Goal(
        "plain lane: daemon's bytes for an idle connection",
        lambda look: look.idle_bytes(PLAIN, "daemon"),
        at_most=2048,
    ),
    Goal(
        "plain lane: times an idle daemon woke up",
        lambda look: look.idle_switches(PLAIN, "daemon"),
        at_most=0,
    ),
    _ratio("memory lane: echo at 50 connections, against plain epoll", "echo-64-50", MEMORY, 0.65),
    _ratio("memory lane: echo at 500 connections, against plain epoll", "echo-64-500", MEMORY, 0.65),
    _ratio("memory lane: echo at 50 connections, against Node", "echo-64-50", MEMORY, 1.3, "node"),
    _ratio("memory lane: echo at 500 connections, against Node", "echo-64-500", MEMORY, 1.3, "node"),
    _ratio("memory lane: echo at 50 connections, against the reference", "echo-64-50", MEMORY, 2.0, "reference"),
    _ratio("memory lane: echo at 500 connections, against the reference", "echo-64-500", MEMORY, 2.0, "reference"),
    Goal(
        "memory lane: latency on one processor, against plain epoll",
        lambda look: look.ratio("echo-pinned", MEMORY),
        at_most=3.0,
    ),
    _ratio("memory lane: receive, against plain epoll", "receive", MEMORY, 0.85),
    _ratio("memory lane: send in 64 KiB, against plain epoll", "send-64k", MEMORY, 0.85),
    _ratio("memory lane: send in 4 KiB, against plain epoll", "send-4k", MEMORY, 0.5),
    _ratio("memory lane: connect and close, against plain epoll", "connect", MEMORY, 0.5),
    Goal("memory lane: system calls of the daemon per echo", lambda look: look.calls(MEMORY, "daemon"), at_most=2.4),
    Goal("memory lane: system calls of the client per echo", lambda look: look.calls(MEMORY, "program"), at_most=0.4),
    Goal(
        "memory lane: bytes for an idle connection, daemon and client",
        lambda look: look.idle_bytes(MEMORY, "daemon", "program"),
        at_most=2048,
    ),
    Goal(
        "memory lane: times an idle daemon or client woke up",
        lambda look: look.idle_switches(MEMORY, "daemon", "program"),
        at_most=0,
    ),
    Goal(
        "Dart: latency of an echo at 1 connection by Connection, against dart:io",
        lambda look: look.ratio("dart-echo-1", DART, DART_IO),
        at_most=1.3,
    ),
    _ratio("Dart: echo at 50 connections by Connection, against dart:io", "dart-echo-50", DART, 1.5, DART_IO),
    _ratio("Dart: echo at 500 connections by Connection, against dart:io", "dart-echo-500", DART, 1.5, DART_IO),
    _ratio("Dart: echo at 50 connections by Socket, against dart:io", "dart-echo-socket", DART, 1.2, DART_IO),
    _ratio("Dart: receive by Connection, against dart:io", "dart-receive", DART, 1.3, DART_IO),
    _ratio("Dart: send in 64 KiB by Connection, against dart:io", "dart-send", DART, 1.3, DART_IO),
    _ratio("Dart: HttpServer at 50 connections, against dart:io", "dart-http", DART, 1.1, DART_IO),
]


def evaluate(results):
    """The goals that were measured."""
    look = Lookup(results)
    found = []
    for goal in GOALS:
        value = goal.measure(look)
        if value is not None:
            found.append({"text": goal.text, "value": value, "bound": goal.bound(), "met": goal.is_met(value)})
    return found
