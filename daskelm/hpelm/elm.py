"""HP-ELM's interface on top of daskelm, its successor: scripts run after a change of the import line."""

from __future__ import annotations

import math
from numbers import Integral

import dask
import numpy as np

from ..data.inputs import check_lengths
from ..data.source import source_of
from ..data.targets import RegressionTargets, Targets
from ..exceptions import DataError, ParameterError
from ..passes.accumulate import accumulate
from ..passes.predict import apply
from .classes import OneHotTargets, balancing_weights, scores
from .corr_files import CorrelationFiles
from .model import FLAGS, Model
from .network import positive, solve_corr
from .rows import check_file, counted_range, table, write_rows

__all__ = ["HPELM"]

_SELECTION = {"V", "CV", "LOO", "OP"}


class HPELM(Model):
    """HP-ELM's class over daskelm's sums, files and solvers.

    X and T may be NumPy arrays, paths of HDF5 files with one 2-D dataset of any name, or dask arrays. Parameters that
    have no effect here are kept for compatibility; docs/hpelm.md lists all differences.

    Parameters
    ----------
    inputs, outputs : int
        Columns of X and T.
    classification : {"", "c", "wc", "ml"}, default=""
        None, one class per row, the same with weighted classes, or several classes per row; T has a column of zeros and
        ones per class. Decides what `error` is, and with "wc" the weights of the rows.
    w : array-like of shape (outputs,), optional
        Weights of the classes for "wc".
    batch : int, default=1000
        Accepted for compatibility, without effect: daskelm chooses the rows of a block from the number of neurons
        (8 to 32 MiB of H), and results do not depend on it.
    accelerator : None
        Anything else is an error: daskelm works on the cores of this machine, or of a Dask cluster.
    precision : {"double", "single"} or dtype, default="double"
        Type of the neurons, of H, of predictions and of HH and HT in files. Sums and weights are float64 always.
    norm : float, optional
        Number that is added to the diagonal of HH; 50 times the machine epsilon of the precision if not given.
    tprint : float, default=5
        None or inf shows no progress on standard error while rows are added; any other number shows it, at daskelm's
        own intervals.

    Attributes
    ----------
    nnet : SLFN
        The network: `neurons`, `L`, `norm`, `HH`, `HT`, `B`, `get_B()`, `set_B(B)`, `get_corr()`, `solve()`,
        `reset()`.
    classification : str or None
        As given, or as set by `train` or `load`.
    wc : ndarray of shape (outputs,) or None
        Weights of the classes.

    References
    ----------
    Akusok, Bjork, Miche, Lendasse (2015), "High-Performance Extreme Learning Machines: A Complete Toolbox for Big Data
    Applications", IEEE Access 3.

    Examples
    --------
    >>> import numpy as np
    >>> from daskelm.hpelm import HPELM
    >>> rng = np.random.default_rng(0)
    >>> X, T = rng.random((100, 3)), rng.random((100, 2))
    >>> model = HPELM(3, 2, tprint=None)
    >>> model.add_neurons(3, "lin")
    >>> model.add_neurons(5, "tanh")
    >>> model.train(X, T)
    >>> model.predict(X).shape
    (100, 2)
    """

    def train(self, fX, fT, *flags, **options) -> None:
        """Sum over the rows and solve; the sums stay, so that `add_data` can add to them.

        Parameters
        ----------
        fX : ndarray, dask array or HDF5 path, of shape (rows, inputs)
            Inputs.
        fT : the same, of shape (rows, outputs)
            Targets.
        *flags : {"c", "wc", "ml", "r"}
            A classification, or "r" for none; that of the model if not given. Flags that select neurons ("V", "CV",
            "LOO", "OP"), which HP-ELM accepted and ignored, are an error.
        **options : {"w", "istart", "icount", "batch"}
            ``w``: weights of the classes for "wc"; if not given, those of the model, or the number of rows divided by
            that of each class. ``istart`` and ``icount``: first row and number of rows. ``batch`` has no effect.

        Raises
        ------
        ParameterError
            Flags or options that are unknown or contradict each other.
        DataError
            Rows, columns or values that do not fit.
        """
        classification = self._parse_flags(flags, options)
        X, T, rows = self._open_pair(fX, fT, options.get("istart", 0), options.get("icount", math.inf))
        before = self.__dict__.copy(), self.nnet.__dict__.copy()
        try:
            self.classification = classification
            if classification == "wc":
                if options.get("w") is not None:
                    self.wc = options["w"]
                elif not self._wc_is_given:
                    self.wc, self._wc_is_given = balancing_weights(source_of(T).rows(slice(*rows), "T")), False
            self.batch = options.get("batch", self.batch)
            self.nnet.reset()
            self._add(X, T, rows)
            self.nnet.solve()
        except BaseException:
            self.__dict__, self.nnet.__dict__ = before
            raise

    def add_data(self, fX, fT, istart=0, icount=np.inf, fHH=None, fHT=None) -> None:
        """Add rows to the model's own sums, or to files that any number of scripts add to; solves nothing.

        With files, the sums are kept in a sums file beside them, such as HH.hdf5+HT.hdf5.sums.h5. It recognises rows of
        HDF5 files by their content and leaves out those that it counts already, so that a script can be killed and run
        again. HH and HT are written from it each time, as HP-ELM wrote them, for other programs. Rows of arrays in
        memory are not recognised: each call adds them.

        Parameters
        ----------
        fX : ndarray, dask array or HDF5 path, of shape (rows, inputs)
            Inputs.
        fT : the same, of shape (rows, outputs)
            Targets.
        istart, icount : int
            First row and number of rows; rows past the end are left out.
        fHH, fHT : str or path-like, optional
            The files: both, or neither for sums in memory.

        Raises
        ------
        IncompatibleSumsError
            The files are of another model or of HP-ELM itself; or the model's own sums hold these rows already.
        DataError
            Rows, columns or values do not fit, or counted rows have other values now.
        ParameterError
            One of `fHH` and `fHT` alone; "wc" without weights, which cannot be found from a part of the rows.
        """
        if (fHH is None) != (fHT is None):
            raise ParameterError("fHH and fHT must be given both, or none for sums in memory; got one.")
        X, T, rows = self._open_pair(fX, fT, istart, icount)
        if fHH is None:
            self._add(X, T, rows)
            return
        layer, targets, nnet = self.nnet.layer, self._targets(), self.nnet
        CorrelationFiles(fHH, fHT).add(layer, targets, X, T, rows, nnet.norm, self.precision, self._verbose)

    def solve_corr(self, fHH, fHT) -> None:
        """Solve for the output weights from files that `add_data` or HP-ELM itself wrote.

        Parameters
        ----------
        fHH, fHT : str or path-like
            The files. If there is a sums file beside them, it is read instead, and the norm is this model's; HP-ELM's
            own files contain their norm, on the diagonal of HH.

        Raises
        ------
        IncompatibleSumsError
            They are of another model.
        DataError
            HP-ELM's own files have other shapes, are not finite or not symmetric.

        Warns
        -----
        IllConditionedWarning
            HH was not safely positive definite, so the solution of least norm was taken.
        """
        self.nnet.set_B(solve_corr(*self._read_corr(fHH, fHT)))

    def validation_corr(self, fHH, fHT, fXv, fTv, steps=10) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
        """Choose how many of the neurons to keep by the error on validation rows, in one pass; prunes the model.

        Parameters
        ----------
        fHH, fHT : str or path-like
            As for `solve_corr`.
        fXv, fTv : as for `train`
            Validation rows.
        steps : int or array-like of int, default=10
            How many numbers of neurons to try, evenly spaced on a log scale from 3 to all; or these numbers.

        Returns
        -------
        Ls : ndarray of shape (n,)
            Numbers of neurons: that many of the first columns of H.
        errs : ndarray of shape (n,)
            Their errors, as `error` gives them.
        confs : list of ndarray of shape (outputs, outputs)
            Their confusion matrices; empty for regression.
        """
        HH, HT = self._read_corr(fHH, fHT)
        Ls = _steps(steps, self.nnet.L)
        X, T, _ = self._open_pair(fXv, fTv, 0, math.inf)
        weights = [solve_corr(HH[:n, :n], HT[:n]) for n in Ls]
        Y = apply(self.nnet.prediction(*weights), X, "predict")
        errs, confs = scores(self.classification, self.wc, T, Y, len(Ls), self._verbose)
        best = int(np.argmin(errs))
        self.nnet.prune(int(Ls[best]), weights[best])
        return Ls, errs, list(confs) if self.classification else []

    def predict(self, fX, fY=None, istart=0, icount=np.inf, overwrite=False):
        """Outputs of the model; the largest one marks the predicted class, and with "ml" those above one half.

        Parameters
        ----------
        fX : ndarray, dask array or HDF5 path, of shape (rows, inputs)
            Inputs.
        fY : str, path-like or ndarray of shape (rows, outputs), optional
            HDF5 file to write, in bounded memory, or array to fill from its first row.
        istart, icount : int
            First row and number of rows.
        overwrite : bool, default=False
            Whether the file may replace any regular file that is no input; without, only an earlier result, or an empty
            file.

        Returns
        -------
        ndarray or dask array of shape (rows, outputs), or None
            An array for arrays and files, lazy for dask arrays; None with `fY`.
        """
        return self._write(self.nnet.prediction(), fX, fY, "predict", "fY", istart, icount, overwrite)

    def project(self, fX, fH=None, istart=0, icount=np.inf, overwrite=False):
        """Outputs H of the hidden layer.

        Parameters
        ----------
        fX : ndarray, dask array or HDF5 path, of shape (rows, inputs)
            Inputs.
        fH : str, path-like or ndarray of shape (rows, L), optional
            HDF5 file to write, in bounded memory, or array to fill from its first row.
        istart, icount : int
            First row and number of rows.
        overwrite : bool, default=False
            Whether the file may replace any regular file that is no input; without, only an earlier result, or an empty
            file.

        Returns
        -------
        ndarray or dask array of shape (rows, L), or None
            An array for arrays and files, lazy for dask arrays; None with `fH`.
        """
        return self._write(self.nnet.projection(), fX, fH, "transform", "fH", istart, icount, overwrite)

    def error(self, fT, fY, istart=0, icount=np.inf) -> float:
        """Error of predictions; true targets come first.

        Parameters
        ----------
        fT, fY : ndarray, dask array or HDF5 path, of shape (rows, outputs)
            True targets and predictions.
        istart, icount : int
            First row and number of rows, of both.

        Returns
        -------
        float
            Mean squared error; with classes the part of wrong rows ("c"), its mean over classes weighted with `w`
            ("wc"), or the part of wrong entries ("ml").
        """
        return float(self._scores(fT, fY, istart, icount)[0][0])

    def confusion(self, fT, fY, istart=0, icount=np.inf) -> np.ndarray:
        """Counts of rows by true class (row) and predicted class (column).

        Parameters
        ----------
        fT, fY : ndarray, dask array or HDF5 path, of shape (rows, outputs)
            True targets and predictions.
        istart, icount : int
            First row and number of rows, of both.

        Returns
        -------
        ndarray of shape (outputs, outputs)
        """
        if self.classification is None:
            raise ParameterError("confusion needs classes; this model is one of regression: HPELM(..., 'c').")
        return self._scores(fT, fY, istart, icount)[1][0]

    # HP-ELM's asynchronous methods read ahead while computing, which daskelm always does.
    train_async, add_data_async, predict_async = train, add_data, predict

    @property
    def _verbose(self):
        return int(self.tprint is not None and math.isfinite(self.tprint))

    def _parse_flags(self, flags, options):
        """The classification that the arguments of `train` ask for."""
        flags = [str(flag).upper() for flag in flags]
        if unknown := options.keys() - {"w", "istart", "icount", "batch"} | _SELECTION.intersection(flags):
            raise ParameterError(
                f"train takes the options w, istart, icount and batch, and a classification as a flag; got "
                f"{', '.join(sorted(unknown))}. Neurons are selected with validation_corr, after add_data to files."
            )
        if len(flags) > 1 or not FLAGS.keys() >= set(flags):
            raise ParameterError(f"train takes at most one of the flags 'c', 'wc', 'ml' and 'r'; got {flags}.")
        classification = FLAGS[flags[0]] if flags else self.classification
        if "w" in options and classification != "wc":
            raise ParameterError(f"w weights the classes of 'wc', and the classification here is {classification!r}.")
        return classification

    def _targets(self) -> Targets:
        if self.classification != "wc":
            return RegressionTargets(self.nnet.outputs, "float64")
        if self.wc is None:
            raise ParameterError(
                "'wc' needs the weights of the classes before rows are added in parts, since the parts have different "
                "numbers of rows per class. Give them: HPELM(..., 'wc', w=[...])."
            )
        return OneHotTargets(self.nnet.outputs, "float64", tuple(self.wc.tolist()))

    def _add(self, X, T, rows):
        X, T = source_of(X).rows(slice(*rows), "X"), source_of(T).rows(slice(*rows), "T")
        sums = accumulate(self.nnet.layer, self._targets(), X, T, verbose=self._verbose)
        self.nnet.sums = sums if self.nnet.sums is None else self.nnet.sums + sums

    def _read_corr(self, fHH, fHT):
        return CorrelationFiles(fHH, fHT).read(self.nnet.layer, self.nnet.outputs, self.nnet.norm)

    def _open_pair(self, fX, fT, istart, icount):
        X, T = table(fX, "fX", self.nnet.inputs), table(fT, "fT", self.nnet.outputs)
        check_lengths(fX=X, fT=T)
        return X, T, counted_range(X.shape[0], istart, icount)

    def _scores(self, fT, fY, istart, icount):
        T, Y = (table(value, name, self.nnet.outputs) for value, name in ((fT, "fT"), (fY, "fY")))
        rows = slice(*counted_range(T.shape[0], istart, icount))
        if Y.shape[0] < rows.stop or (icount == math.inf and Y.shape[0] != T.shape[0]):
            raise DataError(
                f"fT and fY must have the same rows; got {T.shape[0]} and {Y.shape[0]} rows, for rows {rows.start} to "
                f"{rows.stop - 1}. Select rows that both have, with istart and icount."
            )
        T, Y = source_of(T).rows(rows, "T"), source_of(Y).rows(rows, "Y")
        return scores(self.classification, self.wc, T, Y, verbose=self._verbose)

    def _write(self, function, fX, out, name, argument, istart, icount, overwrite):
        """Compute a function of the rows of X, and return its results or write them to `out`."""
        X = table(fX, "fX", self.nnet.inputs)
        check_file(out, X, argument, overwrite)
        rows = slice(*counted_range(X.shape[0], istart, icount))
        result = apply(function, source_of(X).rows(rows, "X"), name, self._verbose)
        if out is None:
            return result if dask.is_dask_collection(fX) else np.asarray(result)
        write_rows(result, out, overwrite, self._verbose)
        return None


def _steps(steps, L) -> np.ndarray:
    """Numbers of neurons to try."""
    if isinstance(steps, Integral):
        numbers = np.ceil(np.geomspace(3, L, positive("steps", steps))).astype(int)
        return np.unique(np.minimum(numbers, L))
    numbers = np.unique(steps)
    if numbers.dtype.kind not in "iu" or not len(numbers) or numbers[0] < 1 or numbers[-1] > L:
        raise ParameterError(f"steps must be an int, or numbers of neurons from 1 to {L}; got {steps!r}.")
    return numbers
