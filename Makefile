# One command does all the set-up and runs; see README.md.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-all fuzz lint install benchmarks clean

demo: .venv/installed  ## train a small GPT and read what it writes
	$(BIN)/xinye demo

test: .venv/installed-dev  ## the tests, in minutes
	$(BIN)/python -m pytest

test-all: .venv/installed-dev  ## the slow tests too
	$(BIN)/python -m pytest -m "slow or not slow"

fuzz: .venv/installed-dev  ## a minute of damaged models: only the package's own error may come out
	$(BIN)/python tests/fuzz.py

lint: .venv/installed-dev  ## style, types, and the floors of the house
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports

install: .venv/installed

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Xinye needs Python 3.11 or newer: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[plots]"
	@touch $@

.venv/installed-dev: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch .venv/installed $@

clean:
	rm -rf .venv build dist
