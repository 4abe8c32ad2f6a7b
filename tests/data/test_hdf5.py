"""HDF5 in and out: every layout reads to the same rows, writing is all or nothing, bad files are named."""

import bz2
import gzip
import itertools
import os
import pickle
import subprocess
import sys

import dask
import dask.array as da
import h5py
import hdf5plugin
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daskelm import ELMRegressor, from_hdf5, make_hdf5, to_hdf5
from daskelm.data.from_hdf5 import check_visible, rows_behind
from daskelm.exceptions import (
    DataError,
    DatasetNotFoundError,
    FileFormatError,
    FileMissingError,
    InputTypeError,
    ParameterError,
)
from daskelm.hdf5.rows import open_rows

DATA = np.random.default_rng(0).standard_normal((103, 4))


def write(path, data=DATA, name="data", **options):
    with h5py.File(path, "w") as file:
        file.create_dataset(name, data=data, **options)
    return str(path)


@pytest.fixture
def pieces(tmp_path):
    edges = [0, 20, 21, 60, 60, 103]
    return [
        write(tmp_path / f"part{i + 7}.h5", DATA[a:b], chunks=(7, 4) if b > a else None, maxshape=(None, 4))
        for i, (a, b) in enumerate(itertools.pairwise(edges))
    ]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"chunks": (10, 2)},
        {"chunks": (10, 4), "compression": "gzip", "shuffle": True},
        {"chunks": (103, 4), "compression": "lzf"},
        {"chunks": (16, 4), **hdf5plugin.Zstd()},
    ],
    ids=["contiguous", "chunked", "gzip", "lzf", "zstd"],
)
@pytest.mark.parametrize("dtype", ["f4", "f8", ">f8", "i2", "u1", "?", "f2"])
def test_reads_every_layout_and_number_type(tmp_path, options, dtype):
    data = (DATA * 10).astype(dtype)
    array = from_hdf5(write(tmp_path / "a.h5", data, **options), chunks=9)
    assert array.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(array.compute(), data)


def test_row_chunks_are_whole_file_chunks(tmp_path):
    path = write(tmp_path / "a.h5", chunks=(10, 4))
    assert from_hdf5(path, chunks=25).chunks[0] == (20, 20, 20, 20, 20, 3)
    assert from_hdf5(path, chunks=3).chunks[0] == (10,) * 10 + (3,)
    assert from_hdf5(path, rows=slice(5, 31), chunks=10).chunks[0] == (5, 10, 10, 1)
    with dask.config.set({"array.chunk-size": "700B"}):
        assert from_hdf5(path).chunks[0] == (20, 20, 20, 20, 20, 3)


def test_many_files_read_as_one(pieces):
    for path in (pieces, str(pieces[0]).replace("part7", "part*")):
        array = from_hdf5(path, chunks=15)
        np.testing.assert_array_equal(array.compute(), DATA)
    assert max(array.chunks[0]) <= 14


def test_a_glob_reads_part9_before_part10(tmp_path, pieces):
    # part10.h5 has no rows.
    names = [os.path.basename(path) for path in open_rows(tmp_path / "part*.h5").paths]
    assert names == ["part7.h5", "part8.h5", "part9.h5", "part11.h5"]


def runs_one_by_one(bounds, wanted):
    runs, start = [], 0
    for _, stop in bounds:
        if stop - start >= wanted or stop == bounds[-1][1]:
            runs.append((start, stop))
            start = stop
    return runs


