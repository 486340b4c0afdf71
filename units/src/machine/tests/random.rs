//! machine tests: random lives in an invented world with an invented clock.
use super::*;
use proptest::prelude::*;
use std::collections::VecDeque;

const PHASES: [P; 7] = [P::Condition, P::StartPre, P::Start, P::StartPost, P::Reload, P::Stop, P::StopPost];

fn phase() -> impl Strategy<Value = P> {
    proptest::sample::select(PHASES.to_vec())
}

fn exit() -> impl Strategy<Value = Exit> {
    proptest::sample::select(vec![OK, BAD, Exit::Code(255), TERM, KILL, SEGV, Exit::Unknown])
}

/// Any event at all, in any state: what a confused level below might say.
fn any_event() -> impl Strategy<Value = Event> {
    use Event::*;
    let plain = vec![
        Start,
        Stop,
        StopNow,
        Restart,
        Reload,
        ResetFailed,
        Skip,
        Refuse(Cause::Assert),
        Ready,
        Reloading,
        StoppingSelf,
        MainFound,
        MainMissing,
        Alive,
        Unwell,
        Unhealthy,
        Empty,
        Guest(Cause::GuestReboot),
        Guest(Cause::GuestHalt),
        Timer,
        Extend(Duration::from_secs(7)),
    ];
    prop_oneof![
        4 => proptest::sample::select(plain),
        1 => phase().prop_map(Forked),
        1 => phase().prop_map(Executed),
        1 => phase().prop_map(SetupFailed),
        2 => (phase(), exit()).prop_map(|(p, e)| Done(p, e)),
        1 => (exit(), any::<bool>()).prop_map(|(e, oom)| MainExited(e, oom)),
    ]
}

fn any_policy() -> impl Strategy<Value = Policy> {
    use ReadyRule::*;
    let ready = proptest::sample::select(vec![Forked, Executed, Daemonized, Finished, Told]);
    let restart = proptest::sample::select(vec![Restart::No, Restart::OnFailure, Restart::Always]);
    let flags = proptest::collection::vec(any::<bool>(), 12);
    (ready, restart, flags).prop_map(|(ready, restart, flags)| {
        let flag = |n: usize| flags[n];
        with(|p| {
            (p.ready, p.restart) = (ready, restart);
            (p.has_condition, p.has_start_pre, p.has_start_post) = (flag(0), flag(1), flag(2));
            (p.has_reload, p.has_stop, p.has_stop_post) = (flag(3), flag(4), flag(5));
            (p.remain_after_exit, p.send_sigkill, p.reload_told) = (flag(6), flag(7) || flag(8), flag(9));
            p.watchdog = flag(10).then_some(Duration::from_secs(3));
            p.kill_mode = if flag(11) { KillMode::Mixed } else { KillMode::ControlGroup };
        })
    })
}

/// What holds after every step of any life.
fn invariants(machine: &Machine, intents: &[I]) {
    let state = machine.state();
    let starts = |i: &&I| matches!(i, I::Run(P::Condition | P::StartPre | P::Start | P::StartPost));
    assert!(
        machine.wanted() == Wanted::Up || !intents.iter().any(|i| starts(&i)),
        "{state:?} wanted down, but {intents:?}"
    );
    match state {
        State::Starting { .. } | State::Reloading { .. } | State::Stopping { .. } | State::Waiting { .. } => {
            assert!(machine.timer().is_some(), "{state:?} has no deadline");
        }
        State::Down(_) | State::Failed(_) | State::Exited { .. } | State::Stuck { .. } => {
            assert_eq!(machine.timer(), None, "{state:?} waits for a timer");
        }
        State::Up { .. } => {}
    }
    let arms = intents.iter().filter(|i| matches!(i, I::Arm(_) | I::Disarm)).count();
    assert!(arms <= 1, "one timer is armed at most once a step: {intents:?}");
}

/// Time passes until the timer is due; the timer fires.
fn fire(machine: &mut Machine, now: &mut Tick) -> Vec<I> {
    let Some(at) = machine.timer() else { return Vec::new() };
    *now = (*now).max(at);
    let out = machine.step(Event::Timer, *now);
    for _ in 0..3 {
        if machine.timer().is_some_and(|at| at <= *now) {
            assert_eq!(
                out.iter().filter(|i| matches!(i, I::Run(_))).count(),
                0,
                "due again after a command was run"
            );
            return [out, fire(machine, now)].concat();
        }
    }
    out
}

