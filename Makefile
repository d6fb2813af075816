# Everything that is done by hand or by CI has a target here. `make run` and `make test` work on a fresh clone.

VENV ?= .venv
ARGS ?=
# The first of these that is Python 3.11 or newer and can make virtual environments is taken; PYTHON=... decides.
PYTHON_CANDIDATES = $(or $(PYTHON),python3.11 python3 python3.12 python3.13 python3.14 python)
SUITABLE = import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
INSTALLED = $(VENV)/.installed

.PHONY: help install run test coverage mutants check format bench clean

help:
	@echo "make install   make $(VENV) and install Tallystick with its tools (done by the others when needed)"
	@echo "make run       a whole exchange on this machine: tally up (ARGS=\"--demo --port 9000\")"
	@echo "make test      the tests (ARGS=\"-k ledger\")"
	@echo "make coverage  do the tests of the state machine reach every branch of it? (at least 95 %)"
	@echo "make mutants   are the tests any good? (ARGS=\"--only fee-rounded-down\")"
	@echo "make check     format, lint and types; changes nothing"
	@echo "make format    format and mend what the linter can mend"
	@echo "make bench     measure parts of the exchange (ARGS=\"engine\")"
	@echo "make clean     remove the environment and all caches; tally-data is kept"

install: $(INSTALLED)

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
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

run: $(INSTALLED)
	@$(VENV)/bin/tally up $(ARGS)

test: $(INSTALLED)
	$(VENV)/bin/python -m pytest $(ARGS)

coverage: $(INSTALLED)
	$(VENV)/bin/python -m pytest --cov --cov-branch --cov-fail-under=95 tests/engine tests/acceptance $(ARGS)

mutants: $(INSTALLED)
	@$(VENV)/bin/tally mutants $(ARGS)

check: $(INSTALLED)
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

format: $(INSTALLED)
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

bench: $(INSTALLED)
	$(VENV)/bin/tally bench $(ARGS)

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
