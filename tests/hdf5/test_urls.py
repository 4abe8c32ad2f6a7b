"""URLs in the place of paths: what reads takes them, and what writes refuses them with what to do."""

import json
import os
from functools import partial
from pathlib import Path

import fsspec
import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from fsspec.implementations.memory import MemoryFileSystem
from object_store import D, N, T, X, put, write

from daskelm import ELMClassifier, ELMRegressor, from_hdf5, load, make_hdf5, merge, to_hdf5
from daskelm.cli import cli
from daskelm.exceptions import FileFormatError, FileMissingError, ParameterError, RowsCountedError
from daskelm.hdf5.rows import open_rows
from daskelm.hpelm import HPELM


def test_writing_to_urls_is_refused_with_what_to_do(s3):
    model = ELMRegressor(5, random_state=0).fit(X, T)
    copy = r"fsspec.filesystem\('s3'\).put\('out.h5', 's3://bucket/out.h5'\)"
    url = "s3://bucket/out.h5"
    for write_to in (
        partial(make_hdf5, X),
        partial(to_hdf5, from_hdf5(write("X.h5"))),
        lambda url: model.predict(X, out=url),
        lambda url: model.predict("X.h5", out=url),
        model.save,
        model.normal_equations_.save,
    ):
        with pytest.raises(ParameterError, match=f"must be at a path of a file system, not at a URL.*{copy}"):
            write_to(url)
    write("T.h5", T)
    for add in (
        lambda: model.accumulate("X.h5", "T.h5", into=url),
        lambda: model.fit("X.h5", "T.h5", checkpoint=url),
        lambda: merge(model.normal_equations_, into=url),
        lambda: model.remove("X.h5", "T.h5", sums=url),
    ):
        with pytest.raises(ParameterError, match="a sums file that is changed must be at a path.*takes locks"):
            add()
    with pytest.raises(ParameterError, match="data to convert must be at a path"):
        make_hdf5("s3://bucket/X.csv", "new.h5")
    elm = HPELM(D, 2)
    elm.add_neurons(5, "tanh")
    with pytest.raises(ParameterError, match="not at a URL"):
        elm.add_data("X.h5", "T.h5", fHH="s3://bucket/HH.h5", fHT="s3://bucket/HT.h5")
    with pytest.raises(ParameterError, match="not at a URL"):
        make_hdf5(X, "file:///out.h5")
    assert sorted(os.listdir()) == ["T.h5", "X.h5"]
    assert s3.ls("bucket") == []


def test_models_and_sums_are_loaded_from_urls(s3):
    model = ELMClassifier(10, random_state=0).fit(X, X[:, 0] > 0)
    model.save("model.h5")
    again = load(put(s3, "model.h5"))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert again.hidden_layer_.fingerprint == model.hidden_layer_.fingerprint
    plain = ELMRegressor(10, random_state=0).initialize(X)
    for i, part in enumerate(np.split(np.arange(N), 2)):
        plain.accumulate(X[part], T[part], into=f"sums-{i}.h5")
        put(s3, f"sums-{i}.h5")
    local = plain.solve("sums-*.h5").coef_
    np.testing.assert_array_equal(plain.solve("s3://bucket/sums-*.h5").coef_, local)
    with pytest.raises(RowsCountedError, match="named once"):
        plain.solve(["s3://bucket/sums-0.h5", "s3://bucket/sums-*.h5"])
    assert merge(["s3://bucket/sums-0.h5", "sums-1.h5"], into="sums-1.h5").n_samples == N
    with pytest.raises(FileMissingError, match="no such file or bucket"):
        load("s3://bucket/none.h5")
    with pytest.raises(FileFormatError, match="not a daskelm model file"):
        load(put(s3, write("X.h5")))


def test_local_files_may_be_named_as_urls(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("X.h5")
    assert open_rows(f"file://{tmp_path}/X.h5").parts == open_rows("X.h5").parts


def run(*arguments):
    return CliRunner().invoke(cli, [str(a) for a in arguments])


def test_the_command_takes_urls(s3):
    with h5py.File("X.h5", "w") as file:
        file["X"], file["T"] = X, T
    url = put(s3, "X.h5")
    assert run("init", f"{url}::X", "model.h5", "--neurons", "10").exit_code == 0
    assert run("accumulate", "model.h5", f"{url}::X", f"{url}::T", "--into", "sums.h5").exit_code == 0
    assert run("solve", "model.h5", "sums.h5").exit_code == 0
    assert run("predict", "model.h5", f"{url}::X", "--out", "Y.h5").exit_code == 0
    np.testing.assert_array_equal(from_hdf5("Y.h5").compute(), load("model.h5").predict(X))
    facts = json.loads(run("info", "--json", url, f"{url}::T", put(s3, "model.h5")).output)
    assert [item["kind"] for item in facts] == ["data", "data", "model"]
    assert facts[0]["bytes"] == os.path.getsize("X.h5")
    assert [item["name"] for item in facts[0]["datasets"]] == ["T", "X"]
    assert [item["shape"] for item in facts[1]["datasets"]] == [[N, 2]]
    Path("text").write_text("text")
    assert "neither a daskelm file nor HDF5" in run("info", put(s3, "text")).output
    checked = run("check", f"{url}::X", f"{url}::T", "--neurons", "10", "--into", "new.h5")
    assert "ok       data      1 file(s)" in checked.output
    assert "the URL s3://bucket/sums.h5. Give a path." in run("check", "--into", "s3://bucket/sums.h5").output
    refused = run("predict", "model.h5", f"{url}::X", "--out", "s3://bucket/Y.h5")
    assert refused.exit_code == 2
    assert "not at a URL" in refused.output


def test_a_check_tells_which_workers_do_not_see_an_object(client, s3):
    fsspec.filesystem("memory").put(write("X.h5"), "/X.h5")
    output = run("check", "memory://X.h5", "--scheduler", client.scheduler.address).output
    MemoryFileSystem.store.clear()
    assert "FAILED   data      memory://X.h5 must be visible on every worker" in output
    assert "Give all workers the same packages, credentials and settings of fsspec." in output
