# make demo   simulate, pretrain, embed, probe, write the report      make lint   ruff and pyright
# make test   the whole test suite and the examples in the docs       make docs   the site in docs/_build/html
# make bench  every benchmark, one JSON line each
#
# Each target makes .venv and installs what it needs, once; again only when the requirements change.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
PIP = .venv/bin/python -m pip install --quiet --constraint constraints.txt
REQUIREMENTS = pyproject.toml constraints.txt

.PHONY: demo test lint docs bench clean

demo: .venv/base.stamp
	.venv/bin/tinbergen demo

test: .venv/test.stamp
	.venv/bin/python -m pytest --doctest-modules --numprocesses auto --maxprocesses 4 --dist loadfile src tests

lint: .venv/lint.stamp
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/pyright

docs: .venv/docs.stamp
	.venv/bin/sphinx-build -W --keep-going -q docs docs/_build/html

bench: .venv/base.stamp
	@for script in benchmarks/[a-z]*.py; do .venv/bin/python "$$script" || exit 1; done

clean:
	rm -rf .venv docs/_build

# torch goes in first and by itself, so that nothing that follows can choose another one.
.venv/base.stamp: $(REQUIREMENTS)
	@echo "Installing Tinbergen into .venv with $(PYTHON): a few minutes, once."
	$(PYTHON) -m venv .venv
	$(PIP) torch
	$(PIP) --editable ".[full]"
	touch $@

.venv/%.stamp: .venv/base.stamp
	$(PIP) --editable ".[$*]"
	touch $@
