//! last: what is left to a PID 1 that can't go on and must not end. Reaps, and does nothing else.
use ct_sys::proc::{Which, wait};
use rustix::event::{Timespec, poll};

/// Never ends: a host whose PID 1 ends panics. What was started runs on, nothing is started or stopped any more; an
/// emergency shell belongs before the loop.
pub fn resort() -> ! {
    let second = Timespec { tv_sec: 1, tv_nsec: 0 };
    loop {
        while wait(Which::Any, true).is_ok_and(|ended| ended.is_some()) {}
        // A wait for nothing: signals have no meaning here.
        let _time = poll(&mut [], Some(&second));
    }
}
