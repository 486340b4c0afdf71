//! timers: `.timer` units: when each is due, and the start it stands for. Calendar times are UTC.
//!
//! A wait for a calendar time begins anew when the wall clock is set; where the kernel does not tell that, it is checked
//! at least every ten minutes. All other waits are monotonic.
use super::Engine;
use super::unit::Id;
use serde::{Deserialize, Serialize};
use slog::{info, warn};
use std::fs::{File, FileTimes};
use std::rc::Rc;
use std::time::{Duration, SystemTime};
use units::schema::timer::{Since, Timer};
use units::schema::{Body, Unit};
use units::values::Tick;

/// Where the last elapse of a persistent timer is remembered, as the time of an empty file.
const STAMPS: &str = "/var/lib/systemd/timers";
/// A set clock is noticed after at most so long.
const LOOK_AGAIN: Duration = Duration::from_secs(600);

/// What a timer unit that is up waits for.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Waiting {
    /// It is up since.
    active: Tick,
    /// Whether it has elapsed since then.
    elapsed: bool,
    /// When to look next.
    look: Option<Tick>,
    /// The moment of the wall clock that it waits for, seconds since 1970, if that comes first.
    calendar: Option<u64>,
    /// Chosen once for each wait.
    delay: Duration,
    /// Its unit was last started and has last ended then.
    unit_active: Option<Tick>,
    unit_inactive: Option<Tick>,
}

impl Waiting {
    /// When the loop has to look.
    pub(super) fn deadline(&self) -> Option<Tick> {
        self.look
    }
}

fn seconds(wall: u64) -> u64 {
    wall / 1_000_000
}

impl Engine {
    /// A timer unit has come up: begins its wait.
    pub(super) fn begin_timer(&mut self, id: Id, now: Tick) {
        let Some(unit) = self.slot(id).map(|s| Rc::clone(&s.unit)) else { return };
        let Body::Timer(timer) = &unit.body else { return };
        let missed = timer.persistent && self.has_missed(&unit, timer);
        let delay = by_chance(timer.randomized_delay);
        if let Some(slot) = self.slot_mut(id) {
            slot.run.waiting = Some(Waiting { active: now, delay, ..Waiting::default() });
        }
        self.arm_timer(id, now);
        if missed && let Some(waiting) = self.slot_mut(id).and_then(|s| s.run.waiting.as_mut()) {
            waiting.calendar = None;
            waiting.look = Some(now.after(delay));
        }
    }

    /// A timer unit has gone down.
    pub(super) fn end_timer(&mut self, id: Id) {
        if let Some(slot) = self.slot_mut(id) {
            slot.run.waiting = None;
        }
    }

    /// Another unit was started or has ended: timers that count from there wait anew.
    pub(super) fn timers_of(&mut self, unit: &units::UnitName, started: bool, now: Tick) {
        for id in self.every_id() {
            let Some(slot) = self.slots.get_mut(id.0) else { continue };
            let Body::Timer(timer) = &slot.unit.body else { continue };
            if timer.unit_of(&slot.unit.name).as_ref() != Some(unit) {
                continue;
            }
            let Some(waiting) = &mut slot.run.waiting else { continue };
            if started {
                waiting.unit_active = Some(now);
            } else {
                waiting.unit_inactive = Some(now);
            }
            self.arm_timer(id, now);
        }
    }

    fn arm_timer(&mut self, id: Id, now: Tick) {
        let boot = self.begun_at;
        let Some(slot) = self.slots.get_mut(id.0) else { return };
        let unit = Rc::clone(&slot.unit);
        let Body::Timer(timer) = &unit.body else { return };
        let Some(waiting) = &mut slot.run.waiting else { return };
        let base = |since| match since {
            // Once each: what they stand for has happened.
            Since::Active if !waiting.elapsed => Some(waiting.active),
            Since::Boot if !waiting.elapsed => Some(boot),
            Since::Active | Since::Boot => None,
            Since::UnitActive => waiting.unit_active,
            Since::UnitInactive => waiting.unit_inactive,
        };
        let due = timer.on.iter().filter_map(|(since, span)| Some(base(*since)?.after(*span)));
        let due = due.min().map(|t| t.after(waiting.delay));
        let wall = seconds(crate::clock::wall());
        let event = timer.on_calendar.iter().filter_map(|c| c.next(wall)).min();
        let event = event.map(|at| at.saturating_add(waiting.delay.as_secs()));
        let away = event.map(|at| now.after(Duration::from_secs(at.saturating_sub(wall))));
        let is_calendar = away.is_some_and(|a| due.is_none_or(|d| a < d));
        waiting.calendar = event.filter(|_| is_calendar);
        let look_again = away.map(|_| now.after(LOOK_AGAIN));
        waiting.look = due.into_iter().chain(away).min().map(|t| look_again.map_or(t, |again| t.min(again)));
    }

