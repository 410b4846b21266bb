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
//! A chat server in 25 lines. Each line goes to everybody, and whoever has left is struck off on the way:
//!
//! ```
//! # use std::{io::{BufRead, BufReader}, net::TcpStream, thread, time::Duration};
//! use std::io::Write;
//! use asynchat::*;
//!
//! struct Room(Vec<ChannelId>);
//! impl Dispatcher for Room {
//!     fn handle_accepted(&mut self, channel: &mut Channel<'_>, stream: Stream, _: Address) -> Result {
//!         let member = Member { room: channel.id(), line: Vec::new() };
//!         let chat = ChatDispatcher::new(member, "\n").max_frame(1024);
//!         self.0.push(channel.registry().register(stream, chat)?);
//!         Ok(())
//!     }
//! }
//!
//! struct Member { room: ChannelId, line: Vec<u8> }
//! impl AsyncChat for Member {
//!     fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, data: &[u8]) -> Result {
//!         Ok(self.line.write_all(data)?)
//!     }
//!     fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
//!         let line = [&std::mem::take(&mut self.line)[..], b"\n"].concat();
//!         Ok(chat.registry().with(self.room, |room: &mut Room, channel| {
//!             room.0.retain(|&id| channel.registry().channel(id).is_some_and(|mut to| to.write_all(&line).is_ok()));
//!         })?)
//!     }
//! }
//! # fn main() -> Result {
//! # let mut reactor = Reactor::new()?;
//! let id = reactor.listen(([127, 0, 0, 1], 0), Room(Vec::new()))?;
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
//! - A [`Reactor`] is the loop: it waits for events and calls back. What lives in it, and what callbacks may do with
//!   it, is its [`Registry`]: `reactor.listen(..)` and, from inside a callback, `channel.registry().listen(..)` are
//!   the same call.
//! - A [`Dispatcher`] is an object you write. It holds the state of your protocol and reacts to a socket; every
//!   callback has a default. The reactor owns it from registration until no callback can follow.
//! - An [`AsyncChat`] is the same for protocols in frames: it gets the bytes up to a [`Terminator`] (a byte string, a
//!   count, or none) and word when the frame is complete. Wrapped in a [`ChatDispatcher`] it is a dispatcher.
//! - A [`Channel`] is a registered socket with all the reactor keeps for it: readiness, outgoing queue, timeouts. Every
//!   callback gets its own one as an argument. Between callbacks a channel is a [`ChannelId`], which is `Copy`;
//!   [`Registry::channel`] turns it into a `Channel` again, or into `None` once it is closed.
//! - A [`Producer`] makes outgoing bytes only when the queue is about to need them; a [`FilePart`] is sent from where
//!   it is.
//! - A [`Handle`] reaches the reactor from other threads; a [`Hold`] has `run` wait for what they are still to post.
//!
//! # From asyncore and asynchat to here
//! | asyncore | here |
//! |---|---|
//! | a subclass of `dispatcher` | a type that implements [`Dispatcher`] |
//! | `self.recv`, `self.send`, `self.close` | the same on the callback's [`Channel`]; best [`Channel::recv_with`] and [`Channel::push`] |
//! | `dispatcher_with_send` | nothing to do: every stream has an outgoing queue |
//! | `create_socket`, `set_reuse_addr`, `bind`, `listen` | [`Registry::listen`], [`listen_with`](Registry::listen_with) |
//! | `create_socket`, `connect` | [`Registry::connect`], [`connect_any`](Registry::connect_any) |
//! | `dispatcher(sock)`, `file_dispatcher(fd)` | [`Registry::register`] with anything [`Socket`] can be made from |
//! | `del_channel`, `set_socket` | [`Channel::detach`], then [`Registry::register`] |
//! | `readable()`, `writable()` polled before every `select` | the same predicates, asked when something happened; [`Channel::touch`] has them asked again |
//! | `handle_connect`, `handle_accept`, `handle_accepted`, `handle_read`, `handle_write`, `handle_close`, `handle_expt`, `handle_error` | the same on [`Dispatcher`], with [`handle_drain`](Dispatcher::handle_drain) and [`handle_timeout`](Dispatcher::handle_timeout) |
//! | `connected`, `accepting`, `connecting`, `addr` | [`Channel::state`], [`local_addr`](Channel::local_addr), [`peer_addr`](Channel::peer_addr) |
//! | `loop()`, `loop(count=1)`, `poll()` | [`Reactor::run`], [`Reactor::turn`] |
//! | `ExitNow` | [`Registry::stop`], or [`Registry::shutdown`] for a graceful end |
//! | `socket_map` | [`Registry::channels`], [`Registry::channel`], [`Registry::with`] |
//! | `close_all()` | [`Registry::close_all`] |
//! | `log`, `log_info` | the [`log`] crate; see [Logging](#logging) |
//! | a `sched` beside the loop, a socket pair to wake it | [`Registry::call_later`], [`Registry::handle`] |
//!
//! | asynchat | here |
//! |---|---|
//! | a subclass of `async_chat` | a type that implements [`AsyncChat`], registered in a [`ChatDispatcher`] |
//! | `collect_incoming_data(data)`, `found_terminator()` | the same on [`AsyncChat`], with the [`ChatChannel`] as an argument |
//! | `_collect_incoming_data`, `_get_data`, `incoming` | a `Vec<u8>` of your own, `extend_from_slice` and `mem::take`; none for a frame of which [`ChatChannel::is_whole_frame`] is true |
//! | `set_terminator(b"\r\n")`, `(n)`, `(None)`, `(0)` | [`ChatChannel::set_terminator`]; `None` is [`Terminator::None`], and `0`, which meant the same, is a frame without bytes |
//! | `get_terminator()` | [`ChatChannel::terminator`] |
//! | no initial terminator | the second argument of [`ChatDispatcher::new`] |
//! | `push(data)` | [`Channel::push`], or `write!(chat, ..)`, which copies into the queue's buffer |
//! | `push_with_producer(p)`, `close_when_done()` | the same on [`Channel`] |
//! | `discard_buffers()` | [`ChatChannel::discard_input`], [`discard_output`](ChatChannel::discard_output) |
//! | `ac_in_buffer_size` | [`Builder::read_buffer`]; [`ChatDispatcher::max_frame`] limits a frame |
//! | `ac_out_buffer_size` | none: a producer's piece goes out as it is; [`SimpleProducer`] cuts |
//! | `ac_in_buffer` | the framer keeps no input; [`ChatChannel::unread`] gives bytes back |
//! | `producer_fifo`, `initiate_send`, `refill_buffer`, `fifo` | the channel's own queue, flushed once a visit; [`Channel::outgoing_len`], [`is_congested`](Channel::is_congested), [`set_watermarks`](Channel::set_watermarks) |
//! | `writable()` of a chat | nothing to do: flushing is the reactor's |
//! | `simple_producer`, your own `more()` that ends with `b""` | [`SimpleProducer`], [`Producer`] that ends with [`Produced::Done`]; a closure through [`from_fn`] |
//! | a producer with nothing to give yet | [`Produced::Pending`], then [`Channel::touch`] |
//! | Medusa's producers: file, lines, composite, chunked, globbing, hooked, escaping | [`ReaderProducer`] or [`Channel::push_file`], [`LinesProducer`], [`ChainProducer`], [`ChunkedProducer`], [`CoalescingProducer`], [`HookedProducer`], [`EscapingProducer`] |
//! | `find_prefix_at_end` | inside the framer, not public |
//! | `use_encoding`, `encoding` | bytes only; text is yours to encode |
//!
//! Names stay, some meanings do not: the README lists the differences, and `docs/design.md` in the repository the rules
//! (R1 to R22) this documentation refers to.
//!
//! # Testing
//! A handler is tested without ports, threads or sleeps with the feature `testing`, as a dialogue or step by step:
//!
#![cfg_attr(feature = "testing", doc = "```")]
#![cfg_attr(not(feature = "testing"), doc = "```ignore")]
//! use asynchat::{testing::Harness, *};
//!
//! struct Echo;
//! impl Dispatcher for Echo {
//!     fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
//!         channel.set_idle_timeout(Some(std::time::Duration::from_secs(3600)));
//!         Ok(())
//!     }
//!     fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
//!         Ok(channel.recv_with(std::io::Write::write_all)??)
//!     }
//! }
//!
//! let mut peer = Harness::new(Echo);
//! peer.play(
//!     "C: What time is it?
//!      S: What … is it?
//!      wait 3600s
//!      S closes",
//! );
//!
//! let mut peer = Harness::new(Echo);
//! peer.feed_bytewise("hello");
//! assert_eq!(peer.output(), b"hello");
//! peer.eof();
//! assert!(peer.is_closed());
//! ```
//!
//! # Platforms
//! Developed and tested on Linux, on mio's epoll backend and on its poll(2) backend. Android, macOS, iOS, the BSDs and
//! Windows have their own branches in the source, but nobody has run the tests there. Unix sockets and plain
//! descriptors (pipes, terminals) are for Unix only, abstract Unix addresses for Linux, and word of out-of-band data
//! ([`Exceptional::Priority`]) for Linux and Android. Regular files cannot be watched anywhere: push a [`FilePart`], which
//! Linux and Android send without reading it.
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
//! | feature | default | gives |
//! |---|---|---|
//! | `testing` | off | `asynchat::testing`: tests of handlers without ports, threads or sleeps |
#![forbid(unsafe_code)]
// Examples of the documentation show items that nothing in them calls.
#![doc(test(attr(deny(warnings), allow(dead_code))))]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

