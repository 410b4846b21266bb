//! The kinds of sockets and descriptors a reactor serves, the options of listeners, and addresses.

#[cfg(unix)]
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::{
    fs::File,
    io::{self, ErrorKind, PipeReader, Read, Write},
    net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    process::{Command, Stdio},
};

use asynchat::{
    Address, Channel, ConnectOptions, Dispatcher, ListenOptions, Reactor, Result, Socket, State,
};
use socket2::SockRef;
use util::{
    Acceptor, DEADLINE, Log, Recorder, Trace, address_of,
    peer::{borrowed, pair, read_to_end, read_while, tcp_pair},
    reactor, serve, settle, turn_until,
};

/// Sends back what it reads from a stream.
struct Echo;

impl Dispatcher for Echo {
    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        channel.recv_with(|channel, data| channel.push(data.to_vec()))?;
        Ok(())
    }

    fn writable(&self) -> bool {
        false
    }
}

/// Sends back each datagram to whom it came from.
struct EchoDatagrams;

impl Dispatcher for EchoDatagrams {
    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        let mut buf = [0; 2048];
        let (n, from) = channel.recv_from(&mut buf)?;
        channel.send_to(&buf[..n], from)?;
        Ok(())
    }

    fn writable(&self) -> bool {
        false
    }
}

/// A client that says `text` when connected.
fn says(trace: &Trace, text: &'static str) -> Recorder {
    let mut client = Recorder::new(trace);
    client.on_connect = Some(Box::new(move |channel| {
        channel.push(text);
        Ok(())
    }));
    client
}

fn echoes_on(address: impl Into<Address>, mut reactor: Reactor) -> (Address, Address) {
    let trace = Trace::new();
    let server = reactor
        .listen(address, Acceptor(|_: &Address| Echo))
        .unwrap();
    let address = reactor.channel(server).unwrap().local_addr().unwrap();
    let client = says(&trace, "hello, echo");
    let received = client.received.clone();
    let id = reactor.connect(&address, client).unwrap();
    turn_until(&mut reactor, |_| *received.borrow() == b"hello, echo");
    let client = reactor.channel(id).unwrap();
    assert_eq!(client.peer_addr().unwrap(), address);
    assert_eq!(client.state(), State::Open);
    (address, client.local_addr().unwrap())
}

#[test]
fn tcp_over_ipv4_echoes() {
    let (server, client) = echoes_on(([127, 0, 0, 1], 0), reactor());
    assert!(server.inet().unwrap().is_ipv4() && client.inet().unwrap().is_ipv4());
}

#[test]
fn tcp_over_ipv6_echoes() {
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        util::skip(format_args!("no IPv6 on loopback"));
        return;
    }
    let (server, client) = echoes_on((Ipv6Addr::LOCALHOST, 0), reactor());
    assert!(server.to_string().starts_with("[::1]:"), "{server}");
    assert!(client.inet().unwrap().is_ipv6());
}

#[cfg(unix)]
#[test]
fn a_unix_stream_echoes_over_a_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("echo.sock");
    let (server, client) = echoes_on(path.as_path(), reactor());
    assert_eq!(server.path(), Some(path.as_path()));
    assert_eq!(client, Address::Unnamed);
}

#[cfg(target_os = "linux")]
#[test]
fn a_unix_stream_echoes_over_an_abstract_name() {
    let name = format!("asynchat-test-{}", std::process::id()).into_bytes();
    let address = Address::Abstract(name);
    let (server, _) = echoes_on(&address, reactor());
    assert_eq!(server, address);
    assert!(
        server.to_string().starts_with("unix:@asynchat-test-"),
        "{server}"
    );
}

