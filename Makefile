# Two commands do all on a fresh machine, each setting itself up: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
DEMO_VENV ?= .venv-demo
LABEL_STUDIO_VENV ?= .venv-label-studio
BIN = $(VENV)/bin

.PHONY: demo test lint types unit explore notebooks label-studio wheel core bench clean

demo: $(DEMO_VENV)/.ready  ## the main job on the scanned digits that scikit-learn carries
	$(DEMO_VENV)/bin/curate demo --out demo

test: lint types unit notebooks  ## everything: style, types, tests, notebooks

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.ready
	$(BIN)/mypy

unit: $(VENV)/.ready $(LABEL_STUDIO_VENV)/.ready
	REQUIRE_LABEL_STUDIO=1 LABEL_STUDIO_BIN=$(abspath $(LABEL_STUDIO_VENV))/bin/label-studio $(BIN)/python -m pytest -n 2 tests

explore: $(VENV)/.ready  ## the property tests on new examples; what falls prints how to see it again
	HYPOTHESIS_PROFILE=explore $(BIN)/python -m pytest -n 2 -m hypothesis tests

label-studio: $(LABEL_STUDIO_VENV)/.ready  ## the server that the tests of annotators start, in an environment of its own

notebooks: $(VENV)/.ready
	$(BIN)/python -m pytest --nbmake --nbmake-timeout=600 notebooks

wheel: $(VENV)/.ready  ## build the wheel into dist/
	rm -rf dist
	$(BIN)/python -m build --wheel --outdir dist

core: wheel  ## the wheel with the core alone in an empty environment: help, and a tiny recipe
	bash tests/core_install.sh dist/curate-*.whl $(PYTHON)

bench: $(VENV)/.ready  ## the benchmarks that need no data of yours; benchmarks/RESULTS.md holds what was seen
	for name in metadata semdedup recipe compaction; do $(BIN)/python benchmarks/$$name.py || exit 1; done

clean:
	rm -rf $(VENV) $(DEMO_VENV) $(LABEL_STUDIO_VENV) dist demo

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/python -m uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraint constraints.txt --editable '.[dev]'
	touch $@

$(DEMO_VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(DEMO_VENV)
	$(DEMO_VENV)/bin/python -m pip install --quiet uv
	$(DEMO_VENV)/bin/python -m uv pip install --quiet --compile-bytecode --python $(DEMO_VENV)/bin/python --constraint constraints.txt --editable '.[demo]'
	touch $@

$(LABEL_STUDIO_VENV)/.ready: constraints-label-studio.txt
	$(PYTHON) -m venv $(LABEL_STUDIO_VENV)
	$(LABEL_STUDIO_VENV)/bin/python -m pip install --quiet uv
	$(LABEL_STUDIO_VENV)/bin/python -m uv pip install --quiet --compile-bytecode --python $(LABEL_STUDIO_VENV)/bin/python --requirement constraints-label-studio.txt
	LABEL_STUDIO_BIN=$(abspath $(LABEL_STUDIO_VENV))/bin/label-studio $(PYTHON) tests/annotators/label_studio/label_studio_server.py
	touch $@
