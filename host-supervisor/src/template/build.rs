//! build: a distribution's packages become a template, by mmdebstrap or debootstrap. Downloads nothing itself, and
//! takes sources and keys from the machine's own apt.
use super::store::{Workshop, size};
use super::{Kind, TemplateError, io, sources};
use crate::paths::Paths;
use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// What a template is built of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuildOptions {
    /// `bookworm`; none: that of this machine.
    pub suite: Option<String>,
    /// Packages beside the smallest system that apt runs in.
    pub packages: Vec<String>,
    /// Where the packages are; none: where this machine's apt finds them.
    pub mirror: Option<String>,
}

impl BuildOptions {
    /// One setting of `ct template build`: `Suite`, `Packages` (commas or blanks between them, repeatable), `Mirror`.
    ///
    /// # Errors
    /// The key is unknown, or the value could be taken for something else by the tools it is handed to.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), TemplateError> {
        let bad = |why| TemplateError::Option { key: key.to_owned(), value: value.to_owned(), why };
        match key {
            "Suite" => match plain(value) {
                true => self.suite = Some(value.to_owned()),
                false => return Err(bad("is no name of a suite (try bookworm)")),
            },
            "Packages" => {
                let names: Vec<_> = value.split([',', ' ']).filter(|p| !p.is_empty()).collect();
                if !names.iter().all(|p| plain(p)) {
                    return Err(bad("a package's name is of small letters, digits, '+', '-' and '.'"));
                }
                self.packages.extend(names.into_iter().map(str::to_owned));
            }
            "Mirror" => {
                let known = ["http://", "https://", "file:/", "copy:/"].iter().any(|p| value.starts_with(p));
                if !known || value.contains(|c: char| c.is_whitespace() || c.is_control()) {
                    return Err(bad("is no URL of a mirror (http://, https://, file:/ or copy:/)"));
                }
                self.mirror = Some(value.to_owned());
            }
            _ => return Err(bad("there is no such setting (Kind, Suite, Packages and Mirror are)")),
        }
        Ok(())
    }
}

/// Begins with a small letter or digit, so that no option can be meant.
fn plain(word: &str) -> bool {
    let small = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    word.starts_with(small) && word.chars().all(|c| small(c) || matches!(c, '+' | '-' | '.'))
}

/// Makes the template `name` of packages; `kind` says of which distribution: `debian`.
///
/// `said` is told every line the tool prints.
///
/// # Errors
/// No tool, no sources, no mirror, or what the tool says last. Then no template of that name is there.
pub fn build(
    paths: &Paths,
    name: &str,
    kind: &str,
    options: &BuildOptions,
    said: &mut dyn FnMut(&str),
) -> Result<(), TemplateError> {
    if kind != "debian" {
        return Err(TemplateError::Recipe(kind.to_owned()));
    }
    let suite = options.suite.clone().unwrap_or_else(machine_suite);
    let tool = tool().ok_or(TemplateError::NoTool)?;
    let lines = sources(&suite, options)?;
    let workshop = Workshop::open(paths, name)?;
    run(tool, &suite, &lines, options, workshop.dir(), said)?;
    settle(workshop.dir())?;
    let bytes = size(workshop.dir());
    workshop.finish(Kind::Built, bytes)
}

/// VERSION_CODENAME of this machine; stable where it has none.
fn machine_suite() -> String {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = text.lines().find_map(|l| l.strip_prefix("VERSION_CODENAME=")).unwrap_or_default();
    let name = name.trim_matches('"');
    if plain(name) { name.to_owned() } else { "stable".to_owned() }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tool {
    Mmdebstrap,
    Debootstrap,
}

impl Tool {
    fn name(self) -> &'static str {
        match self {
            Tool::Mmdebstrap => "mmdebstrap",
            Tool::Debootstrap => "debootstrap",
        }
    }
}

fn tool() -> Option<Tool> {
    let there = |t: &Tool| ["/usr/bin", "/usr/sbin"].iter().any(|d| Path::new(d).join(t.name()).exists());
    [Tool::Mmdebstrap, Tool::Debootstrap].into_iter().find(there)
}