#[test]
fn udp_echoes_and_an_unconnected_socket_has_no_peer() {
    let mut reactor = reactor();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let id = reactor.register(socket, EchoDatagrams).unwrap();
    assert!(reactor.channel(id).unwrap().peer_addr().is_err());
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_nonblocking(true).unwrap();
    for text in ["one", "two", ""] {
        client.send_to(text.as_bytes(), address).unwrap();
    }
    let mut answers = Vec::new();
    let mut buf = [0; 16];
    turn_until(&mut reactor, |_| {
        while let Ok((n, from)) = client.recv_from(&mut buf) {
            assert_eq!(from, address);
            answers.push(String::from_utf8_lossy(&buf[..n]).into_owned());
        }
        answers.len() == 3
    });
    assert_eq!(answers, ["one", "two", ""]);
}

#[test]
fn connected_udp_sends_and_receives_with_one_peer_only() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let recorder = Recorder::new(&trace);
    let received = recorder.received.clone();
    let id = reactor
        .register(Socket::connected_udp(address).unwrap(), recorder)
        .unwrap();
    settle(&mut reactor);
    let mut channel = reactor.channel(id).unwrap();
    assert_eq!(channel.peer_addr().unwrap(), address.into());
    assert_eq!(channel.send(b"question").unwrap(), 8);
    let mut buf = [0; 16];
    let (n, from) = server.recv_from(&mut buf).unwrap();
    assert_eq!(&buf[..n], b"question");
    stranger.send_to(b"spoof", from).unwrap();
    server.send_to(b"answer", from).unwrap();
    turn_until(&mut reactor, |_| !received.borrow().is_empty());
    settle(&mut reactor);
    assert_eq!(*received.borrow(), b"answer");
    assert!(!trace.has("connect"), "a datagram socket has no connection");
}

#[cfg(unix)]
#[test]
fn unix_datagrams_echo() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (folder.path().join("ours"), folder.path().join("theirs"));
    let mut reactor = reactor();
    reactor
        .register(UnixDatagram::bind(&ours).unwrap(), EchoDatagrams)
        .unwrap();
    let client = UnixDatagram::bind(theirs).unwrap();
    client.set_nonblocking(true).unwrap();
    client.send_to(b"hello", &ours).unwrap();
    let mut buf = [0; 16];
    turn_until(&mut reactor, |_| {
        client.recv(&mut buf).is_ok_and(|n| n == 5)
    });
    assert_eq!(&buf[..5], b"hello");
}

#[cfg(target_os = "linux")]
#[test]
fn a_unix_datagram_is_answered_to_an_abstract_name() {
    use std::os::{linux::net::SocketAddrExt, unix::net::SocketAddr};
    let name = |name: &str| {
        let name = format!("asynchat-{name}\0\u{e9}-{}", std::process::id());
        SocketAddr::from_abstract_name(name).unwrap()
    };
    let mut reactor = reactor();
    reactor
        .register(
            UnixDatagram::bind_addr(&name("ours")).unwrap(),
            EchoDatagrams,
        )
        .unwrap();
    let client = UnixDatagram::bind_addr(&name("theirs")).unwrap();
    client.set_nonblocking(true).unwrap();
    client.send_to_addr(b"hello", &name("ours")).unwrap();
    let mut buf = [0; 16];
    turn_until(&mut reactor, |_| {
        client.recv(&mut buf).is_ok_and(|n| n == 5)
    });
    assert_eq!(&buf[..5], b"hello");
}

#[cfg(unix)]
#[test]
fn a_datagram_can_only_go_where_its_socket_can_send() {
    let mut reactor = reactor();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let udp = reactor.register(udp, EchoDatagrams).unwrap();
    let unix = reactor
        .register(UnixDatagram::unbound().unwrap(), EchoDatagrams)
        .unwrap();
    settle(&mut reactor);
    let to_path = reactor
        .channel(udp)
        .unwrap()
        .send_to(b"x", Address::Unix("/nowhere".into()));
    let to_port = reactor
        .channel(unix)
        .unwrap()
        .send_to(b"x", ([127, 0, 0, 1], 9));
    for (error, names) in [(to_path, "unix:/nowhere"), (to_port, "127.0.0.1:9")] {
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(names), "{error}");
    }
}

