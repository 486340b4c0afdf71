//! fake: every plan against a host that keeps state, failing at every step; and the v2 steps against a fake tree.
mod tree;

use host_supervisor::apply::run;
use host_supervisor::plan::{Group, Plan, Step, Tree};
use std::path::Path;
use tests::cases::{self, Machine};
use tests::fake::FakeHost;

/// Every plan that the golden cases come to: what it is, where, start and release.
fn plans() -> Vec<(String, Machine, Plan, Plan)> {
    let mut all = Vec::new();
    for unit in cases::unit_names() {
        for machine in Machine::ALL {
            if let Ok(spec) = cases::spec(&cases::unit(&unit), machine) {
                let (start, release) = cases::plans(&spec, machine);
                all.push((format!("{unit} on {}", machine.name()), machine, start, release));
            }
        }
    }
    assert!(all.len() > 20, "only {} plans", all.len());
    all
}

fn host(machine: Machine) -> FakeHost {
    let mut host = FakeHost::new(machine.facts().cgroups);
    // Controllers enabled in the root stay enabled, by design: others may use them by now.
    let facts = machine.facts().cgroups;
    let root = Group { tree: Tree::Unified, path: String::new() };
    if !facts.v2.is_empty() {
        let controllers = facts.v2.iter().copied().collect();
        let plan = Plan { title: "root".into(), steps: vec![Step::Enable { group: root, controllers }] };
        run(&plan, &mut host).expect("the root takes its controllers");
    }
    host.at_rest()
}

#[test]
fn a_start_that_fails_at_any_step_leaves_nothing() {
    for (what, machine, start, _) in plans() {
        for n in 0..start.steps.len() {
            let before = host(machine);
            let mut host = before.clone().fail_at(n);
            let failure = run(&start, &mut host).expect_err("it was told to fail");
            assert_eq!(failure.to_string().lines().count(), 1, "{what}: {failure}");
            assert_eq!(host.at_rest(), before, "{what}: step {n} failed ({})", start.steps[n]);
        }
    }
}

#[test]
fn a_start_runs_and_a_release_takes_it_back() {
    for (what, machine, start, release) in plans() {
        let mut host = host(machine);
        run(&start, &mut host).unwrap_or_else(|e| panic!("{what}: {e}"));
        host.take();
        host.die();
        run(&release, &mut host).unwrap_or_else(|e| panic!("{what}: {e}"));
        let rest = host.clone().at_rest();
        // What stays by design: the parents of all containers, and the changes of a container that keeps them.
        for group in rest.groups.keys() {
            assert!(["", "ct"].contains(&group.path.as_str()), "{what}: {group} stays");
        }
        for dir in &rest.dirs {
            let parents = ["/run/ct/containers", "/var/lib/ct/containers"];
            let parent = parents.iter().any(|p| Path::new(p).starts_with(dir));
            let kept = dir.starts_with("/var/lib/ct/containers");
            assert!(parent || kept, "{what}: {} stays", dir.display());
        }
        assert_eq!(rest.files.len(), 0, "{what}: {:?} stay", rest.files);
        // The second time nothing is new: the same plans lead from this rest to the same rest.
        run(&start, &mut host).unwrap_or_else(|e| panic!("{what}, again: {e}"));
        host.take();
        host.die();
        run(&release, &mut host).unwrap_or_else(|e| panic!("{what}, again: {e}"));
        assert_eq!(host.at_rest(), rest, "{what}: the second time leaves something else");
    }
}

#[test]
fn an_ephemeral_container_leaves_no_changes() {
    let spec = cases::spec(&cases::unit("everything"), Machine::Hybrid).expect("a spec");
    let (start, release) = cases::plans(&spec, Machine::Hybrid);
    let mut host = host(Machine::Hybrid);
    run(&start, &mut host).expect("it starts");
    host.take();
    host.die();
    run(&release, &mut host).expect("it is released");
    let changes: Vec<_> = host.dirs.iter().filter(|d| d.ends_with("upper") || d.ends_with("work")).collect();
    assert_eq!(changes, Vec::<&std::path::PathBuf>::new());
}

/// A release also works while processes are still there: it kills them first (not on v1 alone, where the end of PID 1
/// has to be waited for).
#[test]
fn a_release_kills_what_still_runs() {
    for (what, machine, start, release) in plans() {
        if machine.facts().cgroups.unified.is_none() {
            continue;
        }
        let mut host = host(machine);
        run(&start, &mut host).unwrap_or_else(|e| panic!("{what}: {e}"));
        host.take();
        run(&release, &mut host).unwrap_or_else(|e| panic!("{what}: {e}"));
    }
}

/// A container that no record knows of is in the groups: a second one must not be started beside it.
#[test]
fn a_start_into_groups_with_processes_is_refused() {
    for (what, machine, start, _) in plans() {
        let mut host = host(machine);
        run(&start, &mut host).unwrap_or_else(|e| panic!("{what}: {e}"));
        host.take();
        let before = host.clone().at_rest();
        let failure = run(&start, &mut host).expect_err("there is one already");
        assert!(failure.to_string().starts_with("remove group"), "{what}: {failure}");
        assert_eq!(host.at_rest(), before, "{what}");
    }
}

/// Limits are written before the child is cloned, and the child joins before it does anything else.
#[test]
fn no_process_is_ever_outside_its_limits() {
    for (what, _, start, _) in plans() {
        let at = |wanted: &dyn Fn(&Step) -> bool| start.steps.iter().position(wanted);
        let last = |wanted: &dyn Fn(&Step) -> bool| start.steps.iter().rposition(wanted);
        let clone = at(&|s| matches!(s, Step::Clone(_))).expect("a clone");
        let go = at(&|s| matches!(s, Step::Go)).expect("a go");
        assert!(last(&|s| matches!(s, Step::Write { .. })).is_none_or(|w| w < clone), "{what}");
        assert_eq!(go + 1, start.steps.len(), "{what}: let go last");
        let Some(Step::Clone(child)) = start.steps.get(clone) else { panic!("{what}: a clone") };
        let first =
            child.to_string().lines().skip(1).take(child.joins.len()).all(|l| l.contains("    join "));
        assert!(first, "{what}: joins come before all else");
    }
}
