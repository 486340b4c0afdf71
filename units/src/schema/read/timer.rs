//! parse: the keys of `[Timer]`. Reads no clock.
use super::line::{Line, Wrong, set};
use super::{Draft, Key};
use crate::schema::timer::Since;
use crate::values::calendar::Calendar;
use crate::values::{Span, boolean};
use std::time::Duration;

pub(super) const TIMER: &[Key] = &[
    ("OnCalendar", |d, l| {
        let event = if l.is_empty() { None } else { Some(l.raw().parse::<Calendar>()?) };
        match event {
            Some(event) => d.timer.on_calendar.push(event),
            None => reset(d),
        }
        Ok(())
    }),
    ("OnActiveSec", |d, l| on(d, l, Since::Active)),
    ("OnBootSec", |d, l| on(d, l, Since::Boot)),
    ("OnStartupSec", |d, l| on(d, l, Since::Boot)),
    ("OnUnitActiveSec", |d, l| on(d, l, Since::UnitActive)),
    ("OnUnitInactiveSec", |d, l| on(d, l, Since::UnitInactive)),
    ("RandomizedDelaySec", |d, l| set(&mut d.timer.randomized_delay, Duration::ZERO, l, Span::finite)),
    ("Persistent", |d, l| set(&mut d.timer.persistent, false, l, boolean)),
    ("Unit", |d, l| {
        d.timer.unit = l.names()?.into_iter().next();
        Ok(())
    }),
];

fn on(d: &mut Draft, line: &Line<'_>, since: Since) -> Result<(), Wrong> {
    if line.is_empty() {
        reset(d);
    } else {
        d.timer.on.push((since, Span::finite(line.raw())?));
    }
    Ok(())
}

/// systemd resets all of them, whichever is empty.
fn reset(d: &mut Draft) {
    d.timer.on.clear();
    d.timer.on_calendar.clear();
}
