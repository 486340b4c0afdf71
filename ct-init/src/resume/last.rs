//! last: what is left to a PID 1 that can't go on and must not end. Gives a shell to whoever is at the console, and
//! reaps; nothing else.
use ct_sys::proc::{Which, wait};
use rustix::event::{Timespec, poll};

/// Never ends: a host whose PID 1 ends panics. What was started runs on, nothing is started or stopped any more. Whoever
/// is at the console gets a shell, once.
pub fn resort() -> ! {
    let words = ["shell", "emergency"];
    if let Err(e) = std::process::Command::new("/proc/self/exe").args(words).spawn() {
        crate::log::say(&format!("ct-init: error: no shell: {e}\n"));
    }
    let second = Timespec { tv_sec: 1, tv_nsec: 0 };
    loop {
        while wait(Which::Any, true).is_ok_and(|ended| ended.is_some()) {}
        // A wait for nothing: signals have no meaning here.
        let _time = poll(&mut [], Some(&second));
    }
}
