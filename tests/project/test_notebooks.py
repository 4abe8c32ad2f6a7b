"""The notebooks are kept as readers see them: run from top to bottom, and free of the machine that they ran on."""

import importlib.util
import json
import re
from itertools import pairwise
from pathlib import Path

import nbformat
import pytest
from test_architecture import MACHINE_PATH
from test_docs import links

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))
SPEC = importlib.util.spec_from_file_location("run_notebooks", ROOT / "docs" / "run_notebooks.py")
run_notebooks = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(run_notebooks)

HEADING = re.compile(r"^(#+) (.+)$", re.M)
# A temporary folder is a machine's path too; so is a kernel's own name for a cell.
TEMPORARY = re.compile(r"/(?:tmp|var)/|ipykernel")
WARNING = re.compile(r"\b\w*Warning\b|Traceback")
# A page of the site shows about as much.
CODE_WIDTH = 99

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path):
    return nbformat.read(path, as_version=nbformat.NO_CONVERT)


def cells(notebook, kind):
    return [cell for cell in notebook.cells if cell.cell_type == kind]


def texts(output):
    """What an output says, without pictures."""
    data = {name: value for name, value in output.get("data", {}).items() if not name.startswith("image/")}
    return " ".join([output.get("text", ""), *map(str, data.values())])


def faults(notebook):
    """What is wrong with what a notebook keeps; nothing, if it is as `run_notebooks` leaves it."""
    code = cells(notebook, "code")
    outputs = [output for cell in code for output in cell.outputs]
    said = " ".join(map(texts, outputs))
    found = {
        "metadata": notebook.metadata != run_notebooks.METADATA or any(cell.metadata for cell in notebook.cells),
        "order": [cell.execution_count for cell in code] != list(range(1, len(code) + 1)),
        "error or stderr": any(o.output_type == "error" or o.get("name") == "stderr" for o in outputs),
        "warning": WARNING.search(said),
        "machine path": MACHINE_PATH.search(json.dumps(notebook).encode()) or TEMPORARY.search(said),
        "live output": any(run_notebooks.LIVE in o.get("data", {}) for o in outputs) or run_notebooks.BAR in said,
        "texts apart": any(run_notebooks.joined(cell.outputs) != cell.outputs for cell in code),
        "empty cell": not all(cell.source.strip() for cell in notebook.cells),
        "wide code": any(len(line) > CODE_WIDTH for cell in code for line in cell.source.splitlines()),
    }
    return [fault for fault, there in found.items() if there]


@every_notebook
def test_what_is_kept_is_a_run_from_top_to_bottom(path):
    notebook = read(path)
    nbformat.validate(notebook)
    assert faults(notebook) == []
    assert any(cell.outputs for cell in cells(notebook, "code"))


@every_notebook
def test_one_title_and_no_level_left_out(path):
    prose = cells(read(path), "markdown")
    levels = [len(marks) for cell in prose for marks, _ in HEADING.findall(cell.source)]
    assert prose[0].source.startswith("# ")
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in pairwise(levels)), levels


@every_notebook
def test_links_lead_to_files_and_the_end_leads_on(path):
    prose = cells(read(path), "markdown")
    targets = [target for cell in prose for target in links(cell.source)]
    assert [target for target in targets if not (path.parent / target).exists()] == []
    assert read(path).cells[-1].cell_type == "markdown"
    assert re.search(r"^Next: \[", prose[-1].source, re.M)


def lists_of_notebooks(page):
    """Names of notebooks in each paragraph, list or directive of a page that has several of them."""
    listed = [re.findall(r"notebooks/(\w+)", paragraph) for paragraph in re.split(r"\n\s*\n", page)]
    return [names for names in listed if len(names) > 1]


def test_the_order_names_each_notebook_once():
    assert sorted(run_notebooks.ORDER) == [path.stem for path in NOTEBOOKS]


@pytest.mark.parametrize("page", sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("docs/**/*.md")), ids=lambda p: p.name)
def test_pages_list_them_in_that_order(page):
    for listed in lists_of_notebooks(page.read_text(encoding="utf-8")):
        assert listed == [name for name in run_notebooks.ORDER if name in listed]


def kept():
    """A notebook as it should be."""
    v4 = nbformat.v4
    said = [v4.new_output("stream", name="stdout", text="1\n"), v4.new_output("execute_result", {"text/plain": "2"})]
    prose, code = v4.new_markdown_cell("# Title"), v4.new_code_cell("print(1)\n2", execution_count=1, outputs=said)
    return v4.new_notebook(cells=[prose, code], metadata=run_notebooks.METADATA)


def set_metadata(notebook):
    notebook.metadata.language_info.version = "3.11"


def set_cell_metadata(notebook):
    notebook.cells[0].metadata["collapsed"] = True


def set_count(notebook):
    notebook.cells[1].execution_count = 2


def set_text(text, name="stdout"):
    def change(notebook):
        notebook.cells[1].outputs[0] |= {"text": text, "name": name}

    return change


def set_live(notebook):
    notebook.cells[1].outputs[1].data[run_notebooks.LIVE] = {"model_id": "1"}


def set_bar(notebook):
    notebook.cells[1].outputs[1].data["text/html"] = '<progress value="1" max="1"></progress> gram'


def set_twice(notebook):
    notebook.cells[1].outputs.insert(0, notebook.cells[1].outputs[0])


def set_source(source):
    def change(notebook):
        notebook.cells[1].source = source

    return change


FAULTS = {
    "metadata": [set_metadata, set_cell_metadata],
    "order": [set_count],
    "error or stderr": [set_text("2026-01-01 lost a worker", "stderr")],
    "warning": [set_text("hpelm.py:127: IllConditionedWarning: HH"), set_text("Traceback (most recent call last)")],
    "machine path": [
        set_text("'/tmp/tmp1234/X.h5'"),
        set_text("/ho" + "me/me/X.h5"),
        set_source("open('/ro" + "ot/X')"),
    ],
    "live output": [set_live, set_bar],
    "texts apart": [set_twice],
    "empty cell": [set_source(" ")],
    "wide code": [set_source("x" * (CODE_WIDTH + 1))],
}


@pytest.mark.parametrize(("fault", "change"), [(fault, change) for fault in FAULTS for change in FAULTS[fault]])
def test_each_fault_is_found(fault, change):
    notebook = kept()
    assert faults(notebook) == []
    change(notebook)
    assert faults(notebook) == [fault]


@pytest.mark.parametrize("change", [set_metadata, set_cell_metadata, set_live, set_bar, set_twice])
def test_tidying_mends_what_a_run_leaves(change):
    notebook = kept()
    change(notebook)
    run_notebooks.tidy(notebook)
    assert faults(notebook) == []


def test_lists_of_notebooks_are_found():
    page = (
        "See [one](notebooks/five_steps.ipynb).\n\n[a](notebooks/a.ipynb) ·\n[b](notebooks/b.ipynb)\n\n../notebooks/c"
    )
    assert lists_of_notebooks(page) == [["a", "b"]]
