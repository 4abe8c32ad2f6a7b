"""Types that NumPy does not have, and links of another program: the rest of the file is read and listed."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from layouts import X, y

from daskelm import ELMRegressor, from_hdf5
from daskelm.cli import cli
from daskelm.exceptions import DatasetNotFoundError, InputTypeError

pytestmark = pytest.mark.usefixtures("empty_folder")


def run(*arguments):
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], prog_name="daskelm")


def fit(data):
    ELMRegressor(5, random_state=0).fit(data, y)


def odd():
    """A file with a table beside numbers that NumPy does not have, and a link of another program's own kind."""
    with h5py.File("odd.h5", "w") as file:
        file["X"] = X
        space = h5py.h5s.create_simple((4,))
        h5py.h5d.create(file.id, b"time", h5py.h5t.UNIX_D32LE, space)
        quad = h5py.h5t.IEEE_F64LE.copy()
        quad.set_size(16)
        quad.set_precision(128)
        quad.set_fields(127, 112, 15, 0, 112)
        quad.set_ebias(16383)
        h5py.h5d.create(file.id, b"quad", quad, space)
        file["ours"] = h5py.ExternalLink("nothere.h5", "/d")
    content = bytearray(Path("odd.h5").read_bytes())
    # The kind of the link stands before its name.
    at = content.rfind(b"\x40", 0, content.find(b"nothere.h5"))
    content[at] = 70
    Path("odd.h5").write_bytes(content)


def test_what_cannot_be_described_does_not_end_the_file(no_client):
    odd()
    np.testing.assert_array_equal(from_hdf5("odd.h5").compute(), X)
    fit("odd.h5")
    done = run("info", "odd.h5")
    assert done.exit_code == 0, done.output
    assert "time  (4,) unknown to NumPy" in done.output
    assert "quad  (4,) unknown to NumPy" in done.output
    assert "ours  link to what only the program that wrote it knows (user-defined, kind 70)" in done.output
    assert run("init", "odd.h5", "model.h5", "--neurons", "5").exit_code == 0
    for name in ("time", "quad"):
        with pytest.raises(InputTypeError, match=rf"'/{name}' must hold numbers; got a type that NumPy does not have"):
            from_hdf5("odd.h5", dataset=name)
    with pytest.raises(DatasetNotFoundError, match="'ours' is a link to what only the program"):
        from_hdf5("odd.h5", dataset="ours")
    with h5py.File("odd.h5", "a") as file:
        del file["X"]
    with pytest.raises(
        DatasetNotFoundError, match=r"got quad \(4,\) of a type that NumPy does not have, time \(4,\) of"
    ):
        from_hdf5("odd.h5")
