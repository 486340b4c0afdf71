//! list: what of the host is in the template `host`, each with its reason. Everything else is not. Touches nothing.

/// How much of a path is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Take {
    /// The file or the link itself.
    One,
    /// A directory with all below it.
    All,
    /// A directory of certificates: those of public authorities.
    Authorities,
}

/// Something of the host that comes along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Item {
    /// Below the host's root.
    pub(super) path: &'static str,
    pub(super) take: Take,
}

const fn one(path: &'static str, _why: &'static str) -> Item {
    Item { path, take: Take::One }
}

const fn all(path: &'static str, _why: &'static str) -> Item {
    Item { path, take: Take::All }
}

/// Links into /usr, as the host has them.
pub(super) const USR: [&str; 6] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"];

/// Empty directories and their modes; mount points, and where programs expect to write.
pub(super) const DIRECTORIES: [(&str, u32); 31] = [
    ("usr", 0o755),
    ("proc", 0o555),
    ("sys", 0o555),
    ("dev", 0o755),
    ("run", 0o755),
    ("tmp", 0o1777),
    ("root", 0o700),
    ("home", 0o755),
    ("srv", 0o755),
    ("opt", 0o755),
    ("mnt", 0o755),
    ("media", 0o755),
    ("boot", 0o755),
    ("etc", 0o755),
    ("etc/ct", 0o755),
    ("etc/ct/system", 0o755),
    ("etc/default", 0o755),
    ("etc/ssl", 0o755),
    ("etc/ssl/private", 0o700),
    ("etc/systemd", 0o755),
    ("etc/systemd/system", 0o755),
    ("var", 0o755),
    ("var/backups", 0o755),
    ("var/cache", 0o755),
    ("var/lib", 0o755),
    ("var/local", 0o755),
    ("var/log", 0o755),
    ("var/mail", 0o755),
    ("var/opt", 0o755),
    ("var/spool", 0o755),
    ("var/tmp", 0o1777),
];

/// Links that every system has.
pub(super) const LINKS: [(&str, &str); 3] =
    [("var/run", "/run"), ("var/lock", "/run/lock"), ("etc/mtab", "../proc/self/mounts")];

/// Files that are written new.
pub(super) const MADE: [(&str, &str); 3] =
    [("etc/hosts", crate::template::HOSTS), ("etc/machine-id", ""), ("etc/environment", "")];

/// What comes along, and what for.
pub(super) const ITEMS: &[Item] = &[
    one("etc/ld.so.cache", "the dynamic linker finds libraries by it, also those in places of their own"),
    one("etc/ld.so.conf", "ldconfig makes the cache of it"),
    all("etc/ld.so.conf.d", "ldconfig makes the cache of it"),
    all("etc/alternatives", "links in /usr/bin lead through it: awk, editor, java"),
    one("etc/nsswitch.conf", "glibc looks up names by it"),
    one("etc/host.conf", "glibc looks up names by it"),
    one("etc/gai.conf", "glibc sorts addresses by it"),
    one("etc/services", "port numbers by name"),
    one("etc/protocols", "protocol numbers by name"),
    one("etc/rpc", "program numbers by name"),
    one("etc/ethertypes", "frame types by name"),
    one("etc/localtime", "the time zone"),
    one("etc/timezone", "the time zone, for programs that want its name"),
    one("etc/locale.alias", "names of languages"),
    one("etc/default/locale", "the language at login"),
    one("etc/os-release", "which system this is"),
    one("etc/debian_version", "which system this is"),
    one("etc/issue", "which system this is, at login"),
    one("etc/login.defs", "su and useradd go by it"),
    one("etc/shells", "su takes only these"),
    one("etc/profile", "login shells read it"),
    one("etc/bash.bashrc", "interactive shells read it"),
    one("etc/inputrc", "keys of the command line"),
    all("etc/skel", "what a new user's home begins with"),
    all("etc/pam.d", "su and cron ask it; holds rules, no secrets"),
    one("etc/pam.conf", "as etc/pam.d"),
    one("etc/security/access.conf", "pam_access stops without it"),
    one("etc/security/limits.conf", "pam_limits stops without it"),
    one("etc/security/pam_env.conf", "pam_env warns without it"),
    one("etc/security/namespace.conf", "pam_namespace stops without it"),
    one("etc/security/time.conf", "pam_time stops without it"),
    one("etc/security/group.conf", "pam_group stops without it"),
    Item { path: "etc/ssl/certs", take: Take::Authorities },
    one("etc/ssl/openssl.cnf", "TLS programs stop or warn without it"),
    one("etc/ca-certificates.conf", "update-ca-certificates makes etc/ssl/certs of it"),
    one("etc/mime.types", "web servers name files' types by it"),
    one("etc/magic", "file(1) warns without it"),
    all("etc/terminfo", "terminals that are not in /usr"),
    one("etc/mke2fs.conf", "mkfs goes by it"),
    one("etc/netconfig", "RPC programs stop without it"),
    one("etc/adduser.conf", "adduser goes by it"),
    one("etc/deluser.conf", "deluser goes by it"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_holds_secrets_is_ever_listed() {
        const NEVER: [&str; 20] = [
            "etc/shadow",
            "etc/gshadow",
            "etc/passwd",
            "etc/group",
            "etc/ssl/private",
            "etc/ssh",
            "etc/machine-id",
            "etc/resolv.conf",
            "etc/hostname",
            "etc/sudoers",
            "etc/sudoers.d",
            "etc/fstab",
            "etc/crypttab",
            "etc/cron.d",
            "etc/crontab",
            "etc/systemd",
            "etc/environment",
            "etc/apt",
            "etc/security/opasswd",
            "etc/krb5.keytab",
        ];
        for item in ITEMS {
            assert!(item.path.starts_with("etc/"), "{}", item.path);
            for never in NEVER {
                let holds = item.take != Take::One && never.starts_with(&format!("{}/", item.path));
                assert!(item.path != never && !holds, "{} brings {never}", item.path);
            }
        }
    }
}
