"""What a solver is: output weights for one penalty, or none where it would not be safe."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from .moments import Moments

__all__ = ["EPS", "Solver", "Weights"]

EPS = np.finfo(np.float64).eps


class Weights(NamedTuple):
    """B (n_neurons, n_targets), the rank kept, and the condition number of HH + alpha I."""

    B: np.ndarray
    rank: int
    condition_number: float


class Solver(Protocol):
    """One way to solve (HH + alpha I) B = HT."""

    def __call__(self, moments: Moments, alpha: float) -> Weights | None:
        """B for HH (n_neurons, n_neurons) and HT (n_neurons, n_targets) as they are; None to leave it to the next."""
