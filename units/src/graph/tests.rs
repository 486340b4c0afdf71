//! graph tests: units as `name Key=a,b`, separated by `|`; `.service` is added where a name has no suffix.
use super::*;
use crate::schema::unit::Action;
use crate::schema::{Body, Install, Unit, UnitSection};
use crate::values::Span;
use proptest::prelude::*;

fn name(s: &str) -> UnitName {
    UnitName::parse_short(s, "service").unwrap()
}

fn names(s: &str) -> Vec<UnitName> {
    s.split(',').map(str::trim).filter(|s| !s.is_empty()).map(name).collect()
}

fn set(s: &str) -> BTreeSet<UnitName> {
    names(s).into_iter().collect()
}

fn short(units: &[UnitName]) -> String {
    let short = |u: &UnitName| if u.suffix() == "service" { u.stem().to_owned() } else { u.to_string() };
    units.iter().map(short).collect::<Vec<_>>().join(" ")
}

fn section() -> UnitSection {
    UnitSection {
        description: None,
        documentation: vec![],
        after: vec![],
        before: vec![],
        requires: vec![],
        requisite: vec![],
        wants: vec![],
        binds_to: vec![],
        part_of: vec![],
        conflicts: vec![],
        on_failure: vec![],
        on_success: vec![],
        reload_propagated_from: vec![],
        propagates_reload_to: vec![],
        default_dependencies: false,
        conditions: vec![],
        asserts: vec![],
        start_limit_interval: Span::Infinite,
        start_limit_burst: 0,
        start_limit_action: Action::None,
        failure_action: Action::None,
        success_action: Action::None,
        start_priority: 0,
    }
}

fn unit(text: &str) -> Unit {
    let mut words = text.split_whitespace();
    let name = name(words.next().unwrap());
    let mut unit = section();
    for word in words {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        let field = match key {
            "Requires" => &mut unit.requires,
            "Requisite" => &mut unit.requisite,
            "Wants" => &mut unit.wants,
            "BindsTo" => &mut unit.binds_to,
            "PartOf" => &mut unit.part_of,
            "Conflicts" => &mut unit.conflicts,
            "After" => &mut unit.after,
            "Before" => &mut unit.before,
            "OnFailure" => &mut unit.on_failure,
            "OnSuccess" => &mut unit.on_success,
            "ReloadPropagatedFrom" => &mut unit.reload_propagated_from,
            "PropagatesReloadTo" => &mut unit.propagates_reload_to,
            "Needs" => {
                unit.requires.extend(names(value));
                &mut unit.after
            }
            "Priority" => {
                unit.start_priority = value.parse().unwrap();
                continue;
            }
            "Defaults" => {
                unit.default_dependencies = true;
                continue;
            }
            other => panic!("{other}"),
        };
        field.extend(names(value));
    }
    let body = if name.suffix() == "target" { Body::Target } else { Body::Passive };
    Unit { name, path: String::new(), unit, body, install: Install::default(), not_applied: vec![] }
}

fn graph(text: &str) -> Graph {
    let units: Vec<Unit> = text.split('|').map(unit).collect();
    Graph::build(&units, [])
}

/// What it takes to start `start` while `up` are up: `start order; stop: …; name reason; warning; …`.
fn check(text: &str, start: &str, up: &str, expect: &str) {
    let transaction = graph(text).transaction(&names(start), &set(up));
    let mut got = vec![short(&transaction.start)];
    if !transaction.stop.is_empty() {
        got.push(format!("stop: {}", short(&transaction.stop)));
    }
    got.extend(transaction.refused.iter().map(|(unit, why)| format!("{unit} {why}")));
    got.extend(transaction.warnings.iter().map(Warning::to_string));
    assert_eq!(got.join("; "), expect, "start {start} of {text}, {up} up");
}

#[test]
fn starts() {
    check("a Requires=b After=b|b", "a", "", "b a");
    check("a Requires=b Before=b|b", "a", "", "a b");
    check("a Wants=b,c|b Requires=d|c|d", "a", "", "a b c d");
    check("a BindsTo=b After=b|b Needs=c|c", "a", "", "c b a");
    check("a Needs=b|b Needs=c|c", "a", "b", "a");
    check("a Wants=b|b", "a", "a", "b");
    check("a|b|c", "c,a,b", "", "a b c");
    check("a|b|c Priority=5|d Priority=-1", "a,b,c,d", "", "c a b d");
    check("a Priority=9 After=d|d|b", "a,b,d", "", "b d a");
    check("a PartOf=b OnFailure=c OnSuccess=c|b|c", "a", "", "a");
    // Order alone pulls nothing in.
    check("a After=b,nowhere Before=c|b|c", "a", "", "a");
}

