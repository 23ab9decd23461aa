# SoulBox. `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help
# Else every worker and every process of a test compiles its modules again.
unexport PYTHONDONTWRITEBYTECODE
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help
help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  \033[1m%-14s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: venv
venv: $(VENV)/.installed ## Make the virtual environment with the locked dependencies

$(VENV)/.installed: requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "python3 (3.11 or later) is missing: apt-get install python3 python3-venv"; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed, $$($(PYTHON) --version) was found; set PYTHON=/path/to/python3.11"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the locked dependencies into $(VENV) (about a minute) ..."
	@$(BIN)/python -m pip install -q --require-hashes --no-deps -r requirements.lock
	@$(BIN)/python -m pip install -q --no-deps -e .
	@touch $@

.PHONY: demo
demo: venv ## From nothing to a result: cluster, operator, examples, kubectl and SQL; leaves it running
	@hack/demo

.PHONY: up
up: venv ## Bring up the cluster, PostgreSQL and the operator (again); writes .local/env
	@hack/up

.PHONY: down
down: ## End everything that up started
	@hack/down

.PHONY: generate
generate: venv ## Rewrite every generated file: CRDs, install.yaml, reference docs
	@hack/generate

.PHONY: docs
docs: venv ## Build the docs as a site into site/; a link that leads nowhere breaks it
	@# Not --quiet: with it mkdocs does not count the warnings that --strict fails for.
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "site/index.html"

# `make test` runs all of them.
UNIT_OPTIONS ?= -m "not slow"

.PHONY: check
check: venv ## Lint, types, import rules, generated files and quick unit tests (under a minute)
	@$(MAKE) --no-print-directory -j 2 lint unit

# mypy uses one core only, so both go on beside each other.
.PHONY: lint
lint: venv
	@$(BIN)/ruff check operator hack tests
	@$(BIN)/ruff format --check -q operator tests
	@$(BIN)/lint-imports --config pyproject.toml --no-cache > .lint-imports.log || { cat .lint-imports.log; exit 1; }
	@rm -f .lint-imports.log
	@$(BIN)/mypy operator/soulbox hack/cluster

.PHONY: unit
unit: venv
	@$(BIN)/pytest -q -n 2 $(UNIT_OPTIONS) tests/unit

.PHONY: test
test: venv ## Everything: check, Go tests, then db, runner, api and e2e tests on real servers; leaves nothing running
	@hack/test

.PHONY: test-attacks
test-attacks: venv ## Try the attacks of the threat model, and 300 honest programs, on the real runner
	@hack/test attacks

.PHONY: fuzz
fuzz: venv ## Fuzz what hostile code can send, each target for FUZZ_SECONDS (600)
	@hack/fuzz

.PHONY: bench
bench: venv ## Measure the operator against kubectl exec, bare pods and its goals (10 minutes)
	@hack/bench

.PHONY: bench-db
bench-db: venv ## Measure hot queries and writes at ROWS executions (1,000,000); writes docs/reference/sql-performance.md
	@$(BIN)/python -m tests.perf.bench_db

.PHONY: bench-sampling
bench-sampling: venv ## Measure what sampling 200 Sandboxes costs the operator
	@$(BIN)/python -m tests.perf.bench_sampling

.PHONY: bench-judge
bench-judge: venv ## Measure the judge: ordinary schemas and expressions, hostile ones, and how late the loop was
	@$(BIN)/python -m tests.perf.bench_judge --hostile
