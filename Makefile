# A fresh clone needs Python >= 3.11, make and, for a DynamoDB that keeps its data, Node. `make help` lists the targets.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
UV_VERSION := 0.13.9
UV := .uv/bin/uv
BIN := .venv/bin
EXAMPLE := examples/build/market.json
BOOKS := examples/build/books/prices.csv
CODE := common infra tasks workflows tests examples

export UV_PROJECT_ENVIRONMENT := .venv
# numpy's threads only wait for each other on arrays this small.
export OPENBLAS_NUM_THREADS := 1

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is %d.%d" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .uv
	.uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

.venv/installed: $(UV) requirements/dev.txt pyproject.toml
	@echo "Installing what requirements/dev.txt names into .venv; the first time takes half a minute"
	test -x $(BIN)/python || $(UV) venv --quiet --python $(PYTHON) .venv
	$(UV) pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements/dev.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	touch $@

# ExtendDB comes from npm and is optional: without Node the local runtime says what it uses instead.
node_modules/.installed: package.json package-lock.json
	@if command -v npm >/dev/null; then npm ci --silent --no-audit --no-fund || echo "npm could not install ExtendDB; going on without it"; \
	 else echo "Node is not here: DynamoDB will be moto, kept in a journal"; fi
	@mkdir -p node_modules && touch $@

.PHONY: setup
setup: .venv/installed node_modules/.installed ## install everything into .venv and node_modules

$(EXAMPLE): .venv/installed examples/build_market.py $(wildcard examples/data/*)
	$(BIN)/python examples/build_market.py

$(BOOKS): .venv/installed examples/build_books.py $(wildcard examples/data/*)
	$(BIN)/python examples/build_books.py

.PHONY: run
run: setup $(EXAMPLE) ## calculate 24 portfolios on real market data through the state machine
	$(BIN)/perfcalc run $(EXAMPLE)

.PHONY: books
books: setup $(BOOKS) ## load the example books and calculate a night over them
	$(BIN)/perfcalc import $(wildcard examples/books/*) $(dir $(BOOKS))*.csv
	$(BIN)/perfcalc nightly --date 2022-01-03 --entity-type portfolio --entity-type account

.PHONY: serve
serve: setup ## serve the API on this machine, the authorizer in front
	$(BIN)/perfcalc serve

.PHONY: console
console: setup ## open the console: executions and results on this machine
	$(BIN)/perfcalc console

.PHONY: openapi
openapi: .venv/installed ## write docs/openapi.json anew
	$(BIN)/python -m workflows.triggers.api.openapi > docs/openapi.json

.PHONY: lint
lint: setup ## ruff, mypy --strict, import-linter, the state machine definitions
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/perfcalc lint

.PHONY: test
test: lint $(EXAMPLE) ## lint and every test but the slow ones
	$(BIN)/pytest -m "not slow" -n auto --dist loadgroup

.PHONY: test-all
test-all: lint $(EXAMPLE) ## everything, the slow suites too
	$(BIN)/pytest -n auto --dist loadgroup

.PHONY: bench
bench: setup ## measure, print ratios
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements/bench.txt
	$(BIN)/python -m tests.benchmarks

.PHONY: simulate
simulate: setup ## simulate fleet runs and what they cost; writes docs/cost.md and docs/scale.md anew
	$(BIN)/python -m infra.capacity

.PHONY: lock
lock: $(UV) ## resolve the dependencies anew into requirements/*.txt, with hashes
	$(UV) pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header pyproject.toml -o requirements/runtime.txt
	$(UV) pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header pyproject.toml --all-extras --group dev -c requirements/runtime.txt -o requirements/dev.txt
	$(UV) pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header --group bench -c requirements/dev.txt -o requirements/bench.txt

STAGE ?= dev
CDK := node_modules/.bin/cdk

.PHONY: synth
synth: setup ## synthesise the CloudFormation templates of STAGE (dev), packages included; no AWS account needed
	$(CDK) synth --quiet --context stage=$(STAGE)

.PHONY: diff
diff: setup ## compare STAGE with what is deployed
	$(CDK) diff --context stage=$(STAGE)

.PHONY: deploy
deploy: setup ## deploy STAGE to the AWS account of the environment
	# Compiles the packages' bytecode, which makes a cold start 2.5 times faster; goes without where it cannot be had.
	$(UV) python install 3.13 || true
	$(CDK) deploy --all --context stage=$(STAGE)

.PHONY: e2e
e2e: setup ## deploy STAGE to an AWS account, run the example there and here, compare, destroy; costs a little
	$(BIN)/python -m tests.e2e --stage $(STAGE) --yes

.PHONY: clean
clean: ## remove what the targets made; keeps .perfcalc, where results are
	rm -rf .venv .uv node_modules cdk.out dist examples/build .mypy_cache .ruff_cache .hypothesis .import_linter_cache