#[test]
fn refusals() {
    let none = "; a.service has no unit file";
    check("b", "a", "", none);
    check("a Requires=b", "a", "", "; a.service Requires=b.service, which has no unit file");
    check("a Wants=b", "a", "", "a; a.service wants b.service, which has no unit file; left out");
    check(
        "a Wants=b|b Requires=c",
        "a",
        "",
        "a; a.service wants b.service, which Requires=c.service, which has no unit file; left out",
    );
    check("a Requisite=b|b", "a", "", "; a.service Requisite=b.service, which is not up already");
    check("a Requisite=b|b", "a", "b", "a");
    // What only the refused unit pulled in is not started either.
    check("a Requires=b,c|c|d", "a,d", "", "d; a.service Requires=b.service, which has no unit file");
    let mut graph = graph("a Wants=b,c");
    graph.set_absent(name("b"), Absent::Masked);
    graph.set_absent(name("c"), Absent::Broken("line 3".into()));
    let said: Vec<String> =
        graph.transaction(&names("a"), &set("")).warnings.iter().map(Warning::to_string).collect();
    assert_eq!(
        said,
        [
            "a.service wants b.service, which is masked; left out",
            "a.service wants c.service, which has a unit file that can't be used: line 3; left out",
        ]
    );
    assert_eq!(graph.missing().len(), 2);
}

#[test]
fn conflicts() {
    check("a Conflicts=b|b", "a", "b", "a; stop: b");
    check("a Conflicts=b|b", "b", "a", "b; stop: a");
    check("a Conflicts=b|b|c Needs=b", "a", "b,c", "a; stop: c b");
    check(
        "t Wants=a Requires=b|a Conflicts=b|b",
        "t",
        "",
        "b t; t.service wants a.service, which conflicts with b.service, which is to run as well; left out",
    );
    check(
        "t Requires=a,b|a Conflicts=b|b",
        "t",
        "",
        "; t.service Requires=b.service, which conflicts with a.service, which is to run as well",
    );
    check("a Conflicts=b|b", "b,a", "", "a; b.service conflicts with a.service, which is to run as well");
    let order = graph("a Conflicts=b|b").transaction(&names("a"), &set("b")).order;
    assert_eq!(order, [(name("b"), name("a"))].into());
}

#[test]
fn circles_are_named_and_cut_at_the_weakest_line() {
    check(
        "a After=b|b After=a",
        "a,b",
        "",
        "a b; a.service → b.service → a.service wait for each other (b.service has After=a.service, a.service has \
         After=b.service); a.service is started without waiting for b.service",
    );
    // A required unit is waited for, whatever else gives way.
    check(
        "a Requires=b After=b|b After=a",
        "a",
        "",
        "b a; a.service → b.service → a.service wait for each other (b.service has After=a.service, a.service has \
         After=b.service); b.service is started without waiting for a.service",
    );
    check(
        "a Before=b|b Before=c|c Needs=b Before=a",
        "a,b,c",
        "",
        "a b c; a.service → b.service → c.service → a.service wait for each other (a.service has Before=b.service, \
         b.service has Before=c.service, c.service has Before=a.service); a.service is started without waiting for \
         c.service",
    );
    check(
        "a Needs=b|b Needs=a",
        "a",
        "",
        "a b; a.service → b.service → a.service wait for each other (b.service has After=a.service, a.service has \
         After=b.service); a.service is started without waiting for b.service",
    );
    // What stands in no file gives way first, and a line of a wanted unit before one of a required.
    let why = |text: &str, start: &str| {
        let order = graph(text).transaction(&names(start), &set(""));
        order.warnings.iter().map(Warning::to_string).collect::<String>()
    };
    let cut = why("t.target Defaults Wants=a|a Defaults After=b|b After=t.target", "t.target,b");
    assert!(cut.ends_with("t.target is started without waiting for a.service"), "{cut}");
    let cut = why("x Requires=a,b|a Needs=b|b After=a", "x");
    assert!(cut.ends_with("b.service is started without waiting for a.service"), "{cut}");
    let cut = why("r Requires=c Wants=z|z After=c|c After=y Before=z|y After=z", "r,y");
    assert!(cut.ends_with("y.service is started without waiting for z.service"), "{cut}");
}

