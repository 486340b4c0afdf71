//! fake: a host that keeps state as the kernel would, and fails where it is told to. Touches no machine.
use host_supervisor::apply::{Cause, Host, Undo};
use host_supervisor::facts::{Cgroups, Controller};
use host_supervisor::plan::child::Child;
use host_supervisor::plan::{Group, Step, Tree};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// One cgroup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FakeGroup {
    /// Files that have been written.
    pub files: BTreeMap<String, String>,
    /// v2: what is handed down to the groups below.
    pub enabled: BTreeSet<Controller>,
    /// Whether the container's processes are in it.
    pub populated: bool,
    /// Host id that may make groups below it.
    pub owner: u32,
}

/// The container's first process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FakeChild {
    joins: Vec<Group>,
    mapped: bool,
    running: bool,
}

/// A host without files, groups and processes but for what plans make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FakeHost {
    cgroups: Cgroups,
    /// Directories but `/`.
    pub dirs: BTreeSet<PathBuf>,
    /// Sockets.
    pub files: BTreeSet<PathBuf>,
    /// Groups but the roots.
    pub groups: BTreeMap<Group, FakeGroup>,
    userns: bool,
    roots: Vec<PathBuf>,
    binds: Vec<PathBuf>,
    listening: bool,
    child: Option<FakeChild>,
    steps: usize,
    fail_at: Option<usize>,
}

fn said<T>(why: impl Into<String>) -> Result<T, Cause> {
    Err(Cause::Said(why.into()))
}

/// The controller whose file this is, by its name.
fn controller_of(file: &str) -> Option<Controller> {
    let prefix = file.split('.').next()?;
    Controller::ALL.into_iter().find(|c| c.name(false) == prefix || c.name(true) == prefix)
}

impl FakeHost {
    /// A host with these hierarchies.
    pub fn new(cgroups: Cgroups) -> FakeHost {
        FakeHost {
            cgroups,
            dirs: BTreeSet::new(),
            files: BTreeSet::new(),
            groups: BTreeMap::new(),
            userns: false,
            roots: Vec::new(),
            binds: Vec::new(),
            listening: false,
            child: None,
            steps: 0,
            fail_at: None,
        }
    }

    /// The step with this number, from 0, fails without doing anything.
    #[must_use]
    pub fn fail_at(mut self, n: usize) -> FakeHost {
        self.fail_at = Some(n);
        self
    }

    /// Forgets what was counted, so that two hosts can be compared.
    #[must_use]
    pub fn at_rest(mut self) -> FakeHost {
        self.steps = 0;
        self.fail_at = None;
        self
    }

    /// What the supervisor does after a start plan: it takes the child and drops what was prepared.
    pub fn take(&mut self) {
        self.userns = false;
        self.roots.clear();
        self.binds.clear();
        self.listening = false;
    }

    /// The container's processes end by themselves.
    pub fn die(&mut self) {
        self.child = None;
        self.groups.values_mut().for_each(|g| g.populated = false);
    }

    fn group(&mut self, group: &Group) -> Result<&mut FakeGroup, Cause> {
        self.groups.get_mut(group).ok_or_else(|| Cause::Said(format!("{group}: no such group")))
    }

    fn parent(&self, group: &Group) -> Option<Group> {
        let (parent, _) = group.path.rsplit_once('/')?;
        Some(Group { tree: group.tree, path: parent.to_owned() })
    }

    fn make_group(&mut self, group: &Group) -> Result<Undo, Cause> {
        let mounted = match group.tree {
            Tree::Unified => self.cgroups.unified.is_some(),
            Tree::V1(c) => self.cgroups.v1.contains_key(&c),
        };
        if !mounted {
            return said(format!("no {} hierarchy is mounted", group.tree));
        }
        if self.parent(group).is_some_and(|p| !self.groups.contains_key(&p)) {
            return said(format!("{group}: the group above it is missing"));
        }
        if self.groups.contains_key(group) {
            return Ok(Undo::Nothing);
        }
        self.groups.insert(group.clone(), FakeGroup::default());
        Ok(Undo::RemoveGroup(group.clone()))
    }

