//! files: what is shipped is sound in the eyes of the programs that read it.
use crate::prefix::{Prefix, project};
use std::fs;
use std::path::Path;
use std::process::Command;
use tests::need::{Need, have};
use units::UnitName;
use units::merge::{Fragment, assemble};

#[test]
fn examples_are_without_a_mistake() {
    let mut count = 0;
    for entry in fs::read_dir(project().join("units/shipped/examples")).expect("the examples") {
        let path = entry.expect("an example").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let text = Fragment { path: name.clone(), bytes: fs::read(&path).expect("read it") };
        let (unit, found) =
            assemble(&UnitName::parse(&name).expect("a unit's name"), &[text], &Default::default());
        assert!(unit.is_some() && found.0.is_empty(), "{found:?}");
        count += 1;
    }
    assert!(count >= 3, "only {count} examples");
}

#[test]
fn no_place_holder_is_installed() {
    let prefix = Prefix::install();
    let files = prefix.files("share/ct").into_iter().chain(prefix.files("lib/systemd"));
    let text = |p: &Path| fs::read_to_string(p).expect("a text");
    let bad: Vec<_> = files.filter(|p| text(p).contains("DIR@")).collect();
    assert!(bad.is_empty(), "{bad:?}");
}

#[test]
fn uninstall_takes_all_of_it_away() {
    let prefix = Prefix::install();
    let mut make = Command::new("make");
    make.current_dir(project()).args(["-s", "uninstall"]).arg(format!("PREFIX={}", prefix.at("").display()));
    let made = make.env_remove("MAKEFLAGS").env_remove("MAKELEVEL").env_remove("DESTDIR").output();
    let made = made.expect("run make");
    assert!(made.status.success(), "{made:?}");
    assert_eq!(prefix.files(""), Vec::<std::path::PathBuf>::new());
}

/// On a host whose PID 1 is ct-init: the kernel finds it, and it finds the supervisor.
#[test]
fn a_host_of_ct_inits_own_is_installed_and_uninstalled() {
    let dir = tempfile::TempDir::with_prefix("ct-host-").expect("a temporary directory");
    let make = |target: &str| {
        let mut make = Command::new("make");
        make.current_dir(project()).args(["-s", target, "PREFIX=/usr"]);
        make.arg(format!("DESTDIR={}", dir.path().display()));
        let made = make.env_remove("MAKEFLAGS").env_remove("MFLAGS").env_remove("MAKELEVEL").output();
        let made = made.expect("run make");
        assert!(made.status.success(), "{made:?}");
    };
    make("install-names");
    for name in ["init", "poweroff", "reboot", "halt", "shutdown", "telinit"] {
        let to = fs::read_link(dir.path().join("sbin").join(name)).expect("a link");
        assert_eq!(to, Path::new("/usr/sbin/ct-init"));
    }
    let root = ct_init::root::Root::new(dir.path());
    let loader = ct_init::load::Loader::new(&root, ct_init::host::Level::Host);
    let haul = loader.load(&[UnitName::default_target()], &Default::default());
    let found = |name: &str| haul.units.iter().any(|u| u.name.as_str() == name);
    assert!(found("host-supervisor.service") && found("ct-containers.service"), "{:?}", haul.absent);
    assert_eq!(haul.notices, [""; 0]);
    make("uninstall");
    let left = Command::new("find").arg(dir.path()).args(["!", "-type", "d"]).output().expect("find");
    assert_eq!(String::from_utf8_lossy(&left.stdout), "");
}

fn passes(program: &str, arguments: &[&str], files: &[std::path::PathBuf]) {
    assert!(!files.is_empty(), "{program} has nothing to look at");
    let out = Command::new(program).args(arguments).args(files).output().expect("run the checker");
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    assert!(out.status.success(), "{}{}", text(&out.stdout), text(&out.stderr));
    assert_eq!(text(&out.stderr), "", "it warns");
}

#[test]
fn scripts_pass_shellcheck() {
    if !have("scripts_pass_shellcheck", &[Need::Program("/usr/bin/shellcheck", "shellcheck")]) {
        return;
    }
    let is_script = |p: &std::path::PathBuf| fs::read(p).expect("read it").starts_with(b"#!/");
    let prefix = Prefix::install();
    let scripts: Vec<_> = prefix.files("share/ct").into_iter().filter(is_script).collect();
    // SC1091: the settings are on the host where it runs.
    passes("shellcheck", &["--severity=style", "--exclude=SC1091"], &scripts);
}

#[test]
fn systemd_takes_its_units() {
    if !have("systemd_takes_its_units", &[Need::Program("/usr/bin/systemd-analyze", "systemd")]) {
        return;
    }
    let prefix = Prefix::install();
    passes(
        "systemd-analyze",
        &["verify", "--man=no", "--recursive-errors=no"],
        &prefix.files("lib/systemd/system"),
    );
}

/// What s6-rc-compile insists on: each service has a type that it knows, what the type needs, and depends on services
/// that are there.
#[test]
fn s6_rc_finds_what_it_needs() {
    let prefix = Prefix::install();
    let read = |p: &str| fs::read_to_string(prefix.at(&format!("share/ct/s6/{p}"))).unwrap_or_default();
    for (service, kind, needs) in [("ct", "longrun", "run"), ("ct-containers", "oneshot", "down")] {
        assert_eq!(read(&format!("{service}/type")), format!("{kind}\n"));
        assert!(!read(&format!("{service}/{needs}")).is_empty(), "{service}/{needs}");
    }
    let dependencies =
        fs::read_dir(prefix.at("share/ct/s6/ct-containers/dependencies.d")).expect("a directory");
    for name in dependencies.map(|d| d.expect("an entry").file_name()) {
        assert!(prefix.at("share/ct/s6").join(&name).is_dir(), "{name:?}");
    }
}
