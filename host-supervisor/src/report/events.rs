//! events: the last things that happened, in memory, bounded. `ct events` reads them.
use crate::control::protocol::EventRow;
use std::collections::VecDeque;

/// So many are kept.
const KEEP: usize = 1000;

/// A ring of events.
#[derive(Debug, Default)]
pub struct Events {
    ring: VecDeque<EventRow>,
}

impl Events {
    /// One more; the oldest makes room.
    pub fn push(&mut self, event: EventRow) {
        if self.ring.len() == KEEP {
            self.ring.pop_front();
        }
        self.ring.push_back(event);
    }
    /// All that are kept, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &EventRow> {
        self.ring.iter()
    }
}
