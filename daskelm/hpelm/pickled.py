"""Reader of models that HP-ELM saved as pickles; whatever a file contains, no code from it is run."""

from __future__ import annotations

import io
import math
import pickle
import pickletools
from collections.abc import Callable
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from ..exceptions import FileFormatError, FileMissingError
from ..hdf5.paths import open_regular, refuse_url
from .network import FUNCTIONS, TINY

__all__ = ["looks_pickled", "read_pickle"]

# Instructions of pickles of numbers, strings, tuples, lists, dicts and arrays, in the protocols 2 to 5.
_OPCODES = {
    *("PROTO", "FRAME", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1"),
    *("BINFLOAT", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "SHORT_BINSTRING", "BINSTRING", "SHORT_BINBYTES"),
    *("BINBYTES", "BINBYTES8", "BYTEARRAY8", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_LIST"),
    *("APPEND", "APPENDS", "EMPTY_DICT", "SETITEM", "SETITEMS", "MEMOIZE", "BINPUT", "LONG_BINPUT", "BINGET"),
    *("LONG_BINGET", "GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD"),
}
_KEYS = {"inputs", "outputs", "Classification", "Weights_WC", "neurons", "norm", "Beta"}


def looks_pickled(start: bytes) -> bool:
    """Whether a file that begins with these bytes is a pickle of protocol 2 to 5."""
    return len(start) >= 2 and start[0] == 0x80 and 2 <= start[1] <= 5


class _Call:
    """Value of a name in the file: it calls a function of this module, or refuses to be called."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable | None):
        self._function = function

    def __call__(self, *args):
        if self._function is None:
            raise pickle.UnpicklingError("it calls a name that is no function")
        return self._function(*args)

    def __setstate__(self, state):
        raise pickle.UnpicklingError("it sets the state of a name")


class _Dtype:
    """Stand-in for numpy.dtype of floats, ints or bools; pickles make it in two steps."""

    __slots__ = ("dtype",)

    def __init__(self, code, *flags):
        self.dtype = np.dtype({"f8": "f8", "f4": "f4", "i8": "i8", "i4": "i4", "b1": "?"}[code])

    def __setstate__(self, state):
        if state[1] == ">":
            self.dtype = self.dtype.newbyteorder(">")


class _Array:
    """Stand-in for a NumPy array, whose own state is not checked; protocols 2 to 4 make it in two steps."""

    __slots__ = ("array",)

    def __init__(self, array: np.ndarray | None = None):
        self.array = array

    def __setstate__(self, state):
        _, shape, dtype, fortran, data = state
        self.array = _array(_bytes(data), dtype, shape, "F" if fortran else "C")


def _bytes(data):
    # Strings of Python 2 were decoded as latin-1.
    return data.encode("latin-1") if isinstance(data, str) else bytes(data)


def _array(data, dtype, shape, order):
    if not isinstance(dtype, _Dtype) or not isinstance(shape, tuple):
        raise pickle.UnpicklingError("an array has no dtype or no shape")
    # The copy has the byte order of this machine, and does not refer to the bytes of the file.
    return np.frombuffer(data, dtype.dtype).reshape(shape, order=order).astype(dtype.dtype.newbyteorder("="))


def _from_buffer(data, dtype, shape, order):
    return _Array(_array(data, dtype, shape, order))


def _reconstruct(array_type, shape, code):
    return _Array()


def _scalar(dtype, data):
    return _array(_bytes(data), dtype, (), "C").item()


def _encode(text, encoding):
    if encoding != "latin1":
        raise pickle.UnpicklingError("bytes in another encoding than latin1")
    return text.encode("latin-1")


def _no_bytes():
    return b""


_GLOBALS = {
    ("numpy", "dtype"): _Call(_Dtype),
    # This name is only an argument of _reconstruct, and is never called.
    ("numpy", "ndarray"): _Call(None),
    # Protocol 2 has no bytes and writes them as a string to encode.
    ("_codecs", "encode"): _Call(_encode),
    ("__builtin__", "bytes"): _Call(_no_bytes),
}
for _core in ("numpy.core", "numpy._core"):
    _GLOBALS[f"{_core}.numeric", "_frombuffer"] = _Call(_from_buffer)
    _GLOBALS[f"{_core}.multiarray", "_reconstruct"] = _Call(_reconstruct)
    _GLOBALS[f"{_core}.multiarray", "scalar"] = _Call(_scalar)


class _Unpickler(pickle.Unpickler):
    """Unpickler that calls only the functions above, and no other of NumPy: some run code or take much memory."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _GLOBALS[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not part of a model") from None


def read_pickle(path) -> dict:
    """A model that HP-ELM saved, checked, as plain values.

    Parameters
    ----------
    path : str or path-like
        File that HP-ELM's `save` wrote.

    Returns
    -------
    dict
        inputs (int), outputs (int), classification (str or None), w (ndarray of shape (outputs,), or None), neurons
        (list of (kind, W (inputs, n), B (n,))), norm (float), B (ndarray of shape (L, outputs), or None).

    Raises
    ------
    FileMissingError
        There is no such file.
    FileFormatError
        It is no such model, or is damaged. No code from it was run.
    """
    refuse_url(
        path, "a model that HP-ELM saved", "Copy it first, for example with fsspec.filesystem(...).get(url, path)."
    )
    path = Path(path)
    try:
        with open_regular(path) as file:
            data = file.read()
    except FileNotFoundError:
        raise FileMissingError(f"{path}: no such file (looked in {path.resolve().parent}).") from None
    if not looks_pickled(data[:2]):
        raise FileFormatError(f"{path} is not a model that HP-ELM saved: it does not begin as a pickle does.")
    try:
        _check_opcodes(data)
        return _model(_Unpickler(io.BytesIO(data), encoding="latin1").load())
    except Exception as error:  # noqa: BLE001 - damaged pickles raise all sorts of errors
        raise FileFormatError(
            f"{path} is not a model that HP-ELM saved, or is damaged ({error}). No code from it was run. Copy it "
            "again, or save it again with HP-ELM."
        ) from None


def _check_opcodes(data):
    end = 0
    for opcode, argument, position in pickletools.genops(data):
        if opcode.name not in _OPCODES:
            raise pickle.UnpicklingError(f"the instruction {opcode.name} is not part of a model")
        # Python allocates a table of this size.
        if opcode.name == "LONG_BINPUT" and isinstance(argument, int) and argument > len(data):
            raise pickle.UnpicklingError("a number is out of range")
        end = (position or 0) + 1
    if end != len(data):
        raise pickle.UnpicklingError("there are bytes after its end")


def _model(found) -> dict:
    """Check what was read against what `HPELM.save` writes."""
    _need(isinstance(found, dict) and set(found) == _KEYS, f"it must be a dict with the keys {sorted(_KEYS)}")
    inputs, outputs, norm = found["inputs"], found["outputs"], found["norm"]
    for number in (inputs, outputs):
        _need(type(number) is int and number > 0, "sizes must be ints >= 1")
    kind = found["Classification"]
    kind = kind.lower() if isinstance(kind, str) else kind
    _need(kind in (None, "c", "wc", "ml"), "Classification must be None, 'c', 'wc' or 'ml'")
    _need(kind is None or outputs > 1, "classes must have an output each")
    _need(isinstance(norm, Real) and 0 <= float(norm) < math.inf, "norm must be a finite number >= 0")
    w, beta = found["Weights_WC"], found["Beta"]
    _need(isinstance(found["neurons"], list), "neurons must be a list")
    neurons = []
    for group in found["neurons"]:
        _need(isinstance(group, tuple) and len(group) == 4 and group[1] in FUNCTIONS, f"kinds must be in {FUNCTIONS}")
        number, function, W, B = group[0], group[1], _values(group[2]), _values(group[3])
        _need(W.shape == (inputs, number) and B.shape == (number,), "W and B must have a column per neuron")
        _need(not function.startswith("rbf") or bool((B >= TINY).all()), "widths of rbf neurons must be positive")
        if number:
            neurons.append((function, W, B))
    _need(len({function for function, _, _ in neurons}) == len(neurons), "each kind must be there once")
    if w is not None:
        w = _values(w).astype(np.float64)
        _need(
            w.shape == (outputs,) and bool((w >= 0).all() and w.any()), "Weights_WC must hold a weight >= 0 per output"
        )
    if beta is not None:
        beta = _values(beta)
        _need(beta.shape == (sum(len(B) for _, _, B in neurons), outputs), "Beta must have a row per neuron")
    return {
        "inputs": int(inputs),
        "outputs": int(outputs),
        "classification": kind,
        "w": w,
        "neurons": neurons,
        "norm": float(norm),
        "B": beta,
    }


def _values(array) -> np.ndarray:
    values = array.array if isinstance(array, _Array) else None
    if values is None or not np.isfinite(values).all():
        raise pickle.UnpicklingError("arrays must be finite numbers")
    return np.ascontiguousarray(values)


def _need(condition, rule):
    if not condition:
        raise pickle.UnpicklingError(rule)
