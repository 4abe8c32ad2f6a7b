"""Programs that write tables column by column, recognised by the attributes that they leave in files."""

from __future__ import annotations

import h5py

from ..exceptions import DaskelmError
from .opening import opened
from .paths import is_url
from .rows import Hdf5Rows

__all__ = ["column_first_by", "column_first_program"]

_MARKS = {"MATLAB_class": "MATLAB", "OCTAVE_NEW_FORMAT": "Octave"}


def column_first_by(rows: Hdf5Rows | None) -> str | None:
    """The program that wrote the first of these datasets with a column in each row; None where no attribute says so."""
    if rows is None or not rows.parts or rows.parts[0].choice.transposed or is_url(rows.parts[0].path):
        return None
    part = rows.parts[0]
    try:
        with opened(part.path) as (file, _):
            return column_first_program(file.get(part.dataset))
    except (OSError, DaskelmError):
        return None


def column_first_program(item) -> str | None:
    """The program that wrote an open dataset with a column in each row; None where no attribute says so."""
    # Octave marks the group that holds the dataset.
    marked = [one for one in (item, getattr(item, "parent", None)) if isinstance(one, h5py.HLObject)]
    return next((name for mark, name in _MARKS.items() for one in marked if mark in one.attrs), None)
