//! attempt: counts boots that did not get anywhere, in /var/lib/ct-init/boot-attempts, so that a host which can't come
//! up as it is configured comes up in another way.
use super::VerbError;
use crate::host::conf;
use crate::root::Root;
use std::io::Write;

const FILE: &str = "/var/lib/ct-init/boot-attempts";

/// One more. Fails where there were too many in a row: its unit's OnFailure= is the fallback.
pub(super) fn begin() -> Result<(), VerbError> {
    let text = Root::new("/").read(conf::PATH).unwrap_or_default();
    let (conf, _said_by_pid_1) = conf::parse(conf::PATH, &text);
    let before = read();
    write(before.saturating_add(1))?;
    if conf.attempts > 0 && before >= conf.attempts {
        return Err(VerbError::Said(format!(
            "{before} boots in a row did not reach the default unit: goes to {} instead \
             (ct-init boot-good forgets them)",
            conf.fallback
        )));
    }
    Ok(())
}

/// The boot has got where it should.
pub(super) fn good() -> Result<(), VerbError> {
    if read() == 0 { Ok(()) } else { write(0) }
}

/// A file that can't be read as a number counts as none: it must not keep a host from booting.
fn read() -> u32 {
    std::fs::read_to_string(FILE).ok().and_then(|t| t.trim().parse().ok()).unwrap_or(0)
}

fn write(count: u32) -> Result<(), VerbError> {
    let write = || -> std::io::Result<()> {
        std::fs::create_dir_all("/var/lib/ct-init")?;
        let new = format!("{FILE}.new");
        let mut file = std::fs::File::create(&new)?;
        writeln!(file, "{count}")?;
        file.sync_all()?;
        std::fs::rename(&new, FILE)?;
        std::fs::File::open("/var/lib/ct-init")?.sync_all()
    };
    write().map_err(VerbError::io(format!("write {FILE}")))
}
