//! again: the loop and its book: what is written after a turn, the exec itself, and how a fresh image takes up where
//! the last one was. Never loses a child.
use super::host::Work;
use super::{Pid1, Source};
use crate::control::Link;
use crate::effect::powers::Powers;
use crate::engine::Engine;
use crate::halt::{Asked, Signals};
use crate::log::Waiting;
use crate::output::Store;
use crate::proto::Report;
use crate::ready::socket::Datagram;
use crate::resume::Found;
use crate::resume::book::{Book, STAYS};
use crate::resume::fds::{Arrived, Kept};
use crate::resume::snapshot::{Entry, Program, Snapshot};
use crate::root::Root;
use ct_sys::again::Crash;
use mio::{Interest, Poll};
use slog::{Logger, error, info, warn};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// What is to be written and executed.
#[derive(Debug, Default)]
pub(super) struct Anew {
    /// The state is not what the book says.
    pub(super) changed: bool,
    /// Jobs were under way when it was written last.
    busy: bool,
    /// Which build of this program it is.
    program: Option<Program>,
    /// It is to be executed anew.
    asked: Option<Ask>,
    /// A host's PID 1: must never end.
    stays: bool,
}

#[derive(Debug)]
struct Ask {
    file: Option<OwnedFd>,
    asker: Option<(usize, u32)>,
}

impl Anew {
    /// Executed anew at the end of this turn.
    pub(super) fn ask(&mut self, file: Option<OwnedFd>, asker: Option<(usize, u32)>) {
        self.asked = Some(Ask { file, asker });
    }
}

impl Pid1 {
    /// At the end of this turn the program is executed anew and goes on with everything: from `file`, or else on a host
    /// from what is at its path now, or else from its own.
    pub fn reexec(&mut self, file: Option<OwnedFd>) {
        self.anew.ask(file, None);
    }

    /// It must never end, whatever happens: it is a host's PID 1.
    pub fn stay(&mut self) {
        self.anew.stays = true;
        let (Some(book), Some(own)) = (&self.engine.book, &self.engine.own) else { return };
        book.set_flags(book.flags() | STAYS);
        if let Err(e) = crate::resume::arm(book, own, true) {
            error!(self.log, "can't be executed anew after a bug"; "why" => %e);
        }
    }

    /// From now on there is a book. Without one, a bug is the end.
    pub(super) fn open_book(&mut self) {
        let Some(own) = &self.engine.own else { return };
        self.anew.program = Program::of(own);
        let opened = Book::new(own.as_fd()).and_then(|book| {
            crate::resume::arm(&book, own, self.anew.stays)?;
            Ok(book)
        });
        match opened {
            Ok(book) => self.engine.book = Some(book),
            Err(e) => error!(self.log, "can't be executed anew after a bug"; "why" => %e),
        }
        (self.anew.changed, self.anew.busy) = (true, true);
    }

    /// After a turn: the book says what is.
    pub(super) fn write_book(&mut self) {
        if !std::mem::take(&mut self.anew.changed) || self.engine.book.is_none() {
            return;
        }
        if let Err(e) = self.write(Vec::new(), None, false) {
            // The state before it still counts.
            warn!(self.log, "can't write down its state"; "why" => %e);
        }
        // The first time that all is quiet: what it took to write it down is not needed soon.
        let busy = self.engine.is_busy();
        if std::mem::replace(&mut self.anew.busy, busy) && !busy {
            ct_sys::proc::trim_heap();
            ct_sys::proc::forget_code();
        }
    }

