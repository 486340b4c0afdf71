//! spawn: the one clone3 of a container, with every descriptor its script names. The child waits for Go.
use super::Cause;
use crate::facts::Cgroups;
use crate::plan::child::{Child, Slots, denied_numbers};
use crate::plan::{Group, Tree};
use ct_sys::script::{Filter, Script, Target};
use ct_sys::{FIRST_FREE_FD, Spawned};
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::Mode;
use nix::time::{ClockId, clock_gettime};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::Path;

/// A child on its way to exec.
#[derive(Debug)]
pub struct Launch {
    /// pid, pidfd, error pipe.
    pub spawned: Spawned,
    /// What it runs; explains its errors.
    pub script: Script,
    /// One byte lets it go; dropping it ends the child.
    pub go: OwnedFd,
}

/// What earlier steps have made for the child.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    pub(super) userns: Option<super::mounts::UserNamespace>,
    pub(super) roots: Vec<OwnedFd>,
    pub(super) binds: Vec<Option<(OwnedFd, Target)>>,
    pub(super) listen: Option<OwnedFd>,
}

/// Clones the child.
pub(super) fn launch(
    child: &Child,
    prepared: &Prepared,
    init: &OwnedFd,
    log: &Path,
    cgroups: &Cgroups,
) -> Result<Launch, Cause> {
    let (go_reader, go) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
    let listen = prepared.listen.as_ref().ok_or_else(|| Cause::Said("no socket was made for it".into()))?;
    let handover = handover(child)?;
    let null = open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
    let flags = OFlag::O_WRONLY | OFlag::O_APPEND | OFlag::O_CREAT | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    // A disk that takes nothing costs ct-init's own words, not the container.
    let log = open(log, flags, Mode::from_bits_truncate(0o600)).or_else(|_| null.try_clone())?;
    // Numbers that the script gives the new program must not be those that it gives them from.
    let mut high = Vec::new();
    let mut lift = |fd: &OwnedFd| -> Result<RawFd, Cause> {
        let raw = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(FIRST_FREE_FD))?;
        high.push(ct_sys::proc::inherited(raw));
        Ok(raw)
    };
    let slots = Slots {
        go: lift(&go_reader)?,
        go_writer: go.as_raw_fd(),
        roots: prepared.roots.iter().map(&mut lift).collect::<Result<_, _>>()?,
        binds: prepared
            .binds
            .iter()
            .map(|b| b.as_ref().map(|(fd, make)| Ok((lift(fd)?, *make))).transpose())
            .collect::<Result<_, Cause>>()?,
        init: lift(init)?,
        listen: lift(listen)?,
        handover: lift(&handover)?,
        log: lift(&log)?,
        null: lift(&null)?,
        clocks: (-clock(ClockId::CLOCK_MONOTONIC)?, -clock(ClockId::CLOCK_BOOTTIME)?),
        filter: filter(&denied_numbers(&child.spec))?,
    };
    let script = child.script(&slots).map_err(|e| Cause::Said(e.to_string()))?;
    let group = child.group.as_ref().map(|g| Group { tree: Tree::Unified, path: g.clone() });
    let group = match group {
        Some(g) => Some(fs::File::open(super::cgroup::path(cgroups, &g)?)?),
        None => None,
    };
    let spawned = ct_sys::spawn(&script, child.namespaces(), group.as_ref().map(AsFd::as_fd))?;
    Ok(Launch { spawned, script, go })
}

/// Whole seconds, rounded down: an offset must not put a clock below zero.
fn clock(id: ClockId) -> Result<i64, Cause> {
    Ok(clock_gettime(id)?.tv_sec())
}

fn handover(child: &Child) -> Result<OwnedFd, Cause> {
    let bytes = postcard::to_stdvec(&child.handover()).map_err(|e| Cause::Said(format!("handover: {e}")))?;
    let fd = memfd_create(c"handover", MFdFlags::MFD_CLOEXEC)?;
    let mut file = fs::File::from(fd);
    file.write_all(&bytes)?;
    std::io::Seek::rewind(&mut file)?;
    Ok(file.into())
}

/// The program that refuses these calls with EPERM, and any call of another architecture.
fn filter(denied: &[i64]) -> Result<Vec<Filter>, Cause> {
    use seccompiler::{
        BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
        SeccompRule,
    };
    let said = |e: seccompiler::BackendError| Cause::Said(format!("system call filter: {e}"));
    let arch = std::env::consts::ARCH.try_into().map_err(said)?;
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = denied.iter().map(|n| (*n, vec![])).collect();
    // TIOCSTI types into another's terminal; its number is the second argument of ioctl.
    let sti = SeccompCondition::new(1, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, nix::libc::TIOCSTI)
        .map_err(said)?;
    rules.insert(nix::libc::SYS_ioctl, vec![SeccompRule::new(vec![sti]).map_err(said)?]);
    let eperm = SeccompAction::Errno(nix::libc::EPERM as u32);
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, eperm, arch).map_err(said)?;
    let program: BpfProgram = filter.try_into().map_err(said)?;
    Ok(program.iter().map(|i| Filter { code: i.code, jt: i.jt, jf: i.jf, k: i.k }).collect())
}
