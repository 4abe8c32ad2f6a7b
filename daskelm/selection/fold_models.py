"""Models of training rows for a whole grid, and their squared errors on other rows, from the sums alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from uuid import uuid4

import numpy as np

from ..cluster.client import n_local_threads, sharing, this_process, workers_of
from ..cluster.errors import cluster_errors
from ..cluster.gather import Value, gather_with_progress
from ..cluster.local import reduce_here
from ..cluster.receiver import Receiver
from ..exceptions import DataError
from ..passes.memory import Need
from ..progress import RowProgress
from ..ridge.path import RidgePath, by_eigen, nested
from ..sums.ledger import Ledger
from ..sums.normal_equations import NormalEquations
from .criterion import score_from_squares
from .fold_sums import FoldSums
from .ranking import ranked

__all__ = ["SMALLER_GRID", "FoldModels", "check_grid", "solve_apart", "solve_folds", "squared_scores"]

# Of the output weights that one product with HH of the test part takes.
_PRODUCT_BYTES = 64 * 2**20
# What to do where a grid does not fit.
SMALLER_GRID = (
    "a smaller grid, fewer neurons or folds, or a score from the sums alone (r2, neg_mean_squared_error), which keeps "
    "no models."
)


@dataclass(frozen=True, eq=False)
class FoldModels:
    """What the training rows give for some of the grid: of one fold, or all of them where the test rows are others.

    Parameters
    ----------
    fold : int
        Test part.
    places : tuple of ndarray
        Index of the penalties and of the sizes, as `np.ix_` gives it.
    order : ndarray of shape (n_neurons,)
        Of the neurons, by this training part.
    squares : ndarray of shape (n_alphas, n_sizes, n_targets), or None
        Weighted sums of squared errors on the test part, if there are sums of it.
    coef : ndarray of shape (n_neurons, n_alphas, n_sizes, n_targets), or None
        Output weights, neurons in that order.
    intercept : ndarray of shape (n_alphas, n_sizes, n_targets), or None
        Intercepts.
    """

    fold: int
    places: tuple[np.ndarray, ...]
    order: np.ndarray
    squares: np.ndarray | None
    coef: np.ndarray | None
    intercept: np.ndarray | None


def solve_folds(
    sums: FoldSums,
    n_folds: int,
    order: np.ndarray,
    alphas: np.ndarray,
    sizes: Sequence[int],
    *,
    ranking: str | None = None,
    fit_intercept: bool = True,
    keep: bool = False,
    client=None,
    verbose: int | bool = 0,
) -> list[FoldModels]:
    """Solve for all penalties and sizes on all training parts, by the workers of the client or threads here.

    Parameters
    ----------
    sums : FoldSums
        Of all rows.
    n_folds : int
        Number of test parts, the first in `sums`.
    order : ndarray of shape (n_neurons,)
        Nested order of the neurons.
    alphas : ndarray of shape (n_alphas,)
        Penalties.
    sizes : sequence of int
        Numbers of neurons.
    ranking : str, optional
        How each training part orders the neurons anew.
    fit_intercept : bool
        Whether H and T are centred, about the means of the training part.
    keep : bool
        Whether to give the output weights too.
    client : distributed.Client, optional
        Where to work.
    verbose : int, default=0
        Whether to show progress, if it takes long.

    Returns
    -------
    list of FoldModels
        Together the whole grid for each fold.
    """
    plain = {fold: replace(sums.parts[fold], ledger=Ledger()) for fold in range(n_folds)}
    for fold, part in plain.items():
        for name, weight in (("test", part.sum_weights), ("training", sums.all.sum_weights - part.sum_weights)):
            if not weight > 0:
                raise DataError(
                    f"cv: each part must hold rows of positive weight; got none in the {name} part of split {fold}. "
                    "Use fewer folds, or folds that spread the weights."
                )
    grid = np.asarray(alphas, np.float64), np.asarray(sizes)
    return _solve_all(sums.all, plain, True, order, ranking, *grid, fit_intercept, keep, client, verbose)


def solve_apart(
    train: NormalEquations,
    test: NormalEquations | None,
    order: np.ndarray,
    alphas: np.ndarray,
    sizes: Sequence[int],
    *,
    fit_intercept: bool = True,
    keep: bool = False,
    client=None,
    verbose: int | bool = 0,
) -> list[FoldModels]:
    """Solve for all penalties and sizes on sums, with the squared errors on sums of other rows as the one fold 0.

    Parameters
    ----------
    train : NormalEquations
        Of the rows that are fitted.
    test : NormalEquations or None
        Of the rows that errors are of; without, no squared errors.
    order, alphas, sizes, fit_intercept, keep, client, verbose
        As for `solve_folds`.

    Returns
    -------
    list of FoldModels
        Together the whole grid.
    """
    if not train.sum_weights > 0:
        raise DataError(f"X must hold rows of positive weight; got {train.n_samples} rows of weight 0.")
    grid = np.asarray(alphas, np.float64), np.asarray(sizes)
    train = replace(train, ledger=Ledger())
    test = None if test is None else replace(test, ledger=Ledger())
    return _solve_all(train, {0: test}, False, order, None, *grid, fit_intercept, keep, client, verbose)


def squared_scores(
    models: Sequence[FoldModels], tests: Mapping[int, NormalEquations], n_alphas: int, n_sizes: int, name: str
) -> np.ndarray:
    """Scores that follow from squared errors.

    Parameters
    ----------
    models : sequence of FoldModels
        Of all folds, penalties and sizes.
    tests : mapping of int to NormalEquations
        The sums of each fold's test part.
    n_alphas, n_sizes : int
        Numbers.
    name : str
        One of FROM_SUMS.

    Returns
    -------
    ndarray of shape (n_folds, n_alphas, n_sizes)
    """
    n_folds = 1 + max(part.fold for part in models)
    squares = np.empty((n_folds, n_alphas, n_sizes, tests[0].n_targets))
    for part in models:
        squares[part.fold][part.places] = part.squares
    return np.stack([score_from_squares(squares[fold], tests[fold], name) for fold in range(n_folds)])


def check_grid(
    n_neurons: int, n_targets: int, n_alphas: int, n_sizes: int, n_folds: int, *, keep: bool = False, client=None
) -> None:
    """Refuse grids of which the work does not fit in this process or on the workers, before there are sums.

    Parameters
    ----------
    n_neurons, n_targets, n_alphas, n_sizes, n_folds : int
        Numbers.
    keep, client
        As for `solve_folds`.

    Raises
    ------
    InsufficientMemoryError
        It does not fit; the message holds both numbers.
    """
    L, c = n_neurons, n_targets
    # Five squares: of the training part as summed and in order, of the test part likewise, and a factor; to rank takes
    # four.
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


def _solve_all(everything, parts, inside, order, ranking, alphas, sizes, fit_intercept, keep, client, verbose):
    """Models and errors for each part, which is in `everything` and not fitted, or not in there at all."""
    n_threads = _n_threads(client)
    eigen = by_eigen(sizes, len(alphas))
    pieces = _pieces(len(alphas), len(sizes), -(-n_threads // len(parts)), eigen)
    rank = partial(_rank_fold, order=order, ranking=ranking, fit_intercept=fit_intercept)
    work = partial(_solve_fold, inside=inside, fit_intercept=fit_intercept, keep=keep, eigen=eigen)
    jobs = [(fold, places) for fold in parts for places in pieces]
    n_models = [int(np.prod(np.broadcast_shapes(*(axis.shape for axis in places)))) for _, places in jobs]
    progress = RowProgress(sum(n_models), verbose, "select", unit="models", patience=1.0)
    if client is None:
        # In threads of one BLAS thread each: factorisations of this size gain little from more.
        calls: list = [partial(rank, everything, part) for part in parts.values()]
        orders = _here(calls, [1] * len(calls))
        calls = [
            partial(work, everything, parts[fold], [orders[fold]], fold, places, alphas, sizes) for fold, places in jobs
        ]
        return _here(calls, n_models, progress.advance)
    run = uuid4().hex
    graph: dict = {f"all-{run}": (Value(everything),)}
    graph |= {(f"fold-{run}", fold): (Value(part),) for fold, part in parts.items()}
    graph |= {(f"rank-{run}", fold): (rank, f"all-{run}", (f"fold-{run}", fold)) for fold in parts}
    for i, (fold, places) in enumerate(jobs):
        graph[f"select-{run}", i] = (
            work,
            f"all-{run}",
            (f"fold-{run}", fold),
            (f"rank-{run}", fold),
            fold,
            Value(places),
            Value(alphas),
            Value(sizes),
        )
    n_bytes = sum(sums.packed.nbytes for sums in (everything, *parts.values()) if sums is not None)
    with cluster_errors(client), sharing(n_bytes):
        futures = client.get(graph, [(f"select-{run}", i) for i in range(len(jobs))], sync=False)
        return _joined(gather_with_progress(client, futures, n_models, progress))


def _n_threads(client):
    return sum(client.nthreads().values()) if client is not None else n_local_threads(True)


def _here(calls, sizes, on_done=lambda size: None):
    """What the calls give, one list after the other, in threads of this process."""
    found: list = []
    receiver = Receiver(found.extend, on_leaf_done=on_done)
    reduce_here([list(zip(sizes, calls, strict=True))], _joined, receiver, in_process=True)
    return found


def _joined(lists):
    return [models for found in lists for models in found]


def _pieces(n_alphas, n_sizes, most, eigen):
    """The grid in about so many pieces that share no factorisation."""
    cut, other = (n_sizes, n_alphas) if eigen else (n_alphas, n_sizes)
    parts = [part for part in np.array_split(np.arange(cut), min(most, cut)) if len(part)]
    return [np.ix_(np.arange(other), part) if eigen else np.ix_(part, np.arange(other)) for part in parts]


def _rank_fold(everything, test, *, order, ranking, fit_intercept):
    return [order if ranking is None else ranked(everything - test, order, ranking, fit_intercept=fit_intercept)]


def _solve_fold(everything, test, orders, fold, places, alphas, sizes, *, inside, fit_intercept, keep, eigen):
    places, alphas, sizes = (value.value if isinstance(value, Value) else value for value in (places, alphas, sizes))
    alphas, sizes = alphas[places[0].ravel()], sizes[places[1].ravel()].tolist()
    [order] = orders
    train: NormalEquations = everything - test if inside else everything
    path = RidgePath(nested(train.moments(centred=fit_intercept), order), sizes, eigen=eigen)
    tested = None if test is None else nested(test.moments(centred=True), order)
    L, c = path.moments.HT.shape
    at_once = max(_PRODUCT_BYTES // (8 * L * len(sizes) * c), 1)
    squares, coefs, intercepts = [], [], []
    for start in range(0, len(alphas), at_once):
        B = np.stack([path.coefficients(alpha) for alpha in alphas[start : start + at_once]], axis=1)
        intercept = path.moments.mean_T - (path.moments.mean_H @ B.reshape(L, -1)).reshape(B.shape[1:])
        if tested is not None:
            squares.append(_squares(tested, test.sum_weights, B, intercept))
        if keep:
            coefs.append(B)
            intercepts.append(intercept)
    kept = (np.concatenate(coefs, axis=1), np.concatenate(intercepts)) if keep else (None, None)
    return [FoldModels(fold, places, order, np.concatenate(squares) if squares else None, *kept)]


def _squares(tested, weight, B, intercept):
    """Sums of squared errors (n_alphas, n_sizes, n_targets) of B (n_neurons, ...) on rows of this weight."""
    flat = B.reshape(len(B), -1)
    of_HT = np.einsum("iasj,ij->asj", B, tested.HT)
    of_HH = np.einsum("ij,ij->j", flat, tested.HH @ flat).reshape(B.shape[1:])
    shift = tested.mean_T - (tested.mean_H @ flat).reshape(B.shape[1:]) - intercept
    error = tested.TT - 2 * of_HT + of_HH + weight * np.square(shift)
    return np.maximum(error, tested.unresolved * tested.TT)
