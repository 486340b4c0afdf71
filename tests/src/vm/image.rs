//! image: kernel, first file system and root that machines boot from. Made by `tests/vm/image/build`, once for all.
use crate::programs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// What every machine boots from.
#[derive(Clone, Debug)]
pub struct Image {
    /// An uncompressed kernel.
    pub kernel: PathBuf,
    /// What is there before the root.
    pub initrd: PathBuf,
    /// A Debian with the project's programs in it; none: the root is on a disk of the machine.
    pub root: Option<PathBuf>,
    /// What the kernel is told of it.
    pub arguments: String,
}

/// The appliance, built of the programs that are tested.
#[derive(Clone, Debug)]
pub struct Appliance {
    /// What QEMU loads, as its firmware would from the disk.
    pub image: Image,
    /// The disk.
    pub disk: PathBuf,
}

/// What `make appliance` makes, of the project's programs that were built last.
///
/// # Panics
/// Where it can't be made; the reason is on stderr.
pub fn appliance() -> Appliance {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../appliance/build");
    let made = Made::by(&script, &target().join("appliance-test"), &shipped());
    let arguments = std::fs::read_to_string(made.get("arguments")).expect("read its arguments");
    let image = Image { kernel: made.get("kernel"), initrd: made.get("initrd"), root: None, arguments };
    Appliance { image, disk: made.get("disk") }
}

/// The project's programs inside are the ones that were built last.
///
/// # Panics
/// Where it can't be made; the reason is on stderr.
pub fn image() -> &'static Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(build)
}

fn build() -> Image {
    let mut all = shipped();
    for name in ["lab-agent", "probe"] {
        all.push(programs::own(name).unwrap_or_else(|| panic!("{name} is not built (cargo build -p tests)")));
    }
    // Tests that run inside too.
    let built = programs::built().expect("a test is in the folder where cargo builds");
    all.extend(newest(&built.join("deps"), "root-"));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("vm/image/build");
    let made = Made::by(&script, &target(), &all);
    let arguments = "root=/dev/vda".to_owned();
    Image { kernel: made.get("kernel"), initrd: made.get("initrd"), root: Some(made.get("root")), arguments }
}

fn shipped() -> Vec<PathBuf> {
    let find = |name| programs::path(name).unwrap_or_else(|| panic!("{name} is not built (make programs)"));
    ["ct", "ct-init", "host-supervisor"].map(find).to_vec()
}

/// Cargo's target folder.
fn target() -> PathBuf {
    let built = programs::built().expect("a test is in the folder where cargo builds");
    built.parent().expect("it is in one of the target's folders").to_path_buf()
}

/// What a script has said it made: `KEY=PATH` a line.
struct Made(String);

impl Made {
    fn by(script: &Path, folder: &Path, programs: &[PathBuf]) -> Made {
        let output = Command::new(script)
            .arg(folder)
            .args(programs)
            .stderr(Stdio::inherit())
            .output()
            .unwrap_or_else(|e| panic!("run {}: {e}", script.display()));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{} failed: {}\n{text}", script.display(), output.status);
        Made(text)
    }

    fn get(&self, key: &str) -> PathBuf {
        let path = self.0.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix('='));
        PathBuf::from(path.unwrap_or_else(|| panic!("no {key} was made: {}", self.0)))
    }
}

/// The last built test of this name.
fn newest(dir: &Path, prefix: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(dir).ok()?.flatten();
    let tests = entries.filter(|e| {
        let name = e.file_name();
        let name = name.to_string_lossy();
        name.strip_prefix(prefix).is_some_and(|hash| hash.len() == 16 && !hash.contains('.'))
    });
    tests.max_by_key(|e| e.metadata().and_then(|m| m.modified()).ok()).map(|e| e.path())
}
