//! machine tests: what each event leads to, as one line a case.
mod policy;
mod random;

use super::Intent as I;
use super::*;
use crate::schema::{ExecPhase as P, Restart as R};

/// A simple service with finite times: start 90 s, stop 10 s, abort 5 s, back-off 100 ms, five starts in 10 s.
fn simple() -> Policy {
    Policy {
        ready: ReadyRule::Forked,
        remain_after_exit: false,
        timeout_start: span(90_000),
        timeout_stop: span(10_000),
        timeout_abort: span(5_000),
        limit_interval: span(10_000),
        limit_burst: 5,
        has_start: true,
        ..Policy::passive()
    }
}

fn with(change: impl Fn(&mut Policy)) -> Policy {
    let mut policy = simple();
    change(&mut policy);
    policy
}

fn always() -> Policy {
    with(|p| p.restart = R::Always)
}

fn of(ready: ReadyRule) -> Policy {
    with(|p| p.ready = ready)
}

fn span(ms: u64) -> Span {
    Span::Finite(Duration::from_millis(ms))
}

const TERM: Exit = Exit::Signal(Signal(15));
const KILL: Exit = Exit::Signal(Signal(9));
const SEGV: Exit = Exit::Dumped(Signal(11));
const OK: Exit = Exit::Code(0);
const BAD: Exit = Exit::Code(1);
const UP: [Event; 2] = [Event::Start, Event::Forked(P::Start)];

fn died(exit: Exit) -> Event {
    Event::MainExited(exit, false)
}

fn word(intent: &I) -> String {
    match intent {
        I::Run(phase) => format!("run {phase:?}"),
        I::Announce(Outcome::Failed(cause)) => format!("failed {cause:?}"),
        I::Announce(outcome) => format!("{outcome:?}").to_lowercase(),
        I::Release(again) => (if *again { "release for a restart" } else { "release" }).to_owned(),
        I::Term | I::Abort | I::Kill | I::KillControl | I::LimitAction => {
            format!("{intent:?}").to_lowercase()
        }
        I::Arm(_) | I::Disarm => String::new(),
    }
}

/// A machine that is fed events a millisecond apart; `Timer` comes when the timer is due.
struct Fed {
    machine: Machine,
    now: Tick,
}

impl Fed {
    fn new(policy: Policy) -> Fed {
        Fed { machine: Machine::new(policy), now: Tick(0) }
    }

    fn feed(&mut self, event: Event) -> String {
        self.now = self.now.after(Duration::from_millis(1));
        if event == Event::Timer {
            self.now = self.now.max(self.machine.timer().expect("a timer is armed"));
        }
        let words: Vec<String> = self.machine.step(event, self.now).iter().map(word).collect();
        words.into_iter().filter(|w| !w.is_empty()).collect::<Vec<_>>().join(", ")
    }
}

/// Feeds the events; expects the intents of each, separated by `|`, timers left out.
fn check(policy: Policy, events: &[Event], expect: &str) -> Machine {
    let mut fed = Fed::new(policy);
    let got: Vec<String> = events.iter().map(|e| fed.feed(*e)).collect();
    assert_eq!(got.join(" | "), expect, "after {events:?}");
    fed.machine
}

/// The same, after it is up, and only what came after that; the state it ends in.
fn check_up(policy: Policy, events: &[Event], expect: &str, state: State) {
    let mut fed = Fed::new(policy);
    UP.iter().for_each(|e| drop(fed.feed(*e)));
    assert!(fed.machine.is_up(), "not up: {:?}", fed.machine.state());
    let got: Vec<String> = events.iter().map(|e| fed.feed(*e)).collect();
    assert_eq!(got.join(" | "), expect, "after {events:?}");
    assert_eq!(*fed.machine.state(), state);
}

