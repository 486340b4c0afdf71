//! swap: switches swap spaces on and off.
use super::device::{is_device, wait_for};
use super::{VerbError, mount};

/// Of linux/swap.h.
const PREFER: i32 = 0x8000;
const DISCARD: i32 = 0x1_0000;

/// Waits for the device and switches it on; one that is on already is as it should be.
pub(super) fn on(what: &str, options: &str) -> Result<(), VerbError> {
    let options = mount::options(options);
    let path = if is_device(what) { wait_for(what, options.device_timeout)? } else { what.to_owned() };
    let mut flags = 0;
    for option in &options.own {
        match option.split_once('=') {
            Some(("pri", n)) => flags |= n.parse::<u16>().map_or(0, |n| PREFER | i32::from(n & 0x7fff)),
            None if option == "discard" => flags |= DISCARD,
            // `sw` and `pri=-1` are what every swap space is.
            Some(_) | None => (),
        }
    }
    match ct_sys::fs::swap_on(&path, flags) {
        Ok(()) | Err(ct_sys::Errno::EBUSY) => Ok(()),
        Err(e) => Err(VerbError::Io(format!("swap on {path}"), e.into())),
    }
}

/// Switches it off; one that is not on is as it should be.
pub(super) fn off(what: &str) -> Result<(), VerbError> {
    let path = super::device::find(what).unwrap_or_else(|| what.to_owned());
    match ct_sys::fs::swap_off(&path) {
        Ok(()) | Err(ct_sys::Errno::EINVAL | ct_sys::Errno::ENOENT) => Ok(()),
        Err(e) => Err(VerbError::Io(format!("swap off {path}"), e.into())),
    }
}
