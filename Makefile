# Each target makes the environment that it needs. PYTHON=python3.12 make test uses another interpreter.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
STAMP = $(VENV)/.installed
MANIFESTS = pyproject.toml $(wildcard plugins/*/pyproject.toml) constraints.txt requirements-dev.txt
SOURCES = im2im_core $(filter-out %.egg-info,$(wildcard plugins/*/src/* examples/*/src/*))

.PHONY: demo test lint lint-types reference docs pytest pytest-bioio bench env clean

demo: env
	$(BIN)/im2im demo

test: lint pytest pytest-bioio

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(MAKE) lint-types
	$(BIN)/lint-imports

lint-types: env
	$(BIN)/mypy $(SOURCES)

# The pages of the reference written anew; the tests compare them with the code.
reference: env
	$(BIN)/python docs/generate_reference.py

# Pages in site/; whatever is amiss is an error. The tests build them too.
docs: env
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

pytest: env
	$(BIN)/python -m pytest $(PYTEST_ARGS)

# The readers and writers with bioio and the current zarr, which cannot share an environment with aicsimageio.
pytest-bioio: $(VENV)-bioio/.installed
	$(VENV)-bioio/bin/python -m pytest plugins/im2im_io/tests $(PYTEST_ARGS)

$(VENV)-bioio/.installed: $(MANIFESTS) constraints-bioio.txt
	$(PYTHON) -m venv $(VENV)-bioio
	$(VENV)-bioio/bin/python -m pip install --quiet --no-compile -c constraints-bioio.txt -e . \
		-e "plugins/im2im_io[bioio]" jsonschema ngff-zarr pytest pytest-timeout
	touch $@

# Those that need no trained bundle or data of their own.
BENCHMARKS = startup training_step adversarial_step planned_memory embedseg_clustering embedseg_loss \
	embedseg_preparation limited_memory

bench: env
	for file in $(BENCHMARKS:%=benchmarks/%.py); do echo "== $$file"; $(BIN)/python $$file || exit 1; done

env: $(STAMP)

$(STAMP): $(MANIFESTS)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile -r requirements-dev.txt
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-bioio demo build dist site .mypy_cache .ruff_cache .pytest_cache .import_linter_cache *.egg-info
	rm -rf plugins/*/build plugins/*/src/*.egg-info
