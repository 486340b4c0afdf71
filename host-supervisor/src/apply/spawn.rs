//! spawn: the one clone3 of a container, with every descriptor its script names. The child waits for Go.
use super::Cause;
use crate::facts::Cgroups;
use crate::plan::child::{Child, Slots, denied_numbers};
use crate::plan::{Group, Tree};
use ct_sys::script::{Filter, Script, Target};
use ct_sys::{FIRST_FREE_FD, Spawned};
use nix::fcntl::{FcntlArg, OFlag, SealFlag, fcntl, open};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::Mode;
use nix::time::{ClockId, clock_gettime};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

/// A child on its way to exec.
#[derive(Debug)]
pub struct Launch {
    /// pid, pidfd, error pipe.
    pub spawned: Spawned,
    /// What it runs; explains its errors.
    pub script: Script,
    /// One byte lets it go; dropping it ends the child.
    pub go: OwnedFd,
    /// What PID 1 says on stdout and stderr, see [`last_words`].
    pub words: OwnedFd,
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
    cgroups: &Cgroups,
) -> Result<Launch, Cause> {
    let (go_reader, go) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
    let listen = prepared.listen.as_ref().ok_or_else(|| Cause::Said("no socket was made for it".into()))?;
    let handover = handover(child)?;
    let null = open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
    let words = words()?;
    // Numbers that the script gives the new program must not be those that it gives them from.
    let mut high = Vec::new();
    let mut lift = |fd: &OwnedFd| -> Result<RawFd, Cause> {
        let raw = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(FIRST_FREE_FD)).map_err(too_many)?;
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
        log: lift(&words)?,
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
    Ok(Launch { spawned, script, go, words })
}

/// Whole seconds, rounded down: an offset must not put a clock below zero.
fn clock(id: ClockId) -> Result<i64, Cause> {
    Ok(clock_gettime(id)?.tv_sec())
}

/// So much of what PID 1 says by itself is kept. ct-init has its own log soon, this is for when it comes to none.
const WORDS: i64 = 64 * 1024;

/// A file in memory that can't grow: whoever is inside may fill it, and no more.
fn words() -> Result<OwnedFd, Cause> {
    let fd = memfd_create(c"words", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
    nix::unistd::ftruncate(&fd, WORDS)?;
    let seals = SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_SEAL;
    fcntl(&fd, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(fd)
}

/// The last line that a PID 1 has said, if it has said any; as hostile as all that comes from inside.
pub fn last_words(words: &OwnedFd) -> Option<String> {
    let mut bytes = vec![0u8; usize::try_from(WORDS).ok()?];
    let n = nix::sys::uio::pread(words, &mut bytes, 0).ok()?;
    let text = String::from_utf8_lossy(bytes.get(..n)?).into_owned();
    let said = text.trim_end_matches('\0').lines().rfind(|l| !l.trim().is_empty())?;
    Some(said.chars().take(200).collect())
}

/// A limit of open files below the number asked for is EINVAL to fcntl, and EMFILE everywhere else.
fn too_many(e: nix::errno::Errno) -> nix::errno::Errno {
    if e == nix::errno::Errno::EINVAL { nix::errno::Errno::EMFILE } else { e }
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
