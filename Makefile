# make demo   trains on real data in b-posits and draws the result
# make test   runs the tests
# make methods  runs the four training methods of docs/methods, quickly
# Everything lives in .venv; each target installs what it needs, so any may come first.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
BUILD  := pyproject.toml setup.py constraints.txt $(wildcard ctypes_src/*.[ch] ctypes_src/*.py posit/_dtype/*.[ch])

.PHONY: demo test slow lint sanitize bench methods clean
.DELETE_ON_ERROR:

demo: $(VENV)/demo.stamp
	$(BIN)/python -m bposit.demo

test: $(VENV)/test.stamp  ## files of tests side by side, on up to four processors
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

slow: $(VENV)/test.stamp  ## every exhaustive sweep, in full: some 20 minutes
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/lint.stamp $(VENV)/test.stamp  # mypy reads the packages that are used
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror ctypes_src/*.[ch] posit/_dtype/*.[ch]

bench: $(VENV)/bench.stamp
	$(BIN)/python -m bench
	$(BIN)/python -m bench matmul --cores 2

methods: $(VENV)/methods.stamp  ## some two minutes; the results of docs/methods take longer
	$(BIN)/python -m torch_bridge.methods --quick

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; set PYTHON=…" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# An editable install compiles the C core beside the sources, once for all sets of extras.
$(VENV)/core.stamp: $(VENV)/bin/python $(BUILD)
	@echo "compiling the C core …"
	$(PIP) -e .
	@touch $@

$(VENV)/%.stamp: $(VENV)/core.stamp
	$(PIP) 'bposit[$*]'
	@touch $@

clean:
	rm -rf $(VENV) build demo-out bench-out methods-out *.egg-info posit/_core*.so posit/_core.c
