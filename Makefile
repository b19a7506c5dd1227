PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test slow bench bench-full-size lint setup readme turbo-mini clean

demo: setup  ## the main job on real images, beside as many real training images
	$(BIN)/ddbench run --method generative-turbo
	$(BIN)/ddbench run --method random-real

test: setup  ## the test suite, as many processes as cores
	$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist worksteal

slow: setup  ## the checks that take minutes
	$(BIN)/python -m pytest -m slow

bench: setup  ## speed and memory beside what they are compared with (a quarter of an hour)
	$(BIN)/python -m pytest -m bench tests/benchmarks

bench-full-size: setup  ## the same for SDXL's shapes with random weights (16 GB of memory, a quarter of an hour)
	$(BIN)/python -m pytest -m full_size tests/benchmarks

lint: setup  ## style, types and which part may import which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

setup: .venv/installed  ## .venv with everything in it

.venv/installed: setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	@echo "installing into .venv: PyTorch and friends, some gigabytes, a few minutes"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

readme: setup  ## write the generated parts of README.md anew
	$(BIN)/python tests/test_readme.py

turbo-mini: setup  ## train the bundled model from Fashion-MNIST's training split and measure it (an hour and a quarter on two cores)
	$(BIN)/ddbench-turbo train --dataset fashion-mnist --output gdd_plugin/turbo_mini
	$(BIN)/ddbench-turbo evaluate turbo-mini --split test --card

clean:
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache
