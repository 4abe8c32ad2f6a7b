"""The README and the pages in docs/ are true: their Python and shell run, their commands and links lead somewhere."""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    path for places in ("*.md", "daskelm/*/*.md", "docs/**/*.md", "docker/*.md") for path in sorted(ROOT.glob(places))
]
# Of these, python and bash are run. Others ("py", "sh", none at all) would look like code that is run, and are refused.
LANGUAGES = {"python", "bash", "console", "dockerfile", "text", "toml", "yaml", "{toctree}", "{eval-rst}"}

FENCE = re.compile(
    r"^(?P<indent> *)(?P<fence>```+)(?P<language>.*?)\n(?P<code>.*?)^(?P=indent)(?P=fence) *$", re.M | re.S
)
NOT_RUN = re.compile(r"<!-- (?:not run:(?P<reason>[^\n]*?)|run by (?P<test>tests/\S+) )-->\s*\Z")
INLINE_CODE = re.compile(r"`([^`\n]+)`")
ARRAY = re.compile(r"^#SBATCH --array=0-(\d+)$", re.M)
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)|(?:src|href)=\"([^\"]+)\"")


class Block(NamedTuple):
    language: str
    code: str
    line: int
    opt_out: re.Match | None


def blocks(text):
    """Fenced blocks of a page; an opt-out is a comment directly before the block: why not, or by which other test."""
    return [
        Block(
            fence["language"].strip(),
            textwrap.dedent(fence["code"]),
            text.count("\n", 0, fence.start("code")) + 1,
            NOT_RUN.search(text[: fence.start()]),
        )
        for fence in FENCE.finditer(text)
    ]


def run(text, filename):
    """Execute the blocks of a page one after the other; the Python as one script with the page's line numbers."""
    namespace = {"__name__": "page"}
    for block in blocks(text):
        if block.opt_out is not None:
            continue
        if block.language == "python":
            exec(compile("\n" * (block.line - 1) + block.code, filename, "exec"), namespace)
        elif block.language == "bash":
            run_bash(block, filename)


def run_bash(block, filename):
    """Execute a block of shell; the script of a job array as all of its tasks at once, as Slurm would."""
    # The command of this environment and this code, whether it is installed or not.
    setup = f'set -euo pipefail\ndaskelm() {{ "{sys.executable}" -m daskelm "$@"; }}\n'
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    array = ARRAY.search(block.code)
    n_tasks = int(array[1]) + 1 if array else 1
    slurm = {"SLURM_CPUS_PER_TASK": "1"} if "#SBATCH --cpus-per-task" in block.code else {}
    if array:
        slurm["SLURM_ARRAY_TASK_COUNT"] = str(n_tasks)
    tasks = [
        subprocess.Popen(
            ["bash", "-c", setup + block.code],
            env=environment | slurm | ({"SLURM_ARRAY_TASK_ID": str(i)} if array else {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for i in range(n_tasks)
    ]
    said = [task.communicate(timeout=240)[0] for task in tasks]
    for task, output in zip(tasks, said, strict=True):
        assert task.returncode == 0, f"{filename}, line {block.line}: exit code {task.returncode}\n{output}"


def links(text):
    """Targets of relative links and images, without anchors."""
    prose = INLINE_CODE.sub("", FENCE.sub("", text))
    targets = [(a or b).partition("#")[0] for a, b in LINK.findall(prose)]
    return [target for target in targets if target and not re.match(r"[a-z]+:", target)]


def make_targets(text):
    """X and Y of each `make X Y` in code, inline or in blocks."""
    code = [block.code for block in blocks(text)] + INLINE_CODE.findall(FENCE.sub("", text))
    return {t for line in re.findall(r"^(?:\$ )?make +([a-z][a-z -]*)$", "\n".join(code), re.M) for t in line.split()}


every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


# Shell starts many processes, and each imports all there is.
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "page",
    [
        pytest.param(path, id=str(path.relative_to(ROOT)), marks=pytest.mark.full if path.stem == "job_arrays" else ())
        for path in PAGES
    ],
)
def test_code_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(page.read_text(encoding="utf-8"), str(page))


def test_the_idea_shows_the_reference_that_tests_compare_with():
    reference = (ROOT / "tests" / "reference.py").read_text(encoding="utf-8").partition('"""\n\n')[2]
    assert reference in [block.code for block in blocks((ROOT / "docs" / "idea.md").read_text(encoding="utf-8"))]


@every_page
def test_every_block_is_run_or_says_why_not(page):
    for block in blocks(page.read_text(encoding="utf-8")):
        assert block.language in LANGUAGES, f"{page.name}, line {block.line}: {block.language!r} is not in {LANGUAGES}"
        if block.opt_out is None:
            continue
        reason, test = block.opt_out.group("reason", "test")
        named = test and (ROOT / test).is_file() and page.name in (ROOT / test).read_text(encoding="utf-8")
        assert (reason or "").strip() or named, f"{page.name}, line {block.line}: no reason, and no test that names it"


@every_page
def test_links_lead_to_files(page):
    missing = [target for target in links(page.read_text(encoding="utf-8")) if not (page.parent / target).exists()]
    assert not missing


@every_page
def test_make_targets_exist(page):
    makefile = (ROOT / "Makefile").read_text()
    missing = [t for t in make_targets(page.read_text(encoding="utf-8")) if not re.search(rf"^{t}:", makefile, re.M)]
    assert not missing


SAMPLE = """
Prose, `make this`, and [a page](docs/page.md#part), ![a picture](a.png), [a site](https://example.org), [up](#up).

```python
x = 1
```

<!-- not run: it needs a cluster -->
```python
raise RuntimeError
```

1. In a list:

   ```python
   x += 1 / 0
   ```

```console
$ make that
```

<!-- run by tests/project/test_docs.py -->
```python
raise RuntimeError
```
"""


def test_pages_are_read_as_they_should_be():
    assert [(b.language, b.line, b.opt_out is not None) for b in blocks(SAMPLE)] == [
        ("python", 5, False),
        ("python", 10, True),
        ("python", 16, False),
        ("console", 20, False),
        ("python", 25, True),
    ]
    assert links(SAMPLE) == ["docs/page.md", "a.png"]
    assert make_targets(SAMPLE) == {"this", "that"}
    with pytest.raises(ZeroDivisionError) as error:
        run(SAMPLE, "sample.md")
    assert error.traceback[-1].lineno + 1 == 16


SHELL = """
```bash
#!/bin/bash
#SBATCH --array=0-2
echo $SLURM_ARRAY_TASK_COUNT > task-$SLURM_ARRAY_TASK_ID
```

```bash
cat task-* > all
[[ -z ${SLURM_ARRAY_TASK_ID:-} ]]
daskelm --version
```

```bash
daskelm no-such-command | cat
```
"""


def test_shell_is_run_and_job_arrays_as_all_their_tasks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AssertionError, match="(?s)shell.md, line 15: exit code 2\n.*No such command"):
        run(SHELL, "shell.md")
    assert (tmp_path / "all").read_text() == "3\n3\n3\n"
