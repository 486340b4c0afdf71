//! devices: finds the drivers of devices that were there before anybody listened. Makes no device nodes: devtmpfs does.
use super::{VerbError, modules};
use crate::root::Root;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// busybox's device manager, where somebody has configured it.
const MDEV: [&str; 2] = ["/sbin/mdev", "/usr/sbin/mdev"];

/// Loads what the devices below /sys ask for, then has mdev look at all of them where it is set up.
pub(super) fn coldplug() -> Result<(), VerbError> {
    let root = Root::new("/");
    let mut aliases = BTreeSet::new();
    // A driver that is loaded may show more devices: again, until there is nothing new.
    for _ in 0..4 {
        let mut found = BTreeSet::new();
        collect(&root.join("/sys/devices"), &mut found, 16);
        let new: Vec<String> = found.difference(&aliases).cloned().collect();
        if new.is_empty() {
            break;
        }
        modules::load_aliases(&root, &new)?;
        aliases.extend(found);
    }
    if root.exists("/etc/mdev.conf")
        && let Some(mdev) = MDEV.iter().find(|p| root.exists(p))
    {
        let status = Command::new(mdev).arg("-s").status().map_err(VerbError::io(format!("run {mdev}")))?;
        if !status.success() {
            return Err(VerbError::Said(format!("{mdev} -s: {status}")));
        }
    }
    Ok(())
}

fn collect(directory: &Path, found: &mut BTreeSet<String>, depth: u8) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && depth > 0 => collect(&entry.path(), found, depth - 1),
            // One that has its driver needs none.
            Ok(kind)
                if kind.is_file()
                    && entry.file_name() == "modalias"
                    && !directory.join("driver").exists() =>
            {
                let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
                found.extend(Some(text.trim().to_owned()).filter(|t| !t.is_empty()));
            }
            Ok(_) | Err(_) => (),
        }
    }
}
