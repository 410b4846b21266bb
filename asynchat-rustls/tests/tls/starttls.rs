//! TLS from the middle of a conversation.

use std::{
    cell::RefCell,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    rc::Rc,
    sync::Arc,
    thread,
};

use asynchat::{AsyncChat, BoxError, ChatChannel, ChatDispatcher, Frame, HandshakeFailed, Result};
use asynchat_rustls::{
    ChannelTls, TlsAcceptor, TlsFilter,
    rustls::{ClientConnection, StreamOwned, pki_types::ServerName},
};
use util::{Trace, peer::tcp_pair, run};

use crate::pair::{End, VERSIONS, client_config, server_config};

fn acceptor() -> TlsAcceptor {
    TlsAcceptor::new(server_config(&VERSIONS).into())
}

/// A server with the commands STARTTLS, NOOP and QUIT. What it was told in clear, it forgets.
struct Server {
    acceptor: TlsAcceptor,
    trace: Trace,
    /// Commands so far.
    told: usize,
    is_replaced: bool,
}

impl Server {
    fn new(trace: &Trace) -> Self {
        Self {
            acceptor: acceptor(),
            trace: trace.clone(),
            told: 0,
            is_replaced: false,
        }
    }
}

impl AsyncChat for Server {
    fn handle_connect(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        chat.push("220 hello\r\n");
        Ok(())
    }

    fn handle_secured(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        self.told = 0;
        assert!(chat.tls().is_some());
        self.trace.add("secured");
        Ok(())
    }

    fn found_frame(&mut self, chat: &mut ChatChannel<'_>, line: Frame<'_>) -> Result {
        let line = String::from_utf8_lossy(&line).into_owned();
        self.trace.add(line.clone());
        self.told += 1;
        match &*line {
            "STARTTLS" if chat.tls().is_some() => chat.push("503 already\r\n"),
            "STARTTLS" => {
                chat.push("220 ready\r\n");
                let acceptor = self.acceptor.clone();
                if self.is_replaced {
                    let fresh = Server::new(&self.trace);
                    chat.replace(ChatDispatcher::collecting(fresh, "\r\n", 100));
                }
                chat.start_tls(&acceptor)?;
            }
            "NOOP" => chat.push(format!("250 {} told\r\n", self.told)),
            "QUIT" => {
                chat.push("221 bye\r\n");
                chat.close_when_done();
            }
            _ => chat.push("500 unknown\r\n"),
        }
        Ok(())
    }

    fn handle_error(&mut self, chat: &mut ChatChannel<'_>, error: BoxError) {
        let what = if error.is::<HandshakeFailed>() {
            "handshake failed"
        } else {
            "error"
        };
        self.trace.add(what);
        chat.close();
    }
}

fn chat(server: Server) -> ChatDispatcher<Server> {
    ChatDispatcher::collecting(server, "\r\n", 100)
}

/// The client's side by hand: `talk` has the stream, in which the greeting was read.
fn serve(server: Server, talk: impl FnOnce(TcpStream) + Send + 'static) {
    let mut reactor = util::reactor();
    let (ours, theirs) = tcp_pair();
    reactor.register(theirs, chat(server)).unwrap();
    let client = thread::spawn(move || {
        ours.set_read_timeout(Some(util::DEADLINE)).unwrap();
        let mut ours = ours;
        expect(&mut ours, b"220 hello\r\n");
        talk(ours);
    });
    run(&mut reactor);
    client.join().unwrap();
}

#[track_caller]
fn expect(from: &mut impl Read, text: &[u8]) {
    let mut got = vec![0; text.len()];
    from.read_exact(&mut got).unwrap();
    assert_eq!(
        got.escape_ascii().to_string(),
        text.escape_ascii().to_string()
    );
}

fn secure(stream: TcpStream) -> StreamOwned<ClientConnection, TcpStream> {
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(client_config(&VERSIONS).into(), name).unwrap();
    StreamOwned::new(connection, stream)
}

