# Two commands for a newcomer: `make run` and `make test`. Each sets up everything it needs in .venv, from wheels only.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check install --quiet --only-binary :all:
# As installing a wheel does: else the first start compiles the sources, and every start where they cannot be written beside.
COMPILE := $(BIN)/python -m compileall -q gateway drivers hil

.DEFAULT_GOAL := help
.PHONY: help run test check rig bench crash format clean

help: ## say what there is
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

run: $(VENV)/.run ## watch built-in simulated devices become named values (no hardware, no server, no root)
	@$(BIN)/tidegate demo $(ARGS)

test: $(VENV)/.dev ## run the test suite (no hardware, no root)
	@$(BIN)/python -m pytest $(ARGS)

check: $(VENV)/.dev ## format, lint, types, layers, tests
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest $(ARGS)

rig: $(VENV)/.rig ## test the drivers on a real kernel in virtual machines (Debian; as root it installs what it needs)
	@$(BIN)/python -m hil.kernel $(ARGS)

bench: $(VENV)/.dev ## measure speed and memory against named baselines; writes bench.json
	@$(COMPILE)
	@$(BIN)/python -m tests.bench $(ARGS)

crash: $(VENV)/.dev ## read back what cuts and failing media leave of a ledger (STATES=2000000 SEED=1 STATE=ID KILLS=N)
	@$(BIN)/python -m tests.crash

format: $(VENV)/.dev ## rewrite the sources the way `make check` wants them
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

clean: ## remove everything that make made
	@rm -rf $(VENV) .rig .pytest_cache .mypy_cache .ruff_cache .hypothesis bench.json

$(VENV)/bin/python:
	@command -v $(PYTHON) >/dev/null || { echo "Python is missing: sudo apt install python3 python3-venv"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Tidegate needs Python 3.11 or newer, $(PYTHON) is `$(PYTHON) -V`; name a newer one: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "Python's venv module is missing: sudo apt install python3-venv"; exit 1; }
	@echo "setting up $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: pyproject.toml | $(VENV)/bin/python
	@$(PIP) --editable '.[all]'
	@$(COMPILE)
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	@$(PIP) --editable '.[dev]'
	@$(COMPILE)
	@touch $@ $(VENV)/.run

$(VENV)/.rig: pyproject.toml | $(VENV)/bin/python
	@$(BIN)/python -m hil.kernel.packages
	@$(PIP) --no-binary spidev --editable '.[rig,spi]'  # which comes as source only
	@touch $@ $(VENV)/.dev $(VENV)/.run
