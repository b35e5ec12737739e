# Names for what one types every day. No logic here: behind each word is cargo.

.DEFAULT_GOAL := help
.PHONY: help test ready demo bench fuzz fmt docs soak api-test

# How long `make fuzz` stays with each target.
FUZZ_SECONDS ?= 120

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1	/'

test: ## prove everything, installing what is missing (what CI runs)
	cargo run --quiet -p conformance-tests --bin ready -- --all

ready: ## the quick part of it: no database, no processes
	cargo run --quiet -p conformance-tests --bin ready

demo: ## the whole on this machine: gateway, registry, two banks; DEMO=--once tells the story and ends
	cargo build --release --workspace --bins
	cargo run --release --quiet -p conformance-tests --bin demo -- $(DEMO)

fuzz: ## throw bytes at what reads them; needs the nightly compiler
	cargo fuzz --version || cargo install --locked cargo-fuzz
	for target in $$(cargo +nightly fuzz list); do \
		mkdir -p fuzz/corpus/$$target; \
		cargo +nightly fuzz run $$target fuzz/corpus/$$target fuzz/seeds/$$target -- -max_total_time=$(FUZZ_SECONDS) || exit 1; \
	done

fmt: ## lay out the code
	cargo fmt --all

docs: ## build and check the documentation of the code
	RUSTDOCFLAGS=-Dwarnings cargo doc --workspace --no-deps

bench: ## what mapping costs bank by bank, and what an exchange costs beside a floor that only forwards bytes
	cargo build --release -p gateway --bin directlink -p conformance-tests --bin bench --bin mapping
	target/release/mapping steps contracts/banks
	target/release/mapping load contracts/banks
	target/release/bench exchange contracts/banks/yunshui first_general

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
	cargo build --quiet -p gateway --bin directlink
	cargo run --quiet -p conformance-tests --bin api_test -- standard
