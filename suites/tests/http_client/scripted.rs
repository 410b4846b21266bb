//! A server of plain blocking sockets that answers each request as the test says, right or wrong.
#![allow(unreachable_pub, missing_debug_implementations)]

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        mpsc::{Receiver, channel},
    },
    thread,
    time::Duration,
};

use socket2::SockRef;

use suites::program::DEADLINE;

#[derive(Clone, Copy, Debug)]
pub enum End {
    Close,
    Reset,
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
}

impl Server {
    pub fn url(&self, target: &str) -> String {
        format!("http://{}{target}", self.address)
    }

    /// The targets asked for so far.
    pub fn targets(&self) -> Vec<String> {
        let target = |request: String| request.split(' ').nth(1).unwrap().to_owned();
        self.requests.try_iter().map(target).collect()
    }
}

/// Serves until the test ends; `answer` is given the target of each request.
pub fn serve(answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, requests) = channel();
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (answer, sender) = (answer.clone(), sender.clone());
            thread::spawn(move || {
                let mut stream = stream.unwrap();
                let Some(request) = read_request(&mut stream) else {
                    return;
                };
                let target = request.split(' ').nth(1).unwrap_or_default().to_owned();
                let _ = sender.send(request);
                give(stream, &answer(&target));
            });
        }
    });
    Server { address, requests }
}

fn read_request(stream: &mut TcpStream) -> Option<String> {
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(n @ 1..) => request.extend_from_slice(&buffer[..n]),
            _ => return None,
        }
    }
    Some(String::from_utf8(request).unwrap())
}

/// A client that has given up is no failure here.
fn give(mut stream: TcpStream, answer: &Answer) {
    for piece in answer.bytes.chunks(answer.slice) {
        if stream.write_all(piece).is_err() {
            return;
        }
    }
    match answer.end {
        End::Close => {}
        End::Reset => SockRef::from(&stream)
            .set_linger(Some(Duration::ZERO))
            .unwrap(),
        End::Hold => {
            let _ = stream.read(&mut [0]);
        }
    }
}