@given(
    start=st.integers(0, 103),
    length=st.integers(0, 103),
    target=st.integers(1, 120),
    wanted=st.integers(1, 120),
    data=st.data(),
)
def test_any_range_reads_those_rows(tmp_path_factory, start, length, target, wanted, data):
    folder = tmp_path_factory.getbasetemp() / "ranges"
    paths = [folder / f"{i}.h5" for i in range(3)]
    if not folder.exists():
        folder.mkdir()
        for path, part, chunks in zip(paths, np.split(DATA, [30, 64]), [(7, 4), None, (11, 4)], strict=True):
            write(path, part, chunks=chunks)
    stop = min(start + length, 103)
    rows = open_rows(paths, rows=slice(start, stop))
    a = data.draw(st.integers(0, rows.n_rows))
    b = data.draw(st.integers(a, rows.n_rows))
    np.testing.assert_array_equal(rows.rows(slice(a, b)).read(0, b - a), DATA[start:stop][a:b])
    bounds = rows.block_bounds(target)
    assert [a for a, _ in bounds] == [0, *(b for _, b in bounds[:-1])][: len(bounds)]
    assert sum(b - a for a, b in bounds) == rows.n_rows
    assert all(b - a <= max(target, 1) for a, b in bounds)
    assert rows.runs_of_blocks(target, wanted) == runs_one_by_one(bounds, wanted)
    for a, b in rows.runs_of_blocks(target, wanted):
        # What travels to a task finds the same blocks again.
        assert [(a + i, a + j) for i, j in rows.between(a, b).block_bounds(target)] == [
            (i, j) for i, j in bounds if a <= i < b
        ]
    with rows.open() as reader:
        for a, b in bounds:
            np.testing.assert_array_equal(reader.read(a, b), DATA[start:stop][a:b])
            path, row = rows.where(a)
            np.testing.assert_array_equal(open_rows(path).read(row, row + 1)[0], DATA[start + a])


@pytest.mark.parametrize("second", ["f8", "f4", ">f8"])
def test_a_reader_may_read_into_the_same_memory_again(tmp_path, second):
    table = np.arange(40.0).reshape(20, 2)
    for name, rows, dtype in (("a.h5", table[:12], "f8"), ("b.h5", table[12:], second)):
        with h5py.File(tmp_path / name, "w") as file:
            file["data"] = rows.astype(dtype)
    with open_rows([tmp_path / "a.h5", tmp_path / "b.h5"]).open(reuse=True) as reader:
        whole = reader.read(0, 20)
        np.testing.assert_array_equal(whole, table)
        part = reader.read(9, 15)
        np.testing.assert_array_equal(part, table[9:15])
        assert np.shares_memory(part, whole)
        assert not reader.read(4, 4).size


def test_rows_past_the_end_are_an_error_and_an_empty_range_is_not(tmp_path):
    path = write(tmp_path / "a.h5")
    assert from_hdf5(path, rows=slice(103, 103)).compute().shape == (0, 4)
    assert from_hdf5(path, rows=slice(7, 3)).compute().shape == (0, 4)
    assert from_hdf5(path, rows=slice(-3, None)).shape == (3, 4)
    for rows in (slice(0, 104), slice(104, 104), slice(-104, None)):
        with pytest.raises(DataError, match=r"rows must lie within the 103 rows of .*a\.h5; got slice"):
            from_hdf5(path, rows=rows)
    with pytest.raises(ParameterError, match="rows must be a slice of consecutive rows"):
        from_hdf5(path, rows=slice(0, 10, 2))


def test_a_dataset_is_taken_apart_into_path_and_name(tmp_path):
    path = write(tmp_path / "a.h5", name="group/x")
    with h5py.File(path) as file:
        array = from_hdf5(file["group/x"])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(array)).compute(), DATA)
    with pytest.raises(FileFormatError, match="the h5py dataset's file is closed"):
        from_hdf5(_closed(path))
    with h5py.File(path, "a") as file, pytest.raises(ParameterError, match="is open for writing .*mode 'r'"):
        from_hdf5(file["group/x"])


def _closed(path):
    with h5py.File(path) as file:
        return file["group/x"]


def test_an_untouched_array_knows_its_source_and_any_other_does_not(pieces):
    array = from_hdf5(pieces, rows=slice(10, 90), chunks=8)
    source = rows_behind(pickle.loads(pickle.dumps(array)))
    assert source.shape == array.shape
    np.testing.assert_array_equal(source.read(0, 80), DATA[10:90])
    for other in (array + 1, array[:5], array.rechunk(40), da.ones(3)):
        assert rows_behind(other) is None


