# Two commands are enough on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1

.PHONY: demo test slow lint types layers bench clean

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: .venv/ready ## environment, a real study on digits, its plan and report
	$(BIN)/limbeck study run studies/digits.toml --runner processes --report

test: lint types layers ## environment, then lint, types, import layers and the fast tests
	$(ONE_THREAD) $(BIN)/python -m pytest -n 2

slow: .venv/ready ## the longer proofs
	$(ONE_THREAD) $(BIN)/python -m pytest -n 2 -m slow

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/ready
	$(BIN)/mypy

layers: .venv/ready
	$(BIN)/lint-imports --no-cache

bench: .venv/ready ## limbeck and plain PyTorch in one run, for a quiet machine; writes docs/results/speed.md
	$(BIN)/python benchmarks/speed.py --write

clean:
	rm -rf .venv build dist
