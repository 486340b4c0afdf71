//! notify: what a service said by sd_notify, checked and told to its machine. Never believes more than NotifyAccess=.
use super::unit::Id;
use super::{Engine, Owner};
use crate::host::Level;
use crate::ready::notify::{Word, parse};
use crate::ready::socket::Datagram;
use slog::{debug, warn};
use units::UnitName;
use units::machine::Event;
use units::schema::service::NotifyAccess;

impl Engine {
    /// A datagram has come.
    pub fn notified(&mut self, datagram: &Datagram) {
        let Some(words) = parse(&datagram.bytes) else {
            debug!(self.log, "a malformed notification"; "pid" => datagram.pid);
            return;
        };
        let Some(id) = self.unit_of(datagram.pid) else {
            debug!(self.log, "a notification of no unit"; "pid" => datagram.pid);
            return;
        };
        if !self.may_notify(id, datagram.pid) {
            debug!(self.log, "a notification against NotifyAccess="; "pid" => datagram.pid);
            return;
        }
        for word in words {
            self.heard(id, word);
        }
    }

    fn heard(&mut self, id: Id, word: Word) {
        match word {
            Word::Ready => self.push(id, Event::Ready),
            Word::Reloading => self.push(id, Event::Reloading),
            Word::Stopping => self.push(id, Event::StoppingSelf),
            Word::Alive => {
                self.vital_alive(id);
                self.push(id, Event::Alive);
            }
            Word::Critical(failed) => self.vital(id, failed),
            Word::Unwell => self.push(id, Event::Unwell),
            Word::Extend(by) => self.push(id, Event::Extend(by)),
            Word::Status(text) => {
                if self.level == Level::Host && self.leaving.is_some() {
                    // A supervisor knows what inside it holds up the end.
                    let name = self.slot(id).map(|s| s.unit.name.to_string());
                    warn!(self.log, "the end waits"; "unit" => name, "for" => &text);
                }
                self.note(id, text);
                self.report(id, crate::clock::now());
            }
            Word::Errno(_) => (),
            Word::MainPid(pid) => {
                if self.belongs(id, pid) && self.slot(id).is_some_and(|s| s.run.main != Some(pid)) {
                    self.set_main(id, pid);
                }
            }
        }
    }

    fn may_notify(&self, id: Id, pid: i32) -> bool {
        let Some(slot) = self.slot(id) else { return false };
        match slot.service().map(|s| s.notify_access) {
            Some(NotifyAccess::None) | None => false,
            Some(NotifyAccess::Main) => {
                slot.run.main == Some(pid)
                    || matches!(self.owners.get(&pid), Some(Owner::Main(o)) if *o == id)
            }
            Some(NotifyAccess::Exec) => slot.run.main == Some(pid) || slot.run.control == Some(pid),
            Some(NotifyAccess::All) => true,
        }
    }

    /// Whose a process is: started by us, else by its cgroup, else by its session.
    pub(crate) fn unit_of(&self, pid: i32) -> Option<Id> {
        if let Some(Owner::Main(id) | Owner::Control(id) | Owner::Other(id)) = self.owners.get(&pid) {
            return Some(*id);
        }
        if self.tree.is_some() {
            let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
            return self.find(&UnitName::parse(crate::cgroup::unit_of(&text)?).ok()?);
        }
        let session = super::kill::stat(pid)?.session;
        self.every_id().find(|id| self.slot(*id).is_some_and(|s| s.run.sessions.contains(&session)))
    }
}
