"""Sparse tables to HDF5: matrices of SciPy, dask arrays of them, and files of libsvm, whole or not at all."""

import bz2
import gzip
import lzma
from pathlib import Path

import dask.array as da
import h5py
import numpy as np
import pytest
import scipy.sparse
from click.testing import CliRunner
from sklearn.datasets import dump_svmlight_file, load_svmlight_file

from daskelm import ELMClassifier, from_hdf5, make_hdf5, to_hdf5
from daskelm.cli.commands import cli
from daskelm.exceptions import DataError, FileFormatError, InputTypeError, ParameterError

N, D = 200, 30
RNG = np.random.default_rng(3)
TABLE = scipy.sparse.random_array((N, D), density=0.2, rng=RNG, format="csr")
TABLE.data = np.round(RNG.normal(size=TABLE.nnz), 3)
LABELS = RNG.integers(-1, 3, N)


@pytest.fixture(autouse=True)
def _in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def table_in(path="a.h5", dataset="data"):
    return from_hdf5(path, dataset=dataset).compute()


@pytest.mark.parametrize("form", ["csr", "csc", "coo"])
@pytest.mark.parametrize("options", [{}, {"compression": "gzip"}, {"dataset": "group/X"}, {"dtype": "float32"}])
def test_matrices_are_written(form, options):
    assert make_hdf5(TABLE.asformat(form), "a.h5", **options) == "a.h5"
    written = table_in(dataset=options.get("dataset", "data"))
    assert written.dtype == options.get("dtype", "float64")
    np.testing.assert_array_equal(written.toarray(), TABLE.toarray().astype(written.dtype))


def test_the_form_is_that_of_anndata():
    make_hdf5(TABLE, "a.h5")
    with h5py.File("a.h5") as file:
        group = file["data"]
        assert dict(group.attrs) | {"shape": None} == {
            "encoding-type": "csr_matrix",
            "encoding-version": "0.1.0",
            "shape": None,
        }
        assert group.attrs["shape"].tolist() == [N, D]
        again = scipy.sparse.csr_array((group["data"][()], group["indices"][()], group["indptr"][()]), shape=(N, D))
    np.testing.assert_array_equal(again.toarray(), TABLE.toarray())


@pytest.mark.parametrize("chunk", [7, 64, N])
def test_dask_arrays_are_written_chunk_by_chunk(chunk):
    X = da.from_array(TABLE, chunks=(chunk, -1))
    assert to_hdf5(X, "a.h5") == "a.h5"
    np.testing.assert_array_equal(table_in().toarray(), TABLE.toarray())
    make_hdf5(X, "b.h5")
    np.testing.assert_array_equal(table_in("b.h5").toarray(), TABLE.toarray())
    to_hdf5(from_hdf5("a.h5", chunks=chunk), "c.h5", compression="gzip")
    np.testing.assert_array_equal(table_in("c.h5").toarray(), TABLE.toarray())


@pytest.mark.parametrize("zero_based", [True, False])
def test_files_of_libsvm_are_read_as_scikit_learn_does(zero_based):
    dump_svmlight_file(TABLE, LABELS, "a.svm", zero_based=zero_based, comment="made\nhere")
    make_hdf5("a.svm", "a.h5")
    expected, labels = load_svmlight_file("a.svm")
    written = table_in()
    assert written.shape == expected.shape
    np.testing.assert_array_equal(written.toarray(), expected.toarray())
    y = table_in(dataset="data.target")
    assert y.dtype == np.int64
    np.testing.assert_array_equal(y, labels)
    model = ELMClassifier([(20, "tanh")], random_state=0).fit("a.h5", from_hdf5("a.h5", dataset="data.target"))
    np.testing.assert_array_equal(model.classes_, np.unique(LABELS))


@pytest.mark.parametrize("name", ["news20", "news20.gz", "rcv1.binary.bz2", "a.xz"])
def test_files_of_libsvm_are_known_by_their_lines(name):
    dump_svmlight_file(TABLE, LABELS, "plain")
    content = Path("plain").read_bytes()
    pack = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}.get(Path(name).suffix, bytes)
    Path(name).write_bytes(pack(content))
    make_hdf5(name, "a.h5")
    np.testing.assert_array_equal(table_in().toarray(), load_svmlight_file("plain")[0].toarray())


def test_blocks_of_text_are_one_table(monkeypatch):
    monkeypatch.setattr("daskelm.data.libsvm._BLOCK_BYTES", 100)
    dump_svmlight_file(TABLE, LABELS + 0.25, "a.svm", zero_based=False)
    # The last line has no end.
    Path("a.svm").write_bytes(Path("a.svm").read_bytes().rstrip(b"\n"))
    make_hdf5("a.svm", "a.h5")
    expected, labels = load_svmlight_file("a.svm")
    np.testing.assert_array_equal(table_in().toarray(), expected.toarray())
    np.testing.assert_array_equal(table_in(dataset="data.target"), labels)


def test_the_command_writes_what_the_function_does():
    dump_svmlight_file(TABLE, LABELS, "a.svm")
    done = CliRunner().invoke(cli, ["make-hdf5", "a.svm", "a.h5"])
    assert done.exit_code == 0, done.output
    np.testing.assert_array_equal(table_in().toarray(), load_svmlight_file("a.svm")[0].toarray())


def test_times_in_a_text_table_are_no_sparse_rows():
    Path("a.txt").write_text("5 12:30\n6 12:31\n")
    with pytest.raises((FileFormatError, InputTypeError, DataError)):
        make_hdf5("a.txt", "a.h5")
    Path("times").write_text("5 12:30 11:20\n6 12:31 12:10\n")
    with pytest.raises((FileFormatError, InputTypeError, DataError)):
        make_hdf5("times", "a.h5")
    assert not Path("a.h5").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("1 1:2\n1 2:x\n", "a.svm must have lines of libsvm, label column:number"),
        ("1 1:2\n2,3 1:1\n", "must have lines of libsvm.*another line after row 0"),
        ("1 3:2 2:1\n", "must have lines of libsvm, .* with increasing columns"),
        ("", "must have rows; got none"),
        ("# nothing\n", "must have rows; got none"),
    ],
)
def test_other_lines_are_refused_and_nothing_is_written(content, message):
    make_hdf5(np.eye(2), "a.h5")
    Path("a.svm").write_text(content)
    with pytest.raises((FileFormatError, DataError), match=message):
        make_hdf5("a.svm", "a.h5")
    np.testing.assert_array_equal(table_in(), np.eye(2))


def test_numbers_must_fit_the_dtype():
    with pytest.raises(DataError, match="dtype: int8 must hold all values unchanged; got .* in the rows from 0 on"):
        make_hdf5(TABLE, "a.h5", dtype="int8")
    with pytest.raises(InputTypeError, match="data must hold numbers; got a sparse table of complex128"):
        make_hdf5(TABLE * 1j, "a.h5")


@pytest.mark.parametrize("options", [{"columns": [1]}, {"exclude": [1]}, {"missing_values": -999}, {"delimiter": ";"}])
def test_options_of_other_tables_are_refused(options):
    with pytest.raises(ParameterError, match=f"{next(iter(options))} is an option for .*; data is a sparse table"):
        make_hdf5(TABLE, "a.h5", **options)


def test_arrays_of_one_dimension_are_refused():
    with pytest.raises(DataError, match="data must have rows and columns; got a sparse array of shape"):
        make_hdf5(scipy.sparse.coo_array(np.array([1.0, 0.0])), "a.h5")
