"""Speed of a fit, beside the processor's limit, HP-ELM and plain dask arrays, in one run.

Each competitor reads 200,000 rows of 100 float64 from an HDF5 file in chunks of 1,000 rows, and solves for the same
tanh neurons, three targets and penalty. They take turns; the table has medians of the ratios within a turn. The limit
is T* = (N (L (L + 1) + 2 d L + 2 L c) + L^3 / 3) / R, where R is the best rate of five dgemm of 4096 on all cores in
the same turn. daskelm and the dask arrays have one worker process of one thread per core, started beforehand. HP-ELM
uses the threads that it starts by itself.

Prints a Markdown table and the goals that were missed; --json writes the figures, and --plot a picture. With --strict
the exit status is 1 if a goal is missed, which can happen on a machine that does other work too.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import tempfile
import time
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import dask
import h5py
import numpy as np
import scipy
from dask.distributed import Client, LocalCluster

from daskelm import ELMRegressor, Neurons, __version__, from_hdf5
from daskelm.exceptions import IllConditionedWarning

ALPHA = 1e-3
# Goals on two cores, by L: HP-ELM's time / ours at least, ours / T* at most, dask arrays' / ours at least.
GOALS = {200: (3.5, 2.0, 1.3), 1000: (2.5, 1.3, 1.3), 2000: (2.2, 1.2, 1.3)}
LEAST_WITHOUT_CLIENT, LEAST_FLOAT32, MOST_DEFAULT = 0.85, 0.95, 1.25
HPELM = """
import sys, time
import numpy as np
from hpelm import HPELM
x, t, given, out = sys.argv[1:]
given = np.load(given)
model = HPELM(given["W"].shape[0], int(given["c"]), norm=float(given["alpha"]), tprint=1e9)
model.add_neurons(given["W"].shape[1], "tanh", given["W"], given["b"])
begin = time.perf_counter()
model.train(x, t)
seconds = time.perf_counter() - begin
np.save(out, model.nnet.get_B())
print(seconds)
"""


@dataclass(frozen=True)
class Size:
    """Rows, inputs, targets, numbers of neurons, turns, the size of T*'s product, competitors, and tolerance."""

    n_samples: int
    n_features: int
    n_targets: int
    n_neurons: tuple[int, ...]
    n_turns: int
    n_gemm: int
    names: tuple[str, ...] = ()
    tolerance: float = 1e-8


FULL = Size(200_000, 100, 3, (200, 1000, 2000), 3, 4096)
QUICK = Size(4_000, 20, 3, (50, 100), 1, 256)


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few rows, to check that the script runs")
    parser.add_argument("--neurons", type=int, nargs="+", metavar="L", help="numbers of neurons to measure")
    parser.add_argument("--strict", action="store_true", help="fail if a goal is missed")
    parser.add_argument("--hpelm", metavar="PYTHON", help="interpreter of an environment that has HP-ELM")
    parser.add_argument("--json", metavar="FILE", help="write all figures")
    parser.add_argument("--plot", metavar="FILE", help="draw the figures")
    options = parser.parse_args(argv)
    size = QUICK if options.quick else FULL
    if options.neurons:
        size = replace(size, n_neurons=tuple(options.neurons))
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), size, options.hpelm)
    missed = report(figures, size)
    if options.json:
        Path(options.json).write_text(json.dumps(machine() | {"seconds": figures}, indent=1), encoding="utf-8")
    if options.plot:
        plot(figures, options.plot)
    for line in missed:
        print(line)
    return 1 if missed and options.strict else 0


def machine() -> dict:
    """Processor, cores and versions of this machine."""
    cpu = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        cpu = names[0] if names else cpu
    versions = {"python": platform.python_version(), "daskelm": __version__, "numpy": np.__version__}
    versions |= {"scipy": scipy.__version__, "dask": dask.__version__, "h5py": h5py.__version__}
    return {"cpu": cpu, "cores": n_cores(), "versions": versions}


