//! links: the connections to PID 1: taken in, served, told, dropped. Never waits for a peer.
use super::{Pid1, Source};
use crate::control::{Link, MAX_LINKS, Then};
use crate::proto::{Leave, Report};
use crate::wire::{Wire, WireError, accept};
use mio::Interest;
use slog::{debug, error, warn};
use std::os::fd::AsFd;
use units::values::Tick;

impl Pid1 {
    pub(super) fn accept(&mut self) {
        loop {
            let Some(listener) = &self.listener else { return };
            match accept(listener.as_fd()).map(|fd| fd.map(Wire::new)) {
                Ok(Some(Ok(wire))) if self.links.len() < MAX_LINKS => {
                    let number = self.next_link;
                    self.next_link += 1;
                    let link = Link::new(wire);
                    self.listen(
                        Source::Link(number),
                        Some(link.as_fd()),
                        Interest::READABLE | Interest::WRITABLE,
                    );
                    self.links.insert(number, link);
                }
                Ok(Some(Ok(_))) => warn!(self.log, "too many connections: refused one"),
                Ok(Some(Err(e))) => warn!(self.log, "a connection"; "why" => crate::chain(&e)),
                Ok(None) => return,
                Err(e) => {
                    error!(self.log, "can't accept"; "why" => %e);
                    return;
                }
            }
        }
    }

    pub(super) fn serve(&mut self, number: usize) {
        let Some(link) = self.links.get_mut(&number) else { return };
        match link.serve(number, &mut self.engine) {
            Ok(Then::Keep) => (),
            Ok(Then::Again) => {
                self.again.insert(Source::Link(number));
            }
            Ok(Then::Shutdown) => self.leave(Leave::Shutdown),
            Ok(Then::Reexec(tag, file)) => self.anew.ask(file, Some((number, tag))),
            Err(e) => self.drop_link(number, &e),
        }
    }

    pub(super) fn drop_link(&mut self, number: usize, why: &WireError) {
        match why {
            WireError::Closed => (),
            WireError::TooLarge | WireError::NotAMessage(_) | WireError::TooSlow | WireError::Io(_) => {
                debug!(self.log, "drops a connection"; "why" => crate::chain(why));
            }
        }
        if let Some(doomed) = self.links.remove(&number).and_then(Link::hang_up) {
            self.doomed.push(doomed);
        }
    }

    pub(super) fn kill_doomed(&mut self, now: Tick) {
        self.doomed.retain(|(at, pid)| {
            if *at > now {
                return true;
            }
            crate::reap::send(*pid, 9);
            false
        });
    }

    pub(super) fn tell_all(&mut self, report: &Report) {
        let mut broken = Vec::new();
        for (number, link) in self.links.iter_mut().filter(|(_, l)| l.watches()) {
            if let Err(e) = link.tell(report) {
                broken.push((*number, e));
            }
        }
        for (number, e) in broken {
            self.drop_link(number, &e);
        }
    }
}