mod address;
mod builder;
mod channel;
mod chat;
mod engine;
mod error;
mod handle;
mod id;
mod net;
mod outgoing;
mod producer;
#[cfg(test)]
mod properties;
mod reactor;
mod registry;
mod state;
mod stats;
#[cfg(feature = "testing")]
pub mod testing;
mod threads;
mod time;

pub use address::{Address, AddressParseError};
pub use builder::Builder;
/// From the crate of that name: what [`push`](Channel::push) takes and producers give, shared without a copy.
pub use bytes::Bytes;
pub use channel::handover::Detached;
pub use chat::{AsyncChat, ChatChannel, ChatDispatcher, Terminator};
pub use error::{
    BoxError, ErrorSource, FrameTooLong, OutgoingFull, Panicked, Result, Stopped, VisitError,
};
pub use handle::{Handle, Hold};
pub use id::ChannelId;
pub use net::{connect::ConnectOptions, listen::ListenOptions, socket::Socket, stream::Stream};
pub use outgoing::{Unsent, file_part::FilePart};
pub use producer::{
    ChainProducer, ChunkedProducer, CoalescingProducer, EscapingProducer, FromFn, HookedProducer,
    LinesProducer, Produced, Producer, ReaderProducer, SimpleProducer, from_fn,
};
pub use reactor::Reactor;
pub use state::{
    channel::Channel,
    dispatcher::{Dispatcher, Exceptional},
    registry::Registry,
};
pub use stats::{ChannelInfo, State, Stats, Turn};
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
