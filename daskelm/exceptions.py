"""Every error and warning of the library; each class is also the builtin that a caller would catch."""

from scipy.linalg import LinAlgWarning
from sklearn.exceptions import NotFittedError

__all__ = [
    "AlikeTablesWarning",
    "CancellationWarning",
    "ClusterError",
    "DaskelmError",
    "DataError",
    "DatasetNotFoundError",
    "FileAccessError",
    "FileFormatError",
    "FileMissingError",
    "FileWriteError",
    "IllConditionedWarning",
    "IncompatibleSumsError",
    "InputTypeError",
    "InsufficientMemoryError",
    "MissingExtraError",
    "NotSolvedError",
    "ParameterError",
    "RowsCountedError",
    "ScaleWarning",
]


class DaskelmError(Exception):
    """Root of all errors raised on purpose by daskelm."""


class ParameterError(DaskelmError, ValueError):
    """A parameter has a value outside of its rule."""


class DataError(DaskelmError, ValueError):
    """Rows, columns or values of the data do not fit: lengths, NaN, dimensions, number of columns."""


class InputTypeError(DaskelmError, TypeError):
    """An input is of a kind that cannot be used: sparse matrices, text columns."""


class FileMissingError(DaskelmError, FileNotFoundError):
    """A file does not exist here, or some workers cannot see it."""


class DatasetNotFoundError(DaskelmError, KeyError):
    """An HDF5 file holds no dataset of that name, none that fits, or several to choose from."""

    def __str__(self):
        # KeyError shows the repr of its argument, which turns a sentence into a quoted string.
        return Exception.__str__(self)


class FileAccessError(DaskelmError, OSError):
    """A file at a URL cannot be read: no connection to its server, no permission, no credentials."""


class FileFormatError(DaskelmError, OSError, ValueError):
    """A file is not what it should be: no HDF5, truncated, altered, of another format or a newer version."""


class FileWriteError(DaskelmError, OSError):
    """A file cannot be written or locked: no space, no permission, a file system without locks; it is as it was."""


class IncompatibleSumsError(DaskelmError, ValueError):
    """Sums that cannot be added or subtracted: another layer, other targets, rows counted in both."""


class RowsCountedError(IncompatibleSumsError):
    """Rows that are counted in both of two sums."""


class InsufficientMemoryError(DaskelmError, MemoryError):
    """The work was refused before it began: its projected need exceeds what is there."""


class MissingExtraError(DaskelmError, ImportError):
    """A package is not installed that one of the extras brings, such as matplotlib for pictures."""


class ClusterError(DaskelmError, RuntimeError):
    """A cluster lost workers, its scheduler, or the connection to it, in the middle of the work."""


class NotSolvedError(DaskelmError, NotFittedError):
    """The estimator was asked for something that comes after `fit`, `initialize` or `solve`."""


class IllConditionedWarning(LinAlgWarning):
    """HH + alpha I was not safely positive definite; an eigen-solution was used instead of Cholesky."""


class ScaleWarning(UserWarning):
    """The scale of the inputs rests on little: columns that never varied, or a few rows."""


class AlikeTablesWarning(UserWarning):
    """A table is counted as one of its own, though it looks like another one: a copy that was changed, or two alike."""


class CancellationWarning(UserWarning):
    """So much was subtracted from sums that what is left may be rounding."""
