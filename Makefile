# Every target installs what it needs first, into .venv; nothing else on the machine is touched.
PYTHON ?= python3
BIN := .venv/bin
# pip separates find-links by spaces, uv by commas; empty is fine.
empty :=
comma := ,
PIP_LINKS := $(shell $(PYTHON) -m pip config get global.find-links 2>/dev/null)
export UV_FIND_LINKS ?= $(subst $(empty) $(empty),$(comma),$(strip $(PIP_LINKS)))

.PHONY: demo test test-slow test-browser mutants lint docs install clean
install: .venv/.ready

.venv/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --disable-pip-version-check uv==0.13.9
	$(BIN)/python -m uv pip install -q --python $(BIN)/python -e ".[all,sweeper,dev]" -c constraints.txt
	touch $@

demo: .venv/.ready
	$(BIN)/python -m experiments.ablate +experiment=demo

test: .venv/.ready
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow and not browser" -n auto --maxprocesses 8

test-slow: .venv/.ready
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow -n 2

.venv/.browser: .venv/.ready
	$(BIN)/python -m uv pip install -q --python $(BIN)/python -e ".[browser]" -c constraints.txt
	touch $@

# The interactive page in the chromium that is installed.
test-browser: .venv/.browser
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m browser tests/browser

.venv/.mutants: .venv/.ready
	$(BIN)/python -m uv pip install -q --python $(BIN)/python -e ".[mutants]" -c constraints.txt
	touch $@

# All mutants take hours; a sample: make mutants SAMPLE=400 SEED=0
mutants: .venv/.mutants
	OMP_NUM_THREADS=1 $(BIN)/python tests/mutants.py $(if $(SAMPLE),--sample $(SAMPLE)) --seed $(or $(SEED),0)

lint: .venv/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.venv/.docs: .venv/.ready
	$(BIN)/python -m uv pip install -q --python $(BIN)/python -e ".[docs]" -c constraints.txt
	touch $@

docs: .venv/.docs
	$(BIN)/python docs/render_results.py --check
	$(BIN)/zensical build --clean --strict

clean:
	rm -rf .venv mutants outputs multirun site
