# flagcache: LaunchDarkly flags in DynamoDB. `make` alone lists every target.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

FUNCTIONS := -p store -p reader
BOARD := -p local -p env-sync -p prefork-server
# Of the whole workspace, so that its dependencies are those of `make test` and are not built again.
INTEROP := cargo test --locked --workspace \
	--features flagcache-tests/interop,relay-override/interop,env-sync/interop

.PHONY: help
help: ## This page
	@echo "make TARGET, one of:"
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

##### The pipeline on this machine

.PHONY: build
build: ## Build all programs for release into target/release
	cargo build --release --locked

.PHONY: demo
demo: ## Run the whole pipeline once, on this machine alone, and show what happens
	cargo build --release --locked $(FUNCTIONS) -p local
	target/release/local demo

.PHONY: demo-env-sync
demo-env-sync: ## Follow flags into a .env file, on this machine alone, and show what happens
	cargo build --release --locked -p env-sync
	cargo run --release --locked --quiet -p env-sync --example demo

.PHONY: up
up: ## Keep the local pipeline running, to play with, and show it on the flag board
	cargo build --release --locked $(FUNCTIONS) $(BOARD)
	target/release/local up --companions

##### Changing the functions

.PHONY: watch
watch: ## Serve the functions over the local stack, and build them anew at every change
	@make/watch

.PHONY: invoke-local
invoke-local: ## Send EVENT=events/….json to the function that `make watch` serves
	@make/invoke-local

##### In AWS: ENV is the environment, staging where it is not said

ENV ?= staging
export ENV

.PHONY: deploy
deploy: ## Build the functions and create or update the stack of ENV (staging)
	@make/deploy

.PHONY: staging
staging: ## The same as: make deploy ENV=staging
	@ENV=staging make/deploy

.PHONY: production
production: ## The same as: make deploy ENV=production
	@ENV=production make/deploy

.PHONY: url
url: ## Print the webhook's URL of ENV
	@make/url

.PHONY: connect
connect: ## Make LaunchDarkly send its webhook to ENV (LD_API_KEY; without it, says what to paste)
	@make/connect

.PHONY: invoke
invoke: ## Run store in ENV once and print its summary (FUNCTION=reader, EVENT=events/….json)
	@make/invoke

.PHONY: logs-store
logs-store: ## Show and follow the log of store in ENV (SINCE='2h ago', FOLLOW=no)
	@make/logs store

.PHONY: logs-reader
logs-reader: ## Show and follow the log of reader in ENV
	@make/logs reader

.PHONY: destroy
destroy: ## Delete the stack of ENV; asks first, and twice where it is production
	@make/destroy

.PHONY: drill
drill: ## Play a whole outage on this machine: LaunchDarkly away, overrides by rc, return, all equal
	tests/interop/install-redis || echo "without a redis-server only the half with DynamoDB is played" >&2
	cargo build --locked --workspace --bins
	target/debug/drill

##### Checks

.PHONY: test
test: ## Run all tests that need nothing but Rust
	cargo build --locked --workspace --bins
	cargo test --locked --workspace

.PHONY: soak
soak: ## Try out two million more schedules of several syncs at once, from a seed drawn by chance
	FLAGCACHE_FIRST_SEED=$${FLAGCACHE_FIRST_SEED:-$$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')} \
	FLAGCACHE_SCHEDULES=$${FLAGCACHE_SCHEDULES:-2000000} \
	cargo test --locked --release -p launchdarkly-server-sdk-dynamodb --lib no_interleaving -- --nocapture

.PHONY: test-interop
test-interop: ## Run the tests against DynamoDB Local, Redis, LaunchDarkly's other SDKs and Chromium (installs them)
	tests/interop/install
	tests/interop/install-redis
	tests/interop/install-dotenv
	tests/browser/install
	cargo build --locked --workspace --bins
	$(INTEROP) --test interop --test browser --test redis --test readers

.PHONY: screenshot
screenshot: ## Take the picture of the flag board in docs anew
	tests/browser/install
	cargo build --locked --workspace --bins
	FLAGCACHE_SCREENSHOT=$(CURDIR)/docs/flag-board.png $(INTEROP) --test browser the_picture

.PHONY: test-deploy
test-deploy: lint-template ## Check the template, and rehearse a deployment on an AWS emulator (installs it)
	$(INTEROP) --test deploy
	tests/deploy/arm64

.PHONY: lint
lint: ## Check format, lints and documentation
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets --all-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items

.PHONY: lint-template
lint-template: ## Check template.yaml and samconfig.toml without an AWS account (installs cfn-lint and sam)
	@make/lint-template

.PHONY: bench
bench: ## Measure our functions beside LaunchDarkly's SDKs and the predecessor, in one run
	tests/interop/install
	tests/interop/install-redis || echo "without a redis-server overrides are not measured" >&2
	tests/interop/install-server
	cargo build --release --locked $(FUNCTIONS) -p relay-override -p env-sync -p prefork-server
	FLAGCACHE_BIN_DIR=target/release cargo run --release --locked -p flagcache-tests --bin bench -- all

.PHONY: load
load: ## Send 2,000 webhooks in a minute to ten stores over DynamoDB Local, and report (installs it)
	tests/interop/install
	cargo build --release --locked $(FUNCTIONS)
	FLAGCACHE_BIN_DIR=target/release cargo run --locked -p flagcache-tests --bin bench -- load

TARGET ?= payload
FOR ?= 60
.PHONY: fuzz
fuzz: ## Fuzz TARGET (payload) FOR seconds (60); needs cargo-fuzz, a nightly toolchain and a C++ compiler
	cp Cargo.lock fuzz/Cargo.lock
	cargo run --locked --quiet -p flagcache-fuzz --example replay -- --seeds fuzz/corpus
	cargo +nightly fuzz run $(TARGET) -- -max_total_time=$(FOR)

.PHONY: clean
clean: ## Remove everything that was built or installed here
	cargo clean
	rm -rf .tools .aws-sam
