//! wait: for a descriptor to become ready, with a deadline that only a hanging test meets. Never sleeps.
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

/// What hangs longer than this will not come any more, however slow the machine is.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A point in time at which a test gives up.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Instant);

impl Default for Deadline {
    fn default() -> Deadline {
        Deadline(Instant::now() + PATIENCE)
    }
}

impl Deadline {
    /// Waits until the descriptor is ready for one of these (or has hung up); false at the deadline.
    pub fn ready(self, fd: BorrowedFd<'_>, what: PollFlags) -> bool {
        loop {
            let left = self.0.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let mut fds = [PollFd::new(fd, what)];
            match poll(&mut fds, timeout) {
                Ok(0) | Err(nix::errno::Errno::EINTR) => {}
                Ok(_) => return true,
                Err(e) => panic!("poll: {e}"),
            }
        }
    }

    /// Lets time pass where time itself is what is measured, as in a share of a CPU. Never to hope that something has
    /// happened by then.
    pub fn pass(self, how_long: Duration) {
        let timeout = PollTimeout::try_from(how_long).unwrap_or(PollTimeout::MAX);
        let _ = poll(&mut [], timeout);
    }

    /// Whether it has passed.
    pub fn passed(self) -> bool {
        Instant::now() >= self.0
    }
}
