"""Sparse rows in HDF5: time and memory of a fit follow the numbers that are kept, not the columns.

Texts are made here: each row has as many words as any other, frequent ones more often, with weights near one. They are
written as a sparse table, and fitted in a fresh process, for several numbers of columns and of words in a row. Prints a
Markdown table of seconds, and of memory beyond what the process and the weights W take; the exit status is 1 if ten
times as many columns take more than twice the time, or memory grows by more than 256 MiB beside W.

With ``--texts`` also prints how often the package is recognised from which a text comes, of the documentation strings
of the packages installed here, with three in ten texts held out, for ridge and for several neurons.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
from scipy.sparse import csr_array
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from daskelm import ELMClassifier, make_hdf5

CASES = ((10_000, 100), (100_000, 100), (100_000, 25))
QUICK = ((1_000, 20), (10_000, 20), (10_000, 5))
HEAD = (
    "columns",
    "numbers in a row",
    "file, GB",
    "fit, s",
    "us a row",
    "ns a number and neuron",
    "peak, MiB",
    "W, MiB",
)
# Packages that are recognised by their documentation.
PACKAGES = (
    *("numpy", "scipy", "sklearn", "pandas", "dask", "distributed", "matplotlib", "networkx", "sympy", "IPython"),
    *("xarray", "pyarrow", "sphinx", "docutils", "bokeh", "zarr", "h5py", "polars", "onnx"),
)
# Rows that are made at once.
BLOCK = 20_000
FIT = """
import json, resource, sys, time
from daskelm import ELMRegressor, from_hdf5
X, y, n_neurons, dtype = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
model = ELMRegressor([(n_neurons, "tanh")], dtype=dtype, random_state=0)
begin = time.perf_counter()
model.fit(X, from_hdf5(y))
seconds = time.perf_counter() - begin
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"seconds": seconds, "peak": peak}))
"""


def texts(n_rows: int, n_columns: int, n_words: int, seed: int = 0) -> Iterator[csr_array]:
    """Blocks of rows with at most `n_words` numbers each; the first columns are the most frequent."""
    stream = np.random.default_rng(seed)
    for start in range(0, n_rows, BLOCK):
        rows = min(BLOCK, n_rows - start)
        columns = np.minimum(n_columns ** stream.random((rows, n_words)), n_columns - 1).astype(np.int32)
        values = stream.uniform(0.5, 1.5, (rows, n_words)).astype(np.float32)
        block = csr_array((values.ravel(), columns.ravel(), np.arange(rows + 1) * n_words), shape=(rows, n_columns))
        block.sum_duplicates()
        yield block


def write(folder: Path, n_rows: int, n_columns: int, n_words: int) -> tuple[Path, Path, int]:
    """Files of a table and its targets, and how many numbers are kept."""
    X, y = folder / f"X-{n_columns}-{n_words}.h5", folder / f"y-{n_columns}-{n_words}.h5"
    effects = np.random.default_rng(1).normal(size=n_columns)
    kept, targets, edges = 0, [], [np.zeros(1, np.int64)]
    with h5py.File(X, "w") as file:
        group = file.create_group("data")
        group.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": [n_rows, n_columns]})
        most = n_rows * n_words
        vectors = {
            name: group.create_dataset(name, (most,), dtype, maxshape=(None,), chunks=(min(2**18, most),))
            for name, dtype in (("data", "f4"), ("indices", "i4"))
        }
        for block in texts(n_rows, n_columns, n_words):
            here = slice(kept, kept + block.nnz)
            vectors["data"][here], vectors["indices"][here] = block.data, block.indices
            edges.append(kept + block.indptr[1:].astype(np.int64))
            targets.append(np.tanh(block @ effects / np.sqrt(n_words)))
            kept += block.nnz
        for vector in vectors.values():
            vector.resize(kept, axis=0)
        group["indptr"] = np.concatenate(edges)
    make_hdf5(np.concatenate(targets), y)
    return X, y, kept


def fit(X: Path, y: Path, n_neurons: int, dtype: str) -> dict[str, float]:
    """Seconds of a fit in a fresh process, and its peak memory in MiB."""
    done = subprocess.run(
        [sys.executable, "-c", FIT, str(X), str(y), str(n_neurons), dtype], check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout)


def documentation(most: int) -> tuple[list[str], list[str]]:
    """Documentation strings of functions and classes, without the name of their package, and these names."""
    texts, labels = [], []
    for package in PACKAGES:
        found = importlib.util.find_spec(package)
        if found is None or found.origin is None:
            continue
        for path in sorted(Path(found.origin).parent.rglob("*.py"))[:most]:
            try:
                tree = ast.parse(path.read_text(encoding="utf-8"))
            except (SyntaxError, ValueError):
                continue
            nodes = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)]
            long = [text for node in nodes if (text := ast.get_docstring(node)) and len(text) > 80]
            texts += [text.replace(package, "").replace(package.lower(), "") for text in long]
            labels += [package] * len(long)
    return texts, labels


def recognised(texts, labels, quick: bool) -> dict[str, float]:
    """Prints and returns how many of the held-out texts each model assigns to their package."""
    texts, held_out, labels, truth = train_test_split(texts, labels, test_size=0.3, random_state=0)
    words = TfidfVectorizer(sublinear_tf=True, min_df=2).fit(texts)
    X, X_test = words.transform(texts), words.transform(held_out)
    print(f"\n{len(texts):,} texts of {X.shape[1]:,} words, {X.nnz / len(texts):.0f} in a text\n")
    few = TruncatedSVD(20 if quick else 200, random_state=0)
    models = {
        "ridge": RidgeClassifier(alpha=1.0),
        "1,000 `tanh`": ELMClassifier([(50 if quick else 1000, "tanh")], random_state=0),
        "3,000 `tanh`": ELMClassifier([(60 if quick else 3000, "tanh")], random_state=0),
        "200 directions of `TruncatedSVD`, default": make_pipeline(few, ELMClassifier(random_state=0)),
    }
    found = {}
    print("| model | right |", "|---|---:|", sep="\n")
    for name, model in models.items():
        found[name] = float(model.fit(X, labels).score(X_test, truth))
        print(f"| {name} | {found[name]:.3f} |", flush=True)
    return found


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of each table (default: %(default)s)")
    parser.add_argument("--neurons", type=int, default=200, help="neurons (default: %(default)s)")
    parser.add_argument("--dtype", default="float32", help="type of the hidden layer (default: %(default)s)")
    parser.add_argument("--texts", action="store_true", help="also recognise packages by their documentation")
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    parser.add_argument("--quick", action="store_true", help="few rows and columns, no verdict")
    options = parser.parse_args(argv)
    if options.quick:
        options.rows, options.neurons = 3000, 20
    found: dict = {}
    print(f"| {' | '.join(HEAD)} |", "|" + "---:|" * len(HEAD), sep="\n")
    with tempfile.TemporaryDirectory() as folder:
        for n_columns, n_words in QUICK if options.quick else CASES:
            X, y, kept = write(Path(folder), options.rows, n_columns, n_words)
            one = fit(X, y, options.neurons, options.dtype)
            # Weights are drawn in double precision, and single ones lie beside them.
            one["W"] = n_columns * options.neurons * (12 if options.dtype == "float32" else 8) / 2**20
            one["size"], one["kept"] = X.stat().st_size / 1e9, kept
            found[f"{n_columns} {n_words}"] = one
            cells = f"{one['size']:.2f} | {one['seconds']:.1f} | {one['seconds'] / options.rows * 1e6:.1f}"
            each = one["seconds"] / kept / options.neurons * 1e9
            cells += f" | {each:.2f} | {one['peak']:.0f} | {one['W']:.0f}"
            print(f"| {n_columns:,} | {kept / options.rows:.0f} | {cells} |", flush=True)
            X.unlink()
    if options.texts:
        found["texts"] = recognised(*documentation(5 if options.quick else 10**6), options.quick)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0 if options.quick or verdict(found) else 1


def verdict(found) -> bool:
    """Whether all limits hold; prints those that do not."""
    few, many = list(found.values())[:2]
    slower = (many["seconds"] / many["kept"]) / (few["seconds"] / few["kept"])
    more = (many["peak"] - many["W"]) - (few["peak"] - few["W"])
    missed = [f"ten times the columns take {slower:.2f} times the time of a number, wanted 2"] * (slower > 2)
    missed += [f"ten times the columns take {more:.0f} MiB more beside W, wanted 256"] * (more > 256)
    print("\n" + ("missed: " + "; ".join(missed) if missed else f"ten times the columns: {slower:.2f} times the time"))
    return not missed


if __name__ == "__main__":
    raise SystemExit(main())
