# make demo: environment, then the whole analysis of the sample assay.
# make test: environment with the test tools, then every check and test (those against SLURM skip without it).
# make check smoke: style, imports, types and the quickest tests, in two minutes. make test-quick: all but the slow ones.
# make test-companions: tests that need other libraries, in an environment of their own. make docs: the site, into site/.
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install
# one line per package while pip works, so that a first install does not look like a standstill; bytecode is
# written as modules are first imported (`--no-compile`), since most never are
SAY := | awk '/^Collecting/ {n += 1; printf "  %3d  %s\n", n, $$2; fflush()} /^Installing collected/ {print "  unpacking them"; fflush()}'
# processes for the tests; a file's tests stay together, since they share what they simulate
WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

.PHONY: demo test smoke test-quick test-all test-rest test-slurm style check docs docs-serve pictures package benchmark-analysis viz locks
.PHONY: engines test-engines companions test-companions clean

demo: $(VENV)/.core
	@echo "Analysing the sample assay: nine films, a little over a minute."
	$(BIN)/kedro run

test: check test-slurm test-all

# What a slip breaks first, within two minutes (tests/conftest.py says which); the folders spare collecting all.
SMOKE := core datasets algorithms
smoke: $(VENV)/.dev
	$(PYTEST) -q -x -m smoke tests/test_*.py $(addprefix tests/,$(SMOKE))

test-quick: $(VENV)/.dev
	$(PYTEST) -q -m "not slow and not slurm"

# All but those against SLURM, which start clusters of their own.
test-all: $(VENV)/.dev
	$(PYTEST) -m "not slurm"

# The same but for the smoke tests, for where these have just run.
test-rest: $(VENV)/.dev
	$(PYTEST) -m "not slurm and not smoke"

# Against a real SLURM (Debian's packages, as root): a cluster a worker on this machine. They wait most of their time.
test-slurm: $(VENV)/.dev
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -q -m slurm tests/slurm

# Style alone needs ruff alone: a slip is told within seconds, before anything else is installed.
style: $(VENV)/.ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

check: style $(VENV)/.dev
	$(BIN)/lint-imports
	$(BIN)/mypy

export NO_MKDOCS_2_WARNING = 1
docs: $(VENV)/.dev
	$(BIN)/mkdocs build --strict

docs-serve: $(VENV)/.dev
	$(BIN)/mkdocs serve

# The pictures of the docs, drawn anew from a run of the sample.
pictures: $(VENV)/.core
	$(BIN)/python docs/make_pictures.py

# A wheel and the configuration beside it, in dist/ (docs/package.md).
package: $(VENV)/.core
	$(BIN)/kedro package

# Contacts, motion, density maps and networks beside the original's way and other libraries (docs/speed.md).
benchmark-analysis: $(VENV)/.dev
	for topic in contacts motion density network; do $(BIN)/python benchmarks/$${topic}_speed.py || exit 1; done

viz: $(VENV)/.core
	$(BIN)/kedro viz run

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11 or newer is needed: make PYTHON=python3.12"'
	@echo "Making the environment $(VENV), once."
	$(PYTHON) -m venv $(VENV)

$(VENV)/.core: $(VENV)/bin/python requirements/core.lock pyproject.toml
	@echo "Installing $$(grep -c == requirements/core.lock) packages into $(VENV), once: one to three minutes."
	@$(PIP) --no-compile --require-hashes -r requirements/core.lock $(SAY)
	@$(PIP) -qq --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.core requirements/dev.lock
	@echo "Installing the tools for tests and docs into $(VENV), once."
	@$(PIP) --no-compile --require-hashes -r requirements/dev.lock $(SAY)
	@touch $@

$(VENV)/.ruff: $(VENV)/bin/python requirements/dev.lock
	@$(PIP) -qq "$$(grep -o '^ruff==[0-9.]*' requirements/dev.lock)"
	@touch $@

# Environments of their own for the heavy engines: each needs other versions of numpy than the core.
engines: .venv-cellpose/.done .venv-stardist/.done

# The engines' own tests, with real weights where they lie beside the project.
test-engines: engines
	.venv-cellpose/bin/python -m pytest -q -m engine tests/algorithms/segmentation tests/algorithms/training
	.venv-stardist/bin/python -m pytest -q -m engine tests/algorithms/segmentation tests/algorithms/training

.venv-cellpose/.done: requirements/cellpose.lock
	$(PYTHON) -m venv .venv-cellpose
	.venv-cellpose/bin/python -m pip install -qq --disable-pip-version-check --no-compile torch==2.13.0
	.venv-cellpose/bin/python -m pip install -qq --disable-pip-version-check --no-compile --no-deps --require-hashes -r $<
	.venv-cellpose/bin/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

.venv-%/.done: requirements/%.lock
	$(PYTHON) -m venv .venv-$*
	.venv-$*/bin/python -m pip install -qq --disable-pip-version-check --no-compile --no-deps --require-hashes -r $<
	.venv-$*/bin/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

# What reads and writes the same files as this package does, in an environment of its own: napari, OME-Zarr's
# readers, stores, databases. Their tests (`pytest.mark.companion`) skip elsewhere, and fail here without them.
companions: .venv-companions/.done

# napari draws by OpenGL, which wants a screen, if only one in memory
SCREEN = $(if $(DISPLAY),,$(shell command -v xvfb-run >/dev/null && echo xvfb-run -a))
test-companions: companions
	$(SCREEN) .venv-companions/bin/python -m pytest -q -n $(WORKERS) --dist loadfile -m companion \
		$$(grep -rl --include="test_*.py" "mark.companion" tests)

# Names, versions and hashes only: no index addresses. Needs uv.
LOCK := uv pip compile pyproject.toml --quiet --generate-hashes --no-emit-index-url --no-emit-find-links \
	--no-header --no-annotate $(FIND_LINKS)
EVERYWHERE := --universal --python-version 3.11
LINUX := --python-platform linux --python-version 3.11

locks:
	$(LOCK) $(EVERYWHERE) --extra build -o requirements/core.lock
	$(LOCK) $(EVERYWHERE) --extra build --extra test --extra lint --extra notebooks --extra docs -c requirements/core.lock -o requirements/dev.lock
	$(LOCK) $(LINUX) --extra build --extra cellpose --extra engine-test -c requirements/cellpose.in --no-emit-package torch -o requirements/cellpose.lock
	$(LOCK) $(LINUX) --extra build --extra stardist --extra engine-test -c requirements/stardist.in -o requirements/stardist.lock
	$(LOCK) $(LINUX) requirements/companions.in $(addprefix --extra ,build engine-test anndata databases jobqueue microscopes napari rois s3 umap) -o requirements/companions.lock

clean:
	rm -rf site .mypy_cache .ruff_cache .pytest_cache .import_linter_cache build src/*.egg-info
