//! Python's `asyncore` and `asynchat` for Rust: a single-threaded reactor that calls objects back when their sockets
//! are ready, and a layer on top that cuts their input into frames.
//!
//! The [`guide`] leads from a first server to one in production. To port a Python program, start with [`porting`]: it
//! has every name of the two modules with its counterpart, and the differences. The smallest server, an echo, is on
//! [`Dispatcher`]. This is a chat server; each line goes to all members:
//!
//! ```
//! # use std::{io::{BufRead, BufReader}, net::TcpStream, thread, time::Duration};
//! use std::io::Write;
//! use asynchat::*;
//!
//! struct Room(Vec<ChannelId>);
//! impl Dispatcher for Room {
//!     fn handle_accepted(&mut self, channel: &mut Channel<'_>, stream: Stream, _: Address) -> Result {
//!         let chat = ChatDispatcher::collecting(Member { room: channel.id() }, "\n", 1024);
//!         self.0.push(channel.registry().register(stream, chat)?);
//!         Ok(())
//!     }
//! }
//!
//! struct Member { room: ChannelId }
//! impl AsyncChat for Member {
//!     fn found_frame(&mut self, chat: &mut ChatChannel<'_>, line: Frame<'_>) -> Result {
//!         Ok(chat.registry().with(self.room, |room: &mut Room, channel| {
//!             // A member that has left has no channel any more.
//!             room.0.retain(|&id| channel.registry().channel(id).is_some_and(|mut to| to.write_all(line.with_terminator()).is_ok()));
//!         })?)
//!     }
//! }
//! # fn main() -> Result {
//! # let mut reactor = Reactor::new()?;
//! let id = reactor.listen("127.0.0.1:0", Room(Vec::new()))?;
//! # let address = reactor.channel(id).ok_or("closed")?.local_addr()?.inet().ok_or("no port")?;
//! # let handle = reactor.handle();
//! # let members = thread::spawn(move || -> std::io::Result<String> {
//! #     let talked = (|| {
//! #         let ann = TcpStream::connect(address)?;
//! #         ann.set_read_timeout(Some(Duration::from_secs(10)))?;
//! #         let mut bob = TcpStream::connect(address)?;
//! #         bob.write_all(b"hello\nann\n")?;
//! #         let mut heard = BufReader::new(ann);
//! #         let mut text = String::new();
//! #         heard.read_line(&mut text)?;
//! #         heard.read_line(&mut text)?;
//! #         Ok(text)
//! #     })();
//! #     handle.shutdown(Duration::from_secs(1));
//! #     talked
//! # });
//! reactor.run()?;
//! # assert_eq!(members.join().expect("a member panicked")?, "hello\nann\n");
//! # Ok(())
//! # }
//! ```
//!
//! `examples/chat/room/main.rs` in the repository is the same with names and limits.
//!
//! # The words
//! - A [`Reactor`] is the loop: it waits for events and calls back. Its [`Registry`] holds the channels and timers.
//!   Callbacks reach it too: `reactor.listen(..)` and, inside a callback, `channel.registry().listen(..)` are the same
//!   call.
//! - A [`Dispatcher`] is an object you write. It holds the state of your protocol and reacts to a socket. Every
//!   callback has a default. The reactor owns the object until its last callback, `handle_closed`, has returned.
//! - An [`AsyncChat`] is the same for protocols in frames: it gets the bytes up to a [`Terminator`] (a byte string, a
//!   count, or none) and a call when the frame is complete. Wrapped in a [`ChatDispatcher`] it is a dispatcher.
//! - A [`Channel`] is a registered socket with its outgoing queue and timeouts. Every callback gets its own as an
//!   argument. Between callbacks a channel is a [`ChannelId`], which is `Copy`; [`Registry::channel`] finds the
//!   channel, or `None` once it is closed.
//! - A [`Producer`] makes outgoing bytes only when the queue is about to need them. A [`FilePart`] is sent by the
//!   system from the file.
//! - A [`Resolver`] finds the addresses of a host name; the one built in asks the system, on threads.
//! - A [`Handle`] reaches the reactor from other threads. A [`Hold`] keeps `run` from returning while their work is
//!   pending.
//!
//! # Features
//! | feature | default | |
//! |---|---|---|
//! | `signals` | off | `Registry::on_signal` (Unix): signals call closures on the loop's thread |
//! | `testing` | off | module `asynchat::testing`: tests of handlers without ports, threads or sleeps |
//!
//! # Logging
//! The library logs through the crate [`log`]. Its lines have ids and addresses, never the bytes sent or received.
//!
//! | target | lines |
//! |---|---|
//! | `asynchat::reactor` | shutdown; spinning handlers; errors in calls and in closures of signals and parts; panics outside of callbacks and when something is dropped; failed wake-ups; resolvers |
//! | `asynchat::channel` | channels added, and closed with the reason (debug); failed connections; unhandled errors |
//! | `asynchat::accept` | listeners that pause, with the reason, and continue; connections that are refused |
//! | `asynchat::timer` | timers that fire (trace), errors in those of the registry |
//!
//! # Platforms
//! Developed and tested on x86-64 Linux, with mio's epoll and poll(2) backends. [A table][platforms] says what has passed on
//! other Linux targets and, for Windows, under wine; for macOS, FreeBSD, NetBSD, illumos and Android the code compiles.
//! Unix sockets and plain descriptors (pipes, terminals) need Unix, abstract Unix addresses Linux, and reports of
//! out-of-band data ([`Exceptional::Priority`]) Linux or Android. Regular files cannot be watched on any system: push a
//! [`FilePart`].
//!
//! [platforms]: https://docs.rs/crate/asynchat/latest/source/docs/reliability.md
#![forbid(unsafe_code)]
// Examples of the documentation show items that nothing in them calls.
#![doc(test(attr(deny(warnings), allow(dead_code))))]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

