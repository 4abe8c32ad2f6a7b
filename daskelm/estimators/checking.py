"""Checks of what estimators are given, as functions: X, y, weights of rows, and parameters that are True or False."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from ..data.categories import as_coded, levels_kept, recoded
from ..data.finite import check_finite
from ..data.frames import check_columns, check_dask_columns, columns_of
from ..data.inputs import check_distinct, check_lengths, is_lazy, lazily_together, one_column, open_input
from ..data.interop import header_of, to_supported
from ..data.source import Source, in_memory, n_columns, source_of
from ..data.target_columns import names_of_target, split_target, without_columns
from ..exceptions import DataError, InputTypeError, ParameterError
from ..hdf5.columns import Column, have_levels
from ..hdf5.file_rows import some
from ..sparse import SparseRows, as_block
from ._sklearn_compat import check_n_features, check_sample_weight
from .fitted import Columns

__all__ = ["Rows", "apart", "check_bool", "is_vector", "open_X", "open_rows", "open_table", "open_weights"]


class Rows(NamedTuple):
    """X, y and weights of the same rows, checked, and the columns of X; y and weights may be None."""

    X: Any
    y: Any
    weights: Any
    columns: Columns


def check_bool(value, name: str) -> bool:
    """A parameter that is True or False, checked: a word such as "no" would count as True."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    raise ParameterError(f"{name} must be True or False; got {value!r}.")


def is_vector(y: Source) -> bool:
    """Whether y is one target as a vector; in files, which are mostly 2-D, a single column counts as a vector."""
    return y.ndim == 1 or (source_of(y).files is not None and n_columns(y) == 1)


def apart(X, y, target, known: Columns | None = None, name: str = "y") -> tuple[Any, Any, tuple[str, ...]]:
    """X, y, and the names of the targets: columns of X named by `target` as y, or those known, left out of X.

    `name` is that of the argument y, for errors.
    """
    own = () if known is None else known.targets
    if target is None:
        # A target may be an input too, if it was given as both.
        gone = [name for name in own if known is None or name not in (known.names or ())]
        return without_columns(X, gone) if gone else X, y, own
    names = tuple(map(str, names_of_target(target)))
    if y is not None:
        raise ParameterError(
            f"target: it names columns of X that are the targets, and {name} gives them too; got both, with "
            f"target={target!r}. Leave one of the two out."
        )
    if own and names != own:
        raise ParameterError(
            f"target must be that of the model, {_names(own)}; got {_names(names)}. Make another model for another "
            "target, with fit or initialize."
        )
    return *split_target(X, target), names


def open_X(
    X, owner: str, known: Columns | None = None, array=None, *, gaps: bool = False, coded: bool = False
) -> tuple[Source, Columns]:
    """X as a checked source of rows, and its columns, which must be `known` if these are given.

    Columns of the names of the targets are left out. `owner` is the name of the estimator's class, for scikit-learn's
    messages; `array` is X as `lazily_together` gives it, where it was opened with others. With `gaps`, NaN is a gap
    that may be there. X is `coded` where its categories are codes already.
    """
    reset, checker = known is None, _checker(owner, known)
    if known is not None and array is None:
        X, _, _ = apart(X, None, None, known)
    # A DataArray has names of columns, which its dask array has not.
    header = header_of(X)
    X = to_supported(X, "X")
    if not coded:
        X, coding = _coded(X, checker, known)
        coded = coding is not None
    check_columns(X, "X")
    columns = columns_of(X)
    if not is_lazy(X):
        array = _array_of(X, checker, reset)
        if columns is not None:
            # Other arrays are checked block by block, with the number of the row; names of columns are known here only.
            check_finite(array, "X", columns=columns, gaps=gaps)
        _refuse_gaps(array, gaps)
        return array, _columns_of(checker, known)
    source = open_input(X if array is None else array, "X")
    if source.ndim != 2:
        opened = source_of(source)
        single = "X.reshape(-1, 1)" if opened.files is None else "from_hdf5(path)[:, None]"
        single = single if opened.names is None else f"from_parquet(path, columns={list(opened.names)})"
        raise DataError(
            f"X must be 2-D, (n_samples, n_features); got shape {source.shape}. Use {single} for a single feature."
        )
    if source.dtype.kind not in "fiub":
        raise InputTypeError(
            f"X must hold numbers; got {_kind(source)}. Code text columns as numbers first, or drop them."
        )
    if columns is not None:
        header = X._meta
    source, levels = _in_codes(source, known, coded)
    if (in_file := source_of(source).names) is not None:
        _check_names_in_file(checker, in_file, known, owner, source_of(source).files.opened_by)
    elif reset or header is not None:
        names = np.empty((1, n_columns(source))) if header is None else header
        validate_data(checker, names, reset=reset, skip_check_array=True)
    else:
        # Most files and dask arrays have no names, so that there is no reason to warn that they have none.
        check_n_features(checker, source, reset=False)
    if not n_columns(source):
        raise DataError(f"X must have at least one column; got shape {source.shape}.")
    _refuse_gaps(source, gaps)
    return source, replace(_columns_of(checker, known), levels=levels)


