"""Links to other files are followed to their own file, and never waited for; `daskelm info` lists them."""

import json
import os
import re
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from layouts import D, N, X, virtual, write, y

from daskelm import ELMRegressor, from_hdf5
from daskelm.cli import cli
from daskelm.exceptions import DatasetNotFoundError
from daskelm.hdf5 import describing as hdf5
from daskelm.hdf5.rows import open_rows

pytestmark = pytest.mark.usefixtures("empty_folder")


def run(*arguments):
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], prog_name="daskelm")


def linked():
    """A master file of links, each to X, beside a dataset of another kind with the same name."""
    write("far/raw.h5", X, name="g/data")
    write("far/raw.h5", X, name="data")
    write("far/raw.h5", X + 5, name="decoy")
    write("other.h5", X + 1, name="x/data")
    with h5py.File("far/raw.h5", "a") as file:
        file["soft"] = h5py.SoftLink("/g/data")
        file["on"] = h5py.ExternalLink("../far/third.h5", "/deep/data")
    write("far/third.h5", X, name="deep/data")
    with h5py.File("master.h5", "w") as file:
        for name in ("data", "g/data", "soft", "on", "deep/data", "group/data"):
            file[f"own/{name}"] = file[name] = np.ones((N, D))
        del file["group"], file["soft"], file["on"]
        file["link"] = h5py.ExternalLink("far/raw.h5", "data")
        file["to_soft"] = h5py.ExternalLink("far/raw.h5", "soft")
        file["to_link"] = h5py.ExternalLink("far/raw.h5", "on")
        file["group"] = h5py.ExternalLink("far/raw.h5", "/g")
        file["soft"] = file["decoy"] = h5py.SoftLink("/group/data")
        file["entry/link"] = h5py.ExternalLink("far/raw.h5", "g/data")
        file["self"] = h5py.ExternalLink("master.h5", "/own/data")
        file["away"] = h5py.ExternalLink("nothere.h5", "/d")
        file["no_name"] = h5py.ExternalLink("far/raw.h5", "/nothing")
        file["dangling"] = h5py.SoftLink("/nothing")
        file["dangling_on"] = h5py.SoftLink("/away")


LINKS = {
    "link": "far/raw.h5:/data",
    "to_soft": "far/raw.h5:/soft",
    "to_link": "far/third.h5:/deep/data",
    "group/data": "far/raw.h5:/g/data",
    "soft": "far/raw.h5:",
    # Of a name that another dataset has there.
    "decoy": "far/raw.h5:/g/data",
    "entry/link": "far/raw.h5:/g/data",
}


@pytest.mark.parametrize("name", LINKS)
def test_links_are_followed_to_their_own_file(no_client, name):
    linked()
    opened = h5py.File("master.h5")
    for source in (open_rows("master.h5", name), open_rows(opened[name])):
        [part] = source.parts
        assert os.path.abspath(LINKS[name]).startswith(part.path)
        assert f"{part.path}:{part.dataset}".startswith(os.path.abspath(LINKS[name]))
        assert h5py.File(part.path)[part.dataset].shape == (N, D)
        np.testing.assert_array_equal(source.read(0, N), X)
    want = ELMRegressor(5, random_state=0).fit(X, y).coef_
    for data in (from_hdf5("master.h5", dataset=name), opened[name]):
        np.testing.assert_allclose(ELMRegressor(5, random_state=0).fit(data, y).coef_, want, rtol=1e-9)


def test_a_link_to_the_file_itself_stays_in_it():
    linked()
    [part] = open_rows("master.h5", "self").parts
    assert (part.path, part.dataset) == (os.path.abspath("master.h5"), "/own/data")


@pytest.mark.parametrize(
    ("name", "text"),
    {
        "away": r"'away' is a link to nothere\.h5:/d, which is not there\. Put the file",
        "away/more": r"'away' is a link to nothere\.h5:/d, which is not there",
        "no_name": r"'no_name' is a link to far/raw\.h5:/nothing, which is not there",
        "dangling": r"'dangling' is a link to /nothing, which is not there",
        "dangling_on": r"'dangling_on' is a link to /away, which is not there",
        "group/none": r"has no dataset 'group/none'; it holds .* and \d+ more",
        "group": r"'group' must be a dataset; got a group, of data. Name one of them",
    }.items(),
)
def test_links_to_what_is_not_there_are_told(name, text):
    linked()
    with pytest.raises(DatasetNotFoundError, match=rf"master\.h5.*{text}"):
        from_hdf5("master.h5", dataset=name)
    done = run("init", f"master.h5::{name}", "model.h5", "--neurons", "5")
    assert done.exit_code == 2, done.output
    assert not os.path.exists("model.h5")


