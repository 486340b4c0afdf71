//! Tests of the catalog on a file system that is a map.
use super::*;

/// Paths to contents; `-> TARGET` is a link, `!WHY` can't be used, anything else a file.
struct Map(BTreeMap<String, String>);

impl Map {
    fn new(entries: &[(&str, &str)]) -> Map {
        Map(entries.iter().map(|(path, content)| ((*path).to_owned(), (*content).to_owned())).collect())
    }
    fn at(&self, path: &str, hops: u32) -> Found {
        let Some(content) = self.0.get(path) else {
            let inside = self.0.keys().filter_map(|p| p.strip_prefix(path)?.strip_prefix('/'));
            let names: BTreeSet<String> =
                inside.filter_map(|rest| rest.split('/').next()).map(str::to_owned).collect();
            return if names.is_empty() {
                Found::Missing
            } else {
                Found::Directory(names.into_iter().collect())
            };
        };
        match (content.strip_prefix("-> "), content.strip_prefix('!')) {
            (Some(target), _) if hops == 0 => Found::Link(target.to_owned()),
            (Some("/dev/null"), _) => Found::Unusable("is a device".to_owned()),
            (Some(target), _) if hops < 20 => {
                let (dir, _) = path.rsplit_once('/').unwrap();
                self.at(&resolve(dir, target), hops + 1)
            }
            (Some(_), _) => Found::Unusable("is a link to itself".to_owned()),
            (None, Some(why)) => Found::Unusable(why.to_owned()),
            (None, None) => Found::File(content.clone().into_bytes()),
        }
    }
}

impl Files for Map {
    fn look(&self, path: &str) -> Found {
        self.at(path, 0)
    }
    fn read(&self, path: &str) -> Found {
        match self.at(path, 1) {
            Found::Link(_) => panic!("read followed no link at {path}"),
            found => found,
        }
    }
}

const SEARCH: [&str; 3] = ["/etc/u", "/run/u", "/lib/u"];
const PLAIN: &str = "[Unit]\nDescription=plain\n[Service]\nExecStart=/a\n";

