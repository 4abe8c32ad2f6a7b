"""The nested order of a layer's neurons, and the layer of some of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .layer import Layer
from .neurons import Neurons, kind_name

__all__ = ["leading", "nested_order"]


def nested_order(layer: Layer) -> np.ndarray:
    """Columns of H in the order in which a smaller layer takes them: all `lin`, then the other kinds in proportion.

    Any number of leading columns is the first so many neurons of each group, so that it is a layer too.

    Parameters
    ----------
    layer : Layer
        Of any groups.

    Returns
    -------
    ndarray of shape (n_neurons,), int
    """
    kinds = np.repeat([kind_name(group.kind) for group in layer.groups], [len(group) for group in layer.groups])
    place = np.empty(layer.n_neurons)
    for kind in set(kinds.tolist()):
        columns = np.flatnonzero(kinds == kind)
        # The i-th of n neurons of a kind stands at (i + 1/2) / n among all; `lin` ones before everything.
        place[columns] = -1.0 if kind == "lin" else (np.arange(len(columns)) + 0.5) / len(columns)
    return np.argsort(place, kind="stable")


def leading(layer: Layer, n_neurons: int, order: np.ndarray | None = None) -> tuple[Layer, np.ndarray]:
    """The layer of the first neurons in nested order, or in another, and their columns.

    Parameters
    ----------
    layer : Layer
        The full layer.
    n_neurons : int
        From 1 to those of the layer.
    order : ndarray of shape (n_neurons of the layer,), int, optional
        All of its columns, the first ones first; the nested order if not given.

    Returns
    -------
    layer : Layer
        Its columns stand as in the full one; that one itself, if it has no more neurons.
    columns : ndarray of shape (n_neurons,), int
        Sorted.
    """
    columns = np.sort((nested_order(layer) if order is None else order)[:n_neurons])
    if n_neurons == layer.n_neurons:
        return layer, columns
    groups, raws, start = [], [], 0
    for group, raw in zip(layer.groups, layer.raw, strict=True):
        kept = columns[(start <= columns) & (columns < start + len(group))] - start
        if len(kept):
            groups.append(Neurons(group.kind, group.W[:, kept], group.b[kept]))
            raws.append(raw)
        start += len(group)
    scale = None if all(raws) else layer.scale
    return replace(layer, groups=tuple(groups), raw=tuple(raws), scale=scale), columns
