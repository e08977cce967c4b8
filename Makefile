PREFIX ?= /usr/local
TARGET := $(or $(CARGO_TARGET_DIR),target)
SCRIPTS := .ci/run crates/preload/tests/run.sh examples/*.sh tests/setup.sh \
	tests/clients/run tests/clients/unittest tests/clients/stress.bash tests/clients/*.sh

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

build: ## the library, the tool and the benchmarks, for release
	cargo build --workspace --release

demo: build examples ## see unmodified programs exchange messages in user space
	@examples/demo.sh

examples:
	@$(MAKE) --silent -C examples/c OUT=$(abspath $(TARGET))/c

test: test-rust test-edge test-clients ## unit, conformance and crash tests, then real programs

# These preload a debug libusysv.so, which cargo test alone would not build.
test-rust: setup
	cargo build --workspace
	cargo test --workspace --no-fail-fast

test-edge: setup
	cargo build --package usysv-preload
	crates/preload/tests/run.sh $(TARGET)/debug/libusysv.so
	cargo build --release --package usysv-preload
	crates/preload/tests/run.sh $(TARGET)/release/libusysv.so

test-clients: setup build examples
	tests/clients/run

check: setup ## format, lints, docs, the examples' and the scripts' warnings
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps
	$(MAKE) -B examples
	shellcheck --exclude=SC2016 $(SCRIPTS)

fuzz: ## a million random steps on kernel and engine, compared (root; USYSV_FUZZ_OPS, USYSV_FUZZ_SEED)
	cargo build --release --package usysv-preload
	USYSV_FUZZ_OPS=$${USYSV_FUZZ_OPS:-1000000} cargo test --package usysv-conformance --release --test fuzz

soak: ## crowds, scarcity, odd places, storms and hand-overs for an hour (USYSV_SOAK_SECONDS), with counts
	cargo test --package usysv --release --test endurance soak -- --exact --ignored --nocapture

crash: ## kills at each named point, and at random under load (USYSV_CRASH_KILLS for each suite)
	cargo build --release --package usysv-preload
	USYSV_CRASH_KILLS=$${USYSV_CRASH_KILLS:-2000} \
		USYSV_RELEASE_LIBRARY=$(abspath $(TARGET))/release/libusysv.so \
		cargo test --package usysv --test crash -- --nocapture
	USYSV_CRASH_KILLS=$${USYSV_CRASH_KILLS:-2000} \
		cargo test --package usysv --release --test crash -- --nocapture

# The contenders are a workspace of their own. Without them the run goes on, and says what is missing.
CONTENDERS := $(abspath $(TARGET))/contenders
bench: build ## usysv, the kernel and others side by side, in one run; writes docs/bench
	@tests/setup.sh bench || echo "bench: going on with what is there" >&2
	g++ -O2 -Wall -Wextra -shared -fPIC -o $(TARGET)/release/libusysv_bench_boost.so bench/contenders/boost.cc \
		|| echo "bench: boost's queue cannot be built, and will be missing" >&2
	cargo build --release --locked --manifest-path bench/contenders/Cargo.toml --target-dir $(CONTENDERS) \
		&& cp $(CONTENDERS)/release/libusysv_bench_contenders.so $(TARGET)/release \
		|| echo "bench: iceoryx2, ipmpsc and crossbeam cannot be built, and will be missing" >&2
	$(TARGET)/release/usysv-bench --out docs/bench

instructions: ## the hot paths' instructions, compared with bench/instructions.txt (RENEW=renew: written there)
	@tests/setup.sh bench
	cargo build --release --package usysv-preload --package usysv-bench
	$(TARGET)/release/usysv-bench instructions bench/instructions.txt $(RENEW)

hostile: ## thousands of scribbled files and traps, and who meets them (root; USYSV_HOSTILE_ROUNDS, USYSV_HOSTILE_SEED)
	USYSV_HOSTILE_ROUNDS=$${USYSV_HOSTILE_ROUNDS:-5000} cargo test --package usysv --test hostile -- --nocapture

fuzz-bytes: ## coverage-guided nonsense in an object's file (nightly, cargo-fuzz; USYSV_FUZZ_SECONDS)
	cd fuzz && cargo +nightly fuzz run bytes -- -max_len=4096 -timeout=5 -max_total_time=$${USYSV_FUZZ_SECONDS:-300}

install: build ## to PREFIX (/usr/local): the tool and the library
	install -D -m 755 $(TARGET)/release/usysv $(DESTDIR)$(PREFIX)/bin/usysv
	install -D -m 644 $(TARGET)/release/libusysv.so $(DESTDIR)$(PREFIX)/lib/usysv/libusysv.so

clean: ## forget everything built
	cargo clean

setup:
	@tests/setup.sh

.PHONY: help build demo examples fuzz fuzz-bytes hostile crash soak test test-rust test-edge test-clients check bench instructions install clean setup
