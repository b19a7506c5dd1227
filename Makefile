PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help demo test slow faults bench gpu bench-full-size bench-cluster lint docs generated setup turbo-mini clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "%-16s %s\n", $$1, $$2}'

demo: setup  ## distil and score on real images, next to as many real training images
	$(BIN)/ddbench run --method generative-turbo
	$(BIN)/ddbench run --method random-real

test: setup  ## run the test suite, one process per core
	$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist worksteal

slow: setup  ## run the tests that take long
	$(BIN)/python -m pytest -m slow

faults: setup  ## kill, attack, crowd and fuzz (two hours; PART=kills is one of the parts in tests/faults; fuzz needs '.[fuzz]')
	$(BIN)/python -m pytest -m faults -s $(if $(PART),tests/faults/test_$(PART).py,tests/faults)

bench: setup  ## measure speed and memory, each next to what it is compared with (15 minutes)
	$(BIN)/python -m pytest -m bench tests/benchmarks

gpu: setup  ## measure a GPU without weights or data (five minutes)
	$(BIN)/ddbench gpu-check

bench-full-size: setup  ## the same for SDXL's shapes with random weights (16 GB of memory, 15 minutes)
	$(BIN)/python -m pytest -m full_size tests/benchmarks

bench-cluster: setup  ## measure sweeps on one and on two machines of a Ray cluster (35 minutes)
	$(BIN)/python -m pytest -m cluster tests/benchmarks

lint: setup  ## check style, types, and which package imports which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

setup: .venv/installed  ## make .venv and install everything into it

.venv/installed: setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	@echo "installing into .venv: PyTorch and friends, some gigabytes, a few minutes"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

docs: setup  ## build the documentation site in build/docs; warnings are errors
	$(BIN)/python -m sphinx -W --keep-going -q docs build/docs
	@echo "open build/docs/index.html"

generated: setup  ## write the generated parts of README.md and docs/ again
	$(BIN)/python tests/test_generated.py

turbo-mini: setup  ## train the bundled model on Fashion-MNIST and measure it (75 minutes on two cores)
	$(BIN)/ddbench-turbo train --dataset fashion-mnist --output gdd_plugin/turbo_mini
	$(BIN)/ddbench-turbo evaluate turbo-mini --split test --card

clean:  ## remove .venv and everything that was built
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache
