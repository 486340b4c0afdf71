//! vitals: which services the machine can't be without, and whether they are well. Only looks; the hardware watchdog
//! hangs on the answer.
//!
//! A service takes part by saying `X_CT_CRITICAL=` (names of what is critical and has failed, or nothing) through
//! sd_notify, and by its `WatchdogSec=`: from then on its keep-alives have to come in time. Stopped by hand, it no longer
//! takes part.
use super::Engine;
use super::unit::Id;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use units::machine::State;
use units::values::Tick;

/// A service without `WatchdogSec=` has so long between two words.
const EVERY: Duration = Duration::from_secs(60);

/// One that takes part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vital {
    last: Tick,
    /// What it says has failed.
    failed: String,
}

impl Engine {
    /// A service has said what of its critical parts has failed; empty: nothing.
    pub(super) fn vital(&mut self, id: Id, failed: String) {
        self.vitals.insert(id, Vital { last: crate::clock::now(), failed });
    }

    /// A service has said that it is alive.
    pub(super) fn vital_alive(&mut self, id: Id) {
        if let Some(vital) = self.vitals.get_mut(&id) {
            vital.last = crate::clock::now();
        }
    }

    /// Why the machine should not go on, if there is a reason.
    pub fn unwell(&mut self, now: Tick) -> Option<String> {
        let slots = &self.slots;
        // Down without a cause: somebody has stopped it.
        let takes_part =
            |id: &Id| slots.get(id.0).is_some_and(|s| !matches!(s.machine.state(), State::Down(None)));
        self.vitals.retain(|id, _| takes_part(id));
        self.vitals.iter().find_map(|(id, vital)| {
            let slot = self.slots.get(id.0)?;
            let every = slot.service().and_then(|s| s.watchdog).unwrap_or(EVERY);
            let silent = now.since(vital.last);
            if !vital.failed.is_empty() {
                return Some(format!("{} says that {} has failed", slot.unit.name, vital.failed));
            }
            (silent > every)
                .then(|| format!("{} has said nothing for {} s", slot.unit.name, silent.as_secs()))
        })
    }
}