#[test]
fn calls_that_a_socket_cannot_serve_answer_with_an_error() {
    let mut reactor = reactor();
    let (ours, _theirs) = tcp_pair();
    let stream = reactor.register(ours, Echo).unwrap();
    let (listener, _) = serve(&mut reactor, |_| Echo);
    settle(&mut reactor);
    let mut stream = reactor.channel(stream).unwrap();
    assert_eq!(stream.accept().unwrap_err().kind(), ErrorKind::InvalidInput);
    let error = stream.send_to(b"x", ([127, 0, 0, 1], 9)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let mut listener = reactor.channel(listener).unwrap();
    assert!(listener.recv(&mut [0]).is_err());
    assert!(listener.send(b"x").is_err());
    listener.push("dropped");
    assert_eq!(listener.outgoing_len(), 0);
    settle(&mut reactor);
    assert_eq!(reactor.stats().channels, 2, "none of it closed anything");
}

/// The error of a call that was never made says nothing about what is there to be read.
#[cfg(unix)]
#[test]
fn recv_from_on_a_pipe_is_an_error_and_its_bytes_are_still_announced() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (reader, mut writer) = io::pipe().unwrap();
    struct Tries(Trace);
    impl Dispatcher for Tries {
        fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
            let error = channel.recv_from(&mut [0; 5]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            self.0.add("tried");
            if self.0.count("tried") == 2 {
                let n = channel.recv(&mut [0; 16])?;
                self.0.add(format!("{n} bytes"));
            }
            Ok(())
        }
    }
    reactor.register(reader, Tries(trace.clone())).unwrap();
    settle(&mut reactor);
    writer.write_all(b"hello").unwrap();
    turn_until(&mut reactor, |_| trace.has("5 bytes"));
}

/// After its last writer has gone a FIFO is at its end, until the next writer comes. mio's poll(2) backend forgets it
/// there.
#[cfg(unix)]
#[cfg(not(mio_unsupported_force_poll_poll))]
#[test]
fn a_fifo_is_read_on_after_its_end_of_file_with_touch_and_not_without() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fifo");
    assert!(
        Command::new("mkfifo")
            .arg(&path)
            .status()
            .unwrap()
            .success()
    );
    let writer = || File::options().write(true).open(&path).unwrap();
    // `touch` in `handle_close`, from outside later, and never.
    for touched in ["at once", "later", "never"] {
        let mut reactor = reactor();
        let trace = Trace::new();
        let mut recorder = Recorder::new(&trace);
        recorder.on_close = Some(Box::new(move |channel| {
            if touched == "at once" {
                channel.touch();
            }
            Ok(())
        }));
        // For reading and writing, so that opening does not wait for a writer.
        let both = File::options().read(true).write(true).open(&path).unwrap();
        let reader = File::options().read(true).open(&path).unwrap();
        let id = reactor.register(reader, recorder).unwrap();
        let mut first = writer();
        drop(both);
        first.write_all(b"first").unwrap();
        drop(first);
        turn_until(&mut reactor, |_| trace.has("close"));
        settle(&mut reactor);
        assert_eq!(util::peer::turns(&mut reactor, 100), 0, "spins");
        assert_eq!(trace.joined(), "read:5 eof close");
        writer().write_all(b"second").unwrap();
        settle(&mut reactor);
        if touched == "later" {
            assert_eq!(trace.joined(), "read:5 eof close");
            reactor.channel(id).unwrap().touch();
            settle(&mut reactor);
        }
        let expected = match touched {
            "never" => "read:5 eof close",
            _ => "read:5 eof close read:6 eof close",
        };
        assert_eq!(trace.joined(), expected, "{touched}");
        assert_eq!(util::peer::turns(&mut reactor, 100), 0, "spins");
    }
}

#[test]
fn a_push_to_a_datagram_socket_is_dropped_with_a_debug_line() {
    let mut reactor = reactor();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let id = reactor.register(udp, EchoDatagrams).unwrap();
    let needle = format!("channel {id}: push dropped");
    let log = Log::start();
    reactor.channel(id).unwrap().push("stream words");
    settle(&mut reactor);
    assert_eq!(log.lines(&needle).len(), 1);
}

