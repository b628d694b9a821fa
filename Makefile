# Everything a newcomer needs is `make check` and `make test`; both set up what they use.
# Needs Python 3.11 or newer, a C compiler, the headers of OpenSSL 3 and git; Java only for the TLA+ checks.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYX := $(wildcard impl/scratchbird/*.pyx impl/scratchbird/*.pxd impl/scratchbird/*.pxi model_checks/scratchbird_history/*.pyx)
BUILT := $(VENV)/.built
PROFILE ?= quick
REPORT ?= scratchbird-report

.PHONY: help check test lint types build bench vectors docs clean

help: ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(READY): pyproject.toml setup.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is $$($(PYTHON) --version 2>&1): Python 3.11 or newer is needed; try make PYTHON=python3.12"; exit 1; }
	@echo "Setting up $(VENV) (once; this takes a minute or two)"
	@$(PYTHON) -m venv --clear $(VENV) || \
	  { echo "no virtual environment could be made: on Debian and Ubuntu, apt install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(BUILT)

$(BUILT): $(READY) $(PYX)
	@$(BIN)/python setup.py --quiet build_ext --inplace
	@touch $@

build: $(BUILT) ## set up and compile the production core

check: $(BUILT) ## judge every promise by machine (PROFILE=quick, full or ci), report in scratchbird-report/
	@$(BIN)/scratchbird_check run --profile $(PROFILE) --html $(REPORT)

test: $(BUILT) ## run the tests
	@$(BIN)/python -m pytest -n auto --cov --cov-report=term:skip-covered -q
	@$(BIN)/coverage report --include='reference/*,proofs/*' --fail-under=100 --skip-covered

lint: $(READY) ## look for faults of style and form
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(BUILT) ## check the types of every package, strictly
	@$(BIN)/mypy

bench: $(BUILT) ## measure the clock against its peers, quorums, handoff, exchanges of forests, the history search, hints and windows on disk, as ratios in one run
	@$(BIN)/python tests/bench/bench_hlc.py
	@$(BIN)/python tests/bench/bench_quorum.py
	@$(BIN)/python tests/bench/bench_handoff.py
	@$(BIN)/python tests/bench/bench_merkle_forest.py
	@$(BIN)/python tests/bench/bench_merkle_forest_exchange.py
	@$(BIN)/python tests/bench/bench_history.py
	@$(BIN)/python tests/bench/bench_hint_log.py
	@$(BIN)/python tests/bench/bench_forest_store.py

vectors: $(READY) ## write the conformance vectors anew from the reference
	@$(BIN)/python -m scratchbird_check.conformance.vectors

docs: $(READY) ## write the generated documents anew
	@$(BIN)/python -m scratchbird_check.guarantees

clean: ## remove everything that was built
	rm -rf $(VENV) build dist scratchbird-report .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name '*.egg-info' -prune -exec rm -rf {} +
	find impl model_checks -name '*.so' -delete
	find . -name __pycache__ -prune -exec rm -rf {} +
