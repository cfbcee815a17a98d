"""The Dart VM, and what a server in Dart needs: see tools/dart, which builds it."""

import os
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SOURCE = os.path.join(ROOT, "tools", "benchmark", "dart_server.dart")
SNAPSHOT = os.path.join(ROOT, "bench-results", "dart_server.dill")


def _vm():
    """As tools/dart finds it."""
    chosen = os.environ.get("OCHE_DART") or "3.7.3"
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.abspath(chosen) if "/" in chosen else os.path.join(cache, "oche", f"dart-{chosen}", "dart")


VM = _vm()
COMMAND = [VM, "--disable-dart-dev", SNAPSHOT]  # no asserts


def version():
    """What the VM says of itself, a line with version and architecture; None if there is no VM that runs here."""
    try:
        run = subprocess.run([VM, "--version"], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return (run.stdout or run.stderr).strip() if run.returncode == 0 else None


def missing():
    """Why there is no VM, or None."""
    if not os.access(VM, os.X_OK):
        return "there is no Dart VM; tools/setup fetches it, or says why not"
    return None if version() else "the Dart VM does not start"


def library():
    """The liboche.so of the VM's word size: the fifth byte of an executable file is 1 if it has 32 bits."""
    with open(VM, "rb") as file:
        directory = "bazel-ia32-bin" if file.read(5)[4] == 1 else "bazel-bin"
    return os.environ.get("OCHE_LIBRARY") or os.path.join(ROOT, directory, "client", "liboche.so")


def build():
    """Builds the library and compiles the server. Whether that went well."""
    os.makedirs(os.path.dirname(SNAPSHOT), exist_ok=True)
    command = [os.path.join(ROOT, "tools", "dart"), "--snapshot-kind=kernel", f"--snapshot={SNAPSHOT}", SOURCE]
    return subprocess.run(command, check=False).returncode == 0