fn sources(suite: &str, options: &BuildOptions) -> Result<Vec<String>, TemplateError> {
    if let Some(mirror) = &options.mirror {
        return Ok(vec![format!("deb {mirror} {suite} main")]);
    }
    let mut texts = Vec::new();
    let mut read = |path: &Path| {
        if let Ok(text) = fs::read_to_string(path) {
            texts.push((path.to_string_lossy().into_owned(), text));
        }
    };
    read(Path::new("/etc/apt/sources.list"));
    let parts = fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().filter_map(Result::ok);
    let mut parts: Vec<_> = parts.map(|e| e.path()).collect();
    parts.sort();
    let known = |p: &&std::path::PathBuf| p.extension().is_some_and(|e| e == "list" || e == "sources");
    parts.iter().filter(known).for_each(|p| read(p));
    match sources::of_suite(&texts, suite) {
        lines if lines.is_empty() => Err(TemplateError::NoSource(suite.to_owned())),
        lines => Ok(lines),
    }
}

fn command(tool: Tool, suite: &str, lines: &[String], options: &BuildOptions, dir: &Path) -> Command {
    let packages = options.packages.join(",");
    let mut command = Command::new(tool.name());
    command.env("LC_ALL", "C.UTF-8").env("DEBIAN_FRONTEND", "noninteractive");
    match tool {
        Tool::Mmdebstrap => {
            command.args(["--mode=root", "--format=directory", "--variant=minbase"]);
            // The templates' directory is closed to all but root, apt's own user among them.
            command.arg("--aptopt=APT::Sandbox::User \"root\"");
            command.args(network().iter().map(|o| format!("--aptopt={o}")));
            if !packages.is_empty() {
                command.arg(format!("--include={packages}"));
            }
            command.arg("--").arg(suite).arg(dir).arg("-");
        }
        Tool::Debootstrap => {
            command.arg("--variant=minbase");
            if !packages.is_empty() {
                command.arg(format!("--include={packages}"));
            }
            let of_suite = |l: &&String| l.split(' ').any(|w| w == suite);
            let uri = lines.iter().find(of_suite).and_then(|l| l.split(' ').find(|w| w.contains(":/")));
            command.arg("--").arg(suite).arg(dir).args(uri);
        }
    }
    command
}

/// How this machine's apt gets to the network: proxies, certificates, patience. Not kept in the template.
fn network() -> Vec<String> {
    let dump = Command::new("apt-config").arg("dump").output().map(|o| o.stdout).unwrap_or_default();
    let dump = String::from_utf8_lossy(&dump).into_owned();
    let wanted = |l: &&str| {
        let l = l.to_ascii_lowercase();
        let hooks = l.contains("proxy-auto-detect") || l.contains("proxyautodetect");
        !hooks && ["acquire::http", "acquire::https", "acquire::retries"].iter().any(|p| l.starts_with(p))
    };
    dump.lines().filter(wanted).filter(|l| !l.ends_with(" \"\";")).map(str::to_owned).collect()
}

fn run(
    tool: Tool,
    suite: &str,
    lines: &[String],
    options: &BuildOptions,
    dir: &Path,
    said: &mut dyn FnMut(&str),
) -> Result<(), TemplateError> {
    let started = command(tool, suite, lines, options, dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = started.map_err(|e| match e.kind() {
        ErrorKind::NotFound => TemplateError::NoTool,
        _ => io("run", tool.name(), e),
    })?;
    if let Some(mut stdin) = child.stdin.take() {
        // A tool that does not read them (debootstrap) may have closed it: nothing to say.
        drop(stdin.write_all((lines.join("\n") + "\n").as_bytes()));
    }
    let last = listen(&mut child, said);
    let status = child.wait().map_err(|e| io("wait for", tool.name(), e))?;
    if status.success() {
        return Ok(());
    }
    let unreachable = last.iter().any(|l| UNREACHABLE.iter().any(|u| l.contains(u)));
    let last = last.into_iter().collect::<Vec<_>>().join("; ");
    Err(match unreachable {
        true => TemplateError::NoMirror { tool: tool.name(), last },
        false => TemplateError::Tool { tool: tool.name(), status: status.to_string(), last },
    })
}

/// What apt and wget say when nobody answers.
const UNREACHABLE: [&str; 6] = [
    "Could not resolve",
    "Temporary failure resolving",
    "Could not connect",
    "Unable to connect",
    "Failed to fetch",
    "Couldn't download",
];

/// Hands on what the tool says until it closes its end; the last lines that tell something come back.
fn listen(child: &mut Child, said: &mut dyn FnMut(&str)) -> VecDeque<String> {
    const LAST: usize = 6;
    let mut last = VecDeque::new();
    let Some(from) = child.stderr.take() else { return last };
    for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        let line: String = line.chars().filter(|c| !c.is_control()).take(500).collect();
        if line.trim().is_empty() || line.contains("done") && line.contains("...") {
            continue;
        }
        said(&line);
        if last.len() == LAST {
            last.pop_front();
        }
        last.push_back(line);
    }
    last
}

