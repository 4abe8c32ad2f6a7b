"""All errors and warnings of the library; each error is also of the builtin class that a caller would catch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .urls import without_secrets

if TYPE_CHECKING:
    from scipy.linalg import LinAlgWarning
    from sklearn.exceptions import NotFittedError

__all__ = [
    "AlikeTablesWarning",
    "CancellationWarning",
    "ClusterError",
    "ClusterWarning",
    "DaskelmError",
    "DataError",
    "DatasetNotFoundError",
    "DrawWarning",
    "FileAccessError",
    "FileFormatError",
    "FileMissingError",
    "FileWriteError",
    "IllConditionedWarning",
    "IncompatibleSumsError",
    "InputTypeError",
    "InsufficientMemoryError",
    "LockWaitWarning",
    "MissingExtraError",
    "MissingOnWorkerError",
    "NotSolvedError",
    "ParameterError",
    "PenaltyWarning",
    "RowsCountedError",
    "ScaleWarning",
    "TableWarning",
    "TargetWarning",
]


class _WithoutSecrets(Exception):
    """Message whose URLs show neither a user nor a signature, wherever it was put together."""

    def __init__(self, *args):
        super().__init__(*(without_secrets(arg) if isinstance(arg, str) else arg for arg in args))


class DaskelmError(_WithoutSecrets):
    """Base class of all errors that daskelm raises on purpose."""


class ParameterError(DaskelmError, ValueError):
    """A parameter has a value that its rule does not allow."""


class DataError(DaskelmError, ValueError):
    """Rows, columns or values of the data do not fit: lengths, NaN, dimensions, number of columns."""


class InputTypeError(DaskelmError, TypeError):
    """An input has a type that cannot be used, such as a column of text."""


class FileMissingError(DaskelmError, FileNotFoundError):
    """A file does not exist here, or some workers cannot see it."""


class DatasetNotFoundError(DaskelmError, KeyError):
    """An HDF5 file has no dataset of that name, none that fits, or several to choose from."""

    def __str__(self):
        # KeyError shows the repr of its argument, which turns a sentence into a quoted string.
        return Exception.__str__(self)


class FileAccessError(DaskelmError, OSError):
    """A file at a URL cannot be read: no connection to its server, no permission, no credentials."""


class FileFormatError(DaskelmError, OSError, ValueError):
    """A file is not what it should be: no HDF5, truncated, altered, of another format or a newer version."""


class FileWriteError(DaskelmError, OSError):
    """A file cannot be written or locked (no space, no permission, no locks); it is left as it was."""


class IncompatibleSumsError(DaskelmError, ValueError):
    """Sums cannot be added or subtracted: they have another layer, other targets, or rows in common."""


class RowsCountedError(IncompatibleSumsError):
    """Two sums that are to be added count the same rows."""


class InsufficientMemoryError(DaskelmError, MemoryError):
    """Work was refused before it began, since it needs more memory than is free."""


class MissingExtraError(DaskelmError, ImportError):
    """A package that one of the extras installs is missing, such as matplotlib for pictures."""


class MissingOnWorkerError(DaskelmError, ImportError):
    """A worker or the scheduler of a cluster has no daskelm, or one that lacks what tasks of this one need."""


class ClusterError(DaskelmError, RuntimeError):
    """A cluster lost workers, its scheduler, or the connection to it, while it worked."""


class ClusterWarning(_WithoutSecrets, UserWarning):
    """Workers of a cluster do not answer; the work goes on without them where Dask can."""


class LockWaitWarning(_WithoutSecrets, UserWarning):
    """A sums file has waited to be written for seconds, since another process holds its lock."""


class ScaleWarning(_WithoutSecrets, UserWarning):
    """The scale of the inputs has a weak basis: columns that never varied, or only a few rows."""


class DrawWarning(_WithoutSecrets, UserWarning):
    """Rows that neurons are drawn by say too little of the relevance of the inputs."""


class AlikeTablesWarning(_WithoutSecrets, UserWarning):
    """A table is counted as a new one though it resembles another: a copy that was changed, or two alike."""


class TableWarning(_WithoutSecrets, UserWarning):
    """A text table may be meant otherwise than it was read: its first line, a column without a name."""


class TargetWarning(_WithoutSecrets, UserWarning):
    """Rows are added to sums whose other rows have a target of another name: it may be another target."""


class PenaltyWarning(_WithoutSecrets, UserWarning):
    """The penalty was chosen on a weak basis: at the edge of the candidates, or from few distinct rows."""


class CancellationWarning(_WithoutSecrets, UserWarning):
    """So much was subtracted from sums that what is left may be rounding."""


if TYPE_CHECKING:

    class NotSolvedError(DaskelmError, NotFittedError):
        """See `__getattr__`."""

    class IllConditionedWarning(LinAlgWarning):
        """See `__getattr__`."""


def __getattr__(name: str) -> Any:
    """The two classes with a base class of another library, made when they are first used.

    Every worker imports this module, and none needs scikit-learn, whose import takes 0.4 s after that of dask.array.
    """
    if name == "NotSolvedError":
        from sklearn.exceptions import NotFittedError

        bases: tuple[type, ...] = (DaskelmError, NotFittedError)
        text = "A method was called that needs `fit`, `initialize` or `solve` first."
    elif name == "IllConditionedWarning":
        from scipy.linalg import LinAlgWarning

        bases = (LinAlgWarning,)
        text = "HH + alpha I was not safely positive definite; eigenvectors were used instead of Cholesky's factor."
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Where several threads make the class at once, all of them get the one that was stored first.
    return globals().setdefault(name, type(name, bases, {"__doc__": text, "__module__": __name__}))


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
