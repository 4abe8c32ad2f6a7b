"""Processes that add rows to one sums file while others of them are killed; test_storm.py runs it in a new folder.

Imports once and forks, so that a new process costs milliseconds. Ends only processes that it started, by their id.
"""

import argparse
import itertools
import json
import os
import random
import signal
import sys
import time
import traceback

# Before NumPy: forked processes must not find threads that they do not have.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import dask  # noqa: E402

from daskelm import NormalEquations, load  # noqa: E402
from daskelm.exceptions import FileMissingError  # noqa: E402

MOST_SECONDS = 400


def add_ranges(ranges, again):
    """Add all ranges in a random order; then anew, until the file named `stop` appears."""
    dask.config.set(scheduler="sync")
    model = load("model.h5")
    while True:
        for start, stop in random.sample(ranges, len(ranges)):
            model.accumulate("X.h5", "T.h5", rows=slice(start, stop), into="sums.h5")
        if not again or os.path.exists("stop"):
            return


def poll():
    """Read the file all the time: it must be whole, and never hold fewer rows than before."""
    n_reads, n_samples = 0, 0
    # Once more when all is done, for a machine that had no time for it before.
    while not (n_reads and os.path.exists("stop")):
        try:
            sums = NormalEquations.load("sums.h5")
        except FileMissingError:
            if n_samples:
                raise
            continue
        if sums.n_samples < n_samples:
            raise RuntimeError(f"{sums.n_samples} rows after {n_samples}")
        n_reads, n_samples = n_reads + 1, sums.n_samples
    with open("n_reads", "w") as file:
        file.write(str(n_reads))


def start(function, *args):
    """Id of a process that runs this function."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        random.seed(os.getpid())
        function(*args)
        status = 0
    except BaseException:  # noqa: BLE001  the parent's code must not run on in a child
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def storm(shares, n_kills, seed):
    """Kill `n_kills` times a process at random and start it anew; gives the exit statuses of those that ended."""
    rng = random.Random(seed)
    reader = start(poll)
    running = {start(add_ranges, share, True): share for share in shares}
    for _ in range(n_kills):
        time.sleep(rng.uniform(0, 0.08))
        pid = rng.choice(sorted(running))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        share = running.pop(pid)
        running[start(add_ranges, share, True)] = share
    open("stop", "w").close()
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in (*running, reader)]


def main():
    parser = argparse.ArgumentParser()
    for name in ("processes", "ranges", "rows", "kills", "rounds", "seed"):
        parser.add_argument(f"--{name}", type=int, required=True)
    options = parser.parse_args()
    signal.alarm(MOST_SECONDS)
    edges = [options.rows * i // options.ranges for i in range(options.ranges + 1)]
    ranges = list(itertools.pairwise(edges))
    shares = [ranges[i :: options.processes] for i in range(options.processes)]
    statuses = []
    if options.kills:
        statuses += storm(shares, options.kills, options.seed)
    for i in range(options.rounds):
        # All at once, in random order.
        for name in ("sums.h5", "sums.h5.lock"):
            if i and os.path.exists(name):
                os.replace(name, f"{name}.{i}")
        pids = [
            start(add_ranges, share, False) for share in random.Random(options.seed + i).sample(shares, len(shares))
        ]
        statuses += [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    print(json.dumps({"statuses": statuses}))


if __name__ == "__main__":
    main()
