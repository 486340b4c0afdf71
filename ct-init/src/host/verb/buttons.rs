//! buttons: waits for the power button and asks PID 1 to end the machine. Runs as long as the machine does.
use super::{VerbError, device};
use crate::host::power;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{CWD, Mode, OFlags};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};

/// Of linux/input-event-codes.h.
const EV_KEY: u16 = 1;
const KEY_POWER: u16 = 116;
/// `struct input_event` on 64-bit kernels: two long integers of time, type, code, value.
const EVENT: usize = 24;

/// Waits for ever.
pub(super) fn watch() -> Result<(), VerbError> {
    // Listens before it looks: a keyboard that is plugged in later has a button, too.
    let events = device::listen().map_err(VerbError::io("listen for new devices"))?;
    let mut open: BTreeMap<String, OwnedFd> = BTreeMap::new();
    loop {
        look(&mut open);
        let listened = std::iter::once(events.as_fd()).chain(open.values().map(AsFd::as_fd));
        let mut fds: Vec<PollFd<'_>> =
            listened.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        let _ready = poll(&mut fds, None);
        let mut bytes = [0u8; 8192];
        device::drain(&events);
        let mut gone = Vec::new();
        for (name, fd) in &open {
            match rustix::io::read(fd, &mut bytes) {
                Ok(n) if pressed(bytes.get(..n).unwrap_or(&[])) => {
                    eprintln!("the power button was pressed");
                    let _asked = power::run("poweroff", &[]);
                }
                Ok(_) | Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => (),
                Err(_) => gone.push(name.clone()),
            }
        }
        gone.iter().for_each(|name| {
            open.remove(name);
        });
    }
}

/// Opens what has such a button and is not open yet.
fn look(open: &mut BTreeMap<String, OwnedFd>) {
    for entry in std::fs::read_dir("/sys/class/input").into_iter().flatten().flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let keys = entry.path().join("device/capabilities/key");
        let keys = std::fs::read_to_string(keys).unwrap_or_default();
        if !name.starts_with("event") || open.contains_key(&name) || !has(&keys, KEY_POWER) {
            continue;
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        if let Ok(fd) = rustix::fs::openat(CWD, format!("/dev/input/{name}"), flags, Mode::empty()) {
            open.insert(name, fd);
        }
    }
}

/// Whether a bitmap of sysfs (words of 64 bits, the highest first) has this bit.
fn has(bitmap: &str, bit: u16) -> bool {
    let (word, bit) = (usize::from(bit) / 64, bit % 64);
    let words = bitmap.split_whitespace().rev().nth(word);
    words.and_then(|w| u64::from_str_radix(w, 16).ok()).is_some_and(|w| w >> bit & 1 == 1)
}

fn pressed(events: &[u8]) -> bool {
    let two = |event: &[u8], at: usize| match event.get(at..at + 2) {
        Some([a, b]) => u16::from_ne_bytes([*a, *b]),
        Some(_) | None => 0,
    };
    // 1: down. 2 would be a repeat, 0 its release.
    events.chunks_exact(EVENT).any(|e| {
        two(e, 16) == EV_KEY && two(e, 18) == KEY_POWER && e.get(20..24) == Some(&1i32.to_ne_bytes()[..])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_of_sysfs() {
        assert!(has("10000000000000 0", KEY_POWER));
        assert!(!has("10000000000000", KEY_POWER));
        assert!(!has("", KEY_POWER));
    }

    #[test]
    fn a_press_is_one_event() {
        let event = |kind: u16, code: u16, value: i32| {
            let mut bytes = vec![0u8; 16];
            bytes.extend(kind.to_ne_bytes());
            bytes.extend(code.to_ne_bytes());
            bytes.extend(value.to_ne_bytes());
            bytes
        };
        assert!(pressed(&[event(0, 0, 0), event(EV_KEY, KEY_POWER, 1)].concat()));
        assert!(!pressed(&event(EV_KEY, KEY_POWER, 0)));
        assert!(!pressed(&event(EV_KEY, 30, 1)));
        assert!(!pressed(&[0; 7]));
    }
}
