//! release: lets go of all that a reboot could damage: swap, file systems, the root. Says what it could not.
use super::VerbError;
use rustix::mount::{MountFlags, UnmountFlags};
use std::collections::BTreeSet;

/// What every process counts on and nothing on a disk hangs on.
const KEPT: [&str; 5] = ["/", "/proc", "/sys", "/dev", "/run"];

/// All of it, as far as it goes; an error names what is still in use.
pub(super) fn all() -> Result<(), VerbError> {
    for space in swaps(&std::fs::read_to_string("/proc/swaps").unwrap_or_default()) {
        if let Err(e) = ct_sys::fs::swap_off(&space) {
            eprintln!("swap off {space}: {}", e.desc());
        }
    }
    // One that is below another, or whose loop device lies on another, goes first: again until nothing moves.
    let mut held = mounted();
    loop {
        let before = held.len();
        for at in held.iter().rev() {
            let _busy = rustix::mount::unmount(at.as_str(), UnmountFlags::NOFOLLOW);
        }
        held = mounted();
        if held.is_empty() || held.len() >= before {
            break;
        }
    }
    for at in held.iter().rev() {
        eprintln!("{at} is still in use: read-only from now on");
        read_only(at);
    }
    read_only("/");
    rustix::fs::sync();
    Ok(())
}

fn read_only(at: &str) {
    if let Err(e) = rustix::mount::mount_remount(at, MountFlags::RDONLY, c"") {
        eprintln!("make {at} read-only: {}", std::io::Error::from(e));
    }
}

/// What is to be let go, in order of its mounting.
fn mounted() -> Vec<String> {
    let text = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    points(&text)
}

/// The mount points of mountinfo, without those that stay and what the kernel alone has.
fn points(mountinfo: &str) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let stays =
        |at: &str| KEPT.contains(&at) || ["/proc/", "/sys/", "/dev/"].iter().any(|top| at.starts_with(top));
    let all = mountinfo.lines().filter_map(|line| line.split(' ').nth(4)).map(unescape);
    // A point that is mounted over several times is unmounted several times, once a round.
    all.filter(|at| !stays(at) && seen.insert(at.clone())).collect()
}

fn swaps(text: &str) -> Vec<String> {
    text.lines().skip(1).filter_map(|line| line.split_whitespace().next()).map(unescape).collect()
}

/// `\040` and the like, as the kernel writes them.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let octal = tail.get(..3).and_then(|d| std::str::from_utf8(d).ok()).filter(|_| *first == b'\\');
        match octal.and_then(|d| u8::from_str_radix(d, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = tail.get(3..).unwrap_or(&[]);
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_let_go() {
        let text = "\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
23 22 0:21 / /proc rw - proc proc rw
24 22 0:22 / /sys rw - sysfs sysfs rw
25 24 0:23 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw
26 22 0:5 / /dev rw - devtmpfs dev rw
27 22 254:16 / /srv/my\\040data rw - ext4 /dev/vdb rw
28 22 254:16 / /srv/my\\040data rw - ext4 /dev/vdb rw
29 22 0:30 / /run rw - tmpfs run rw
30 29 0:31 / /run/user/0 rw - tmpfs tmpfs rw
";
        assert_eq!(points(text), ["/srv/my data", "/run/user/0"]);
        assert_eq!(
            swaps("Filename\tType\n/dev/vdb  partition 1 2\n/swap\\040file file 1 2\n"),
            ["/dev/vdb", "/swap file"]
        );
    }
}
