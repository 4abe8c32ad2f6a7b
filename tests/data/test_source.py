"""The three sources of rows: the same rows and the same answers from each, however they are held."""

import ast
from contextlib import nullcontext
from pathlib import Path

import dask
import dask.array as da
import h5py
import numpy as np
import pytest

import daskelm
from daskelm import from_hdf5, make_hdf5
from daskelm.data.row_chunks import apply_to_rows
from daskelm.data.source import Chunks, files_of, is_dask_array, source_of
from daskelm.exceptions import DataError
from daskelm.hdf5.rows import open_rows

PACKAGE = Path(daskelm.__file__).parent
KINDS = ["array", "dask", "files"]


@pytest.fixture
def numbers():
    return np.arange(60.0).reshape(20, 3)


@pytest.fixture(params=KINDS)
def data(request, numbers, tmp_path):
    if request.param == "array":
        return numbers
    if request.param == "dask":
        return da.from_array(numbers, chunks=(8, 3))
    paths = [make_hdf5(part, tmp_path / f"{i}.h5") for i, part in enumerate(np.split(numbers, [12]))]
    return open_rows(paths)


def rows_summed(a, none, b, first_row):
    assert none is None
    return (a + b).sum(), first_row


def computed(data):
    """The rows of any of the three, as an array."""
    (rows,) = dask.compute(source_of(data).whole("X"))
    return rows


def test_all_have_the_same_rows(data, numbers):
    source = source_of(data)
    assert (source.n_rows, source.n_columns) == (20, 3)
    assert sum(source.row_chunks) == 20
    np.testing.assert_array_equal(computed(data), numbers)
    np.testing.assert_array_equal(computed(source.between(5, 15)), numbers[5:15])
    np.testing.assert_array_equal(computed(source.rows(slice(-3, None), "X")), numbers[-3:])
    assert source.rows(None, "X") is data


def test_runs_are_read_together_and_checked(data, numbers):
    source, runs = source_of(data), [(0, 2), (7, 14)]
    (blocks,) = dask.compute(source.runs(runs))
    blocks = source.checked_runs(blocks, runs, "X")
    assert all(type(block) is np.ndarray for block in blocks)
    np.testing.assert_array_equal(np.concatenate(blocks), np.concatenate([numbers[:2], numbers[7:14]]))


@pytest.mark.parametrize("chunks", [None, (5, 15)])
def test_all_are_dask_arrays_if_asked(data, numbers, chunks):
    array = source_of(data).as_dask("X", chunks)
    assert array.chunks[0] == (chunks or source_of(data).row_chunks)
    np.testing.assert_array_equal(array.compute(scheduler="sync"), numbers)


def test_slices_past_the_end_are_refused(data):
    assert source_of(data).row_range(slice(4, 9)) == (4, 9)
    assert source_of(data).row_range(None) == (0, 20)
    with pytest.raises(DataError, match="rows must lie within the 20 rows"):
        source_of(data).row_range(slice(0, 21))


def test_only_rows_of_files_are_named_by_their_file(data, tmp_path):
    source = source_of(data)
    if files_of(data):
        assert source.files is data
        assert source.place(13) == f"row 1 of {tmp_path / '1.h5'}"
        assert [(first, last) for _, first, last in source.parts()] == [(0, 12), (0, 8)]
        with pytest.raises(DataError, match=r"20 rows of .*0\.h5, .*1\.h5; got slice\(21, None\)"):
            source.row_range(slice(21, None))
    else:
        assert source.files is None
        assert source.place(13) == "row 13"
        assert source.parts() == []


def test_readers_give_rows_without_copies_of_arrays(data, numbers):
    source = source_of(data)
    if not source.random_access:
        # Tasks are given the chunks of a dask array.
        opened, bounds = nullcontext(Chunks(list(dask.compute(*data.to_delayed().ravel())))), [(0, 7), (7, 20)]
    else:
        opened, bounds = source.open(reuse=True), source.block_bounds(7)
    with opened as reader:
        rows = [reader.read(start, stop).copy() for start, stop in bounds]
        first = reader.read(1, 3)
    np.testing.assert_array_equal(np.concatenate(rows), numbers)
    if source.files is None:
        assert first.base is not None


def test_runs_of_blocks_end_where_blocks_do(data):
    source = source_of(data)
    if source.random_access:
        edges = {stop for _, stop in source.block_bounds(3)}
        runs = source.runs_of_blocks(3, 5)
        assert {stop for _, stop in runs} <= edges
        assert all(stop - start >= 5 for start, stop in runs[:-1])
        assert [stop for _, stop in runs[:-1]] == [start for start, _ in runs[1:]]


