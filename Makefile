# `make demo` sets up and runs the whole way; `make test` sets up and passes the tests.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test lint clean

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[train,openvino,synth,tune,dev]'
	touch $@

demo: $(VENV)/.installed
	rm -rf demo
	$(BIN)/digitspot demo --output demo

# In three processes: in a single one that has trained and read with all runtimes, Linux 6.18 ends pytest itself by a
# segmentation fault of the kernel's making (SI_KERNEL) while it waits for a child; see docs/architecture.md, "Tests".
test: $(VENV)/.installed lint
	$(BIN)/python -m pytest $(filter-out tests/training/,$(wildcard tests/*/))
	$(BIN)/python -m pytest $(wildcard tests/test_*.py)
	$(BIN)/python -m pytest tests/training

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) demo build
