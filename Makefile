# Every target first makes sure that .venv is complete (.ci/setup), which takes no time when it is.
# PYTHON=/path/to/python3.12 chooses the interpreter; ARGS="..." is handed on to demo, test, test-all, drills and lab.
SHELL := /bin/bash
BIN := .venv/bin
# One thread a process: two test processes already keep two cores busy. Agg: draw without a screen.
TEST_ENV := OMP_NUM_THREADS=1 MPLBACKEND=Agg

# An environment of its own for some tools, made anew when settings.ini asks for other ones.
define environment
	@sed -n 's/^$(1)_requirements = //p' settings.ini | tr ' ' '\n' > .venv/$(1).txt
	@cmp -s .venv/$(1).txt .venv/$(1)/requirements.txt || { \
	    $(BIN)/python -m venv --clear .venv/$(1) && \
	    .venv/$(1)/bin/pip install --quiet -r .venv/$(1).txt && \
	    cp .venv/$(1).txt .venv/$(1)/requirements.txt; }
endef

# SHOTS=/some/folder keeps pictures of what the browser tests saw.
.PHONY: help setup demo test test-all test-browser drills coverage mutants lab docs check export release versions image clean-venv

help:
	@echo "make demo       search by measuring and by predicting, train, program, drift; one to three minutes"
	@echo "make test       the tests, every notebook from top to bottom among them"
	@echo "make test-all   those and the slow ones"
	@echo "make test-browser   only those that open JupyterLab in a browser, and a browser if there is none"
	@echo "make drills     break searches and collections in many ways, and print what was lost"
	@echo "make coverage   which lines and branches the tests reach; about twice as long as make test"
	@echo "make mutants    do the tests notice small changes of the code? about an hour"
	@echo "make lab        JupyterLab, opened on a copy of the lessons"
	@echo "make docs       the notebooks and a reference as web pages, in _docs/"
	@echo "make check      checks that code and notebooks agree; imports, types, style"
	@echo "make export     write analognas/, README.md and names in CHANGELOG.md anew, after changing a notebook"
	@echo "make release    wheel and source distribution in dist/, tried in an empty environment"
	@echo "make versions   the oldest admitted versions in an environment of their own, and tests; WHICH=newest the newest"
	@echo "make image      the container image, started and asked whether it is healthy; ENGINE=podman for podman"
	@echo "make clean-venv throw the installed environment away"
	@echo
	@echo "The first of them installs everything into .venv: Python 3.12 to 3.14 and up to 12 GB of free disk are needed."

setup:
	@bash .ci/setup

demo: setup
	@$(BIN)/analognas demo $(ARGS)

test: setup
	$(TEST_ENV) $(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow and not browser" $(ARGS)

test-all: setup
	$(TEST_ENV) $(BIN)/python -m pytest -n 2 -m "not browser" $(ARGS)

test-browser: setup
	@$(BIN)/python tests/browser/find_browser.py --install
	$(TEST_ENV) $(BIN)/python -m pytest -n 2 -m browser $(ARGS) tests/browser

drills: setup
	$(TEST_ENV) $(BIN)/python -m tests.drills $(ARGS)

# Notebooks run in kernels of their own, which are not watched.
coverage: setup
	@rm -rf _coverage && mkdir _coverage
	$(TEST_ENV) $(BIN)/python -m coverage run -m pytest -n 2 --dist worksteal -m "not slow and not browser" \
	    --ignore tests/test_notebooks.py $(ARGS)
	@$(BIN)/python -m coverage combine --quiet
	@$(BIN)/python .ci/covered.py

# Cosmic Ray lives in an environment of its own, like the tools of `docs`.
mutants: setup
	$(call environment,mutants)
	$(BIN)/python .ci/mutants.py --mutate .venv/mutants/bin/python $(ARGS)

lab: setup
	$(BIN)/analognas lab $(ARGS)

# The tools live in an environment of their own: they would add buttons to JupyterLab.
docs: setup
	$(call environment,docs)
	NO_MKDOCS_2_WARNING=1 .venv/docs/bin/mkdocs build --quiet --config-file .ci/mkdocs.yml
	@echo "Open _docs/index.html"

check: setup
	$(BIN)/python .ci/gate.py
	$(BIN)/mypy
	$(BIN)/ruff check --output-format concise .
	$(BIN)/ruff format --check --quiet . || { echo "Not formatted. Run: make export"; exit 1; }

export: setup
	$(BIN)/ruff format --quiet .
	$(BIN)/nbdev_clean
	$(BIN)/nbdev_export
	$(BIN)/python .ci/readme.py
	$(BIN)/python .ci/deprecations.py

release: setup
	$(BIN)/python .ci/release.py

# Neither needs .venv.
PYTHON ?= python3
WHICH ?= oldest
ENGINE ?= docker
versions:
	$(PYTHON) .ci/versions.py $(WHICH) $(ARGS)

image:
	ENGINE=$(ENGINE) bash .ci/image $(ARGS)

clean-venv:
	rm -rf .venv
