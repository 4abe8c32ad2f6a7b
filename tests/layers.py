"""A layer for tests of sums, whose outputs are given."""

import numpy as np


def as_given(H, out, minus=None):
    np.subtract(H, 0 if minus is None else minus, out=out, casting="same_kind")
