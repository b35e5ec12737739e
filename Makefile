# Names for what one types every day. No logic here: behind each word is cargo.

.DEFAULT_GOAL := help
.PHONY: help test ready demo bench fuzz fmt docs reference soak api-test alerts chart binary dist dist-twice book drill browser

# No word names a package where a program's name will do: chosen alone a package has its libraries built with features of
# its own, and every one of them is compiled twice.

# How long `make fuzz` stays with each target.
FUZZ_SECONDS ?= 120

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1	/'

test: ## prove everything, installing what is missing (what CI runs)
	cargo run --quiet --bin ready -- --all

ready: ## the quick part of it: no database, no processes
	cargo run --quiet --bin ready

demo: ## the whole on this machine: gateway, registry with its desk, two banks; DEMO=--once tells the story and ends
	cargo build --release --workspace --bins
	cargo run --release --quiet --bin demo -- $(DEMO)

# The compiler of the product, told to allow its sanitizer: no second toolchain, and no other code than is shipped.
FUZZ = RUSTC_BOOTSTRAP=1 cargo fuzz

fuzz: ## throw bytes at what reads them, FUZZ_SECONDS at each target; what is found is kept in fuzz/artifacts
	cargo fuzz --version || cargo install --locked cargo-fuzz@0.13.1
	for target in $$(cargo fuzz list); do \
		mkdir -p fuzz/found/$$target; \
		$(FUZZ) run $$target fuzz/found/$$target fuzz/corpus/$$target -- -max_total_time=$(FUZZ_SECONDS) || exit 1; \
	done

fmt: ## lay out the code
	cargo fmt --all

docs: ## build and check the documentation of the code
	RUSTDOCFLAGS=-Dwarnings cargo doc --workspace --no-deps

