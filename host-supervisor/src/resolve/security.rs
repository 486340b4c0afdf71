//! security: which capabilities stay and which system calls go. Touches nothing.
use super::Refusal;
use units::values::capability;

/// Bits of a list of capability numbers.
const fn bits(list: &[u8]) -> u64 {
    let (mut all, mut i) = (0, 0);
    while i < list.len() {
        all |= 1 << list[i];
        i += 1;
    }
    all
}

/// Never left, with a user namespace or without: sys_module 16, sys_rawio 17, sys_time 25, mac_override 32,
/// mac_admin 33, syslog 34, wake_alarm 35, block_suspend 36, audit_control 30, audit_read 37, perfmon 38, bpf 39.
const NEVER: u64 = bits(&[16, 17, 25, 30, 32, 33, 34, 35, 36, 37, 38, 39]);

/// Without a user namespace these reach the host itself: dac_read_search 2 (open_by_handle_at), linux_immutable 9,
/// ipc_lock 14, sys_ptrace 19, sys_pacct 20, sys_admin 21, sys_boot 22 (kept: a pid namespace's reboot is its own),
/// sys_resource 24, sys_tty_config 26, mknod 27, checkpoint_restore 40.
const HOST_ONLY: u64 = bits(&[2, 9, 14, 19, 20, 21, 24, 26, 27, 40]);

/// `CapabilityBoundingSet=` where the unit is silent.
pub fn default_capabilities(user_namespace: bool) -> u64 {
    let all = (1u64 << 41) - 1;
    match user_namespace {
        true => all & !NEVER,
        false => all & !NEVER & !HOST_ONLY,
    }
}

/// The bounding set of a unit: its lines in order, on top of the default.
pub(super) fn capabilities(lines: &[(bool, u64)], user_namespace: bool) -> u64 {
    let full = default_capabilities(user_namespace);
    let set = |now, &(invert, named): &(bool, u64)| Some(capability::merge(now, full, full, invert, named));
    lines.iter().fold(None, set).unwrap_or(full)
}

/// Names in `SystemCallFilter=` that can't be refused, because this version has no number for them.
pub(super) fn unknown_calls(filter: &[(bool, String)]) -> Vec<Refusal> {
    let unknown = |(refuse, name): &&(bool, String)| *refuse && !CALLS.iter().any(|(c, _)| c == name);
    let refusal = |(_, name): &(bool, String)| Refusal {
        key: "SystemCallFilter".into(),
        asked: format!("~{name}"),
        why: "this version has no such system call in its list (ct.container(5) names them)".into(),
    };
    filter.iter().filter(unknown).map(refusal).collect()
}

/// The calls that are refused unless a unit allows them again: they reach kernel state that has no namespace.
pub fn default_denied() -> &'static [&'static str] {
    &[
        "acct",
        "add_key",
        "bpf",
        "clock_settime",
        "delete_module",
        "finit_module",
        "init_module",
        "io_uring_enter",
        "io_uring_register",
        "io_uring_setup",
        "ioperm",
        "iopl",
        "kexec_file_load",
        "kexec_load",
        "keyctl",
        "lookup_dcookie",
        "open_by_handle_at",
        "perf_event_open",
        "quotactl",
        "quotactl_fd",
        "request_key",
        "settimeofday",
        "swapoff",
        "swapon",
        "syslog",
        "userfaultfd",
    ]
}

/// Every call that `SystemCallFilter=` of a container can name, with its number on this machine.
pub const CALLS: &[(&str, i64)] = &[
    ("acct", nr::acct),
    ("add_key", nr::add_key),
    ("bpf", nr::bpf),
    ("chroot", nr::chroot),
    ("clock_adjtime", nr::clock_adjtime),
    ("clock_settime", nr::clock_settime),
    ("delete_module", nr::delete_module),
    ("finit_module", nr::finit_module),
    ("fsopen", nr::fsopen),
    ("init_module", nr::init_module),
    ("io_uring_enter", nr::io_uring_enter),
    ("io_uring_register", nr::io_uring_register),
    ("io_uring_setup", nr::io_uring_setup),
    #[cfg(target_arch = "x86_64")]
    ("ioperm", nr::ioperm),
    #[cfg(target_arch = "x86_64")]
    ("iopl", nr::iopl),
    ("kcmp", nr::kcmp),
    ("kexec_file_load", nr::kexec_file_load),
    ("kexec_load", nr::kexec_load),
    ("keyctl", nr::keyctl),
    ("lookup_dcookie", nr::lookup_dcookie),
    ("mount", nr::mount),
    ("open_by_handle_at", nr::open_by_handle_at),
    ("perf_event_open", nr::perf_event_open),
    ("personality", nr::personality),
    ("pivot_root", nr::pivot_root),
    ("process_vm_readv", nr::process_vm_readv),
    ("process_vm_writev", nr::process_vm_writev),
    ("ptrace", nr::ptrace),
    ("quotactl", nr::quotactl),
    ("quotactl_fd", nr::quotactl_fd),
    ("request_key", nr::request_key),
    ("setns", nr::setns),
    ("settimeofday", nr::settimeofday),
    ("swapoff", nr::swapoff),
    ("swapon", nr::swapon),
    ("syslog", nr::syslog),
    ("umount2", nr::umount2),
    ("unshare", nr::unshare),
    ("userfaultfd", nr::userfaultfd),
];