/// A level below that keeps the contract, with processes that behave as they are told to.
struct World {
    machine: Machine,
    now: Tick,
    reports: VecDeque<Event>,
    main: bool,
    /// Other processes are left in the cgroup.
    others: bool,
    /// Processes ignore KillSignal.
    stubborn: bool,
    /// Processes survive SIGKILL.
    immortal: bool,
    /// Commands end so.
    commands: Exit,
    /// A notify service says READY=1.
    says_ready: bool,
}

impl World {
    fn new(policy: Policy) -> World {
        World {
            machine: Machine::new(policy),
            now: Tick(1),
            reports: VecDeque::new(),
            main: false,
            others: false,
            stubborn: false,
            immortal: false,
            commands: OK,
            says_ready: true,
        }
    }

    fn tell(&mut self, event: Event) {
        let out = self.machine.step(event, self.now);
        self.obey(&out);
    }

    fn fire(&mut self) {
        if let Some(at) = self.machine.timer() {
            self.now = self.now.max(at);
            self.tell(Event::Timer);
        }
    }

    fn obey(&mut self, intents: &[I]) {
        invariants(&self.machine, intents);
        for intent in intents {
            match *intent {
                I::Run(phase) => self.run(phase),
                I::Term | I::Abort => self.end(!self.stubborn && !self.immortal, TERM),
                I::Kill => self.end(!self.immortal, KILL),
                I::Release(_) => assert!(!self.main, "released while its main process is alive"),
                I::KillControl => self.reports.retain(|e| !matches!(e, Event::Done(P::Reload, _))),
                I::Arm(at) => assert_eq!(self.machine.timer(), Some(at)),
                I::Disarm => assert_eq!(self.machine.timer(), None),
                I::Announce(_) | I::LimitAction => {}
            }
        }
    }

    fn run(&mut self, phase: P) {
        self.reports.push_back(Event::Forked(phase));
        self.reports.push_back(Event::Executed(phase));
        let ready = self.machine.policy().ready;
        if phase != P::Start || ready == ReadyRule::Finished {
            self.reports.push_back(Event::Done(phase, self.commands));
            return;
        }
        assert!(!self.main, "a second main process");
        self.main = true;
        match ready {
            ReadyRule::Daemonized => {
                self.reports.push_back(Event::Done(P::Start, OK));
                self.reports.push_back(Event::MainFound);
            }
            ReadyRule::Told if self.says_ready => self.reports.push_back(Event::Ready),
            ReadyRule::Told | ReadyRule::Forked | ReadyRule::Executed | ReadyRule::Finished => {}
        }
    }

    /// All of it is told to end.
    fn end(&mut self, dies: bool, how: Exit) {
        self.reports.retain(|e| !matches!(e, Event::Done(..)));
        if dies {
            self.main_dies(how);
            self.others = false;
        }
        if !self.main && !self.others {
            self.reports.push_back(Event::Empty);
        }
    }

    fn main_dies(&mut self, how: Exit) {
        if std::mem::take(&mut self.main) {
            self.reports.push_back(Event::MainExited(how, false));
        }
    }

    fn deliver(&mut self) -> bool {
        let event = self.reports.pop_front();
        let stale = event == Some(Event::Empty) && (self.main || self.others);
        event.filter(|_| !stale).into_iter().for_each(|e| self.tell(e));
        event.is_some()
    }

    fn settled(&self) -> bool {
        let resting = self.machine.is_at_rest() || matches!(self.machine.state(), State::Stuck { .. });
        self.reports.is_empty() && (self.machine.is_up() || resting)
    }

    /// Lets the world go on by itself until nothing is under way.
    fn settle(&mut self) {
        for _ in 0..500 {
            if self.settled() && !matches!(self.machine.state(), State::Reloading { .. }) {
                return;
            }
            if !self.deliver() {
                self.fire();
            }
        }
        panic!("never comes to rest: {:?}", self.machine.state());
    }
}

#[derive(Clone, Debug)]
enum Happens {
    Told(Event),
    Delivered,
    Fired,
    Died(Exit),
    Forks,
    Stubborn(bool),
    Commands(Exit),
    SaysReady(bool),
    Passed(u64),
}

fn happens() -> impl Strategy<Value = Happens> {
    use Event::*;
    let owner = vec![Start, Start, Stop, StopNow, Restart, Reload, ResetFailed];
    let said = vec![
        Alive,
        Unwell,
        Unhealthy,
        StoppingSelf,
        Reloading,
        Ready,
        Guest(Cause::GuestReboot),
        Guest(Cause::GuestHalt),
    ];
    prop_oneof![
        4 => proptest::sample::select(owner).prop_map(Happens::Told),
        1 => proptest::sample::select(said).prop_map(Happens::Told),
        8 => Just(Happens::Delivered),
        3 => Just(Happens::Fired),
        2 => exit().prop_map(Happens::Died),
        1 => Just(Happens::Forks),
        1 => any::<bool>().prop_map(Happens::Stubborn),
        1 => exit().prop_map(Happens::Commands),
        1 => any::<bool>().prop_map(Happens::SaysReady),
        2 => (0..5_000_000u64).prop_map(Happens::Passed),
    ]
}