    /// The time to look has come: elapsed, or to wait on.
    pub(super) fn look_at_timer(&mut self, id: Id, now: Tick) {
        let Some(slot) = self.slots.get_mut(id.0) else { return };
        let unit = Rc::clone(&slot.unit);
        let Body::Timer(timer) = &unit.body else { return };
        let Some(waiting) = &mut slot.run.waiting else { return };
        waiting.look = None;
        if let Some(at) = waiting.calendar
            && seconds(crate::clock::wall()) < at
        {
            // Keeps what it waits for, its delay included.
            let left = Duration::from_secs(at - seconds(crate::clock::wall()));
            waiting.look = Some(now.after(left.min(LOOK_AGAIN)));
            return;
        }
        waiting.elapsed = true;
        // Counted from here where its unit does not start now, or is still on its way: else it would elapse at once again.
        (waiting.unit_active, waiting.unit_inactive) = (Some(now), Some(now));
        waiting.delay = by_chance(timer.randomized_delay);
        if timer.persistent {
            self.stamp(&unit);
        }
        if let Some(started) = timer.unit_of(&unit.name) {
            info!(self.log, "elapsed"; "timer" => %unit.name, "starts" => %started);
            if let Err(why) = self.start(std::slice::from_ref(&started)) {
                warn!(self.log, "can't start what a timer stands for"; "timer" => %unit.name, "why" => why);
            }
        }
        self.arm_timer(id, now);
    }

    /// The wall clock was set: what is in the past by now has come, and all else is counted anew.
    pub fn clock_was_set(&mut self, now: Tick) {
        let wall = seconds(crate::clock::wall());
        for id in self.every_id() {
            let Some(waiting) = self.slots.get_mut(id.0).and_then(|s| s.run.waiting.as_mut()) else {
                continue;
            };
            match waiting.calendar {
                Some(at) if at <= wall => waiting.look = Some(now),
                Some(_) | None => self.arm_timer(id, now),
            }
        }
    }

    fn stamp_path(unit: &Unit) -> String {
        format!("{STAMPS}/stamp-{}", unit.name)
    }

    /// Whether an event has passed since the last elapse. Without a stamp the timer is new: nothing was missed.
    fn has_missed(&mut self, unit: &Unit, timer: &Timer) -> bool {
        let Some(stat) = self.root.stat(&Self::stamp_path(unit)) else {
            self.stamp(unit);
            return false;
        };
        let last = u64::try_from(stat.st_mtime).unwrap_or(0);
        let now = seconds(crate::clock::wall());
        timer.on_calendar.iter().filter_map(|c| c.next(last)).any(|next| next <= now)
    }

    fn stamp(&self, unit: &Unit) {
        let path = self.root.join(&Self::stamp_path(unit));
        let made = std::fs::create_dir_all(self.root.join(STAMPS))
            .and_then(|()| File::options().create(true).append(true).open(path))
            .and_then(|file| file.set_times(FileTimes::new().set_modified(SystemTime::now())));
        if let Err(e) = made {
            warn!(self.log, "can't remember when a timer elapsed"; "timer" => %unit.name, "why" => %e);
        }
    }
}

/// A length from zero to `most`.
fn by_chance(most: Duration) -> Duration {
    let mut bytes = [0u8; 4];
    // Never blocks; without randomness yet, the middle must do.
    let got = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::NONBLOCK);
    let part = if got == Ok(4) { u32::from_le_bytes(bytes) } else { u32::MAX / 2 };
    most.mul_f64(f64::from(part) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_by_chance_stays_below_its_limit() {
        assert_eq!(by_chance(Duration::ZERO), Duration::ZERO);
        for _ in 0..100 {
            assert!(by_chance(Duration::from_secs(5)) <= Duration::from_secs(5));
        }
    }
}
