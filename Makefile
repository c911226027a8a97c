# Every command is a subcommand of xtask; `cargo run -p xtask -- --help` lists them all.
XTASK = cargo run -p xtask --

.PHONY: advisories build check cluster cluster-down demo demo-cluster dev helper screens test test-cluster test-quick wasm

# The whole of it on this machine: builds, trains, deploys, calls. ARGS: --exit, --port N, --data DIR, --summary FILE.
demo: wasm helper
	$(XTASK) demo $(ARGS)

# The same on a real Kubernetes cluster with Keycloak, PostgreSQL and S3, which it builds and starts here first (root; docs/cluster.md).
demo-cluster: wasm helper
	$(XTASK) demo-cluster $(ARGS)

# Everything that can be tested, on the real parts. ARGS=--cluster: also what needs a Kubernetes cluster.
test: wasm helper
	$(XTASK) test $(ARGS)

# Without trainer, model server and browser.
test-quick: helper
	$(XTASK) test-quick

# The tests that need a Kubernetes cluster, on one that is started for them and ended. Needs root.
test-cluster: helper
	$(XTASK) test-cluster

# That cluster by itself: Kubernetes, PostgreSQL, an S3 store, Keycloak. ARGS: --dir DIR; for cluster-down also --remove.
cluster: helper
	$(XTASK) cluster up $(ARGS)
cluster-down: helper
	$(XTASK) cluster down $(ARGS)

# A picture of every page: make screens DIR=pictures
screens: wasm helper
	$(XTASK) screens $(DIR)

# rust-toolchain.toml names the target; rustup is asked in case the toolchain was installed before it did.
wasm:
	@rustup target list --installed | grep -q wasm32-unknown-unknown || rustup target add wasm32-unknown-unknown

# Nobody shall look at a screen that does not move and wonder why.
helper:
	@test -x "$${CARGO_TARGET_DIR:-target}/debug/xtask" || echo "First xtask itself, the program behind every command here: about two minutes, only this time."

# The program and the browser files, as they are shipped.
build: wasm helper
	$(XTASK) build

# Builds, starts the portal on http://127.0.0.1:3000, and does both again when a source changes. ARGS go to `atelier serve`.
dev: wasm helper
	$(XTASK) dev -- $(ARGS)

# Format, clippy with warnings as errors, generated files fresh, dependency arrows, licences, unused dependencies.
check: wasm helper
	$(XTASK) check

# Known holes in dependencies, by the database of rustsec.org: the one check that needs the network.
advisories: helper
	$(XTASK) advisories