def test_a_file_of_links_alone_is_what_they_lead_to():
    write("far/raw.h5", X)
    with h5py.File("master.h5", "w") as file:
        file["entry/data"] = h5py.ExternalLink("../far/raw.h5", "data")
        file["entry/folder"] = h5py.ExternalLink("../far/raw.h5", "/")
    with pytest.raises(
        DatasetNotFoundError, match=r"got entry/data \(link to \.\./far/raw\.h5:data, which is not there\)"
    ):
        from_hdf5("master.h5")
    os.mkdir("near")
    os.rename("master.h5", "near/master.h5")
    np.testing.assert_array_equal(from_hdf5("near/master.h5").compute(), X)
    with h5py.File("near/master.h5", "a") as file:
        file["more"] = h5py.ExternalLink("../far/raw.h5", "data")
    with pytest.raises(DatasetNotFoundError, match=r"got entry/data \(link .*, entry/folder .*, more \(link to"):
        from_hdf5("near/master.h5")
    # What it holds itself goes before.
    write("near/master.h5", X + 1, name="own")
    np.testing.assert_array_equal(from_hdf5("near/master.h5").compute(), X + 1)


@pytest.fixture
def pipe():
    """A pipe in the place of a file that links lead to. Whoever opens it to read waits, until somebody writes."""
    os.mkfifo("pipe.h5")
    with h5py.File("far.h5", "w") as file:
        file["data"] = h5py.ExternalLink("pipe.h5", "data")
    with h5py.File("links.h5", "w") as file:
        file["link"] = h5py.ExternalLink("pipe.h5", "data")
        file["soft"] = h5py.SoftLink("/link")
        file["by"] = h5py.ExternalLink("far.h5", "data")
        file["circle"] = h5py.SoftLink("/circle/on")
    shutil.copy("links.h5", "own.h5")
    write("own.h5", X)
    layout = h5py.VirtualLayout(X.shape, "f8")
    layout[:] = h5py.VirtualSource("far.h5", "data", X.shape)
    with h5py.File("v.h5", "w") as file:
        file.create_virtual_dataset("data", layout)
    return os.path.abspath("pipe.h5")


def within(seconds, code):
    """What a program prints and returns, that must end in this time."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=seconds, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("call", "says"),
    {
        "from_hdf5('own.h5')": "done",
        "from_hdf5('own.h5', dataset='data')": "done",
        "from_hdf5('links.h5')": r"DatasetNotFoundError: .*links\.h5 must hold exactly one .*link to pipe\.h5:data",
        "from_hdf5('links.h5', dataset='circle')": r"DatasetNotFoundError: .*'circle' is a link to /circle/on",
        "from_hdf5('links.h5', dataset='link')": r"FileFormatError: .*'link' must lead to .*pipe\.h5, which is a pipe",
        "from_hdf5('links.h5', dataset='soft')": r"FileFormatError: .*'soft' must lead to .*pipe\.h5, which is a pipe",
        "from_hdf5('links.h5', dataset='by')": r"FileFormatError: .*'by' must lead to .*pipe\.h5, which is a pipe",
        "from_hdf5('links.h5', dataset='no')": r"DatasetNotFoundError: .*has no dataset 'no'; it holds .*pipe\.h5",
        "from_hdf5('v.h5')": r"FileFormatError: .*far\.h5 must hold .*; got a link to .*pipe\.h5, which is a pipe",
        "cli(['info', 'own.h5', 'links.h5'])": r"soft  link to /link, which is not there",
        "cli(['info', 'links.h5::link'])": r"'link' must lead to a dataset in a file",
    }.items(),
)
def test_links_to_pipes_are_not_waited_for(pipe, call, says):
    code = f"from daskelm import from_hdf5\nfrom daskelm.cli import cli\n{call}\nprint('done')"
    assert re.search(says, within(60, code)[1], re.S)


def test_links_beside_a_table_of_its_own_are_not_followed(monkeypatch):
    write("x.h5", X)
    with h5py.File("x.h5", "a") as file:
        file["link"] = h5py.ExternalLink("nothere.h5", "data")
    followed = []
    monkeypatch.setattr(hdf5, "links_in", lambda file: followed.append(file) or {})
    assert open_rows("x.h5").n_rows == N
    assert not followed
    with h5py.File("x.h5", "a") as file:
        del file["data"]
    with pytest.raises(DatasetNotFoundError, match="must hold exactly one"):
        open_rows("x.h5")
    assert followed


def test_info_lists_links_and_where_numbers_lie():
    linked()
    virtual()
    unwritten_info = write("part.h5", X[:200], maxshape=(None, D), chunks=(100, D))
    with h5py.File(unwritten_info, "a") as file:
        file["data"].resize(N, axis=0)
    text = run("info", "master.h5").output
    for line in (
        "link  link to far/raw.h5:data",
        "away  link to nothere.h5:/d, which is not there",
        "group  link to far/raw",
    ):
        assert f"  {line}" in text
    [facts] = json.loads(run("info", "--json", "master.h5").output)
    assert {"name": "away", "to": "nothere.h5:/d", "there": False} in facts["links"]
    assert f"in {os.path.abspath('far/raw.h5')}::data" in run("info", "master.h5::link").output
    assert "read from a.h5, b.h5, c.h5" in run("info", "v.h5").output
    assert "rows never written: 200:600" in run("info", "part.h5").output
    os.remove("b.h5")
    assert "read from a.h5, b.h5, c.h5" in run("info", "v.h5").output
