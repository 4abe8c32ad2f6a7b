"""The validation set: rows that score the grid and are not fitted, their checks, and errors that name them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from ..data.labels import count_classes
from ..data.source import Source, n_columns, source_of
from ..data.targets import ClassTargets, Targets
from ..exceptions import DaskelmError, DataError, InputTypeError, ParameterError, RowsCountedError
from ..hdf5.paths import place_of
from ..sums.ledger import Ledger
from ..sums.provenance import Provenance, Table, provenance_of
from ..sums.row_cells import common_rows

__all__ = ["Validation", "naming_validation"]

_REMEDY = "Rows that were fitted flatter a model: give other ones, such as from_hdf5(path, rows=slice(start, stop))."


@dataclass(frozen=True, eq=False)
class Validation:
    """X_val, y_val and sample_weight_val, checked and converted as the training rows are."""

    X: Source
    y: Source
    weights: Source | None

    def check(self, targets: Targets, X: Source) -> None:
        """Refuse, before any pass: no rows, other columns, unseen labels, rows of files that are in X too."""
        if not self.X.shape[0]:
            raise DataError("X_val must have at least one row; got none.")
        n = 1 if isinstance(targets, ClassTargets) else targets.n_targets
        if n_columns(self.y) != n:
            raise DataError(f"y_val must have as many columns as y, {n}; got {n_columns(self.y)}.")
        if isinstance(targets, ClassTargets):
            known = targets.classes.tolist()
            # Python sets, since NumPy does not compare labels of two types.
            if unseen := set(count_classes(self.y)[0].tolist()).difference(known):
                raise DataError(
                    f"y_val: every label must be one of those in y, {known[:6]}{'...' if len(known) > 6 else ''}; got "
                    f"{next(iter(unseen))!r}. Leave such rows out, or have the label in the rows that are fitted too."
                )
        _check_places(X, self.X)

    def provenance(self, targets: Targets, fitted: Ledger) -> Provenance:
        """Provenance of the validation rows, for their ledger; refuses rows of files that were fitted, under any path.

        `fitted` is the ledger of the training rows. Rows from memory have an empty provenance: they cannot be
        recognised later.
        """
        found = provenance_of(Table(self.X, self.y, self.weights, targets), fitted)
        for origin in found.origins:
            if twice := common_rows(origin.counted.ranges, (origin.rows,)):
                raise _in_both(twice[0], ", ".join(sorted(found.sources[origin.name].paths)))
        return found


def _check_places(X, X_val):
    counted: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for part, first, last in source_of(X).parts():
        counted.setdefault((place_of(part.path), part.dataset), []).append((first, last))
    for part, first, last in source_of(X_val).parts():
        rows = sorted(counted.get((place_of(part.path), part.dataset), []))
        if twice := common_rows(tuple(rows), ((first, last),)):
            raise _in_both(twice[0], part.path)


def _in_both(rows, path):
    return RowsCountedError(f"rows {rows[0]} to {rows[1] - 1} of {path} are in X and in X_val. {_REMEDY}")


@contextlib.contextmanager
def naming_validation(*, opening: bool = False) -> Iterator[None]:
    """Context in which errors about X, y or sample_weight name X_val, y_val or sample_weight_val instead.

    `opening`: also for the plain ValueErrors and TypeErrors of scikit-learn's checks when the rows are opened.
    """
    what = "validation rows (X_val, y_val, sample_weight_val)"
    try:
        yield
    except (DataError, InputTypeError, ParameterError, RowsCountedError) as error:
        raise type(error)(f"{what}: {error}") from error
    except (ValueError, TypeError) as error:
        if not opening or isinstance(error, DaskelmError):
            raise
        raise (DataError if isinstance(error, ValueError) else InputTypeError)(f"{what}: {error}") from error
