//! schema: `[Timer]`. Touches nothing.
use crate::name::UnitName;
use crate::values::calendar::Calendar;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// `[Timer]`: when another unit is started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timer {
    /// `OnCalendar=`, each of them.
    pub on_calendar: Vec<Calendar>,
    /// `OnActiveSec=` and its kin, in order.
    pub on: Vec<(Since, Duration)>,
    /// `RandomizedDelaySec=`: up to so much later, by chance.
    pub randomized_delay: Duration,
    /// `Persistent=`: what was missed while it was off is made up for.
    pub persistent: bool,
    /// `Unit=`; none: the service of the same name.
    pub unit: Option<UnitName>,
}

/// What a time is counted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Since {
    /// `OnActiveSec=`: the timer came up.
    Active,
    /// `OnBootSec=`, `OnStartupSec=`: the container came up.
    Boot,
    /// `OnUnitActiveSec=`: the unit was last started.
    UnitActive,
    /// `OnUnitInactiveSec=`: the unit last ended.
    UnitInactive,
}

impl Timer {
    /// The unit it starts.
    pub fn unit_of(&self, own: &UnitName) -> Option<UnitName> {
        self.unit.clone().or_else(|| UnitName::parse(&format!("{}.service", own.stem())).ok())
    }
}
