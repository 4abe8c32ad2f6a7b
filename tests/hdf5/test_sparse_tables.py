"""Sparse tables in HDF5 files, as AnnData, 10x and MATLAB write them: read as they read them, or refused by name."""

import os
import pickle

import h5py
import numpy as np
import pytest
import scipy.sparse
from click.testing import CliRunner

from daskelm import ELMRegressor, from_hdf5, make_hdf5
from daskelm.cli.commands import cli
from daskelm.exceptions import DataError, DatasetNotFoundError, FileFormatError, FileWriteError, ParameterError
from daskelm.hdf5.rows import open_rows

N, D = 300, 40
RNG = np.random.default_rng(2)
TABLE = scipy.sparse.random_array((N, D), density=0.1, rng=RNG, format="csr")
TABLE.data = RNG.normal(size=TABLE.nnz)
TABLE.sum_duplicates()


@pytest.fixture(autouse=True)
def _in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(file, name, table, encoding="csr_matrix", **options):
    """A sparse table as AnnData writes it."""
    group = file.create_group(name)
    group.attrs.update({"encoding-type": encoding, "encoding-version": "0.1.0", "shape": table.shape})
    for vector in ("data", "indices", "indptr"):
        group.create_dataset(vector, data=getattr(table, vector), **options)
    return group


def anndata():
    with h5py.File("a.h5ad", "w") as file:
        write(file, "X", TABLE)
        write(file, "layers/counts", TABLE)
        file["obs/size"] = np.arange(N)
        file["obsm/X_pca"] = np.ones((N, 2))
    return "a.h5ad", "X"


def packed():
    with h5py.File("a.h5", "w") as file:
        write(file, "X", TABLE, chunks=(77,), compression="gzip", shuffle=True)
    return "a.h5", None


def old_anndata():
    with h5py.File("a.h5", "w") as file:
        group = write(file, "X", TABLE)
        for name in list(group.attrs):
            del group.attrs[name]
        group.attrs.update({"h5sparse_format": b"csr", "h5sparse_shape": TABLE.shape})
    return "a.h5", None


def ten_x():
    # Barcodes are columns there, which are stored one after the other.
    columns = TABLE.T.tocsc()
    with h5py.File("a.h5", "w") as file:
        group = file.create_group("matrix")
        for vector in ("data", "indices", "indptr"):
            group[vector] = getattr(columns, vector)
        group["shape"] = columns.shape
        group["barcodes"] = [b"cell"] * N
        group["features/id"] = [b"gene"] * D
    return "a.h5", None


def matlab():
    # A matrix X (D, N) of MATLAB has its N columns one after the other: rows, as of all of MATLAB's tables.
    columns = TABLE.T.tocsc()
    with h5py.File("a.mat", "w", userblock_size=512) as file:
        group = file.create_group("X")
        group.attrs["MATLAB_sparse"] = np.uint64(D)
        group.attrs["MATLAB_class"] = np.bytes_(b"double")
        group["data"], group["ir"] = columns.data, columns.indices.astype(np.uint64)
        group["jc"] = columns.indptr.astype(np.uint64)
        file["y"] = np.arange(N, dtype=float)[:, None].T
    return "a.mat", "X"


def unsorted():
    """Columns in any order, and numbers at one place, which are added."""
    columns, values, edges = [], [], [0]
    for i in range(N):
        places = TABLE.indices[TABLE.indptr[i] : TABLE.indptr[i + 1]][::-1]
        numbers = TABLE.data[TABLE.indptr[i] : TABLE.indptr[i + 1]][::-1]
        columns += [*places, *places]
        values += [*(numbers / 4), *(numbers * 3 / 4)]
        edges.append(len(values))
    with h5py.File("a.h5", "w") as file:
        group = file.create_group("X")
        group.attrs.update({"encoding-type": "csr_matrix", "shape": TABLE.shape})
        group["data"], group["indices"], group["indptr"] = values, columns, edges
    return "a.h5", None


def links():
    with h5py.File("b.h5", "w") as file:
        write(file, "deep/X", TABLE)
        file["X"] = h5py.SoftLink("/deep/X")
    return "b.h5", "X"


def external_link():
    make_hdf5(TABLE, "far.h5")
    with h5py.File("a.h5", "w") as file:
        file["X"] = h5py.ExternalLink("far.h5", "/data")
    return "a.h5", "X"