def _refuse_gaps(source, gaps):
    if gaps and source_of(source).is_sparse:
        raise ParameterError(
            "missing='indicator' is for dense X, whose gaps become the mean of their column; got sparse rows, in which "
            "a place that is not kept is zero. Give missing='error', or X.toarray()."
        )


def _in_codes(source, known, coded) -> tuple[Source, tuple | None]:
    """Rows of files with the codes of a model, or those of the files, and the levels; other rows have codes already."""
    levels = None if known is None else known.levels
    files = source_of(source).files
    own = None if files is None else files.columns
    if coded or (levels is None and not have_levels(own)):
        return source, levels
    if known is None:
        columns = files.all_levels()
        return files.with_levels(columns), tuple(column.levels for column in columns)
    names = known.names or tuple(map(str, range(known.n_features)))
    if levels is None:
        levels = (None,) * known.n_features
    if own is None or len(own) != len(levels):
        raise _without_columns(type(source).__name__ if files is None else "files without them")
    for name, column, wanted in zip(names, own, levels, strict=True):
        if (wanted is None) != (column.levels is None):
            kinds = ["numbers", "categories"] if wanted is None else ["categories", "numbers"]
            raise InputTypeError(
                f"X: column {name!r} must hold {kinds[0]}, as in fit; got {kinds[1]} in {some(files.paths)}. Write the "
                "files from tables with columns of the same types."
            )
    return files.with_levels([Column(*one) for one in zip(names, levels, strict=True)]), levels


def _without_columns(got):
    return InputTypeError(
        f"X must have the columns of fit, some of them categories, by name; got {got}. Give a data frame, or files "
        "that make_hdf5 wrote from a table with names."
    )


def _coded(X, checker, known) -> Any:
    """X with codes in the place of categories, which are `known` where columns are; and its columns, or None."""
    if known is not None and known.levels is not None:
        X = to_supported(X, "X")
        if columns_of(X) is not None:
            validate_data(checker, X._meta if hasattr(X, "_meta") else X, reset=False, skip_check_array=True)
        elif not is_lazy(X):
            raise _without_columns(type(X).__name__)
    return as_coded(X, known)


def _check_names_in_file(checker, names, known, owner, reader):
    """Check names of columns in files as scikit-learn checks those of frames, without pandas."""
    if known is None:
        checker.n_features_in_, checker.feature_names_in_ = len(names), np.array(names, dtype=object)
    elif known.names is None:
        # scikit-learn warns of frames in these words.
        warnings.warn(f"X has feature names, but {owner} was fitted without feature names", UserWarning, stacklevel=2)
        check_n_features(checker, np.empty((0, len(names))), reset=False)
    elif names != known.names:
        missing = [name for name in known.names if name not in names]
        unseen = [name for name in names if name not in known.names]
        got = [f"without {_names(missing)}"] * bool(missing) + [f"with {_names(unseen)}"] * bool(unseen)
        raise DataError(
            f"X must have the columns of fit, {_names(known.names)}, in this order; got a file "
            f"{' and '.join(got) or f'with another order, {_names(names)}'}. Choose them by name: "
            f"{reader}(path, columns=model.feature_names_in_.tolist()), or --columns in the command."
        )


def _names(names):
    return ", ".join(map(str, names[:6])) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _array_of(X, checker, reset):
    try:
        X = X.matrix if isinstance(X, SparseRows) else X
        types = {"accept_sparse": "csr", "dtype": [np.float64, np.float32]}
        return as_block(validate_data(checker, X, reset=reset, ensure_all_finite=False, **types))
    except ValueError as error:
        if (text := re.search("could not convert string to float: (.*)", str(error))) is None:
            raise
        raise DataError(
            f"X must hold numbers; got text, {text[1]} first. Drop columns of text, or code them as numbers "
            "first, for example with pandas.get_dummies."
        ) from None


