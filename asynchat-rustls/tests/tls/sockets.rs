//! Channels that are TLS from their first byte.

use std::{
    cell::{Cell, RefCell},
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    rc::Rc,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use asynchat::{
    Address, Bytes, Channel, ChannelId, ConnectOptions, Dispatcher, Exceptional, Reactor, Result,
    Socket, State, Stream,
};
use asynchat_rustls::{
    ChannelTls, RegistryTls, TlsAcceptor,
    rustls::{ClientConnection, Error, StreamOwned, pki_types::ServerName},
};
use util::{Recorder, Trace, files::content, peer::tcp_pair, run, settle, turn_until};

use crate::pair::{VERSIONS, client_config, server_asking_for_certificates, server_config};

fn acceptor() -> TlsAcceptor {
    TlsAcceptor::new(server_config(&VERSIONS).into())
}

/// Serves TLS with an object for each connection.
struct Listener<F>(TlsAcceptor, F);

impl<D: Dispatcher, F: FnMut() -> D + 'static> Dispatcher for Listener<F> {
    fn handle_accepted(&mut self, channel: &mut Channel<'_>, stream: Stream, _: Address) -> Result {
        let object = (self.1)();
        channel.registry().register_tls(stream, &self.0, object)?;
        Ok(())
    }
}

fn serve<D: Dispatcher>(
    reactor: &mut Reactor,
    acceptor: TlsAcceptor,
    make: impl FnMut() -> D + 'static,
) -> (ChannelId, SocketAddr) {
    let id = reactor
        .listen(([127, 0, 0, 1], 0), Listener(acceptor, make))
        .unwrap();
    (id, util::address_of(reactor, id))
}

/// A blocking client of rustls's own.
fn blocking_client(stream: TcpStream) -> StreamOwned<ClientConnection, TcpStream> {
    stream.set_read_timeout(Some(util::DEADLINE)).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(client_config(&VERSIONS).into(), name).unwrap();
    StreamOwned::new(connection, stream)
}

/// What happened, without the calls of `handle_read` for records in which there was no plaintext.
fn without_idle_reads(trace: &Trace) -> String {
    let mut lines = trace.lines();
    lines.retain(|line| !line.contains("read!WouldBlock"));
    lines.join(" ")
}

/// Echoes until the end.
struct Echo;

impl Dispatcher for Echo {
    fn writable(&self) -> bool {
        false
    }

    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        channel.recv_with(Write::write_all)??;
        Ok(())
    }

    fn handle_close(&mut self, channel: &mut Channel<'_>) -> Result {
        channel.close_when_done();
        Ok(())
    }
}

#[test]
fn greeting_comes_after_the_handshake_and_knows_what_was_agreed_on() {
    let mut reactor = util::reactor();
    let trace = Trace::new();
    let seen = Rc::new(RefCell::new(None));
    let look = seen.clone();
    let server = trace.clone();
    let (listener, address) = serve(&mut reactor, acceptor(), move || {
        let look = look.clone();
        let mut object = Recorder::named(&server, "server");
        object.on_connect = Some(Box::new(move |channel| {
            let info = channel.tls().ok_or("no TLS")?;
            *look.borrow_mut() = info.server_name().map(str::to_owned);
            channel.push("welcome");
            channel.close_when_done();
            Ok(())
        }));
        object
    });
    let mut client = Recorder::named(&trace, "client");
    client.on_connect = Some(Box::new(move |channel| {
        let certificates = channel.tls().and_then(|info| info.peer_certificates());
        assert_eq!(certificates.map(<[_]>::len), Some(1));
        if let Some(mut listener) = channel.registry().channel(listener) {
            listener.close();
        }
        Ok(())
    }));
    let received = client.received.clone();
    let id = reactor
        .connect_tls(
            "localhost",
            address.port(),
            client_config(&VERSIONS).into(),
            client,
        )
        .unwrap();
    let channel = reactor.channel(id).unwrap();
    assert!(channel.tls().is_none());
    assert_ne!(channel.state(), State::Open);
    run(&mut reactor);
    assert_eq!(*received.borrow(), b"welcome");
    assert_eq!(*seen.borrow(), Some("localhost".to_owned()));
    for words in [
        ["client.connect", "client.read:7"],
        ["client.read:7", "client.close"],
    ] {
        let at = |word| trace.lines().iter().position(|line| line == word);
        assert!(at(words[0]) < at(words[1]), "{}", trace.joined());
    }
    assert!(!trace.joined().contains("truncated"), "{}", trace.joined());
}