/// dinit: a service that depends on itself.
#[test]
fn unit_that_names_itself_is_started_and_told_so() {
    check("a After=a", "a", "", "a; a.service has After=a.service, which is itself; the line has no effect");
    check(
        "a Requires=a",
        "a",
        "",
        "a; a.service has Requires=a.service, which is itself; the line has no effect",
    );
}

#[test]
fn what_goes_along() {
    let g = graph("a Needs=b|b Needs=c|c|p PartOf=c After=c|w Wants=c|bound BindsTo=c After=c|q Requisite=c");
    assert_eq!(short(&g.stop_set(&names("c"))), "q p bound a b c");
    assert_eq!(short(&g.stop_set(&names("b"))), "a b");
    assert_eq!(short(&g.bound_to(&name("c"))), "bound");
    assert_eq!(short(&g.restart_set(&name("b"))), "a b");
    let g = graph("a PropagatesReloadTo=b After=b|b|c ReloadPropagatedFrom=b|d OnFailure=a,b OnSuccess=c");
    assert_eq!(short(&g.reload_set(&name("a"))), "b a c");
    assert_eq!(
        (short(&g.on_failure(&name("d"))), short(&g.on_success(&name("d")))),
        ("a b".into(), "c".into())
    );
}

#[test]
fn default_dependencies() {
    let text = "multi-user.target Defaults Wants=a,s.socket|a Defaults|s.socket Defaults|sysinit.target|basic.target \
                Requires=sysinit.target After=sysinit.target|late Defaults After=multi-user.target";
    let transaction = graph(text).transaction(&names("multi-user.target,late,basic.target"), &set(""));
    assert_eq!(short(&transaction.start), "a sysinit.target basic.target s.socket multi-user.target late");
    assert_eq!(transaction.warnings, []);
    // A line of its own comes before the default.
    let own = graph("t.target Defaults Wants=a|a Defaults After=t.target")
        .transaction(&names("t.target"), &set(""));
    assert_eq!((short(&own.start), own.warnings.len()), ("t.target a".into(), 0));
}

/// `a` begun, `a+` done, `a-` failed; expects what each makes ready.
fn walk(text: &str, start: &str, up: &str, events: &str, expect: &str) {
    let graph = graph(text);
    let mut scheduler = Scheduler::new(&graph, &graph.transaction(&names(start), &set(up)));
    let mut got = vec![said(&mut scheduler)];
    for event in events.split_whitespace() {
        let how = if event.ends_with('+') { Ended::Done } else { Ended::Failed };
        scheduler.ended(&name(&event[..event.len() - 1]), how);
        got.push(said(&mut scheduler));
    }
    assert_eq!(got.join(" | "), expect, "{events} in {text}");
}

fn said(scheduler: &mut Scheduler) -> String {
    let word = |job: Job| match job {
        Job::Start(u) => u.stem().to_owned(),
        Job::Stop(u) => format!("stop {}", u.stem()),
        Job::Refuse(u, why) => format!("refuse {} for {}", u.stem(), why.stem()),
    };
    scheduler.ready().into_iter().map(word).collect::<Vec<_>>().join(" ")
}

#[test]
fn jobs_go_as_others_end() {
    walk("a Needs=b,c|b|c", "a", "", "b+ c+ a+", "b c |  | a | ");
    walk("a After=b Wants=b|b", "a", "", "b- a+", "b | a | ");
    walk("a Conflicts=b|b", "a", "b", "b+", "stop b | a");
    walk("a Conflicts=b|b", "a", "b", "b-", "stop b | refuse a for b");
    walk("a|b Priority=3|c Priority=3", "a,b,c", "", "", "b c a");
    // Without an order both go at once; a failure then comes too late to refuse.
    walk("a Requires=b|b", "a", "", "b-", "a b | ");
}

/// dinit#249: the failure of a dependency did not reach what depends on it.
#[test]
fn failed_dependency_refuses_all_that_requires_it() {
    let text = "a Needs=b|b Needs=c|c|d After=a Wants=a|e Needs=c|f After=c Wants=c";
    walk(text, "d,e,f", "", "c-", "c | refuse b for c refuse e for c refuse a for b d f");
}