@cache
def _checker_class(owner):
    return type(owner, (BaseEstimator,), {})


def _checker(owner: str, columns: Columns | None):
    """An estimator of that name, whose columns scikit-learn may set; the real one is not changed by a check."""
    checker = _checker_class(owner)()
    if columns is not None:
        checker.n_features_in_ = columns.n_features
        if columns.names is not None:
            checker.feature_names_in_ = np.array(columns.names, dtype=object)
    return checker


def _columns_of(checker, known) -> Columns:
    names = getattr(checker, "feature_names_in_", None)
    targets, levels = ((), None) if known is None else (known.targets, known.levels)
    return Columns(int(checker.n_features_in_), None if names is None else tuple(map(str, names)), targets, levels)


def open_weights(sample_weight, X: Source) -> Source | None:
    """Weights of the rows of X, one number per row; None if there are none."""
    if sample_weight is None:
        return None
    if not is_lazy(sample_weight):
        sample_weight = one_column(to_supported(sample_weight, "sample_weight"))
        if source_of(X).in_process:
            return check_sample_weight(sample_weight, X, dtype=np.float64)
        sample_weight = np.asarray(sample_weight, np.float64)
        if sample_weight.ndim == 0:
            sample_weight = np.full(X.shape[0], sample_weight)
    weights = open_input(sample_weight, "sample_weight")
    if weights.dtype.kind not in "fiub":
        raise InputTypeError(f"sample_weight must hold numbers; got {_kind(weights)}. Code them as numbers first.")
    if weights.ndim not in (1, 2) or n_columns(weights) != 1:
        opened = source_of(weights)
        remedy = "" if opened.files is None else " Name a dataset: from_hdf5(path, dataset=...)."
        remedy = remedy if opened.names is None else " Name a column: from_parquet(path, columns=...)."
        raise DataError(f"sample_weight must be one number per row; got shape {weights.shape}.{remedy}")
    check_lengths(X=X, sample_weight=weights)
    return weights


def open_rows(
    X,
    y,
    sample_weight,
    owner: str,
    known: Columns | None = None,
    read_y: Callable | None = None,
    target=None,
    *,
    gaps: bool = False,
) -> Rows:
    """X, y and weights of the same rows, opened together, so that columns of one dask frame are made together.

    `read_y` makes y, given beside X, a source; `target` names columns of X that are y; other parameters are as for
    `open_X`.
    """
    X, y, names = apart(X, y, target, known)
    given = X
    X, coding = _coded(X, _checker(owner, known), known)
    check_dask_columns(X, "X")
    array, labels, weights = lazily_together(X=X, y=y, sample_weight=sample_weight)
    source, columns = open_X(X, owner, known, array, gaps=gaps, coded=coding is not None)
    targets = None if y is None or read_y is None else read_y(labels, given)
    if targets is not None:
        names = names or getattr(source_of(targets).files, "names", None) or ()
    check_lengths(X=source, y=targets)
    weights = open_weights(weights, source)
    check_distinct(X=(X, source), y=(y, targets), sample_weight=(sample_weight, weights))
    columns = replace(columns, targets=names)
    if coding is None and columns.levels is not None:
        coding = tuple(Column(*one) for one in zip(columns.names or (), columns.levels, strict=True))
    if coding is not None and known is None:
        kept = levels_kept(source, weights, coding)
        source = recoded(source, coding, kept)
        columns = replace(columns, levels=tuple(column.levels for column in kept))
    return Rows(source, targets, weights, columns)


def open_table(
    X, y, sample_weight, owner: str, known: Columns | None, read_y: Callable, target=None, *, gaps: bool = False
) -> Rows:
    """Rows to learn from, as `open_rows`, but y must be given, and y and weights are in memory where X is."""
    if y is None and target is None:
        raise ParameterError(
            f"y: This {owner} estimator requires y to be passed, but the target y is None. Give y, or target with the "
            "name of a column of X."
        )
    X, y, weights, columns = open_rows(X, y, sample_weight, owner, known, read_y, target, gaps=gaps)
    if source_of(X).in_process:
        vector = is_vector(y)
        y, weights = in_memory(y=y, sample_weight=weights)
        y = y.reshape(-1) if vector else y
        weights = None if weights is None else weights.reshape(-1)
    return Rows(X, y, weights, columns)


def _kind(source):
    files = source_of(source).files
    return source.dtype if files is None or files.words is None else files.words
