# One way in for people and for CI. Every target sets up what it needs; `make help` lists them.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
MAKEFLAGS += --no-builtin-rules

VENV := .venv
PYTHON_RUN := $(VENV)/bin/python
PYTEST := $(PYTHON_RUN) -m pytest
INSTALLED := $(VENV)/.installed
SERVERS := mosquitto influxdb postgresql

# What goes to `wattpost demo`, for example ARGS="--duration 60", or which benchmarks to run, ARGS="store commands".
ARGS ?=
# The seed that `make sim` replays.
SEED ?=
# How long the simulation searches for a world that goes wrong, in seconds: within `check`, and within `test`.
SIM_SECONDS_CHECK ?= 10
SIM_SECONDS_TEST ?= 120

.PHONY: help demo test check lint bench fix sim pictures clean

help: ## List the targets
	@grep -hE '^[a-z]+:.*## ' Makefile | awk -F ':.*## ' '{ printf "  make %-8s %s\n", $$1, $$2 }'

demo: $(INSTALLED) ## Run a small village on this machine for two minutes (ARGS="…" goes to `wattpost demo`)
	@tests/rig/packages.sh --optional mosquitto
	@$(VENV)/bin/wattpost demo $(ARGS)

test: $(INSTALLED) ## Run everything: check, then real servers, whole systems, a long simulation
	@tests/rig/packages.sh $(SERVERS)
	@$(MAKE) --no-print-directory check
	$(PYTEST) tests/integration
	$(PYTEST) --timeout=600 tests/e2e
	SIM_SECONDS=$(SIM_SECONDS_TEST) $(PYTEST) --timeout=900 tests/simulation

check: lint ## Run the quick part, about two minutes: format, lint, types, unit, contract, short simulation
	FUZZ_SECONDS=1 $(PYTEST) --numprocesses logical tests/unit tests/contract
	SIM_SECONDS=$(SIM_SECONDS_CHECK) $(PYTEST) tests/simulation

lint: $(INSTALLED) ## Check format, style, import rules and types
	$(PYTHON_RUN) -m ruff format --check --output-format concise .
	$(PYTHON_RUN) -m ruff check --output-format concise .
	$(VENV)/bin/lint-imports --no-logo
	$(PYTHON_RUN) -m mypy

bench: $(INSTALLED) ## Measure, as ratios against a baseline of the same run
	@tests/rig/packages.sh $(SERVERS)
	@$(PYTHON_RUN) -m tests.bench $(ARGS)

fix: $(INSTALLED) ## Format, repair what ruff can, write the generated files anew
	$(PYTHON_RUN) -m ruff format --quiet .
	$(PYTHON_RUN) -m ruff check --fix .
	$(PYTHON_RUN) -m tests.rig.requirements_table
	$(PYTHON_RUN) -m tests.rig.catalogue_table
	$(VENV)/bin/wattpost dashboards build

sim: $(INSTALLED) ## Replay one simulated world: make sim SEED=42
	@test -n "$(SEED)" || { echo 'make sim: which world? For example: make sim SEED=42' >&2; exit 2; }
	$(PYTHON_RUN) -m tests.simulation.replay $(SEED)

pictures: $(INSTALLED) ## Draw docs/dashboards anew, from some days of the simulated network
	@tests/rig/packages.sh influxdb
	@$(PYTHON_RUN) -m tests.simulation.seeing.pictures

clean: ## Remove the virtual environment and all caches; data in var/ stay
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml tests/rig/venv.sh
	@echo 'setting up $(VENV), once'
	@tests/rig/venv.sh $(VENV)
	@touch $@
