//! effect: turns a command line of a unit into a script for a new process. Starts nothing itself.
pub mod directories;
pub mod powers;
pub mod stdio;

use crate::environment::{self, Facts};
use crate::passwd::{AccountError, Accounts, User};
use crate::root::{Root, RootError};
use ct_sys::flags;
use ct_sys::script::{Op, Script};
use powers::{Powers, hard_limit};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use units::schema::service::{Command, Context, ExecPhase, Service};

/// Why a command can't even be tried.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// `User=`, `Group=`, `SupplementaryGroups=`.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// No such program in PATH.
    #[error("program {0:?} is not in {path}", path = environment::PATH)]
    NoProgram(String),
    /// A relative path.
    #[error("program {0:?} is neither a name nor an absolute path")]
    Relative(String),
    /// `EnvironmentFile=` without `-`.
    #[error("read the environment file")]
    EnvironmentFile(#[source] RootError),
    /// A string with a NUL byte.
    #[error("{0:?} holds a NUL byte")]
    Nul(String),
    /// `StandardInput=` and its kin.
    #[error("open {0} for {1}")]
    Stdio(String, &'static str, #[source] std::io::Error),
    /// `RuntimeDirectory=` and its kin, `PrivateTmp=`.
    #[error("make directory {0}")]
    Directory(String, #[source] std::io::Error),
    /// The unit's output pipe or cgroup.
    #[error("prepare {0}")]
    Prepare(&'static str, #[source] std::io::Error),
    /// clone3.
    #[error("make a process")]
    Clone(#[source] std::io::Error),
}

impl SetupError {
    pub(crate) fn nul(text: &str) -> SetupError {
        SetupError::Nul(text.to_owned())
    }
    pub(crate) fn directory(path: &str, e: Errno) -> SetupError {
        SetupError::Directory(path.to_owned(), e.into())
    }
}

/// Who a service runs as, looked up for one start.
#[derive(Clone, Debug)]
pub struct Identity {
    /// `User=`; none: root, and no login variables.
    pub user: Option<User>,
    /// Group id.
    pub gid: u32,
    /// All groups.
    pub groups: Vec<u32>,
}

impl Identity {
    /// Reads the accounts and finds what the unit names in them.
    pub fn find(root: &Root, context: &Context) -> Result<Identity, SetupError> {
        if context.user.is_none() && context.group.is_none() && context.supplementary_groups.is_empty() {
            return Ok(Identity { user: None, gid: 0, groups: vec![0] });
        }
        let accounts = Accounts::read(root)?;
        let user = context.user.as_deref().map(|name| accounts.user(name)).transpose()?;
        let gid = match (&context.group, &user) {
            (Some(group), _) => accounts.group(group)?,
            (None, Some(user)) => user.gid,
            (None, None) => 0,
        };
        let mut groups = match &user {
            Some(user) => accounts.groups_of(&user.name, gid),
            None => vec![gid],
        };
        for name in &context.supplementary_groups {
            let gid = accounts.group(name)?;
            if !groups.contains(&gid) {
                groups.push(gid);
            }
        }
        Ok(Identity { user, gid, groups })
    }

    /// The numeric user.
    pub fn uid(&self) -> u32 {
        self.user.as_ref().map_or(0, |u| u.uid)
    }
}

/// Everything that one command line needs, besides itself.
#[derive(Debug)]
pub struct Launch<'a> {
    /// Where files are looked up.
    pub root: &'a Root,
    /// The service.
    pub service: &'a Service,
    /// The phase it is for.
    pub phase: ExecPhase,
    /// Who it runs as.
    pub identity: &'a Identity,
    /// Descriptors 0, 1 and 2.
    pub stdio: &'a stdio::Stdio,
    /// Facts that become variables.
    pub facts: &'a Facts<'a>,
    /// ct-init's own file, for a program that is handed sockets.
    pub own: RawFd,
    /// What this PID 1 may do to processes of its own.
    pub powers: Powers,
    /// The directory that holds the private /tmp, if it has one.
    pub private_tmp: Option<&'a str>,
}

/// The script for one command line. `handed` are the sockets it gets, and their names.
pub fn script(
    launch: &Launch<'_>,
    command: &Command,
    handed: &(Vec<OwnedFd>, String),
) -> Result<Script, SetupError> {
    let context = &launch.service.context;
    let mut env = environment::build(context, launch.facts, &environment_files(launch.root, context)?);
    let argv = argv(command, &env);
    let path = program(launch.root, &command.program)?;
    let sandboxed = !command.full_privileges;
    let as_user = sandboxed && !command.keep_user && !only_start_as_user(launch);
    let mut script = Script::new();
    script.push(Op::NewSession);
    script.push(Op::Signals { ignore_pipe: context.ignore_sigpipe });
    attributes(&mut script, context, launch.powers)?;
    if sandboxed {
        private_tmp(&mut script, launch.private_tmp)?;
    }
    if let Some(top) = &context.root_directory {
        script.push(Op::Chroot(c(top)?));
    }
    // Descriptors before the user changes: they may be root's.
    launch.stdio.push(&mut script);
    if sandboxed {
        privileges(&mut script, context, launch.identity, as_user);
    }
    // As the user: a directory that it can't enter is its own mistake to see.
    working_directory(&mut script, launch)?;
    if sandboxed && context.no_new_privileges {
        script.push(Op::NoNewPrivs);
    }
    if handed.0.is_empty() {
        script.push(Op::CloseFrom(3));
        script.push(Op::Exec { path: c(&path)?, argv: strings(argv)?, env: variables(&env)? });
    } else {
        hand_over(&mut script, launch.own, handed, &path, argv, &mut env)?;
    }
    Ok(script)
}

/// The sockets become descriptors 3 and up. LISTEN_PID has to be the process's own, which only it knows: ct-init's
/// own file is executed first and sets it.
fn hand_over(
    script: &mut Script,
    own: RawFd,
    (fds, names): &(Vec<OwnedFd>, String),
    path: &str,
    argv: Vec<String>,
    env: &mut BTreeMap<String, String>,
) -> Result<(), SetupError> {
    env.insert("LISTEN_FDS".to_owned(), fds.len().to_string());
    env.insert("LISTEN_FDNAMES".to_owned(), names.clone());
    let mut next = 3;
    for fd in fds {
        script.push(Op::Dup { from: fd.as_raw_fd(), to: next });
        next += 1;
    }
    script.push(Op::CloseFrom(next));
    let words = ["ct-init", "listen", path].map(str::to_owned).into_iter().chain(argv);
    let (argv, env) = (strings(words.collect())?, variables(env)?);
    script.push(Op::ExecFd { fd: own, argv, env });
    Ok(())
}

fn strings(list: Vec<String>) -> Result<Vec<CString>, SetupError> {
    list.iter().map(|s| c(s)).collect()
}

fn variables(env: &BTreeMap<String, String>) -> Result<Vec<CString>, SetupError> {
    env.iter().map(|(k, v)| c(&format!("{k}={v}"))).collect()
}

fn only_start_as_user(launch: &Launch<'_>) -> bool {
    launch.service.context.permissions_start_only && launch.phase != ExecPhase::Start
}

/// As systemd in a container does, what needs the host's privileges is left at what the container has.
fn attributes(script: &mut Script, context: &Context, powers: Powers) -> Result<(), SetupError> {
    if let Some(op) = powers.oom_score_op(context.oom_score_adjust) {
        script.push(op);
    }
    for (kind, limit) in &context.limits {
        let (mut soft, mut hard) = (limit.soft.unwrap_or(u64::MAX), limit.hard.unwrap_or(u64::MAX));
        if !powers.raises_limits {
            let highest = hard_limit(*kind);
            (soft, hard) = (soft.min(highest), hard.min(highest));
        }
        script.push(Op::Rlimit { kind: *kind as u8, soft, hard });
    }
    if let Some(nice) = context.nice.filter(|n| *n >= 0 || powers.raises_priority) {
        script.push(Op::Nice(i32::from(nice)));
    }
    script.push(Op::Umask(context.umask.0));
    Ok(())
}

fn private_tmp(script: &mut Script, directory: Option<&str>) -> Result<(), SetupError> {
    const MS_BIND: u64 = 4096;
    let Some(directory) = directory else { return Ok(()) };
    script.push(Op::Unshare(flags::NEWNS));
    script.push(Op::MountsPrivate);
    // /tmp last: it covers the directory that both come from.
    for (from, to) in [("var-tmp", "/var/tmp"), ("tmp", "/tmp")] {
        let source = c(&format!("{directory}/{from}"))?;
        let none = CString::default;
        script.push(Op::Mount { source, target: c(to)?, fstype: none(), flags: MS_BIND, data: none() });
    }
    Ok(())
}

fn privileges(script: &mut Script, context: &Context, identity: &Identity, as_user: bool) {
    if let Some(bits) = context.bounding {
        script.push(Op::Bounding(bits));
    }
    if !as_user {
        return;
    }
    let changes_user = identity.user.is_some();
    if context.ambient != 0 && changes_user {
        script.push(Op::KeepCaps);
    }
    if changes_user || identity.gid != 0 || identity.groups.len() > 1 {
        script.push(Op::Groups(identity.groups.clone()));
        script.push(Op::Gid(identity.gid));
    }
    if changes_user {
        script.push(Op::Uid(identity.uid()));
    }
    if context.ambient != 0 {
        script.push(Op::Ambient(context.ambient));
    }
}

fn working_directory(script: &mut Script, launch: &Launch<'_>) -> Result<(), SetupError> {
    let Some(directory) = &launch.service.context.working_directory else {
        script.push(Op::Chdir(c"/".to_owned()));
        return Ok(());
    };
    let home = launch.identity.user.as_ref().map_or("/root", |u| u.home.as_str());
    let path = if directory.path == "~" { home } else { directory.path.as_str() };
    let path = if directory.optional && !launch.root.exists(path) { "/" } else { path };
    script.push(Op::Chdir(c(path)?));
    Ok(())
}

fn environment_files(root: &Root, context: &Context) -> Result<Vec<(String, String)>, SetupError> {
    let mut all = Vec::new();
    for (path, optional) in &context.environment_files {
        for path in crate::load::glob::expand(root, path) {
            match root.read(&path) {
                Ok(bytes) => all.extend(units::parse::environment::parse(&bytes).pairs),
                Err(e) if *optional && e.is_missing() => (),
                Err(e) => return Err(SetupError::EnvironmentFile(e)),
            }
        }
    }
    Ok(all)
}

fn argv(command: &Command, env: &BTreeMap<String, String>) -> Vec<String> {
    if command.no_expand {
        return command.argv.clone();
    }
    units::parse::command::expand(command, &|name| env.get(name).cloned())
}

/// Where a program is: a path as it stands, a name in PATH.
pub fn program(root: &Root, name: &str) -> Result<String, SetupError> {
    if name.starts_with('/') {
        return Ok(name.to_owned());
    }
    if name.contains('/') || name.is_empty() {
        return Err(SetupError::Relative(name.to_owned()));
    }
    let candidates = environment::PATH.split(':').map(|dir| format!("{dir}/{name}"));
    let is_program = |path: &String| root.stat(path).is_some_and(|s| s.st_mode & 0o111 != 0);
    candidates.into_iter().find(is_program).ok_or_else(|| SetupError::NoProgram(name.to_owned()))
}

pub(crate) fn c(text: &str) -> Result<CString, SetupError> {
    CString::new(text).map_err(|_| SetupError::nul(text))
}
