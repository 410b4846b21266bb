//! Python's `asyncore` and `asynchat` for Rust: a single-threaded reactor that calls objects back when their sockets
//! are ready, and a layer on top that cuts their input into frames.
//!
//! An echo server:
//!
//! ```
//! # use std::{io::Read, net::{Shutdown, TcpStream}, thread, time::Duration};
//! use std::io::Write;
//!
//! use asynchat::{Address, Channel, Dispatcher, Reactor, Result, Stream};
//!
//! struct Server;
//! impl Dispatcher for Server {
//!     fn handle_accepted(&mut self, channel: &mut Channel<'_>, stream: Stream, _: Address) -> Result {
//!         channel.registry().register(stream, Echo)?;
//!         Ok(())
//!     }
//! }
//!
//! struct Echo;
//! impl Dispatcher for Echo {
//!     fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
//!         channel.recv_with(|channel, data| channel.write_all(data))??;
//!         Ok(())
//!     }
//! }
//!
//! fn main() -> Result {
//!     let mut reactor = Reactor::new()?;
//!     let id = reactor.listen(([127, 0, 0, 1], 0), Server)?;
//!     let address = reactor.channel(id).ok_or("closed")?.local_addr()?;
//!     println!("echoing on {address}");
//! #   let address = address.inet().ok_or("no port")?;
//! #   let handle = reactor.handle();
//! #   let client = thread::spawn(move || -> std::io::Result<String> {
//! #       let mut text = String::new();
//! #       let talked = TcpStream::connect(address).and_then(|mut stream| {
//! #           stream.set_read_timeout(Some(Duration::from_secs(10)))?;
//! #           stream.write_all(b"hello")?;
//! #           stream.shutdown(Shutdown::Write)?;
//! #           stream.read_to_string(&mut text)
//! #       });
//! #       handle.shutdown(Duration::from_secs(1));
//! #       talked.map(|_| text)
//! #   });
//!     reactor.run()?;                        // until nothing is left, or somebody stops it
//! #   assert_eq!(client.join().expect("the client panicked")?, "hello");
//!     Ok(())
//! }
//! ```
//!
//! # The words
//! - A [`Reactor`] is the loop: it waits for events and calls back. What lives in it, and what callbacks may do with
//!   it, is its [`Registry`]: `reactor.listen(..)` and, from inside a callback, `channel.registry().listen(..)` are
//!   the same call.
//! - A [`Dispatcher`] is an object you write. It holds the state of your protocol and reacts to a socket; every
//!   callback has a default. The reactor owns it from registration until its channel is closed.
//! - An [`AsyncChat`] is the same for protocols in frames: it gets the bytes up to a [`Terminator`] (a byte string, a
//!   count, or none) and word when the frame is complete. Wrapped in a [`ChatDispatcher`] it is a dispatcher.
//! - A [`Channel`] is a registered socket with all the reactor keeps for it: readiness, outgoing queue, timeouts. Every
//!   callback gets its own one as an argument. Between callbacks a channel is a [`ChannelId`], which is `Copy`;
//!   [`Registry::channel`] turns it into a `Channel` again, or into `None` once it is closed.
//! - A [`Producer`] makes outgoing bytes only when the queue is about to need them.
//! - A [`Handle`] reaches the reactor from other threads.
//!
//! # From asyncore to here
//! | asyncore, asynchat | here |
//! |---|---|
//! | a subclass of `dispatcher` | a type that implements [`Dispatcher`] |
//! | `self.recv`, `self.send`, `self.close` | the same on the callback's [`Channel`]; best [`Channel::recv_with`] and [`Channel::push`] |
//! | `dispatcher_with_send` | nothing to do: every stream has an outgoing queue |
//! | `create_socket`, `set_reuse_addr`, `bind`, `listen` | [`Registry::listen`], [`listen_with`](Registry::listen_with) |
//! | `create_socket`, `connect` | [`Registry::connect`], [`connect_any`](Registry::connect_any) |
//! | `dispatcher(sock)`, `file_dispatcher(fd)` | [`Registry::register`] with anything [`Socket`] can be made from |
//! | `readable()`, `writable()` polled before every `select` | the same predicates, asked when something happened; [`Channel::touch`] has them asked again |
//! | `handle_connect`, `handle_accepted`, `handle_read`, `handle_write`, `handle_close`, `handle_expt`, `handle_error` | the same on [`Dispatcher`], with [`handle_drain`](Dispatcher::handle_drain) and [`handle_timeout`](Dispatcher::handle_timeout) |
//! | `loop()`, `loop(count=1)` | [`Reactor::run`], [`Reactor::turn`] |
//! | `ExitNow` | [`Registry::stop`], or [`Registry::shutdown`] for a graceful end |
//! | `socket_map` | [`Registry::channels`], [`Registry::channel`], [`Registry::with`] |
//! | `close_all()` | [`Registry::close_all`] |
//! | `push`, `push_with_producer`, `close_when_done` | the same on [`Channel`] |
//! | a subclass of `async_chat` | a type that implements [`AsyncChat`], registered in a [`ChatDispatcher`] |
//! | `set_terminator`, `discard_buffers` | [`ChatChannel::set_terminator`], [`discard_input`](ChatChannel::discard_input), [`discard_output`](ChatChannel::discard_output) |
//! | `simple_producer`, your own `more()` | [`SimpleProducer`], [`Producer`] |
//! | a `sched` beside the loop, a socket pair to wake it | [`Registry::call_later`], [`Registry::handle`] |
//!
//! Names stay, some meanings do not: the README lists the differences, and `docs/design.md` in the repository the rules
//! (R1 to R22) this documentation refers to.
//!
//! # Platforms
//! Developed and tested on Linux, on mio's epoll backend and on its poll(2) backend. Android, macOS, iOS, the BSDs and
//! Windows have their own branches in the source, but nobody has run the tests there. Unix sockets and plain
//! descriptors (pipes, terminals) are for Unix only, abstract Unix addresses for Linux, and word of out-of-band data
//! ([`Exceptional::Priority`]) for Linux and Android. Regular files cannot be watched anywhere: push a [`ReaderProducer`].
//!
//! # Logging
//! Through [`log`]; ids and addresses, never what was sent or received.
//!
//! | target | says |
//! |---|---|
//! | `asynchat::reactor` | the loop: failed wake-ups, spinning handlers, objects that panic when dropped, shutdown |
//! | `asynchat::channel` | channels: added and closed with the reason (debug), failed connections, errors nobody handled |
//! | `asynchat::accept` | listeners: when and why they stop accepting, and when they go on |
//! | `asynchat::timer` | timers that fire (trace), errors in them |
//!
//! # Features
//! The crate has no Cargo features.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

