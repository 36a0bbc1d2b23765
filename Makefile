# The words that people and CI use. `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: help run test lint fix bench lock
VENV := .venv
PY := $(VENV)/bin/python
# The first Python >= 3.11 found; or give your own: make run PYTHON=/path/to/python
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
PYTEST_ARGS ?= -n auto --dist loadfile
PIP_INSTALL = $(PY) -m pip install --quiet --quiet --disable-pip-version-check --require-hashes -r
# Development mode: secrets are made on first use and kept in var/.
export DEBUG ?= true

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-6s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/.installed ## Start the gateway with demo data on http://127.0.0.1:$PORT (8000)
	@exec $(PY) manage.py up

test: lint ## Run everything that guards the project
	@$(PY) -m pytest $(PYTEST_ARGS)

lint: $(VENV)/.installed-dev ## Check style, types, layers, migrations and settings
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy .
	@$(VENV)/bin/lint-imports --no-logo
	@$(PY) manage.py makemigrations --check --dry-run
	@$(PY) manage.py check

fix: $(VENV)/.installed-dev ## Mend style where it can be done mechanically
	@$(VENV)/bin/ruff check --fix .
	@$(VENV)/bin/ruff format .

bench: $(VENV)/.installed-dev ## Measure and print the performance table
	@$(PY) -m bench

lock: $(VENV)/.installed-dev ## Compile the requirements files from pyproject.toml
	@for out in "requirements.txt" "requirements-dev.txt --group dev -c requirements.txt"; do \
		$(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest --generate-hashes \
		--no-emit-index-url --no-emit-find-links --no-header --no-annotate pyproject.toml -o $$out || exit 1; done

# A stamp is newer than its lock file exactly when that lock is installed.
$(VENV)/.installed: requirements.txt
	@$(MAKE_VENV)
	@echo "Installing requirements.txt ..."
	@$(PIP_INSTALL) requirements.txt
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt
	@$(MAKE_VENV)
	@echo "Installing requirements-dev.txt ..."
	@$(PIP_INSTALL) requirements-dev.txt
	@touch $@ $(VENV)/.installed

define MAKE_VENV
test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: install it, or say make $(MAKECMDGOALS) PYTHON=/path/to/python"; exit 1; }; \
$(PYTHON) -m venv $(VENV)
endef
