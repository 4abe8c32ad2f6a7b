"""Speed and memory of `make_hdf5` for a text table, beside its parser of before, NumPy's `loadtxt`.

Each competitor reads the same table of random numbers, written with all their digits, and writes it to HDF5 in a
process of its own. They take turns. The table has medians of processor seconds, since other work on a machine disturbs
them least, and the peak of memory above that of the imports. With --strict, the exit status is 1 if `make_hdf5` is less
than three times as fast for 10 columns.

By default it takes about a minute: 300,000 rows of 10 columns, and 300 rows of 20,000.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

LEAST = 3.0
MEASURED = """
import itertools, sys, time
import h5py, numpy as np, pandas
from daskelm import make_hdf5

def with_loadtxt(source, target):
    with open(source, encoding="utf-8-sig", newline=None) as text, h5py.File(target, "w") as file:
        lines = ((number, line) for number, line in enumerate(text, 1) if number > 0 and line.strip())
        n_rows, data = 0, None
        while block := list(itertools.islice(lines, 50_000)):
            rows = np.loadtxt([line for _, line in block], delimiter=",", comments=None, quotechar='"', ndmin=2)
            if data is None:
                shape = rows.shape[1]
                chunks = (max(2**20 // (8 * shape), 1), shape)
                data = file.create_dataset("data", (0, shape), "f8", chunks=chunks, maxshape=(None, shape))
            data.resize(n_rows + len(rows), axis=0)
            data[n_rows:] = rows
            n_rows += len(rows)

def peak():
    with open("/proc/self/status") as file:
        return int(next(line for line in file if line.startswith("VmHWM")).split()[1]) / 1024

which, source, target, warm = sys.argv[1:]
convert = {"make_hdf5": make_hdf5, "loadtxt": with_loadtxt}[which]
convert(warm, target + ".warm")
before, begin = peak(), time.process_time()
convert(source, target)
print(time.process_time() - begin, peak() - before)
"""


def measure(folder: Path, shape: tuple[int, int], turns: int) -> dict[str, dict[str, float]]:
    """Medians of seconds and peaks of memory in MiB for both, for a table of this shape."""
    rng = np.random.default_rng(0)
    source, warm = folder / "table.csv", folder / "warm.csv"
    for path, n_rows in ((source, shape[0]), (warm, 3)):
        with open(path, "w") as file:
            for _ in range(n_rows):
                file.write(",".join(map(repr, rng.standard_normal(shape[1]).tolist())) + "\n")
    found: dict[str, list[list[float]]] = {"make_hdf5": [], "loadtxt": []}
    for turn in range(turns):
        for which, results in found.items():
            target = str(folder / f"{which}-{turn}.h5")
            code = [sys.executable, "-c", MEASURED, which, str(source), target, str(warm)]
            done = subprocess.run(code, capture_output=True, text=True, check=True)
            results.append([float(number) for number in done.stdout.split()])
            Path(target).unlink()
    mebibytes = source.stat().st_size / 2**20
    medians = {which: np.median(results, axis=0).tolist() for which, results in found.items()}
    ratio = statistics.median(old[0] / new[0] for old, new in zip(found["loadtxt"], found["make_hdf5"], strict=True))
    return {
        which: {"seconds": seconds, "MiB/s": mebibytes / seconds, "peak MiB": peak, "ratio": ratio}
        for which, (seconds, peak) in medians.items()
    }


def main() -> int:
    """Measure, print the table, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shapes", default="300000x10,300x20000", help="Rows and columns of the tables.")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--strict", action="store_true")
    options = parser.parse_args()
    figures, missed = {}, False
    print("| table | | seconds | MiB/s | peak MiB | faster |\n|---|---|---|---|---|---|")
    for text in options.shapes.split(","):
        n_rows, n_columns = map(int, text.split("x"))
        with tempfile.TemporaryDirectory() as folder:
            figures[text] = measure(Path(folder), (n_rows, n_columns), options.turns)
        for which, one in figures[text].items():
            faster = f"{one['ratio']:.1f}" if which == "make_hdf5" else ""
            print(
                f"| {n_rows:,} x {n_columns:,} | {which} | {one['seconds']:.2f} | {one['MiB/s']:.0f} | "
                f"{one['peak MiB']:.0f} | {faster} |"
            )
        missed |= n_columns == 10 and figures[text]["make_hdf5"]["ratio"] < LEAST
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2))
    if missed:
        print(f"Missed: make_hdf5 must be {LEAST:.0f} times as fast as loadtxt for 10 columns.")
    return int(missed and options.strict)


if __name__ == "__main__":
    raise SystemExit(main())
