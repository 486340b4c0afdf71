//! device: which block device a line of fstab means, and waiting for it. Writes nothing.
use super::VerbError;
use nix::sys::socket::{self, AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// What a file system, or a swap space, says of itself at the beginning of its device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// As mount(8) calls it: `ext4`, `swap`.
    pub kind: &'static str,
    /// As `UUID=` wants it, in lower case; may be empty.
    pub uuid: String,
    /// Its label; may be empty.
    pub label: String,
}

/// Whether it names a block device: `/dev/…` or a tag.
pub fn is_device(what: &str) -> bool {
    what.starts_with("/dev/") || tag(what).is_some()
}

/// The device that `what` means, as soon as it is there. A tag is looked for on all block devices. `limit` none: waits
/// for ever.
///
/// # Errors
/// It is not there in time.
pub fn wait_for(what: &str, limit: Option<Duration>) -> Result<String, VerbError> {
    // Listens before it looks, so that nothing comes in between.
    let events = listen().map_err(VerbError::io("listen for new devices"))?;
    let begun = crate::clock::now();
    let mut said = false;
    loop {
        if let Some(path) = find(what) {
            return Ok(path);
        }
        let left = limit.map(|limit| limit.saturating_sub(crate::clock::now().since(begun)));
        if left == Some(Duration::ZERO) {
            let waited = limit.unwrap_or_default().as_secs();
            return Err(VerbError::Said(format!("device {what} did not appear within {waited} s")));
        }
        if !std::mem::replace(&mut said, true) {
            eprintln!("waits for device {what}");
        }
        let left = left.map(|d| Timespec {
            tv_sec: i64::try_from(d.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: d.subsec_nanos().into(),
        });
        let mut fds = [PollFd::from_borrowed_fd(events.as_fd(), PollFlags::IN)];
        let _ready = poll(&mut fds, left.as_ref());
        drain(&events);
    }
}

/// The device, if it is there now.
pub fn find(what: &str) -> Option<String> {
    let Some((name, value)) = tag(what) else {
        return is_block(what).then(|| what.to_owned());
    };
    let disks = std::fs::read_dir("/sys/class/block").ok()?.flatten();
    let mut paths: Vec<String> = disks.filter_map(|e| e.file_name().into_string().ok()).collect();
    paths.sort_unstable();
    let found = paths.into_iter().find(|disk| is(disk, name, value))?;
    // The kernel writes `!` for a slash.
    let path = format!("/dev/{}", found.replace('!', "/"));
    is_block(&path).then_some(path)
}

fn tag(what: &str) -> Option<(&str, &str)> {
    let (name, value) = what.split_once('=')?;
    let known = matches!(name, "UUID" | "LABEL" | "PARTUUID" | "PARTLABEL");
    known.then_some((name, value.trim_matches('"')))
}

fn is(disk: &str, name: &str, value: &str) -> bool {
    let event = |key: &str| {
        let text = std::fs::read_to_string(format!("/sys/class/block/{disk}/uevent")).unwrap_or_default();
        text.lines().find_map(|l| l.strip_prefix(key)).unwrap_or_default().to_owned()
    };
    match name {
        "PARTUUID" => event("PARTUUID=").eq_ignore_ascii_case(value),
        "PARTLABEL" => event("PARTNAME=") == value,
        "UUID" => signature(&format!("/dev/{disk}")).is_some_and(|s| s.uuid.eq_ignore_ascii_case(value)),
        _ => signature(&format!("/dev/{disk}")).is_some_and(|s| s.label == value),
    }
}

fn is_block(path: &str) -> bool {
    use std::os::unix::fs::FileTypeExt;
    std::fs::metadata(path).is_ok_and(|m| m.file_type().is_block_device())
}

/// What is on a device, if it is something that is known here.
pub fn signature(path: &str) -> Option<Signature> {
    let file = File::open(path).ok()?;
    let mut head = vec![0u8; HEAD];
    let mut have = 0;
    while let Ok(n @ 1..) = file.read_at(head.get_mut(have..)?, have as u64) {
        have += n;
    }
    identify(head.get(..have)?)
}

/// The last thing that is looked at: btrfs's label.
const HEAD: usize = 0x1_012b + 256;

/// From the first bytes of a device. Offsets are those of the kernel's headers (ext4.h, xfs_format.h, btrfs_tree.h,
/// swap.h, msdos_fs.h, erofs_fs.h, squashfs_fs.h).
fn identify(head: &[u8]) -> Option<Signature> {
    let at = |offset: usize, n: usize| head.get(offset..offset + n).unwrap_or(&[]);
    let text = |offset, n| {
        let bytes: &[u8] = at(offset, n);
        let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
        String::from_utf8_lossy(bytes.get(..end).unwrap_or(&[])).trim_end().to_owned()
    };
    let made = |kind, uuid, label| Some(Signature { kind, uuid, label });
    if at(1080, 2) == [0x53, 0xef] {
        // A journal, then extents: the three that share the number. One driver takes all.
        let (journal, extents) = (head.get(1116).copied()? & 4 != 0, head.get(1120).copied()? & 0x40 != 0);
        let kind = if extents {
            "ext4"
        } else if journal {
            "ext3"
        } else {
            "ext2"
        };
        return made(kind, uuid(at(1128, 16)), text(1144, 16));
    }
    if at(0, 4) == b"XFSB" {
        return made("xfs", uuid(at(32, 16)), text(108, 12));
    }
    if at(0x1_0040, 8) == b"_BHRfS_M" {
        return made("btrfs", uuid(at(0x1_0020, 16)), text(0x1_012b, 256));
    }
    if at(4086, 10) == b"SWAPSPACE2" {
        return made("swap", uuid(at(1036, 16)), text(1052, 16));
    }
    if at(1024, 4) == [0xe2, 0xe1, 0xf5, 0xe0] {
        return made("erofs", uuid(at(1072, 16)), text(1088, 16));
    }
    if at(0, 4) == b"hsqs" {
        return made("squashfs", String::new(), String::new());
    }
    let fat = |id: usize, label| match at(id, 4) {
        [a, b, c, d] => made("vfat", format!("{d:02X}{c:02X}-{b:02X}{a:02X}"), text(label, 11)),
        _ => None,
    };
    match (at(0x52, 5), at(0x36, 4)) {
        (b"FAT32", _) => fat(0x43, 0x47),
        (_, b"FAT1") => fat(0x27, 0x2b),
        (_, _) => None,
    }
}

fn uuid(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(36);
    for (i, b) in bytes.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        out.push_str(&format!("{b:02x}"));
    }
    out
}

