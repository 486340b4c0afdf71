//! vm: whole machines with cgroup v2, all controllers, and ct-init as PID 1.
mod appliance;
mod armed;
mod boots;
mod clock;
mod cuts;
mod devices;
mod ends;
mod host;
mod inside;
mod killed;
mod limits;
mod network;
mod orphans;
mod scarce;
mod wrong;

use tests::need::{Need, have};

/// Whether this tier can run here.
fn can(test: &str) -> bool {
    let needs = [
        Need::Root,
        Need::Program("/usr/bin/qemu-system-x86_64", "qemu-system-x86"),
        Need::Program("/usr/bin/mmdebstrap", "mmdebstrap"),
        Need::Program("/usr/bin/cpio", "cpio"),
        Need::Program("/usr/sbin/depmod", "kmod"),
        Need::Program("/usr/bin/strip", "binutils"),
        Need::Program("/bin/busybox", "busybox-static"),
    ];
    have(test, &needs)
}
