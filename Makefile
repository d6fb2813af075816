# Everything that is done by hand or by CI has a target here. `make run` and `make test` work on a fresh clone.
# TALLY_PURE=1 in the environment: the engine is not compiled, and runs interpreted even where it was compiled before.

VENV ?= .venv
ARGS ?=
# The first of these that is Python 3.11 or newer and can make virtual environments is taken; PYTHON=... decides.
PYTHON_CANDIDATES = $(or $(PYTHON),python3.11 python3 python3.12 python3.13 python3.14 python)
SUITABLE = import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
INSTALLED = $(VENV)/.installed
# Made from the sources of the engine, where they changed: half a second if nothing did.
COMPILED = engine/compiled.json
COMPILE = $(VENV)/bin/python setup.py --quiet build_ext --inplace

.PHONY: help install run kafka test coverage mutants check format bench wheel clean

help:
	@echo "make install   make $(VENV), install Tallystick with its tools, compile the engine (done by the others when needed)"
	@echo "make run       a whole exchange on this machine: tally up (ARGS=\"--demo --port 9000\")"
	@echo "make kafka     a Kafka broker on 127.0.0.1:9092, until Ctrl-C; needs Java 17 and Maven (ARGS=\"--port 9192\")"
	@echo "make test      the tests (ARGS=\"-k ledger\")"
	@echo "make coverage  do the tests of the state machine reach every branch of it? (at least 95 %)"
	@echo "make mutants   are the tests any good? (ARGS=\"--only fee-rounded-down\")"
	@echo "make check     format, lint and types; changes nothing"
	@echo "make format    format and mend what the linter can mend"
	@echo "make bench     measure parts of the exchange (ARGS=\"engine\")"
	@echo "make wheel     build a wheel for this kind of machine, the engine compiled, into dist/"
	@echo "make clean     remove the environment, what was compiled and all caches; tally-data and .kafka are kept"

install: $(INSTALLED)
	@$(COMPILE)

$(INSTALLED): pyproject.toml
	@python=; for candidate in $(PYTHON_CANDIDATES); do \
		if "$$candidate" -c '$(SUITABLE)' 2>/dev/null; then python="$$candidate"; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
		echo "Tallystick needs Python 3.11 or newer with venv and pip; looked for: $(PYTHON_CANDIDATES)." >&2; \
		echo "Install it (Debian, Ubuntu: apt install python3 python3-venv), or name one: make PYTHON=/path/to/python3.11" >&2; \
		exit 1; \
	fi; \
	echo "installing into $(VENV) with $$("$$python" --version)"; \
	"$$python" -m venv $(VENV)
	@TALLY_PURE=1 $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

$(COMPILED): $(INSTALLED) setup.py $(wildcard engine/*.py engine/*.pxd)
	@$(COMPILE)

run: $(COMPILED)
	@$(VENV)/bin/tally up $(ARGS)

kafka:
	@deploy/kafka/broker run $(ARGS)

test: $(COMPILED)
	$(VENV)/bin/python -m pytest $(ARGS)

# Coverage cannot see into compiled modules. None of these tests starts processes or waits, so each core runs some.
coverage: $(INSTALLED)
	TALLY_PURE=1 $(VENV)/bin/python -m pytest --numprocesses auto --cov --cov-branch --cov-fail-under=95 tests/engine tests/acceptance $(ARGS)

mutants: $(INSTALLED)
	@$(VENV)/bin/tally mutants $(ARGS)

check: $(INSTALLED)
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

format: $(INSTALLED)
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

bench: $(COMPILED)
	$(VENV)/bin/tally bench $(ARGS)

# What an earlier build left in build/lib would get into the wheel.
wheel: $(INSTALLED)
	rm -rf build/lib* build/bdist*
	$(VENV)/bin/python -m pip wheel --quiet --disable-pip-version-check --no-build-isolation --no-deps --wheel-dir dist .
	@ls dist/*.whl

clean:
	rm -rf $(VENV) build dist engine/*.so engine/*.c $(COMPILED) *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
