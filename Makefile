# embedgate: `make` alone lists the commands.

SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
TOOLS ?= $(HOME)/.cache/embedgate/tools
CARGO_DENY := $(TOOLS)/bin/cargo-deny
CARGO_DENY_VERSION := 0.20.2
SCHEMATHESIS := $(TOOLS)/schemathesis/bin/schemathesis
GRADERS := $(TOOLS)/headers
INSTALLED := EMBEDGATE_SCHEMATHESIS=$(SCHEMATHESIS) EMBEDGATE_HEADER_GRADERS=$(GRADERS)
PROVE := $(INSTALLED) EMBEDGATE_TEST_SCALE=full PROPTEST_CASES=20000 cargo test --locked --workspace --release --
TIMED := \
	revocation::a_removed_domain_closes_exactly_its_sessions \
	websocket::no_tunnel_is_lost
OHA := $(TOOLS)/bin/oha
OHA_VERSION := 1.16.0
# It has to be of the library's version.
GUNGRAUN_VERSION := $(shell sed -n '/^name = "gungraun"$$/{n;s/^version = "\(.*\)"/\1/p}' Cargo.lock)
GUNGRAUN := $(TOOLS)/gungraun-$(GUNGRAUN_VERSION)/bin/gungraun-runner
COUNTS := $(or $(CARGO_TARGET_DIR),target)/instructions.jsonl
export CARGO_TERM_COLOR ?= auto

.DEFAULT_GOAL := help
.PHONY: help run build test prove bench bench-scale bench-peers instructions instructions-baseline count-instructions \
	fmt lint deny docs unit advisories setup setup-tests setup-peers clean

help: ## List these commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | awk -F '\t' '{ printf "  %-21s %s\n", $$1, $$2 }'

run: setup ## Build and start the edge with its demo widget, on conf/embedgate.toml
	cargo run --locked

build: setup ## Build the optimised binary: target/release/embedgate
	cargo build --locked --release

test: setup setup-tests fmt lint deny docs unit instructions ## Set up and pass every check and test (this is what CI runs)

prove: test ## The tests again, optimised, with the long counts; those with a bound on time alone, on a quiet machine
	$(PROVE) --include-ignored $(addprefix --skip ,$(TIMED))
	$(PROVE) --nocapture --test-threads 1 --exact $(TIMED)

bench: setup ## Time parsing, verdicts and the rule book
	cargo bench --locked --bench decide --bench rulebook

bench-scale: setup ## Print what a million widgets cost: import, start, memory, saves, reads
	cargo bench --locked --bench scale

bench-peers: setup setup-peers ## Print figures side by side with nginx, HAProxy and bare pingora (ARGS=--help tells more)
	EMBEDGATE_BENCH_OHA=$(OHA) cargo bench --locked --bench side_by_side -- $(ARGS)

instructions: count-instructions ## Count a request's instructions; 3 % more than are stored is a failure
	cargo bench --locked --quiet --bench gate -- check $(COUNTS)

instructions-baseline: count-instructions ## Store what is counted now, for this compiler
	cargo bench --locked --quiet --bench gate -- store $(COUNTS)

count-instructions: $(GUNGRAUN) setup setup-tests
	PATH="$(dir $(GUNGRAUN)):$$PATH" cargo bench --locked --bench instructions -- --output-format=json >$(COUNTS)

fmt: ## Check the format
	cargo fmt --all --check

lint: ## Check with clippy, warnings are errors
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked --no-default-features -- -D warnings

deny: $(CARGO_DENY) ## Check licences, bans and sources of everything that is built in
	$(CARGO_DENY) --all-features check bans licenses sources

docs: ## Build the documentation of every room, warnings are errors
	RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links" cargo doc --locked --workspace --no-deps --document-private-items

unit: ## Run all tests, those of functions and those on real sockets, files and browsers
	$(INSTALLED) cargo test --locked --workspace

advisories: $(CARGO_DENY) ## Check for known vulnerabilities (fetches a database)
	$(CARGO_DENY) --all-features check advisories

setup: ## Install what the build needs: a C compiler and cmake, for the proxy library's zlib-ng
	@command -v cargo >/dev/null || { echo "embedgate needs Rust $$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml) or newer: install it with rustup"; exit 1; }
	@command -v cmake >/dev/null && command -v cc >/dev/null || $(call install,cmake gcc g++ libc6-dev)

setup-tests: $(SCHEMATHESIS) $(GRADERS)/installed ## Install what the tests need: Chromium, its driver, valgrind, schemathesis, graders of headers
	@command -v chromium >/dev/null && command -v chromedriver >/dev/null || $(call install,chromium chromium-driver fonts-dejavu-core)
	@command -v valgrind >/dev/null || $(call install,valgrind)

setup-peers: $(OHA) ## Install what the peers' figures need: nginx with Lua, HAProxy, valgrind, oha
	@command -v nginx >/dev/null && command -v haproxy >/dev/null && command -v valgrind >/dev/null \
	  && ls /usr/lib*/nginx/modules /usr/share/nginx/modules 2>/dev/null | grep -q ngx_http_lua_module.so \
	  || $(call install-stopped,nginx libnginx-mod-http-lua haproxy valgrind util-linux)

clean: ## Remove what was built
	cargo clean

$(CARGO_DENY):
	cargo install cargo-deny --locked --version $(CARGO_DENY_VERSION) --root $(TOOLS)

$(OHA):
	cargo install oha --locked --version $(OHA_VERSION) --root $(TOOLS)

$(GUNGRAUN):
	cargo install gungraun-runner --locked --version $(GUNGRAUN_VERSION) --root $(dir $(@D))

$(SCHEMATHESIS): tests/data/schemathesis.txt
	@python3 -m ensurepip --version >/dev/null 2>&1 || $(call install,python3 python3-venv)
	python3 -m venv --clear $(TOOLS)/schemathesis
	$(TOOLS)/schemathesis/bin/pip install --quiet --requirement $<
	@touch $@

# Nothing of the packages runs while they are installed: their own scripts would fetch more.
$(GRADERS)/installed: tests/headers/package.json tests/headers/package-lock.json
	@command -v node >/dev/null && command -v npm >/dev/null || $(call install,nodejs npm)
	mkdir -p $(GRADERS)
	cp $^ $(GRADERS)
	cd $(GRADERS) && npm ci --ignore-scripts --omit=optional --no-audit --no-fund --loglevel=error
	@touch $@

# Debian packages; elsewhere the names to look for.
define install
{ command -v apt-get >/dev/null || { echo "please install: $(1)"; exit 1; }; \
  $(SUDO) apt-get update -qq && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(1); }
endef

# The same for servers: installed, and neither started now nor at the next boot.
define install-stopped
{ [ -e /usr/sbin/policy-rc.d ] || { kept=no; printf '#!/bin/sh\nexit 101\n' | $(SUDO) tee /usr/sbin/policy-rc.d >/dev/null; $(SUDO) chmod 755 /usr/sbin/policy-rc.d; }; \
  $(call install,$(1)); done=$$?; \
  [ "$$kept" != no ] || $(SUDO) rm /usr/sbin/policy-rc.d; \
  ! command -v systemctl >/dev/null || $(SUDO) systemctl disable --quiet nginx haproxy || true; exit $$done; }
endef