#[test]
fn ways_up() {
    use Event::*;
    let start = [Start, Forked(P::Start), Executed(P::Start)];
    check(simple(), &start, "run Start | up | ");
    check(of(ReadyRule::Executed), &start, "run Start |  | up");
    check(of(ReadyRule::Told), &[Start, Executed(P::Start), Ready, Ready], "run Start |  | up | ");
    check(
        of(ReadyRule::Daemonized),
        &[Start, Forked(P::Start), Done(P::Start, OK), MainFound],
        "run Start |  |  | up",
    );
    check(of(ReadyRule::Daemonized), &[Start, MainFound, Done(P::Start, OK)], "run Start |  | up");
    check(of(ReadyRule::Daemonized), &[Start, Done(P::Start, OK), MainMissing], "run Start |  | up");
    check(Policy::passive(), &[Start, Stop, Start], "up | release, down | up");
    let all = with(|p| {
        (p.has_condition, p.has_start_pre, p.has_start_post) = (true, true, true);
    });
    let events =
        [Start, Done(P::Condition, OK), Done(P::StartPre, OK), Forked(P::Start), Done(P::StartPost, OK)];
    check(all, &events, "run Condition | run StartPre | run Start | run StartPost | up");
    let remain = with(|p| (p.ready, p.remain_after_exit) = (ReadyRule::Finished, true));
    let machine = check(remain, &[Start, Done(P::Start, OK)], "run Start | up");
    assert_eq!(*machine.state(), State::Exited { since: Tick(2000) });
    let machine = check(
        of(ReadyRule::Finished),
        &[Start, Done(P::Start, OK), Empty],
        "run Start | up, term | release, down",
    );
    assert_eq!(*machine.state(), State::Down(Some(Cause::Exited(OK))));
}

#[test]
fn starts_that_fail() {
    use Event::*;
    let told = of(ReadyRule::Told);
    check(
        told.clone(),
        &[Start, Forked(P::Start), died(OK), Empty],
        "run Start |  | term | release, failed NeverReady",
    );
    check(
        told.clone(),
        &[Start, Forked(P::Start), MainExited(KILL, true), Empty],
        "run Start |  | term | release, failed OomKill(Signal(Signal(9)))",
    );
    check(told.clone(), &[Start, Timer, Empty], "run Start | term | release, failed StartTimeout");
    check(told, &[Start, SetupFailed(P::Start), Empty], "run Start | term | release, failed Setup(Start)");
    // Simple: up once it is forked, though exec fails then.
    check(
        simple(),
        &[Start, Forked(P::Start), SetupFailed(P::Start), Empty],
        "run Start | up | term | release, failed Setup(Start)",
    );
    let exec = of(ReadyRule::Executed);
    let events = [Start, Forked(P::Start), SetupFailed(P::Start), Empty];
    check(exec, &events, "run Start |  | term | release, failed Setup(Start)");
    let post = with(|p| p.has_start_post = true);
    let events = [Start, Forked(P::Start), SetupFailed(P::StartPost), Empty, died(TERM), Empty];
    let expect = "run Start | run StartPost | term |  |  | release, failed Setup(StartPost)";
    check(post, &events, expect);
    let oneshot = of(ReadyRule::Finished);
    check(
        oneshot.clone(),
        &[Start, Done(P::Start, BAD), Empty],
        "run Start | term | release, failed Exited(Code(1))",
    );
    // A signal is no clean end of a command.
    check(
        oneshot,
        &[Start, Done(P::Start, TERM), Empty],
        "run Start | term | release, failed Exited(Signal(Signal(15)))",
    );
    let forking = with(|p| (p.ready, p.needs_main) = (ReadyRule::Daemonized, true));
    check(
        forking.clone(),
        &[Start, Done(P::Start, BAD), Empty],
        "run Start | term | release, failed Command(Start, Code(1))",
    );
    check(
        forking.clone(),
        &[Start, Done(P::Start, OK), MainMissing, Empty],
        "run Start |  | term | release, failed Protocol",
    );
    check(
        forking,
        &[Start, Done(P::Start, OK), Empty, Empty],
        "run Start |  | term | release, failed Protocol",
    );
    let post = with(|p| p.has_start_post = true);
    check(
        post.clone(),
        &[Start, Forked(P::Start), Done(P::StartPost, BAD), died(TERM), Empty],
        "run Start | run StartPost | term |  | release, failed Command(StartPost, Code(1))",
    );
    check(
        post,
        &[Start, Forked(P::Start), died(BAD), Done(P::StartPost, OK), Empty],
        "run Start | run StartPost |  | term | release, failed Exited(Code(1))",
    );
}

