"""The network of an `HPELM`: neurons in HP-ELM's form, the equal layer of daskelm, sums, output weights."""

from __future__ import annotations

import math
import warnings
from numbers import Integral, Real

import numpy as np

from ..exceptions import IllConditionedWarning, NotSolvedError, ParameterError
from ..layer.layer import Layer
from ..layer.neurons import Neurons, kind_name
from ..passes.predict import RowFunction, WeightedOutput, numbers_of
from ..ridge.cholesky import CholeskyFactor
from ..ridge.eigen import EigenFactor
from ..sums.normal_equations import NormalEquations

__all__ = ["FUNCTIONS", "SLFN", "TINY", "positive", "solve_corr", "with_norm"]

TINY = float(np.finfo(np.float64).tiny)
FUNCTIONS = ("lin", "sigm", "tanh", "rbf_l1", "rbf_l2", "rbf_linf")


def positive(name: str, value) -> int:
    """The value, checked to be an int of at least 1."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise ParameterError(f"{name} must be an int >= 1; got {value!r}.")
    return int(value)


def solve_corr(HH: np.ndarray, HT: np.ndarray) -> np.ndarray:
    """Output weights B (L, outputs) from HH (L, L), with the norm on its diagonal, and HT (L, outputs)."""
    cholesky = CholeskyFactor(HH, 0.0)
    if cholesky.safe:
        return cholesky.solve(HT)
    eigen = EigenFactor(HH)
    warnings.warn(
        f"HH with the norm on its diagonal is not safely positive definite (reciprocal condition number "
        f"{cholesky.rcond:.1e}); the solution of least norm, of rank {int(eigen.shifted(0.0)[1].sum())} out of "
        f"{len(HH)}, was taken by eigenvectors. Usual causes: duplicated neurons or inputs, fewer rows than neurons. "
        "Use a larger norm, such as HPELM(..., norm=1e-6).",
        IllConditionedWarning,
        stacklevel=3,
    )
    return eigen.solve(HT, 0.0)


class SLFN:
    """The network `HPELM.nnet`: a hidden layer with HP-ELM's signs and widths, and the output weights.

    Parameters
    ----------
    inputs, outputs : int
        Columns of X and T.
    norm : float or None
        Number that is added to the diagonal of HH; None is 50 times the machine epsilon of the precision.
    precision : type
        np.float32 or np.float64, the type of neurons, H and predictions. Sums and output weights are float64.
    """

    def __init__(self, inputs: int, outputs: int, norm: float | None, precision: type):
        self.inputs, self.outputs = positive("inputs", inputs), positive("outputs", outputs)
        self.precision = precision
        self.norm = 50 * float(np.finfo(precision).eps) if norm is None else norm
        self.sums: NormalEquations | None = None
        self._neurons: list[tuple[int, str | np.ufunc, np.ndarray, np.ndarray]] = []
        self._layer: Layer | None = None
        self._B: np.ndarray | None = None

    @property
    def norm(self) -> float:
        """Number that is added to the diagonal of HH."""
        return self._norm

    @norm.setter
    def norm(self, value):
        if not isinstance(value, Real) or isinstance(value, bool) or not 0 <= float(value) < math.inf:
            raise ParameterError(f"norm must be a finite number >= 0, or None for 50 eps; got {value!r}.")
        self._norm = float(value)

    @property
    def L(self) -> int:
        """Number of neurons."""
        return sum(number for number, *_ in self._neurons)

    @property
    def neurons(self) -> list[tuple[int, str | np.ufunc, np.ndarray, np.ndarray]]:
        """(number, kind, W (inputs, number), B (number,)) of each kind, in the order of the columns of H; read-only."""
        return list(self._neurons)

    def get_neurons(self) -> list[tuple[int, str | np.ufunc, np.ndarray, np.ndarray]]:
        """`neurons`."""
        return self.neurons

    def add_neurons(self, kind: str | np.ufunc, W: np.ndarray, B: np.ndarray) -> None:
        """Add neurons beside those of their kind: W (inputs, number), B (number,). Sums and weights are dropped."""
        W, B = np.array(W, self.precision, order="C"), np.array(B, self.precision)
        if W.ndim != 2 or W.shape[0] != self.inputs or B.shape != W.shape[1:]:
            raise ParameterError(
                f"W must have shape (inputs, number) and B (number,), here ({self.inputs}, n) and (n,); got {W.shape} "
                f"and {B.shape}."
            )
        # daskelm's neurons hold the inverse of the width, which is infinite for smaller widths.
        if isinstance(kind, str) and kind.startswith("rbf") and not (B >= TINY).all():
            raise ParameterError(
                f"B of {kind!r} neurons is a squared width, exp(-dist^2 / B), and must be positive; got {B.min()}."
            )
        kinds = [old for _, old, _, _ in self._neurons]
        neurons = list(self._neurons)
        if kind in kinds:
            i = kinds.index(kind)
            W, B = np.hstack([neurons[i][2], W]), np.hstack([neurons[i][3], B])
        else:
            i = len(neurons)
            neurons.append((0, kind, W, B))
        W.setflags(write=False)
        B.setflags(write=False)
        neurons[i] = (len(B), kind, W, B)
        self._take(neurons)

    def _take(self, neurons):
        groups = tuple(_as_daskelm(kind, W, B) for _, kind, W, B in neurons)
        self._layer = Layer(groups, (True,) * len(groups), self.inputs, np.dtype(self.precision))
        self._neurons, self.sums, self._B = neurons, None, None

    @property
    def layer(self) -> Layer:
        """The same neurons as a layer of daskelm, with their fingerprint."""
        if self._layer is None or not self.L:
            raise NotSolvedError("HPELM has no neurons yet. Call add_neurons first, or load a saved model.")
        return self._layer

    def reset(self) -> None:
        """Drop the sums; the output weights stay."""
        self.sums = None

    def get_corr(self) -> tuple[np.ndarray, np.ndarray]:
        """HH (L, L) with the norm on its diagonal, and HT (L, outputs), of the rows added to the model."""
        if self.sums is None or not self.sums.n_samples:
            raise NotSolvedError("HPELM has no sums: no rows were added. Call train, or add_data without files.")
        return with_norm(self.sums, self.norm)

    @property
    def HH(self) -> np.ndarray | None:
        """H'H of the rows added to the model, with the norm on its diagonal, of shape (L, L); None without rows."""
        return None if self.sums is None else self.get_corr()[0]

    @property
    def HT(self) -> np.ndarray | None:
        """H'T of the rows added to the model, of shape (L, outputs); None without rows."""
        return None if self.sums is None else self.get_corr()[1]

    def solve(self) -> None:
        """Output weights from the rows added to the model."""
        self._B = solve_corr(*self.get_corr())

    @property
    def B(self) -> np.ndarray | None:
        """Output weights, float64, of shape (L, outputs); None before they were solved for."""
        return self._B

    def get_B(self) -> np.ndarray | None:
        """`B`."""
        return self._B

    def set_B(self, B) -> None:
        """Set the output weights (L, outputs)."""
        B = np.array(B, np.float64)
        if B.shape != (self.L, self.outputs) or not np.isfinite(B).all():
            raise ParameterError(
                f"B must be finite and have a row per neuron and a column per output, {(self.L, self.outputs)}; got "
                f"shape {B.shape}."
            )
        self._B = B

    def prune(self, n_neurons: int, B: np.ndarray) -> None:
        """Keep the first neurons only, with output weights B (n_neurons, outputs)."""
        kept, left = [], n_neurons
        for number, kind, W, b in self._neurons:
            n = min(number, left)
            if n:
                kept.append((n, kind, np.ascontiguousarray(W[:, :n]), b[:n]))
            left -= n
        self._take(kept)
        self.set_B(B)

    def projection(self) -> RowFunction:
        """The function from X to H."""
        layer = self.layer
        return RowFunction(layer, (layer.n_neurons,), layer.dtype)

    def prediction(self, *weights: np.ndarray) -> WeightedOutput:
        """The function from X to Y; for several B, which may be for fewer first neurons, their Y side by side."""
        layer = self.layer
        if not weights:
            if self._B is None:
                raise NotSolvedError(
                    "HPELM has no output weights yet. Call train or solve_corr, or load a solved model."
                )
            weights = (self._B,)
        coef = np.zeros((len(weights) * self.outputs, self.L))
        for i, B in enumerate(weights):
            coef[i * self.outputs : (i + 1) * self.outputs, : len(B)] = B.T
        tail, dtype = (len(coef),), np.dtype(self.precision)
        return WeightedOutput(layer, tail, dtype, coef, np.zeros(len(coef)), numbers_of)


def with_norm(sums: NormalEquations, norm: float) -> tuple[np.ndarray, np.ndarray]:
    """HH (L, L) with the norm on its diagonal, and HT (L, outputs)."""
    moments = sums.moments(centred=False)
    moments.HH.flat[:: len(moments.HH) + 1] += norm
    return moments.HH, moments.HT


def _as_daskelm(kind, W, B):
    """HP-ELM's neurons as those of daskelm: HP-ELM's sigm is 1 / (1 + exp(XW + B)), its rbf exp(-dist^2 / B)."""
    W, B = W.astype(np.float64), B.astype(np.float64)
    name = kind_name(kind)
    if name == "sigm":
        return Neurons(kind, -W, -B)
    return Neurons(kind, W, 1 / B if name.startswith("rbf") else B)
