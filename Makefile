# Two commands do everything on a fresh machine:
#   make demo    a virtual environment, the package, and the main job on the embedded model
#   make test    what the tests need, and the whole suite
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
# One screen for the second tier of tests and for pictures.
SCREEN := xvfb-run --auto-servernum --server-args="-screen 0 1600x1200x24"
PYTEST := $(BIN)/python -m pytest
# One process a core, one thread a process: the tests' tensors are too small for threads to pay.
EACH_CORE := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(PYTEST) --numprocesses auto --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help demo test kernels lint unit window packaging fuzz screenshots bench clean

help:
	@grep -E '^#   make' Makefile | sed 's/^#   //'
	@echo "make lint | unit | window | packaging    parts of make test"
	@echo "make kernels                             the numerical tests as on other processors"
	@echo "make fuzz                                new random examples for the property tests (ROUNDS=20)"
	@echo "make screenshots | bench                 the pictures and the figures of the docs"

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; there is no python3 here." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) 2>/dev/null || { rm -rf $(VENV); tools/system-packages.sh venv && $(PYTHON) -m venv $(VENV); }

# torch first and by its exact version: pip then takes the build that suits this machine, and no other replaces it.
$(VENV)/.torch: constraints.txt | $(VENV)/bin/python
	$(PIP) --upgrade pip
	$(PIP) torch
	@touch $@

$(VENV)/.demo: pyproject.toml napari.yaml constraints.txt $(VENV)/.torch
	$(PIP) --editable ".[pyqt5]"
	@touch $@

$(VENV)/.test: pyproject.toml napari.yaml constraints.txt $(VENV)/.torch
	$(PIP) --editable ".[test]"
	@touch $@ $(VENV)/.demo

demo: $(VENV)/.demo
	@if [ -n "$$DISPLAY$$WAYLAND_DISPLAY" ] && [ -z "$$HEADLESS" ]; then tools/system-packages.sh window; fi
	$(BIN)/vlexplain demo

test: lint unit window packaging

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# First tier: no display. The Qt tests run on both bindings.
unit: $(VENV)/.test
	env -u DISPLAY -u WAYLAND_DISPLAY QT_QPA_PLATFORM=offscreen QT_API=pyqt5 $(EACH_CORE) -m "not gl and not packaging"
	env -u DISPLAY -u WAYLAND_DISPLAY QT_QPA_PLATFORM=offscreen QT_API=pyqt6 $(EACH_CORE) -m "qt and not gl"

# The numerical tests again, with the kernels of other processors; MKL's own choice is in the unit run. OTHER_KERNELS
# (tests/helpers/other_kernels.py) makes a difference on every machine.
KERNELS := MKL_ENABLE_INSTRUCTIONS=AVX2 ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=default OTHER_KERNELS=1

kernels: $(VENV)/.test
	@for setting in $(KERNELS); do \
	  echo "With $$setting"; \
	  env -u DISPLAY -u WAYLAND_DISPLAY QT_QPA_PLATFORM=offscreen $$setting $(EACH_CORE) -m numerical || exit 1; \
	done

# make test tries the same examples everywhere; this looks for new ones, and keeps what fails in .hypothesis.
ROUNDS ?= 20

fuzz: $(VENV)/.test
	@for round in $$(seq $(ROUNDS)); do \
	  env -u DISPLAY -u WAYLAND_DISPLAY QT_QPA_PLATFORM=offscreen $(EACH_CORE) -m "hypothesis and not gl" \
	    --hypothesis-profile=search || exit 1; \
	done

# Second tier: real windows with OpenGL on a virtual screen, on both bindings.
window: $(VENV)/.test
	tools/system-packages.sh test
	QT_API=pyqt5 $(SCREEN) $(PYTEST) -m gl
	QT_API=pyqt6 $(SCREEN) $(PYTEST) -m gl

packaging: $(VENV)/.test
	$(PYTEST) -m packaging

screenshots: $(VENV)/.test
	tools/system-packages.sh test
	QT_API=pyqt6 $(SCREEN) $(BIN)/python docs/screenshots.py

bench: $(VENV)/.test
	$(BIN)/python benchmarks/known_answer.py --markdown docs/known-answer.md
	$(BIN)/python benchmarks/speed.py
	$(BIN)/python docs/latent_tables.py

clean:
	rm -rf $(VENV) dist build demo-output .pytest_cache .mypy_cache .ruff_cache