#[test]
fn conditions_skip() {
    use Event::*;
    let policy = with(|p| (p.has_condition, p.has_stop_post, p.restart) = (true, true, R::Always));
    let skip = "run Condition | term | run StopPost | term | release, skipped";
    let tail = [Empty, Done(P::StopPost, OK), Empty];
    for code in [1, 42, 254] {
        let events = [&[Start, Done(P::Condition, Exit::Code(code))], &tail[..]].concat();
        let machine = check(policy.clone(), &events, skip);
        assert_eq!(*machine.state(), State::Down(Some(Cause::Skipped)));
        assert_eq!(machine.timer(), None);
    }
    let no_restart = Policy { restart: R::No, ..policy };
    for (exit, shown) in
        [(Exit::Code(255), "Code(255)"), (TERM, "Signal(Signal(15))"), (Exit::Unknown, "Unknown")]
    {
        let events = [&[Start, Done(P::Condition, exit)], &tail[..]].concat();
        let expect = format!(
            "run Condition | term | run StopPost | term | release, failed Command(Condition, {shown})"
        );
        check(no_restart.clone(), &events, &expect);
    }
    check(simple(), &[Start, Skip], "run Start | release, skipped");
    check(simple(), &[Skip, Refuse(Cause::Assert)], "skipped | failed Assert");
    check(simple(), &[Start, Refuse(Cause::Dependency)], "run Start | release, failed Dependency");
}

#[test]
fn ways_down() {
    use Event::*;
    let down = |exit| State::Down(Some(Cause::Exited(exit)));
    check_up(simple(), &[Stop, died(TERM), Empty], "term |  | release, down", down(TERM));
    check_up(simple(), &[died(OK), Empty], "term | release, down", down(OK));
    let failed = State::Failed(Cause::Exited(BAD));
    check_up(simple(), &[died(BAD), Empty], "term | release, failed Exited(Code(1))", failed.clone());
    check_up(simple(), &[Stop, died(BAD), Empty], "term |  | release, failed Exited(Code(1))", failed);
    let late = State::Failed(Cause::StopTimeout);
    check_up(
        simple(),
        &[Stop, Timer, died(KILL), Empty],
        "term | kill |  | release, failed StopTimeout",
        late.clone(),
    );
    check_up(simple(), &[StopNow, died(KILL), Empty], "kill |  | release, down", State::Down(None));
    check_up(
        simple(),
        &[Stop, StopNow, died(KILL), Empty],
        "term | kill |  | release, down",
        State::Down(None),
    );

    let full = with(|p| (p.has_stop, p.has_stop_post) = (true, true));
    let events = [Stop, died(OK), Done(P::Stop, OK), Empty, Done(P::StopPost, OK), Empty];
    check_up(full.clone(), &events, "run Stop |  | term | run StopPost | term | release, down", down(OK));
    // ExecStop= is not for what has failed.
    let events = [died(SEGV), Empty, Done(P::StopPost, OK), Empty];
    let crashed = Cause::Exited(SEGV);
    let expect = "term | run StopPost | term | release, failed Exited(Dumped(Signal(11)))";
    check_up(full.clone(), &events, expect, State::Failed(crashed));
    let events = [Stop, Timer, Timer, died(KILL), Empty, Timer, Timer, Timer, Empty];
    let expect = "run Stop | term | kill |  | run StopPost | term | kill | failed StopTimeout | release, failed StopTimeout";
    check_up(full, &events, expect, late);

    let mixed = with(|p| p.kill_mode = KillMode::Mixed);
    check_up(mixed, &[Stop, died(TERM), Empty], "term | kill | release, down", down(TERM));
    // STOPPING=1: nothing is sent until the main process has ended.
    check_up(simple(), &[StoppingSelf, died(OK), Empty], " | term | release, down", down(OK));
    check_up(simple(), &[StoppingSelf, Stop, died(OK), Empty], " | term |  | release, down", down(OK));
    // Up without a known main process: the end of all of it is its end, and nobody saw how.
    let forking = of(ReadyRule::Daemonized);
    let events = [Start, Done(P::Start, OK), MainMissing, Empty, Empty];
    check(forking, &events, "run Start |  | up | term | release, failed Exited(Unknown)");
}

