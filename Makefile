# Two commands: `make table1` and `make test`. Each sets up .venv first if it must.

PYTHON ?= python3
VENV := .venv
SUITE := $(VENV)/.suite
DEV := $(VENV)/.dev
CORES ?= all
# Where pip looks for PyTorch besides its usual index: that of the CPU builds makes .venv 4 GB less.
TORCH_INDEX ?=
PIP := $(VENV)/bin/python -m pip install --quiet -c requirements.lock \
	$(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

.PHONY: table1 test lint bench lock

table1: $(SUITE)
	$(VENV)/bin/snakemake --cores $(CORES) table1

test: lint
	$(VENV)/bin/python -m pytest -n 2 -q

lint: $(DEV)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(VENV)/bin/codespell
	$(VENV)/bin/snakefmt --check Snakefile workflow
	$(VENV)/bin/snakemake --lint

bench: $(DEV)
	$(VENV)/bin/python -m benchmarks

# Add to both locks what pyproject.toml newly asks for. To renew all versions, remove
# requirements-hashed.txt before.
lock: $(DEV)
	$(VENV)/bin/python -m pip install --quiet uv
	$(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-header --no-annotate --extra dev -o requirements-hashed.txt pyproject.toml
	{ sed '/^[^#]/,$$d' requirements.lock; \
		sed -n 's/ *\\$$//; /^[^ ]/p' requirements-hashed.txt; } > $(VENV)/requirements.lock
	mv $(VENV)/requirements.lock requirements.lock

$(SUITE): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: $(PYTHON) is older than Python 3.11; try make PYTHON=python3.12" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) -e '.[suite]'
	touch $@

$(DEV): $(SUITE)
	$(PIP) -e '.[dev]'
	touch $@

.PHONY: docs smoke

# The site of the documentation in .site/html, built strictly.
lint: docs
docs: $(DEV)
	$(VENV)/bin/python docs/build.py

# Table 1 at the smoke scale of one method, beside the untrained and the supervised network.
METHOD ?= metaug
smoke: $(SUITE)
	$(VENV)/bin/snakemake --cores $(CORES) table1 --config 'methods=[random,supervised,$(METHOD)]'
