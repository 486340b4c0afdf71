//! link: the control connection to one ct-init. What comes from there is hostile: bounded, checked, never believed
//! about the host.
use super::{Daemon, Source, now};
use crate::apply::connect;
use crate::control::protocol::{Fault, FaultKind};
use ct_init::proto::{Report, Request, UnitStatus, VERSION};
use ct_init::wire::{Wire, WireError, decode};
use mio::Token;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;
use units::machine::Event;
use units::values::Tick;

/// A container has at most so many units that are remembered.
const MAX_UNITS: usize = 4096;
/// A lost connection is made again at most so often.
const RELINK: Duration = Duration::from_secs(1);
/// A sentence from inside has at most so many characters.
const MAX_SENTENCE: usize = 512;

/// A connection to a ct-init.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) wire: Wire,
    pub(crate) token: Token,
    /// The last tag given out.
    pub(crate) tag: u32,
    /// Connected since.
    since: Tick,
}

impl Daemon {
    /// Connects to a container's ct-init, says hello and asks to be told everything.
    pub(crate) fn connect(&mut self, name: &str) -> Result<(), Fault> {
        let fd = self.socket_to(name)?;
        let failed = |e: &dyn std::error::Error| Fault::of(FaultKind::Failed, e);
        let mut wire = Wire::new(fd).map_err(|e| failed(&e))?;
        for request in [Request::Hello { version: VERSION }, Request::Watch, Request::List { tag: 0 }] {
            wire.send(&request, None).map_err(|e| failed(&e))?;
        }
        let raw = wire.as_fd().as_raw_fd();
        let token = self.sources.add(&raw, Source::Link(name.to_owned())).map_err(|e| failed(&e))?;
        self.links.insert(name.to_owned(), Link { wire, token, tag: 0, since: now() });
        self.relinks.remove(name);
        Ok(())
    }

    /// A fresh connection to a container's ct-init, nothing said on it.
    pub(crate) fn socket_to(&self, name: &str) -> Result<OwnedFd, Fault> {
        let path = self.paths.run_of(name).join("init.sock");
        connect(&path).map_err(|e| Fault::new(FaultKind::Failed, format!("{name}: reach ct-init: {e}")))
    }

    pub(crate) fn unlink(&mut self, name: &str) {
        self.relinks.remove(name);
        if let Some(link) = self.links.remove(name) {
            self.sources.remove(&link.wire.as_fd().as_raw_fd(), link.token);
        }
    }

    /// Sends a request to a container's ct-init.
    pub(crate) fn tell(&mut self, name: &str, request: &Request) -> Result<(), Fault> {
        let Some(link) = self.links.get_mut(name) else {
            return Err(Fault::new(FaultKind::Failed, format!("{name}: no ct-init answers inside")));
        };
        link.wire.send(request, None).map_err(|e| Fault::of(FaultKind::Failed, &e))
    }

    /// The link is readable or writable: takes in all that is there.
    pub(crate) fn heard(&mut self, name: &str) {
        loop {
            let Some(link) = self.links.get_mut(name) else { return };
            let flushed = link.wire.flush();
            match flushed.and_then(|()| link.wire.receive()) {
                Ok(None) => return,
                Ok(Some(packet)) => match decode::<Report>(&packet.bytes) {
                    Ok(report) => self.told(name, report),
                    Err(e) => return self.lost(name, &e),
                },
                Err(e) => return self.lost(name, &e),
            }
        }
    }

    fn lost(&mut self, name: &str, error: &WireError) {
        if !matches!(error, WireError::Closed) {
            self.warn("closed the connection to a ct-init", name, error);
        }
        let since = self.links.get(name).map(|l| l.since);
        self.unlink(name);
        let replies = self.waiters.link_lost(name);
        self.send(replies);
        // A ct-init that was executed anew after a bug of its own drops the connection that it was busy with.
        self.relinks.insert(name.to_owned(), since.map_or(now(), |since| since.after(RELINK)).max(now()));
    }