mod address;
mod backoff;
mod builder;
mod channel;
mod chat;
mod closed;
mod couple;
mod direction;
mod engine;
mod error;
mod filter;
mod handle;
mod id;
mod names;
mod net;
mod network;
mod outgoing;
mod producer;
mod proxy_header;
mod reactor;
mod registry;
mod resolver;
#[cfg(all(unix, feature = "signals"))]
mod signals;
mod state;
mod stats;
#[cfg(feature = "testing")]
#[cfg_attr(docsrs, doc(cfg(feature = "testing")))]
pub mod testing;
mod thread_resolver;
mod threads;
mod time;

pub use address::{Address, AddressParseError};
pub use backoff::Backoff;
pub use builder::Builder;
/// From the crate `bytes`: the bytes that [`push`](Channel::push) takes and producers give, shared without a copy.
pub use bytes::Bytes;
pub use channel::handover::Detached;
pub use chat::{
    AsyncChat, ChatChannel, ChatDispatcher, Frame, FrameEvent, Framer, Piece, Terminator,
};
pub use closed::{Cause, Closed};
pub use couple::options::{CoupleOptions, Coupled};
pub use direction::Direction;
pub use error::{
    BoxError, ErrorSource, FrameTooLong, HandshakeFailed, OutgoingFull, Panicked, Result, Stopped,
    Truncated, VisitError,
};
pub use filter::{Filter, FilterPhase};
pub use handle::{Handle, Hold};
pub use id::ChannelId;
pub use names::{answer::Answer, question::Question};
pub use net::{connect::ConnectOptions, listen::ListenOptions, stream::Stream};
pub use network::{Network, NetworkParseError};
pub use outgoing::{
    Unsent,
    file_part::FilePart,
    into_bytes::IntoBytes,
    part::{Part, Sent},
};
pub use producer::{
    ChainProducer, ChunkedProducer, CoalescingProducer, EscapingProducer, FromFn, HookedProducer,
    LinesProducer, Produced, Producer, ReaderProducer, SimpleProducer, from_fn,
};
pub use proxy_header::{ProxyHeader, ProxyHeaderError};
pub use reactor::Reactor;
pub use registry::accept_fn::{AcceptFn, accept_fn};
pub use resolver::Resolver;
/// The numbers of signals, for [`Registry::on_signal`]: from the crate `signal-hook`.
#[cfg(all(unix, feature = "signals"))]
#[cfg_attr(docsrs, doc(cfg(feature = "signals")))]
pub use signal_hook::consts::signal;
#[cfg(all(unix, feature = "signals"))]
#[cfg_attr(docsrs, doc(cfg(feature = "signals")))]
pub use signals::SignalId;
pub use state::{
    channel::Channel,
    dispatcher::{Dispatcher, Exceptional},
    registry::Registry,
    socket::Socket,
    with_id::{WithId, with_id},
};
pub use stats::{ChannelInfo, State, Stats, Turn};
pub use thread_resolver::ThreadResolver;
pub use time::timer::TimerId;

/// The examples of the README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// [porting]: crate::porting
/// [design]: https://docs.rs/crate/asynchat/latest/source/docs/design.md
#[doc = include_str!("../docs/guide.md")]
pub mod guide {}

#[doc = include_str!("../docs/porting.md")]
pub mod porting {}
