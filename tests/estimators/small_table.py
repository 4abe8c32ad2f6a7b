"""A table of 400 rows: inputs X, a smooth target Y, and three classes of it, LABELS."""

import numpy as np

RNG = np.random.default_rng(0)
X = RNG.standard_normal((400, 4))
Y = np.sin(2 * X[:, 0]) + X[:, 1] * X[:, 2] + 0.1 * RNG.standard_normal(400)
LABELS = np.array(["a", "b", "c"])[np.digitize(Y, [-0.5, 0.5])]
