# Two commands are enough: `make run` (the experiment suite, with a report) and `make test`.
# On a fresh machine they need Python 3.12+ and make; everything else goes into .venv.
PYTHON ?= $(shell for p in python3.13 python3.14 python3.12 python3 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 12))' >/dev/null 2>&1 && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SUITE := experiments/access experiments/control experiments/delivery
JOBS ?= $(shell $(BIN)/python -c 'import os; print(os.cpu_count() or 1)' 2>/dev/null || echo 2)

# Tests start many processes. Where compiled modules are not kept, each of them compiles all modules again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run fuzz full live live-kernel live-deps toxiproxy-clients test coverage aiohttp-suite check bench docs setup clean
.DEFAULT_GOAL := run

# What can be made.
help:
	@awk '/^# /{if (about == "") about = substr($$0, 3)} /^[a-z][a-z-]*:/{if (about != "") printf "%-18s %s\n", $$1, about} /^$$/{about = ""}' $(firstword $(MAKEFILE_LIST)) | sed 's/: / /'

# The experiment suite, with a report in reports/latest/index.html.
run: $(STAMP)
	$(BIN)/harness run $(SUITE) --jobs $(JOBS)

# More experiments: one for each failure that the default suite has no time for, and runs of hours (minutes of real time).
full: $(STAMP)
	$(BIN)/harness run $(SUITE) experiments/full experiments/long --jobs $(JOBS)

# The same experiments on real processes and sockets (Linux, loopback only); then proof that nothing is left.
# Processor quotas need a writable cgroup; without one, that experiment is left out and the reason is printed.
LIVE_CPU = $(shell $(BIN)/python -m harness.live.cpu >&2 && echo experiments/live-cpu)
live: $(STAMP)
	$(BIN)/harness doctor
	$(BIN)/harness run experiments/live $(LIVE_CPU) --runtime live --jobs 2
	$(BIN)/harness run experiments/live/live-recommender-latency.chaos.yaml --runtime live --load locust
	$(BIN)/harness cleanup

# Live, with the kernel network: real namespaces, packet loss and rates. Needs root; prints what is missing.
live-kernel: $(STAMP)
	$(BIN)/harness run experiments/kernel --runtime live --network kernel
	$(BIN)/harness cleanup

# What the kernel network needs besides the Python packages: nftables (its library, libnftables).
live-deps:
	@if command -v apt-get >/dev/null; then apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq nftables; \
	else echo "install nftables with this system's own package manager (dnf, apk, pacman, ... install nftables)"; exit 1; fi

# All tests. Live tests mostly wait, hence more workers than cores. tests/conftest.py groups and orders the tests.
WORKERS ?= $(shell expr 2 '*' $(JOBS))
TESTS = $(BIN)/python -m pytest tests -n $(WORKERS) --dist loadgroup --no-loadscope-reorder --benchmark-disable
test: $(STAMP)
	$(TESTS)

# All tests, with line coverage of harness/ and systems/. Fails below `fail_under` in pyproject.toml.
coverage: $(STAMP)
	$(TESTS) --cov --cov-report=term:skip-covered

# Performance claims, as ratios within one run. Needs a quiet machine.
bench: $(STAMP)
	$(BIN)/python -m pytest tests/benchmarks --benchmark-only

# A short search of fault schedules, always the same one; then a defect that it must find, or the search reports nothing.
fuzz: $(STAMP)
	$(BIN)/harness fuzz ledger --seed 1 --schedules 60 --for 15s --output reports/fuzz
	$(BIN)/harness fuzz ledger --seed 1 --schedules 20 --for 12s --findings 1 --fault loss \
		--without store.idempotency --output reports/fuzz; test $$? -eq 1

# aiohttp's own tests in virtual time (fetches them; half an hour). Fails while tests fail that are not explained.
aiohttp-suite: $(STAMP)
	$(BIN)/python -m tests.conformance.aiohttp_suite

# Lint, format, types and import contracts, of the tests too.
check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The page of the public API, from its source.
docs: $(STAMP)
	$(BIN)/python docs/make_reference.py

# The virtual environment, with everything in it.
setup: $(STAMP)

# Existing clients of Toxiproxy, which the tests run against our server. They have their own environments, because their
# pins conflict with ours. The test of a client that cannot be installed is skipped.
CLIENTS := .toxiproxy-clients
toxiproxy-clients: $(STAMP)
	@$(BIN)/python -m venv $(CLIENTS)/chaostoxi && \
		$(CLIENTS)/chaostoxi/bin/python -m pip install --quiet --disable-pip-version-check \
			chaostoolkit-toxiproxy==0.3.1 \
		|| { rm -rf $(CLIENTS)/chaostoxi; echo "chaostoolkit-toxiproxy cannot be installed: its test is skipped"; }
	@npm install --silent --no-fund --no-audit --prefix $(CLIENTS)/node toxiproxy-node-client@4.1.0 \
		|| echo "toxiproxy-node-client cannot be installed: its test is skipped"

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.12 or newer was not found; install it, or: make PYTHON=/path/to/python3.13"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,live,load,netns]'
	@touch $@

# Remove what these commands have made, reports included.
clean:
	rm -rf $(VENV) .toxiproxy-clients .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis .benchmarks .import_linter_cache build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find reports -mindepth 1 -maxdepth 1 ! -name README.md -exec rm -rf {} +
