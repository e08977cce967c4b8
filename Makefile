PREFIX ?= /usr/local
TARGET := $(or $(CARGO_TARGET_DIR),target)
SCRIPTS := examples/demo.sh examples/programs.sh tests/setup.sh tests/clients/run tests/clients/*.sh .ci/run

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

build: ## the library, the tool and the benchmarks, for release
	cargo build --workspace --release

demo: build examples ## see unmodified programs exchange messages in user space
	@examples/demo.sh

examples:
	@$(MAKE) --silent -C examples/c OUT=$(abspath $(TARGET))/c

# The conformance suite preloads the libusysv.so beside it, which cargo test alone would not build.
test: setup build examples ## unit, conformance and crash tests, then real programs
	cargo build --workspace
	cargo test --workspace
	tests/clients/run

check: setup ## format, lints, docs, the examples' and the scripts' warnings
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps
	$(MAKE) -B examples
	shellcheck $(SCRIPTS)

bench: build ## usysv and the kernel side by side, in one run
	$(TARGET)/release/usysv-bench

install: build ## to PREFIX (/usr/local): the tool and the library
	install -D -m 755 $(TARGET)/release/usysv $(DESTDIR)$(PREFIX)/bin/usysv
	install -D -m 644 $(TARGET)/release/libusysv.so $(DESTDIR)$(PREFIX)/lib/usysv/libusysv.so

clean: ## forget everything built
	cargo clean

setup:
	@tests/setup.sh

.PHONY: help build demo examples test check bench install clean setup
