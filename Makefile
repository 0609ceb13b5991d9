# Two commands for a newcomer: `make demo` and `make test`. Each sets up what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PARTS ?=
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Some machines tell Python to keep no bytecode: each process of a test would compile all anew.
unexport PYTHONDONTWRITEBYTECODE
PIP := $(BIN)/python -m pip install --quiet --constraint constraints.txt
ROOT_APT := [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null

.PHONY: demo test quick test-install test-image check format bench scenarios fuzz soak docs site outdated bundle screenshot screenshots system image-tools clean

demo: $(VENV)/.demo ## three agents, a broker and the cloud on real solar cells
	$(BIN)/splitsight demo $(if $(PARTS),--parts $(PARTS))

# One line for each file as it is done. Workers that wait leave the processor to the others.
WORKERS := $(shell expr $$(nproc) + 1)
PYTEST := $(BIN)/python -m pytest -q -p tests.support.progress
GROUP = $(PYTEST) --group $(1) --dist loadfile --no-loadscope-reorder --numprocesses $(WORKERS)

test: $(VENV)/.dev system ## every test, in two groups; ARGS="-k journal", ARGS=tests/edge: some of them
ifdef ARGS
	$(PYTEST) $(ARGS)
else
	@echo "group 1 of 2: quick tests, which start no process and import no torch"
	@$(call GROUP,quick); quick=$$?; \
	echo "group 2 of 2: slow tests, which start processes or import torch"; \
	$(call GROUP,slow) && exit $$quick
endif

quick: $(VENV)/.dev ## the tests that start no process and import no torch: a good minute
	$(call GROUP,quick) --hypothesis-profile quick

test-image: $(VENV)/.dev system image-tools ## an image built, flashed, started in QEMU, updated and rolled back (20 to 40 minutes)
	timeout 5400 $(BIN)/python -m pytest -q -s tests/image
	$(BIN)/python -m tests.support.covered --passed

test-install: $(VENV)/.dev system ## what README and the guides show, each page from a fresh environment of its extra (about 10 minutes)
	$(BIN)/python -m pytest -q tests/install $(ARGS)

# Imports are no copies. Steps of a database are, on purpose: each is frozen with its release.
COPIES := $(BIN)/jscpd --min-tokens 40 --mode weak --format python,bash,css,javascript,markup \
	--ignore '**/migrations/versions/**,**/vendor/**' \
	--ignore-pattern '(?m)^from [\w.]+ import \([^)]*\)|^(?:from|import) .*$$' \
	--reporters console --no-colors --no-tips --exit-code --fail-on-empty

check: $(VENV)/.dev ## style, types, import contracts, copies, generated files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(COPIES) --min-lines 12 shared edge cloud fleet hardware-sim docs/generate.py
	$(COPIES) --min-lines 20 tests
	$(BIN)/python docs/generate.py --check

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.dev system ## the figures of docs/benchmarks.md, as ratios within one run
	$(BIN)/python -m tests.bench

SCENARIOS := hardware-sim/hardware_sim/scenarios

scenarios: $(VENV)/.dev system ## every shipped scenario, one after the other (about 12 minutes)
	@for file in $(SCENARIOS)/*.yaml; do $(BIN)/splitsight sim run $$file || exit 1; done

SECONDS ?= 60
fuzz: $(VENV)/.dev ## what reads foreign bytes, fuzzed for SECONDS each; KEEP=--keep keeps what is worth it
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS) $(KEEP)

soak: $(VENV)/.dev system ## what takes longer: an hour of kills, ten minutes without a network, thousands of crash states
	$(BIN)/splitsight sim run $(SCENARIOS)/soak/chaos.yaml
	SPLITSIGHT_DELIVERY=2 $(BIN)/python -m pytest -q tests/delivery
	$(BIN)/splitsight sim run $(SCENARIOS)/soak/network-cut-10.yaml
	SPLITSIGHT_CRASH_SAMPLES=400 $(BIN)/python -m pytest -q tests/hardware_sim/power/test_blocks_journal.py
	SPLITSIGHT_WATCH_S=60 $(BIN)/python -m pytest -q tests/system/test_silence.py
	SPLITSIGHT_CRASH_SAMPLES=14000 $(BIN)/python -m pytest -q tests/fleet/flash/test_crash_states.py

docs: $(VENV)/.dev ## regenerate docs/reference
	$(BIN)/python docs/generate.py

site: $(VENV)/.dev ## the documentation for a browser, in build/site; a broken link fails it
	$(BIN)/python -m sphinx -q -W --keep-going -c docs/site docs build/site

outdated: $(VENV)/.dev ## what has a newer version, and what holds it back
	@$(BIN)/python -m tests.support.outdated

# What an installation brings, with the hash of every file that pip may take for it.
hashes: $(VENV)/.release ## requirements/*.txt anew, from pyproject.toml and constraints.txt
	@for set in "edge:--extra edge" "cloud:--extra cloud --extra fleet"; do \
		$(BIN)/uv pip compile pyproject.toml $${set#*:} --constraint constraints.txt --universal \
			--python-version 3.11 --generate-hashes --no-annotate --no-header --quiet \
			--output-file requirements/$${set%%:*}.txt || exit 1; done

sbom: $(VENV)/.release ## build/sbom/*.cdx.json: the bill of materials of a release (CycloneDX)
	@mkdir -p build/sbom
	@for name in edge cloud; do $(BIN)/python -W ignore -m cyclonedx_py requirements \
		requirements/$$name.txt --pyproject pyproject.toml --mc-type application \
		--output-reproducible --of JSON -o build/sbom/$$name.cdx.json || exit 1; done

# --strict: a package that the registry does not know is no package without a known hole.
audit: $(VENV)/.release ## which pinned packages have known holes; needs a registry that answers
	@for name in edge cloud; do $(BIN)/pip-audit --strict --require-hashes --disable-pip \
		--requirement requirements/$$name.txt || exit 1; done

$(VENV)/.release: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) cyclonedx-bom pip-audit uv
	@touch $@

bundle: $(VENV)/.dev ## train the shipped bundle again (about 40 minutes on 2 cores)
	$(BIN)/splitsight cloud train --data elpv --out bundles/elpv --run runs/elpv --name elpv --release-version 1.2.0 \
		--epochs 18 --tail-epochs 2 --bottleneck-epochs 6 --bit-weight 0.005 --resume
	$(BIN)/splitsight cloud certify --bundle bundles/elpv --data elpv --escape 0.1 --false-reject 0.05 --tail-weight 0.5
	$(BIN)/splitsight cloud leakage --bundle bundles/elpv --data elpv --epochs 6 --out runs/elpv
	awk -F, '$$6 ~ /^test/ {n = split($$1, path, "/"); print path[n]}' runs/elpv/splits.csv > bundles/elpv-test.txt

screenshot: $(VENV)/.dev system ## the live page as docs/images/live.png
	$(BIN)/python -m tests.browser.screenshot docs/images/live.png

screenshots: $(VENV)/.dev system ## every page of the demo, light and dark, in three sizes, in build/screenshots
	$(BIN)/python -m tests.browser.screenshot build/screenshots --all

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV) 2>/dev/null || { rm -rf $(VENV); $(ROOT_APT) && \
		apt-get update -qq && apt-get install -y -qq python3-venv && $(PYTHON) -m venv $(VENV); }

$(VENV)/.demo: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing into $(VENV) (once, about a minute)"
	$(PIP) --editable '.[demo]'
	@touch $@

# torch by its exact version first: any other way can fetch gigabytes for GPUs.
$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing into $(VENV) (once, a few minutes)"
	$(PIP) torch==2.13.0
	$(PIP) --editable '.[dev]'
	@touch $@ $(VENV)/.demo

# What the tests talk to; PostgreSQL and Chromium are used where they are, and must be in CI.
system:
	@command -v mosquitto >/dev/null || [ -x /usr/sbin/mosquitto ] || $(MAKE) -s apt NAME=mosquitto
	@command -v chromium >/dev/null || $(MAKE) -s apt NAME=chromium
	@[ -x /usr/sbin/nginx ] || $(MAKE) -s apt NAME=nginx-light
	@[ -x /usr/sbin/ip ] || [ -x /sbin/ip ] || $(MAKE) -s apt NAME=iproute2
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || $(MAKE) -s apt NAME=postgresql
	@[ -x /usr/bin/bmaptool ] && [ -x /usr/bin/mcopy ] && [ -x /usr/sbin/mkfs.vfat ] && \
		[ -x /usr/sbin/sgdisk ] && [ -x /usr/bin/mksquashfs ] && [ -x /usr/bin/busybox ] || \
		$(MAKE) -s apt NAME="bmap-tools mtools dosfstools gdisk squashfs-tools busybox"

# What builds an image and starts it: `splitsight fleet image build`, `splitsight fleet boot`.
image-tools: system
	@[ -x /usr/bin/mmdebstrap ] && [ -x /usr/bin/qemu-system-x86_64 ] && \
		[ -e /usr/share/OVMF/OVMF_CODE_4M.fd ] || \
		$(MAKE) -s apt NAME="mmdebstrap qemu-system-x86 ovmf"

.PHONY: apt
apt:
	@if $(ROOT_APT); then echo "installing $(NAME)"; apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $(NAME) >/dev/null; \
	else echo "$(NAME) is not installed: its tests are skipped (apt-get install $(NAME))"; fi

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