#[test]
fn names_and_addresses_are_connected_to_and_verified() {
    for host in ["localhost", "127.0.0.1", "LocalHost"] {
        let mut reactor = util::reactor();
        let trace = Trace::new();
        let (_, address) = serve(&mut reactor, acceptor(), || Echo);
        let options = ConnectOptions::new().timeout(Duration::from_secs(5));
        let config = client_config(&VERSIONS).into();
        reactor
            .connect_tls_with(
                host,
                address.port(),
                &options,
                config,
                Recorder::new(&trace),
            )
            .unwrap();
        turn_until(&mut reactor, |_| !trace.lines().is_empty());
        assert_eq!(trace.lines()[0], "connect", "{host}");
    }
}

#[test]
fn host_that_is_no_name_opens_nothing() {
    let mut reactor = util::reactor();
    let trace = Trace::new();
    let (ours, _theirs) = tcp_pair();
    let config = Arc::new(client_config(&VERSIONS));
    let error = reactor
        .connect_tls("no name", 1, config.clone(), Recorder::new(&trace))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("no name"), "{error}");
    reactor
        .register_tls_client(ours, "", config, Recorder::new(&trace))
        .unwrap_err();
    assert_eq!(reactor.stats().channels, 0);
    assert!(trace.lines().is_empty());
}

#[test]
fn certificate_for_another_name_fails_the_handshake_at_both_ends() {
    let mut reactor = util::reactor();
    let trace = Trace::new();
    let (ours, theirs) = tcp_pair();
    struct Failing(Rc<Cell<bool>>);
    impl Dispatcher for Failing {
        fn handle_connect(&mut self, _: &mut Channel<'_>) -> Result {
            panic!("not connected");
        }
        fn handle_expt(&mut self, _: &mut Channel<'_>, what: Exceptional) -> Result {
            let Exceptional::HandshakeFailed(error) = what else {
                panic!("{what:?}");
            };
            self.0.set(matches!(
                error.downcast_ref(),
                Some(Error::InvalidCertificate(_))
            ));
            Ok(())
        }
    }
    let was_certificate = Rc::new(Cell::new(false));
    reactor
        .register_tls_client(
            ours,
            "example.org",
            client_config(&VERSIONS).into(),
            Failing(was_certificate.clone()),
        )
        .unwrap();
    reactor
        .register_tls(theirs, &acceptor(), Recorder::new(&trace))
        .unwrap();
    run(&mut reactor);
    assert!(was_certificate.get());
    let words = trace.joined();
    assert!(
        words.starts_with("handshake:received fatal alert"),
        "{words}"
    );
    assert_eq!(trace.lines().len(), 1, "{words}");
}

#[test]
fn client_without_a_certificate_learns_why_it_is_refused() {
    for version in VERSIONS {
        let mut reactor = util::reactor();
        let trace = Trace::new();
        let (ours, theirs) = tcp_pair();
        let acceptor = TlsAcceptor::new(server_asking_for_certificates(version).into());
        reactor
            .register_tls(theirs, &acceptor, Recorder::named(&trace, "server"))
            .unwrap();
        let client = thread::spawn(move || {
            let mut client = blocking_client(ours);
            client.read(&mut [0; 10]).unwrap_err().to_string()
        });
        run(&mut reactor);
        let error = client.join().unwrap();
        assert!(error.contains("alert"), "{version:?}: {error}");
        assert!(
            trace.joined().contains("server.handshake:"),
            "{}",
            trace.joined()
        );
    }
}

