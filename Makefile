# Two commands matter: `make demo` and `make test`. Everything they need, they set up.
# Set-up takes PYTHON=/path/to/python and TORCH=2.13.0; see docs/getting-started.md.

.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
PY := $(BIN)/python
SETUP = python=$$(./tools/find_python.sh) && PYTHON= "$$python" tools/setup.py
PYTEST = $(PY) -m pytest
TITLE = @printf '\n== %s\n'

.PHONY: help setup setup-test vllm demo test test-long check unit lint format types imports contracts alerts \
  pytest bench protos monitoring landed configuration constraints typescript clean distclean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## make .venv with everything the suite needs on one machine
	@$(SETUP) demo

vllm: ## make .venv-vllm with vLLM's CPU build, for `cairn up --generation-python .venv-vllm/bin/python`
	@$(SETUP) vllm

demo: setup ## start the five services, ingest the documentation, answer three questions (EXIT=1: then stop)
	@EXIT="$(EXIT)" $(BIN)/cairn demo

setup-test: # the demo's environment, the tests' tools, vLLM's CPU build, checkov, npm's packages, promtool, a browser
	@$(SETUP) test vllm policy node system

test: setup-test ## check everything: lint, types, import rules, contracts, alerts, all tests
	@./tools/run_steps.sh lint types imports contracts alerts pytest

check: ## the quick checks of code that is being written: lint, types, import rules, contracts
	@./tools/run_steps.sh lint types imports contracts

unit: ## the unit tests alone: no process, no network, seconds (ARGS="-k chunker" narrows)
	@$(PYTEST) tests/unit -q $(ARGS)

lint:
	$(TITLE) "lint (ruff check, ruff format)"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: ## format the code and the contracts
	@$(BIN)/ruff format .
	@$(BIN)/buf format -w

types:
	$(TITLE) "types (pyright)"
	@$(BIN)/pyright

imports:
	$(TITLE) "import rules (import-linter)"
	@$(BIN)/lint-imports

contracts:
	$(TITLE) "contracts (buf lint, format, breaking; stubs current)"
	@$(BIN)/buf lint
	@$(BIN)/buf format --diff --exit-code
	@$(BIN)/buf breaking --against protos/landed.binpb
	@$(PY) tools/generate_stubs.py --check

alerts:
	$(TITLE) "alerts (promtool)"
	@./tools/check_alerts.sh

pytest:
	$(TITLE) "tests (pytest)"
	@$(PYTEST) $(ARGS)

test-long: setup-test ## the long runs: all fault seeds, soak, everything marked "long"
	@$(PYTEST) -m long --timeout 3600

bench: setup ## quick benchmarks, both sides in one run (ARGS=embedding: that one alone)
	@$(BIN)/cairn bench --quick $(or $(ARGS),--all)

protos: ## regenerate the stubs beside the .proto files (with the oldest supported grpcio-tools)
	@$(PY) tools/generate_stubs.py

monitoring: ## regenerate alerts, dashboards, runbooks and docs/metrics.md from monitoring/*.py
	@$(PY) -m monitoring

landed: ## declare today's contracts the ones that later changes must stay compatible with
	@$(BIN)/buf build -o protos/landed.binpb

configuration: ## regenerate docs/configuration.md from the settings classes
	@$(PY) tools/generate_configuration.py

typescript: ## regenerate clients/typescript/cairn.d.ts from the gateway's routes
	@$(PY) tools/generate_typescript.py

constraints: ## note the installed versions of the direct dependencies as the tested ones
	@$(PY) tools/generate_constraints.py

clean: ## remove caches; environments and .cairn/ (your data) stay
	@rm -rf .pytest_cache .ruff_cache .import_linter_cache .hypothesis build dist
	@find . -name __pycache__ -type d -not -path './.venv*' -prune -exec rm -rf {} +

distclean: clean ## remove the environments, too
	@rm -rf .venv .venv-vllm .venv-policy tests/javascript/node_modules
