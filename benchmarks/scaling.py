"""Time of a fit on many workers: a model, checked against fits with few workers and a real scheduler with many.

The model is in scaling_model.py, the dummy workers are in dummy_workers.py. Prints Markdown tables, and then a line for
each result that is off: a fit with no more workers than cores that takes less than half or more than twice the
predicted time, or a simulation in which more than 1.1 partial sums per worker cross the network. With --strict the exit
status is 1 if there is such a line.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import math
import multiprocessing
import os
import pickle
import platform
import statistics
import tempfile
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import dask
import distributed
import h5py
import numpy as np
import scipy
from dask.distributed import Client, LocalCluster
from dummy_workers import Simulation, facts
from scaling_model import N_TARGETS, TERMS, Constants, n_tasks

import daskelm
from daskelm import ELMRegressor
from daskelm.data.targets import RegressionTargets
from daskelm.exceptions import IllConditionedWarning
from daskelm.hdf5.rows import Hdf5Rows, open_rows
from daskelm.layer.layer import Layer
from daskelm.passes.accumulate import accumulate
from daskelm.passes.memory import block_rows, rows_per_task
from daskelm.passes.tasks import GramTask
from daskelm.ridge.solve import solve
from daskelm.sums.counted_table import CountedTable
from daskelm.sums.ledger import Ledger
from daskelm.sums.normal_equations import NormalEquations
from daskelm.sums.provenance import Table, provenance_of

ALPHA = 1e-3
# Neurons of the simulated fit, whose 100,000 tasks have 6.3 * 10^9 rows.
SIMULATED_NEURONS = 4000
MAX_OFF = 2.0


@dataclass(frozen=True)
class Size:
    """Extent of a run: fits (rows, neurons, whether GCV chooses the penalty), simulations (workers, tasks), sizes."""

    n_features: int
    n_workers: tuple[int, ...]
    fits: tuple[tuple[int, int, bool], ...]
    n_repeats: int
    simulations: tuple[tuple[int, int], ...]
    neurons: tuple[int, int, int]
    n_solve: int


FULL = Size(
    n_features=100,
    n_workers=(1, 2, 4),
    fits=((400_000, 250, False), (150_000, 1000, True), (60_000, 2000, False)),
    n_repeats=4,
    simulations=((10, 2_000), (100, 10_000), (1000, 10_000)),
    neurons=(250, 1000, 2000),
    n_solve=4000,
)
LARGE = replace(FULL, simulations=((10, 2_000), (100, 10_000), (1000, 100_000)))
QUICK = Size(10, (2,), ((4_000, 50, True),), 1, ((10, 500),), (20, 40, 80), 200)


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few rows and tasks, to check that the script runs")
    parser.add_argument("--strict", action="store_true", help="fail if a result is off")
    parser.add_argument("--large", action="store_true", help="100,000 tasks on 1,000 dummy workers: some minutes more")
    parser.add_argument(
        "--storage", type=float, default=20e9, metavar="BYTES", help="bytes a second that shared storage gives"
    )
    parser.add_argument("--simulations", metavar="FILE", help="take simulations from a file of --json")
    parser.add_argument("--json", metavar="FILE", help="write all figures")
    parser.add_argument("--plot", metavar="FILE", help="draw the model")
    options = parser.parse_args(argv)
    size = QUICK if options.quick else LARGE if options.large else FULL
    with tempfile.TemporaryDirectory() as folder:
        if options.simulations:
            simulations = json.loads(Path(options.simulations).read_text(encoding="utf-8"))["simulations"]
        else:
            simulations = [simulated(p, n, size.n_features) for p, n in size.simulations]
        figures = measure(Path(folder), size, simulations, options.storage)
    off = report(figures)
    if options.json:
        Path(options.json).write_text(json.dumps(figures, indent=1), encoding="utf-8")
    if options.plot:
        from scaling_plot import plot

        plot(figures, options.plot)
    for line in off:
        print(line)
    return 1 if off and options.strict else 0


def machine() -> dict:
    """Processor, cores and versions of this machine."""
    cpu = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), cpu)
    versions = {module.__name__: module.__version__ for module in (daskelm, np, scipy, dask, distributed)}
    return {"cpu": cpu, "cores": n_cores(), "versions": {"python": platform.python_version()} | versions}


def n_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def measure(folder: Path, size: Size, simulations: list[dict], storage: float) -> dict:
    """All figures: the constants, fits with few workers, simulations with many, what solving holds in memory."""
    with in_fresh_process() as process:
        solving = process.submit(solve_constants, size.n_solve).result()
    runs = []
    for p in size.n_workers:
        with cluster_of(p) as cluster, Client(cluster) as client:
            client.wait_for_workers(p)
            if p == size.n_workers[0]:
                X, T = make_files(folder, 20_000, size.n_features, "small")
                here = client.submit(worker_constants, X, T, size.neurons, pure=False).result()
                tiny = make_files(folder, 100, size.n_features, "tiny")
                model = ELMRegressor([(10, "tanh")], alpha=ALPHA, standardize=False, random_state=0)
                fixed = min(seconds_of(partial(model.fit, *tiny)) for _ in range(5))
            if p == 2:
                between = bandwidths(client, size.neurons[-1])
            for n_samples, n_neurons, gcv in size.fits:
                paths = make_files(folder, n_samples, size.n_features, str(n_samples))
                model = ELMRegressor(
                    [(n_neurons, "tanh")], alpha="gcv" if gcv else ALPHA, standardize=False, random_state=0
                )
                # The first fit loads files and workers, and is not counted.
                seconds = [
                    seconds_of(lambda model=model, paths=paths: model.fit(*paths)) for _ in range(size.n_repeats + 1)
                ]
                runs.append({"p": p, "N": n_samples, "L": n_neurons, "gcv": gcv, "seconds": seconds[1:]})
    messages = message_constants(simulations)
    solved = {name: value for name, value in solving.items() if name in Constants.__dataclass_fields__}
    # Two noisy timings may make Cholesky seem faster than its operations allow, so that its time has a lower limit.
    solved["cholesky"] = max(solved["cholesky"], 1 / 3 / here["product"] / n_cores())
    constants = Constants(**here, **between, **messages, **solved, fixed=fixed, storage=storage)
    for run in runs:
        run["predicted"] = constants.seconds(
            run["p"], run["N"], run["L"], size.n_features, gcv=run["gcv"], cores=n_cores()
        )
    return {
        "machine": machine(),
        "n_features": size.n_features,
        "constants": asdict(constants),
        "runs": runs,
        "simulations": simulations,
        "solve": solving,
    }


def seconds_of(function) -> float:
    """Seconds that a call takes."""
    begin = time.perf_counter()
    with warnings.catch_warnings():
        # Few random rows make HH ill-conditioned, which does not change the time.
        warnings.simplefilter("ignore", IllConditionedWarning)
        function()
    return time.perf_counter() - begin


def cluster_of(n_workers: int):
    """Worker processes of one thread, reachable from this machine only."""
    return LocalCluster(
        n_workers=n_workers, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0", memory_limit=0
    )


def in_fresh_process():
    """An executor of one process that has done nothing yet."""
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))


def make_files(folder: Path, n_samples: int, n_features: int, name: str) -> tuple[str, str]:
    """Write inputs and targets in chunks of 1,000 rows to two files, and return their paths."""
    paths = str(folder / f"X-{name}.h5"), str(folder / f"T-{name}.h5")
    if not os.path.exists(paths[0]):
        X = np.random.default_rng(0).standard_normal((n_samples, n_features))
        for path, table in zip(paths, (X, np.tanh(X[:, :N_TARGETS])), strict=True):
            with h5py.File(path, "w") as file:
                file.create_dataset("data", data=table, chunks=(min(1000, n_samples), table.shape[1]))
    return paths


def worker_constants(X_path: str, T_path: str, neurons: tuple[int, int, int]) -> dict[str, float]:
    """Rates of gram tasks and of merging, measured in a worker on one thread."""
    X, T = open_rows(X_path), open_rows(T_path)
    targets = RegressionTargets(N_TARGETS, "float64")
    origins = provenance_of(Table(X, T, None, targets)).origins
    d = X.n_columns

    def per_row(L, n_inputs=d, files=False):
        layer = Layer.draw([(L, "tanh")], n_inputs, 0, np.dtype(float), None)
        n = min(X.n_rows, max(4 * block_rows(L, d), 1000)) if files else min(X.n_rows, max(block_rows(L, d), 1000))
        x, t = (X.between(0, n), T.between(0, n)) if files else (X.read(0, n)[:, :n_inputs].copy(), T.read(0, n))
        task = GramTask.of_rows(targets, (x, t, None), [(0, n)], block_rows(L, d), origins if files else ())
        task(layer)
        return min(seconds_of(lambda: task(layer)) for _ in range(5)) / n

    in_memory = [per_row(L) for L in neurons]
    # Seconds of a row are a polynomial of L, with terms for the row, for each neuron and for each pair of neurons.
    pairs, per_neuron, _ = np.polyfit(neurons, in_memory, 2)
    few = max(d // 10, 1)
    middle = neurons[1]
    per_input = max((in_memory[1] - per_row(middle, few)) / middle / (d - few), 1e-13)
    reading = max(per_row(neurons[0], files=True) - in_memory[0], 1e-9)
    sums = GramTask.of_rows(targets, (X.read(0, 1000), T.read(0, 1000), None), [(0, 1000)], 1000)(
        Layer.draw([(neurons[-1], "tanh")], d, 0, np.dtype(float), None)
    )
    merging = min(seconds_of(lambda: sums + sums) for _ in range(5))
    return {
        "product": 1 / pairs if pairs > 0 else 1 / (in_memory[-1] / neurons[-1] ** 2),
        "projection": 2 / per_input,
        "activation": max(per_neuron - per_input * d, 1e-10),
        "reading": 8 * (d + N_TARGETS) / reading,
        "merging": sums.packed.nbytes / merging,
    }


def bandwidths(client, L: int) -> dict[str, float]:
    """Bytes a second of packed sums, from one worker to another and to the client."""
    first, second = client.scheduler_info(n_workers=-1)["workers"]
    n = L * (L + 1) // 2
    between, to_client = [], []
    for _ in range(5):
        value = client.submit(np.ones, n, workers=first, pure=False)
        value.result()
        to_client.append(seconds_of(value.result))
        client.submit(len, value, workers=second, pure=False).result()
    for transfer in client.run(_transfers, workers=[second])[second]:
        if transfer["total"] >= 8 * n:
            between.append(transfer["duration"])
    return {"between": 8 * n / statistics.median(between), "to_client": 8 * n / statistics.median(to_client)}


def _transfers(dask_worker):
    return list(dask_worker.transfer_incoming_log)


def solved(sums, alpha):
    return solve(sums.moments(), alpha)


def solve_constants(L: int) -> dict[str, float]:
    """Constants of the time of solving, and its peak memory with the sums, in matrices of 8 L^2 bytes."""
    rng = np.random.default_rng(0)
    small, half, whole = (
        GramTask.of_rows(
            RegressionTargets(N_TARGETS, "float64"), (X, np.sin(X[:, :N_TARGETS]), None), [(0, len(X))], 1000
        )(Layer.draw([(n_neurons, "tanh")], 20, 0, np.dtype(float), None))
        for n_neurons in (20, L // 2, L)
        for X in [rng.standard_normal((2 * n_neurons, 20))]
    )
    found: dict = {"n_neurons": L}
    for name, alpha in (("cholesky", 1.0), ("eigen", "gcv")):
        # This loads libraries and starts threads, but allocates nothing of the size to be measured.
        solved(small, alpha)
        reset_peak()
        before = facts()["resident"] - whole.packed.nbytes
        solved(whole, alpha)
        found[f"{name} matrices"] = (facts()["peak"] - before) / (8 * L**2)
        two, one = (min(seconds_of(partial(solved, sums, alpha)) for _ in range(3)) for sums in (whole, half))
        # The constants of seconds = a L^3 + b L^2 follow from the times at two sizes.
        cube = max((two - 4 * one) * 2 / L**3, 0.1 * two / L**3)
        found[name], found[f"{name}_square"] = cube, max(two - cube * L**3, 0.0) / L**2
    n_cells = 20_000
    halves = [
        Ledger(
            {
                "a": CountedTable(
                    ((first, first + n_cells),), 1, 1, cells={i: (i, i) for i in range(first, first + n_cells)}
                )
            }
        )
        for first in (0, n_cells)
    ]
    found["cell"] = seconds_of(lambda: pickle.loads(pickle.dumps(halves[0])) | halves[1]) / n_cells
    return found


def reset_peak() -> None:
    """Give back freed memory, and reset the kernel's high-water mark of this process."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