def n_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def measure(folder: Path, size: Size, hpelm: str | None) -> dict:
    """Seconds of each turn, by number of neurons and name of the competitor."""
    paths = {dtype: make_files(folder, size, dtype) for dtype in ("f8", "f4")}
    figures: dict = {}
    with (
        LocalCluster(
            n_workers=n_cores(), threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster),
    ):
        for n_neurons in size.n_neurons:
            rng = np.random.default_rng(n_neurons)
            W = rng.standard_normal((size.n_features, n_neurons)) / np.sqrt(size.n_features)
            b = rng.standard_normal(n_neurons)
            np.savez(folder / "given.npz", W=W, b=b, c=size.n_targets, alpha=ALPHA)
            turns: dict = {}
            for turn in range(size.n_turns + 1):
                seconds = one_turn(folder, paths, size, W, b, hpelm)
                # The first turn loads files, workers and libraries, and is not counted.
                if turn:
                    for name, value in seconds.items():
                        turns.setdefault(name, []).append(value)
            figures[n_neurons] = turns
    return figures


def make_files(folder: Path, size: Size, dtype: str) -> tuple[str, str]:
    """Write inputs and targets in chunks of 1,000 rows to two files, and return their paths."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((size.n_samples, size.n_features))
    T = np.tanh(X[:, : size.n_targets]) + 0.1 * rng.standard_normal((size.n_samples, size.n_targets))
    paths = []
    for name, table in (("X", X), ("T", T)):
        paths.append(str(folder / f"{name}-{dtype}.h5"))
        with h5py.File(paths[-1], "w") as file:
            file.create_dataset("data", data=table.astype(dtype), chunks=(min(1000, len(table)), table.shape[1]))
    return paths[0], paths[1]


def one_turn(folder, paths, size, W, b, hpelm) -> dict:
    """Seconds of each competitor, once; all must find the same weights."""
    N, d, c, L = size.n_samples, size.n_features, size.n_targets, len(b)
    model = ELMRegressor([Neurons("tanh", W, b)], alpha=ALPHA, standardize=False, fit_intercept=False)
    seconds, found = {}, {}

    def timed(name, function):
        if size.names and name not in size.names:
            return
        begin = time.perf_counter()
        found[name] = function()
        seconds[name] = time.perf_counter() - begin

    rate = max(gemm_rate(size.n_gemm) for _ in range(5))
    seconds["limit"] = (N * (L * (L + 1) + 2 * d * L + 2 * L * c) + L**3 / 3) / rate
    timed("daskelm", lambda: model.fit(*paths["f8"]).coef_.T)
    timed("dask.array", lambda: with_dask_arrays(*paths["f8"], W, b))
    with dask.config.set(scheduler="threads"):
        timed("no client", lambda: model.fit(*paths["f8"]).coef_.T)
    timed("float32", lambda: model.fit(*paths["f4"]).coef_.T)
    narrow = [Neurons("tanh", W.astype("f4"), b.astype("f4"))]
    all_single = ELMRegressor(narrow, alpha=ALPHA, standardize=False, fit_intercept=False, gram_dtype="float32")
    with warnings.catch_warnings():
        # The penalty is raised, since it is below the rounding of these sums. The time is the same.
        warnings.simplefilter("ignore", IllConditionedWarning)
        timed("all float32", lambda: all_single.fit(*paths["f4"]).coef_.T)
    timed("default", lambda: ELMRegressor(L, random_state=0).fit(*paths["f8"]).coef_.T)
    if hpelm:
        words = [hpelm, "-c", HPELM, *paths["f8"], str(folder / "given.npz"), str(folder / "B.npy")]
        # Dask sets variables that limit threads of new processes, and HP-ELM may use all cores.
        free = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
        done = subprocess.run(words, capture_output=True, text=True, check=True, env=free)
        seconds["HP-ELM"] = float(done.stdout.split()[-1])
        found["HP-ELM"] = np.load(folder / "B.npy")
    scale = np.abs(found["daskelm"]).max()
    for name in ("dask.array", "no client", "HP-ELM"):
        if name in found and np.abs(found[name] - found["daskelm"]).max() > size.tolerance * scale:
            raise RuntimeError(f"{name} found other weights")
    return seconds


def gemm_rate(n: int) -> float:
    """Floating-point operations per second of a matrix product."""
    A = np.random.default_rng(0).random((n, n))
    begin = time.perf_counter()
    A @ A
    return 2 * n**3 / (time.perf_counter() - begin)


def with_dask_arrays(x: str, t: str, W, b):
    """Weights by the textbook's formula on dask arrays, chunk by chunk."""
    X, T = from_hdf5(x), from_hdf5(t)
    T = T.rechunk({0: X.chunks[0]})
    H = X.map_blocks(lambda block: np.tanh(block @ W + b), chunks=(X.chunks[0], (len(b),)), dtype=float)
    HH, HT = dask.compute(H.T @ H, H.T @ T)
    return scipy.linalg.solve(HH + ALPHA * np.eye(len(b)), HT, assume_a="pos")


