//! A server of blocking sockets, plain or with TLS, that answers each request as the test says, right or wrong.
#![allow(unreachable_pub, missing_debug_implementations)]

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        mpsc::{Receiver, channel},
    },
    thread,
    time::Duration,
};

use rustls::{ServerConfig, ServerConnection};
use socket2::SockRef;

use suites::program::DEADLINE;

#[derive(Clone, Copy, Debug)]
pub enum End {
    /// With TLS: without close_notify.
    Close,
    /// With TLS: close_notify, and then as `Close`.
    Notify,
    Reset,
    /// With TLS: bytes that are no record of it.
    Garbage,
    /// Keeps the connection open until the client closes it.
    Hold,
}

pub struct Answer {
    pub bytes: Vec<u8>,
    /// Bytes per write.
    pub slice: usize,
    pub end: End,
}

impl Answer {
    /// All at once, then closed. Line ends are written as `\n`.
    pub fn new(text: &str) -> Self {
        Self::raw(&text.replace('\n', "\r\n"))
    }

    /// Like `new`, as it is.
    pub fn raw(text: &str) -> Self {
        Self {
            bytes: text.as_bytes().to_vec(),
            slice: usize::MAX,
            end: End::Close,
        }
    }

    pub fn slice(mut self, bytes: usize) -> Self {
        self.slice = bytes;
        self
    }

    pub fn end(mut self, end: End) -> Self {
        self.end = end;
        self
    }
}

pub struct Server {
    pub address: SocketAddr,
    /// What was asked, in the order it came.
    pub requests: Receiver<String>,
    scheme: &'static str,
    /// Handshakes that failed, and whether the client ended the others properly: none of `End::Reset`.
    pub ends: Receiver<io::Result<()>>,
}

impl Server {
    pub fn url(&self, target: &str) -> String {
        format!("{}://{}{target}", self.scheme, self.address)
    }

    /// The targets asked for so far.
    pub fn targets(&self) -> Vec<String> {
        let target = |request: String| request.split(' ').nth(1).unwrap().to_owned();
        self.requests.try_iter().map(target).collect()
    }
}

/// Serves until the test ends; `answer` is given the target of each request.
pub fn serve(answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Server {
    start(None, answer)
}

/// The same with TLS.
pub fn serve_tls(
    config: ServerConfig,
    answer: impl Fn(&str) -> Answer + Send + Sync + 'static,
) -> Server {
    start(Some(Arc::new(config)), answer)
}

fn start(
    tls: Option<Arc<ServerConfig>>,
    answer: impl Fn(&str) -> Answer + Send + Sync + 'static,
) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let scheme = if tls.is_some() { "https" } else { "http" };
    let (sender, requests) = channel();
    let (end, ends) = channel();
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (answer, sender, end) = (answer.clone(), sender.clone(), end.clone());
            let tls = tls.clone();
            thread::spawn(move || {
                let socket = stream.unwrap();
                socket.set_read_timeout(Some(DEADLINE)).unwrap();
                socket.set_nodelay(true).unwrap();
                let respond = |request: String| {
                    let target = request.split(' ').nth(1).unwrap_or_default().to_owned();
                    let _ = sender.send(request);
                    answer(&target)
                };
                match tls {
                    None => serve_plain(socket, respond),
                    Some(config) => {
                        if let Some(outcome) = serve_secured(&socket, config, respond) {
                            let _ = end.send(outcome);
                        }
                    }
                }
            });
        }
    });
    Server {
        address,
        requests,
        scheme,
        ends,
    }
}

fn serve_plain(mut socket: TcpStream, respond: impl FnOnce(String) -> Answer) {
    if let Ok(request) = read_request(&mut socket) {
        let answer = respond(request);
        give(&mut socket, &answer);
        end(&socket, answer.end);
    }
}

fn serve_secured(
    mut socket: &TcpStream,
    config: Arc<ServerConfig>,
    respond: impl FnOnce(String) -> Answer,
) -> Option<io::Result<()>> {
    let mut tls = ServerConnection::new(config).unwrap();
    let mut stream = rustls::Stream::new(&mut tls, &mut socket);
    let answer = match read_request(&mut stream) {
        Ok(request) => respond(request),
        Err(error) => return Some(Err(error)),
    };
    give(&mut stream, &answer);
    match answer.end {
        End::Notify => {
            tls.send_close_notify();
            let _ = tls.write_tls(&mut socket);
            let _ = socket.shutdown(Shutdown::Write);
        }
        End::Close => {
            let _ = socket.shutdown(Shutdown::Write);
        }
        End::Reset => {
            end(socket, End::Reset);
            return None;
        }
        End::Garbage => {
            let _ = socket.write_all(b"no record of TLS");
        }
        End::Hold => {}
    }
    // Up to its end, with the error of rustls if close_notify is missing.
    Some(
        rustls::Stream::new(&mut tls, &mut socket)
            .read_to_end(&mut Vec::new())
            .map(drop),
    )
}

fn read_request(stream: &mut impl Read) -> io::Result<String> {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => request.extend_from_slice(&buffer[..n]),
        }
    }
    Ok(String::from_utf8(request).unwrap())
}

/// A client that has given up is no failure here.
fn give(stream: &mut impl Write, answer: &Answer) {
    for piece in answer.bytes.chunks(answer.slice) {
        if stream.write_all(piece).is_err() {
            return;
        }
    }
}

fn end(mut socket: &TcpStream, end: End) {
    match end {
        End::Close | End::Notify | End::Garbage => {}
        End::Reset => SockRef::from(socket)
            .set_linger(Some(Duration::ZERO))
            .unwrap(),
        End::Hold => {
            let _ = socket.read(&mut [0]);
        }
    }
}
