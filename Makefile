# Needs make and Python 3.11 or newer; everything else is installed here. Options of a
# command behind `make` go into ARGS: make test ARGS="tests/outbox -x".
#
#   make demo     the shortest way to see it work
#   make test     all tests                make lint    ruff
#   make coverage with what takes long     make types   mypy and pyright
#   make check    coverage and the rest  make site     the documentation, into build/site
#   make bench    speed beside the peers   make layers  the import contracts
#   make links    links that lead out of the site, followed: it needs a network
#   make test-pure  the tests of what is compiled, on its twin in Python
#   make compiled compiles it anew where it is old, and says if it cannot
#   make servers  the real servers that the tests talk to, and a compiler
#   make conformance  the Autobahn cases, into docs/conformance.md
#   make bench-chains  a chain caught up with and followed, into docs/chains-speed.md
#   make bench-feeds  notifications through feeds beside others, into docs/feeds-speed.md
#   make bench-codec  decoding through a codec beside by hand, into docs/codec-speed.md
#   make bench-compression  what zlib-ng brings, into docs/compression.md
#   make adapters  libraries alone and on our session, into docs/adapters/campaign.md
#   make adapter-versions  their lowest and newest versions, into docs/adapters/versions.md
#   make bench-instruments  what reading metrics costs, into docs/observability.md
#   make bench-outbox  the outbox beside queues on SQLite, into docs/outbox.md
#   make import-time  what importing costs, into docs/import-time.md
#   make pongs    when servers answer pings, into docs/pongs.md
#   make probe    what the probe says of servers, into docs/probe.md
#   make reliability  real faults beside the peers, into docs/reliability.md (root)
#   make crash    kill -9 of a sender ROUNDS=200 times, into docs/crash.md
#   make instructions  the bytecodes of a message, beside their budgets
#   make security  thousands of sessions with a hostile server, into docs/security.md
#   make fuzz     malformed input for SECONDS=60    make linear  large messages
#   make twins    the loops in C beside those in Python, over BUFFERS=1000000
#   make soak     random faults for MINUTES=10, SEED= to have the same ones again
#   make feeds    calls, drops, slow consumers and floods, into docs/feeds-endurance.md
#   make catch-up  a chain from an old cursor, through limits, into docs/chains-catch-up.md
#   make sequences  books on a server that hurts them, into docs/sequences.md
#   make chains   nodes that die, reorganise and lie, into docs/chains-shown.md
#   make release-check  all that must hold before a release (half an hour)
#   make packages built, and what they contain   make interface  changes and CHANGELOG.md
#   make packed   what the packages in dist contain, wherever they were built
#   make workflows  actionlint and zizmor        make hooks      those of pre-commit
#   make installed  the wheel on each Python     make everywhere  all tests on each
#                 of PYTHONS
#   make publishable  what an index would refuse    make publish  to the index
#   make plots    the plots of docs/measured.md, from the figures beside the pages
#   make picture  the demo, recorded, into docs/demo.svg
#   make clean    removes what was installed and built

SHELL := /bin/sh
# Where distributions put daemons, which is not in every user's PATH.
export PATH := $(PATH):/usr/sbin:/sbin
.DELETE_ON_ERROR:
.DEFAULT_GOAL := check

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NODE := tests/servers/node
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# Tests wait more than they compute: two thirds of the time a processor would be idle.
export PYTEST_XDIST_AUTO_NUM_WORKERS ?= $(shell expr 3 \* $$(getconf _NPROCESSORS_ONLN))

SECONDS ?= 60
EXAMPLES ?= 5000
BUFFERS ?= 1000000
MINUTES ?= 10
# Drawn, and told, unless it is given.
SEED ?=
ROUNDS ?= 200

# It changes the standard library when it is imported: an environment of its own.
KOSOKU := .cache/kosoku
KOSOKU_VERSION := 0.1.0

# What is compiled lies beside its source, where all environments import it from.
LIBRARY := resilient_ws/protocol/compiled.abi3.so
COMPILED_FROM := pyproject.toml hatch_build.py resilient_ws/protocol/compiled.c

# The newest peers, whatever the tests need.
BENCH := .cache/bench
BENCH_PYTHON ?= $(BIN)/python
FIGURES ?= docs/performance.json

