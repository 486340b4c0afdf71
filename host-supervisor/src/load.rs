//! load: units and host.conf from the folders of a root. Reads only; decides nothing.
use crate::facts::HostFacts;
use crate::paths::Paths;
use crate::resolve::host::{HostConf, host_conf};
use ct_init::root::Root;
use units::catalog::{Catalog, Loaded};
use units::merge::Fragment;
use units::{Diagnostics, UnitName};

/// Where container units are, the first wins. /run/ct/units holds what `ct set` changes for one run.
pub const SEARCH: [&str; 3] = ["/etc/ct", "/run/ct/units", "/usr/lib/ct"];

/// Reads host.conf and what is in host.conf.d, in order of the names.
pub fn load_host_conf(paths: &Paths) -> (HostConf, Diagnostics) {
    let root = Root::new(paths.root());
    let mut names: Vec<String> = root.list("/etc/ct/host.conf.d").unwrap_or_default();
    names.retain(|n| n.ends_with(".conf"));
    let drop_ins = names.iter().map(|n| format!("/etc/ct/host.conf.d/{n}"));
    let fragment = |path: String| root.read(&path).ok().map(|bytes| Fragment { path, bytes });
    let fragments: Vec<Fragment> =
        std::iter::once("/etc/ct/host.conf".to_owned()).chain(drop_ins).filter_map(fragment).collect();
    host_conf(&fragments)
}

/// Reads every container unit below a root, without a supervisor. For each name, what became of it.
pub fn load_all(paths: &Paths, facts: &HostFacts) -> Vec<Loaded> {
    let (root, context) = (Root::new(paths.root()), specifiers(facts));
    let search = SEARCH.map(str::to_owned);
    let catalog = Catalog::new(&root, &search, &["container"], &context);
    catalog.names().iter().filter(|n| !n.is_template()).map(|n| catalog.load(n)).collect()
}

/// Reads one, also an instance of a template.
pub fn load_one(paths: &Paths, facts: &HostFacts, name: &UnitName) -> Loaded {
    let (root, context) = (Root::new(paths.root()), specifiers(facts));
    let search = SEARCH.map(str::to_owned);
    Catalog::new(&root, &search, &["container"], &context).load(name)
}

/// `web` as `web.container`.
pub fn unit_name(name: &str) -> UnitName {
    UnitName::lossy(name, "container")
}

/// Facts as specifiers.
pub fn specifiers(facts: &HostFacts) -> units::parse::specifier::Context {
    units::parse::specifier::Context {
        hostname: Some(facts.hostname.clone()).filter(|s| !s.is_empty()),
        machine_id: facts.machine_id.clone(),
        boot_id: Some(facts.boot_id.replace('-', "")).filter(|s| !s.is_empty()),
        kernel_release: Some(facts.kernel.clone()).filter(|s| !s.is_empty()),
        architecture: Some(facts.machine.replace('_', "-")),
        ..units::parse::specifier::Context::default()
    }
}