#[test]
fn watchdog_and_times() {
    use Event::*;
    let policy = with(|p| p.watchdog = Some(Duration::from_secs(2)));
    let bitten = State::Failed(Cause::Watchdog);
    let bite = "abort | kill |  | release, failed Watchdog";
    check_up(policy.clone(), &[Timer, Timer, died(KILL), Empty], bite, bitten.clone());
    check_up(policy.clone(), &[Unwell, Timer, died(KILL), Empty], bite, bitten);
    let sick = State::Failed(Cause::Unhealthy);
    let asked = "term |  | release, failed Unhealthy";
    check_up(policy.clone(), &[Unhealthy, died(OK), Empty], asked, sick.clone());
    let asked = "term |  |  | release, failed Unhealthy";
    check_up(policy.clone(), &[Unhealthy, Unhealthy, died(OK), Empty], asked, sick);
    let mut fed = Fed::new(policy);
    UP.iter().for_each(|e| drop(fed.feed(*e)));
    let first = fed.machine.timer();
    fed.feed(Alive);
    assert!(fed.machine.timer() > first, "a keep-alive moves the deadline");

    let limited = with(|p| (p.runtime_max, p.has_stop) = (span(60_000), true));
    let events = [Timer, Done(P::Stop, OK), died(TERM), Empty];
    check_up(
        limited,
        &events,
        "run Stop | term |  | release, failed RuntimeMax",
        State::Failed(Cause::RuntimeMax),
    );

    let mut fed = Fed::new(of(ReadyRule::Told));
    fed.feed(Start);
    fed.feed(Extend(Duration::from_secs(100)));
    assert_eq!(fed.machine.timer(), Some(Tick(100_002_000)));
    fed.feed(Extend(Duration::from_secs(1)));
    assert_eq!(fed.machine.timer(), Some(Tick(100_002_000)), "an extension never shortens");

    let endless = with(|p| {
        (p.ready, p.timeout_start, p.timeout_stop) = (ReadyRule::Told, Span::Infinite, Span::Infinite)
    });
    let machine = check(endless, &[Start, Extend(Duration::from_secs(1)), Stop], "run Start |  | term");
    assert_eq!(machine.timer(), None);
}

#[test]
fn reloads() {
    use Event::*;
    let policy = with(|p| p.has_reload = true);
    let up = State::Up { since: Tick(2000), main: true };
    check_up(policy.clone(), &[Reload, Done(P::Reload, OK)], "run Reload | reloaded(true)", up.clone());
    check_up(policy.clone(), &[Reload, Done(P::Reload, BAD)], "run Reload | reloaded(false)", up.clone());
    check_up(policy.clone(), &[Reload, Timer], "run Reload | killcontrol, reloaded(false)", up.clone());
    let dead = State::Failed(Cause::Exited(BAD));
    let expect = "run Reload | killcontrol, reloaded(false), term | release, failed Exited(Code(1))";
    check_up(policy.clone(), &[Reload, died(BAD), Empty], expect, dead);
    let events = [Reload, Reloading, Done(P::Reload, OK), Ready];
    check_up(policy.clone(), &events, "run Reload |  |  | reloaded(true)", up.clone());
    check_up(simple(), &[Reload], "reloaded(false)", up.clone());
    check(policy.clone(), &[Reload, Start, Reload], "reloaded(false) | run Start | reloaded(false)");
    check_up(policy, &[Reloading, Ready], " | reloaded(true)", up.clone());
    let told = with(|p| (p.has_reload, p.reload_told) = (true, true));
    check_up(
        told.clone(),
        &[Reload, Done(P::Reload, OK), Reloading, Ready],
        "run Reload |  |  | reloaded(true)",
        up.clone(),
    );
    check_up(told, &[Reload, Reloading, Ready, Done(P::Reload, OK)], "run Reload |  |  | reloaded(true)", up);
}