#[cfg(unix)]
#[test]
fn pipes_carry_more_than_they_hold() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (reader, writer) = std::io::pipe().unwrap();
    let sink = Recorder::named(&trace, "reader");
    let received = sink.received.clone();
    reactor.register(reader, sink).unwrap();
    let mut source = Recorder::named(&trace, "writer");
    source.readable = false;
    let id = reactor.register(writer, source).unwrap();
    let data: Vec<u8> = (0..1 << 20).map(|n: u32| (n >> 8) as u8).collect();
    let mut channel = reactor.channel(id).unwrap();
    assert_eq!(channel.local_addr().unwrap(), Address::Unnamed);
    channel.push(data.clone());
    channel.close_when_done();
    turn_until(&mut reactor, |reactor| reactor.is_idle());
    assert!(*received.borrow() == data);
    assert_eq!(trace.count("reader.close"), 1);
    assert!(!trace.has("writer.close"), "{:?}", trace.lines());
}

#[cfg(unix)]
#[test]
fn a_child_process_is_talked_to_through_its_pipes() {
    let mut child = Command::new("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut reactor = reactor();
    let trace = Trace::new();
    let stdout = Recorder::named(&trace, "stdout");
    let received = stdout.received.clone();
    let mut stdin = Recorder::named(&trace, "stdin");
    stdin.readable = false;
    let stdin = reactor
        .register(child.stdin.take().unwrap(), stdin)
        .unwrap();
    reactor
        .register(child.stdout.take().unwrap(), stdout)
        .unwrap();
    let stderr = Recorder::named(&trace, "stderr");
    reactor
        .register(child.stderr.take().unwrap(), stderr)
        .unwrap();
    let text = "to the cat and back\n".repeat(20_000);
    let mut channel = reactor.channel(stdin).unwrap();
    channel.push(text.clone());
    channel.close_when_done();
    turn_until(&mut reactor, |reactor| reactor.is_idle());
    assert!(*received.borrow() == text.as_bytes());
    assert!(trace.has("stdout.close") && trace.has("stderr.close"));
    assert!(child.wait().unwrap().success());
}

#[cfg(target_os = "linux")]
#[test]
fn a_terminal_is_served() {
    let Ok(terminal) = File::options().read(true).write(true).open("/dev/ptmx") else {
        util::skip(format_args!("no /dev/ptmx"));
        return;
    };
    let mut reactor = reactor();
    let trace = Trace::new();
    let recorder = Recorder::new(&trace);
    let received = recorder.received.clone();
    let id = reactor.register(terminal, recorder).unwrap();
    reactor.channel(id).unwrap().push("echo\n");
    // Nobody sits at the other end: what comes back is the line discipline's own echo.
    turn_until(&mut reactor, |_| received.borrow().ends_with(b"\n"));
    assert_eq!(*received.borrow(), b"echo\r\n");
}

#[test]
fn blocking_std_sockets_become_non_blocking() {
    let mut reactor = reactor();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    reactor
        .register(listener, Acceptor(|_: &Address| Echo))
        .unwrap();
    // A blocking accept or read would hang here.
    settle(&mut reactor);
    let mut client = TcpStream::connect(address).unwrap();
    client.write_all(b"abc").unwrap();
    assert_eq!(
        read_while(&mut reactor, &mut client, |got| got.len() == 3),
        b"abc"
    );

    let (ours, mut theirs) = tcp_pair();
    reactor.register(ours, Echo).unwrap();
    settle(&mut reactor);
    theirs.write_all(b"def").unwrap();
    theirs.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut reactor, &mut theirs), b"def");
}

#[cfg(unix)]
#[test]
fn std_unix_sockets_and_other_crates_sockets_are_adopted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let mut reactor = reactor();
    let listener = UnixListener::bind(&path).unwrap();
    reactor
        .register(listener, Acceptor(|_: &Address| Echo))
        .unwrap();
    let mut client = UnixStream::connect(&path).unwrap();
    client.write_all(b"abc").unwrap();
    assert_eq!(
        read_while(&mut reactor, &mut client, |got| got.len() == 3),
        b"abc"
    );

    let listener = mio::net::TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    reactor
        .register(TcpListener::from(listener), Acceptor(|_: &Address| Echo))
        .unwrap();
    let mut client = TcpStream::connect(address).unwrap();
    client.write_all(b"def").unwrap();
    assert_eq!(
        read_while(&mut reactor, &mut client, |got| got.len() == 3),
        b"def"
    );
}

