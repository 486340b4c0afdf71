//! machine tests: restart policy as literal tables.
use super::*;

/// The table of systemd.service(5), nine deaths and eight policies; `x` restarts.
#[test]
fn restart_table_of_systemd_service_5() {
    use Restart::*;
    let policies = [No, Always, OnSuccess, OnFailure, OnAbnormal, OnAbort, OnWatchdog, UnlessStopped];
    let table = [
        (Cause::Exited(OK), " x x     x"),
        (Cause::Exited(TERM), " x x     x"),
        (Cause::Exited(BAD), " x  x    x"),
        (Cause::Exited(KILL), " x  xxx  x"),
        (Cause::Exited(SEGV), " x  xxx  x"),
        (Cause::StartTimeout, " x  xx   x"),
        (Cause::Watchdog, " x  xx x x"),
        (Cause::Unhealthy, " x  xx x x"),
        (Cause::OomKill(KILL), " x  xx   x"),
    ];
    // Columns:      No=0 Always=1 OnSuccess=3 OnFailure=4 OnAbnormal=5 OnAbort=6 OnWatchdog=7 UnlessStopped=9
    let columns = [0, 1, 3, 4, 5, 6, 7, 9];
    for (cause, row) in table {
        for (restart, column) in policies.into_iter().zip(columns) {
            let policy = Policy { restart, ..simple() };
            let expect = row.as_bytes().get(column) == Some(&b'x');
            assert_eq!(policy.restarts_after(cause, None), expect, "{cause:?} with {restart:?}");
        }
    }
}

#[test]
fn other_ends_by_restart() {
    let check = |cause, main, restart, expect| {
        assert_eq!(
            Policy { restart, ..simple() }.restarts_after(cause, main),
            expect,
            "{cause:?} {main:?} {restart:?}"
        );
    };
    for never in [Cause::Skipped, Cause::Assert, Cause::Dependency, Cause::StartLimit] {
        check(never, None, Restart::Always, false);
    }
    check(Cause::GuestHalt, None, Restart::OnSuccess, false);
    check(Cause::GuestHalt, None, Restart::Always, true);
    check(Cause::GuestHalt, None, Restart::UnlessStopped, true);
    check(Cause::Exited(Exit::Unknown), None, Restart::OnFailure, true);
    check(Cause::Exited(Exit::Unknown), None, Restart::OnAbnormal, false);
    check(Cause::Setup(P::Start), None, Restart::OnFailure, true);
    check(Cause::Setup(P::Start), None, Restart::OnAbnormal, false);
    check(Cause::NeverReady, Some(OK), Restart::OnAbnormal, true);
    check(Cause::NeverReady, Some(BAD), Restart::OnAbnormal, false);
    check(Cause::NeverReady, Some(SEGV), Restart::OnAbort, true);
    check(Cause::Protocol, None, Restart::OnAbnormal, true);
    check(Cause::RuntimeMax, None, Restart::OnAbnormal, true);
    check(Cause::Command(P::StartPre, BAD), None, Restart::OnFailure, true);
    check(Cause::Command(P::StartPre, BAD), None, Restart::OnAbnormal, false);
}

#[test]
fn exit_status_sets() {
    let set = |codes: &[u8], signals: &[u8]| StatusSet {
        codes: codes.to_vec(),
        signals: signals.iter().map(|s| Signal(*s)).collect(),
    };
    let check = |restart, prevent: &StatusSet, force: &StatusSet, exit, expect| {
        let sets = (prevent.clone(), force.clone());
        let policy = Policy { restart, restart_prevent: sets.0, restart_force: sets.1, ..simple() };
        assert_eq!(
            policy.restarts_after(Cause::Exited(exit), Some(exit)),
            expect,
            "{prevent:?} {force:?} {exit:?}"
        );
    };
    let none = StatusSet::default();
    check(Restart::Always, &set(&[23], &[]), &none, Exit::Code(23), false);
    check(Restart::Always, &set(&[23], &[]), &none, Exit::Code(24), true);
    check(Restart::Always, &set(&[], &[6]), &none, Exit::Dumped(Signal(6)), false);
    check(Restart::No, &none, &set(&[133], &[]), Exit::Code(133), true);
    check(Restart::No, &none, &set(&[0], &[]), OK, true);
    check(Restart::No, &set(&[133], &[]), &set(&[133], &[]), Exit::Code(133), false);
    let policy = with(|p| p.success_status = set(&[143], &[9]));
    for clean in [
        OK,
        TERM,
        Exit::Signal(Signal(1)),
        Exit::Signal(Signal(2)),
        Exit::Signal(Signal(13)),
        Exit::Code(143),
        KILL,
    ] {
        assert!(policy.clean_main(clean), "{clean:?}");
    }
    for unclean in [BAD, SEGV, Exit::Dumped(Signal(15)), Exit::Unknown] {
        assert!(!policy.clean_main(unclean), "{unclean:?}");
    }
    assert!(!policy.clean_command(TERM));
}

