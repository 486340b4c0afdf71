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
    /// A Debian with the project's programs in it.
    pub root: PathBuf,
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
    let built = programs::built().expect("a test is in the folder where cargo builds");
    let shipped = ["ct", "ct-init", "host-supervisor"];
    let own = ["lab-agent", "probe"];
    let mut all: Vec<PathBuf> = Vec::new();
    for name in shipped {
        all.push(programs::path(name).unwrap_or_else(|| panic!("{name} is not built (make programs)")));
    }
    for name in own {
        all.push(programs::own(name).unwrap_or_else(|| panic!("{name} is not built (cargo build -p tests)")));
    }
    // Tests that run inside too.
    all.extend(newest(&built.join("deps"), "root-"));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("vm/image/build");
    let target = built.parent().expect("it is in one of the target's folders");
    let output = Command::new(&script)
        .arg(target)
        .args(&all)
        .stderr(Stdio::inherit())
        .output()
        .unwrap_or_else(|e| panic!("run {}: {e}", script.display()));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{} failed: {}\n{text}", script.display(), output.status);
    let get = |key: &str| {
        let path = text.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix('='));
        PathBuf::from(path.unwrap_or_else(|| panic!("{} said no {key}", script.display())))
    };
    Image { kernel: get("kernel"), initrd: get("initrd"), root: get("root") }
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
