//! A channel to which a callback of one's choice is about to happen.

use std::{
    io::Write,
    net::{Shutdown, TcpStream},
    time::Duration,
};

use asynchat::{Channel, ChannelId, Reactor, Result, State};
use socket2::SockRef;
use util::{
    Recorder, Trace,
    peer::{refusing, tcp_pair},
    settle,
};

/// The callbacks of a stream, as a `Recorder` named `a` writes them down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Callback {
    Connect,
    Read,
    Write,
    Drain,
    Priority,
    Timeout,
    Close,
    ConnectFailed,
    Error,
}

impl Callback {
    pub(super) const ALL: &[Self] = &[
        Self::Connect,
        Self::Read,
        Self::Write,
        Self::Drain,
        #[cfg(any(target_os = "linux", target_os = "android"))]
        Self::Priority,
        Self::Timeout,
        Self::Close,
        Self::ConnectFailed,
        Self::Error,
    ];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Connect => "a.connect",
            Self::Read => "a.read:5",
            Self::Write => "a.write",
            Self::Drain => "a.drain",
            Self::Priority => "a.priority",
            Self::Timeout => "a.timeout",
            Self::Close => "a.close",
            Self::ConnectFailed => "a.failed:ConnectionRefused",
            Self::Error => "a.error:first",
        }
    }

    /// A recorder whose callback of this kind goes on with `hook`.
    fn recorder(
        self,
        trace: &Trace,
        hook: impl FnMut(&mut Channel<'_>) -> Result + 'static,
    ) -> Recorder {
        let mut recorder = Recorder::named(trace, "a");
        recorder.writable = self == Self::Write;
        // A read would step over the out-of-band byte and take its notice away.
        recorder.readable = self != Self::Priority;
        if self == Self::Error {
            recorder.on_read = Some(Box::new(|channel| match channel.state() {
                State::Open => Err("first".into()),
                _ => Ok(()),
            }));
        }
        let place = match self {
            Self::Connect => &mut recorder.on_connect,
            Self::Read => &mut recorder.on_read,
            Self::Write => &mut recorder.on_write,
            Self::Drain => &mut recorder.on_drain,
            Self::Priority | Self::ConnectFailed => &mut recorder.on_expt,
            Self::Timeout => &mut recorder.on_timeout,
            Self::Close => &mut recorder.on_close,
            Self::Error => &mut recorder.on_error,
        };
        *place = Some(Box::new(hook));
        recorder
    }
}

/// A channel to which the callback in question is about to happen.
pub(super) struct Staged {
    pub(super) id: ChannelId,
    pub(super) peer: Option<TcpStream>,
    _refusing: Option<socket2::Socket>,
}

pub(super) fn stage(
    reactor: &mut Reactor,
    trace: &Trace,
    callback: Callback,
    hook: impl FnMut(&mut Channel<'_>) -> Result + 'static,
) -> Staged {
    let recorder = callback.recorder(trace, hook);
    if callback == Callback::ConnectFailed {
        let (refusing, address) = refusing();
        return Staged {
            id: reactor.connect(address, recorder).unwrap(),
            peer: None,
            _refusing: Some(refusing),
        };
    }
    let (ours, mut theirs) = tcp_pair();
    let id = reactor.register(ours, recorder).unwrap();
    let mut channel = reactor.channel(id).unwrap();
    match callback {
        Callback::Read | Callback::Error => theirs.write_all(b"hello").unwrap(),
        Callback::Drain => {
            channel.set_watermarks(0, 10);
            channel.push(vec![0; 100]);
        }
        Callback::Priority => {
            SockRef::from(&theirs).send_out_of_band(b"!").unwrap();
        }
        Callback::Timeout => channel.set_idle_timeout(Some(Duration::from_millis(1))),
        Callback::Close => theirs.shutdown(Shutdown::Write).unwrap(),
        Callback::Connect | Callback::Write | Callback::ConnectFailed => {}
    }
    Staged {
        id,
        peer: Some(theirs),
        _refusing: None,
    }
}

/// A channel named `other`, settled, with bytes that the next turn would deliver.
pub(super) fn with_input(
    reactor: &mut Reactor,
    trace: &Trace,
    name: &'static str,
) -> (ChannelId, TcpStream) {
    let (ours, mut theirs) = tcp_pair();
    let id = reactor
        .register(ours, Recorder::named(trace, name))
        .unwrap();
    settle(reactor);
    trace.clear();
    theirs.write_all(b"input").unwrap();
    (id, theirs)
}