#[test]
fn back_off_grows_as_documented() {
    let check = |sec: u64, steps, max, expect: &[u64]| {
        let policy = with(|p| {
            (p.restart_sec, p.restart_steps, p.restart_max_delay) = (Duration::from_millis(sec), steps, max);
        });
        let got: Vec<u64> = (0..expect.len()).map(|n| policy.delay(n as u32).as_millis() as u64).collect();
        assert_eq!(got, expect, "{sec} ms, {steps} steps, {max:?}");
    };
    check(100, 0, Span::Infinite, &[100, 100, 100]);
    check(100, 3, Span::Infinite, &[100, 100, 100]);
    check(100, 0, span(9000), &[100, 100, 100]);
    check(0, 3, span(9000), &[0, 0, 0]);
    check(5000, 3, span(1000), &[5000, 5000, 5000]);
    // 1 s to 16 s in four steps: doubled each time.
    check(1000, 4, span(16_000), &[1000, 2000, 4000, 8000, 16_000, 16_000]);
    check(100, 1, span(60_000), &[100, 60_000, 60_000]);
    check(1000, 3, span(1_000_000), &[1000, 10_000, 100_000, 1_000_000, 1_000_000]);
}

#[test]
fn back_off_begins_anew_after_a_healthy_run_a_manual_start_or_a_reset() {
    let policy = with(|p| {
        p.restart = Restart::Always;
        p.limit_interval = Span::Infinite;
        (p.restart_steps, p.restart_max_delay) = (10, span(102_400));
    });
    let crash = |fed: &mut Fed, up_for: Duration| {
        fed.feed(Event::Forked(P::Start));
        fed.now = fed.now.after(up_for);
        fed.feed(died(BAD));
        fed.feed(Event::Empty);
        let State::Waiting { until, .. } = *fed.machine.state() else { panic!("{:?}", fed.machine.state()) };
        until.since(fed.now)
    };
    let mut fed = Fed::new(policy);
    fed.feed(Event::Start);
    for delay in [100, 200, 400, 800] {
        assert_eq!(crash(&mut fed, Duration::ZERO), Duration::from_millis(delay));
        fed.feed(Event::Timer);
    }
    // It waited 800 ms before this run; ten times that is healthy, less is not.
    assert_eq!(crash(&mut fed, Duration::from_millis(7990)), Duration::from_millis(1600));
    fed.feed(Event::Timer);
    assert_eq!(crash(&mut fed, Duration::from_millis(16_000)), Duration::from_millis(100));
    fed.feed(Event::Timer);
    assert_eq!(crash(&mut fed, Duration::ZERO), Duration::from_millis(200));
    fed.feed(Event::Start);
    assert_eq!(crash(&mut fed, Duration::ZERO), Duration::from_millis(100));
    fed.feed(Event::Timer);
    fed.feed(Event::ResetFailed);
    assert_eq!(crash(&mut fed, Duration::ZERO), Duration::from_millis(100));
    assert_eq!(fed.machine.restarts(), 0);
}

#[test]
fn the_wait_is_exact_unless_jitter_is_asked_for() {
    for seed in 0..100 {
        let policy = with(|p| (p.seed, p.restart_jitter) = (seed, Percent(0)));
        assert_eq!(policy.wait(3), policy.delay(3));
    }
}

#[test]
fn what_failed_together_does_not_come_back_together() {
    let fleet: Vec<Policy> = (0..1000)
        .map(|n| {
            with(|p| {
                (p.restart_steps, p.restart_max_delay) = (3, span(100_000));
                (p.seed, p.restart_jitter) = (seed(&["boot", &format!("c{n}")]), Percent(2500));
            })
        })
        .collect();
    for tries in 0..5 {
        let delay = fleet[0].delay(tries);
        let mut waits: Vec<Duration> = fleet.iter().map(|p| p.wait(tries)).collect();
        assert!(waits.iter().all(|w| *w >= delay && *w <= delay * 5 / 4), "{delay:?}: {waits:?}");
        waits.sort();
        // Of a thousand, about a hundred in each tenth of the spread.
        let tenth = delay / 40;
        for n in 0..10 {
            let here = waits.iter().filter(|w| (delay + tenth * n..delay + tenth * (n + 1)).contains(w));
            let here = here.count();
            assert!((50..=170).contains(&here), "{here} of 1000 in tenth {n} after {tries} tries");
        }
        // The same again: a supervisor that comes back computes what the last one did.
        assert_eq!(fleet[7].wait(tries), fleet[7].clone().wait(tries));
    }
    // Not the same place in the row each time.
    let place = |tries| fleet[0].wait(tries).as_secs_f64() / fleet[0].delay(tries).as_secs_f64();
    assert!((place(3) - place(4)).abs() > 1e-6);
    assert_ne!(seed(&["a", "bc"]), seed(&["ab", "c"]));
}
