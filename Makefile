# Two commands on a fresh machine with Python 3.11-3.13, pip and make:
#   make corgi    installs into .venv and makes a corgi in outputs/a-corgi, on a GPU if there is one
#   make test     installs what the tests need and runs them
# Others: make check (style, types, spelling), make docs (into docs/_build/html), make clean
# (removes .venv and what is built, keeps outputs).
# Another Python or environment: make corgi PYTHON=python3.12 VENV=/some/where

VENV ?= .venv
# The version that constraints.txt was tested with most comes first.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3; do \
	"$$python" -c 'import sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
	2>/dev/null && echo "$$python" && break; done)

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
TORCH := $(shell sed -n '/^torch==/p' constraints.txt)
CPU_BUILDS := https://download.pytorch.org/whl/cpu
HAS_GPU := $(shell ls /dev/nvidia[0-9]* /dev/dxg 2>/dev/null)
# What Stable Diffusion needs, the default prior of train.py on a GPU.
EXTRA := $(if $(HAS_GPU),[diffusers])

.PHONY: corgi test check docs clean
.DELETE_ON_ERROR:

corgi: $(VENV)/installed
	$(BIN)/python train.py prompt="a corgi" prior=toyzoo
ifneq ($(HAS_GPU),)
	@echo 'With Stable Diffusion, which is downloaded (5 GB) and takes an hour by count:' \
		'$(BIN)/python train.py prompt="a corgi" prior=sd21 (docs/diffusion.md)'
endif

test: $(VENV)/installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --durations=15

check: $(VENV)/installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache --no-logo
	$(BIN)/codespell
	test ! -x $(BIN)/hadolint || $(BIN)/hadolint Dockerfile

docs: $(VENV)/installed-docs
	$(BIN)/python -m sphinx --builder html --fail-on-warning --keep-going --quiet docs docs/_build/html
	@echo docs/_build/html/index.html

clean:
	rm -rf $(VENV) build docs/_build *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path './outputs/*' -prune -exec rm -rf {} +

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "This needs Python 3.11, 3.12 or 3.13 with venv; none was found." \
		"On Debian and Ubuntu: apt install python3 python3-venv. Elsewhere: make PYTHON=/path/to/python"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "No environment could be made." \
		"On Debian and Ubuntu: apt install python3-venv"; exit 1; }

# The default build of torch brings gigabytes of CUDA. Without a GPU the CPU build is tried first,
# not for long where its index cannot be reached; the second line takes whatever is left to do.
$(VENV)/installed-torch: constraints.txt | $(BIN)/python
ifeq ($(HAS_GPU),)
	$(PIP) install --no-deps --retries 0 --timeout 10 --index-url $(CPU_BUILDS) $(TORCH) || true
endif
	$(PIP) install -c constraints.txt torch
	@touch $@

$(VENV)/installed: pyproject.toml setup.py constraints.txt $(VENV)/installed-torch
	$(PIP) install -c constraints.txt --editable '.$(EXTRA)'
	@touch $@

$(VENV)/installed-dev: pyproject.toml setup.py constraints.txt $(VENV)/installed
	$(PIP) install -c constraints.txt --editable '.[dev,diffusers,examples]'
	@touch $@

$(VENV)/installed-docs: pyproject.toml setup.py constraints.txt $(VENV)/installed
	$(PIP) install -c constraints.txt --editable '.[docs,diffusers]'
	@touch $@