WRITERS = [external_link, anndata, packed, old_anndata, ten_x, matlab, unsorted, links]


@pytest.mark.parametrize("writer", WRITERS)
def test_rows_are_those_that_were_written(writer):
    path, name = writer()
    X = from_hdf5(path, dataset=name, chunks=70)
    assert X.shape == (N, D)
    assert scipy.sparse.issparse(X._meta)
    np.testing.assert_allclose(X.compute().toarray(), TABLE.toarray(), rtol=1e-15)
    np.testing.assert_allclose(X[33:211].compute().toarray(), TABLE[33:211].toarray(), rtol=1e-15)
    part = from_hdf5(path, dataset=name, rows=slice(5, 9)).compute().toarray()
    np.testing.assert_allclose(part, TABLE[5:9].toarray(), rtol=1e-15)


@pytest.mark.parametrize("writer", WRITERS)
def test_a_fit_from_the_file_is_that_of_the_matrix(writer):
    path, name = writer()
    y = TABLE[:, :5].sum(axis=1)
    model = ELMRegressor([(20, "tanh")], random_state=0).fit(from_hdf5(path, dataset=name), y)
    plain = ELMRegressor([(20, "tanh")], random_state=0).fit(TABLE, y)
    np.testing.assert_allclose(model.coef_, plain.coef_, rtol=1e-9)


@pytest.mark.parametrize("dtype", ["int32", "uint8", "float32", ">f8", "bool"])
def test_numbers_of_any_type(dtype):
    counts = TABLE.copy()
    counts.data = np.abs(np.round(TABLE.data)).astype(dtype)
    with h5py.File("a.h5", "w") as file:
        write(file, "X", counts)
    X = from_hdf5("a.h5")
    assert X.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(X.compute().toarray(), counts.toarray())
    assert np.isfinite(ELMRegressor([(5, "tanh")], random_state=0).fit(X, np.arange(N)).coef_).all()


def test_several_files_are_one_table():
    for i, (a, b) in enumerate([(0, 100), (100, 101), (101, N)]):
        make_hdf5(TABLE[a:b], f"part{i}.h5")
    X = from_hdf5("part*.h5")
    np.testing.assert_array_equal(X.compute().toarray(), TABLE.toarray())
    y = TABLE[:, :5].sum(axis=1)
    model = ELMRegressor([(20, "tanh")], random_state=0).fit("part*.h5", y)
    np.testing.assert_allclose(model.coef_, ELMRegressor([(20, "tanh")], random_state=0).fit(TABLE, y).coef_)
    make_hdf5(TABLE[:, :3], "part3.h5")
    with pytest.raises(DataError, match="must have the same number of columns; got 40 in .*part0.h5 and 3 in .*part3"):
        from_hdf5("part*.h5")
    make_hdf5(np.eye(D), "part3.h5")
    with pytest.raises(FileFormatError, match=r"part3.h5 must hold a sparse table, as .*part0.h5 does"):
        from_hdf5("part*.h5")


def test_a_file_with_a_dense_table_too_stands_for_neither():
    path, _ = anndata()
    with pytest.raises(DatasetNotFoundError, match=r"got X \(300, 40\) sparse, layers/counts \(300, 40\) sparse, obsm"):
        from_hdf5(path)


def test_a_description_is_pickled_and_opens_no_file():
    path, _ = packed()
    rows = pickle.loads(pickle.dumps(open_rows(path)))
    assert rows.is_sparse
    np.testing.assert_array_equal(rows.read(10, 20).toarray(), TABLE[10:20].toarray())
    assert len(rows.read(10, 10)) == 0


