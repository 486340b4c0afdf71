//! ns: ct-init as the first process of real namespaces, without a host-supervisor around it.
mod again;
mod boot;
mod context;
mod hostile;
mod kinds;
mod leave;
mod lives;
mod readiness;
mod sessions;
mod stops;

use tests::need::{Need, have};

/// Whether this tier can run here.
fn can(test: &str) -> bool {
    have(test, &[Need::Root, Need::Unified, Need::Program("/bin/busybox", "busybox-static")])
}
