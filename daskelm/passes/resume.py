"""Rows that are added to a sums file, if they are missing there, and committed as the work goes on; or taken out."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..data.inputs import check_lengths
from ..data.source import files_of
from ..exceptions import FileMissingError, IncompatibleSumsError, ParameterError, RowsCountedError
from ..hdf5.paths import refuse_added
from ..progress import RowProgress
from ..sums.file import Seen, add_to_file, locked, read_current
from ..sums.ledger import Ledger
from ..sums.normal_equations import NormalEquations
from ..sums.provenance import Origin, Provenance, Table, provenance_of
from .accumulate import accumulate, check_sums, run_in_segments
from .interrupts import Interrupts
from .tasks import Job, Pass, n_rows_of

__all__ = ["accumulate_with_checkpoint", "add_rows", "remove_rows"]

# The next commit comes after this many times the seconds that the last one took, and after these seconds at least, so
# that at most 5 % of the time goes into commits.
_COMMIT_SHARE, _COMMIT_SECONDS = 20, 10.0


@dataclass(frozen=True)
class _Part:
    """Rows [start, stop) of a job."""

    whole: Job
    start: int
    stop: int

    @classmethod
    def of(cls, whole: Job, rows: tuple[int, int] | None) -> _Part:
        """These rows of a job, whose inputs must have one length; all of them if not given."""
        n_samples = check_lengths(X=whole.X, y=whole.y, sample_weight=whole.weights)
        return cls(whole, *(rows or (0, n_samples)))

    def with_folds(self, held: NormalEquations) -> _Part:
        """The same rows in the folds of sums that they are added to, or taken out of."""
        return replace(self, whole=self.whole._replace(n_folds=max(len(held.folds), 1)))

    def provenance(self, ledger: Ledger) -> Provenance:
        """Where the rows of X come from: files, or memory."""
        edges = (self.start - 1, self.start, self.stop - 1, self.stop)
        _, targets, X, y, weights, _ = self.whole
        return provenance_of(Table(X, y, weights, targets), ledger, edges)

    def missing(self, origins: Sequence[Origin]) -> list[tuple[int, int]]:
        """Ranges of rows of X that are not counted: all rows where X is in no file."""
        if not origins:
            return [(self.start, self.stop)] if self.start < self.stop else []
        out: list[tuple[int, int]] = []
        for a, b in (rows for origin in origins for rows in origin.cut(self.start, self.stop).missing()):
            # Ranges are joined across files, since no task crosses the end of a range.
            if out and out[-1][1] == a:
                a = out.pop()[0]
            out.append((a, b))
        return out

    def sums(self, provenance, ranges, verbose) -> NormalEquations:
        """Sums of these ranges of rows of X."""
        return accumulate(*self.whole, provenance=provenance, ranges=ranges, verbose=verbose)

    def sum_into(self, commits: _Commits, provenance, ranges, verbose) -> None:
        """Commit the sums of these ranges of rows of X, in parts that have no row in common.

        An interrupt ends the work when all that is finished is committed.
        """
        with contextlib.ExitStack() as stack:
            how: dict[str, Any] = {}
            # Rows from memory cannot be recognised later, so all of them are added or none.
            if provenance.origins:
                interrupts = stack.enter_context(Interrupts(commits.path))
                how = {"should_flush": commits.due, "interrupted": interrupts.asked}
            try:
                run_in_segments(
                    Pass(self.whole.n_folds),
                    self.whole,
                    provenance.origins,
                    ranges,
                    RowProgress(n_rows_of(ranges), verbose, Pass.name),
                    lambda done: None,
                    prepare=lambda sums: commits.flush(check_sums(sums, self.whole.layer, provenance)),
                    **how,
                )
            except RowsCountedError:
                # The caller finds out which rows another process has added, and goes on, unless it is interrupted.
                if not (how and how["interrupted"]()):
                    raise


def add_rows(
    path, job: Job, rows: tuple[int, int] | None = None, *, lock: bool | float = True, verbose: int | bool = 0
) -> int:
    """Add rows to a sums file, except those that it counts already; finished work is committed at intervals.

    Parameters
    ----------
    path : str or path-like
        The sums file, made when missing.
    job : Job
        Layer, targets and rows.
    rows : (start, stop), optional
        Which rows; all if not given.
    lock : bool or float, default=True
        Whether to hold the lock of the file; without it, no other process may write to the file. A number is the
        longest wait for the lock, in seconds.
    verbose : int, default=0
        Whether to show progress.

    Returns
    -------
    int
        Number of rows that were added.

    Raises
    ------
    DataError
        Rows that are counted read otherwise now.
    IncompatibleSumsError
        The file holds sums of another layer or other targets.
    FileWriteError
        The file cannot be written or locked.
    """
    part = _Part.of(job, rows)
    n_added, seen = 0, None
    while True:
        # This is checked before any work: the file can be locked, holds sums, and is of this layer.
        with locked(path, lock) as file:
            held = file.read()
            if held is not None:
                # A file keeps to the folds that it has.
                part = part.with_folds(held)
                held += part.sums(Provenance(), [], 0)
            elif part.start == part.stop:
                file.write(part.sums(Provenance(), [], 0))
            known = file.seen
        ledger = Ledger() if held is None else held.ledger
        del held
        provenance = part.provenance(ledger)
        missing = part.missing(provenance.origins)
        if not missing:
            return n_added
        commits = _Commits(path, lock, known)
        try:
            part.sum_into(commits, provenance, missing, verbose)
            return n_added + commits.n_rows
        except RowsCountedError:
            n_added += commits.n_rows
            if ledger == seen:
                raise
            # Another process added some of these rows meanwhile: find again which are missing.
            seen = ledger


def accumulate_with_checkpoint(path, job: Job, *, verbose: int | bool = 0) -> NormalEquations:
    """The sums of all rows, by way of a file that holds the finished work, so that a killed call can be continued.

    Parameters
    ----------
    path : str or path-like
        The sums file, of these rows alone.
    job, verbose
        As for `add_rows`.

    Raises
    ------
    ParameterError
        X is not in files.
    IncompatibleSumsError
        The file holds other rows too.
    """
    if not files_of(job.X):
        raise ParameterError(
            "checkpoint: only rows of files are known again when the same call is made once more; got X of type "
            f"{type(job.X).__name__}. Write it to a file first, with make_hdf5 or to_hdf5."
        )
    add_rows(path, job, verbose=verbose)
    sums = read_current(path)
    if more := sums.n_samples - job.X.shape[0]:
        raise IncompatibleSumsError(
            f"checkpoint: {path} holds {more} rows that are not in X. Give each fit a file of its own; to add to a "
            "model, use initialize, accumulate and solve."
        )
    return sums


class _Commits:
    """Adds sums to the file, and decides when the next commit is due."""

    def __init__(self, path, lock: bool | float, seen: Seen | None):
        self.path, self.lock, self.seen, self.n_rows = path, lock, seen, 0
        self._next = time.monotonic() + _COMMIT_SECONDS

    def due(self) -> bool:
        return time.monotonic() > self._next

    def flush(self, sums: NormalEquations) -> None:
        begin = time.monotonic()
        self.seen = add_to_file(self.path, sums, self.lock, self.seen)
        now = time.monotonic()
        self.n_rows += sums.n_samples
        self._next = now + max(_COMMIT_SHARE * (now - begin), _COMMIT_SECONDS)


def remove_rows(
    path, job: Job, rows: tuple[int, int] | None = None, *, lock: bool | float = True, verbose: int | bool = 0
) -> int:
    """Take rows out of a sums file, all at once.

    Parameters
    ----------
    path : str or path-like
        The sums file.
    job, rows, lock, verbose
        As for `add_rows`, with the data that the rows were added from.

    Returns
    -------
    int
        Number of rows that were taken out.

    Raises
    ------
    IncompatibleSumsError
        Some of the rows are not counted there.
    DataError
        The rows read otherwise now.
    """
    part = _Part.of(job, rows)
    refuse_added(path)
    held = read_current(path)
    part, provenance = part.with_folds(held), part.provenance(held.ledger)
    missing = part.missing(provenance.origins)
    if provenance.origins and missing:
        raise IncompatibleSumsError(
            f"rows: only rows that are counted can be taken out; got rows {missing[0][0]} to {missing[0][1] - 1}, "
            f"which {path} does not count."
        )
    sums = part.sums(provenance, [(part.start, part.stop)], verbose)
    with locked(path, lock) as file:
        if (stored := file.read()) is None:
            raise FileMissingError(f"{path}: no such file; there is nothing to take rows away from.")
        file.write(stored - sums)
    return sums.n_samples
