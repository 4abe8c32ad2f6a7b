# `make` lists the targets. They use .venv, which is made when it is needed, with the versions of constraints.txt.

PYTHON ?= $(shell command -v python3.11 || echo python3)
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# These benchmarks fail if they miss what the documentation claims.
VERDICTS := benchmarks/small_tables.py benchmarks/flights_by_month.py benchmarks/worker_memory.py \
            benchmarks/sums_contention.py benchmarks/prediction.py benchmarks/scaling.py benchmarks/selection.py \
            benchmarks/selected_models.py benchmarks/coverage.py benchmarks/default_penalty.py benchmarks/text.py \
            benchmarks/categories.py
HPELM := .venv-hpelm/bin/python
# Generated pages of the API are removed first, so that none is left of a name that no longer exists.
SPHINX = rm -rf docs/generated && $(BIN)/sphinx-build --quiet -E -c docs

# Tests start hundreds of processes: each would compile daskelm anew (1 s) where Python keeps no bytecode, and threads of
# BLAS would be in each other's way.
test campaign cluster: export PYTHONDONTWRITEBYTECODE :=
test campaign: export OPENBLAS_NUM_THREADS := 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test campaign cluster lint types docs links bench verdicts speed grid scaling clean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/.examples  ## The Earth's magnetic field, from files to a map of errors, in demo-output/
	$(BIN)/python examples/magnetic_field.py

test: .venv/.dev  ## Run the tests, with few random examples each; also those with Slurm, where it is installed
	$(BIN)/pytest --numprocesses 2 --dist worksteal
	@if [ -z "$(WITHOUT_SLURM)" ] && PATH="$$PATH:/usr/sbin:/sbin" which munged slurmctld slurmd > /dev/null; then \
	    $(BIN)/pytest -m cluster tests/real_clusters/test_slurm.py; fi

campaign: .venv/.dev  ## Run the property tests with many random examples each, and the long tests that `test` leaves out
	DASKELM_CAMPAIGN=full $(BIN)/pytest --numprocesses 2 -m "campaign or full"

cluster: .venv/.dev .venv-docker/.done  ## Run the tests that `test` leaves out: they need root, and what .ci/packages installs
	@command -v ip > /dev/null || { echo "cluster: the command ip is missing; as root: .ci/packages" >&2; exit 1; }
	$(BIN)/pytest -m cluster tests/real_clusters

lint: .venv/.dev  ## Check style and layout
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/.dev  ## Check types
	$(BIN)/mypy

docs: .venv/.dev  ## Build the site, build/docs/index.html; warnings are errors
	$(SPHINX) -W --keep-going -b html . build/docs

links: .venv/.dev  ## Check the site's links to other sites, which needs the internet
	$(SPHINX) -b linkcheck . build/links

verdicts: .venv/.dev  ## Run the benchmarks that fail if they miss what the documentation claims
	@set -e; for script in $(VERDICTS); do echo "$$script"; $(BIN)/python $$script; done

bench: .venv/.dev speed verdicts  ## Run the benchmarks, about half an hour
	$(BIN)/python benchmarks/sparse_rows.py --texts --json bench-output/sparse.json
	$(BIN)/python benchmarks/profile_fit.py --json bench-output/profile.json
	$(BIN)/python benchmarks/peers.py --json bench-output/peers.json --plot bench-output/peers.png

speed: .venv/.dev .venv-hpelm/.done  ## Compare speed with the processor's limit, HP-ELM and dask arrays, in bench-output/
	@mkdir -p bench-output
	$(BIN)/python benchmarks/speed.py --hpelm $(HPELM) --json bench-output/speed.json --plot bench-output/speed.png

grid: .venv/.dev .venv-hpelm/.done  ## Compare speed for other inputs, neurons, precisions and layouts of files, in bench-output/
	@mkdir -p bench-output
	$(BIN)/python benchmarks/grid.py --hpelm $(HPELM) --json bench-output/grid.json --plot bench-output/grid.png

scaling: .venv/.dev  ## Measure how fits scale, with 1,000 dummy workers and 100,000 tasks, in bench-output/
	@mkdir -p bench-output
	$(BIN)/python benchmarks/scaling.py --large --json bench-output/scaling.json --plot bench-output/scaling.png

clean:  ## Remove all that make made, .venv too
	rm -rf .venv .venv-docker .venv-hpelm docs/generated bench-output .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist demo-output
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.examples: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) --editable '.[examples]'
	@touch $@

# HP-ELM has an environment of its own; benchmarks run it beside daskelm.
.venv-hpelm/.done: benchmarks/hpelm.txt
	$(PYTHON) -m venv .venv-hpelm
	$(HPELM) -m pip install --quiet --disable-pip-version-check --requirement benchmarks/hpelm.txt
	@touch $@

# Packages that docker/Dockerfile installs, for the tests of its services. If only the code of daskelm has changed,
# only that is installed again.
.venv-docker/.done: docker/Dockerfile docker/Dockerfile.dockerignore pyproject.toml constraints.txt \
                    tests/real_clusters/image.py $(wildcard daskelm/*.py daskelm/*/*.py)
	$(PYTHON) tests/real_clusters/image.py .venv-docker
	@touch $@

# The extra `dev` holds the extra `examples`.
.venv/.dev: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) --editable '.[dev]'
	@touch .venv/.examples $@
