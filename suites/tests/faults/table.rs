//! What is expected of each pair of system call and error, and why.

use std::fmt;

use Call::*;
use Effect::*;
use Errno::*;

/// What fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Accept4,
    Recvfrom,
    Sendto,
    Writev,
    Sendmsg,
    Sendfile,
    Read,
    Pread64,
    EpollWait,
    EpollCtl,
    Socket,
    Connect,
    Close,
}

pub const CALLS: [Call; 13] = [
    Accept4, Recvfrom, Sendto, Writev, Sendmsg, Sendfile, Read, Pread64, EpollWait, EpollCtl,
    Socket, Connect, Close,
];

impl Call {
    /// As the system has it.
    pub fn name(self) -> &'static str {
        match self {
            Accept4 => "accept4",
            Recvfrom => "recvfrom",
            Sendto => "sendto",
            Writev => "writev",
            Sendmsg => "sendmsg",
            Sendfile => "sendfile",
            Read => "read",
            Pread64 => "pread64",
            EpollWait => "epoll_wait",
            EpollCtl => "epoll_ctl",
            Socket => "socket",
            Connect => "connect",
            Close => "close",
        }
    }
}

/// How it fails. `EAGAIN` is missing on purpose: given to an edge-triggered program while there is something to read it
/// is a lie, for no event follows. It comes from small buffers instead.
#[allow(clippy::upper_case_acronyms, reason = "their names")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errno {
    EINTR,
    EMFILE,
    ENFILE,
    ENOBUFS,
    ENOMEM,
    ECONNABORTED,
    ECONNRESET,
    EPIPE,
    ETIMEDOUT,
}

pub const ERRNOS: [Errno; 9] = [
    EINTR,
    EMFILE,
    ENFILE,
    ENOBUFS,
    ENOMEM,
    ECONNABORTED,
    ECONNRESET,
    EPIPE,
    ETIMEDOUT,
];

/// Who notices, and what. Besides, in every cell: everybody else is served whole, nothing spins, no descriptor leaks, the
/// server goes on and ends well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nobody notices anything.
    Nothing,
    /// All are served whole, some of them later: the listener rests.
    Late,
    /// The connection on which it happened ends at once. What came until then was right.
    Ends,
    /// One datagram is lost, which its sender asks for again.
    Lost,
    /// Nobody notices; each failed call leaves one descriptor open.
    Leaks,
    /// The program ends with one line that says why, and status 1.
    Fatal,
}

/// The table. Where no kernel gives the error on that call the reason says so; the row holds all the same.
pub fn expected(call: Call, errno: Errno, udp: bool) -> (Effect, &'static str) {
    match (call, errno) {
        (Accept4, EMFILE | ENFILE | ENOBUFS | ENOMEM) => {
            (Late, "R19: the connection stays in the backlog")
        }
        (Accept4, EINTR) => (Nothing, "R19: asked again at once"),
        (Accept4, ECONNABORTED | ECONNRESET | ETIMEDOUT) => (
            Nothing,
            "R19: a connection that broke in the backlog is skipped, and the next one taken",
        ),
        (Accept4, EPIPE) => (
            Nothing,
            "no kernel: whatever it means, who waits is not to wait for the next one to come",
        ),
        (Recvfrom | Sendto | Writev | Sendmsg | Sendfile, EINTR) => {
            (Nothing, "R8: asked again, no byte lost or doubled")
        }
        (Recvfrom, _) if udp => (
            Nothing,
            "the error of an earlier datagram: the next call gives the one that waits",
        ),
        (Sendto, _) if udp => (
            Lost,
            "an answer that cannot be sent is lost as any datagram may be",
        ),
        (Sendfile, EMFILE | ENFILE | ENOBUFS | ENOMEM | ECONNABORTED | ETIMEDOUT) => (
            Nothing,
            "R13: unless the connection is full or broken, the file is read and written, which tells whose fault it is",
        ),
        (Recvfrom | Sendto | Writev | Sendmsg | Sendfile, ECONNABORTED | ECONNRESET | EPIPE) => {
            (Ends, "R8: a reset of this connection")
        }
        (Recvfrom | Sendto | Writev | Sendmsg, ETIMEDOUT) => {
            (Ends, "R8: a peer that answers no more is a reset")
        }
        (Recvfrom | Sendto | Writev | Sendmsg, ENOBUFS | ENOMEM) => (
            Ends,
            "R9: no memory for this connection; `handle_error` closes",
        ),
        (Recvfrom | Sendto | Writev | Sendmsg, EMFILE | ENFILE) => {
            (Ends, "no kernel; R9: any error is that of its channel")
        }
        (Read | Pread64, EINTR) => (Nothing, "a file is read again"),
        (Read | Pread64, _) => (
            Ends,
            "R13: the answer cannot be completed, so its connection ends",
        ),
        (EpollWait, EINTR) => (Nothing, "R5: an interrupted poll is an empty one"),
        (EpollWait, _) => (
            Fatal,
            "no kernel: a poller that fails so cannot be trusted again, `run` gives its error",
        ),
        (EpollCtl, ENOMEM) => (Ends, "a connection that cannot be watched is closed"),
        (EpollCtl, _) => (Ends, "no kernel; as with ENOMEM"),
        (Socket | Connect, EMFILE | ENFILE | ENOBUFS | ENOMEM) => (
            Late,
            "no descriptor or memory for the other half: this one waits for it, unread",
        ),
        (Socket, _) => (Ends, "no kernel; the attempt has failed (R4)"),
        (Connect, EPIPE) => (Ends, "no kernel; the attempt has failed (R4)"),
        (Connect, _) => (Ends, "R4: the attempt has failed, with its error"),
        (Close, EINTR) => (
            Leaks,
            "the call is suppressed; it must not be made again, for Linux has closed it when it says so",
        ),
        (Close, _) => (Leaks, "as with EINTR: there is no second close"),
    }
}

/// At which calls. strace counts them for each thread from the moment it attaches.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum When {
    First,
    Third,
    /// From a call on and in a stride that follow from the seed.
    Random(u64),
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            First => f.write_str("1"),
            Third => f.write_str("3+3"),
            Random(seed) => write!(f, "{}+{}", 1 + seed % 3, 2 + seed / 3 % 4),
        }
    }
}

pub use When::{First, Random, Third};
