"""Processes of a benchmark: started with a bound on everything, watched through /proc, and always ended."""

import ctypes
import json
import os
import resource
import select
import signal
import subprocess
import time

PR_SET_PDEATHSIG = 1
CPUCLOCK_SCHED = 2  # see clock_getcpuclockid(3): the clock of another process
PATIENCE = 15  # seconds beyond what a process is expected to take

_libc = ctypes.CDLL(None, use_errno=True)


class BenchError(Exception):
    """Something that makes the benchmark stop; the text is for the user."""


def prepare(cpus=None):
    """What a child does before exec: it dies with its parent, may open many files, runs where it should."""

    def in_child():
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        if cpus:
            os.sched_setaffinity(0, cpus)

    return in_child


class Usage:
    """What a process has used up so far."""

    def __init__(self, cpu, switches):
        self.cpu = cpu  # seconds
        self._switches = switches  # by thread: how often it was put to sleep or replaced

    @property
    def switches(self):
        return sum(self._switches.values())

    def __sub__(self, other):
        """What was used since. Of threads that have ended meanwhile, the switches are not known."""
        switches = {thread: count - other._switches.get(thread, 0) for thread, count in self._switches.items()}
        return Usage(self.cpu - other.cpu, switches)


class Process:
    """A child. It tells what it does in lines of JSON on stdout, each with an "event"."""

    def __init__(self, name, command, scratch, env=None, cpus=None):
        self.name = name
        self._errors_path = os.path.join(scratch, "stderr")
        self._buffer = b""
        with open(self._errors_path, "ab") as errors:
            self._errors_from = errors.tell()
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, **(env or {})},
                preexec_fn=prepare(cpus),
            )
        self.pid = self._child.pid

    def errors(self):
        """The end of what it has written to stderr."""
        with open(self._errors_path, "rb") as errors:
            errors.seek(self._errors_from)
            return errors.read()[-2000:].decode(errors="replace").strip()

    def failed(self, why):
        return BenchError(f"{self.name}: {why}\n{self.errors()}".rstrip())

    def check(self):
        """Fails if the process has ended."""
        if self._child.poll() is not None:
            raise self.failed(f"ended unexpectedly with status {self._child.returncode}")

    def expect(self, event, seconds=0.0):
        """Waits for an event, which may take so long; returns it."""
        deadline = time.monotonic() + seconds + PATIENCE
        while True:
            line = self._line(deadline, event)
            try:
                found = json.loads(line)
            except ValueError:
                raise self.failed(f"printed {line!r}") from None
            if found.get("event") == event:
                return found

    def _line(self, deadline, event):
        out = self._child.stdout
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([out], [], [], left)[0]:
                raise self.failed(f"no event '{event}' came in time")
            data = os.read(out.fileno(), 65536)
            if not data:
                self._child.wait()
                raise self.failed(f"ended with status {self._child.returncode} before its event '{event}'")
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        return line.decode(errors="replace")

    def usage(self):
        """Its Usage until now."""
        tasks = f"/proc/{self.pid}/task"
        switches = {}
        try:
            cpu = time.clock_gettime(~self.pid << 3 | CPUCLOCK_SCHED)
            for task in os.listdir(tasks):
                try:
                    with open(f"{tasks}/{task}/status") as file:
                        lines = [line.split() for line in file if "_ctxt_switches:" in line]
                    switches[task] = sum(int(line[1]) for line in lines)
                except (FileNotFoundError, ProcessLookupError):
                    pass  # a thread that has just ended
        except OSError:
            self.check()
            raise
        return Usage(cpu, switches)

    def resident(self):
        """Bytes of memory."""
        with open(f"/proc/{self.pid}/status") as file:
            for line in file:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) * 1024
        self.check()
        raise self.failed("has no memory")

    def wait(self, seconds=0.0):
        """Waits until it ends by itself."""
        try:
            status = self._child.wait(seconds + PATIENCE)
        except subprocess.TimeoutExpired:
            raise self.failed("does not end") from None
        if status != 0:
            raise self.failed(f"ended with status {status}")

    def stop(self, how=signal.SIGTERM):
        """Ends it, with force if it takes its time."""
        if self._child.poll() is None:
            self._child.send_signal(how)
            try:
                self._child.wait(8)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()
        self._child.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.stop()