#[test]
fn other_protocol_gets_an_alert_and_an_orderly_end() {
    let mut reactor = util::reactor();
    let trace = Trace::new();
    let server = trace.clone();
    let (listener, address) = serve(&mut reactor, acceptor(), move || Recorder::new(&server));
    let client = thread::spawn(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(util::DEADLINE)).unwrap();
        // More than the first record would be, so that a close over unread input would reset.
        stream
            .write_all(&b"GET / HTTP/1.1\r\n".repeat(1000))
            .unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).map(|_| answer)
    });
    turn_until(&mut reactor, |_| client.is_finished());
    assert_eq!(client.join().unwrap().unwrap()[..6], [21, 3, 3, 0, 2, 2]);
    settle(&mut reactor);
    assert_eq!(trace.lines().len(), 1);
    assert!(
        trace.joined().starts_with("handshake:"),
        "{}",
        trace.joined()
    );
    assert_eq!(reactor.ids(), [listener]);
}

/// Pushes `sent`, and reads as much of the same.
struct Pusher {
    sent: Bytes,
    received: usize,
    read_size: usize,
    done: Rc<Cell<usize>>,
}

impl Pusher {
    fn take(&mut self, data: &[u8]) {
        let end = self.received + data.len();
        assert!(self.sent[self.received..end] == *data);
        self.received = end;
    }
}

impl Dispatcher for Pusher {
    fn writable(&self) -> bool {
        false
    }

    fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
        channel.push(self.sent.clone());
        Ok(())
    }

    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        if self.read_size == 0 {
            channel.recv_with(|_, data| self.take(data))?;
        } else {
            let mut buffer = vec![0; self.read_size];
            let n = channel.recv(&mut buffer)?;
            self.take(&buffer[..n]);
        }
        if self.received == self.sent.len() {
            self.done.set(self.done.get() + 1);
            channel.close_when_done();
        }
        Ok(())
    }
}

#[test]
fn both_ends_push_at_once_more_than_all_buffers_hold() {
    // A cipher in C under an emulator takes minutes for 64.
    let large = if util::SLOW { 16 } else { 64 };
    for (mib, read_size) in [(large, 0), (4, 1000)] {
        let mut reactor = Reactor::builder()
            .max_outgoing(usize::MAX)
            .propagate_panics(true)
            .build()
            .unwrap();
        let done = Rc::new(Cell::new(0));
        let sent = Bytes::from(content(0, mib << 20));
        let pusher = || Pusher {
            sent: sent.clone(),
            received: 0,
            read_size,
            done: done.clone(),
        };
        let (ours, theirs) = tcp_pair();
        reactor.register_tls(theirs, &acceptor(), pusher()).unwrap();
        reactor
            .register_tls_client(ours, "localhost", client_config(&VERSIONS).into(), pusher())
            .unwrap();
        let began = Instant::now();
        while reactor.stats().channels > 0 {
            reactor.turn(Some(Duration::from_secs(1))).unwrap();
            assert!(began.elapsed() < 12 * util::DEADLINE, "a deadlock");
        }
        assert_eq!(done.get(), 2);
    }
}

#[test]
fn end_without_close_notify_is_a_truncation_and_answered_with_one() {
    for version in VERSIONS {
        for is_cut in [true, false] {
            let mut reactor = util::reactor();
            let trace = Trace::new();
            let (ours, theirs) = tcp_pair();
            let acceptor = TlsAcceptor::new(server_config(&[version]).into());
            reactor
                .register_tls(theirs, &acceptor, Recorder::new(&trace))
                .unwrap();
            let client = thread::spawn(move || {
                let mut client = blocking_client(ours);
                client.write_all(b"abc").unwrap();
                if !is_cut {
                    client.conn.send_close_notify();
                }
                client.flush().unwrap();
                client.sock.shutdown(Shutdown::Write).unwrap();
                // Without the server's close_notify it would be `UnexpectedEof`.
                client.read(&mut [0; 10]).map_err(|error| error.kind())
            });
            run(&mut reactor);
            assert_eq!(client.join().unwrap(), Ok(0));
            let expected = format!(
                "connect read:3 {}",
                if is_cut { "eof truncated" } else { "eof close" }
            );
            assert_eq!(without_idle_reads(&trace), expected, "{version:?}");
        }
    }
}

