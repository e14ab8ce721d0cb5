# Everything that a person types. Needs Python 3.11 or newer, make, and a package index.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
PORT ?= 8000
export PORT

bin := .venv/bin
venv := $(bin)/python
pip := $(venv) -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.PHONY: help run demo test test-thorough screenshots lint messages clean bench bench-everyday \
	bench-million bench-rotation bench-find release-fixture

help:  ## list these targets
	@sed -n 's/^\([a-z-]*\):.*##  */make \1	/p' Makefile | expand -t 22

run: .venv/run.stamp  ## set up what is missing and serve http://localhost:8000 (PORT=8001 changes it)
	@$(venv) -m project.bootstrap
	@exec $(venv) -m gunicorn --config project/gunicorn.py

demo: .venv/run.stamp  ## add 500 made-up records to an empty console
	@$(venv) -m project.bootstrap
	@$(venv) manage.py seed_demo --count 500

test: .venv/dev.stamp  ## run the tests (ARGS="-k import" picks some)
	@$(venv) -m pytest $(ARGS)

test-thorough: .venv/dev.stamp  ## run all tests, the long ones too, with more examples
	@$(venv) -m pytest --hypothesis-profile=thorough $(ARGS)

bench: .venv/bench.stamp  ## compare bulk work with what one would use instead (BENCH_RECORDS=6000: quick)
	@$(venv) benchmarks/bulk.py

bench-everyday: .venv/run.stamp  ## time everyday work on 10,000 connections
	@$(venv) benchmarks/everyday.py

bench-million: .venv/run.stamp  ## memory and time of 1,000,000 connections, 10 minutes or more
	@$(venv) benchmarks/million.py

bench-rotation: .venv/run.stamp  ## time a rotation of keys over 200,000 connections
	@$(venv) benchmarks/rotation.py

bench-find: .venv/run.stamp  ## look for a secret among 1,000,000 connections (5 GB of disk)
	@$(venv) benchmarks/find.py

screenshots: .venv/dev.stamp  ## take the pictures in docs/screenshots anew, from a made-up store (needs Chromium)
	@$(venv) -m pytest -q tests/docs/screenshots.py

lint: .venv/dev.stamp  ## check style, formatting, types, and which package imports which
	@$(bin)/ruff check .
	@$(bin)/ruff format --check .
	@$(bin)/mypy
	@$(bin)/lint-imports --no-logo

release-fixture: .venv/dev.stamp  ## keep a database of this version, which later ones must upgrade (see CONTRIBUTING.md)
	@$(venv) -m tests.support.release

messages: .venv/dev.stamp  ## gather the console's words, and compile their translations (needs gettext)
	@$(venv) manage.py makemessages --all --no-location --no-wrap --no-obsolete
	@$(venv) manage.py compilemessages --verbosity 0 --ignore .venv

clean:  ## remove what can be made again; never .env or the database
	rm -rf .venv static build .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps say which version of the requirements is installed.
.venv/run.stamp: requirements.txt
	@echo "Installing requirements.txt into .venv (once)."
	@$(PYTHON) -m venv .venv
	@$(pip) install -r requirements.txt
	@touch $@

.venv/dev.stamp: requirements-dev.txt .venv/run.stamp
	@echo "Installing requirements-dev.txt into .venv (once)."
	@$(pip) install -r requirements-dev.txt
	@touch $@

.venv/bench.stamp: requirements-bench.txt .venv/run.stamp
	@echo "Installing requirements-bench.txt into .venv (once)."
	@$(pip) install -r requirements-bench.txt
	@touch $@
