"""HP-ELM's files HH and HT: copies of a sums file beside them, or files that HP-ELM itself wrote."""

from __future__ import annotations

import os
from urllib.parse import quote

import numpy as np

from ..data.finite import check_finite
from ..data.source import Source
from ..data.targets import Targets
from ..exceptions import DataError, FileMissingError, IncompatibleSumsError, ParameterError
from ..hdf5.atomic import check_replaceable
from ..hdf5.outputs import check_not_an_input
from ..hdf5.paths import check_regular, refuse_written
from ..hdf5.rows import open_rows
from ..hdf5.target import new_hdf5
from ..layer.layer import Layer
from ..passes.resume import add_rows
from ..passes.tasks import Job
from ..sums.file import locked, read_current
from .network import with_norm

__all__ = ["CorrelationFiles"]


class CorrelationFiles:
    """Two files HH and HT of one model, and the sums file that they are written from.

    The name of the sums file is made of both names, so that an HH is never combined with the HT of other targets. The
    fingerprint of the layer in it shows which model it belongs to.

    Parameters
    ----------
    fHH, fHT : str or path-like
        The files; the sums file is beside the first.
    """

    def __init__(self, fHH, fHT):
        for path in (fHH, fHT):
            refuse_written(path)
        self.HH, self.HT = os.path.abspath(os.fspath(fHH)), os.path.abspath(os.fspath(fHT))
        if self.HH == self.HT:
            raise ParameterError(f"fHH and fHT must be two files; got {fHH} for both.")
        # If HT is in another folder than HH, its relative path is part of the name.
        other = quote(os.path.relpath(self.HT, os.path.dirname(self.HH)), safe="")
        self.sums = f"{self.HH}+{other}.sums.h5"

    def add(
        self,
        layer: Layer,
        targets: Targets,
        X: Source,
        T: Source,
        rows: tuple[int, int],
        norm: float,
        dtype,
        verbose: int,
    ) -> None:
        """Add those rows of X and T that are not counted yet, and write HH and HT again from all counted rows."""
        for name, path in (("fHH", self.HH), ("fHT", self.HT)):
            check_not_an_input(path, name, fX=X, fT=T)
            check_regular(path)
        self._refuse_others()
        for path in (self.HH, self.HT):
            check_replaceable(path, "data")
        add_rows(self.sums, Job(layer, targets, X, T), rows, verbose=verbose)
        with locked(self.sums) as file:
            sums = file.read()
            if sums is None:
                raise FileMissingError(f"{self.sums} was removed while rows were added to it. Add them again.")
            for path, values in zip((self.HH, self.HT), with_norm(sums, norm), strict=True):
                # Since the lock is held, hidden files beside this one were left by processes that were killed.
                with new_hdf5(path, alone=True) as (new, _):
                    new["data"] = values.astype(dtype, copy=False)

    def _refuse_others(self):
        """Refuse to overwrite files that were not written from this sums file."""
        there = [path for path in (self.HH, self.HT) if os.path.exists(path)]
        if not there or os.path.exists(self.sums):
            return
        if os.path.exists(f"{self.sums}.lock"):
            # Another process may be creating the sums file; reading under its lock shows whether it exists then.
            with locked(self.sums) as file:
                if file.read() is not None:
                    return
        raise IncompatibleSumsError(
            f"fHH, fHT: {there[0]} exists, but not the sums file that it is written from, {self.sums}: HP-ELM itself "
            "made it, or it belongs to another pair of files, and which rows are in it is unknown. Name two new files "
            "and add all rows there; solve_corr reads HP-ELM's own files too."
        )

    def read(self, layer: Layer, n_outputs: int, norm: float) -> tuple[np.ndarray, np.ndarray]:
        """HH (L, L), with the norm on its diagonal, and HT (L, outputs), from the sums file or HP-ELM's own files."""
        if not os.path.exists(self.sums):
            return self._read_arrays(layer.n_neurons, n_outputs)
        sums = read_current(self.sums)
        if sums.fingerprint != layer.fingerprint or sums.n_targets != n_outputs:
            raise IncompatibleSumsError(
                f"{self.sums} holds sums of another model: its layer is {sums.fingerprint[:12]}, with "
                f"{sums.n_targets} output(s), and this model's is {layer.fingerprint[:12]}, with {n_outputs}. Load the "
                "one saved model in every script."
            )
        if not sums.n_samples:
            raise DataError(f"nothing to solve: {self.sums} holds no rows. Call add_data first.")
        return with_norm(sums, norm)

    def _read_arrays(self, L, n_outputs):
        HH, HT = _matrix(self.HH, (L, L)), _matrix(self.HT, (L, n_outputs))
        size = np.sqrt(np.abs(np.diag(HH)))
        error = 1e3 * np.finfo(HH.dtype).eps * np.outer(size, size)
        HH = HH.astype(np.float64)
        if (np.diag(HH) < 0).any() or (np.abs(HH - HH.T) > error).any():
            raise DataError(
                f"{self.HH} must be symmetric with a diagonal >= 0, as H'H is; it is not: it is another matrix, or a "
                "process was interrupted while it wrote it. Sum up all rows again, with add_data."
            )
        return (HH + HH.T) / 2, HT.astype(np.float64)


def _matrix(path, shape):
    rows = open_rows(path)
    if rows.shape != shape or rows.dtype.kind != "f":
        raise DataError(
            f"{path} must hold floats of shape {shape}, for this model's neurons and outputs; got {rows.dtype} of "
            f"shape {rows.shape}. Load the model that the file was made with."
        )
    values = rows.read(0, rows.n_rows)
    check_finite(values, os.path.basename(path), 0, rows)
    return values
