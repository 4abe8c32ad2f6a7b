"""Run the notebooks and keep what they show: GitHub and the site show them as they are kept.

Run it from the root of the repository, for all of them or for some:
``python docs/run_notebooks.py notebooks/quick_start.ipynb``. `tests/project/test_notebooks.py` checks that
they are kept like this.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
# As README and site list them.
ORDER = ("quick_start", "five_steps", "model_selection", "watching_a_cluster", "coming_from")
SECONDS = 250
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
# They show nothing without the kernel that made them.
LIVE = "application/vnd.jupyter.widget-view+json"
BAR = "<progress"


def tidy(notebook) -> None:
    """Leave in a notebook what tells the reader something, and nothing of the machine that it ran on."""
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({})
        if cell.cell_type == "code":
            cell.outputs = joined(output for output in cell.outputs if LIVE not in output.get("data", {}))
            for output in cell.outputs:
                # Of a line of progress the text is kept: its bar is full, and on a dark page it cannot be read.
                if BAR in output.get("data", {}).get("text/html", ""):
                    del output.data["text/html"]


def joined(outputs) -> list:
    """Outputs, with texts that came one after the other as one: a page draws a box around each."""
    kept: list = []
    for output in outputs:
        last = kept[-1] if kept else {}
        if output.output_type == "stream" == last.get("output_type") and output.name == last.name:
            last.text += output.text
        else:
            kept.append(output)
    return kept


def run(path: Path) -> None:
    """Run a notebook in its folder, as Jupyter would, and write it with what it showed."""
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(path.parent)}}
    NotebookClient(
        notebook, timeout=SECONDS, kernel_name="python3", resources=resources, store_widget_state=False
    ).execute()
    tidy(notebook)
    nbformat.write(notebook, path)


def main() -> None:
    """Run those that are named, or all."""
    for path in map(Path, sys.argv[1:] or [NOTEBOOKS / f"{name}.ipynb" for name in ORDER]):
        print(path.name)
        run(path)


if __name__ == "__main__":
    main()
