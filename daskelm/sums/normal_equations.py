"""The sums HH and HT as an immutable value with an algebra: merge, take away, centre."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from functools import cached_property

import numpy as np

from ..exceptions import IncompatibleSumsError
from ..hdf5.header import next_generation
from ..hdf5.sealed import read_sealed, write_sealed
from ..ridge.moments import UNRESOLVED, Moments, rounding, varies
from ..ridge.packed import diagonal, unpack
from ..ridge.reference_rows import common_reference, move_packed, other_sums
from .ledger import Ledger
from .subtraction import check_contained, largest_squares, warn_if_little

__all__ = ["NormalEquations"]

# After a subtraction, so little of the weight is rounding of the sum of weights.
_NO_WEIGHT = 1e-14


@dataclass(frozen=True, eq=False)
class NormalEquations:
    """Weighted sums over rows of H and T, from which everything is solved; a value that is added and subtracted.

    ``a + b`` is the sums of the rows of both, ``sum([a, b, c])`` those of all, ``a - b`` those of `a` without the rows
    of `b`. Estimators make them (`normal_equations_`); the parameters are for those who store them themselves. Sums
    are about a reference row r = (reference_H, reference_T) near the means, so that neither a target around 1e9 nor a
    neuron that hardly varies loses its digits; `HH` and `HT` are about zero.

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
        Sum of their sample weights alone, without class weights: the number of rows that they count for.
    fingerprint : str
        Of the layer; sums of different layers never add.
    targets : str
        What the targets mean: "numbers", "labels", or the classes; different ones never add.
    target_dtype : str
        Of T as given; predictions follow it.
    ledger : Ledger
        Which rows of which files are counted, and how many came from memory, which nobody can know again.
    precision : str, default="float64"
        That HH and HT were summed in; "float32" if any part of them was.
    largest : ndarray of shape (n_neurons + n_targets + 2,), or (0,)
        Largest sums of squares, weights and counts that were subtracted from, whose rounding is left; empty if none.

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

    def __post_init__(self):
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, np.ndarray):
                value.setflags(write=False)

    @classmethod
    def zero(cls, fingerprint: str, n_neurons: int, n_targets: int, targets: str = "numbers") -> NormalEquations:
        """Sums of no rows: what leaves any sums of that layer unchanged when added.

        Parameters
        ----------
        fingerprint : str
            Of the layer.
        n_neurons, n_targets : int
            Sizes.
        targets : str, default="numbers"
            What the targets mean.

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
            Of rows of weight zero, and of none, all sums are zero.

        Raises
        ------
        IncompatibleSumsError
            There is no mean, since the weights sum to zero or less though the sums are not zero.
        """
        if centred and not self.sum_weights > 0 and self.sum_TT.any() | self.packed.any():
            raise IncompatibleSumsError(
                f"moments: sums about the mean need a positive sum of weights; got {self.sum_weights:g} of "
                f"{self.n_samples} rows whose sums are not zero. Sum over the rows anew."
            )
        shift_H, shift_T = self.reference_H, self.reference_T
        mean_H, mean_T = np.zeros(self.n_neurons), np.zeros(self.n_targets)
        if centred and self.sum_weights > 0:
            # Not by way of the means, which cannot hold what lies between two numbers around 1e9.
            shift_H, shift_T = -self.sum_H / self.sum_weights, -self.sum_T / self.sum_weights
            mean_H, mean_T = self.reference_H - shift_H, self.reference_T - shift_T
        packed, rest = self.packed.copy(), other_sums(self, shift_H, shift_T)
        move_packed(self, packed, shift_H)
        HH, HT = unpack(packed, self.n_neurons), rest["cross"]
        constant = ~varies(np.diag(HH), self.sum_weights, mean_H)
        if constant.any():
            # Else a solution without penalty would be made of what rounding left of them.
            HH[constant], HH[:, constant] = 0, 0
            HT = np.where(constant[:, None], 0, HT)
        rows = self.sum_counts, self.n_samples, self.sum_weights
        TT = rest["sum_TT"]
        informative, unresolved = varies(TT, self.sum_weights, mean_T), UNRESOLVED[self.precision]
        return Moments(HH, HT, TT, mean_H, mean_T, *rows, informative, centred, unresolved, self.least_alpha)

    @cached_property
    def least_alpha(self) -> float:
        """Smallest penalty that covers the rounding of HH: 0 unless it was summed in single precision."""
        variances = diagonal(self.packed, self.n_neurons) - np.square(self.sum_H) / (self.sum_weights or 1.0)
        return rounding(variances, self.precision)

    def squared_error(self, coef: np.ndarray, intercept: np.ndarray) -> np.ndarray:
        """Sum over the rows of w (t - H coef' - intercept)^2, from the sums alone.

        TT - 2 B'HT + B'HH B and the intercept's terms.

        Parameters
        ----------
        coef : ndarray of shape (n_targets, n_neurons)
            Output weights of any model of the same layer.
        intercept : ndarray of shape (n_targets,)
            Its intercept.

        Returns
        -------
        ndarray of shape (n_targets,)
            At least 1e-12 of the total sum of squares (1e-6 in single precision), below which it is not resolved;
            never negative.
        """
        m = self.moments(centred=True)
        B = coef.T
        error = m.TT - 2 * np.einsum("ij,ij->j", B, m.HT) + np.einsum("ij,ij->j", B, m.HH @ B)
        error = error + self.sum_weights * np.square(m.mean_T - m.mean_H @ B - intercept)
        return np.maximum(error, m.unresolved * m.TT)

    def _about(self, reference_H, reference_T) -> NormalEquations:
        """The same sums about another reference row; exact in exact arithmetic."""
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
            mine, theirs = getattr(self, what), getattr(other, what)
            if mine != theirs:
                name = "layer fingerprint" if what == "fingerprint" else what
                raise IncompatibleSumsError(f"cannot {verb}: {name} {str(mine)[:40]} and {str(theirs)[:40]}: {remedy}.")

    def __add__(self, other: NormalEquations) -> NormalEquations:
        if not isinstance(other, NormalEquations):
            return NotImplemented
        self._check_compatible(other, "add")
        ledger = self.ledger | other.ledger
        if not other.n_samples or not self.n_samples:
            return replace(self if self.n_samples else other, ledger=ledger)
        return self._combine(other, 1, ledger, str(np.result_type(self.target_dtype, other.target_dtype)))

    def __radd__(self, other) -> NormalEquations:
        # The 0 that Python's sum begins with.
        return self if isinstance(other, int) and other == 0 else NotImplemented

    def __sub__(self, other: NormalEquations) -> NormalEquations:
        if not isinstance(other, NormalEquations):
            return NotImplemented
        self._check_compatible(other, "subtract")
        if other.n_samples > self.n_samples:
            raise IncompatibleSumsError(
                f"cannot subtract {other.n_samples} rows of weight {other.sum_weights:g} from {self.n_samples} rows of "
                f"weight {self.sum_weights:g}: the rows to take away must be contained."
            )
        ledger = self.ledger - other.ledger
        other = other._about(self.reference_H, self.reference_T)
        left = self._combine(other, -1, ledger, self.target_dtype)
        check_contained(self, other, left)
        if left.n_samples == 0 or left.sum_weights <= _NO_WEIGHT * self.sum_weights:
            # No row, or no weight that can be told from rounding: so is all that is left in the sums.
            nothing = self.zero(self.fingerprint, self.n_neurons, self.n_targets, self.targets)
            left = replace(nothing, ledger=ledger, target_dtype=self.target_dtype, n_samples=left.n_samples)
        warn_if_little(self, left)
        return left

    def _combine(self, other, sign, ledger, target_dtype):
        if not self.sum_weights:
            # Nothing is summed about this reference: zero would drown a target around 1e9.
            self = self._about(other.reference_H, other.reference_T)
        H, T = common_reference(self, other) if sign > 0 else (self.reference_H, self.reference_T)
        packed = self.packed + other.packed if sign > 0 else self.packed - other.packed
        move_packed(self, packed, self.reference_H - H)
        move_packed(other, packed, other.reference_H - H, sign)
        sums = other_sums(self, self.reference_H - H, self.reference_T - T)
        others = other_sums(other, other.reference_H - H, other.reference_T - T)
        for name in ("cross", "sum_H", "sum_T", "sum_TT"):
            sums[name] = sums[name] + sign * others[name]
        return replace(
            self,
            packed=packed,
            reference_H=H,
            reference_T=T,
            n_samples=self.n_samples + sign * other.n_samples,
            sum_weights=self.sum_weights + sign * other.sum_weights,
            sum_counts=self.sum_counts + sign * other.sum_counts,
            ledger=ledger,
            target_dtype=target_dtype,
            precision=min(self.precision, other.precision),
            largest=largest_squares(self, other, sign),
            **sums,
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
            Takes part in `save`; `from_state` reads it.
        """
        state = {item.name: getattr(self, item.name) for item in fields(self)}
        return state | self.ledger.state()

    @classmethod
    def from_state(cls, state: dict) -> NormalEquations:
        """The sums whose `state` this is.

        Parameters
        ----------
        state : dict
            As `state` gave it, possibly by way of a file.

        Returns
        -------
        NormalEquations
        """
        plain = {item.name: state[item.name] for item in fields(cls) if item.name in state}
        return cls(**(plain | {"ledger": Ledger.from_state(state)}))

    def save(self, path, overwrite: bool = False) -> None:
        """Write the sums to one HDF5 file.

        Parameters
        ----------
        path : str or path-like
            File to write; sums that are there are replaced at once.
        overwrite : bool, default=False
            Whether any regular file may be replaced; else only sums, or an empty file.

        Raises
        ------
        FileWriteError
            There are no sums but something else, and no `overwrite`; or the disk takes no more.
        """
        write_sealed(path, "sums", self.state(), next_generation(path, "sums"), overwrite=overwrite)

    @classmethod
    def load(cls, path) -> NormalEquations:
        """Read what `save` wrote; bit for bit, and without running code.

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
            There is no such file.
        FileFormatError
            It is not a sums file, or truncated, altered, or of a newer version.
        """
        return cls.from_state(read_sealed(path, "sums"))

    def __getstate__(self):
        return {item.name: getattr(self, item.name) for item in fields(self)}
