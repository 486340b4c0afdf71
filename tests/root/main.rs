//! root: real containers on this machine, through host-supervisor and ct.
mod adopt;
mod clients;
mod escapes;
mod inside;
mod life;
mod limits;
mod mistakes;
mod ready;
mod stops;

use tests::need::{Need, have};

/// Whether this tier can run here.
fn can(test: &str) -> bool {
    have(test, &[Need::Root, Need::Unified, Need::Program("/bin/busybox", "busybox-static")])
}
