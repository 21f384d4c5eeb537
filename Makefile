PYTHON ?= python

.PHONY: check lint types test tables
check: lint types test

lint:
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .

types:
	$(PYTHON) -m mypy

test:
	$(PYTHON) -m pytest

# Writes the stored tables anew, to be looked at.
tables:
	REWRITE_TABLES=1 $(PYTHON) -m pytest -n 0 -q tests/report/test_widths.py -k stored
	git diff --stat tests/report/tables
