"""Models of a whole grid on training rows, and their squared errors on test rows, from the sums alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from uuid import uuid4

import numpy as np

from ..cluster.client import n_local_threads, n_threads_of, sharing, this_process, workers_of
from ..cluster.errors import cluster_errors
from ..cluster.futures import Value, gather_with_progress
from ..cluster.local import reduce_here
from ..cluster.receiver import Receiver
from ..exceptions import DataError
from ..passes.memory import Need
from ..progress import RowProgress
from ..ridge.path import RidgePath, by_eigen, nested
from ..sums.ledger import Ledger
from ..sums.normal_equations import NormalEquations
from .criterion import Grid, score_from_squares
from .ranking import ranked

__all__ = ["SMALLER_GRID", "FoldModels", "check_grid", "grid_squares", "solve_grid", "squared_scores"]

# Bytes of the output weights that are multiplied at once by HH of the test part.
_PRODUCT_BYTES = 64 * 2**20
# The remedy in the error where a grid does not fit.
SMALLER_GRID = (
    "a smaller grid, fewer neurons or folds, or a score from the sums alone (r2, neg_mean_squared_error), which keeps "
    "no models."
)


@dataclass(frozen=True, eq=False)
class FoldModels:
    """Models of a part of the grid, fitted to the training rows of one fold, or to all rows for a separate test set.

    Parameters
    ----------
    fold : int
        Number of the test part.
    grid_index : tuple of ndarray
        Indices of the penalties and of the sizes, from `np.ix_`.
    order : ndarray of shape (n_neurons,)
        Order of the neurons by this training part.
    squares : ndarray of shape (n_alphas, n_sizes, n_targets), or None
        Weighted sums of squared errors on the test part; None without sums over it.
    coef : ndarray of shape (n_neurons, n_alphas, n_sizes, n_targets), or None
        Output weights, with the neurons in `order`.
    intercept : ndarray of shape (n_alphas, n_sizes, n_targets), or None
        Intercepts.
    """

    fold: int
    grid_index: tuple[np.ndarray, ...]
    order: np.ndarray
    squares: np.ndarray | None
    coef: np.ndarray | None
    intercept: np.ndarray | None


def solve_grid(
    everything: NormalEquations,
    tests: Mapping[int, NormalEquations | None],
    order: np.ndarray,
    grid: Grid,
    *,
    test_inside: bool,
    ranking: str | None = None,
    fit_intercept: bool = True,
    keep: bool = False,
    client=None,
    verbose: int | bool = 0,
) -> list[FoldModels]:
    """Solve for all penalties and sizes, for each test part, on the client's workers or in local threads.

    Parameters
    ----------
    everything : NormalEquations
        Sums over all training rows, and over the test parts too if `test_inside`.
    tests : mapping of int to NormalEquations or None
        Sums over each test part; None for no squared errors.
    order : ndarray of shape (n_neurons,)
        Order of the neurons, nested if there is a ranking.
    grid : Grid
        Penalties, which are given, and numbers of neurons.
    test_inside : bool
        Whether test rows are among those of `everything`, so that they are subtracted to get the training rows.
    ranking : str, optional
        Method by which each training part orders the neurons.
    fit_intercept : bool
        Whether to centre about the means of the training part.
    keep : bool
        Whether to return the output weights too.
    client : distributed.Client, optional
        Client whose workers solve; local threads without.
    verbose : int, default=0
        Whether to show progress after one second.

    Returns
    -------
    list of FoldModels
        Parts that cover the whole grid for each test part.
    """
    if test_inside:
        _check_weights(everything, tests)
    elif not everything.sum_weights > 0:
        raise DataError(f"X must hold rows of positive weight; got {everything.n_samples} rows of weight 0.")
    everything = replace(everything, ledger=Ledger())
    parts = {fold: None if part is None else replace(part, ledger=Ledger()) for fold, part in tests.items()}
    rank = partial(_rank_fold, order=order, ranking=ranking, fit_intercept=fit_intercept)
    alphas, sizes = np.asarray(grid.alphas, np.float64), np.asarray(grid.sizes)
    solver = _GridSolver(alphas, sizes, fit_intercept, keep, test_inside, by_eigen(grid.sizes, len(alphas)))
    n_threads = n_threads_of(client) if client is not None else n_local_threads(True)
    jobs = [(fold, index) for fold in parts for index in solver.split(-(-n_threads // len(parts)))]
    n_models = [int(np.prod(np.broadcast_shapes(*(axis.shape for axis in index)))) for _, index in jobs]
    progress = RowProgress(sum(n_models), verbose, "select", unit="models", patience=1.0)
    if client is None:
        # One BLAS thread per thread: factorisations of this size gain little from more.
        calls: list = [partial(rank, everything, part) for part in parts.values()]
        orders = _here(calls, [1] * len(calls))
        calls = [partial(solver, everything, parts[fold], [orders[fold]], fold, index) for fold, index in jobs]
        return _here(calls, n_models, progress.advance)
    run = uuid4().hex
    graph: dict = {f"all-{run}": (Value(everything),)}
    graph |= {(f"fold-{run}", fold): (Value(part),) for fold, part in parts.items()}
    graph |= {(f"rank-{run}", fold): (rank, f"all-{run}", (f"fold-{run}", fold)) for fold in parts}
    for i, (fold, index) in enumerate(jobs):
        keys = f"all-{run}", (f"fold-{run}", fold), (f"rank-{run}", fold)
        graph[f"select-{run}", i] = (partial(solver, fold=fold, grid_index=index), *keys)
    n_bytes = sum(sums.packed.nbytes for sums in (everything, *parts.values()) if sums is not None)
    with cluster_errors(client), sharing(n_bytes):
        futures = client.get(graph, [(f"select-{run}", i) for i in range(len(jobs))], sync=False)
        return _joined(gather_with_progress(client, futures, n_models, progress))


def _check_weights(everything, tests):
    for fold, part in tests.items():
        for name, weight in (("test", part.sum_weights), ("training", everything.sum_weights - part.sum_weights)):
            if not weight > 0:
                raise DataError(
                    f"cv: each part must hold rows of positive weight; got none in the {name} part of split {fold}. "
                    "Use fewer folds, or folds that spread the weights."
                )


def squared_scores(
    models: Sequence[FoldModels], tests: Mapping[int, NormalEquations], grid: Grid, name: str
) -> np.ndarray:
    """Scores of the grid from squared errors on the test parts.

    Parameters
    ----------
    models : sequence of FoldModels
        Models of all folds, penalties and sizes.
    tests : mapping of int to NormalEquations
        Sums over the test part of each fold.
    grid : Grid
        Penalties and sizes of the models.
    name : str
        One of FROM_SUMS.

    Returns
    -------
    ndarray of shape (n_folds, n_alphas, n_sizes)
    """
    squares = grid_squares(models, tests[0].n_targets, grid)
    return np.stack([score_from_squares(squares[fold], tests[fold], name) for fold in range(len(squares))])


def grid_squares(models: Sequence[FoldModels], n_targets: int, grid: Grid) -> np.ndarray:
    """Sums of squared errors (n_folds, n_alphas, n_sizes, n_targets) on the test parts, of all parts of the grid."""
    squares = np.empty((1 + max(part.fold for part in models), *grid.shape, n_targets))
    for part in models:
        squares[part.fold][part.grid_index] = part.squares
    return squares


def check_grid(n_neurons: int, n_targets: int, grid: Grid, n_folds: int, *, keep: bool = False, client=None) -> None:
    """Refuse, before any pass, grids that do not fit in the memory of this process or of a worker.

    Parameters
    ----------
    n_neurons, n_targets, n_folds : int
        Sizes of the problem.
    grid : Grid
        Penalties, if they are given, and numbers of neurons.
    keep, client
        As for `solve_grid`.

    Raises
    ------
    InsufficientMemoryError
        The grid does not fit; the message has the bytes needed and available.
    """
    L, c, (n_alphas, n_sizes) = n_neurons, n_targets, grid.shape
    # Five square matrices: HH of the training and of the test part, each as summed and reordered, and a factor. Ranking
    # takes four.
    per_task = 8 * (5 * L**2 + 4 * L * min(n_alphas * n_sizes * c, _PRODUCT_BYTES // (8 * L) + n_sizes * c))
    weights = 8 * L * n_alphas * n_sizes * c * n_folds if keep else 0
    sums = (n_folds + 2) * 4 * L * (L + 1)
    on = f" on {n_folds} folds" if n_folds > 1 else ""
    work = f"to solve for {n_alphas} penalties and {n_sizes} numbers of {L} neurons{on}"
    here = this_process(in_process=True)
    tasks = 0 if client is not None else min(n_folds, here.n_threads)
    parts = {"sums": sums, "weights": 2 * weights, "tasks": tasks * per_task}
    Need(work, parts, SMALLER_GRID).check(here.memory, here.name)
    for worker in workers_of(client) if client is not None else ():
        at_once = min(n_folds, worker.n_threads)
        parts = {"sums": sums, "weights": at_once * (weights // n_folds), "tasks": at_once * per_task}
        Need(work, parts, SMALLER_GRID).check(worker.memory, worker.name)


def _here(calls, sizes, on_done=lambda size: None):
    """Results of the calls, which are lists, joined into one; they run in threads of this process."""
    found: list = []
    receiver = Receiver(found.extend, on_leaf_done=on_done)
    reduce_here([list(zip(sizes, calls, strict=True))], _joined, receiver, in_process=True)
    return found


def _joined(lists):
    return [models for found in lists for models in found]


def _rank_fold(everything, test, *, order, ranking, fit_intercept):
    return [order if ranking is None else ranked(everything - test, order, ranking, fit_intercept=fit_intercept)]


@dataclass(frozen=True, eq=False)
class _GridSolver:
    """Solves a part of the grid on one fold: the task that runs in threads or on workers.

    alphas, sizes : ndarray, the whole grid
    fit_intercept, keep : bool, as for `solve_grid`
    test_inside : bool, whether the test rows are among the rows summed, and so are subtracted from them
    eigen : bool, whether to solve by eigen-decompositions, one per size, rather than Cholesky factors, one per penalty
    """

    alphas: np.ndarray
    sizes: np.ndarray
    fit_intercept: bool
    keep: bool
    test_inside: bool
    eigen: bool

    def split(self, n_parts):
        """Indices of about `n_parts` parts of the grid that share no factorisation."""
        alphas, sizes = np.arange(len(self.alphas)), np.arange(len(self.sizes))
        cut = sizes if self.eigen else alphas
        parts = [part for part in np.array_split(cut, min(n_parts, len(cut))) if len(part)]
        return [np.ix_(alphas, part) if self.eigen else np.ix_(part, sizes) for part in parts]

    def __call__(self, everything, test, orders, fold, grid_index):
        """Models of the fold, in a list; `orders` holds the order of the neurons."""
        alphas, sizes = self.alphas[grid_index[0].ravel()], self.sizes[grid_index[1].ravel()].tolist()
        [order] = orders
        train: NormalEquations = everything - test if self.test_inside else everything
        path = RidgePath(nested(train.moments(centred=self.fit_intercept), order), sizes, eigen=self.eigen)
        tested = None if test is None else nested(test.moments(centred=True), order)
        L, c = path.moments.HT.shape
        at_once = max(_PRODUCT_BYTES // (8 * L * len(sizes) * c), 1)
        squares, coefs, intercepts = [], [], []
        for start in range(0, len(alphas), at_once):
            B = np.stack([path.coefficients(alpha) for alpha in alphas[start : start + at_once]], axis=1)
            intercept = path.moments.mean_T - (path.moments.mean_H @ B.reshape(L, -1)).reshape(B.shape[1:])
            if tested is not None:
                squares.append(_squares(tested, test.sum_weights, B, intercept))
            if self.keep:
                coefs.append(B)
                intercepts.append(intercept)
        kept = (np.concatenate(coefs, axis=1), np.concatenate(intercepts)) if self.keep else (None, None)
        return [FoldModels(fold, grid_index, order, np.concatenate(squares) if squares else None, *kept)]


def _squares(tested, weight, B, intercept):
    """Sums of squared errors (n_alphas, n_sizes, n_targets) of B (n_neurons, ...) on rows with this sum of weights."""
    flat = B.reshape(len(B), -1)
    of_HT = np.einsum("iasj,ij->asj", B, tested.HT)
    of_HH = np.einsum("ij,ij->j", flat, tested.HH @ flat).reshape(B.shape[1:])
    shift = tested.mean_T - (tested.mean_H @ flat).reshape(B.shape[1:]) - intercept
    error = tested.TT - 2 * of_HT + of_HH + weight * np.square(shift)
    return np.maximum(error, tested.unresolved * tested.TT)
