# SPDX-License-Identifier: BSD-2-Clause-Patent
# "make help" lists what there is.  Every set-up step is done by the target that needs it.

PREFIX ?= /opt/daos
SYSCONFDIR ?= /etc/daos
LOCALSTATEDIR ?= /var
RUNDIR ?= /run/daos_server_helper
DESTDIR ?=
# The interpreter under the helper, the server and the tests: the newest that the distribution has.
INTERPRETER ?= $(shell ls /usr/bin/python3.1[1-9] 2>/dev/null | sort -V | tail -n 1)
PYTEST_ARGS ?=
# Bounds "make fuzz": seconds per target.
FUZZ_SECONDS ?= 60
# Leads the fuzzing of the protocol by coverage.  In no lock, as it does not install everywhere; nothing that is installed uses it.
ATHERIS ?= atheris==3.0.0
# The kind of guest that vm-shell boots: iommu, uio or systemd.
FLAVOUR ?= iommu

VENV := .venv
VENV_PYTHON := $(VENV)/bin/python
SOURCE_PATH := pbin:bindings:helper:server
PIP := -m pip --disable-pip-version-check --no-input install --quiet --quiet
BUILDERS := $(wildcard bindings/daos_bindings/_build_*.py)
# SPDK is compiled in if pkg-config finds it: made again when it comes, goes or changes (docs/spdk.md).
EXTENSIONS := $(VENV)/extensions$(addprefix -spdk-,$(shell pkg-config --modversion spdk_nvme 2>/dev/null))
COMPILE := /usr/bin/env pip-compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
	--strip-extras --no-header --no-annotate --allow-unsafe --resolver backtracking
INSTALL = $(INTERPRETER) -B packaging/install.py --prefix "$(PREFIX)" --sysconfdir "$(SYSCONFDIR)" --localstatedir "$(LOCALSTATEDIR)" \
	--rundir "$(RUNDIR)" --destdir "$(DESTDIR)" --interpreter "$(INTERPRETER)"

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help deps deps-tests venv build-ext test vm-shell unit lint fuzz install uninstall demo bench lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile
	@echo "Set with NAME=value: PREFIX SYSCONFDIR LOCALSTATEDIR RUNDIR DESTDIR INTERPRETER PYTEST_ARGS FUZZ_SECONDS FLAVOUR"

deps: ## Install the distribution's packages that a build needs (apt-get, as root), or name them
	@packaging/deps.sh

deps-tests: deps
	@packaging/deps.sh --tests || echo "deps: not all that tests need is here; those that need what is missing say so and are not run" >&2

venv: $(VENV)/stamp ## Make .venv with everything that tests and linters need

$(VENV)/stamp: requirements/build.txt requirements/dev.txt | deps
	@echo "venv: $(INTERPRETER) -> $(VENV)"
	@rm -rf $(VENV)
	@$(INTERPRETER) -m venv $(VENV)
	@$(VENV_PYTHON) $(PIP) --require-hashes --requirement requirements/build.txt
	@$(VENV_PYTHON) $(PIP) --require-hashes --no-build-isolation --requirement requirements/dev.txt
	@touch $@

build-ext: $(EXTENSIONS) ## Compile the C extensions beside their sources, for the tests

$(EXTENSIONS): $(VENV)/stamp setup.py $(BUILDERS)
	@echo "build-ext: $(notdir $(BUILDERS))"
	@mkdir -p build
	@$(VENV_PYTHON) setup.py --quiet egg_info --egg-base build build_ext --inplace --build-temp build/ext
	@touch $@

test: build-ext deps-tests ## Run everything: linters, unit, host, attack and vm tests (as root for the last three)
	@$(VENV_PYTHON) -m pytest $(wildcard tests/unit tests/host tests/attack tests/vm) $(PYTEST_ARGS)

vm-shell: build-ext deps-tests ## Boot a guest with NVMe and persistent memory, for a prompt in it (as root)
	@PYTHONPATH=tests/vm $(VENV_PYTHON) -m vmlab.shell $(FLAVOUR)

unit: build-ext ## Run only the linters and the tests that need no root
	@$(VENV_PYTHON) -m pytest tests/unit $(PYTEST_ARGS)

lint: build-ext ## Run only the linters: ruff, mypy --strict, import-linter, the launcher's analyser
	@$(VENV_PYTHON) -m pytest tests/unit/test_linters.py $(PYTEST_ARGS)

fuzz: $(VENV)/stamp deps ## Fuzz launcher and protocol for FUZZ_SECONDS each; the launcher as root
	@packaging/deps.sh --fuzz || echo "fuzz: AFL++ IS NOT HERE" >&2
	@$(VENV_PYTHON) $(PIP) --target build/fuzz-tools "$(ATHERIS)" || echo "fuzz: ATHERIS DOES NOT INSTALL for this interpreter" >&2
	@PYTHONPATH=$(SOURCE_PATH):packaging:tests/support:build/fuzz-tools $(VENV_PYTHON) -B tests/fuzz/run.py \
		--seconds "$(FUZZ_SECONDS)" --build build/fuzz

install: deps ## Install under PREFIX (/opt/daos); makes the system accounts if they are missing
	@$(INSTALL) install

uninstall: ## Remove exactly what install put there
	@$(INSTALL) uninstall

demo: install ## Prepare, scan and format example storage step by step, then take everything down again
	@$(INTERPRETER) -B packaging/demo.py --prefix "$(PREFIX)" --sysconfdir "$(SYSCONFDIR)" --localstatedir "$(LOCALSTATEDIR)"

bench: install venv ## Measure: a table, and the same as JSON in build/bench.json
	@PYTHONPATH=$(SOURCE_PATH) $(VENV_PYTHON) tests/bench/bench.py --prefix "$(PREFIX)" --json build/bench.json

lock: $(VENV)/stamp ## Renew the lock files in requirements/ (needs pip-compile)
	@$(COMPILE) pyproject.toml --output-file requirements/helper.txt
	@$(COMPILE) pyproject.toml --extra server --constraint requirements/helper.txt --output-file requirements/server.txt
	@$(COMPILE) requirements/build.in --constraint requirements/helper.txt --output-file requirements/build.txt
	@$(COMPILE) pyproject.toml --extra server --extra dev requirements/build.in --constraint requirements/server.txt \
		--constraint requirements/build.txt --output-file requirements/dev.txt
	@sed -i '1i # SPDX-License-Identifier: BSD-2-Clause-Patent\n# Made by "make lock" from pyproject.toml and requirements/build.in; do not edit.' requirements/*.txt

clean: ## Remove what a build made in this tree (not what is installed)
	@rm -rf build dist $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage .coverage.*
	@find pbin bindings helper server tests packaging -name __pycache__ -prune -exec rm -rf {} +
	@find bindings '(' -name '*.so' -o -name '*.o' -o -name '_*.c' -o -name _fabric.py -o -name _ipmctl.py ')' -delete
