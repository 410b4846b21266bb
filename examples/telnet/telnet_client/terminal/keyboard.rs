//! The channel of the terminal.

use std::{rc::Rc, time::Duration};

use asynchat::{BoxError, Channel, Dispatcher, Result};
use memchr::memchr;

use super::{
    Desk,
    tty::{ESCAPE, Mode},
};

/// How long what is typed waits while the server takes nothing.
const PATIENCE: Duration = Duration::from_millis(50);

pub(super) struct Keyboard(Rc<Desk>);

impl Keyboard {
    pub(super) fn new(desk: Rc<Desk>) -> Self {
        Self(desk)
    }

    fn typed(&self, channel: &mut Channel<'_>, keys: &[u8]) {
        let desk = &self.0;
        let (keys, ends) = match memchr(ESCAPE, keys) {
            Some(at) => (&keys[..at], true),
            None => (keys, false),
        };
        let by_keys = desk.tty.mode() == Mode::Keys;
        if by_keys && desk.options.local_echo && !keys.is_empty() {
            channel.push(echo(keys));
        }
        let mut congested = false;
        desk.with_session(channel.registry(), |session, talk| {
            session.with(talk, |_, line| match by_keys {
                true => line.send_keys(keys),
                false => line.send(keys),
            });
            congested = talk.is_congested();
            if ends {
                talk.succeed();
            }
        });
        if congested {
            channel.pause_reading(PATIENCE);
        }
    }

    fn end(&self, channel: &mut Channel<'_>) {
        self.0
            .with_session(channel.registry(), |_, talk| talk.succeed());
        channel.close();
    }
}

fn echo(keys: &[u8]) -> Vec<u8> {
    let mut shown = Vec::with_capacity(keys.len() + 1);
    for &key in keys {
        shown.push(key);
        if key == b'\r' {
            shown.push(b'\n');
        }
    }
    shown
}

impl Dispatcher for Keyboard {
    /// Before there is a session, and while its script runs, what is typed waits in the terminal.
    fn readable(&self) -> bool {
        self.0.open.get()
    }

    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        channel.recv_with(|channel, keys| {
            if !keys.is_empty() {
                self.typed(channel, keys);
            }
        })?;
        Ok(())
    }

    /// What waited for the terminal may go on.
    fn handle_drain(&mut self, channel: &mut Channel<'_>) -> Result {
        self.0.full.set(false);
        self.0
            .with_session(channel.registry(), |_, talk| talk.touch());
        Ok(())
    }

    /// Ctrl-D in an empty line, or the terminal is gone.
    fn handle_close(&mut self, channel: &mut Channel<'_>) -> Result {
        self.end(channel);
        Ok(())
    }

    fn handle_error(&mut self, channel: &mut Channel<'_>, error: BoxError) {
        log::debug!("the terminal: {error}");
        self.end(channel);
    }
}
