# Names for what one types every day. No logic here: behind each word is cargo.

.DEFAULT_GOAL := help
.PHONY: help test ready demo bench fuzz fmt docs

help: ## this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1	/'

test: ## prove everything, installing what is missing (what CI runs)
	cargo run --quiet -p conformance-tests --bin ready -- --all

ready: ## the quick part of it: no database, no processes
	cargo run --quiet -p conformance-tests --bin ready

fmt: ## lay out the code
	cargo fmt --all

docs: ## build and check the documentation of the code
	RUSTDOCFLAGS=-Dwarnings cargo doc --workspace --no-deps
