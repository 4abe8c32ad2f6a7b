"""Smaller layers made of some of a layer's neurons, and the nested order in which neurons are taken."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .layer import Layer
from .neurons import Neurons, kind_name

__all__ = ["nested_order", "sublayer"]


def nested_order(layer: Layer) -> np.ndarray:
    """Columns of H in the order in which smaller layers take them: all `lin` first, then the other kinds in proportion.

    Any leading part of this order holds the first neurons of each group, as a layer drawn at that size does.

    Parameters
    ----------
    layer : Layer
        The full layer, with any groups.

    Returns
    -------
    ndarray of shape (n_neurons,), int
    """
    kinds = np.repeat([kind_name(group.kind) for group in layer.groups], [len(group) for group in layer.groups])
    place = np.empty(layer.n_neurons)
    for kind in set(kinds.tolist()):
        columns = np.flatnonzero(kinds == kind)
        # Sorting by (i + 1/2) / n, for the i-th of n neurons of a kind, interleaves the kinds; `lin` comes first.
        place[columns] = -1.0 if kind == "lin" else (np.arange(len(columns)) + 0.5) / len(columns)
    return np.argsort(place, kind="stable")


def sublayer(layer: Layer, n_neurons: int, order: np.ndarray | None = None) -> tuple[Layer, np.ndarray]:
    """The layer of the first `n_neurons` neurons in nested order, or in a given order, and their columns of H.

    Parameters
    ----------
    layer : Layer
        The full layer.
    n_neurons : int
        Number of neurons to keep, from 1 to all.
    order : ndarray of shape (n_neurons of the layer,), int, optional
        All columns of the full layer, those to keep first; the nested order by default.

    Returns
    -------
    layer : Layer
        Neurons in the order of the full layer; `layer` itself, if all are kept.
    columns : ndarray of shape (n_neurons,), int
        Columns of the full layer's H that are kept, sorted.
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
