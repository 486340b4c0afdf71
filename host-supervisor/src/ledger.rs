//! ledger: durable state in plain files, written when something changes: temp file, fsync, rename, fsync of the
//! directory. A file that can't be read is set aside with a word, never in the way.
use crate::control::protocol::ExitRow;
use crate::spec::{IdRange, Spec};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use units::machine::{Kept, Wanted};

/// Raised when a file's meaning changes; an unknown one is set aside.
pub const FORMAT: u32 = 1;

/// What a container keeps over boots: `var/lib/ct/containers/NAME/state.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Durable {
    /// Its host ids; they stay the same as long as it exists.
    pub ids: IdRange,
    /// Whether it was last wanted up, for `Autostart=last`.
    pub wanted_up: bool,
    /// The last ends, the newest first.
    #[serde(default)]
    pub exits: Vec<ExitRow>,
}

/// A container's life, as the next supervisor of this boot takes it up: `run/ct/lives/NAME.json`. One file, replaced as
/// a whole: what it says has happened, what it does not say has not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Life {
    /// The boot it belongs to; of another one, only the past is worth reading.
    pub boot_id: String,
    /// Its life cycle and counters.
    pub machine: Kept,
    /// What was asked of it and waits for its turn.
    #[serde(default)]
    pub queued: Option<Wanted>,
    /// The last ends, newest first: here as well, because the disk with the durable state may be full.
    #[serde(default)]
    pub exits: Vec<ExitRow>,
    /// What of it is, or may be, on this machine.
    pub run: Option<Running>,
}

/// What is there of a container that runs, or is about to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Running {
    /// Its PID 1; none: written down before anything was made, so whatever is there is of a start that was cut off.
    pub process: Option<Process>,
    /// Microseconds since 1970.
    pub started: u64,
    /// What it was started with.
    pub spec: Spec,
    /// OOM kills in its group when it was started.
    pub oom_before: u64,
}

/// A process that can't be taken for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// As the host sees it.
    pub pid: u32,
    /// Clock ticks since boot.
    pub start_time: u64,
    /// Whether it is known to have come to its exec.
    pub executed: bool,
}

#[derive(Serialize, Deserialize)]
struct Envelope<T> {
    format: u32,
    data: T,
}

/// What every format has.
#[derive(Deserialize)]
struct Head {
    format: u32,
}

/// Why a file gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// It can't be read or written.
    #[error("{0}: {1}")]
    Io(PathBuf, #[source] io::Error),
    /// It is torn, foreign, newer or empty; it now has this name.
    #[error("{path} is not a state file of this version ({why}); set aside as {aside}")]
    SetAside {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
        /// Its new name.
        aside: PathBuf,
    },
}

/// Reads a file; none if there is none.
///
/// # Errors
/// Where it can't be read, or was set aside.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, LedgerError> {
    let bytes = match fs::read(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(LedgerError::Io(path.to_path_buf(), e)),
        Ok(bytes) => bytes,
    };
    let why = match decode(&bytes) {
        Ok(data) => return Ok(Some(data)),
        Err(why) => why,
    };
    let aside = path.with_extension("json.bad");
    fs::rename(path, &aside).map_err(|e| LedgerError::Io(path.to_path_buf(), e))?;
    Err(LedgerError::SetAside { path: path.to_path_buf(), why, aside })
}

/// Whether a file could be read; leaves it where it is. None: there is none.
///
/// # Errors
/// Why not, as a sentence that names the file.
pub fn understood<T: DeserializeOwned>(path: &Path) -> Option<Result<(), String>> {
    let named = |why: String| format!("{}: {why}", path.display());
    match fs::read(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => Some(Err(named(e.to_string()))),
        Ok(bytes) => Some(decode::<T>(&bytes).map(drop).map_err(named)),
    }
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    // The format first: what another one holds is not ours to understand.
    match serde_json::from_slice::<Head>(bytes) {
        Ok(head) if head.format == FORMAT => {}
        Ok(head) if head.format > FORMAT => {
            return Err(format!("format {}, of a later version; this one knows {FORMAT}", head.format));
        }
        Ok(head) => return Err(format!("format {}, this one knows {FORMAT}", head.format)),
        Err(e) => return Err(e.to_string()),
    }
    serde_json::from_slice::<Envelope<T>>(bytes).map(|e| e.data).map_err(|e| e.to_string())
}

