"""Labels in HDF5: text, and codes with names (HDF5's enumerations) or levels (columns of daskelm, AnnData)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from ..exceptions import DataError
from .columns import columns_of
from .kinds import dtype_of

__all__ = ["TEXT_BYTES", "Words", "is_text_column", "words_of"]

# Bytes of a label as a Python string, with its place in an array. Equal labels of a block are one string.
TEXT_BYTES = 64


@dataclass(frozen=True)
class Words:
    """How labels are read from a dataset; `levels` are (code, label) of codes, and None for text."""

    levels: tuple[tuple[int | float, Any], ...] | None = None

    def decode(self, stored: np.ndarray, path: str, first_row: int) -> np.ndarray:
        """Labels, as an array of objects, of a block as it is in the file at a path; None where there is none.

        Raises
        ------
        DataError
            Text that is not UTF-8, or a code without a level, with its row.
        """
        out = np.empty(stored.shape, object)
        found: dict[Any, Any] = dict(self.levels or ())
        for i, code in enumerate(stored.ravel().tolist()):
            if self.levels is None:
                if code not in found:
                    found[code] = _text(code, path, first_row + i)
            elif code != code:
                code = None
                found[None] = None
            elif code not in found:
                raise DataError(
                    f"{path}: codes must have levels, {_some(self.levels)}; got {code} first in row {first_row + i}. "
                    "Add its level, or write such labels as missing (NaN)."
                )
            out.flat[i] = found[code]
        return out

    def __str__(self):
        return "text" if self.levels is None else f"codes of {_some(self.levels)}"


def _text(code, path, row):
    try:
        return code.decode() if isinstance(code, bytes) else str(code)
    except UnicodeDecodeError:
        raise DataError(
            f"{path}: labels must be text in UTF-8; got {code!r} first in row {row}. Write them anew in UTF-8."
        ) from None


def _some(levels):
    labels = [label for _, label in levels if label is not None]
    return ", ".join(map(repr, labels[:4])) + (f" and {len(labels) - 4} more" if len(labels) > 4 else "")


def is_text_column(dataset: h5py.Dataset) -> bool:
    """Whether a dataset is one column of text, of fixed or of any length."""
    dtype = dtype_of(dataset)
    return dtype is not None and h5py.check_string_dtype(dtype) is not None and _is_column(dataset)


def words_of(dataset: h5py.Dataset, path: str) -> Words | None:
    """How labels are read from a dataset of one column; None where its numbers are no codes."""
    if is_text_column(dataset):
        return Words()
    if not _is_column(dataset):
        return None
    if (names := h5py.check_enum_dtype(dataset.dtype)) is not None:
        return Words(tuple((int(code), name) for name, code in names.items()))
    if (categories := _categories_beside(dataset)) is not None:
        return Words(((-1, None), *enumerate(categories)))
    columns = columns_of(dataset, path)
    if columns is None or columns[0].levels is None:
        return None
    return Words(tuple(enumerate(columns[0].levels)))


def _categories_beside(dataset) -> list | None:
    """The categories that AnnData keeps beside codes, whose code -1 is a gap; None for any other dataset."""
    group, beside = dataset.parent, dataset.attrs.get("categories")
    if isinstance(beside, h5py.Reference):
        # Until version 0.7, the codes have a reference to them.
        found = dataset.file[beside] if beside else None
    elif dataset.name.endswith("/codes") and group.attrs.get("encoding-type") in ("categorical", b"categorical"):
        found = group.get("categories")
    else:
        return None
    if not isinstance(found, h5py.Dataset) or found.ndim != 1 or dataset.dtype.kind not in "iu":
        return None
    return (found.asstr() if h5py.check_string_dtype(found.dtype) else found)[:].tolist()


def _is_column(dataset):
    return dataset.ndim == 1 or (dataset.ndim == 2 and dataset.shape[1] == 1)