def test_a_vector_is_taken_where_it_is_all_there_is(tmp_path):
    path = write(tmp_path / "a.h5", DATA[:, 0])
    for dataset in ("data", None):
        np.testing.assert_array_equal(from_hdf5(path, dataset=dataset, chunks=10).compute(), DATA[:, 0])
    with h5py.File(path, "a") as file:
        file["words"], file["version"] = np.array([b"a", b"b"]), 3
    assert from_hdf5(path).shape == (103,)
    with h5py.File(path, "a") as file:
        file["weights"] = np.ones(103)
    with pytest.raises(
        DatasetNotFoundError,
        match=r"exactly one 2-D numeric dataset, or a 1-D one alone, .*; got data \(103,\) float64, .*Name one",
    ):
        from_hdf5(path)
    with h5py.File(path, "a") as file:
        file["table"] = DATA
    assert from_hdf5(path).shape == DATA.shape
    with h5py.File(tmp_path / "images.h5", "w") as file:
        file["images"], file["labels"] = np.ones((3, 2, 2)), np.ones(3)
    with pytest.raises(DatasetNotFoundError, match="or a 1-D one alone"):
        from_hdf5(tmp_path / "images.h5")


def test_a_dataset_is_not_named_in_the_path(tmp_path):
    path = write(tmp_path / "part0.h5", name="group/X")
    hint = r"If 'group/X' is a dataset in .*from_hdf5\('.*part.\.h5', dataset='group/X'\)"
    for name in ("part0.h5/group/X", "part0.h5::group/X", "part*.h5/group/X", "part*.h5::/group/X"):
        for call in (from_hdf5, lambda path: ELMRegressor(5).fit(path, DATA[:, 0])):
            with pytest.raises(FileMissingError, match=hint):
                call(tmp_path / name)
    np.testing.assert_array_equal(from_hdf5(path, dataset="group/X").compute(), DATA)
    for name in ("none.h5/X", "none.h5::X", "none*.h5::X", "none.h5"):
        with pytest.raises(FileMissingError, match="none.*: no ") as kept:
            from_hdf5(tmp_path / name)
        assert "from_hdf5" not in str(kept.value)


def test_bad_files_are_named(tmp_path):
    with pytest.raises(FileMissingError, match=r"none\.h5: no such file"):
        from_hdf5(tmp_path / "none.h5")
    with pytest.raises(FileMissingError, match="no file matches"):
        from_hdf5(tmp_path / "none*.h5")
    with pytest.raises(FileFormatError, match="is a folder"):
        from_hdf5(tmp_path)
    (tmp_path / "text.h5").write_text("1,2\n3,4\n")
    with pytest.raises(FileFormatError, match="cannot be read as HDF5.*make_hdf5"):
        from_hdf5(tmp_path / "text.h5")
    path = write(tmp_path / "cut.h5", np.ones((1000, 100)))
    with open(path, "r+b") as file:
        file.truncate(400_000)
    with pytest.raises(OSError, match=r"cut\.h5 cannot be read as HDF5: it is truncated"):
        from_hdf5(path)
    with pytest.raises(DataError, match=r"must be 2-D.*got shape \(2, 3, 4\)"):
        from_hdf5(write(tmp_path / "3d.h5", np.ones((2, 3, 4))), dataset="data")
    with h5py.File(tmp_path / "two.h5", "w") as file:
        file["a"], file["b"] = np.ones((2, 2)), np.ones((3, 2))
    with pytest.raises(KeyError, match=r"exactly one 2-D .*; got b \(3, 2\) float64, a"):
        from_hdf5(tmp_path / "two.h5")
    with pytest.raises(DatasetNotFoundError, match="has no dataset 'c'; it holds a, b"):
        from_hdf5(tmp_path / "two.h5", dataset="c")
    with h5py.File(tmp_path / "empty.h5", "w"):
        pass
    with pytest.raises(DatasetNotFoundError, match="exactly one 2-D .*; got nothing"):
        from_hdf5(tmp_path / "empty.h5")
    path = write(tmp_path / "words.h5", np.array([[b"a", b"b"]]))
    with pytest.raises(TypeError, match=r"words\.h5: dataset '/data' must hold numbers.*text"):
        from_hdf5(path, dataset="data")
    with pytest.raises(DataError, match="same number of columns"):
        from_hdf5([write(tmp_path / "x.h5"), write(tmp_path / "y.h5", DATA[:, :3])])
    with pytest.raises(ParameterError, match="a non-empty list of files"):
        from_hdf5([])
    with pytest.raises(ParameterError, match="chunks must be 'auto'"):
        from_hdf5(write(tmp_path / "x.h5"), chunks=0)


