"""The parameter `neurons` of an estimator, checked: groups of neurons by number, kind and draw."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral
from typing import NamedTuple

import numpy as np

from ..exceptions import ParameterError
from .neurons import Neurons, kind_name, projection_of

__all__ = ["AUTO", "DRAWS", "UNCOUNTED", "Group", "draws_by_rows", "needs_rows", "needs_targets", "parse_neurons"]

# The default layer passes every input through and adds this many tanh neurons, chosen by measurement
# (docs/measurements.md, "Defaults").
DEFAULT_NUMBER = 200
# The kind of neurons whose draw is chosen by rows and their targets.
AUTO = "auto"
# A number of inputs for the time before they are counted: no group of `lin` neurons is too large for it.
UNCOUNTED = 2**62
# How neurons are drawn, and those draws that need rows with their targets.
DRAWS = ("random", "relevance", "pairs", "sparse", "sparse pairs")
_BY_TARGETS = ("relevance", "pairs", "sparse pairs")


class Group(NamedTuple):
    """Neurons to draw: their number, their kind, and how they are drawn."""

    number: int
    kind: str | np.ufunc
    draw: str = "random"


def parse_neurons(neurons, n_features: int, n_inputs: int | None = None) -> list[Group | Neurons]:
    """Groups of neurons from the parameter `neurons` of an estimator, checked.

    Parameters
    ----------
    neurons : None, int, "auto", (int, "auto"), or list of (int, kind), (int, kind, draw) and Neurons
        None is the default: every input as a `lin` neuron, and 200 `tanh`. An int is a number of `tanh` neurons.
        (n, "lin") passes the first n inputs through, at most n_features. "auto" is every input as a `lin` neuron, and
        200 neurons, or the number given, whose kinds and draws are to be chosen.
    n_features : int
        Number of columns of X.
    n_inputs : int, optional
        Number of inputs of drawn neurons; that of the columns if not given. It is larger where gaps and levels of
        categories are inputs.

    Returns
    -------
    list
        Groups in the given order; a group of kind "auto" is last.
    """
    n_inputs = n_features if n_inputs is None else n_inputs
    # A table of categories with many levels has no input that can be passed.
    every = [Group(n_inputs, "lin")] if n_inputs else []
    if neurons is None:
        return [*every, Group(DEFAULT_NUMBER, "tanh")]
    if (number := _number_of_auto(neurons)) is not None:
        return [*every, Group(_checked_number(number), AUTO)]
    if (pair := _as_pair(neurons)) is not None:
        raise _wrong_spec(neurons, f" Write a list of pairs, also of one: [{pair!r}].")
    if isinstance(neurons, Neurons):
        neurons = [neurons]
    elif isinstance(neurons, Integral) and not isinstance(neurons, bool):
        neurons = [(neurons, "tanh")]
    elif not isinstance(neurons, Iterable) or isinstance(neurons, str):
        raise _wrong_spec(neurons)
    groups = [_group(group, n_features) for group in neurons]
    n_lin = sum(group.number for group in groups if isinstance(group, Group) and group.kind == "lin")
    if n_lin > n_inputs:
        raise ParameterError(
            f"neurons: 'lin' neurons pass the inputs through, so there are at most as many as inputs ({n_inputs}); "
            f"got {n_lin}. Give fewer, or Neurons('lin', W, b) for other linear combinations."
        )
    if not groups:
        raise ParameterError("neurons: at least one group of neurons is needed; got an empty list.")
    return groups


def needs_targets(groups: Iterable[Group | Neurons]) -> bool:
    """Whether some of the neurons are drawn by rows and their targets."""
    drawn = [group for group in groups if isinstance(group, Group)]
    return any(group.kind == AUTO or group.draw in _BY_TARGETS for group in drawn)


def needs_rows(groups: Iterable[Group | Neurons]) -> bool:
    """Whether some of the neurons are drawn by rows, with their targets or without."""
    groups = list(groups)
    return needs_targets(groups) or any(isinstance(group, Group) and group.draw != "random" for group in groups)


def draws_by_rows(neurons) -> bool:
    """Whether the parameter `neurons` asks for draws by rows; False for a specification that is none."""
    try:
        return needs_rows(parse_neurons(neurons, UNCOUNTED, UNCOUNTED))
    except ParameterError:
        return False


def _number_of_auto(neurons):
    """The number of neurons whose draw is to be chosen; None for any other specification."""
    if isinstance(neurons, str) and neurons == AUTO:
        return DEFAULT_NUMBER
    if isinstance(neurons, list) and len(neurons) == 1:
        [neurons] = neurons
    pair = isinstance(neurons, tuple | list) and len(neurons) == 2 and isinstance(neurons[1], str)
    return neurons[0] if pair and neurons[1] == AUTO else None


def _group(group, n_features) -> Group | Neurons:
    if isinstance(group, Neurons):
        if group.W.shape[0] != n_features:
            raise ParameterError(
                f"neurons: W of given Neurons must have a row per input; got {group.W.shape[0]} rows, and X has "
                f"{n_features} columns."
            )
        return group
    if not isinstance(group, tuple | list) or len(group) not in (2, 3):
        raise _wrong_spec(group)
    number, kind = group[:2]
    if (pair := _as_pair(group[:2])) is not None and pair[0] is not number:
        raise _wrong_spec(group, f" The number comes first: {(*pair, *group[2:])!r}.")
    number = _checked_number(number)
    if isinstance(kind, str) and kind == AUTO:
        raise ParameterError(
            "neurons: 'auto' chooses all neurons that are drawn, and stands alone: 'auto', or (500, 'auto'); got other "
            "groups beside it."
        )
    kind_name(kind)
    return Group(number, kind, *(_checked_draw(draw, kind) for draw in group[2:]))


def _checked_number(number) -> int:
    if not isinstance(number, Integral) or isinstance(number, bool) or number < 1:
        raise ParameterError(f"neurons: the number of neurons of a group must be an int >= 1; got {number!r}.")
    return int(number)


def _checked_draw(draw, kind) -> str:
    if not isinstance(draw, str) or draw not in DRAWS:
        raise ParameterError(f"neurons: a draw must be one of {', '.join(map(repr, DRAWS))}; got {draw!r}.")
    if draw != "random" and projection_of(kind) is None:
        raise ParameterError(
            f"neurons: the draw {draw!r} is for kinds f(XW + b), which are 'sigm', 'tanh', 'relu' and ufuncs; got "
            f"{kind!r}. Leave the draw out."
        )
    return draw


def _as_pair(value):
    """(number, kind) from a pair in either order; None for anything else."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        return None
    for number, kind in (value, value[::-1]):
        if isinstance(number, Integral) and isinstance(kind, str | np.ufunc):
            return number, kind
    return None


def _wrong_spec(got, remedy=""):
    return ParameterError(
        "neurons must be an int, 'auto', (number, 'auto'), or a list of (number, kind) pairs, (number, kind, draw) and "
        f"Neurons(kind, W, b), such as [(10, 'lin'), (100, 'tanh')]; got {got!r}.{remedy}"
    )
