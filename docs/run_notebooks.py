"""Run the notebooks and keep their outputs, which GitHub and the site show.

Run it from the root of the repository, for all of them or for some:
``python docs/run_notebooks.py notebooks/quick_start.ipynb``. `tests/project/test_notebooks.py` checks the
form in which they are kept.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
# The order is that of the README and the site.
ORDER = ("quick_start", "tables", "five_steps", "model_selection", "watching_a_cluster", "coming_from")
SECONDS = 250
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
# Widgets show nothing without the kernel that made them.
LIVE = "application/vnd.jupyter.widget-view+json"
BAR = "<progress"


def tidy(notebook) -> None:
    """Remove from a notebook what is of no use to a reader, and what describes the machine that it ran on."""
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({})
        if cell.cell_type == "code":
            cell.outputs = joined(output for output in cell.outputs if LIVE not in output.get("data", {}))
            for output in cell.outputs:
                # A progress line keeps its text and loses its bar, which is full and cannot be read on a dark page.
                if BAR in output.get("data", {}).get("text/html", ""):
                    del output.data["text/html"]


def joined(outputs) -> list:
    """Outputs with adjacent texts joined, since a page draws a box around each text."""
    kept: list = []
    for output in outputs:
        last = kept[-1] if kept else {}
        if output.output_type == "stream" == last.get("output_type") and output.name == last.name:
            last.text += output.text
        else:
            kept.append(output)
    return kept


def run(path: Path) -> None:
    """Run a notebook in its folder, as Jupyter would, and write it with its outputs."""
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(path.parent)}}
    NotebookClient(
        notebook, timeout=SECONDS, kernel_name="python3", resources=resources, store_widget_state=False
    ).execute()
    tidy(notebook)
    nbformat.write(notebook, path)


def main() -> None:
    """Run the notebooks that are named, or all."""
    for path in map(Path, sys.argv[1:] or [NOTEBOOKS / f"{name}.ipynb" for name in ORDER]):
        print(path.name)
        run(path)


if __name__ == "__main__":
    main()
