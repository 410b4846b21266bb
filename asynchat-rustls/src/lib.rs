//! TLS and STARTTLS by [`rustls`] for the reactor of the crate [`asynchat`].
//!
//! Handlers stay as they are: `recv`, `push`, producers, files, watermarks and chats deal in plaintext, and the reactor
//! seals and opens it. [`Channel::upgrade`](asynchat::Channel#filters) has the rules.
//!
//! | | |
//! |---|---|
//! | a server that is TLS from the first byte | [`register_tls`](RegistryTls::register_tls) in `handle_accepted` |
//! | a client that is TLS from the first byte | [`connect_tls`](RegistryTls::connect_tls) by name or address |
//! | the same over a Unix stream, or a socket of one's own | [`register_tls_client`](RegistryTls::register_tls_client) |
//! | STARTTLS | [`start_tls`](ChannelTls::start_tls), [`start_tls_client`](ChannelTls::start_tls_client) |
//! | what was agreed on | [`tls`](ChannelTls::tls) |
//! | new certificates without a restart | [`TlsAcceptor::set_config`] |
//! | a certificate for each name, or a protocol (SNI, ALPN) | [`TlsAcceptor::choose`] |
//!
//! # Provider
//! rustls leaves the cryptography to a provider. The program chooses one, and this crate enables none: name rustls beside
//! it in `Cargo.toml`, with `features = ["ring"]` for instance, and make configurations by `builder_with_provider`.
//!
//! # Server
//! ```
//! use std::{io::Write, sync::Arc};
//!
//! use asynchat::{Address, Channel, ChannelId, Dispatcher, Reactor, Result, Stream};
//! use asynchat_rustls::{RegistryTls, TlsAcceptor};
//! use rustls::{ServerConfig, crypto::ring, pki_types::{CertificateDer, PrivateKeyDer}};
//!
//! struct Server(TlsAcceptor);
//! impl Dispatcher for Server {
//!     fn handle_accepted(&mut self, channel: &mut Channel<'_>, stream: Stream, _: Address) -> Result {
//!         channel.registry().register_tls(stream, &self.0, Echo)?;
//!         Ok(())
//!     }
//! }
//!
//! struct Echo;
//! impl Dispatcher for Echo {
//!     fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
//!         Ok(channel.recv_with(Write::write_all)??)
//!     }
//! }
//!
//! fn serve(reactor: &mut Reactor, chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<ChannelId> {
//!     let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
//!         .with_safe_default_protocol_versions()?
//!         .with_no_client_auth()
//!         .with_single_cert(chain, key)?;
//!     Ok(reactor.listen("127.0.0.1:0", Server(TlsAcceptor::new(Arc::new(config))))?)
//! }
//! # struct Client(rustls::pki_types::CertificateDer<'static>);
//! # impl Dispatcher for Client {
//! #     fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result { channel.push("hello"); Ok(()) }
//! #     fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
//! #         channel.recv_with(|_, data| assert_eq!(data, b"hello"))?;
//! #         channel.registry().stop();
//! #         Ok(())
//! #     }
//! # }
//! # fn main() -> Result {
//! # let authority = certificates::Authority::new("example");
//! # let identity = authority.issue(&["localhost"]);
//! # let mut reactor = Reactor::new()?;
//! # let key = PrivateKeyDer::Pkcs8(identity.key.into());
//! # let id = serve(&mut reactor, vec![identity.certificate.into()], key)?;
//! # let port = reactor.channel(id).ok_or("closed")?.local_addr()?.inet().ok_or("no port")?.port();
//! # let mut roots = rustls::RootCertStore::empty();
//! # roots.add(authority.certificate().into())?;
//! # let config = rustls::ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
//! #     .with_safe_default_protocol_versions()?.with_root_certificates(roots).with_no_client_auth();
//! # reactor.connect_tls("localhost", port, Arc::new(config), Client(authority.certificate().into()))?;
//! # Ok(reactor.run()?)
//! # }
//! ```
//!
//! `CertificateDer::pem_file_iter` and `PrivateKeyDer::from_pem_file` read the two from files.
//!
//! # Client
//! ```
//! use std::sync::Arc;
//!
//! use asynchat::{Channel, Dispatcher, Exceptional, Reactor, Result};
//! use asynchat_rustls::{ChannelTls, RegistryTls};
//! use rustls::{ClientConfig, RootCertStore, crypto::ring};
//!
//! struct Client;
//! impl Dispatcher for Client {
//!     fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
//!         // The certificate was valid for the host.
//!         println!("{:?}", channel.tls());
//!         channel.push("hello");
//!         channel.close_when_done();
//!         Ok(())
//!     }
//!
//!     fn handle_expt(&mut self, _: &mut Channel<'_>, what: Exceptional) -> Result {
//!         match what {
//!             Exceptional::ConnectFailed(error) => println!("no connection: {error}"),
//!             Exceptional::HandshakeFailed(error) => println!("no TLS: {error}"),
//!             _ => {}
//!         }
//!         Ok(())
//!     }
//! }
//!
//! /// The roots come from the crate `rustls-native-certs` or `webpki-roots`, for instance.
//! fn connect(reactor: &mut Reactor, host: &str, port: u16, roots: RootCertStore) -> Result {
//!     let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
//!         .with_safe_default_protocol_versions()?
//!         .with_root_certificates(roots)
//!         .with_no_client_auth();
//!     reactor.connect_tls(host, port, Arc::new(config), Client)?;
//!     Ok(())
//! }
//! # fn main() -> Result {
//! # let authority = certificates::Authority::new("example");
//! # let mut roots = RootCertStore::empty();
//! # roots.add(authority.certificate().into())?;
//! # let mut reactor = Reactor::new()?;
//! # connect(&mut reactor, "localhost", 1, roots)?;
//! # Ok(reactor.run()?)
//! # }
//! ```
//!
//! Keep the configuration for the next connection: sessions are resumed by it.
//!
//! # STARTTLS
//! ```
//! use asynchat::{AsyncChat, ChatChannel, ChatDispatcher, Frame, Result};
//! use asynchat_rustls::{ChannelTls, TlsAcceptor};
//!
//! struct Session {
//!     acceptor: TlsAcceptor,
//!     name: Option<String>,
//! }
//!
//! impl AsyncChat for Session {
//!     fn found_frame(&mut self, chat: &mut ChatChannel<'_>, line: Frame<'_>) -> Result {
//!         match str::from_utf8(&line)?.split_once(' ') {
//!             Some(("HELLO", name)) => {
//!                 self.name = Some(name.to_owned());
//!                 chat.push("250 hello\r\n");
//!             }
//!             None if &*line == b"STARTTLS" && chat.tls().is_none() => {
//!                 // In clear, because it is pushed before.
//!                 chat.push("220 ready\r\n");
//!                 // What was said in clear is forgotten with the old object (RFC 3207 §4.2).
//!                 let fresh = Session { acceptor: self.acceptor.clone(), name: None };
//!                 let acceptor = self.acceptor.clone();
//!                 chat.replace(ChatDispatcher::collecting(fresh, "\r\n", 1000));
//!                 // What follows STARTTLS in the same segment goes to TLS, and never to `found_frame`.
//!                 chat.start_tls(&acceptor)?;
//!             }
//!             _ => chat.push("500 unknown\r\n"),
//!         }
//!         Ok(())
//!     }
//!
//!     fn handle_secured(&mut self, chat: &mut ChatChannel<'_>) -> Result {
//!         assert!(self.name.is_none() && chat.tls().is_some());
//!         Ok(())
//!     }
//! }
//! # fn main() -> Result {
//! # use {std::{io::{Read, Write}, net::{TcpListener, TcpStream}, sync::Arc, thread}, rustls::*};
//! # let authority = certificates::Authority::new("example");
//! # let identity = authority.issue(&["localhost"]);
//! # let provider = Arc::new(crypto::ring::default_provider());
//! # let key = pki_types::PrivateKeyDer::Pkcs8(identity.key.into());
//! # let server = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?
//! #     .with_no_client_auth().with_single_cert(vec![identity.certificate.into()], key)?;
//! # let mut roots = RootCertStore::empty();
//! # roots.add(authority.certificate().into())?;
//! # let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?
//! #     .with_root_certificates(roots).with_no_client_auth();
//! # let listener = TcpListener::bind("127.0.0.1:0")?;
//! # let mut stream = TcpStream::connect(listener.local_addr()?)?;
//! # let talk = thread::spawn(move || -> Result<String> {
//! #     stream.write_all(b"HELLO ann\r\nSTARTTLS\r\n")?;
//! #     let mut answers = [0; 22];
//! #     stream.read_exact(&mut answers)?;
//! #     let connection = ClientConnection::new(Arc::new(client), "localhost".try_into()?)?;
//! #     let mut stream = StreamOwned::new(connection, stream);
//! #     stream.write_all(b"HELLO ann\r\n")?;
//! #     let mut answer = [0; 11];
//! #     stream.read_exact(&mut answer)?;
//! #     Ok(String::from_utf8([&answers[..], &answer].concat())?)
//! # });
//! # let mut reactor = asynchat::Reactor::new()?;
//! # let session = Session { acceptor: TlsAcceptor::new(Arc::new(server)), name: None };
//! # reactor.register(listener.accept()?.0, ChatDispatcher::collecting(session, "\r\n", 1000))?;
//! # reactor.run()?;
//! # let said = talk.join().expect("the client panicked")?;
//! # assert_eq!(said, "250 hello\r\n220 ready\r\n250 hello\r\n");
//! # Ok(())
//! # }
//! ```
//!
//! # Logging
//! A failed handshake is a debug line of `asynchat::channel`: scanners fail theirs all the time. rustls has targets of its
//! own, `rustls::…`, and logs only if the program turns on its feature `logging`; a peer can then make it log a few warnings
//! a connection.
#![forbid(unsafe_code)]
// Examples of the documentation show items that nothing in them calls.
#![doc(test(attr(deny(warnings), allow(dead_code))))]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

mod acceptor;
mod channel;
mod choice;
mod filter;
mod info;
mod name;
mod registry;

/// The crate whose types the functions here take, in the version that they take.
pub use rustls;

pub use acceptor::TlsAcceptor;
pub use channel::ChannelTls;
pub use filter::TlsFilter;
pub use info::TlsInfo;
pub use registry::RegistryTls;

/// The examples of the README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
