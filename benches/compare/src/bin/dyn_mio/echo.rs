//! Every byte back: written straight from the read buffer, only what the socket refuses is kept.

use std::io;

use mio::net::TcpStream;

use crate::net::{Held, receive};
use crate::serve::{BUDGET, Handler, Ready, Shared, Verdict};

#[derive(Default)]
pub(crate) struct Echo {
    closed: bool,
    held: Held,
}

impl Handler for Echo {
    fn visit(
        &mut self,
        stream: &mut TcpStream,
        shared: &mut Shared,
        ready: Ready,
    ) -> io::Result<Verdict> {
        self.closed |= ready.closed;
        if !self.held.is_empty() {
            if !self.held.flush(stream)? {
                return Ok(Verdict::Wait);
            }
        } else if !ready.read && !ready.closed {
            return Ok(Verdict::Wait);
        }
        for _ in 0..BUDGET {
            let got = match receive(stream, &mut shared.buffer)? {
                None => return Ok(Verdict::Wait),
                Some(0) => return Ok(Verdict::Close),
                Some(got) => got,
            };
            if !self.held.send(stream, &shared.buffer[..got])? {
                return Ok(Verdict::Wait);
            }
            // A short read has emptied the socket, unless the end of the stream stands behind it.
            if got < shared.buffer.len() && !self.closed {
                return Ok(Verdict::Wait);
            }
        }
        Ok(Verdict::Again)
    }
}
