# Everything is set up on the first call, pinned by constraints/, and healed when it is half made.
# Needs make, git and a Python from 3.11 on; choose one with `make PYTHON=/path/to/python3.12 …`.

SHELL := /bin/sh
.DEFAULT_GOAL := help

# In the order of how well Airflow and its dependencies are tested on them.
PYTHONS := python3.12 python3.13 python3.11 python3.14 python3 python
VENV := .venv
BIN := $(VENV)/bin
SOURCES := airflow_provider_tavus dev tests $(patsubst %/,%,$(dir $(firstword $(wildcard example_dags/*.py)) \
	$(firstword $(wildcard benchmarks/*.py))))

.PHONY: help setup demo demo-stop databases s3 test long proofs scale lint matrix benchmark package constraints clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## the environment in .venv (every other target does it when it is needed)
	@for python in $(or $(PYTHON),$(PYTHONS)); do \
		if $$python -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null; \
		then exec $$python dev/environment.py $(VENV) --group lint --group contract --group package; fi; \
	done; \
	echo "error: no Python 3.11 to 3.14 with the modules venv and ensurepip$(if $(PYTHON),: $(PYTHON), on PATH)" \
		"(on Debian and Ubuntu: install python3-venv; another one: make PYTHON=/path/to/python3 …)" >&2; exit 1

demo: setup ## a wait for a conversation, live, on a real Airflow (KEEP=1 leaves Airflow up to look at)
	@$(BIN)/python dev/demo.py $(if $(KEEP),--keep)

demo-stop: setup ## ends what `make demo KEEP=1` left up
	@$(BIN)/python dev/demo.py --stop

databases: setup ## PostgreSQL and MariaDB of Debian's packages, as root; without them their tests are skipped
	@$(BIN)/python dev/database_servers.py

s3: setup ## the tests of collecting into a bucket, on a real S3 server, with Airflow's own connection to it
	@$(BIN)/python dev/environment.py .matrix/s3 --constraints constraints/s3.txt --group test --group s3
	@.matrix/s3/bin/python -m pytest -n 0 tests/unit/collect/test_s3.py $(PYTEST_ARGS)

test: setup ## unit, contract and system tests on the newest Airflow; PYTEST_ARGS="-k …" is passed on (-n 0: one by one)
	@$(BIN)/python -m pytest -n auto -m "not (long or alone)" $(PYTEST_ARGS)

long: setup ## the tests that take longer: processes and parts of Airflow that die wherever they are, and the like
	@$(BIN)/python -m pytest -n auto -m "long and not alone" $(PYTEST_ARGS)

proofs: setup ## the tests that take many minutes each, one by one: 500 conversations that start DAGs, and the like
	@# Each file in a run of its own: the Airflow of one would be in the next one's way.
	@for file in $$(grep -rl "mark\.alone" tests --include=*.py); do \
		$(BIN)/python -m pytest -n 0 -m alone $(PYTEST_ARGS) $$file || exit 1; \
	done

scale: setup ## a thousand waits on a real Airflow, whose triggerer dies among them; WAITS=200 for fewer
	@$(BIN)/python -m pytest tests/system/test_many_waits.py --waits $(or $(WAITS),1000)

lint: setup ## ruff, mypy and the import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy $(SOURCES)
	@$(BIN)/lint-imports

matrix: setup ## the tests on every supported Airflow and every Python at hand; MATRIX_ARGS="--airflow 3.0 --python 3.11"
	@$(BIN)/python dev/matrix.py $(MATRIX_ARGS)

benchmark: setup ## what importing, waiting and collecting cost, side by side with the peers (one alone: BENCHMARK=imports)
	@$(BIN)/python dev/environment.py .matrix/benchmark --group test --group benchmark
	@for each in $(or $(BENCHMARK),imports box waiting collect); do \
		.matrix/benchmark/bin/python benchmarks/$$each.py $(BENCHMARK_ARGS) || exit 1; done

package: setup ## builds the distributions into dist/ and checks them
	@rm -rf dist
	@$(BIN)/validate-pyproject pyproject.toml
	@$(BIN)/python -m build --no-isolation
	@$(BIN)/twine check --strict dist/*
	@$(BIN)/check-wheel-contents dist/*.whl

constraints: setup ## resolves constraints/ anew, for each Airflow as of the date in dev/airflow_releases.py
	@$(BIN)/python -m pip --quiet install --constraint constraints/airflow-3.3.txt uv
	@$(BIN)/python dev/constraints.py

clean: ## removes every environment, cache and build
	@rm -rf $(VENV) .matrix .demo build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
