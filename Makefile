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

# What users install, in empty environments: the sdist, and the wheel made from it. Without torch come reading,
# serving and watching, with the oldest and the newest Python found; then a short training with torch.
FOUND := $(foreach minor,11 12 13 14,$(shell python3.$(minor) -c "print('python3.$(minor)')" 2> /dev/null))
PYTHONS ?= $(or $(sort $(firstword $(FOUND)) $(lastword $(FOUND))),$(PYTHON))

test-wheel: $(VENV)/.installed
	rm -rf $(WHEEL) && $(BIN)/python -m build --outdir $(WHEEL)/dist . > /dev/null
	set -e; for python in $(PYTHONS); do \
		$$python -m venv $(WHEEL)/$$python; \
		$(WHEEL)/$$python/bin/pip install --quiet "$$(echo $(WHEEL)/dist/*.whl)[serve,watch,synth]" \
			amqtt httpx hypothesis pytest pytest-timeout pytest-xdist; \
		if $(WHEEL)/$$python/bin/python -c "import torch" 2> /dev/null; then exit 1; fi; \
		$(WHEEL)/$$python/bin/python -m pytest -n 2 --confcutdir tests/serve tests/serve; \
	done
	$(PYTHON) -m venv $(WHEEL)/train
	$(WHEEL)/train/bin/pip install --quiet --constraint constraints.txt \
		"$$(echo $(WHEEL)/dist/*.whl)[train,synth]"
	set -e; cd $(WHEEL); \
		train/bin/digitspot data synth made --images 60 --test-fraction 0.2; \
		train/bin/digitspot train nano --data made --output run --train.epochs 1; \
		train/bin/digitspot predict run made/test.json --output answers; \
		train/bin/digitspot evaluate answers --labels made/test.json

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The site, to be read from its files: site/index.html.
docs: $(VENV)/.installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) $(WHEEL) demo build site
