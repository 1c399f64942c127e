# The two commands of the README are `make demo` and `make test`; the rest serves them.
SHELL := /bin/bash
.DELETE_ON_ERROR:
.PHONY: setup demo demo-down test bench lint clean packages

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp

# What the lab's machines are made with; README.md names each.
PACKAGES := systemd-container mmdebstrap iproute2 openssh-client

# Of all that is downloaded nothing stays outside the checkout.
export PIP_CACHE_DIR ?= $(CURDIR)/.cache/pip

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@python3 -c 'import ensurepip, venv' 2>/dev/null || $(MAKE) --no-print-directory install PACKAGES=python3-venv
	@test -x $(BIN)/python || python3 -m venv $(VENV)
	@echo "installing Python packages into $(VENV) …"
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[lab,dev]'
	@touch $@

# Debian packages, only those that are missing and only where we may.
.PHONY: install
install:
	@missing=$$(for p in $(PACKAGES); do dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; done); \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then echo "not installed, and this needs root on Debian: "$$missing >&2; exit 1; fi; \
	  echo "installing Debian packages: "$$missing; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	fi

packages:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then $(MAKE) --no-print-directory install; \
	else echo "no root, or no Debian: the lab simulates its machines"; fi

demo: setup packages
	@$(BIN)/stackyard demo

demo-down: setup
	@$(BIN)/stackyard lab down

# Many tests wait for machines, tasks and servers: three processes keep two cores busy, if those with
# machines, which take longest, do not come last.
test: setup packages
	@$(BIN)/pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

# All benchmarks, or `make bench ONLY="create inventory"`.
bench: setup
	@$(BIN)/python tests/benchmarks $(ONLY)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/yamllint --strict .
	$(BIN)/ansible-lint --offline
	$(BIN)/shellcheck .ci/run .ci/demo

clean: demo-down
	rm -rf $(VENV) .cache .ansible .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info
