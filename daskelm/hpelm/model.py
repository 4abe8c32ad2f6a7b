"""The part of `HPELM` that is saved in files: sizes, neurons, classes and output weights; and HP-ELM's own files."""

from __future__ import annotations

import os
from numbers import Integral, Real

import numpy as np

from ..exceptions import FileFormatError, ParameterError
from ..hdf5.atomic import check_replaceable
from ..hdf5.outputs import check_not_an_input
from ..hdf5.paths import open_regular
from ..hdf5.sealed import content_of, read_sealed, write_sealed
from ..hdf5.values import array_of, list_of, number_of, text_of, whole_of
from ..layer.neurons import kind_from_name, kind_name
from .network import FUNCTIONS, SLFN, positive
from .pickled import looks_pickled, read_pickle

__all__ = ["FLAGS", "Model", "convert_model"]

FLAGS = {"C": "c", "WC": "wc", "ML": "ml", "MC": "ml", "R": None}

_FORMAT = "hpelm"
_PRECISIONS = {name: np.float64 for name in ("double", "64", "float64")} | {
    name: np.float32 for name in ("single", "32", "float32")
}


class Model:
    """Parameters, neurons and output weights; `HPELM` adds the methods that take rows."""

    def __init__(
        self,
        inputs,
        outputs,
        classification="",
        w=None,
        batch=1000,
        accelerator=None,
        precision="double",
        norm=None,
        tprint=5,
    ):
        if accelerator is not None:
            raise ParameterError(
                f"accelerator must be None; got {accelerator!r}. daskelm has one implementation, which runs on all "
                "cores of this machine, or on a cluster if there is a Dask Client. Leave it out."
            )
        if tprint is not None and not isinstance(tprint, Real):
            raise ParameterError(f"tprint must be a number of seconds, or None for no progress; got {tprint!r}.")
        self.accelerator, self.tprint, self.batch = None, tprint, batch
        self.precision = _precision(precision)
        self.nnet = SLFN(inputs, outputs, norm, self.precision)
        self.classification = classification or None
        self.wc = w

    @property
    def batch(self) -> int:
        """Accepted for compatibility, without effect."""
        return self._batch

    @batch.setter
    def batch(self, value):
        self._batch = positive("batch", value)

    @property
    def classification(self) -> str | None:
        """None, "c", "wc" or "ml"."""
        return self._classification

    @classification.setter
    def classification(self, value):
        flag = "R" if value is None else str(value).upper()
        if flag not in FLAGS:
            raise ParameterError(f"classification must be '' (or None), 'c', 'wc' or 'ml'; got {value!r}.")
        if FLAGS[flag] and self.nnet.outputs < 2:
            raise ParameterError(f"classification={value!r} needs an output per class, so at least 2; got 1.")
        self._classification = FLAGS[flag]

    @property
    def wc(self) -> np.ndarray | None:
        """Weights of the classes, of shape (outputs,)."""
        return self._wc

    @wc.setter
    def wc(self, w):
        if w is not None:
            w = np.array(w, np.float64)
            if w.shape != (self.nnet.outputs,) or not np.isfinite(w).all() or not (w >= 0).all() or not w.any():
                raise ParameterError(
                    f"w must hold a finite weight >= 0, not all of them 0, for each of the {self.nnet.outputs} "
                    f"classes; got {w.tolist()}."
                )
        self._wc, self._wc_is_given = w, w is not None

    def __repr__(self):
        kinds = ", ".join(f"{n} {kind_name(kind)}" for n, kind, _, _ in self.nnet.neurons) or "no"
        return f"HPELM({self.nnet.inputs}, {self.nnet.outputs}) with {kinds} neurons"

    def add_neurons(self, number, func, W=None, B=None) -> None:
        """Add neurons; all neurons of one kind follow each other, where the first of them was added.

        Random ones are drawn from NumPy's global state, as in HP-ELM: the same `np.random.seed` gives the same neurons.
        Existing sums and output weights are dropped.

        Parameters
        ----------
        number : int
            How many; of "lin" neurons without `W`, which pass inputs through, at most `inputs`.
        func : {"lin", "sigm", "tanh", "rbf_l1", "rbf_l2", "rbf_linf"} or ufunc
            HP-ELM's kinds: sigm is 1 / (1 + exp(XW + B)), falling; rbf is exp(-dist^2 / B). Or a ufunc of NumPy or
            scipy.special.
        W : array-like of shape (inputs, number), optional
            Weights, or centres for the rbf kinds.
        B : array-like of shape (number,), optional
            Biases, or widths for the rbf kinds.

        Raises
        ------
        ParameterError
            An unknown kind, shapes that do not fit, numbers that are not finite, widths that are not positive.
        """
        number = 0 if isinstance(number, Integral) and number == 0 else positive("number", number)
        if not isinstance(func, np.ufunc) and func not in FUNCTIONS:
            raise ParameterError(
                f"func must be one of {', '.join(map(repr, FUNCTIONS))}, or a ufunc of NumPy or scipy.special; got "
                f"{func!r}. ELMRegressor has more kinds."
            )
        kind_name(func)
        number, W, B = _drawn(number, func, self.nnet.inputs, W, B)
        if W.shape != (self.nnet.inputs, number) or B.shape != (number,):
            raise ParameterError(
                f"W must have shape (inputs, number) and B (number,), here {(self.nnet.inputs, number)} and "
                f"{(number,)}; got {W.shape} and {B.shape}."
            )
        if number:
            self.nnet.add_neurons(func, W, B)

    def save(self, fname, overwrite: bool = False) -> None:
        """Write the model, without its sums, to one file that holds numbers and strings only.

        Parameters
        ----------
        fname : str or path-like
            File to write; a model that this wrote is replaced at once.
        overwrite : bool, default=False
            Whether any regular file may be replaced.

        Raises
        ------
        FileWriteError
            The file exists and is no such model, without `overwrite`; or the disk is full.
        """
        nnet = self.nnet
        arrays = {"B": nnet.B, "w": self.wc}
        for i, (_, _, W, b) in enumerate(nnet.neurons):
            arrays |= {f"W{i}": W, f"b{i}": b}
        plain = {
            "inputs": nnet.inputs,
            "outputs": nnet.outputs,
            "classification": self.classification,
            "norm": nnet.norm,
            "kinds": [kind_name(kind) for _, kind, _, _ in nnet.neurons],
        }
        state = plain | {name: array for name, array in arrays.items() if array is not None}
        write_sealed(fname, _FORMAT, state, overwrite=overwrite)

    def load(self, fname) -> None:
        """Load a model that `save` wrote: sizes, neurons, norm, classes and output weights; runs no code from the file.

        Precision, batch and tprint stay those of this object.

        Parameters
        ----------
        fname : str or path-like
            File to read.

        Raises
        ------
        FileMissingError
            There is no such file.
        FileFormatError
            It is another kind of file, or truncated or altered; or HP-ELM wrote it, and it must be converted first.
        """
        try:
            state = read_sealed(fname, _FORMAT, _array_names)
        except FileFormatError:
            if os.path.isfile(fname):
                with open_regular(fname) as file:
                    pickled = looks_pickled(file.read(2))
                if pickled:
                    raise FileFormatError(
                        f"{fname} is a pickle, as HP-ELM saved its models, and loading one runs whatever code is in "
                        f"it. Convert it, which runs none: python -m daskelm.hpelm convert {fname} NEW"
                    ) from None
            raise
        with content_of(fname):
            _check_state(state)
            neurons = [(kind_from_name(k), state[f"W{i}"], state[f"b{i}"]) for i, k in enumerate(state["kinds"])]
            self._restore(state | {"neurons": neurons})

    def _restore(self, state):
        """Set all parts of the model from plain values."""
        nnet = SLFN(state["inputs"], state["outputs"], state["norm"], self.precision)
        for neurons in state["neurons"]:
            nnet.add_neurons(*neurons)
        if state.get("B") is not None:
            nnet.set_B(state["B"])
        self.nnet = nnet
        self.classification, self.wc = state["classification"], state.get("w")


