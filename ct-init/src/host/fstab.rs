//! fstab: lines of /etc/fstab to unit files. Touches nothing.
use super::verb::mount::{Options, options};
use units::name::escape_path;

/// The unit that makes the root file system what its line says.
pub const ROOT: &str = "ct-root.service";

/// What becomes of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generated {
    /// `srv-data.mount`, `dev-vdb.swap`, `ct-root.service`.
    pub name: String,
    /// Its text.
    pub text: String,
    /// `local-fs.target.requires` and the like; none: only when asked for.
    pub wanted_by: Option<String>,
}

/// One line, split.
struct Line<'a> {
    place: String,
    what: String,
    at: String,
    kind: &'a str,
    options: &'a str,
    pass: u32,
}

/// Units for all lines, and a sentence with its place for each that is none.
pub fn generate(path: &str, text: &str) -> (Vec<Generated>, Vec<String>) {
    let mut mistakes = Vec::new();
    let mut lines: Vec<Line<'_>> = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let place = format!("{path}:{}", i + 1);
        match split(&place, line) {
            Ok(line) if line.at != "none" && lines.iter().any(|l| l.at == line.at) => {
                mistakes.push(format!("{place}: {} is mounted by an earlier line already", line.at));
            }
            Ok(line) => lines.push(line),
            Err(why) => mistakes.push(format!("{place}: {why}")),
        }
    }
    let units = lines.iter().filter_map(|line| unit(line, &lines)).collect();
    (units, mistakes)
}

fn split<'a>(place: &str, line: &'a str) -> Result<Line<'a>, String> {
    let mut fields = line.split_whitespace();
    let (Some(what), Some(at), Some(kind)) = (fields.next(), fields.next(), fields.next()) else {
        return Err(format!(
            "{line:?} is no line of fstab (it has fewer than three fields: what, where, type)"
        ));
    };
    let options = fields.next().unwrap_or("defaults");
    let number = |field: Option<&str>, name: &str| match field.map(str::parse::<u32>) {
        None => Ok(0),
        Some(Ok(n)) => Ok(n),
        Some(Err(_)) => Err(format!("the {name} {:?} is not a number", field.unwrap_or_default())),
    };
    number(fields.next(), "fifth field (dump)")?;
    let pass = number(fields.next(), "sixth field (fsck order)")?;
    if fields.next().is_some() {
        return Err("it has more than six fields (a blank in a path is written \\040)".to_owned());
    }
    let at = unescape(at);
    let is_swap = kind == "swap";
    if !is_swap && !at.starts_with('/') && kind != "ignore" {
        return Err(format!("{at:?} is not an absolute path to mount on"));
    }
    let at = if is_swap { "none".to_owned() } else { clean(&at) };
    Ok(Line { place: place.to_owned(), what: unescape(what), at, kind, options, pass })
}

/// `/srv//data/` is `/srv/data`.
fn clean(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty()).collect();
    format!("/{}", parts.join("/"))
}

fn unescape(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

fn unit(line: &Line<'_>, all: &[Line<'_>]) -> Option<Generated> {
    // What PID 1 has mounted before it could read this.
    const OWN: [&str; 8] =
        ["/proc", "/sys", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/run", "/sys/fs/cgroup"];
    match line.kind {
        "ignore" => None,
        "swap" => Some(swap(line)),
        _ if line.at == "/" => Some(root(line)),
        _ if OWN.contains(&line.at.as_str()) => None,
        _ => Some(mount(line, all)),
    }
}

fn root(line: &Line<'_>) -> Generated {
    let text = format!(
        "# {}\n[Unit]\nDescription=Root file system\nDefaultDependencies=no\n\
         Wants=local-fs-pre.target\nBefore=local-fs-pre.target local-fs.target\n[Service]\nType=oneshot\nRemainAfterExit=yes\n\
         ExecStart=@/proc/1/exe ct-init root {} {} {} {}\n",
        line.place,
        word(&line.what),
        word(line.kind),
        word(line.options),
        line.pass
    );
    let wanted_by = Some("local-fs.target.requires".to_owned());
    Generated { name: ROOT.to_owned(), text, wanted_by }
}

/// As one word of a command line that is neither split nor expanded.
fn word(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
    format!("\"{escaped}\"")
}

fn value(text: &str) -> String {
    text.replace('%', "%%")
}

/// The lines that options ask for.
fn extra(options: &Options) -> String {
    let key = |name: &str| match name {
        "requires" => Some("Requires"),
        "after" => Some("After"),
        "before" => Some("Before"),
        "requires-mounts-for" => Some("RequiresMountsFor"),
        _ => None,
    };
    let all = options.order.iter().filter_map(|(name, of)| Some(format!("{}={}\n", key(name)?, value(of))));
    let requires = options.order.iter().filter(|(name, _)| name == "requires");
    all.chain(requires.map(|(_, of)| format!("After={}\n", value(of)))).collect()
}

fn swap(line: &Line<'_>) -> Generated {
    let options = options(line.options);
    let text = format!(
        "# {}\n[Unit]\nDescription=Swap on {}\n{}[Swap]\nWhat={}\nOptions={}\n",
        line.place,
        value(&line.what),
        extra(&options),
        value(&line.what),
        value(line.options)
    );
    let kind = if options.nofail { "wants" } else { "requires" };
    let wanted_by = (!options.noauto).then(|| format!("swap.target.{kind}"));
    Generated { name: format!("{}.swap", escape_path(&line.what)), text, wanted_by }
}

fn mount(line: &Line<'_>, all: &[Line<'_>]) -> Generated {
    let options = options(line.options);
    let network = options.netdev || NETWORK.contains(&line.kind);
    let target = if network { "remote-fs" } else { "local-fs" };
    let mut order = String::new();
    if network {
        order.push_str("Wants=network-online.target\nAfter=network-online.target network.target\n");
    }
    // The root is writable by then, where it is to be: a mount point may have to be made.
    order.push_str(&format!("After={target}-pre.target ct-root.service\n"));
    if !options.nofail {
        order.push_str(&format!("Before={target}.target\n"));
    }
    for other in all.iter().filter(|o| o.at != "/" && o.at != "none" && o.at != line.at) {
        let is_parent = line.at.starts_with(&format!("{}/", other.at));
        let is_source = line.what.starts_with(&format!("{}/", other.at)) || line.what == other.at;
        // Of two that are both checked, the lower number goes first.
        let is_earlier = line.pass > 1 && other.pass > 0 && other.pass < line.pass && !is_parent;
        let name = format!("{}.mount", escape_path(&other.at));
        if is_parent || is_source {
            order.push_str(&format!("Requires={name}\nAfter={name}\n"));
        } else if is_earlier {
            order.push_str(&format!("After={name}\n"));
        }
    }
    let kind = if line.kind == "auto" { "" } else { line.kind };
    let fsck = if line.pass > 0 && !network { ",x-ct.fsck" } else { "" };
    let text = format!(
        "# {}\n[Unit]\nDescription={}\nDefaultDependencies=no\nConflicts=umount.target\n{order}{}\
         [Mount]\nWhat={}\nWhere={}\nType={kind}\nOptions={}{fsck}\n",
        line.place,
        value(&line.at),
        extra(&options),
        value(&line.what),
        value(&line.at),
        value(line.options),
    );
    let how = if options.nofail { "wants" } else { "requires" };
    let wanted_by = (!options.noauto).then(|| format!("{target}.target.{how}"));
    Generated { name: format!("{}.mount", escape_path(&line.at)), text, wanted_by }
}

