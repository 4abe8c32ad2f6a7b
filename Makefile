# `make` lists the targets. They work in .venv, which is made, in the versions of constraints.txt, when it is needed.

PYTHON ?= $(shell command -v python3.11 || echo python3)
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
BENCHMARKS := benchmarks/small_tables.py benchmarks/flights_by_month.py benchmarks/worker_memory.py \
              benchmarks/sums_contention.py benchmarks/profile_fit.py benchmarks/prediction.py benchmarks/scaling.py \
              benchmarks/selection.py benchmarks/selected_models.py benchmarks/coverage.py benchmarks/peers.py
HPELM := .venv-hpelm/bin/python

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test cluster campaign lint types bench speed grid scaling clean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/.examples  ## A real table, from files to a picture, in demo-output/
	$(BIN)/python examples/flights.py

test: .venv/.dev  ## Run the tests, with few random examples each
	$(BIN)/pytest

cluster: .venv/.dev  ## Run the tests that need what .ci/packages installs
	$(BIN)/pytest -m cluster

campaign: .venv/.dev  ## Run the property tests, with many random examples each
	DASKELM_CAMPAIGN=full $(BIN)/pytest -m campaign

lint: .venv/.dev  ## Check style and layout
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/.dev  ## Check types
	$(BIN)/mypy

bench: .venv/.dev speed  ## Run the benchmarks; all but `speed` fail if they miss what the documentation claims
	@set -e; for script in $(BENCHMARKS); do echo "$$script"; $(BIN)/python $$script; done

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
	rm -rf .venv .venv-hpelm bench-output .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist demo-output
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

# The extra `dev` holds the extra `examples`.
.venv/.dev: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) --editable '.[dev]'
	@touch .venv/.examples $@
