//! probe: reads /proc and /sys once. Changes nothing; what can't be read counts as not there.
use super::{Cgroups, Controller, HostFacts};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Looks at this machine.
pub fn probe() -> HostFacts {
    let meminfo = text("/proc/meminfo");
    let kib = |key: &str| field(&meminfo, key).unwrap_or(0) * 1024;
    let status = text("/proc/self/status");
    let effective = status
        .lines()
        .find_map(|l| l.strip_prefix("CapEff:"))
        .and_then(|v| u64::from_str_radix(v.trim(), 16).ok())
        .unwrap_or(0);
    let filesystems = text("/proc/filesystems");
    HostFacts {
        cgroups: cgroups(&text("/proc/self/mountinfo"), counts_swap()),
        memory: kib("MemTotal:"),
        swap: kib("SwapTotal:"),
        cpus: list("/sys/devices/system/cpu/online"),
        nodes: list("/sys/devices/system/node/online"),
        tasks: text("/proc/sys/kernel/pid_max").trim().parse().unwrap_or(32768),
        sys_resource: effective & (1 << 24) != 0,
        user_namespaces: Path::new("/proc/self/ns/user").exists()
            && text("/proc/sys/user/max_user_namespaces").trim() != "0",
        time_namespaces: Path::new("/proc/self/ns/time").exists(),
        overlay: filesystems.lines().any(|l| l.trim_end().ends_with("overlay")),
        hard_limits: hard_limits(&text("/proc/self/limits")),
        soft_files: soft_files(&text("/proc/self/limits")),
        oom_score_adj: text("/proc/self/oom_score_adj").trim().parse().unwrap_or(0),
        last_capability: text("/proc/sys/kernel/cap_last_cap").trim().parse().unwrap_or(40),
        kernel: text("/proc/sys/kernel/osrelease").trim().to_owned(),
        machine: std::env::consts::ARCH.to_owned(),
        hostname: text("/proc/sys/kernel/hostname").trim().to_owned(),
        machine_id: Some(text("/etc/machine-id").trim().to_owned()).filter(|s| !s.is_empty()),
        boot_id: text("/proc/sys/kernel/random/boot_id").trim().to_owned(),
    }
}

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn field(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|l| l.strip_prefix(key))?.split_whitespace().next()?.parse().ok()
}

fn list(path: &str) -> Vec<u32> {
    let mut all = Vec::new();
    for part in text(path).trim().split(',').filter(|p| !p.is_empty()) {
        let (a, b) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(a), Ok(b)) = (a.parse::<u32>(), b.parse::<u32>()) {
            all.extend(a..=b.min(a.saturating_add(8191)));
        }
    }
    if all.is_empty() { vec![0] } else { all }
}