class TimedClient(Client):
    """A client that records when it began and when it ended to send each graph."""

    sent: list

    def _graph_to_futures(self, *args, **kwargs):
        begin = time.perf_counter()
        futures = super()._graph_to_futures(*args, **kwargs)
        self.__dict__.setdefault("sent", []).append((begin, time.perf_counter()))
        return futures


def sums_of(fingerprint: str, L: int, c: int, n_leaves: int) -> NormalEquations:
    """Sums that a dummy worker sends: all zero, with the number of leaves as the number of rows."""
    return replace(NormalEquations.zero(fingerprint, L, c), n_samples=n_leaves)


def simulated(p: int, n: int, d: int) -> dict:
    """Drive a real scheduler and p dummy workers with n gram tasks, as a fit from HDF5 does."""
    L = SIMULATED_NEURONS
    layer = Layer.draw([(L, "tanh")], d, 0, np.dtype(float), None)
    partial_bytes = 4 * L * (L + 1) + 8 * L * (N_TARGETS + 2)
    with Simulation(p, partial_bytes, partial(sums_of, layer.fingerprint, L, N_TARGETS)) as simulation:
        before = simulation.ask()
        with in_fresh_process() as process, tempfile.TemporaryDirectory() as folder:
            client = process.submit(drive, simulation.address, p, n, d, folder).result()
        after = simulation.ask()
    counts = {name: after[name].pop("counts") for name in after}
    found = {"p": p, "n": n, "partial_bytes": partial_bytes} | client
    for name in after:
        found[f"{name} cpu"] = after[name]["cpu"] - before[name]["cpu"]
        found[f"{name} bytes"] = after[name]["peak"] - before[name]["resident"]
    workers = counts["workers"]
    found["merges"] = workers["merge"]
    found["partials moved"] = workers.get("transfers: partial", 0)
    found["graph bytes"] = counts["scheduler"].pop("graph bytes")
    found["graphs"] = counts["scheduler"]["update-graph"]
    to_workers = sum(workers.get(op, 0) for op in ("compute-task", "free-keys", "remove-replicas", "steal-request"))
    found["messages"] = sum(counts["scheduler"].values()) + to_workers
    return found


