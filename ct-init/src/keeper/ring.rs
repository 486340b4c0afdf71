//! ring: what is known of ended orphans, kept until the supervisor has taken it. Bounded; never reads anything.
use std::collections::VecDeque;
use units::machine::Exit;
use units::values::Signal;

/// So many ends are kept; then the oldest makes room and is counted as lost.
pub const KEEP: usize = 4096;
/// Bytes of a record on the wire.
pub const RECORD: usize = 34;

/// One process that ended as the keeper's child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Counts up from 1 over the keeper's life.
    pub number: u64,
    /// Its pid.
    pub pid: u32,
    /// Its start time in clock ticks since boot: tells it from others that had its pid.
    pub start_time: u64,
    /// How it ended; never `Unknown`.
    pub exit: Exit,
    /// When it was reaped, microseconds since 1970.
    pub at: u64,
    /// Records that were dropped before this one was sent.
    pub lost: u32,
}

impl Record {
    /// As it goes over the socket: little endian, no padding.
    pub fn encode(&self) -> [u8; RECORD] {
        let (kind, value) = match self.exit {
            Exit::Code(code) => (0, code),
            Exit::Signal(Signal(number)) => (1, number),
            Exit::Dumped(Signal(number)) => (2, number),
            Exit::Unknown => (3, 0),
        };
        let fields = [self.number.to_le_bytes(), self.start_time.to_le_bytes(), self.at.to_le_bytes()];
        let small = [self.pid.to_le_bytes(), self.lost.to_le_bytes()];
        let mut bytes = [0; RECORD];
        let all = fields.as_flattened().iter().chain(small.as_flattened()).chain([&kind, &value]);
        bytes.iter_mut().zip(all).for_each(|(to, from)| *to = *from);
        bytes
    }

    /// The reverse; none for anything else than a record.
    pub fn decode(bytes: &[u8]) -> Option<Record> {
        let bytes: &[u8; RECORD] = bytes.try_into().ok()?;
        let (number, rest) = bytes.split_first_chunk()?;
        let (start_time, rest) = rest.split_first_chunk()?;
        let (at, rest) = rest.split_first_chunk()?;
        let (pid, rest) = rest.split_first_chunk()?;
        let (lost, rest) = rest.split_first_chunk()?;
        let exit = match rest {
            [0, code] => Exit::Code(*code),
            [1, number] => Exit::Signal(Signal(*number)),
            [2, number] => Exit::Dumped(Signal(*number)),
            [3, 0] => Exit::Unknown,
            _ => return None,
        };
        Some(Record {
            number: u64::from_le_bytes(*number),
            pid: u32::from_le_bytes(*pid),
            start_time: u64::from_le_bytes(*start_time),
            exit,
            at: u64::from_le_bytes(*at),
            lost: u32::from_le_bytes(*lost),
        })
    }
}

/// The records, the oldest first.
#[derive(Debug)]
pub struct Ring {
    kept: VecDeque<Record>,
    last: u64,
    sent: u64,
    lost: u32,
}

impl Default for Ring {
    fn default() -> Ring {
        // All the room it will ever need: nothing is allocated later.
        Ring { kept: VecDeque::with_capacity(KEEP), last: 0, sent: 0, lost: 0 }
    }
}

impl Ring {
    /// One more end; the oldest makes room.
    pub fn push(&mut self, pid: u32, start_time: u64, exit: Exit, at: u64) {
        if self.kept.len() == KEEP {
            self.kept.pop_front();
            self.lost = self.lost.saturating_add(1);
        }
        self.last += 1;
        self.kept.push_back(Record { number: self.last, pid, start_time, exit, at, lost: 0 });
    }
    /// What is to be sent next to this supervisor.
    pub fn unsent(&self) -> Option<Record> {
        let next = self.kept.iter().find(|r| r.number > self.sent);
        next.map(|r| Record { lost: self.lost, ..*r })
    }
    /// It was sent.
    pub fn sent(&mut self, number: u64) {
        self.sent = self.sent.max(number);
    }
    /// The supervisor has made use of all up to this one, or has none for them.
    pub fn taken(&mut self, number: u64) {
        while self.kept.front().is_some_and(|r| r.number <= number) {
            self.kept.pop_front();
        }
    }
    /// Another supervisor: it has been sent nothing.
    pub fn rewind(&mut self) {
        self.sent = 0;
    }
    /// How many are kept.
    pub fn len(&self) -> usize {
        self.kept.len()
    }
    /// None is.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(ring: &mut Ring) -> Vec<u64> {
        let mut all = Vec::new();
        while let Some(r) = ring.unsent() {
            all.push(r.number);
            ring.sent(r.number);
        }
        all
    }

    #[test]
    fn records_survive_the_wire() {
        let check = |exit, lost| {
            let record = Record { number: 1 << 40, pid: 7, start_time: 99, exit, at: u64::MAX, lost };
            assert_eq!(Record::decode(&record.encode()), Some(record));
        };
        check(Exit::Code(0), 0);
        check(Exit::Code(255), 1);
        check(Exit::Signal(Signal(9)), u32::MAX);
        check(Exit::Dumped(Signal(11)), 0);
        check(Exit::Unknown, 0);
    }

    #[test]
    fn what_is_no_record_is_refused() {
        let good = Record { number: 1, pid: 1, start_time: 1, exit: Exit::Code(1), at: 1, lost: 0 }.encode();
        let check = |bytes: &[u8]| assert_eq!(Record::decode(bytes), None, "{bytes:?}");
        check(&[]);
        check(&good[..RECORD - 1]);
        check(&[&good[..], &[0]].concat());
        check(&[&good[..RECORD - 2], &[4, 0]].concat());
        check(&[&good[..RECORD - 2], &[3, 1]].concat());
    }

    #[test]
    fn what_one_supervisor_has_not_taken_the_next_one_gets() {
        let mut ring = Ring::default();
        (1..=4).for_each(|pid| ring.push(pid, 1, Exit::Code(0), 0));
        assert_eq!(drain(&mut ring), [1, 2, 3, 4]);
        assert_eq!(drain(&mut ring), []);
        ring.taken(2);
        ring.rewind();
        ring.push(5, 1, Exit::Code(0), 0);
        assert_eq!(drain(&mut ring), [3, 4, 5]);
        ring.taken(99);
        assert!(ring.is_empty());
    }

    #[test]
    fn the_oldest_makes_room_and_is_counted() {
        let mut ring = Ring::default();
        let room = ring.kept.capacity();
        let count = u32::try_from(KEEP).unwrap() + 3;
        (0..count).for_each(|pid| ring.push(pid, 1, Exit::Code(0), 0));
        assert_eq!((ring.len(), ring.kept.capacity()), (KEEP, room), "no heap growth");
        assert_eq!(ring.unsent().map(|r| (r.number, r.lost)), Some((4, 3)));
    }
}