    /// A v2 group has a controller's files only where the group above hands that controller down.
    fn offers(&self, group: &Group, c: Controller) -> bool {
        match (group.tree, self.parent(group)) {
            (Tree::V1(own), _) => own == c,
            (Tree::Unified, None) => self.cgroups.v2.contains(&c) && self.enabled_at_root(c),
            (Tree::Unified, Some(p)) => self.groups.get(&p).is_some_and(|g| g.enabled.contains(&c)),
        }
    }

    fn enabled_at_root(&self, c: Controller) -> bool {
        let root = Group { tree: Tree::Unified, path: String::new() };
        self.groups.get(&root).is_some_and(|g| g.enabled.contains(&c))
    }

    fn enable(&mut self, group: &Group, controllers: &[Controller]) -> Result<(), Cause> {
        if group.path.is_empty() {
            // The root of a tree is always there, and what is enabled in it stays.
            self.groups.entry(group.clone()).or_default();
        }
        for &c in controllers {
            if !group.path.is_empty() && !self.offers(group, c) {
                return said(format!("{group}: {} is not handed down to it", c.name(false)));
            }
        }
        let found = self.group(group)?;
        if found.populated {
            return said(format!("{group}: processes are in it (EBUSY)"));
        }
        found.enabled.extend(controllers);
        Ok(())
    }

    fn write(&mut self, group: &Group, file: &str, value: &str) -> Result<Undo, Cause> {
        let Some(controller) = controller_of(file) else { return said(format!("{file}: whose file is it")) };
        if !self.offers(group, controller) {
            return said(format!("{group}/{file}: no such file"));
        }
        let memory = "memory.limit_in_bytes";
        if file == "memory.memsw.limit_in_bytes" && !self.group(group)?.files.contains_key(memory) {
            return said("memsw below the memory limit (EINVAL)");
        }
        let before = self.group(group)?.files.insert(file.to_owned(), value.to_owned());
        Ok(match before {
            Some(old) => Undo::Rewrite(group.clone(), file.to_owned(), old),
            None => Undo::Nothing,
        })
    }

    fn join(&mut self, group: &Group) -> Result<(), Cause> {
        if self.child.is_none() {
            return said("there is no child");
        }
        let found = self.group(group)?;
        let bare = !found.files.contains_key("cpuset.cpus") || !found.files.contains_key("cpuset.mems");
        if group.tree == Tree::V1(Controller::Cpuset) && bare {
            return said(format!("{group}: neither CPUs nor nodes (ENOSPC)"));
        }
        found.populated = true;
        Ok(())
    }

    fn make_dir(&mut self, path: &Path) -> Undo {
        let mut made: Vec<PathBuf> =
            path.ancestors().filter(|p| *p != Path::new("/")).map(Into::into).collect();
        made.retain(|p| self.dirs.insert(p.clone()));
        made.reverse();
        Undo::RemoveDirs(made)
    }

    fn remove_group(&mut self, group: &Group) -> Result<(), Cause> {
        let below = format!("{}/", group.path);
        let inside = |g: &Group| g.tree == group.tree && format!("{}/", g.path).starts_with(&below);
        if let Some((g, _)) = self.groups.iter().find(|(g, state)| inside(g) && state.populated) {
            return said(format!("{g}: processes are in it (EBUSY)"));
        }
        self.groups.retain(|g, _| !inside(g));
        Ok(())
    }

    fn kill(&mut self, group: &Group) {
        let below = format!("{}/", group.path);
        let inside = |g: &Group| g.tree == group.tree && format!("{}/", g.path).starts_with(&below);
        // PID 1 lives in the v2 group; with it, every process of its pid namespace dies.
        if self.groups.iter().any(|(g, state)| inside(g) && state.populated) {
            self.die();
        }
    }

    fn clone_child(&mut self, child: &Child) -> Result<Undo, Cause> {
        if self.roots.is_empty() || !self.listening {
            return said("a root and a socket come before the child");
        }
        if self.child.is_some() {
            return said("there is a child already");
        }
        if let Some(path) = &child.group {
            let group = Group { tree: Tree::Unified, path: path.clone() };
            if !self.group(&group)?.enabled.is_empty() {
                return said(format!("{group}: hands controllers down (EBUSY)"));
            }
            self.group(&group)?.populated = true;
        }
        let joins = child.joins.iter().map(|j| j.group.clone()).collect();
        self.child = Some(FakeChild { joins, mapped: false, running: false });
        Ok(Undo::KillChild)
    }

