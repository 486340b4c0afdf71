//! console: where a host's PID 1 is heard when nothing else is there. Never waits for it.
use rustix::fs::{CWD, Mode, OFlags};

/// Makes the console descriptors 0, 1 and 2, or the kernel's log where there is no console. Where there is neither,
/// what is open stays.
pub fn open() {
    for (path, access) in [("/dev/console", OFlags::RDWR), ("/dev/kmsg", OFlags::WRONLY)] {
        // Never the controlling terminal: the keys of a console are not PID 1's.
        let flags = access | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let Ok(fd) = rustix::fs::openat(CWD, path, flags, Mode::empty()) else { continue };
        for done in
            [rustix::stdio::dup2_stdin(&fd), rustix::stdio::dup2_stdout(&fd), rustix::stdio::dup2_stderr(&fd)]
        {
            // Only a full table of descriptors could refuse it.
            let _kept = done;
        }
        if path == "/dev/kmsg" {
            // Else it takes ten lines in five seconds.
            let _limited = std::fs::write("/proc/sys/kernel/printk_devkmsg", "on");
        }
        return;
    }
}

/// The terminals behind /dev/console, the one that input comes from last: `tty0 ttyS0`.
pub fn terminals() -> Vec<String> {
    let active = std::fs::read_to_string("/sys/class/tty/console/active").unwrap_or_default();
    active.split_whitespace().map(str::to_owned).collect()
}
