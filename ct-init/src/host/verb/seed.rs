//! seed: carries randomness over a reboot, in /var/lib/ct-init/random-seed. A seed is used once.
use super::VerbError;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

const FILE: &str = "/var/lib/ct-init/random-seed";
const BYTES: usize = 512;

/// Mixes the last boot's seed in and replaces it at once: after a crash the same one must not be used again.
pub(super) fn load() -> Result<(), VerbError> {
    match std::fs::read(FILE) {
        Ok(seed) => {
            let mut pool = std::fs::OpenOptions::new().write(true).open("/dev/urandom");
            // Mixed in without being trusted: who could write the file could have chosen it.
            let mixed = pool.as_mut().map_or(Ok(()), |pool| pool.write_all(&seed));
            mixed.map_err(VerbError::io("write to /dev/urandom"))?;
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => (),
        Err(e) => eprintln!("read {FILE}: {e}"),
    }
    save()
}

/// Writes a new one for the next boot.
pub(super) fn save() -> Result<(), VerbError> {
    let mut seed = [0u8; BYTES];
    // Randomness that is not ready yet is no seed for anybody.
    let got = rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::NONBLOCK);
    let got = match got {
        Err(rustix::io::Errno::AGAIN) => return Ok(()),
        other => other.map_err(VerbError::errno("read randomness"))?,
    };
    let seed = seed.get(..got).unwrap_or(&[]);
    std::fs::create_dir_all("/var/lib/ct-init").map_err(VerbError::io("make /var/lib/ct-init"))?;
    let new = format!("{FILE}.new");
    let file = std::fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&new);
    let written = file.and_then(|mut file| file.write_all(seed).and_then(|()| file.sync_all()));
    written.and_then(|()| std::fs::rename(&new, FILE)).map_err(VerbError::io(format!("write {FILE}")))
}
