"""One table, as Parquet in row groups of any size, as an Arrow file, and as HDF5."""

import numpy as np
import pandas as pd

from daskelm import make_hdf5

N, NAMES = 600, ["a", "b", "c"]
rng = np.random.default_rng(0)
X = rng.standard_normal((N, len(NAMES)))
y = np.sin(X[:, 0]) + X[:, 1] * X[:, 2]
FRAME = pd.DataFrame(X, columns=NAMES).assign(y=y, label=(y > 0).astype(np.int64) + 7, text="not read")


def parquet(path="table.parquet", frame=FRAME, group=70):
    frame.to_parquet(path, row_group_size=group)
    return path


def arrow(path="table.arrow", frame=FRAME, group=70):
    frame.to_feather(path, chunksize=group)
    return path


def hdf5():
    return make_hdf5(X, "X.h5"), make_hdf5(y, "y.h5")
