//! passwd: who `User=` and `Group=` are, read from /etc/passwd and /etc/group. Never asks NSS, never runs guest code.
use crate::root::{Root, RootError};

/// One line of /etc/passwd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Login name; the number as text where there is no line for it.
    pub name: String,
    /// Its id.
    pub uid: u32,
    /// Its first group.
    pub gid: u32,
    /// Home directory.
    pub home: String,
    /// Login shell.
    pub shell: String,
}

/// Why a user or group can't be used.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// No such name.
    #[error("user {0:?} is not in /etc/passwd")]
    NoUser(String),
    /// No such name.
    #[error("group {0:?} is not in /etc/group")]
    NoGroup(String),
    /// The file can't be read.
    #[error("look up {0:?}")]
    Read(String, #[source] RootError),
}

/// The two files, read once for one start.
#[derive(Debug, Default)]
pub struct Accounts {
    users: Vec<User>,
    groups: Vec<Group>,
}

#[derive(Debug)]
struct Group {
    name: String,
    gid: u32,
    members: Vec<String>,
}

impl Accounts {
    /// Reads both files; a missing one is empty.
    pub fn read(root: &Root) -> Result<Accounts, AccountError> {
        let text = |path: &str| match root.read(path) {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(e) if e.is_missing() => Ok(String::new()),
            Err(e) => Err(AccountError::Read(path.to_owned(), e)),
        };
        Ok(Accounts::parse(&text("/etc/passwd")?, &text("/etc/group")?))
    }

    /// From the texts of both files; lines that are not well-formed don't count.
    pub fn parse(passwd: &str, group: &str) -> Accounts {
        Accounts {
            users: passwd.lines().filter_map(parse_user).collect(),
            groups: group.lines().filter_map(parse_group).collect(),
        }
    }

    /// By name or number. Numbers need no line; uid 0 is always there.
    pub fn user(&self, who: &str) -> Result<User, AccountError> {
        let number = id(who);
        if let Some(user) = self.users.iter().find(|u| u.name == who) {
            return Ok(user.clone());
        }
        if let Some(user) = self.users.iter().find(|u| number == Some(u.uid)) {
            return Ok(user.clone());
        }
        match number {
            Some(0) => Ok(superuser()),
            None if who == "root" => Ok(superuser()),
            Some(n) => Ok(User {
                name: n.to_string(),
                uid: n,
                gid: n,
                home: "/".to_owned(),
                shell: "/bin/sh".to_owned(),
            }),
            None => Err(AccountError::NoUser(who.to_owned())),
        }
    }

    /// By name or number.
    pub fn group(&self, which: &str) -> Result<u32, AccountError> {
        if let Some(group) = self.groups.iter().find(|g| g.name == which) {
            return Ok(group.gid);
        }
        match id(which) {
            Some(n) => Ok(n),
            None if which == "root" => Ok(0),
            None => Err(AccountError::NoGroup(which.to_owned())),
        }
    }

    /// The groups that name `user` as a member, `first` at the head, each once.
    pub fn groups_of(&self, user: &str, first: u32) -> Vec<u32> {
        let mut all = vec![first];
        for group in self.groups.iter().filter(|g| g.members.iter().any(|m| m == user)) {
            if !all.contains(&group.gid) {
                all.push(group.gid);
            }
        }
        all
    }
}

fn superuser() -> User {
    User { name: "root".into(), uid: 0, gid: 0, home: "/root".into(), shell: "/bin/sh".into() }
}

fn parse_user(line: &str) -> Option<User> {
    let mut fields = line.split(':');
    let name = fields.next().filter(|n| !n.is_empty() && !n.starts_with(['#', '+', '-']))?;
    let _password = fields.next()?;
    let uid = fields.next()?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    let _comment = fields.next()?;
    let home = fields.next()?;
    let shell = fields.next().unwrap_or("");
    Some(User {
        name: name.to_owned(),
        uid,
        gid,
        home: if home.is_empty() { "/" } else { home }.to_owned(),
        shell: if shell.is_empty() { "/bin/sh" } else { shell }.to_owned(),
    })
}

fn parse_group(line: &str) -> Option<Group> {
    let mut fields = line.split(':');
    let name = fields.next().filter(|n| !n.is_empty() && !n.starts_with(['#', '+', '-']))?;
    let _password = fields.next()?;
    let gid = fields.next()?.parse().ok()?;
    let members =
        fields.next().unwrap_or("").split(',').filter(|m| !m.is_empty()).map(str::to_owned).collect();
    Some(Group { name: name.to_owned(), gid, members })
}

/// A number that can be an id: digits alone (`+0` is no way to write root), and not the one that means none.
fn id(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|&n| digits && n != u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n# a comment\nwww-data:x:33:33:www:/var/www:\n\
        short:x:5\nbig:x:99999999999:1::/:/bin/sh\n1000:x:55:55::/srv:/bin/sh\n";
    const GROUP: &str = "root:x:0:\nwww-data:x:33:\nssl:x:110:www-data,other\nadm:x:4:www-data\nbad:x:\n";

    #[test]
    fn users_by_name_and_number() {
        let check = |who: &str, expect: Option<(u32, u32, &str, &str)>| {
            let got = Accounts::parse(PASSWD, GROUP).user(who).ok();
            let got = got.as_ref().map(|u| (u.uid, u.gid, u.home.as_str(), u.shell.as_str()));
            assert_eq!(got, expect, "{who}");
        };
        check("root", Some((0, 0, "/root", "/bin/bash")));
        check("0", Some((0, 0, "/root", "/bin/bash")));
        check("www-data", Some((33, 33, "/var/www", "/bin/sh")));
        check("33", Some((33, 33, "/var/www", "/bin/sh")));
        check("1000", Some((55, 55, "/srv", "/bin/sh")));
        check("1001", Some((1001, 1001, "/", "/bin/sh")));
        check("4294967295", None);
        check("nobody", None);
        check("short", None);
        check("big", None);
        check("", None);
        check("-1", None);
        check("+0", None);
        check("+33", None);
    }

    #[test]
    fn root_exists_without_any_file() {
        let none = Accounts::default();
        assert_eq!(none.user("root").map(|u| u.uid).ok(), Some(0));
        assert_eq!(none.group("root").ok(), Some(0));
    }

    #[test]
    fn groups_by_name_and_membership() {
        let accounts = Accounts::parse(PASSWD, GROUP);
        assert_eq!(accounts.group("ssl").ok(), Some(110));
        assert_eq!(accounts.group("77").ok(), Some(77));
        assert!(accounts.group("bad").is_err());
        assert_eq!(accounts.groups_of("www-data", 33), [33, 110, 4]);
        assert_eq!(accounts.groups_of("nobody", 7), [7]);
    }
}
