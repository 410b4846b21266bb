//! Whom scripts run as.

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
        Ok(Some(Self { uid, gid }))
    }
}
