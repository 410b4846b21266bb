//! Every byte back, in order. What the socket does not take at once is queued, and nothing is read until it is gone.

use std::io::{ErrorKind, Write};

use asynchat::{Builder, Channel, Dispatcher, Result};

struct Echo {
    held_up: bool,
}

pub(crate) fn connection() -> impl Dispatcher {
    Echo { held_up: false }
}

/// One byte in the queue holds a connection up, and the last one leaving it lets it go on.
pub(crate) fn tune(builder: Builder) -> Builder {
    builder.watermarks(0, 0)
}

impl Dispatcher for Echo {
    fn readable(&self) -> bool {
        !self.held_up
    }

    fn writable(&self) -> bool {
        false
    }

    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        self.held_up = channel.recv_with(send_back)??;
        Ok(())
    }

    fn handle_drain(&mut self, _: &mut Channel<'_>) -> Result {
        self.held_up = false;
        Ok(())
    }
}

/// Straight to the socket as far as it goes, without the way through the queue. Whether something is left there.
fn send_back(channel: &mut Channel<'_>, data: &[u8]) -> Result<bool> {
    let sent = match channel.send(data) {
        Ok(sent) => sent,
        Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
        Err(error) => return Err(error.into()),
    };
    let rest = &data[sent..];
    if rest.is_empty() {
        return Ok(false);
    }
    channel.write_all(rest)?;
    Ok(channel.is_congested())
}
