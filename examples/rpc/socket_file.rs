//! The socket's file: made for its owner only, never taken from a server that lives, removed at the end.

use std::{
    fs::{self, File, Permissions},
    io,
    os::{
        fd::OwnedFd,
        unix::{
            fs::{FileTypeExt, PermissionsExt},
            net::UnixListener,
        },
    },
    path::Path,
    sync::mpsc,
    thread,
    time::Duration,
};

use rustix::fs::{FlockOperation, flock};
use shared::socket_file::SocketFile;
use socket2::{Domain, SockAddr, Socket, Type};

const BACKLOG: i32 = 128;
/// How long another server may take to start.
const PATIENCE: Duration = Duration::from_secs(1);

/// Listens on `path`. What is there already is in the way, but for a socket nobody listens on any more if `force`.
///
/// A socket that is bound and does not listen yet refuses as a dead one does, so `force` takes it from its live owner.
/// Not from another server like this one: that holds the lock meanwhile.
pub(crate) fn listen(path: &Path, force: bool) -> io::Result<(UnixListener, SocketFile)> {
    // Held to the end of this function: what two servers that start at once find must not change in between.
    let _lock = lock_directory(path)?;
    if let Some(what) = in_the_way(path)? {
        if !(force && what.is_stale) {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, what.says));
        }
        log::warn!("removing the stale socket {}", path.display());
        fs::remove_file(path)?;
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let file = SocketFile::of(path)?;
    // Nobody can connect before `listen`, so there is no moment at which the file's permissions are too wide.
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    socket.listen(BACKLOG)?;
    Ok((UnixListener::from(OwnedFd::from(socket)), file))
}

struct Obstacle {
    says: &'static str,
    is_stale: bool,
}

fn in_the_way(path: &Path) -> io::Result<Option<Obstacle>> {
    let file = match fs::symlink_metadata(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if !file.file_type().is_socket() {
        return Ok(Some(Obstacle {
            says: "what is there is no socket",
            is_stale: false,
        }));
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // Else a server whose backlog is full would hold this one up.
    probe.set_nonblocking(true)?;
    let refused = probe
        .connect(&SockAddr::unix(path)?)
        .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
    Ok(Some(if refused {
        Obstacle {
            says: "a server that did not end properly has left its socket; --force removes it",
            is_stale: true,
        }
    } else {
        Obstacle {
            says: "a server is running there",
            is_stale: false,
        }
    }))
}

fn lock_directory(path: &Path) -> io::Result<File> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let directory = File::open(parent).map_err(|error| {
        let why = format!("the directory has to be readable, to be locked: {error}");
        match error.kind() {
            io::ErrorKind::PermissionDenied => io::Error::new(error.kind(), why),
            _ => error,
        }
    })?;
    // On a thread, because the call has no time limit, and any program that can read the directory may hold the lock.
    let (tell, told) = mpsc::channel();
    thread::Builder::new().spawn(move || {
        let locked = flock(&directory, FlockOperation::LockExclusive);
        // If nobody waits any more, the directory is closed, and the lock is free again.
        let _ = tell.send(locked.map(|()| directory));
    })?;
    match told.recv_timeout(PATIENCE) {
        Ok(locked) => Ok(locked?),
        Err(_) => Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            "another server is starting there",
        )),
    }
}
