"""Models of each training part for a whole grid, and their squared errors on its test part, from the sums alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from uuid import uuid4

import numpy as np

from .cluster_loss import telling_loss
from .exceptions import DataError, InsufficientMemoryError
from .fold_sums import FoldSums
from .ledger import Ledger
from .normal_equations import NormalEquations
from .ridge_path import RidgePath, by_eigen, nested
from .tree import n_local_threads, reduce_here, sharing

__all__ = ["FoldModels", "check_grid", "solve_folds"]

# Of the output weights that one product with HH of the test part takes.
_PRODUCT_BYTES = 64 * 2**20


@dataclass(frozen=True, eq=False)
class FoldModels:
    """What the training part of one fold gives for some of the grid.

    Parameters
    ----------
    fold : int
        Test part.
    places : tuple of ndarray
        Index of the penalties and of the sizes, as `np.ix_` gives it.
    squares : ndarray of shape (n_alphas, n_sizes, n_targets)
        Weighted sums of squared errors on the test part.
    coef : ndarray of shape (n_neurons, n_alphas, n_sizes, n_targets), or None
        Output weights, neurons in nested order.
    intercept : ndarray of shape (n_alphas, n_sizes, n_targets), or None
        Intercepts.
    """

    fold: int
    places: tuple[np.ndarray, ...]
    squares: np.ndarray
    coef: np.ndarray | None
    intercept: np.ndarray | None


def solve_folds(
    sums: FoldSums,
    n_folds: int,
    order: np.ndarray,
    alphas: np.ndarray,
    sizes: Sequence[int],
    *,
    fit_intercept: bool = True,
    keep: bool = False,
    client=None,
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
    fit_intercept : bool
        Whether H and T are centred, about the means of the training part.
    keep : bool
        Whether to give the output weights too.
    client : distributed.Client, optional
        Where to work.

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
    n_threads = _n_threads(client)
    eigen = by_eigen(sizes, len(alphas))
    pieces = _pieces(len(alphas), len(sizes), -(-n_threads // n_folds), eigen)
    work = partial(_solve_fold, order=order, fit_intercept=fit_intercept, keep=keep, eigen=eigen)
    grid = np.asarray(alphas, np.float64), np.asarray(sizes)
    jobs = [(fold, places) for fold in plain for places in pieces]
    if client is None:
        calls = [partial(work, sums.all, plain[fold], fold, places, *grid) for fold, places in jobs]
        # In threads of one BLAS thread each: factorisations of this size gain little from more.
        return reduce_here(calls, [1] * len(calls), _joined, in_process=True)
    run = uuid4().hex
    graph: dict = {f"all-{run}": (_Value(sums.all),)}
    graph |= {(f"fold-{run}", fold): (_Value(part),) for fold, part in plain.items()}
    for i, (fold, places) in enumerate(jobs):
        graph[f"select-{run}", i] = (
            work,
            f"all-{run}",
            (f"fold-{run}", fold),
            fold,
            _Value(places),
            *map(_Value, grid),
        )
    with telling_loss(client), sharing(sum(part.packed.nbytes for part in plain.values()) + sums.all.packed.nbytes):
        return _joined(client.get(graph, [(f"select-{run}", i) for i in range(len(jobs))]))


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
    from distributed.system import MEMORY_LIMIT

    L, c = n_neurons, n_targets
    # Five squares: of the training part as summed and in nested order, of the test part likewise, and a factor.
    per_task = 8 * (5 * L**2 + 4 * L * min(n_alphas * n_sizes * c, _PRODUCT_BYTES // (8 * L) + n_sizes * c))
    weights = 8 * L * n_alphas * n_sizes * c * n_folds if keep else 0
    sums = (n_folds + 2) * 4 * L * (L + 1)
    tasks = n_folds if client is not None else min(n_folds, _n_threads(None))
    needs = [("This process", sums + 2 * weights + (tasks * per_task if client is None else 0), MEMORY_LIMIT)]
    if client is not None:
        for address, worker in client.scheduler_info(n_workers=-1)["workers"].items():
            at_once = min(tasks, worker["nthreads"])
            need = sums + at_once * (per_task + weights // n_folds)
            needs.append((f"Worker {address}", need, worker.get("memory_limit") or 0))
    for where, need, available in needs:
        if available and need > available:
            raise InsufficientMemoryError(
                f"{where} needs about {need / 2**30:.2f} GiB to solve for {n_alphas} penalties and {n_sizes} numbers "
                f"of {L} neurons on {n_folds} folds, and has {available / 2**30:.2f} GiB. Use a smaller grid, fewer "
                "neurons or folds, or a score from the sums alone (r2, neg_mean_squared_error), which keeps no models."
            )


def _n_threads(client):
    return sum(client.nthreads().values()) if client is not None else n_local_threads(True)


def _joined(lists):
    return [models for found in lists for models in found]


@dataclass(frozen=True, eq=False)
class _Value:
    """A value in a graph, so that Dask does not look into it; a task that gives it."""

    value: object

    def __call__(self):
        return self.value


def _pieces(n_alphas, n_sizes, most, eigen):
    """The grid in about so many pieces that share no factorisation."""
    cut, other = (n_sizes, n_alphas) if eigen else (n_alphas, n_sizes)
    parts = [part for part in np.array_split(np.arange(cut), min(most, cut)) if len(part)]
    return [np.ix_(np.arange(other), part) if eigen else np.ix_(part, np.arange(other)) for part in parts]


def _solve_fold(everything, test, fold, places, alphas, sizes, *, order, fit_intercept, keep, eigen):
    places, alphas, sizes = (value.value if isinstance(value, _Value) else value for value in (places, alphas, sizes))
    alphas, sizes = alphas[places[0].ravel()], sizes[places[1].ravel()].tolist()
    train: NormalEquations = everything - test
    path = RidgePath(nested(train.moments(centred=fit_intercept), order), sizes, eigen=eigen)
    tested = nested(test.moments(centred=True), order)
    L, c = tested.HT.shape
    at_once = max(_PRODUCT_BYTES // (8 * L * len(sizes) * c), 1)
    squares, coefs, intercepts = [], [], []
    for start in range(0, len(alphas), at_once):
        B = np.stack([path.coefficients(alpha) for alpha in alphas[start : start + at_once]], axis=1)
        flat = B.reshape(L, -1)
        intercept = path.moments.mean_T - (path.moments.mean_H @ flat).reshape(B.shape[1:])
        of_HT = np.einsum("iasj,ij->asj", B, tested.HT)
        of_HH = np.einsum("ij,ij->j", flat, tested.HH @ flat).reshape(B.shape[1:])
        shift = tested.mean_T - (tested.mean_H @ flat).reshape(B.shape[1:]) - intercept
        error = tested.TT - 2 * of_HT + of_HH + test.sum_weights * np.square(shift)
        squares.append(np.maximum(error, tested.unresolved * tested.TT))
        if keep:
            coefs.append(B)
            intercepts.append(intercept)
    kept = (np.concatenate(coefs, axis=1), np.concatenate(intercepts)) if keep else (None, None)
    return [FoldModels(fold, places, np.concatenate(squares), *kept)]