# What the interface is compared with: the newest release, unless it is given.
AGAINST ?=
# Those that the wheel is installed into.
PYTHONS ?= 3.11 3.12 3.13

# The folders that hold Python today: mypy refuses an empty one.
SOURCES := $(foreach d,resilient_ws tests examples benchmarks release,$(if $(wildcard $(d)/*.py),$(d))) \
	$(wildcard *.py docs/*.py docs/tools/*.py)

PURE_TESTS := tests/protocol tests/session tests/wire tests/inbox tests/outbox \
	tests/hostile tests/supervisor tests/feeds tests/test_imports.py

.PHONY: demo test coverage tested-servers lint types layers check servers format clean \
	adapters adapter-versions bench bench-chains bench-codec bench-compression \
	bench-feeds bench-instruments bench-monitor bench-outbox catch-up chains compiled \
	conformance conformance-server crash feeds fuzz import-time instructions interleavings linear \
	links picture plots pongs probe reliability screenshots security sequences site soak \
	test-pure twins everywhere hooks installed interface manylinux packages packed \
	publish publishable release-check workflows

check: coverage lint types layers site

demo: $(VENV)/.demo
	$(BIN)/resilient-ws demo

# The tests run without the servers too: those that need one then skip, and say
# what to install (with CI=true they fail).
test: $(VENV)/.tests $(VENV)/.release tested-servers
	$(BIN)/python -m pytest -n auto $(ARGS)

# Half as slow again: Python calls the tracer for each line.
coverage: $(VENV)/.tests $(VENV)/.release $(VENV)/.docs tested-servers
	ENDURANCE=1 $(BIN)/python -m pytest -n auto --cov --cov-report=term $(ARGS)

tested-servers: $(VENV)/.tests
	@$(MAKE) --no-print-directory --keep-going servers conformance-server \
		|| echo "make test: going on without them"
	@$(MAKE) --no-print-directory compiled

# Tried again where a compiler may have come since. Without one, all runs in Python; with
# CI=true, tests fail then.
compiled: $(VENV)/.compiled
	@[ -e $(LIBRARY) ] || ! command -v $(CC) >/dev/null \
		|| $(PIP) install --no-deps --editable .
	@[ -e $(LIBRARY) ] || echo "make: nothing is compiled, so all runs in Python:" \
		"a C compiler and Python.h are needed (apt-get install gcc libc6-dev python3-dev)"

# What the compiled part takes part in; make test runs the rest, which it does not change.
test-pure: $(VENV)/.tests tested-servers
	RESILIENT_WS_PURE=1 RESILIENT_WS_ZLIB_NG=0 \
		$(BIN)/python -m pytest -n auto $(or $(ARGS),$(PURE_TESTS))

lint: $(VENV)/.lint
	$(BIN)/ruff check
	$(BIN)/ruff format --check

# Not part of check: it writes.
format: $(VENV)/.lint
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

types: $(VENV)/.docs $(VENV)/.lint $(VENV)/.tests $(VENV)/.peers $(VENV)/.release $(NODE)/node_modules/.package-lock.json
	$(BIN)/mypy $(SOURCES)
	node $(NODE)/node_modules/pyright/index.js

layers: $(VENV)/.lint
	$(BIN)/lint-imports

# A warning fails it: a link that leads nowhere, a name that does not exist.
site: $(VENV)/.docs
	$(BIN)/python -m sphinx -q -W --keep-going -b html -j auto \
		-d build/doctrees docs build/site $(ARGS)
	@echo "build/site/index.html"

# Every link that leads out of the site, followed: it needs a network. `make site` has
# checked those within it.
links: $(VENV)/.docs
	$(BIN)/python -m sphinx -q -b linkcheck -d build/doctrees docs build/links $(ARGS)
	@echo "build/links/output.txt"

plots: $(VENV)/.docs
	$(BIN)/python docs/tools/plots.py

picture: $(VENV)/.docs
	$(BIN)/python docs/tools/terminal.py

# A quarter of an hour, into docs/performance.md. For another Python:
# make bench BENCH=.cache/bench-3.13 BENCH_PYTHON=python3.13 FIGURES=docs/performance-313.json
bench: $(BENCH)/.installed
	$(BENCH)/bin/python -m benchmarks.speed --json $(FIGURES) $(ARGS)
	$(BENCH)/bin/python -m benchmarks.speed.page $(FIGURES)

# No clock: the count is the same everywhere. ARGS=--write makes it the budget.
instructions: $(VENV)/.peers
	RESILIENT_WS_PURE=1 $(BIN)/python -m benchmarks.speed.instructions $(ARGS)

bench-chains: $(VENV)/.peers $(VENV)/.tests servers
	$(BIN)/python -m benchmarks.chains --write docs/chains-speed.md $(ARGS)

bench-feeds: $(VENV)/.peers
	$(BIN)/python -m benchmarks.feeds --write docs/feeds-speed.md $(ARGS)

bench-codec: $(VENV)/.tests
	$(BIN)/python -m benchmarks.codec --write docs/codec-speed.md $(ARGS)

bench-compression: $(VENV)/.tests
	$(BIN)/python -m benchmarks.compression --write docs/compression.md $(ARGS)

# A quarter of an hour, most of it waiting.
adapters: $(VENV)/.tests $(VENV)/.peers
	$(BIN)/python -m benchmarks.adapters.heads --write docs/adapters/web3-measured.md
	$(BIN)/python -m benchmarks.adapters --write docs/adapters/campaign.md $(ARGS)

# It downloads them into folders of their own.
adapter-versions: $(VENV)/.tests
	$(BIN)/python -m tests.adapters.versions --write docs/adapters/versions.md $(ARGS)

bench-instruments: $(VENV)/.peers $(VENV)/.tests
	$(BIN)/python -m benchmarks.instruments --write docs/observability.md $(ARGS)

bench-monitor: $(VENV)/.peers $(VENV)/.tests
	$(BIN)/python -m benchmarks.monitor --write docs/monitor.md $(ARGS)

# What the page looks like, with the pictures of docs/monitor.md. It needs chromium.
screenshots: $(VENV)/.peers $(VENV)/.tests
	$(BIN)/python -m benchmarks.pictures --docs docs/pictures $(ARGS)

bench-outbox: $(VENV)/.peers
	$(BIN)/python benchmarks/outbox.py --write docs/outbox.md $(ARGS)

import-time: $(VENV)/.tests
	$(BIN)/python -m benchmarks.import_time --write docs/import-time.md $(ARGS)

conformance: $(VENV)/.tests conformance-server
	$(BIN)/python -m tests.conformance.report --write docs/conformance.md $(ARGS)

crash: $(VENV)/.tests servers
	$(BIN)/python -m tests.crash.run --rounds $(ROUNDS) --write docs/crash.md $(ARGS)

# What it finds stays in .cache/fuzz, for the next run to begin with.
fuzz: $(VENV)/.fuzz
	for target in engine deflate handshake twins; do \
		$(BIN)/python -m tests.fuzz.run $$target \
			--seconds $$(( ($(SECONDS) + 3) / 4 )) || exit 1; \
	done

# Two minutes for a million chunks. The part in C is compiled for it once more.
twins: $(VENV)/.tests
	$(BIN)/python -m tests.twins.run --buffers $(BUFFERS) $(ARGS)

# What CI draws is fixed; by hand it is more, and new each time.
interleavings: $(VENV)/.tests
	INTERLEAVINGS=$(EXAMPLES) $(BIN)/python -m pytest -o faulthandler_timeout=0 \
		tests/session/test_interleavings.py $(ARGS)

# Five minutes, one case at a time: its times want a quiet machine.
security: $(VENV)/.tests
	$(BIN)/python -m tests.hostile.run --write docs/security.md $(ARGS)

# With ARGS='--write docs/soak.md' the page is written from it.
soak: $(VENV)/.tests servers
	$(BIN)/python -m tests.soak --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) \
		--json .cache/soak.json $(ARGS)

# Ten minutes; ARGS=calls (or returns, slow, floods) makes one section anew.
feeds: $(VENV)/.tests
	$(BIN)/python -m tests.feeds.endurance --write docs/feeds-endurance.md $(ARGS)

# docs/sequences.md is of MINUTES=5.
sequences: $(VENV)/.tests
	$(BIN)/python -m tests.feeds.sequences --minutes $(MINUTES) \
		$(if $(SEED),--seed $(SEED)) --write docs/sequences.md $(ARGS)

catch-up: $(VENV)/.tests servers
	$(BIN)/python -m tests.feeds.evm.catch_up --write docs/chains-catch-up.md $(ARGS)

# Ten seeds of each part: half an hour. docs/chains-shown.json has every run.
chains: $(VENV)/.tests servers
	$(BIN)/python -m tests.feeds.chains --json docs/chains-shown.json \
		--write docs/chains-shown.md $(ARGS)

linear: $(VENV)/.peers
	$(BIN)/python benchmarks/linear.py --write docs/linear.md $(ARGS)

pongs: $(VENV)/.peers $(VENV)/.tests servers
	$(BIN)/python -m benchmarks.pongs --write docs/pongs.md $(ARGS)

probe: $(VENV)/.tests servers
	$(BIN)/python -m benchmarks.probe --write docs/probe.md $(ARGS)

# Namespaces and firewall rules: it needs root, and leaves nothing behind.
reliability: $(VENV)/.peers servers
	$(BIN)/python -m benchmarks.reliability --write docs/reliability.md $(ARGS)

# From a clean clone. What the tests of the whole need is in `make check`.
release-check: lint types layers packages interface workflows hooks installed
	@echo "release-check: all of it holds; make publishable says what an index would refuse"

packages: $(VENV)/.release
	rm -rf dist
	$(BIN)/python -m build
	@$(MAKE) --no-print-directory manylinux
	RESILIENT_WS_PURE=1 $(BIN)/python -m build --wheel
	@$(MAKE) --no-print-directory packed

# The name of a wheel says for which versions of the C library it is; an index takes no
# other. The time, so that it is the same bytes each time.
manylinux: export SOURCE_DATE_EPOCH := 1580601600
manylinux: export PATH := $(abspath $(BIN)):$(PATH)
manylinux: $(VENV)/.release
	for wheel in dist/*-linux_*.whl; do \
		[ -e "$$wheel" ] || continue; \
		$(BIN)/auditwheel repair --wheel-dir dist "$$wheel" && rm "$$wheel" || exit 1; \
	done
	for wheel in dist/*-abi3-*.whl; do \
		[ ! -e "$$wheel" ] || $(BIN)/abi3audit --strict --summary "$$wheel" || exit 1; \
	done

# Whatever lies there, also if it was built elsewhere.
packed: $(VENV)/.release
	$(BIN)/python -m twine check --strict dist/*
	$(BIN)/check-wheel-contents dist
	$(BIN)/python -m release.contents dist/*

interface: $(VENV)/.release
	$(BIN)/python -m release.interface $(if $(AGAINST),--against $(AGAINST))

workflows: $(VENV)/.release
	$(BIN)/actionlint
	$(BIN)/zizmor --offline --no-progress --persona=auditor .github
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-forms \
		.github/ISSUE_TEMPLATE/bug.yml .github/ISSUE_TEMPLATE/wish.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-config \
		.github/ISSUE_TEMPLATE/config.yml

hooks: $(VENV)/.release $(VENV)/.lint
	$(BIN)/pre-commit run --all-files

# The interpreters that are missing are named, and with CI=true an error.
installed: packages
	PYTHONS="$(PYTHONS)" $(BIN)/python -m nox $(ARGS)

# Twenty minutes for each Python. PYTHONS=3.13 ARGS='-- tests/session'
everywhere: packages tested-servers
	PYTHONS="$(PYTHONS)" $(BIN)/python -m nox --session suite $(ARGS)

publishable: $(VENV)/.release
	$(BIN)/python -m release.publishable

# In a workflow with an identity, twine needs no token; by hand it is TWINE_PASSWORD.
publish: publishable packed
	$(BIN)/python -m twine upload --non-interactive dist/*

clean:
	rm -rf $(VENV) .cache $(LIBRARY) $(NODE)/node_modules build dist htmlcov .coverage .coverage.* \
		.hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find resilient_ws tests examples benchmarks release -name __pycache__ -type d -prune \
		-exec rm -rf {} +

# --- the Python environment: one, and a stamp for each layer of it -----------

# The first of these that is new enough; one of pyenv's shims may exist and fail.
$(BIN)/python:
	@for python in $(PYTHON) python3.14 python3.13 python3.12 python3.11; do \
		if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
				>/dev/null 2>&1; then \
			echo "$$python -m venv $(VENV)"; \
			"$$python" -m venv --clear $(VENV) && exit 0; \
			rm -rf $(VENV); \
			echo "make: '$$python -m venv' failed (Debian: apt-get install python3-venv)" >&2; \
			exit 1; \
		fi; \
	done; \
	echo "make: Python 3.11 or newer is needed, and '$(PYTHON)' is not: make PYTHON=/path/to/python3.11 ..." >&2; \
	exit 1

$(VENV)/.demo: $(COMPILED_FROM) | $(BIN)/python
	$(PIP) install --editable '.[cli]'
	@touch $@

# The only one that compiles, for all groups below.
$(VENV)/.compiled: $(COMPILED_FROM) | $(VENV)/.pip
	$(PIP) install --editable .
	@touch $@

# --group came with pip 25.1, and a new venv may hold an older pip.
$(VENV)/.pip: | $(BIN)/python
	$(PIP) install --upgrade 'pip>=25.1'
	@touch $@

$(VENV)/.tests $(VENV)/.lint $(VENV)/.peers $(VENV)/.fuzz $(VENV)/.release $(VENV)/.docs: $(VENV)/.%: pyproject.toml | $(VENV)/.pip $(VENV)/.compiled
	$(PIP) install --group $*
	@touch $@

$(BENCH)/.installed: $(COMPILED_FROM) | $(BIN)/python
	$(BENCH_PYTHON) -m venv --clear $(BENCH)
	$(BENCH)/bin/python -m pip --disable-pip-version-check --quiet \
		install --upgrade 'pip>=25.1'
	$(BENCH)/bin/python -m pip --disable-pip-version-check --quiet \
		install --upgrade --upgrade-strategy eager --editable . --group bench
	@touch $@

# --- servers of other hands --------------------------------------------------

# Any of this may be refused (no root, no apt, no network): take what can be had
# before saying that something is missing. The headers of another Python came with it.
servers: | $(BIN)/python
	@missing=""; failed=""; \
	headers=$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("include"))'); \
	case $$headers in /usr/include/*) \
		[ -e "$$headers/Python.h" ] || missing=" $$(basename "$$headers")-dev";; \
	esac; \
	for tool in cc chromium faketime mosquitto nats-server nginx node npm prometheus squid tinyproxy danted microsocks \
			haproxy stunnel4 ip nft conntrack dnsmasq; do \
		command -v $$tool >/dev/null 2>&1 || missing="$$missing $$tool"; \
	done; \
	if [ -n "$$missing" ]; then \
		packages=$$(echo "$$missing" | sed 's/\bcc\b/gcc libc6-dev/; s/\bnode\b/nodejs/; s/\bdanted\b/dante-server/; \
			s/\bip\b/iproute2/; s/\bnft\b/nftables/; s/\bdnsmasq\b/dnsmasq-base/'); \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
			echo "apt-get install$$packages"; \
			apt-get update -qq >/dev/null || failed=1; \
			for package in $$packages; do \
				DEBIAN_FRONTEND=noninteractive apt-get install -qq -y \
					--no-install-recommends $$package >/dev/null || failed=1; \
			done; \
		else \
			echo "make servers: not installed:$$missing (apt-get install$$packages)" >&2; \
			failed=1; \
		fi; \
	fi; \
	$(MAKE) --no-print-directory $(NODE)/node_modules/.package-lock.json || failed=1; \
	[ -z "$$failed" ]

conformance-server: $(KOSOKU)/bin/kosoku

$(KOSOKU)/bin/kosoku: | $(BIN)/python
	$(BIN)/python -m venv --clear $(KOSOKU)
	$(KOSOKU)/bin/python -m pip --disable-pip-version-check --quiet \
		install kosoku==$(KOSOKU_VERSION)

# No script of a package is run: what is used of them is plain files.
$(NODE)/node_modules/.package-lock.json: $(NODE)/package.json
	@command -v npm >/dev/null 2>&1 || { echo "make: npm is missing (apt-get install npm)" >&2; exit 1; }
	cd $(NODE) && npm install --silent --no-package-lock --ignore-scripts
	@touch $@