fn soft_files(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|l| l.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Hard limits from /proc/self/limits, in the order that the kernel prints, which is that of its numbers but for two.
fn hard_limits(limits: &str) -> BTreeMap<u8, Option<u64>> {
    const NAMES: [(&str, u8); 16] = [
        ("Max cpu time", 0),
        ("Max file size", 1),
        ("Max data size", 2),
        ("Max stack size", 3),
        ("Max core file size", 4),
        ("Max resident set", 5),
        ("Max processes", 6),
        ("Max open files", 7),
        ("Max locked memory", 8),
        ("Max address space", 9),
        ("Max file locks", 10),
        ("Max pending signals", 11),
        ("Max msgqueue size", 12),
        ("Max nice priority", 13),
        ("Max realtime priority", 14),
        ("Max realtime timeout", 15),
    ];
    let hard = |name: &str| {
        let line = limits.lines().find(|l| l.starts_with(name))?;
        let word = line.get(name.len()..)?.split_whitespace().nth(1)?;
        Some(word.parse().ok())
    };
    NAMES.iter().filter_map(|&(name, kind)| hard(name).map(|h| (kind, h))).collect()
}

/// Whether the kernel knows swap and was not told to leave it out of its accounts. That there is none now says nothing:
/// some may come, and a container that may not swap has to be kept from it then.
fn counts_swap() -> bool {
    let told_not_to = text("/proc/cmdline").split_whitespace().any(|w| w == "swapaccount=0");
    Path::new("/proc/swaps").exists() && !told_not_to
}

/// `swap`: whether swap is counted, if the memory controller is on v2.
fn cgroups(mountinfo: &str, swap: bool) -> Cgroups {
    let mut found = Cgroups::default();
    for line in mountinfo.lines() {
        let Some((front, back)) = line.split_once(" - ") else { continue };
        let mut front = front.split(' ');
        let (Some(root), Some(point)) = (front.nth(3), front.next()) else { continue };
        let mut back = back.split(' ');
        let (Some(fstype), _, options) = (back.next(), back.next(), back.next().unwrap_or("")) else {
            continue;
        };
        if root != "/" {
            continue;
        }
        let point = PathBuf::from(unescape(point));
        match fstype {
            "cgroup2" if found.unified.is_none() => {
                let offers = fs::read_to_string(point.join("cgroup.controllers")).unwrap_or_default();
                found.v2 = controllers(offers.split_whitespace(), false);
                found.unified = Some(point);
            }
            "cgroup" => {
                for c in controllers(options.split(','), true) {
                    found.v1.entry(c).or_insert_with(|| point.clone());
                }
            }
            _ => {}
        }
    }
    found.rt_groups = found.v1.get(&Controller::Cpu).is_some_and(|p| p.join("cpu.rt_runtime_us").exists());
    // cgroup.kill stands in every group but the root; its sibling of the same release line does as a sign.
    found.kill = found.unified.as_ref().is_some_and(|_| kernel_at_least(5, 14));
    found.swap_accounting = match found.v1.get(&Controller::Memory) {
        Some(point) => point.join("memory.memsw.limit_in_bytes").exists(),
        None => swap && found.v2.contains(&Controller::Memory),
    };
    found
}

fn kernel_at_least(major: u32, minor: u32) -> bool {
    let release = text("/proc/sys/kernel/osrelease");
    let mut parts = release.split(['.', '-']).map_while(|p| p.trim().parse::<u32>().ok());
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= (major, minor)
}

fn controllers<'a>(names: impl Iterator<Item = &'a str>, v1: bool) -> std::collections::BTreeSet<Controller> {
    names.filter_map(|n| Controller::ALL.into_iter().find(|c| c.name(v1) == n)).collect()
}

/// Octal escapes of mountinfo: `\040` is a space.
fn unescape(field: &str) -> String {
    let mut out = Vec::new();
    let all: Vec<u8> = field.bytes().collect();
    let mut i = 0;
    while i < all.len() {
        let octal =
            all.get(i + 1..i + 4).filter(|d| all[i] == b'\\' && d.iter().all(|b| (b'0'..b'8').contains(b)));
        match octal {
            Some(d) => {
                out.push(d.iter().fold(0u8, |n, b| n.wrapping_mul(8).wrapping_add(b - b'0')));
                i += 4;
            }
            None => {
                out.push(all[i]);
                i += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mountinfo_escapes() {
        assert_eq!(unescape("/a\\040b\\134"), "/a b\\");
        assert_eq!(unescape("/plain\\x"), "/plain\\x");
    }

    #[test]
    fn hybrid_layout_is_told_apart() {
        let info = "30 1 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                    31 1 0:27 / /sys/fs/cgroup/m\\040m rw - cgroup cgroup rw,memory\n\
                    32 1 0:28 /sub /elsewhere rw - cgroup cgroup rw,pids\n";
        let found = cgroups(info, false);
        assert_eq!(found.v1.keys().copied().collect::<Vec<_>>(), [Controller::Cpu, Controller::Memory]);
        assert_eq!(found.v1[&Controller::Memory], PathBuf::from("/sys/fs/cgroup/m m"));
        assert_eq!(found.unified, None);
    }

    #[test]
    fn hard_limits_read() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max open files            1024                 4096                 files     \n\
                      Max cpu time              unlimited            unlimited            seconds   \n";
        assert_eq!(hard_limits(limits), BTreeMap::from([(0, None), (7, Some(4096))]));
    }
}
