//! A server of the test's own: it says, and knows what it has heard.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use suites::program::eventually;

pub(crate) struct Guest {
    stream: TcpStream,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Guest {
    pub(crate) fn say(&mut self, text: impl AsRef<[u8]>) {
        // The client may be gone.
        let _ = self.stream.write_all(text.as_ref());
    }

    /// The last byte is urgent.
    pub(crate) fn say_urgently(&mut self, text: impl AsRef<[u8]>) {
        let socket = socket2::SockRef::from(&self.stream);
        let _ = socket.send_out_of_band(text.as_ref());
    }

    /// Waits until the client has said this, and forgets it.
    #[track_caller]
    pub(crate) fn hears(&mut self, text: impl AsRef<[u8]>) {
        let text = text.as_ref();
        eventually(|| {
            let mut heard = self.heard.lock().unwrap();
            let at = memchr::memmem::find(&heard, text)?;
            heard.drain(..at + text.len());
            Some(())
        });
    }

    pub(crate) fn end(self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
    }
}

/// Listens, and serves one client on a thread. The connection stays when `talk` returns, unless it ended it.
pub(crate) fn serve(talk: impl FnOnce(Guest) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let stream = listener.accept().unwrap().0;
        let heard = Arc::<Mutex<Vec<u8>>>::default();
        let mut reader = stream.try_clone().unwrap();
        let hearing = Arc::clone(&heard);
        thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(n @ 1..) = reader.read(&mut piece) {
                hearing.lock().unwrap().extend_from_slice(&piece[..n]);
            }
        });
        talk(Guest { stream, heard });
    });
    address
}
