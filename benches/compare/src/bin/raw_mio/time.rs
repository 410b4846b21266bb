//! RFC 868: four bytes and the end. Nothing is waited for, so nothing is registered but the listener.

use std::io::{self, ErrorKind, Write as _};
use std::time::{Duration, SystemTime};

use mio::{Events, Interest, Poll, Token};

use crate::net;

/// Seconds from 1900 to 1970.
const EPOCH: u64 = 2_208_988_800;

pub(crate) fn serve(port: u16) -> io::Result<()> {
    let mut listener = net::listen(port)?;
    let mut poll = Poll::new()?;
    poll.registry()
        .register(&mut listener, Token(0), Interest::READABLE)?;
    net::say_ready()?;
    let mut events = Events::with_capacity(8);
    let mut timeout = None;
    loop {
        match poll.poll(&mut events, timeout) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            result => result?,
        }
        timeout = None;
        loop {
            match listener.accept() {
                // The socket is new: it takes four bytes or its peer has gone.
                Ok((mut stream, _)) => drop(stream.write(&now())),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if crate::serve::is_of_one_peer(&error) => {}
                Err(_) => {
                    timeout = Some(Duration::from_millis(50));
                    break;
                }
            }
        }
    }
}

fn now() -> [u8; 4] {
    let since_1970 = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    // The count wraps in 2036, by the protocol.
    ((since_1970.as_secs() + EPOCH) as u32).to_be_bytes()
}
