"""Signatures and names of users in URLs: they are in no message, log, name of a task, and no file."""

import http.server
import io
import json
import logging
import os
import pickle
import threading
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from object_store import D, N, T, X, write

from daskelm import ELMRegressor, NormalEquations, from_hdf5, load, make_hdf5, merge
from daskelm.cli import cli
from daskelm.exceptions import AlikeTablesWarning, DaskelmError, FileMissingError, ParameterError
from daskelm.hdf5.paths import place_of
from daskelm.hdf5.rows import open_rows
from daskelm.urls import has_user, without_secrets

SECRET = "f00dfacef00dface"
QUERY = f"X-Amz-Credential=WHO%2F20261130&X-Amz-Signature={SECRET}"
SHOWN = r"\?sha256=[0-9a-f]{12}"


class Ranges(http.server.SimpleHTTPRequestHandler):
    """Files of the folder, in byte ranges, whatever the query."""

    def do_GET(self):
        self._answer(True)

    def do_HEAD(self):
        self._answer(False)

    def _answer(self, with_body):
        path = Path(self.path.partition("?")[0].lstrip("/"))
        if not path.is_file():
            self.send_error(404)
            return
        data = path.read_bytes()
        first, last = 0, len(data) - 1
        if asked := self.headers.get("Range"):
            first, last = (int(number) for number in asked.removeprefix("bytes=").split("-"))
            last = min(last, len(data) - 1)
        self.send_response(206 if asked else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(last + 1 - first))
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
        self.end_headers()
        if with_body:
            self.wfile.write(data[first : last + 1])

    def log_message(self, *message):
        pass


@pytest.fixture
def web(tmp_path, monkeypatch):
    """Address of a server of the files in an empty folder."""
    monkeypatch.chdir(tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Ranges) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def signed(web, name):
    return f"{web}/{name}?{QUERY}"


def without(text):
    """The text, which must hold neither the signature nor the credential."""
    assert SECRET not in text
    assert "WHO" not in text
    return text


def check_error(call, match):
    with pytest.raises(DaskelmError, match=match) as caught:
        call()
    without(str(caught.value))
    without(repr(caught.value))
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_signatures_are_in_no_error(web):
    write("X.h5")
    write("T.h5", T)
    gap = X.copy()
    gap[1234, 2] = np.nan
    write("gap.h5", gap)
    with h5py.File("several.h5", "w") as file:
        file["a"], file["b"] = X, X
    with h5py.File("virtual.h5", "w") as file:
        file.create_dataset("data", (10, 2), "f8", external=[("raw.bin", 0, 160)])
    Path("text.h5").write_text("1 2 3\n" * 1000)
    for call, match in (
        (lambda: from_hdf5(signed(web, "none.h5")), rf"none\.h5{SHOWN}: no such file or bucket"),
        (lambda: from_hdf5(signed(web, "text.h5")), rf"text\.h5{SHOWN} cannot be read as HDF5"),
        (lambda: from_hdf5(signed(web, "several.h5")), rf"several\.h5{SHOWN} must hold exactly one"),
        (lambda: from_hdf5(signed(web, "X.h5"), dataset="c"), rf"X\.h5{SHOWN} has no dataset 'c'"),
        (lambda: from_hdf5(signed(web, "virtual.h5")), rf"virtual\.h5{SHOWN}: dataset '/data' must lie in this file"),
        (lambda: from_hdf5(f"{signed(web, 'X.h5')}::data"), r"must not name a dataset"),
        (lambda: ELMRegressor(5, random_state=0).fit(signed(web, "gap.h5"), "T.h5"), rf"row 1234 of .*gap\.h5{SHOWN}"),
        (lambda: ELMRegressor(5, random_state=0).fit(signed(web, "X.h5"), "T.h5", [1.0]), r"X\.h5|sample_weight"),
        (lambda: load(signed(web, "X.h5")), rf"X\.h5{SHOWN} is not a daskelm model file"),
        (lambda: load(signed(web, "none.h5")), rf"none\.h5{SHOWN}: no such file"),
        (lambda: NormalEquations.load(signed(web, "X.h5")), rf"X\.h5{SHOWN} is not a daskelm sums file"),
        (lambda: merge([signed(web, "none.h5")]), rf"none\.h5{SHOWN}: no such file"),
        (lambda: make_hdf5(X, signed(web, "out.h5")), rf"not at a URL; got .*out\.h5{SHOWN}\. Write it"),
        (lambda: open_rows(signed(web, "X.h5")).rows(slice(0, 10**6)), rf"rows of .*X\.h5{SHOWN}; got"),
        (lambda: from_hdf5(f"http://127.0.0.1:1/X.h5?{QUERY}"), rf"X\.h5{SHOWN}: no such file|cannot be read"),
    ):
        check_error(call, match)


def test_signatures_are_in_no_file_and_no_name_of_a_task(web):
    write("X.h5", chunks=(500, D))
    write("T.h5", T)
    x = from_hdf5(signed(web, "X.h5"))
    without(" ".join(map(str, x.__dask_graph__())) + repr(x))
    model = ELMRegressor(5, random_state=0).initialize(signed(web, "X.h5"))
    model.accumulate(signed(web, "X.h5"), signed(web, "T.h5"), into="sums.h5")
    model.solve("sums.h5").save("model.h5")
    for name in ("sums.h5", "model.h5", "sums.h5.lock"):
        without(Path(name).read_bytes().decode("latin-1"))
    [source] = NormalEquations.load("sums.h5").ledger.sources.values()
    assert source.paths == {f"{place_of(signed(web, 'X.h5'))}:/data"}