def test_a_file_that_shrank_after_opening_is_an_error(tmp_path):
    array = from_hdf5(write(tmp_path / "a.h5"))
    write(tmp_path / "a.h5", DATA[:50])
    with pytest.raises(FileFormatError, match=r"changed while it was in use.*had 103 rows, got \(50, 4\)"):
        array.compute()


def test_damaged_data_is_named(tmp_path):
    path = write(tmp_path / "a.h5", np.ones((1000, 10)), chunks=(1000, 10), compression="gzip", fletcher32=True)
    with h5py.File(path) as file:
        offset = file["data"].id.get_chunk_info(0).byte_offset
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(b"garbage")
    with pytest.raises(FileFormatError, match=r"a\.h5: rows 0 to 999 of '/data' cannot be read"):
        from_hdf5(path).compute()


def test_reads_on_worker_processes(client, pieces):
    np.testing.assert_array_equal(from_hdf5(pieces, chunks=10).compute(), DATA)


def test_a_file_that_workers_cannot_see_is_one_error(client, tmp_path):
    rows = open_rows(write(tmp_path / "a.h5"))
    check_visible([rows], client)
    (tmp_path / "a.h5").unlink()
    with pytest.raises(FileNotFoundError, match=r"a\.h5 must be visible on every worker.*tcp://.*tcp://"):
        check_visible([rows], client)


# Writing


@pytest.mark.parametrize("dtype", ["f4", "f8", "i8", "u1", "?"])
def test_make_hdf5_keeps_arrays_bit_for_bit(tmp_path, dtype):
    data = (DATA * 10).astype(dtype)
    path = make_hdf5(data, tmp_path / "a.h5")
    array = from_hdf5(path)
    assert array.dtype == dtype
    np.testing.assert_array_equal(array.compute(), data)
    np.save(tmp_path / "b.npy", data)
    np.testing.assert_array_equal(from_hdf5(make_hdf5(tmp_path / "b.npy", tmp_path / "b.h5")).compute(), data)
    assert sorted(item.name for item in tmp_path.iterdir()) == ["a.h5", "b.h5", "b.npy"]


def test_make_hdf5_takes_lists_frames_vectors_shapes_and_filters(tmp_path):
    pandas = pytest.importorskip("pandas")
    path = tmp_path / "a.h5"
    assert from_hdf5(make_hdf5([[1, 2], [3, 4]], path)).compute().tolist() == [[1, 2], [3, 4]]
    np.testing.assert_array_equal(from_hdf5(make_hdf5(pandas.DataFrame(DATA), path)).compute(), DATA)
    np.testing.assert_array_equal(from_hdf5(make_hdf5(DATA[:, 0], path)).compute(), DATA[:, :1])
    assert from_hdf5(make_hdf5((5, 3), tmp_path / "shape.h5")).shape == (5, 3)
    assert from_hdf5(make_hdf5(np.ones((0, 3)), path)).shape == (0, 3)
    path = tmp_path / "x.h5"
    for compression in ("gzip", hdf5plugin.Zstd()):
        make_hdf5(np.ones((10_000, 4)), path, "x", compression=compression, dtype="f4")
        assert path.stat().st_size < 20_000
        assert from_hdf5(path, "x").dtype == "f4"


