"""A check that the parts of what fitting made, as a file has them, are those of one model."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..data.probabilities import ProbabilityLink
from ..data.targets import ClassTargets, IndicatorTargets, RegressionTargets
from ..hdf5.values import array_of, check, dtype_of_numbers, list_of, number_of, text_of, whole_of
from ..layer.layer import Layer
from ..layer.neurons import Neurons, kind_name
from ..passes.curve_pass import LearningCurve
from ..ridge.solve import Solution
from ..sums.normal_equations import NormalEquations
from .fitted import Choice, Columns, Draws, Fitted

__all__ = ["check_fitted", "strings_of"]

# Most bytes of an array of texts: each takes as much room as the longest.
_MOST_TEXT = 64 * 2**20


def strings_of(state: Mapping) -> np.ndarray:
    """The array of texts, or of texts and numbers, that a state describes."""
    check(isinstance(state, Mapping), "texts must be a list with a dtype")
    values = list_of(state.get("values"), "texts", (str, int, float, bool))
    dtype = np.dtype(text_of(state.get("dtype"), "dtype of texts")[:32])
    check(dtype.kind in "UO" and dtype.itemsize * len(values) <= _MOST_TEXT, "texts must be of a dtype of texts")
    return np.array(values, dtype=dtype)


def check_fitted(fitted: Fitted) -> None:
    """Refuse parts that do not fit together, or say what no fit can make.

    Raises
    ------
    FileFormatError
        Names the value, and the rule that it breaks.
    """
    check(isinstance(fitted.layer, Layer), "a fitted estimator must have a layer")
    _check_columns(fitted.columns, fitted.layer)
    n_targets = _check_targets(fitted.targets)
    sums, solution = fitted.sums, fitted.solution
    if sums is not None:
        check(isinstance(sums, NormalEquations), "sums must be sums")
        check(sums.n_neurons == fitted.layer.n_neurons, "sums must be of as many neurons as the layer has")
        # Sums of a file are solved by an estimator that has seen no targets itself.
        n_targets = n_targets or sums.n_targets
        check(sums.n_targets == n_targets, "sums must be of as many targets as the model has")
    if solution is not None:
        _check_solution(solution, n_targets, fitted.layer.n_neurons)
    if fitted.link is not None:
        _check_link(fitted.link, fitted.targets)
    if fitted.curve is not None:
        _check_curve(fitted.curve)
    if fitted.choice is not None:
        _check_choice(fitted.choice)
    _check_draws(fitted.draws)
    check(isinstance(fitted.vector_target, bool | None), "vector_target must be True or False")
    if fitted.target_dtype is not None:
        dtype_of_numbers(fitted.target_dtype, "target_dtype")


def _check_draws(draws):
    check(isinstance(draws, Draws), "draws must be draws")
    for group in list_of(draws.neurons, "groups of neurons", (tuple, Neurons)):
        if isinstance(group, tuple):
            check(len(group) in (2, 3), "a group of neurons must have a number, a kind, and perhaps a draw")
            whole_of(group[0], "number of neurons")
            kind_name(group[1])
            text_of(group[-1] if group[2:] else "", "name of a draw")
    errors = {} if draws.errors is None else draws.errors
    check(isinstance(errors, Mapping), "errors of draws must have names")
    for name, error in errors.items():
        number_of(error, text_of(name, "name of a draw"), most=np.inf)


def _check_columns(columns, layer):
    check(isinstance(columns, Columns), "columns must be columns")
    check(columns.n_features == layer.n_features, "columns must be as many as the layer has inputs")
    list_of(columns.targets, "names of targets", str)
    if columns.names is not None:
        list_of(columns.names, "names of columns", str, layer.n_features)
    if columns.levels is not None:
        for levels in list_of(columns.levels, "levels", (tuple, type(None)), layer.n_features):
            list_of(levels or (), "levels", (str, int, float, bool))


def _check_targets(targets) -> int | None:
    """Number of targets; None where there are none."""
    if targets is None:
        return None
    check(isinstance(targets, RegressionTargets | IndicatorTargets | ClassTargets), "targets must be targets")
    dtype_of_numbers(targets.dtype, "dtype of the targets")
    if not isinstance(targets, ClassTargets):
        return whole_of(targets.n_targets, "number of targets", 1)
    classes = array_of(targets.classes, "classes", (None,), "fiubUO")
    check(len(classes) and len(set(classes.tolist())) == len(classes), "classes must be different")
    check(all(a < b for a, b in zip(classes.tolist()[:-1], classes.tolist()[1:], strict=True)), "classes are in order")
    if targets.weights is not None:
        array_of(targets.weights, "weights of classes", (len(classes),), least=0)
    return targets.n_targets


def _check_solution(solution, n_targets, n_neurons):
    check(isinstance(solution, Solution), "a solution must be a solution")
    n_targets = len(array_of(solution.coef, "coef", (n_targets, n_neurons)))
    check(n_targets, "coef must be those of targets")
    array_of(solution.intercept, "intercept", (n_targets,))
    if isinstance(solution.alpha, np.ndarray):
        array_of(solution.alpha, "alpha", (n_targets,), least=0)
    else:
        number_of(solution.alpha, "alpha")
    whole_of(solution.rank, "rank", 0, n_neurons)
    number_of(solution.condition_number, "condition_number", most=np.inf)
    text_of(solution.method, "method")
    text_of(solution.chosen_by, "chosen_by")
    check(isinstance(solution.centred, bool), "centred must be True or False")
    for name in ("least_T", "most_T"):
        if getattr(solution, name) is not None:
            array_of(getattr(solution, name), name, (n_targets,), finite=False)


def _check_link(link, targets):
    check(isinstance(link, ProbabilityLink) and targets is not None, "a link must be that of a classifier")
    n = targets.n_targets if isinstance(targets, IndicatorTargets) else 1
    for name in ("temperature", "power"):
        check((array_of(getattr(link, name), name, (n,)) > 0).all(), f"{name} must be positive")


def _check_curve(curve):
    check(isinstance(curve, LearningCurve), "a learning curve must be one")
    check(isinstance(curve.stopped_early, bool), "stopped_early must be True or False")
    n = len(list_of(curve.n_samples, "n_samples of a curve", int))
    list_of(curve.score, "score of a curve", (int, float), n)
    list_of(curve.alpha, "alpha of a curve", (int, float, list, np.ndarray), n)


def _check_choice(choice):
    check(isinstance(choice, Choice) and isinstance(choice.folds, bool), "a choice must be one")
    number_of(choice.best_score, "best_score", -np.inf, np.inf)
    list_of(choice.full_layers, "fingerprints of full layers", str)
    if choice.scores is not None:
        alphas = array_of(choice.alphas, "alphas", (None,), least=0, finite=False)
        sizes = list_of(choice.sizes, "sizes", int)
        check(np.ndim(choice.scores) == 3 and len(choice.scores), "scores must have splits")
        check(choice.scores.shape[1:] == (len(alphas), len(sizes)), "scores must be those of a grid")
        check(choice.scores.dtype.kind == "f", "scores must be numbers")
    if choice.ranking is not None:
        ranking = array_of(choice.ranking, "ranking", (None,), "iu", least=0)
        check(len(np.unique(ranking)) == len(ranking), "ranking must name each neuron once")
