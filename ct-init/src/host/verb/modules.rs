//! modules: loads kernel modules, with modprobe(8) where there is one, by modules.dep where there is none.
use super::{VerbError, configured};
use crate::root::Root;
use rustix::fs::{CWD, Mode, OFlags};
use std::collections::BTreeMap;
use std::process::Command;

const DIRECTORIES: [&str; 4] = [
    "/etc/modules-load.d",
    "/run/modules-load.d",
    "/usr/local/lib/modules-load.d",
    "/usr/lib/modules-load.d",
];
const MODPROBE: [&str; 4] = ["/usr/sbin/modprobe", "/sbin/modprobe", "/usr/bin/modprobe", "/bin/modprobe"];

/// Those of modules-load.d and of the kernel's command line.
pub(super) fn load_configured() -> Result<(), VerbError> {
    let root = Root::new("/");
    load(&root, &configured_names(&root))
}

/// Their names, in order.
pub(crate) fn configured_names(root: &Root) -> Vec<String> {
    let names = configured(root, &DIRECTORIES).into_iter().map(|(_, line)| line);
    names.chain(crate::host::command_line().modules).collect()
}

/// Loads modules by name, in this order; one that fails keeps no other from being loaded.
pub fn load(root: &Root, names: &[String]) -> Result<(), VerbError> {
    if names.is_empty() {
        return Ok(());
    }
    let modprobe = MODPROBE.iter().find(|p| root.exists(p));
    let own = if modprobe.is_some() { None } else { Some(Index::read(root)?) };
    let failed = names.iter().filter(|name| {
        let loaded = match (modprobe, &own) {
            (Some(program), _) => with_modprobe(program, &["-b", name.as_str()]),
            (None, Some(index)) => index.load(root, name),
            (None, None) => Ok(()),
        };
        if let Err(why) = &loaded {
            eprintln!("load module {name}: {why}");
        }
        loaded.is_err()
    });
    match failed.count() {
        0 => Ok(()),
        n => Err(VerbError::Some(n, names.len())),
    }
}

/// Loads whatever drives devices that describe themselves so; unknown ones are no mistake.
pub(super) fn load_aliases(root: &Root, aliases: &[String]) -> Result<(), VerbError> {
    let Some(program) = MODPROBE.iter().find(|p| root.exists(p)) else {
        return Err(VerbError::Said(
            "there is no modprobe, so no drivers are looked for (install kmod)".to_owned(),
        ));
    };
    for some in aliases.chunks(64) {
        let words: Vec<&str> =
            ["-a", "-b", "-q"].into_iter().chain(some.iter().map(String::as_str)).collect();
        // Ends with 1 where one alias of many has no module, which is usual.
        let _some_unknown = with_modprobe(program, &words);
    }
    Ok(())
}

fn with_modprobe(program: &str, words: &[&str]) -> Result<(), String> {
    match Command::new(program).args(words).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{program}: {status}")),
        Err(e) => Err(format!("{program}: {e}")),
    }
}

/// modules.dep: the file of each module and those it needs.
#[derive(Debug, Default)]
struct Index {
    directory: String,
    files: BTreeMap<String, (String, Vec<String>)>,
}

impl Index {
    fn read(root: &Root) -> Result<Index, VerbError> {
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        let directory = format!("/lib/modules/{release}");
        let path = format!("{directory}/modules.dep");
        let text =
            std::fs::read_to_string(root.join(&path)).map_err(VerbError::io(format!("read {path}")))?;
        Ok(Index { directory, files: parse(&text) })
    }

    /// What it needs first, in the order of modules.dep read backwards; then itself.
    fn load(&self, root: &Root, name: &str) -> Result<(), String> {
        let (file, needs) = self.files.get(&name.replace('-', "_")).ok_or("there is no such module")?;
        for file in needs.iter().rev().chain([file]) {
            let path = format!("{}/{file}", self.directory);
            insert(root, &path).map_err(|e| format!("{path}: {e}"))?;
        }
        Ok(())
    }
}

fn parse(text: &str) -> BTreeMap<String, (String, Vec<String>)> {
    let entry = |line: &str| {
        let (file, needs) = line.split_once(':')?;
        let name = file.rsplit('/').next()?.split('.').next()?.replace('-', "_");
        Some((name, (file.to_owned(), needs.split_whitespace().map(str::to_owned).collect())))
    };
    text.lines().filter_map(entry).collect()
}

/// The kernel unpacks what it was built to unpack.
fn insert(root: &Root, path: &str) -> Result<(), std::io::Error> {
    let file = rustix::fs::openat(CWD, root.join(path), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let packed = [".xz", ".zst", ".gz"].iter().any(|end| path.ends_with(end));
    // MODULE_INIT_COMPRESSED_FILE of linux/module.h.
    let flags = nix::kmod::ModuleInitFlags::from_bits_retain(if packed { 4 } else { 0 });
    match nix::kmod::finit_module(&file, c"", flags) {
        Ok(()) | Err(nix::errno::Errno::EEXIST) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_dep_is_read() {
        let text = "kernel/fs/ext4/ext4.ko: kernel/fs/jbd2/jbd2.ko kernel/lib/crc16.ko\nkernel/a-b.ko.xz:\n";
        let index = parse(text);
        let needs = vec!["kernel/fs/jbd2/jbd2.ko".to_owned(), "kernel/lib/crc16.ko".to_owned()];
        assert_eq!(index.get("ext4"), Some(&("kernel/fs/ext4/ext4.ko".to_owned(), needs)));
        assert_eq!(index.get("a_b"), Some(&("kernel/a-b.ko.xz".to_owned(), vec![])));
    }
}