@pytest.mark.parametrize("n_rows", [1, 10, 1_000_000])
def test_a_chunk_is_no_taller_than_the_table(tmp_path, n_rows):
    data = np.ones((n_rows, 2), "f4")
    np.save(tmp_path / "a.npy", data)
    lazy = da.from_array(data, chunks=(300_000, 2))
    for source in (data, data.shape, tmp_path / "a.npy", lazy):
        path = make_hdf5(source, tmp_path / "a.h5", dtype="f4", overwrite=True)
        with h5py.File(path, "a") as file:
            assert file["data"].chunks == (min(n_rows, 2**20 // 8), 2)
            assert os.path.getsize(path) < 2 * data.nbytes + 10_000
            # It can still grow.
            file["data"].resize(n_rows + 5, axis=0)
            file["data"][n_rows:] = 2
            assert file["data"][-6:].tolist()[1:] == [[2, 2]] * 5


def test_a_chunk_of_a_table_that_grows_is_not_small(tmp_path):
    # Of unknown length, or empty: what comes may be much.
    for data in (np.ones((0, 2)), (0, 2), da.ones((9, 2), chunks=3)[da.ones(9, chunks=3) > 0]):
        with h5py.File(make_hdf5(data, tmp_path / "a.h5", overwrite=True)) as file:
            assert file["data"].chunks == (2**16, 2)


@pytest.mark.parametrize("suffix", [".csv", ".txt.gz", ".csv.bz2", ".tsv"])
@pytest.mark.parametrize("header", [False, True])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", " "])
def test_text_of_every_form(tmp_path, monkeypatch, suffix, header, delimiter):
    # Short blocks, so that this small file is streamed in many.
    monkeypatch.setattr("daskelm.data.text._BLOCK_BYTES", 200)
    lines = [delimiter.join(["a", '"b"', "c", "d"])] * header + [
        delimiter.join(map(repr, row)) for row in DATA.tolist()
    ]
    text = "\n".join([*lines[:5], "", *lines[5:], ""]).encode()
    packed = {"gz": gzip.compress, "z2": bz2.compress}.get(suffix[-2:], bytes)(text)
    (tmp_path / f"a{suffix}").write_bytes(packed)
    np.testing.assert_array_equal(from_hdf5(make_hdf5(tmp_path / f"a{suffix}", tmp_path / "a.h5")).compute(), DATA)


def test_text_errors_name_line_and_column_and_leave_no_file(tmp_path):
    good = "a,b\n" + "1,2\n" * 20
    for text, error, message in [
        (good + "3\n", DataError, r"line 22: every line must have 2 fields; got 1"),
        (good + "3,4,5\n", DataError, r"line 22: every line must have 2 fields; got 3"),
        (good + "\n3,1_0\n", InputTypeError, r"line 23: column 'b' must hold numbers .* got '1_0'"),
        ("", DataError, "got an empty file"),
        ("a,b\n", DataError, "got a header only"),
        ("2020-01-01,1\n2020-01-02,2\n", InputTypeError, "line 1: column '0' must hold numbers .*; got '2020-01-01'"),
    ]:
        (tmp_path / "a.csv").write_text(text)
        with pytest.raises(error, match=message):
            make_hdf5(tmp_path / "a.csv", tmp_path / "a.h5")
        assert [item.name for item in tmp_path.iterdir()] == ["a.csv"]
    with pytest.raises(ParameterError, match="delimiter must be one character"):
        make_hdf5(tmp_path / "a.csv", tmp_path / "a.h5", delimiter="::")


def test_lines_before_the_table_are_left_out(tmp_path):
    (tmp_path / "a.csv").write_text("# made by hand\n\nx,y\n1,2\n3,1_0\n")
    for skiprows, header in ((1, None), (2, True), (3, False)):
        with pytest.raises(InputTypeError, match="line 5: column .* got '1_0'"):
            make_hdf5(tmp_path / "a.csv", tmp_path / "a.h5", skiprows=skiprows, header=header)
    (tmp_path / "a.csv").write_text("# made by hand\n\nx,y\n1,2\n3,4\n")
    for skiprows, expected in ((1, [[1, 2], [3, 4]]), (3, [[1, 2], [3, 4]]), (4, [[3, 4]])):
        make_hdf5(tmp_path / "a.csv", tmp_path / "a.h5", skiprows=skiprows)
        np.testing.assert_array_equal(from_hdf5(tmp_path / "a.h5").compute(), expected)
    for skiprows in (-1, 1.0, True):
        with pytest.raises(ParameterError, match="skiprows must be an int >= 0"):
            make_hdf5(tmp_path / "a.csv", tmp_path / "a.h5", skiprows=skiprows)


def test_csv_streams_in_bounded_memory(tmp_path):
    # A table of 80 MB in memory is written by a process that may grow by half of that.
    with open(tmp_path / "a.csv", "w") as file:
        for _ in range(20):
            np.savetxt(file, np.ones((50_000, 10)), fmt="%d", delimiter=",")
    code = (
        "import resource, daskelm; peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "import numpy; numpy.savetxt('b.csv', numpy.ones((100_000, 10)), delimiter=',')\n"
        "daskelm.make_hdf5('b.csv', 'b.h5'); before = peak()\n"
        "daskelm.make_hdf5('a.csv', 'a.h5'); print(before, peak())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert after - before < 40_000
    assert from_hdf5(tmp_path / "a.h5").shape == (1_000_000, 10)


def test_bad_data_for_writing(tmp_path):
    path = tmp_path / "a.h5"
    make_hdf5(DATA, path)
    for data, error, message in [
        (np.ones((2, 3, 4)), DataError, r"2-D .* or 1-D; got shape \(2, 3, 4\)"),
        (np.array([["a", "b"]]), InputTypeError, "data must hold numbers"),
        (tmp_path / "none.npy", FileMissingError, r"none\.npy: no such file"),
        (tmp_path / "none.csv", FileMissingError, r"none\.csv: no such file"),
        (path, ParameterError, r"a\.h5 is one of the files that data is read from"),
        (make_hdf5(DATA, tmp_path / "b.h5"), FileFormatError, r"b\.h5 is HDF5 already"),
    ]:
        with pytest.raises(error, match=message):
            make_hdf5(data, path)
    np.testing.assert_array_equal(from_hdf5(path).compute(), DATA)
    with pytest.raises(FileMissingError, match="its folder .* does not exist"):
        make_hdf5(DATA, tmp_path / "none" / "a.h5")
    with pytest.raises(FileFormatError, match="is a folder"):
        make_hdf5(DATA, tmp_path)
    with pytest.raises(InputTypeError, match="must be a dask array or dataframe; got ndarray"):
        to_hdf5(DATA, path)


@pytest.mark.parametrize("chunks", [1, 7, (50, 0, 53), 103])
def test_to_hdf5_any_chunks(tmp_path, chunks):
    array = da.from_array(DATA, chunks=(chunks, 3))
    for scheduler in ("threads", "sync"):
        with dask.config.set(scheduler=scheduler):
            to_hdf5(array, tmp_path / "a.h5")
        np.testing.assert_array_equal(from_hdf5(tmp_path / "a.h5").compute(), DATA)
    unknown = array[array[:, 0] > 0]
    np.testing.assert_array_equal(from_hdf5(to_hdf5(unknown, tmp_path / "u.h5")).compute(), DATA[DATA[:, 0] > 0])


def test_to_hdf5_from_a_cluster(client, tmp_path):
    array = da.from_array(DATA, chunks=(10, 4))
    np.testing.assert_array_equal(from_hdf5(to_hdf5(array * 2, tmp_path / "a.h5")).compute(), DATA * 2)
    np.testing.assert_array_equal(from_hdf5(make_hdf5(array[:, 0], tmp_path / "a.h5")).compute(), DATA[:, :1])


def test_to_hdf5_takes_dataframes(tmp_path):
    frames = pytest.importorskip("dask.dataframe")
    pandas = pytest.importorskip("pandas")
    frame = frames.from_pandas(pandas.DataFrame(DATA, columns=list("abcd")), npartitions=5)
    np.testing.assert_array_equal(from_hdf5(make_hdf5(frame, tmp_path / "a.h5")).compute(), DATA)


def test_a_failed_conversion_changes_nothing(tmp_path):
    path = make_hdf5(DATA, tmp_path / "a.h5")

    def fail(block):
        raise RuntimeError("disk on fire")

    with pytest.raises(RuntimeError, match="disk on fire"):
        to_hdf5(da.ones((10, 2), chunks=5).map_blocks(fail, dtype=float), path)
    np.testing.assert_array_equal(from_hdf5(path).compute(), DATA)
    assert [item.name for item in tmp_path.iterdir()] == ["a.h5"]


def test_a_killed_conversion_leaves_no_file_of_that_name(tmp_path):
    code = (
        "import os, signal, numpy, dask.array as da, daskelm\n"
        "def block(x, block_info=None):\n"
        "    if block_info[0]['chunk-location'][0] == 5: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return x\n"
        "daskelm.to_hdf5(da.ones((100, 2), chunks=(5, 2)).map_blocks(block, meta=numpy.ones((0, 0))), 'a.h5')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False)
    assert done.returncode == -9
    assert not (tmp_path / "a.h5").exists()


def test_progress_of_a_long_conversion(tmp_path, capsys):
    make_hdf5(np.ones((1_000_000, 10)), tmp_path / "a.h5", verbose=1)
    assert "make_hdf5: 1,000,000 of 1,000,000 rows (100 %)" in capsys.readouterr().err