def test_signatures_are_in_no_output_of_the_command(web):
    write("X.h5", chunks=(500, D))
    write("T.h5", T)
    ELMRegressor(5, random_state=0).initialize(X).save("model.h5")

    def run(*arguments):
        done = CliRunner().invoke(cli, [str(a) for a in arguments])
        return without(done.output)

    assert "data, " in run("info", signed(web, "X.h5"))
    assert "model, " in run("info", signed(web, "model.h5"))
    assert json.loads(run("info", "--json", signed(web, "X.h5")))[0]["kind"] == "data"
    assert "no such file" in run("info", signed(web, "none.h5"))
    assert "rows added" in run("accumulate", "model.h5", signed(web, "X.h5"), signed(web, "T.h5"), "--into", "sums.h5")
    assert "sums, " in run("info", "sums.h5")
    assert "ok       data" in run("check", signed(web, "X.h5"), signed(web, "T.h5"))
    assert "FAILED   disk" in run("check", "--into", signed(web, "sums.h5"))
    assert "solved" in run("solve", "model.h5", signed(web, "sums.h5"))
    assert "not at a URL" in run("predict", "model.h5", "X.h5", "--out", signed(web, "Y.h5"))
    assert "no such file" in run("score", "model.h5", signed(web, "none.h5"), "T.h5")


def test_signatures_are_in_no_log_of_a_worker(web, client):
    write("X.h5", chunks=(500, D))
    x = from_hdf5(signed(web, "X.h5"), chunks=500)
    write("X.h5", np.tile(X, (2, 1)), chunks=(500, D))
    model = ELMRegressor(5, random_state=0).fit(X, X[:, 0])
    for call in (x.compute, lambda: model.accumulate(x, X[:, 0]), lambda: model.predict(x, out="Y.h5")):
        check_error(call, rf"X\.h5{SHOWN} changed while it was in use")
    lines = " ".join(text for log in client.get_worker_logs().values() for _, text in log)
    assert "X.h5?sha256=" in without(lines)
    assert "Compute Failed" in lines


def test_signatures_are_in_no_warning_and_no_log_here(web):
    write("a.h5")
    write("b.h5", np.where(np.arange(N)[:, None] == 3999, 2.0, X))
    write("T.h5", T)
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    logging.getLogger().addHandler(handler)
    try:
        with pytest.warns(AlikeTablesWarning, match=rf"b\.h5{SHOWN}.* looks like .*a\.h5{SHOWN}") as caught:
            ELMRegressor(5, random_state=0).fit([signed(web, "a.h5"), signed(web, "b.h5")], ["T.h5", "T.h5"])
    finally:
        logging.getLogger().removeHandler(handler)
    without(" ".join(str(one.message) for one in caught) + text.getvalue())


@pytest.mark.parametrize(
    "url",
    [
        "ftp://me:secret@host/X.h5",
        "http://secret@host/X.h5",
        "sftp://secret@host/X.h5",
        "s3://secret:secret@bucket/X.h5",
        "abfs://secret:secret@account/X.h5",
        "simplecache::https://secret@host/X.h5",
        "zip://X.h5::https://a@secret@host/X.zip",
    ],
)
def test_urls_with_users_are_refused(url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    protocol = url.rpartition("://")[0].rpartition("::")[2].upper()
    for call in (
        lambda: from_hdf5(url),
        lambda: load(url),
        lambda: NormalEquations.load(url),
        lambda: merge([url]),
        lambda: ELMRegressor(5).fit(url, url),
        lambda: ELMRegressor(5).fit(url.replace(".h5", ".parquet"), X[:, 0]),
    ):
        with pytest.raises(ParameterError, match=rf"must not hold a user name.*FSSPEC_{protocol}_USERNAME") as caught:
            call()
        assert "secret" not in str(caught.value)
    done = CliRunner().invoke(cli, ["info", url])
    assert (done.exit_code, "secret" in done.output) == (2, False)
    assert "FSSPEC" in done.output
    assert os.listdir() == []


def test_names_of_containers_and_keys_are_no_users():
    for url in (
        "abfs://container@account.dfs.core.windows.net/X.h5",
        "s3://bucket/me@home/X.h5",
        "https://host/@a/X.h5",
    ):
        assert not has_user(url)
        assert without_secrets(url) == url


def test_texts_keep_all_but_the_secrets():
    for text, shown in (
        ("no URL, me@home", "no URL, me@home"),
        ("(ftp://me:pw@host/X.h5), 5 rows", "(ftp://host/X.h5), 5 rows"),
        ("s3://bucket/part-?.h5: no file matches", "s3://bucket/part-?.h5: no file matches"),
    ):
        assert without_secrets(text) == shown
    digest = place_of("https://host/X.h5?token").partition("?")[2]
    for before, after in (("", ""), ("", "."), ("('", "')"), ("got ", ": no such file"), ('"', '", 5')):
        text = f"{before}https://host/X.h5?token{after}"
        assert without_secrets(text) == f"{before}https://host/X.h5?{digest}{after}"
        assert without_secrets(without_secrets(text)) == without_secrets(text)
    assert place_of(place_of("https://host/X.h5?token")) == place_of("https://host/X.h5?token")
    quoted = "https://host/X.h5?name='X.h5'&sig=secret"
    assert "secret" not in without_secrets(quoted)
    assert str(FileMissingError(2, quoted)) == str(FileMissingError(2, without_secrets(quoted)))