#[cfg(unix)]
#[test]
fn a_regular_file_or_folder_is_refused_with_a_reason() {
    let mut reactor = reactor();
    for path in ["Cargo.toml", "."] {
        let error = reactor
            .register(File::open(path).unwrap(), Echo)
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("regular file"), "{error}");
    }
    assert!(reactor.is_idle());
}

#[cfg(target_os = "linux")]
#[test]
fn the_backlog_is_the_one_asked_for() {
    for (options, backlog) in [
        (ListenOptions::new(), "1024"),
        (ListenOptions::new().backlog(7), "7"),
    ] {
        let mut reactor = reactor();
        let id = reactor
            .listen_with(([127, 0, 0, 1], 0), &options, Acceptor(|_: &Address| Echo))
            .unwrap();
        let port = address_of(&mut reactor, id).port();
        let filter = format!("sport = :{port}");
        let Ok(output) = Command::new("ss").args(["-Hltn", &filter]).output() else {
            util::skip(format_args!("no `ss` to ask the kernel with"));
            return;
        };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(text.split_whitespace().nth(2), Some(backlog), "{text}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn two_listeners_share_a_port_with_reuse_port_only() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let share = ListenOptions::new().reuse_port(true);
    let acceptor = |name| {
        let trace = trace.clone();
        Acceptor(move |_: &Address| Recorder::named(&trace, name))
    };
    let first = reactor
        .listen_with(([127, 0, 0, 1], 0), &share, acceptor("first"))
        .unwrap();
    let address = reactor.channel(first).unwrap().local_addr().unwrap();
    reactor
        .listen_with(&address, &share, acceptor("second"))
        .unwrap();
    let error = reactor.listen(&address, acceptor("third")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    let text = error.to_string();
    assert!(
        text.starts_with(&format!("cannot listen on {address}: ")),
        "{text}"
    );
    let source = error.get_ref().and_then(std::error::Error::source).unwrap();
    assert!(source.is::<std::io::Error>());
    // The kernel spreads by a hash of the client's port: 64 clients never all fall on one side.
    let clients: Vec<_> = (0..64)
        .map(|_| TcpStream::connect(address.inet().unwrap()).unwrap())
        .collect();
    turn_until(&mut reactor, |_| {
        trace.count("first.connect") + trace.count("second.connect") == clients.len()
    });
    assert!(trace.has("first.connect") && trace.has("second.connect"));
}

#[test]
fn an_ipv6_listener_takes_ipv4_clients_unless_v6_only() {
    let trace = Trace::new();
    let listen = |reactor: &mut Reactor, only| {
        let server = trace.clone();
        let options = ListenOptions::new().v6_only(only);
        let acceptor = Acceptor(move |_: &Address| Recorder::new(&server));
        let id = reactor.listen_with((Ipv6Addr::UNSPECIFIED, 0), &options, acceptor);
        id.map(|id| address_of(reactor, id).port())
    };
    let mut reactor = reactor();
    let Ok(port) = listen(&mut reactor, false) else {
        util::skip(format_args!("no IPv6"));
        return;
    };
    let _client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    turn_until(&mut reactor, |_| trace.has("connect"));
    // Another test may have the IPv4 side of one port.
    let is_free = (0..10).any(|_| {
        let port = listen(&mut reactor, true).unwrap();
        TcpListener::bind(("127.0.0.1", port)).is_ok()
    });
    assert!(is_free, "the port's IPv4 side is taken");
}

#[test]
fn a_port_can_be_listened_on_again_while_old_connections_linger() {
    let mut reactor = reactor();
    let (id, address) = serve(&mut reactor, |_| Closes);
    struct Closes;
    impl Dispatcher for Closes {
        fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
            channel.close();
            Ok(())
        }
    }
    let mut client = TcpStream::connect(address).unwrap();
    // The server closed first: its side is the one in TIME_WAIT.
    assert_eq!(read_to_end(&mut reactor, &mut client), b"");
    drop(client);
    reactor.channel(id).unwrap().close();
    reactor
        .listen(address, Acceptor(|_: &Address| Echo))
        .unwrap();
}

fn nodelay(channel: &Channel<'_>) -> bool {
    SockRef::from(&borrowed(channel).unwrap())
        .tcp_nodelay()
        .unwrap()
}

#[test]
fn nodelay_is_set_on_accepted_and_on_connected_streams_when_asked_for() {
    for on in [false, true] {
        let mut reactor = reactor();
        let trace = Trace::new();
        let note = |name| {
            let mut recorder = Recorder::named(&trace, name);
            let trace = trace.clone();
            recorder.on_connect = Some(Box::new(move |channel| {
                trace.add(format!("{name} {}", nodelay(channel)));
                Ok(())
            }));
            recorder
        };
        let mut server = Some(note("server"));
        let id = reactor
            .listen_with(
                ([127, 0, 0, 1], 0),
                &ListenOptions::new().nodelay(on),
                Acceptor(move |_: &Address| server.take().unwrap()),
            )
            .unwrap();
        let address = address_of(&mut reactor, id);
        let options = ConnectOptions::new().nodelay(on);
        reactor
            .connect_with(&[address], &options, note("client"))
            .unwrap();
        turn_until(&mut reactor, |_| {
            trace.has(&format!("client {on}")) && trace.has(&format!("server {on}"))
        });
    }
}

#[test]
fn a_stream_tells_its_addresses_and_takes_nodelay_before_it_is_registered() {
    struct Inspects(Trace);
    impl Dispatcher for Inspects {
        fn handle_accepted(
            &mut self,
            channel: &mut Channel<'_>,
            stream: asynchat::Stream,
            peer: Address,
        ) -> Result {
            assert_eq!(stream.peer_addr()?, peer);
            assert_eq!(stream.local_addr()?, channel.local_addr()?);
            stream.set_nodelay(true)?;
            let socket = Socket::from(stream);
            assert_eq!(socket.local_addr()?, channel.local_addr()?);
            let id = channel.registry().register(socket, Echo)?;
            let accepted = channel.registry().channel(id).expect("just registered");
            assert_eq!(accepted.peer_addr()?, peer);
            assert!(nodelay(&accepted));
            self.0.add(peer.to_string());
            Ok(())
        }
    }
    let mut reactor = reactor();
    let trace = Trace::new();
    let id = reactor
        .listen(([127, 0, 0, 1], 0), Inspects(trace.clone()))
        .unwrap();
    let address = address_of(&mut reactor, id);
    let client = TcpStream::connect(address).unwrap();
    turn_until(&mut reactor, |_| !trace.lines().is_empty());
    assert_eq!(trace.joined(), client.local_addr().unwrap().to_string());
}

#[test]
fn addresses_are_made_from_what_programs_have() {
    let v4: SocketAddr = "127.0.0.1:80".parse().unwrap();
    let made: [Address; 4] = [
        v4.into(),
        ([127, 0, 0, 1], 80).into(),
        (std::net::IpAddr::from([127, 0, 0, 1]), 80).into(),
        "127.0.0.1:80".parse().unwrap(),
    ];
    for address in made {
        assert_eq!(address.inet(), Some(v4));
        assert_eq!(address.path(), None);
        assert_eq!(address.to_string(), "127.0.0.1:80");
    }
    let v6: Address = "[::1]:25".parse().unwrap();
    assert_eq!(v6, (Ipv6Addr::LOCALHOST, 25).into());
    let unix: Address = std::path::Path::new("/run/x").into();
    assert_eq!(unix.to_string(), "unix:/run/x");
    assert_eq!("unix:/run/x".parse(), Ok(unix.clone()));
    assert_eq!((unix.inet(), unix.path()), (None, Some("/run/x".as_ref())));
    assert_eq!(Address::Unnamed.to_string(), "unnamed");
    assert_eq!(
        Address::Abstract(b"a\0\xffb".to_vec()).to_string(),
        r"unix:@a\x00\xffb"
    );
}

#[test]
fn text_that_is_no_address_is_named_in_the_error() {
    for text in [
        "",
        "localhost:80",
        "127.0.0.1",
        "unix:",
        ":80",
        "1.2.3.4:99999",
    ] {
        let error = text.parse::<Address>().unwrap_err().to_string();
        assert!(error.contains(&format!("{text:?}")), "{error}");
    }
}

#[test]
fn listening_and_connecting_on_no_address_is_refused() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let error = reactor.listen(&Address::Unnamed, Echo).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    reactor
        .connect(&Address::Unnamed, Recorder::new(&trace))
        .unwrap();
    turn_until(&mut reactor, |reactor| reactor.is_idle());
    assert_eq!(trace.joined(), "failed:Unsupported");
}

#[test]
fn a_read_of_a_unix_stream_crosses_message_boundaries() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, mut theirs) = pair();
    let mut recorder = Recorder::new(&trace);
    recorder.read_size = 7;
    let received = recorder.received.clone();
    reactor.register(ours, recorder).unwrap();
    settle(&mut reactor);
    for n in 0..100_u8 {
        theirs.write_all(&[n; 13]).unwrap();
    }
    turn_until(&mut reactor, |_| received.borrow().len() == 1300);
    let mut expected = Vec::new();
    (0..100_u8).for_each(|n| expected.extend([n; 13]));
    assert_eq!(*received.borrow(), expected);
    let mut none = [0; 1];
    theirs.set_nonblocking(true).unwrap();
    assert_eq!(
        theirs.read(&mut none).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
}

