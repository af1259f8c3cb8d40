# `make run` on a fresh Debian 12 needs nothing installed before; README.md has the rest.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
SUDO   := $(if $(filter 0,$(shell id -u)),,sudo)
POLICY := /usr/sbin/policy-rc.d

RUN_PACKAGES  := nginx docker-registry
TEST_PACKAGES := $(RUN_PACKAGES) mariadb-server redis-server skopeo podman buildah docker.io docker-compose iptables \
                 debootstrap faketime notary curl openssl procps slapd samba-ad-dc samba-ad-provision \
                 samba-dsdb-modules ldb-tools apache2-utils chromium fonts-noto-cjk
BENCH_PACKAGES := $(TEST_PACKAGES) wrk
FAULT_PACKAGES := $(TEST_PACKAGES) haproxy iproute2

.PHONY: run packages test-packages bench-packages fault-packages check messages test fuzz bench profile faults screenshots clean
.ONESHELL:
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

# Install what is missing of the packages $(1). Debian starts and enables what it installs: policy-rc.d forbids the one, and the
# other is undone, since a second nginx would take our port after the next boot.
define install
enabled() { systemctl list-unit-files --type=service --state=enabled --no-legend 2>/dev/null | cut -d' ' -f1 | sort; }
missing=$$(for package in $(1); do
    dpkg-query -W -f='$${Status}' $$package 2>/dev/null | grep -q 'ok installed' || echo $$package; done)
$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || missing="$$missing python3-venv"
if [[ -z $${missing// } ]]; then exit; fi
echo "Installing what is missing on this machine:" $$missing
if [[ ! -e $(POLICY) ]]; then
    trap '$(SUDO) rm -f $(POLICY)' EXIT
    printf '#!/bin/sh\nexit 101\n' | $(SUDO) install -m 755 /dev/stdin $(POLICY)
fi
before=$$(enabled || true)
$(SUDO) apt-get update -qq
$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null
comm -13 <(echo "$$before") <(enabled || true) | xargs -r $(SUDO) systemctl disable --quiet
endef

run: packages $(VENV)/.run-stamp
	@exec $(BIN)/authsvc up

packages:
	@$(call install,$(RUN_PACKAGES))

test-packages:
	@$(call install,$(TEST_PACKAGES))

bench-packages:
	@$(call install,$(BENCH_PACKAGES))

fault-packages:
	@$(call install,$(FAULT_PACKAGES))

$(VENV)/.run-stamp: setup.cfg pyproject.toml | packages
	@echo "Installing authsvc and its libraries in $(VENV)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -e .
	touch $@

$(VENV)/.dev-stamp: $(VENV)/.run-stamp
	@echo "Installing the development tools in $(VENV)"
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

check: $(VENV)/.dev-stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: test-packages check
	$(BIN)/pytest -n 2 --dist loadgroup --no-loadscope-reorder

# What the pages and the errors say, for translation; prints what has none yet.
CATALOG := authsvc/web/translations/zh/LC_MESSAGES/messages
messages: $(VENV)/.dev-stamp
	@mkdir -p build
	$(BIN)/pybabel -q extract -F pyproject.toml -k lazy_gettext -k say --no-location --omit-header -o build/messages.pot authsvc
	$(BIN)/pybabel -q update -l zh -i build/messages.pot -o $(CATALOG).po --no-fuzzy-matching --ignore-obsolete --omit-header
	$(BIN)/pybabel -q compile -f -i $(CATALOG).po -o $(CATALOG).mo
	-$(BIN)/pytest -q -p no:randomly tests/web/test_language.py

# Ten minutes of everything that a client can send to the token endpoint.
FUZZ_SECONDS ?= 600
fuzz: $(VENV)/.dev-stamp
	$(BIN)/pip install --quiet --disable-pip-version-check 'atheris>=2.3,<4'
	$(BIN)/python -m tests.fuzz.token_endpoint -max_total_time=$(FUZZ_SECONDS)

# Every page of the site in pictures (build/screenshots), and those of README (tests/e2e/pictures).
screenshots: test-packages $(VENV)/.dev-stamp
	$(BIN)/python -m tests.e2e.screenshots

# How fast: tables here, JSON and a picture in build/bench. About a quarter of an hour; leave the machine alone
# meanwhile. PART=pages measures the site's pages alone, in four minutes.
bench: bench-packages $(VENV)/.dev-stamp
	$(BIN)/pip install --quiet --disable-pip-version-check 'matplotlib>=3.9,<4'
	$(BIN)/python -m tests.bench $(PART)

# Where a token's time goes.
profile: $(VENV)/.dev-stamp
	$(BIN)/python -m tests.bench.profile

# How robust: break what is around the service while clients work, as root, in network and mount namespaces of its own.
# FAULTS="F1 F9" tries these alone, SEED repeats a run.
faults: fault-packages $(VENV)/.dev-stamp
	$(BIN)/python -m tests.faults $(FAULTS) $(if $(SEED),--seed $(SEED))

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find authsvc tests -name __pycache__ -type d -prune -exec rm -rf {} +
