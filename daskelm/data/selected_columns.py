"""The choice of columns of a table, by name or by place."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from numbers import Integral

from ..exceptions import ParameterError

__all__ = ["places_of", "select_columns"]


def select_columns(names: Sequence, columns, exclude) -> list[int]:
    """Places of the columns to take, in the order asked for.

    Parameters
    ----------
    names : sequence
        Names of all columns.
    columns, exclude : str, int, sequence of these, or None
        Columns to take, or to leave out: names, or places counted from 0. Not both.

    Raises
    ------
    ParameterError
        A column that does not exist, one that is named twice, or no column left.
    """
    if columns is not None and exclude is not None:
        raise ParameterError("columns and exclude both say which columns to take; give one of them.")
    if columns is not None:
        chosen = places_of(names, columns, "columns")
    elif exclude is not None:
        out = set(places_of(names, exclude, "exclude"))
        chosen = [place for place in range(len(names)) if place not in out]
    else:
        return list(range(len(names)))
    if not chosen:
        raise ParameterError(
            f"{'columns' if exclude is None else 'exclude'} must leave at least one of the {len(names)} columns."
        )
    return chosen


def places_of(names: Sequence, wanted, argument: str) -> list[int]:
    """Places of the columns that an argument names, or gives by their places."""
    wanted = [wanted] if isinstance(wanted, str | Integral) else list(wanted)
    by_name = {name: place for place, name in enumerate(names)}
    places = []
    for one in wanted:
        if one in by_name and not isinstance(one, bool):
            place = by_name[one]
        elif isinstance(one, str) and one.isdecimal() and int(one) < len(names):
            place = int(one)
        elif isinstance(one, Integral) and not isinstance(one, bool) and -len(names) <= int(one) < len(names):
            place = int(one) % len(names)
        else:
            texts = [str(name) for name in names]
            near = difflib.get_close_matches(str(one), texts, 3) or texts[:6]
            more = "" if len(near) == len(texts) else ", ..."
            raise ParameterError(
                f"{argument} must name columns of the table, or give their places from 0 to {len(names) - 1}; got "
                f"{one!r}. The table has {', '.join(map(repr, near))}{more}."
            )
        if place in places:
            raise ParameterError(f"{argument} must name each column once; got {one!r} twice.")
        places.append(place)
    return places
