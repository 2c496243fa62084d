# Two commands: `make demo` runs a closed-loop session on simulated parts, `make test` passes every test.
# All make their own environment in .venv and install what they need.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MODALITY ?= tacs
DURATION ?= 60
SEED ?= 1

.PHONY: demo test check bench campaign coverage clean system-packages

demo: $(VENV)/.installed
	@$(BIN)/nociloop demo --modality $(MODALITY) --duration $(DURATION) --seed $(SEED)

# What is pure is tried on every core; what keeps time in real processes has the machine to itself.
test: $(VENV)/.installed-dev system-packages
	$(BIN)/python -m pytest -q -n auto --dist worksteal -m "not system"
	$(BIN)/python -m pytest -m system

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The long proofs of the interlock, a piece at a time; they go on where they stopped. `make campaign PROOFS="kill stop"`
PROOFS ?=
BUDGET_S ?= 600
JOBS ?= 2

campaign: $(VENV)/.installed-dev
	$(BIN)/python -m tests.campaign $(PROOFS) --budget-s $(BUDGET_S) --jobs $(JOBS)

# Lines and branches of the decision core, whose bar is 100 %, and of its shell. `make coverage COVERAGE=--core`: the core alone
COVERAGE ?=

coverage: $(VENV)/.installed-dev
	$(BIN)/python -m tests.campaign.covering --jobs $(JOBS) $(COVERAGE)

bench: $(VENV)/.installed
	$(BIN)/nociloop bench latency

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "nociloop needs Python 3.11 or newer; found $$($(PYTHON) --version). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ rm -rf $(VENV); echo "python3-venv is missing. On Debian: sudo apt-get install python3-venv"; exit 1; }

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	@echo "installing nociloop into $(VENV) (a minute or two, once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(VENV)/bin/python
	@echo "installing nociloop and its test tools into $(VENV) (a minute or two, once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(VENV)/.installed

# mosquitto: the real broker that telemetry is tried against; strace: shows what the deciding thread asks of the kernel.
system-packages:
	@for tool in mosquitto strace; do \
		command -v $$tool >/dev/null || test -x /usr/sbin/$$tool || missing="$$missing $$tool"; \
	done; \
	if [ -n "$$missing" ] && command -v apt-get >/dev/null; then \
		sudo=$$([ "$$(id -u)" = 0 ] || command -v sudo); \
		$$sudo apt-get update -qq && $$sudo apt-get install -y -qq --no-install-recommends $$missing >/dev/null || \
			echo "could not install$$missing: the tests that need them are skipped"; \
	elif [ -n "$$missing" ]; then echo "not found:$$missing: the tests that need them are skipped"; fi

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