fn with<T>(entries: &[(&str, &str)], ask: impl FnOnce(&Catalog<'_>) -> T) -> T {
    let files = Map::new(entries);
    let search: Vec<String> = SEARCH.iter().map(|s| (*s).to_owned()).collect();
    ask(&Catalog::new(&files, &search, &["service", "target", "container"], &Context::default()))
}

fn unit(name: &str) -> UnitName {
    UnitName::parse(name).unwrap()
}

/// `a.service` or `b.service as a.service`, what became of it, and its description; then what was said.
fn show(loaded: &Loaded) -> String {
    let mut out = loaded.name.to_string();
    for alias in &loaded.aliases {
        out += &format!(" as {alias}");
    }
    out += &match &loaded.outcome {
        Outcome::Unit(unit) => format!(": {}", unit.unit.description.as_deref().unwrap_or("-")),
        Outcome::Masked => ": masked".to_owned(),
        Outcome::Missing => ": missing".to_owned(),
        Outcome::Broken => ": broken".to_owned(),
    };
    for said in &loaded.diagnostics.0 {
        out += &format!("; {said}");
    }
    out
}

fn check(entries: &[(&str, &str)], asked: &str, expect: &str) {
    let got = with(entries, |catalog| show(&catalog.load(&unit(asked))));
    assert_eq!(got, expect, "{asked} of {entries:#?}");
}

#[test]
fn main_files() {
    let other = PLAIN.replace("plain", "other");
    let other = other.as_str();
    check(&[], "a.service", "a.service: missing");
    check(&[("/lib/u/a.service", PLAIN)], "a.service", "a.service: plain");
    check(&[("/etc/u/a.service", other), ("/lib/u/a.service", PLAIN)], "a.service", "a.service: other");
    check(
        &[("/etc/u/a.service", "-> /opt/x/a.service"), ("/opt/x/a.service", other)],
        "a.service",
        "a.service: other",
    );
    check(
        &[("/etc/u/a.service", "-> /opt/x/b.service"), ("/opt/x/b.service", other)],
        "a.service",
        "a.service: other",
    );
    check(
        &[("/etc/u/a.service", "-> ../../lib/u/a.service"), ("/lib/u/a.service", PLAIN)],
        "a.service",
        "a.service: plain",
    );
}

#[test]
fn masks() {
    check(
        &[("/etc/u/a.service", "-> /dev/null"), ("/lib/u/a.service", PLAIN)],
        "a.service",
        "a.service: masked",
    );
    check(&[("/etc/u/a.service", "-> ../../dev/null")], "a.service", "a.service: masked");
    check(&[("/etc/u/a.service", ""), ("/lib/u/a.service", PLAIN)], "a.service", "a.service: masked");
    check(&[("/etc/u/a@.service", "-> /dev/null")], "a@b.service", "a@b.service: masked");
    check(
        &[("/etc/u/a.service", "-> /lib/u/b.service"), ("/lib/u/b.service", "-> /dev/null")],
        "a.service",
        "b.service as a.service: masked",
    );
}

#[test]
fn aliases() {
    let link = ("/etc/u/a.service", "-> /lib/u/b.service");
    check(&[link, ("/lib/u/b.service", PLAIN)], "a.service", "b.service as a.service: plain");
    check(&[link], "a.service", "b.service as a.service: missing");
    check(
        &[("/etc/u/a.service", "-> /usr/lib/u/b.service"), ("/lib/u/b.service", PLAIN)],
        "a.service",
        "b.service as a.service: plain",
    );
    check(
        &[("/etc/u/a.service", "-> b.service"), ("/lib/u/b.service", PLAIN)],
        "a.service",
        "b.service as a.service: plain",
    );
    check(
        &[
            ("/lib/u/a.service", "-> b.service"),
            ("/lib/u/b.service", "-> c.service"),
            ("/lib/u/c.service", PLAIN),
        ],
        "a.service",
        "c.service as a.service as b.service: plain",
    );
    check(
        &[("/lib/u/a.service", "-> b.target"), ("/lib/u/b.target", "")],
        "a.service",
        "a.service: broken; /lib/u/a.service: links to b.target, a unit of another kind",
    );
    check(
        &[("/lib/u/a.service", "-> b.service"), ("/lib/u/b.service", "-> a.service")],
        "a.service",
        &format!(
            "a.service{}: broken; a.service: its names are links that lead in a circle (to b.service in the end)",
            " as a.service as b.service".repeat(8)
        ),
    );
    let listed = with(&[link, ("/lib/u/b.service", PLAIN), ("/lib/u/c.service", PLAIN)], |c| {
        c.aliases_of(&unit("b.service"))
    });
    assert_eq!(listed, [unit("a.service")]);
}

#[test]
fn templates() {
    let template = ("/lib/u/a@.service", "[Unit]\nDescription=%i\n[Service]\nExecStart=/a\n");
    check(&[template], "a@x.service", "a@x.service: x");
    check(&[template, ("/lib/u/a@x.service", PLAIN)], "a@x.service", "a@x.service: plain");
    check(&[template, ("/etc/u/a@x.service", "-> /lib/u/a@.service")], "a@x.service", "a@x.service: x");
    check(
        &[template, ("/etc/u/b@.service", "-> /lib/u/a@.service")],
        "b@x.service",
        "a@x.service as b@x.service: x",
    );
    check(
        &[template, ("/etc/u/b.service", "-> /lib/u/a@y.service")],
        "b.service",
        "a@y.service as b.service: y",
    );
    check(
        &[template, ("/etc/u/b.service", "-> /lib/u/a@.service")],
        "b.service",
        "b.service: broken; /etc/u/b.service: links to the template a@.service, which has no instance here",
    );
    check(&[template], "a.service", "a.service: missing");
}

#[test]
fn drop_ins() {
    let plain = ("/lib/u/a-b.service", PLAIN);
    let says = |name: &str| format!("[Unit]\nDescription={name}\n");
    let (one, two) = (says("one"), says("two"));
    let (one, two) = (one.as_str(), two.as_str());
    let c = |more: &[(&str, &str)], expect: &str| {
        let entries: Vec<_> = [plain].into_iter().chain(more.iter().copied()).collect();
        check(&entries, "a-b.service", &format!("a-b.service: {expect}"));
    };
    c(&[("/etc/u/a-b.service.d/x.conf", one)], "one");
    c(&[("/etc/u/a-b.service.d/10.conf", one), ("/lib/u/a-b.service.d/20.conf", two)], "two");
    c(&[("/etc/u/a-b.service.d/x.conf", one), ("/lib/u/a-b.service.d/x.conf", two)], "one");
    c(&[("/etc/u/a-b.service.d/x.conf", "-> /dev/null"), ("/lib/u/a-b.service.d/x.conf", two)], "plain");
    c(&[("/etc/u/a-b.service.d/x.conf", ""), ("/lib/u/a-b.service.d/x.conf", two)], "plain");
    c(&[("/etc/u/a-.service.d/x.conf", one)], "one");
    c(&[("/etc/u/service.d/x.conf", one)], "one");
    c(&[("/etc/u/service.d/x.conf", one), ("/lib/u/a-.service.d/x.conf", two)], "two");
    c(&[("/etc/u/a-.service.d/x.conf", one), ("/etc/u/a-b.service.d/x.conf", two)], "two");
    c(&[("/etc/u/a-b.service.d/x.txt", one), ("/etc/u/a-b.service.d/.x.conf", one)], "plain");
    c(&[("/etc/u/a-b.service.d/x.conf", "-> /opt/x"), ("/opt/x", one)], "one");
    c(
        &[("/etc/u/a-b.service.d/x.conf", "-> /opt/x")],
        "plain; /etc/u/a-b.service.d/x.conf: warning: is a link that leads nowhere",
    );
    c(
        &[("/etc/u/a-b.service.d/x.conf", "[Service]\nExecStart=/b 'c\n")],
        "broken; /etc/u/a-b.service.d/x.conf:2:14: ExecStart: the ' that opens here is never closed",
    );
    check(
        &[
            ("/lib/u/a@.service", PLAIN),
            ("/etc/u/a@.service.d/x.conf", one),
            ("/etc/u/a@i.service.d/x.conf", two),
        ],
        "a@i.service",
        "a@i.service: two",
    );
    check(
        &[plain, ("/etc/u/b.service", "-> /lib/u/a-b.service"), ("/etc/u/b.service.d/x.conf", one)],
        "b.service",
        "a-b.service as b.service: one",
    );
}

#[test]
fn drop_ins_of_a_container_must_be_readable() {
    let main = ("/etc/u/web.container", "[Container]\nTemplate=t\n");
    check(
        &[main, ("/etc/u/web.container.d/50-set.conf", "!holds 12 MB, at most 1 MB")],
        "web.container",
        "web.container: broken; /etc/u/web.container.d/50-set.conf: holds 12 MB, at most 1 MB",
    );
}

#[test]
fn files_that_are_none() {
    check(
        &[("/etc/u/a.service", "!is a device")],
        "a.service",
        "a.service: broken; /etc/u/a.service: is a device",
    );
    check(
        &[("/etc/u/a.service/x", "")],
        "a.service",
        "a.service: broken; /etc/u/a.service: is a directory, not a unit file",
    );
    check(
        &[("/etc/u/a.service", "-> /opt/a.service"), ("/lib/u/a.service", PLAIN)],
        "a.service",
        "a.service: broken; /etc/u/a.service: is a link that leads nowhere",
    );
}

#[test]
fn wants_and_requires() {
    let entries = [
        ("/lib/u/a.target", "[Unit]\nDescription=a"),
        ("/etc/u/a.target.wants/x.service", "-> /lib/u/x.service"),
        ("/lib/u/a.target.wants/y.service", "-> ../nowhere"),
        ("/lib/u/a.target.wants/README", "not a unit"),
        ("/etc/u/a.target.wants/z.service", "-> /dev/null"),
        ("/lib/u/a.target.wants/z.service", "-> ../z.service"),
        ("/lib/u/a.target.upholds/u.service", "-> ../u.service"),
        ("/run/u/a.target.requires/r.service", "-> ../r.service"),
        ("/etc/u/b.target", "-> /lib/u/a.target"),
        ("/etc/u/b.target.wants/w.service", "-> /lib/u/w.service"),
        ("/lib/u/t@.service.wants/s@.service", "-> ../s@.service"),
    ];
    with(&entries, |catalog| {
        let shown = |names: &[UnitName]| names.iter().map(UnitName::as_str).collect::<Vec<_>>().join(" ");
        assert_eq!(shown(&catalog.wants_of(&unit("a.target"))), "u.service x.service y.service");
        assert_eq!(shown(&catalog.requires_of(&unit("a.target"))), "r.service");
        assert_eq!(shown(&catalog.wants_of(&unit("t@i.service"))), "s@i.service");
        let loaded = catalog.load(&unit("b.target"));
        let Outcome::Unit(target) = loaded.outcome else { panic!("{loaded:?}") };
        assert_eq!(shown(&target.unit.wants), "u.service w.service x.service y.service");
        assert_eq!(shown(&target.unit.requires), "r.service");
        assert_eq!(shown(&catalog.names()), "a.target b.target");
    });
}

#[test]
fn names_are_listed_once_and_by_kind() {
    let entries = [
        ("/etc/u/a.service", PLAIN),
        ("/lib/u/a.service", PLAIN),
        ("/lib/u/b@.service", PLAIN),
        ("/lib/u/c.socket", ""),
        ("/lib/u/README", ""),
    ];
    let names = with(&entries, |catalog| catalog.names());
    assert_eq!(names, [unit("a.service"), unit("b@.service")]);
}