#[test]
fn a_stop_that_is_dropped_makes_room_for_the_next_one() {
    let graph = graph("a|b After=a");
    let mut scheduler = Scheduler::new(&graph, &graph.transaction(&names("a,b"), &set("")));
    assert_eq!(scheduler.waiting(&name("b")), Some(Job::Start(name("b"))));
    assert_eq!(said(&mut scheduler), "a");
    scheduler.drop_stop(&name("b"));
    assert_eq!(scheduler.waiting(&name("b")), Some(Job::Start(name("b"))), "a start is no stop");
    scheduler.add_stops(&graph, &names("a,b"));
    assert_eq!(said(&mut scheduler), "stop b");
    assert_eq!(scheduler.waiting(&name("a")), Some(Job::Stop(name("a"))));
    scheduler.drop_stop(&name("b"));
    assert_eq!(said(&mut scheduler), "stop a", "nobody waits for what was dropped");
    scheduler.add_stops(&graph, &names("b"));
    assert_eq!(said(&mut scheduler), "stop b");
}

#[test]
fn later_transaction_joins_without_a_circle() {
    let graph = graph("a After=b|b After=a|c Needs=a");
    let mut scheduler = Scheduler::new(&graph, &graph.transaction(&names("a"), &set("")));
    assert_eq!(said(&mut scheduler), "a");
    scheduler.add(&graph, &graph.transaction(&names("b,c"), &set("a")));
    scheduler.add(&graph, &graph.transaction(&names("c"), &set("")));
    assert_eq!(said(&mut scheduler), "", "a has begun, the others wait for it");
    assert_eq!(scheduler.waits_for(&name("c")), names("a"));
    scheduler.ended(&name("a"), Ended::Done);
    assert_eq!(said(&mut scheduler), "b c");
}

#[test]
fn end_of_a_start_does_not_end_the_stop_that_replaced_it() {
    let graph = graph("a|b After=a PartOf=a");
    let mut scheduler = Scheduler::new(&graph, &graph.transaction(&names("a"), &set("")));
    assert_eq!(said(&mut scheduler), "a");
    scheduler.add_stops(&graph, &graph.stop_set(&names("a")));
    scheduler.ended(&name("a"), Ended::Done);
    assert_eq!(said(&mut scheduler), "stop b");
    scheduler.ended(&name("b"), Ended::Done);
    assert_eq!(said(&mut scheduler), "stop a");
    scheduler.ended(&name("a"), Ended::Done);
    assert!(scheduler.is_done());
}

/// Random units u0…u7 with random lines.
fn random_text() -> impl Strategy<Value = String> {
    let keys = [
        "Requires",
        "Wants",
        "BindsTo",
        "After",
        "After",
        "Before",
        "Conflicts",
        "PartOf",
        "Needs",
        "Requisite",
    ];
    let line = (0..8usize, proptest::sample::select(keys.to_vec()), 0..9usize);
    proptest::collection::vec(line, 0..30).prop_map(|lines| {
        let of = |n: usize| {
            let own = lines.iter().filter(|l| l.0 == n).map(|(_, key, to)| format!(" {key}=u{to}"));
            format!("u{n}{}", own.collect::<String>())
        };
        (0..8).map(of).collect::<Vec<_>>().join("|")
    })
}

fn some_units() -> impl Strategy<Value = String> {
    proptest::sample::subsequence(vec!["u0", "u1", "u2", "u3", "u4", "u5", "u6", "u7"], 0..=8)
        .prop_map(|u| u.join(","))
}