    fn write(&mut self, asked: Vec<Asked>, asker: Option<(usize, u32)>, all: bool) -> io::Result<()> {
        let mut fds = Kept::default();
        let Some(program) = self.anew.program else { return Err(io::ErrorKind::NotFound.into()) };
        let links = self.links.iter().filter_map(|(n, link)| Some((*n, link.keep(&mut fds)?))).collect();
        let mut snapshot = Snapshot {
            fds: Vec::new(),
            level: self.engine.level,
            host: self.host.as_ref().map(|work| work.keep(&mut fds)),
            handover: self.engine.handover.clone(),
            listener: fds.maybe(self.listener.as_ref()),
            notify: fds.maybe(self.notify.as_ref()),
            syslog: fds.maybe(self.syslog.as_ref()),
            engine: self.engine.keep(&mut fds),
            links,
            next_link: self.next_link,
            doomed: self.doomed.clone(),
            asked,
            asker,
            lines: if all { self.engine.store.ring().cloned().collect() } else { Vec::new() },
            program,
        };
        snapshot.fds = fds.all();
        ct_sys::again::keep_up_to(fds.highest());
        let Some(mut book) = self.engine.book.take() else { return Ok(()) };
        let mut done = Ok(());
        if self.engine.unwritten {
            done = book.write_units(&self.engine.units());
        }
        if done.is_ok() {
            self.engine.unwritten = false;
            done = book.write(&snapshot, fds.highest());
        }
        self.engine.book = Some(book);
        done
    }

    /// Executes the program anew, if that is asked for. Goes on as before if it can't be.
    pub(super) fn execute_anew(&mut self) {
        let Some(Ask { file, asker }) = self.anew.asked.take() else { return };
        info!(self.log, "is executed anew");
        self.keep_own_lines();
        // What comes from now on waits for the new image.
        ct_sys::again::block();
        let asked = self.signals.take();
        let why = match self.write(asked.clone(), asker, true) {
            Ok(()) => self.execute(file.as_ref()),
            Err(e) => e.to_string(),
        };
        asked.into_iter().for_each(|a| self.signals.ask(a));
        ct_sys::again::unblock();
        self.again.insert(Source::Signals);
        self.anew.changed = true;
        warn!(self.log, "can't be executed anew"; "why" => &why);
        self.answer(asker, Err(format!("execute ct-init anew: {why}")));
    }

    /// Why it could not be executed.
    fn execute(&self, file: Option<&OwnedFd>) -> String {
        if let (None, true) = (file, self.anew.stays)
            && let Some(usual) = crate::resume::usual_file()
        {
            let why = ct_sys::again::execute(Some(usual.as_fd()));
            warn!(self.log, "can't execute what is at its path now"; "why" => why.desc());
        }
        ct_sys::again::execute(file.map(AsFd::as_fd)).desc().to_owned()
    }

    fn answer(&mut self, asker: Option<(usize, u32)>, result: Result<(), String>) {
        let Some((number, tag)) = asker else { return };
        let Some(link) = self.links.get_mut(&number) else { return };
        if let Err(e) = link.tell(&Report::Done { tag, result }) {
            self.drop_link(number, &e);
        }
    }

