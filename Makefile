# The one definition of each command, for people and for CI. Needs only python3 (3.11 or later) and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input -qq install -c constraints.txt
# Which build of torch: an index of wheels, or empty for PyPI's (CUDA on Linux). See constraints.txt.
CPU_TORCH := https://download.pytorch.org/whl/cpu
TORCH_INDEX ?= $(shell command -v nvidia-smi >/dev/null 2>&1 || $(PYTHON) -c "import urllib.request as u; u.urlopen('$(CPU_TORCH)/torch/', timeout=3)" 2>/dev/null && echo $(CPU_TORCH))
OF_TORCH = $(if $(strip $(TORCH_INDEX)),--extra-index-url $(strip $(TORCH_INDEX)))
SERVE_OPTIONS := $(if $(MODEL),--model '$(MODEL)') $(if $(PORT),--port $(PORT)) $(if $(HOST),--host '$(HOST)') $(ARGS)
PYTEST_OPTIONS ?=
TEST_PROCESSES ?= 2
PYTEST := $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help serve test lint format examples bench gpu chaos soak fuzz clean

help: ## this list
	@echo "PairLens: make <command>"
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  \1|\2/' | awk -F'|' '{printf "%-10s %s\n", $$1, $$2}'

serve: $(VENV)/.$(if $(MODEL),vl,core) ## install and serve in the foreground; MODEL=<folder or hub id>, PORT=8000, HOST=127.0.0.1
	@exec $(BIN)/pairlens serve $(SERVE_OPTIONS)

# Side by side, but those of one Ray cluster after one another. 5: no test has the name that was asked for.
test: $(VENV)/.dev ## install and run every test that needs no GPU; PYTEST_OPTIONS="-k name", TEST_PROCESSES=2
	$(PYTEST) --durations 25 -n $(TEST_PROCESSES) -m "not gpu and not on_demand and not cluster" $(PYTEST_OPTIONS) || [ $$? -eq 5 ]
	$(PYTEST) --durations 15 -m "cluster and not on_demand" $(PYTEST_OPTIONS) || [ $$? -eq 5 ]

lint: $(VENV)/.dev ## style, types, and which module may import which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev ## let ruff rewrite what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

examples: $(VENV)/.core ## draw the example pairs into examples/pairs
	$(BIN)/python examples/draw_pairs.py

bench: $(VENV)/.dev ## the benchmarks, each a table and a line of JSON
	@for script in $(subst /,.,$(basename $(wildcard benchmarks/bench_*.py benchmarks/faces/bench_*.py benchmarks/jobs/bench_*.py benchmarks/vl/bench_*.py))); do \
	  echo "== $$script"; $(BIN)/python -m $$script || exit 1; done

gpu: ## on a machine with a GPU: its tests, then each row of the benchmark as it is measured; SECONDS=240, PYTHON=python3
	@PYTHONPATH="$(CURDIR)$${PYTHONPATH:+:$$PYTHONPATH}" $(PYTHON) -m benchmarks.gpu \
	  --seconds $(or $(SECONDS),240) $(if $(PYTEST_OPTIONS),--pytest='$(PYTEST_OPTIONS)') $(ARGS)

chaos: $(VENV)/.dev ## kill -9 of everything under load, and what callers saw: tables (half an hour)
	$(BIN)/python -m pytest -m on_demand $(PYTEST_OPTIONS)
	$(BIN)/python -m benchmarks.chaos $(ARGS)
	$(BIN)/python -m benchmarks.jobs.chaos_jobs

soak: $(VENV)/.dev ## an hour of mixed load, faults and disconnects: does anything grow? MINUTES=60
	$(BIN)/python -m benchmarks.soak --minutes $(or $(MINUTES),60)

fuzz: $(VENV)/.fuzz ## hostile requests of every kind: what strangers can do, as a table; SECONDS=1200, ROWS=bombs,flips, FILES=folder
	$(BIN)/python -m benchmarks.hostile --seconds $(or $(SECONDS),1200) $(if $(ROWS),--rows $(ROWS)) $(if $(FILES),--files $(FILES)) $(ARGS)

clean: ## remove the environment and all caches
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis examples/pairs

# The environment, in layers; each stamp is newer than what it was made from, so a second run starts at once.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "PairLens needs Python 3.11 or later; $(PYTHON) is $$($(PYTHON) -V 2>&1). Name another: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "This Python cannot make environments. On Debian: apt install python3-venv"; exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) -V)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.core: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing PairLens, Ray Serve and the reader of text (about 150 MB, once)"
	@$(PIP) -e '.[serve,text]'
	@touch $@

$(VENV)/.vl: $(VENV)/.core
	@echo "Installing PyTorch and transformers to run a model (once; $(if $(OF_TORCH),from $(TORCH_INDEX),the default build))"
	@$(PIP) $(OF_TORCH) -e '.[serve,text,vl]'
	@touch $@

$(VENV)/.dev: $(VENV)/.vl
	@echo "Installing the tools for tests and checks (once)"
	@$(PIP) $(OF_TORCH) -e '.[serve,text,vl,dev]'
	@touch $@

$(VENV)/.fuzz: $(VENV)/.dev
	@$(PIP) $(OF_TORCH) -e '.[serve,text,vl,dev,fuzz]' || echo "atheris has no build for this machine: its row is left out"
	@touch $@