/// The kernel's own announcements of devices.
pub(super) fn listen() -> std::io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let kind = SockProtocol::NetlinkKObjectUEvent;
    let fd = socket::socket(AddressFamily::Netlink, SockType::Datagram, flags, kind)?;
    socket::bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 1))?;
    Ok(fd)
}

/// What they say does not matter: each is a reason to look again.
pub(super) fn drain(events: &OwnedFd) {
    let mut bytes = [0u8; 8192];
    while rustix::io::read(events, &mut bytes).is_ok_and(|n| n > 0) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn file_systems_say_what_they_are() {
        let id = "01234567-89ab-cdef-0123-456789abcdef";
        let check = |program: &str, words: &[&str], size: u64, expect: (&'static str, &str, &str)| {
            let file = tempfile::NamedTempFile::new().unwrap();
            file.as_file().set_len(size).unwrap();
            let path = file.path().to_str().unwrap();
            match Command::new(program).args(words).arg(path).output() {
                // Whoever develops may go without; where all is to be shown, tools/setup has installed it.
                Err(e) if std::env::var("CI").is_ok_and(|ci| ci == "true") => panic!("{program}: {e}"),
                Err(e) => return eprintln!("skipped file_systems_say_what_they_are: {program}: {e}"),
                Ok(out) => assert!(out.status.success(), "{program}: {out:?}"),
            }
            let (kind, uuid, label) = expect;
            let (uuid, label) = (uuid.to_owned(), label.to_owned());
            assert_eq!(signature(path), Some(Signature { kind, uuid, label }), "{program}")
        };
        let mib = 1 << 20;
        check("mke2fs", &["-q", "-F", "-t", "ext4", "-U", id, "-L", "one"], 8 * mib, ("ext4", id, "one"));
        check("mke2fs", &["-q", "-F", "-t", "ext2", "-U", id], 8 * mib, ("ext2", id, ""));
        check("mkfs.xfs", &["-q", "-L", "two", "-m", &format!("uuid={id}")], 300 * mib, ("xfs", id, "two"));
        check("mkfs.btrfs", &["-q", "-L", "three", "-U", id], 128 * mib, ("btrfs", id, "three"));
        check("mkswap", &["-q", "-U", id, "-L", "four"], mib, ("swap", id, "four"));
        check("mkfs.vfat", &["-i", "1234abcd", "-n", "FIVE"], 8 * mib, ("vfat", "1234-ABCD", "FIVE"));
        assert_eq!(identify(&[]), None);
        assert_eq!(identify(&vec![0u8; HEAD]), None);
    }

    #[test]
    fn what_names_a_device() {
        for (what, expect) in [
            ("/dev/vda", true),
            ("UUID=1", true),
            ("PARTLABEL=state", true),
            ("tmpfs", false),
            ("nas:/x", false),
        ] {
            assert_eq!(is_device(what), expect, "{what}");
        }
        assert_eq!(find("/dev/null"), None);
        assert!(wait_for("/dev/no-such-device", Some(Duration::ZERO)).is_err());
    }
}
