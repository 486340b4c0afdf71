//! chaos: a host under random load and at its limits. Whatever is killed, filled up or torn, what was asked for holds
//! and nothing is left over. Each test of one trouble is named after its symptom.
mod chance;
mod cycles;
mod exhausted;
mod fleet;
mod groups;
mod load;
mod orders;
mod proof;
mod tally;
mod torn;
mod unitfiles;

use tests::need::{Need, have};

/// Whether this tier can run here.
fn can(test: &str) -> bool {
    have(test, &[Need::Root, Need::Unified, Need::Program("/bin/busybox", "busybox-static")])
}

/// A number from the environment.
fn number(name: &str, default: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.map_or(default, |t| t.parse().unwrap_or_else(|_| panic!("{name}={t} is not a number")))
}

/// Says a line that the test runner does not swallow.
fn say(line: &str) {
    let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{line}\n").as_bytes());
}