#[test]
fn restarts() {
    use Event::*;
    let again = "term | release for a restart, failed Exited(Code(1)) | run Start | up";
    let events = [died(BAD), Empty, Timer, Forked(P::Start)];
    check_up(always(), &events, again, State::Up { since: Tick(105_000), main: true });
    // The owner's restart is no automatic one and waits for nothing.
    let events = [Restart, died(TERM), Empty, Forked(P::Start)];
    check_up(
        simple(),
        &events,
        "term |  | release for a restart, run Start | up",
        State::Up { since: Tick(6000), main: true },
    );
    let machine = check(
        always(),
        &[Start, Forked(P::Start), died(BAD), Empty, Timer],
        "run Start | up | term | release for a restart, failed Exited(Code(1)) | run Start",
    );
    assert_eq!(machine.restarts(), 1);
    let machine = check(
        simple(),
        &[Start, Forked(P::Start), Stop, Start, died(TERM), Empty],
        "run Start | up | term |  |  | release for a restart, run Start",
    );
    assert_eq!((machine.restarts(), machine.wanted()), (0, Wanted::Up));
    check(
        simple(),
        &[Start, Forked(P::Start), Restart, Stop, died(TERM), Empty],
        "run Start | up | term |  |  | release, down",
    );
    // A manual start does not wait out the back-off.
    check(
        always(),
        &[Start, Forked(P::Start), died(BAD), Empty, Start],
        "run Start | up | term | release for a restart, failed Exited(Code(1)) | run Start",
    );
}

#[test]
fn guests() {
    use Event::*;
    let policy = || with(|p| (p.ready, p.restart) = (ReadyRule::Told, R::No));
    let up = [Start, Executed(P::Start), Ready];
    let run = |policy: Policy, events: &[Event], expect: &str| {
        check(policy, &[&up, events].concat(), &format!("run Start |  | up | {expect}"))
    };
    let machine = run(
        policy(),
        &[Guest(Cause::GuestReboot), died(Exit::Signal(Signal(1))), Empty],
        " | term | release for a restart, run Start",
    );
    assert_eq!(machine.restarts(), 1);
    run(policy(), &[Guest(Cause::GuestReboot), Stop, died(OK), Empty], " | term |  | release, down");
    run(policy(), &[Guest(Cause::GuestHalt), died(OK), Empty], " | term | release, down");
    let kept = Policy { restart: R::OnFailure, ..policy() };
    run(kept.clone(), &[Guest(Cause::GuestHalt), died(OK), Empty], " | term | release, down");
    // It has said that it goes; how it then ends is no failure, nor is the time it takes.
    run(kept.clone(), &[Guest(Cause::GuestHalt), died(BAD), Empty], " | term | release, down");
    run(kept.clone(), &[Guest(Cause::GuestHalt), Timer, died(SEGV), Empty], " | term |  | release, down");
    let always = Policy { restart: R::Always, ..policy() };
    run(always, &[Guest(Cause::GuestHalt), died(OK), Empty], " | term | release for a restart, down");
}

