# labkit: `make demo` paints pictures; `make help` lists the rest. Each target sets up .venv the first time.
#   PYTHON=…       the Python to use (3.11, 3.12 or 3.13); otherwise the first that serves is taken
#   TORCH_INDEX=…  an index URL, or a folder, of CPU wheels of torch and torchvision (saves about 8 GB)
#   WORKERS=…      parallel test processes        ARGS=…  further arguments for the command that is run

VENV    ?= .venv
ARGS    ?=
WORKERS ?= $(shell n=$$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN || echo 2); [ "$$n" -gt 4 ] && echo 4 || echo "$$n")
PY      := $(VENV)/bin/python
STAMP   := $(VENV)/.labkit-installed
CANDIDATES := $(or $(PYTHON),python3.12 python3.13 python3.11 python3)
START   := $(shell date +%s)
# what labkit asks of a Python, tried by running it: a name on the PATH may be a shim that runs nothing
PROBE   := import sys, venv, ensurepip; assert (3, 11) <= sys.version_info[:2] <= (3, 13)
# gigabytes: what pip fetches and what it unpacks, at the same time; CUDA is most of it
NEED_GB := $(if $(TORCH_INDEX)$(filter Darwin,$(shell uname -s)),4,12)

.DEFAULT_GOAL := help
.PHONY: help demo test lab apps soak check setup clean chromium postgresql

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-6s %s\n", $$1, $$2}' Makefile
	@sed -n 's/^#  / /p' Makefile

demo: setup  ## pictures from a few prompts, their judge and one page that shows them
	@LABKIT_SETUP_SECONDS=$$(( $$(date +%s) - $(START) )) $(PY) -m labkit demo $(ARGS)

lab: setup  ## JupyterLab with the notebooks
	@$(PY) -m labkit lab $(ARGS)

apps: setup  ## the Gradio studio
	@$(PY) -m labkit apps $(ARGS)

check: setup  ## the environment self-check
	@$(PY) -m labkit check $(ARGS)

test: setup chromium postgresql  ## ruff and the tests; the last line counts what passed, failed and was skipped
	@$(PY) -m ruff check .
	@$(PY) -m pytest -q -n $(WORKERS) --dist worksteal $(ARGS)

soak: setup chromium postgresql  ## the long versions of the tests
	@$(PY) -m pytest -q -m soak $(ARGS)

clean:  ## removes what was built and cached; the environment, runs/ and out/ stay
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name $(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +

setup: $(STAMP)

$(STAMP): requirements.txt constraints.txt pyproject.toml setup.py
	@if [ -d $(VENV) ] && $(PY) -c '$(PROBE); import pip' 2>/dev/null; then exit 0; fi; \
	for python in $(CANDIDATES); do \
	    if "$$python" -c '$(PROBE)' 2>/dev/null; then \
	        echo "Making $(VENV) with $$("$$python" -V)"; \
	        exec "$$python" -m venv --clear $(VENV); \
	    fi; \
	done; \
	echo "labkit needs Python 3.11, 3.12 or 3.13 with venv and ensurepip; none of these serves: $(CANDIDATES)"; \
	echo "  Debian, Ubuntu: apt-get install python3 python3-venv    macOS: brew install python@3.12"; \
	echo "  or name one that you have: make demo PYTHON=/path/to/python3.12"; exit 1
	@if ! ls -d $(VENV)/lib/python3.*/site-packages/torch >/dev/null 2>&1; then \
	    free=$$(df -Pk $(VENV) | awk 'NR == 2 {print int($$4 / 1048576)}'); \
	    if [ "$$free" -lt $(NEED_GB) ]; then \
	        echo "Set-up needs about $(NEED_GB) GB of disk and $$free GB are free here."; \
	        echo "Free some, or give CPU wheels, which are much smaller: make demo TORCH_INDEX=<index URL or folder>"; \
	        exit 1; \
	    fi; \
	    echo "Installing (about $(NEED_GB) GB at its peak; minutes)"; \
	fi
ifneq ($(TORCH_INDEX),)
	$(PY) -m pip install -q --no-deps -c constraints.txt torch torchvision \
	    $(if $(wildcard $(TORCH_INDEX)),--no-index --find-links,--index-url) $(TORCH_INDEX)
endif
	$(PY) -m pip install -q -r requirements.txt -c constraints.txt
	$(PY) -m pip install -q --no-deps --no-build-isolation -e .
	@$(PY) -c 'import torch, torchvision; torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)' || \
	    { echo "torch and torchvision do not fit together: remove $(VENV) and set up again"; exit 1; }
	@touch $@

# Debian's package; without it the browser tests skip (and fail under CI=true)
chromium:
	@if command -v chromium || command -v chromium-browser || command -v google-chrome; then exit 0; fi >/dev/null; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "Installing Chromium for the browser tests"; \
	    apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium fonts-dejavu-core >/dev/null && exit 0; \
	fi; \
	echo "No Chromium: the browser tests will not run. On Debian: apt-get install chromium fonts-dejavu-core"

# likewise: the survey's tests run on SQLite and on a PostgreSQL of their own
postgresql:
	@if command -v initdb || ls /usr/lib/postgresql/*/bin/initdb; then exit 0; fi >/dev/null 2>&1; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "Installing PostgreSQL for the survey's tests"; \
	    apt-get update -qq && apt-get install -qq -y --no-install-recommends postgresql >/dev/null && exit 0; \
	fi; \
	echo "No PostgreSQL: the survey is tested on SQLite alone. On Debian: apt-get install postgresql"
