//! sources: what the loop listens to for the engine, and what to do when it is ready. Never blocks.
use super::unit::{Id, Nascent, Script};
use super::{Engine, Owner, Want};
use crate::output::pipe::Drained;
use crate::ready::socket::{Datagram, syslog_line};
use crate::resume::snapshot::Entry;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

impl Engine {
    /// The read end of a unit's output.
    pub fn output_fd(&self, id: Id) -> Option<BorrowedFd<'_>> {
        self.slot(id).and_then(|s| s.run.pipe.as_ref()).map(crate::output::pipe::Pipe::read_end)
    }

    /// What tells that a unit's cgroup has become empty.
    pub fn group_fd(&self, id: Id) -> Option<BorrowedFd<'_>> {
        self.slot(id).and_then(|s| s.run.group.as_ref()).map(crate::cgroup::Group::events)
    }

    /// Where a new process says how its exec went.
    pub fn errors_fd(&self, pid: i32) -> Option<BorrowedFd<'_>> {
        self.nascent.get(&pid).map(|n| n.errors.as_fd())
    }

    /// Moves a unit's output into the store.
    pub fn drain(&mut self, id: Id) -> Drained {
        let at = crate::clock::wall();
        let Some(slot) = self.slots.get_mut(id.0) else { return Drained::Empty };
        match &mut slot.run.pipe {
            Some(pipe) => pipe.drain(slot.unit.name.as_str(), &mut self.store, at),
            None => Drained::Empty,
        }
    }

    /// Whether its output has come to the middle of a line.
    pub fn is_within_a_line(&self, id: Id) -> bool {
        self.slot(id)
            .and_then(|s| s.run.pipe.as_ref())
            .is_some_and(crate::output::pipe::Pipe::is_within_a_line)
    }

    /// A unit's cgroup has become populated or empty.
    pub fn group_changed(&mut self, id: Id) {
        self.check_empty(id);
    }

    /// A line for syslog: under the name of the unit that said it, else under `syslog`.
    pub fn keep_syslog(&mut self, datagram: &Datagram) {
        let line = syslog_line(&datagram.bytes);
        let unit = self.unit_of(datagram.pid).and_then(|id| self.slot(id));
        let name = unit.map_or_else(|| "syslog".to_owned(), |s| s.unit.name.to_string());
        self.store.keep(&name, crate::clock::wall(), std::iter::once(line.as_bytes()));
    }

    /// Starts the command of an exec session, in a group of its own kind so that a full unit can't keep it out.
    pub(crate) fn spawn_session(
        &mut self,
        link: usize,
        script: ct_sys::script::Script,
    ) -> Result<i32, String> {
        let group = self.tree.as_ref().and_then(|t| t.sessions().ok());
        let cgroup = group.as_ref().map(crate::cgroup::Group::directory);
        let spawned =
            ct_sys::spawn(&script, 0, cgroup).map_err(|e| format!("make a process: {}", e.desc()))?;
        let pid = i32::try_from(spawned.pid).unwrap_or(0);
        self.born(pid, spawned.errors, script, Owner::Session(link));
        Ok(pid)
    }

    /// A new process is on its way to exec.
    pub(super) fn born(&mut self, pid: i32, errors: OwnedFd, script: ct_sys::script::Script, owner: Owner) {
        self.jot(&Entry::Born(pid));
        self.nascent.insert(pid, Nascent { pid, errors, script: Script::Known(script) });
        self.owners.insert(pid, owner);
        self.wants.push_back(Want::Errors(pid));
    }
}
