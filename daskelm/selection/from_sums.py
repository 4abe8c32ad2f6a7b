"""Model selection from sums files alone: the penalty and the number of neurons, without access to the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import reduce
from operator import add, or_

import numpy as np

from ..exceptions import DataError, IncompatibleSumsError, ParameterError, RowsCountedError
from ..layer.layer import Layer
from ..layer.sublayer import nested_order
from ..ridge.moments import rounding
from ..ridge.path import nested
from ..sums.file import each_sums, files_of
from ..sums.ledger import Ledger
from ..sums.normal_equations import NormalEquations
from .content_folds import content_scores, folds_with_rows, with_safe_alphas
from .criterion import Grid, Scored
from .fold_models import check_grid, solve_grid, squared_scores
from .fold_sums import FoldSums
from .gcv import gcv_scores
from .holdout import check_validation_sums
from .ranking import check_ranking, ranked
from .scores import FROM_SUMS
from .select import Selected, choose

__all__ = ["select_from_sums"]


_FLATTERED = "Rows that were fitted flatter a model."


def select_from_sums(
    layer: Layer,
    sums,
    *,
    check: Callable[[NormalEquations, str], None],
    validation=None,
    alphas=None,
    n_neurons=None,
    ranking: str | None = None,
    cv: str | None = None,
    scoring: str | None = None,
    fit_intercept: bool = True,
    verbose: int | bool = 0,
) -> Selected:
    """Score a grid from sums, choose the best candidate, and solve it with all rows except those of `validation`.

    Parameters
    ----------
    layer : Layer
        Layer of all the sums.
    sums : NormalEquations, str, path-like, or list of these
        Sums, sums files, globs; no row may be in two of them.
    check : callable
        Called with each of the sums and the argument's name; refuses those of another layer or other targets.
    validation : the same as sums, optional
        Sums over other rows, to score the grid on.
    alphas, n_neurons, ranking
        As for `ELMRegressorCV`.
    cv : None, "gcv" or "files"
        Without validation: None is the folds that the sums hold, by the content of the rows, or where they hold none,
        "gcv", generalised cross-validation. "files" makes each of the sums a fold. Prefer "files" where files differ
        more from each other than their rows do, as sites or years.
    scoring : str, optional
        One of FROM_SUMS; r2 if not given.
    fit_intercept : bool
        Whether there is an intercept.
    verbose : int, default=0
        Whether to show progress after one second.

    Raises
    ------
    ParameterError
        An invalid grid, `cv` or `scoring`.
    IncompatibleSumsError
        Rows that are counted twice, in `sums` or in `validation`; sums of other targets.
    DataError
        Sums of too few rows.
    InsufficientMemoryError
        The folds and candidates do not fit in memory.
    """
    _check_question(cv, scoring, validation)
    name, grid = scoring or "r2", Grid.of(alphas, n_neurons, layer, ranking=ranking)
    # Iterators are consumed twice below: make them lists.
    sums, validation = (list(given) if isinstance(given, Iterator) else given for given in (sums, validation))
    test = None
    if validation is not None:
        if both := set(files_of(sums)).intersection(files_of(validation)):
            raise RowsCountedError(
                f"validation: its files must be others than those of sums; got {min(both)} in both. {_FLATTERED}"
            )
        test = _added(validation, "validation", check)
    # Only folds need the sums of each file; otherwise one total is in memory.
    parts = list(_each(sums, "sums", check)) if cv == "files" else []
    folds = _folds(parts, name) if cv == "files" else None
    total = _added(sums, "sums", check) if folds is None else folds.total
    if not total.sum_weights > 0:
        raise DataError(f"sums: they must hold rows of positive weight; got {total.n_samples} rows of weight 0.")
    nested_first = nested_order(layer)
    ranking = check_ranking(ranking, total.n_targets)
    order = ranked(total, nested_first, ranking, fit_intercept=fit_intercept)
    moments = total.moments(centred=fit_intercept)
    by_content = cv is None and test is None and len(folds_with_rows(total)) > 1
    if by_content:
        grid = with_safe_alphas(grid, total, fit_intercept=fit_intercept)
    grid = grid.with_alphas(moments.HH)
    how: dict = {"fit_intercept": fit_intercept, "verbose": verbose}
    if folds is not None:
        check_grid(layer.n_neurons, total.n_targets, grid, len(parts))
        models = solve_grid(folds.all, folds.parts, nested_first, grid, test_inside=True, ranking=ranking, **how)
        scores = squared_scores(models, folds.parts, grid, name)
    elif test is not None:
        _check_validation(total, test, name)
        check_grid(layer.n_neurons, total.n_targets, grid, 1)
        models = solve_grid(total, {0: test}, order, grid, test_inside=False, **how)
        scores = squared_scores(models, {0: test}, grid, name)
    elif by_content:
        check_grid(layer.n_neurons, total.n_targets, grid, len(total.folds))
        scores = content_scores(total, nested_first, grid, name, ranking=ranking, **how)
    else:
        scores = gcv_scores(nested(moments, order), grid.alphas, grid.sizes, name, verbose)
    scores = _above_rounding(scores, grid, total, order)
    scored = Scored(total, order, grid, scores, folds=len(scores) > 1, prefer_large_alphas=by_content)
    return choose(scored, layer, fit_intercept=fit_intercept)


def _check_question(cv, scoring, validation):
    if cv is not None and not (isinstance(cv, str) and cv in ("gcv", "files")):
        raise ParameterError(
            "cv must be None, 'gcv' for generalised cross-validation, or 'files' to take each of several sums as a "
            f"fold; got {cv!r}. Other folds need the rows: ELMRegressorCV(cv=...) or ELMClassifierCV(cv=...)."
        )
    if cv is not None and validation is not None:
        raise ParameterError("cv must be None where validation is given, whose rows score the grid. Give one of them.")
    if scoring is not None and not (isinstance(scoring, str) and scoring in FROM_SUMS):
        raise ParameterError(
            f"scoring must be one of {', '.join(map(repr, FROM_SUMS))}, which follow from sums; got {scoring!r}. "
            "Others need the rows: ELMRegressorCV or ELMClassifierCV with scoring, and cv or X_val."
        )


def _each(source, argument, check):
    for name, sums in each_sums(source):
        check(sums, argument)
        yield name, sums


def _added(source, argument, check):
    return reduce(add, (sums for _, sums in _each(source, argument, check)))


def _folds(parts, name):
    if len(parts) < 2:
        raise ParameterError(
            f"cv='files' needs at least two sums, each of which is a fold; got {len(parts)}. Name several files or a "
            "glob, or leave cv out for folds by the content of the rows."
        )
    least = 2 if name == "r2" else 1
    for path, part in parts:
        if not part.sum_weights > 0 or part.n_samples < least:
            raise DataError(
                f"cv='files': each fold must hold rows of positive weight, and at least {least} for {name}; got "
                f"{part.n_samples} of weight {part.sum_weights:g} in sums {path}. Leave it out, or merge it with "
                "another one."
            )
    # The ledger is kept once, for all folds together.
    ledger = reduce(or_, (part.ledger for _, part in parts))
    return FoldSums({i: replace(part, ledger=Ledger()) for i, (_, part) in enumerate(parts)}, ledger)


def _check_validation(sums, validation, name):
    for what in ("targets", "n_targets"):
        expected, got = getattr(sums, what), getattr(validation, what)
        if expected != got:
            raise IncompatibleSumsError(
                f"validation: its {what} must be those of sums, {str(expected)[:40]}; got {str(got)[:40]}."
            )
    try:
        # Merging the ledgers raises for rows that are counted in both.
        sums.ledger | validation.ledger
    except RowsCountedError as error:
        raise RowsCountedError(
            f"validation: its rows must be others than those of sums. {error} {_FLATTERED}"
        ) from error
    try:
        check_validation_sums(validation, name)
    except DataError as error:
        raise DataError(f"validation: {error}") from error


def _above_rounding(scores, grid, total, order):
    """The scores, with NaN where the penalty does not cover the rounding of sums in single precision."""
    diagonal = np.diagonal(total.moments().HH)[order]
    least = np.array([rounding(diagonal[:size], total.precision) for size in grid.sizes])
    scores = np.where(grid.alphas[:, None] >= least, scores, np.nan)
    if not np.isfinite(scores).any():
        raise ParameterError(
            f"alphas: for sums in float32 one must be at least {least.min():.3g}, which covers their rounding; got up "
            f"to {grid.alphas.max():g}. Give larger ones, or sum in float64."
        )
    return scores
