//! generate: writes the units that a host's configuration stands for: file systems, swap, logins. Run at boot and at
//! each reload, before units are loaded.
use super::VerbError;
use super::mount::tool;
use crate::host::{command_line, conf, console, fstab};
use crate::root::Root;
use std::os::unix::fs::symlink;
use std::path::Path;

/// Writes to `directory`, which is emptied by nobody else at the same time.
pub(super) fn all(directory: &str) -> Result<(), VerbError> {
    let root = Root::new("/");
    let directory = Path::new(directory);
    let mut mistakes = Vec::new();
    match root.read("/etc/fstab") {
        Ok(text) => {
            let (units, wrong) = fstab::generate("/etc/fstab", &String::from_utf8_lossy(&text));
            mistakes = wrong;
            for unit in units {
                write(directory, &unit.name, &unit.text)?;
                if let Some(target) = unit.wanted_by {
                    link(directory, &target, &unit.name, &format!("../{}", unit.name))?;
                }
            }
        }
        Err(e) if e.is_missing() => (),
        Err(e) => mistakes.push(crate::chain(&e)),
    }
    logins(directory)?;
    attempts(directory, &root)?;
    if command_line().debug {
        let name = "debug-shell.service";
        link(directory, "sysinit.target.wants", name, &format!("../{name}"))?;
    }
    for mistake in &mistakes {
        eprintln!("{mistake}");
    }
    if mistakes.is_empty() { Ok(()) } else { Err(VerbError::Some(mistakes.len(), mistakes.len())) }
}

/// A login on each terminal of the console, if anything can ask for a name there.
fn logins(directory: &Path) -> Result<(), VerbError> {
    if tool("agetty").or_else(|| tool("getty")).is_none() {
        return Ok(());
    }
    for terminal in console::terminals() {
        let name = match terminal.as_str() {
            "tty0" => "getty@tty1.service".to_owned(),
            // Whatever another console is, it has no login.
            other if !Path::new(&format!("/dev/{other}")).exists() => continue,
            other => format!("serial-getty@{other}.service"),
        };
        let template = if name.starts_with("serial") { "serial-getty@.service" } else { "getty@.service" };
        link(directory, "getty.target.wants", &name, &format!("../{template}"))?;
    }
    Ok(())
}

/// What counts boots, where that is wanted.
fn attempts(directory: &Path, root: &Root) -> Result<(), VerbError> {
    let (conf, _said_by_pid_1) = conf::parse(conf::PATH, &root.read(conf::PATH).unwrap_or_default());
    if conf.attempts == 0 {
        return Ok(());
    }
    let begin = format!(
        "[Unit]\nDescription=Count of boots in a row\nDocumentation=man:ct-host(7)\nDefaultDependencies=no\n\
         After=sysinit.target\nBefore=basic.target\nOnFailure={}\n[Service]\nType=oneshot\nRemainAfterExit=yes\n\
         ExecStart=@/proc/1/exe ct-init boot-attempt\n",
        conf.fallback
    );
    let good = "[Unit]\nDescription=This boot has got where it should\nDocumentation=man:ct-host(7)\n\
                After=multi-user.target host-supervisor.service\n[Service]\nType=oneshot\nRemainAfterExit=yes\n\
                ExecStart=@/proc/1/exe ct-init boot-good\n";
    for (name, text, inside) in [
        ("ct-boot-attempt.service", begin.as_str(), "basic.target.requires"),
        ("ct-boot-good.service", good, "multi-user.target.wants"),
    ] {
        write(directory, name, text)?;
        link(directory, inside, name, &format!("../{name}"))?;
    }
    Ok(())
}

fn write(directory: &Path, name: &str, text: &str) -> Result<(), VerbError> {
    let path = directory.join(name);
    std::fs::write(&path, text).map_err(VerbError::io(format!("write {}", path.display())))
}

fn link(directory: &Path, inside: &str, name: &str, to: &str) -> Result<(), VerbError> {
    let inside = directory.join(inside);
    let path = inside.join(name);
    let made = std::fs::create_dir_all(&inside).and_then(|()| match symlink(to, &path) {
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    });
    made.map_err(VerbError::io(format!("link {}", path.display())))
}
