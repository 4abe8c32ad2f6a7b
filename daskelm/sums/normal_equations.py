"""`NormalEquations`, the sums HH and HT: an immutable value that is added, subtracted and centred."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from functools import cached_property

import numpy as np

from ..exceptions import IncompatibleSumsError
from ..hdf5.header import next_generation
from ..hdf5.sealed import write_sealed
from ..ridge.moments import Moments, rounding
from ..ridge.packed import diagonal
from ..ridge.reference_rows import combined, move_packed, other_sums
from .folds import content_of_both, less, stacked, unstacked
from .ledger import Ledger
from .moments import moments_of
from .stored import read_state
from .subtraction import check_contained, largest_squares, warn_if_little

__all__ = ["NormalEquations"]

# After a subtraction, a weight below this fraction of the original is rounding.
_ZERO_WEIGHT = 1e-14


@dataclass(frozen=True, eq=False)
class NormalEquations:
    """Weighted sums over rows of H and T, from which models are solved; they can be added and subtracted.

    ``a + b`` holds the rows of both, ``sum([a, b, c])`` those of all, ``a - b`` those of `a` without the rows of `b`.
    Estimators make them (`normal_equations_`); the parameters matter only to code that stores them itself. Sums are
    about a reference row r = (reference_H, reference_T) near the means, so that neither a target around 1e9 nor a
    neuron that hardly varies loses digits; `HH` and `HT` are about zero.

    Parameters
    ----------
    packed : ndarray of shape (n_neurons * (n_neurons + 1) / 2,)
        Upper triangle, row by row, of sum w (h - r)(h - r)', float64.
    cross : ndarray of shape (n_neurons, n_targets)
        sum w (h - r)(t - r)', float64.
    sum_H : ndarray of shape (n_neurons,)
        sum w (h - r).
    sum_T : ndarray of shape (n_targets,)
        sum w (t - r).
    sum_TT : ndarray of shape (n_targets,)
        sum w (t - r)^2.
    reference_H : ndarray of shape (n_neurons,)
        r for the neurons.
    reference_T : ndarray of shape (n_targets,)
        r for the targets.
    n_samples : int
        Number of rows counted.
    sum_weights : float
        Sum of their weights.
    sum_counts : float
        Sum of their sample weights, without class weights: the effective number of rows.
    fingerprint : str
        Digest of the layer; sums of different layers never add.
    targets : str
        Meaning of the targets: "numbers", "labels", or the classes; different ones never add.
    target_dtype : str
        Dtype of T as given; predictions follow it.
    ledger : Ledger
        Rows that are counted, per file, and how many came from memory, which cannot be recognised later.
    precision : str, default="float64"
        Dtype that HH and HT were summed in; "float32" if any part of them was.
    largest : ndarray of shape (n_neurons + n_targets + 2,), or (0,)
        Largest sums of squares, weights and counts before any subtraction, whose rounding remains; empty if none.
    n_counted : int
        Number of rows of positive weight, which is how many rows a choice of the penalty may rely on.
    least_T, most_T : ndarray of shape (n_targets,)
        Smallest and largest target of a row of positive weight; infinite for no rows. A subtraction leaves them as they
        were, since what is left may have any range within.
    distinct : ndarray of shape (n,), n at most 512
        The smallest of the hashes of rows of X, each once, by which the number of distinct rows is estimated; empty
        without folds.
    folds : tuple of NormalEquations
        Sums of the parts that the rows are divided into by their X, by which the default penalty is chosen; empty
        for sums that were made for another penalty.

    References
    ----------
    Gauss (1809) for the equations; Chan, Golub, LeVeque (1983) for merging sums about different references.

    Examples
    --------
    >>> import numpy as np
    >>> from daskelm import ELMRegressor
    >>> X, y = np.random.default_rng(0).random((100, 3)), np.arange(100.0)
    >>> model = ELMRegressor(20, random_state=0).initialize(X)
    >>> first = model.partial_fit(X[:50], y[:50]).normal_equations_
    >>> both = model.partial_fit(X[50:], y[50:]).normal_equations_
    >>> second = both - first
    >>> second.n_samples, bool(np.allclose((first + second).HH, both.HH))
    (50, True)
    """

    __module__ = "daskelm"

    packed: np.ndarray
    cross: np.ndarray
    sum_H: np.ndarray
    sum_T: np.ndarray
    sum_TT: np.ndarray
    reference_H: np.ndarray
    reference_T: np.ndarray
    n_samples: int
    sum_weights: float
    sum_counts: float
    fingerprint: str
    targets: str
    target_dtype: str
    ledger: Ledger
    precision: str = "float64"
    largest: np.ndarray = field(default_factory=lambda: np.zeros(0))
    n_counted: int = 0
    least_T: np.ndarray = field(default_factory=lambda: np.zeros(0))
    most_T: np.ndarray = field(default_factory=lambda: np.zeros(0))
    distinct: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint64))
    folds: tuple[NormalEquations, ...] = ()

    def __post_init__(self):
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, np.ndarray):
                value.setflags(write=False)

    @classmethod
    def zero(cls, fingerprint: str, n_neurons: int, n_targets: int, targets: str = "numbers") -> NormalEquations:
        """Sums of no rows, the neutral element of addition.

        Parameters
        ----------
        fingerprint : str
            Digest of the layer.
        n_neurons, n_targets : int
            Sizes.
        targets : str, default="numbers"
            Meaning of the targets.

        Returns
        -------
        NormalEquations
        """
        L, c = n_neurons, n_targets
        return cls(
            packed=np.zeros(L * (L + 1) // 2),
            cross=np.zeros((L, c)),
            sum_H=np.zeros(L),
            sum_T=np.zeros(c),
            sum_TT=np.zeros(c),
            reference_H=np.zeros(L),
            reference_T=np.zeros(c),
            n_samples=0,
            sum_weights=0.0,
            sum_counts=0.0,
            fingerprint=fingerprint,
            targets=targets,
            target_dtype="float32",
            ledger=Ledger(),
            least_T=np.full(c, np.inf),
            most_T=np.full(c, -np.inf),
        )

    @property
    def n_neurons(self) -> int:
        """Number of neurons L."""
        return len(self.sum_H)

    @property
    def n_targets(self) -> int:
        """Number of targets c."""
        return len(self.sum_T)

    @cached_property
    def HH(self) -> np.ndarray:
        """sum w h h', shape (n_neurons, n_neurons), float64."""
        return self.moments(centred=False).HH

    @cached_property
    def HT(self) -> np.ndarray:
        """sum w h t', shape (n_neurons, n_targets), float64."""
        return self.moments(centred=False).HT

    def moments(self, *, centred: bool = True) -> Moments:
        """Sums about the means, or about zero.

        Parameters
        ----------
        centred : bool, default=True
            About the weighted means of H and T (a model with an intercept) or about zero (without).

        Returns
        -------
        Moments
            All sums are zero for no rows, and for rows of weight zero.

        Raises
        ------
        IncompatibleSumsError
            The weights sum to zero or less though the sums are not zero, so that there is no mean.
        """
        return moments_of(self, centred)

    @cached_property
    def least_alpha(self) -> float:
        """Smallest penalty that covers the rounding of HH; 0 unless it was summed in single precision."""
        variances = diagonal(self.packed, self.n_neurons) - np.square(self.sum_H) / (self.sum_weights or 1.0)
        return rounding(variances, self.precision)

    def squared_error(self, coef: np.ndarray, intercept: np.ndarray) -> np.ndarray:
        """Sum over the rows of w (t - H coef' - intercept)^2, from the sums: TT - 2 B'HT + B'HH B and the intercept's.

        Parameters
        ----------
        coef : ndarray of shape (n_targets, n_neurons)
            Output weights of any model with the same layer.
        intercept : ndarray of shape (n_targets,)
            Intercepts of that model.

        Returns
        -------
        ndarray of shape (n_targets,)
            Never below 1e-12 of the total sum of squares (1e-6 in single precision), the limit of resolution.
        """
        m, B = self.moments(centred=True), coef.T
        error = m.TT - 2 * np.einsum("ij,ij->j", B, m.HT) + np.einsum("ij,ij->j", B, m.HH @ B)
        error = error + self.sum_weights * np.square(m.mean_T - m.mean_H @ B - intercept)
        return np.maximum(error, m.unresolved * m.TT)

    def _about(self, reference_H, reference_T) -> NormalEquations:
        """These sums about another reference row; exact up to rounding."""
        packed, shift_H, shift_T = self.packed.copy(), self.reference_H - reference_H, self.reference_T - reference_T
        move_packed(self, packed, shift_H)
        sums = other_sums(self, shift_H, shift_T)
        return replace(self, packed=packed, reference_H=reference_H, reference_T=reference_T, **sums)

    def _check_compatible(self, other, verb):
        for what, remedy in (
            ("fingerprint", "sums of two different layers never add; use the layer of one saved model everywhere"),
            ("n_targets", "they must come from the same targets"),
            ("targets", "they must come from the same targets, with the same classes"),
        ):
            own, got = getattr(self, what), getattr(other, what)
            if own != got:
                name = "layer fingerprint" if what == "fingerprint" else what
                raise IncompatibleSumsError(f"cannot {verb}: {name} {str(own)[:40]} and {str(got)[:40]}: {remedy}.")

    def __add__(self, other: NormalEquations) -> NormalEquations:
        if not isinstance(other, NormalEquations):
            return NotImplemented
        self._check_compatible(other, "add")
        ledger = self.ledger | other.ledger
        if not other.n_samples or not self.n_samples:
            return replace(self if self.n_samples else other, ledger=ledger)
        return self._combine(other, 1, ledger, str(np.result_type(self.target_dtype, other.target_dtype)))

    def __radd__(self, other) -> NormalEquations:
        # Python's sum begins with 0.
        return self if isinstance(other, int) and other == 0 else NotImplemented

    def __sub__(self, other: NormalEquations) -> NormalEquations:
        if not isinstance(other, NormalEquations):
            return NotImplemented
        self._check_compatible(other, "subtract")
        if other.n_samples > self.n_samples:
            raise IncompatibleSumsError(
                f"cannot subtract {other.n_samples} rows of weight {other.sum_weights:g} from {self.n_samples} rows of "
                f"weight {self.sum_weights:g}: the rows to subtract must be contained."
            )
        ledger = self.ledger - other.ledger
        other = other._about(self.reference_H, self.reference_T)
        left = replace(self.without(other), ledger=ledger)
        check_contained(self, other, left)
        if left.n_samples == 0 or left.sum_weights <= _ZERO_WEIGHT * self.sum_weights:
            # With no row, or a weight within rounding of zero, the sums that remain are rounding too.
            nothing = self.zero(self.fingerprint, self.n_neurons, self.n_targets, self.targets)
            folds = tuple(nothing for _ in self.folds)
            left = replace(
                nothing, ledger=ledger, target_dtype=self.target_dtype, n_samples=left.n_samples, folds=folds
            )
        warn_if_little(self, left)
        return left

    def without(self, other: NormalEquations) -> NormalEquations:
        """The sums less those of rows that are contained, which is not checked; the ledger stays as it is.

        Parameters
        ----------
        other : NormalEquations
            Sums of the same layer and targets.

        Returns
        -------
        NormalEquations
        """
        other = other._about(self.reference_H, self.reference_T)
        left = self._combine(other, -1, self.ledger, self.target_dtype)
        if not self.folds or len(self.folds) != len(other.folds):
            return left
        return replace(left, folds=tuple(map(less, self.folds, other.folds)))

    def _combine(self, other, sign, ledger, target_dtype):
        if not self.sum_weights:
            # Empty sums have reference zero, about which a target around 1e9 would lose its digits.
            self = self._about(other.reference_H, other.reference_T)
        return replace(
            self,
            **combined(self, other, sign),
            n_samples=self.n_samples + sign * other.n_samples,
            sum_weights=self.sum_weights + sign * other.sum_weights,
            sum_counts=self.sum_counts + sign * other.sum_counts,
            ledger=ledger,
            target_dtype=target_dtype,
            precision=min(self.precision, other.precision),
            largest=largest_squares(self, other, sign),
            n_counted=self.n_counted + sign * other.n_counted,
            **content_of_both(self, other, sign),
        )

    def __repr__(self):
        rows = f"rows of {len(self.ledger.sources)} source(s)"
        if self.ledger.n_unknown:
            rows += f", {self.ledger.n_unknown} from memory"
        single = "" if self.precision == "float64" else f", in {self.precision}"
        return (
            f"NormalEquations(n_samples={self.n_samples}, n_neurons={self.n_neurons}, n_targets={self.n_targets}, "
            f"fingerprint={self.fingerprint[:12]}, {rows}{single})"
        )

    def state(self) -> dict:
        """The sums as plain arrays, numbers and strings.

        Returns
        -------
        dict
            Content of a sums file; `from_state` restores it.
        """
        state = {item.name: getattr(self, item.name) for item in fields(self)} | self.ledger.state()
        return state | stacked(state.pop("folds"))

    @classmethod
    def from_state(cls, state: dict) -> NormalEquations:
        """The sums with this `state`.

        Parameters
        ----------
        state : dict
            Result of `state`, possibly read from a file.

        Returns
        -------
        NormalEquations
        """
        plain = {item.name: state[item.name] for item in fields(cls) if item.name in state}
        return unstacked(cls(**(plain | {"ledger": Ledger.from_state(state)})), state)

    def save(self, path, overwrite: bool = False) -> None:
        """Write the sums to one HDF5 file.

        Parameters
        ----------
        path : str or path-like
            File to write; existing sums are replaced atomically.
        overwrite : bool, default=False
            Whether any regular file may be replaced; by default only sums or an empty file.

        Raises
        ------
        FileWriteError
            The file exists and holds no sums, without `overwrite`; or the disk is full.
        """
        write_sealed(path, "sums", self.state(), next_generation(path, "sums"), overwrite=overwrite)

    @classmethod
    def load(cls, path) -> NormalEquations:
        """Read sums that `save` wrote, bit for bit, without executing code from the file.

        Parameters
        ----------
        path : str or path-like
            File to read.

        Returns
        -------
        NormalEquations

        Raises
        ------
        FileMissingError
            The file does not exist.
        FileFormatError
            The file holds no sums, or is truncated, altered, or of a newer version; or says what no sums can be.
        """
        return cls.from_state(read_state(path))

    def __getstate__(self):
        return {item.name: getattr(self, item.name) for item in fields(self)}
