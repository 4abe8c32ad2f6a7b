# `make` lists the targets. They work in .venv, which is made, in the versions of constraints.txt, when it is needed.

PYTHON ?= $(shell command -v python3.11 || echo python3)
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# Those that fail if they miss what the documentation claims.
VERDICTS := benchmarks/small_tables.py benchmarks/flights_by_month.py benchmarks/worker_memory.py \
            benchmarks/sums_contention.py benchmarks/prediction.py benchmarks/scaling.py benchmarks/selection.py \
            benchmarks/selected_models.py benchmarks/coverage.py
HPELM := .venv-hpelm/bin/python
# Pages that are generated for the API are made anew, so that none is left of what is gone.
SPHINX = rm -rf docs/generated && $(BIN)/sphinx-build --quiet -E -c docs

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test campaign cluster lint types docs links bench verdicts speed grid scaling clean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/.examples  ## A real table, from files to a picture, in demo-output/
	$(BIN)/python examples/flights.py

test: .venv/.dev  ## Run the tests, with few random examples each; with a real Slurm too, where one is installed
	$(BIN)/pytest --numprocesses 2 --dist loadfile
	@if [ -z "$(WITHOUT_SLURM)" ] && PATH="$$PATH:/usr/sbin:/sbin" which munged slurmctld slurmd > /dev/null; then \
	    $(BIN)/pytest -m cluster tests/real_clusters/test_slurm.py; fi

campaign: .venv/.dev  ## Run the property tests with many random examples each, and large tables of cases wholly
	DASKELM_CAMPAIGN=full $(BIN)/pytest --numprocesses 2 -m "campaign or full"

cluster: .venv/.dev .venv-docker/.done  ## Run the tests that need root and what .ci/packages installs, which `test` leaves out
	@command -v ip > /dev/null || { echo "cluster: the command ip is missing; as root: .ci/packages" >&2; exit 1; }
	$(BIN)/pytest -m cluster tests/real_clusters

lint: .venv/.dev  ## Check style and layout
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/.dev  ## Check types
	$(BIN)/mypy

docs: .venv/.dev  ## Build the site, warnings being errors: build/docs/index.html
	$(SPHINX) -W --keep-going -b html . build/docs

links: .venv/.dev  ## Look whether the site's links to other sites lead somewhere, which needs the internet
	$(SPHINX) -b linkcheck . build/links

verdicts: .venv/.dev  ## Run the benchmarks that fail if they miss what the documentation claims
	@set -e; for script in $(VERDICTS); do echo "$$script"; $(BIN)/python $$script; done

bench: .venv/.dev speed verdicts  ## Run the benchmarks, about half an hour
	$(BIN)/python benchmarks/profile_fit.py --json bench-output/profile.json
	$(BIN)/python benchmarks/peers.py --json bench-output/peers.json --plot bench-output/peers.png

speed: .venv/.dev .venv-hpelm/.done  ## Measure against the processor's limit, HP-ELM and dask arrays, in bench-output/
	@mkdir -p bench-output
	$(BIN)/python benchmarks/speed.py --hpelm $(HPELM) --json bench-output/speed.json --plot bench-output/speed.png

grid: .venv/.dev .venv-hpelm/.done  ## The same for other inputs, neurons, precisions and layouts of files
	@mkdir -p bench-output
	$(BIN)/python benchmarks/grid.py --hpelm $(HPELM) --json bench-output/grid.json --plot bench-output/grid.png

scaling: .venv/.dev  ## Measure how fits scale, with 1,000 dummy workers and 100,000 tasks, in bench-output/
	@mkdir -p bench-output
	$(BIN)/python benchmarks/scaling.py --large --json bench-output/scaling.json --plot bench-output/scaling.png

clean:  ## Remove all that was made, .venv too
	rm -rf .venv .venv-docker .venv-hpelm docs/generated bench-output .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist demo-output
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.examples: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) --editable '.[examples]'
	@touch $@

# HP-ELM in an environment of its own, to be measured beside.
.venv-hpelm/.done: benchmarks/hpelm.txt
	$(PYTHON) -m venv .venv-hpelm
	$(HPELM) -m pip install --quiet --disable-pip-version-check --requirement benchmarks/hpelm.txt
	@touch $@

# What docker/Dockerfile installs, for the tests of its services; after a change of the code alone, that alone anew.
.venv-docker/.done: docker/Dockerfile docker/Dockerfile.dockerignore pyproject.toml constraints.txt \
                    tests/real_clusters/image.py $(wildcard daskelm/*.py daskelm/*/*.py)
	$(PYTHON) tests/real_clusters/image.py .venv-docker
	@touch $@

# The extra `dev` holds the extra `examples`.
.venv/.dev: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) --editable '.[dev]'
	@touch .venv/.examples $@
