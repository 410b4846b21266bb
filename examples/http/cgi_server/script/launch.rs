//! Starting the process of a script: nothing of the server's own goes into it but what it is given here.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read},
    os::unix::{ffi::OsStrExt, fs::PermissionsExt, process::CommandExt},
    path::Path,
    process::{Child, Command, Stdio},
};

use shared::cgi::{environment::Variables, place::Place};

use crate::user::User;

pub(crate) struct Launcher {
    /// Whom scripts run as, if not as the server does.
    user: Option<User>,
    inherited: Vec<(OsString, OsString)>,
}

/// Why a script is not started: an answer, and a line for the log.
#[derive(Debug)]
pub(crate) struct NotStarted {
    pub(crate) status: u16,
    pub(crate) why: String,
}

/// What scripts find programs with if the server has no `PATH` itself.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

impl Launcher {
    /// Scripts get `PATH` and these variables of the server's.
    pub(crate) fn new(user: Option<User>, names: &[String]) -> Self {
        let path = env::var_os("PATH").unwrap_or_else(|| PATH.into());
        let named = names
            .iter()
            .filter_map(|name| Some((name.into(), env::var_os(name)?)));
        let inherited = [("PATH".into(), path)].into_iter().chain(named).collect();
        Self { user, inherited }
    }

    /// Without a shell in between. Every descriptor of the server is closed on the way (`O_CLOEXEC`) but the three given.
    pub(crate) fn launch(
        &self,
        place: &Place,
        variables: &Variables,
        input: Stdio,
    ) -> Result<Child, NotStarted> {
        if place.metadata.permissions().mode() & 0o111 == 0 {
            return Err(NotStarted::new(403, "it is not executable"));
        }
        if self.user.is_some() && !is_program(&place.file).unwrap_or(true) {
            return Err(NotStarted::new(
                500,
                "it is no program, and its first line names no interpreter",
            ));
        }
        let mut command = Command::new(&place.file);
        command
            .env_clear()
            .envs(
                variables
                    .iter()
                    .map(|(name, value)| (name, OsStr::from_bytes(value))),
            )
            // Behind the client's, which they win over.
            .envs(self.inherited.iter().map(|(name, value)| (name, value)))
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Of its own, to be ended with all that it starts.
            .process_group(0);
        if let Some(folder) = place.file.parent() {
            command.current_dir(folder);
        }
        if let Some(user) = &self.user {
            // As root, `uid` has the child give up all supplementary groups first.
            command.gid(user.gid).uid(user.uid);
        }
        command.spawn().map_err(|error| NotStarted::because(&error))
    }
}

/// `execvp`, with which a process is started as another user, hands what is no program to a shell.
fn is_program(file: &Path) -> io::Result<bool> {
    let mut start = [0; 64];
    let len = File::open(file)?.read(&mut start)?;
    let start = &start[..len];
    Ok(start.starts_with(b"#!") || start.contains(&0))
}

impl NotStarted {
    fn new(status: u16, why: impl Into<String>) -> Self {
        let why = why.into();
        Self { status, why }
    }

    fn because(error: &io::Error) -> Self {
        use io::ErrorKind as K;
        match error.kind() {
            K::PermissionDenied => Self::new(403, format!("it may not be executed: {error}")),
            K::NotFound => Self::new(500, "its interpreter is missing"),
            // No processes, descriptors or memory at present.
            K::WouldBlock | K::OutOfMemory => Self::new(503, error.to_string()),
            _ if matches!(error.raw_os_error(), Some(ENFILE | EMFILE)) => {
                Self::new(503, error.to_string())
            }
            _ => Self::new(500, format!("it cannot be started: {error}")),
        }
    }
}

// std has no ErrorKind for these.
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;
