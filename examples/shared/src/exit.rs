//! A descriptor that becomes readable when a child has exited. The child is not reaped: its number stays its own.

use std::{io, os::fd::OwnedFd, process::Child};

#[cfg(target_os = "linux")]
pub fn watch(child: &Child) -> io::Result<OwnedFd> {
    use rustix::process::{Pid, PidfdFlags, pidfd_open};

    Ok(pidfd_open(Pid::from_child(child), PidfdFlags::empty())?)
}

/// The end of a pipe whose other end a thread closes.
#[cfg(not(target_os = "linux"))]
pub fn watch(child: &Child) -> io::Result<OwnedFd> {
    use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

    let pid = Pid::from_child(child);
    let (reader, writer) = io::pipe()?;
    std::thread::spawn(move || {
        let exited = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while waitid(WaitId::Pid(pid), exited).is_err_and(|error| error == rustix::io::Errno::INTR)
        {
        }
        drop(writer);
    });
    Ok(reader.into())
}
