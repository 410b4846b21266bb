//! The meaning of system error numbers for which `std` has no kind; they differ between systems.

use std::io;

use crate::address::Address;

pub(crate) fn unsupported(what: &str, address: &Address) -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        format!("cannot {what} {address} on this system"),
    )
}

/// The number that this system has: newlib's (Cygwin), Linux's, that of System V (on MIPS also under Linux), or BSD's (on
/// SPARC too).
const fn pick(windows: i32, newlib: i32, linux: i32, system_v: i32, bsd: i32) -> i32 {
    if cfg!(windows) {
        windows
    } else if cfg!(target_os = "cygwin") {
        newlib
    } else if cfg!(any(
        target_os = "solaris",
        target_os = "illumos",
        target_arch = "mips",
        target_arch = "mips32r6",
        target_arch = "mips64",
        target_arch = "mips64r6"
    )) {
        system_v
    } else if cfg!(all(
        any(target_os = "linux", target_os = "android"),
        not(any(target_arch = "sparc", target_arch = "sparc64"))
    )) {
        linux
    } else {
        bsd
    }
}

// std gives these no ErrorKind of their own, or no stable one.
pub(crate) const ESHUTDOWN: i32 = pick(10058, 110, 108, 143, 58);
const EHOSTDOWN: i32 = pick(10064, 117, 112, 147, 64);
const ENOBUFS: i32 = pick(10055, 105, 105, 132, 55);
const EINPROGRESS: i32 = pick(10036, 119, 115, 150, 36);

/// The answer of a non-blocking `connect` that goes on.
pub(crate) fn is_in_progress(error: &io::Error) -> bool {
    if cfg!(windows) {
        error.kind() == io::ErrorKind::WouldBlock
    } else {
        error.raw_os_error() == Some(EINPROGRESS)
    }
}

/// No system call reads from what is opened for writing only, as the write end of a pipe is.
#[cfg(unix)]
pub(crate) fn is_write_only(error: &io::Error) -> bool {
    const EBADF: i32 = 9;
    error.raw_os_error() == Some(EBADF)
}

#[cfg(not(unix))]
pub(crate) fn is_write_only(_: &io::Error) -> bool {
    false
}

/// An answer of a connected stream's own system call that means that its peer is gone, and that a callback may get
/// from elsewhere too: nobody answers any more, or no way leads to the peer.
pub(crate) fn is_peer_gone(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    // macOS answers EPROTOTYPE to a write while the socket is being torn down; Windows WSAENETRESET if the peer does not
    // answer keep-alives. No ErrorKind of their own.
    const CODES: &[i32] = if cfg!(windows) {
        &[EHOSTDOWN, 10052]
    } else if cfg!(target_vendor = "apple") {
        &[EHOSTDOWN, 41]
    } else {
        &[EHOSTDOWN]
    };
    error.raw_os_error().is_some_and(|code| {
        CODES.contains(&code)
            || matches!(
                error.kind(),
                K::TimedOut | K::HostUnreachable | K::NetworkUnreachable
            )
    })
}

/// The process or the system has no descriptor, buffer or memory left.
pub(crate) fn out_of_resources(error: &io::Error) -> bool {
    // std has no ErrorKind for EMFILE, ENFILE and ENOBUFS, nor for Windows' ERROR_NO_SYSTEM_RESOURCES.
    const CODES: &[i32] = if cfg!(windows) {
        &[10024, ENOBUFS, 1450]
    } else {
        &[24, 23, ENOBUFS]
    };
    error.kind() == io::ErrorKind::OutOfMemory
        || error
            .raw_os_error()
            .is_some_and(|code| CODES.contains(&code))
}

/// The connection broke before it was accepted, or the network has trouble that `accept` passes on (accept(2)).
pub(crate) fn is_transient(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    // EPROTO, ENOPROTOOPT, ENONET, EHOSTDOWN, EOPNOTSUPP: no ErrorKind of their own.
    const LINUX: &[i32] = &[71, 92, 64, 112, 95];
    matches!(
        error.kind(),
        K::Interrupted
            | K::ConnectionAborted
            | K::ConnectionReset
            | K::NetworkDown
            | K::NetworkUnreachable
            | K::HostUnreachable
            | K::TimedOut
            | K::PermissionDenied
    ) || (cfg!(windows) && error.kind() == K::NotConnected)
        || (cfg!(any(target_os = "linux", target_os = "android"))
            && error
                .raw_os_error()
                .is_some_and(|code| LINUX.contains(&code)))
}

/// An ICMP message about a datagram that was sent earlier. Windows answers it to the next call, on sockets without a peer
/// too (its reference, recvfrom and sendto: WSAECONNRESET, WSAENETRESET).
pub(crate) fn is_about_earlier_datagram(error: &io::Error) -> bool {
    cfg!(windows) && matches!(error.raw_os_error(), Some(10054 | 10052))
}

#[cfg(all(test, any(target_os = "linux", windows)))]
mod tests {
    use super::*;

    fn pick<T>(linux: T, windows: T) -> T {
        if cfg!(windows) { windows } else { linux }
    }

    #[test]
    fn accept_errors_fall_into_classes() {
        let os = io::Error::from_raw_os_error;
        // EMFILE, ENFILE, ENOBUFS, ENOMEM; WSAEMFILE, WSAENOBUFS, ERROR_NO_SYSTEM_RESOURCES, WSA_NOT_ENOUGH_MEMORY
        for code in pick([24, 23, 105, 12], [10024, 10055, 1450, 8]) {
            assert!(out_of_resources(&os(code)), "{code}");
            assert!(!is_transient(&os(code)), "{code}");
        }
        // EINTR, EPERM, ECONNABORTED, EPROTO, ENETDOWN, EHOSTUNREACH, ENETUNREACH; of Windows those of its accept, the one
        // of wine's, and what a network may answer
        for code in pick(
            [4, 1, 103, 71, 100, 113, 101],
            [10054, 10053, 10050, 10057, 10013, 10065, 10051],
        ) {
            assert!(is_transient(&os(code)), "{code}");
            assert!(!out_of_resources(&os(code)), "{code}");
        }
        // EBADF, EINVAL; WSAENOTSOCK, WSAEINVAL: the listener itself is wrong.
        for code in pick([9, 22], [10038, 10022]) {
            assert!(
                !is_transient(&os(code)) && !out_of_resources(&os(code)),
                "{code}"
            );
        }
    }

    #[cfg(unix)]
    #[test]
    fn numbers_are_the_systems() {
        use rustix::io::Errno;
        for (ours, system) in [
            (ESHUTDOWN, Errno::SHUTDOWN),
            (EHOSTDOWN, Errno::HOSTDOWN),
            (ENOBUFS, Errno::NOBUFS),
            (EINPROGRESS, Errno::INPROGRESS),
        ] {
            assert_eq!(ours, system.raw_os_error());
        }
    }

    #[test]
    fn only_windows_answers_for_an_earlier_datagram() {
        let os = io::Error::from_raw_os_error;
        for code in [10054, 10052] {
            assert_eq!(
                is_about_earlier_datagram(&os(code)),
                cfg!(windows),
                "{code}"
            );
        }
        // WSAEWOULDBLOCK, WSAEMSGSIZE, WSAENETDOWN; ECONNRESET
        for code in [10035, 10040, 10050, 104] {
            assert!(!is_about_earlier_datagram(&os(code)), "{code}");
        }
        assert!(!is_about_earlier_datagram(
            &io::ErrorKind::ConnectionReset.into()
        ));
    }
}
