//! stuck: containers that not even SIGKILL ends: who of them is still there, and what becomes of them when a start has
//! gone on beside them. Never waits for one.
use super::fleet::Run;
use super::{Daemon, Source};
use crate::observe;
use crate::plan::{self, Plan, Step};
use crate::spec::Spec;
use slog::{info, warn};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// So many of them are named.
const NAMED: usize = 5;

/// PID 1s that are still to end, though nothing of them counts any more. A PID 1 ends after all of its namespace.
#[derive(Debug, Default)]
pub(crate) struct LeftBehind {
    next: u64,
    all: BTreeMap<u64, One>,
}

#[derive(Debug)]
struct One {
    name: String,
    spec: Spec,
    pidfd: OwnedFd,
    token: mio::Token,
}

impl Daemon {
    /// It is stuck: says who is still there, and in what.
    pub(super) fn report_stuck(&mut self, name: &str) {
        let Some(run) = self.fleet.get(name).and_then(|c| c.run.as_ref()) else { return };
        let all = observe::holdouts(&self.facts.cgroups, &run.spec.group);
        let mut words: Vec<String> = all.iter().take(NAMED).map(ToString::to_string).collect();
        if let Some(more @ 1..) = all.len().checked_sub(NAMED) {
            words.push(format!("{more} more"));
        }
        let who = words.join("; ");
        warn!(self.log, "does not end, not even by SIGKILL"; "ct" => name, "still there" => &who);
        let note = format!("not even SIGKILL ends: {who}");
        self.note(name, note.clone());
        let replies = self.waiters.stuck(name, &note);
        self.send(replies);
    }

    /// Its run is released although its PID 1 has not ended: that is still reaped, and its groups are removed, whenever
    /// it does. What comes of it is nobody's life any more.
    pub(super) fn leave_behind(&mut self, name: &str, run: Run) {
        if observe::end(run.pidfd.as_fd()) != observe::Seen::Runs {
            return;
        }
        let id = self.left_behind.next;
        let Ok(token) = self.sources.add(&run.pidfd, Source::LeftBehind(id)) else { return };
        warn!(self.log, "left behind, still there"; "ct" => name, "pid" => run.pid);
        self.left_behind.next += 1;
        let one = One { name: name.to_owned(), spec: run.spec, pidfd: run.pidfd, token };
        self.left_behind.all.insert(id, one);
    }

    pub(super) fn ended_at_last(&mut self, id: u64) {
        let Some(one) = self.left_behind.all.get(&id) else { return };
        if observe::end(one.pidfd.as_fd()) == observe::Seen::Runs {
            return;
        }
        let Some(one) = self.left_behind.all.remove(&id) else { return };
        observe::reap(one.pidfd.as_fd());
        self.sources.remove(&one.pidfd.as_raw_fd(), one.token);
        let all = plan::release(&one.spec, &self.facts.cgroups, &self.paths);
        // The rest is its successor's by now.
        let steps = all.steps.into_iter().filter(|s| matches!(s, Step::RemoveGroup(_))).collect();
        self.carry_steps(&one.name, Plan { title: all.title, steps });
        info!(self.log, "what was left behind has ended"; "ct" => &one.name);
    }
}
