//! boot: starts what is to run at boot, and keeps the record that `ct blame` shows.
use super::{Daemon, now};
use crate::control::protocol::{BlameRow, Body, Outcome, Reply, words};
use crate::control::server::ClientId;
use crate::control::target::Target;
use crate::load::unit_name;
use std::collections::BTreeMap;
use units::UnitName;
use units::machine;
use units::schema::unit::Autostart;
use units::values::Tick;

/// How the last boot went.
#[derive(Debug, Default)]
pub(crate) struct Record {
    at: Tick,
    rows: BTreeMap<String, Row>,
}

#[derive(Debug, Default)]
struct Row {
    began: Option<Tick>,
    ended: Option<Tick>,
    last: Option<String>,
    outcome: Option<String>,
}

impl Record {
    fn ms(&self, at: Option<Tick>) -> Option<u64> {
        at.map(|t| u64::try_from(t.since(self.at).as_millis()).unwrap_or(u64::MAX))
    }

    fn table(&self) -> Vec<BlameRow> {
        let row = |(name, row): (&String, &Row)| BlameRow {
            name: name.clone(),
            began: self.ms(row.began),
            ready: self.ms(row.ended),
            last: row.last.clone(),
            outcome: row.outcome.clone().unwrap_or_else(|| "on its way".to_owned()),
        };
        let mut rows: Vec<BlameRow> = self.rows.iter().map(row).collect();
        rows.sort_by_key(|r| (r.ready.unwrap_or(u64::MAX), r.began.unwrap_or(u64::MAX), r.name.clone()));
        rows
    }
}

impl Daemon {
    /// Containers that are to run at boot and don't yet.
    pub(crate) fn to_boot(&self) -> Vec<UnitName> {
        let wanted = |c: &super::fleet::Container| match c.unit.as_ref().and_then(|u| u.install.autostart) {
            Some(Autostart::Yes) => true,
            Some(Autostart::Last) => c.durable.wanted_up,
            Some(Autostart::No) | None => false,
        };
        let boots = |c: &super::fleet::Container| c.run.is_none() && !c.resumed && wanted(c);
        self.fleet.all.iter().filter(|(_, c)| boots(c)).map(|(n, _)| unit_name(n)).collect()
    }

    /// Starts them.
    pub(crate) fn boot(&mut self) -> Vec<(UnitName, String)> {
        let names = self.to_boot();
        let rows = names.iter().map(|n| (n.stem().to_owned(), Row::default())).collect();
        self.record = Record { at: now(), rows };
        let refused = self.start_all(&names);
        for (unit, why) in &refused {
            self.warn("not started at boot", unit.stem(), why);
            if let Some(row) = self.record.rows.get_mut(unit.stem()) {
                row.ended = Some(now());
                row.outcome = Some(why.clone());
            }
        }
        refused
    }

    /// `ct boot`: answered as soon as all are queued; `ct blame` and `ct wait` tell the rest.
    pub(crate) fn boot_asked(&mut self, client: ClientId) {
        self.refresh();
        // Asked by hand, what had its life before is started too.
        self.fleet.all.values_mut().for_each(|c| c.resumed = false);
        let names = self.to_boot();
        let refused = self.boot();
        let outcome = |unit: &UnitName| {
            let target = Target::parse(unit.stem()).ok()?;
            Some(match refused.iter().find(|(u, _)| u == unit) {
                None => Outcome::noted(&target, "queued"),
                Some((_, why)) => {
                    let fault = crate::control::protocol::FaultKind::Failed;
                    Outcome::failed(
                        &target,
                        crate::control::protocol::Fault::new(fault, format!("{target}: {why}")),
                    )
                }
            })
        };
        let outcomes = names.iter().filter_map(outcome).collect();
        self.reply(client, Reply::outcomes(outcomes));
    }

    pub(crate) fn blame(&mut self, client: ClientId) {
        let boot = self.record.table();
        self.reply(client, Reply::done(Body::Blame { boot }));
    }

    /// A container of the boot begins now: notes whom it had waited for last.
    pub(crate) fn boot_began(&mut self, name: &str) {
        let Some(unit) = self.fleet.get(name).and_then(|c| c.unit.as_ref()) else { return };
        let own = unit_name(name);
        let before = |other: &str| {
            let there = self.fleet.get(other).and_then(|c| c.unit.as_ref());
            unit.unit.after.iter().any(|a| a.stem() == other)
                || there.is_some_and(|u| u.unit.before.contains(&own))
        };
        let last = self
            .record
            .rows
            .iter()
            .filter(|(other, row)| row.ended.is_some() && before(other))
            .max_by_key(|(_, row)| row.ended)
            .map(|(other, _)| other.clone());
        if let Some(row) = self.record.rows.get_mut(name).filter(|r| r.began.is_none()) {
            row.began = Some(now());
            row.last = last;
        }
    }

    /// Its start has ended, one way or the other.
    pub(crate) fn boot_ended(&mut self, name: &str, outcome: machine::Outcome, note: &str) {
        let words = match outcome {
            machine::Outcome::Up => "ready".to_owned(),
            machine::Outcome::Skipped => "skipped".to_owned(),
            machine::Outcome::Failed(_) if !note.is_empty() => note.to_owned(),
            machine::Outcome::Failed(cause) => words::cause(cause),
            machine::Outcome::Down => "stopped".to_owned(),
            machine::Outcome::Reloaded(_) => return,
        };
        if let Some(row) = self.record.rows.get_mut(name).filter(|r| r.ended.is_none()) {
            row.ended = Some(now());
            row.outcome = Some(words);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_in_order_of_readiness_and_the_held_last() {
        let row = |began, ended| Row { began, ended, ..Row::default() };
        let record = Record {
            at: Tick(1_000_000),
            rows: BTreeMap::from([
                ("web".to_owned(), row(Some(Tick(1_500_000)), Some(Tick(2_000_000)))),
                ("db".to_owned(), row(Some(Tick(1_000_000)), Some(Tick(1_500_000)))),
                ("held".to_owned(), row(None, None)),
            ]),
        };
        let rows = record.table();
        let names: Vec<_> = rows.iter().map(|r| (r.name.as_str(), r.began, r.ready)).collect();
        assert_eq!(names, [("db", Some(0), Some(500)), ("web", Some(500), Some(1000)), ("held", None, None)]);
        assert_eq!(rows[2].outcome, "on its way");
    }
}
