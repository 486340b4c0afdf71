//! cmdline: what the kernel's command line asks of a host's PID 1. Touches nothing.

/// The kernel's command line, as far as it is PID 1's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandLine {
    /// `ct.unit=`, or what `single`, `rescue`, `emergency` stand for; none: default.target.
    pub unit: Option<String>,
    /// `ct.debug`: a root shell on the console beside all else, from the beginning on.
    pub debug: bool,
    /// `root=`: a device, `UUID=`, `LABEL=`, `PARTUUID=`, `PARTLABEL=`.
    pub root: Option<String>,
    /// `rootfstype=`.
    pub root_type: Option<String>,
    /// `rootflags=`.
    pub root_flags: Option<String>,
    /// `rw`; the root file system is mounted read-only without it.
    pub root_writable: bool,
    /// `init=`: what the initramfs executes on the root file system.
    pub init: Option<String>,
    /// `modules_load=`, a list.
    pub modules: Vec<String>,
}

/// Reads it. Words that are not PID 1's are the kernel's or somebody else's.
pub fn parse(text: &str) -> CommandLine {
    let mut line = CommandLine::default();
    for word in words(text) {
        let (key, value) = word.split_once('=').unwrap_or((&word, ""));
        let given = || Some(value.to_owned()).filter(|v| !v.is_empty());
        match key {
            "ct.unit" | "systemd.unit" => line.unit = given(),
            "single" | "s" | "S" | "1" | "rescue" if value.is_empty() => {
                line.unit = Some("rescue.target".to_owned());
            }
            "emergency" | "-b" if value.is_empty() => line.unit = Some("emergency.target".to_owned()),
            "ct.debug" => line.debug = !matches!(value, "0" | "no" | "off"),
            "root" => line.root = given(),
            "rootfstype" => line.root_type = given(),
            "rootflags" => line.root_flags = given(),
            "rw" if value.is_empty() => line.root_writable = true,
            "ro" if value.is_empty() => line.root_writable = false,
            "init" => line.init = given(),
            "modules_load" | "modules-load" => {
                line.modules.extend(value.split(',').filter(|m| !m.is_empty()).map(str::to_owned));
            }
            _ => (),
        }
    }
    line
}

/// Split at blanks; double quotes hold a word together, as the kernel reads it. `--` ends what is the kernel's.
fn words(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut word = String::new();
    let mut quoted = false;
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            c if c.is_whitespace() && !quoted => {
                if !word.is_empty() {
                    all.push(std::mem::take(&mut word));
                }
            }
            c => word.push(c),
        }
    }
    if !word.is_empty() {
        all.push(word);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_kernels_command_line() {
        let check = |text: &str, expect: CommandLine| assert_eq!(parse(text), expect, "{text}");
        let none = CommandLine::default;
        let unit = |name: &str| CommandLine { unit: Some(name.into()), ..none() };
        check("console=ttyS0 quiet panic=-1\n", none());
        check("ct.unit=web.target", unit("web.target"));
        check("ct.unit=", none());
        check("quiet single", unit("rescue.target"));
        check("1", unit("rescue.target"));
        check("emergency", unit("emergency.target"));
        check("rescue ct.unit=a.target", unit("a.target"));
        check("single=no", none());
        check("ct.debug", CommandLine { debug: true, ..none() });
        check("ct.debug=0", none());
        check(
            "root=LABEL=\"my root\" rootfstype=ext4 rootflags=noatime rw init=/bin/sh",
            CommandLine {
                root: Some("LABEL=my root".into()),
                root_type: Some("ext4".into()),
                root_flags: Some("noatime".into()),
                root_writable: true,
                init: Some("/bin/sh".into()),
                ..none()
            },
        );
        check("rw root=/dev/vda ro", CommandLine { root: Some("/dev/vda".into()), ..none() });
        check("modules_load=a,,b", CommandLine { modules: vec!["a".into(), "b".into()], ..none() });
    }
}
