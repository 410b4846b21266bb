//! What is behind `tcp_proxy`, friend or foe, and an honest client in front of it.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use socket2::SockRef;

use crate::resets::{connect, reset};

/// A backend: connections that begin with `e` are echoed, with `s` they are sent zeros without end, with `r` reset at
/// once, with `m` reset in the middle of an answer; those with `G` are a web server's; the others are kept as long as
/// [`Keeping`] lives, and never read.
pub fn backend() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    SockRef::from(&listener).listen(1024).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // Ends with its connection, or with the test.
            thread::spawn(move || serve(stream));
        }
    });
    address
}

fn serve(mut stream: TcpStream) {
    let mut buffer = vec![0; 64 * 1024];
    let mut kind = [0];
    if stream.set_nodelay(true).is_err() || stream.read_exact(&mut kind).is_err() {
        return;
    }
    match kind[0] {
        b'e' => loop {
            match stream.read(&mut buffer) {
                Ok(n @ 1..) if stream.write_all(&buffer[..n]).is_ok() => {}
                _ => return,
            }
        },
        // A web server, for tools: the request is what it is.
        b'G' => {
            while let Ok(1..) = stream.read(&mut buffer) {
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";
                if stream.write_all(answer).is_err() {
                    return;
                }
            }
        }
        b's' => while stream.write_all(&buffer).is_ok() {},
        b'r' => reset(stream),
        b'm' => {
            let _ = stream.write_all(&buffer[..1000]);
            reset(stream);
        }
        _ => {
            while KEEPING.load(Ordering::Relaxed) {
                thread::park_timeout(Duration::from_millis(10));
            }
            reset(stream);
        }
    }
}

/// Whether backends that never read are still there: one that does not read does not learn that its client is gone.
static KEEPING: AtomicBool = AtomicBool::new(false);

pub struct Keeping;

impl Keeping {
    pub fn start() -> Self {
        KEEPING.store(true, Ordering::Relaxed);
        Self
    }
}

impl Drop for Keeping {
    fn drop(&mut self) {
        KEEPING.store(false, Ordering::Relaxed);
    }
}

/// A client whose bytes come back.
pub struct Honest(pub TcpStream, u64);

impl Honest {
    pub fn new(address: SocketAddr) -> Self {
        let mut stream = connect(address);
        stream.write_all(b"e").unwrap();
        Self(stream, 0)
    }

    #[track_caller]
    pub fn exchange(&mut self) {
        self.1 += 1;
        let question = self.1.to_be_bytes();
        self.0.write_all(&question).unwrap();
        let mut answer = [0; 8];
        self.0.read_exact(&mut answer).unwrap();
        assert_eq!(answer, question);
    }
}
