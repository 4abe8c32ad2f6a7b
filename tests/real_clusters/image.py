"""What docker/Dockerfile installs, in a virtual environment, where no engine is to build the image.

`python image.py FOLDER` makes that environment, or brings one up to date in which only the code of daskelm is old.
"""

import fnmatch
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "docker" / "Dockerfile"
# What decides which packages there are, and at which versions.
DECIDING = (DOCKERFILE, ROOT / "pyproject.toml", ROOT / "constraints.txt")


class Step(NamedTuple):
    instruction: str
    value: str


def steps() -> list[Step]:
    """Instructions of the Dockerfile in order, each on one line, without comments."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if line and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [Step(*line.split(maxsplit=1)) for line in joined.splitlines()]


def values(instruction: str) -> list[str]:
    return [step.value for step in steps() if step.instruction == instruction]


def environment() -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in values("ENV"))


def sent(path: str) -> bool:
    """Whether the engine is given a path of the repository, by the rules that the ignore file of this image needs."""
    given = True
    for line in DOCKERFILE.with_name("Dockerfile.dockerignore").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        keep, pattern = line.startswith("!"), line.removeprefix("!").removeprefix("**/")
        parts = path.split("/")
        if "**/" in line:
            hit = any(fnmatch.fnmatch(part, pattern) for part in parts)
        else:
            hit = fnmatch.fnmatch(parts[0], pattern)
        if hit:
            given = keep
    return given


def copy_files(into: Path) -> None:
    """Do the COPY steps, to one folder."""
    for value in values("COPY"):
        *sources, target = value.split()
        for source in sources:
            files = [ROOT / source] if (ROOT / source).is_file() else sorted((ROOT / source).rglob("*"))
            for file in files:
                if not file.is_file() or not sent(str(file.relative_to(ROOT))):
                    continue
                inside = file.name if file == ROOT / source else str(file.relative_to(ROOT / source))
                place = into / target / inside
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, place)


def installing() -> list[str]:
    """The RUN steps that install Python packages; the others are for the system of an image alone."""
    return [value for value in values("RUN") if value.startswith("python -m pip install ")]


def digest() -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in DECIDING)).hexdigest()


def state(venv: Path) -> dict:
    """What is known of an environment that was made here: the digest it was made by, and its packages then."""
    note = venv / "image.json"
    return json.loads(note.read_text()) if note.is_file() else {}


def make(venv: Path) -> None:
    """Run the installing steps in a fresh environment; in the one that is there if none but the code has changed."""
    if state(venv).get("digest") != digest():
        shutil.rmtree(venv, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    (venv / "image.json").unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        copy_files(Path(folder))
        for command in installing():
            subprocess.run(
                ["bash", "-euc", f'PATH="{venv.resolve()}/bin:$PATH"\n{command}'],
                cwd=folder,
                check=True,
                stdout=subprocess.DEVNULL,
            )
    frozen = subprocess.run(
        [venv / "bin" / "python", "-m", "pip", "freeze"], check=True, stdout=subprocess.PIPE, text=True
    )
    (venv / "image.json").write_text(json.dumps({"digest": digest(), "packages": frozen.stdout.splitlines()}))


if __name__ == "__main__":
    make(Path(sys.argv[1]))