    /// Whether there is a connection; one that was lost a moment ago is made again for whoever asks.
    pub(crate) fn linked(&mut self, name: &str) -> bool {
        self.links.contains_key(name) || (self.relinks.contains_key(name) && self.connect(name).is_ok())
    }

    /// Connects again where a connection was lost and PID 1 runs on. Its end comes from its pidfd, not from here.
    pub(crate) fn relink(&mut self, now: Tick) {
        let due: Vec<String> =
            self.relinks.iter().filter(|(_, at)| **at <= now).map(|(name, _)| name.clone()).collect();
        for name in due {
            self.relinks.remove(&name);
            let runs = self.fleet.get(&name).and_then(|c| c.run.as_ref()).is_some();
            if runs && self.connect(&name).is_err() {
                self.relinks.insert(name, now.after(RELINK));
            }
        }
    }

    fn told(&mut self, name: &str, report: Report) {
        match report {
            Report::Hello { .. } => {
                if let Some(run) = self.fleet.get_mut(name).and_then(|c| c.run.as_mut()) {
                    run.executed = true;
                }
            }
            Report::Ready { .. } => {
                self.waits(name, None);
                self.step(name, Event::Ready);
            }
            Report::Waits(text) => {
                let text = clean(&text);
                slog::info!(self.log, "its units are up"; "ct" => name, "now" => &text);
                self.waits(name, Some(text));
            }
            Report::Alive => self.step(name, Event::Alive),
            Report::Unhealthy(text) => self.unhealthy(name, clean(&text)),
            Report::Unit(status) => self.unit_changed(name, status),
            Report::Units { units, .. } => units.into_iter().for_each(|u| self.unit_changed(name, u)),
            Report::Done { tag, result } => {
                let replies = self.waiters.unit_done(name, tag, result);
                self.send(replies);
            }
            Report::Leaving(leave) => {
                if let Some(run) = self.fleet.get_mut(name).and_then(|c| c.run.as_mut()) {
                    run.leave = Some(leave);
                }
            }
            Report::Notice(text) => self.warn("from inside", name, &text),
        }
    }

    fn waits(&mut self, name: &str, waits: Option<String>) {
        if let Some(run) = self.fleet.get_mut(name).and_then(|c| c.run.as_mut()) {
            run.waits = waits;
        }
    }

    fn unhealthy(&mut self, name: &str, why: String) {
        let up = self.fleet.get(name).is_some_and(|c| c.machine.ignores(Event::Unhealthy).is_none());
        if up {
            self.warn("is unhealthy", name, &why);
            self.note(name, why);
            self.step(name, Event::Unhealthy);
        }
    }

    fn unit_changed(&mut self, name: &str, status: UnitStatus) {
        let Some(run) = self.fleet.get_mut(name).and_then(|c| c.run.as_mut()) else { return };
        // What comes from inside ends up on terminals and in logs.
        let plain = |s: &str| s.len() <= 64 && s.chars().all(|c| c.is_ascii_graphic());
        if units::UnitName::parse(&status.name).is_err() || !plain(&status.active) || !plain(&status.sub) {
            return;
        }
        let known = run.units.get(&status.name).map(|(u, _)| (u.active.clone(), u.sub.clone()));
        if known.is_none() && run.units.len() >= MAX_UNITS {
            return;
        }
        let changed = known.is_some_and(|k| k != (status.active.clone(), status.sub.clone()));
        let (unit, words) = (status.name.clone(), format!("{} ({})", status.active, status.sub));
        run.units.insert(status.name.clone(), (status, now()));
        if changed {
            self.event(name, Some(&unit), "unit", &words);
        }
        let replies = self.waiters.units_changed(name, &self.fleet);
        self.send(replies);
    }
}

/// A sentence from inside, fit for a terminal and not without end.
fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_SENTENCE).collect()
}