#[test]
fn conversation_goes_on_secured_by_the_same_object_or_a_fresh_one() {
    for is_replaced in [false, true] {
        let trace = Trace::new();
        let server = Server {
            is_replaced,
            ..Server::new(&trace)
        };
        serve(server, |mut stream| {
            stream.write_all(b"NOOP\r\n").unwrap();
            expect(&mut stream, b"250 1 told\r\n");
            stream.write_all(b"STARTTLS\r\n").unwrap();
            expect(&mut stream, b"220 ready\r\n");
            let mut stream = secure(stream);
            stream.write_all(b"NOOP\r\nSTARTTLS\r\nQUIT\r\n").unwrap();
            let mut rest = String::new();
            stream.read_to_string(&mut rest).unwrap();
            // It was told nothing before.
            assert_eq!(rest, "250 1 told\r\n503 already\r\n221 bye\r\n");
        });
        assert_eq!(trace.joined(), "NOOP STARTTLS secured NOOP STARTTLS QUIT");
    }
}

#[test]
fn commands_behind_starttls_in_clear_are_never_obeyed() {
    for injected in ["NOOP\r\n", "NOOP", "\r\n", "\r", "QUIT\r\nNOOP\r\n"] {
        for is_replaced in [false, true] {
            let trace = Trace::new();
            let server = Server {
                is_replaced,
                ..Server::new(&trace)
            };
            serve(server, move |mut stream| {
                stream
                    .write_all(format!("STARTTLS\r\n{injected}").as_bytes())
                    .unwrap();
                expect(&mut stream, b"220 ready\r\n");
                let mut stream = secure(stream);
                let outcome = stream
                    .write_all(b"NOOP\r\n")
                    .and_then(|()| stream.read(&mut [0; 100]));
                assert!(outcome.is_err(), "{injected:?}: {outcome:?}");
            });
            assert_eq!(trace.joined(), "STARTTLS handshake failed", "{injected:?}");
        }
    }
}

#[test]
fn hello_in_the_segment_of_starttls_is_taken_for_one() {
    for pieces in [1, usize::MAX] {
        let trace = Trace::new();
        serve(Server::new(&trace), move |mut stream| {
            let mut client = secure(stream.try_clone().unwrap());
            let mut segment = b"STARTTLS\r\n".to_vec();
            client.conn.write_tls(&mut segment).unwrap();
            for piece in segment.chunks(pieces) {
                stream.write_all(piece).unwrap();
            }
            expect(&mut stream, b"220 ready\r\n");
            client.write_all(b"QUIT\r\n").unwrap();
            let mut rest = String::new();
            client.read_to_string(&mut rest).unwrap();
            assert_eq!(rest, "221 bye\r\n");
        });
        assert_eq!(trace.joined(), "STARTTLS secured QUIT");
    }
}

#[test]
fn bytes_that_a_chat_holds_back_go_along_if_another_object_starts_tls() {
    for held in ["NOOP\r", "NOO", "\r"] {
        let mut reactor = util::reactor();
        let trace = Trace::new();
        let (ours, mut theirs) = tcp_pair();
        let id = reactor.register(ours, chat(Server::new(&trace))).unwrap();
        theirs.set_read_timeout(Some(util::DEADLINE)).unwrap();
        theirs
            .write_all(format!("NOOP\r\n{held}").as_bytes())
            .unwrap();
        util::settle(&mut reactor);
        let started = reactor.with_chat(id, |_: &mut Server, chat| chat.start_tls(&acceptor()));
        started.unwrap().unwrap();
        let client = thread::spawn(move || {
            expect(&mut theirs, b"220 hello\r\n250 1 told\r\n");
            let mut client = secure(theirs);
            assert!(client.write_all(b"\nNOOP\r\n").is_err());
        });
        run(&mut reactor);
        client.join().unwrap();
        assert_eq!(trace.joined(), "NOOP handshake failed", "{held:?}");
    }
}

/// A client that asks for TLS, then for nothing more than a NOOP.
struct Client {
    trace: Trace,
    heard: Rc<RefCell<Vec<String>>>,
}

impl AsyncChat for Client {
    fn handle_secured(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        self.trace.add("secured");
        chat.push("NOOP\r\n");
        Ok(())
    }

