# Two commands: `make table1` and `make test`. Each sets up .venv first if it must.

PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready
CORES ?= all

.PHONY: table1 test lint bench

table1: $(READY)
	$(VENV)/bin/snakemake --cores $(CORES) table1

test: lint
	$(VENV)/bin/python -m pytest -n 2 -q

lint: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/snakefmt --check Snakefile workflow
	$(VENV)/bin/snakemake --lint

bench: $(READY)
	$(VENV)/bin/python -m benchmarks

$(READY): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: $(PYTHON) is older than Python 3.11; try make PYTHON=python3.12" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet -c requirements.lock -e '.[dev]'
	touch $@