proptest! {
    #[test]
    fn start_order_respects_what_remains(text in random_text(), start in some_units(), up in some_units()) {
        let graph = graph(&text);
        let transaction = graph.transaction(&names(&start), &set(&up));
        let at = |u: &UnitName| {
            let all = transaction.stop.iter().chain(&transaction.start);
            all.into_iter().position(|x| x == u)
        };
        for (first, second) in &transaction.order {
            prop_assert!(at(first).is_some() && at(first) < at(second), "{second} before {first}");
        }
        let jobs: BTreeSet<_> = transaction.start.iter().cloned().collect();
        prop_assert_eq!(jobs.len(), transaction.start.len());
        let (asked, up) = (set(&start), set(&up));
        for unit in &jobs {
            prop_assert!(graph.contains(unit) && !up.contains(unit));
            for e in graph.lines_of(unit) {
                prop_assert!(!e.directive.is_hard() || jobs.contains(&e.to) || up.contains(&e.to), "{e} unmet");
                prop_assert!(e.directive != Directive::Conflicts || !jobs.contains(&e.to), "{e} among the jobs");
                prop_assert!(
                    e.directive != Directive::Conflicts || !up.contains(&e.to) || transaction.stop.contains(&e.to)
                );
            }
        }
        for unit in asked {
            let refused = transaction.refused.iter().any(|r| r.0 == unit);
            prop_assert!(refused != (jobs.contains(&unit) || up.contains(&unit)) || up.contains(&unit));
        }
    }

    /// Every line that is cut was part of the circle that is named, and what is not cut still holds.
    #[test]
    fn only_lines_of_a_circle_are_cut(text in random_text()) {
        let graph = graph(&text);
        let all = set("u0,u1,u2,u3,u4,u5,u6,u7");
        let order = graph.order(&all);
        for cycle in &order.cycles {
            let units: Vec<&UnitName> = cycle.hops.iter().map(|h| &h.0).collect();
            let next = |i: usize| units[(i + 1) % units.len()];
            for (i, (unit, line)) in cycle.hops.iter().enumerate() {
                let says = match line.directive {
                    Directive::Before => (&line.from, &line.to),
                    _ => (&line.to, &line.from),
                };
                prop_assert_eq!(says, (unit, next(i)), "{} makes no hop", line);
            }
            let cut = (0..units.len()).any(|i| (units[i], next(i)) == (&cycle.cut.0, &cycle.cut.1));
            prop_assert!(cut, "{cycle}");
            prop_assert!(!order.pairs.contains(&cycle.cut));
        }
        let cut: BTreeSet<_> = order.cycles.iter().map(|c| c.cut.clone()).collect();
        for e in all.iter().flat_map(|u| graph.lines_of(u)).filter(|e| all.contains(&e.to)) {
            let pair = match e.directive {
                Directive::After => (e.to.clone(), e.from.clone()),
                Directive::Before => (e.from.clone(), e.to.clone()),
                _ => continue,
            };
            prop_assert!(order.pairs.contains(&pair) || cut.contains(&pair), "{e} is lost");
        }
    }

    #[test]
    fn stop_order_is_the_exact_reverse(text in random_text(), which in some_units()) {
        let graph = graph(&text);
        let stops = graph.stop_set(&names(&which));
        let mut start = graph.start_order(&stops.iter().cloned().collect());
        start.reverse();
        prop_assert_eq!(stops, start);
    }

    /// The order in which unit files are read changes nothing.
    #[test]
    fn answers_depend_on_the_units_alone(text in random_text(), start in some_units(), up in some_units()) {
        let turned = text.split('|').rev().collect::<Vec<_>>().join("|");
        let asked: Vec<UnitName> = names(&start).into_iter().rev().collect();
        let (one, other) = (graph(&text), graph(&turned));
        let mut a = one.transaction(&names(&start), &set(&up));
        let mut b = other.transaction(&asked, &set(&up));
        a.refused.sort_by(|x, y| x.0.cmp(&y.0));
        b.refused.sort_by(|x, y| x.0.cmp(&y.0));
        prop_assert_eq!(a, b);
    }

    /// However jobs end, each gets its turn once and the walk comes to its end.
    #[test]
    fn every_job_gets_its_turn(
        text in random_text(),
        start in some_units(),
        up in some_units(),
        fails in some_units(),
        pick in proptest::collection::vec(any::<usize>(), 40),
    ) {
        let graph = graph(&text);
        let transaction = graph.transaction(&names(&start), &set(&up));
        let mut scheduler = Scheduler::new(&graph, &transaction);
        let (mut running, mut seen) = (Vec::new(), BTreeSet::new());
        for pick in pick {
            for job in scheduler.ready() {
                let (Job::Start(unit) | Job::Stop(unit) | Job::Refuse(unit, _)) = &job;
                prop_assert!(seen.insert(unit.clone()), "{unit} twice");
                let before = transaction.order.iter().filter(|p| p.1 == *unit).all(|p| seen.contains(&p.0));
                let refused = matches!(job, Job::Refuse(..));
                prop_assert!(refused || before, "{unit} too early");
                if !refused {
                    running.push(unit.clone());
                }
            }
            if running.is_empty() {
                break;
            }
            let unit = running.swap_remove(pick % running.len());
            let how = if set(&fails).contains(&unit) { Ended::Failed } else { Ended::Done };
            scheduler.ended(&unit, how);
        }
        prop_assert!(scheduler.is_done(), "{scheduler:?}");
        prop_assert_eq!(seen.len(), transaction.start.len() + transaction.stop.len());
    }
}