def ratio(turns, above, below) -> float:
    """Median over the turns of the ratio of two times."""
    return statistics.median(a / b for a, b in zip(turns[above], turns[below], strict=True))


def report(figures, size) -> list[str]:
    """Print the table, and return a line for each goal that was missed."""
    facts = machine()
    print(f"{facts['cpu']}, {facts['cores']} cores, " + ", ".join(f"{k} {v}" for k, v in facts["versions"].items()))
    print(f"{size.n_samples:,} x {size.n_features}, {size.n_targets} targets, {size.n_turns} turn(s)\n")
    print("| L | daskelm, s | of T* | HP-ELM | dask.array | without client | float32 | sums too | default fit |")
    print("|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    missed = []
    for L, turns in figures.items():
        of_limit, dask_array = ratio(turns, "daskelm", "limit"), ratio(turns, "dask.array", "daskelm")
        hpelm = ratio(turns, "HP-ELM", "daskelm") if "HP-ELM" in turns else None
        without, single = ratio(turns, "daskelm", "no client"), ratio(turns, "daskelm", "float32")
        default, narrow = ratio(turns, "default", "daskelm"), ratio(turns, "daskelm", "all float32")
        beside = "not measured" if hpelm is None else f"{hpelm:.2f} x"
        cells = [L, f"{statistics.median(turns['daskelm']):.2f}", f"{of_limit:.2f} T*", beside, f"{dask_array:.2f} x"]
        cells += [f"{value:.2f}" for value in (without, single, narrow, default)]
        print("| " + " | ".join(map(str, cells)) + " |")
        least_hpelm, most_limit, least_dask = GOALS.get(L, (0, float("inf"), 0))
        checks = [
            ("times HP-ELM", hpelm is None or hpelm >= least_hpelm, hpelm, least_hpelm),
            ("of T*", of_limit <= most_limit, of_limit, most_limit),
            ("times dask.array", dask_array >= least_dask, dask_array, least_dask),
            ("of the speed without a client", without >= LEAST_WITHOUT_CLIENT, without, LEAST_WITHOUT_CLIENT),
            ("of the speed in float32", single >= LEAST_FLOAT32, single, LEAST_FLOAT32),
            ("for the default fit", L > 1000 or default <= MOST_DEFAULT, default, MOST_DEFAULT),
        ]
        missed += [f"L = {L}: {got:.2f} {what}, wanted {goal}" for what, good, got, goal in checks if not good]
    print()
    return missed


# Lines of the picture, in colours of Okabe and Ito (2008); all other times lie on daskelm's own line.
DRAWN = {
    "HP-ELM": "#CC79A7",
    "dask.array": "#E69F00",
    "daskelm": "#0072B2",
    "all float32": "#009E73",
    "limit": "0.3",
}


def plot(figures, path) -> None:
    """Draw times of a fit, divided by the limit in double precision, against the number of neurons."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    fig, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
    for name, colour in DRAWN.items():
        if name not in next(iter(figures.values())):
            continue
        times = [ratio(turns, name, "limit") for turns in figures.values()]
        label = {"all float32": "daskelm, float32 sums", "limit": "limit, in float64"}.get(name, name)
        ax.plot(list(figures), times, "--" if name == "limit" else "o-", color=colour, label=label)
    ax.set(xscale="log", yscale="log", xlabel="neurons", ylabel="time of a fit / limit")
    ax.set_yticks([0.5, 1, 2, 5, 10, 20], ["0.5", "1", "2", "5", "10", "20"])
    ax.tick_params(axis="y", which="minor", left=False)
    fig.legend(loc="outside right upper", frameon=False)
    ax.set_xticks(list(figures), [f"{L:,}" for L in figures])
    ax.tick_params(axis="x", which="minor", labelbottom=False)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(alpha=0.3)
    fig.savefig(path, dpi=120)


if __name__ == "__main__":
    raise SystemExit(main())