/// Writes a file so that a power cut leaves the old one or the new one.
///
/// # Errors
/// The step that failed; the old file is still there.
pub fn write<T: Serialize>(path: &Path, data: &T) -> Result<(), LedgerError> {
    let failed = |e: io::Error| LedgerError::Io(path.to_path_buf(), e);
    let bytes = serde_json::to_vec(&Envelope { format: FORMAT, data }).map_err(|e| failed(e.into()))?;
    replace(path, &bytes).map_err(failed)
}

/// The same for a file in memory, which no power cut leaves torn: where there is no room for a second one, the one that
/// is there is overwritten, by one write within a page, which is done or not done when a kill comes.
///
/// # Errors
/// The step that failed; the old file is still there.
pub fn write_in_memory<T: Serialize>(path: &Path, data: &T) -> Result<(), LedgerError> {
    let full = |e: &LedgerError| matches!(e, LedgerError::Io(_, e) if e.kind() == io::ErrorKind::StorageFull);
    let failed = |e: io::Error| LedgerError::Io(path.to_path_buf(), e);
    match write(path, data) {
        Err(e) if full(&e) => match overwrite(path, data).map_err(failed)? {
            true => Ok(()),
            false => Err(e),
        },
        done => done,
    }
}

/// What a file system in memory gives away at once, at least.
const PAGE: usize = 4096;

/// False: there is none, or it is too large.
fn overwrite<T: Serialize>(path: &Path, data: &T) -> io::Result<bool> {
    let mut bytes = serde_json::to_vec(&Envelope { format: FORMAT, data })?;
    let Ok(mut file) = OpenOptions::new().write(true).open(path) else { return Ok(false) };
    let old = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    if old == 0 || old.max(bytes.len()) > PAGE {
        return Ok(false);
    }
    // JSON does not mind blanks at its end.
    bytes.resize(bytes.len().max(old), b' ');
    Ok(file.write(&bytes)? == bytes.len())
}

/// Replaces any file durably; mode 0600 while it is new.
///
/// # Errors
/// What the kernel says.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    let temp = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temp)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&temp, path));
    if written.is_err() {
        let _ = fs::remove_file(&temp);
    }
    written?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn durable() -> Durable {
        Durable { ids: IdRange { base: 65536, size: 65536 }, wanted_up: true, exits: vec![] }
    }

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.json");
        assert_eq!(read::<Durable>(&path).unwrap(), None);
        write(&path, &durable()).unwrap();
        assert_eq!(read(&path).unwrap(), Some(durable()));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_is_overwritten_only_within_its_page() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("life.json");
        let long = |n: usize| "x".repeat(n);
        assert!(!overwrite(&path, &"none there").unwrap());
        assert!(!path.exists());
        write(&path, &long(1000)).unwrap();
        for text in [long(10), long(2000), long(30)] {
            assert!(overwrite(&path, &text).unwrap());
            assert_eq!(read(&path).unwrap(), Some(text));
        }
        assert!(!overwrite(&path, &long(PAGE)).unwrap());
        assert_eq!(read(&path).unwrap(), Some(long(30)));
    }

    #[test]
    fn torn_foreign_newer_and_empty_files_are_set_aside() {
        for bad in [
            "",
            "{\"format\":1,\"da",
            "hello",
            "{\"format\":99,\"data\":{\"ids\":{\"base\":1,\"size\":1},\"wanted_up\":true}}",
            "{\"format\":99,\"data\":[]}",
        ] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("state.json");
            fs::write(&path, bad).unwrap();
            let looked = understood::<Durable>(&path).unwrap().unwrap_err();
            let Err(LedgerError::SetAside { why, .. }) = read::<Durable>(&path) else { panic!("{bad}") };
            assert!(looked.ends_with(&why), "{looked}, {why}");
            assert_eq!(why.contains("later version"), bad.contains("99"), "{why}");
            assert_eq!(fs::read_to_string(dir.path().join("state.json.bad")).unwrap(), bad);
            assert_eq!(read::<Durable>(&path).unwrap(), None);
        }
    }
}
