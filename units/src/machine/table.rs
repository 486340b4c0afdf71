//! machine: which move each event makes in each state, all pairs written out. Changes nothing.
use super::{Cause, Event, Exit, State, StopStep, Then};
use crate::schema::ExecPhase;
use std::time::Duration;

/// What an event makes of a state; [`super::moves`] carries it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Move {
    /// Nothing, because of this.
    Stay(&'static str),
    /// Start, on the owner's word.
    Begin,
    /// Down the ladder, on the owner's word.
    GoDown(Then),
    /// Already on the ladder: what follows it is this.
    TurnTo(Then),
    /// To the rung of SIGKILL.
    KillNow,
    /// Stuck: one more try, then on as said.
    TryAgain(Then),
    /// No automatic restart after all.
    GiveUpWaiting,
    /// Start a reload.
    BeginReload,
    /// Answer that there is no reload.
    RefuseReload,
    /// Failure and counters are forgotten.
    Forget,
    /// The counters are forgotten, the state stays.
    ForgetCounts,
    /// At rest, not to be started, because of this.
    RestAs(Cause),
    /// A start that ends before it has begun, because of this.
    GiveUpStart(Cause),
    /// A process of this phase of the start exists.
    Launched(ExecPhase),
    /// Its exec succeeded.
    Executed(ExecPhase),
    /// A start that was under way when the stop came has made a main process.
    LateMain,
    /// This phase of the start has ended.
    PhaseDone(ExecPhase, Exit),
    /// This phase of the start could not be carried out.
    PhaseFailed(ExecPhase),
    /// The main process that was just forked could not be executed.
    MainNotSetUp,
    /// The commands of the reload have ended, well or not.
    ReloadDone(Option<Exit>),
    /// The commands of this rung have ended; none: they could not be carried out.
    RungDone(ExecPhase, Option<Exit>),
    /// The main process ended.
    MainEnded(Exit, bool),
    /// It says that it is ready.
    Ready,
    /// It says that it reloads.
    SaysReloading,
    /// It goes down by itself, because of this if it said why.
    GoesDown(Option<Cause>),
    /// A main process is known now.
    MainFound,
    /// None was found.
    MainMissing,
    /// A keep-alive.
    Alive,
    /// It is unwell.
    Unwell,
    /// It is unhealthy.
    Unhealthy,
    /// More time for what is under way.
    Extend(Duration),
    /// Its processes are gone.
    Emptied,
    /// A deadline may have passed.
    Due,
}