def _array_names(plain):
    """Names that the arrays of a file may have."""
    return ["B", "w", *(f"{name}{i}" for i in range(len(plain["kinds"])) for name in "Wb")]


def _check_state(state):
    """Refuse the content of a file that `save` did not write."""
    inputs, outputs = (whole_of(state.get(name), name, 1, 2**31) for name in ("inputs", "outputs"))
    number_of(state.get("norm"), "norm")
    n_neurons = 0
    for i in range(len(list_of(state.get("kinds"), "kinds of neurons", str))):
        W = array_of(state.get(f"W{i}"), f"W{i}", (inputs, None))
        array_of(state.get(f"b{i}"), f"b{i}", (W.shape[1],))
        n_neurons += W.shape[1]
    if "B" in state:
        array_of(state["B"], "B", (n_neurons, outputs))
    if "w" in state:
        array_of(state["w"], "w", (outputs,), "fiu", least=0)
    if state.get("classification") is not None:
        text_of(state["classification"], "classification", ("c", "wc", "ml"))


def _precision(value) -> type:
    try:
        name = value.lower() if isinstance(value, str) else np.dtype(value).name
        if value is not None:
            return _PRECISIONS[name]
    except (TypeError, KeyError):
        pass
    raise ParameterError(f"precision must be 'double' or 'single', or np.float64 or np.float32; got {value!r}.")


def _drawn(number, func, inputs, W, B):
    """W and B, drawn where not given; the order of draws is HP-ELM's, so that a seed gives the same neurons."""
    if W is None:
        if func == "lin":
            number = min(number, inputs)
            W = np.eye(inputs, number)
        else:
            W = np.random.randn(inputs, number)  # noqa: NPY002 - HP-ELM's random numbers
            if func not in FUNCTIONS or not func.startswith("rbf"):
                W *= 3.0 / inputs**0.5
    if B is None:
        # B is drawn for lin neurons too, which do not use it, since later draws depend on it.
        B = np.random.randn(number)  # noqa: NPY002
        if func == "lin":
            B = np.zeros(number)
        elif func in FUNCTIONS and func.startswith("rbf"):
            B = np.abs(B) * inputs
    return number, np.asarray(W), np.asarray(B)


def convert_model(source, target, overwrite: bool = False) -> None:
    """Convert a model that HP-ELM saved, a pickle, to a file that `HPELM.load` reads; runs no code from the pickle.

    Parameters
    ----------
    source : str or path-like
        HP-ELM's file.
    target : str or path-like
        File to write, another one.
    overwrite : bool, default=False
        Whether it may replace any other regular file; without, only a model that `HPELM.save` wrote, or an empty file.

    Raises
    ------
    ParameterError
        The target and the source are one file.
    FileWriteError
        The target exists and is no such model, without `overwrite`.
    FileMissingError
        There is no such file.
    FileFormatError
        It is no model of HP-ELM, or holds anything but numbers, strings and arrays.
    """
    check_not_an_input(target, "target", source=source)
    check_replaceable(target, _FORMAT, overwrite)
    state = read_pickle(source)
    precision = np.result_type(np.float32, *(array for _, *arrays in state["neurons"] for array in arrays))
    model = Model(state["inputs"], state["outputs"], precision=precision)
    model._restore(state)
    model.save(target, overwrite)