/// The kernel's numbers, from its uapi headers (asm/unistd_64.h, asm-generic/unistd.h).
#[cfg(target_arch = "x86_64")]
#[allow(non_upper_case_globals)]
mod nr {
    pub const acct: i64 = 163;
    pub const add_key: i64 = 248;
    pub const bpf: i64 = 321;
    pub const chroot: i64 = 161;
    pub const clock_adjtime: i64 = 305;
    pub const clock_settime: i64 = 227;
    pub const delete_module: i64 = 176;
    pub const finit_module: i64 = 313;
    pub const fsopen: i64 = 430;
    pub const init_module: i64 = 175;
    pub const io_uring_enter: i64 = 426;
    pub const io_uring_register: i64 = 427;
    pub const io_uring_setup: i64 = 425;
    pub const ioperm: i64 = 173;
    pub const iopl: i64 = 172;
    pub const kcmp: i64 = 312;
    pub const kexec_file_load: i64 = 320;
    pub const kexec_load: i64 = 246;
    pub const keyctl: i64 = 250;
    pub const lookup_dcookie: i64 = 212;
    pub const mount: i64 = 165;
    pub const open_by_handle_at: i64 = 304;
    pub const perf_event_open: i64 = 298;
    pub const personality: i64 = 135;
    pub const pivot_root: i64 = 155;
    pub const process_vm_readv: i64 = 310;
    pub const process_vm_writev: i64 = 311;
    pub const ptrace: i64 = 101;
    pub const quotactl: i64 = 179;
    pub const quotactl_fd: i64 = 443;
    pub const request_key: i64 = 249;
    pub const setns: i64 = 308;
    pub const settimeofday: i64 = 164;
    pub const swapoff: i64 = 168;
    pub const swapon: i64 = 167;
    pub const syslog: i64 = 103;
    pub const umount2: i64 = 166;
    pub const unshare: i64 = 272;
    pub const userfaultfd: i64 = 323;
}

#[cfg(not(target_arch = "x86_64"))]
#[allow(non_upper_case_globals)]
mod nr {
    pub const acct: i64 = 89;
    pub const add_key: i64 = 217;
    pub const bpf: i64 = 280;
    pub const chroot: i64 = 51;
    pub const clock_adjtime: i64 = 266;
    pub const clock_settime: i64 = 112;
    pub const delete_module: i64 = 106;
    pub const finit_module: i64 = 273;
    pub const fsopen: i64 = 430;
    pub const init_module: i64 = 105;
    pub const io_uring_enter: i64 = 426;
    pub const io_uring_register: i64 = 427;
    pub const io_uring_setup: i64 = 425;
    pub const kcmp: i64 = 272;
    pub const kexec_file_load: i64 = 294;
    pub const kexec_load: i64 = 104;
    pub const keyctl: i64 = 219;
    pub const lookup_dcookie: i64 = 18;
    pub const mount: i64 = 40;
    pub const open_by_handle_at: i64 = 265;
    pub const perf_event_open: i64 = 241;
    pub const personality: i64 = 92;
    pub const pivot_root: i64 = 41;
    pub const process_vm_readv: i64 = 270;
    pub const process_vm_writev: i64 = 271;
    pub const ptrace: i64 = 117;
    pub const quotactl: i64 = 60;
    pub const quotactl_fd: i64 = 443;
    pub const request_key: i64 = 218;
    pub const setns: i64 = 268;
    pub const settimeofday: i64 = 170;
    pub const swapoff: i64 = 225;
    pub const swapon: i64 = 224;
    pub const syslog: i64 = 116;
    pub const umount2: i64 = 39;
    pub const unshare: i64 = 97;
    pub const userfaultfd: i64 = 282;
}

/// The calls to refuse: the default list, `name` taken off it, `~name` put on it, in the order of the unit.
pub(super) fn denied(filter: &[(bool, String)]) -> Vec<String> {
    let mut denied: std::collections::BTreeSet<String> = default_denied()
        .iter()
        .filter(|n| CALLS.iter().any(|(c, _)| c == *n))
        .map(|s| (*s).to_owned())
        .collect();
    for (refuse, name) in filter {
        if *refuse {
            denied.insert(name.clone());
        } else {
            denied.remove(name);
        }
    }
    denied.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taking_one_away_never_gives_another() {
        const SYS_ADMIN: u64 = 1 << 21;
        const NET_RAW: u64 = 1 << 13;
        let check = |lines: &[(bool, u64)], user_namespace, expect: u64| {
            assert_eq!(capabilities(lines, user_namespace), expect, "{lines:?} {user_namespace}");
        };
        check(&[], true, default_capabilities(true));
        check(&[(true, NET_RAW)], true, default_capabilities(true) & !NET_RAW);
        check(&[(true, NET_RAW)], false, default_capabilities(false) & !NET_RAW);
        check(&[(false, SYS_ADMIN)], false, SYS_ADMIN);
        check(&[(false, SYS_ADMIN), (false, NET_RAW)], false, SYS_ADMIN | NET_RAW);
        check(&[(false, 0)], true, 0);
        assert_eq!(default_capabilities(false) & SYS_ADMIN, 0);
    }
}