/// Registers, detaches and ends the reactor, which must not end the socket.
fn through_a_reactor(socket: impl Into<Socket>) -> Socket {
    let mut reactor = reactor();
    let id = reactor
        .register(socket, Recorder::new(&Trace::new()))
        .unwrap();
    settle(&mut reactor);
    reactor.channel(id).unwrap().detach().unwrap().socket
}

#[test]
fn a_detached_tcp_stream_goes_back_to_the_standard_library() {
    let (ours, mut theirs) = tcp_pair();
    let mut stream = through_a_reactor(ours).into_tcp_stream().unwrap();
    assert_eq!(stream.peer_addr().unwrap(), theirs.local_addr().unwrap());
    let nothing = stream.read(&mut [0]).unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
    stream.set_nonblocking(false).unwrap();
    for end in [&stream, &theirs] {
        end.set_read_timeout(Some(DEADLINE)).unwrap();
    }
    theirs.write_all(b"to std").unwrap();
    let mut got = [0; 6];
    stream.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"to std");
    stream.write_all(b"from std").unwrap();
    drop(stream);
    let mut got = String::new();
    theirs.read_to_string(&mut got).unwrap();
    assert_eq!(got, "from std");
}

/// The descriptor is whatever it was before.
#[cfg(unix)]
#[test]
fn a_detached_socket_of_another_kind_goes_back_as_a_descriptor() {
    let (ours, mut theirs) = pair();
    let socket = through_a_reactor(ours).into_tcp_stream().unwrap_err();
    let mut stream = UnixStream::from(socket.into_fd().unwrap());
    theirs.write_all(b"unix").unwrap();
    let mut got = [0; 4];
    stream.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"unix");

    let (ours, mut theirs) = io::pipe().unwrap();
    let mut pipe = PipeReader::from(through_a_reactor(ours).into_fd().unwrap());
    theirs.write_all(b"pipe").unwrap();
    pipe.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"pipe");

    let ours = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = ours.local_addr().unwrap();
    let listener = TcpListener::from(through_a_reactor(ours).into_fd().unwrap());
    let client = TcpStream::connect(address).unwrap();
    let from = listener.accept().unwrap().1;
    assert_eq!(from, client.local_addr().unwrap());
}