def taken_as_written(path: str) -> Hdf5Rows:
    """Rows of a file whose chunks were never written, read as the zeros that HDF5 fills in."""
    rows = open_rows(path)
    return replace(rows, parts=tuple(replace(part, holes=()) for part in rows.parts))


def drive(address: str, p: int, n: int, d: int, folder: str) -> dict:
    """The client of a simulation, in a process of its own: a fit from a file whose rows were never written."""
    L = SIMULATED_NEURONS
    block = block_rows(L, d)
    # HDF5 allocates chunks when they are written, so this file may have any number of rows and takes no space.
    n_samples = n * math.ceil(rows_per_task(10**15, L, d, p) / block) * block
    paths = [os.path.join(folder, name) for name in ("X.h5", "T.h5")]
    for path, n_columns in zip(paths, (d, N_TARGETS), strict=True):
        with h5py.File(path, "w") as file:
            file.create_dataset("data", (n_samples, n_columns), "f8", chunks=(block, n_columns))
    layer = Layer.draw([(L, "tanh")], d, 0, np.dtype(float), None)
    with TimedClient(address) as client:
        X, y = map(taken_as_written, paths)
        seeing = min(seconds_of(lambda: client.run(int)) for _ in range(2))
        before, begin = facts(), time.perf_counter()
        sums = accumulate(layer, RegressionTargets(N_TARGETS, "float64"), X, y)
        seconds, after = time.perf_counter() - begin, facts()
        built, sent = client.sent[0]
    if sums.n_samples != n:
        raise RuntimeError(f"the sum has {sums.n_samples} leaves instead of {n}")
    return {
        "N": n_samples,
        "L": L,
        "seconds": seconds,
        "seconds to build": max(built - begin - seeing, 0.0),
        "seconds to send": sent - built,
        "seconds to ask all workers": seeing,
        "client cpu": after["cpu"] - before["cpu"],
        "client bytes": after["peak"] - before["resident"],
    }


