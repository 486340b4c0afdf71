//! parse: `%n`, `%i` and their kin in values. Reads no machine: what it tells comes from [`Context`].
use crate::name::{self, UnitName};

/// What specifiers stand for on this machine; `None` where the caller does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// `%H`; `%l` is its part before the first dot.
    pub hostname: Option<String>,
    /// `%m`
    pub machine_id: Option<String>,
    /// `%b`
    pub boot_id: Option<String>,
    /// `%v`
    pub kernel_release: Option<String>,
    /// `%a`, in systemd's words: `x86-64`, `arm64`.
    pub architecture: Option<String>,
    /// `%o` of os-release.
    pub os_id: Option<String>,
    /// `%w` of os-release.
    pub os_version_id: Option<String>,
    /// `%u`: the user of the init itself, `root`.
    pub user: String,
    /// `%U`
    pub uid: u32,
    /// `%g`
    pub group: String,
    /// `%G`
    pub gid: u32,
    /// `%h`
    pub home: String,
    /// `%s`
    pub shell: String,
    /// `%t`
    pub runtime_dir: String,
    /// `%S`
    pub state_dir: String,
    /// `%C`
    pub cache_dir: String,
    /// `%L`
    pub log_dir: String,
    /// `%E`
    pub config_dir: String,
    /// `%T`
    pub tmp_dir: String,
    /// `%V`
    pub var_tmp_dir: String,
}

impl Default for Context {
    /// A system's init as root, on a machine nothing is known of.
    fn default() -> Context {
        Context {
            hostname: None,
            machine_id: None,
            boot_id: None,
            kernel_release: None,
            architecture: None,
            os_id: None,
            os_version_id: None,
            user: "root".to_owned(),
            uid: 0,
            group: "root".to_owned(),
            gid: 0,
            home: "/root".to_owned(),
            shell: "/bin/sh".to_owned(),
            runtime_dir: "/run".to_owned(),
            state_dir: "/var/lib".to_owned(),
            cache_dir: "/var/cache".to_owned(),
            log_dir: "/var/log".to_owned(),
            config_dir: "/etc".to_owned(),
            tmp_dir: "/tmp".to_owned(),
            var_tmp_dir: "/var/tmp".to_owned(),
        }
    }
}

/// A specifier that stands for nothing here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecifierError {
    /// Not in systemd.unit(5)'s table.
    #[error("%{specifier} is no specifier (a literal percent sign is written %%)")]
    Unknown {
        /// The letter.
        specifier: char,
        /// Byte offset of its `%`.
        at: usize,
    },
    /// In the table, but this machine's answer was not given.
    #[error("what %{specifier} stands for is not known here")]
    Unavailable {
        /// The letter.
        specifier: char,
        /// Byte offset of its `%`.
        at: usize,
    },
}

impl SpecifierError {
    /// Byte offset of the `%`.
    pub fn at(&self) -> usize {
        match self {
            SpecifierError::Unknown { at, .. } | SpecifierError::Unavailable { at, .. } => *at,
        }
    }
}

/// Whose values are expanded.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The unit.
    pub name: &'a UnitName,
    /// The file the value stands in, for `%y` and `%Y`.
    pub path: &'a str,
    /// The machine.
    pub context: &'a Context,
}

/// Replaces every specifier. What stands for nothing stays as it is and is told.
pub fn expand(value: &str, subject: &Subject<'_>) -> (String, Vec<SpecifierError>) {
    let (mut out, mut errors) = (String::with_capacity(value.len()), Vec::new());
    let mut chars = value.char_indices();
    while let Some((at, c)) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let Some((_, specifier)) = chars.next() else {
            out.push('%');
            break;
        };
        match subject.value_of(specifier) {
            Meaning::Text(text) => out.push_str(&text),
            Meaning::Unavailable => errors.push(SpecifierError::Unavailable { specifier, at }),
            Meaning::Unknown => {
                out.extend(['%', specifier]);
                errors.push(SpecifierError::Unknown { specifier, at });
            }
        }
    }
    (out, errors)
}

enum Meaning {
    Text(String),
    Unavailable,
    Unknown,
}

