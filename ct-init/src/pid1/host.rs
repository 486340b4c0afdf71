//! host: what the loop of a host's PID 1 does besides its units: feeds the watchdog, and sees to it that the end comes.
use super::Pid1;
use crate::engine::Engine;
use crate::host::Level;
use crate::host::conf::{self, Conf};
use crate::host::farewell::{Farewell, held_up_by};
use crate::host::watchdog::{Dog, KeptDog};
use crate::proto::Leave;
use crate::resume::fds::{Arrived, Kept};
use serde::{Deserialize, Serialize};
use slog::{Logger, error, info, warn};
use units::values::Tick;

/// A host's own: its settings, its watchdog, its way out.
#[derive(Debug)]
pub(super) struct Work {
    conf: Conf,
    dog: Option<Dog>,
    farewell: Option<Farewell>,
}

/// The same as plain data.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct KeptWork {
    dog: Option<KeptDog>,
    farewell: Option<Farewell>,
}

impl Work {
    /// As init.conf says.
    pub(super) fn begin(engine: &Engine) -> Work {
        let text = engine.root.read(conf::PATH).unwrap_or_default();
        let (conf, mistakes) = conf::parse(conf::PATH, &text);
        for mistake in &mistakes.0 {
            warn!(engine.log, "init.conf"; "what" => %mistake);
        }
        Work { conf, dog: None, farewell: None }
    }

    /// What goes over to this program executed anew.
    pub(super) fn keep(&self, fds: &mut Kept) -> KeptWork {
        KeptWork { dog: self.dog.as_ref().map(|dog| dog.keep(fds)), farewell: self.farewell }
    }

    /// Taken up again.
    pub(super) fn again(engine: &Engine, kept: KeptWork, arrived: &mut Arrived) -> Work {
        let dog = kept.dog.and_then(|dog| Dog::again(dog, arrived));
        Work { dog, farewell: kept.farewell, ..Work::begin(engine) }
    }

    /// When there is something to do.
    pub(super) fn deadlines(&self) -> impl Iterator<Item = Tick> {
        self.dog.iter().map(Dog::next).chain(self.farewell.iter().map(Farewell::due))
    }

    /// The driver may be a module that the boot has loaded: tried until it is there, as long as the boot lasts.
    /// Whether the watchdog is armed now and was not before.
    fn arm(&mut self, engine: &Engine, now: Tick) -> bool {
        let Some(time) = self.conf.watchdog.filter(|_| self.dog.is_none() && self.farewell.is_none()) else {
            return false;
        };
        match Dog::arm(&self.conf, time, now) {
            Ok((dog, time)) => {
                info!(engine.log, "the hardware watchdog is armed"; "seconds" => time.as_secs());
                self.dog = Some(dog);
                return true;
            }
            Err(why) if engine.is_ready() => {
                warn!(engine.log, "RuntimeWatchdogSec= is not in force"; "why" => why);
                self.conf.watchdog = None;
            }
            Err(_) => (),
        }
        false
    }

    fn feed(&mut self, engine: &mut Engine, now: Tick) {
        let Some(dog) = self.dog.as_mut().filter(|dog| dog.next() <= now) else { return };
        let unwell = engine.unwell(now);
        match &unwell {
            Some(why) if !dog.starved => {
                error!(engine.log, "the hardware watchdog is not fed any more"; "why" => why);
            }
            None if dog.starved => info!(engine.log, "the hardware watchdog is fed again"),
            Some(_) | None => (),
        }
        if let Err(e) = dog.feed(now, unwell.is_some()) {
            error!(engine.log, "feed the hardware watchdog"; "why" => %e);
        }
    }

    /// Says what holds up the end. Whether it is too late to wait for units any longer.
    fn see_out(&mut self, engine: &Engine, log: &Logger, now: Tick) -> bool {
        let Some(farewell) = &mut self.farewell else { return false };
        for words in farewell.words(now, engine) {
            warn!(log, "the end waits for"; "unit" => words);
        }
        let late = farewell.is_late(now);
        if late {
            for words in held_up_by(engine) {
                error!(log, "does not stop in time, and is killed"; "unit" => words);
            }
        }
        late
    }
}

impl Pid1 {
    /// Begins to leave, once.
    pub(super) fn leave(&mut self, why: Leave) {
        if let Some(work) = self.host.as_mut().filter(|w| w.farewell.is_none()) {
            work.farewell = Some(Farewell::begin(crate::clock::now(), work.conf.shutdown));
        }
        self.engine.leave(why);
    }

    /// What is due of a host's own work. Why it leaves, although units are left: their time is over.
    pub(super) fn work(&mut self, now: Tick) -> Option<Leave> {
        let work = self.host.as_mut()?;
        self.anew.changed |= work.arm(&self.engine, now);
        work.feed(&mut self.engine, now);
        let late = work.see_out(&self.engine, &self.log, now);
        self.engine.leaving().filter(|_| late)
    }

    /// The last step.
    pub(super) fn finish(&mut self, why: Leave) -> ! {
        match (self.engine.level, &mut self.host) {
            (Level::Host, Some(work)) => {
                self.engine.store.close_all();
                if let Some(dog) = &mut work.dog {
                    // A host that is halted is meant to stay so.
                    dog.last_meal(work.conf.reboot_watchdog.filter(|_| why != Leave::Halt));
                }
                crate::host::finish::finish(why)
            }
            (Level::Container | Level::Host, _) => crate::halt::finish(why),
        }
    }
}
