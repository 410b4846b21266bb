//! Whom scripts run as.

use std::fs;

use asynchat::Result;
use rustix::process::geteuid;

#[derive(Clone, Copy, Debug)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// Who scripts run as if the server runs as root and is not told.
const NOBODY: &str = "nobody";

impl User {
    /// The user of scripts, if that is another one than the server's.
    pub(crate) fn of_scripts(name: Option<&str>) -> Result<Option<Self>> {
        let is_root = geteuid().is_root();
        let is_default = name.is_none();
        let name = match name {
            Some(name) => name,
            None if is_root => NOBODY,
            None => return Ok(None),
        };
        let found = nix::unistd::User::from_name(name)
            .map_err(|error| format!("cannot look up the user {name}: {error}"))?;
        let found = found.ok_or_else(|| format!("there is no user {name} (--user)"))?;
        if found.uid.as_raw() == geteuid().as_raw() {
            return Ok(None);
        }
        if !is_root {
            return Err("only root can run scripts as another user (--user)".into());
        }
        let (uid, gid) = (found.uid.as_raw(), found.gid.as_raw());
        match is_mapped("uid_map", uid) && is_mapped("gid_map", gid) {
            true => Ok(Some(Self { uid, gid })),
            // Outside of it this root is a user without rights.
            false if is_default => {
                log::info!("scripts run as the server: {name} is not in this user namespace");
                Ok(None)
            }
            false => Err(format!("{name} is not in this user namespace (--user)").into()),
        }
    }
}

/// Whether the user namespace that the server is in has this user or group (user_namespaces(7)).
fn is_mapped(map: &str, id: u32) -> bool {
    // Other systems have no such namespaces.
    fs::read_to_string(format!("/proc/self/{map}")).map_or(true, |map| contains(&map, id))
}

/// Lines of a first number inside, the first outside, and how many there are.
fn contains(map: &str, id: u32) -> bool {
    map.lines().any(|line| {
        let mut words = line.split_whitespace().map(str::parse::<u64>);
        match (words.next(), words.nth(1)) {
            (Some(Ok(first)), Some(Ok(count))) => {
                (first..first.saturating_add(count)).contains(&u64::from(id))
            }
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_has_the_users_of_its_map() {
        let all = "         0          0 4294967295\n";
        let one = "         0       1000          1\n";
        let two = "0 1000 1\n1 100000 65536\n";
        for (map, id, expected) in [
            (all, 65_534, true),
            (one, 0, true),
            (one, 65_534, false),
            (two, 65_534, true),
            (two, 65_537, false),
            ("", 0, false),
            ("x\n", 0, false),
        ] {
            assert_eq!(contains(map, id), expected, "{map:?} {id}");
        }
    }
}
