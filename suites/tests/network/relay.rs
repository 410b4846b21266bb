//! A relay that passes on every byte by itself, in both directions, and ends what has ended.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use suites::program::DEADLINE;

pub struct Slicer {
    pub address: SocketAddr,
    passed: Arc<AtomicU64>,
}

impl Slicer {
    /// Listens on a free port until the test ends.
    pub fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let passed = Arc::new(AtomicU64::new(0));
        let count = passed.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.unwrap();
                let server = TcpStream::connect(server).unwrap();
                slice(&client, &server, &count);
                slice(&server, &client, &count);
            }
        });
        Self { address, passed }
    }

    /// Bytes so far.
    pub fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }
}

fn slice(from: &TcpStream, to: &TcpStream, count: &Arc<AtomicU64>) {
    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    let count = count.clone();
    to.set_nodelay(true).unwrap();
    from.set_read_timeout(Some(DEADLINE)).unwrap();
    thread::spawn(move || {
        let mut piece = [0; 4096];
        loop {
            let n = match from.read(&mut piece) {
                Ok(n @ 1..) => n,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                _ => break,
            };
            for byte in &piece[..n] {
                if to.write_all(std::slice::from_ref(byte)).is_err() {
                    return;
                }
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
}
