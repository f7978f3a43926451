# make demo   simulate, pretrain, embed, probe, write the report      make lint   ruff and pyright
# make test   the whole test suite and the examples in the docs       make docs   the site in docs/_build/html
# make bench  the quick benchmarks, JSON; others by name: make bench BENCHMARKS=many_rigs
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

# The types of the tests are checked too, so their libraries have to be there.
lint: .venv/lint.stamp .venv/test.stamp
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/pyright

docs: .venv/docs.stamp
	.venv/bin/sphinx-build -W --keep-going -q docs docs/_build/html

# Left out: reference_setting and many_rigs (hours, real recordings), memory (an hour of video).
BENCHMARKS ?= data_path frame_selection training_speed embedding_speed

bench: .venv/test.stamp
	@for name in $(BENCHMARKS); do \
	  echo "== $$name"; OMP_NUM_THREADS=1 .venv/bin/python benchmarks/$$name.py || exit 1; \
	done

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
