# Every target sets itself up: .venv is made from requirements.lock on the first call and reused afterwards.
#
# Variables: PYTHON (the interpreter .venv is made with), TORCH_INDEX (wheel index for torch; empty: pip's own),
# PORT and BROWSER=0 (for lab), WORKERS (parallel test processes); GMRL_CHROMIUM names the browser of the browser tests,
# GMRL_NO_BROWSER=1 leaves these tests out.

.DEFAULT_GOAL := help
.PHONY: help setup lab test test-slow bench lint lock clean

PYTHON      ?=
TORCH_INDEX ?=
PORT        ?=
WORKERS     ?= 2
VENV        := .venv/bin

export TORCH_INDEX
export PORT

# The named interpreter; else the first that is new enough; else any at all, which tools/bootstrap.py tells that it is too old.
FIND_PYTHON = py=; any=; \
	for p in $(if $(PYTHON),"$(PYTHON)",python3 python3.13 python3.12 python3.11 python); do \
	  new=$$("$$p" -c 'import sys; print(sys.version_info >= (3, 11))' 2>/dev/null) || continue; \
	  any=$${any:-$$p}; \
	  if [ "$$new" = True ]; then py=$$p; break; fi; \
	done; \
	py=$${py:-$$any}; \
	if [ -z "$$py" ]; then \
	  echo "gmrl_lab: no working Python found$(if $(PYTHON), under the name $(PYTHON)). Install Python 3.11 or newer (3.11 to 3.13 will do), or name one that is there: make lab PYTHON=/path/to/python3.11" >&2; \
	  exit 1; \
	fi

# One thread for each test process: two processes with two threads each are slower on two cores.
THREADS = OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
PYTEST  = $(THREADS) $(VENV)/python -m pytest -n $(WORKERS) --dist loadfile

help:
	@echo "make lab        open the lessons in JupyterLab (PORT=8888, BROWSER=0 for no browser)"
	@echo "make test       lint, types, and the unit, statistical, notebook and browser tests"
	@echo "make test-slow  the tests that take minutes; lessons 03 to 14 and a report in a browser"
	@echo "make bench      measure speed and memory"
	@echo "make lint       ruff and mypy alone"
	@echo "make lock       write requirements.lock anew from pyproject.toml"
	@echo "make clean      remove .venv and caches"
	@echo "Each sets up .venv first when needed. PYTHON names the interpreter, TORCH_INDEX a wheel index for torch."

setup:
	@$(FIND_PYTHON); "$$py" tools/bootstrap.py

lab: setup
	@$(VENV)/python tools/lab.py

lint: setup
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/mypy

test: lint
	$(PYTEST) tests -m "not slow"
	@if ls notebooks/*.ipynb >/dev/null 2>&1; then \
	  set -x; $(PYTEST) notebooks --nbval-lax --nbval-current-env --nbval-cell-timeout=120 --nbval-sanitize-with=tests/notebooks/sanitize.cfg; \
	else echo "No notebooks yet: nothing for nbval."; fi

test-slow: setup
	@$(PYTEST) tests -m slow; code=$$?; \
	if [ $$code -eq 5 ]; then echo "No slow tests yet: nothing to do."; exit 0; fi; exit $$code

bench: setup
	$(VENV)/python -m benchmarks

lock:
	@$(FIND_PYTHON); "$$py" tools/lock.py

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist *.egg-info
	find gmrl_lab tests tools benchmarks -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
