//! shipped: the service files for other inits and the example units, as make install puts them somewhere.
mod files;
mod prefix;
mod suite;

use prefix::Prefix;
use std::fs;
use std::process::{Command, Stdio};
use suite::{RUNIT, S6, Suite, Supervised};
use tests::need::{Need, have};
use tests::supervisor::{Supervisor, ran};

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
    h.kill("supervisor.pid");
    h.started(2);
    same(&h, "the supervisor was killed");
    h.kill("keeper.pid");
    h.started(3);
    same(&h, "the keeper was killed");
    h.tell(suite.restart);
    h.started(4);
    same(&h, "the service was restarted");
    h.tell(suite.down);
    h.s.ct(&["list"]).refused(4, &["no supervisor answers"]);
    assert!(!h.s.processes("web").is_empty(), "the service was stopped, and so was the container");
    h.tell(suite.up);
    h.started(5);
    same(&h, "the service was started again");
    h.tell(suite.shutdown);
    h.tell(suite.stays_down);
    h.tell(suite.down);
    assert_eq!(h.s.groups_of("web"), Vec::<std::path::PathBuf>::new());
    assert_eq!(h.end(), 5, "it was started again after its shutdown");
}

#[test]
fn under_runit_containers_outlive_their_supervisor() {
    check("under_runit_containers_outlive_their_supervisor", &RUNIT);
}

#[test]
fn under_s6_containers_outlive_their_supervisor() {
    check("under_s6_containers_outlive_their_supervisor", &S6);
}

/// The example of ct-protocol(7), taken out of the page.
fn example() -> String {
    let page = fs::read_to_string(prefix::project().join("man/ct-protocol.7")).expect("the page");
    let literal = page.split(".Bd -literal -offset indent\n").find(|b| b.starts_with("import json"));
    let program = literal.and_then(|b| b.split(".Ed\n").next()).expect("the example");
    program.replace("\\e", "\\").replace("\\-", "-")
}

#[test]
fn the_manuals_program_lists_containers() {
    let test = "the_manuals_program_lists_containers";
    if !have(test, &[Need::Root, Need::Unified, Need::Program("/usr/bin/python3", "python3")]) {
        return;
    }
    let s = Supervisor::start_with(|s| {
        s.unit("web.container", "[Container]\nTemplate=host\n");
    });
    let mut python = Command::new("/usr/bin/python3");
    python.arg("-c").arg(example()).arg(s.socket()).stdout(Stdio::piped()).stderr(Stdio::piped());
    assert_eq!(ran(python.spawn().expect("run python3")).ok(), "web stopped\n");
    s.finish();
}