#[test]
fn guest_that_reboots_in_a_loop_hits_the_start_limit() {
    let mut fed = Fed::new(of(ReadyRule::Told));
    fed.feed(Event::Start);
    for _ in 0..5 {
        fed.feed(Event::Executed(P::Start));
        fed.feed(Event::Guest(Cause::GuestReboot));
        fed.feed(died(OK));
        fed.feed(Event::Empty);
    }
    assert_eq!(*fed.machine.state(), State::Failed(Cause::StartLimit));
}

#[test]
fn crash_loop_ends_at_the_start_limit_and_runs_its_action_once() {
    let mut fed = Fed::new(always());
    fed.feed(Event::Start);
    let mut said = Vec::new();
    for _ in 0..5 {
        fed.feed(Event::Forked(P::Start));
        fed.feed(died(BAD));
        fed.feed(Event::Empty);
        said.push(fed.feed(Event::Timer));
    }
    assert_eq!(said.last().unwrap(), "release, failed StartLimit, limitaction");
    assert_eq!(fed.machine.timer(), None);
    // Nor does the owner get past it, until it forgets or time passes.
    assert_eq!(fed.feed(Event::Start), "failed StartLimit, limitaction");
    fed.feed(Event::ResetFailed);
    assert_eq!(fed.feed(Event::Start), "run Start");
    fed.feed(Event::Stop);
    fed.feed(Event::Empty);
    fed.now = fed.now.after(Duration::from_secs(11));
    assert_eq!(fed.feed(Event::Start), "run Start");
}

/// OpenRC#375: the respawn timer fired during a stop.
#[test]
fn respawn_timer_that_fires_during_a_stop_starts_nothing() {
    let expect = "run Start | up | term | release for a restart, failed Exited(Code(1)) | release, down";
    let events = [Event::Start, Event::Forked(P::Start), died(BAD), Event::Empty, Event::Stop];
    let mut machine = check(always(), &events, expect);
    assert_eq!(machine.timer(), None);
    assert_eq!(machine.step(Event::Timer, Tick(u64::MAX)), []);
    assert_eq!(*machine.state(), State::Down(Some(Cause::Exited(BAD))));
}

/// crun#868, runc#4145: a process in D state kept the remover in a loop.
/// A container gets groups of its own: it need not wait for what does not end.
#[test]
fn a_start_goes_on_beside_what_is_stuck_where_the_policy_leaves_that_behind() {
    use Event::*;
    let container = with(|p| (p.ready, p.leaves_behind) = (ReadyRule::Told, true));
    let stuck = [Start, Executed(P::Start), Ready, Stop, Timer, Timer];
    let so_far = "run Start |  | up | term | kill | failed StopTimeout";
    let machine = check(container.clone(), &stuck, so_far);
    assert!(matches!(machine.state(), State::Stuck { .. }), "{:?}", machine.state());
    for again in [Start, Restart] {
        let events = [&stuck[..], &[again, Executed(P::Start), Ready]].concat();
        let machine = check(
            container.clone(),
            &events,
            &format!("{so_far} | kill, release for a restart, run Start |  | up"),
        );
        assert!(machine.is_up());
    }
    // A stop has nothing to go on with.
    check(container, &[&stuck[..], &[Stop]].concat(), &format!("{so_far} | kill, failed StopTimeout"));
}

#[test]
fn process_that_survives_sigkill_leaves_it_stuck_without_a_loop() {
    use Event::*;
    let events = [Start, Forked(P::Start), Stop, Timer, Timer];
    let mut fed = Fed::new(simple());
    let got: Vec<String> = events.iter().map(|e| fed.feed(*e)).collect();
    assert_eq!(got.join(" | "), "run Start | up | term | kill | failed StopTimeout");
    assert_eq!((fed.machine.timer(), fed.machine.is_at_rest()), (None, false));
    assert_eq!(fed.feed(Start), "kill, failed StopTimeout");
    assert_eq!(fed.feed(Empty), "", "the main process is still there");
    assert_eq!(fed.feed(died(KILL)), "");
    assert_eq!(fed.feed(Empty), "release for a restart, run Start");
}