reference: ## docs/settings-reference.md and docs/errors.md, written anew from the code
	cargo run --quiet --bin directlink -- manual target/manual
	cp target/manual/docs/* docs/

# How many keys are stored where claims are measured; ten million take some minutes and 20 GB of disk.
BENCH_KEYS ?= 10000000

# How many events a long feed has; ten million take some minutes and 3 GB of disk in each store.
BENCH_EVENTS ?= 10000000

bench: ## what mapping costs bank by bank, and what an exchange costs beside a floor that only forwards bytes
	cargo build --release -p gateway --bin directlink -p conformance-tests --bin bench --bin mapping
	cargo build --release -p gateway --features without-ledger --bin directlink-without-ledger
	target/release/mapping steps contracts/banks
	target/release/mapping load contracts/banks
	target/release/mapping route
	target/release/bench exchange contracts/banks/yunshui first_general
	target/release/bench ledger contracts/banks/yunshui first_general --keys $(BENCH_KEYS)
	target/release/bench proofs
	target/release/bench notices --events $(BENCH_EVENTS)
	target/release/bench monday

# How many calls of banks `make soak` makes with each store, and with which seed.
SOAK_OPERATIONS ?= 100000
SOAK_SEED ?= 1

soak: ## banks file and retry at random while everything fails: two gateways on Postgres, one on SQLite
	cargo build --release -p gateway --bin directlink -p conformance-tests --bin conformance
	target/release/conformance soak --store postgres --replicas 2 --operations $(SOAK_OPERATIONS) \
		--seconds 7200 --seed $(SOAK_SEED) --history target/soak-postgres.jsonl
	target/release/conformance soak --store sqlite --operations $(SOAK_OPERATIONS) \
		--seconds 7200 --seed $(SOAK_SEED) --history target/soak-sqlite.jsonl

api-test: ## the standard API as its OpenAPI document describes it: a validator, and schemathesis against real processes
	test -x target/api-test/bin/schemathesis || { python3 -m venv target/api-test && \
		target/api-test/bin/pip install --quiet --requirement conformance-tests/data/api-test.txt; }
	cargo build --quiet --bin directlink
	cargo run --quiet --bin api_test -- standard

# Where this tree and the crates lie on this machine is no part of the program.
CARGO_HOME ?= $(HOME)/.cargo
binary: export RUSTFLAGS = --remap-path-prefix=$(CURDIR)=directlink --remap-path-prefix=$(CARGO_HOME)=cargo
binary: export CFLAGS = -ffile-prefix-map=$(CURDIR)=directlink -ffile-prefix-map=$(CARGO_HOME)=cargo
binary: export CXXFLAGS = $(CFLAGS)
# A C library writes the time at which it was compiled into itself.
binary: export SOURCE_DATE_EPOCH = 0
# Said by `directlink --version`; empty where git does not know it.
binary: export DIRECTLINK_COMMIT ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null)
binary: ## the program as it is released: stripped, and the same bytes wherever it is built
	cargo build --locked --profile dist -p gateway --bin directlink

# As it is at the last commit, in a folder of another name: what is the same there holds nothing of where it was built.
ELSEWHERE = target/elsewhere/directlink-as-committed
dist-twice: binary ## whether the program of the last commit is the same bytes, built here and in another folder
	git diff --quiet HEAD || { echo 'there are changes that are not committed'; exit 1; }
	rm -rf $(ELSEWHERE)
	mkdir -p $(ELSEWHERE)
	git archive HEAD | tar --extract --directory $(ELSEWHERE)
	nice -n 19 $(MAKE) --directory $(ELSEWHERE) binary DIRECTLINK_COMMIT=$$(git rev-parse --short=12 HEAD)
	sha256sum target/dist/directlink $(ELSEWHERE)/target/dist/directlink
	cmp target/dist/directlink $(ELSEWHERE)/target/dist/directlink

# The same commit makes the same archive.
DIST = target/directlink
dist: export SOURCE_DATE_EPOCH = $(shell git log -1 --format=%ct)
dist: binary ## a release: program, list of parts (SBOM), licences, pages for man, completions; one archive with its digest
	cargo cyclonedx --version || cargo install --locked cargo-cyclonedx@0.5.9
	rm -rf $(DIST)
	target/dist/directlink manual $(DIST)
	cp target/dist/directlink README.md $(DIST)
	python3 gateway/licences.py $(DIST)/LICENCES.txt
	cargo cyclonedx --quiet --manifest-path gateway/Cargo.toml --describe binaries --no-build-deps --format json --spec-version 1.5
	sed 's#file://$(CURDIR)#file://directlink#g' gateway/directlink_bin.cdx.json >$(DIST)/directlink.cdx.json
	rm gateway/*_bin.cdx.json conformance-tests/*_bin.cdx.json
	tar --create --sort=name --mtime=@$$SOURCE_DATE_EPOCH --owner=0 --group=0 --numeric-owner \
		--use-compress-program='gzip --no-name' --file $(DIST).tar.gz --directory target directlink
	cd target && sha256sum directlink.tar.gz | tee directlink.tar.gz.sha256

PROMTOOL = $(or $(shell command -v promtool),target/promtool/usr/bin/promtool)
alerts: $(PROMTOOL) ## the alert rules and the dashboard, judged and played by promtool
	python3 helm/alerts.py --promtool $(PROMTOOL)

# Taken out of Debian's package: installed, that would start a server.
target/promtool/usr/bin/promtool:
	mkdir -p target/promtool
	cd target/promtool && { apt-get download prometheus || { apt-get update && apt-get download prometheus; }; }
	dpkg-deb --extract target/promtool/prometheus_*.deb target/promtool

chart: target/chart/tools.txt ## the Helm chart and the Dockerfile: rendered, validated, held to what operators rely on
	target/chart/bin/python helm/check.py

target/chart/tools.txt: helm/tools.txt
	python3 -m venv target/chart
	target/chart/bin/pip install --quiet --no-deps --requirement $<
	npm install --prefix target/chart --no-audit --no-fund --silent \
		@kubernetes-models/cert-manager@6.0.0 @kubernetes-models/cloudnative-pg@2.0.0 \
		@kubernetes-models/prometheus-operator@6.0.0
	cp $< $@

browser: conformance-tests/browser/node_modules/.package-lock.json ## the pages in a real Chromium; screenshots in target/browser
	cargo build --quiet --workspace --bins
	target/debug/browser

conformance-tests/browser/node_modules/.package-lock.json: conformance-tests/browser/package-lock.json
	npm ci --prefix conformance-tests/browser --omit-lockfile-registry-resolved --no-audit --no-fund --silent

drill: ## a ledger is lost and restored from its backup, and banks repeat everything (docs/running.md)
	cargo build --quiet --bin directlink --bin conformance
	conformance-tests/drill.sh

book: ## docs/ as a book, in book/
	mdbook --version || cargo install --locked mdbook
	mdbook build