    fn found_frame(&mut self, chat: &mut ChatChannel<'_>, line: Frame<'_>) -> Result {
        let line = String::from_utf8_lossy(&line).into_owned();
        self.heard.borrow_mut().push(line.clone());
        match (&*line, chat.tls().is_some()) {
            ("220 hello", false) => chat.push("STARTTLS\r\n"),
            ("220 ready", false) => {
                chat.start_tls_client("localhost", Arc::new(client_config(&VERSIONS)))?;
            }
            _ => chat.close_when_done(),
        }
        Ok(())
    }

    fn handle_error(&mut self, chat: &mut ChatChannel<'_>, error: BoxError) {
        self.trace.add(if error.is::<HandshakeFailed>() {
            "handshake failed"
        } else {
            "error"
        });
        chat.close();
    }
}

/// What a client heard, and what happened to it, if the server's part is played by `play`.
fn client_of(play: impl FnOnce(TcpStream) + Send + 'static) -> (Vec<String>, String) {
    let mut reactor = util::reactor();
    let (trace, heard) = (Trace::new(), Rc::default());
    let client = Client {
        trace: trace.clone(),
        heard: Rc::clone(&heard),
    };
    let (ours, theirs) = tcp_pair();
    reactor
        .register(ours, ChatDispatcher::collecting(client, "\r\n", 100))
        .unwrap();
    let server = thread::spawn(move || {
        theirs.set_read_timeout(Some(util::DEADLINE)).unwrap();
        play(theirs);
    });
    run(&mut reactor);
    server.join().unwrap();
    let heard = heard.borrow().clone();
    (heard, trace.joined())
}

#[test]
fn answers_behind_ready_in_clear_are_never_believed() {
    for injected in ["250 injected\r\n", "250", "\r"] {
        let (heard, happened) = client_of(move |mut stream| {
            stream.write_all(b"220 hello\r\n").unwrap();
            expect(&mut stream, b"STARTTLS\r\n");
            stream
                .write_all(format!("220 ready\r\n{injected}").as_bytes())
                .unwrap();
            // An honest server would answer the hello, and the client its end.
            let mut end = End::new(acceptor().filter().unwrap());
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = stream.read(&mut buffer) {
                end.feed(&buffer[..n]);
                let _ = stream.write_all(&end.take_wire());
            }
            assert_eq!(end.phase(), asynchat::FilterPhase::Handshaking);
        });
        assert_eq!(heard, ["220 hello", "220 ready"], "{injected:?}");
        assert_eq!(happened, "handshake failed", "{injected:?}");
    }
}

#[test]
fn client_goes_on_secured() {
    let (heard, happened) = client_of(|mut stream| {
        stream.write_all(b"220 hello\r\n").unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap());
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        assert_eq!(line, "STARTTLS\r\n");
        stream.write_all(b"220 ready\r\n").unwrap();
        let mut end = End::new(acceptor().filter().unwrap());
        let mut buffer = [0; 4096];
        loop {
            let n = lines.read(&mut buffer).unwrap();
            end.feed(&buffer[..n]);
            if end.take_plain() == b"NOOP\r\n" {
                end.seal(b"250 secured\r\n");
            }
            stream.write_all(&end.take_wire()).unwrap();
            if end.phase() == asynchat::FilterPhase::PeerEnded || n == 0 {
                break;
            }
        }
    });
    assert_eq!(heard, ["220 hello", "220 ready", "250 secured"]);
    assert_eq!(happened, "secured");
}

#[test]
fn second_start_is_refused_and_a_bad_name_changes_nothing() {
    struct Twice(Trace);
    impl AsyncChat for Twice {
        fn handle_connect(&mut self, chat: &mut ChatChannel<'_>) -> Result {
            let config = Arc::new(client_config(&VERSIONS));
            assert!(chat.start_tls_client("no name", config.clone()).is_err());
            assert!(chat.filter::<TlsFilter>().is_none());
            chat.start_tls_client("localhost", config)?;
            assert!(chat.start_tls(&acceptor()).is_err());
            self.0.add("refused");
            chat.close();
            Ok(())
        }
    }
    let mut reactor = util::reactor();
    let trace = Trace::new();
    let (ours, _theirs) = tcp_pair();
    reactor
        .register(ours, ChatDispatcher::new(Twice(trace.clone()), "\n"))
        .unwrap();
    run(&mut reactor);
    assert_eq!(trace.joined(), "refused");
}
