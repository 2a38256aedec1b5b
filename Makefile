# `make help` lists the targets. Each sets up .venv first if it must.

PYTHON ?= python3
VENV := .venv
SUITE := $(VENV)/.suite
DEV := $(VENV)/.dev
CORES ?= all
# Where pip looks for PyTorch besides its usual index: that of the CPU builds makes .venv 4 GB less.
TORCH_INDEX ?=
PIP := $(VENV)/bin/python -m pip install --quiet -c requirements.lock \
	$(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

SNAKEMAKE := $(VENV)/bin/snakemake --cores $(CORES)
# The folder of the data sets, for `make lite`.
DATA ?= $(METAUG_DATA_ROOT)

.DEFAULT_GOAL := help
.PHONY: help table1 lite smoke all report doctor test ci quick lint docs bench lock

help: ## this list
	@sed -n 's/^\([a-z0-9]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16
	@echo
	@echo "  CORES=N for fewer cores than there are; TORCH_INDEX=ADDRESS for PyTorch's CPU build."
	@echo "  All else, after . $(VENV)/bin/activate: snakemake --cores all TARGET; metaug --help"

table1: $(SUITE) ## Table 1 at the scale smoke, minutes on two cores
	$(SNAKEMAKE) table1

lite: $(SUITE) ## Table 1 on real images, hours: make lite DATA=DIR, the folder of the data sets
	@test -n "$(DATA)" || { echo "error: make lite DATA=DIR, the folder of the data sets" >&2; exit 2; }
	@command=$$($(VENV)/bin/metaug doctor --scale lite --config 'data_root=$(DATA)' --command) && \
		echo "$$command" && eval "$$command --cores $(CORES)"

# The method that `make smoke` tries, for instance one of your own.
METHOD ?= metaug
smoke: $(SUITE) ## Table 1 at the scale smoke of one method: make smoke METHOD=simclr
	$(SNAKEMAKE) table1 --config 'methods=[random,supervised,$(METHOD)]'

all: $(SUITE) ## every table, figure and claim at the scale smoke, hours
	$(SNAKEMAKE) all

report: $(SUITE) ## tables, figures and claims on one HTML page; prints its address
	$(SNAKEMAKE) report

doctor: $(SUITE) ## what there is to work with, and what can be run
	@$(VENV)/bin/metaug doctor

test: lint ## linters and tests
	$(VENV)/bin/python -m pytest -n 2 -q --dist worksteal -m "not end_to_end"

ci: lint ## the same and whole programs: Snakemake, jobs, examples; what CI does
	$(VENV)/bin/python -m pytest -n 2 -q

quick: $(DEV) ## the fast part of the tests, in about a minute
	$(VENV)/bin/python -m pytest -n 2 -q --dist worksteal -m "not slow and not end_to_end"

lint: $(DEV) docs ## linters
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(VENV)/bin/codespell
	$(VENV)/bin/snakefmt --check Snakefile workflow
	$(VENV)/bin/snakemake --lint

docs: $(DEV) ## the documentation as a site, built strictly: .site/html/index.html
	$(VENV)/bin/python docs/build.py

bench: $(DEV) ## speed, against independent references
	$(VENV)/bin/python -m benchmarks

# Add to both locks what pyproject.toml newly asks for. To renew all versions, remove
# requirements-hashed.txt before.
lock: $(DEV) ## after a change of pyproject.toml: both locks
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