def refused():
    columns = TABLE.tocsc()

    def edit(name, change):
        def make():
            with h5py.File("a.h5", "w") as file:
                group = write(file, "X", TABLE)
                vector = group[name][()]
                change(vector)
                del group[name]
                group[name] = vector

        return make

    def by_columns():
        with h5py.File("a.h5", "w") as file:
            write(file, "X", columns, "csc_matrix")

    def short():
        with h5py.File("a.h5", "w") as file:
            group = write(file, "X", TABLE)
            del group["indptr"]
            group["indptr"] = np.arange(5)

    def without():
        with h5py.File("a.h5", "w") as file:
            del write(file, "X", TABLE)["indices"]

    def text():
        with h5py.File("a.h5", "w") as file:
            group = write(file, "X", TABLE)
            del group["data"]
            group["data"] = [b"a"] * TABLE.nnz

    def outside():
        with h5py.File("other.h5", "w") as file:
            file["data"] = TABLE.data
        with h5py.File("a.h5", "w") as file:
            group = write(file, "X", TABLE)
            del group["data"]
            group["data"] = h5py.ExternalLink("other.h5", "data")

    return [
        (by_columns, "stored column by column.*Write it by rows"),
        (short, "an edge more than rows; got .* 5 edges"),
        (without, r"must hold the vectors data, indices, indptr of a sparse table; got \['data', 'indptr'\]"),
        (text, "must have a column for each number"),
        (outside, "must lie in its own file; got virtual or external"),
        (edit("indices", lambda v: v.__setitem__(7, D)), "must have whole rows; got columns beyond 39. Write it again"),
        (edit("indices", lambda v: v.__setitem__(7, -1)), "got columns beyond 39"),
        (edit("indptr", lambda v: v.__setitem__(7, v[8] + 1)), "got edges of rows that fall"),
        (edit("indptr", lambda v: v.__setitem__(slice(7, None), 10**9)), "got edges of rows that fall, or lie outside"),
        (edit("indptr", lambda v: v.__setitem__(0, -1)), "got edges of rows that fall, or lie outside"),
    ]


@pytest.mark.parametrize(("maker", "message"), refused(), ids=lambda value: getattr(value, "__name__", ""))
def test_damaged_tables_are_refused(maker, message):
    maker()
    with pytest.raises(FileFormatError, match=message):
        from_hdf5("a.h5", dataset="X").compute()
    with pytest.raises(FileFormatError, match=message):
        ELMRegressor(5).fit(from_hdf5("a.h5", dataset="X"), np.arange(N))


def test_a_changed_file_is_another_file():
    make_hdf5(TABLE, "a.h5")
    X = from_hdf5("a.h5")
    make_hdf5(TABLE[:-1], "a.h5")
    with pytest.raises(FileFormatError, match=r"a.h5 changed while it was in use; got another version of the file"):
        X.compute()


def test_columns_and_transpose_are_refused():
    make_hdf5(TABLE, "a.h5")
    for option in ({"columns": [1]}, {"columns": ["a"]}, {"transpose": True}):
        with pytest.raises(ParameterError, match=f"{next(iter(option))}: rows of a sparse table are read as they are"):
            from_hdf5("a.h5", **option)
    with pytest.raises(ParameterError, match="columns: all columns of a sparse table are read"):
        open_rows("a.h5").choose([1])


def test_inputs_are_never_overwritten():
    make_hdf5(TABLE, "a.h5")
    model = ELMRegressor([(5, "tanh")], random_state=0).fit("a.h5", np.arange(N))
    os.link("a.h5", "same.h5")
    for path in ("a.h5", "same.h5"):
        with pytest.raises(ParameterError, match="is one of the files that X is read from"):
            model.predict("a.h5", out=path, overwrite=True)


def test_a_table_of_daskelm_is_replaced_and_no_other():
    make_hdf5(TABLE, "a.h5")
    make_hdf5(TABLE[:7], "a.h5")
    assert from_hdf5("a.h5").shape == (7, D)
    make_hdf5(np.eye(2), "a.h5")
    make_hdf5(TABLE, "a.h5")
    with h5py.File("a.h5", "a") as file:
        file["data"].attrs["of"] = "the user"
    with pytest.raises(
        FileWriteError, match="a.h5 exists and is not replaced: it holds data/data.*not as daskelm wrote"
    ):
        make_hdf5(np.eye(2), "a.h5")
    anndata()
    with pytest.raises(FileWriteError, match="a.h5ad exists and is not replaced"):
        make_hdf5(TABLE, "a.h5ad")


def test_info_shows_a_sparse_table_as_one():
    path, _ = anndata()
    shown = CliRunner().invoke(cli, ["info", path]).output
    assert f"X  (300, 40) sparse float64, not chunked, {TABLE.nnz:,} numbers kept" in shown
    assert "X/indices" not in shown
    assert "obsm/X_pca  (300, 2)" in shown
    one = CliRunner().invoke(cli, ["info", f"{path}::layers/counts"]).output
    assert "layers/counts  (300, 40) sparse float64" in one
