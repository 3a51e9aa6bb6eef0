# `make demo` sets up and runs the whole way; `make test` sets up and passes the tests; `make docs` builds the site.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
WHEEL := $(VENV)-wheel

.PHONY: demo test test-wheel lint docs clean

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[train,openvino,synth,tune,dev]'
	touch $@

demo: $(VENV)/.installed
	rm -rf demo
	$(BIN)/digitspot demo --output demo

test: $(VENV)/.installed lint test-wheel
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

# The wheel in an environment of its own, without torch: reading, serving and watching.
test-wheel:
	rm -rf $(WHEEL)
	$(PYTHON) -m venv $(WHEEL)
	$(WHEEL)/bin/python -m pip wheel --quiet --no-deps --wheel-dir $(WHEEL)/wheel .
	$(WHEEL)/bin/python -m pip install --quiet "$$(echo $(WHEEL)/wheel/digitspot-*.whl)[serve,watch,synth]" \
		amqtt httpx hypothesis pytest pytest-timeout pytest-xdist
	! $(WHEEL)/bin/python -c "import torch" 2> /dev/null
	$(WHEEL)/bin/python -m pytest -n 2 --confcutdir tests/serve tests/serve

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The site, to be read from its files: site/index.html.
docs: $(VENV)/.installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) $(WHEEL) demo build site