def test_others_are_loaded_beside_what_is_in_memory_alone(data):
    y, weights = da.arange(20, chunks=5), None
    beside = source_of(data).beside(y=y, sample_weight=weights)
    if source_of(data).in_process:
        np.testing.assert_array_equal(beside[0], np.arange(20))
        assert type(beside[0]) is np.ndarray
        assert beside[1] is None
    else:
        assert beside == [y, None]


def test_one_dimension_is_a_table_of_one_column_but_in_files(tmp_path, numbers):
    column = numbers[:, 0]
    assert source_of(column).as_table().shape == (20, 1)
    assert source_of(da.from_array(column)).as_table().shape == (20, 1)
    with h5py.File(tmp_path / "y.h5", "w") as file:
        file["y"] = column
    rows = open_rows(tmp_path / "y.h5")
    assert source_of(rows).as_table() is rows
    assert source_of(rows).n_columns == 1


@pytest.mark.parametrize("first", KINDS)
@pytest.mark.parametrize("second", KINDS)
def test_a_function_of_rows_gives_the_same_for_any_two_sources(first, second, numbers, tmp_path):
    kinds = {
        "array": numbers,
        "dask": da.from_array(numbers, chunks=(8, 3)),
        "files": open_rows(make_hdf5(numbers, tmp_path / "x.h5")),
    }
    found = apply_to_rows(rows_summed, {"a": kinds[first], "none": None, "b": kinds[second]}, 0, "test")
    # The first that is not in memory says the chunks.
    assert len(found) == {"array": 1, "dask": 3, "files": 1}[second if first == "array" else first]
    assert sum(total for total, _ in found) == 2 * numbers.sum()
    assert found[0][1] == 0


def test_chunks_of_dask_arrays_are_refused_by_name():
    short = da.map_blocks(lambda block: block[1:], da.ones((20, 3), chunks=(10, 3)), chunks=((10, 10), (3,)))
    source, runs = source_of(short), [(0, 10)]
    (blocks,) = dask.compute(source.runs(runs))
    with pytest.raises(DataError, match=r"weights: chunks must have the shape .* \(10, 3\) from row 0 on"):
        source.checked_runs(blocks, runs, "weights")
    with pytest.raises(DataError, match=r"weights: chunks must have the shape .* \(10, 3\) from row 10 on"):
        source.between(10, 20, "weights").compute(scheduler="sync")
    # What the library made itself has no name, and is taken as it is.
    assert source.as_dask("") is short


def test_arrays_are_worked_on_in_this_process(numbers, monkeypatch, tmp_path):
    client = object()
    monkeypatch.setattr("daskelm.data.source.current_client", lambda: client)
    assert source_of(numbers).client() is None
    assert source_of(numbers).in_process
    for data in (da.ones((4, 2)), open_rows(make_hdf5(numbers, tmp_path / "x.h5"))):
        assert source_of(data).client() is client
        assert not source_of(data).in_process


def test_files_are_found_among_several(numbers, tmp_path):
    rows = open_rows(make_hdf5(numbers, tmp_path / "x.h5"))
    lazy = from_hdf5(rows)
    assert files_of(numbers, rows, None, lazy) == [rows]
    assert [is_dask_array(value) for value in (numbers, rows, None, lazy, "x.h5")] == [False, False, False, True, False]


# Modules that ask for a type where it is no question of where rows come from.
OTHER_QUESTIONS = {
    "data.from_parquet": "opens what may be open already",
    "data.categories": "a value in a column of objects may be an array",
    "data.target_columns": "a table with names of columns is rows of files, or a frame",
    "data.refusals": "what a task gave in place of a chunk may be of any type",
    "data.make_hdf5": "only some of the values that users convert can lie in the file that is written",
    "estimators.state": "a value of the state is an array or not",
    "hdf5.outputs": "goes through everything that a value holds",
    "hdf5.rows": "opens what may be open already",
    "estimators.stored": "a value in a file must be of its type",
    "hdf5.sealed": "a value in a file is an array or a text",
    "hdf5.values": "a value in a file must be of its type",
    "hpelm.rows": "results go to an array or to a file",
    "layer.layer": "a parameter of neurons is an array or not",
    "onnx.graph": "an input of a node is a constant or a name",
    "parquet.rows": "opens what may be open already, and checks names",
    "sums.normal_equations": "some fields are arrays",
}


def types_asked_for(tree):
    """Names in the second argument of each call of isinstance."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "isinstance":
            yield {getattr(part, "attr", getattr(part, "id", None)) for part in ast.walk(node.args[1])}


def test_only_one_module_tells_the_three_apart():
    asking = set()
    for path in PACKAGE.rglob("*.py"):
        found = types_asked_for(ast.parse(path.read_text(encoding="utf-8")))
        if any(names & {"ndarray", "Array", "Hdf5Rows", "FileRows"} for names in found):
            asking.add(".".join(path.relative_to(PACKAGE).with_suffix("").parts))
    assert asking == {"data.source", *OTHER_QUESTIONS}
