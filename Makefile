# Each target installs what it needs into .venv and tests/e2e/node_modules, once: a second run starts at once and needs no network.

PYTHON ?= python3
UV_VERSION := 0.13.9
# docker where an engine answers, else podman; asked for only where it is used
CONTAINER ?= $(shell docker info >/dev/null 2>&1 && echo docker || echo podman)
IMAGE ?= auth-gateway:local

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
RUNTIME := .venv/.runtime-installed
PROJECT := .venv/.project-installed
FUZZ_ROUNDS ?= 100
NODE_PACKAGES := tests/e2e/node_modules/.package-lock.json
CORE_COVERAGE := --data-file=.coverage.core

.DELETE_ON_ERROR:
.PHONY: help demo test check conformance fuzz bench image image-test lock clean node-packages

help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(RUNTIME) ## Run issuer, upstream and gateway in one process and print curl lines to paste
	@$(BIN)/python -m gateway demo

check: $(PROJECT) ## Lint, types, import contracts, and the core's tests with all of its branches
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/coverage run $(CORE_COVERAGE) -m pytest tests/unit tests/vectors
	$(BIN)/coverage report $(CORE_COVERAGE) --include='gateway/core/*' --fail-under=100

test: check node-packages ## All that must pass before a change lands
	$(BIN)/python -m pytest --ignore=tests/unit --ignore=tests/vectors

conformance: $(PROJECT) ## Run the tests of the standards and write docs/conformance.md from them
	$(BIN)/python -m tests.conformance

fuzz: $(PROJECT) ## Try a million tokens; make test tries ten thousand (FUZZ_ROUNDS=100, of ten thousand each)
	FUZZ_ROUNDS=$(FUZZ_ROUNDS) $(BIN)/python -m pytest tests/fuzz/test_tokens.py

bench: $(PROJECT) ## Measure against Envoy, HAProxy, Fastify and FastAPI, in bench/results (BENCH_FLAGS="--rounds 1 --seconds 1")
	@$(BIN)/python -m bench $(BENCH_FLAGS)

image: ## Build the container image (IMAGE=auth-gateway:local, BASE_IMAGE=python:3.13-slim)
	$(CONTAINER) build $(if $(findstring podman,$(CONTAINER)),--format docker) --tag $(IMAGE) \
		$(if $(BASE_IMAGE),--build-arg BASE_IMAGE=$(BASE_IMAGE)) \
		--build-arg VERSION=$$(sed -n 's/^__version__ = "\(.*\)"/\1/p' gateway/__init__.py) \
		--build-arg REVISION=$$(git rev-parse HEAD 2>/dev/null) .

image-test: ## Build and run the image and the compose file without a Docker engine (root, Debian)
	deploy/image-test/run

lock: pyproject.toml requirements/build.in ## Pin the dependencies anew (LOCK_FLAGS=--upgrade takes the newest)
	$(PYTHON) -m venv --clear build/lock
	build/lock/bin/python -m pip --disable-pip-version-check --quiet install uv==$(UV_VERSION)
	$(call compile,runtime,pyproject.toml)
	$(call compile,build,requirements/build.in)
	$(call compile,dev,pyproject.toml requirements/build.in --group dev -c requirements/runtime.txt -c requirements/build.txt)

# No address of a package index gets into the files, so they serve with any mirror; the hashes say what is right.
compile = build/lock/bin/uv pip compile --quiet --no-config --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-annotate --custom-compile-command 'make lock' $(LOCK_FLAGS) \
	--output-file requirements/$(1).txt $(2)

clean: ## Remove all that was made or installed here
	rm -rf .venv build dist htmlcov tests/e2e/node_modules bench/peers/fastify/node_modules .coverage* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find gateway tests bench -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "auth-gateway needs Python 3.11 or newer, but $(PYTHON) is: $$($(PYTHON) --version 2>&1 | head -n 1)" >&2; \
		echo "Name another one, for example: make PYTHON=python3.13 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv --clear .venv

$(RUNTIME): requirements/runtime.txt | $(BIN)/python
	$(PIP) install --require-hashes --requirement requirements/runtime.txt
	@touch $@

$(PROJECT): requirements/dev.txt pyproject.toml | $(BIN)/python
	$(PIP) install --require-hashes --requirement requirements/dev.txt
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $(RUNTIME) $@

ifneq ($(shell command -v npm 2>/dev/null),)
node-packages: $(NODE_PACKAGES)
else
node-packages:
	@echo "WARNING: Node.js and npm are not installed: the tests against a real issuer are SKIPPED (with CI set they fail)." >&2
endif

$(NODE_PACKAGES): tests/e2e/package.json tests/e2e/package-lock.json
	cd tests/e2e && npm ci --ignore-scripts --no-audit --no-fund
	@touch $@
