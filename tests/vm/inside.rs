//! inside: the tests of the tier root, run on a machine with cgroup v2.
use crate::can;
use std::time::Duration;
use tests::vm::{Config, Machine};

/// What depends most on the kernel: limits, and what can't be done from inside.
const MODULES: &str = "escapes:: limits::";
/// With `CT_VM_LONG=1`: all that a slow machine runs in time.
const MORE: &str = "adopt:: escapes:: inside:: life:: limits:: ready::";

#[test]
fn real_containers_on_cgroup_v2() {
    if !can("real_containers_on_cgroup_v2") {
        return;
    }
    let limit = Duration::from_secs(540);
    let machine = Machine::boot(&Config { limit, ..Config::default() });
    let long = std::env::var("CT_VM_LONG").is_ok_and(|v| v == "1");
    let (modules, least) = if long { (MORE, 40) } else { (MODULES, 20) };
    let line = format!("cd /tmp; CI=true CT_BIN_DIR=/opt/ct/bin exec /opt/ct/bin/deps/root {modules} 2>&1");
    let mut said = Vec::new();
    let ran = machine.run_bg(&line).lines(limit, |l| said.push(l.to_owned()));
    let failed: Vec<&String> = said.iter().filter(|l| !l.ends_with("... ok")).collect();
    assert_eq!(ran.code, 0, "{failed:#?}");
    let passed = said.iter().filter(|l| l.starts_with("test ") && l.ends_with("... ok")).count();
    assert!(passed > least, "only {passed}: {said:#?}");
}
