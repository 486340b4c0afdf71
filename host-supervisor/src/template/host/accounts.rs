//! accounts: the host's passwd and group to those of a fresh system: its own users, no people, no passwords. Touches
//! nothing: texts in, texts out.
use std::collections::BTreeSet;

/// Ids below this belong to the system, the rest to people.
const FIRST_PERSON: u32 = 1000;
/// nobody, nogroup.
const NOBODY: u32 = 65534;

/// The four files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Accounts {
    pub(super) passwd: String,
    pub(super) group: String,
    pub(super) shadow: String,
    pub(super) gshadow: String,
}

/// Makes them; lines that can't be read are left out.
pub(super) fn of(passwd: &str, group: &str) -> Accounts {
    let mut made = Accounts::default();
    let mut users = BTreeSet::new();
    for line in passwd.lines() {
        let [name, _, uid, gid, _, home, shell] = line.split(':').collect::<Vec<_>>()[..] else { continue };
        let (Some(uid), Some(gid)) = (system(uid), gid.parse::<u32>().ok()) else { continue };
        if !named(name) || !users.insert(name) {
            continue;
        }
        // What stands in the fifth field may be of people.
        made.passwd.push_str(&format!("{name}:x:{uid}:{gid}:{name}:{home}:{shell}\n"));
        made.shadow.push_str(&format!("{name}:*:::::::\n"));
    }
    let mut groups = BTreeSet::new();
    for line in group.lines() {
        let [name, _, gid, members] = line.split(':').collect::<Vec<_>>()[..] else { continue };
        let Some(gid) = system(gid) else { continue };
        if !named(name) || !groups.insert(name) {
            continue;
        }
        let members: Vec<_> = members.split(',').filter(|m| users.contains(m)).collect();
        let members = members.join(",");
        made.group.push_str(&format!("{name}:x:{gid}:{members}\n"));
        made.gshadow.push_str(&format!("{name}:*::{members}\n"));
    }
    made
}

fn system(id: &str) -> Option<u32> {
    id.parse().ok().filter(|id| *id < FIRST_PERSON || *id == NOBODY)
}

fn named(name: &str) -> bool {
    !name.is_empty() && !name.starts_with(['#', '+', '-'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_and_passwords_stay_on_the_host() {
        let made = of(
            "root:$6$hash:0:0:Ann's box:/root:/bin/bash\nwww:x:33:33::/var/www:/usr/sbin/nologin\nann:x:1000:1000:Ann:/home/ann:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n+nis::::::\nbroken\nwww:x:0:0:::\n",
            "root:x:0:ann\nadm:$1$x:4:ann,www\nann:x:1000:\nnogroup:x:65534:\nbad:x:y:\n",
        );
        assert_eq!(
            made.passwd,
            "root:x:0:0:root:/root:/bin/bash\nwww:x:33:33:www:/var/www:/usr/sbin/nologin\nnobody:x:65534:65534:nobody:/:/bin/false\n"
        );
        assert_eq!(made.group, "root:x:0:\nadm:x:4:www\nnogroup:x:65534:\n");
        assert_eq!(made.shadow, "root:*:::::::\nwww:*:::::::\nnobody:*:::::::\n");
        assert_eq!(made.gshadow, "root:*::\nadm:*::www\nnogroup:*::\n");
    }
}
