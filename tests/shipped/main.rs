//! shipped: the service files for other inits and the example units, as make install puts them somewhere.
mod files;
mod prefix;
mod suite;

use prefix::Prefix;
use suite::{RUNIT, S6, Suite, Supervised};
use tests::need::{Need, have};

/// Killed, restarted, stopped and started: the container does not notice. Told to stop all: nothing is left.
fn check(test: &str, suite: &Suite) {
    let shell = Need::Program("/bin/busybox", "busybox-static");
    if !have(test, &[Need::Root, Need::Unified, shell, suite.need]) {
        return;
    }
    let mut h = Supervised::start(suite, Prefix::install());
    h.started(1);
    h.s.ct(&["start", "web"]).ok();
    let pid = h.s.row("web")["pid"].clone();
    assert!(pid.is_u64(), "{pid}");
    let same = |h: &Supervised, after: &str| {
        assert_eq!(h.s.row("web")["pid"], pid, "{after}");
        assert_eq!(h.s.state("web"), "running", "{after}");
        assert_eq!(h.s.sh("web", "echo inside").ok(), "inside\n", "{after}");
    };
    h.kill_supervisor();
    h.started(2);
    same(&h, "the supervisor was killed");
    h.tell(suite.restart);
    h.started(3);
    same(&h, "the service was restarted");
    h.tell(suite.down);
    h.s.ct(&["list"]).refused(4, &["no supervisor answers"]);
    assert!(!h.s.processes("web").is_empty(), "the service was stopped, and so was the container");
    h.tell(suite.up);
    h.started(4);
    same(&h, "the service was started again");
    h.tell(suite.shutdown);
    h.tell(suite.stays_down);
    h.tell(suite.down);
    assert_eq!(h.s.groups_of("web"), Vec::<std::path::PathBuf>::new());
    assert_eq!(h.end(), 4, "it was started again after its shutdown");
}

#[test]
fn under_runit_containers_outlive_their_supervisor() {
    check("under_runit_containers_outlive_their_supervisor", &RUNIT);
}

#[test]
fn under_s6_containers_outlive_their_supervisor() {
    check("under_s6_containers_outlive_their_supervisor", &S6);
}
