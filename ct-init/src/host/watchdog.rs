//! watchdog: feeds the hardware watchdog, as long as there is reason to. Decides nothing about the reason itself.
use super::conf::Conf;
use crate::resume::fds::{Arrived, Fd, Kept};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::time::Duration;
use units::values::Tick;

/// The watchdog, armed. Dropped without [`Dog::disarm`] or a reboot, it bites.
#[derive(Debug)]
pub struct Dog {
    device: File,
    every: Duration,
    next: Tick,
    /// It is not fed at the moment, and that was said.
    pub starved: bool,
}

/// The same as plain data.
#[derive(Debug, Serialize, Deserialize)]
pub struct KeptDog {
    device: Fd,
    every: Duration,
    next: Tick,
}

impl Dog {
    /// What goes over to this program executed anew.
    pub fn keep(&self, fds: &mut Kept) -> KeptDog {
        KeptDog { device: fds.add(&self.device), every: self.every, next: self.next }
    }

    /// Taken up again: still armed, and hungry.
    pub fn again(kept: KeptDog, arrived: &mut Arrived) -> Option<Dog> {
        let device = File::from(arrived.take(kept.device)?);
        Some(Dog { device, every: kept.every, next: kept.next, starved: false })
    }

    /// Arms it. Returns it with the time after which it really bites.
    ///
    /// # Errors
    /// There is none, another program has it, or it knows no such time.
    pub fn arm(conf: &Conf, time: Duration, now: Tick) -> Result<(Dog, Duration), String> {
        let device = std::fs::OpenOptions::new().write(true).open(&conf.device);
        let device = device.map_err(|e| format!("open {}: {e}", conf.device))?;
        let got = ct_sys::proc::watchdog_timeout(device.as_fd(), seconds(time))
            .map_err(|e| format!("set {} to {} s: {}", conf.device, seconds(time), e.desc()))?;
        let time = Duration::from_secs(u64::try_from(got).unwrap_or(0).max(1));
        // Twice in its time and a bit: one late turn of the loop must not be the end.
        Ok((Dog { device, every: time.mul_f32(0.4), next: now, starved: false }, time))
    }

    /// When it is to be fed.
    pub fn next(&self) -> Tick {
        self.next
    }

    /// It is time. Feeds it, unless there is a reason not to.
    ///
    /// # Errors
    /// The device is gone.
    pub fn feed(&mut self, now: Tick, reason_not_to: bool) -> std::io::Result<()> {
        self.next = now.after(self.every);
        self.starved = reason_not_to;
        if reason_not_to { Ok(()) } else { self.device.write_all(b"\0") }
    }

    /// From now on it has this time to the reset; fed once more.
    pub fn last_meal(&mut self, time: Option<Duration>) {
        let Some(time) = time else { return self.disarm() };
        // One that can't wait so long keeps the time it has.
        let _kept = ct_sys::proc::watchdog_timeout(self.device.as_fd(), seconds(time));
        let _fed = self.device.write_all(b"\0");
    }

    /// Calls it off, where its driver allows that.
    pub fn disarm(&mut self) {
        let _never = self.device.write_all(b"V");
    }
}

fn seconds(time: Duration) -> i32 {
    i32::try_from(time.as_secs()).unwrap_or(i32::MAX)
}
