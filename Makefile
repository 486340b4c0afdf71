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
INITDIR  = $(DESTDIR)$(PREFIX)/share/ct
SYSTEMD  = $(DESTDIR)$(PREFIX)/lib/systemd/system
DOCDIR   = $(DESTDIR)$(PREFIX)/share/doc/ct

TRIPLE  := $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p')
TARGET   = $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
# ct-init is linked statically: it needs nothing of the container that it starts.
STATIC   = $(TARGET)/$(TRIPLE)/ct-init/ct-init
# What tests and demo run: the programs as developers build them, and the one ct-init that is ever shipped.
BIN      = $(TARGET)/bin
PAGES    = $(wildcard man/*.[1-8])
# Service files for the inits that a host may have, and container units to begin with.
INITS    = host systemd openrc runit s6 procd
SHIPPED  = $(shell cd units/shipped && find $(INITS) -type f | LC_ALL=C sort)
CLASSIC  = init poweroff reboot halt shutdown telinit
HOSTUNITS = $(notdir $(wildcard units/shipped/host/*.service))
EXAMPLES = $(wildcard units/shipped/examples/*.container)

.PHONY: build test test-vm demo chaos bench appliance appliance-run appliance-compare lint install install-init install-names is-built install-shipped uninstall clean help ct-init programs

.DEFAULT_GOAL = build

help:
	@echo 'make build      the three programs as they are shipped (target/release, ct-init static)'
	@echo 'make test       all tests, cheapest first; installs what it needs on Debian (CI=true: a skip fails)'
	@echo 'make test-vm    the machines in QEMU alone; T=NAME: those tests whose names have this'
	@echo 'make demo       a tour on this machine, as root; leaves nothing behind'
	@echo 'make chaos      random load and 10,000 starts and stops: hours (CT_CHAOS_SEED, CT_CHAOS_ROUNDS, CT_CHAOS_CYCLES)'
	@echo 'make bench      measurements'
	@echo 'make appliance  one image of a disk that boots: ct-init, host-supervisor, ct and a container (target/appliance)'
	@echo 'make appliance-run  boots it in QEMU, on this terminal (Ctrl-a x leaves; without a terminal it ends by itself)'
	@echo 'make appliance-compare  measures it beside one of busybox init and LXC'
	@echo 'make lint       format, clippy, manual pages, licences'
	@echo 'make install    below PREFIX (now $(PREFIX)), with DESTDIR in front'
	@echo 'make install-init  the same for a host whose PID 1 becomes ct-init: /sbin/init, /sbin/reboot … too'
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

# The tests of the tier root are built too: they run inside.
test-vm:
	tools/setup
	$(MAKE) --no-print-directory programs
	$(CARGO) test --locked -p tests --test root --no-run
	CT_BIN_DIR='$(BIN)' $(CARGO) test --locked -p tests --test vm -- $(T)

demo:
	tools/setup
	$(MAKE) --no-print-directory programs
	CT_BIN_DIR='$(BIN)' CT_DEMO_CACHE='$(TARGET)/demo-cache' demo/run

# Without a seed each run is another one; a failed one names its seed.
chaos:
	tools/setup
	$(MAKE) --no-print-directory programs
	CT_BIN_DIR='$(BIN)' CT_CHAOS_ROUNDS=$(or $(CT_CHAOS_ROUNDS),3000) CT_CHAOS_CYCLES=$(or $(CT_CHAOS_CYCLES),10000) \
	  $(CARGO) test --locked -p tests --test chaos

bench:
	tests/bench/setup
	tests/bench/run

# The programs as they are shipped, in an image that needs nothing else.
APPLIANCE = $(TARGET)/appliance
appliance: build
	tools/setup
	appliance/build '$(APPLIANCE)' $(STATIC) $(TARGET)/release/host-supervisor $(TARGET)/release/ct

appliance-run: appliance
	appliance/run '$(APPLIANCE)'

# Beside one of busybox's init and LXC; docs/appliance.md has what it printed.
appliance-compare: appliance
	tests/bench/setup
	appliance/compare/build '$(TARGET)/appliance-lxc'
	appliance/compare/measure '$(TARGET)'

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	tools/lint-manuals $(PAGES)
	@if command -v cargo-deny >/dev/null; then $(CARGO) deny check bans licenses sources; \
	  else echo 'skipped cargo deny: it is not installed'; fi

# A host whose PID 1 is ct-init: the classic names, and host-supervisor among its units. ROOTDIR is where / of it is.
ROOTDIR  = $(DESTDIR)
install-init: install install-names

# What needs nothing built. A name that another init has there is replaced.
install-names: install-shipped
	install -d $(ROOTDIR)/sbin $(UNITDIR)/system/multi-user.target.wants
	@for name in $(CLASSIC); do ln -sf $(PREFIX)/sbin/ct-init $(ROOTDIR)/sbin/$$name || exit 1; done
	@for unit in $(HOSTUNITS); do install -m 644 $(INITDIR)/host/$$unit $(UNITDIR)/system/ || exit 1; done
	ln -sf ../host-supervisor.service $(UNITDIR)/system/multi-user.target.wants/

install: is-built install-shipped
	install -d $(BINDIR) $(SBINDIR) $(UNITDIR) $(BASHDIR) $(ZSHDIR) $(FISHDIR)
	install -m 755 $(TARGET)/release/host-supervisor $(STATIC) $(SBINDIR)/
	install -m 755 $(TARGET)/release/ct $(BINDIR)/
	@for page in $(PAGES); do install -D -m 644 $$page $(MANDIR)/man$${page##*.}/$${page##*/} || exit 1; done
	@for unit in $(wildcard units/shipped/*.container); do install -m 644 $$unit $(UNITDIR)/ || exit 1; done
	$(TARGET)/release/ct completion bash >$(BASHDIR)/ct
	$(TARGET)/release/ct completion zsh >$(ZSHDIR)/_ct
	$(TARGET)/release/ct completion fish >$(FISHDIR)/ct.fish

is-built:
	@test -x $(STATIC) -a -x $(TARGET)/release/host-supervisor || { echo 'nothing is built: make build'; exit 1; }

# What needs nothing built. The files name the programs below PREFIX.
install-shipped:
	@for file in $(SHIPPED); do \
	  mode=644; [ ! -x units/shipped/$$file ] || mode=755; \
	  sed 's,@BINDIR@,$(PREFIX)/bin,g; s,@SBINDIR@,$(PREFIX)/sbin,g' units/shipped/$$file \
	    | install -D -m $$mode /dev/stdin $(INITDIR)/$$file || exit 1; \
	done
	@for unit in $(notdir $(filter systemd/%,$(SHIPPED))); do \
	  install -D -m 644 $(INITDIR)/systemd/$$unit $(SYSTEMD)/$$unit || exit 1; \
	done
	install -D -m 644 units/shipped/README.md $(INITDIR)/README.md
	install -d $(DOCDIR)/examples
	install -m 644 $(EXAMPLES) $(DOCDIR)/examples/

uninstall:
	rm -f $(SBINDIR)/host-supervisor $(SBINDIR)/ct-init $(BINDIR)/ct
	rm -f $(BASHDIR)/ct $(ZSHDIR)/_ct $(FISHDIR)/ct.fish
	@for page in $(PAGES); do rm -f $(MANDIR)/man$${page##*.}/$${page##*/}; done
	@for unit in $(notdir $(wildcard units/shipped/*.container)); do rm -f $(UNITDIR)/$$unit; done
	@for unit in $(notdir $(filter systemd/%,$(SHIPPED))); do rm -f $(SYSTEMD)/$$unit; done
	@for unit in $(HOSTUNITS) multi-user.target.wants/host-supervisor.service; do rm -f $(UNITDIR)/system/$$unit; done
	@for name in $(CLASSIC); do \
	  [ "$$(readlink $(ROOTDIR)/sbin/$$name)" != $(PREFIX)/sbin/ct-init ] || rm -f $(ROOTDIR)/sbin/$$name; \
	done
	@for file in $(SHIPPED) README.md; do rm -f $(INITDIR)/$$file; done
	@for unit in $(notdir $(EXAMPLES)); do rm -f $(DOCDIR)/examples/$$unit; done
	@for dir in $(INITDIR) $(DOCDIR); do \
	  [ ! -d $$dir ] || find $$dir -depth -type d -empty -delete; \
	done
	@rmdir $(UNITDIR)/system/multi-user.target.wants $(UNITDIR)/system $(UNITDIR) 2>/dev/null || true

clean:
	$(CARGO) clean
