//! The session's side of the terminal.

use std::{io::Write, mem, rc::Rc};

use asynchat::{BoxError, ChannelId, Registry, Result};
use shared::{
    client::Outcome,
    screen::Screen,
    telnet::{Line, User},
};

use super::{Desk, tty::Mode};
use crate::scripted::Progress;

pub(crate) struct AtTerminal {
    desk: Rc<Desk>,
    terminal: ChannelId,
    progress: Progress,
    /// With `--plain`: what is to be seen of it.
    plain: Option<Screen<Vec<u8>>>,
    outcome: Outcome,
}

impl AtTerminal {
    pub(super) fn new(
        desk: Rc<Desk>,
        terminal: ChannelId,
        progress: Progress,
        outcome: Outcome,
    ) -> Self {
        Self {
            plain: desk.options.plain.then(|| Screen::new(Vec::new())),
            desk,
            terminal,
            progress,
            outcome,
        }
    }

    fn go_on(&mut self, line: &mut Line<'_, '_, '_>, text: &[u8]) -> Result {
        if self.progress.go_on(line, text)? && !self.desk.open.replace(true) {
            // A user may think for as long as it takes.
            line.talk.set_idle_timeout(None);
            self.follow_echo(line.is_echoed());
            if let Some(mut terminal) = line.talk.registry().channel(self.terminal) {
                terminal.touch();
            }
        }
        Ok(())
    }

    /// While a script runs, Ctrl-C stays the terminal's: no key reaches the server.
    fn follow_echo(&self, there: bool) {
        if self.desk.open.get() {
            self.desk
                .tty
                .set(if there { Mode::Keys } else { Mode::Lines });
        }
    }

    fn shown(&mut self, text: &[u8]) -> Result<Vec<u8>> {
        let Some(screen) = &mut self.plain else {
            return Ok(text.to_vec());
        };
        screen.write_all(text)?;
        let shown = mem::take(screen.get_mut());
        let returned = match self.desk.tty.mode() {
            Mode::Lines => return Ok(shown),
            Mode::Keys => shown.split_inclusive(|&byte| byte == b'\n'),
        };
        let mut lines = Vec::with_capacity(shown.len() + 16);
        for line in returned {
            match line.strip_suffix(b"\n") {
                Some(line) => lines.extend_from_slice(&[line, b"\r\n"].concat()),
                None => lines.extend_from_slice(line),
            }
        }
        Ok(lines)
    }
}

impl User for AtTerminal {
    fn connected(&mut self, line: &mut Line<'_, '_, '_>) -> Result {
        self.desk.session.set(Some(line.talk.id()));
        self.go_on(line, b"")
    }

    fn text(&mut self, line: &mut Line<'_, '_, '_>, text: &[u8]) -> Result {
        let shown = self.shown(text)?;
        if let Some(mut terminal) = line.talk.registry().channel(self.terminal) {
            terminal.push(shown);
            self.desk.full.set(terminal.is_congested());
        }
        self.go_on(line, text)
    }

    fn received(&mut self, line: &mut Line<'_, '_, '_>) -> Result {
        self.progress.check_limit(line)
    }

    fn echo(&mut self, _: &mut Line<'_, '_, '_>, there: bool) -> Result {
        self.follow_echo(there);
        Ok(())
    }

    fn readable(&self) -> bool {
        !self.desk.full.get()
    }

    fn finished(&mut self, registry: &mut Registry, outcome: Result<(), BoxError>) {
        self.outcome.set(self.progress.error(outcome));
        self.desk.session.set(None);
        if let Some(mut terminal) = registry.channel(self.terminal) {
            if self.desk.tty.mode() == Mode::Keys {
                // The cursor may be anywhere.
                terminal.push("\r\n");
            }
            terminal.close_when_done();
        }
    }
}
