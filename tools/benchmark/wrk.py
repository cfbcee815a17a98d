"""wrk as a load generator: options and output are those of load.c.

It measures whole seconds, and knows no warm-up: the runner has a round for that.
"""

import argparse
import os
import subprocess
import sys

from processes import prepare

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "wrk.lua")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--warm-up", type=int, help="not used")
    parser.add_argument("--duration", type=int, default=1000)
    options = parser.parse_args()
    seconds = max(1, round(options.duration / 1000))
    command = ["wrk", "--threads", "1", "--connections", str(options.connections), "--duration", f"{seconds}s"]
    command += ["--script", SCRIPT, f"http://127.0.0.1:{options.port}/"]
    print('{"event": "begin"}', flush=True)
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, preexec_fn=prepare(), check=False)
    events = [line for line in run.stdout.splitlines() if line.startswith("{")]  # what wrk.lua prints, not wrk
    if run.returncode != 0 or not events:
        sys.exit(f"wrk: ended with status {run.returncode}\n{run.stdout}")
    print(events[-1], flush=True)


if __name__ == "__main__":
    main()