#[test]
fn without_sigkill_what_survives_is_left_and_reported() {
    use Event::*;
    let policy = with(|p| p.send_sigkill = false);
    let expect = "run Start | up | term | failed StopTimeout";
    let machine = check(policy.clone(), &[Start, Forked(P::Start), Stop, Timer], expect);
    let now = " | kill, failed StopTimeout |  | release, failed StopTimeout";
    let events = [Start, Forked(P::Start), Stop, Timer, StopNow, died(KILL), Empty];
    check(policy.clone(), &events, &format!("{expect}{now}"));
    assert!(matches!(machine.state(), State::Stuck { step: StopStep::Term, cause: Cause::StopTimeout, .. }));
    let post = Policy { has_stop_post: true, ..policy };
    let events = [Start, Forked(P::Start), Stop, Timer, Done(P::StopPost, OK), Timer];
    check(post, &events, "run Start | up | term | run StopPost | term | failed StopTimeout");
}

/// moby#45800: an exit that nobody saw was recorded as success.
#[test]
fn unknown_exit_is_never_a_success() {
    let policy = with(|p| (p.restart, p.success_status.codes) = (R::OnSuccess, (0..=255).collect()));
    let failed = State::Failed(Cause::Exited(Exit::Unknown));
    check_up(policy, &[died(Exit::Unknown), Event::Empty], "term | release, failed Exited(Unknown)", failed);
}

/// podman#14937: nothing restarted any more after the monitor had been killed.
#[test]
fn life_goes_on_after_its_keeper_was_killed() {
    let mut policy = always();
    policy.watchdog = Some(Duration::from_secs(2));
    let mut before = Fed::new(policy.clone());
    UP.iter().for_each(|e| drop(before.feed(*e)));
    let (machine, intents) = Machine::restore(policy.clone(), before.machine.keep(), Tick(9_000_000));
    assert_eq!(intents, [I::Arm(Tick(11_000_000))]);
    let mut after = Fed { machine, now: Tick(9_000_000) };
    assert_eq!(after.feed(died(Exit::Unknown)), "term");
    assert_eq!(after.feed(Event::Empty), "release for a restart, failed Exited(Unknown)");
    let (machine, intents) = Machine::restore(policy, after.machine.keep(), Tick(9_000_001));
    assert_eq!((intents.len(), machine.timer()), (1, after.machine.timer()));
}

/// With RestartSec=0 and no process to be had, the loop never came back to its poll.
#[test]
fn what_could_not_even_begin_is_not_tried_again_in_the_same_turn() {
    use Event::*;
    let policy = with(|p| (p.restart, p.restart_sec) = (R::Always, Duration::ZERO));
    let events = [Start, SetupFailed(P::Start), Empty];
    let machine =
        check(policy.clone(), &events, "run Start | term | release for a restart, failed Setup(Start)");
    assert!(machine.timer().is_some());
    let events = [Start, Forked(P::Start), died(KILL), Empty];
    let expect = "run Start | up | term | release for a restart, failed Exited(Signal(Signal(9))), run Start";
    check(policy, &events, expect);
}

#[test]
fn stale_report_of_an_empty_cgroup_ends_nothing_that_runs() {
    let up = State::Up { since: Tick(2000), main: true };
    check_up(simple(), &[Event::Empty], "", up);
    let expect = "term |  |  | release, down";
    check_up(
        simple(),
        &[Event::Stop, Event::Empty, died(TERM), Event::Empty],
        expect,
        State::Down(Some(Cause::Exited(TERM))),
    );
}

#[test]
fn ignored_events_say_why() {
    let machine = check(simple(), &UP, "run Start | up");
    assert_eq!(machine.ignores(Event::Start), Some("it is up already"));
    assert_eq!(machine.ignores(Event::Reload), Some("it has no ExecReload="));
    assert_eq!(machine.ignores(Event::Stop), None);
    assert_eq!(Machine::new(simple()).ignores(Event::Stop), Some("it is down already"));
}
