# Trainyard: `make run` does the main job, `make test` runs every test. Both set up all they need.
.DEFAULT_GOAL := help
.PHONY: help run catalogue test test-fast check dashboard report clean
SHELL := /bin/bash

PYTHON ?= python3.11
JOBS ?= 1
VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export DVC_NO_ANALYTICS := 1
PIP := python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

run: $(VENV)/.run ## fetch, shard, train, evaluate, promote and report, then show the table (JOBS=2: two at once)
	@[ $(JOBS) = 1 ] || python -m pipelines.catalogue stage=report jobs=$(JOBS)
	@dvc repro report
	@python -m pipelines.report show=table

catalogue: $(VENV)/.run ## train every recipe that is not trained yet, the short ones first: many hours
	@python -m pipelines.catalogue jobs=$(JOBS)

test: $(VENV)/.test ## all tests
	@python -m pytest

test-fast: $(VENV)/.test ## those that start no Ray, no server and no whole training: two minutes
	@python -m pytest -m "not ray and not server and not slow" --hypothesis-profile=fast

check: $(VENV)/.test ## format, lint, types, import contracts: what CI runs before the tests
	ruff format --check .
	ruff check .
	pyright
	lint-imports

dashboard: $(VENV)/.run ## MLflow's pages on loopback
	@python -m pipelines.track dashboard

report: $(VENV)/.run ## write the report again and say where it is
	@python -m pipelines.report

clean: ## remove what was trained and built; data, runs and the tracking store stay
	rm -rf build dvc.lock

# Only what pyproject.toml asks for is installed, not the project: it is used from its root.
DEPENDENCIES = python -c "import tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; print(*project$(1), sep='\n')"

$(VENV)/.run: pyproject.toml constraints.txt
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV) || { echo "error: $(PYTHON) with venv is missing. Run: sudo apt-get install python3.11-venv, or name another: make PYTHON=python3.12" >&2; exit 2; }
	@echo "Setting up $(VENV): about two minutes, once."
	@$(call DEPENDENCIES,['dependencies']) > $(VENV)/requirements.txt && $(PIP) --requirement $(VENV)/requirements.txt
	@touch $@

$(VENV)/.test: $(VENV)/.run
	@echo "Setting up the tools for tests."
	@$(call DEPENDENCIES,['optional-dependencies']['dev']) > $(VENV)/requirements-dev.txt && $(PIP) --requirement $(VENV)/requirements-dev.txt
	@touch $@