impl Subject<'_> {
    fn value_of(&self, specifier: char) -> Meaning {
        let of_machine = |text: &Option<String>| text.clone().map_or(Meaning::Unavailable, Meaning::Text);
        let context = self.context;
        let text = match specifier {
            '%' => "%",
            'n' => self.name.as_str(),
            'N' => self.name.stem(),
            'p' => self.name.prefix(),
            'P' => return Meaning::Text(name::unescape(self.name.prefix())),
            'i' => self.name.instance().unwrap_or_default(),
            'I' => return Meaning::Text(name::unescape(self.name.instance().unwrap_or_default())),
            'j' => last_part(self.name.prefix()),
            'J' => return Meaning::Text(name::unescape(last_part(self.name.prefix()))),
            'f' => {
                let part = self.name.instance().unwrap_or(self.name.prefix());
                return Meaning::Text(name::unescape_path(part));
            }
            'y' => self.path,
            'Y' => self.path.rsplit_once('/').map_or("", |(dir, _)| dir),
            't' => &context.runtime_dir,
            'S' => &context.state_dir,
            'C' => &context.cache_dir,
            'L' => &context.log_dir,
            'E' => &context.config_dir,
            'T' => &context.tmp_dir,
            'V' => &context.var_tmp_dir,
            'D' => "/usr/share",
            'h' => &context.home,
            'u' => &context.user,
            'g' => &context.group,
            's' => &context.shell,
            'U' => return Meaning::Text(context.uid.to_string()),
            'G' => return Meaning::Text(context.gid.to_string()),
            'H' | 'q' => return of_machine(&context.hostname),
            'l' => {
                let short = |h: &String| h.split('.').next().unwrap_or_default().to_owned();
                return of_machine(&context.hostname.as_ref().map(short));
            }
            'm' => return of_machine(&context.machine_id),
            'b' => return of_machine(&context.boot_id),
            'v' => return of_machine(&context.kernel_release),
            'a' => return of_machine(&context.architecture),
            'o' => return of_machine(&context.os_id),
            'w' => return of_machine(&context.os_version_id),
            'd' => return Meaning::Text(format!("{}/credentials/{}", context.runtime_dir, self.name)),
            'c' => return Meaning::Text(format!("/units/{}", self.name)),
            // Of images that are built by other means than a package manager: systemd leaves them empty too.
            'A' | 'B' | 'M' | 'W' => "",
            _ => return Meaning::Unknown,
        };
        Meaning::Text(text.to_owned())
    }
}

fn last_part(prefix: &str) -> &str {
    prefix.rsplit_once('-').map_or(prefix, |(_, last)| last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        let context = Context {
            hostname: Some("web.example".to_owned()),
            machine_id: Some("0123".to_owned()),
            ..Context::default()
        };
        let check = |unit: &str, value: &str, expect: &str| {
            let name = UnitName::parse(unit).unwrap();
            let subject = Subject { name: &name, path: "/etc/systemd/system/x.service", context: &context };
            let (text, errors) = expand(value, &subject);
            let errors: String = errors.iter().map(|e| format!(" [{}: {e}]", e.at())).collect();
            assert_eq!(format!("{text}{errors}"), expect, "{unit} {value:?}");
        };
        check("a-b@c-d.service", "%n %N %p %i %j", "a-b@c-d.service a-b@c-d a-b c-d b");
        check("a-b@c-d.service", "%P %I %J", "a/b c/d b");
        check("a@x\\x2dy.service", "%i %I %f", "x\\x2dy x-y /x-y");
        check("plain.service", "<%i> %f", "<> /plain");
        check("a.service", "%t %S %C %L %E %T %V", "/run /var/lib /var/cache /var/log /etc /tmp /var/tmp");
        check("a.service", "%h %u %U %g %G %s", "/root root 0 root 0 /bin/sh");
        check("a.service", "%H %l %m %%", "web.example web 0123 %");
        check("a.service", "%Y|%y", "/etc/systemd/system|/etc/systemd/system/x.service");
        check("a.service", "100%", "100%");
        check("a.service", "x %z", "x %z [2: %z is no specifier (a literal percent sign is written %%)]");
        check("a.service", "%b", " [0: what %b stands for is not known here]");
    }
}