def message_constants(simulations) -> dict[str, float]:
    """Seconds of the scheduler and the client per task, from the simulations with the fewest and the most workers."""
    first, last = simulations[0], simulations[-1]
    per_task = [run["scheduler cpu"] / (run["n"] + run["merges"]) for run in (first, last)]
    slope = max((per_task[1] - per_task[0]) / max(last["p"] - first["p"], 1), 0.0)
    return {
        "per_task": per_task[0] - slope * first["p"],
        "per_task_and_worker": slope,
        "client_per_task": last["client cpu"] / (last["n"] + last["merges"]),
        "per_worker": last["seconds to ask all workers"] / last["p"],
        "build_per_task": (last["seconds to build"] + last["seconds to send"]) / last["n"],
    }


def table(heads, rows) -> None:
    """A Markdown table."""
    print("| " + " | ".join(heads) + " |")
    print("|" + "---:|" * len(heads))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
    print()


def report(figures) -> list[str]:
    """Print the tables, and return a line for each result that is off."""
    facts_ = figures["machine"]
    print(f"{facts_['cpu']}, {facts_['cores']} cores, " + ", ".join(f"{k} {v}" for k, v in facts_["versions"].items()))
    off = []
    print("\nSimulations: a real scheduler, with workers that compute nothing\n")
    heads = "workers,gram tasks,merges,graphs,build and send s,graph bytes per task,all s,scheduler ms per task,"
    heads += "client ms per task,client MiB,scheduler MiB,messages per task,partials moved"
    rows = []
    for run in figures["simulations"]:
        n_all = run["n"] + run["merges"]
        building = run["seconds to build"] + run["seconds to send"]
        rows.append(
            [f"{run['p']:,}", f"{run['n']:,}", f"{run['merges']:,}", run["graphs"], f"{building:.2f}"]
            + [f"{run['graph bytes'] / run['n']:.0f}", f"{run['seconds']:.1f}"]
            + [f"{1e3 * run[who + ' cpu'] / n_all:.2f}" for who in ("scheduler", "client")]
            + [f"{run[who + ' bytes'] / 2**20:.0f}" for who in ("client", "scheduler")]
            + [f"{run['messages'] / n_all:.1f}", f"{run['partials moved']:,}"]
        )
        if run["partials moved"] > 1.1 * (run["p"] - 1):
            off.append(f"{run['partials moved']} partials moved with {run['p']} workers, instead of {run['p'] - 1}")
    table(heads.split(","), rows)
    print(f"Fits with few workers on {facts_['cores']} cores, the fastest of several runs\n")
    rows = []
    for run in figures["runs"]:
        seconds = min(run["seconds"])
        share = seconds / run["predicted"]
        solver = "eigen" if run["gcv"] else "Cholesky"
        rows.append([run["p"], f"{run['N']:,}", run["L"], solver, f"{run['predicted']:.2f}", f"{seconds:.2f}"])
        rows[-1].append(f"{share:.2f}")
        if run["p"] <= facts_["cores"] and not 1 / MAX_OFF <= share <= MAX_OFF:
            off.append(f"{run['p']} worker(s), L = {run['L']}: {share:.2f} times the predicted time")
    table(["workers", "rows", "L", "solver", "predicted s", "measured s", "measured / predicted"], rows)
    print("Constants\n")
    table(["constant", "value"], [(name, f"{value:.3g}") for name, value in figures["constants"].items()])
    constants, d = Constants(**figures["constants"]), figures["n_features"]
    print(f"Seconds by the model, for {d} inputs, with the penalty chosen by GCV\n")
    rows = []
    for N, L, p in [(N, L, p) for N in (10**8, 10**10) for L in (200, 1000, 4000, 10_000) for p in (10, 100, 1000)]:
        terms = constants.terms(p, N, L, d)
        cells = [f"{N:.0e}", f"{L:,}", f"{p:,}", f"{n_tasks(N, L, d, p):,}"]
        rows.append(cells + [f"{terms[name]:,.1f}" for name in TERMS] + [f"{constants.seconds(p, N, L, d):,.0f}"])
    table(["rows", "L", "workers", "tasks", *TERMS, "all"], rows)
    print("Solving on this machine\n")
    solving, rows = figures["solve"], []
    for L in (1000, 4000, 10_000, 20_000, 40_000):
        chol, eigen = constants.solving(L, gcv=False), constants.solving(L, gcv=True)
        memory = [f"{solving[name + ' matrices'] * 8 * L**2 / 2**30:.1f}" for name in ("cholesky", "eigen")]
        rows.append([f"{L:,}", f"{chol:,.1f}", memory[0], f"{eigen:,.1f}", memory[1]])
    table(["L", "Cholesky s", "GiB", "eigen s", "GiB"], rows)
    print(
        f"Measured at L = {solving['n_neurons']}: at most {solving['cholesky matrices']:.1f} (Cholesky) and "
        f"{solving['eigen matrices']:.1f} (eigen) matrices of 8 L^2 bytes, packed sums included. The rest is "
        "extrapolated."
    )
    return off


# Other processes import this file, and must not start a run.
if __name__ == "__main__":
    raise SystemExit(main())