fn live(world: &mut World, what: &[Happens]) {
    for happens in what {
        match *happens {
            Happens::Told(event) => world.tell(event),
            Happens::Delivered => drop(world.deliver()),
            Happens::Fired => world.fire(),
            Happens::Died(how) => world.main_dies(how),
            Happens::Forks => world.others = world.main,
            Happens::Stubborn(yes) => world.stubborn = yes,
            Happens::Commands(how) => world.commands = how,
            Happens::SaysReady(yes) => world.says_ready = yes,
            Happens::Passed(micros) => world.now = Tick(world.now.0 + micros),
        }
    }
}

proptest! {
    /// No event in any state makes it panic, run against its owner's will, or wait without a deadline.
    #[test]
    fn confused_level_below_breaks_no_invariant(
        policy in any_policy(),
        events in proptest::collection::vec((any_event(), 0..4_000_000u64), 0..120),
    ) {
        let mut machine = Machine::new(policy);
        let mut now = Tick(1);
        for (event, passed) in events {
            now = Tick(now.0 + passed);
            let out = machine.step(event, now);
            invariants(&machine, &out);
            if machine.timer().is_some_and(|at| at <= now) {
                let out = fire(&mut machine, &mut now);
                prop_assert!(machine.wanted() == Wanted::Up || !out.contains(&I::Run(P::Start)));
                prop_assert!(machine.timer().is_none_or(|at| at > now), "due again and again");
            }
        }
    }

    /// An ignored event leaves the state as it is.
    #[test]
    fn ignored_events_change_nothing(policy in any_policy(), events in proptest::collection::vec(any_event(), 0..60)) {
        let mut machine = Machine::new(policy);
        for (n, event) in events.into_iter().enumerate() {
            let (before, ignored) = (machine.state().clone(), machine.ignores(event));
            let out = machine.step(event, Tick(n as u64));
            if let Some(why) = ignored {
                prop_assert_eq!(machine.state(), &before, "{}", why);
                prop_assert!(!out.iter().any(|i| matches!(i, I::Run(_) | I::Term | I::Kill | I::Release(_))));
            }
        }
    }

    /// With a level below that keeps the contract, there is one main process at most (asserted in the world), and
    /// whatever happened, a good world brings it up or to rest.
    #[test]
    fn honest_world_comes_to_rest(policy in any_policy(), what in proptest::collection::vec(happens(), 0..150)) {
        let mut world = World::new(policy);
        live(&mut world, &what);
        (world.stubborn, world.commands, world.says_ready) = (false, OK, true);
        world.settle();
        let stuck = matches!(world.machine.state(), State::Stuck { .. });
        prop_assert!(!stuck || !world.machine.policy().send_sigkill, "stuck without a reason");
    }

    /// A stop comes to an end within the sum of the deadlines, however processes behave.
    #[test]
    fn stop_ends_within_its_deadlines(
        policy in any_policy(),
        what in proptest::collection::vec(happens(), 0..150),
        immortal in any::<bool>(),
    ) {
        let mut world = World::new(policy);
        live(&mut world, &what);
        (world.stubborn, world.immortal) = (true, immortal);
        world.tell(Event::Stop);
        let began = world.now;
        world.settle();
        let state = world.machine.state().clone();
        prop_assert!(world.machine.is_at_rest() || matches!(state, State::Stuck { .. }), "{state:?}");
        // command, term or abort, kill, post, final term, final kill
        prop_assert!(world.now.since(began) <= Duration::from_secs(60), "{:?}", world.now.since(began));
        world.settle();
        prop_assert_eq!(world.machine.state(), &state, "it moved on without its owner");
    }

    /// Written down and read again, it is the same machine.
    #[test]
    fn what_is_kept_is_restored(policy in any_policy(), what in proptest::collection::vec(happens(), 0..100)) {
        let mut world = World::new(policy.clone());
        live(&mut world, &what);
        let kept = world.machine.keep();
        let (machine, out) = Machine::restore(policy, kept.clone(), world.now);
        prop_assert_eq!(machine.keep(), kept);
        prop_assert!(out.len() <= 1);
        invariants(&machine, &out);
    }
}
