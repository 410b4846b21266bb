//! The time in four bytes, once per connection (RFC 868).

use std::{io::ErrorKind, time::SystemTime};

use asynchat::{Channel, Dispatcher, Result};
use shared::rfc868;

struct Time;

pub(crate) fn connection() -> impl Dispatcher {
    Time
}

impl Dispatcher for Time {
    fn writable(&self) -> bool {
        false
    }

    fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
        let time = rfc868::encode(SystemTime::now()).ok_or("the clock shows a time before 1900")?;
        match channel.send(&time) {
            // All of it is with the kernel, and the peer has nothing to say: no need to linger.
            Ok(sent) if sent == time.len() => channel.close(),
            Ok(sent) => send_later(channel, &time[sent..]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => send_later(channel, &time),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

fn send_later(channel: &mut Channel<'_>, rest: &[u8]) {
    channel.push(rest.to_vec());
    channel.close_when_done();
}