/// These come over the network without `_netdev`.
const NETWORK: [&str; 8] = ["nfs", "nfs4", "cifs", "smb3", "sshfs", "fuse.sshfs", "ceph", "glusterfs"];

#[cfg(test)]
mod tests {
    use super::*;
    use units::UnitName;
    use units::merge::{Fragment, assemble};
    use units::parse::specifier::Context;

    #[test]
    fn every_line_becomes_a_unit_that_can_be_read() {
        let text = "\
# comment
UUID=1-2 / ext4 defaults 0 1
proc /proc proc defaults 0 0
/dev/vdb /srv ext4 noatime,nofail 0 2
/dev/vdc /srv/a\\040b xfs defaults 0 2
/srv/x /mnt none bind
tmpfs /tmp tmpfs size=50%
nas:/x /net nfs4 defaults
/dev/vdd none swap sw,pri=3 0 0
LABEL=big /big auto noauto,x-systemd.requires=a.service 0 3
";
        let (units, mistakes) = generate("/etc/fstab", text);
        assert_eq!(mistakes, [""; 0]);
        let rows: Vec<String> =
            units.iter().map(|u| format!("{} {}", u.name, u.wanted_by.as_deref().unwrap_or("-"))).collect();
        assert_eq!(
            rows,
            [
                "ct-root.service local-fs.target.requires",
                "srv.mount local-fs.target.wants",
                r"srv-a\x20b.mount local-fs.target.requires",
                "mnt.mount local-fs.target.requires",
                "tmp.mount local-fs.target.requires",
                "net.mount remote-fs.target.requires",
                "dev-vdd.swap swap.target.requires",
                "big.mount -",
            ]
        );
        for unit in &units {
            let name = UnitName::parse(&unit.name).unwrap();
            let fragment = Fragment { path: unit.name.clone(), bytes: unit.text.clone().into_bytes() };
            let (read, found) = assemble(&name, &[fragment], &Context::default());
            assert!(read.is_some() && found.0.is_empty(), "{}: {:?}", unit.text, found.0);
        }
        let of = |name: &str| units.iter().find(|u| u.name.starts_with(name)).unwrap().text.clone();
        assert!(of(r"srv-a").contains("Requires=srv.mount\n"));
        assert!(of("mnt").contains("Requires=srv.mount\n"));
        assert!(of("tmp").contains("Options=size=50%%\n"));
        assert!(of("big").contains("Requires=a.service\nAfter=a.service\n"));
        assert!(of("big").contains("After=srv.mount\n") && !of("big").contains("Requires=srv.mount"));
        assert!(of("srv.mount").contains("Options=noatime,nofail,x-ct.fsck\n"));
        assert!(!of("srv.mount").contains("Before=local-fs.target"));
        assert!(of("srv.mount").contains("After=local-fs-pre.target ct-root.service\n"));
    }

    #[test]
    fn mistakes_have_a_place() {
        let check = |line: &str, why: &str| {
            let (units, mistakes) = generate("fstab", &format!("\n{line}\n"));
            assert!(units.is_empty(), "{line}: {units:?}");
            assert!(mistakes[0].starts_with("fstab:2: ") && mistakes[0].contains(why), "{mistakes:?}");
        };
        check("/dev/vda", "fewer than three");
        check("/dev/vda srv ext4", "not an absolute path");
        check("/dev/vda /srv ext4 defaults x", "not a number");
        check("/dev/vda /srv ext4 defaults 0 0 7", "more than six");
        let (units, mistakes) = generate("fstab", "a /srv auto\nb /srv/ auto\n");
        assert_eq!((units.len(), mistakes.len()), (1, 1));
    }
}