#[test]
fn what_is_pushed_before_the_handshake_leaves_after_it_and_a_close_waits() {
    let mut reactor = util::reactor();
    let trace = Trace::new();
    let server = trace.clone();
    let received = Rc::new(RefCell::new(Vec::new()));
    let into = received.clone();
    let (_, address) = serve(&mut reactor, acceptor(), move || Recorder {
        received: into.clone(),
        ..Recorder::named(&server, "server")
    });
    let id = reactor
        .connect_tls(
            "localhost",
            address.port(),
            client_config(&VERSIONS).into(),
            Recorder::named(&trace, "client"),
        )
        .unwrap();
    let mut channel = reactor.channel(id).unwrap();
    assert_eq!(
        channel.send(b"x").unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
    assert!(channel.detach().is_none(), "there are no keys yet");
    channel.push("early ");
    channel.push("bird");
    channel.close_when_done();
    turn_until(&mut reactor, |_| trace.has("server.close"));
    assert_eq!(*received.borrow(), b"early bird");
}

#[test]
fn silent_peers_are_ended_at_the_deadline_and_others_are_served_meanwhile() {
    const SILENT: usize = 500;
    let mut reactor = Reactor::builder()
        .handshake_timeout(util::DEADLINE / 20)
        .linger(Duration::from_millis(100), 1024)
        .propagate_panics(true)
        .build()
        .unwrap();
    let trace = Trace::new();
    let server = trace.clone();
    let (listener, address) = serve(&mut reactor, acceptor(), move || {
        let mut object = Recorder::new(&server);
        object.on_read = Some(Box::new(|channel| {
            channel.push("served");
            channel.close_when_done();
            Ok(())
        }));
        object
    });
    let mut silent = Vec::new();
    for n in 0..SILENT {
        let mut stream = TcpStream::connect(address).unwrap();
        if n % 2 == 0 {
            stream.write_all(&[22, 3, 1]).unwrap();
        }
        silent.push(stream);
        if n % 50 == 0 {
            reactor.turn(Some(Duration::ZERO)).unwrap();
        }
    }
    let honest = thread::spawn(move || {
        let mut client = blocking_client(TcpStream::connect(address).unwrap());
        client.write_all(b"hello").unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        answer
    });
    turn_until(&mut reactor, |_| honest.is_finished());
    assert_eq!(honest.join().unwrap(), "served");
    turn_until(&mut reactor, |reactor| reactor.stats().channels == 1);
    assert_eq!(reactor.ids(), [listener]);
    let failed = trace.lines();
    let failed = failed.iter().filter(|line| line.starts_with("handshake:"));
    assert_eq!(failed.count(), SILENT);
    for mut stream in silent {
        stream.set_read_timeout(Some(util::DEADLINE)).unwrap();
        assert!(matches!(stream.read(&mut [0; 10]), Ok(0) | Err(_)));
    }
}

#[test]
fn new_certificates_under_load_break_no_connection() {
    let mut reactor = util::reactor();
    let acceptor = acceptor();
    let (_, address) = serve(&mut reactor, acceptor.clone(), || Echo);
    let clients: Vec<_> = (0..4_u8)
        .map(|n| {
            thread::spawn(move || {
                for round in 0..20_u8 {
                    let mut client = blocking_client(TcpStream::connect(address).unwrap());
                    for _ in 0..3 {
                        client.write_all(&[n, round]).unwrap();
                        let mut answer = [0; 2];
                        client.read_exact(&mut answer).unwrap();
                        assert_eq!(answer, [n, round]);
                    }
                }
            })
        })
        .collect();
    let reloading = thread::spawn(move || {
        for _ in 0..50 {
            acceptor.set_config(server_config(&VERSIONS).into());
            thread::yield_now();
        }
    });
    turn_until(&mut reactor, |_| {
        clients.iter().all(thread::JoinHandle::is_finished)
    });
    clients
        .into_iter()
        .for_each(|client| client.join().unwrap());
    reloading.join().unwrap();
}

#[test]
fn detached_connection_goes_on_in_another_reactor_without_a_handshake() {
    let mut first = util::reactor();
    let trace = Trace::new();
    let socket = Rc::new(RefCell::new(None));
    let into = socket.clone();
    let mut object = Recorder::named(&trace, "first");
    let received = object.received.clone();
    object.on_read = Some(Box::new(move |channel| {
        if !received.borrow().is_empty() {
            *into.borrow_mut() = channel.detach();
        }
        Ok(())
    }));
    let (ours, theirs) = tcp_pair();
    first.register_tls(theirs, &acceptor(), object).unwrap();
    let client = thread::spawn(move || {
        let mut client = blocking_client(ours);
        client.write_all(b"abc").unwrap();
        let mut answer = [0; 4];
        client.read_exact(&mut answer).unwrap();
        client.write_all(b"defgh").unwrap();
        let ended = client.read(&mut [0; 10]).unwrap();
        client.conn.send_close_notify();
        client.flush().unwrap();
        (answer, ended)
    });
    run(&mut first);
    let detached = socket.borrow_mut().take().expect("it was detached");
    assert!(detached.unread.is_empty());
    let socket: Socket = detached
        .socket
        .into_tcp_stream()
        .expect_err("its keys would be lost");

    let mut second = util::reactor();
    let mut object = Recorder::named(&trace, "second");
    object.on_connect = Some(Box::new(|channel| {
        assert!(channel.tls().is_some());
        channel.push("more");
        Ok(())
    }));
    let received = object.received.clone();
    object.on_read = Some(Box::new(move |channel| {
        if !received.borrow().is_empty() {
            channel.close_when_done();
        }
        Ok(())
    }));
    second.register(socket, object).unwrap();
    run(&mut second);
    assert_eq!(client.join().unwrap(), (*b"more", 0));
    assert_eq!(
        without_idle_reads(&trace),
        "first.connect first.read:3 second.connect second.read:5"
    );
}

#[test]
fn unix_streams_carry_tls() {
    let mut reactor = util::reactor();
    let trace = Trace::new();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let sent = content(0, 300_000);
    reactor.register_tls(theirs, &acceptor(), Echo).unwrap();
    let mut client = Recorder::new(&trace);
    let received = client.received.clone();
    client.on_connect = Some(Box::new({
        let sent = sent.clone();
        move |channel| {
            channel.push(sent.clone());
            Ok(())
        }
    }));
    client.on_read = Some(Box::new({
        let (received, len) = (received.clone(), sent.len());
        move |channel| {
            if received.borrow().len() == len {
                channel.close_when_done();
            }
            Ok(())
        }
    }));
    reactor
        .register_tls_client(ours, "localhost", client_config(&VERSIONS).into(), client)
        .unwrap();
    run(&mut reactor);
    assert!(*received.borrow() == sent);
}

#[test]
fn key_updates_of_the_peer_pass_unnoticed() {
    let mut reactor = util::reactor();
    let (ours, theirs) = tcp_pair();
    reactor.register_tls(theirs, &acceptor(), Echo).unwrap();
    let client = thread::spawn(move || {
        let mut client = blocking_client(ours);
        for round in 0..100_u8 {
            client.write_all(&[round; 100]).unwrap();
            client.conn.refresh_traffic_keys().unwrap();
            let mut answer = [0; 100];
            client.read_exact(&mut answer).unwrap();
            assert_eq!(answer, [round; 100]);
        }
        client.conn.send_close_notify();
        client.flush().unwrap();
        client.read(&mut [0; 10]).unwrap()
    });
    run(&mut reactor);
    assert_eq!(client.join().unwrap(), 0);
}