    fn child(&mut self) -> Result<&mut FakeChild, Cause> {
        self.child.as_mut().ok_or_else(|| Cause::Said("there is no child".into()))
    }
}

impl Host for FakeHost {
    fn apply(&mut self, step: &Step) -> Result<Undo, Cause> {
        self.steps += 1;
        if self.fail_at == Some(self.steps - 1) {
            return said("told to fail");
        }
        match step {
            Step::MakeDir { path, .. } => return Ok(self.make_dir(path)),
            Step::MakeGroup(g) => return self.make_group(g),
            Step::Enable { group, controllers } => self.enable(group, controllers)?,
            Step::InheritCpuset(g) => {
                let files = &mut self.group(g)?.files;
                files.entry("cpuset.cpus".into()).or_insert_with(|| "0".into());
                files.entry("cpuset.mems".into()).or_insert_with(|| "0".into());
            }
            Step::Reclaim { group, .. } => drop(self.group(group)?),
            Step::Write { group, file, value } => return self.write(group, file, value),
            Step::Delegate { group, owner } => self.group(group)?.owner = *owner,
            Step::MapIds(_) => {
                self.userns = true;
                return Ok(Undo::DropIds);
            }
            Step::MountDirectory { mapped, .. } | Step::MountOverlay { mapped, .. }
                if *mapped && !self.userns =>
            {
                return said("no map of ids was made");
            }
            Step::MountDirectory { source, .. } => {
                self.roots.push(source.clone());
                return Ok(Undo::DropRoot);
            }
            Step::MountOverlay { layers, .. } => {
                for part in ["upper", "work"] {
                    if !self.dirs.contains(&layers.changes.join(part)) {
                        return said(format!("{}: no {part} directory", layers.changes.display()));
                    }
                }
                self.roots.push(layers.lower.clone());
                return Ok(Undo::DropRoot);
            }
            Step::PrepareBind { bind, .. } => {
                self.binds.push(bind.source.clone());
                return Ok(Undo::DropBind);
            }
            Step::Listen(path) => {
                if !path.parent().is_some_and(|p| self.dirs.contains(p)) {
                    return said("the socket's directory is missing");
                }
                self.files.insert(path.clone());
                self.listening = true;
                return Ok(Undo::Unlisten(path.clone()));
            }
            Step::Clone(child) => return self.clone_child(child),
            Step::MapChild(_) => self.child()?.mapped = true,
            Step::Go => {
                let child = self.child()?;
                if child.running {
                    return said("it runs already");
                }
                child.running = true;
                let joins = child.joins.clone();
                joins.iter().try_for_each(|g| self.join(g))?;
            }
            Step::Thaw(_) => {}
            Step::Kill(g) => self.kill(g),
            Step::RemoveGroup(g) => self.remove_group(g)?,
            Step::RemoveFile(path) => {
                self.files.remove(path);
            }
            Step::RemoveDir(path) => {
                self.dirs.retain(|d| !d.starts_with(path));
                self.files.retain(|f| !f.starts_with(path));
            }
        }
        Ok(Undo::Nothing)
    }

    fn undo(&mut self, undo: Undo) {
        match undo {
            Undo::Nothing => {}
            Undo::RemoveDirs(made) => made.iter().for_each(|d| {
                self.dirs.remove(d);
            }),
            Undo::RemoveGroup(g) => self.remove_group(&g).expect("an undo finds its group empty"),
            Undo::Rewrite(g, file, value) => {
                self.group(&g).expect("an undo finds its group").files.insert(file, value);
            }
            Undo::DropIds => self.userns = false,
            Undo::DropRoot => drop(self.roots.pop().expect("a root to drop")),
            Undo::DropBind => drop(self.binds.pop().expect("a bind to drop")),
            Undo::Unlisten(path) => {
                self.listening = false;
                self.files.remove(&path);
            }
            Undo::KillChild => self.die(),
        }
    }
}