/// The table. Rows are grouped by event; within a group each state stands once.
pub(super) fn move_of(event: Event, state: &State) -> Move {
    use ExecPhase as P;
    use Move::Stay;
    use State as S;
    match (event, state) {
        // What the owner asks for.
        (Event::Start, S::Down(_) | S::Failed(_) | S::Waiting { .. }) => Move::Begin,
        (Event::Start, S::Starting { .. }) => Stay("it is starting already"),
        (Event::Start, S::Up { .. } | S::Exited { .. } | S::Reloading { .. }) => Stay("it is up already"),
        (Event::Start, S::Stopping { .. }) => Move::TurnTo(Then::Again),
        (Event::Start, S::Stuck { .. }) => Move::TryAgain(Then::Again),

        (Event::Stop | Event::StopNow, S::Down(_) | S::Failed(_)) => Stay("it is down already"),
        (Event::Stop | Event::StopNow, S::Waiting { .. }) => Move::GiveUpWaiting,
        (Event::Stop, S::Starting { .. } | S::Up { .. } | S::Exited { .. } | S::Reloading { .. }) => {
            Move::GoDown(Then::Rest)
        }
        (Event::Stop, S::Stopping { .. }) => Move::TurnTo(Then::Rest),
        (Event::StopNow, S::Starting { .. } | S::Up { .. } | S::Exited { .. } | S::Reloading { .. }) => {
            Move::KillNow
        }
        (Event::StopNow, S::Stopping { .. }) => Move::KillNow,
        (Event::Stop, S::Stuck { .. }) => Move::TryAgain(Then::Rest),
        // SendSIGKILL=no is about what happens by itself.
        (Event::StopNow, S::Stuck { .. }) => Move::KillNow,

        (Event::Restart, S::Down(_) | S::Failed(_) | S::Waiting { .. }) => Move::Begin,
        (Event::Restart, S::Starting { .. } | S::Up { .. } | S::Exited { .. } | S::Reloading { .. }) => {
            Move::GoDown(Then::Again)
        }
        (Event::Restart, S::Stopping { .. }) => Move::TurnTo(Then::Again),
        (Event::Restart, S::Stuck { .. }) => Move::TryAgain(Then::Again),

        (Event::Reload, S::Up { .. } | S::Exited { .. }) => Move::BeginReload,
        (Event::Reload, S::Reloading { .. }) => Stay("it is reloading already"),
        (Event::Reload, S::Down(_) | S::Failed(_) | S::Waiting { .. } | S::Starting { .. }) => {
            Move::RefuseReload
        }
        (Event::Reload, S::Stopping { .. } | S::Stuck { .. }) => Move::RefuseReload,

        (Event::ResetFailed, S::Down(_) | S::Failed(_)) => Move::Forget,
        (Event::ResetFailed, S::Starting { .. } | S::Up { .. } | S::Exited { .. } | S::Reloading { .. }) => {
            Move::ForgetCounts
        }
        (Event::ResetFailed, S::Stopping { .. } | S::Stuck { .. } | S::Waiting { .. }) => Move::ForgetCounts,

        // What was found before anything ran.
        (Event::Skip, S::Down(_) | S::Failed(_) | S::Waiting { .. }) => Move::RestAs(Cause::Skipped),
        (Event::Skip, S::Starting { .. }) => Move::GiveUpStart(Cause::Skipped),
        (Event::Refuse(why), S::Down(_) | S::Failed(_) | S::Waiting { .. }) => Move::RestAs(why),
        (Event::Refuse(why), S::Starting { .. }) => Move::GiveUpStart(why),
        (Event::Skip | Event::Refuse(_), S::Up { .. } | S::Exited { .. } | S::Reloading { .. }) => {
            Stay("it is up already; conditions are looked at before a start")
        }
        (Event::Skip | Event::Refuse(_), S::Stopping { .. } | S::Stuck { .. }) => {
            Stay("it is on its way down; conditions are looked at before a start")
        }

        // How its commands do.
        (Event::Forked(phase), S::Starting { phase: now, .. }) if phase == *now => Move::Launched(phase),
        (Event::Executed(phase), S::Starting { phase: now, .. }) if phase == *now => Move::Executed(phase),
        (Event::Forked(P::Start) | Event::Executed(P::Start), S::Stopping { step: StopStep::Term, .. }) => {
            Move::LateMain
        }
        (Event::Forked(_) | Event::Executed(_), S::Starting { .. }) => Stay("of another phase"),
        (Event::Forked(_) | Event::Executed(_), S::Up { .. } | S::Reloading { .. } | S::Stopping { .. }) => {
            Stay("the end of the command tells")
        }
        (Event::Forked(_) | Event::Executed(_), S::Down(_) | S::Failed(_) | S::Waiting { .. }) => {
            Stay("nothing was run")
        }
        (Event::Forked(_) | Event::Executed(_), S::Exited { .. } | S::Stuck { .. }) => {
            Stay("nothing was run")
        }

        (Event::Done(phase, exit), S::Starting { phase: now, .. }) if phase == *now => {
            Move::PhaseDone(phase, exit)
        }
        (Event::Done(P::Reload, exit), S::Reloading { .. }) => Move::ReloadDone(Some(exit)),
        (Event::Done(P::Stop, exit), S::Stopping { step: StopStep::Command, .. }) => {
            Move::RungDone(P::Stop, Some(exit))
        }
        (Event::Done(P::StopPost, exit), S::Stopping { step: StopStep::Post, .. }) => {
            Move::RungDone(P::StopPost, Some(exit))
        }
        (Event::SetupFailed(phase), S::Starting { phase: now, .. }) if phase == *now => {
            Move::PhaseFailed(phase)
        }
        // Simple: it was up once it was forked, and exec failed then.
        (
            Event::SetupFailed(P::Start),
            S::Starting { main: true, .. } | S::Up { .. } | S::Reloading { .. } | S::Stopping { .. },
        ) => Move::MainNotSetUp,
        (Event::SetupFailed(P::Start), S::Stuck { .. }) => Move::MainNotSetUp,
        (Event::SetupFailed(P::Reload), S::Reloading { .. }) => Move::ReloadDone(None),
        (Event::SetupFailed(P::Stop), S::Stopping { step: StopStep::Command, .. }) => {
            Move::RungDone(P::Stop, None)
        }
        (Event::SetupFailed(P::StopPost), S::Stopping { step: StopStep::Post, .. }) => {
            Move::RungDone(P::StopPost, None)
        }
        (Event::Done(..) | Event::SetupFailed(_), S::Starting { .. }) => Stay("of another phase"),
        (
            Event::Done(..) | Event::SetupFailed(_),
            S::Up { .. } | S::Reloading { .. } | S::Stopping { .. },
        ) => Stay("of a phase that was given up"),
        (Event::Done(..) | Event::SetupFailed(_), S::Down(_) | S::Failed(_) | S::Waiting { .. }) => {
            Stay("nothing was run")
        }
        (Event::Done(..) | Event::SetupFailed(_), S::Exited { .. } | S::Stuck { .. }) => {
            Stay("nothing was run")
        }

        // How its main process does.
        (Event::MainExited(exit, oom), S::Starting { .. } | S::Up { .. } | S::Reloading { .. }) => {
            Move::MainEnded(exit, oom)
        }
        (Event::MainExited(exit, oom), S::Stopping { .. } | S::Stuck { .. }) => Move::MainEnded(exit, oom),
        (Event::MainExited(..), S::Exited { .. }) => Stay("its main process has ended before"),
        (Event::MainExited(..), S::Down(_) | S::Failed(_) | S::Waiting { .. }) => Stay("nothing was run"),

        (Event::MainFound, S::Starting { .. } | S::Up { .. } | S::Reloading { .. }) => Move::MainFound,
        (Event::MainMissing, S::Starting { .. }) => Move::MainMissing,
        (Event::MainMissing, S::Up { .. } | S::Reloading { .. }) => Stay("it is up without one"),
        (Event::MainFound | Event::MainMissing, S::Exited { .. }) => Stay("nothing has to run for it"),
        (Event::MainFound | Event::MainMissing, S::Stopping { .. } | S::Stuck { .. }) => {
            Stay("all of it is being ended")
        }
        (Event::MainFound | Event::MainMissing, S::Down(_) | S::Failed(_) | S::Waiting { .. }) => {
            Stay("nothing was run")
        }

        (Event::Empty, S::Starting { .. } | S::Up { .. } | S::Reloading { .. }) => Move::Emptied,
        (Event::Empty, S::Stopping { .. } | S::Stuck { .. }) => Move::Emptied,
        (Event::Empty, S::Exited { .. }) => Stay("nothing has to run for it"),
        (Event::Empty, S::Down(_) | S::Failed(_) | S::Waiting { .. }) => Stay("it was released before"),

        // What it says of itself.
        (Event::Ready, S::Starting { .. } | S::Reloading { .. }) => Move::Ready,
        (Event::Ready, S::Up { .. } | S::Exited { .. }) => Stay("it is ready already"),
        (Event::Ready, S::Stopping { .. } | S::Stuck { .. }) => Stay("it is on its way down"),
        (Event::Ready, S::Down(_) | S::Failed(_) | S::Waiting { .. }) => Stay("nothing was run"),

        (Event::Reloading, S::Up { .. } | S::Reloading { .. }) => Move::SaysReloading,
        (Event::Reloading, S::Starting { .. }) => Stay("it is not up yet"),
        (Event::Reloading, S::Stopping { .. } | S::Stuck { .. }) => Stay("it is on its way down"),
        (Event::Reloading, S::Down(_) | S::Failed(_) | S::Waiting { .. } | S::Exited { .. }) => {
            Stay("nothing of it runs")
        }

        (Event::StoppingSelf, S::Up { .. } | S::Reloading { .. }) => Move::GoesDown(None),
        (Event::StoppingSelf, S::Starting { .. }) => Stay("the end of its main process tells"),
        (Event::StoppingSelf, S::Stopping { .. } | S::Stuck { .. }) => Stay("it is on its way down"),
        (Event::StoppingSelf, S::Down(_) | S::Failed(_) | S::Waiting { .. } | S::Exited { .. }) => {
            Stay("nothing of it runs")
        }

        (Event::Guest(why), S::Starting { .. } | S::Up { .. } | S::Reloading { .. }) => {
            Move::GoesDown(Some(why))
        }
        (Event::Guest(why), S::Stopping { step: StopStep::Own, then: Then::Policy, .. }) => {
            Move::GoesDown(Some(why))
        }
        (Event::Guest(_), S::Stopping { .. } | S::Stuck { .. }) => Stay("it is on its way down"),
        (Event::Guest(_), S::Down(_) | S::Failed(_) | S::Waiting { .. } | S::Exited { .. }) => {
            Stay("nothing of it runs")
        }

        (Event::Alive, S::Up { .. } | S::Reloading { .. }) => Move::Alive,
        (Event::Unwell, S::Starting { .. } | S::Up { .. } | S::Reloading { .. }) => Move::Unwell,
        (Event::Alive, S::Starting { .. }) => Stay("the watchdog begins when it is up"),
        (Event::Alive | Event::Unwell, S::Stopping { .. } | S::Stuck { .. }) => {
            Stay("the watchdog ends when it goes down")
        }
        (Event::Alive | Event::Unwell, S::Down(_) | S::Failed(_) | S::Waiting { .. } | S::Exited { .. }) => {
            Stay("nothing of it runs")
        }

        (Event::Unhealthy, S::Up { .. } | S::Reloading { .. }) => Move::Unhealthy,
        (Event::Unhealthy, S::Starting { .. }) => Stay("health is looked at when it is up"),
        (Event::Unhealthy, S::Stopping { .. } | S::Stuck { .. }) => Stay("it goes down already"),
        (Event::Unhealthy, S::Down(_) | S::Failed(_) | S::Waiting { .. } | S::Exited { .. }) => {
            Stay("nothing of it runs")
        }

        (Event::Extend(more), S::Starting { .. } | S::Up { .. } | S::Reloading { .. }) => Move::Extend(more),
        (Event::Extend(more), S::Stopping { .. }) => Move::Extend(more),
        (Event::Extend(_), S::Stuck { .. }) => Stay("no deadline is left to extend"),
        (Event::Extend(_), S::Down(_) | S::Failed(_) | S::Waiting { .. } | S::Exited { .. }) => {
            Stay("nothing of it runs")
        }

        // Time.
        (Event::Timer, S::Starting { .. } | S::Up { .. } | S::Reloading { .. }) => Move::Due,
        (Event::Timer, S::Stopping { .. } | S::Waiting { .. }) => Move::Due,
        (Event::Timer, S::Down(_) | S::Failed(_) | S::Exited { .. } | S::Stuck { .. }) => {
            Stay("no deadline is set")
        }
    }
}