    /// Takes up what an image before this one has left.
    pub fn resume(found: Found, own: OwnedFd, log: Logger, waiting: Waiting) -> io::Result<Pid1> {
        let Found { snapshot, units, mut arrived, book, mut diary, again, crash, crashes, given_back, stays } =
            found;
        // Caught before they are unblocked: one that waits has no other meaning.
        let mut signals = Signals::catch(snapshot.level)?;
        let notices = crate::boot::settle();
        for asked in snapshot.asked.iter().copied().chain([Asked::Reap]) {
            signals.ask(asked);
        }
        let root = Root::new("/");
        let mut store = Store::new(Path::new(crate::output::DIRECTORY));
        store.remember_again(snapshot.lines);
        let mut engine = Engine::new(root, snapshot.level, log.clone(), snapshot.handover, store);
        engine.powers = Powers::of(snapshot.level);
        let program = Program::of(&own);
        engine.own = Some(own);
        engine.book = Some(book);
        // Those that this program wrote are as good as read again.
        let read = units.is_none();
        let units = units.unwrap_or_else(|| engine.read_units(&snapshot.engine.names()));
        engine.unwritten = read;
        engine.take_up(snapshot.engine, units, &mut arrived);
        let host = snapshot.host.map(|kept| Work::again(&engine, kept, &mut arrived));
        let mut pid1 = Pid1 {
            engine,
            host,
            poll: Poll::new()?,
            signals,
            listener: snapshot.listener.and_then(|fd| arrived.take(fd)),
            notify: snapshot.notify.and_then(|fd| arrived.take(fd)),
            syslog: snapshot.syslog.and_then(|fd| arrived.take(fd)),
            clock: super::watch_clock(&log),
            links: BTreeMap::new(),
            next_link: snapshot.next_link,
            again: BTreeSet::from([Source::Signals]),
            doomed: snapshot.doomed,
            anew: Anew { changed: true, busy: true, program, asked: None, stays },
            waiting,
            log,
        };
        notices.into_iter().for_each(|notice| warn!(pid1.log, "resume"; "what" => notice));
        pid1.say_why(crash.as_ref(), crashes);
        if crash.is_some() {
            pid1.engine.end_leftovers();
        }
        let cut: BTreeSet<usize> = diary.iter().filter_map(Entry::asks).collect();
        pid1.take_up_links(snapshot.links, &cut, &mut arrived);
        arrived.finish();
        pid1.listen_to_all();
        // Where the same state has led to a crash at once, what came after it is left out.
        if again {
            diary.retain(|entry| matches!(entry, Entry::Born(_)));
        }
        pid1.read_diary(diary);
        pid1.engine.look_again();
        pid1.answer(
            snapshot.asker,
            match given_back {
                true => Err("the other ct-init can't read the state of this one, which goes on".to_owned()),
                false => Ok(()),
            },
        );
        pid1.after_turn();
        Ok(pid1)
    }

    fn say_why(&self, crash: Option<&(Crash, String)>, crashes: usize) {
        let Some((crash, words)) = crash else {
            info!(self.log, "goes on"; "version" => env!("CARGO_PKG_VERSION"));
            return;
        };
        let signal = crate::environment::signal_name(u8::try_from(crash.signal).unwrap_or(0));
        let what = match words.as_str() {
            "" if crash.code <= 0 => format!("SIG{signal} was sent to it"),
            "" => format!("SIG{signal} at {:#x}", crash.address),
            words => words.to_owned(),
        };
        error!(self.log, "has crashed and goes on"; "why" => what, "crashes within a minute" => crashes);
    }

    /// All but those whose requests were cut off.
    fn take_up_links(
        &mut self,
        links: Vec<(usize, crate::control::KeptLink)>,
        cut: &BTreeSet<usize>,
        arrived: &mut Arrived,
    ) {
        for (number, kept) in links {
            let Some(link) = Link::again(kept, arrived) else { continue };
            if cut.contains(&number) {
                self.doomed.extend(link.hang_up());
                continue;
            }
            let both = Interest::READABLE | Interest::WRITABLE;
            self.listen(Source::Link(number), Some(link.as_fd()), both);
            self.links.insert(number, link);
            // A stream may have lines that nobody reminds of.
            self.again.insert(Source::Link(number));
        }
    }

    /// What has happened since the last state happens now; what was made since is made again, so the first goes.
    fn read_diary(&mut self, diary: Vec<Entry>) {
        let ended: BTreeSet<i32> = diary.iter().filter_map(Entry::ended).collect();
        for entry in diary {
            match entry {
                Entry::Ended(pid, how) => {
                    self.engine.before_reap(pid);
                    crate::reap::reap(pid);
                    self.engine.exited(pid, how);
                }
                Entry::Born(pid) if ended.contains(&pid) => (),
                Entry::Born(pid) => self.engine.end_stray(pid),
                Entry::Said(pid, bytes) => self.engine.notified(&Datagram { pid, bytes }),
                Entry::Asks(_) => (),
                Entry::Asked(asked) => self.signals.ask(asked),
            }
            self.engine.settle();
        }
    }
}
