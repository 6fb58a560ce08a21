# One command does all the set-up and runs; see README.md.
PYTHON ?= python3
BIN := .venv/bin

# Every package that is installed is pinned, also those that build this one in a place of its own: pip reads
# these two where it does that (which of them depends on its age), and -c would not reach there.
export PIP_CONSTRAINT := constraints.txt
export PIP_BUILD_CONSTRAINT := constraints.txt
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check

# The tests go to a process for each core, whole files at a time; each loads PyTorch, so four are enough.
SHARED := -n auto --maxprocesses 4 --dist loadfile

# Compiled once, not anew in each of the many processes that the tests start.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-all test-vllm test-cluster fuzz lint install wheel walk constraints clean

demo: .venv/installed  ## train a small GPT and read what it writes
	$(BIN)/xinye demo

test: .venv/installed-dev  ## the tests, in minutes
	$(BIN)/python -m pytest $(SHARED)

test-all: .venv/installed-dev  ## the slow tests too
	$(BIN)/python -m pytest $(SHARED) -m "slow or not slow"

test-vllm: .venv/installed-dev  ## vLLM writes the same greedy text; installs it in build/vllm (3.5 GB)
	XINYE_TEST_VLLM=required $(BIN)/python -m pytest -m slow -rs tests/checkpoints/test_vllm.py

test-cluster: .venv/installed-dev  ## two hosts of namespaces and a small Slurm, as root in a container; FLAGS=--without-slurm
	$(BIN)/python tests/cluster/check.py $(FLAGS)

fuzz: .venv/installed-dev  ## a minute of damaged models: only the package's own error may come out
	$(BIN)/python tests/fuzz.py

lint: .venv/installed-dev  ## style, types, and the floors of the house
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tests/words.py

install: .venv/installed  ## only the set-up

wheel: .venv/bin/python  ## dist/xinye-….whl with the compiled code, which needs no C++ compiler where it is installed
	XINYE_WHEEL=compiled $(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps -w dist .
	@ls -t dist/xinye-*.whl | head -n 1

walk: .venv/bin/python  ## the package as others install it: built, in an environment of its own, along the README
	$(BIN)/python tests/walk_readme.py

# With the oldest Python that Xinye runs on, so that what is pinned runs on all of them. PyTorch stays as it is
# pinned: raise it by hand. Packages of one platform only are left to PyTorch, which pins them itself.
constraints: PIP_CONSTRAINT := build/torch.txt
constraints: PIP_BUILD_CONSTRAINT :=
constraints:  ## pin anew what the newest releases of everything are
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "make PYTHON=python3.11 constraints"; exit 2; }
	rm -rf build/constraints && $(PYTHON) -m venv build/constraints
	grep '^torch==' constraints.txt > build/torch.txt
	build/constraints/bin/python $(PIP_INSTALL) -e ".[dev,vectors]"
	build/constraints/bin/python -m pip freeze --all --exclude pip --exclude-editable > build/freeze.txt
	(grep '^#' constraints.txt; sed 's/+[a-z0-9.]*$$//' build/freeze.txt | grep -Ev '^(nvidia|cuda|triton)' | LC_ALL=C sort -f) > build/constraints.txt
	mv build/constraints.txt constraints.txt

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Xinye needs Python 3.11 or newer: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/python $(PIP_INSTALL) -e .
	@touch $@

.venv/installed-dev: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/python $(PIP_INSTALL) -e ".[dev]"
	@touch .venv/installed $@

clean:
	rm -rf .venv build dist
