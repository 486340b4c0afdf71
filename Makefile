# Everything a packager, a tester or a visitor needs; "make help" says what there is.
SHELL   := /bin/bash -o pipefail
CARGO   ?= cargo
PREFIX  ?= /usr/local
DESTDIR ?=
BINDIR   = $(DESTDIR)$(PREFIX)/bin
SBINDIR  = $(DESTDIR)$(PREFIX)/sbin
MANDIR   = $(DESTDIR)$(PREFIX)/share/man
UNITDIR  = $(DESTDIR)$(PREFIX)/lib/ct
BASHDIR  = $(DESTDIR)$(PREFIX)/share/bash-completion/completions
ZSHDIR   = $(DESTDIR)$(PREFIX)/share/zsh/site-functions
FISHDIR  = $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d

TRIPLE  := $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p')
TARGET   = $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
# ct-init is linked statically: it needs nothing of the container that it starts.
STATIC   = $(TARGET)/$(TRIPLE)/ct-init/ct-init
# What tests and demo run: the programs as developers build them, and the one ct-init that is ever shipped.
BIN      = $(TARGET)/bin
PAGES    = $(wildcard man/*.[1-8])

.PHONY: build test demo bench lint install uninstall clean help ct-init programs

.DEFAULT_GOAL = build

help:
	@echo 'make build      the three programs as they are shipped (target/release, ct-init static)'
	@echo 'make test       all tests, cheapest first; installs what it needs on Debian (CI=true: a skip fails)'
	@echo 'make demo       a tour on this machine, as root; leaves nothing behind'
	@echo 'make bench      measurements'
	@echo 'make lint       format, clippy, manual pages, licences'
	@echo 'make install    below PREFIX (now $(PREFIX)), with DESTDIR in front'
	@echo 'make uninstall  takes away what install put there'
	@echo 'make clean      takes away what was built'

build: ct-init
	$(CARGO) build --locked --release -p host-supervisor

ct-init:
	RUSTFLAGS='-C target-feature=+crt-static' \
	  $(CARGO) build --locked -p ct-init --bin ct-init --profile ct-init --target $(TRIPLE)

# Hard links, or copies where that can't be: the three programs side by side, as host-supervisor looks for ct-init.
programs: ct-init
	$(CARGO) build --locked -p host-supervisor --bins
	@mkdir -p $(BIN)
	@for program in $(TARGET)/debug/host-supervisor $(TARGET)/debug/ct $(STATIC); do \
	  ln -f $$program $(BIN)/ 2>/dev/null || cp -f $$program $(BIN)/ || exit 1; \
	done

test:
	tools/setup
	CARGO='$(CARGO)' CT_BIN_DIR='$(BIN)' tools/test

demo:
	tools/setup
	$(MAKE) --no-print-directory programs
	CT_BIN_DIR='$(BIN)' CT_DEMO_CACHE='$(TARGET)/demo-cache' demo/run

bench:
	tests/bench/setup
	tests/bench/run

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	tools/lint-manuals $(PAGES)
	@if command -v cargo-deny >/dev/null; then $(CARGO) deny check bans licenses sources; \
	  else echo 'skipped cargo deny: it is not installed'; fi

install:
	@test -x $(STATIC) -a -x $(TARGET)/release/host-supervisor || { echo 'nothing is built: make build'; exit 1; }
	install -d $(BINDIR) $(SBINDIR) $(UNITDIR) $(BASHDIR) $(ZSHDIR) $(FISHDIR)
	install -m 755 $(TARGET)/release/host-supervisor $(STATIC) $(SBINDIR)/
	install -m 755 $(TARGET)/release/ct $(BINDIR)/
	@for page in $(PAGES); do install -D -m 644 $$page $(MANDIR)/man$${page##*.}/$${page##*/} || exit 1; done
	@for unit in $(wildcard units/shipped/*.container); do install -m 644 $$unit $(UNITDIR)/ || exit 1; done
	$(TARGET)/release/ct completion bash >$(BASHDIR)/ct
	$(TARGET)/release/ct completion zsh >$(ZSHDIR)/_ct
	$(TARGET)/release/ct completion fish >$(FISHDIR)/ct.fish

uninstall:
	rm -f $(SBINDIR)/host-supervisor $(SBINDIR)/ct-init $(BINDIR)/ct
	rm -f $(BASHDIR)/ct $(ZSHDIR)/_ct $(FISHDIR)/ct.fish
	@for page in $(PAGES); do rm -f $(MANDIR)/man$${page##*.}/$${page##*/}; done
	@for unit in $(notdir $(wildcard units/shipped/*.container)); do rm -f $(UNITDIR)/$$unit; done
	@rmdir $(UNITDIR) 2>/dev/null || true

clean:
	$(CARGO) clean
