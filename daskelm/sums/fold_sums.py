"""`FoldSums`: the sums of parts of the rows, as they are added up in a pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from operator import add

from .ledger import Ledger
from .normal_equations import NormalEquations

__all__ = ["FoldSums"]


@dataclass(frozen=True, eq=False)
class FoldSums:
    """The sums of parts of the rows, by the number of the part; a value that is added part by part.

    Which rows they hold is known of all together, `ledger`, and not of the parts.
    """

    parts: Mapping[int, NormalEquations]
    ledger: Ledger

    def __add__(self, other: FoldSums) -> FoldSums:
        parts = dict(self.parts)
        for part, sums in other.parts.items():
            parts[part] = parts[part] + sums if part in parts else sums
        return FoldSums(parts, self.ledger | other.ledger)

    @cached_property
    def all(self) -> NormalEquations:
        """The sums of all rows, without the ledger: what a part is taken from."""
        return reduce(add, [self.parts[part] for part in sorted(self.parts)])

    @property
    def total(self) -> NormalEquations:
        """The sums of all rows."""
        return replace(self.all, ledger=self.ledger)

    def with_folds(self, n_folds: int) -> NormalEquations:
        """The sums of all rows, with those of each of `n_folds` parts as folds."""
        empty = self.all.zero(self.all.fingerprint, self.all.n_neurons, self.all.n_targets, self.all.targets)
        folds = tuple(self.parts.get(part, empty) for part in range(n_folds))
        return replace(self.total, folds=folds)