mod accept;
mod address;
mod builder;
mod call;
mod channel;
mod chat;
mod clock;
mod closing;
mod connect;
mod dispatcher;
mod error;
mod flush;
mod handle;
mod id;
mod io;
mod listen;
mod outgoing;
mod producer;
mod reactor;
mod readiness;
mod registry;
mod slot;
mod socket;
mod stats;
mod table;
mod task;
mod timer;
mod visit;

pub use address::{Address, AddressParseError};
pub use builder::{Builder, ErrorSource};
pub use channel::{Channel, Detached};
pub use chat::{AsyncChat, ChatChannel, ChatDispatcher, Terminator};
pub use connect::ConnectOptions;
pub use dispatcher::{Dispatcher, Exceptional};
pub use error::{BoxError, FrameTooLong, OutgoingFull, Panicked, Result, Stopped, VisitError};
pub use handle::Handle;
pub use id::ChannelId;
pub use listen::ListenOptions;
pub use outgoing::Unsent;
pub use producer::{
    ChainProducer, ChunkedProducer, CoalescingProducer, EscapingProducer, FromFn, HookedProducer,
    LinesProducer, Produced, Producer, ReaderProducer, SimpleProducer, from_fn,
};
pub use reactor::Reactor;
pub use registry::Registry;
pub use socket::{Socket, Stream};
pub use stats::{ChannelInfo, State, Stats, Turn};
pub use timer::TimerId;

/// The examples of the README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
