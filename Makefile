PYTHON ?= python3
BIN := .venv/bin
SEED ?= 0

.PHONY: demo test bench coverage boards docs readme clean

# The board of the bundled models in an ignored folder, and how it compares with the committed one.
demo: .venv/.installed
	$(BIN)/genbench run digits --fresh --jobs 2 --out demo/digits
	$(BIN)/genbench diff leaderboards/digits demo/digits

test: .venv/.tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} GENBENCH_TEST_SEED=$(SEED) $(BIN)/pytest -n auto --dist worksteal

bench: .venv/.tested
	$(BIN)/pytest tests/benchmarks --benchmark-enable --benchmark-only --benchmark-columns=median,iqr,rounds

coverage: .venv/.tested
	OMP_NUM_THREADS=1 PYTHONPATH=tests $(BIN)/python tests/error_bars.py

boards: .venv/.installed
	$(BIN)/genbench run --all
	$(BIN)/genbench tradeoff --all --metric fid --metric is --metric precision --metric classes

# What commands print, written into README.md anew.
readme: .venv/.installed
	$(BIN)/python docs/readme.py

# docs/_build/html/index.html; warnings are errors.
docs: .venv/.documented
	OMP_NUM_THREADS=1 $(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html

.venv/bin/pip:
	$(PYTHON) -m venv .venv

.venv/.installed: pyproject.toml | .venv/bin/pip
	$(BIN)/pip install -q -e ".[boards]"
	touch $@

.venv/.tested: pyproject.toml | .venv/bin/pip
	$(BIN)/pip install -q -e ".[test]"
	touch $@ .venv/.installed

.venv/.documented: pyproject.toml | .venv/bin/pip
	$(BIN)/pip install -q -e ".[docs]"
	touch $@ .venv/.installed

clean:
	rm -rf .venv demo docs/_build docs/generated
