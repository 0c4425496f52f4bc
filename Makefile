# The two commands of the README are `make demo` and `make test`. Nothing is needed but Python 3.11 to 3.13.
PYTHON ?= $(shell for p in python3.12 python3.11 python3.13 python3; do command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && { command -v $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help demo test lint bench install pins faults faults-break clean

help:  ## Show the commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile

demo: install  ## The service in front of simulated hosts: a table of decisions, then it stays up
	$(BIN)/autotier demo $(ARGS)

test: install  ## All tests that need no browser and no special rights
	$(BIN)/pytest -q -n 2 --dist loadfile $(ARGS)

lint: install  ## Style, types, architecture
	$(BIN)/ruff check .
	$(BIN)/ruff format --check service tests
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: install  ## Speed and memory beside peers; writes bench-results/
	$(BIN)/python -m tests.bench $(ARGS)

faults: install  ## The fault matrix over both ways upstream; writes tests/faults/TABLE.md
	$(BIN)/python -m tests.faults $(ARGS)

faults-break: install  ## Breaks each rule of the matrix in a copy, which its test must notice
	$(BIN)/python -m tests.faults.breaks $(ARGS)

install: $(STAMP)  ## The environment, from pins with hashes

# uv is taken where it is there, else installed into the environment itself.
$(STAMP): requirements/dev.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "autotier needs Python 3.11, 3.12 or 3.13"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	command -v uv >/dev/null 2>&1 || test -x $(BIN)/uv || $(BIN)/python -m pip install -q uv
	UV=$$(command -v uv || echo $(BIN)/uv); \
	  $$UV pip install -q --python $(BIN)/python --require-hashes -r requirements/dev.txt && \
	  $$UV pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e .
	touch $(STAMP)

pins:  ## Compile the pins again
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --all-extras --group dev pyproject.toml -o requirements/dev.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --extra deep --extra postgresql pyproject.toml -o requirements/run.txt

clean:  ## Remove what can be made again
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache bench-results
