"""Places that targets were read from, path:/dataset[column]: whether two stand for one target."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence

from ..exceptions import TargetWarning

__all__ = ["name_in_place", "other_target", "refused_target", "warn_of_other_targets"]

_UNNAMED = "data"


def name_in_place(place: str) -> str:
    """The name of a target in its place: the last part of the dataset's name, with the columns that are chosen.

    Files of several days may have groups of several names, but call their target the same.
    """
    dataset, bracket, columns = place.rpartition(":/")[2].partition("[")
    return dataset.rpartition("/")[2] + bracket + columns


def other_target(known: Collection[str], new: Collection[str]) -> bool:
    """Whether both have places of targets with names, and none of one has a name that the other has."""
    before, now = ({name_in_place(place) for place in places} for places in (known, new))
    # Tables that daskelm writes are called `data`, whatever they hold.
    return _UNNAMED not in before | now and bool(before and now) and before.isdisjoint(now)


def refused_target(what: str, table: str, known: Collection[str], new: Collection[str]) -> str:
    """The message for rows of one table whose target is another one than that of its counted rows."""
    return (
        f"{what}: all rows of {table} must have the same target; got {', '.join(sorted(new))}, and "
        f"{', '.join(sorted(known))} for rows that are counted. Begin another sums file for another target; if both "
        "are the same one, give it the same name."
    )


def warn_of_other_targets(pairs: Sequence[tuple[str, Collection[str], Collection[str]]]) -> None:
    """Warn of tables whose targets may be others than those of counted rows: (path, places before, places now)."""
    if not pairs:
        return
    path, known, new = pairs[0]
    more = f" The same holds for {len(pairs) - 1} more." if pairs[1:] else ""
    warnings.warn(
        f"y: the target of {path} is {', '.join(sorted(new)[:3])}, and that of rows that are counted is "
        f"{', '.join(sorted(known)[:3])}.{more} If these are two targets, take one of the two out of the sums again, "
        "with remove or a - b, and begin another sums file for it. If they are one target, all is well.",
        TargetWarning,
        stacklevel=2,
    )
