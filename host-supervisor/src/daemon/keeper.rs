//! keeper: the line to the keeper, and ends that this process did not see itself.
use super::fleet::Missing;
use super::{Daemon, now};
use crate::observe::{self, Seen};
use ct_init::keeper::{Heard, Line, Record};
use slog::{info, warn};
use std::os::fd::AsFd;
use std::time::Duration;
use units::machine::Exit;
use units::values::Tick;

/// So long an end may be missing before it counts as unknown. Its parent has been woken by it, as we have.
const PATIENCE: Duration = Duration::from_secs(2);

/// The supervisor's side of the keeper.
#[derive(Debug)]
pub(crate) struct Keeper {
    pub(crate) line: Line,
    /// Records that it had to drop, as last told.
    lost: u32,
}

impl Keeper {
    pub(crate) fn new(line: Line) -> Keeper {
        Keeper { line, lost: 0 }
    }
}

impl Daemon {
    /// The keeper says who has ended as its child. True: it has gone, and we have to go too, so that whoever started it
    /// starts the two anew; containers run on.
    pub(super) fn hear_keeper(&mut self) -> bool {
        loop {
            match self.keeper.as_ref().map_or(Heard::Nothing, |k| k.line.hear()) {
                Heard::Nothing => return false,
                Heard::Record(record) => self.recorded(record),
                Heard::Gone => {
                    warn!(self.log, "the keeper has gone, so this supervisor has nobody to start it again");
                    return true;
                }
            }
        }
    }

    fn recorded(&mut self, record: Record) {
        // Workers and what they have left behind are nobody's life.
        if let Some(name) = self.fleet.by_process(record.pid, record.start_time) {
            info!(self.log, "told by the keeper"; "ct" => &name, "pid" => record.pid);
            self.finished(&name, record.exit);
        }
        let Some(keeper) = &mut self.keeper else { return };
        if record.lost > keeper.lost {
            warn!(self.log, "the keeper had no room for some ends"; "lost" => record.lost - keeper.lost);
            keeper.lost = record.lost;
        }
        // What it does not hear now it tells the next supervisor again, who will know better.
        let _told_again = keeper.line.take(record.number);
    }

    /// PID 1 has ended as another's child: its end comes from the keeper or the kernel, or it never comes.
    pub(super) fn await_exit(&mut self, name: &str) {
        let Some(c) = self.fleet.get_mut(name) else { return };
        let until = match c.missing.as_ref().map(|m| m.gone.is_some()) {
            // Nobody is left to tell.
            Some(true) if self.keeper.is_none() => now(),
            // The timer runs already.
            Some(false) => return,
            Some(true) | None => now().after(PATIENCE),
        };
        match &mut c.missing {
            Some(missing) => missing.until = until,
            none => *none = Some(Missing { until, gone: None }),
        }
    }

    /// Ends that did not come in time: the kernel is asked once more, and then nobody knows.
    pub(super) fn give_up_on_exits(&mut self, now: Tick) {
        let late = |c: &super::fleet::Container| c.missing.as_ref().is_some_and(|m| m.until <= now);
        let names: Vec<String> =
            self.fleet.all.iter().filter(|(_, c)| late(c)).map(|(n, _)| n.clone()).collect();
        for name in names {
            let run = self.fleet.get(&name).and_then(|c| c.run.as_ref());
            let exit = match run.map(|r| observe::end(r.pidfd.as_fd())) {
                Some(Seen::Ended(exit)) => exit,
                Some(Seen::Runs | Seen::Elsewhere) | None => Exit::Unknown,
            };
            self.finished(&name, exit);
        }
    }
}
