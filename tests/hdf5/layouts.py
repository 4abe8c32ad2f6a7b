"""One table X, in files of its own and in others: each function makes a file whose dataset `data` reads as X."""

from pathlib import Path

import h5py
import numpy as np
import pytest

N, D = 600, 3
RNG = np.random.default_rng(0)
X = RNG.standard_normal((N, D))
y = np.sin(X[:, 0])


def write(path, data=X, name="data", **options):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "a") as file:
        file.create_dataset(name, data=data, **options)
    return str(path)


def virtual(path="v.h5", folder=".", names=("a.h5", "b.h5", "c.h5"), data=X, fillvalue=0.0):
    """A virtual dataset of the rows in several files."""
    step = len(data) // len(names)
    layout = h5py.VirtualLayout(data.shape, data.dtype)
    for i, name in enumerate(names):
        rows = slice(i * step, (i + 1) * step)
        write(Path(folder) / name, data[rows])
        layout[rows] = h5py.VirtualSource(name, "data", data[rows].shape)
    with h5py.File(Path(folder) / path, "a") as file:
        file.create_virtual_dataset("data", layout, fillvalue=fillvalue)
    return str(Path(folder) / path)


def nested(path="v.h5"):
    """A virtual dataset of a virtual one."""
    virtual("inner.h5")
    layout = h5py.VirtualLayout(X.shape, "f8")
    layout[:] = h5py.VirtualSource("inner.h5", "data", X.shape)
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("data", layout)
    return path


def side_by_side(path="v.h5"):
    """A virtual dataset of columns in several files."""
    layout = h5py.VirtualLayout(X.shape, "f8")
    for i, name in enumerate(("a.h5", "b.h5", "c.h5")):
        write(name, X[:, i])
        layout[:, i] = h5py.VirtualSource(name, "data", (N,))
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("data", layout)
    return path


def interleaved(path="v.h5"):
    """A virtual dataset of every third row in one of three files."""
    layout = h5py.VirtualLayout(X.shape, "f8")
    for i, name in enumerate(("a.h5", "b.h5", "c.h5")):
        write(name, X[i::3])
        layout[i::3] = h5py.VirtualSource(name, "data", (N // 3, D))
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("data", layout)
    return path


def numbered(path="v.h5"):
    """A virtual dataset that grows with files that have a number in their name."""
    made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    endless = h5py.h5s.create_simple((200, D), (h5py.h5s.UNLIMITED, D))
    endless.select_hyperslab((0, 0), (h5py.h5s.UNLIMITED, 1), (200, 1), (200, D))
    made.set_virtual(endless, b"part-%b.h5", b"data", h5py.h5s.create_simple((200, D)))
    for i in range(N // 200):
        write(f"part-{i}.h5", X[200 * i : 200 * (i + 1)])
    with h5py.File(path, "w") as file:
        space = h5py.h5s.create_simple((0, D), (h5py.h5s.UNLIMITED, D))
        h5py.h5d.create(file.id, b"data", h5py.h5t.NATIVE_DOUBLE, space, made)
    return path


def growing(path="v.h5"):
    """A virtual dataset of a dataset of any length."""
    write("b.h5", X, maxshape=(None, D))
    layout = h5py.VirtualLayout((N, D), "f8", maxshape=(None, D))
    source = h5py.VirtualSource("b.h5", "data", (N, D), maxshape=(None, D))
    layout[0 : h5py.h5s.UNLIMITED] = source[0 : h5py.h5s.UNLIMITED]
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("data", layout)
    return path


def raw(path="v.h5", names=("a.bin", "b.h5")):
    """External raw files, one after the other; named as the others are."""
    half = X.nbytes // 2
    with h5py.File(path, "w") as file:
        file.create_dataset("data", X.shape, "f8", external=[(names[0], 8, half), (names[1], 0, h5py.h5f.UNLIMITED)])
        file["data"][:] = X
    return path


LAYOUTS = [virtual, nested, side_by_side, interleaved, numbered, growing, raw]
every_layout = pytest.mark.parametrize("make", LAYOUTS, ids=lambda make: make.__name__)


def unwritten():
    """Chunks that nobody wrote."""
    with h5py.File("v.h5", "w") as file:
        file.create_dataset("data", X.shape, "f8", chunks=(100, D))[:400] = X[:400]