/// Takes out what belongs to the machine it was built on, or to nobody: ct-init makes these when a container starts.
fn settle(dir: &Path) -> Result<(), TemplateError> {
    const GONE: [&str; 5] = [
        "usr/sbin/policy-rc.d",            // would keep services from being started
        "etc/resolv.conf",                 // the host's name servers
        "etc/hostname",                    // the host's name
        "etc/apt/apt.conf.d/99mmdebstrap", // the host's proxy
        "var/lib/dbus/machine-id",         // one id for all containers
    ];
    // All of it is root's own from signed packages, and nothing runs in it: links are as the packages made them.
    for path in GONE.map(|p| dir.join(p)) {
        match fs::remove_file(&path) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(io("remove", path, e)),
            _ => {}
        }
    }
    let id = dir.join("etc/machine-id");
    fs::write(&id, "").map_err(|e| io("empty", id, e))?;
    // No package brings one, and without it not even localhost has an address.
    let hosts = dir.join("etc/hosts");
    if hosts.symlink_metadata().is_err() {
        fs::write(&hosts, super::HOSTS).map_err(|e| io("write", hosts, e))?;
    }
    let dev = dir.join("dev");
    for entry in fs::read_dir(&dev).map_err(|e| io("list", &dev, e))?.filter_map(Result::ok) {
        let is_dir = entry.file_type().is_ok_and(|t| t.is_dir());
        let gone = if is_dir { fs::remove_dir_all(entry.path()) } else { fs::remove_file(entry.path()) };
        gone.map_err(|e| io("remove", entry.path(), e))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(key: &str, value: &str) -> Result<BuildOptions, String> {
        let mut options = BuildOptions::default();
        options.set(key, value).map(|()| options).map_err(|e| e.to_string())
    }

    #[test]
    fn settings_are_what_they_say_or_refused() {
        let packages = |p: &[&str]| BuildOptions {
            packages: p.iter().map(|p| p.to_string()).collect(),
            ..BuildOptions::default()
        };
        assert_eq!(set("Packages", "nginx,redis-server"), Ok(packages(&["nginx", "redis-server"])));
        assert_eq!(set("Packages", " g++  libc6 "), Ok(packages(&["g++", "libc6"])));
        for (key, value) in [
            ("Packages", "nginx,--hook"),
            ("Packages", "?pattern"),
            ("Suite", "--help"),
            ("Suite", "a b"),
            ("Mirror", "ftp.example.org"),
            ("Mirror", "http://m/ x"),
            ("Mirror", "http://m/\nx"),
            ("Colour", "red"),
        ] {
            assert!(set(key, value).is_err(), "{key}={value}");
        }
        let sentence = "Suite=--help: is no name of a suite (try bookworm)";
        assert_eq!(set("Suite", "--help").unwrap_err(), sentence);
    }

    #[test]
    fn nothing_of_the_build_machine_stays() {
        let dir = tempfile::tempdir().unwrap();
        for d in ["usr/sbin", "etc/apt/apt.conf.d", "dev/pts", "var/lib/dbus"] {
            fs::create_dir_all(dir.path().join(d)).unwrap();
        }
        for f in ["usr/sbin/policy-rc.d", "etc/resolv.conf", "etc/machine-id", "dev/console", "etc/passwd"] {
            fs::write(dir.path().join(f), "x").unwrap();
        }
        settle(dir.path()).unwrap();
        let left = |p: &str| fs::read_to_string(dir.path().join(p)).ok();
        assert_eq!(left("etc/machine-id").as_deref(), Some(""));
        assert_eq!(left("etc/passwd").as_deref(), Some("x"));
        assert_eq!((left("etc/resolv.conf"), left("usr/sbin/policy-rc.d")), (None, None));
        assert_eq!(left("etc/hosts").as_deref(), Some(crate::template::HOSTS));
        assert_eq!(fs::read_dir(dir.path().join("dev")).unwrap().count(), 0);
    }

    #[test]
    fn another_distribution_is_named() {
        let paths = Paths::new("/nowhere");
        let e = build(&paths, "x", "plan9", &BuildOptions::default(), &mut |_| ()).unwrap_err();
        assert_eq!(e.to_string(), "\"plan9\" templates can't be built (there is a recipe for debian)");
    }
}
